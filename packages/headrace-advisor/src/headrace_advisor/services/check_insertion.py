"""Checks added to the files that declare their nodes: `checks suggest --write`."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.extension import CHANGE, HeadraceError, ProjectSession, command
from headrace.model import CheckSpec, Project
from headrace.project.session import usable
from headrace_advisor.responses.challenges import SuggestedCheckRow

# Inserts checks into the text of a declaration file: only adds lines, every other byte stays.

Line = tuple[str, str]
"""A check as YAML, and the evidence for the comment on its line."""
FRONT_MATTER = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$))*/\*\s*headrace\b[ \t]*:?(.*?)\*/", re.DOTALL | re.IGNORECASE
)
HINT = "add the checks by hand: headrace checks suggest"


class CannotWrite(HeadraceError):
    """A file that can't be edited automatically."""


def insert_checks(text: str, file: str, name: str, lines: Sequence[Line]) -> str:
    """Return the file's text with checks added to a node.

    Raise CannotWrite if there is no place for them.
    """
    if file.endswith(".py"):
        return _in_python(text, file, name, lines)
    return in_yaml_part(text, file, lambda part: _in_yaml(part, file, name, lines))


def in_yaml_part(text: str, file: str, edit: Callable[[str], str]) -> str:
    """Return a file with its YAML edited: all of it, or the front matter of SQL."""
    if not file.endswith(".sql"):
        return edit(text)
    front = FRONT_MATTER.match(text)
    if front is None:
        raise CannotWrite(
            f"{file} has no front matter", hint="begin the file with /* headrace, `owner: …`, */"
        )
    inside = front.group(1)
    edited = edit(inside if inside.endswith("\n") else f"{inside}\n")
    return text[: front.start(1)] + edited + text[front.end(1) :]


def document_of(text: str, file: str) -> Any:
    """Return the tree of a YAML text; None if it is empty. Raise CannotWrite for other text."""
    import yaml

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CannotWrite(f"{file} can't be read", hint="headrace validate") from error


def _in_yaml(text: str, file: str, name: str, lines: Sequence[Line]) -> str:
    document = document_of(text, file)
    if document is None:
        return text + _block(lines, "", _newline(text))
    return _in_mapping(text, file, mapping_of(document, file, name), lines)


def mapping_of(document: Any, file: str, name: str) -> Any:
    """Return the mapping that declares the node: the document, or the list item that names it."""
    import yaml

    if isinstance(document, yaml.MappingNode):
        if any(key.value == "for_each" for key, _ in document.value):
            raise CannotWrite(f"{file} declares more nodes than {name}", hint=HINT)
        return document
    for item in document.value if isinstance(document, yaml.SequenceNode) else ():
        if any(
            key.value in ("source", "asset", "name") and value.value == name
            for key, value in item.value
        ):
            return item
    raise CannotWrite(f"{file} doesn't name {name}", hint=HINT)


def _in_mapping(text: str, file: str, mapping: Any, lines: Sequence[Line]) -> str:
    import yaml

    results = next(((key, value) for key, value in mapping.value if key.value == "checks"), None)
    if mapping.flow_style or (
        results is not None and results[1].start_mark.index < results[0].end_mark.index
    ):
        raise CannotWrite(f"the checks of {file} aren't a list of their own", hint=HINT)
    rows, newline = text.splitlines(keepends=True), _newline(text)
    if results is None:
        indent = " " * mapping.start_mark.column
        return _after(
            rows,
            _last_line(rows, mapping, mapping.start_mark.column),
            _block(lines, indent, newline),
        )
    key, value = results
    if not isinstance(value, yaml.SequenceNode):
        if value.value:
            raise CannotWrite(f"`checks` of {file} isn't a list", hint="headrace validate")
        return _after(
            rows, key.start_mark.line, _items(lines, " " * (key.start_mark.column + 2), newline)
        )
    if value.flow_style:
        return _in_flow(text, value, lines)
    column = value.start_mark.column
    return _after(rows, _last_line(rows, value, column), _items(lines, " " * column, newline))


def _in_flow(text: str, value: Any, lines: Sequence[Line]) -> str:
    """Insert into `[…]`: after the last item, or after its trailing comma."""
    end = value.end_mark.index - 1
    before = text[:end].rstrip()
    at = value.value[-1].end_mark.index if value.value and not before.endswith(",") else len(before)
    lead = ", " if value.value and not before.endswith(",") else " " if before.endswith(",") else ""
    return text[:at] + lead + ", ".join(f"{{{line}}}" for line, _ in lines) + text[at:]


def _last_line(rows: Sequence[str], node: Any, column: int) -> int:
    """Return the last line of a block, without the blank lines and comments after it.

    YAML counts these to the block.
    """
    end = node.end_mark
    last: int = (
        end.line if end.line < len(rows) and rows[end.line][: end.column].strip() else end.line - 1
    )
    while last > node.start_mark.line and _is_between(rows[last], column):
        last -= 1
    return min(last, len(rows) - 1)


def _is_between(row: str, column: int) -> bool:
    bare = row.strip()
    return not bare or (bare.startswith("#") and len(row) - len(row.lstrip()) <= column)


def _after(rows: Sequence[str], line: int, more: str) -> str:
    newline = "" if rows[line].endswith(("\n", "\r")) else "\n"
    return "".join(rows[: line + 1]) + newline + more + "".join(rows[line + 1 :])


def _block(lines: Sequence[Line], indent: str, newline: str) -> str:
    return f"{indent}checks:{newline}" + _items(lines, f"{indent}  ", newline)


def _items(lines: Sequence[Line], indent: str, newline: str) -> str:
    return "".join(f"{indent}- {line}  # {evidence}{newline}" for line, evidence in lines)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


# Python: the literals in the decorator


def _in_python(text: str, file: str, name: str, lines: Sequence[Line]) -> str:
    return _in_call(text, file, declaring_call(text, file, name), lines)


def declaring_call(text: str, file: str, name: str) -> ast.Call:
    """Return the `@asset(…)` that declares a node in a Python file. Raise CannotWrite without."""
    for function in ast.parse(text).body:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and _names(decorator, function.name, name):
                return decorator
    raise CannotWrite(f"{file} has no @asset(…) for {name}", hint=HINT)


def _names(call: ast.Call, function: str, name: str) -> bool:
    name_argument = next((word.value for word in call.keywords if word.arg == "name"), None)
    return (
        name_argument.value if isinstance(name_argument, ast.Constant) else function
    ) == name and any(word.arg == "owner" for word in call.keywords)


def _in_call(text: str, file: str, call: ast.Call, lines: Sequence[Line]) -> str:
    data = text.encode()
    literals = ", ".join(_literals(lines))
    checks = next((word.value for word in call.keywords if word.arg == "checks"), None)
    if checks is None:
        at, more = _offset(data, call.keywords[-1].value), f", checks=[{literals}]"
    elif not isinstance(checks, ast.List):
        raise CannotWrite(f"`checks` of {file} isn't a list", hint=HINT)
    elif checks.elts:
        at, more = _offset(data, checks.elts[-1]), f", {literals}"
    else:
        at, more = _offset(data, checks) - 1, literals
    return (data[:at] + more.encode() + data[at:]).decode()


def _offset(data: bytes, node: ast.expr) -> int:
    """Return the byte offset at which an expression ends."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    starts = data.splitlines(keepends=True)
    return sum(map(len, starts[: node.end_lineno - 1])) + node.end_col_offset


def _literals(lines: Sequence[Line]) -> Iterator[str]:
    import yaml

    for line, _ in lines:
        yield (
            repr(yaml.safe_load(line)).replace("'", '"')
            if '"' not in line and "'" not in line
            else repr(yaml.safe_load(line))
        )


# A check as written in a file: `not_null: [carrier]`.

SHORT = ("not_null", "unique")
"""Kinds of check whose only argument is a list of columns."""


def as_mapping(check: CheckSpec) -> dict[str, Any]:
    """Return a check as an item of `checks`."""
    arguments = check.arguments["columns"] if check.kind in SHORT else check.arguments
    return {check.kind: arguments}


def as_yaml(check: CheckSpec) -> str:
    """Return a check as one line of YAML; strings that YAML could misread are quoted."""
    ((kind, arguments),) = as_mapping(check).items()
    return f"{kind}: {_flow(arguments)}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return (
            value
            if _is_plain(value)
            else json.dumps(value, ensure_ascii=True).replace("*/", "*\\/")
        )  # it may end up in a comment
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    """Whether every version of YAML reads the plain text as this string."""
    return text.isascii() and text.isidentifier() and text.lower() not in _WORDS


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})


# Adds checks to the files that declare their nodes. Comments, order and everything else stay. The
# files are restored unless the project, with the added checks, can be read as intended.


@command("checks suggest", CHANGE, not_for_agents="it writes files of the project")
def declare(session: ProjectSession, rows: Sequence[SuggestedCheckRow]) -> list[SuggestedCheckRow]:
    """Add the checks to their nodes' files; return each row with its file.

    Raise CannotWrite and restores all files if one of them can't be edited.
    """
    project = usable(session.declared()).project
    before, after = _changed(session.root, project, rows)
    try:
        for file, text in after.items():
            (session.root / file).write_text(text, encoding="utf-8", newline="")
        _accepted(session, rows)
    except BaseException:
        for file, text in before.items():
            (session.root / file).write_text(text, encoding="utf-8", newline="")
        raise
    return [msgspec.structs.replace(row, written=_file(project, row.asset)) for row in rows]


def _changed(
    root: Path, project: Project, rows: Sequence[SuggestedCheckRow]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the old and the new text of each file that changes."""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for asset in dict.fromkeys(row.asset for row in rows):
        file = _file(project, asset)
        if file not in before:
            before[file] = after[file] = (root / file).read_bytes().decode("utf-8")
        after[file] = insert_checks(
            after[file], file, asset, [_line(row) for row in rows if row.asset == asset]
        )
    return before, after


def _line(row: SuggestedCheckRow) -> tuple[str, str]:
    return row.yaml, row.evidence


def _file(project: Project, name: str) -> str:
    node = project.sources.get(name) or project.assets[name]
    return node.place.file


def _accepted(session: ProjectSession, rows: Sequence[SuggestedCheckRow]) -> None:
    """Raise CannotWrite unless the files now declare the added checks."""
    compilation = session.again(session.actor).declared()
    project = compilation.compiled.project if compilation.compiled is not None else None
    if project is None:
        text = next((problem.message for problem in compilation.problems), "")
        raise CannotWrite(
            f"with the checks the project can't be read: {text}",
            hint="add them by hand: headrace checks suggest",
        )
    for row in rows:
        node = project.sources.get(row.asset) or project.assets[row.asset]
        ((kind, _),) = row.check.items()
        if not any(as_yaml(check) == row.yaml for check in node.checks if check.kind == kind):
            raise CannotWrite(
                f"{row.asset} can't be given `{row.yaml}`",
                hint=f"add it to {node.place.file} by hand",
            )
