"""The driver: runs one spell, performs the effects it requests, and delivers the replies.

Sequential spells take a fast path: a single outstanding effect is awaited in place, and its reply
goes straight back into Lua. asyncio tasks are created only when several effects are outstanding.
When a handler calls a function of the spell meanwhile, the call itself resumes Lua. A spell that
computes for long between two effects continues in a thread, so that it does not block the event
loop; an isolated spell always computes in its own process.
"""

from llmspell.driver.driver import Driver

__all__ = ["Driver"]
