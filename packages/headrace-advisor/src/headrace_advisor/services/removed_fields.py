"""The text of a declaration file without one field of a node."""

from __future__ import annotations

from typing import Any

from headrace_advisor.services.check_insertion import (
    CannotWrite,
    declaring_call,
    document_of,
    in_yaml_part,
    mapping_of,
)

HINT = "take it out by hand, then headrace plan"


def without_field(text: str, file: str, name: str, field: str) -> str:
    """Return a file's text without a field of a node's declaration.

    Raise CannotWrite if the field isn't written there, or if it can't be taken out alone.
    """
    if file.endswith(".py"):
        return _in_python(text, file, name, field)
    return in_yaml_part(text, file, lambda part: _in_yaml(part, file, name, field))


def _in_yaml(text: str, file: str, name: str, field: str) -> str:

    mapping = mapping_of(document_of(text, file), file, name)
    entries: list[tuple[Any, Any]] = mapping.value
    place = next((n for n, (key, _) in enumerate(entries) if key.value == field), None)
    if place is None or len(entries) == 1:
        raise CannotWrite(f"{file} has no `{field}` of {name} to take out", hint=HINT)
    key, value = entries[place]
    if mapping.flow_style:
        if place + 1 < len(entries):
            start, end = key.start_mark.index, entries[place + 1][0].start_mark.index
        else:
            start, end = entries[place - 1][1].end_mark.index, value.end_mark.index
        return text[:start] + text[end:]
    lines = text.splitlines(keepends=True)
    first, last = key.start_mark.line, _last_line(value)
    if lines[first][: key.start_mark.column].strip():
        raise CannotWrite(f"`{field}` of {name} doesn't begin a line of {file}", hint=HINT)
    return "".join(lines[:first] + lines[last + 1 :])


def _last_line(node: Any) -> int:
    """Return the line on which a value ends; a block's own end is where the next field begins."""
    import yaml

    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _last_line(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last_line(node.value[-1])
    mark = node.end_mark
    return int(mark.line if mark.column else mark.line - 1)


def _in_python(text: str, file: str, name: str, field: str) -> str:
    call = declaring_call(text, file, name)
    keyword = next((word for word in call.keywords if word.arg == field), None)
    if keyword is None:
        raise CannotWrite(f"{file} has no `{field}` of {name} to take out", hint=HINT)
    data = text.encode()
    start = _offset(data, keyword.lineno, keyword.col_offset)
    end = _offset(data, keyword.end_lineno, keyword.end_col_offset)
    after = data[end:].lstrip()
    if after.startswith(b","):
        end = data.index(b",", end) + 1
        end += len(data[end:]) - len(data[end:].lstrip())
        return (data[:start] + data[end:]).decode()
    before = data[:start].rstrip()
    if not before.endswith(b","):
        raise CannotWrite(f"`{field}` of {name} can't be taken out of {file} alone", hint=HINT)
    return (before[:-1] + data[end:]).decode()


def _offset(data: bytes, line: int | None, column: int | None) -> int:
    assert line is not None
    assert column is not None
    return sum(map(len, data.splitlines(keepends=True)[: line - 1])) + column
