"""The record of every run in `.llmspell/runs.db`, for resuming, replaying and inspecting runs.

Recording a run:

journal.py             starts records
run_ids.py             ids and seeds
recording.py           a run that is recorded, or repeated from its record
ending.py              how it ends
leaves.py              performs and records leaves, or answers them from the record
composites.py          notes on composite effects
payments.py            what model requests cost
delivered_parts.py     what the spell has got of answers that are still arriving
timeouts.py            timeouts whose expiry is recorded
abandoned_effects.py   effects that the spell no longer waits for
parking.py             leaves that only wait, and when to park the run

What Lua is told, and when:

turns.py               what a Lua state is told at each of its turns
slices.py              when a state is heard that computes outside the event loop
leaf_calls.py          calls from leaves into the spell while somebody may ask about them

Repeating it from its record:

rerun.py               resumes and replays recorded runs
forking.py             forks them: copies the beginning of a run into a new one
steps.py               the leaves that a path means
history.py             delivers recorded outcomes in their original order
recorded_turns.py      what Lua was told at the recorded turns
recorded_calls.py      recorded calls from leaves into the spell
divergence.py          the errors of a run that cannot follow its record
chain_changes.py       how hooks and middleware differ from those of the record

The file:

database.py            tables and migrations
stored_values.py       values as text; large and repeated ones are stored once
secrets.py             redaction of secrets
ledger.py              the rows of one run
writer.py              ordered writes
locks.py               one process per run
validation.py          checks what is read from the file
stored_reader.py       rows and stored values, each checked
records.py             what can be read of a run: the run, its leaves, composites and turns
reader.py              queries; what shows runs is built on it

What people do with runs:

pending.py             questions and approvals that wait for a person, and the answers
imported_approvals.py  approvals in imported runs
transfer.py            exports and imports runs
pruning.py             deletes runs
labels.py, spans.py, totals.py, conversations.py, diff.py, html_page.py, telemetry.py
                       views of a run for people and other programs
"""
