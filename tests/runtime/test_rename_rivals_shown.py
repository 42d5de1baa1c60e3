"""Rivals of a proposed rename: in `incident`, `contract diff`, the plan of a repair, and on disk."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from runlab import DAYS, Lab, built_once
from warm_fork_servers import headrace

from headrace.checks.facts import RenameFindings
from headrace.cli.rename_texts import NONE_CLOSE, rival_texts
from headrace.repairs.rename_rivals import stored_rivals
from headrace.responses.incidents import RivalRow
from headrace.services.contracts import diff
from headrace.services.incidents import incidents
from headrace.store.queries.quality import newest_drift

SOURCE = """source: orders
owner: acme
partition: day
files: landing/orders_{date:%Y-%m-%d}.csv
checks:
  - not_null: [amount]
"""
HELD = f"orders@{DAYS[5]}"


def deliver(lab: Lab, day: str, header: str, *amounts: float) -> None:
    rows = [
        f"{day[-2:]}{i},{','.join(str(amount + i % 7) for amount in amounts)},{day}"
        for i in range(24)
    ]
    lab.deliver(day, rows, header)


@built_once
def lab(root: Path) -> Lab:
    """Five sound days, and one whose amounts have two possible new names."""
    made = Lab(root)
    made.write("sources/orders.yaml", SOURCE)
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 30d}\n"
    )
    for day in DAYS[:5]:
        deliver(made, day, "order_id,amount,day", 1.5)
    made.tick()
    deliver(made, DAYS[5], "order_id,amount_gross,amount_net,day", 1.5, 1.5)
    made.tick()
    return made


def printed(lab: Lab, *arguments: str) -> str:
    """What a command prints for people, on one line."""
    done = headrace([*arguments, "--project", str(lab.root)], Path.cwd(), os.environ, 150)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


@pytest.mark.long
def test_an_incident_shows_the_columns_that_came_close(lab: Lab) -> None:
    """Would catch: a proposal that looks certain, though the other new column has the same values
    and as good a name."""
    with closing(lab.session()) as session:
        (row,) = incidents(session)
        changes = diff(session, HELD).changes
    (rename,) = row.renames
    assert (rename.column, rename.to) == ("amount", "amount_gross")
    (rival,) = rename.rivals or ()
    assert rival.column == "amount_net"
    assert 0 < rival.score <= (rename.score or 0) < 0.9
    assert rival.why == "the names have words in common; 100% of the values are the same"
    assert [change.rivals for change in changes if change.kind == "renamed"] == [[rival]]
    text = printed(lab, "incident", row.id)
    assert f"proposed amount → amount_gross ({rename.score:.2f})" in text
    assert f"rival: amount_net ({rival.score:.2f}: {rival.why})" in text


@pytest.mark.long
@pytest.mark.parametrize(
    "decision",
    [
        ("contract", "accept", HELD),
        ("quarantine", "drop", HELD, "--reason", "test data"),
    ],
)
def test_an_incident_proposes_nothing_that_is_decided(lab: Lab, decision: tuple[str, ...]) -> None:
    """Would catch: "proposed amount → amount_gross" after the names were accepted, or after the
    delivery was dropped."""
    lab.headrace(*decision)
    with closing(lab.session()) as session:
        (row,) = incidents(session)
    assert row.renames == []


def test_deliveries_read_before_rivals_were_kept_say_nothing_of_them(lab: Lab) -> None:
    """Would catch: an old incident that can't be read, or one that says that no column came close
    where nobody recorded it."""
    with closing(lab.session()) as session:
        assert session.store is not None
        with session.store.read() as tx:
            drift = newest_drift(tx, "orders", DAYS[5])
    (row,) = [row for row in drift if row.kind == "renamed"]
    findings = msgspec.json.decode(row.measured or "", type=RenameFindings)
    old = msgspec.structs.replace(findings, rivals=None)
    text = msgspec.json.encode(old).decode()
    assert "rivals" not in text
    assert stored_rivals(msgspec.structs.replace(row, measured=text)) is None
    assert stored_rivals(msgspec.structs.replace(row, measured=None)) is None
    alone = msgspec.json.encode(msgspec.structs.replace(findings, rivals=())).decode()
    assert stored_rivals(msgspec.structs.replace(row, measured=alone)) == []


def test_only_a_proposal_that_was_compared_is_said_to_have_no_rival() -> None:
    """Would catch: *no other column came close* of a delivery that was read before rivals were
    kept."""
    assert rival_texts(None) == []
    assert rival_texts([]) == [NONE_CLOSE]
    assert rival_texts([RivalRow(column="b", score=0.001, why=None)]) == [
        "rival: b (less than 0.01)"
    ]
