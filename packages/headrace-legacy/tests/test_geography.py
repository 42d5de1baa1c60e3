"""GeoJSON and GeoPackage: features, their types, and their geometry as WKB."""

from __future__ import annotations

import json
import math
import random
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from mutations import shuffled

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.geography import GeoPackage


def feature(geometry: Any = None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def collection(*features: Any, **more: Any) -> bytes:
    return json.dumps({"type": "FeatureCollection", **more, "features": features}).encode()


def take(bench: Workbench, data: bytes, name: str = "a.geojson", **options: Any) -> Any:
    kind = "geopackage" if name.endswith(".gpkg") else "geojson"
    return bench.take(data, name, options={kind: options})


def point(*numbers: float, of: int = 1) -> bytes:
    return b"\x01" + pack(f"<I{len(numbers)}d", of, *numbers)


def test_values_keep_their_types_and_digits(bench: Workbench) -> None:
    """Would catch: a text that becomes a date, whole numbers through a double, a number beside
    texts without its last zero, and flags that become numbers where one is null."""
    first = '{"id": 7, "type": "Feature", "geometry": null, "properties": {"day": "2024-01-02",'
    first += ' "zip": "01234", "key": 9007199254740993, "wide": 123456789012345678901234567890,'
    first += ' "ok": true, "mixed": 1.10, "share": 1, "at": {"a": [1, 2.50]}, "none": null}}'
    second = '{"type": "Feature", "geometry": null, "properties": {"mixed": "n/a", "share": 0.5}}'
    taken = take(bench, f"\x1e{first}\n\x1e{second}\n".encode())
    assert isinstance(taken, Taken), taken
    assert rows_of(taken)[0] == {
        "feature_id": "7",
        "day": "2024-01-02",
        "zip": "01234",
        "key": 9007199254740993,
        "wide": Decimal(123456789012345678901234567890),
        "ok": True,
        "mixed": "1.10",
        "share": 1.0,
        "at": '{"a": [1, 2.50]}',
        "none": None,
        "geometry": None,
        "crs": "OGC:CRS84",
    }
    assert rows_of(taken)[1]["mixed"] == "n/a"
    assert taken.types()["geometry"] == "BLOB"


def test_a_number_that_a_double_doesnt_hold_stays_as_it_is_written(bench: Workbench) -> None:
    """Would catch: 19.999999999999999999 that becomes 20, in a column or within a list."""
    data = collection(feature(long=0.5, short=0.5, several=[0.5])).decode()
    long = data.replace('"long": 0.5', '"long": 19.999999999999999999').replace(
        "[0.5]", "[19.999999999999999999]"
    )
    taken = take(bench, long.encode())
    assert taken.column("long") == ["19.999999999999999999"]
    assert taken.column("several") == ["[19.999999999999999999]"]
    assert taken.column("short") == [0.5]


def test_a_line_may_be_long(bench: Workbench) -> None:
    """Would catch: lines of features, whose first has thousands of positions, taken for a
    collection that is damaged."""
    border = [[n / 7, 1.0] for n in range(10_000)]
    line = json.dumps(feature({"type": "LineString", "coordinates": border}, name="border"))
    taken = take(bench, f"{line}\n{json.dumps(feature(name='next'))}\n".encode())
    assert isinstance(taken, Taken), taken
    assert taken.column("name") == ["border", "next"]


SQUARE = [[0, 0], [4, 0], [4, 4], [0, 0]]


@pytest.mark.parametrize(
    ("kind", "coordinates", "wkb"),
    [
        ("Point", [1, 2.5], point(1, 2.5)),
        ("Point", [1, 2, 3], point(1, 2, 3, of=1_001)),
        ("Point", [], point(math.nan, math.nan)),
        ("LineString", [[1, 2], [3, 4]], b"\x01" + pack("<II4d", 2, 2, 1, 2, 3, 4)),
        ("MultiPoint", [[1, 2]], b"\x01" + pack("<II", 4, 1) + point(1, 2)),
        ("Polygon", [SQUARE], b"\x01" + pack("<III8d", 3, 1, 4, 0, 0, 4, 0, 4, 4, 0, 0)),
        (
            "MultiPolygon",
            [[SQUARE]],
            b"\x01" + pack("<II", 6, 1) + b"\x01" + pack("<III8d", 3, 1, 4, 0, 0, 4, 0, 4, 4, 0, 0),
        ),
        ("MultiLineString", [], b"\x01" + pack("<II", 5, 0)),
    ],
)
def test_geometries_are_wkb(bench: Workbench, kind: str, coordinates: Any, wkb: bytes) -> None:
    """Would catch: exchanged coordinates, a lost height, another type."""
    data = collection(feature({"type": kind, "coordinates": coordinates}))
    assert take(bench, data).column("geometry") == [wkb]
    within = {
        "type": "GeometryCollection",
        "geometries": [{"type": kind, "coordinates": coordinates}],
    }
    whole = b"\x01" + pack("<II", 7, 1) + wkb
    assert take(bench, collection(feature(within))).column("geometry") == [whole]


def test_a_collection_may_state_its_crs(bench: Workbench) -> None:
    """Would catch: coordinates in metres that are taken for degrees."""
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}
    taken = take(bench, collection(feature(a=1), crs=named))
    assert taken.column("crs") == ["EPSG:25832"]
    taken = take(bench, json.dumps({**feature(a=1), "crs": named}).encode())
    assert taken.column("crs") == ["EPSG:25832"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1}', "it isn't GeoJSON"),
        (collection({"type": "Thing"}), "feature 1: it isn't a feature"),
        (collection(feature(a=1), crs={"type": "link"}), "its `crs` has no name"),
        (collection(feature(CRS=1)), "two columns are named `crs`"),
        (collection(feature(a=1)).replace(b": 1}", b": NaN}"), "NaN is no number"),
        (collection(feature(a=1)).replace(b": 1}", b": 1e999}"), "line 1: 1e999 is too large"),
        (
            collection(feature(a=1)).replace(b": 1}", b": " + b"1" * 5_000 + b"}"),
            "line 1: a number has more digits than can be read",
        ),
        (collection(feature(a="\xe9")).replace(b"\\u00e9", b"\xe9"), "line 1: it isn't UTF-8"),
        (
            collection(feature(a="\ud800")),
            "feature 1: `a` holds half of a character: \\ud800 to \\udfff alone",
        ),
        (b'{"type": "Point", "coordinates": [1, 2]}', "it holds a geometry, and no features"),
        (collection(feature("POINT(1 2)")), "can't be read: it isn't an object"),
        (collection(feature({})), "can't be read: there is no geometry None"),
        (
            collection(feature({"type": "LineString", "coordinates": [[1, 2]]})),
            "can't be read: a line has two positions or more",
        ),
        (collection(feature(a=1))[:-9], "it isn't JSON"),
        (collection(feature(a=1)).replace(b": 1}", b': 1, "a": 2}'), "a key is there twice"),
        (collection(feature({"type": "Point", "coordinates": [1]})), "a position has two numbers"),
        (
            collection(feature({"type": "LineString", "coordinates": [[], []]})),
            "a position has two numbers",
        ),
        (
            collection(feature({"type": "Point", "coordinates": [10**400, 0]})),
            "feature 1: its geometry can't be read",
        ),
        (collection(feature({"type": "Point", "coordinates": ["1", 2]})), "has numbers only"),
        (collection(feature({"type": "Circle", "coordinates": [1, 2]})), "no geometry Circle"),
        (
            collection(feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 0]]]})),
            "feature 1: its geometry can't be read: a ring of a polygon isn't closed",
        ),
        (
            collection(feature({"type": "LineString", "coordinates": [[0, 0], [1, 1, 1]]})),
            "or three, in all of a geometry",
        ),
    ],
)
def test_what_isnt_geojson_is_refused(bench: Workbench, data: bytes, reason: str) -> None:
    refused = take(bench, data)
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)


LAYER = """
CREATE TABLE gpkg_contents (table_name, data_type);
CREATE TABLE gpkg_geometry_columns (table_name, column_name, srs_id);
CREATE TABLE gpkg_spatial_ref_sys (srs_id, organization, organization_coordsys_id);
INSERT INTO gpkg_contents VALUES ('roads', 'features'), ('notes', 'attributes'), ('v', 'features');
INSERT INTO gpkg_geometry_columns VALUES ('roads', 'geom', 25832);
INSERT INTO gpkg_spatial_ref_sys VALUES (25832, 'EPSG', 25832);
CREATE TABLE notes (fid INTEGER PRIMARY KEY, "te""xt" TEXT(9));
CREATE VIEW v AS SELECT 1;
CREATE TABLE roads (fid INTEGER PRIMARY KEY, geom LINESTRING, key INTEGER, ok BOOLEAN, day DATE,
    t DATETIME, size DOUBLE, raw BLOB, name TEXT);
"""
GEOMETRY = b"GP\x00\x03" + pack("<i4d", 25832, 1, 1, 2, 2) + point(1, 2)
ROW = (
    2,
    GEOMETRY,
    9007199254740993,
    1,
    "2024-01-02",
    "2024-01-02T03:04:05.999Z",
    1.5,
    b"\0",
    "Zoë",
)


def package(path: Path, *rows: tuple[Any, ...], script: str = "") -> bytes:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as made, made:
        made.executescript(LAYER)
        made.executemany("INSERT INTO roads VALUES (?,?,?,?,?,?,?,?,?)", rows)
        made.executescript(script)
    return path.read_bytes()


def test_a_layer_of_a_geopackage(bench: Workbench, tmp_path: Path) -> None:
    """Would catch: a header in the WKB, another order of rows, a flag that is a number, and a time
    without its zone."""
    data = package(tmp_path / "a.gpkg", ROW, (1, *[None] * 8))
    taken = take(bench, data, "a.gpkg", layer="roads")
    assert isinstance(taken, Taken), taken
    empty, row = rows_of(taken)
    assert (empty["fid"], empty["geom"], empty["t"]) == (1, None, None)
    assert row == {
        "fid": 2,
        "geom": point(1, 2),
        "key": 9007199254740993,
        "ok": True,
        "day": date(2024, 1, 2),
        "t": datetime(2024, 1, 2, 3, 4, 5, 999_000, UTC),
        "size": 1.5,
        "raw": b"\0",
        "name": "Zoë",
        "crs": "EPSG:25832",
    }
    assert [*GeoPackage().tables(tmp_path / "a.gpkg")] == ["notes", "roads"]
    undefined = "UPDATE gpkg_geometry_columns SET srs_id = -1"
    header = GEOMETRY.replace(pack("<i", 25832), pack("<i", -1))
    data = package(tmp_path / "a.gpkg", (*ROW[:1], header, *ROW[2:]), script=undefined)
    assert take(bench, data, "a.gpkg", layer="roads").column("crs") == [None]
    assert take(bench, data, "a.gpkg", layer="notes").names == ("fid", 'te"xt')


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (1, b"WKB", "row 1: `geom` can't be read"),
        (1, GEOMETRY[:3] + b"\x23" + GEOMETRY[4:], "row 1: `geom` can't be read"),
        (
            1,
            GEOMETRY.replace(pack("<i", 25832), pack("<i", 4326)),
            "row 1: `geom` can't be read: it states the CRS 4326, and its layer 25832",
        ),
        (2, "many", "row 1: `key` can't be read: many"),
        (3, 2, "row 1: `ok` can't be read: 2"),
        (4, "2024-02-30", "row 1: `day` can't be read: 2024-02-30"),
        (5, "2024-01-02 03:04Z", "row 1: `t` can't be read"),
        (6, "big", "row 1: `size` can't be read: big"),
        (8, b"x", "row 1: `name` can't be read"),
    ],
)
def test_values_of_other_types_are_refused(
    bench: Workbench, tmp_path: Path, at: int, value: Any, reason: str
) -> None:
    """Would catch: what SQLite stores in any column, published as it is."""
    data = package(tmp_path / "a.gpkg", (*ROW[:at], value, *ROW[at + 1 :]))
    refused = take(bench, data, "a.gpkg", layer="roads")
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)


@pytest.mark.parametrize(
    ("script", "options", "reason"),
    [
        ("", {}, "say which layer is read: it has `notes`, `roads`"),
        ("", {"layer": "v"}, "there is no layer `v`: it has `notes`, `roads`"),
        (
            "ALTER TABLE roads ADD x MONEY",
            {"layer": "roads"},
            "`x` has the type `MONEY`, which GeoPackage lacks",
        ),
        ("DROP TABLE gpkg_contents", {"layer": "roads"}, "no such table: gpkg_contents"),
        (
            "INSERT INTO roads (t) VALUES ('2024-01-02T03:04:05Z'), ('2024-01-02T03:04:05')",
            {"layer": "roads"},
            "1 times in `t` state a zone, and 1 don't",
        ),
    ],
)
def test_what_isnt_a_layer_is_refused(
    bench: Workbench, tmp_path: Path, script: str, options: dict[str, Any], reason: str
) -> None:
    refused = take(bench, package(tmp_path / "a.gpkg", script=script), "a.gpkg", **options)
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)
    assert "isn't a SQLite database" in plain(take(bench, b"x" * 99, "a.gpkg").reason)


@pytest.mark.long
def test_mutated_files_are_read_or_refused(bench: Workbench, tmp_path: Path) -> None:
    """Would catch: an exception of Python's."""
    chance = random.Random("geography")
    shape = {"type": "Polygon", "coordinates": [SQUARE]}
    files = {
        "a.geojson": collection(feature(shape, a=1, b="x"), feature(None, a=1.5)),
        "a.gpkg": package(tmp_path / "b.gpkg", ROW),
    }
    for name, good in files.items():
        options = {"layer": "roads"} if name == "a.gpkg" else {}
        for _ in range(500):
            outcome = take(bench, shuffled(good, chance), name, **options)
            if not isinstance(outcome, Taken):
                assert isinstance(outcome, UnreadableFile), outcome
                assert "installed package" not in plain(outcome.reason), outcome
