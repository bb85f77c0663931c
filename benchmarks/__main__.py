"""`python -m benchmarks [NAME ...]`: runs benchmarks, each against a baseline from the same run."""

import sys
from importlib import import_module

NAMES = (
    "effects",
    "library",
    "isolation",
    "state",
    "journal",
    "hooks",
    "events",
    "startup",
    "agent",
    "streams",
    "protocols",
    "first_piece",
    "many_agents",
)

if unknown := set(sys.argv[1:]) - set(NAMES):
    sys.exit(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
for name in sys.argv[1:] or NAMES:
    print(f"== {name}")
    import_module(f"benchmarks.{name}").main()
    print()
