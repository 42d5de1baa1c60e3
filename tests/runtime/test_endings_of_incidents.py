"""Every way in which an incident can end: what ended it stands in its timeline, its page, its mail
and the digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from waiting_lab import DAYS, HEALTHY, StateFacts, at

pytestmark = pytest.mark.long

DAY = DAYS[HEALTHY]
BY = "[^:;()]+"
AT = r"\w{3} \d{4}-\d\d-\d\d \d\d:\d\d"
SERVED = "; all whom it affected are served"


class Ending(NamedTuple):
    """How an incident begins, and how it ends. `said` is the sentence, as a regular expression;
    `lines` are those of the timeline that tell of commands."""

    begin: Callable[[StateFacts], None]
    end: Callable[[StateFacts], None]
    said: str
    lines: tuple[str, ...] = ()


def hour(number: float) -> datetime:
    return at(DAY) + timedelta(days=1, hours=number)


def tick(facts: StateFacts, number: float, code: int | None = 0) -> None:
    facts.headrace("tick", now=hour(number), code=code)


# What begins it


def missing(facts: StateFacts) -> None:
    tick(facts, 7.5)


def held(facts: StateFacts) -> None:
    facts.deliver(DAY, when=hour(2), least=0)
    tick(facts, 3)


def renamed(facts: StateFacts) -> None:
    facts.deliver(DAY, header="order_id,customer,sum_total,day", when=hour(2))
    tick(facts, 3)


def broken(facts: StateFacts) -> None:
    facts.flag.touch()
    facts.deliver(DAY, when=hour(2))
    tick(facts, 3, None)


def lacking(facts: StateFacts) -> None:
    asset = facts.root / "assets/clean.py"
    asset.write_text(asset.read_text().replace("    return orders", "    raise MemoryError"))
    facts.headrace("apply", "--yes", now=hour(1))
    facts.deliver(DAY, when=hour(2))
    tick(facts, 3, None)


def misspelt(facts: StateFacts) -> None:
    asset = facts.root / "assets/clean.py"
    asset.write_text(asset.read_text().replace("    return orders", "    return order_s"))
    facts.headrace("apply", "--yes", now=hour(1))
    facts.deliver(DAY, when=hour(2))
    tick(facts, 3, None)


def paused(facts: StateFacts) -> None:
    facts.headrace("pause", "clean", "--reason", "the vendor checks it", now=hour(1))
    facts.deliver(DAY, when=hour(2))
    tick(facts, 7.5)


def reported(facts: StateFacts) -> None:
    facts.deliver(DAY, when=hour(2))
    tick(facts, 3)
    facts.headrace(
        "incidents", "report", "orders", "--from", DAY, "--reason", "half is missing", now=hour(4)
    )


# What ends it


def delivered(facts: StateFacts) -> None:
    facts.deliver(DAY, when=hour(8))
    tick(facts, 9)


def delivered_unseen(facts: StateFacts) -> None:
    """Its file claims a time at which an observation didn't find it."""
    tick(facts, 8.5)
    delivered(facts)


def delivered_again(facts: StateFacts) -> None:
    facts.deliver(DAY, when=hour(8), least=29)
    tick(facts, 9)


def accepted(facts: StateFacts) -> None:
    facts.headrace(
        "quarantine",
        "accept",
        f"orders@{DAY}",
        "--until",
        "2025-03-01",
        "--reason",
        "a holiday",
        now=hour(9),
    )


def dropped(facts: StateFacts) -> None:
    facts.headrace("quarantine", "drop", f"orders@{DAY}", "--reason", "a test file", now=hour(8))
    let_go(facts)  # its deadline has passed since, and no pass has looked at it


def waived(facts: StateFacts) -> None:
    tick(facts, 9)
    let_go(facts)


def let_go(facts: StateFacts) -> None:
    for number, consumer in enumerate(("report", "extract")):
        facts.headrace(
            "waive", f"{consumer}@{DAY}", "--reason", "a holiday", now=hour(9.1 + number / 10)
        )


def retried(facts: StateFacts) -> None:
    facts.flag.unlink()
    facts.headrace("retry", "clean", "--reason", "mended", now=hour(9))
    tick(facts, 9.5)


def corrected(facts: StateFacts) -> None:
    asset = facts.root / "assets/clean.py"
    asset.write_text(asset.read_text().replace("    return order_s", "    return orders"))
    facts.headrace("apply", "--yes", "--reason", "a typing error", now=hour(8))
    tick(facts, 9)


def fixed(facts: StateFacts) -> None:
    facts.headrace("fix", incident(facts, 8)["id"], "--yes", now=hour(9))


def fixed_in_vain(facts: StateFacts) -> None:
    """A repair that fails, a run that finds nothing to do, and a command that mends it."""
    facts.headrace("fix", incident(facts, 8)["id"], "--yes", now=hour(8), code=1)
    facts.headrace("run", "orders", "--partition", DAY, now=hour(8.2), code=None)
    asset = facts.root / "assets/clean.py"
    asset.write_text(
        asset.read_text().replace("    raise MemoryError", "    return orders  # MemoryError")
    )
    facts.headrace("apply", "--yes", "--reason", "in parts", now=hour(8.5))
    tick(facts, 9)


def fixed_in_part(facts: StateFacts) -> None:
    """Before the deadline; what follows fails, so that nobody has the day."""
    total = facts.root / "assets/total.sql"
    head, end, query = total.read_text().partition("*/")
    total.write_text(
        f"{head}{end}\nselect one.*, cast(one.day as varchar)::integer as broken from ({query}) as"
        " one\n"
    )
    facts.headrace("apply", "--yes", now=hour(3.2))
    facts.headrace("fix", incident(facts, 3.3)["id"], "--yes", now=hour(3.4), code=1)


def names_accepted(facts: StateFacts) -> None:
    facts.headrace(
        "contract", "accept", f"orders@{DAY}", "--yes", "--reason", "as announced", now=hour(8)
    )
    tick(facts, 9)


def resumed(facts: StateFacts) -> None:
    facts.headrace("resume", "clean", "--reason", "checked", now=hour(8))
    tick(facts, 9)


def unpublished(facts: StateFacts) -> None:
    facts.headrace("unpublish", f"orders@{DAY}", "--reason", "rubbish", now=hour(8))
    delivered_again(facts)


def backfilled(facts: StateFacts) -> None:
    facts.flag.unlink()
    facts.headrace(
        "backfill",
        "clean",
        "--from",
        DAY,
        "--to",
        DAY,
        "--mode",
        "failed",
        "--reason",
        "mended",
        "--yes",
        now=hour(9),
    )


def asset_removed(facts: StateFacts) -> None:
    for name in ("clean.py", "total.sql", "week.sql"):
        (facts.root / "assets" / name).unlink()
    facts.lab.write("consumers.yaml", "[]\n")
    facts.headrace("apply", "--yes", "--reason", "nobody needs it", now=hour(8))
    tick(facts, 9)


def reader_changed(facts: StateFacts) -> None:
    """An asset that goes on reading it is changed before it comes."""
    total = facts.root / "assets/total.sql"
    total.write_text(f"{total.read_text()}-- in euros\n")
    facts.headrace("apply", "--yes", "--reason", "a comment", now=hour(8))
    delivered(facts)


def consumers_removed(facts: StateFacts) -> None:
    facts.lab.write("consumers.yaml", "[]\n")
    facts.headrace("apply", "--yes", "--reason", "nobody reads it", now=hour(8))
    delivered(facts)


ENDINGS = {
    "source came by itself": Ending(missing, delivered, f"Delivered at {AT}: orders@{DAY}{SERVED}"),
    "source came between two observations": Ending(
        missing,
        delivered_unseen,
        f"Delivered between {AT} and {AT}: orders@{DAY}{SERVED}",
    ),
    "redelivery": Ending(held, delivered_again, f"Delivered again at {AT}: orders@{DAY}{SERVED}"),
    "accept": Ending(
        held,
        accepted,
        rf"Accepted as an exception by {BY} until {AT}: orders@{DAY} \(a holiday\){SERVED}, by"
        rf" exception \(accepted by {BY}\)",
        (rf"accepted as an exception by {BY} until {AT}: orders@{DAY} \(a holiday\)",),
    ),
    "drop": Ending(
        held,
        dropped,
        rf"Dropped by {BY}: orders@{DAY} \(a test file\); waived by {BY}: report@{DAY},"
        rf" extract@{DAY} \(a holiday\)",
        (rf"dropped by {BY}: orders@{DAY} \(a test file\)",),
    ),
    "waive": Ending(
        missing,
        waived,
        rf"Waived by {BY}: report@{DAY}, extract@{DAY} \(a holiday\)",
        (
            rf"waived by {BY}: report@{DAY} \(a holiday\)",
            rf"waived by {BY}: extract@{DAY} \(a holiday\)",
        ),
    ),
    "retry": Ending(
        broken,
        retried,
        rf"Run again by {BY}: clean@{DAY}[^;]* \(mended\){SERVED}",
        (rf"run again by {BY}: clean@{DAY}.*",),
    ),
    "declaration corrected": Ending(
        misspelt,
        corrected,
        rf"Changed by {BY} \(version \d+\): clean[^;]* \(a typing error\){SERVED}",
        (rf"changed by {BY} \(version \d+\): clean \(a typing error\)",),
    ),
    "fix": Ending(
        renamed,
        fixed,
        rf"Repaired by {BY} with `headrace fix INC-\d+`{SERVED}",
        ("repair begun: map, build",),
    ),
    "fix failed": Ending(
        lacking,
        fixed_in_vain,
        rf"Changed by {BY} \(version \d+\): clean[^;]* \(in parts\){SERVED}",
        ("repair begun: .*", r"tried to repair it with `headrace fix INC-\d+`: it is still open"),
    ),
    "contract accept": Ending(
        renamed,
        names_accepted,
        rf"Names accepted by {BY} from {DAY} on: orders \(as announced\){SERVED}",
        (rf"names accepted by {BY} from {DAY} on: orders \(as announced\)",),
    ),
    "pause lifted": Ending(
        paused,
        resumed,
        rf"Resumed by {BY}: clean \(checked\){SERVED}",
        (rf"resumed by {BY}: clean \(checked\)",),
    ),
    "unpublished": Ending(
        reported,
        unpublished,
        rf"Unpublished by {BY}: orders@{DAY} \(rubbish\); delivered again at {AT}:"
        rf" orders@{DAY}{SERVED}",
        (rf"unpublished by {BY}: orders@{DAY} \(rubbish\)",),
    ),
    "backfill": Ending(
        broken,
        backfilled,
        rf"Backfill planned by {BY} \(backfill 1\): clean[^;]* \(mended\){SERVED}",
        (rf"backfill planned by {BY} \(backfill 1\): clean.*",),
    ),
    "asset removed": Ending(
        broken,
        asset_removed,
        rf"No longer declared: clean; no longer declared: report, extract; changed by {BY}"
        r" \(version \d+\): clean.* \(nobody needs it\)",
        (rf"changed by {BY} \(version \d+\): clean.* \(nobody needs it\)",),
    ),
    "a reader of it changed": Ending(
        missing, reader_changed, f"Delivered at {AT}: orders@{DAY}{SERVED}"
    ),
    "consumers removed": Ending(
        missing,
        consumers_removed,
        rf"No longer declared: report, extract; changed by {BY} \(version \d+\): extract, report"
        r" \(nobody reads it\); delivered at .*",
        (rf"changed by {BY} \(version \d+\): extract, report \(nobody reads it\)",),
    ),
}


@pytest.mark.timeout(300)
def test_who_has_nothing_yet_is_not_served_again(healthy: StateFacts) -> None:
    """Would catch: "served again" before a deadline, of a day that nobody can read."""
    facts = healthy.copy("in_part")
    facts.flag.unlink(missing_ok=True)
    facts.headrace("apply", "--yes", now=hour(0.2))
    renamed(facts)
    fixed_in_part(facts)
    row = next(
        item
        for item in facts.headrace("incidents", "--all", now=hour(3.5))
        if item["cause"]["kind"] == "schema_change"
    )
    assert row["state"] == "resolved", row
    assert re.fullmatch(
        rf"Repaired by {BY} with `headrace fix INC-\d+`; not there yet, nor due: .*report {DAY}"
        rf" \(due {AT}; INC-\d+ holds it back\).*\.",
        row["ended"],
    )
    lines = [line["what"] for line in row["timeline"]]
    assert [line for line in lines if line.endswith(", but a part of the repair failed")], lines


@pytest.mark.timeout(300)
def test_a_promise_that_is_relaxed_serves_nobody(healthy: StateFacts) -> None:
    """Would catch: "served again" in the mail about a delivery that isn't there."""
    facts = healthy.copy("relaxed")
    facts.flag.unlink(missing_ok=True)
    facts.headrace("apply", "--yes", now=hour(0.2))
    tick(facts, 5.2, None)
    source = facts.root / "sources/orders.yaml"
    source.write_text(source.read_text().replace("'05:00'", "'08:30'"))
    facts.headrace("apply", "--yes", now=hour(5.3))
    tick(facts, 5.5, None)
    rows = facts.headrace("incidents", "--all", now=hour(5.6))
    row = next(row for row in rows if row["cause"]["kind"] == "late_source")
    assert re.fullmatch(
        rf"Changed by {BY} \(version \d+\): orders; orders@{DAY} isn't there yet: it is promised by"
        rf" {AT} now; "
        rf"not there yet, nor due: .*report {DAY} \(due {AT}\).*\.",
        row["ended"],
    )


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> StateFacts:
    facts = StateFacts(tmp_path_factory.mktemp("endings") / "healthy", 1)
    facts.build()
    owners = "core: {kind: team, contact: ['mailto:core@example.com'], digest: '09:45'}\n"
    desk = "desk: {kind: team, contact: ['mailto:desk@example.com'], digest: '09:45'}\n"
    facts.lab.write("owners.yaml", f"{owners}{desk}acme: {{kind: vendor, manager: core}}\n")
    return facts


def incident(facts: StateFacts, number: float) -> dict[str, Any]:
    result = facts.lab.headrace("incidents", "--all", "--now", hour(number).isoformat())
    return max(result, key=lambda item: int(item["id"][4:]))  # type: ignore[no-any-return]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_says_what_it_was(healthy: StateFacts, name: str) -> None:
    """Would catch: "served again" where a deadline was waived, and a command that no timeline
    names.
    """
    ending, facts = ENDINGS[name], healthy.copy(name.replace(" ", "_"))
    facts.flag.unlink(missing_ok=True)  # the copies share it
    facts.headrace("apply", "--yes", now=hour(0.2))
    ending.begin(facts)
    ending.end(facts)
    tick(facts, 10, None)
    row = incident(facts, 10.1)
    assert row["state"] == "resolved", row
    assert re.fullmatch(rf"{ending.said}\.", row["ended"]), row["ended"]
    lines = [line["what"] for line in row["timeline"]]
    assert [line["at"] for line in row["timeline"]] == sorted(
        line["at"] for line in row["timeline"]
    )
    assert not [
        line for line in lines if line.startswith("run again by") and f": orders@{DAY}" in line
    ]
    for line in ending.lines:
        assert [item for item in lines if re.fullmatch(line, item)], lines
    named = [line for line in lines if line.startswith("resolved: ")]
    assert named == [f"resolved: {row['ended'][0].lower()}{row['ended'][1:-1]}"]
    mails = facts.lab.rows(
        "select body from notice where kind = 'resolved' and subject like ?", f"{row['id']}%"
    )
    assert mails and all(row["ended"] in body.replace("\n", " ") for (body,) in mails), mails
    digests = facts.lab.rows(
        "select body from notice where kind = 'digest' and body like ?", f"%over: {row['id']} %"
    )
    assert digests and all(row["ended"] in body.replace("\n", " ") for (body,) in digests), digests


def test_nothing_repairs_an_asset_that_was_removed(healthy: StateFacts) -> None:
    """Would catch: `headrace retry clean`, and "clean fails", of an asset that isn't declared."""
    facts = healthy.copy("removed")
    facts.flag.unlink(missing_ok=True)
    facts.headrace("apply", "--yes", now=hour(0.2))
    broken(facts)
    before = facts.headrace("status", now=hour(3.5), code=None)
    assert [row["node"] for row in before["repairs"]] == ["clean"]
    asset_removed(facts)
    status = facts.headrace("status", now=hour(9.5), code=None)
    assert (status["repairs"], [item["kind"] for item in status["open"]]) == ([], []), status[
        "open"
    ]
    assert "clean" not in status["headline"]


def test_nothing_is_said_to_be_paused_after_it_was_resumed(healthy: StateFacts) -> None:
    """Would catch: "late since 06:00, INC-1 clean: paused by ann", until the next pass."""
    facts = healthy.copy("resumed")
    facts.flag.unlink(missing_ok=True)
    facts.headrace("apply", "--yes", now=hour(0.2))
    paused(facts)
    facts.headrace("resume", "clean", "--reason", "checked", now=hour(8))
    assert incident(facts, 8.1)["state"] == "recovering"
    status = facts.headrace("status", now=hour(8.1))
    late = [item["reason"] for item in status["consumers"] if item["state"] == "late"]
    assert late and not [item for item in late if "paused" in item], late


def test_what_accepting_published_is_there_when_the_incident_is_over(healthy: StateFacts) -> None:
    """Would catch: "not there yet, nor due: report", mailed, of what the accepting command
    computed."""
    facts = healthy.copy("accepted_early")
    facts.flag.unlink(missing_ok=True)
    facts.headrace("apply", "--yes", now=hour(0.2))
    held(facts)
    facts.headrace("quarantine", "accept", f"orders@{DAY}", "--reason", "a holiday", now=hour(4))
    row = incident(facts, 4.1)
    assert row["state"] == "resolved", row
    assert "not there yet" not in row["ended"], row["ended"]
    assert "all whom it affected are served, by exception" in row["ended"], row["ended"]


def test_what_holds_back_the_next_delivery_is_named(healthy: StateFacts) -> None:
    """Would catch: "delivered again, not there yet" of a delivery that another incident holds
    since.
    """
    facts = healthy.copy("bad_twice")
    facts.flag.unlink(missing_ok=True)
    facts.headrace("apply", "--yes", now=hour(0.2))
    renamed(facts)
    (first,) = [item["id"] for item in facts.headrace("incidents", now=hour(3.1))]
    facts.deliver(DAY, when=hour(4), least=0)
    tick(facts, 5, None)
    rows = {item["id"]: item for item in facts.headrace("incidents", "--all", now=hour(5.1))}
    (second,) = [item for item, row in rows.items() if row["state"] == "open"]
    assert second != first and rows[first]["state"] == "resolved"
    assert f"{second} holds it back" in rows[first]["ended"], rows[first]["ended"]
