"""Days on which all sources have fewer rows, through real ticks: nothing is held for them, however
they come; a fault of one is.
"""

from __future__ import annotations

import os
import random
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
from runlab import Lab

FIRST = date(2024, 12, 2)
DAYS = 35
SOURCES = ("ants", "bees", "cats", "dogs", "eels")
SEED = 77_001


def day(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


class Herd(Lab):
    """Five sources of five owners; a day's rows are those that the day of the week has, and a
    little chance.
    """

    def begin(self) -> None:
        (self.root / "sources/orders.yaml").unlink()
        self.write(
            "owners.yaml",
            "core: {kind: team}\n" + "".join(f"v_{name}: {{kind: vendor}}\n" for name in SOURCES),
        )
        for name in SOURCES:
            said = (
                f"source: {name}\nowner: v_{name}\npartition: day\nfiles:"
                f" landing/{name}_{{date:%Y-%m-%d}}.csv\n"
            )
            self.write(f"sources/{name}.yaml", said)
        self.sql("total", " union all ".join(f"select * from {name}" for name in SOURCES))
        self.write(
            "consumers.yaml", "- {consumer: report, owner: core, reads: [total], due: '09:00'}\n"
        )

    def send(self, name: str, number: int, factor: float = 1.0) -> None:
        chance = random.Random(f"{SEED} {name} {number}")
        usual = 400 if (FIRST + timedelta(number)).weekday() < 5 else 240
        rows = round(usual * factor * chance.uniform(0.97, 1.03))
        path = self.root / f"landing/{name}_{day(number)}.csv"
        path.write_text(
            "id,amount,day\n"
            + "".join(
                f"{number + 1}{n:05d},{chance.lognormvariate(3, 0.4):.2f},{day(number)}\n"
                for n in range(rows)
            )
        )
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)

    def states(self, number: int) -> dict[str, str]:
        return dict(
            self.rows(
                "select node, state from partition where partition = ? and node <> 'total'",
                day(number),
            )
        )


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sound weeks."""
    lab = Herd(Path(tmp_path_factory.mktemp("herd")) / "p")
    lab.begin()
    for number in range(DAYS):
        for name in SOURCES:
            lab.send(name, number)
    lab.tick()
    assert lab.rows("select count(*) from publication where node <> 'total'") == [
        (DAYS * len(SOURCES),)
    ]
    return lab.root


@pytest.fixture
def lab(weeks: Path, tmp_path: Path) -> Herd:
    made = Herd(tmp_path / "p")
    shutil.rmtree(made.root)
    shutil.copytree(weeks, made.root)
    return made


@pytest.mark.long
def test_a_day_on_which_all_sources_are_thin_holds_none_of_them(lab: Herd) -> None:
    """Would catch: those held that are ingested first, since the others of the same round weren't
    there to be compared with."""
    for name in SOURCES:
        lab.send(name, DAYS, 0.55)
    lab.tick()
    assert lab.states(DAYS) == dict.fromkeys(SOURCES, "published")
    said = (
        "select node from fact where partition = ? and severity = 'warn' and detail like '%sources"
        " of other owners moved alike'"
    )
    held = lab.rows("select node from quarantine where state = 'superseded'")
    assert held  # those that are ingested first can't know better
    assert set(held) <= set(lab.rows(said, day(DAYS)))
    assert lab.rows("select kind from incident where kind = 'volume_anomaly'") == []
    assert lab.rows(
        "select state from partition where node = 'total' and partition = ?", day(DAYS)
    ) == [("published",)]


@pytest.mark.long
def test_what_was_held_before_the_others_came_is_released_with_them_and_says_why(lab: Herd) -> None:
    """Would catch: an incident of a holiday that stays until a person releases it, because the
    others came an hour later.
    """
    lab.send("ants", DAYS, 0.55)
    lab.tick()
    assert lab.states(DAYS) == {"ants": "held"}
    incident = "select node, state from incident where kind = 'volume_anomaly'"
    assert lab.rows(incident) == [("ants", "open")]
    for name in SOURCES[1:]:
        lab.send(name, DAYS, 0.55)
    lab.tick()
    assert lab.states(DAYS) == dict.fromkeys(SOURCES, "published")
    assert lab.rows(incident) == [("ants", "resolved")]
    (told,) = lab.rows("select what from incident_event where act = 'judge_again'")
    assert told == (
        (
            f"ants@{day(DAYS)} is evaluated again with the others of that interval: 4 sources of"
            " other owners moved alike"
        ),
    )


@pytest.mark.long
def test_one_that_is_thin_alone_is_held_and_not_judged_over_and_over(lab: Herd) -> None:
    """Would catch: a cut file released because others came; a delivery that is read again with each
    tick."""
    lab.send("ants", DAYS, 0.55)
    lab.tick()
    for name in SOURCES[1:]:
        lab.send(name, DAYS, 0.95 if name == "bees" else 1.0)
    lab.tick()
    lab.tick()
    assert lab.states(DAYS) == dict.fromkeys(SOURCES, "published") | {"ants": "held"}
    assert lab.rows(
        "select count(*) from attempt where node = 'ants' and partitions like ?", f"%{day(DAYS)}%"
    ) == [(1,)]


@pytest.mark.long
def test_that_all_are_thin_on_saturdays_excuses_no_file_that_is_cut_on_one(lab: Herd) -> None:
    """Would catch: what all do each Saturday taken for what explains that one does more of it
    today.
    """
    saturday = DAYS + (5 - (FIRST + timedelta(DAYS)).weekday()) % 7
    for number in range(DAYS, saturday + 1):
        for name in SOURCES:
            lab.send(name, number, 0.55 if (name, number) == ("cats", saturday) else 1.0)
        lab.tick()
    assert lab.states(saturday) == dict.fromkeys(SOURCES, "published") | {"cats": "held"}


def test_a_thin_redelivery_is_not_judged_by_the_rows_that_it_would_replace(lab: Herd) -> None:
    """Would catch: a redelivery with half of the rows that is ingested twice in one run, because
    the rows that readers see moved as those of the others did."""
    for name in SOURCES:
        lab.send(name, DAYS, 1.1)
    lab.tick()
    assert lab.states(DAYS) == dict.fromkeys(SOURCES, "published")
    lab.send("ants", DAYS, 0.55)
    response = lab.tick()
    assert [(attempt.asset, attempt.state) for attempt in response.attempts] == [("ants", "held")]
    assert lab.rows("select count(*) from incident_event where act = 'judge_again'") == [(0,)]
