"""Write what is generated from the declarations of the commands.

    python -m scripts.generate

These are the table of commands, the methods of `headrace.Session`, what the shell completes, and
the tools of agents. `make docs` runs this; tests compare the files.
"""

from __future__ import annotations

from importlib import import_module

from scripts import command_tables

OTHERS = ("session_methods", "completion_table", "agent_tools")


def main() -> None:
    """Write all files. The others import Headrace, which needs the table."""
    command_tables.main()
    for name in OTHERS:
        import_module(f"scripts.{name}").main()


if __name__ == "__main__":
    main()
