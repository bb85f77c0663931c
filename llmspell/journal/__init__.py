"""What runs did, so that they can be resumed, replayed and looked into: `.llmspell/runs.db`.

database.py   the tables
texts.py      values as text, large and repeated ones stored once
writer.py     writes, in the order in which things happened
recording.py  a run that is recorded, and what of it was recorded before
replaying.py  gives recorded outcomes back in their order
reader.py     for those who only look
"""
