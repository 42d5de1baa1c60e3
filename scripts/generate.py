"""Write what is generated from the declarations of the commands, if it isn't what they say.

    python -m scripts.generate [--requirements]

With `--requirements` it only prints what must be installed to write them, one a line, and nothing
if they are current.

These are the table of commands, the methods of `headrace.Session`, what the shell completes, and
the tools of agents, for Headrace and for each package beside it that has an entry point in the
group `headrace.command_tables`. None of them is in git: an installation, `make` and the tests write
them.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts import command_tables
from scripts.command_tables import SOURCE

ROOT = SOURCE.parents[1]
GROUP = "headrace.command_tables"
COMPLETION = SOURCE / "cli/completion_table.py"
AGENTS = ROOT / "packages/headrace-agents/src/headrace_agents"


def main(arguments: list[str]) -> int:
    """Write the files, the tables once more at the end: their first line says what they are of."""
    digest = digest_of_sources()
    if is_fresh(digest):
        return 0
    if "--requirements" in arguments:
        sys.stdout.writelines(f"{name}\n" for name in _requirements())
        return 0
    tables = {source: command_tables.text(source) for source in sources()}
    tables[SOURCE] += command_tables.paths_text(sources()[1:])
    for source, text in tables.items():
        _replace(source / "command_tables.py", text)
    _write_others()
    for source, text in tables.items():
        _replace(source / "command_tables.py", digest + text)
    return 0


def _write_others() -> None:
    """Write what needs Headrace, which is imported with the tables."""
    with tempfile.TemporaryDirectory() as folder:
        for name, module in _packages():
            _install(name, module, Path(folder))
        sys.path[:0] = [folder, str(SOURCE.parent), *map(str, ROOT.glob("packages/*/src"))]
        from scripts import agent_tools, completion_table, session_methods

        _replace(COMPLETION, completion_table.text())
        for source in sources():
            functions = command_tables.declared_functions(source)
            _replace(source / "session_methods.py", session_methods.text(functions))
            _replace(tools_file(source), agent_tools.text(functions))


def _install(name: str, module: str, folder: Path) -> None:
    """Declare a package's tables as its installation does, which may come later."""
    entry_points = folder / f"{name}-0.dist-info/entry_points.txt"
    entry_points.parent.mkdir()
    entry_points.write_text(f"[{GROUP}]\n{name} = {module}\n", encoding="utf-8")


def sources() -> list[Path]:
    """Return the folders of Headrace and of each package that has generated tables."""
    folders = (ROOT / "packages" / name / "src" for name, _ in _packages())
    modules = (module.partition(".")[0] for _, module in _packages())
    return [SOURCE, *map(Path.joinpath, folders, modules)]


def _packages() -> Iterator[tuple[str, str]]:
    """Yield the folder of each package that has generated tables, with the module of its table."""
    for file in sorted(ROOT.glob("packages/*/pyproject.toml")):
        for module in _project(file.parent).get("entry-points", {}).get(GROUP, {}).values():
            yield file.parent.name, module


def _project(folder: Path) -> dict[str, Any]:
    """Return what a distribution says of itself."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def _requirements() -> Iterator[str]:
    """Yield what Headrace and the packages with tables need, besides each other."""
    for folder in (ROOT, *(ROOT / "packages" / name for name, _ in _packages())):
        for requirement in _project(folder)["dependencies"]:
            if not requirement.startswith("headrace"):
                yield requirement


def tools_file(source: Path) -> Path:
    """Return the file with the tools of a package."""
    return (AGENTS if source == SOURCE else source) / "tools.json"


def targets() -> list[Path]:
    """Return all files that are written."""
    names = ("command_tables.py", "session_methods.py")
    each = [[*(source / name for name in names), tools_file(source)] for source in sources()]
    return [COMPLETION, *(file for files in each for file in files)]


def is_fresh(digest: str) -> bool:
    """Whether all files are there, and of sources with this digest."""
    if not all(target.is_file() for target in targets()):
        return False
    tables = [source / "command_tables.py" for source in sources()]
    return all(table.read_text(encoding="utf-8").startswith(digest) for table in tables)


def digest_of_sources() -> str:
    """Return a line that is another one after a change of any file that the tables depend on."""
    result = hashlib.sha256()
    folders = (*sources(), AGENTS, Path(__file__).parent)
    files = {file for folder in folders for file in folder.rglob("*.py")}
    for file in sorted(files - set(targets())):
        result.update(f"\0{file.name}\0".encode() + file.read_bytes())
    return f"# of sources {result.hexdigest()}\n"


def _replace(file: Path, text: str) -> None:
    part = file.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
