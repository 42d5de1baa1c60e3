"""`for_each`: one declaration for many nodes of one shape, one for each mapping of its list.

In its texts `$value(NAME)` stands for a value of the mapping, and `$column(NAME)` and
`$table(NAME)` for a name in SQL. In SQL a value becomes a literal and a name is quoted, so neither
can change the statement around it. Elsewhere a value is inserted as it is, and a text that is
nothing but `$value(NAME)` becomes the value itself: a number, or a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, NamedTuple

from msgspec.structs import replace

from headrace.model.contract_options import quoted, text_literal
from headrace.model.errors import Problem, Report, did_you_mean, shown
from headrace.model.fields import Items, LocatedMapping, kind_of
from headrace.model.schemas import PARAMETERS, Field, listed
from headrace.model.secrets import PARAMETER_NAME

FOR_EACH = Field(
    "for_each",
    listed(PARAMETERS),
    "the values of many nodes that are declared at once: in its texts `$value(NAME)`,"
    " `$column(NAME)` and `$table(NAME)` stand for them",
)
INSTANCES_MAX = 10_000
"""At most this number of nodes per declaration."""
CHARACTERS_MAX = 1 << 26
"""At most this number of characters in all instances of a declaration."""
SQL_FIELDS = frozenset({"query", "where"})
"""Fields whose texts are SQL."""
_NAMED_MAX = 3
_STANDS_FOR = re.compile(r"\$(?P<kind>column|table|value)\((?P<name>[^()\n]*)\)")
_IN_SQL = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"""
    rf"|(?P<stands>{_STANDS_FOR.pattern})",
    re.DOTALL,
)
"""Texts, quoted names and comments, which stay as they are, and what stands for a value."""


class Instance(NamedTuple):
    """One node of a declaration: its block, and the values that its texts take."""

    block: LocatedMapping
    values: LocatedMapping | None
    report: Report

    def sql(self, text: str, line: int) -> str:
        """Return SQL that begins on `line` with the values in place of what stands for them."""
        if self.values is None:
            return text

        def bound(match: re.Match[str]) -> str:
            if match["stands"] is None:
                return match[0]
            return self._in_sql(match, line + text.count("\n", 0, match.start()))

        return _IN_SQL.sub(bound, text)

    def _in_sql(self, match: re.Match[str], line: int) -> str:
        value = self._value(match["name"], line)
        values = value if isinstance(value, list) else [value]
        if match["kind"] == "value":
            return ", ".join(map(_literal, values))
        return ", ".join(quoted(str(item)) for item in values)

    def bound(self, value: Any, line: int, *, sql: bool = False) -> Any:
        """Return a declared value with this instance's values; `sql`: its texts are SQL."""
        if isinstance(value, LocatedMapping):
            block = LocatedMapping(value.line)
            for key, item in value.items():
                at = value.lines[key]
                name = str(self._text(key, at))
                block.put(name, self.bound(item, at, sql=key in SQL_FIELDS), at)
            return block
        if isinstance(value, Items):
            items = Items(value.line)
            for item, at in zip(value, value.lines, strict=True):
                items.put(self.bound(item, at, sql=sql), at)
            return items
        if not isinstance(value, str):
            return value
        return self.sql(value, line) if sql else self._text(value, line)

    def _text(self, text: str, line: int) -> Any:
        whole = _STANDS_FOR.fullmatch(text)
        if whole is not None and whole["kind"] == "value":
            return self._value(whole["name"], line)
        return _STANDS_FOR.sub(lambda match: self._in_text(match, line), text)

    def _in_text(self, match: re.Match[str], line: int) -> str:
        if match["kind"] != "value":
            return self._in_sql(match, line)
        name = match["name"]
        value = self._value(name, line)
        if isinstance(value, list):
            message = f"{shown(name)} is a list, and this is a part of a text"
            self.report.error("wrong_type", line, message, f"write `$value({name})` alone")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _value(self, name: str, line: int) -> Any:
        """Return the value of this name, or the name itself, with a reported problem."""
        assert self.values is not None
        if name in self.values:
            return self.values[name]
        known = ", ".join(self.values)
        hint = did_you_mean(name, self.values) or f"its names: {known}"
        self.report.error("unknown_field", line, f"`for_each` has no {shown(name)}", hint)
        return name


def _literal(value: Any) -> str:
    """Return a value as a literal of SQL."""
    if isinstance(value, str):
        return text_literal(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def blocks_of(
    document: object, report: Report, what: str, expected: tuple[str, str, str]
) -> Iterator[LocatedMapping]:
    """Yield the declarations of a file: its mapping, or those of its list, with all instances.

    `expected` says what a file must be, with an example of it and of an item of a list.
    """
    must_be, example, item_example = expected
    if isinstance(document, LocatedMapping):
        document = [document]
    if not isinstance(document, list):
        report.error("wrong_type", 1, f"{must_be}, not {kind_of(document)}", example)
        return
    for index, block in enumerate(document):
        if isinstance(block, LocatedMapping):
            yield from (instance.block for instance in instances(block, report))
            continue
        line = document.lines[index] if isinstance(document, Items) else 1
        wrong = f"{what} must be a mapping, not {kind_of(block)}"
        report.error("wrong_type", line, wrong, item_example)


def instances(block: LocatedMapping, report: Report, sql: str = "") -> Iterator[Instance]:
    """Yield what a declaration declares: itself, or one instance for each mapping of `for_each`.

    `sql` is the declaration's statement, which isn't changed here.
    Problems of an instance are reported with its values.
    """
    if FOR_EACH.name not in block:
        yield Instance(block, None, report)
        return
    rows = _rows(block, report)
    text = f"{block}{sql}"
    if sum(len(text) + text.count("$") * len(f"{row}") for row in rows) > CHARACTERS_MAX:
        message = f"`for_each` makes more than {CHARACTERS_MAX:,} characters of declarations"
        report.error("wrong_value", block.lines[FOR_EACH.name], message, "split it into files")
        return
    begun = len(report.problems)
    reported: list[tuple[str, list[Problem]]] = []
    for values in rows:
        instance = Instance(LocatedMapping(block.line), values, report)
        bound = instance.bound(block, block.line)
        if len(report.problems) == begun:
            del bound[FOR_EACH.name]
            yield instance._replace(block=bound)
        reported.append((_named(values), report.problems[begun:]))
        del report.problems[begun:]
    _report(reported, report)


def _report(reported: list[tuple[str, list[Problem]]], report: Report) -> None:
    """Report the problems of instances: one that all of them have once."""
    alike: dict[tuple[Any, ...], list[tuple[str, Problem]]] = {}
    for name, problems in reported:
        for at, problem in enumerate(problems):
            key = (at, problem.code, problem.place, problem.hint)
            alike.setdefault(key, []).append((name, problem))
    for group in alike.values():
        more = f" and {len(group) - 1:,} more" if len(group) == len(reported) > 1 else ""
        for name, problem in group[:1] if more else group:
            report.add(replace(problem, message=f"{problem.message}, for {name}{more}"))


def _named(values: LocatedMapping) -> str:
    """Return the values that tell an instance from others: `table: orders, key: id`."""
    pairs = [f"{name}: {value}" for name, value in values.items()]
    return shown(", ".join(pairs[:_NAMED_MAX]))


_EXAMPLE = "write for_each: [{table: orders}, {table: customers}]"


def _rows(block: LocatedMapping, report: Report) -> list[LocatedMapping]:
    """Return the usable mappings of `for_each`; the others are reported."""
    written, line = block[FOR_EACH.name], block.lines[FOR_EACH.name]
    if not isinstance(written, Items) or not written:
        message = f"`for_each` must be a list of mappings, not {_kind_of(written)}"
        report.error("wrong_type", line, message, _EXAMPLE)
        return []
    if len(written) > INSTANCES_MAX:
        message = f"`for_each` lists {len(written):,} nodes"
        report.error("wrong_value", line, message, f"at most {INSTANCES_MAX:,} in one declaration")
        return []
    rows = zip(written, written.lines, strict=True)
    return [row for row, at in rows if _is_usable(row, at, report)]


def _kind_of(written: Any) -> str:
    return "an empty one" if written in ([], {}) else kind_of(written)


def _is_usable(row: Any, line: int, report: Report) -> bool:
    """Return whether all names and values can be used; report those that can't."""
    if not isinstance(row, LocatedMapping) or not row:
        message = f"an item of `for_each` must be a mapping, not {_kind_of(row)}"
        report.error("wrong_type", line, message, _EXAMPLE)
        return False
    before = len(report.problems)
    for name, value in row.items():
        line = row.lines[name]
        if not PARAMETER_NAME.fullmatch(name):
            hint = "letters, digits and `_`, not beginning with a digit"
            report.error("bad_name", line, f"{shown(name)} can't name a value", hint)
        items = value if isinstance(value, list) else [value]
        if not items or not all(map(_is_value, items)):
            message = f"{shown(name)} of `for_each` can't be {kind_of(value)}"
            hint = "a text of one line, a number, true or false, or a list of those"
            report.error("wrong_type", line, message, hint)
    return len(report.problems) == before


def _is_value(value: Any) -> bool:
    if isinstance(value, str):
        return "\n" not in value and "\r" not in value
    return isinstance(value, (bool, int)) or (isinstance(value, float) and isfinite(value))
