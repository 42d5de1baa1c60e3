# ruff: noqa: E501
"""What verbs print for people, at four widths, compared with fixtures/<name>.<width>.txt.

`HEADRACE_FIXTURES=write` writes the fixtures anew; read what changed before you keep it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

from headrace.cli.commands import (
    apply,
    cancel,
    demo,
    diff,
    doctor,
    lineage,
    ls,
    pause,
    quarantine,
    read,
    render,
    runs,
    schema,
    sql,
    status,
    testing,
    try_asset,
    validate,
    why,
    withdraw,
)
from headrace.cli.moments import Reader
from headrace.cli.page import Page
from headrace.cli.running import render as render_run
from headrace.cli.screen import Screen
from headrace.operations import documents as d
from headrace.operations import inspections as i
from headrace.operations import interventions as n

FIXTURES = Path(__file__).parent / "fixtures"
WIDTHS = (60, 80, 120, 200)
NOW = datetime(2013, 2, 14, 12, 20, tzinfo=UTC)
HOSTILE = "x\x1b[31m[bold]\u202e\nDROP"


def consumer(
    name: str, needs: str, state: str = "late", why: str = "flights: 2 columns gone, 2 new, held since Tue 02-12 04:40"
) -> d.ConsumerRow:
    return d.ConsumerRow(
        name=name,
        owner="operations",
        state=state,
        states=[state],
        since=NOW - timedelta(days=2, minutes=20),
        due_interval="2013-02-13",
        data_through="2013-02-10",
        backlog=["2013-02-11", "2013-02-12"],
        reads=[d.ReadRow(asset="report", state="behind", data_through="2013-02-10")],
        reason=why,
        next="headrace quarantine flights@2013-02-11",
        needs=needs,
    )


def status_document(**changed: Any) -> d.StatusDocument:
    fields: dict[str, Any] = {
        "project": "flights",
        "env": "prod",
        "timezone": "America/New_York",
        "now": NOW,
        "observed_at": NOW,
        "runtime": "stopped",
        "clock": "replay",
        "consumers": [
            consumer("morning-report", "07:00 daily"),
            consumer("regulator-extract", "09:00 daily"),
            consumer("ops-dashboard", "30 h old"),
        ],
        "assets": d.AssetCounts(fresh=4, behind=8),
        "quarantine": d.QuarantineCounts(deliveries=3, partitions=3, rows=2740),
        "files": [d.FilesRow(asset="daily_report", partition="2013-02-10", paths=[".headrace/files/1.9/index.html"])],
        "next": "headrace quarantine flights@2013-02-11",
    }
    return d.StatusDocument(**{**fields, **changed})


SERVED = status_document(
    consumers=[consumer("morning-report", "07:00 daily", "served", "all that is due can be read")],
    quarantine=d.QuarantineCounts(deliveries=0, partitions=0, rows=0),
    next=None,
)
ERROR = d.ErrorRow(
    kind="deterministic",
    message='column "dep_dely" not found',
    file="assets/clean.sql",
    line=7,
    hint="did you mean dep_delay?",
    code="body_failed",
)


def attempt(asset: str, state: str = "published", *keys: str, error: d.ErrorRow | None = None, reason: str | None = None) -> d.AttemptRow:
    return d.AttemptRow(
        id="1.17",
        asset=asset,
        partitions=list(keys) or ["2013-02-10"],
        state=state,
        rows=930,
        queued_at=NOW,
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=0.02),
        reason=reason,
        error=error,
    )


RUN = d.RunDocument(
    now=NOW,
    run_id="12",
    state="partial",
    attempts=[
        *(attempt("flights_clean", "published", f"2013-02-{day:02}") for day in range(1, 11)),
        attempt(
            "flights",
            "held",
            "2013-02-11",
            reason="2 columns gone, 2 new (gone: dep_delay, arr_delay; new: departure_delay, arrival_delay)",
        ),
        attempt("carrier_delays", "failed", error=ERROR),
        attempt(HOSTILE, "lost", HOSTILE, reason=HOSTILE),
    ],
    published=[d.PublishedRow(asset="flights_clean", partition=f"2013-02-{day:02}", rows=930, snapshot=day) for day in range(1, 11)],
    rejected=[
        d.RejectedRow(asset="flights", partition="2013-02-11", state="held"),
        d.RejectedRow(asset="carrier_delays", partition="2013-02-10", state="failed"),
    ],
)


def run_row(node: str | None, state: str, *, run: str = "12", n: int = 17, error: d.ErrorRow | None = None) -> d.RunRow:
    return d.RunRow(
        run_id=run,
        run_kind="tick",
        run_state="partial",
        actor="ada",
        attempt=f"1.{n}" if node else None,
        node=node,
        partition="2013-02-10" if node else None,
        state=state,
        verdict=None,
        at=NOW,
        reason=error.message if error else None,
        rows=930,
        seconds=0.02,
        run_started_at=NOW - timedelta(days=1),
        run_finished_at=NOW - timedelta(days=1) + timedelta(seconds=14),
        error=error,
    )


HELD = d.QuarantineRow(
    node="flights",
    partition="2013-02-11",
    state="held",
    verdict="held",
    at=NOW - timedelta(days=2),
    reason="2 columns gone, 2 new (gone: dep_delay, arr_delay; new: departure_delay, arrival_delay)",
    owner="flight-feed-inc",
    rows=929,
    path=".headrace/quarantine/5f0c.parquet",
    delivery="landing/flights_2013-02-11.csv",
    sample=[
        {"carrier": "UA", "departure_delay": -2, "tail\x1b[31mnum": None},
        {"carrier": HOSTILE, "departure_delay": 5, "tail\x1b[31mnum": "N1"},
    ],
    checks=[
        d.CheckRow(
            name="unique_id", kind="unique", severity="blocking", outcome="failed", rows=929, failing=2, detail="id: 2 rows more than once"
        )
    ],
    attempt="1.18",
    todo="ask flight-feed-inc for the file as it was agreed, then: headrace tick",
)
COUNTS = d.Counts(sources=5, assets=12, consumers=3, contracts=1)
VALIDATE = d.ValidateDocument(
    ok=False,
    counts=COUNTS,
    problems=[
        d.ProblemRow(
            severity="error",
            code="unknown_read",
            message="unknown asset `flighs_clean` in reads",
            hint="did you mean `flights_clean`?",
            file="consumers.yaml",
            line=3,
        ),
        d.ProblemRow(
            severity="warning",
            code="no_checks",
            message=f"the asset {HOSTILE} has no checks and so it is never more than unchecked",
            hint="",
            file="assets/a.sql",
            line=1,
        ),
    ],
)
NODES = [
    d.NodeRow(name="flights", kind="source", body=None, owner="flight-feed-inc", domain="flights", partition="day", tags=[], file="sources/flights.yaml"),
    d.NodeRow(name="a_rather_long_name_of_an_asset_in_a_project", kind="asset", body="sql", owner="flight-data", domain="flights", partition="day,key:region", tags=["daily", "regulated"], file="assets/clean/a_rather_long_name_of_an_asset_in_a_project.sql"),
    d.NodeRow(name="morning-report", kind="consumer", body=None, owner="operations", domain=None, partition=None, tags=[], file="consumers.yaml"),
]  # fmt: skip
LINEAGE = d.LineageDocument(
    column="carrier_delays.mean_delay",
    upstream=[d.LineageRow(column="flights_clean.dep_delay", via="carrier_delays.mean_delay", transformation="aggregate"), d.LineageRow(column="flights.dep_delay", via="flights_clean.dep_delay", transformation="identity")],
    downstream=[],
)  # fmt: skip
COLUMNS = [
    d.ColumnRow(name="carrier", type="VARCHAR"),
    d.ColumnRow(name="flights", type="BIGINT"),
    d.ColumnRow(name="mean_delay", type="DECIMAL(18,2)"),
]
READ = d.ReadDocument(
    asset="carrier_delays",
    snapshot=120,
    columns=COLUMNS,
    rows=[{"carrier": "UA", "flights": 165, "mean_delay": "12.50"}, {"carrier": HOSTILE, "flights": None, "mean_delay": "-1.00"}],
    data_through="2013-02-10",
    published_at=NOW - timedelta(days=3),
    state="behind",
    rows_total=615,
)
NOTHING = d.ReadDocument(
    asset="carrier_delays", snapshot=None, columns=COLUMNS, rows=[], data_through=None, published_at=None, state="never"
)
RENDER = d.RenderDocument(
    asset="carrier_delays",
    partition="2013-02-10",
    body="sql",
    text="select carrier, avg(dep_delay) as mean_delay\nfrom flights_clean\nwhere flight_date >= $partition_start",
    parameters={"threshold": 15, "partition_start": "2013-02-10"},
    inputs=[d.RenderInput(node="flights_clean", mode="lookback 7d", partitions=[f"2013-02-{day:02}" for day in range(3, 11)], published=8), d.RenderInput(node="planes", mode="all", partitions=None, published=1)],
    columns=COLUMNS,
    file="assets/carrier_delays.sql",
    line=9,
)  # fmt: skip
TRY = d.TryDocument(
    asset="carrier_delays", partition="2013-02-10", state="rejected", rows_total=615, columns=COLUMNS, rows=READ.rows, seconds=0.031,
    checks=[*HELD.checks, d.CheckRow(name="some_rows", kind="row_count", severity="blocking", outcome="passed", rows=615, failing=0)],
)  # fmt: skip
APPLY = d.ApplyDocument(
    now=NOW,
    state="applied",
    version=3,
    plan=d.PlanDocument(changes=[d.ChangeRow(node="flights_clean", change="body", columns=["dep_delay"], partitions_stale=41)], affects=d.Affects(consumers=["morning-report"], owners=["flight-data", "operations"])),
    clock="replay",
)  # fmt: skip
DEMO = d.DemoDocument(
    directory="demo", now=NOW, resumed=False, counts=COUNTS, owners=4, first="2013-01-01", last="2013-02-13", days=44, days_published=41, rows=35530,
    seconds=14.2, data="New York flights 2013 (CC0), from the package registry", data_seconds=2.1,
    events=[
        d.DemoEvent(partition="2013-02-08", state="warned", node="flights_clean", message="472 of 930 cancelled, every flight after 17:00; published"),
        d.DemoEvent(partition="2013-02-11", state="held", node="flights", message="2 columns renamed without notice", injected=True),
    ],
    next="headrace status",
)  # fmt: skip
CHECKED = d.CheckRow(
    name="unique_carrier",
    kind="unique",
    severity="blocking",
    outcome="failed",
    rows=3,
    failing=1,
    detail="carrier: 1 row repeating a key (UA)",
)
TESTS = [
    i.TestRow(
        test="a_storm_cancels",
        asset="carrier_delays",
        partition="2013-02-08",
        state="passed",
        file="tests/storm.yaml",
        line=1,
        seconds=0.02,
        rows=1,
        rows_expected=1,
    ),
    i.TestRow(
        test="delays_are_averaged_over_flights_that_left",
        asset="carrier_delays",
        partition="2013-02-08",
        state="failed",
        file="tests/storm.yaml",
        line=9,
        seconds=0.02,
        missing=[{"carrier": "AA", "mean_delay": "7.00"}],
        unexpected=[{"carrier": HOSTILE, "mean_delay": None}],
        differences=3,
        checks=[CHECKED],
        changed=[
            i.ChangedRow(
                row={"carrier": "UA", "mean_delay": "12.50"}, cells=[i.CellRow(column="mean_delay", expected="12.00", got="12.50")]
            )
        ],
        reason="the check unique_carrier was expected to pass, and didn't",
        log=["a line that the body printed"],
    ),
    i.TestRow(test="it_fails", asset="airport_ranking", partition=None, state="error", file="tests/x.yaml", line=2, error=ERROR),
]
SQL = i.SqlDocument(
    snapshot=120,
    at=NOW - timedelta(days=1),
    tables=["carrier_delays", "planes"],
    columns=COLUMNS,
    rows=READ.rows,
    truncated=True,
    seconds=0.04,
)
ATTACH = i.AttachDocument(
    catalog="sqlite",
    statement="select 0;\nselect 1",
    note="Headrace doesn't see what is read this way: it isn't masked, and counts as no use.",
)
DIFF = i.DiffDocument(
    asset="carrier_delays",
    before=i.MomentRow(snapshot=117, at=NOW - timedelta(days=1)),
    after=i.MomentRow(snapshot=120, at=NOW),
    columns=[
        i.ColumnChange(column="mean_delay", change="type", before="DOUBLE", after="DECIMAL(18,2)"),
        i.ColumnChange(column="flights", change="added", before=None, after="BIGINT"),
    ],
    partitions=[
        i.PartitionChange(partition="2013-02-10", change="republished", rows_before=15, rows_after=16),
        i.PartitionChange(partition="2013-02-11", change="added", rows_before=None, rows_after=16),
    ],
    keys=["carrier"],
    rows_added=17,
    rows_removed=0,
    rows_changed=1,
    cells={"mean_delay": 1},
    sample=[
        i.RowChange(change="changed", before={"carrier": "UA", "mean_delay": "12.00"}, after={"carrier": "UA", "mean_delay": "12.50"}),
        i.RowChange(change="added", before=None, after={"carrier": HOSTILE, "mean_delay": None}),
        i.RowChange(change="removed", before={"carrier": "AA", "mean_delay": "1.00"}, after=None),
    ],
)
DOCTOR = [
    i.ExaminationRow(area="project", name="declarations", state="ok", detail="valid"),
    i.ExaminationRow(
        area="project",
        name="[connections.bank]",
        state="fail",
        detail="the environment variable DB_PASSWORD isn't set",
        todo="set DB_PASSWORD where headrace runs",
    ),
    i.ExaminationRow(
        area="state", name="disk", state="warn", detail="1.2 GiB free at /srv/flights/.headrace", todo="make room, or shorten [retention]"
    ),
    i.ExaminationRow(
        area="outside",
        name="source rates",
        state="skipped",
        detail="is looked at by a worker; headrace connections test asks its connection",
    ),
]

PAUSED = n.PauseDocument(
    now=NOW,
    clock="replay",
    changed=["flights_clean"],
    paused=[
        n.PauseRow(
            node="flights_clean", kind="asset", reason="the vendor sends it again", by="ada", since=NOW, until=NOW + timedelta(hours=3)
        ),
        n.PauseRow(node="gone", kind=None, reason=HOSTILE, by=HOSTILE, since=NOW - timedelta(days=3), until=None),
    ],
)
CANCELLED = n.CancelDocument(
    now=NOW, clock="replay", run_id="12", state="cancelled", by="ada", reason="the vendor called", ended_at=NOW - timedelta(minutes=2)
)
WITHDRAWN = n.WithdrawDocument(
    now=NOW, clock="replay", asset="flights_clean", partition="2013-02-11", state="withdrawn", rows=930, snapshot=121,
    published_at=NOW - timedelta(days=2), reason=HOSTILE, consumers=["ops-dashboard"],
    stale=[n.StaleRow(node="carrier_delays", partitions=["2013-02-11"]), n.StaleRow(node="airport_ranking", partitions=["2013-02-11", "2013-02-12"])],
)  # fmt: skip
WHY = n.WhyDocument(
    now=NOW, clock="replay", subject="morning-report", interval="2013-02-13", state="late",
    verdict="morning-report 2013-02-13 waits for flights 2013-02-13, expected by 05:00, which is 2 h 20 min ago",
    waiting_for=[
        n.WaitingRow(kind="partition", node="flights_clean", partition="2013-02-13", state="missing", waiter="carrier_delays@2013-02-13", text="waits for flights_clean 2013-02-13, which waits itself"),
        n.WaitingRow(kind="delivery", node="flights", partition="2013-02-13", state="missing", waiter="flights_clean@2013-02-13", text="waits for flights 2013-02-13, expected by 05:00, which is 2 h 20 min ago"),
        n.WaitingRow(kind="running", node="airport_ranking", partition="2013-02-13", state="running", waiter="airport_ranking@2013-02-13", text=f"is being computed since 07:12 (attempt 3.17, 8 min): {HOSTILE}", attempt="3.17", seconds=480.0, p50_seconds=2.1, p95_seconds=204.0),
    ],
    also_waiting=2,
    next="headrace deliveries flights",
)  # fmt: skip

SCREENS: dict[str, tuple[Any, Callable[[Any, Page], None]]] = {
    "status_late": (status_document(), status._render),
    "status_served": (SERVED, status._render),
    "status_paused": (
        status_document(
            paused=[d.PausedRow(node="flights_clean", reason="the vendor sends it again", by="ada", until=NOW + timedelta(hours=3))],
            next="headrace resume flights_clean",
        ),
        status._render,
    ),
    "status_nobody": (status_document(consumers=[], not_applied=None, next="headrace validate"), status._render),
    "run": (RUN, render_run),
    "run_nothing_due": (d.RunDocument(now=NOW, run_id="13", state="nothing_due", attempts=[], published=[], rejected=[]), render_run),
    "runs": ([run_row("flights", "held"), run_row("carrier_delays", "failed", n=18), run_row(None, "nothing_due", run="11")], runs._all),
    "runs_one": ([run_row("flights", "held"), run_row("carrier_delays", "failed", n=18, error=ERROR)], runs._one),
    "runs_cancelled": (
        [
            msgspec.structs.replace(
                run_row("flights", "cancelled"),
                run_state="cancelled",
                cancelled_at=NOW,
                cancelled_by="ada",
                cancel_reason="the vendor called",
            )
        ],
        runs._one,
    ),
    "pause": (PAUSED, pause.render),
    "resume": (msgspec.structs.replace(PAUSED, paused=[]), pause.render),
    "cancel": (CANCELLED, cancel._render),
    "cancel_ended": (msgspec.structs.replace(CANCELLED, state="succeeded", by=None, reason=None), cancel._render),
    "withdraw": (WITHDRAWN, withdraw._render),
    "why": (WHY, why._render),
    "quarantine": ([HELD, HELD], lambda rows, page: quarantine._render(rows, page, None)),
    "quarantine_one": ([HELD], lambda rows, page: quarantine._render(rows, page, "flights@2013-02-11")),
    "quarantine_empty": ([], lambda rows, page: quarantine._render(rows, page, None)),
    "validate": (VALIDATE, validate._render),
    "validate_ok": (d.ValidateDocument(ok=True, counts=COUNTS, problems=[]), validate._render),
    "ls": (NODES, ls._render),
    "lineage": (LINEAGE, lineage._render),
    "read": (READ, read._render),
    "read_nothing": (NOTHING, read._render),
    "render": (RENDER, render._render),
    "try": (TRY, try_asset._render),
    "apply": (APPLY, apply._render),
    "plan": (APPLY.plan, apply.show),
    "demo": (DEMO, demo._render),
    "test": (TESTS, testing._render),
    "test_none": ([], testing._render),
    "sql": (SQL, sql._render),
    "attach": (ATTACH, sql._statement),
    "diff": (DIFF, diff._render),
    "diff_nothing": (
        DIFF.__class__(
            asset="a",
            before=DIFF.before,
            after=DIFF.after,
            columns=[],
            partitions=[],
            keys=None,
            rows_added=0,
            rows_removed=0,
            rows_changed=None,
            cells={},
            sample=[],
        ),
        diff._render,
    ),
    "doctor": (DOCTOR, doctor._render),
    "schema": ([i.SchemaRow(name="sources", files=["sources/**/*.yaml"], description="Sources", document={})], schema._all),
}


@pytest.fixture(autouse=True)
def _in_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed depends on which `headrace` a shell finds: here it is ours."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))


def printed(name: str, width: int) -> str:
    document, render_it = SCREENS[name]
    stream = io.StringIO()
    screen = Screen(stream)
    screen.width = width
    render_it(document, Page(screen, Reader.at(NOW, "America/New_York", replay=True)))
    return stream.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_as_it_should(name: str, width: int) -> None:
    text = printed(name, width)
    path = FIXTURES / f"{name}.{width}.txt"
    if os.environ.get("HEADRACE_FIXTURES") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_fits_and_obeys_nothing(name: str, width: int) -> None:
    """Lines that people paste (the next command, SQL, paths to enter) are never broken; all others fit."""
    for line in printed(name, width).splitlines():
        assert line.isprintable(), "data must not steer the terminal"
        pasted = line.startswith(("next:", "    cd ", "    . ", "    headrace", "select ", "where "))
        assert pasted or cell_len(line) <= width, line


@pytest.mark.parametrize("name", [name for name in SCREENS if name not in ("plan", "demo", "status_served", "attach")])
def test_the_last_line_is_the_next_command(name: str) -> None:
    assert printed(name, 80).splitlines()[-1].startswith("next: headrace ")


@pytest.mark.parametrize(
    "name", [name for name in SCREENS if name.startswith(("status", "run", "quarantine", "read", "try", "apply", "render"))]
)
def test_the_replay_clock_and_the_zone_are_said_once(name: str) -> None:
    text = printed(name, 200)
    assert text.count("replay clock") == 1
    assert text.count("America/New_York") == 1


def test_the_demo_activates_the_environment_where_a_shell_would_not_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    if not Path(sys.prefix, "bin", "activate").exists():
        pytest.skip("not in a virtual environment")
    assert f". {sys.prefix}/bin/activate && cd demo" in printed("demo", 200)
