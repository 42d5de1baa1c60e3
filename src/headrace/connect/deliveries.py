"""Deliveries as values: results of an observation, and what reading a delivery needs or refuses."""

from __future__ import annotations

import re
from collections.abc import Container

import msgspec

from headrace.lake import LakeColumn
from headrace.model.errors import words_of
from headrace.model.texts import marked

DELIVERY_BYTES_MAX = 64 << 30
"""64 GiB: larger deliveries aren't ingested."""
LINES_ABOVE_MAX = 50
"""A header after more than this number of lines isn't searched for."""

CSV_ENDINGS = (".csv", ".tsv", ".txt", ".psv", ".tab")
"""Endings of the names of CSV files, in lower case."""
CSV_FIELDS = frozenset({"csv"})
"""Fields of a declaration that say how a CSV file is read."""


class DeliveryPart(msgspec.Struct, frozen=True):
    """One of several files that form one delivery."""

    path: str
    size_bytes: int
    modified_us: int


class DetectedDelivery(msgspec.Struct, frozen=True):
    """A file that matches a source's pattern, as one observation found it.

    Times are integer microseconds since 1970 UTC.
    """

    source: str
    partition: str
    path: str
    """Relative to the project, with `/` between its parts."""
    size_bytes: int
    """-1 if the size is unknown until the delivery is read."""
    modified_us: int
    version: str = ""
    """The source's own version of a delivery: an ETag, the highest cursor; empty for files."""
    parts: tuple[DeliveryPart, ...] = ()
    """All files of a delivery that has several (`complete: {files: n}`), ordered by path.

    `path` is then the first file's path, `size_bytes` the sum and `modified_us` the latest.
    """
    bundle: str = ""
    """Name of a file whose rows belong to several intervals (routed by a column).

    Deliveries of the same bundle are ingested together.
    """


class Settling(msgspec.Struct, frozen=True):
    """A file that may still be written; it is ingested after `seconds` more without a change."""

    path: str
    seconds: float


class Note(msgspec.Struct, frozen=True):
    """A warning of an observation: a file that isn't ingested, and why.

    `code` has a page (`headrace explain CODE`).
    """

    code: str
    path: str
    message: str


class Observation(msgspec.Struct, frozen=True):
    """The result of an observation: settled new or changed files, unsettled files, and warnings."""

    found: tuple[DetectedDelivery, ...] = ()
    settling: tuple[Settling, ...] = ()
    notes: tuple[Note, ...] = ()
    seen: int = 0
    """Number of matching files (of intervals for connectors), known ones included."""
    throttled_seconds: float | None = None
    """The wait that the server asked for, if that ended the observation early."""
    unlisted: Note | None = None
    """The first folder that can't be listed: whether it holds new deliveries is unknown."""

    @property
    def wait_seconds(self) -> float:
        """Seconds until all settling files have settled if nobody writes to them, else 0.0."""
        return max((item.seconds for item in self.settling), default=0.0)


class Format(msgspec.Struct, frozen=True):
    """How to read a file without detection, learnt from the first delivery or the contract."""

    kind: str
    """The kind of file: the name of a `formats.registry.FormatKind`, such as `csv` or `parquet`."""
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    encoding: str = "utf-8"
    null: tuple[str, ...] = ("",)
    date_format: str | None = None
    timestamp_format: str | None = None
    decimal: str = "."
    """`,` if numbers have a decimal comma."""
    header: tuple[str, ...] = ()
    """The names of the columns, for a file that should have a header but has none; never pinned."""
    recode: str = ""
    """The encoding that a file has instead of the pinned one; never pinned."""
    lenient: tuple[str, ...] = ()
    """Columns whose values become null if they aren't of the pinned type; never pinned."""
    empty_text: bool = False
    """CSV: whether quoted values of text columns are text if they are empty or a null word.

    They are null for schemas that an older version pinned.
    """
    stated: tuple[str, ...] = ()
    """Columns whose type the source or its contract declares: `007` is a number there."""


class Inside(msgspec.Struct, frozen=True):
    """The structure of a column's objects and arrays so far (`formats.structures`)."""

    column: str
    structure: str
    """As JSON: an object's keys, an array's element, or the name of a scalar's kind."""
    always: tuple[tuple[str, ...], ...] = ()
    """Paths of the keys that every object had."""


class Disagreement(msgspec.Struct, frozen=True):
    """A column whose type in one delivery differs from its type in the others.

    `type` is the type in the others. `value` is the delivery's first value that isn't of that type,
    cut and escaped, at `line` of the file (from 1; None for formats without lines). Without a
    `column`, the delivery has another header.
    """

    delivery: str
    column: str = ""
    type: str = ""
    value: str = ""
    line: int | None = None

    @property
    def text(self) -> str:
        """The disagreement as a clause."""
        if not self.column:
            return f"{self.delivery} has another header"
        where = f"line {self.line} of {self.delivery}" if self.line else self.delivery
        value = f" '{marked(self.value)}'" if self.value else ""
        return f"{self.column}{value} isn't {self.type} ({where})"


_IN_WORDS = {
    "BIGINT": "a whole number",
    "DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "DATE": "a date",
}


class AlmostTyped(msgspec.Struct, frozen=True):
    """A column read as text because a few values of the first delivery aren't of `type`.

    `fitting` of its `values` are of that type. `value` is the first that isn't, cut and escaped
    (empty if the column is classified), at `line` of `delivery`. With `comma` all are numbers, but
    for their decimal comma.
    """

    column: str
    type: str
    fitting: int
    values: int
    delivery: str = ""
    value: str = ""
    line: int | None = None
    comma: bool = False

    @property
    def text(self) -> str:
        """The finding as a clause, with what to do about it."""
        value = f" '{marked(self.value)}'" if self.value else ""
        where = f"line {self.line} of {self.delivery}" if self.line else self.delivery
        if self.comma:
            return (
                f"{self.column}{value} has a decimal comma ({where}): read as text, which it stays;"
                ' `csv: {decimal: ","}` of a new source reads numbers, and an asset can convert'
                f" it: replace(replace({self.column}, '.', ''), ',', '.')::decimal(18,2)"
            )
        return (
            f"{self.column}{value} isn't {_IN_WORDS.get(self.type, 'a time')} ({where}),"
            f" {self.fitting:,} of {self.values:,} values are: read as text, which it stays; cast"
            f" it to {self.type} where it is read, and ask the source's owner for the right file"
        )


class Lesson(msgspec.Struct, frozen=True):
    """The evidence for a learnt schema: which deliveries were read, and where they disagree."""

    deliveries: tuple[str, ...]
    """The deliveries that the schema was learnt from, in reading order."""
    encoding: str = "utf-8"
    declared_encoding: str = ""
    """The encoding that the source declares, if the first delivery has another one."""
    undeclared: bool = False
    """Whether the first delivery isn't in UTF-8 and the source declares no encoding."""
    header: bool = True
    """Whether the column names come from the delivery's own header."""
    disagreed: tuple[Disagreement, ...] = ()
    undecided: tuple[str, ...] = ()
    """Columns read as text because as many deliveries have text there as have a narrower type."""
    attempt: str = ""
    """The attempt that learnt the schema."""
    almost: tuple[AlmostTyped, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for people who rely on the learnt schema, as clauses."""
        results = [
            disagreement.text
            for disagreement in self.disagreed
            if disagreement.column in self.undecided
        ]
        clauses = [f"{'; '.join(results)}: read as text"] if results else []
        clauses += [item.text for item in self.almost]
        if self.declared_encoding:
            clauses.append(
                f"the first delivery is {self.encoding.upper()}, though"
                f" {self.declared_encoding.upper()} is declared, and is read as"
                f" {self.encoding.upper()}"
            )
        if self.undeclared:
            clauses.append(
                f"the first delivery is {self.encoding.upper()}, so the source is held to that;"
                " `encoding:` declares another one"
            )
        return tuple(clauses)


class SourceSchema(msgspec.Struct, frozen=True):
    """The pinned schema of a source: columns in the file's order (without ids), and format."""

    columns: tuple[LakeColumn, ...]
    format: Format
    pinned_by: str = ""
    """`contract`, or the path of the delivery that it was learnt from."""
    optional: tuple[str, ...] = ()
    """Columns that records may leave out (JSON lines, JSON, XML): their absence is no drift."""
    since: tuple[tuple[str, str], ...] = ()
    """(column, first interval that had it), for columns that were added later."""
    until: tuple[tuple[str, str], ...] = ()
    """(column, first interval without it), for columns whose removal was published."""
    inside: tuple[Inside, ...] = ()
    """The structure of columns with objects and arrays, for files of records."""
    lesson: Lesson | None = None
    """What the schema was learnt from; None for schemas that were pinned by an older version."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the file's order."""
        return tuple(column.name for column in self.columns)


class Drift(msgspec.Struct, frozen=True):
    """How a delivery's header differs from the pinned one; another order of columns is no drift."""

    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    detail: str = ""
    reads_as: SourceSchema | None = None
    """The schema that reads this delivery if only its format changed.

    It is used with `on_drift: {format: map}`.
    """


IN_CONTRACT = " in a contract"
"""The end of a hint that a contract, not the source, can follow."""


class BadColumn(msgspec.Struct, frozen=True):
    """One column's values that don't parse as the pinned type.

    `rows` is their number; `value` is the first of them, cut and escaped for a message.
    """

    column: str
    type: str
    rows: int
    value: str = ""
    line: int | None = None
    """Line of the first bad value, counted from 1; None for formats without lines."""
    written: str = ""
    """The format of the column's dates or times, if it isn't ISO 8601: `%d/%m/%Y`."""
    hint: str = ""
    """What the source, or its contract, may declare if its values are meant otherwise."""

    @property
    def type_written(self) -> str:
        """The type with the format of its values: `DATE (%d/%m/%Y)`."""
        return f"{self.type} ({self.written})" if self.written else self.type


class TypeDrift(msgspec.Struct, frozen=True):
    """Values that don't parse as the pinned types: the delivery is held."""

    columns: tuple[BadColumn, ...]
    reason: str
    reads_as: SourceSchema | None = None
    """The schema that reads this delivery, for a person to accept; None if there is none."""

    def without_values(self, columns: Container[str]) -> TypeDrift:
        """Return a copy without the first values of these columns (names in lower case)."""
        reason, bad_columns = self.reason, []
        for column in self.columns:
            value = f": '{marked(column.value)}'"
            hidden = column.column.lower() in columns and value in reason
            reason = reason.replace(value, "") if hidden else reason
            bad_columns.append(msgspec.structs.replace(column, value="") if hidden else column)
        return msgspec.structs.replace(self, columns=tuple(bad_columns), reason=reason)


class UnreadableFile(msgspec.Struct, frozen=True):
    """A file that isn't what its name or its source's format says: the delivery is rejected."""

    reason: str
    line: int | None = None
    """The line in the file, from 1, if it is known."""
    code: str = "unreadable_delivery"


EMPTY = "delivery_empty"
WRONG_ENCODING = "delivery_encoding"
DISAGREES = "delivery_total"
"""The code of a file that contradicts its own totals: it is held, and can be accepted."""


class CannotRead(Exception):
    """Raised inside `connect` for an unreadable file; `prepare` returns its `value`."""

    def __init__(
        self, reason: str, *, line: int | None = None, code: str = "unreadable_delivery"
    ) -> None:
        super().__init__(reason)
        self.value = UnreadableFile(reason, line, code)


class Disagrees(CannotRead):
    """Raised after a file's last record if its own totals, counts or balances say otherwise."""

    def __init__(self, reason: str, *, line: int | None = None) -> None:
        super().__init__(reason, line=line, code=DISAGREES)


# The arrival time of a delivery, as far as it can be known (SEMANTICS §3). Pure functions over
# integer microseconds since 1970 UTC.


def claimed_arrival(modified_us: int, now_us: int) -> int:
    """Return the file's modification time, or `now_us` if that time lies in the future."""
    return min(modified_us, now_us)


def arrival(claimed_us: int, observed_us: int, last_unseen_us: int | None) -> int:
    """Return min(observed, max(claimed, the last observation without the file)).

    Without such an observation only the claimed time is left.
    """
    latest_absence = claimed_us if last_unseen_us is None else max(claimed_us, last_unseen_us)
    return min(observed_us, latest_absence)


# Text from outside, as messages may hold it: cut, and without control characters, which would
# garble terminals and logs.

PRINTABLE_CHARACTERS_MAX = 60


def printable(text: object, limit: int = PRINTABLE_CHARACTERS_MAX) -> str:
    """Return at most `limit` characters of `text`, then `…`; unprintable characters are escaped."""
    raw = str(text)
    cut = "".join(char if char.isprintable() else _escaped_character(char) for char in raw[:limit])
    return cut + "…" if len(raw) > limit else cut


_KIND_OF_ERROR = re.compile(r"^(?:[A-Z][A-Za-z /]* Error: )+")


def error_text(error: Exception, path: str, limit: int = 160) -> str:
    """Return the first line of an error's text, with `path` replaced by "the file".

    That is the path of our copy, which means nothing to users; DuckDB's kind of error is left out.
    """
    text = _KIND_OF_ERROR.sub("", str(error)).replace(path, "the file")
    return marked(printable((text.strip().splitlines() or [words_of(error)])[0], limit))


def _escaped_character(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
