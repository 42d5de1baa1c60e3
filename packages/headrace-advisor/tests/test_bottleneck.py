"""`headrace bottleneck`: waits of a window by cause, from the delay ledger that `why` shows."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime

import pytest
from clilab import GOOD, Project

from headrace.incidents.digest import DigestAudience
from headrace.model.intervals import to_us
from headrace.project.session import ProjectSession
from headrace_advisor.services.weekly_advice import week_lines
from headrace_ui.services.consumer_history import ConsumerHistoryQuery, consumer_history


def test_shares_add_up_to_the_ledgers_of_why(shop: Project) -> None:
    """Would catch: a second derivation of waits, which disagrees with the page of one interval."""
    (row,) = shop.json("bottleneck", "morning-report")
    assert row["obligations"] > 0
    ledgers = [
        shop.json("why", f"morning-report@{day}")
        for day in ("2025-03-03", "2025-03-04", "2025-03-05")
    ]
    waits = [ledger for ledger in ledgers if ledger["wait_seconds"] is not None]
    assert len(waits) == row["obligations"]
    assert row["wait_seconds"] == pytest.approx(sum(each["wait_seconds"] for each in waits))
    by_kind: dict[str, float] = {}
    for ledger in waits:
        for segment in ledger["segments"]:
            by_kind[segment["kind"]] = by_kind.get(segment["kind"], 0) + segment["seconds"]
    shares: dict[str, float] = {}
    for share in row["shares"]:
        shares[share["kind"]] = shares.get(share["kind"], 0) + share["seconds"]
    assert shares == pytest.approx({kind: took for kind, took in by_kind.items() if took})
    assert sum(share["seconds"] for share in row["shares"]) == pytest.approx(row["wait_seconds"])
    assert sum(round(float(share["percent"]) * 100) for share in row["shares"]) == 10_000


def test_rejected_data_is_the_cost_of_its_vendor(shop: Project) -> None:
    """Would catch: the wait for a corrected delivery counted as a slow report."""
    line = ("bottleneck", "morning-report", "--now", "2025-03-08T08:00+01:00")
    (row,) = shop.json(*line)
    quality = [share for share in row["shares"] if share["group"] == "quality"]
    assert {(share["node"], share["owner"]) for share in quality} >= {("orders", "acme")}
    text = " ".join(shop.text(*line).split())
    assert "data quality cost" in text


def test_nothing_due_says_so(new: Project) -> None:
    """Would catch: a project before its first pass answered with zero percent of something."""
    rows = new.json("bottleneck")
    assert [row["consumer"] for row in rows] == ["morning-report", "dashboard"]
    assert {row["obligations"] for row in rows} == {0}
    assert "no data" in new.text("bottleneck")


def test_wrong_words_are_refused(shop: Project) -> None:
    """Would catch: an empty answer about a consumer that is mistyped."""
    error = shop.refused("bottleneck", "mornng-report")
    assert "there is no consumer 'mornng-report'" in error
    assert "morning-report" in error
    assert "--window 0d" in shop.refused("bottleneck", "--window", "0d")
    shop.refused("bottleneck", "--window", "soon")


def test_a_slower_node_is_dated_with_the_code_that_changed(shop: Project) -> None:
    """Would catch: regressions that exist in the library only, or that aren't of this consumer."""
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state, state:
        (run, version, finished) = state.execute(
            "select run_id, version, finished_at from attempt where node = 'revenue' order by epoch"
            " desc, n desc limit 1"
        ).fetchone()
        for n in range(44):
            seconds = 1.0 + n % 3 / 10 if n < 14 else 3.0 + n % 3 / 10
            state.execute(
                "insert into attempt (epoch, n, run_id, node, kind, partitions, state, version,"
                " queued_at, started_at, finished_at, measures) values (0, ?, ?, 'revenue',"
                " 'produce', ?, 'published', ?, ?, ?, ?, ?)",
                (
                    n + 1,
                    run,
                    json.dumps([f"day {n}"]),
                    version,
                    *[finished - (50 - n) * 3_600_000_000] * 3,
                    json.dumps({"seconds": seconds, "rows_in": 10}),
                ),
            )
    rows = {row["consumer"]: row for row in shop.json("bottleneck")}
    (regression,) = rows["morning-report"]["regressions"]
    assert (regression["node"], regression["before_s"]) == ("revenue", 1.1)
    assert regression["after_s"] == pytest.approx(3.1)
    assert regression["cause"]["kind"] == "unknown"
    assert rows["dashboard"]["regressions"] == []
    assert "revenue is slower since" in shop.text("bottleneck", "morning-report")


def _waiting(project: Project, cron: str, *, days: int = 6) -> str:
    """Days on which `revenue` waited for its trigger an hour longer than for its inputs."""
    (project.root / "assets/fails.py").unlink()
    (project.root / "consumers.yaml").write_text(
        "- {consumer: morning-report, owner: core, reads: [revenue], due: '07:30'}\n"
    )
    place = project.root / "assets/revenue.sql"
    place.write_text(place.read_text().replace("owner: core\n", f"owner: core\ntrigger: {cron}\n"))
    (project.root / "landing").mkdir()
    for day in range(1, days + 1):
        (project.root / f"landing/orders_2025-03-0{day}.csv").write_text(
            "id,customer,amount,day\n" + GOOD.format(f"2025-03-0{day}")
        )
        for time in ("05:00", "06:00", "08:00"):
            now = f"2025-03-0{day + 1}T{time}+01:00"
            project.call(project.root, "tick", "--now", now)
    return f"2025-03-0{days + 1}T08:00+01:00"


@pytest.mark.long
def test_all_views_count_the_wait_for_a_trigger_as_its_owners(new: Project) -> None:
    """Would catch: an hour before its cron that `why` calls Headrace's and `bottleneck` the
    asset's owner's, and a page, a digest or JSON that adds up another way."""
    now = _waiting(new, "{cron: '0 6 * * *'}", days=2)
    ledger = new.json("why", "morning-report@2025-03-02", "--now", now)
    scheduled = [row for row in ledger["segments"] if row["kind"] == "schedule"]
    (waited,) = [row for row in scheduled if row["awaits_trigger"]]
    assert (waited["node"], waited["note"]) == ("revenue", "waited for its trigger: 0 6 * * *")
    seconds = pytest.approx(3600, abs=60)
    shares = {(row["owner"], row["kind"]): row["seconds"] for row in ledger["shares"]}
    assert shares["core", "schedule"] == waited["seconds"] == seconds
    late = sum(row["seconds"] for row in scheduled if not row["awaits_trigger"])
    assert ledger["overhead"]["schedule"] == pytest.approx(waited["seconds"] + late)
    assert ledger["overhead_seconds"] == pytest.approx(sum(ledger["overhead"].values()))
    assert shares["headrace", None] < 60
    assert "it waited for a trigger for" in ledger["said"]
    assert "waited for a trigger" in new.text("why", "morning-report@2025-03-02", "--now", now)
    (row,) = new.json("bottleneck", "--now", now)
    shares = {share["group"]: share for share in row["shares"]}
    assert shares["trigger"]["owner"] == "core"
    assert shares["trigger"]["seconds"] == pytest.approx(2 * 3600, abs=120)
    assert sum(share["seconds"] for share in row["shares"] if share["owner"] == "headrace") < 120
    session = ProjectSession.open(new.root, "prod", now, "tester")
    page = consumer_history(session, "morning-report", ConsumerHistoryQuery())
    (newest,) = [each for each in page.deliveries if each.interval == "2025-03-02"]
    on_page = {
        (part.kind, part.owner, part.awaits_trigger): part.seconds for part in newest.segments
    }
    assert on_page["schedule", "core", True] == waited["seconds"]
    with session.store.read() as tx:
        until_us = to_us(datetime.fromisoformat(now))
        audience = DigestAudience(frozenset({"core"}), frozenset({"morning-report"}))
        text = " ".join(week_lines(tx, session.compiled, audience, until_us, until_us))
    assert "waiting for the time of a trigger took" in text
    assert "all of it at revenue (core)" in text


@pytest.mark.system
@pytest.mark.long
def test_a_trigger_that_only_delays_is_taken_out(new: Project) -> None:
    """Would catch: a wait for nothing without a way to end it, a command that doesn't work in the
    reader's folder, and a change nobody agreed to."""
    now = _waiting(new, "{cron: '0 6 * * *'}")
    (row,) = new.json("bottleneck", "--now", now)
    (proposal,) = row["proposals"]
    assert (proposal["node"], proposal["owner"], proposal["waits"]) == ("revenue", "core", 6)
    assert proposal["median_s"] == pytest.approx(3600, abs=60)
    _, page, _ = new.call(new.root.parent, "bottleneck", "--project", "new", "--now", now)
    assert f"\n  {proposal['command']} --project new\n" in page
    place = new.root / "assets/revenue.sql"
    text = place.read_text()
    assert new.call(new.root, "bottleneck", "apply", "revenue", "--now", now)[0] == 3
    assert place.read_text() == text
    place.write_text(text.replace("sum(amount)", "sum(amount + 0)"))
    error = new.refused("bottleneck", "apply", "revenue", "--yes", "--now", now, code=3)
    assert "aren't applied" in error
    place.write_text(text)
    applied = new.json("bottleneck", "apply", "revenue", "--yes", "--now", now)
    assert applied["state"] == "applied"
    assert place.read_text() == text.replace("trigger: {cron: '0 6 * * *'}\n", "")
    assert new.json("bottleneck", "--now", now)[0]["proposals"] == []
    error = new.refused("bottleneck", "apply", "revenue", "--yes", "--now", now, code=3)
    assert "isn't proposed to go" in error
    new.refused("bottleneck", "apply", "revenue", "orders_clean")
    new.refused("bottleneck", "morning-report", "dashboard")


@pytest.mark.system
@pytest.mark.long
def test_a_trigger_is_taken_out_by_the_command_of_a_longer_window(new: Project) -> None:
    """Would catch: a printed command that is refused, as it looks at fewer days than the page."""
    _waiting(new, "{cron: '0 6 * * *'}")
    later = ("--now", "2025-04-20T08:00+02:00")
    assert new.json("bottleneck", *later)[0]["proposals"] == []
    (proposal,) = new.json("bottleneck", "--window", "90d", *later)[0]["proposals"]
    new.refused("bottleneck", "apply", "revenue", "--yes", *later, code=3)
    _, *words = proposal["command"].split()
    code, _, error = new.call(new.root, *words, *later)
    assert (code, f"{' '.join(words)} --yes" in error) == (3, True)  # nobody can be asked
    assert new.json(*words, "--yes", *later)["state"] == "applied"


@pytest.mark.parametrize(
    ("cron", "days"),
    [("{cron: '0 6 * * *', catch_up: latest}", 6), ("{cron: '0 6 * * 1-5'}", 6), ("{cron: '0 6 * * *'}", 4)],
)  # fmt: skip
@pytest.mark.long
def test_other_triggers_are_not_proposed_to_go(new: Project, cron: str, days: int) -> None:
    """Would catch: a trigger that decides what is computed called a delay, and few waits a rule."""
    now = _waiting(new, cron, days=days)
    (row,) = new.json("bottleneck", "--now", now)
    assert "trigger" in {share["group"] for share in row["shares"]}
    assert row["proposals"] == []
