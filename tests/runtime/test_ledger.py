"""The delay ledger of a project that really runs: what was held, paused, tried in vain, made again,
passed on, and frozen.
"""

from __future__ import annotations

import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runlab import DAYS, Lab

from headrace.model import StoreError
from headrace.project.session import ProjectSession, Silent
from headrace.responses.interventions import LedgerRow, SegmentRow, WhyResponse
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.history_retention import retire
from headrace.services.apply import apply
from headrace.services.pause import pause, resume
from headrace.services.why import why
from headrace.store import Store

CONSUMERS = (
    "- {consumer: report, owner: desk, reads: [total], due: '07:00', export: {to:"
    " 'out/{asset}_{date:%Y-%m-%d}.csv'}}\n"
)
CLEAN = """\
def clean(ctx: Context, orders):
    import pathlib
    if pathlib.Path({flag!r}).exists():
        raise ValueError("no room for this day")
    return orders"""
HOUR = 3_600.0


def tick(lab: Lab, now: str) -> None:
    lab.now = datetime.fromisoformat(now)
    lab.tick()


def ask(lab: Lab, subject: str, now: str) -> WhyResponse:
    response = why(ProjectSession.open(lab.root, "prod", now, "tester"), subject)
    if response.segments is not None:
        check(response)
    return response


def check(ledger: WhyResponse | LedgerRow) -> None:
    """It adds up to the microsecond."""
    segments = ledger.segments or []
    assert ledger.wait_seconds is not None
    assert sum(round(segment.seconds * 1e6) for segment in segments) == round(
        ledger.wait_seconds * 1e6
    )
    assert all(item.to == after.from_ for item, after in pairwise(segments))
    assert sum(item.seconds for item in ledger.shares or []) == pytest.approx(ledger.wait_seconds)
    assert sum((ledger.overhead or {}).values()) == pytest.approx(ledger.overhead_seconds)


def hours(segments: list[SegmentRow] | None) -> list[tuple[str, str, float]]:
    """(kind, node, hours) of what took more than a minute: work takes less here."""
    return [
        (item.kind, item.node, round(item.seconds / HOUR, 2))
        for item in segments or []
        if item.seconds > 60
    ]


@pytest.fixture
def lab(any_lab: Lab, tmp_path: Path) -> Lab:
    made = any_lab
    made.write("owners.yaml", "core: {kind: team}\nacme: {kind: vendor}\ndesk: {kind: team}\n")
    made.write("consumers.yaml", CONSUMERS)
    made.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nexpect: {by: '05:00'}\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\n",
    )
    made.python(
        "clean",
        CLEAN.format(flag=str(tmp_path / "broken")),
        partition={"by": "day", "column": "day"},
        inputs=["orders"],
    )
    made.sql("total", "select day, count(*) as n from clean group by day")
    return made


def test_where_the_time_went(lab: Lab, tmp_path: Path) -> None:
    """Would catch: time blamed on the wrong node or owner, a hold that isn't seen once it is over,
    a pause that is forgotten when it ends, an export without a place in it, a rebuild counted from
    the interval's end, a figure that has moved when its rows went."""
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    said = ask(lab, "report@2025-01-01", "2025-01-02T06:30:00+00:00")
    assert said.verdict == "report 2025-01-01 was there 06:01, in time (due 07:00)"
    kinds = [item.kind for item in said.segments or []]
    assert kinds.count("export") == 1 and "run" in kinds and "audit" in kinds
    assert {"hold", "retry", "unattributed"}.isdisjoint(kinds)
    assert [item.node for item in said.segments or []][-1] == "report", (
        "the export was the last to come"
    )
    _tried_in_vain(lab, tmp_path)
    _paused(lab)
    _made_again(lab)
    _found_wrong(lab)
    _borrowed(lab)
    _frozen(lab)


def _tried_in_vain(lab: Lab, tmp_path: Path) -> None:
    """The body fails; somebody has it tried again four hours later."""
    (tmp_path / "broken").touch()
    lab.orders(DAYS[1])
    tick(lab, "2025-01-03T06:00:00+00:00")
    waits = ask(lab, "report", "2025-01-03T08:00:00+00:00")
    assert waits.open and hours(waits.segments)[-1] == ("hold", "clean", 1.98)
    assert (
        "ValueError" in (waits.segments or [])[-1].note
        or "no room" in (waits.segments or [])[-1].note
        or (waits.segments or [])[-1].incident
    )
    assert waits.verdict.startswith("report is late since 07:00 because of INC-")
    (tmp_path / "broken").unlink()
    lab.now = datetime.fromisoformat("2025-01-03T10:00:00+00:00")
    lab.run("+consumer:report", partitions=[DAYS[1]])
    over = ask(lab, "report@2025-01-02", "2025-01-03T11:00:00+00:00")
    assert hours(over.segments)[-1][:2] == ("hold", "clean") and hours(over.segments)[-1][
        2
    ] == pytest.approx(4.0, abs=0.05)
    assert over.compared is None, "there is no week before"


def _paused(lab: Lab) -> None:
    pause(
        lab.session(),
        ["total"],
        exclude=[],
        reason="the vendor checks it",
        until=None,
        progress=Silent(),
    )
    lab.orders(DAYS[2])
    tick(lab, "2025-01-04T06:00:00+00:00")
    assert hours(ask(lab, "report", "2025-01-04T07:00:00+00:00").segments)[-1] == (
        "paused",
        "total",
        0.98,
    )
    lab.now = datetime.fromisoformat("2025-01-04T09:00:00+00:00")
    resume(lab.session(), ["total"], exclude=[], reason=None, progress=Silent())
    lab.tick()
    over = ask(lab, "report@2025-01-03", "2025-01-04T12:00:00+00:00")
    paused = [item for item in hours(over.segments) if item[0] == "paused"]
    assert [item[:2] for item in paused] == [("paused", "total")] and paused[0][2] == pytest.approx(
        3.0, abs=0.1
    )
    assert [(item.note) for item in over.segments or [] if item.kind == "paused"] == [
        "the vendor checks it (by tester)"
    ]


def _made_again(lab: Lab) -> None:
    """A vendor delivers a day once more: the wait for that begins with its arrival."""
    lab.orders(DAYS[2], n=4)
    tick(lab, "2025-01-04T15:00:00+00:00")
    said = ask(lab, "total@2025-01-03", "2025-01-04T16:00:00+00:00")
    assert said.rebuild and not said.open
    assert said.from_ is not None and said.from_ > datetime.fromisoformat(
        "2025-01-04T09:00:00+00:00"
    )
    assert {item.node for item in said.segments or []} == {"orders", "clean", "total"}
    first = ask(lab, "report@2025-01-03", "2025-01-04T16:00:00+00:00")
    assert first.to is not None and first.to < datetime.fromisoformat(
        "2025-01-04T10:00:00+00:00"
    ), "it was served once before"


def _report(lab: Lab, at: int) -> None:
    """As it is kept that somebody reported a day."""
    with (
        Store.open(
            lab.root, ProjectSession.open(lab.root, "prod", None, "tester").settings, create=True
        ) as store,
        store.write(None) as tx,
    ):
        tx.execute(
            "insert into incident (id, state, kind, node, partition, fingerprint, owner, summary,"
            " confidence, evidence, affected, began_at, opened_at, updated_at) values (99, 'open',"
            " 'reported', 'orders', ?, 'x', 'acme', 'half of the orders are missing', '1', '[]',"
            " '{}', ?, ?, ?)",
            (DAYS[0], at, at, at),
        )
        tx.execute(
            "insert into unsound (incident_id, publication_id, columns, known_at) select 99, id,"
            " '[]', ? from publication where node = 'orders' and partition = ?",
            (at, DAYS[0]),
        )


def _found_wrong(lab: Lab) -> None:
    """Somebody sees that a day is wrong: nobody was soundly served with it, until it was delivered
    again.
    """
    _report(lab, int(datetime.fromisoformat("2025-01-04T17:00:00+00:00").timestamp() * 1e6))
    waits = ask(lab, "report@2025-01-01", "2025-01-04T18:00:00+00:00")
    assert waits.open and {
        item.incident for item in waits.segments or [] if item.kind == "hold"
    } == {"INC-99"}
    lab.orders(DAYS[0], n=20)
    tick(lab, "2025-01-04T19:00:00+00:00")
    over = ask(lab, "report@2025-01-01", "2025-01-04T20:00:00+00:00")
    assert (
        not over.open
        and over.to is not None
        and over.to > datetime.fromisoformat("2025-01-04T19:00:00+00:00")
    )
    assert [item.incident for item in over.segments or [] if item.seconds > 10 * HOUR] == ["INC-99"]
    assert (over.shares or [])[0].owner == "acme", "whose incident it is"


def _borrowed(lab: Lab) -> None:
    """An environment reads production's days: they were waited for as they were there."""
    settings = lab.root / "headrace.toml"
    settings.write_text(settings.read_text() + "[environments.dev]\n")
    lab.headrace("run", "total", "--env", "dev")
    there = why(
        ProjectSession.open(lab.root, "dev", "2025-01-04T21:00:00+00:00", "tester"),
        f"total@{DAYS[1]}",
    )
    assert there.segments == ask(lab, f"total@{DAYS[1]}", "2025-01-04T21:00:00+00:00").segments
    assert "hold" in {item.kind for item in there.segments or []}


def _frozen(lab: Lab) -> None:
    """Before rows go a ledger is kept as it is, and is of what was promised then; one that was
    changed since is refused.
    """
    lab.sql("other", "select day, count(*) as n from orders group by day")
    lab.write("consumers.yaml", CONSUMERS.replace("[total]", "[total, other]"))
    apply(lab.session(), confirm=lambda _: True, progress=Silent())
    before = ask(lab, "report@2025-01-02", "2025-01-04T21:00:00+00:00")
    later = int(datetime.fromisoformat("2025-04-01T00:00:00+00:00").timestamp() * 1e6)
    with Store.open(
        lab.root, ProjectSession.open(lab.root, "prod", None, "tester").settings, create=True
    ) as store:
        retire(
            store,
            None,
            RetentionPolicy({"history": "30d", "snapshots": "7d"}, {"orders": "10d"}),
            later,
        )
        retire(
            store,
            None,
            RetentionPolicy({"history": "30d", "snapshots": "7d"}, {"orders": "10d"}),
            later,
        )
        after = ask(lab, "report@2025-01-02", "2025-01-04T21:00:00+00:00")
        assert after.frozen and not before.frozen
        assert after.shortest_possible_seconds == before.shortest_possible_seconds
        words = [
            msgspec.structs.replace(
                item, note=(item.note or "").replace("no room for this day", "…")
            )
            for item in before.segments or []
        ]
        assert after.segments == words, "what an asset says of its rows goes with them"
        with store.write(None) as tx:
            tx.execute("update frozen_ledger set content = replace(content, 'clean', 'other')")
    with pytest.raises(StoreError, match="isn't what was kept"):
        ask(lab, "report@2025-01-02", "2025-01-04T21:00:00+00:00")


@pytest.mark.long
def test_a_long_chain_costs_little(tmp_path: Path) -> None:
    """Would catch a walk that asks for everything above a node once for each node: `why` on 50
    assets takes at most 0.3 s."""
    lab = Lab(tmp_path / "p")
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [a49], due: '07:00'}\n")
    lab.sql("a0", "select order_id, cast(day as date) as day from orders")
    for number in range(1, 50):
        lab.sql(f"a{number}", f"select * from a{number - 1}")
    lab.orders(DAYS[0])
    tick(lab, "2025-01-02T06:00:00+00:00")
    session = ProjectSession.open(lab.root, "prod", "2025-01-02T08:00:00+00:00", "tester")
    why(session, "report@2025-01-01")
    began = time.process_time()
    response: Any = why(session, "report@2025-01-01")
    spent = time.process_time() - began
    check(response)
    assert len({segment.node for segment in response.segments}) == 51
    assert spent < 0.3, f"{spent:.3f} s"


def test_an_optional_input_is_waited_for_until_it_was_promised(any_lab: Lab) -> None:
    """Would catch: hours that Headrace is said to have taken, in which an asset waited as declared
    for a delivery that never came.
    """
    lab = any_lab
    lab.write("owners.yaml", "core: {kind: team}\nacme: {kind: vendor}\ngrid: {kind: vendor}\n")
    for name, owner, by in (("orders", "acme", "02:00"), ("weather", "grid", "06:00")):
        lab.write(
            f"sources/{name}.yaml",
            f"source: {name}\nowner: {owner}\npartition: day\nexpect: {{by: '{by}'}}\nfiles:"
            f" landing/{name}_{{date:%Y-%m-%d}}.csv\n",
        )
    body = (
        "select $partition_start as day, count(*) as n, (select max(degrees) from weather) as most"
        " from orders"
    )
    lab.sql(
        "total", body, "partition: {by: day, column: day}\ninputs: [{weather: {optional: true}}]"
    )
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [total], due: '07:00'}\n")
    lab.orders(DAYS[0])
    (lab.root / f"landing/weather_{DAYS[0]}.csv").write_text("degrees\n7\n", encoding="utf-8")
    tick(lab, "2025-01-02T01:00:00+00:00")
    lab.orders(DAYS[1])
    tick(lab, "2025-01-03T01:00:00+00:00")
    waits = ask(lab, "report@2025-01-02", "2025-01-03T05:00:00+00:00")
    assert [item[:2] for item in hours(waits.segments)] == [
        ("source", "orders"),
        ("source", "weather"),
    ]
    assert hours(waits.segments)[1][2] == pytest.approx(4.0, abs=0.1)
    tick(lab, "2025-01-03T06:30:00+00:00")
    over = ask(lab, "report@2025-01-02", "2025-01-03T06:40:00+00:00")
    assert [item[:2] for item in hours(over.segments)] == [
        ("source", "orders"),
        ("source", "weather"),
        ("schedule", "total"),
    ]
    assert hours(over.segments)[1][2] == pytest.approx(5.0, abs=0.1)
    assert over.shortest_possible_seconds == pytest.approx(6 * HOUR, abs=120)


@pytest.mark.long
def test_of_two_held_deliveries_a_ledger_names_the_one_that_its_verdict_names(
    tmp_path: Path,
) -> None:
    """Would catch: "wet waits for weather, which is held" over a ledger whose hold, and whose owner
    to blame for all of it, is another source."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/extras.yaml",
        "source: extras\nowner: acme\npartition: day\nfiles: landing/extras_{date:%Y-%m-%d}.csv\n",
    )
    lab.sql(
        "joined", "select o.day, o.amount, e.extra from orders o join extras e on o.day = e.day"
    )
    lab.sql("plain", "select day, amount from orders")
    report = "- {consumer: report, owner: core, reads: [joined], due: '07:00'}\n"
    lab.write(
        "consumers.yaml",
        f"{report}- {{consumer: till, owner: core, reads: [plain], due: '07:00'}}\n",
    )

    def extras(day: str, header: str = "extra,day") -> None:
        lab.write(
            f"landing/extras_{day}.csv",
            "\n".join([header, *(f"{n},{day}" for n in range(10))]) + "\n",
        )

    for day in DAYS[:3]:
        lab.orders(day)
        extras(day)
    lab.now = datetime.fromisoformat(f"{DAYS[3]}T04:00+00:00")
    lab.tick()
    rows = [f"9{n},c{n % 3},1.50,{DAYS[3]}" for n in range(10)]
    lab.now = datetime.fromisoformat(f"{DAYS[4]}T04:00+00:00")
    lab.deliver(DAYS[3], rows, "order_id,customer,sum_total,day")
    lab.tick()
    lab.now = datetime.fromisoformat(f"{DAYS[4]}T05:00+00:00")
    extras(DAYS[3], "surplus,day")
    lab.tick()
    now = f"{DAYS[4]}T08:00+00:00"
    (first,) = [
        item["id"]
        for item in lab.headrace("incidents", "--now", now)
        if item["cause"]["node"] == "orders"
    ]
    for subject in (f"report@{DAYS[3]}", f"joined@{DAYS[3]}"):
        result = lab.headrace("why", subject, "--now", now)
        holds = [item["incident"] for item in result["segments"] if item["kind"] == "hold"]
        assert (holds, result["next"]) == ([first], f"headrace incident {first}"), subject
    lab.headrace("contract", "accept", f"orders@{DAYS[3]}", "--now", now)
    lab.now = datetime.fromisoformat(now)
    lab.tick()
    ended = lab.headrace("incident", first, "--now", f"{DAYS[4]}T08:05+00:00")["ended"]
    assert "for another cause report is late; all others whom it affected are served" in ended, (
        ended
    )
