"""`for_each`: one declaration for many nodes of one shape, one for each mapping of its list.

In its texts `$value(NAME)` stands for a value of the mapping, which is inserted as it is; a text
that is nothing else becomes the value itself: a number, or a list. In the SQL of assets and checks
a value becomes a literal, and `$column(NAME)` and `$table(NAME)` quoted names, so that neither can
change the statement around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, NamedTuple

from msgspec.structs import replace

from headrace.model.contract_options import quoted, text_literal
from headrace.model.errors import Problem, Report, did_you_mean, shown
from headrace.model.fields import Items, LocatedMapping, kind_of, plain
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
"""Fields of checks whose texts are SQL."""
_NAMED_MAX = 3
_STANDS_FOR = re.compile(r"\$(?P<kind>column|table|value)\((?P<name>[^()\n]*)\)")
_IN_SQL = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|(?P<opening>/\*|\$\w*\$)"""
    rf"|(?P<before>[\w$]?)(?P<stands>{_STANDS_FOR.pattern})(?P<behind>\w?)",
    re.DOTALL,
)
"""Texts and quoted names, which stay as they are, the start of longer ones, what has a value."""
_OF_COMMENT = re.compile(r"/\*|\*/")


class Instance(NamedTuple):
    """One node of a declaration: its block, and the values that its texts take."""

    block: LocatedMapping
    values: LocatedMapping | None
    report: Report

    def sql(self, text: str, line: int) -> str:
        """Return SQL that begins on `line` with the values in place of what stands for them."""
        if _STANDS_FOR.search(text) is None:
            return text
        parts, end = [], 0
        while match := _IN_SQL.search(text, end):
            before = text[end : match.start()]
            end = match.end() if match["opening"] is None else _end_of(match, text)
            value = text[match.start() : end]
            line += before.count("\n")
            if match["stands"] is not None:
                value = self._in_sql(match, line)
            line += value.count("\n")
            parts += [before, value]
        return "".join([*parts, text[end:]])

    def _in_sql(self, match: re.Match[str], line: int) -> str:
        if match["before"] or match["behind"]:
            message = f"{shown(match['stands'])} touches the word beside it"
            self.report.error("sql_syntax", line, message, "put a blank or an operator between")
            return match[0]
        value = self._value(match["name"], line)
        values = value if isinstance(value, list) else [value]
        written = _literal if match["kind"] == "value" else lambda item: quoted(str(item))
        return ", ".join(map(written, values))

    def bound(self, value: Any, line: int, *, checks: bool = False) -> Any:
        """Return a declared value with this instance's values; `checks`: it is of its checks."""
        if isinstance(value, LocatedMapping):
            return self._mapping(value, checks=checks)
        if isinstance(value, Items):
            items = Items(value.line)
            for item, at in zip(value, value.lines, strict=True):
                items.put(self.bound(item, at, checks=checks), at)
            return items
        return self._text(value, line) if isinstance(value, str) else value

    def _mapping(self, value: LocatedMapping, *, checks: bool) -> LocatedMapping:
        block = LocatedMapping(value.line)
        for key, item in value.items():
            at, name = value.lines[key], self._text(key, value.lines[key])
            if not isinstance(name, str):
                message = f"{shown(key)} is {kind_of(name)}, and a key is a text"
                self.report.error("yaml_key", at, message, "put the value in quotes")
            elif name in block:
                message = f"the key {shown(name)} is here twice"
                self.report.error("yaml_duplicate_key", at, message, "give each its own value")
            elif checks and name in SQL_FIELDS and isinstance(item, str):
                block.put(name, self.sql(item, at), at)
            else:
                block.put(name, self.bound(item, at, checks=checks or name == "checks"), at)
        return block

    def _text(self, text: str, line: int) -> Any:
        whole = _STANDS_FOR.fullmatch(text)
        if whole is not None and whole["kind"] == "value":
            return self._value(whole["name"], line)
        return _STANDS_FOR.sub(lambda match: self._in_text(match, line), text)

    def _in_text(self, match: re.Match[str], line: int) -> str:
        name = match["name"]
        if match["kind"] != "value":
            message = f"{shown(match[0])} is a name in SQL, and this isn't SQL"
            self.report.error("wrong_value", line, message, f"write `$value({name})`")
        value = self._value(name, line)
        if isinstance(value, list):
            message = f"{shown(name)} is a list, and this is a part of a text"
            self.report.error("wrong_type", line, message, f"write `$value({name})` alone")
        return value if isinstance(value, str) else json.dumps(value)

    def _value(self, name: str, line: int) -> Any:
        """Return the value of this name, or the name itself, with a reported problem."""
        if self.values is None:
            message = (
                f"{shown(f'$value({name})')} stands for a value of `for_each`, and there is none"
            )
            hint = f"add for_each: [{{{name}: …}}] to the front matter"
            self.report.error("missing_field", line, message, hint)
            return name
        if name in self.values:
            return self.values[name]
        known = ", ".join(self.values)
        hint = did_you_mean(name, self.values) or f"its names: {known}"
        self.report.error("unknown_field", line, f"`for_each` has no {shown(name)}", hint)
        return name


def _end_of(opened: re.Match[str], text: str) -> int:
    """Return the end of a comment or of a text between `$tag$`; DuckDB's comments nest."""
    if opened["opening"] != "/*":
        closing = text.find(opened["opening"], opened.end())
        return len(text) if closing < 0 else closing + len(opened["opening"])
    depth = 0
    for mark in _OF_COMMENT.finditer(text, opened.start()):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    return len(text)


def _literal(value: Any) -> str:
    """Return a value as a literal of SQL."""
    if isinstance(value, str):
        return text_literal(value)
    literal = json.dumps(value)
    return f"({literal})" if literal.startswith("-") else literal


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
        yield Instance(_with_defaults(block, report), None, report)
        return
    rows = _rows(block, report)
    shape = LocatedMapping(block.line)
    for name in block.keys() - {FOR_EACH.name}:
        shape.put(name, block[name], block.lines[name])
    if _characters(f"{plain(shape)}{sql}", rows) > CHARACTERS_MAX:
        message = f"`for_each` makes more than {CHARACTERS_MAX:,} characters of declarations"
        report.error("wrong_value", block.lines[FOR_EACH.name], message, "split it into files")
        return
    begun = len(report.problems)
    reported: list[tuple[str, list[Problem]]] = []
    for values in rows:
        instance = Instance(LocatedMapping(block.line), values, report)
        bound = instance.bound(shape, block.line)
        if len(report.problems) == begun:
            yield instance._replace(block=_with_defaults(bound, report))
        reported.append((_named(values), report.problems[begun:]))
        del report.problems[begun:]
    _report(reported, report)


def _with_defaults(block: LocatedMapping, report: Report) -> LocatedMapping:
    """Return a declaration with the defaults that it lacks; its first line is theirs."""
    for name, value in report.defaults.items():
        if name not in block:
            block.put(name, _on_line(value, block.line), block.line)
    return block


def _on_line(value: Any, line: int) -> Any:
    """Return a value of another file as if it were on one line of this one."""
    if isinstance(value, LocatedMapping):
        block = LocatedMapping(line)
        for key, item in value.items():
            block.put(key, _on_line(item, line), line)
        return block
    if isinstance(value, Items):
        items = Items(line)
        for item in value:
            items.put(_on_line(item, line), line)
        return items
    return value


def _characters(text: str, rows: list[LocatedMapping]) -> int:
    """Return how many characters a text has at most with the values of all rows."""
    stands = len(_STANDS_FOR.findall(text))
    return sum(
        len(text) + stands * max(len(json.dumps(value)) for value in row.values()) for row in rows
    )


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
    pairs = [
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
    ]
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
            message = f"{shown(name)} of `for_each` has a value that can't stand in a text"
            hint = "a text of one line, a number, true or false, or a list of those"
            report.error("wrong_type", line, message, hint)
    return len(report.problems) == before


def _is_value(value: Any) -> bool:
    if isinstance(value, str):
        return "\n" not in value and "\r" not in value
    return isinstance(value, (bool, int)) or (isinstance(value, float) and isfinite(value))
