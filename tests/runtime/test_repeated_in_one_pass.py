"""Deliveries that are ingested at once are judged by each other, too, as if they had come one by
one.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import Lab

SOURCE = (
    "source: views\nowner: acme\npartition: hour\nfiles: landing/views_{date:%Y-%m-%dT%H}.csv\n"
)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path / "p")
    lab.write("sources/views.yaml", SOURCE)
    return lab


def deliver(lab: Lab, hour: int, of: int | None = None, *, rows: int = 30) -> None:
    """The file of an hour; with the rows that another has."""
    seed = hour if of is None else of
    lines = [f"{seed}-{n},{n * seed % 7}" for n in range(rows)]
    path = lab.root / f"landing/views_2025-01-01T{hour:02}.csv"
    path.write_text("\n".join(["view,seconds", *lines]) + "\n")


def states(lab: Lab) -> dict[str, str]:
    return dict(lab.rows("select partition, state from partition where node = 'views' order by 1"))


def test_an_hour_that_repeats_another_of_the_same_pass_is_held(lab: Lab) -> None:
    """Would catch: an hour's file that was delivered again under the next hour's name, published
    because both were ingested in one pass."""
    for hour in range(8):
        deliver(lab, hour, 4 if hour == 5 else None)
    assert "failed" not in {attempt.state for attempt in lab.tick().attempts}
    result = states(lab)
    assert sorted(result.values()) == ["held", *["published"] * 7]
    ((held, reason),) = lab.rows("select partition, reason from partition where state = 'held'")
    assert held[11:13] in ("04", "05") and "equals 2025-01-01T0" in reason
    assert [item["cause"]["kind"] for item in lab.headrace("incidents")] == ["stale_data"]


def test_what_may_stay_the_same_is_published(lab: Lab) -> None:
    """Would catch: hours that are declared to stay the same, or have few rows, that are tried again
    for ever."""
    lab.write("sources/views.yaml", SOURCE + "expect: {unchanged: ok}\n")
    for hour in range(4):
        deliver(lab, hour, 1)
    lab.tick()
    assert set(states(lab).values()) == {"published"}
    lab.write("sources/views.yaml", SOURCE)
    for hour in range(4, 8):
        deliver(lab, hour, 1, rows=5)
    lab.tick()
    assert set(states(lab).values()) == {"published"}
