"""Expressions of mapping data flows as SQL of DuckDB, where they mean the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace_import.importers.adf.dataflow_script import (
    Column,
    Function,
    Node,
    Number,
    Operation,
    Text,
)

_SIGNS = {
    "==": "=", "!=": "<>", "<>": "<>", "<=>": "is not distinct from", "===": "is not distinct from",
    "<": "<", ">": ">", "<=": "<=", ">=": ">=", "&&": "and", "||": "or", "-": "-", "*": "*",
    "%": "%",
}  # fmt: skip
_SAME = {
    "coalesce": ("coalesce", 1, 100), "iifnull": ("coalesce", 1, 100),
    "lower": ("lower", 1, 1), "length": ("length", 1, 1),
    "left": ("left", 2, 2), "right": ("right", 2, 2), "reverse": ("reverse", 1, 1),
    "trim": ("trim", 2, 2), "ltrim": ("ltrim", 2, 2), "rtrim": ("rtrim", 2, 2),
    "startswith": ("starts_with", 2, 2), "endswith": ("ends_with", 2, 2), "instr": ("instr", 2, 2),
    "abs": ("abs", 1, 1), "floor": ("floor", 1, 1), "ceil": ("ceil", 1, 1),
    "round": ("round", 1, 1), "power": ("power", 2, 2),
    "sum": ("sum", 1, 1), "avg": ("avg", 1, 1), "min": ("min", 1, 1), "max": ("max", 1, 1),
    "stddev": ("stddev_samp", 1, 1), "variance": ("var_samp", 1, 1),
    "year": ("year", 1, 1), "month": ("month", 1, 1), "dayofmonth": ("day", 1, 1),
    "hour": ("hour", 1, 1), "minute": ("minute", 1, 1), "second": ("second", 1, 1),
}  # fmt: skip
"""Functions with the same meaning: DuckDB's name, the least and the largest count of arguments.

A data flow runs on Spark, whose `upper('ß')` is SS and whose `round(1.005D, 2)` is 1.01; `trim` of
one argument cuts blanks alone there, and each white space here.
"""
CONVERTS = "try_cast("
"""What a query has that converts texts, of which each engine reads some that the other doesn't."""
_TRIMS = ("trim", "ltrim", "rtrim")
_WHOLE = {"tointeger": "integer", "toshort": "smallint", "tolong": "bigint"}
_CASTS = {"todouble": "double", "tofloat": "real", "toboolean": "boolean"}
_FRACTIONS = frozenset(("todouble", "tofloat", "todecimal", "avg", "stddev", "variance"))
_TEXT_FUNCTIONS = frozenset(
    ("tostring", "upper", "lower", "concat", "left", "right", "substring", "trim", "ltrim", "rtrim",
     "replace", "reverse", "concatws")
)  # fmt: skip


class NoCounterpartError(Exception):
    """What a data flow does that SQL here doesn't."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a stream: its name, the name in SQL, whether it is text, and its origin."""

    name: str
    sql: str
    is_text: bool
    stream: str


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows that a transformation gives: the name of its CTE and its columns."""

    cte: str
    fields: tuple[Field, ...]

    def find(self, column: Column) -> Field:
        """Return the field of a column. Raise NoCounterpartError if there isn't one alone."""
        named = [field for field in self.fields if field.name == column.name]
        if column.stream:
            named = [field for field in named if field.stream == column.stream] or named
        if len(named) != 1:
            what = "unknown" if not named else "of several streams"
            raise NoCounterpartError(f"the column `{column.name}` is {what}")
        return named[0]


def quoted(name: str) -> str:
    """Return a name within quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL."""
    return "'" + text.replace("'", "''") + "'"


class Expressions:
    """Expressions over the columns of streams, as SQL."""

    def __init__(self, streams: tuple[Stream, ...], aliases: tuple[str, ...] = ()) -> None:
        self._streams, self._aliases = streams, aliases

    def sql(self, node: Node) -> str:
        """Return an expression as SQL. Raise NoCounterpartError."""
        if isinstance(node, Text):
            return literal(node.value)
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Column):
            return self._column(node)
        if isinstance(node, Operation):
            return self._operation(node)
        if isinstance(node, Function):
            return self._function(node.name.lower(), node.arguments)
        raise NoCounterpartError("an assignment stands within an expression")

    def is_text(self, node: Node) -> bool:
        """Whether an expression is text, as far as it can be told."""
        if isinstance(node, Text):
            return True
        if isinstance(node, Column):
            return self._field(node)[1].is_text
        if isinstance(node, Operation):
            return node.sign == "+" and any(map(self.is_text, node.operands))
        if not isinstance(node, Function):
            return False
        if node.name.lower() in ("iif", "case", "coalesce", "iifnull"):
            return any(map(self.is_text, node.arguments))
        return node.name.lower() in _TEXT_FUNCTIONS

    def _field(self, column: Column) -> tuple[str, Field]:
        if column.name.startswith(("$", ":")):
            raise NoCounterpartError(f"it uses `{column.name}`")
        candidates: list[tuple[str, Field]] = []
        for position, stream in enumerate(self._streams):
            alias = self._aliases[position] if self._aliases else ""
            try:
                candidates.append((alias, stream.find(column)))
            except NoCounterpartError:
                continue
        if column.stream and len(candidates) > 1:
            candidates = [
                candidate for candidate in candidates if candidate[1].stream == column.stream
            ] or candidates
        if len(candidates) != 1:
            raise NoCounterpartError(f"the column `{column.name}` isn't one of its inputs alone")
        return candidates[0]

    def _column(self, column: Column) -> str:
        alias, field = self._field(column)
        return f"{alias}.{quoted(field.sql)}" if alias else quoted(field.sql)

    def _operation(self, node: Operation) -> str:
        operands = [self.sql(operand) for operand in node.operands]
        if len(operands) == 1:
            return f"(not {operands[0]})" if node.sign == "!" else f"(-{operands[0]})"
        if node.sign == "+":
            sign = "||" if any(map(self.is_text, node.operands)) else "+"
            return f"({operands[0]} {sign} {operands[1]})"
        if node.sign == "/":
            return self._quotient(node, operands)
        if node.sign not in _SIGNS:
            raise NoCounterpartError(f"it uses the operator `{node.sign}`")
        return f"({operands[0]} {_SIGNS[node.sign]} {operands[1]})"

    def _quotient(self, node: Operation, operands: list[str]) -> str:
        if not any(map(_is_fraction, node.operands)):
            raise NoCounterpartError(
                "it divides columns: a data flow may drop the remainder of whole numbers"
            )
        return f"({operands[0]} / nullif({operands[1]}, 0))"

    def _function(self, name: str, arguments: tuple[Node, ...]) -> str:
        if name in ("true", "false") and not arguments:
            return name
        special = self._special(name)
        if special is not None:
            return special(arguments)
        given = [self.sql(argument) for argument in arguments]
        given += ["' '"] * (name in _TRIMS and len(given) == 1)
        if name in _WHOLE and len(given) == 1:
            return self._whole(arguments[0], given[0], _WHOLE[name])
        if name in _CASTS and len(given) == 1:
            return f"try_cast({given[0]} as {_CASTS[name]})"
        if name in ("todate", "totimestamp") and len(given) == 1:
            return f"try_cast({given[0]} as {name[2:]})"
        function, least, most = _SAME.get(name, ("", 0, 0))
        if function and least <= len(given) <= most:
            return f"{function}({', '.join(given)})"
        raise NoCounterpartError(f"it calls `{name}()`")

    def _whole(self, node: Node, given: str, kind: str) -> str:
        """Return a whole number; too large a one stops here, and becomes another one in Spark."""
        if self.is_text(node):
            return f"cast(trunc(try_cast({given} as decimal(38, 9))) as {kind})"
        return f"cast(trunc(cast({given} as decimal(38, 9))) as {kind})"

    def _special(self, name: str) -> Callable[[tuple[Node, ...]], str] | None:
        return {
            "iif": self._iif, "isnull": self._isnull, "not": self._not, "case": self._case,
            "count": self._count, "countdistinct": self._countdistinct, "concat": self._concat,
            "concatws": self._concatws, "substring": self._substring, "replace": self._replace,
            "between": self._between, "dayofweek": self._dayofweek,
            "todecimal": self._todecimal, "tostring": self._tostring,
        }.get(name)  # fmt: skip

    def _args(self, arguments: tuple[Node, ...], *counts: int) -> list[str]:
        if len(arguments) not in counts:
            raise NoCounterpartError("a function has another number of arguments")
        return [self.sql(argument) for argument in arguments]

    def _iif(self, arguments: tuple[Node, ...]) -> str:
        given = self._args(arguments, 2, 3)
        other = given[2] if len(given) == 3 else "null"
        return f"case when {given[0]} then {given[1]} else {other} end"

    def _case(self, arguments: tuple[Node, ...]) -> str:
        given = [self.sql(argument) for argument in arguments]
        pairs = [f"when {given[i]} then {given[i + 1]}" for i in range(0, len(given) - 1, 2)]
        other = f" else {given[-1]}" if len(given) % 2 else ""
        return f"case {' '.join(pairs)}{other} end"

    def _isnull(self, arguments: tuple[Node, ...]) -> str:
        return f"({self._args(arguments, 1)[0]} is null)"

    def _not(self, arguments: tuple[Node, ...]) -> str:
        return f"(not {self._args(arguments, 1)[0]})"

    def _count(self, arguments: tuple[Node, ...]) -> str:
        return f"count({self._args(arguments, 1)[0]})" if arguments else "count(*)"

    def _countdistinct(self, arguments: tuple[Node, ...]) -> str:
        return f"count(distinct {self._args(arguments, 1)[0]})"

    def _concat(self, arguments: tuple[Node, ...]) -> str:
        return "(" + " || ".join(self.sql(argument) for argument in arguments) + ")"

    def _concatws(self, arguments: tuple[Node, ...]) -> str:
        return f"concat_ws({', '.join(self.sql(argument) for argument in arguments)})"

    def _substring(self, arguments: tuple[Node, ...]) -> str:
        given = self._args(arguments, 2, 3)
        start = arguments[1]
        if not isinstance(start, Number) or start.value in ("", "0"):
            raise NoCounterpartError("a `substring()` begins at a position that isn't a number")
        return f"substring({', '.join(given)})"

    def _replace(self, arguments: tuple[Node, ...]) -> str:
        given = self._args(arguments, 2, 3)
        return f"replace({', '.join([*given, literal('')][:3])})"

    def _between(self, arguments: tuple[Node, ...]) -> str:
        value, low, high = self._args(arguments, 3)
        return f"({value} between {low} and {high})"

    def _dayofweek(self, arguments: tuple[Node, ...]) -> str:
        return f"(dayofweek({self._args(arguments, 1)[0]}) + 1)"

    def _todecimal(self, arguments: tuple[Node, ...]) -> str:
        given = self._args(arguments, 1, 3)
        size = f"{given[1]}, {given[2]}" if len(given) == 3 else "10, 0"
        return f"try_cast({given[0]} as decimal({size}))"

    def _tostring(self, arguments: tuple[Node, ...]) -> str:
        return f"cast({self._args(arguments, 1)[0]} as varchar)"


def _is_fraction(node: Node) -> bool:
    """Whether a value certainly isn't a whole number."""
    if isinstance(node, Number):
        return not node.value.isdigit()
    if isinstance(node, Operation):
        return node.sign != "%" and any(map(_is_fraction, node.operands))
    return isinstance(node, Function) and node.name.lower() in _FRACTIONS
