"""What runs did, so that they can be resumed, replayed and looked into: `.llmspell/runs.db`.

database.py         the tables
stored_values.py    values as text, large and repeated ones stored once
secrets.py          what is not stored
writer.py           writes, in the order in which things happened
ledger.py           the rows of one run
locks.py            who is at a run
recording.py        a run that is recorded, or done again from its record
leaves.py           its leaves: performed and recorded, or answered
parking.py          leaves that only wait, and when the run is parked
history.py          gives recorded outcomes back in their order
turns.py            what Lua is told at each of its turns
recorded_calls.py   what of that are calls which leaves made
unclaimed_calls.py  those that leaves which have to be done again have yet to make
journal.py          begins records
rerun.py            takes them up again: to resume, replay or fork, and to keep what people answer
labels.py           what effects were about, for people
pruning.py          deletes runs
reader.py           for those who only look; what shows runs is built on it
"""
