"""Types of lake columns: DuckDB's names, DuckLake's names, and nesting.

DuckLake stores a row with its own column id for each field inside a STRUCT, LIST or MAP; Parquet
files carry these ids as field ids. Types that DuckLake can't store, or that Parquet stores with
loss (HUGEINT becomes DOUBLE), are replaced by another type (`storable`) or refused with a hint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from headrace.model.errors import LakeError

# The words that DuckDB 1.5.5 quotes as field names of a type; a test compares them with its list.
_WORDS = """
abort absolute access action add admin after aggregate all also alter always analyse analyze and
anti any array as asc asof assertion assignment asymmetric at attach attribute authorization
backward before begin between bigint binary bit boolean both by cache call called cascade cascaded
case cast catalog centuries century chain char character characteristics check checkpoint class
close cluster coalesce collate collation column columns comment comments commit committed
compression concurrently configuration conflict connection constraint constraints content continue
conversion copy cost create cross csv cube current cursor cycle data database day days deallocate
dec decade decades decimal declare default defaults deferrable deferred definer delete delimiter
delimiters depends desc describe detach dictionary disable discard distinct do document domain
double drop each else enable encoding encrypted end enum error escape event except exclude excluding
exclusive execute exists explain export export_state extension extensions external extract false
family fetch filter first float following for force foreign forward freeze from full function
functions generated glob global grant granted group grouping grouping_id groups handler having
header hold hour hours identity if ignore ilike immediate immutable implicit import in include
including increment index indexes inherit inherits initially inline inner inout input insensitive
insert install instead int integer intersect interval into invoker is isnull isolation join json key
label lambda language large last lateral leading leakproof left level like limit listen load local
location lock locked logged macro map mapping match matched materialized maxvalue merge method
microsecond microseconds millennia millennium millisecond milliseconds minute minutes minvalue mode
month months move name names national natural nchar new next no none not nothing notify notnull
nowait null nullif nulls numeric object of off offset oids old on only operator option options or
order ordinality others out outer over overlaps overlay overriding owned owner parallel parser
partial partition partitioned passing password percent persistent pivot pivot_longer pivot_wider
placing plans policy position positional pragma preceding precision prepare prepared preserve
primary prior privileges procedural procedure program publication qualify quarter quarters quote
range read real reassign recheck recursive ref references referencing refresh reindex relative
release rename repeatable replace replica reset respect restart restrict returning returns revoke
right role rollback rollup row rows rule sample savepoint schema schemas scope scroll search second
seconds secret security select semi sequence sequences serializable server session set setof sets
share show similar simple skip smallint snapshot some sorted source sql stable standalone start
statement statistics stdin stdout storage stored strict strip struct subscription substring
summarize symmetric sysid system table tables tablesample tablespace target temp template temporary
text then ties time timestamp to trailing transaction transform treat trigger trim true truncate
trusted try_cast type types unbounded uncommitted unencrypted union unique unknown unlisten unlogged
unpack unpivot until update use user using vacuum valid validate validator value values varchar
variable variadic varying verbose version view views virtual volatile week weeks when where
whitespace window with within without work wrapper write xml xmlattributes xmlconcat xmlelement
xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable year years yes zone
"""
KEYWORDS = frozenset(_WORDS.split())


class UnsupportedType(LakeError):
    """A column type that the lake can't store."""

    code = "unsupported_type"


class Type(msgspec.Struct, frozen=True):
    """A DuckDB type.

    `name` is DuckDB's name of a scalar (`DECIMAL(18,2)`), else STRUCT, LIST or MAP, whose parts are
    `fields` (of a LIST `element`, of a MAP `key` and `value`).
    """

    name: str
    fields: tuple[tuple[str, Type], ...] = ()

    @property
    def text(self) -> str:
        """The type in DuckDB's syntax."""
        parts = [child.text for _, child in self.fields]
        if self.name == "LIST":
            return f"{parts[0]}[]"
        if self.name == "MAP":
            return f"MAP({', '.join(parts)})"
        if self.name == "STRUCT":
            inner = ", ".join(
                f"{_field(name)} {part}" for (name, _), part in zip(self.fields, parts, strict=True)
            )
            return f"STRUCT({inner})"
        return self.name


_DUCKLAKE = {
    "BOOLEAN": "boolean",
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "HUGEINT": "int128",
    "UTINYINT": "uint8",
    "USMALLINT": "uint16",
    "UINTEGER": "uint32",
    "UBIGINT": "uint64",
    "UHUGEINT": "uint128",
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "DATE": "date",
    "TIME": "time",
    "TIME_NS": "time_ns",
    "TIME WITH TIME ZONE": "timetz",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "TIMESTAMP_S": "timestamp_s",
    "TIMESTAMP_MS": "timestamp_ms",
    "TIMESTAMP_NS": "timestamp_ns",
    "INTERVAL": "interval",
    "VARCHAR": "varchar",
    "JSON": "json",
    "BLOB": "blob",
    "UUID": "uuid",
}
_DUCKDB = {lake: duck for duck, lake in _DUCKLAKE.items()} | {"timestamp_us": "TIMESTAMP"}
_ALIASES = {
    "BOOL": "BOOLEAN",
    "LOGICAL": "BOOLEAN",
    "INT1": "TINYINT",
    "INT2": "SMALLINT",
    "SHORT": "SMALLINT",
    "INT4": "INTEGER",
    "INT": "INTEGER",
    "SIGNED": "INTEGER",
    "INT8": "BIGINT",
    "LONG": "BIGINT",
    "INT128": "HUGEINT",
    "FLOAT4": "FLOAT",
    "REAL": "FLOAT",
    "FLOAT8": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "CHAR": "VARCHAR",
    "BPCHAR": "VARCHAR",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP_US": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "TIMETZ": "TIME WITH TIME ZONE",
    "BYTEA": "BLOB",
    "BINARY": "BLOB",
    "VARBINARY": "BLOB",
    "DECIMAL": "DECIMAL(18,3)",
    "NUMERIC": "DECIMAL(18,3)",
    "BITSTRING": "BIT",
    "VARINT": "BIGNUM",
}
_STAND_INS = {
    "NULL": "INTEGER",
    "HUGEINT": "BIGINT",
    "UHUGEINT": "BIGINT",
    "BIT": "VARCHAR",
    "BIGNUM": "VARCHAR",
    "ENUM": "VARCHAR",
    "TIME_NS": "TIME",
}
_WIDER = {
    "TINYINT": ("SMALLINT", "INTEGER", "BIGINT", "DOUBLE"),
    "SMALLINT": ("INTEGER", "BIGINT", "DOUBLE"),
    "INTEGER": ("BIGINT", "DOUBLE"),
    "UTINYINT": ("USMALLINT", "UINTEGER", "UBIGINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE"),
    "USMALLINT": ("UINTEGER", "UBIGINT", "INTEGER", "BIGINT", "DOUBLE"),
    "UINTEGER": ("UBIGINT", "BIGINT", "DOUBLE"),
    "FLOAT": ("DOUBLE",),
}
_DIGITS = {
    "TINYINT": 3,
    "SMALLINT": 5,
    "INTEGER": 10,
    "BIGINT": 19,
    "UTINYINT": 3,
    "USMALLINT": 5,
    "UINTEGER": 10,
    "UBIGINT": 20,
}
"""Maximum number of digits of each integer type."""
DOUBLE_EXACT_MAX = 2**53
"""2^53: every integer up to this value is exact as a DOUBLE."""
_CHECKED_ALONE = ("INTERVAL", "TIME WITH TIME ZONE")
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
DECIMAL_DIGITS_MAX = 38
"""Maximum number of digits of a DECIMAL."""
_DECIMAL_DIGITS_USUAL = 18
"""Digits of the largest DECIMAL that DuckDB stores in eight bytes."""
_SIMPLE_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NESTING_MAX = 64


@lru_cache(maxsize=4096)
def parse(text: str) -> Type:
    """Parse DuckDB's name of a type. Raises UnsupportedType for invalid text."""
    reader = _Reader(text)
    result = reader.type(0)
    if reader.rest():
        raise UnsupportedType(f"`{text}` is not a type")
    return result


def storable(kind: Type, column: str) -> Type:
    """Return `kind`, or the type that replaces it where the lake can't store it.

    HUGEINT (the type of `sum` over integers) becomes BIGINT and raises on overflow, ENUM and BIT
    become text, a fixed-size array becomes a list, NULL becomes INTEGER. Raises UnsupportedType for
    UNION, VARIANT, GEOMETRY and unknown types, and for INTERVAL and TIME WITH TIME ZONE inside of
    others, whose values `schema.cast_columns` doesn't check; its message names `column`.
    """
    inside = next((part.name for _, part in kind.fields if part.name in _CHECKED_ALONE), None)
    if inside is not None:
        raise UnsupportedType(
            f"column `{column}` has {inside} inside of {kind.name}, which Parquet doesn't keep",
            hint="make it text or a number there, or a column of its own",
        )
    if kind.fields and kind.name != "UNION":
        return Type(
            "LIST" if kind.name == "ARRAY" else kind.name,
            tuple((name, storable(child, column)) for name, child in kind.fields),
        )
    name = _STAND_INS.get(kind.name, kind.name)
    if name not in _DUCKLAKE and not _DECIMAL.fullmatch(name):
        raise UnsupportedType(
            f"column `{column}` has type {kind.text}, which a DuckLake table can't hold",
            hint=f"cast it, for example `{column}::VARCHAR`",
        )
    return Type(name)


def to_ducklake(kind: Type) -> str:
    """Return DuckLake's name of a type (`int32`, `decimal(18,2)`, `struct`) without its fields."""
    if kind.fields:
        return kind.name.lower()
    return _DUCKLAKE.get(kind.name) or kind.name.lower()


def from_ducklake(name: str, fields: tuple[tuple[str, Type], ...]) -> Type:
    """Reverse `to_ducklake`.

    Unknown names stay, in capitals: a foreign writer may know more types.
    """
    if fields:
        return Type(name.upper(), fields)
    return Type(_DUCKDB.get(name.lower()) or name.upper())


def widens(old: Type, new: Type) -> bool:
    """Whether `new` holds all values of `old`.

    The column then keeps its id, and readers cast old files.
    """
    if old.fields or new.fields:
        return False
    if new.name in _WIDER.get(old.name, ()):
        return True
    was, now = digits(old), digits(new)
    return (
        new.name not in _DIGITS
        and was is not None
        and now is not None
        and now[0] >= was[0]
        and now[1] >= was[1]
    )


def decimal_of(item: Type, other: Type) -> Type | None:
    """Return the narrowest DECIMAL that holds both types of integers or decimals.

    None for other types, or if more than 38 digits are needed.
    """
    sizes = [digits(kind) for kind in (item, other)]
    known = [size for size in sizes if size is not None]
    whole, scale = (
        max((size[0] for size in known), default=0),
        max((size[1] for size in known), default=0),
    )
    return (
        Type(f"DECIMAL({whole + scale},{scale})")
        if len(known) == len(sizes) and whole + scale <= DECIMAL_DIGITS_MAX
        else None
    )


def wider_number(was: Type, other: Type) -> Type | None:
    """Return the wider type with which an integer or decimal column also holds `other` exactly.

    None if the column keeps its type.
    """
    if digits(was) is None or digits(other) is None or was == other or widens(other, was):
        return None
    if was.name in _DIGITS and other.name in _DIGITS:
        return other if widens(was, other) else None
    wider = decimal_of(was, other)
    room = with_room(wider) if wider is not None else None
    return next(
        (kind for kind in (room, wider) if kind is not None and kind != was and widens(was, kind)),
        None,
    )


def field_names(kind: Type) -> Iterator[str]:
    """Yield the names of all fields of STRUCTs in a type."""
    for name, part in kind.fields:
        if kind.name == "STRUCT":
            yield name
        yield from field_names(part)


def with_room(kind: Type) -> Type:
    """Widen a DECIMAL to 18 digits, or to 38 if it has more than 18; other types stay.

    One day's values say little about the next day's.
    """
    match = _DECIMAL.fullmatch(kind.name)
    if match is None:
        return kind
    digits, scale = int(match[1]), int(match[2])
    wide = digits > _DECIMAL_DIGITS_USUAL
    return Type(f"DECIMAL({DECIMAL_DIGITS_MAX if wide else _DECIMAL_DIGITS_USUAL},{scale})")


def digits(kind: Type) -> tuple[int, int] | None:
    """Return how many digits a type has before and after the point.

    None for types other than integers and decimals.
    """
    if kind.name in _DIGITS:
        return _DIGITS[kind.name], 0
    match = _DECIMAL.fullmatch(kind.name)
    return (int(match[1]) - int(match[2]), int(match[2])) if match else None


def widens_where_exact(old: Type, new: Type) -> bool:
    """Whether `new` holds integers of `old` exactly up to `DOUBLE_EXACT_MAX`, and also fractions.

    The column's bounds decide whether all of its values are that small.
    """
    return old.name in ("BIGINT", "UBIGINT") and new.name == "DOUBLE"


def field_count(kind: Type) -> int:
    """Return the number of column ids that the type takes: its own and one per field inside it."""
    return 1 + sum(field_count(child) for _, child in kind.fields)


def _field(name: str) -> str:
    return (
        name
        if _SIMPLE_FIELD.fullmatch(name) and name.lower() not in KEYWORDS
        else '"' + name.replace('"', '""') + '"'
    )


class _Reader:
    """A recursive-descent parser of DuckDB's type names."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def rest(self) -> str:
        return self.text[self.at :].strip()

    def type(self, depth: int) -> Type:
        if depth > NESTING_MAX:
            raise UnsupportedType(f"a type is nested deeper than {NESTING_MAX} levels")
        result = self._base(depth)
        while (match := re.compile(r"\s*\[(\d*)\]").match(self.text, self.at)) is not None:
            self.at = match.end()
            result = Type("ARRAY" if match[1] else "LIST", (("element", result),))
        return result

    def _base(self, depth: int) -> Type:
        word = self._word()
        if word in ("STRUCT", "ROW", "UNION"):
            return Type("UNION" if word == "UNION" else "STRUCT", tuple(self._named(depth)))
        if word == "MAP":
            self._expect("(")
            key = self.type(depth + 1)
            self._expect(",")
            value = self.type(depth + 1)
            self._expect(")")
            return Type("MAP", (("key", key), ("value", value)))
        if word == "ENUM":
            self._skip_parentheses()
            return Type("ENUM")
        return Type(self._scalar(word))

    def _scalar(self, word: str) -> str:
        if word in ("DECIMAL", "NUMERIC", "DEC") and (
            match := re.compile(r"\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)").match(self.text, self.at)
        ):
            self.at = match.end()
            return f"DECIMAL({int(match[1])},{int(match[2] or 0)})"
        if word in ("VARCHAR", "CHAR", "BPCHAR", "TEXT", "STRING") and (
            match := re.compile(r"\s*\(\s*\d+\s*\)").match(self.text, self.at)
        ):
            self.at = match.end()
        return _ALIASES.get(word, word)

    def _named(self, depth: int) -> Iterator[tuple[str, Type]]:
        self._expect("(")
        while True:
            name = self._name()
            yield name, self.type(depth + 1)
            if not self._try(","):
                break
        self._expect(")")

    def _word(self) -> str:
        match = re.compile(
            r'\s*("NULL"|[A-Za-z_][A-Za-z0-9_]*(?:\s+(?:WITH(?:OUT)?\s+TIME\s+ZONE|PRECISION))?)',
            re.IGNORECASE,
        ).match(self.text, self.at)
        if match is None:
            raise UnsupportedType(f"`{self.text}` is not a type")
        self.at = match.end()
        return re.sub(r"\s+WITHOUT TIME ZONE", "", re.sub(r"\s+", " ", match[1].strip('"').upper()))

    def _name(self) -> str:
        match = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",()]+))').match(self.text, self.at)
        if match is None:
            raise UnsupportedType(f"`{self.text}` is not a type")
        self.at = match.end()
        return match[1].replace('""', '"') if match[1] is not None else match[2]

    def _try(self, mark: str) -> bool:
        match = re.compile(r"\s*" + re.escape(mark)).match(self.text, self.at)
        if match:
            self.at = match.end()
        return match is not None

    def _expect(self, mark: str) -> None:
        if not self._try(mark):
            raise UnsupportedType(f"`{self.text}` is not a type")

    def _skip_parentheses(self) -> None:
        match = re.compile(r"\s*\((?:[^()']|'(?:[^']|'')*')*\)").match(self.text, self.at)
        if match is not None:
            self.at = match.end()
