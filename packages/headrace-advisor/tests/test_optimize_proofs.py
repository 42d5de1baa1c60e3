"""`optimize --prove` and `optimize apply`: from a finding to the next run, and what is refused."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clilab import Project, copied

from headrace.cli.main import run
from headrace.plan import trials
from headrace.plan.trials import Interval
from headrace_advisor.services import optimize_apply, proofs
from headrace_advisor.services.finding_trials import FindingTrial

pytestmark = pytest.mark.usefixtures("durations")

NOW = "2025-03-06T06:00+00:00"
LATER = "2025-03-07T06:00+00:00"
PROVE = ("optimize", "sales", "--prove", "--budget", "60s")
FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: core\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    ),
    "sources/people.yaml": (
        "source: people\nowner: core\npartition: day\nfiles: landing/people_{date:%Y-%m-%d}.csv\n"
    ),
    "assets/order_lines.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n"
        "checks:\n  - unique: [id]\n  - not_null: [id]\n*/\n"
        "select cast(id as bigint) as id, cast(customer as bigint) as customer,\n"
        "  cast(amount as decimal(18,2)) as amount, cast(day as date) as day\nfrom orders\n"
    ),
    "assets/clients.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select cast(customer as bigint) as customer, name, cast(day as date) as day from people\n"
    ),
    "assets/sales.sql": """/* headrace
owner: core
partition: {by: day, column: day}
*/
with lines as (
    select distinct id, customer, amount, day from order_lines
),
large as (
    select distinct id, customer, amount, day from lines where amount > 1
),
named as (
    select distinct l.id, l.amount, l.day, c.name
    from order_lines as l join clients as c on c.customer = l.customer
),
copies as (
    select distinct id, amount, day, name from named
)
select distinct n.id, n.amount, n.day, n.name
from copies as n join large as g on g.id = n.id
""",
    "consumers.yaml": "- {consumer: report, owner: core, reads: [sales], due: '07:00'}\n",
}


def _deliver(root: Path, day: str, *, twice: bool = False) -> None:
    lines = "".join(f"{i},{i % 50},{i % 97}.10,{day}\n" for i in range(500))
    (root / f"landing/orders_{day}.csv").write_text("id,customer,amount,day\n" + lines)
    people = "".join(f"{i},n{i},{day}\n" for i in [*range(50), *([7] if twice else [])])
    (root / f"landing/people_{day}.csv").write_text("customer,name,day\n" + people)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Computed once; `sales` gives each test a copy."""
    root = tmp_path_factory.mktemp("computed") / "shop"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    for number in range(1, 6):
        _deliver(root, f"2025-03-0{number}")
    assert run(["tick", "--now", NOW, "--project", str(root)]) == 0
    return root


@pytest.fixture
def sales(computed: Path, tmp_path: Path, call: Callable[..., Any]) -> Project:
    """A copy of the computed project."""
    return copied(computed, tmp_path / "shop", call)


def _sql(project: Project) -> str:
    return (project.root / "assets/sales.sql").read_text()


def _rows(project: Project, day: str) -> list[Any]:
    rows = project.json("read", f"sales@{day}", "--limit", "10000")["rows"]
    return sorted(str(sorted(row.items())) for row in rows)


@pytest.mark.long
def test_five_distincts_are_found_measured_and_repaired(sales: Project) -> None:
    """Would catch: any break between a finding, its proof, one command and the next run."""
    findings = sales.json("optimize", "sales")
    assert len([row for row in findings if row["kind"] == "remove_distinct"]) >= 3
    assert all(row["command"] is None and row["equality"] is None for row in findings)
    measured = sales.json(*PROVE)
    proven = [row for row in measured if row["verdict"] == "proven" and row["command"]]
    assert proven, measured
    for row in proven:
        assert row["equality"]["equal"] is True
        assert row["equality"]["rows"] > 0
        low, high = row["measured"]["ci95"]
        assert low <= row["measured"]["change_percent"] <= high
        assert row["command"] == f"headrace optimize apply {row['id']}"
        assert row["plan_id"].startswith("p-")
    before, text = _rows(sales, "2025-03-05"), _sql(sales)
    row = proven[0]
    refusal = sales.call(sales.root, "optimize", "apply", row["id"])
    assert refusal[0] == 3
    assert row["command"] in refusal[2]
    assert _sql(sales) == text
    applied = sales.json("optimize", "apply", row["id"], "--yes")
    assert (applied["state"], applied["plan_id"]) == ("applied", row["plan_id"])
    assert _sql(sales).count("distinct") == text.count("distinct") - 1
    assert sales.json("plan")["steps"] == []
    _deliver(sales.root, "2025-03-06")
    sales.text("tick", "--now", LATER)
    assert _rows(sales, "2025-03-05") == before
    after = _rows(sales, "2025-03-06")
    assert len(after) == len(before)
    assert [line.replace("2025-03-06", "2025-03-05") for line in after] == before
    assert "is applied already" in sales.refused("optimize", "apply", row["id"], code=3)


@pytest.mark.system
@pytest.mark.long
@pytest.mark.parametrize(
    ("low", "high", "refusal"),
    [
        (-20.0, 20.0, "its durations are inconclusive: --budget allows more runs"),
        (-30.0, 1.0, "its durations are inconclusive: --budget allows more runs"),
        (5.0, 20.0, "measured, it is slower"),
        (-2.0, 2.0, ""),
    ],
)
def test_only_measured_durations_are_applied_by_one_command(
    sales: Project, durations: dict[str, Interval], low: float, high: float, refusal: str
) -> None:
    """Would catch: `apply` offered for, or doing, a proven change whose durations say nothing."""
    durations["interval"] = Interval((low + high) / 2, low, high)
    rows = [row for row in sales.json(*PROVE) if row["verdict"] == "proven" and row["measured"]]
    assert rows
    text = _sql(sales)
    for row in rows:
        assert (row["command"] is None, row["plan_id"] is None) == (bool(refusal), bool(refusal))
        assert (row["unmeasured"] or "") in refusal
    name = rows[0]["id"]
    if refusal:
        assert refusal in sales.refused("optimize", "apply", name, "--yes", code=3)
        assert _sql(sales) == text
        assert "optimize apply" not in sales.text(*PROVE)
    else:
        assert sales.json("optimize", "apply", name, "--yes")["state"] == "applied"
    durations["interval"] = Interval(-20.0, -25.0, -15.0)


@pytest.mark.system
@pytest.mark.long
def test_a_stored_trial_counts_by_what_it_measured(
    sales: Project, durations: dict[str, Interval], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: findings applied together because of a trial that an earlier version noted as
    proven, although its durations are inconclusive."""
    monkeypatch.setattr(optimize_apply, "TOGETHER_S", 3.0)
    (command,) = {row["asset_command"] for row in sales.json(*PROVE)} - {None}
    names = command.split()[3:]
    durations["interval"] = Interval(0.0, -20.0, 20.0)
    text = _sql(sales)
    with closing(sqlite3.connect(sales.root / ".headrace/state.db")) as state:
        flags = state.execute("select proven from trial where finding = ?", (" ".join(names),))
        assert flags.fetchall() == [(1,)]
    code, _, refusal = sales.call(sales.root, "optimize", "apply", *names, "--yes")
    assert (code, "measuring sales" in refusal) == (3, True)
    assert "its durations are inconclusive: --budget allows more runs" in refusal
    assert _sql(sales) == text


@pytest.mark.long
def test_a_missing_check_is_part_of_the_change(sales: Project) -> None:
    """Would catch: a key that nothing guards afterwards, taken for granted."""
    (sales.root / "assets/sales.sql").write_text(
        FILES["assets/sales.sql"].split("*/\n")[0]
        + "*/\nselect distinct l.id, l.amount, l.day, c.name\n"
        "from order_lines as l join clients as c on c.customer = l.customer\n"
    )
    sales.text("apply", "--yes", "--keep", "sales", "--reason", "shorter")
    (row,) = [r for r in sales.json(*PROVE) if r["kind"] == "remove_distinct"]
    assert row["verdict"] == "measured_equal"
    assert row["adds_checks"] == ["`unique: [customer]` of clients"], row
    applied = sales.json("optimize", "apply", row["id"], "--yes")
    assert applied["state"] == "applied"
    assert "distinct" not in _sql(sales)
    assert "unique: [customer]" in (sales.root / "assets/clients.sql").read_text()
    _deliver(sales.root, "2025-03-06", twice=True)
    sales.call(sales.root, "tick", "--now", LATER)
    assert "2025-03-06" not in str(sales.json("read", "sales", "--limit", "10000")["rows"])


def test_a_fan_out_in_the_data_refutes(sales: Project) -> None:
    """Would catch: DISTINCT that hides repeated rows of a join, said to be redundant."""
    (sales.root / "assets/sales.sql").write_text(
        FILES["assets/sales.sql"].split("*/\n")[0]
        + "*/\nselect distinct l.id, l.amount, l.day, c.name\n"
        "from order_lines as l join clients as c on c.customer = l.customer\n"
    )
    _deliver(sales.root, "2025-03-06", twice=True)
    sales.text("apply", "--yes", "--keep", "sales", "--reason", "shorter")
    sales.text("tick", "--now", LATER)
    (row,) = [r for r in sales.json(*PROVE) if r["kind"] == "remove_distinct"]
    assert (row["verdict"], row["command"]) == ("refuted", None)
    assert row["equality"]["equal"] is False
    assert any("rows differ in 2025-03-06" in premise["text"] for premise in row["premises"])
    text = _sql(sales)
    assert "rows differ" in sales.refused("optimize", "apply", row["id"], "--yes", code=3)
    assert _sql(sales) == text
    assert sales.json("ab")[0]["verdict"] == "not_equal"


@pytest.mark.system
@pytest.mark.long
def test_what_is_not_measured_or_has_changed_is_refused(sales: Project) -> None:
    """Would catch: a change of another text than the measured one, or one without a proof."""
    findings = [row for row in sales.json("optimize", "sales") if row["verdict"] == "proven"]
    name = findings[0]["id"]
    assert "wasn't measured" in sales.refused("optimize", "apply", name, "--yes", code=3)
    assert "there is no finding 'o-none'" in sales.refused("optimize", "apply", "o-none", "--yes")
    sales.refused("optimize", "apply")
    sales.refused("optimize", "--budget", "5s")
    sales.refused("optimize", "--prove", "--budget", "soon")
    name = next(row["id"] for row in sales.json(*PROVE) if row["command"])
    (sales.root / "assets/sales.sql").write_text(_sql(sales).replace("amount > 1", "amount > 2"))
    refusal = sales.refused("optimize", "apply", name, "--yes", code=3)
    assert "aren't applied" in refusal
    sales.text("apply", "--yes", "--keep", "sales", "--reason", "other")
    refusal = sales.refused("optimize", "apply", name, "--yes", code=3)
    assert "has changed since it was measured" in refusal


@pytest.mark.system
@pytest.mark.long
def test_a_finding_that_no_query_shows_says_why(sales: Project) -> None:
    """Would catch: a refusal whose hint, `--prove`, leads to the same refusal again."""
    (sales.root / "consumers.yaml").write_text(
        "- {consumer: report, owner: core, reads: [clients], due: '07:00'}\n"
    )
    sales.text("apply", "--yes")
    (row,) = [r for r in sales.json(*PROVE) if r["rule"] == "unread_asset"]
    assert (row["measured"], row["unmeasured"]) == (None, "it has no diff")
    refusal = sales.refused("optimize", "apply", row["id"], "--yes", code=3)
    assert "can't be applied by this command: it has no diff" in refusal
    assert row["command"] in refusal
    assert "wasn't measured" not in refusal


def test_a_guard_that_has_gone_withdraws(sales: Project) -> None:
    """Would catch: a proof that goes on although nobody checks its key any more."""
    header = FILES["assets/sales.sql"].split("*/\n")[0]
    query = "select distinct id, amount, day from order_lines"
    (sales.root / "assets/sales.sql").write_text(f"{header}*/\n{query}\n")
    sales.text("apply", "--yes", "--keep", "sales", "--reason", "shorter")
    name = next(row["id"] for row in sales.json(*PROVE) if row["command"] and row["premises"])
    lines = sales.root / "assets/order_lines.sql"
    lines.write_text(
        lines.read_text().replace("checks:\n  - unique: [id]\n  - not_null: [id]\n", "")
    )
    sales.text("apply", "--yes")
    text = _sql(sales)
    refusal = sales.call(sales.root, "optimize", "apply", name, "--yes")
    assert refusal[0] == 3
    assert "withdrawn" in refusal[2] or "isn't proven" in refusal[2]
    assert _sql(sales) == text


@pytest.mark.parametrize(
    "query",
    [
        "select distinct id, random() as amount, day from order_lines",
        "select distinct id, now() as amount, day from order_lines",
        "select id, amount, day from (select distinct id, amount, day from order_lines limit 3)",
        "select day, sum(amount::double) as amount from (select distinct * from order_lines) group by 1",
    ],
)
def test_unrepeatable_queries_are_never_applied(sales: Project, query: str) -> None:
    """Would catch: a query that differs by itself, measured equal by chance and changed."""
    header = FILES["assets/sales.sql"].split("*/\n")[0]
    (sales.root / "assets/sales.sql").write_text(f"{header}*/\n{query}\n")
    sales.text("apply", "--yes", "--keep", "sales", "--reason", "another query")
    for row in sales.json(*PROVE):
        assert row["command"] is None, row
        assert sales.call(sales.root, "optimize", "apply", row["id"], "--yes")[0] == 3


def test_a_budget_that_ends_is_named(sales: Project) -> None:
    """Would catch: findings that weren't measured and don't say so."""
    rows = sales.json("optimize", "sales", "--prove", "--budget", "1s", "--partitions", "1")
    editable = [row for row in rows if row["diff"] and row["kind"] == "remove_distinct"]
    assert editable
    for row in editable:
        assert row["measured"] is not None or row["unmeasured"], row
        assert (row["command"] is not None) <= (row["measured"] is not None)


@pytest.mark.long
def test_findings_are_measured_together_within_the_budget(
    sales: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a command that goes on for 10 s after the budget that somebody gave it."""
    ends: list[float] = []
    together = proofs._measured_together

    def recorded(*arguments: Any) -> Any:
        ends.append(arguments[5])
        return together(*arguments)

    monkeypatch.setattr(proofs, "_measured_together", recorded)
    began = time.monotonic()
    sales.json("optimize", "sales", "--prove", "--budget", "6s", "--partitions", "1")
    assert all(until <= began + 6 + 3 for until in ends)


@pytest.mark.long
def test_rows_that_cannot_be_compared_in_time_are_not_told_as_different(
    sales: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a slow machine told as rows that differ."""
    rows = sales.json("optimize", "sales", "--prove", "--budget", "20s", "--partitions", "1")
    row = next(row for row in rows if row["command"])
    trial = trials.Trial((), (), ("2025-03-05",))

    def without_time(_session: Any, _base: Any, change: Any, *_: Any, **__: Any) -> FindingTrial:
        return FindingTrial(change, trial, {"sales": trial})

    monkeypatch.setattr(optimize_apply, "trial_of_change", without_time)
    text = _sql(sales)
    refusal = sales.refused("optimize", "apply", row["id"], "--yes", code=3)
    assert "the change of sales isn't applied: its rows couldn't be compared within" in refusal
    assert "withdrawn" not in refusal
    assert _sql(sales) == text


def test_nothing_published(tmp_path: Path, call: Callable[..., Any]) -> None:
    """Would catch: figures before the first run."""
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(tmp_path, call)
    for row in project.json(*PROVE):
        assert (row["equality"], row["measured"], row["command"]) == (None, None, None)
    assert "no published partition" in project.text(*PROVE)
