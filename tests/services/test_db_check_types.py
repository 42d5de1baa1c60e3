"""`headrace db check` names files that hold a column in a type that it had before."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from headrace.lake import catalog
from headrace.lake.schema import TargetTable

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from runlab import DAYS, Lab


def _widen_as_earlier_versions(lab: Lab) -> None:
    """Change the type of `amount` in the catalog alone."""
    path = lab.root / ".headrace/state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as tx:
        table = catalog.table(tx, "clean")
        assert table is not None
        tx.execute("BEGIN IMMEDIATE")
        change = catalog.CatalogChange.begin(tx, 1)
        widened = [("order_id", "VARCHAR"), ("amount", "DOUBLE"), ("day", "DATE")]
        change.evolve_table(TargetTable("clean", table, evolve=True).fitting(widened))
        change.finish("headrace", "publish")
        tx.execute("COMMIT")


def test_files_of_an_earlier_type_are_named_until_they_are_written_again(tmp_path: Path) -> None:
    """Would catch: a reader of DuckLake that misses rows of files of which nobody speaks."""
    lab = Lab(tmp_path / "p")
    lab.sql(
        "clean",
        "select order_id::varchar as order_id, 5::bigint as amount, day::date as day from orders",
    )
    for day in DAYS[:2]:
        lab.orders(day)
    lab.tick()
    lab.headrace("db", "check")
    _widen_as_earlier_versions(lab)
    (note,) = _notes(lab)
    assert note["message"].startswith(
        "2 files of `clean` hold `amount` as BIGINT; the table has DOUBLE."
    )
    assert note["todo"] == (
        f"headrace backfill clean --from {DAYS[0]} --to {DAYS[1]} --mode all --reason"
        " 'types of files'"
    )
    lab.headrace(
        "backfill", "clean", "--from", DAYS[0], "--to", DAYS[1], "--mode", "all", "--reason", "t",
        "--yes",
    )  # fmt: skip
    assert _notes(lab) == []


def test_keys_that_look_like_years_are_no_range(tmp_path: Path) -> None:
    """Would catch: `--from 2024 --to 2025` for shops with these numbers, which no command takes."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: core\npartition: {key: shop}\nfiles: landing/o_{key}.csv\n",
    )
    lab.sql(
        "clean",
        "select order_id::varchar as order_id, 5::bigint as amount, day::date as day from orders",
        "partition: {key: shop}",
    )
    for shop in ("2024", "2025"):
        lab.write(f"landing/o_{shop}.csv", f"order_id,day\n1,{DAYS[0]}\n")
    lab.tick()
    _widen_as_earlier_versions(lab)
    (note,) = _notes(lab)
    assert note["todo"] == "headrace backfill clean --mode all --reason 'types of files'"
    (lab.root / "assets/clean.sql").unlink()
    lab.headrace("apply", "--yes")
    assert _notes(lab) == []


def _notes(lab: Lab) -> list[dict[str, str]]:
    found = lab.headrace("db", "check", code=None)["findings"]
    return [finding for finding in found if finding["about"] == "clean"]
