"""Fields of a declaration: parsed values with their lines, TOML, names, sizes, typed fields.

An invalid value is reported with its line and then treated as absent, so one pass reports all
problems of a file. Unknown field names are reported with the most similar known name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from headrace.model import errors
from headrace.model.errors import Report, UsageError, did_you_mean, one_of, shown
from headrace.model.intervals import zone
from headrace.model.nodes import Place
from headrace.model.times import Duration, Offset, local_instant_us

# Parsed YAML, TOML tables and Python literals: plain values with line numbers.


class LocatedMapping(dict[str, Any]):
    """A mapping; `lines` holds the line of each key, `line` the mapping's first line."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def put(self, key: str, value: Any, line: int) -> None:
        """Set a key, which is on line `line`."""
        self[key] = value
        self.lines[key] = line


class Items(list[Any]):
    """A list; `lines` holds the line of each item, `line` the list's first line."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []

    def put(self, value: Any, line: int) -> None:
        """Append an item, which is on line `line`."""
        self.append(value)
        self.lines.append(line)


def plain(value: Any) -> Any:
    """Return the value with ordinary dicts and lists, without line numbers."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def kind_of(value: object) -> str:
    """Return the type of a value in YAML terms, for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, (list, tuple)) else "a mapping"


# TOML with line numbers. `tomllib` parses the values; a scan for headers and keys finds the lines,
# which may be wrong inside multi-line text.

DEPTH_MAX = 20
"""At most this number of nested tables; settings need three."""
PARTS_MAX = 20
_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_HEADER = re.compile(r"\s*\[+([^\[\]#]+)\]+")
_KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*'))*)\s*="
)
_DOTTED = re.compile(r"\"([^\"\n]*)\"|'([^'\n]*)'|([A-Za-z0-9_-]+)")
_LONG_DOTTED = re.compile(rf"(?:[\w\"'-]+[ \t]*\.[ \t]*){{{PARTS_MAX}}}")
BIGINT_BEYOND = 1 << 63
"""The first whole number after the last of BIGINT."""


def load_toml(text: str, report: Report) -> LocatedMapping | None:
    """Parse TOML; None, with a reported problem, if it is invalid."""
    text = text.replace("\r\n", "\n")
    long_key = _LONG_DOTTED.search(text)  # tomllib takes quadratic time for long keys
    if long_key is not None:
        report.error(
            "toml_syntax",
            text.count("\n", 0, long_key.start()) + 1,
            f"a key has more than {PARTS_MAX} parts",
            "settings need three",
        )
        return None
    try:
        return _block(tomllib.loads(text), (), _lines_of_keys(text), 1, 0)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        at = _AT.search(reason)
        line = int(at.group(1)) if at is not None and at.group(1) else text.count("\n") + 1
        report.error(
            "toml_syntax",
            line,
            f"this isn't TOML: {_AT.sub('', reason)}",
            'texts are quoted: name = "flights"',
        )
    except (RecursionError, ValueError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        report.error(
            "toml_syntax", 1, f"this can't be read: {reason}", "settings need three levels"
        )
    return None


def _lines_of_keys(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each table and key by a scan, which multi-line text may mislead."""
    results: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        header = _HEADER.match(line)
        if header is not None and "=" not in line.partition("]")[0]:
            table = _parts(header.group(1))
            _remember(results, table, number)
            if line.lstrip().startswith("[["):
                counts[table] = counts.get(table, -1) + 1
                table = (*table, _item(counts[table]))
                _remember(results, table, number)
        elif (key := _KEY.match(line)) is not None:
            _remember(results, table + _parts(key.group(1)), number)
    return results


def _item(number: int) -> str:
    """Return the part of a path that stands for an item of a list of tables, from 0."""
    return f"[{number}]"


def _remember(results: dict[tuple[str, ...], int], path: tuple[str, ...], number: int) -> None:
    for length in range(1, len(path) + 1):
        results.setdefault(path[:length], number)


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(
        next(part for part in match if part) for match in _DOTTED.findall(dotted) if any(match)
    )


def _block(
    table: dict[str, Any],
    path: tuple[str, ...],
    lines: dict[tuple[str, ...], int],
    line: int,
    depth: int,
) -> LocatedMapping:
    if depth > DEPTH_MAX:
        raise RecursionError
    block = LocatedMapping(line)
    for key, value in table.items():
        at = lines.get((*path, key), line)
        block.put(key, _value(value, (*path, key), lines, at, depth), at)
    return block


def _value(
    value: Any, path: tuple[str, ...], lines: dict[tuple[str, ...], int], line: int, depth: int
) -> Any:
    if isinstance(value, dict):
        return _block(value, path, lines, line, depth + 1)
    if isinstance(value, list):
        if depth > DEPTH_MAX:
            raise RecursionError
        items = Items(line)
        for number, item in enumerate(value):
            of_item = (*path, _item(number))
            at = lines.get(of_item, line)
            items.put(_value(item, of_item, lines, at, depth + 1), at)
        return items
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and not -BIGINT_BEYOND <= value < BIGINT_BEYOND
    ):
        return str(value)
    return value


# Names that nodes, consumers and owners may have.

NODE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
CONSUMER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
COLUMN_CHARACTERS_MAX = 255

_KEYWORDS = (
    "all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by"
    " case cast check collate collation column concurrently constraint create cross default"
    " deferrable desc describe distinct do else end except false fetch for foreign freeze from full"
    " glob group having ilike in initially inner intersect into is isnull join lambda lateral"
    " leading left like limit natural not notnull null offset on only or order outer overlaps pivot"
    " pivot_longer pivot_wider placing positional primary qualify references returning right select"
    " semi show similar some summarize symmetric table tablesample then to trailing true union"
    " unique unpack unpivot using variadic verbose when where window with"
)
SQL_KEYWORDS = frozenset(_KEYWORDS.split())
"""Words that DuckDB 1.5.5 doesn't accept in FROM without quotes."""

_SYSTEM = frozenset(
    {"self", "_partition", "headrace", "main", "temp", "system", "information_schema", "pg_catalog"}
)
_SYSTEM_PREFIXES = ("__", "_headrace", "ducklake_")


def check_node(name: str, line: int, report: Report, what: str) -> bool:
    """Return whether a name is valid for a source or asset; report the problem otherwise."""
    if not NODE.fullmatch(name):
        _refuse(
            name,
            line,
            report,
            what,
            "letters, digits and `_`, not beginning with a digit, at most 63",
        )
        return False
    return _not_taken(name, line, report, what)


def check_consumer(name: str, line: int, report: Report) -> bool:
    """Return whether a name is valid for a consumer; report the problem otherwise."""
    if not CONSUMER.fullmatch(name):
        _refuse(
            name,
            line,
            report,
            "consumer",
            "letters, digits, `_` and `-`, not beginning with a digit, at most 63",
        )
        return False
    return _not_taken(name, line, report, "consumer")


def check_owner(name: str, line: int, report: Report) -> bool:
    """Return whether a name is valid for an owner; report the problem otherwise."""
    if OWNER.fullmatch(name):
        return True
    _refuse(name, line, report, "owner", "letters, digits, `_`, `-` and `.`, at most 63")
    return False


def is_system(name: str) -> bool:
    """Return whether a name is reserved by Headrace or DuckDB."""
    lowered = name.lower()
    return lowered in _SYSTEM or lowered.startswith(_SYSTEM_PREFIXES)


def _not_taken(name: str, line: int, report: Report, what: str) -> bool:
    if name.lower() in SQL_KEYWORDS and what != "consumer":
        report.error(
            "reserved_name",
            line,
            f"{shown(name)} is a word of SQL and can't name {_a(what)}",
            f"for example `{name}_data`",
        )
        return False
    if is_system(name):
        report.error(
            "reserved_name",
            line,
            f"{shown(name)} is a name that Headrace or DuckDB uses itself",
            "choose another name",
        )
        return False
    return True


def _refuse(name: str, line: int, report: Report, what: str, rule: str) -> None:
    report.error("bad_name", line, f"{shown(name)} can't name {_a(what)}", f"a name has {rule}")


def _a(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"


# Amounts of memory: `512MiB`, `2GB`.

MEMORY_BYTES_MIN = 128 * 2**20
"""Python, DuckDB and Arrow use nearly this much memory before the asset code starts."""
_MEMORY_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)", re.ASCII)
_UNITS = {
    "B": 1,
    **{f"{p}B": 1000**n for n, p in enumerate("KMGT", 1)},
    **{f"{p}iB": 1024**n for n, p in enumerate("KMGT", 1)},
}


def size_in_bytes(text: str) -> int:
    """Parse a size such as `2GB` into bytes, rounded down. Raises UsageError if invalid."""
    match = _MEMORY_SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{text[:40]!r} isn't an amount of memory",
            hint="write a number and a unit: `512MiB`, `2GB`",
        )
    return int(Decimal(match[1]) * _UNITS[match[2]])


def bytes_as_text(size: int, *, binary: bool = False) -> str:
    """Format a size for display: `280 MB`, `1.2 kB`, `993 bytes`; `binary`: `267 MiB`."""
    base = 1024 if binary else 1000
    if size < base:
        return f"{size:,} bytes"
    amount = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB") if binary else ("kB", "MB", "GB", "TB"):
        amount /= base
        if amount < base - 0.5 or unit in ("TB", "TiB"):
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:,.0f} {unit}"
    raise AssertionError


def refuse_huge_integers(kind: str) -> None:
    """Raise UsageError for DuckDB's integers of 128 bits, which no table has as they are.

    A word before another one, as in `STRUCT(hugeint DATE)`, is a field's name.
    """
    if huge := re.search(
        r"\bU?(HUGEINT|INT128)\b(?!\s+\w)",
        re.sub(r"""'[^']*'|"[^"]*\"""", "", kind),  # names and values
        re.IGNORECASE,
    ):
        raise UsageError(
            f"tables have no {huge[0].upper()}, and would keep BIGINT, of 19 digits",
            hint="write DECIMAL(38,0), which keeps 38 digits, and cast to it in a query",
        )


def memory_in_bytes(text: str) -> int:
    """Parse an attempt's memory limit into bytes. Raises UsageError if invalid or below 128 MiB."""
    size = size_in_bytes(text)
    if size < MEMORY_BYTES_MIN:
        raise UsageError(
            f"{text.strip()} of memory is less than an attempt needs to begin",
            hint=f"write at least {MEMORY_BYTES_MIN >> 20}MiB",
        )
    return size


# The typed fields of one mapping.

REFERENCES = ("owner", "calendar", "contract", "connection", "pool", "pools", "depends", "reads")
"""Fields that name what another file declares."""


class Fields:
    """Typed access to the fields of a mapping; invalid values are reported, then seen as absent."""

    def __init__(
        self, block: LocatedMapping, report: Report, known: Collection[str], *, what: str
    ) -> None:
        """Report names that aren't in `known`. `what` names the mapping in messages."""
        self.block = block
        self.report = report
        self.what = what
        for name in block:
            if name not in known:
                self._unknown(name, known)

    def _unknown(self, name: str, known: Collection[str]) -> None:
        elsewhere = ""
        if "owner" in known:  # a declaration, which may be one of many nodes
            known = {*known, "for_each"}
            elsewhere = errors.hint_of_field(name, known)
        hint = elsewhere or did_you_mean(name, known) or f"known here: {', '.join(sorted(known))}"
        self.report.error(
            "unknown_field", self.line(name), f"unknown field {shown(name)} in {self.what}", hint
        )

    def line(self, name: str) -> int:
        """Return the line of a field, or of the mapping if the field is absent."""
        return self.block.lines.get(name, self.block.line)

    def place(self, line: int) -> Place:
        """Return the location of a declaration at this line, with that of its references."""
        lines = tuple((name, self.line(name)) for name in REFERENCES if name in self)
        return Place(file=self.report.file, line=line, lines=lines)

    def __contains__(self, name: str) -> bool:
        return name in self.block

    def raw(self, name: str) -> Any:
        """Return the value as written; None if absent."""
        return self.block.get(name)

    def wrong(self, name: str, expected: str, hint: str = "") -> None:
        """Report a value of the wrong type."""
        value = self.block.get(name)
        written = (
            kind_of(value)
            if isinstance(value, (dict, list)) or value is None
            else f"{kind_of(value)} ({shown(value)})"
        )
        self.report.error(
            "wrong_type",
            self.line(name),
            f"{shown(name)} must be {expected}, not {written}",
            hint or "`headrace explain wrong_type` shows examples",
        )

    def refuse(self, name: str, message: str, hint: str = "", *, code: str = "wrong_value") -> None:
        """Report an invalid value of the right type."""
        self.report.error(code, self.line(name), message, hint)

    def text(self, name: str) -> str | None:
        """Return a non-empty text; None if absent or invalid."""
        value = self.block.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.wrong(name, "text", f'put it in quotes: {name}: "{value}"')
        elif name in self.block:
            self.wrong(name, "text")
        return None

    def required(self, name: str, hint: str = "") -> str | None:
        """Return a non-empty text; report it if absent."""
        if name in self.block:
            return self.text(name)
        self.report.error(
            "missing_field",
            self.block.line,
            f"{self.what} has no {shown(name)}",
            hint or f"add `{name}: …`",
        )
        return None

    def whole(self, name: str, *, minimum: int, maximum: int) -> int | None:
        """Return an integer from `minimum` to `maximum`; None if absent or invalid."""
        value = self.block.get(name)
        span = f"a whole number from {minimum} to {maximum:,}"
        expected = span if minimum < maximum else f"the number {minimum}"
        if isinstance(value, int) and not isinstance(value, bool):
            if minimum <= value <= maximum:
                return value
            self.refuse(name, f"{shown(name)} is {value}", expected)
        elif name in self.block:
            self.wrong(name, expected)
        return None

    def flag(self, name: str) -> bool | None:
        """Return a boolean; None if absent or invalid."""
        value = self.block.get(name)
        if isinstance(value, bool):
            return value
        if name in self.block:
            self.wrong(
                name,
                "true or false",
                "YAML 1.2 has no `yes` and `no`" if value in ("yes", "no", "on", "off") else "",
            )
        return None

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return one of the `allowed` words; `default` if absent or invalid."""
        value = self.text(name) if name in self.block else None
        if value is None:
            return default
        if value in allowed:
            return value
        elsewhere = errors.VALUES.get((name, value.lower()), "")
        hint = elsewhere or did_you_mean(value, allowed) or f"write {one_of(allowed)}"
        self.refuse(name, f"{shown(value)} isn't a value of {shown(name)}", hint)
        return default

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; a single text counts as a list of one."""
        value = self.block.get(name)
        if isinstance(value, str):
            return (value,) if value.strip() else ()
        if not isinstance(value, list):
            if name in self.block:
                self.wrong(name, "a list of texts", f"write {name}: [a, b]")
            return ()
        return tuple(self._texts_in(name, value))

    def _texts_in(self, name: str, items: list[Any]) -> list[str]:
        results = []
        for index, item in enumerate(items):
            if isinstance(item, str) and item.strip():
                results.append(item)
                continue
            line = items.lines[index] if isinstance(items, Items) else self.line(name)
            self.report.error(
                "wrong_type",
                line,
                f"an item of {shown(name)} must be text, not {kind_of(item)}",
                "put numbers and dates in quotes",
            )
        return results

    def block_of(self, name: str) -> LocatedMapping | None:
        """Return a mapping with its lines; None if absent or invalid."""
        value = self.block.get(name)
        if isinstance(value, LocatedMapping):
            return value
        if name in self.block:
            self.wrong(name, "a mapping", f"write {name}: {{…}}")
        return None

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a mapping without lines; empty if absent or invalid."""
        block = self.block_of(name)
        return {} if block is None else dict(plain(block))

    def duration(self, name: str, default: str) -> str:
        """Return a duration such as `7d`, as written."""
        return self.checked(name, Duration.parse, "bad_duration") or default

    def offset(self, name: str) -> str | None:
        """Return a time after an interval such as `05:00` or `+2d 06:00`, as written."""
        return self.checked(name, Offset.parse, "bad_time")

    def instant(self, name: str) -> str | None:
        """Return a date or a time such as `2013-02-11` or `2013-02-11T07:00`, as written."""
        return self.checked(name, lambda text: local_instant_us(text, "UTC"), "bad_time")

    def timezone(self, name: str) -> str:
        """Return an IANA time zone name; empty if absent or invalid."""
        return self.checked(name, zone, "unknown_timezone") or ""

    def size(self, name: str) -> str | None:
        """Return an attempt's memory limit such as `2GB`, as written."""
        return self.checked(name, memory_in_bytes, "wrong_value")

    def checked(self, name: str, parse: Callable[[str], object], code: str) -> str | None:
        """Return a text that `parse` accepts, as written; report its UsageError under `code`."""
        written = self.block.get(name)
        if isinstance(written, (int, float)) and not isinstance(written, bool):
            self._number_for_text(name, str(written), parse)
            return None
        value = self.text(name) if name in self.block else None
        if value is None:
            return None
        try:
            parse(value)
        except UsageError as error:
            self.refuse(name, f"{shown(name)}: {error}", error.hint, code=code)
            return None
        return value

    def _number_for_text(self, name: str, text: str, parse: Callable[[str], object]) -> None:
        """Report a number where a text is needed; quotes help if `parse` accepts it as a text."""
        hint = f'put it in quotes: {name}: "{text}"'
        try:
            parse(text)
        except UsageError as error:
            hint = error.hint
        self.wrong(name, "text", hint)
