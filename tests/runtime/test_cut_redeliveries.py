"""A file that comes again and is only the beginning of the one that is published: held, since
nobody deletes a file's end."""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab

from headrace.checks.restatement import PreviousPublication, cut_off


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Three days of two hundred orders, published."""
    lab = Lab(tmp_path / "p")
    for day in DAYS[:3]:
        lab.deliver(day, rows(day))
    lab.tick()
    assert published(lab) == [(day, 200) for day in DAYS[:3]]
    return lab


def rows(day: str, count: int = 200) -> list[str]:
    return [f"{day[-2:]}{n:03},c{n % 7},{n % 9}.50,{day}" for n in range(count)]


def published(lab: Lab) -> list[tuple[str, int]]:
    return lab.rows(
        "select partition, rows from publication where node = 'orders' and ended_snapshot is null"
        " order by partition"
    )


def causes(lab: Lab) -> list[tuple[str, str]]:
    return [
        (item["cause"]["kind"], item["cause"]["partition"]) for item in lab.headrace("incidents")
    ]


@pytest.mark.parametrize("left", [190, 120, 60])
def test_the_beginning_of_a_published_file_is_held_and_the_whole_one_stays(
    lab: Lab, left: int
) -> None:
    """Would catch: sound rows that readers see, replaced by half of them because the file was sent
    once more and cut off."""
    lab.deliver(DAYS[2], rows(DAYS[2], left))
    (attempt,) = lab.tick().attempts
    assert (
        attempt.state == "held"
        and f"the first {left} rows of the file that is published, and nothing else"
        in attempt.reason
    )
    assert published(lab) == [(day, 200) for day in DAYS[:3]]
    assert causes(lab) == [("volume_anomaly", DAYS[2])]
    lab.deliver(DAYS[2], [*rows(DAYS[2]), f"999,c1,1.50,{DAYS[2]}"])
    lab.tick()
    assert published(lab)[2] == (DAYS[2], 201)


def test_a_file_that_ends_within_a_line_is_held_as_well(lab: Lab) -> None:
    path = lab.root / f"landing/orders_{DAYS[2]}.csv"
    path.write_bytes(path.read_bytes()[:2905])
    assert [attempt.state for attempt in lab.tick().attempts] != ["published"]
    assert published(lab) == [(day, 200) for day in DAYS[:3]]


@pytest.mark.parametrize(
    "again",
    [
        [item for n, item in enumerate(rows(DAYS[2])) if n % 4],  # cancelled orders
        rows(DAYS[2])[80:],
        [row.replace(",c3,", ",c2,") for row in rows(DAYS[2], 180)],
        rows(DAYS[2], 191),
    ],
)
def test_rows_that_a_vendor_deletes_are_published(lab: Lab, again: list[str]) -> None:
    """Would catch: a restatement held for what it deletes: orders that were cancelled, a few at the
    file's end."""
    lab.deliver(DAYS[2], again)
    assert [attempt.state for attempt in lab.tick().attempts] == ["published"]
    assert causes(lab) == [("restatement", DAYS[2])]


def test_too_many_rows_are_corrected(lab: Lab) -> None:
    """Would catch: the right file held because the wrong one before it had other rows after its
    own."""
    lab.deliver(DAYS[3], [*rows(DAYS[3]), *(row.replace("c", "k") for row in rows(DAYS[3], 70))])
    assert [attempt.state for attempt in lab.tick().attempts] == ["published"]
    lab.deliver(DAYS[3], rows(DAYS[3]))
    assert [attempt.state for attempt in lab.tick().attempts] == ["published"]


def test_who_declares_that_files_may_end_earlier_is_heeded(lab: Lab) -> None:
    """Would catch: a hold that nobody can declare away."""
    source = (lab.root / "sources/orders.yaml").read_text()
    lab.write("sources/orders.yaml", source + "on_anomaly: warn\n")
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[2], rows(DAYS[2], 120))
    assert [attempt.state for attempt in lab.tick().attempts] == ["published"]
    assert (DAYS[2], 120) in published(lab)


def test_from_when_on_a_missing_end_is_a_cut() -> None:
    """Would catch: a few rows of a large file, or of a small one, that can't be deleted any more; a
    first day compared with none."""

    def held(was: int, now: int, usual: list[int]) -> bool:
        return cut_off("k", PreviousPublication(was, "h", "s"), now, usual) is not None

    assert held(100, 90, [100]) and not held(100, 91, [100])
    assert held(5000, 4950, [5000]) and not held(5000, 4951, [5000])
    assert (
        not held(100, 0, [100])
        and not held(100, 50, [])
        and not held(116, 50, [100])
        and held(114, 50, [100])
    )
