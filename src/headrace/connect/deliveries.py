"""Deliveries as values: what an observation of a source finds, and what reading a delivery needs or refuses."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from headrace.lake import LakeColumn
from headrace.model.errors import words_of


class DeliveryPart(msgspec.Struct, frozen=True):
    """One of the files that make a delivery together."""

    path: str
    size_bytes: int
    modified_us: int


class DetectedDelivery(msgspec.Struct, frozen=True):
    """A file that matches a source's pattern, as one look saw it. Times are integer microseconds since 1970 UTC."""

    source: str
    partition: str
    path: str
    """Relative to the project, `/` between its parts."""
    size_bytes: int
    """-1 where it isn't known before it is read."""
    modified_us: int
    version: str = ""
    """What the source itself says that tells one delivery from another: an ETag, the highest cursor; empty for files."""
    parts: tuple[DeliveryPart, ...] = ()
    """All files of the delivery, in the order of their paths, where an interval consists of several (`complete: {files: n}`);
    `path` is the first's, and size and time are their sum and their latest."""
    bundle: str = ""
    """Names the file whose rows are several intervals' (routed by a column): deliveries of the same bundle are ingested together."""


class Settling(msgspec.Struct, frozen=True):
    """A file that may still be written; after `seconds` more of quiet it is taken."""

    path: str
    seconds: float


class Note(msgspec.Struct, frozen=True):
    """Something that a look saw and didn't take, and why. `code` has a page (`headrace explain CODE`)."""

    code: str
    path: str
    message: str


class Observation(msgspec.Struct, frozen=True):
    """One look at a source: what is new or has changed and is settled, what may still be written, what was passed over."""

    found: tuple[DetectedDelivery, ...] = ()
    settling: tuple[Settling, ...] = ()
    notes: tuple[Note, ...] = ()
    seen: int = 0
    """Files that match the pattern, known ones included."""
    throttled_seconds: float | None = None
    """How long the server asked to be left alone, where that ended the look before all was asked for."""
    unlisted: Note | None = None
    """The first folder whose entries aren't known: whether something was delivered there isn't either."""

    @property
    def wait_seconds(self) -> float:
        """How long until everything that is settling now has settled, if nobody writes on; 0.0 where nothing is."""
        return max((item.seconds for item in self.settling), default=0.0)


class Format(msgspec.Struct, frozen=True):
    """How to read a file without detecting anything: what was learnt from the first delivery, or from the contract."""

    kind: str
    """`csv`, `jsonl` or `parquet`."""
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    encoding: str = "utf-8"
    null: tuple[str, ...] = ("",)
    date_format: str | None = None
    timestamp_format: str | None = None
    decimal: str = "."
    """`,` where numbers are written with a comma before their decimals."""
    header: tuple[str, ...] = ()
    """The names of the columns, where a file that should have a header has none; never pinned."""
    recode: str = ""
    """The encoding that a file turned out to have instead of its own; never pinned."""
    lenient: tuple[str, ...] = ()
    """Columns whose values are left empty where they aren't of the pinned type; never pinned."""


class Inside(msgspec.Struct, frozen=True):
    """What the objects and arrays of a column have held so far (`formats.inside`)."""

    column: str
    structure: str
    """As JSON: an object's keys, an array's element, or the name of a kind of value."""
    always: tuple[tuple[str, ...], ...] = ()
    """Paths of keys that every object had."""


class Disagreement(msgspec.Struct, frozen=True):
    """A delivery that doesn't show of a column what the others show. `type` is theirs; `value` is its first value that isn't of that
    type, cut and escaped, at `line` of the file (from 1, where its kind has lines). Without a column, its header is another one."""

    delivery: str
    column: str = ""
    type: str = ""
    value: str = ""
    line: int | None = None

    @property
    def text(self) -> str:
        """As a clause."""
        if not self.column:
            return f"{self.delivery} has another header"
        where = f"line {self.line} of {self.delivery}" if self.line else self.delivery
        value = f" '{self.value}'" if self.value else ""
        return f"{self.column}{value} isn't {self.type} ({where})"


_IN_WORDS = {"BIGINT": "a whole number", "DOUBLE": "a number", "BOOLEAN": "true or false", "DATE": "a date"}


class AlmostTyped(msgspec.Struct, frozen=True):
    """A column that is text because a few values of the first delivery aren't of the `type` that the others are of: `fitting` of
    `values`. `value` is the first of the few, cut and escaped (empty where its column is classified), at `line` of `delivery`."""

    column: str
    type: str
    fitting: int
    values: int
    delivery: str = ""
    value: str = ""
    line: int | None = None

    @property
    def text(self) -> str:
        """As a clause, with what to do about it."""
        value = f" '{self.value}'" if self.value else ""
        where = f"line {self.line} of {self.delivery}" if self.line else self.delivery
        return (
            f"{self.column}{value} isn't {_IN_WORDS.get(self.type, 'a time')} ({where}), {self.fitting:,} of {self.values:,} values are:"
            f" read as text, which it stays; cast it to {self.type} where it is read, and ask the source's owner for the right file"
        )


class Lesson(msgspec.Struct, frozen=True):
    """What a source's schema was learnt from, besides what the schema itself says."""

    deliveries: tuple[str, ...]
    """The deliveries that were read for it, the first one first."""
    encoding: str = "utf-8"
    declared_encoding: str = ""
    """The encoding that the source declares, where the first delivery is in another one."""
    undeclared: bool = False
    """Whether the first delivery is in another encoding than UTF-8, and the source declares none."""
    header: bool = True
    """Whether the names of the columns are the delivery's own."""
    disagreed: tuple[Disagreement, ...] = ()
    undecided: tuple[str, ...] = ()
    """Columns that are text because as many deliveries show text as show a narrower type."""
    attempt: str = ""
    """The attempt that learnt it."""
    almost: tuple[AlmostTyped, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before relying on what was learnt, as clauses."""
        results = [disagreement.text for disagreement in self.disagreed if disagreement.column in self.undecided]
        said = [f"{'; '.join(results)}: read as text"] if results else []
        said += [item.text for item in self.almost]
        if self.declared_encoding:
            said.append(
                f"the first delivery is {self.encoding.upper()}, though"
                f" {self.declared_encoding.upper()} is declared, and is read as {self.encoding.upper()}"
            )
        if self.undeclared:
            said.append(f"the first delivery is {self.encoding.upper()}, so the source is held to that; `encoding:` declares another one")
        return tuple(said)


class SourceSchema(msgspec.Struct, frozen=True):
    """The pinned schema of a source: columns in the file's order (ids are not used here) and how it is read."""

    columns: tuple[LakeColumn, ...]
    format: Format
    pinned_by: str = ""
    """`contract`, or the path of the delivery that it was learnt from."""
    optional: tuple[str, ...] = ()
    """Names that records may leave out (JSON lines): a delivery without them has no drift."""
    since: tuple[tuple[str, str], ...] = ()
    """(column, first interval that had it), of columns that came later than the others."""
    until: tuple[tuple[str, str], ...] = ()
    """(column, first interval that didn't have it any more), of columns whose going was published."""
    inside: tuple[Inside, ...] = ()
    """Of columns with objects and arrays, from files of records."""
    lesson: Lesson | None = None
    """What it was learnt from; None of one that was pinned before this was kept."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the file's order."""
        return tuple(column.name for column in self.columns)


class Drift(msgspec.Struct, frozen=True):
    """How a delivery's header differs from the pinned one. Reordering alone is no drift."""

    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    detail: str = ""
    reads_as: SourceSchema | None = None
    """The schema that would read this delivery, where only its format changed (`on_drift: {format: map}`)."""


class BadColumn(msgspec.Struct, frozen=True):
    """One column's values that don't parse in the pinned type. `value` is cut and escaped, fit for a message."""

    column: str
    type: str
    rows: int
    value: str = ""
    line: int | None = None
    """Line of the first bad value, from 1, as an editor counts; None for formats without lines."""
    written: str = ""
    """How the column's dates or times are written, where that isn't ISO 8601: `%d/%m/%Y`."""

    @property
    def type_written(self) -> str:
        """The type, with how its values are written: `DATE (%d/%m/%Y)`."""
        return f"{self.type} ({self.written})" if self.written else self.type


class TypeDrift(msgspec.Struct, frozen=True):
    """Values that don't parse in the pinned types: the delivery is held."""

    columns: tuple[BadColumn, ...]
    reason: str
    reads_as: SourceSchema | None = None
    """The schema that would read this delivery, for a person to accept; None where none was looked for or found."""

    def without_values(self, columns: Container[str]) -> TypeDrift:
        """The same without the first values of these columns, whose names are in lower case."""
        reason, bad_columns = self.reason, []
        for column in self.columns:
            value = f": '{column.value}'"
            hidden = column.column.lower() in columns and value in reason
            reason = reason.replace(value, "") if hidden else reason
            bad_columns.append(msgspec.structs.replace(column, value="") if hidden else column)
        return msgspec.structs.replace(self, columns=tuple(bad_columns), reason=reason)


class UnreadableFile(msgspec.Struct, frozen=True):
    """The file isn't what its name or its source's format says: the delivery is rejected."""

    reason: str
    line: int | None = None
    """Where in the file, from 1, if that is known."""
    code: str = "unreadable_delivery"


class CannotRead(Exception):
    """Raised inside `connect` where a file turns out to be unreadable; `prepare` gives its value back."""

    def __init__(self, reason: str, *, line: int | None = None, code: str = "unreadable_delivery") -> None:
        super().__init__(reason)
        self.value = UnreadableFile(reason, line, code)


# When a delivery arrived, as far as that can be known (SEMANTICS §3). Pure; integer microseconds
# since 1970 UTC.


def claimed_arrival(modified_us: int, now_us: int) -> int:
    """What the file claims: its modification time; one that lies after the clock's now counts as now."""
    return min(modified_us, now_us)


def arrival(claimed_us: int, observed_us: int, last_unseen_us: int | None) -> int:
    """min(observed, max(claimed, the last look that didn't see it)); without such a look the claim is all there is."""
    latest_absence = claimed_us if last_unseen_us is None else max(claimed_us, last_unseen_us)
    return min(observed_us, latest_absence)


# Text from outside as messages may hold it: cut, and without control characters, so that
# terminals and logs stay intact.

PRINTABLE_CHARACTERS_MAX = 60


def printable(text: object, limit: int = PRINTABLE_CHARACTERS_MAX) -> str:
    """`text` in at most `limit` characters (then `…`), everything that isn't printable escaped."""
    raw = str(text)
    cut = "".join(char if char.isprintable() else _escaped_character(char) for char in raw[:limit])
    return cut + "…" if len(raw) > limit else cut


def first_line(error: Exception, path: str, limit: int = 160) -> str:
    """The first line of an error's text without the path of our copy, which says nothing to a reader."""
    text = str(error).replace(path, "the file").removeprefix("Invalid Input Error: ")
    return printable((text.strip().splitlines() or [words_of(error)])[0], limit)


def _escaped_character(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
