"""`optimize --prove` and `apply` of findings about the project: columns and assets that can go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clilab import Project, copied

from headrace.cli.main import run
from headrace.plan.trials import Compared, Interval, Side
from headrace_advisor.analysis import partition_rules
from headrace_advisor.analysis.trial_runs import OutOfTime, _Pair
from headrace_advisor.queries import published_rows

pytestmark = pytest.mark.usefixtures("durations")

NOW = "2025-03-04T06:00+00:00"
PROVE = ("optimize", "--prove", "--partitions", "2", "--budget", "20s")
HEADER = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: core\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    ),
    "assets/lines.sql": (
        f"{HEADER}select cast(id as bigint) as id, cast(amount as decimal(18,2)) as amount,\n"
        "  note, cast(day as date) as day\nfrom orders\n"
    ),
    "assets/copies.sql": f"{HEADER}select id, amount, day from lines\n",
    "assets/daily.sql": f"{HEADER}select day, sum(amount) as amount from copies group by day\n",
    "assets/largest.sql": f"{HEADER}select day, max(id) as id from copies group by day\n",
    "assets/counts.sql": (
        "/* headrace\nowner: core\n*/\nselect day, count(*) as n from lines group by day\n"
    ),
    "consumers.yaml": (
        "- {consumer: report, owner: core, reads: [daily, largest, counts], due: '07:00'}\n"
    ),
}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Computed once; `shop` gives each test a copy."""
    root = tmp_path_factory.mktemp("computed") / "shop"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    for number in range(1, 4):
        day = f"2025-03-0{number}"
        lines = "".join(f"{i},{i % 97}.10,n{i},{day}\n" for i in range(200))
        (root / f"landing/orders_{day}.csv").write_text("id,amount,note,day\n" + lines)
    assert run(["tick", "--now", NOW, "--project", str(root)]) == 0
    return root


@pytest.fixture
def shop(computed: Path, tmp_path: Path, call: Callable[..., Any]) -> Project:
    """A copy of the computed project."""
    return copied(computed, tmp_path / "shop", call)


def _row(rows: list[Any], rule: str, asset: str = "copies") -> Any:
    (row,) = [row for row in rows if (row["rule"], row["asset"]) == (rule, asset)]
    return row


def _write(shop: Project, name: str, text: str) -> None:
    (shop.root / f"assets/{name}.sql").write_text(text)


@pytest.mark.long
def test_an_asset_in_between_is_measured_and_repaired(shop: Project) -> None:
    """Would catch: a reader that isn't measured, or that is but isn't changed."""
    row = _row(shop.json(*PROVE), "pass_through")
    assert row["verdict"] == "proven"
    assert row["equality"] == {
        "partitions": [
            f"{asset}@2025-03-0{day}" for asset in ("daily", "largest") for day in (3, 1)
        ],
        "rows": 4,
        "equal": True,
    }
    assert len(row["measured"]["before_ms"]) == len(row["measured"]["after_ms"]) >= 8
    assert row["measured"]["before_peak_bytes"] >= 0
    assert row["saves_month"]["seconds"] is not None
    assert row["command"] == f"headrace optimize apply {row['id']}"
    listed = shop.json("ab")
    assert {(item["asset"], item["finding"]) for item in listed} >= {
        ("daily", row["id"]),
        ("largest", row["id"]),
    }
    applied = shop.json("optimize", "apply", row["id"], "--yes")
    assert (applied["state"], applied["plan_id"]) == ("applied", row["plan_id"])
    for name in ("daily", "largest"):
        assert "from lines as copies" in (shop.root / f"assets/{name}.sql").read_text()
    assert shop.json("plan")["steps"] == []
    assert "is applied already" in shop.refused("optimize", "apply", row["id"], code=3)
    assert _row(shop.json("optimize"), "unread_asset")["command"]


def test_a_reader_that_was_not_reached_is_named(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: rows said to be equal although those of one reader were never compared."""
    compare = _Pair.compare

    def slow(pair: _Pair) -> Compared:
        if "largest" in str(pair._sides[Side.BEFORE].task.scope.asset):
            raise OutOfTime("too late")
        return compare(pair)

    monkeypatch.setattr(_Pair, "compare", slow)
    row = _row(shop.json("optimize", "copies", *PROVE[1:-1], "5s"), "pass_through")
    assert (row["equality"], row["measured"], row["command"]) == (None, None, None)
    assert row["unmeasured"].startswith("no rows of largest were compared: its part of the budget")


def test_inputs_without_a_common_partition(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: an asset with rows that is said to have no published partition."""
    monkeypatch.setattr(published_rows, "keys_with_rows", lambda *_: [])
    row = _row(shop.json("optimize", "counts", *PROVE[1:-1], "5s"), "incremental", "counts")
    assert row["unmeasured"].startswith(
        "no partition is published with rows of each partitioned input of counts"
    )


@pytest.mark.long
def test_columns_that_nobody_reads_are_measured_but_not_applied(shop: Project) -> None:
    """Would catch: results compared with the columns that go, or columns that one command takes
    from readers whom nobody can see."""
    row = _row(shop.json(*PROVE), "unread_column", "lines")
    assert row["columns"] == ["note"]
    assert row["verdict"] == "measured_equal"
    assert (row["equality"]["rows"], row["equality"]["equal"]) == (400, True)
    assert row["measured"] is not None
    assert (row["command"], row["unmeasured"]) == (None, None)
    refusal = shop.refused("optimize", "apply", row["id"], "--yes", code=3)
    assert "nobody reads lines past the consumers of the project" in refusal


def test_a_column_that_a_reader_names_is_not_measured_alone(shop: Project) -> None:
    """Would catch: a query measured in a project that doesn't compile without the column."""
    _write(shop, "copies", FILES["assets/copies.sql"].replace("amount, day", "amount, note, day"))
    shop.json("apply", "--yes")
    row = _row(shop.json(*PROVE), "unread_column", "lines")
    assert (row["equality"], row["command"]) == (None, None)
    assert row["unmeasured"].startswith("with this change alone, the project has an error: ")


@pytest.mark.long
def test_a_reader_that_has_come_since_was_not_measured(shop: Project) -> None:
    """Would catch: an asset rewritten without a measurement, because others were measured."""
    row = _row(shop.json(*PROVE), "pass_through")
    _write(shop, "smallest", FILES["assets/largest.sql"].replace("max", "min"))
    shop.json("apply", "--yes")
    refusal = shop.refused("optimize", "apply", row["id"], "--yes", code=3)
    assert "wasn't measured for smallest" in refusal
    assert "headrace optimize --prove" in refusal
    _write(shop, "daily", FILES["assets/daily.sql"].replace("sum", "min"))
    _write(shop, "largest", FILES["assets/largest.sql"].replace("max", "min"))
    shop.json("apply", "--yes")
    assert "has changed since it was measured" in shop.refused(
        "optimize", "apply", row["id"], "--yes", code=3
    )


@pytest.mark.long
def test_a_slower_reader_stops_the_change(shop: Project, durations: dict[str, Interval]) -> None:
    """Would catch: one command for a change that makes readers slower."""
    durations["interval"] = Interval(20.0, 15.0, 25.0)
    row = _row(shop.json(*PROVE), "pass_through")
    assert (row["verdict"], row["command"], row["plan_id"]) == ("proven", None, None)
    assert row["saves_month"]["seconds"] is not None
    assert "it is slower" in shop.refused("optimize", "apply", row["id"], "--yes", code=3)


@pytest.mark.long
def test_a_dismissed_asset_is_neither_measured_nor_applied(shop: Project) -> None:
    """Would catch: a proposal that somebody dismissed in `complexity`, applied by its other id."""
    row = _row(shop.json(*PROVE), "pass_through")
    shop.json("optimize", "dismiss", "pass_through:copies", "--reason", "read by hand")
    assert "dismissed" in shop.refused("optimize", "apply", row["id"], "--yes", code=3)
    again = _row(shop.json(*PROVE), "pass_through")
    assert (again["unmeasured"], again["command"]) == ("it was dismissed", None)


@pytest.mark.long
def test_a_partition_is_measured_against_all_of_them(shop: Project) -> None:
    """Would catch: one partition's rows compared with those of all, or a command that unpublishes
    what consumers read."""
    row = _row(shop.json(*PROVE), "incremental", "counts")
    assert row["verdict"] == "proven"
    assert row["equality"] == {"partitions": ["2025-03-03", "2025-03-01"], "rows": 2, "equal": True}
    assert row["measured"] is not None
    assert row["saves_month"]["seconds"] is not None
    assert (row["command"], row["asset_command"], row["unmeasured"]) == (None, None, None)
    refusal = shop.refused("optimize", "apply", row["id"], "--yes", code=3)
    assert "counts gets other partitions" in refusal


def test_a_partition_that_needs_others_is_refuted(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a wrong finding that stays because its rows were never compared."""
    monkeypatch.setattr(partition_rules, "_separating_column", lambda *_: "day")
    monkeypatch.setattr(partition_rules, "_depends_on_partitions", lambda *_: True)
    _write(
        shop,
        "counts",
        "/* headrace\nowner: core\n*/\n"
        "select day, sum(count(*)) over (order by day) as n from lines group by day\n",
    )
    shop.json("apply", "--yes")
    row = _row(shop.json(*PROVE), "incremental", "counts")
    assert (row["verdict"], row["command"]) == ("refuted", None)
    assert "1 rows are missing and 1 are new" in row["premises"][-1]["text"]
