"""GeoJSON and GeoPackage: features with their properties, their geometry as WKB, and its CRS.

Values keep their types: a text that looks like a date stays a text, whole numbers keep their
digits. Geometries are well-known binary, in the coordinates of the file.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.extension import marked
from headrace.extension.formats import (
    CannotRead,
    Fields,
    Opened,
    Parquet,
    PartitionSpec,
    SourceSchema,
    UnpackLimits,
    place_for,
    printable,
    quote,
    shown,
)
from headrace_legacy.strict_json import HALVED, is_halved, no_number, unique

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 10_000
COLLECTION_BYTES_MAX = 256 << 20
"""256 MiB: a collection of features is read at once, unlike features in lines."""
NESTED_MAX = 50
"""Collections of geometries inside of each other."""
FEATURE_ID = "feature_id"
_WGS84 = "OGC:CRS84"
"""The CRS of GeoJSON that states none."""
_EXACT_MAX = 2**53
_LONG_MAX = 2**63
_WIDE_MAX = 10**38
_POSITION, _LINE, _LINES, _POLYGONS = 0, 1, 2, 3
_GEOMETRIES = {
    "Point": (1, _POSITION),
    "LineString": (2, _LINE),
    "Polygon": (3, _LINES),
    "MultiPoint": (4, _LINE),
    "MultiLineString": (5, _LINES),
    "MultiPolygon": (6, _POLYGONS),
}
"""Type of GeoJSON → its code in WKB, and how deep its positions are."""
_LINE_STRING, _POLYGON, _MULTI_LINE, _MULTI_POLYGON, _COLLECTION = 2, 3, 5, 6, 7
_OF_EPSG = re.compile(r"urn:ogc:def:crs:([A-Z]+):[^:]*:(\w+)")
_ENVELOPES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
"""Code of a GeoPackage's geometry → bytes of its envelope."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)


class Geography(Parquet):
    """A format of features."""

    unmistakable = True

    @abstractmethod
    def table(self, path: Path, options: Mapping[str, Any]) -> Features:
        """Return the columns and the rows of a file."""

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Write the features to a Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        del pinned
        path = Path(opened.path)
        if not path.stat().st_size:
            raise CannotRead("the file is empty", code="delivery_empty")
        features = self.table(path, opened.options.get(self.name) or {})
        names = Counter(name.lower() for name in features.schema.names)
        if twice := next((name for name, count in names.items() if count > 1), None):
            raise CannotRead(f"two columns are named {shown(twice)}, which each row has, too")
        target = place_for(opened, temporary)
        try:
            with pq.ParquetWriter(target.path, features.schema) as writer:
                rows = iter(features.rows)
                while batch := [*islice(rows, BATCH_ROWS)]:
                    writer.write_batch(pa.RecordBatch.from_pylist(batch, features.schema))
                    bounds.check(Path(target.path).stat().st_size, path.stat().st_size)
        except BaseException:
            target.discard()
            raise
        return target


class Features(NamedTuple):
    """The columns of a file, and its rows as they are read."""

    schema: pa.Schema
    rows: Iterator[Mapping[str, Any]]


# GeoJSON.


class Number(float):
    """A number with a fraction or exponent, and how it is written."""

    __slots__ = ("text",)
    text: str


class GeoJson(Geography):
    """GeoJSON: a collection of features, or a feature in each line."""

    name = "geojson"
    meaning = "how features of GeoJSON are read"
    endings = (".geojson", ".geojsonl", ".geojsons")
    fields = ()

    def table(self, path: Path, options: Mapping[str, Any]) -> Features:
        """Return the features, which are gone through twice: values decide the columns' types."""
        import pyarrow as pa

        del options
        features = _features(path)
        kinds: dict[str, set[str]] = defaultdict(set)
        for feature in features():
            for name, value in feature.properties.items():
                kinds[name].add(_kind(value))
        columns = {name: _column(several) for name, several in kinds.items()}
        schema = pa.schema(
            [
                (FEATURE_ID, pa.string()),
                *((name, kind) for name, (kind, _) in columns.items()),
                ("geometry", pa.binary()),
                ("crs", pa.string()),
            ]
        )
        return Features(schema, (feature.row(columns) for feature in features()))


class Feature(NamedTuple):
    """A feature with its number in the file from 1."""

    number: int
    id: Any
    properties: Mapping[str, Any]
    geometry: Any
    crs: str

    def row(self, columns: Mapping[str, tuple[pa.DataType, Callable[[Any], Any]]]) -> Any:
        """Return its row."""
        row = {FEATURE_ID: _as_text(self.id)}
        for name, (_, convert) in columns.items():
            value = self.properties.get(name)
            row[name] = None if value is None else convert(value)
        if halved := next((name for name in row if is_halved(name) or is_halved(row[name])), None):
            raise CannotRead(
                f"feature {self.number:,}: {shown(printable(halved))} {HALVED}", line=self.number
            )
        try:
            geometry = None if self.geometry is None else _wkb(self.geometry, NESTED_MAX)
        except (TypeError, ArithmeticError, ValueError) as error:
            raise CannotRead(
                f"feature {self.number:,}: its geometry can't be read: {printable(error, 100)}",
                line=self.number,
            ) from error
        return {**row, "geometry": geometry, "crs": self.crs}


def _features(path: Path) -> Callable[[], Iterator[Feature]]:
    """Return what goes through the features of a collection, or of lines (GeoJSON text sequences).

    A collection is read once and kept; lines are read anew each time.
    """
    with path.open("rb") as file:
        line = file.readline(COLLECTION_BYTES_MAX)
        first = _loaded_or_none(line)
        if isinstance(first, dict) and first.get("type") == "Feature":
            return lambda: _numbered(_lines(path), _WGS84)
        if path.stat().st_size > COLLECTION_BYTES_MAX:
            raise CannotRead(
                f"a collection has at most {COLLECTION_BYTES_MAX >> 20} MiB; write a larger one"
                " as lines, one feature each (GeoJSONSeq)",
                code="delivery_too_large",
            )
        rest = file.read()
    document = _loaded(line + rest, 1) if first is None or rest.strip() else first
    members, crs = _members(document), _crs(document, _WGS84)
    return lambda: _numbered(members, crs)


def _lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip(b"\x1e \r\n"):
                yield _loaded(line, number)


def _numbered(documents: Iterable[Any], crs: str) -> Iterator[Feature]:
    for number, document in enumerate(documents, 1):
        yield _feature(document, number, crs)


def _members(document: Any) -> list[Any]:
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "Feature":
        return [document]
    if kind in (*_GEOMETRIES, "GeometryCollection"):
        raise CannotRead("it holds a geometry, and no features")
    if kind != "FeatureCollection" or not isinstance(document.get("features"), list):
        raise CannotRead("it isn't GeoJSON: neither a collection of features nor a feature")
    return list(document["features"])


def _feature(document: Any, number: int, crs: str) -> Feature:
    is_feature = isinstance(document, dict) and document.get("type") == "Feature"
    if not is_feature or not isinstance(document.get("properties", None) or {}, dict):
        raise CannotRead(f"feature {number:,}: it isn't a feature of GeoJSON", line=number)
    return Feature(
        number,
        document.get("id"),
        document.get("properties") or {},
        document.get("geometry"),
        _crs(document, crs),
    )


def _loaded_or_none(data: bytes) -> Any:
    try:
        return _loaded(data, 1)
    except CannotRead:
        return None


def _loaded(data: bytes, line: int) -> Any:
    """Return a JSON value whose numbers keep their digits."""
    try:
        return json.loads(
            data.lstrip(b"\x1e\xef\xbb\xbf").decode(),
            parse_float=_number,
            parse_int=_whole,
            parse_constant=no_number,
            object_pairs_hook=unique,
        )
    except UnicodeDecodeError as error:
        raise CannotRead(f"line {line:,}: it isn't UTF-8", line=line) from error
    except (json.JSONDecodeError, RecursionError) as error:
        why = f"it isn't JSON: {printable(error, 100)}"
        raise CannotRead(f"line {line:,}: {why}", line=line) from error
    except ValueError as error:
        raise CannotRead(f"line {line:,}: {printable(error, 100)}", line=line) from error


def _number(text: str) -> float:
    """Return a number; one that Python would write otherwise keeps how it is written."""
    plain = float(text)
    if repr(plain) == text:
        return plain
    if math.isinf(plain):
        raise ValueError(f"{text} is too large")
    number = Number(plain)
    number.text = text
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a number has more digits than can be read") from None


def _crs(document: Mapping[str, Any], default: str) -> str:
    """Return the CRS that a collection or a feature states as those of 2008 do."""
    stated = document.get("crs")
    if stated is None:
        return default
    properties = stated.get("properties") if isinstance(stated, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str):
        raise CannotRead("its `crs` has no name")
    match = _OF_EPSG.fullmatch(name)
    return f"{match[1]}:{match[2]}" if match else name


def _kind(value: Any) -> str:
    """Return what a property's value is; numbers by what holds them."""
    match value:
        case None:
            return "null"
        case bool():
            return "flag"
        case int():
            size = abs(value)
            bounds = ((_EXACT_MAX, "int"), (_LONG_MAX, "long"), (_WIDE_MAX, "wide"))
            return next((kind for bound, kind in bounds if size < bound), "text")
        case Number():
            return "float" if Decimal(value.text) == Decimal(repr(value)) else "text"
        case float():
            return "float"
        case str():
            return "text"
    return "nested"


def _column(kinds: set[str]) -> tuple[pa.DataType, Callable[[Any], Any]]:
    """Return the type of a property with values of these kinds, and what makes a value of it."""
    import pyarrow as pa

    kinds = kinds - {"null"}
    if not kinds:
        return pa.string(), str
    if kinds == {"flag"}:
        return pa.bool_(), bool
    if kinds <= {"int", "long"}:
        return pa.int64(), int
    if kinds <= {"int", "long", "wide"}:
        return pa.decimal128(38, 0), int
    if kinds <= {"int", "float"}:
        return pa.float64(), float
    return pa.string(), _as_text


def _as_text(value: Any) -> str | None:
    """Return a value as it is written: texts as they are, all else as JSON."""
    return value if value is None or isinstance(value, str) else _as_json(value)


def _as_json(value: Any) -> str:
    match value:
        case Number():
            return value.text
        case dict():
            return (
                f"{{{', '.join(f'{_as_json(key)}: {_as_json(of)}' for key, of in value.items())}}}"
            )
        case list():
            return f"[{', '.join(map(_as_json, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _wkb(geometry: Any, nested: int) -> bytes:
    """Return a geometry as well-known binary, with Z if its positions have three numbers."""
    if not isinstance(geometry, dict):
        raise TypeError("it isn't an object")
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        if not nested:
            raise ValueError("collections are nested too deeply")
        members = [_wkb(member, nested - 1) for member in geometry.get("geometries") or ()]
        return _head(_COLLECTION, False) + pack("<I", len(members)) + b"".join(members)
    if kind not in _GEOMETRIES:
        raise ValueError(f"there is no geometry {printable(kind)}")
    return _simple_wkb(*_GEOMETRIES[kind], geometry.get("coordinates"))


def _simple_wkb(code: int, depth: int, coordinates: Any) -> bytes:
    """Return the same of a geometry that holds positions."""
    if coordinates == [] and depth == _POSITION:
        return _head(code, False) + pack("<2d", math.nan, math.nan)
    sizes = {len(position) for position in _positions(coordinates, depth)}
    if sizes - {2, 3} or len(sizes) > 1:
        raise ValueError("a position has two numbers, or three, in all of a geometry")
    with_z = sizes == {3}
    if code in (_POLYGON, _MULTI_POLYGON):
        _require_closed(coordinates if code == _MULTI_POLYGON else [coordinates])
    if code in (_LINE_STRING, _MULTI_LINE) and 1 in map(
        len, coordinates if code == _MULTI_LINE else [coordinates]
    ):
        raise ValueError("a line has two positions or more")
    return _encoded(code, coordinates, with_z)


def _encoded(code: int, coordinates: Any, with_z: bool) -> bytes:
    head = _head(code, with_z)
    match code:
        case 1:
            return head + _numbers(coordinates)
        case 2:
            return head + _many(coordinates, _numbers)
        case 3:
            return head + _many(coordinates, lambda ring: _many(ring, _numbers))
    return head + _many(coordinates, lambda member: _encoded(code - 3, member, with_z))


def _head(code: int, with_z: bool) -> bytes:
    return b"\x01" + pack("<I", code + 1_000 * with_z)


def _numbers(position: list[float]) -> bytes:
    return pack(f"<{len(position)}d", *map(float, position))


def _many(members: list[Any], encode: Callable[[Any], bytes]) -> bytes:
    return pack("<I", len(members)) + b"".join(map(encode, members))


def _positions(coordinates: Any, depth: int) -> Iterator[list[float]]:
    if not isinstance(coordinates, list):
        raise TypeError("coordinates aren't a list")
    if depth:
        for member in coordinates:
            yield from _positions(member, depth - 1)
    elif all(type(each) in (int, float, Number) for each in coordinates):
        yield coordinates
    else:
        raise TypeError("a position has numbers only")


def _require_closed(polygons: list[Any]) -> None:
    for ring in (ring for polygon in polygons for ring in polygon):
        if len(ring) < 4 or ring[0] != ring[-1]:
            raise ValueError("a ring of a polygon isn't closed, or has less than four positions")


# GeoPackage.


class GeoPackage(Geography):
    """GeoPackage: a layer of features, or a table of attributes."""

    name = "geopackage"
    meaning = "which layer of a GeoPackage is read"
    endings = (".gpkg",)
    fields = ("layer",)

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `layer`."""
        fields.text("layer")
        return super().read(fields, partition)

    def tables(self, path: Path) -> Mapping[str, Mapping[str, Any]]:
        """Return the layers of a file."""
        try:
            with closing(_opened(path)) as package:
                return {name: {"layer": name} for name in _layers(package)}
        except (CannotRead, sqlite3.Error):
            return {}

    def table(self, path: Path, options: Mapping[str, Any]) -> Features:
        """Return the rows of a layer, in the order of their ids."""
        import pyarrow as pa

        package = _opened(path)
        try:
            layers = _layers(package)
            layer = options.get("layer") or next(iter(layers), None)
            if layer not in layers or (len(layers) > 1 and "layer" not in options):
                listed = ", ".join(shown(name) for name in islice(layers, 10)) or "none"
                asked = "layer" in options
                why = f"there is no layer {shown(layer)}" if asked else "say which layer is read"
                raise CannotRead(f"{why}: it has {listed}")
            columns = _layer_columns(package, layer, layers[layer])
        except sqlite3.Error as error:
            raise CannotRead(f"the GeoPackage can't be read: {printable(error, 100)}") from error
        schema = [(column.name, column.type) for column in columns]
        schema += [] if layers[layer].srs is None else [("crs", pa.string())]
        return Features(pa.schema(schema), _layer_rows(package, layer, columns, layers[layer]))


class Layer(NamedTuple):
    """A layer: the number of its CRS in the file, None for a table of attributes, and the CRS."""

    srs: int | None
    crs: str | None


class Column(NamedTuple):
    """A column of a layer."""

    name: str
    type: pa.DataType
    value: Callable[[Any], Any]


def _opened(path: Path) -> sqlite3.Connection:
    with path.open("rb") as file:
        if not file.read(16).startswith(b"SQLite format 3\0"):
            raise CannotRead("it isn't a GeoPackage: it isn't a SQLite database")
    package = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    package.execute("PRAGMA trusted_schema = OFF")
    return package


def _layers(package: sqlite3.Connection) -> dict[str, Layer]:
    """Return the layers; views are left out."""
    return {
        name: Layer(srs, f"{organization}:{number}" if organization and number > 0 else None)
        for name, srs, organization, number in package.execute(
            "SELECT contents.table_name, held.srs_id, organization, organization_coordsys_id"
            " FROM gpkg_contents AS contents"
            " JOIN sqlite_master AS made ON made.name = contents.table_name"
            " AND made.type = 'table' AND made.sql LIKE 'CREATE TABLE%'"
            " LEFT JOIN gpkg_geometry_columns AS held ON held.table_name = contents.table_name"
            " LEFT JOIN gpkg_spatial_ref_sys AS known ON known.srs_id = held.srs_id"
            " WHERE data_type IN ('features', 'attributes') ORDER BY contents.table_name"
        )
    }


def _layer_columns(package: sqlite3.Connection, layer: str, of: Layer) -> list[Column]:
    import pyarrow as pa

    geometries = {
        name
        for (name,) in package.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
        )
    }
    columns = []
    for _, name, declared, *_ in package.execute(f"PRAGMA table_info({quote(layer)})").fetchall():
        kind = re.sub(r"\(.*", "", declared.upper()).strip()
        if name in geometries:
            columns.append(Column(name, pa.binary(), partial(_without_header, of.srs)))
        elif kind == "DATETIME":
            columns.append(_of_times(package, layer, name))
        elif kind in _KINDS:
            arrow, value = _KINDS[kind]
            columns.append(Column(name, getattr(pa, arrow)(), value))
        else:
            raise CannotRead(
                f"column {shown(name)} has the type {shown(declared)}, which GeoPackage lacks"
            )
    return columns


def _of_times(package: sqlite3.Connection, layer: str, name: str) -> Column:
    """Return a column of times: points in time if all state a zone, local ones if none does."""
    import pyarrow as pa

    column = quote(name)
    zoned, local = package.execute(
        f"SELECT count(*) FILTER (WHERE {column} GLOB '*Z' OR {column} GLOB '*[+-]??:??'),"
        f" count({column}) FROM {quote(layer)}"
    ).fetchone()
    if zoned not in (0, local):
        raise CannotRead(
            f"{zoned:,} times in {shown(name)} state a zone, and {local - zoned:,} don't"
        )
    return Column(name, pa.timestamp("us", "UTC" if zoned else None), _time)


def _layer_rows(
    package: sqlite3.Connection, layer: str, columns: list[Column], of: Layer
) -> Iterator[dict[str, Any]]:
    with closing(package):
        try:
            for number, row in enumerate(
                package.execute(f"SELECT * FROM {quote(layer)} ORDER BY rowid"), 1
            ):
                yield {**_row(columns, row, number), **({} if of.srs is None else {"crs": of.crs})}
        except sqlite3.Error as error:
            raise CannotRead(f"the GeoPackage is damaged: {printable(error, 100)}") from error


def _row(columns: list[Column], row: tuple[Any, ...], number: int) -> dict[str, Any]:
    values = {}
    for column, value in zip(columns, row, strict=True):
        try:
            values[column.name] = None if value is None else column.value(value)
        except (ValueError, TypeError) as error:
            text = error if isinstance(error, GeometryUnfit) else marked(printable(value, 40))
            raise CannotRead(
                f"row {number:,}: {shown(column.name)} can't be read: {text}", line=number
            ) from error
    return values


def _of_class(kind: type) -> Callable[[Any], Any]:
    """Return a function that refuses values of other classes: SQLite keeps any in any column."""

    def value(stored: Any) -> Any:
        if type(stored) is not kind:
            raise TypeError
        return stored

    return value


def _flag(stored: Any) -> bool:
    if type(stored) is not int or stored not in (0, 1):
        raise ValueError
    return bool(stored)


def _time(stored: Any) -> datetime:
    if not _TIME.fullmatch(stored):
        raise ValueError
    return datetime.fromisoformat(stored)


class GeometryUnfit(ValueError):
    """A stored geometry that isn't one of its layer."""


def _without_header(srs: int | None, stored: Any) -> bytes:
    """Return the WKB of a geometry behind its header. Raises GeometryUnfit."""
    flags = stored[3] if isinstance(stored, bytes) and stored[:3] == b"GP\0" else 0xFF
    envelope = _ENVELOPES.get(flags >> 1 & 7)
    if envelope is None or flags & 0x20:
        raise GeometryUnfit("it isn't a geometry of version 1 of GeoPackage")
    stated = int.from_bytes(stored[4:8], "little" if flags & 1 else "big", signed=True)
    if stated > 0 and stated != srs:
        raise GeometryUnfit(f"it states the CRS {stated}, and its layer {srs}")
    wkb: bytes = stored[8 + envelope :]
    if len(wkb) < 9 or wkb[0] > 1:
        raise GeometryUnfit("its WKB is cut off, or of another kind")
    return wkb


_WHOLE, _FRACTION, _TEXT = (
    ("int64", _of_class(int)),
    ("float64", _of_class(float)),
    ("string", _of_class(str)),
)
_KINDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "BOOLEAN": ("bool_", _flag),
    **dict.fromkeys(("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER"), _WHOLE),
    **dict.fromkeys(("FLOAT", "DOUBLE", "REAL"), _FRACTION),
    "TEXT": _TEXT,
    "BLOB": ("binary", _of_class(bytes)),
    "DATE": ("date32", date.fromisoformat),
}
"""Type of GeoPackage → the type of the column, and what makes a value of a stored one."""
