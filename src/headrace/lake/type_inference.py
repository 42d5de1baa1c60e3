"""Types of text columns, inferred from all values: once per source, when nothing is pinned.

Careful where a guess could lose information: `007`, `+45…`, `1E5`, twenty-digit ids, fractions that
no double holds and nanoseconds stay text. Dates
are ISO 8601, or in the only order of day and month that fits all values (01/02/2013 alone leaves it
open). Words for "no value" (`NA`, `NULL`, …) count as null if a column of numbers or dates uses
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.lake.sqltext import literal
from headrace.lake.strict_casts import ISO, ISO_DATE, strict_cast

if TYPE_CHECKING:
    import duckdb


NULL_WORDS = ("NA", "N/A", "NULL", "null", "\\N", "NaN", "nan", "None")
INSTANT = "TIMESTAMP WITH TIME ZONE"
SAMPLE_ROWS = 1_000_000
_WORDS = "(" + ", ".join(map(literal, NULL_WORDS)) + ")"

_TIME = r"[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0{0,3})?)?"
SHAPES = {
    "BIGINT": r"-?(0|[1-9][0-9]{0,18})",
    "DOUBLE": r"-?(0|[1-9][0-9]{0,15})?(\.[0-9]*([eE][-+]?[0-9]{1,3})?|[eE][-+][0-9]{1,3})?",
    "BOOLEAN": r"(?i:true|false)",
    "DATE": ISO_DATE,
    "TIMESTAMP": rf"{ISO_DATE}({_TIME})?",
    INSTANT: rf"{ISO_DATE}{_TIME} ?([zZ]|[-+][0-9]{{2}}(:?[0-9]{{2}})?)",
}
"""Types in the order of preference, each with the only texts that are inferred as it."""

_DATES = (
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%Y/%m/%d",
    "%d-%b-%Y",
    "%d %b %Y",
)
_TIMES = (" %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_DATE_LIKE = (
    r"[0-9]{1,4}[-/. ]([0-9]{1,2}|[A-Za-z]{3})[-/. ][0-9]{2,4}( [0-9]{1,2}:[0-9]{2}(:[0-9]{2})?("
    r" ?[AaPp][Mm])?)?"
)


class InferredTypes(msgspec.Struct, frozen=True):
    """The types inferred from the values of text columns."""

    types: tuple[str, ...]
    null: tuple[str, ...] = ("",)
    date_format: str | None = None
    timestamp_format: str | None = None
    mixed: tuple[int, ...] = ()
    """Positions (from 1) of text columns that also hold values of another type."""


class _Counts(msgspec.Struct):
    """One column's value counts: non-null values, values per type, and values that look like dates.

    Distinct values are counted, except after a sample's guess was refuted. `words` are its null
    words.
    """

    values: int
    words: list[str]
    by_type: dict[str, int]
    date_like: int

    def type(self) -> str:
        """Return the first type that all values match, else VARCHAR."""
        return next(
            (name for name in SHAPES if self.values and self.by_type.get(name) == self.values),
            "VARCHAR",
        )


def infer_types(  # complexipy: ignore (steps of an inference, in order)
    connection: duckdb.DuckDBPyConnection,
    rows_sql: str,
    width: int,
    *,
    among: Sequence[str] = tuple(SHAPES),
    words: bool = True,
    formats: bool = True,
    sampled: bool = False,
) -> InferredTypes:
    """Infer types for the text columns `c1 … c<width>` of `rows_sql`, from `among` (else VARCHAR).

    `words`: whether words may stand for null. `formats`: whether dates may be written other than in
    ISO 8601. `sampled`: guess from SAMPLE_ROWS rows and check the guess against all values, which
    bounds memory however many distinct values there are.
    """
    counted = f"(SELECT * FROM {rows_sql} LIMIT {SAMPLE_ROWS}) AS sampled" if sampled else rows_sql
    counts = _count(connection, counted, width, among, words=words)
    refuted = _refuted(connection, rows_sql, counts) if sampled else ()
    for position in refuted:
        counts[position - 1] = _count_column(connection, rows_sql, position, among, words=words)
    types = [count.type() for count in counts]
    typed = [item for item, name in zip(counts, types, strict=True) if name != "VARCHAR"]
    demonstrated = set[str]().union(*(item.words for item in typed))
    learnt = InferredTypes(
        tuple(types), ("", *(word for word in NULL_WORDS if word in demonstrated))
    )
    candidates = [
        position
        for position, item in enumerate(counts, 1)
        if types[position - 1] == "VARCHAR" and 0 < item.values == item.date_like
    ]
    if formats and candidates:
        learnt = _with_formats(connection, rows_sql, candidates, learnt)
    texts = (position for position, name in enumerate(learnt.types, 1) if name == "VARCHAR")
    return msgspec.structs.replace(
        learnt,
        mixed=tuple(position for position in texts if any(counts[position - 1].by_type.values())),
    )


def _count(
    connection: duckdb.DuckDBPyConnection,
    rows_sql: str,
    width: int,
    among: Sequence[str],
    *,
    words: bool,
) -> list[_Counts]:
    """Count the distinct values of all columns with one unpivoted query.

    The number of its expressions doesn't grow with the number of columns.
    """
    results = connection.execute(
        f"SELECT p, {_facts(among, words=words)} FROM ({_upright(rows_sql, width)}) GROUP BY p"
    ).fetchall()
    by_position = {row[0]: _counts(row[1:], among) for row in results}
    return [by_position.get(position, _Counts(0, [], {}, 0)) for position in range(1, width + 1)]


def _count_column(
    connection: duckdb.DuckDBPyConnection,
    rows_sql: str,
    position: int,
    among: Sequence[str],
    *,
    words: bool,
) -> _Counts:
    """Count all values of one column, repeated ones included."""
    row = connection.execute(
        f"SELECT {_facts(among, words=words)} FROM (SELECT c{position} AS v FROM {rows_sql}) WHERE"
        " v IS NOT NULL"
    ).fetchone()
    assert row is not None
    return _counts(row, among)


def _facts(among: Sequence[str], *, words: bool) -> str:
    is_word = f"v IN {_WORDS}" if words else "false"
    fits = ", ".join(f"count(*) FILTER ({is_of('v', name)} AND NOT {is_word})" for name in among)
    date_like = f"count(*) FILTER (regexp_full_match(v, {literal(_DATE_LIKE)}))"
    return (
        f"count(*) FILTER (NOT {is_word}), coalesce(list(DISTINCT v) FILTER ({is_word}), []),"
        f" {fits}, {date_like}"
    )


def _counts(row: Sequence[Any], among: Sequence[str]) -> _Counts:
    return _Counts(row[0], row[1], dict(zip(among, row[2:-1], strict=True)), row[-1])


def _refuted(
    connection: duckdb.DuckDBPyConnection, rows_sql: str, counts: Sequence[_Counts]
) -> list[int]:
    """Return the columns with values that contradict the sample's inferred type, in one pass."""
    guessed = {
        position: held
        for position, item in enumerate(counts, 1)
        if (held := _held(f"c{position}", item)) is not None
    }
    if not guessed:
        return []
    flags = ", ".join(
        f"bool_or(c{position} IS NOT NULL AND NOT coalesce({held}, false))"
        for position, held in guessed.items()
    )
    row = connection.execute(f"SELECT {flags} FROM {rows_sql}").fetchone()
    assert row is not None
    return [position for position, refuted in zip(guessed, row, strict=True) if refuted]


def _held(value: str, counts: _Counts) -> str | None:
    """Return a condition that holds for values consistent with the sample; None for text.

    Consistent values are of the guessed type, look like a date if the whole sample does, or are one
    of the sample's null words.
    """
    name = counts.type()
    if name == "VARCHAR" and not (counts.values and counts.date_like == counts.values):
        return None
    fits = (
        is_of(value, name)
        if name != "VARCHAR"
        else f"regexp_full_match({value}, {literal(_DATE_LIKE)})"
    )
    words = ", ".join(map(literal, counts.words))
    return f"({value} IN ({words}) OR {fits})" if words else f"({fits})"


def _upright(rows_sql: str, width: int) -> str:
    """Return a query of `p` and `v`: each column's position and its distinct values."""
    columns = ", ".join(f"c{position}" for position in range(1, width + 1))
    each = f"SELECT unnest(range(1, {width + 1})) AS p, unnest([{columns}]) AS v FROM {rows_sql}"
    return f"SELECT DISTINCT p, v FROM ({each}) WHERE v IS NOT NULL"


def is_of(value: str, name: str) -> str:
    """Return the condition for text that is inferred as the type."""
    cast = f"TRY_CAST({value} AS {name})"
    right = (
        f"NOT ({strict_cast(value, name, ISO, trying=True).bad})"
        if name == "DOUBLE"
        else f"{cast} IS NOT NULL"
    )
    return f"regexp_full_match({value}, {literal(SHAPES[name])}) AND {right}"


def _with_formats(
    connection: duckdb.DuckDBPyConnection,
    rows_sql: str,
    positions: Sequence[int],
    learnt: InferredTypes,
) -> InferredTypes:
    """Infer other date formats: at most one for dates and one for timestamps per file.

    A column whose order of day and month is ambiguous takes the order of an unambiguous column, or
    stays text.
    """
    types = list(learnt.types)
    fitting = {
        position: _formats_of(connection, rows_sql, position, learnt.null) for position in positions
    }
    chosen: dict[str, str | None] = {"DATE": None, "TIMESTAMP": None}
    for position in sorted(positions, key=lambda item: len(fitting[item])):
        forms = fitting[position]
        kind = "TIMESTAMP" if forms and "%M" in forms[0] else "DATE"
        if len(forms) == 1 and chosen[kind] is None:
            chosen[kind] = forms[0]
        if chosen[kind] in forms:
            types[position - 1] = kind
    return msgspec.structs.replace(
        learnt, types=tuple(types), date_format=chosen["DATE"], timestamp_format=chosen["TIMESTAMP"]
    )


def _formats_of(
    connection: duckdb.DuckDBPyConnection, rows_sql: str, position: int, null: Sequence[str]
) -> list[str]:
    forms = [*_DATES, *(day + time for day in _DATES for time in _TIMES)]
    facts = ", ".join(
        f"count(*) FILTER (year(try_strptime(v, {literal(form)})) >= 1000)" for form in forms
    )
    absent = "(" + ", ".join(map(literal, null)) + ")"
    row = connection.execute(
        f"SELECT count(v), {facts} FROM (SELECT nullif(c{position}, '') AS v FROM {rows_sql}) WHERE"
        f" v NOT IN {absent}"
    ).fetchone()
    assert row is not None
    return [form for form, fits in zip(forms, row[1:], strict=True) if row[0] and fits == row[0]]
