"""Where a check goes in the text of a file: lines are added, nothing else changes by a byte."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

from headrace.model import HeadraceError

Line = tuple[str, str]
"""A check as YAML, and the evidence for the comment beside it."""
_FRONT = re.compile(r"(?:\s|--[^\n]*(?:\n|$))*/\*\s*headrace\b[ \t]*:?(.*?)\*/", re.DOTALL | re.IGNORECASE)
HINT = "add the checks by hand: headrace checks suggest"


class CannotWrite(HeadraceError):
    """A file can't take the checks without somebody's hand."""


def inserted(text: str, file: str, name: str, lines: Sequence[Line]) -> str:
    """The file's text with checks added to those of a node. Raises CannotWrite where there is no place for them."""
    if file.endswith(".py"):
        return _in_python(text, file, name, lines)
    if not file.endswith(".sql"):
        return _in_yaml(text, file, name, lines)
    front = _FRONT.match(text)
    if front is None:
        raise CannotWrite(f"{file} has no front matter", hint="begin the file with /* headrace, `owner: …`, */")
    inside = front.group(1)
    body = _in_yaml(inside if inside.endswith("\n") else f"{inside}\n", file, name, lines)
    return text[: front.start(1)] + body + text[front.end(1) :]


def _in_yaml(text: str, file: str, name: str, lines: Sequence[Line]) -> str:
    import yaml

    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CannotWrite(f"{file} can't be read", hint="headrace validate") from error
    if document is None:
        return text + _block(lines, "", _newline(text))
    return _in_mapping(text, file, _mapping_of(document, file, name), lines)


def _mapping_of(document: Any, file: str, name: str) -> Any:
    """The mapping that declares the node: the document, or the one of its list that names it."""
    import yaml

    if isinstance(document, yaml.MappingNode):
        return document
    for item in document.value if isinstance(document, yaml.SequenceNode) else ():
        if any(key.value in ("source", "asset", "name") and value.value == name for key, value in item.value):
            return item
    raise CannotWrite(f"{file} doesn't name {name}", hint=HINT)


def _in_mapping(text: str, file: str, mapping: Any, lines: Sequence[Line]) -> str:
    import yaml

    results = next(((key, value) for key, value in mapping.value if key.value == "checks"), None)
    if mapping.flow_style or (results is not None and results[1].start_mark.index < results[0].end_mark.index):
        raise CannotWrite(f"the checks of {file} aren't a list of their own", hint=HINT)
    rows, newline = text.splitlines(keepends=True), _newline(text)
    if results is None:
        indent = " " * mapping.start_mark.column
        return _after(rows, _last_line(rows, mapping, mapping.start_mark.column), _block(lines, indent, newline))
    key, value = results
    if not isinstance(value, yaml.SequenceNode):
        if value.value:
            raise CannotWrite(f"`checks` of {file} isn't a list", hint="headrace validate")
        return _after(rows, key.start_mark.line, _items(lines, " " * (key.start_mark.column + 2), newline))
    if value.flow_style:
        return _in_flow(text, value, lines)
    column = value.start_mark.column
    return _after(rows, _last_line(rows, value, column), _items(lines, " " * column, newline))


def _in_flow(text: str, value: Any, lines: Sequence[Line]) -> str:
    """Into `[…]`: after the last item, or the comma that ends it."""
    end = value.end_mark.index - 1
    before = text[:end].rstrip()
    at = value.value[-1].end_mark.index if value.value and not before.endswith(",") else len(before)
    lead = ", " if value.value and not before.endswith(",") else " " if before.endswith(",") else ""
    return text[:at] + lead + ", ".join(f"{{{line}}}" for line, _ in lines) + text[at:]


def _last_line(rows: Sequence[str], node: Any, column: int) -> int:
    """The last line of a block: what YAML counts to it without the blank lines and the comments that follow."""
    end = node.end_mark
    last: int = end.line if end.line < len(rows) and rows[end.line][: end.column].strip() else end.line - 1
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


# -- Python: the literals in the decorator


def _in_python(text: str, file: str, name: str, lines: Sequence[Line]) -> str:
    for function in ast.parse(text).body:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and _names(decorator, function.name, name):
                return _in_call(text, file, decorator, lines)
    raise CannotWrite(f"{file} has no @asset(…) for {name}", hint=HINT)


def _names(call: ast.Call, function: str, name: str) -> bool:
    given = next((word.value for word in call.keywords if word.arg == "name"), None)
    return (given.value if isinstance(given, ast.Constant) else function) == name and any(word.arg == "owner" for word in call.keywords)


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
    """Where an expression ends, in bytes."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    starts = data.splitlines(keepends=True)
    return sum(map(len, starts[: node.end_lineno - 1])) + node.end_col_offset


def _literals(lines: Sequence[Line]) -> Iterator[str]:
    import yaml

    for line, _ in lines:
        yield repr(yaml.safe_load(line)).replace("'", '"') if '"' not in line and "'" not in line else repr(yaml.safe_load(line))
