"""Write what is generated from the declarations of the commands, if it isn't what they say.

    python -m scripts.generate [--check]    with --check only exit 1 if something is to be written

These are the table of commands, the methods of `headrace.Session`, what the shell completes, and
the tools of agents. None of them is in git: an installation, `make` and the tests write them.
"""

from __future__ import annotations

import hashlib
import sys
from importlib import import_module
from pathlib import Path

from scripts import command_tables
from scripts.command_tables import SOURCE

OTHERS = {
    "session_methods": SOURCE / "session_methods.py",
    "completion_table": SOURCE / "cli/completion_table.py",
    "agent_tools": SOURCE / "web/agents/tools.json",
}
"""Module of `scripts` → the file that its `text` writes; they import Headrace, with the table."""
TARGETS = (command_tables.TARGET, *OTHERS.values())


def main(arguments: list[str]) -> int:
    """Write the files, the table once more at the end: its first line says what they are of."""
    digest = digest_of_sources()
    if is_fresh(digest):
        return 0
    if "--check" in arguments:
        return 1
    _replace(command_tables.TARGET, command_tables.text())
    sys.path.insert(0, str(SOURCE.parent))
    for name, target in OTHERS.items():
        _replace(target, import_module(f"scripts.{name}").text())
    _replace(command_tables.TARGET, digest + command_tables.text())
    return 0


def is_fresh(digest: str) -> bool:
    """Whether all files are there, and of sources with this digest."""
    if not all(target.is_file() for target in TARGETS):
        return False
    return command_tables.TARGET.read_text(encoding="utf-8").startswith(digest)


def digest_of_sources() -> str:
    """Return a line that is another one after a change of any file that the tables depend on."""
    result = hashlib.sha256()
    files = {*SOURCE.rglob("*.py"), *Path(__file__).parent.glob("*.py")}
    for file in sorted(files - set(TARGETS)):
        result.update(f"\0{file.name}\0".encode() + file.read_bytes())
    return f"# of sources {result.hexdigest()}\n"


def _replace(file: Path, text: str) -> None:
    part = file.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
