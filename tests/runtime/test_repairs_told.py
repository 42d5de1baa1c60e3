"""Proposed repairs are possible: the same in messages and on the incident's page, and done when
nothing is left to do.
"""

from __future__ import annotations

import io
import re
import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runlab import DAYS, ORDERS, SETTINGS, Lab, built_once

from headrace.cli.commands import fix as commands_fix
from headrace.cli.commands import incidents as commands_incidents
from headrace.cli.output import CommandOutput, TimeFormatter
from headrace.cli.terminal import Screen
from headrace.model import Refused
from headrace.project.session import Silent
from headrace.services.fix import fix
from headrace.services.incidents import incident as response_of

SOURCE = "source: orders\nowner: acme\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
OWNERS = (
    "core: {kind: team, contact: ['mailto:core@example.com']}\n"
    "acme: {kind: vendor, contact: ['mailto:acme@example.com'], tell: true}\n"
)
FAILS = "select day, error('no') as total from orders group by all"


@built_once
def lab(root: Path) -> Lab:
    """A day that was published, with a consumer and people who are written to."""
    made = Lab(root)
    made.write("headrace.toml", SETTINGS + '[notify.mail]\nurl = "file:outbox"\n')
    made.write("owners.yaml", OWNERS)
    made.write("sources/orders.yaml", SOURCE)
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    made.orders(DAYS[0])
    made.tick()
    return made


def dropped_column(lab: Lab) -> None:
    lab.deliver(DAYS[1], [f"{n},c{n},{DAYS[1]}" for n in range(10)], "order_id,customer,day")


def type_change(lab: Lab) -> None:
    lab.orders(DAYS[1], amount="n/a")


def code_error(lab: Lab) -> None:
    lab.orders(DAYS[1])
    lab.sql("totals", FAILS)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())


def told(lab: Lab) -> set[str]:
    """The lines about the repair, of all messages about open incidents; long ones are wrapped."""
    bodies = [
        str(body)
        for (body,) in lab.rows("select body from notice where kind = 'opened' order by id")
    ]
    assert bodies
    result = [
        said
        for body in bodies
        for said in re.findall(r"^Repair: (.*(?:\n(?!More:).*)*)", body, re.MULTILINE)
    ]
    return {re.sub(r":?\n  ", " | ", said).replace("\n", " ") for said in result}


def shown(lab: Lab, incident: str) -> list[str]:
    """The lines of an incident's page."""
    session, out = lab.session(), io.StringIO()
    page = CommandOutput(
        Screen(out, no_color=True), TimeFormatter.at(session.now(), "UTC", replay=True)
    )
    commands_incidents.render_incident(response_of(session, incident), page)
    return out.getvalue().splitlines()


@pytest.mark.long
@pytest.mark.parametrize("fault", [dropped_column, type_change, code_error])
def test_a_message_proposes_what_the_page_does(lab: Lab, fault: Any) -> None:
    """Would catch: mail that names `headrace fix` where that answers that only a person can repair
    it.
    """
    lab.now += timedelta(minutes=1)
    fault(lab)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    repair = incident["repair"]
    assert repair["first"] is not None
    assert repair["text"] == repair["first"]
    assert told(lab) == {" | ".join([f"{repair['first']}, then", *repair["commands"]])}
    lab.headrace("fix", incident["id"], "--dry-run", code=3)


@pytest.mark.long
def test_a_proposed_command_is_never_cut(lab: Lab) -> None:
    """Would catch: a command with an open quote, or broken over two lines, and a value
    in a mail."""
    lab.now += timedelta(minutes=1)
    lab.orders(DAYS[1])
    lab.sql(
        "totals", f"select day, error('{'a secret value ' * 20}') as total from orders group by all"
    )
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.tick()
    (incident,) = lab.headrace("incidents")
    (command,) = [item for item in incident["repair"]["commands"] if "--reason" in item]
    assert (
        len(shlex.split(command)) == len(shlex.split(command.replace("a secret value", "")))
        and "secret" not in command
    )
    assert f"    {command}" in shown(lab, incident["id"])
    assert any(
        f"  {command}" in body.splitlines() for (body,) in lab.rows("select body from notice")
    )


def test_nothing_is_typed_for_what_a_vendor_has_to_deliver(lab: Lab) -> None:
    """Would catch: "at once: headrace fix" for a file that isn't there, which fix can't bring."""
    lab.write("sources/orders.yaml", SOURCE + "expect: {by: '05:00'}\n")
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n"
    )
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.now += timedelta(days=2)
    lab.tick()
    incident = next(
        item
        for item in lab.headrace("incidents")
        if item["cause"]["kind"] in ("late_source", "missing_source")
    )
    text = "Headrace goes on by itself as soon as the file comes; acme answers for it"
    assert incident["repair"]["text"] == text
    assert told(lab) == {text}
    lines = shown(lab, incident["id"])
    assert f"repair {text}" in " ".join(" ".join(lines).split())
    assert lines[-1] == "next: headrace why report"


@pytest.mark.long
@pytest.mark.parametrize(("paused", "which"), [("totals", "is"), ("orders totals", "are")])
def test_what_is_paused_doesnt_go_on_by_itself(lab: Lab, paused: str, which: str) -> None:
    """Would catch: "what needs it runs as soon as it is there" of an asset that somebody paused."""
    lab.write("sources/orders.yaml", SOURCE + "expect: {by: '05:00'}\n")
    report = "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n"
    lab.write("consumers.yaml", report)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    names = paused.split()
    lab.headrace("pause", *names, "--reason", "moving", "--now", lab.now.isoformat())
    lab.now += timedelta(days=2)
    lab.tick()
    incidents = lab.headrace("incidents")
    kinds = ("late_source", "missing_source")
    incident = next(incident for incident in incidents if incident["cause"]["kind"] in kinds)
    but = f", but for {', '.join(names)}, which {which} paused"
    text = f"Headrace goes on by itself as soon as the file comes{but}; acme answers for it"
    assert incident["repair"]["text"] == text
    lines = [item["what"] for item in incident["timeline"]]
    assert any(line.endswith(f"what needs it runs as soon as it is there{but}") for line in lines)
    lab.headrace("resume", *names, "--now", lab.now.isoformat())
    incident = lab.headrace("incident", incident["id"])
    assert "paused" not in incident["repair"]["text"]


def test_a_long_timeline_begins_with_its_beginning(lab: Lab) -> None:
    """Would catch: an incident that doesn't say when it was opened, nor that it leaves anything
    out."""
    lab.headrace(
        "incidents",
        "report",
        "orders",
        "--from",
        DAYS[0],
        "--reason",
        "wrong",
        "--now",
        lab.now.isoformat(),
    )
    session, out = lab.session(), io.StringIO()
    row = response_of(session, "INC-1")
    lines = [
        msgspec.structs.replace(row.timeline[0], what=f"line {number}") for number in range(40)
    ]
    page = CommandOutput(
        Screen(out, no_color=True), TimeFormatter.at(session.now(), "UTC", replay=True)
    )
    commands_incidents.render_incident(msgspec.structs.replace(row, timeline=lines), page)
    text = out.getvalue()
    assert [number for number in range(40) if f"line {number} " in text] == [0, 1, *range(30, 40)]
    assert "… 28 more; --json has all" in text


def test_a_rename_is_repaired_by_fix(lab: Lab) -> None:
    """Would catch: mail that doesn't name the one command that repairs it."""
    lab.now += timedelta(minutes=1)
    header = ORDERS[0].replace("amount", "amount_eur")
    lab.deliver(DAYS[1], [f"{n},c{n},1.50,{DAYS[1]}" for n in range(10)], header)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["repair"]["first"] is None
    assert told(lab) == {f"headrace fix {incident['id']}"}
    lab.headrace("fix", incident["id"], "--dry-run")


@pytest.mark.long
def test_a_pause_that_was_ended_isnt_ended_again(lab: Lab) -> None:
    """Would catch: `resume` proposed for what runs again already; a pause that is found a day after
    it began, though nobody waited for what was paused."""
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n"
    )
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.headrace("pause", "totals", "--reason", "audit", "--now", lab.now.isoformat())
    lab.orders(f"{lab.now:%Y-%m-%d}")
    lab.now += timedelta(days=1)
    lab.tick()
    paused = [item for item in lab.headrace("incidents") if item["cause"]["kind"] == "paused"]
    assert [item["repair"]["automatic"] for item in paused] == [False]
    due = datetime.fromisoformat(paused[0]["began_at"])
    late = (lab.now - due).total_seconds()
    assert f"{due:%H:%M}" == "07:00"
    assert paused[0]["detect_seconds"] == pytest.approx(late, abs=30)
    lab.headrace("resume", "totals", "--reason", "done", "--now", lab.now.isoformat())
    (item,) = [one for one in lab.headrace("incidents") if one["cause"]["kind"] == "paused"]
    assert item["repair"]["automatic"] is True
    planned = lab.headrace("fix", item["id"], "--dry-run", "--now", lab.now.isoformat())
    assert [step["act"] for step in planned["steps"]] == ["look"]


def test_a_restatement_that_all_readers_have_is_repaired(lab: Lab) -> None:
    """Would catch: exit 1 and "still open" after a repair that left nothing to do."""
    lab.now += timedelta(days=30)
    lab.orders(DAYS[0], amount="2.50")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "restatement"
    lab.now += timedelta(minutes=1)
    fixed = lab.headrace("fix", incident["id"], "--yes", "--now", lab.now.isoformat())
    assert (fixed["fix"], fixed["state"], fixed["still"]) == ("done", "open", [])
    assert "it ends by itself with the first pass after" in fixed["repair"]["note"]
    assert [row["total"] for row in lab.read("totals")] == [25.0]


@pytest.mark.long
def test_a_restatement_isnt_to_be_repaired_because_another_day_is_stale(lab: Lab) -> None:
    """Would catch: "Headrace does it by itself, next: headrace fix INC-1", since somebody withdrew
    what is read on another day.
    """
    lab.sql("page", "select day, total from totals")
    lab.write("sources/orders.yaml", f"{SOURCE}restate_within: 60d\n")
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.orders(DAYS[1])
    lab.now += timedelta(days=1)
    lab.tick()
    lab.orders(DAYS[1], amount="2.50")
    lab.now += timedelta(hours=1)
    lab.tick()
    (before,) = lab.headrace("incidents")
    assert before["cause"]["kind"] == "restatement"
    assert "it ends by itself with the first pass after" in (before["repair"]["note"] or ""), before
    lab.headrace(
        "unpublish", f"totals@{DAYS[0]}", "--reason", "wrong", "--now", lab.now.isoformat()
    )
    after = next(item for item in lab.headrace("incidents") if item["id"] == before["id"])
    assert after["repair"] == before["repair"]


def test_restated_rows_that_a_check_below_refuses_are_a_persons(lab: Lab) -> None:
    """Would catch: "Headrace does it by itself", while what is made of the restated rows is
    rejected and stays so.
    """
    front = "partition: {by: day, column: day}\nchecks:\n  - range: {column: total, max: 20}"
    lab.sql("totals", "select day, sum(amount) as total from orders group by all", front)
    lab.write("sources/orders.yaml", f"{SOURCE}restate_within: 60d\n")
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    lab.now += timedelta(hours=1)
    lab.orders(DAYS[0], amount="2.50")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "restatement"
    assert incident["symptoms"]
    assert not incident["repair"]["automatic"]
    assert incident["repair"]["first"].startswith(
        f"totals@{DAYS[0]} is rejected: decide about it, correct totals, or ask acme"
    )
    assert incident["repair"]["commands"] == [f"headrace quarantine totals@{DAYS[0]}"]


def test_a_repair_that_needs_an_approval_says_so_before(lab: Lab) -> None:
    """Would catch: a plan that says "approval not needed" and is then refused for want of one."""
    now = lab.now.isoformat()
    lab.headrace(
        "incidents", "report", "totals", "--from", DAYS[0], "--reason", "wrong", "--now", now
    )
    settings = lab.root / "headrace.toml"
    settings.write_text(settings.read_text() + '[policy]\nbackfill_approval = "partitions > 0"\n')
    session = lab.session()
    planned = fix(
        session, "INC-1", dry_run=True, again=True, confirm=lambda _: False, progress=Silent()
    )
    out = io.StringIO()
    commands_fix.render_fix(
        planned,
        CommandOutput(
            Screen(out, no_color=True), TimeFormatter.at(session.now(), "UTC", replay=True)
        ),
    )
    said = " ".join(out.getvalue().split())  # lines break where a figure before them is longer
    assert "; needs an approval: headrace.toml:9 backfill_approval = 'partitions > 0'" in said
    assert "a repair can't be approved: plan a backfill, which another person approves" in said
    with pytest.raises(Refused, match="needs an approval"):
        fix(
            lab.session(),
            "INC-1",
            dry_run=False,
            again=True,
            confirm=lambda _: True,
            progress=Silent(),
        )
