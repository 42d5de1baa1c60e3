"""Nodes that became slower: only lasting rises, with the cause that the history shows."""

from __future__ import annotations

import random
from collections.abc import Sequence

from headrace_advisor.analysis.regressions import (
    DataChange,
    GrownInput,
    NodeHistory,
    Regression,
    Work,
    regressions,
)
from headrace_advisor.analysis.step_changes import lasting_rises

DAY = 86_400_000_000


def works(
    seconds: Sequence[float],
    rows: Sequence[int] | None = None,
    *,
    version_from: int = 10**9,
    waits: Sequence[float] | None = None,
) -> list[Work]:
    return [
        Work(
            attempt=f"1.{n}",
            partition=f"day {n}",
            finished_us=n * DAY,
            version=2 if n >= version_from else 1,
            rows_in=1000 if rows is None else rows[n],
            run_us=round(took * 1e6),
            processor_wait_us=0 if waits is None else round(waits[n] * 1e6),
        )
        for n, took in enumerate(seconds)
    ]


def compared(
    items: list[Work], *changes: DataChange, grown: GrownInput | None = None
) -> Regression:
    history = NodeHistory(
        node="revenue",
        owner="core",
        works=items,
        changes=lambda since, until: [each for each in changes if since < each.began_us <= until],
        fingerprint=lambda version: f"code {version}",
        grown=lambda *_: grown,
    )
    (regression,) = regressions(history)
    return regression


FAST, SLOW = [1.0, 1.1, 0.9, 1.05] * 5, [2.1, 2.0, 1.9, 2.2] * 3


def test_a_lasting_rise_is_dated() -> None:
    """Would catch: a rise dated to another day, or its medians mixed."""
    regression = compared(works([*FAST, *SLOW]))
    assert regression.at_us == 20 * DAY
    assert (regression.before_us, regression.after_us) == (1_025_000, 2_050_000)
    assert regression.cause.kind == "unknown"
    assert regression.cause.ref is None


def test_a_rise_is_dated_to_its_first_value() -> None:
    """Would catch: a rise dated to the slowest of the fast values, at which nothing changed."""
    for size in (8, 20, 40):
        (rise,) = lasting_rises([*FAST, 1.15, *SLOW, *([2.0] * size)])
        assert rise.position == len(FAST) + 1
        (rise,) = lasting_rises([*([1.0] * size), *FAST, 1.15, 1.9, *SLOW])
        assert rise.position == size + len(FAST) + 1


def test_what_went_back_is_no_regression() -> None:
    """Would catch: three slow days of the past reported as slow until now; and faster as slower."""
    assert not lasting_rises([*FAST, *SLOW, *FAST])
    assert not lasting_rises([*SLOW, *FAST])
    assert not lasting_rises([])
    assert not lasting_rises([1.0] * 9 + [50.0])


def test_noise_has_no_regressions() -> None:
    """Would catch: a test that is too eager, which dates a cause where nothing changed."""
    seed = 5_201
    chance = random.Random(seed)
    alarms = 0
    for _ in range(500):
        size = chance.choice([10, 20, 30, 90])
        alarms += bool(lasting_rises([chance.lognormvariate(0, 0.5) for _ in range(size)]))
    assert alarms <= 5, f"seed {seed}: {alarms} of 500"


def test_wrong_data_of_a_vendor_comes_before_all_else() -> None:
    """Would catch: a join that a wrong value makes explode, put down to the code or the machine."""
    wrong = DataChange(
        "data", "INC-7", "orders", "acme", 20 * DAY - 1, "amount is 364 times larger"
    )
    schema = DataChange("schema", "orders@day 20", "orders", "acme", 20 * DAY - 2, "renamed")
    earlier = DataChange("data", "INC-3", "orders", "acme", 10 * DAY, "duplicate rows")
    cause = compared(works([*FAST, *SLOW], version_from=20), wrong, schema, earlier).cause
    assert (cause.kind, cause.ref, cause.node, cause.owner) == ("data", "INC-7", "orders", "acme")


def test_more_rows_explain_a_rise_only_as_far_as_they_grew() -> None:
    """Would catch: 3 % more rows made the cause of twice the time."""
    rows = [1000] * 20 + [2100] * 12
    grown = GrownInput("orders", "acme", 900, 2000)
    cause = compared(works([*FAST, *SLOW], rows, version_from=20), grown=grown).cause
    assert (cause.kind, cause.ref) == ("volume", "orders")
    assert cause.text == "orders grew from 900 to 2,000 rows a partition"
    few = [1000] * 20 + [1030] * 12
    assert compared(works([*FAST, *SLOW], few, version_from=20)).cause.ref == "version 2"


def test_each_of_two_rises_has_its_own_cause() -> None:
    """Would catch: rows that grew later made the cause of a rise that code brought."""
    slower = [4 * took for took in SLOW] * 2
    rows = [1000] * 32 + [4000] * 24
    history = NodeHistory(
        node="revenue",
        owner="core",
        works=works([*FAST, *SLOW, *slower], rows, version_from=20),
        changes=lambda *_: [],
        fingerprint=lambda version: f"code {version}",
        grown=lambda *_: None,
    )
    code, volume = regressions(history)
    assert (code.at_us, code.cause.kind) == (20 * DAY, "code")
    assert (volume.at_us, volume.cause.kind) == (32 * DAY, "volume")
    assert volume.cause.text == "revenue reads 4,000 rows a partition, before 1,000"


def test_a_busy_machine_is_told_from_slow_code() -> None:
    """Would catch: a machine with too few processors, for which somebody optimises SQL."""
    waits = [0.1] * 20 + [1.0] * 12
    cause = compared(works([*FAST, *SLOW], waits=waits)).cause
    assert (cause.kind, cause.ref) == ("machine", "processors")
