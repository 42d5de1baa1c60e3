"""`export dbt-manifest`: the project and its newest results, as tools of dbt read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab

from headrace.model import UsageError
from headrace_import.services.dbt_artifacts import export

CLEAN = """partition: {by: day, column: day}
description: 'orders that are "clean" <b>& unicode ✓</b>'
tags: [core]
checks:
  - unique: [order_id]
  - not_null: [order_id, day]
  - not_null: {columns: [order_id], where: "amount > 0"}
  - accepted_values: {column: customer, values: [ada]}
    severity: warning
  - sql: {name: known, query: "select * from $self where order_id not in (select order_id from orders) -- views"}"""


@pytest.fixture
def shop(lab: Lab) -> Lab:
    """A project whose asset `clean` has checks, one of which warns."""
    lab.sql(
        "clean", "select order_id, customer, amount, cast(day as date) as day from orders", CLEAN
    )
    lab.sql("views", "select * from clean", "materialize: view")
    lab.write(
        "consumers.yaml", "- consumer: report\n  owner: core\n  reads: [clean]\n  due: '07:00'\n"
    )
    lab.orders(DAYS[0])
    return lab


def exported(lab: Lab, folder: Path | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the manifest and the results that an export writes."""
    export(lab.session(), "dbt-manifest", folder)
    folder = folder or lab.root / "target"
    manifest, results = (
        json.loads((folder / name).read_text()) for name in ("manifest.json", "run_results.json")
    )
    return manifest, results


def one(nodes: dict[str, Any], start: str) -> dict[str, Any]:
    """Return the only node whose unique id begins like this."""
    (node,) = (node for uid, node in nodes.items() if uid.startswith(start))
    assert isinstance(node, dict)
    return node


def test_nodes_have_the_ids_and_edges_that_dbt_gives_them(shop: Lab) -> None:
    """Would catch: a lineage viewer that joins nothing, or an edge that isn't there."""
    manifest, _ = exported(shop)
    nodes = manifest["nodes"]
    clean = nodes["model.lab.clean"]
    (source,) = manifest["sources"]
    assert clean["depends_on"]["nodes"] == [source]
    assert clean["config"]["materialized"] == "table"
    assert clean["description"] == 'orders that are "clean" <b>& unicode ✓</b>'
    assert nodes["model.lab.views"]["config"]["materialized"] == "view"
    assert manifest["child_map"]["model.lab.clean"][0] == "model.lab.views"
    report = manifest["exposures"]["exposure.lab.report"]
    assert report["depends_on"]["nodes"] == ["model.lab.clean"]
    assert report["meta"] == {"due": "07:00"}
    unique = one(nodes, "test.lab.unique_clean_order_id.")
    assert unique["test_metadata"] == {
        "name": "unique",
        "kwargs": {"column_name": "order_id"},
        "namespace": None,
    }
    known = one(nodes, "test.lab.clean_known.")
    assert known["depends_on"]["nodes"] == ["model.lab.clean", source]
    everything = nodes.keys() | manifest["sources"].keys() | manifest["exposures"].keys()
    assert {name for names in manifest["parent_map"].values() for name in names} <= everything


def test_results_are_only_those_that_exist(shop: Lab) -> None:
    """Would catch: a result of what never ran, or a warning that stands as a failure."""
    _, before = exported(shop)
    assert before["results"] == []
    shop.tick()
    manifest, after = exported(shop)
    results = {row["unique_id"]: row for row in after["results"]}
    assert results.keys() <= manifest["nodes"].keys()
    assert results["model.lab.clean"]["status"] == "success"
    assert results["model.lab.clean"]["message"].startswith(
        f"published {DAYS[0]}: customer: 10 rows"
    )
    assert results["model.lab.clean"]["execution_time"] > 0
    assert "model.lab.views" not in results, "a view is never computed"
    states = {
        manifest["nodes"][uid]["test_metadata"]["name"]: row["status"]
        for uid, row in results.items()
        if (manifest["nodes"][uid].get("test_metadata") or {}).get("name") == "accepted_values"
    }
    assert states == {"accepted_values": "warn"}
    types = {
        name: row["data_type"]
        for name, row in manifest["nodes"]["model.lab.clean"]["columns"].items()
    }
    assert types["day"] == "DATE"


def test_a_failed_attempt_is_an_error_with_its_message(shop: Lab) -> None:
    """Would catch: the result of an older success after a failure."""
    shop.python(
        "broken", "def broken(clean):\n    raise ValueError('no <such> row')", inputs=["clean"]
    )
    shop.tick()
    _, results = exported(shop)
    row = next(row for row in results["results"] if row["unique_id"] == "model.lab.broken")
    assert row["status"] == "error"
    assert "no <such> row" in row["message"]


def test_only_artifacts_are_replaced(shop: Lab, tmp_path: Path) -> None:
    """Would catch: somebody's manifest.json that is gone."""
    folder = tmp_path / "elsewhere"
    exported(shop, folder)
    exported(shop, folder)
    for content in ("{}", "[]", "", '{"metadata": 1}', "\udcff"):
        (folder / "run_results.json").write_text(content, errors="surrogateescape")
        kept = (folder / "manifest.json").read_bytes()
        with pytest.raises(UsageError, match="isn't an artifact of dbt"):
            export(shop.session(), "dbt-manifest", folder)
        assert (folder / "manifest.json").read_bytes() == kept
    with pytest.raises(UsageError, match="can't be exported"):
        export(shop.session(), "manifest", folder)
