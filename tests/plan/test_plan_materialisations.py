"""Tables of merges, snapshots, appends and views: their columns, and what can't be declared together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from projects import compiled, contract, source, sql, write

from headrace.compiler.compiling import compile_project
from headrace.model import InputMode, InputSpec, Place
from headrace.plan import Compilation
from headrace.plan.compiled import composed, expand_view_names, expand_views, is_view
from headrace.plan.schemas import ColumnLineage, is_join_key
from headrace.sql.values import Edge, Transformation

BASE = {
    "sources/s.yaml": source("s"),
    "sources/whole.yaml": source("whole", "*"),
    "contracts/s.odcs.yaml": contract("s", id="integer|integer", v="number|double", gone="boolean|boolean"),
    "contracts/whole.odcs.yaml": contract("whole", id="integer|integer", v="number|double"),
}  # fmt: skip
MERGE = {"materialize": "merge", "merge": "{keys: [id]}"}
SNAPSHOT = {"materialize": "snapshot", "snapshot": "{keys: [id]}"}


def compilation(root: Path, **assets: str) -> Compilation:
    return compile_project(
        write(root, {**BASE, **{f"assets/{name}.sql": text for name, text in assets.items()}})
    )


def problems(root: Path, **assets: str) -> list[tuple[str, str]]:
    return [(item.code, item.message) for item in compilation(root, **assets).problems]


@pytest.mark.parametrize(
    ("asset", "columns"),
    [
        (sql("select id, v, gone from s", partition="day"), ["id", "v", "gone"]),
        (sql("select id, v, gone from s", partition="day", materialize="merge",
             merge="{keys: [id], delete: GONE}"), ["id", "v"]),
        (sql("select id, v, gone from s", partition="day", **MERGE), ["id", "v", "gone"]),
        (sql("select id, v from s", partition="day", **SNAPSHOT),
         ["id", "v", "valid_from DATE", "valid_to DATE", "is_current BOOLEAN"]),
        (sql("select id, v from whole", **SNAPSHOT),
         ["id", "v", "valid_from TIMESTAMP WITH TIME ZONE", "valid_to TIMESTAMP WITH TIME ZONE",
          "is_current BOOLEAN"]),
    ],
)  # fmt: skip
def test_a_table_has_the_columns_of_its_materialisation(
    tmp_path: Path, asset: str, columns: list[str]
) -> None:
    """Catches readers of a snapshot whose `valid_to` is unknown or has another type, and readers of
    a merge that see its marks of deleted rows."""
    result = compilation(tmp_path, a=asset)
    assert result.compiled is not None, result.problems
    types = {"id": "INTEGER", "v": "DOUBLE", "gone": "BOOLEAN"}
    expected = [item if " " in item else f"{item} {types[item]}" for item in columns]
    assert [f"{name} {kind}" for name, kind in result.compiled.nodes["a"].columns or ()] == expected


@pytest.mark.parametrize(
    ("asset", "expected"),
    [
        (sql("select id as k, v from s", partition="day", **MERGE),
         [("unknown_merge_column", "`merge` of `a` names the column `id`, which its code doesn't return")]),
        (sql("select ID, v from s", partition="day", **MERGE), []),
        (sql("select id, v from s", partition="day", materialize="merge", merge="{keys: [id], delete: gone}"),
         [("unknown_merge_column", "`merge` of `a` names the column `gone`, which its code doesn't return")]),
        (sql("select id, v from s", partition="day", materialize="snapshot", snapshot="{keys: [id], columns: [w]}"),
         [("unknown_merge_column", "`snapshot` of `a` names the column `w`, which its code doesn't return")]),
        (sql("select id, v as Is_Current from s", partition="day", **SNAPSHOT),
         [("duplicate_column", "the code of `a` returns `is_current`, which `materialize: snapshot` adds itself")]),
        (sql("select id, v as is_current from s", partition="day", **MERGE), []),
        (sql("select id, v from s", materialize="view"), []),
        (sql("select id, v from s", materialize="view", partition="day"),
         [("wrong_view", "`a` is a view, and has `partition:`")]),
        (sql("select id, $threshold as t from s", materialize="view"),
         [("wrong_view", "`a` is a view, and names `$threshold`, which only what reads it could say")]),
        (sql("select id from s", materialize="view", inputs="[{s: previous}]"),
         [("wrong_view", "`a` is a view, and reads `s` as `previous`")]),
        (sql("select id from s", materialize="view", inputs="[{s: all}]"), []),
        (sql("select id, v from whole", materialize="append"), []),
        (sql("select whole.id from whole join s on s.id = whole.id", materialize="append",
             inputs="[{s: all}]"), []),
        (sql("select id, v from s", materialize="append"),
         [("conflicting_fields",
           "`a` is appended to and isn't partitioned by time, so it needs one input whose deliveries it follows")]),
        (sql("select id, v from s", materialize="append", partition="day"), []),
    ],
)  # fmt: skip
def test_what_a_materialisation_needs_is_missed_before_a_run(
    tmp_path: Path, asset: str, expected: list[tuple[str, str]]
) -> None:
    """Catches a declaration that compiles and fails in the night, and one that works and is refused."""
    assert problems(tmp_path, a=asset) == expected


def test_a_merge_of_whole_deliveries_follows_them(tmp_path: Path) -> None:
    """Catches a merge that takes all deliveries since the last run as one, and loses their order."""
    append = sql("select id, v from whole", materialize="append")
    merge = sql("select id, v from log", **MERGE)
    aside = sql("select id, v from log", **MERGE, inputs="[{log: all}]")
    result = compilation(tmp_path, log=append, newest=merge, aside=aside)
    assert result.compiled is not None, result.problems
    assets = result.compiled.project.assets
    assert assets["newest"].partition.by_delivery
    assert not assets["aside"].partition.by_delivery


VIEWS = {
    **BASE,
    "assets/v1.sql": sql("select id, v from s", materialize="view", inputs="[{s: {lookback: 2d}}]"),
    "assets/v2.sql": sql("select v1.id from v1 join whole using (id)", materialize="view"),
    "assets/t.sql": sql("select id from v2", partition="day", inputs="[{v2: {lookback: 3d}}]"),
}


def test_views_are_replaced_by_their_inputs(tmp_path: Path) -> None:
    """Catches a reader of a view that doesn't wait for the view's inputs, or for too few days."""
    result = compiled(write(tmp_path, VIEWS))
    assert [name for name in result.order if is_view(result.project, name)] == ["v1", "v2"]
    leaves = expand_views(result, result.project.assets["t"].inputs)
    assert [(item.node, item.mode, item.lookback) for item in leaves] == [
        ("s", InputMode.REQUIRED, "5d0s"),
        ("whole", InputMode.REQUIRED, "3d"),
    ]
    assert expand_view_names(result, ["v2", "s", "t"]) == ("s", "whole", "t")


def spec(**fields: Any) -> InputSpec:
    return InputSpec(node="n", place=Place(file="a"), **fields)


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ({}, {}, (InputMode.REQUIRED, None, False)),
        ({"lookback": "1d"}, {}, (InputMode.REQUIRED, "1d", False)),
        ({}, {"lookback": "6h"}, (InputMode.REQUIRED, "6h", False)),
        ({"lookback": "1d"}, {"lookback": "6h"}, (InputMode.REQUIRED, "1d21600s", False)),
        ({"mode": InputMode.ALL}, {"lookback": "6h"}, (InputMode.ALL, None, False)),
        ({"lookback": "1d"}, {"mode": InputMode.ALL}, (InputMode.ALL, None, False)),
        ({"mode": InputMode.PREVIOUS}, {}, (InputMode.PREVIOUS, None, False)),
        ({"optional": True}, {}, (InputMode.REQUIRED, None, True)),
        ({}, {"optional": True}, (InputMode.REQUIRED, None, True)),
    ],
)
def test_a_view_and_its_reader_both_say_how_an_input_is_read(
    outer: dict[str, Any], inner: dict[str, Any], expected: tuple[InputMode, str | None, bool]
) -> None:
    result = composed(spec(**outer), spec(**inner))
    assert (result.mode, result.lookback, result.optional) == expected


def edge(node: str, column: str, how: Transformation) -> Edge:
    return Edge(node, column, how)


LINEAGE = {
    "clean": ColumnLineage({"Key": (edge("s", "ID", Transformation.IDENTITY),),
                            "v": (edge("s", "v", Transformation.CAST),),
                            "sum": (edge("s", "w", Transformation.AGGREGATE),)}),
    "wide": ColumnLineage({"v": (edge("clean", "v", Transformation.IDENTITY),)},
                          (edge("clean", "key", Transformation.JOIN_KEY),
                           edge("clean", "sum", Transformation.JOIN_KEY),
                           edge("clean", "v", Transformation.FILTER))),
}  # fmt: skip
READERS = {"s": ["clean", "python"], "clean": ["wide"], "wide": []}


@pytest.mark.parametrize(
    ("columns", "joined"),
    [
        (["id"], True),
        (["ID"], True),
        (["v"], False),
        (["w"], False),
        (["v", "id"], True),
        ([], False),
    ],
)
def test_a_join_key_is_found_under_its_later_names(columns: list[str], joined: bool) -> None:
    """Catches a key that changes its form and empties every join two tables later, unnoticed; and a
    filter or a sum that is taken for one."""
    assert is_join_key("s", columns, lambda node: READERS.get(node, []), LINEAGE.get) is joined


def test_a_loop_of_readers_ends() -> None:
    """Catches a search for join keys that never comes to an end."""
    lines = {
        "a": ColumnLineage({"x": (edge("b", "x", Transformation.IDENTITY),)}),
        "b": ColumnLineage({"x": (edge("a", "x", Transformation.IDENTITY),)}),
    }
    assert not is_join_key("a", ["x"], lambda node: ["b" if node == "a" else "a"], lines.get)
