"""The causes of a wait are what they were, whichever repair ended it: random faults, each repaired
in every way that there is.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from waiting_lab import CORRECTED, OLD, Cause, StateFacts, at, rows

pytestmark = pytest.mark.long

RENAMED = "order_id,client_name,total_amount,day"


class Fault(NamedTuple):
    """Something that goes wrong with the newest deliveries, and each way in which it is
    repaired."""

    name: str
    begin: Callable[[StateFacts, str], None]
    kind: str
    """What most of the wait is."""
    repairs: dict[str, Callable[[StateFacts], None]]


# Faults, and what repairs them


def _renamed(facts: StateFacts, day: str) -> None:
    facts.deliver(day, RENAMED)


def _redelivered(facts: StateFacts) -> None:
    for day in facts.spoilt:
        facts.deliver(day, when=facts.repaired - timedelta(seconds=30))
    facts.headrace("tick")


def _accepted(*after: tuple[str, ...]) -> Callable[[StateFacts], None]:
    def repair(facts: StateFacts) -> None:
        facts.headrace("contract", "accept", incident(facts), "--yes")
        for command in after:
            facts.headrace(
                *(item.format(first=facts.spoilt[0], last=facts.spoilt[-1]) for item in command)
            )

    return repair


def incident(facts: StateFacts) -> str:
    """The one of the source that was renamed."""
    result = facts.headrace("incidents")
    return next(str(item["id"]) for item in result if item["cause"]["node"] == "orders")


def _broken(facts: StateFacts, day: str) -> None:
    facts.flag.touch()
    facts.deliver(day)


def _paused(facts: StateFacts, day: str) -> None:
    if day == facts.spoilt[0]:
        facts.headrace(
            "pause", "clean", "--reason", "the vendor checks it", now=at(day) + timedelta(days=1)
        )
    facts.deliver(day)


def _reported(facts: StateFacts, day: str) -> None:
    """A person says that what was delivered and published is wrong."""
    facts.deliver(day, least=20)
    came = at(day) + timedelta(days=1) + facts.arrives
    facts.headrace("tick", now=came + timedelta(minutes=2))
    facts.headrace(
        "incidents",
        "report",
        "orders",
        "--from",
        day,
        "--reason",
        "a third is missing",
        now=came + timedelta(minutes=4),
    )


def _nothing(facts: StateFacts, day: str) -> None:
    """The vendor delivers nothing."""


def _mended(*after: tuple[str, ...]) -> Callable[[StateFacts], None]:
    def repair(facts: StateFacts) -> None:
        facts.flag.unlink()
        for command in after:
            facts.headrace(
                *(item.format(first=facts.spoilt[0], last=facts.spoilt[-1]) for item in command)
            )
        facts.flag.touch()

    return repair


def _promoted(facts: StateFacts) -> None:
    """An environment builds what the corrected code makes; production publishes it, and exports."""
    facts.declare_clean(CORRECTED)
    facts.headrace("--env", "dev", "tick")
    applied = facts.headrace("apply", "--yes")
    promoted = {item["node"]: item["partitions"] for item in applied["promoted"]}
    assert promoted.keys() >= {"clean", "total"}, applied
    assert promoted["clean"] >= len(facts.spoilt)
    facts.headrace("tick")


def _resumed(*after: tuple[str, ...]) -> Callable[[StateFacts], None]:
    def repair(facts: StateFacts) -> None:
        facts.headrace("resume", "clean")
        for command in after:
            facts.headrace(
                *(item.format(first=facts.spoilt[0], last=facts.spoilt[-1]) for item in command)
            )

    return repair


def _received(facts: StateFacts) -> None:
    for day in facts.spoilt:
        given = facts.root / f"by_hand_{day}.csv"
        given.write_text("\n".join([OLD, *rows(day)]) + "\n", encoding="utf-8")
        facts.headrace(
            "receive",
            "orders",
            str(given),
            "--for",
            day,
            "--reason",
            "from the vendor's mail",
            code=None,
        )
    facts.headrace("tick")


def backfill(select: str) -> tuple[str, ...]:
    return (
        "backfill",
        select,
        "--from",
        "{first}",
        "--to",
        "{last}",
        "--reason",
        "repair",
        "--yes",
    )


FAULTS = [
    Fault(
        "renamed",
        _renamed,
        "hold",
        {
            "fix": lambda facts: facts.headrace("fix", incident(facts), "--yes"),
            "accept, tick": _accepted(("tick",)),
            "accept, backfill": _accepted(backfill("orders+")),
            "redelivery": _redelivered,
            "receive": _received,
        },
    ),
    Fault(
        "broken code",
        _broken,
        "hold",
        {
            "retry": _mended(("retry", "clean"), ("tick",)),
            "run": _mended(
                (
                    "run",
                    "+consumer:report",
                    "+consumer:extract",
                    "--from",
                    "{first}",
                    "--to",
                    "{last}",
                )
            ),
            "backfill": _mended(backfill("clean+")),
            "promotion": _promoted,
        },
    ),
    Fault(
        "paused",
        _paused,
        "paused",
        {"resume, tick": _resumed(("tick",)), "resume, backfill": _resumed(backfill("clean+"))},
    ),
    Fault("reported", _reported, "hold", {"redelivery": _redelivered, "receive": _received}),
    Fault("missing", _nothing, "source", {"redelivery": _redelivered, "receive": _received}),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_causes_are_the_same_whichever_repair_is_used(fault: Fault, tmp_path: Path) -> None:
    """Catches: a repair that takes a vendor's hours for Headrace's own, seconds that are lost with
    a publication, and two pages that say different causes of one wait."""
    seed = int(os.environ.get("SEED", random.randrange(1_000_000)))
    print(f"SEED={seed}")
    facts = StateFacts(tmp_path / "before", seed)
    facts.build()
    facts.spoil(fault.begin)
    before = facts.causes(facts.repaired)
    assert all(longest(causes).kind == fault.kind for causes in before.values()), (before, seed)
    for name, repair in fault.repairs.items():
        repaired = facts.copy(name.replace(", ", "_"))
        repair(repaired)
        after = repaired.causes(facts.repaired + timedelta(hours=1))
        for subject, causes in after.items():
            assert same(before[subject], causes), (
                f"{subject} after {name}: {before[subject]} -> {causes} (SEED={seed})"
            )


def longest(causes: Sequence[Cause]) -> Cause:
    return max(causes, key=lambda item: item.to_minute - item.from_minute)


def same(before: Sequence[Cause], after: Sequence[Cause]) -> bool:
    """Whether two say the same but for the minutes that a repair takes."""
    if [(*item[:4], item.decider) for item in before] != [(*one[:4], one.decider) for one in after]:
        return False
    ends = [(item[4:6], other[4:6]) for item, other in zip(before, after, strict=True)]
    return all(abs(a - b) <= 2 for item, other in ends for a, b in zip(item, other, strict=True))
