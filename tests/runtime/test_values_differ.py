"""A vendor renames a column and changes its unit: the names alone aren't accepted, somebody decides
what the values mean, and that is what is read from that interval on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab, published

from headrace.access.agreements import ValuesDiffer
from headrace.model import UsageError
from headrace.project.session import Silent
from headrace.repairs.contract_updates import ValueDecision
from headrace.services.contract_accept import accept

OLD = "order_id,customer,amount,day"
CENTS = "order_id,customer,amount_cents,day"
N = 30
SOUND = 4


def rows(day: str, factor: float = 1.0) -> list[str]:
    number = int(day[-2:])
    return [
        f"{number * 100 + i},c{i % 3},{round((3 + (i * 7 + number) % 11 / 2) * factor, 2):g},{day}"
        for i in range(N)
    ]


def total(day: str) -> float:
    return sum(float(row.split(",")[2]) for row in rows(day))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Four sound days, and one whose amounts are cents under another name."""
    made = Lab(tmp_path / "p")
    made.sql("totals", "select day, sum(amount) as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '09:00'}\n"
    )
    for day in DAYS[:SOUND]:
        made.deliver(day, rows(day), OLD)
    made.tick()
    made.deliver(DAYS[SOUND], rows(DAYS[SOUND], 100), CENTS)
    made.tick()
    return made


def totals(lab: Lab) -> list[float]:
    result = lab.headrace("sql", "select total from totals order by day")["rows"]
    return [row["total"] for row in result]


def trail(lab: Lab) -> dict[str, Any]:
    events = [json.loads(text) for (text,) in lab.rows("select event from audit order by seq")]
    result: dict[str, Any] = [event for event in events if event["action"] == "contract.accepted"][
        -1
    ]
    return result


@pytest.mark.long
def test_a_rename_with_another_unit_is_asked_about_and_converted(lab: Lab) -> None:
    """Would catch: 83 times too much published by the command that was recommended; a refusal that
    doesn't say which command decides; a decision that isn't in the trail."""
    (incident,) = (
        item for item in lab.headrace("incidents") if item["cause"]["kind"] == "schema_change"
    )
    assert incident["cause"]["summary"] == "1 column renamed, amount: values × 100"
    planned = lab.headrace("fix", incident["id"], "--dry-run")
    assert planned["refused"]["code"] == "values_differ"
    refused = lab.headrace("fix", incident["id"], "--yes", code=3)
    assert (refused["fix"], refused["refused"]["code"]) == ("refused", "values_differ")
    (mapping,) = refused["mappings"]
    assert mapping["proposed"] == "amount_cents / 100"
    assert [(item["kind"], item["factor"]) for item in mapping["differs"]] == [("scale", "100")]
    assert lab.rows("select count(*) from publication where partition = ?", DAYS[SOUND]) == [(0,)]
    assert not list(lab.root.glob("contracts/*"))

    typed = shlex.split(refused["refused"]["commands"][0])[1:]
    done = lab.headrace(*typed, "--yes", "--reason", "the shop says cents")
    assert done["state"] == "resolved"
    assert totals(lab) == pytest.approx([total(day) for day in DAYS[: SOUND + 1]])
    assert trail(lab)["after"]["convert"] == {"amount": "amount_cents / 100"}
    assert trail(lab)["reason"] == "the shop says cents"

    lab.deliver(DAYS[SOUND + 1], rows(DAYS[SOUND + 1], 100), CENTS)
    lab.deliver(
        DAYS[0], [*rows(DAYS[0]), f"999,c1,5,{DAYS[0]}"], OLD
    )  # old files are read the old way
    lab.tick()
    wanted = [total(day) for day in DAYS[: SOUND + 2]]
    assert totals(lab) == pytest.approx([wanted[0] + 5, *wanted[1:]])


@pytest.mark.long
def test_values_may_be_taken_as_they_are(lab: Lab) -> None:
    """Would catch: a decision after which the delivery is held again for what was decided; one that
    hides the next change."""
    with pytest.raises(ValuesDiffer, match="values × 100"):
        decide(lab, ValueDecision())
    assert decide(lab, ValueDecision(as_is=True)) == "accepted"
    assert trail(lab)["after"]["convert"] == {"amount": '"amount_cents"'}
    assert ("orders", DAYS[SOUND]) in published(lab.tick())
    assert totals(lab)[-1] == pytest.approx(100 * total(DAYS[SOUND]))


@pytest.mark.long
def test_a_conversion_ends_with_the_name_that_it_is_of(lab: Lab) -> None:
    """Would catch: euros under the old name divided by 100, because cents once were."""
    decide(lab, ValueDecision(("amount_cents / 100",)))
    lab.tick()
    lab.deliver(DAYS[SOUND + 1], rows(DAYS[SOUND + 1]), "order_id,customer,total_amount,day")
    lab.tick()
    assert decide(lab, ValueDecision(), at=SOUND + 1, pairs=["amount=total_amount"]) == "accepted"
    lab.tick()
    assert totals(lab) == pytest.approx([total(day) for day in DAYS[: SOUND + 2]])
    text = (lab.root / "contracts/orders.odcs.yaml").read_text()
    assert f"to: '{DAYS[SOUND + 1]}'" in text.partition("headrace.convert")[2]


@pytest.mark.parametrize(
    "text",
    ["(select 1)", "read_text('/etc/passwd')", "amount_cents; drop table x", "other / 100", "1"],
)
def test_an_expression_that_is_none_is_refused(lab: Lab, text: str) -> None:
    """Would catch: SQL of somebody's put into a contract, and run whenever a delivery comes."""
    with pytest.raises(UsageError):
        decide(lab, ValueDecision((text,)))
    assert not list(lab.root.glob("contracts/*"))


@pytest.mark.long
def test_an_expression_in_a_contract_is_checked_again(lab: Lab) -> None:
    """Would catch: a contract written by hand that reads a file; one of a column that files
    haven't."""
    decide(lab, ValueDecision(("amount_cents / 100",)))
    lab.tick()
    path = lab.root / "contracts/orders.odcs.yaml"
    sound = path.read_text()
    path.write_text(sound.replace("amount_cents / 100", "read_text('/etc/passwd')"))
    problems = lab.headrace("validate", code=1)["problems"]
    assert [problem["code"] for problem in problems if problem["severity"] == "error"] == [
        "contract_invalid"
    ]


@pytest.mark.long
def test_another_unit_without_a_rename_is_held_and_converted(tmp_path: Path) -> None:
    """Would catch: cents under the old name, published in the first week; no way to say what they
    are.
    """
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, sum(amount) as total from orders group by all")
    for day in DAYS[:SOUND]:
        lab.deliver(day, rows(day), OLD)
    lab.tick()
    lab.deliver(DAYS[SOUND], rows(DAYS[SOUND], 100), OLD)
    lab.tick()
    assert lab.rows(
        "select state from partition where node = 'orders' and partition = ?", DAYS[SOUND]
    ) == [("held",)]
    said = {item["cause"]["summary"] for item in lab.headrace("incidents")}
    assert "amount × 100 (per cent, or cents?)" in said
    assert decide(lab, ValueDecision(("amount / 100",)), pairs=["amount=amount"]) == "accepted"
    lab.tick()
    assert totals(lab) == pytest.approx([total(day) for day in DAYS[: SOUND + 1]])


def test_names_are_not_mapped_by_themselves_where_values_differ(lab: Lab) -> None:
    """Would catch: `on_drift: {renamed: map}` that publishes cents as euros."""
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\non_drift: {renamed: map}\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\n",
    )
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[SOUND + 1], rows(DAYS[SOUND + 1], 100), CENTS)
    lab.tick()
    states = lab.rows(
        "select state from partition where node = 'orders' and partition > ?", DAYS[SOUND - 1]
    )
    assert states == [("held",), ("held",)]


def decide(
    lab: Lab, decision: ValueDecision, at: int = SOUND, pairs: list[str] | None = None
) -> str:
    target = f"orders@{DAYS[at]}"
    return accept(
        lab.session(),
        target,
        pairs=pairs or (),
        patch=False,
        yes=False,
        progress=Silent(),
        decision=decision,
    ).state
