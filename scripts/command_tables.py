"""Write the table of commands that start-up needs, from their declarations.

    python -m scripts.generate      writes it, and all other tables

`headrace --help`, permissions and routes know each command before its module is imported. The
declarations are constants, so this reads them from the files: `@command(…)` and
`@leader_command(…)` at functions of `headrace.services`, and `<name>_command` in
`headrace.cli.commands`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent / "src/headrace"
OWN = "headrace.services."
"""Functions of this package have the rest of their module's name."""
TEXT = '''\
"""The commands: their declarations, and what `headrace --help` prints of them.

`python -m scripts.generate` writes this file from the declarations.
"""

from typing import Any

FUNCTIONS: dict[str, dict[str, Any]] = {{
{rows}}}
"""`module:function` of `headrace.services` → what `@command` says there."""

CLI: tuple[tuple[str, str, str, str], ...] = (
{commands})
"""Name, group, summary, and the module of `headrace.cli.commands`, or the function."""

LEADER: dict[str, str] = {{
{requests}}}
"""Command that a request to the leader may name → its module in `headrace.services`."""
'''
PATHS_TEXT = '''
PATHS: dict[str, str] = {{
{rows}}}
"""Method and path below `/api/v1` that only a package beside Headrace has → the package."""
'''


def text(source: Path) -> str:
    """Return the file's content for the package in a folder."""
    functions = declared_functions(source)
    rows = "".join(f"    {path!r}: {row!r},\n" for path, row in functions.items())
    commands = "".join(f"    {row!r},\n" for row in sorted(declared_commands(source, functions)))
    requests = "".join(f"    {name!r}: {home!r},\n" for name, home in leader_commands(source))
    return TEXT.format(rows=rows, commands=commands, requests=requests)


def paths_text(sources: Iterable[Path]) -> str:
    """Return the end of Headrace's file: the paths of packages beside it, by their folders."""
    paths = {
        row["http"].rpartition(" ")[0]: source.parents[1].name
        for source in sources
        for row in declared_functions(source).values()
        if "http" in row
    }
    rows = "".join(f"    {path!r}: {package!r},\n" for path, package in sorted(paths.items()))
    return PATHS_TEXT.format(rows=rows)


def declared_functions(source: Path) -> dict[str, dict[str, Any]]:
    """Return what `@command` says at each function, by `module:function`, sorted."""
    found: dict[str, dict[str, Any]] = {}
    for file in _files(source, "services"):
        for node in _parsed(file, "@command("):
            for row in _calls(node, "command"):
                home = _module(source, file).removeprefix(OWN)
                found[f"{home}:{getattr(node, 'name', '')}"] = row
    refuse_twice(found.values())
    return dict(sorted(found.items()))


def leader_commands(source: Path) -> list[tuple[str, str]]:
    """Return the name of each `@leader_command` with its module, sorted."""
    return sorted(
        (ast.literal_eval(call.args[0]), _module(source, file).removeprefix(OWN))
        for file in _files(source, "services")
        for node in _parsed(file, "@leader_command(")
        for call in _decorators(node, "leader_command")
    )


def refuse_twice(rows: Iterable[dict[str, Any]]) -> None:
    """Raise SystemExit for a path of the API or a method of `Session` that two functions have."""
    names = Counter(name for row in rows for name in _unique(row))
    if twice := [name for name, count in names.items() if count > 1]:
        raise SystemExit(f"declared by two commands: {', '.join(twice)}")


def _unique(row: dict[str, Any]) -> Iterator[str]:
    if "http" in row:
        method, path, name = row["http"].split()
        yield f"{method} {path}"
        yield f"operation {name}"
    if "session" in row:
        yield f"Session.{row['session']}"


def declared_commands(
    source: Path, functions: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, group, summary and home of each command of the command line.

    `checks_challenge_command` with the group `checks` is an action of that command.
    """
    homes = {row["name"]: path for path, row in functions.items() if "group" in row}
    rows = {name: functions[path] for name, path in homes.items()}
    for file in _files(source, "cli/commands"):
        for name, node in _cli_commands(file):
            homes[name] = _module(source, file)
            said = [*_calls(node, "terminal_command"), *_group(node)]
            rows.update((name, row) for row in said)
    for name, row in rows.items():
        group, _, action = name.partition("-")
        typed = f"{group} {action}" if group == row["group"] else name
        yield typed, row["group"], row["summary"], homes[name]


def _group(node: ast.stmt) -> Iterator[dict[str, Any]]:
    """Yield what an assigned `CommandGroup` says of `headrace --help`."""
    call = node.value if isinstance(node, ast.Assign) else None
    if isinstance(call, ast.Call) and ast.unparse(call.func) == "CommandGroup":
        words = {word.arg: word.value for word in call.keywords}
        yield {name: _value(words[name]) for name in ("group", "summary")}


def _cli_commands(file: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Yield each `<name>_command` of a file, with the name that people type."""
    for node in _parsed(file, "_command"):
        target = node.targets[0] if isinstance(node, ast.Assign) else node
        name = getattr(target, "name", "") or getattr(target, "id", "")
        if name.endswith("_command") and not name.startswith("_"):
            yield name.removesuffix("_command").replace("_", "-"), node


def _files(source: Path, folder: str) -> list[Path]:
    """Return the files of a folder of this package; other packages have no such order."""
    return sorted((source / folder).glob("*.py") if source == SOURCE else source.rglob("*.py"))


def _module(source: Path, file: Path) -> str:
    return ".".join(file.relative_to(source.parent).with_suffix("").parts)


def _parsed(file: Path, mark: str) -> list[ast.stmt]:
    content = file.read_text(encoding="utf-8")
    return ast.parse(content).body if mark in content else []


def _calls(node: ast.stmt, decorator: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments of a function's decorator with this name."""
    for call in _decorators(node, decorator):
        # `@terminal_command` begins with its functions, which the table doesn't need
        positional = ("name", "permission")[: len(call.args)]
        row = dict(zip(positional, map(_value, call.args), strict=True))
        yield row | {str(word.arg): _value(word.value) for word in call.keywords}


def _decorators(node: ast.stmt, name: str) -> Iterator[ast.Call]:
    for call in getattr(node, "decorator_list", ()):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == name:
            yield call


def _value(node: ast.expr) -> Any:
    """Return a constant of a declaration: a literal, or the name of a permission."""
    return node.id.lower() if isinstance(node, ast.Name) else ast.literal_eval(node)
