"""What commands print for people, at four widths, compared with fixtures/<name>.<width>.txt."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import screen_lab
from screen_lab import ERROR, HOSTILE, NOW, WIDTHS, require_fit, require_next, require_same

from headrace import responses as d
from headrace.cli.commands import (
    apply,
    assets,
    contract,
    declarations,
    explain,
    plans,
    quarantine,
    read,
    runs,
    status,
)
from headrace.cli.commands import backfills as commands_backfills
from headrace.cli.commands import checks as commands_checks
from headrace.cli.commands import incidents as commands_incidents
from headrace.cli.commands import run as commands_run
from headrace.cli.commands import why as commands_why
from headrace.cli.output import CommandOutput, TimeFormatter
from headrace.cli.run_results import render_run
from headrace.cli.terminal import Screen
from headrace.model.policy import Approval
from headrace.responses import backfills as b
from headrace.responses import incidents as q
from headrace.responses import inspections as i
from headrace.responses import interventions as n
from headrace.responses import repairs as c
from headrace.services import checks as k
from headrace.slo.freshness import AssetStateCounts
from headrace.store.queries.quarantine import QuarantineTotals

FIXTURES = Path(__file__).parent / "fixtures"


def consumer(
    name: str,
    needs: str,
    state: str = "late",
    why: str = "flights: 2 columns gone, 2 new, held since Tue 02-12 04:40",
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
        missing_besides=0 if state == "served" else 2,
        reads=[d.ReadRow(asset="report", state="behind", data_through="2013-02-10")],
        reason=why,
        next="headrace quarantine flights@2013-02-11",
        needs=needs,
    )


def status_response(**changed: Any) -> d.StatusResponse:
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
        "assets": AssetStateCounts(fresh=4, behind=8),
        "quarantine": QuarantineTotals(deliveries=3, partitions=3, rows=2740),
        "files": [
            d.FilesRow(
                asset="daily_report",
                partition="2013-02-10",
                paths=[".headrace/files/1.9/index.html"],
            )
        ],
        "headline": (
            "3 of 3 consumers aren't served: morning-report (late), regulator-extract (late),"
            " ops-dashboard (late). Nothing wrong was published. Also open: 2,740 held rows."
        ),
        "next": "headrace quarantine flights@2013-02-11",
    }
    return d.StatusResponse(**{**fields, **changed})


AVAILABILITY = d.AvailabilityRow(
    honest="93.1",
    claimed="93.9",
    minutes=43200,
    lost_minutes=2960,
    corrected_minutes=345,
    exception_minutes=0,
    unknown_minutes=0,
    promised=30,
    kept=27,
    incidents=["INC-3"],
)
HONEST = status_response(
    consumers=[
        msgspec.structs.replace(consumer, availability=AVAILABILITY)
        for consumer in status_response().consumers
    ],
    availability_text="93.1 % of 30 days, worst of 3 consumers (mean 93.3 %); 8,640 minutes lost in total",
    corrections=[
        f"{consumer.name}: 93.9 % was claimed; 345 minutes corrected since (INC-3)"
        for consumer in status_response().consumers
    ],
    uptime_text="100.0 % of started runs succeeded; held work never starts, so it never fails",
    honest_availability="93.1",
    honest_mean="93.3",
    minutes_lost=8640,
    claimed_availability="93.9",
    classic_uptime="100.0",
    runs_started=44,
    worst="ops-dashboard",
)
PUT_DOWN = d.RepairRow(
    node="flights",
    partitions=["2013-02-11"],
    first="accept the new names",
    commands=["headrace tick"],
    incident="INC-1",
)
ONE_CAUSE = status_response(
    consumers=[
        msgspec.structs.replace(
            consumer, incident="INC-1", reason="INC-1 flights: 2 columns renamed"
        )
        for consumer in status_response().consumers
    ],
    incidents_open=2,
    holding=d.HoldingRow(causes=1, assets=8, consumers=3, command="headrace fix INC-1"),
    repairs=[PUT_DOWN],
    headline=(
        "1 cause holds 8 assets and 3 consumers. Nothing wrong was published. Also open: 1 other"
        " incident."
    ),
    next="headrace why morning-report",
)
SERVED = status_response(
    consumers=[consumer("morning-report", "07:00 daily", "served", "all that is due can be read")],
    quarantine=QuarantineTotals(deliveries=0, partitions=0, rows=0),
    headline="The consumer is served.",
    next=None,
)


def attempt(
    asset: str,
    state: str = "published",
    *keys: str,
    error: d.ErrorRow | None = None,
    reason: str | None = None,
) -> d.AttemptRow:
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


RUN = d.RunResponse(
    now=NOW,
    run_id="12",
    state="partial",
    incidents_opened=["INC-1"],
    attempts=[
        *(attempt("flights_clean", "published", f"2013-02-{day:02}") for day in range(1, 11)),
        attempt(
            "flights",
            "held",
            "2013-02-11",
            reason=(
                "2 columns gone, 2 new (gone: dep_delay, arr_delay; new: departure_delay,"
                " arrival_delay)"
            ),
        ),
        attempt("flights", "held", "2013-02-12", reason="null_spike: dep_delay: 62 % nulls"),
        attempt("carrier_delays", "failed", error=ERROR),
        attempt(HOSTILE, "lost", HOSTILE, reason=HOSTILE),
    ],
    published=[
        d.PublishedRow(asset="flights_clean", partition=f"2013-02-{day:02}", rows=930, snapshot=day)
        for day in range(1, 11)
    ],
    rejected=[
        d.RejectedRow(asset="flights", partition="2013-02-11", state="held"),
        d.RejectedRow(asset="flights", partition="2013-02-12", state="held"),
        d.RejectedRow(asset="carrier_delays", partition="2013-02-10", state="failed"),
    ],
)


def run_row(
    node: str | None, state: str, *, run: str = "12", n: int = 17, error: d.ErrorRow | None = None
) -> d.RunRow:
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
    reason=(
        "2 columns gone, 2 new (gone: dep_delay, arr_delay; new: departure_delay, arrival_delay)"
    ),
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
            name="unique_id",
            kind="unique",
            severity="blocking",
            outcome="failed",
            rows=929,
            failing=2,
            detail="id: 2 rows more than once",
        )
    ],
    attempt="1.18",
    todo="ask flight-feed-inc for the file as it was agreed, then: headrace tick",
    decide=[
        "headrace quarantine accept flights@2013-02-11 --reason TEXT",
        "headrace quarantine drop flights@2013-02-11 --reason TEXT",
    ],
)
COUNTS = d.Counts(sources=5, assets=12, consumers=3, contracts=1)
VALIDATE = d.ValidateResponse(
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
    d.NodeRow(
        name="flights",
        kind="source",
        body=None,
        owner="flight-feed-inc",
        domain="flights",
        partition="day",
        tags=[],
        file="sources/flights.yaml",
    ),
    d.NodeRow(
        name="a_rather_long_name_of_an_asset_in_a_project",
        kind="asset",
        body="sql",
        owner="flight-data",
        domain="flights",
        partition="day,key:region",
        tags=["daily", "regulated"],
        file="assets/clean/a_rather_long_name_of_an_asset_in_a_project.sql",
    ),
    d.NodeRow(
        name="morning-report",
        kind="consumer",
        body=None,
        owner="operations",
        domain=None,
        partition=None,
        tags=[],
        file="consumers.yaml",
    ),
]
LINEAGE = d.LineageResponse(
    column="carrier_delays.mean_delay",
    upstream=[
        d.LineageRow(
            column="flights_clean.dep_delay",
            via="carrier_delays.mean_delay",
            transformation="aggregate",
        ),
        d.LineageRow(
            column="flights.dep_delay", via="flights_clean.dep_delay", transformation="identity"
        ),
    ],
    downstream=[],
)
COLUMNS = [
    d.ColumnRow(name="carrier", type="VARCHAR"),
    d.ColumnRow(name="flights", type="BIGINT"),
    d.ColumnRow(name="mean_delay", type="DECIMAL(18,2)"),
]
READ = d.ReadResponse(
    asset="carrier_delays",
    snapshot=120,
    columns=COLUMNS,
    rows=[
        {"carrier": "UA", "flights": 165, "mean_delay": "12.50"},
        {"carrier": HOSTILE, "flights": None, "mean_delay": "-1.00"},
    ],
    data_through="2013-02-10",
    published_at=NOW - timedelta(days=3),
    state="behind",
    rows_total=615,
)
NOTHING = d.ReadResponse(
    asset="carrier_delays",
    snapshot=None,
    columns=COLUMNS,
    rows=[],
    data_through=None,
    published_at=None,
    state="never",
)
RENDER = d.RenderResponse(
    asset="carrier_delays",
    partition="2013-02-10",
    body="sql",
    text=(
        "select carrier, avg(dep_delay) as mean_delay\nfrom flights_clean\nwhere flight_date >="
        " $partition_start"
    ),
    parameters={"threshold": 15, "partition_start": "2013-02-10"},
    inputs=[
        d.RenderInput(
            node="flights_clean",
            mode="lookback 7d",
            partitions=[f"2013-02-{day:02}" for day in range(3, 11)],
            published=8,
        ),
        d.RenderInput(node="planes", mode="all", partitions=None, published=1),
    ],
    columns=COLUMNS,
    file="assets/carrier_delays.sql",
    line=9,
)
STALE_COUNTS = d.CountsRow(
    partitions=123,
    sources=0,
    of_sources=0,
    assets=2,
    of_assets=82,
    exports=1,
    of_exports=41,
    nodes="2 assets and 1 export",
    text="123 partitions: 82 of 2 assets, 41 of 1 export",
)
NEEDED = [
    d.NeededRow(
        select=["flights_clean"],
        from_="2013-01-01",
        to="2013-02-10",
        mode="missing",
        command="headrace backfill flights_clean --from 2013-01-01 --to 2013-02-10 --reason TEXT",
        counts=STALE_COUNTS,
    ),
    d.NeededRow(
        select=["carrier_delays"],
        from_="2013-02-08",
        to="2013-02-10",
        mode="failed",
        command=(
            "headrace backfill carrier_delays --from 2013-02-08 --to 2013-02-10 --mode failed"
            " --reason TEXT"
        ),
    ),
]
APPLY = d.ApplyResponse(
    now=NOW,
    state="applied",
    version=3,
    plan_id="p-0123456789abcdef",
    steps_done=5,
    stale=[
        d.StaleRow(
            node="flights_clean",
            partitions=41,
            from_="2013-01-01",
            to="2013-02-10",
            why="its own code changed",
        )
    ],
    plan=d.PlanResponse(
        plan_id="p-0123456789abcdef",
        base_version=2,
        steps=[
            d.StepRow(
                n=1,
                kind="declare",
                node="flights_clean",
                from_=None,
                to=None,
                partitions=None,
                detail="body",
                needs_approval=False,
            ),
            d.StepRow(
                n=2,
                kind="declare",
                node=f"code/{HOSTILE}.py",
                from_=None,
                to=None,
                partitions=None,
                detail="code changed",
                needs_approval=False,
            ),
            d.StepRow(
                n=3,
                kind="rename",
                node="airlines",
                from_=None,
                to=None,
                partitions=None,
                detail="was carriers",
                needs_approval=False,
            ),
            d.StepRow(
                n=4,
                kind="remap",
                node="flights",
                from_="2013-02-11",
                to="2013-02-13",
                partitions=3,
                detail="deliveries are re-ingested by other names",
                needs_approval=False,
            ),
            d.StepRow(
                n=5,
                kind="invalidate",
                node="flights_clean",
                from_="2013-01-01",
                to="2013-02-10",
                partitions=41,
                detail="stale until it is requested again",
                needs_approval=False,
            ),
        ],
        changes=[
            d.ChangeRow(
                node="flights_clean",
                change="body",
                breaking=True,
                columns=["dep_delay", "late", "tail", "gate"],
                partitions_stale=41,
                effects=[
                    d.EffectRow(
                        column="dep_delay",
                        effect="meaning",
                        read_by=["carrier_delays", "ops-dashboard"],
                    ),
                    d.EffectRow(column="late", effect="type", read_by=["ops-dashboard"]),
                    d.EffectRow(column="tail", effect="dropped"),
                    d.EffectRow(column="gate", effect="added"),
                ],
            ),
            d.ChangeRow(node="morning-report", change="promise"),
            d.ChangeRow(node=HOSTILE, change="added"),
        ],
        affects=d.Affects(consumers=["morning-report"], owners=["flight-data", "operations"]),
        estimate={"seconds": 41.5, "low": 30.0, "high": 61.0, "basis": "simulated"},
        stale=[
            d.StaleRow(
                node="flights_clean",
                partitions=41,
                from_="2013-01-01",
                to="2013-02-10",
                why="its own code changed",
            ),
            d.StaleRow(
                node="carrier_delays",
                partitions=41,
                from_="2013-01-01",
                to="2013-02-10",
                why="reads flights_clean",
            ),
        ],
        repairs=[
            d.StaleRow(
                node="carrier_delays",
                partitions=3,
                from_="2013-02-08",
                to="2013-02-10",
                why="failed under the code as it was",
            )
        ],
        built=[d.PromotedRow(environment="dev", node="flights_clean", partitions=12)],
        weakens=[
            d.WeakenedRow(node="morning-report", what="due", before="by 07:00", after="by 09:00")
        ],
        backfills=NEEDED,
        against="version 2",
        next="headrace apply p-0123456789abcdef",
        now=NOW,
        clock="replay",
    ),
    clock="replay",
    backfills=NEEDED,
)
APPLY_REFUSED = msgspec.structs.replace(
    APPLY,
    state="refused",
    steps_done=0,
    version=2,
    backfills=[],
    refused=d.RefusedRow(
        code="plan_changed",
        plan_id_now="p-fedcba9876543210",
        files=["assets/flights_clean.sql", f"code/{HOSTILE}.py"],
        changed=[
            "the plan starts from version 2, version 3 is in force",
            "a new step: invalidate carrier_delays from 2013-01-01",
        ],
    ),
)
VERSIONS = [
    d.VersionRow(
        version=12,
        plan_id="p-0123456789abcdef",
        by=HOSTILE,
        at=NOW,
        files=[
            d.VersionFileRow(path=f"assets/{HOSTILE}.sql", sha256="0" * 64),
            d.VersionFileRow(path="headrace.toml", sha256="f" * 64),
        ],
    ),
    d.VersionRow(version=11, plan_id=None, by="ada@db1", at=NOW - timedelta(days=40), files=[]),
]
SQL = i.SqlResponse(
    snapshot=120,
    at=NOW - timedelta(days=1),
    tables=["carrier_delays", "planes"],
    columns=COLUMNS,
    rows=READ.rows,
    truncated=True,
    seconds=0.04,
    masked=["planes.owner"],
)
ATTACH = i.AttachResponse(
    catalog="sqlite",
    statement="select 0;\nselect 1",
    note="Headrace doesn't see what is read this way: it isn't masked, and counts as no use.",
)
DIFF = i.DiffResponse(
    asset="carrier_delays",
    before=i.MomentRow(snapshot=117, at=NOW - timedelta(days=1)),
    after=i.MomentRow(snapshot=120, at=NOW),
    columns=[
        i.ColumnChange(column="mean_delay", change="type", before="DOUBLE", after="DECIMAL(18,2)"),
        i.ColumnChange(column="flights", change="added", before=None, after="BIGINT"),
    ],
    partitions=[
        i.PartitionChange(
            partition="2013-02-10", change="republished", rows_before=15, rows_after=16
        ),
        i.PartitionChange(partition="2013-02-11", change="added", rows_before=None, rows_after=16),
    ],
    keys=["carrier"],
    rows_added=17,
    rows_removed=0,
    rows_changed=1,
    cells={"mean_delay": 1},
    sample=[
        i.RowChange(
            change="changed",
            before={"carrier": "UA", "mean_delay": "12.00"},
            after={"carrier": "UA", "mean_delay": "12.50"},
        ),
        i.RowChange(change="added", before=None, after={"carrier": HOSTILE, "mean_delay": None}),
        i.RowChange(change="removed", before={"carrier": "AA", "mean_delay": "1.00"}, after=None),
    ],
)
PAUSED = n.PauseResponse(
    now=NOW,
    clock="replay",
    changed=["flights_clean"],
    paused=[
        n.PauseRow(
            node="flights_clean",
            kind="asset",
            reason="the vendor sends it again",
            by="ada",
            since=NOW,
            until=NOW + timedelta(hours=3),
        ),
        n.PauseRow(
            node="gone",
            kind=None,
            reason=HOSTILE,
            by=HOSTILE,
            since=NOW - timedelta(days=3),
            until=None,
        ),
    ],
)
CANCELLED = n.CancelResponse(
    now=NOW,
    clock="replay",
    run_id="12",
    state="cancelled",
    by="ada",
    reason="the vendor called",
    ended_at=NOW - timedelta(minutes=2),
)
WITHDRAWN = n.WithdrawResponse(
    now=NOW,
    clock="replay",
    asset="flights_clean",
    partition="2013-02-11",
    state="withdrawn",
    rows=930,
    snapshot=121,
    published_at=NOW - timedelta(days=2),
    reason=HOSTILE,
    consumers=["ops-dashboard"],
    stale=[
        n.StalePartitionsRow(node="carrier_delays", partitions=["2013-02-11"]),
        n.StalePartitionsRow(node="airport_ranking", partitions=["2013-02-11", "2013-02-12"]),
    ],
)
ACCEPTED = n.DecisionResponse(
    now=NOW,
    clock="replay",
    asset="flights",
    partitions=["2013-02-11"],
    state="published",
    rows=929,
    by="ada",
    reason=HOSTILE,
    until=NOW + timedelta(days=7),
    why=HELD.reason,
    run_id="12",
    consumers=["ops-dashboard"],
    next="headrace status",
    published=[
        d.PublishedRow(
            asset="flights_clean",
            partition="2013-02-11",
            rows=929,
            snapshot=122,
            verdict="passed",
            identical=False,
        )
    ],
    rejected=[
        d.RejectedRow(
            asset="carrier_delays",
            partition="2013-02-11",
            state="rejected",
            reason=HOSTILE,
            rows=16,
        )
    ],
)
WHY = n.WhyResponse(
    now=NOW,
    clock="replay",
    subject="morning-report",
    interval="2013-02-13",
    state="late",
    verdict=(
        "morning-report 2013-02-13 waits for flights 2013-02-13, expected by 05:00, which is 2 h 20"
        " min ago"
    ),
    waiting_for=[
        n.WaitingRow(
            kind="partition",
            node="flights_clean",
            partition="2013-02-13",
            state="missing",
            waiter="carrier_delays@2013-02-13",
            text="waits for flights_clean 2013-02-13, which waits itself",
        ),
        n.WaitingRow(
            kind="delivery",
            node="flights",
            partition="2013-02-13",
            state="missing",
            waiter="flights_clean@2013-02-13",
            text="waits for flights 2013-02-13, expected by 05:00, which is 2 h 20 min ago",
        ),
        n.WaitingRow(
            kind="running",
            node="airport_ranking",
            partition="2013-02-13",
            state="running",
            waiter="airport_ranking@2013-02-13",
            text=f"is being computed since 07:12 (attempt 3.17, 8 min): {HOSTILE}",
            attempt="3.17",
            seconds=480.0,
            p50_seconds=2.1,
            p95_seconds=204.0,
        ),
    ],
    also_waiting=2,
    next="headrace deliveries flights",
)

SEGMENTS = [
    n.SegmentRow(
        kind=kind,
        node=node,
        partition="2013-02-11",
        from_=NOW - timedelta(seconds=begin),
        to=NOW - timedelta(seconds=end),
        seconds=begin - end,
        note=note,
        incident=incident,
        awaits_trigger=False,
    )
    for kind, node, begin, end, note, incident in (
        ("source", "flights", 199_200.0, 182_400.0, "delivered, as agreed", None),
        ("detection", "flights", 182_400.0, 182_398.0, "not looked at yet", None),
        ("run", "flights", 182_398.0, 182_397.7214, "ingested (attempt 1.579)", None),
        ("hold", "flights", 182_397.7214, 0.0, f"2 columns renamed {HOSTILE}", "INC-1"),
    )
]
LEDGER = n.LedgerRow(
    subject="morning-report",
    interval="2013-02-11",
    wait_seconds=199_200.0,
    from_=NOW - timedelta(seconds=199_200),
    to=NOW,
    open=True,
    rebuild=False,
    segments=SEGMENTS,
    overhead_seconds=2.0,
    overhead={"detection": 2.0, "schedule": 0.0},
    work_seconds=0.2786,
    shortest_possible_seconds=16_800.4,
    shares=[
        n.ShareRow(owner="flight-feed-inc", seconds=199_198.0, share=0.99999),
        n.ShareRow(owner="headrace", seconds=2.0, share=0.00001),
    ],
    said=(
        "Of 55 h 20 min waited so far, Headrace itself took 2.0 s and it waited for somebody to"
        " decide for 50 h 40 min."
    ),
    compared=n.ComparedRow(
        interval="2013-02-04",
        wait_seconds=16_800.4,
        changed={"hold": 182_397.7, "detection": -60.0, "run": 0.1},
    ),
    read="read time not observed: nobody has read morning-report's data through Headrace",
    frozen=True,
)
WHY_LEDGER = msgspec.structs.replace(
    WHY,
    interval="2013-02-11",
    verdict=(
        "morning-report is late since Tue 02-12 07:00 because of INC-1: 2 columns renamed at"
        " flights 2013-02-11."
    ),
    next="headrace incident INC-1",
    **{
        name: getattr(LEDGER, name)
        for name in LEDGER.__struct_fields__
        if name not in ("subject", "interval")
    },
)
LONG_LEDGER = msgspec.structs.replace(
    LEDGER,
    open=False,
    frozen=False,
    compared=None,
    read=None,
    rebuild=True,
    wait_seconds=20_000.0,
    from_=NOW - timedelta(seconds=20_000),
    segments=[
        msgspec.structs.replace(
            SEGMENTS[0],
            node=f"node_{place}",
            seconds=100 * (after - before),
            from_=NOW - timedelta(seconds=20_000 - 100 * before),
            to=NOW - timedelta(seconds=20_000 - 100 * after),
        )
        for place, (before, after) in enumerate(
            [(0, 90), *((90 + i / 10, 90 + (i + 1) / 10) for i in range(20)), (92, 200)]
        )
    ],
)

BACKFILL_COUNTS = d.CountsRow(
    partitions=9_815,
    sources=1,
    of_sources=2,
    assets=3,
    of_assets=9_813,
    exports=0,
    of_exports=0,
    nodes="1 source and 3 assets",
    text="9,815 partitions: 2 of 1 source, 9,813 of 3 assets",
)
BACKFILL = b.BackfillResponse(
    now=NOW,
    clock="replay",
    plan_id="p-0123456789abcdef",
    state="planned",
    mode="missing",
    reason="the vendor's units were wrong",
    by="ada",
    assets=[
        b.BackfillRow(
            asset="flights",
            partitions=2,
            from_="2013-02-11",
            to="2013-02-12",
            ranges=1,
            why="arrived",
            how="taken_in",
            kind="source",
        ),
        b.BackfillRow(
            asset="flights_clean",
            partitions=3,
            from_="2013-02-11",
            to="2013-02-13",
            ranges=1,
            why="missing or stale",
            how="staged",
        ),
        b.BackfillRow(
            asset="carrier_delays_with_a_long_name",
            partitions=10,
            from_="2013-02-11",
            to="2013-02-20",
            ranges=2,
            why="reads flights_clean",
            how="staged",
        ),
        b.BackfillRow(
            asset="ledger",
            partitions=9_800,
            from_="1986-04-21",
            to="2013-02-13",
            ranges=1,
            why=HOSTILE,
            how="afterwards",
        ),
    ],
    partitions_total=9_815,
    counts=BACKFILL_COUNTS,
    skipped=[
        b.SkippedRow(asset="flights", partitions=1, why="held: headrace quarantine flights"),
        b.SkippedRow(asset="monthly_report", partitions=1, why="flights_clean isn't there for it"),
    ],
    estimate=b.EstimateRow(
        seconds=254.0,
        low=180.0,
        high=400.0,
        basis="simulated on 2 workers with what 120 attempts took",
    ),
    bytes_estimate=12_300_000,
    affects=d.Affects(consumers=["morning-report", HOSTILE], owners=["flight-data"]),
    needs_approval=True,
    approval=Approval(rule=f"partitions > 100 or tag:{HOSTILE}", file="headrace.toml", line=23),
    publishes="in_steps",
    steps=3,
    steps_done=0,
    command="headrace backfill +carrier_delays --from 2013-02-11 --to 2013-02-13 --reason TEXT",
    published=0,
    failed=0,
    redone=0,
    changed=None,
    changes=[],
    failures=[],
    remaining=None,
    created_at=None,
    started_at=None,
    finished_at=None,
    notes=[],
)
BACKFILL_PARTIAL = msgspec.structs.replace(
    BACKFILL,
    assets=[
        msgspec.structs.replace(
            asset, published=asset.partitions - 2 * (asset.asset == "ledger"), rows=1_200
        )
        for asset in BACKFILL.assets
    ],
    made=msgspec.structs.replace(
        BACKFILL_COUNTS,
        partitions=9_813,
        of_assets=9_811,
        text="9,813 partitions: 2 of 1 source, 9,811 of 3 assets",
    ),
    id="7",
    plan_id="p-0123456789abcdef",
    state="partial",
    published=9_813,
    failed=2,
    redone=1,
    steps_done=3,
    started_at=NOW,
    created_at=NOW,
    finished_at=NOW,
    changed=b.ChangedTotals(partitions=12, rows_added=12_000, rows_removed=3, rows_changed=1),
    changes=[
        b.ChangedRow(
            asset="flights_clean", partitions=12, rows_added=12_000, rows_removed=3, rows_changed=1
        )
    ],
    failures=[
        b.FailureRow(
            asset="ledger",
            partition="2013-02-12",
            state="rejected",
            reason=f"id: 1 row repeating a key {HOSTILE}",
            attempt="7.3000000012",
            checks=[
                d.CheckRow(
                    name="unique",
                    kind="unique",
                    severity="error",
                    outcome="failed",
                    rows=120,
                    failing=1,
                    detail="1 row repeating a key",
                )
            ],
            sample=[{"id": 3, "amount": 7.1, "note": HOSTILE}],
            first="correct assets/ledger.sql, its input or the check that failed",
        )
    ],
)
BACKFILLS = b.BackfillsResponse(
    now=NOW,
    clock="replay",
    backfills=[
        b.PlanRowResponse(
            id="8",
            plan_id="p-0123456789abcde8",
            state="running",
            by="ada",
            reason="the vendor's units were wrong",
            assets=["flights", "flights_clean", "carrier_delays", "ledger"],
            partitions_total=9_815,
            published=120,
            failed=0,
            remaining=b.EstimateRow(seconds=254.0, low=180.0, high=400.0, basis=""),
            created_at=NOW,
            finished_at=None,
        ),
        b.PlanRowResponse(
            id="7",
            plan_id="p-0123456789abcdef",
            state="cancelled",
            by=HOSTILE,
            reason=HOSTILE,
            assets=[HOSTILE],
            partitions_total=3,
            published=0,
            failed=0,
            remaining=None,
            created_at=NOW - timedelta(days=3),
            finished_at=NOW,
        ),
    ],
)

NAMES_ACCEPTED = c.AcceptResponse(
    now=NOW,
    clock="replay",
    source="flights",
    partition="2013-02-11",
    state="accepted",
    file="contracts/flights.odcs.yaml",
    mappings=[
        c.MappingRow(
            column="dep_delay",
            to="departure_delay",
            score=0.97,
            evidence=[
                "the names have words in common",
                "both are BIGINT",
                "91% of the values are the same",
            ],
            used_by=["flights_clean", "morning-report"],
        ),
        c.MappingRow(column="arr_delay", to=HOSTILE, evidence=["named by hand"], used_by=[]),
    ],
    diff="--- a\n+++ b\n",
    version=4,
    reread=["2013-02-11", "2013-02-12", "2013-02-13"],
    stale=[
        d.StaleRow(
            node="flights_clean",
            partitions=2,
            from_="2013-02-11",
            to="2013-02-12",
            why="reads flights",
        )
    ],
    backfills=[
        d.NeededRow(
            select=["flights_clean"],
            from_="2013-02-11",
            to="2013-02-12",
            mode="missing",
            command=(
                "headrace backfill flights_clean --from 2013-02-11 --to 2013-02-12 --reason TEXT"
            ),
        )
    ],
)
INFERRED = c.InferResponse(
    now=NOW,
    clock="replay",
    source="flights",
    file="contracts/flights.odcs.yaml",
    text="",
    rows=27000,
    partitions=30,
    written=True,
)

CHECK = k.CheckStandingRow(
    node="flights_clean",
    check="unique_flight_id",
    kind="unique",
    severity="blocking",
    partition="2013-02-13",
    state="failed",
    verdict="rejected",
    at=NOW,
    reason=f"flight_id: 3 rows repeating a key ({HOSTILE})",
    owner="flight-data",
    rows=893,
    failing=3,
    runs=2,
    failures=1,
    file="assets/clean/flights_clean.sql",
    line=6,
    history=[
        k.CheckOutcomeRow(
            partition="2013-02-13", outcome="failed", failing=3, at=NOW, attempt="1.20"
        ),
        k.CheckOutcomeRow(
            partition="2013-02-12",
            outcome="passed",
            failing=0,
            at=NOW - timedelta(days=1),
            attempt="1.10",
        ),
    ],
)
CHECKS = [
    CHECK,
    msgspec.structs.replace(
        CHECK,
        check=HOSTILE,
        state="never",
        verdict=None,
        at=None,
        reason=None,
        partition=None,
        runs=0,
        failures=0,
        history=[],
    ),
]
INCIDENT = q.IncidentRow(
    id="INC-1",
    state="open",
    cause=q.CauseRow(
        kind="schema_change",
        detail="renamed",
        node="flights",
        partition="2013-02-11",
        columns=["arr_delay", "dep_delay"],
        summary="2 columns renamed",
        confidence=0.97,
        evidence=[
            q.EvidenceRow(
                what="column renamed",
                expected="dep_delay",
                observed="departure_delay",
                at=NOW - timedelta(days=2),
            ),
            q.EvidenceRow(
                what="column renamed",
                expected="arr_delay",
                observed=HOSTILE,
                at=NOW - timedelta(days=2),
            ),
        ],
    ),
    owner="flight-feed-inc",
    began_at=NOW - timedelta(days=2, seconds=2),
    opened_at=NOW - timedelta(days=2),
    restored_at=None,
    resolved_at=None,
    detect_seconds=2.0,
    affected=q.AffectedRow(
        assets=["flights_clean", "daily_report"],
        consumers=["morning-report"],
        partitions=["2013-02-11", "2013-02-12"],
    ),
    repair=q.IncidentRepairRow(command="headrace fix INC-1", automatic=False),
    recurrence_of=None,
    before=None,
    symptoms=[q.SymptomRow(node="daily_report", partition="2013-02-11", what="failed", at=NOW)],
    timeline=[
        q.HappenedRow(
            at=NOW - timedelta(days=2),
            what="opened: schema_change at flights, 2 columns renamed",
            by="headrace",
        )
    ],
)
RECURRED = msgspec.structs.replace(
    INCIDENT,
    id="INC-9",
    state="resolved",
    restored_at=NOW,
    restore_seconds=172_802.0,
    resolved_at=NOW,
    recurrence_of="INC-1",
    repair=None,
    symptoms=[],
    before=q.RecurrenceRow(
        id="INC-1",
        began_at=NOW - timedelta(days=40),
        restored_at=NOW - timedelta(days=38),
        done=["names accepted"],
    ),
)
SCREENS: dict[str, tuple[Any, Callable[[Any, CommandOutput], None]]] = {
    "backfill_planned": (BACKFILL, commands_backfills.render_backfill),
    "backfill_partial": (BACKFILL_PARTIAL, commands_backfills.render_backfill),
    "backfill_nothing": (
        msgspec.structs.replace(
            BACKFILL, state="nothing_due", assets=[], partitions_total=0, approval=None
        ),
        commands_backfills.render_backfill,
    ),
    "backfills": (BACKFILLS, commands_backfills.render_backfills),
    "status_late": (status_response(), status._render_status),
    "status_honest": (HONEST, status._render_status),
    "status_one_cause": (ONE_CAUSE, status._render_status),
    "status_served": (SERVED, status._render_status),
    "status_paused": (
        status_response(
            paused=[
                d.PausedRow(
                    node="flights_clean",
                    reason="the vendor sends it again",
                    by="ada",
                    until=NOW + timedelta(hours=3),
                )
            ],
            next="headrace resume flights_clean",
        ),
        status._render_status,
    ),
    "status_nobody": (
        status_response(
            consumers=[],
            not_applied=None,
            next="headrace validate",
            headline=(
                "No consumer is declared. Also open: files have errors (the applied version goes"
                " on)."
            ),
        ),
        status._render_status,
    ),
    "run": (RUN, render_run),
    "run_nothing_due": (
        d.RunResponse(
            now=NOW, run_id="13", state="nothing_due", attempts=[], published=[], rejected=[]
        ),
        render_run,
    ),
    "runs": (
        [
            run_row("flights", "held"),
            run_row("carrier_delays", "failed", n=18),
            run_row(None, "nothing_due", run="11"),
        ],
        runs._render_runs,
    ),
    "runs_one": (
        [run_row("flights", "held"), run_row("carrier_delays", "failed", n=18, error=ERROR)],
        runs._render_one_run,
    ),
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
        runs._render_one_run,
    ),
    "pause": (PAUSED, commands_run.render_paused),
    "resume": (msgspec.structs.replace(PAUSED, paused=[]), commands_run.render_paused),
    "cancel": (CANCELLED, commands_run._render_cancelled),
    "cancel_ended": (
        msgspec.structs.replace(CANCELLED, state="succeeded", by=None, reason=None),
        commands_run._render_cancelled,
    ),
    "unpublish": (WITHDRAWN, quarantine._render_withdrawn),
    "why": (WHY, commands_why._render_why),
    "why_ledger": (WHY_LEDGER, commands_why._render_why),
    "why_last": (
        msgspec.structs.replace(WHY, state="served", last=LONG_LEDGER),
        commands_why._render_why,
    ),
    "incidents": (
        [INCIDENT, RECURRED],
        lambda rows, page: commands_incidents.render_incidents(rows, page, every=True),
    ),
    "incidents_none": (
        [],
        lambda rows, page: commands_incidents.render_incidents(rows, page, every=False),
    ),
    "incident": (INCIDENT, commands_incidents.render_incident),
    "incident_recurred": (RECURRED, commands_incidents.render_incident),
    "quarantine": (
        [HELD, HELD],
        lambda rows, page: quarantine._render_quarantine(rows, page, None),
    ),
    "quarantine_one": (
        [HELD],
        lambda rows, page: quarantine._render_quarantine(rows, page, "flights@2013-02-11"),
    ),
    "quarantine_accepted": (ACCEPTED, quarantine.render_decision),
    "quarantine_dropped": (
        msgspec.structs.replace(ACCEPTED, state="dropped", published=[], rejected=[]),
        quarantine.render_decision,
    ),
    "quarantine_empty": ([], lambda rows, page: quarantine._render_quarantine(rows, page, None)),
    "checks": (CHECKS, commands_checks.render_checks),
    "checks_none": ([], commands_checks.render_checks),
    "validate": (VALIDATE, declarations._render_problems),
    "validate_ok": (
        d.ValidateResponse(ok=True, counts=COUNTS, problems=[]),
        declarations._render_problems,
    ),
    "ls": (NODES, declarations._render_nodes),
    "lineage": (LINEAGE, assets._render_lineage),
    "read": (READ, read._render_rows),
    "read_nothing": (NOTHING, read._render_rows),
    "render": (RENDER, assets._render_sql),
    "apply": (APPLY, apply.render_apply),
    "apply_refused": (APPLY_REFUSED, apply.render_apply),
    "versions": (VERSIONS, apply._render_versions),
    "version": (VERSIONS[:1], apply._render_version),
    "contract_accept": (NAMES_ACCEPTED, contract.render_accepted),
    "contract_infer": (INFERRED, contract.render_inferred),
    "plan": (APPLY.plan, plans._render_plan_page),
    "plan_nothing": (
        d.PlanResponse(
            changes=[],
            affects=d.Affects(),
            against="version 2",
            next="headrace status",
            now=NOW,
            clock="replay",
        ),
        plans._render_plan_page,
    ),
    "sql": (SQL, read._render_result),
    "attach": (ATTACH, read._render_attach_statement),
    "diff": (DIFF, plans._render_diff),
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
        plans._render_diff,
    ),
    "schema": (
        [
            i.SchemaRow(
                name="sources", files=["sources/**/*.yaml"], description="Sources", document={}
            )
        ],
        explain._render_schemas,
    ),
}


@pytest.fixture(autouse=True)
def _in_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed depends on which `headrace` a shell finds: here it is ours."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))


def printed(name: str, width: int) -> str:
    return screen_lab.printed(*SCREENS[name], width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_as_it_should(name: str, width: int) -> None:
    text = printed(name, width)
    require_same(text, FIXTURES / f"{name}.{width}.txt")
    require_fit(text, width)


@pytest.mark.parametrize(
    "name", [name for name in SCREENS if name not in ("status_served", "attach")]
)
def test_the_last_line_is_the_next_command(name: str) -> None:
    require_next(printed(name, 80))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in SCREENS
        if name.startswith(("status", "run", "quarantine", "read", "apply", "render"))
    ],
)
def test_the_replay_clock_and_the_zone_are_said_once(name: str) -> None:
    text = printed(name, 200)
    assert text.count("replay clock") == 1
    assert text.count("America/New_York") == 1


def test_repairs_beyond_the_limit_are_counted() -> None:
    """The sixth repair of a run was left out without a word."""
    repairs = [msgspec.structs.replace(PUT_DOWN, node=f"a{number}") for number in range(7)]
    stream = io.StringIO()
    page = CommandOutput(Screen(stream), TimeFormatter.at(NOW, "UTC", replay=True))
    render_run(msgspec.structs.replace(RUN, repairs=repairs), page)
    assert "and 2 more repairs; --json has all" in stream.getvalue()
