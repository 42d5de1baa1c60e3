"""`ab --setting order_by=COLUMN`: an order of rows, and what it makes of the assets that read it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from clilab import Project, copied
from msgspec.structs import replace

from headrace.cli.main import run
from headrace.model import Refused
from headrace.model.nodes import Settings
from headrace.plan.trials import Compared
from headrace.store import Store
from headrace.store.queries import applied_versions, trials
from headrace_advisor.analysis.trial_runs import _Pair
from headrace_advisor.services import order_trials, trial_outcomes

NOW = "2025-03-03T06:00+00:00"
HEADER = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: core\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    ),
    "assets/lines.sql": (
        f"{HEADER}select cast(id as bigint) as id, cast(shop as integer) as shop,\n"
        "  cast(day as date) as day\nfrom orders -- each line once\n"
    ),
    "assets/sevens.sql": f"{HEADER}select day, count(*) as n from lines where shop = 7 group by day\n",
    "assets/all_days.sql": (
        "/* headrace\nowner: core\ninputs: {lines: all}\n*/\nselect count(*) as n from lines\n"
    ),
    "assets/sums.sql": f"{HEADER}select day, sum(id::double) as s from lines group by day\n",
    "sources/late.yaml": (
        "source: late\nowner: core\npartition: day\nfiles: landing/late_{date:%Y-%m-%d}.csv\n"
    ),
    "assets/waits.sql": f"{HEADER}select day from lines where exists (select * from late)\n",
    "assets/sorted.sql": f"{HEADER}select id, day from lines order by id\n",
}
AB = ("ab", "lines", "--budget", "3s", "--setting")


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Computed once; `shop` gives each test a copy."""
    root = tmp_path_factory.mktemp("computed") / "shop"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    draw = random.Random(1)
    for number in (1, 2):
        day = f"2025-03-0{number}"
        lines = "".join(
            f"{draw.randrange(2**40)},{draw.randrange(200)},{day}\n" for _ in range(8_000)
        )
        (root / f"landing/orders_{day}.csv").write_text("id,shop,day\n" + lines)
    assert run(["tick", "--now", NOW, "--project", str(root)]) == 0
    return root


@pytest.fixture
def shop(computed: Path, tmp_path: Path, call: Callable[..., Any]) -> Project:
    """A copy of the computed project."""
    return copied(computed, tmp_path / "shop", call)


def _files(root: Path) -> set[str]:
    lake = root / ".headrace/lake"
    return {str(path.relative_to(lake)) for path in lake.rglob("*") if path.is_file()}


def _saved(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let each asset of a trial save so much; runs of 1 ms on a busy machine are inconclusive."""
    monkeypatch.setattr(trial_outcomes, "saved_seconds", lambda *_: seconds)


@pytest.mark.long
def test_an_order_is_measured_with_its_readers(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: readers of unsorted files on both sides, files left in the lake, or a trial of
    one asset only, which an order can't make faster."""
    _saved(monkeypatch, 2.0)
    before = _files(shop.root)
    row = shop.json(*AB, "order_by=shop")
    assert (row["asset"], row["change"], row["equal"]) == ("lines", "order_by=shop", True)
    assert row["partitions"] == ["2025-03-02", "2025-03-01"]
    assert row["rows"] == 16_000
    assert 0 < row["stored_bytes"]["after"] < row["stored_bytes"]["before"]
    assert row["edit"] == "`order by shop` at the end of assets/lines.sql"
    assert [reader["asset"] for reader in row["readers"]] == ["sevens", "sorted"]
    assert row["saves_month"]["seconds"] == 6.0
    assert _files(shop.root) == before
    listed = {item["id"]: item for item in shop.json("ab")}
    reader = listed[row["readers"][0]["id"]]
    assert (reader["asset"], reader["change"]) == ("sevens", "order_by=shop of lines")
    assert (reader["equal"], reader["rows"]) == (True, 2)
    assert listed[row["id"]]["stored_bytes"] == row["stored_bytes"]
    reasons = {item["asset"]: item["reason"] for item in row["left_out"]}
    assert reasons.keys() == {"sums", "waits"}
    assert "doesn't depend on the order in which it adds" in reasons["sums"]
    assert "waits can't be tried: " in reasons["waits"]
    text = shop.text(*AB, "order_by=SHOP,id", "--partitions", "1")
    assert "sums, which reads it, is left out: " in text
    assert "`order by shop, id` at the end of assets/lines.sql" in text
    assert "files: " in text
    assert "sevens, which reads it: " in text


def test_a_difference_ends_the_trial_of_its_asset_only(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: readers that were never run and are said to be out of the budget, or an order
    to be applied that gives other rows."""
    compare = _Pair.compare

    def differing(pair: _Pair) -> Compared:
        result = compare(pair)
        name = result.partition.partition("@")[0]
        return replace(result, difference="others") if name in ("lines", "sevens") else result

    monkeypatch.setattr(_Pair, "compare", differing)
    row = shop.json(*AB, "order_by=shop")
    listed = {item["id"]: item for item in shop.json("ab")}
    assert (row["verdict"], row["unreached"]) == ("not_equal", ["2025-03-01"])
    assert (row["edit"], row["saves_month"]["seconds"]) == (None, None)
    by_asset = {reader["asset"]: reader for reader in row["readers"]}
    assert by_asset["sevens"]["verdict"] == "not_equal"
    assert listed[by_asset["sorted"]["id"]]["partitions"] == ["2025-03-02", "2025-03-01"]
    text = shop.text("ab", "lines", "--budget", "1s", "--setting", "order_by=shop")
    assert "not compared after the difference: 2025-03-01" in text
    assert "--budget" not in text
    assert "to apply it" not in text


def test_an_order_that_costs_time_is_not_to_be_applied(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a clause to add that makes the asset and its readers slower, or no trial at all
    because the inputs of one reader may not be read."""

    def refusing(_session: object, _compiled: object, name: str, _command: str) -> None:
        if name == "sorted":
            raise Refused("ab would read a node that you may not read")

    _saved(monkeypatch, -1.0)
    monkeypatch.setattr(order_trials, "refuse_inputs", refusing)
    row = shop.json(
        "ab", "lines", "--budget", "1s", "--setting", "order_by=shop", "--partitions", "1"
    )
    assert (row["edit"], row["saves_month"]["seconds"]) == (None, -2.0)
    assert {item["asset"] for item in row["left_out"]} == {"sorted", "sums", "waits"}


def test_orders_that_cannot_be_tried(shop: Project) -> None:
    """Would catch: an order that changes what a LIMIT takes, or one that nobody reads."""
    assert "lines has no column 'shops'" in shop.refused(*AB, "order_by=shops")
    refusal = shop.refused("ab", "sorted", "--setting", "order_by=id")
    assert "has an order or a LIMIT" in refusal
    refusal = shop.refused("ab", "sevens", "--setting", "order_by=n", code=3)
    assert "no SQL asset computes a partition from that of sevens" in refusal
    for name in ("sevens", "sorted"):
        (shop.root / f"assets/{name}.sql").unlink()
    refusal = shop.refused(*AB, "order_by=shop", code=3)
    assert "waits can't be tried: nothing of late was ever published" in refusal
    assert "no asset that computes a partition from that of lines can be tried (sums: " in refusal
    assert "alone" in shop.refused(*AB, "order_by=shop", "--setting", "threads=1")
    assert shop.json("ab") == []


def test_the_edit_sorts_the_files(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: an edit that gives other code than the measured one, whose real runs are never
    compared with the promise, or an order that is lost when workers write files."""
    _saved(monkeypatch, 2.0)
    row = shop.json(*AB, "order_by=shop", "--partitions", "1")
    file = shop.root / "assets/lines.sql"
    file.write_text(f"{file.read_text().rstrip()}\norder by shop")
    shop.json("apply", "--yes")
    with Store.open(shop.root, Settings(name="shop")) as store, store.read() as tx:
        version = applied_versions.newest_id(tx)
        assert version is not None
        stored = trials.get(tx, int(row["id"].removeprefix("t-")))
        assert applied_versions.fingerprints(tx, version)["lines"] == stored.code_after
        assert stored.code_after != stored.code_before
    before = _files(shop.root)
    shop.text(
        "run", "lines", "--partition", "2025-03-01", "--again", "--reason", "sorted from now on"
    )
    (path,) = [name for name in _files(shop.root) - before if "/lines/" in name]
    sql = f"select list(shop) from read_parquet('{shop.root}/.headrace/lake/{path}')"
    ((shops,),) = duckdb.sql(sql).fetchall()
    assert shops == sorted(shops)
