"""What of another dialect's SQL is proven to mean the same in DuckDB: all else is for a person.

`sql_constructs.toml` is the table: by dialect, the nodes of sqlglot's syntax tree that are carried,
with their arguments, the conditions that must hold, how they are written for DuckDB, and what
proves it. This file reads the table; what isn't in it isn't carried. One guard for all importers.

The rows are the same wherever the origin gives rows: a statement that stops there with an error may
give a value here. Fractions are the same to 15 digits.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from sqlglot import exp

from headrace.sql.engine_faults import WrongResult, refuse_faulty
from headrace_import.importers.imported import CONDITION
from headrace_import.importers.sql_kinds import DIGITS_MAX, ColumnKinds, Kinds, type_name
from headrace_import.importers.sql_rewrites import REWRITES, plain

_TEXT_CHARACTERS_MAX = 60
_TSQL = ("tsql", "fabric")
_LEAVES = (exp.Identifier, exp.Var, exp.DataType, exp.TableAlias)


@dataclass(frozen=True, slots=True)
class Unproven:
    """A construct that isn't proven to mean the same, with its line in the statement."""

    construct: str
    reason: str
    line: int

    def __str__(self) -> str:
        where = f" (line {self.line})" if self.line else ""
        return f"`{self.construct}`{where} {self.reason}"


@dataclass(slots=True)
class Checked:
    """A statement that is written so that DuckDB's SQL of it means the same.

    `inexact` says why it isn't the same if an input has fractions that the origin keeps exactly;
    `fractions` whether its own rows have such. `notes` are for the reader.
    """

    tree: exp.Expr
    unproven: list[Unproven] = field(default_factory=list)
    inexact: list[Unproven] = field(default_factory=list)
    fractions: bool = False
    notes: list[str] = field(default_factory=list)
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Those of its columns that are known, by name in lower case."""


@dataclass(frozen=True, slots=True)
class Construct:
    """An entry of the table."""

    arguments: frozenset[str]
    conditions: tuple[tuple[str, ...], ...] = ()
    rewrite: str = ""
    gives: str = ""
    forms: tuple[str, ...] = ()
    """Examples, which the differential tests fill with columns and with one another."""


@cache
def _tables() -> Mapping[str, Mapping[str, Any]]:
    path = files("headrace_import.importers").joinpath("sql_constructs.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def constructs(dialect: str) -> Mapping[str, Construct]:
    """Return the table of a dialect of sqlglot by name of node; empty for one that has none."""
    section = _tables().get(dialect, {})
    result: dict[str, Construct] = {}
    for base in section.get("like", ()):
        result |= constructs(base)
    for names, entry in section.get("constructs", {}).items():
        for name in names.split():
            result[name] = _construct(entry)
    for names, more in section.get("also", {}).items():
        for name in names.split():
            conditions = (*_conditions(more), *result[name].conditions)
            result[name] = replace(result[name], conditions=conditions)
    return result


@cache
def _unless(dialect: str) -> str:
    """Return which columns a dialect compares in a way of their own, in words."""
    section = _tables().get(dialect, {})
    return str(section.get("unless", "")) or next(
        filter(None, map(_unless, section.get("like", ()))), ""
    )


def _construct(entry: Mapping[str, Any]) -> Construct:
    return Construct(
        frozenset(entry.get("args", "this").split()),
        _conditions(entry.get("when", ())),
        entry.get("how", ""),
        entry.get("gives", ""),
        tuple(entry.get("forms", ())),
    )


def _conditions(texts: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(text.split(" ")) for text in texts)


def check(
    tree: exp.Expr,
    dialect: str,
    *,
    text: str = "",
    names_matter: bool = True,
    columns: ColumnKinds | None = None,
) -> Checked:
    """Return a statement of a dialect as one that DuckDB's SQL can say, with what isn't proven.

    `text` is what it was read from, if that is known. `names_matter`: whether somebody reads its
    columns by their names. `columns` returns the kinds of a table's columns, by name in lower case.
    """
    if dialect == "duckdb":
        return Checked(tree)
    guard = _Guard(plain(tree) if dialect in _TSQL else tree.copy(), dialect, text, columns)
    whole = guard.result.tree
    rows = guard.kinds.of_rows(whole) if isinstance(whole, exp.Query) else {}
    guard.result.kinds = {name: kind for name, kind in rows.items() if kind in _STORED}
    guard.walk(guard.result.tree)
    if names_matter:
        guard.check_names()
    if guard.unknown and (unless := _unless(dialect)):
        guard.note(f"{CONDITION} {unless} ({_listed([*guard.unknown])})")
    return guard.result


_STORED = (
    "int", "decimal", "total", "fraction", "float", "text", "bool", "date", "timestamp",
    "timestamptz", "time", "interval", "other", "odd",
)  # fmt: skip
"""Kinds that a column of a table has."""


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"it uses {', '.join(names[:most])}{more}"


def wrong_in_duckdb(sql: str) -> str:
    """Return why a query for DuckDB can't be an asset: it has a form with a known wrong result."""
    try:
        refuse_faulty(sql)
    except WrongResult as wrong:
        return f"{wrong}; {wrong.hint}"
    return ""


class _Guard:
    def __init__(
        self, tree: exp.Expr, dialect: str, text: str, columns: ColumnKinds | None
    ) -> None:
        self.text = text
        self.table = constructs(dialect)
        self.dialect = dialect
        gives = {name: entry.gives for name, entry in self.table.items()}
        self.kinds = Kinds(gives, columns)
        self.result = Checked(tree)
        self.unknown: dict[str, None] = {}

    def walk(self, node: exp.Expr) -> None:
        """Check a node and what is within it; then write it for DuckDB."""
        if isinstance(node, _LEAVES):
            return
        entry = self.table.get(name_of(node))
        reason = self._reason(node, entry)
        if reason:
            self._refuse(node, reason)
            return
        kind = self.kinds.of(node)
        self.result.fractions |= kind == "fraction"
        self._remember_unknown(node)
        for child in list(node.iter_expressions()):
            self.walk(child)
        if entry is not None and entry.rewrite:
            written = REWRITES[entry.rewrite](node, self.kinds)
            if written is not node:
                if node is self.result.tree:
                    self.result.tree = written
                node.replace(written)

    def _reason(self, node: exp.Expr, entry: Construct | None) -> str:
        if not self.table:
            named = f"the SQL of {self.dialect}" if self.dialect else "the SQL of its database"
            return f"can't be compared: {named} isn't known to mean the same in DuckDB"
        if entry is None:
            return f"isn't known to mean the same in DuckDB as in {self.dialect or 'its database'}"
        given = {key for key, value in node.args.items() if value not in (None, False, [])}
        others = sorted(given - entry.arguments - _HARMLESS)
        if others:
            words = " and ".join(other.strip("_").upper().replace("_", " ") for other in others)
            return f"isn't known to mean the same in DuckDB with {words}"
        for condition in (("plain_kinds",), ("one_zone",), *entry.conditions):
            reason = CONDITIONS[condition[0]](self, node, [*condition[1:]])
            if reason:
                return reason
        return ""

    def _remember_unknown(self, node: exp.Expr) -> None:
        """Remember columns of unknown types by whose values a node decides."""
        for value in _decisive_values(node):
            if not self.kinds.of(value):
                columns = [c for c in value.find_all(exp.Column, exp.Star) if not self.kinds.of(c)]
                names = [column.name or column.sql(self.dialect) for column in columns]
                names = names or [value.name or value.sql(self.dialect)[:_TEXT_CHARACTERS_MAX]]
                self.unknown |= dict.fromkeys(names)

    def _refuse(self, node: exp.Expr, reason: str) -> None:
        self.result.unproven.append(self.named(node, reason))

    def named(self, node: exp.Expr, reason: str) -> Unproven:
        """Return a construct with its text and line."""
        text = node.sql(self.dialect or None, normalize_functions=False)
        if self.text and isinstance(node, exp.Func) and "start" in node.meta and "(" in text:
            written = self.text[node.meta["start"] : node.meta["end"] + 1]
            text = written + text[text.index("(") :]
        lines = [child.meta["line"] for child in node.walk() if "line" in child.meta]
        return Unproven(text[:_TEXT_CHARACTERS_MAX], reason, min(lines, default=0))

    def note(self, text: str) -> None:
        """Tell the reader something once."""
        if text not in self.result.notes:
            self.result.notes.append(text)

    def check_names(self) -> None:
        """Write down the names of columns that others read, where both don't choose the same."""
        for select in filter(_is_read_by_name, list(self.result.tree.find_all(exp.Select))):
            for part in select.expressions:
                self._check_name(part)

    def _check_name(self, part: exp.Expr) -> None:
        if isinstance(part, exp.Alias | exp.Column) or part.is_star:
            return
        if part.output_name and isinstance(part, exp.Cast):
            part.replace(exp.alias_(part.copy(), part.output_name))
        else:
            self._refuse(part, "is a column without a name, which databases name differently")


_PASSES_ON = (
    exp.Select, exp.Alias, exp.Subquery, exp.CTE, exp.With, exp.Paren, exp.Table, exp.Column,
    exp.Star, exp.From, exp.Where, exp.Having, exp.Qualify, exp.And, exp.Or, exp.Not, exp.Is,
    exp.If, exp.Limit, exp.Offset, exp.Exists, exp.Order, exp.Tuple, exp.Filter, exp.Count,
    exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.WindowSpec,
)  # fmt: skip
"""Nodes that mean the same whatever type a value has."""


def _decisive_values(node: exp.Expr) -> list[exp.Expr]:
    """Return the values whose types decide what a node means."""
    if isinstance(node, _PASSES_ON) or (isinstance(node, exp.Ordered) and _is_last_order(node)):
        return []
    decides = (find for kind, find in _DECIDE.items() if isinstance(node, kind))
    return next(decides, _all_values)(node)


def _all_values(node: exp.Expr) -> list[exp.Expr]:
    values = [value for key in node.args for value in _values(node, key)]
    return [value for value in values if not isinstance(value, _LEAVES)]


def _of_sides(node: exp.SetOperation) -> list[exp.Expr]:
    is_bare = isinstance(node, exp.Union) and not node.args.get("distinct")
    return [] if is_bare else [*node.left.selects, *node.right.selects]


def _of_branches(node: exp.Case) -> list[exp.Expr]:
    values = [part.args["true"] for part in node.args["ifs"]]
    values += [*_values(node, "default"), *_values(node, "this")]
    return values if len(values) > 1 else []


_DECIDE: Mapping[type[exp.Expr], Callable[[Any], list[exp.Expr]]] = {
    exp.SetOperation: _of_sides,
    exp.Case: _of_branches,
    exp.Window: lambda node: _values(node, "partition_by"),
    exp.Join: lambda node: [exp.column(name.copy()) for name in node.args.get("using") or ()],
}


_HARMLESS = frozenset(
    ("safe", "coalesce", "big_int", "typed", "quoted", "is_string", "ignore_nulls")
)
"""Arguments by which sqlglot says how a dialect is, not what a statement says."""


def name_of(node: exp.Expr) -> str:
    """Return a node's name in the table: its class, of a function its name, of a cast its type."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    if isinstance(node, exp.Cast):
        return f"{type(node).__name__}:{type_name(node.to)}"
    return type(node).__name__


def _is_read_by_name(select: exp.Select) -> bool:
    """Whether the columns of a SELECT are those of a table, of a CTE or of the result."""
    node: exp.Expr = select
    while isinstance(node.parent, exp.SetOperation):
        if node.arg_key != "this":
            return False
        node = node.parent
    inner = node.parent
    if isinstance(inner, exp.Subquery):
        return isinstance(inner.parent, exp.From | exp.Join)
    return inner is None or isinstance(inner, exp.CTE)


# Conditions: each returns why a node isn't proven, or nothing


def _values(node: exp.Expr, key: str) -> list[exp.Expr]:
    """Return the values of an argument; of `select distinct` what is selected."""
    value = node.args.get(key)
    if isinstance(node, exp.Distinct) and not value and isinstance(node.parent, exp.Select):
        value = node.parent.selects
    values = value if isinstance(value, list) else [value]
    return [part for part in values if isinstance(part, exp.Expr)]


def _kind(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`kind KEYS KIND…`: each of these values has one of these kinds; `-` is an unknown one."""
    allowed = {"" if word == "-" else word for word in words[1:]}
    for value in _compared_values(node, words[0]):
        kind = guard.kinds.of(value)
        if kind not in allowed and kind != "null":
            what = f"is {_KIND_WORDS[kind]}" if kind else "has a type that isn't known"
            text = value.sql(guard.dialect or None)[:_TEXT_CHARACTERS_MAX]
            return f"isn't known to mean the same in DuckDB where `{text}` {what}"
    return ""


_KIND_WORDS = {
    "int": "a whole number", "decimal": "a decimal", "total": "a sum",
    "float": "a floating-point number", "binary": "text with a collation",
    "fraction": "a fraction that the origin keeps exactly", "text": "text", "string": "text",
    "bool": "true or false", "date": "a date", "timestamp": "a timestamp", "time": "a time",
    "timestamptz": "a timestamp with a zone", "interval": "an interval",
    "moment": "a date or a timestamp", "bound": "a bound of the window", "other": "of another type",
    "odd": "of a type that its database compares in its own way",
}  # fmt: skip


def _not_kind(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`not_kind KEYS KIND…`: no value has one of these kinds."""
    allowed = ["-", *(kind for kind in _KIND_WORDS if kind not in words[1:])]
    return _kind(guard, node, [words[0], *allowed])


def _plain_kinds(guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`plain_kinds`, of each node: no type that its database compares in a way of its own."""
    odd = [value for value in _decisive_values(node) if guard.kinds.of(value) == "odd"]
    if odd:
        return f"uses `{odd[0].sql(guard.dialect)}`, {_KIND_WORDS['odd']}"
    return ""


def _exact(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`exact KEYS`: no value is a fraction, also not one that an input has."""
    reason = _not_kind(guard, node, [words[0], "fraction"])
    values = [value for key in words[0].split(",") for value in _values(node, key)]
    if not reason and any(guard.kinds.of(value) == "" for value in values):
        why = "isn't known to mean the same in DuckDB for fractions, which an input computes"
        guard.result.inexact.append(guard.named(node, why))
    return reason


def _nonzero(_guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`nonzero KEY`: a number other than 0, or `nullif(…, 0)`."""
    divisor = _values(node, words[0])[0].unnest()
    is_number = isinstance(divisor, exp.Literal) and not divisor.is_string
    is_guarded = isinstance(divisor, exp.Nullif) and divisor.expression.name == "0"
    if is_guarded or (is_number and float(divisor.name) != 0):
        return ""
    return "divides by what may be zero, where the origin stops; write nullif(…, 0)"


def _matches(_guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`matches KEY PATTERN`: a literal, or a word of SQL, of this form."""
    pattern = " ".join(words[1:])
    for value in _values(node, words[0]):
        literal = value.unnest()
        if not isinstance(literal, exp.Literal | exp.Var | exp.Neg):
            return "isn't known to mean the same in DuckDB unless the value is written out"
        text = literal.sql() if isinstance(literal, exp.Neg) else literal.name
        if not re.fullmatch(pattern, text, re.DOTALL):
            return f"isn't known to mean the same in DuckDB with `{text}`"
    return ""


def _number(_guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`number`: digits, of which DuckDB keeps all."""
    if node.args.get("is_string") or re.fullmatch(r"\d{1,18}(\.\d{1,18})?", node.name):
        return ""
    return "is a number that DuckDB may round"


def _pattern(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`pattern KEY`: a regular expression that means the same in every engine."""
    return _matches(guard, node, [words[0], _PATTERN])


_ATOM = (
    r"(?:[\w @,;:!%&=<>~/-]|\\[.+*?()$^|]|\[\^?[A-Za-z0-9 @_.]+\]"
    r"|\[\^?(?:a-z|A-Z|0-9|[_ @.])+\]|\.)"
    r"(?:[+*?]|\{\d\})?"
)
_PATTERN = rf"\^?(?:{_ATOM})*\$?"


def _division(guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`division`: whole numbers, or at least one that certainly isn't whole."""
    assert isinstance(node, exp.Binary)
    kinds = {guard.kinds.of(node.left), guard.kinds.of(node.right)}
    if kinds == {"int"} or kinds & {"decimal", "float", "fraction"}:
        return ""
    return (
        f"is a whole number in {guard.dialect or 'many databases'} if both sides are, but a"
        " fraction in DuckDB"
    )


def _moments(guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`moments`: no `date_trunc` of a date is subtracted from or added to other than intervals."""
    assert isinstance(node, exp.Binary)
    kinds = [guard.kinds.of(node.left), guard.kinds.of(node.right)]
    if "moment" in kinds and "interval" not in kinds:
        return "is an interval in its database, but may be a number of days in DuckDB"
    return ""


def _sized(_guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`sized`: a decimal has its digits, not so many that others lose theirs beside it."""
    assert isinstance(node, exp.Cast)
    size = node.to.expressions
    if not size or not size[0].name.isdecimal():  # `NUMBER(*)`, or a name in a template
        return "has other digits in its database than DuckDB's three behind the point"
    return (
        "has more digits than DuckDB keeps beside others" if int(size[0].name) > DIGITS_MAX else ""
    )


def _scales(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`scales KEYS`: no sum of decimals, which takes all 38 digits, beside decimals of more."""
    values = [value for key in words[0].split(",") for value in _values(node, key)]
    for group in _alternatives(values):
        kinds = [guard.kinds.of(value) for value in group]
        others = [kind for kind in kinds if kind not in ("int", "null", "string")]
        if "total" in kinds and len(others) > 1:
            return "isn't known to keep the digits of decimals beside a sum in DuckDB"
    return ""


def _plain_type(_guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`plain_type`: a type without arguments."""
    assert isinstance(node, exp.Cast)
    return "rounds to fewer digits in its database" if node.to.expressions else ""


def _word(_guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`word KEY WORD…`: an argument that is a word is one of these."""
    value = node.args.get(words[0])
    text = value.name if isinstance(value, exp.Expr) else str(value or "")
    if text.upper() in (word.upper() for word in ["", *words[1:]]):
        return ""
    return f"isn't known to mean the same in DuckDB with {text.upper()}"


def _ordered(_guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`ordered`: the rows that it takes have an order, or it takes none."""
    statement = node.parent
    takes_none = isinstance(node, exp.Limit) and node.expression.name == "0"
    if takes_none or (statement is not None and statement.args.get("order")):
        return ""
    return "takes some rows without an order"


def _ordering(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`ordering KEYS`: what is compared isn't text, whose order depends on the collation."""
    if isinstance(node, exp.Ordered) and _is_last_order(node):
        return ""
    reason = _not_kind(guard, node, [words[0], "text"])
    if reason:
        return "compares text, whose order depends on the database's collation"
    values = [value for key in words[0].split(",") for value in _values(node, key)]
    kinds = {guard.kinds.of(value) for value in values}
    is_text = any(
        isinstance(value, exp.Literal) and value.is_string and not _TIME_TEXT.match(value.name)
        for value in values
    )
    if is_text:
        return "compares text, whose order depends on the database's collation"
    is_written = any(isinstance(value, exp.Literal) for value in values)
    if guard.dialect == "postgres" and not is_written and kinds <= {"", "null"}:
        return "depends on the database's collation if it is text, and its type isn't known"
    return ""


_TIME_TEXT = re.compile(r"\d{4}-\d\d-\d\d([ T].*)?$|-?\d+(\.\d+)?$|hrtoken\d+x$")
"""Texts that stand for times and numbers; `hrtoken1x` is a date of Airflow, which follows."""


def _is_last_order(node: exp.Expr) -> bool:
    """Whether it orders the rows of the result, of which none is left out."""
    order = node.parent
    statement = order.parent if order is not None else None
    return isinstance(statement, exp.Query) and not any(
        statement.args.get(key) for key in ("limit", "offset", "distinct")
    )


_UTC = f"{CONDITION} a timestamp has a zone, and is a day or an hour of another zone than UTC"


def _zone(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`zone KEYS`: no time with a zone; that an input may have one is a condition."""
    values = [value for key in words[0].split(",") for value in _values(node, key)]
    kinds = {guard.kinds.of(value) for value in values}
    if "timestamptz" in kinds:
        return "is a day or an hour of the session's time zone, which isn't known"
    if "" in kinds:
        guard.note(_UTC)
    return ""


_SESSION = f"{CONDITION} the time zone of its database's session isn't UTC, by which it "


def _one_zone(guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`one_zone`, of each node: no time with a zone beside one without, or moved by days."""
    reasons = (_zone_among(guard, values) for values in _together(node))
    return next(filter(None, reasons), "")


def _zone_among(guard: _Guard, values: Iterable[exp.Expr]) -> str:
    kinds = {_zoned_kind(guard, value) for value in values}
    if "timestamptz" not in kinds:
        return ""
    if kinds & {"date", "timestamp", "moment"}:
        return "takes a time without a zone for one of the session's time zone, which isn't known"
    if "" in kinds:
        guard.note(f"{_SESSION}compares times without a zone")
    intervals = [item for value in values for item in value.find_all(exp.Interval)]
    units = {item.text("unit").upper().rstrip("S") for item in intervals}
    if "interval" in kinds and not units <= {"SECOND", "MINUTE", "HOUR"}:
        guard.note(f"{_SESSION}counts days")
    return ""


def _together(node: exp.Expr) -> list[tuple[exp.Expr, ...]]:
    """Return the values that are compared, become one column, or are computed with each other."""
    if isinstance(node, exp.SetOperation):
        return _alternatives([node.left, node.right])
    if isinstance(node, exp.Case):
        results = [part.args["true"] for part in node.args["ifs"]]
        tested = [part.this for part in node.args["ifs"] if node.this is not None]
        return [(*_values(node, "this"), *tested), (*results, *_values(node, "default"))]
    return [(*_all_values(node),)] if isinstance(node, _BRINGS_TOGETHER) else []


_BRINGS_TOGETHER = (
    exp.Binary, exp.Between, exp.In, exp.Nullif, exp.Greatest, exp.Least, exp.Coalesce, exp.Lag,
    exp.Lead,
)  # fmt: skip


def _zoned_kind(guard: _Guard, value: exp.Expr) -> str:
    """Return a value's kind; `date_trunc` of a date is a day of the session, as a date is."""
    inner = value.unnest()
    is_day = isinstance(inner, exp.TimestampTrunc) and guard.kinds.of(inner.this) == "date"
    return "date" if is_day else guard.kinds.of(value)


def _no_offset(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`no_offset KEYS`: no written day or time beside one with a zone."""
    values = [value for key in words[0].split(",") for value in _values(node, key)]
    return _zone(guard, node, words) if any(map(_is_day, values)) else ""


def _no_text_number(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`no_text_number KEYS`: no text beside a number, which DuckDB rounds to a whole one."""
    values = [value for key in words[0].split(",") for value in _values(node, key)]
    kinds = {guard.kinds.of(value) for value in values}
    is_rounded = any(_FRACTION.fullmatch(value.name) for value in values if value.is_string)
    if ("text" in kinds and kinds & {"int", "decimal", "total", "float"}) or (
        "int" in kinds and is_rounded
    ):
        return "compares text with a number, which databases do in different ways"
    return ""


_FRACTION = re.compile(r"\s*-?\d*\.\d*\s*")


def _within(_guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`within NODE`: it stands directly in such a node."""
    if type(node.parent).__name__ in words:
        return ""
    return "isn't known to mean the same in DuckDB in this place"


def _using(_guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`using`: no `*` of a join by USING; `using one`: all joins are by the same column."""
    select = node.parent
    joins = select.args.get("joins") or () if isinstance(select, exp.Select) else ()
    columns = {tuple(n.name.lower() for n in join.args.get("using") or ()) for join in joins}
    if columns <= {()} or (words == ["one"] and len(columns) == len(min(columns)) == 1):
        return ""
    return "has the columns of USING first in its database, but where the first table has them here"


def _condition(_guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`condition`: it only decides about rows; as a value, it is a number in some databases."""
    parent = node.parent
    key = node.arg_key
    while isinstance(parent, exp.And | exp.Or | exp.Not | exp.Paren):
        key, parent = parent.arg_key, parent.parent
    decides = isinstance(parent, exp.Where | exp.Having | exp.Join) or (
        isinstance(parent, exp.If) and key == "this"
    )
    return "" if decides else "is a number in some databases, but true or false in DuckDB"


def _truth(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`truth KEYS`: true, false or NULL; a predicate that isn't proven is refused by itself."""
    for value in _compared_values(node, words[0]):
        inner = value.unnest()
        if not isinstance(inner, exp.Predicate) and guard.kinds.of(inner) not in ("bool", "null"):
            text = inner.sql(guard.dialect or None)[:_TEXT_CHARACTERS_MAX]
            return f"takes `{text}` for true or false, which may be a number or a text"
    return ""


def _alike(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`alike KEYS`: one value besides NULL, or values of one kind, where others may be mixed."""
    values = [value for key in words[0].split(",") for value in _values(node, key)]
    for group in _alternatives(values):
        kinds = [kind for value in group if (kind := guard.kinds.of(value)) != "null"]
        if {"int"} < {*kinds} <= {"int", "decimal", "total"}:
            continue
        if len(kinds) > 1 and (len(set(kinds)) > 1 or kinds[0] == ""):
            return "mixes values whose types aren't known to be the same"
    return ""


def _alternatives(values: list[exp.Expr]) -> list[tuple[exp.Expr, ...]]:
    """Return the values that become one column: of CASE, COALESCE, or of queries side by side."""
    parts = [value.args["true"] if isinstance(value, exp.If) else value for value in values]
    columns = [part.selects if isinstance(part, exp.Query) else [part] for part in parts]
    return list(zip(*columns, strict=False))


def _one_of_each(_guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`single KEY`: one value, not several."""
    if len(node.args.get(words[0]) or ()) <= 1 or isinstance(node.parent, exp.Select):
        return ""
    return "isn't known to mean the same in DuckDB with several columns"


def _compared_values(node: exp.Expr, keys: str) -> list[exp.Expr]:
    """Return the values of arguments; none of an order that leaves out no rows."""
    if isinstance(node, exp.Ordered) and _is_last_order(node):
        return []
    return [value for key in keys.split(",") for value in _values(node, key)]


def _compared(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`compared KEYS`: with numbers or a window's bounds, or all of known kinds that aren't text.

    SQL Server makes a text beside a number a number; so does DuckDB, or it stops.
    """
    values = _compared_values(node, words[0])
    kinds = _kinds_beside_times(guard, values)
    if not kinds or _is_decided(kinds):
        return ""
    unknown = [v for v, kind in zip(values, kinds, strict=True) if kind not in _COMPARABLE]
    what = ", ".join(value.sql(guard.dialect)[:_TEXT_CHARACTERS_MAX] for value in unknown)
    return _COLLATION.format(what) if unknown else ""


def _kinds_beside_times(guard: _Guard, values: list[exp.Expr]) -> list[str]:
    """Return the kinds of values; a written day beside a date or time is one."""
    kinds = [guard.kinds.of(value) for value in values]
    if kinds[:1] not in (["date"], ["timestamp"]):
        return kinds
    pairs = zip(kinds, values, strict=True)
    return ["date" if kind == "string" and _is_day(value) else kind for kind, value in pairs]


def _is_decided(kinds: list[str]) -> bool:
    """Whether both databases compare values of these kinds alike, whatever the unknown ones are."""
    if "binary" in kinds:
        return {*kinds} <= {"binary", "text", "string"}
    decides = {"int", "decimal", "bound", "null"}
    is_text = bool({"text", "string"} & {*kinds})
    return not is_text and (kinds[0] in decides or {*kinds[1:]} <= decides)


_COMPARABLE = ("int", "decimal", "total", "float", "date", "timestamp", "null")
_COLLATION = (
    "isn't known to mean the same in DuckDB where `{}` may be text: SQL Server's collation decides"
    " about case and ignores blanks at its end; it reads texts beside times by its language"
)


def _no_day(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`no_day KEYS`: no written day beside a text, of which one with a time sorts after its day."""
    values = [value for key in words[0].split(",") for value in _values(node, key)]
    others = {guard.kinds.of(value) for value in values if not _is_day(value)}
    if any(map(_is_day, values)) and others != {"date"}:
        return "compares a day with what may be a text: one with a time sorts after its day"
    return ""


def _is_day(value: exp.Expr) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?", value.unnest().name))


def _plus(guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`plus`: a text, or numbers of which at least one is known to be one."""
    assert isinstance(node, exp.Binary)
    if guard.kinds.of(node) == "text":
        guard.note(f"{CONDITION} joined texts have more than 8,000 bytes, which SQL Server cuts")
        return ""
    if {guard.kinds.of(node.left), guard.kinds.of(node.right)} & {"int", "decimal", "float"}:
        return _kind(guard, node, ["this,expression", "-", "int", "decimal", "float"])
    return "isn't known to mean the same in DuckDB where both types aren't known"


def _narrow(guard: _Guard, node: exp.Expr, words: list[str]) -> str:
    """`narrow KEYS`: no product of decimals, of which SQL Server cuts digits beside others."""
    for value in (value for key in words[0].split(",") for value in _values(node, key)):
        if isinstance(value.unnest(), exp.Mul) and guard.kinds.of(value) == "decimal":
            return "may have more than 38 digits, of which SQL Server cuts some"
    return ""


def _whole_default(guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`whole_default`: ISNULL gives its second value the type of the first."""
    is_null = node.args.get("is_null")
    return _kind(guard, node, ["expressions", "int"]) if is_null else ""


def _small(_guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`small`: SQL Server takes larger whole numbers for decimals."""
    is_large = node.name.isdigit() and int(node.name) > _INT_MAX and not node.args.get("is_string")
    return "is a decimal in SQL Server" if is_large else ""


_INT_MAX = 2**31 - 1


def _written_float(guard: _Guard, _node: exp.Expr, _words: list[str]) -> str:
    """`float64`: the text is known, and has no `real`, which sqlglot takes for `float`."""
    if guard.text and not re.search(r"\breal\b", guard.text, re.IGNORECASE):
        return ""
    return "may have 32 bits (real), of which DuckDB keeps other digits"


def _searched(_guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`searched`: no `CASE a WHEN b`, which compares like `=`."""
    if not node.this:
        return ""
    return "may compare text, which its database does in its own way; write CASE WHEN … = …"


def _other_names(_guard: _Guard, node: exp.Expr, _words: list[str]) -> str:
    """`other_names`: a CTE that doesn't read itself, as in a recursion without RECURSIVE."""
    tables = node.this.find_all(exp.Table)
    names = {table.name.lower() for table in tables if not table.db}
    return (
        "reads itself, which DuckDB does only with RECURSIVE" if node.alias.lower() in names else ""
    )


CONDITIONS: Mapping[str, Callable[[_Guard, exp.Expr, list[str]], str]] = {
    "kind": _kind,
    "not_kind": _not_kind,
    "plain_kinds": _plain_kinds,
    "one_zone": _one_zone,
    "exact": _exact,
    "nonzero": _nonzero,
    "matches": _matches,
    "number": _number,
    "pattern": _pattern,
    "division": _division,
    "moments": _moments,
    "sized": _sized,
    "scales": _scales,
    "plain_type": _plain_type,
    "word": _word,
    "ordered": _ordered,
    "ordering": _ordering,
    "zone": _zone,
    "single": _one_of_each,
    "using": _using,
    "condition": _condition,
    "truth": _truth,
    "alike": _alike,
    "within": _within,
    "no_offset": _no_offset,
    "no_text_number": _no_text_number,
    "compared": _compared,
    "plus": _plus,
    "narrow": _narrow,
    "whole_default": _whole_default,
    "small": _small,
    "float64": _written_float,
    "searched": _searched,
    "other_names": _other_names,
    "no_day": _no_day,
}
