"""Sixty days of an invented company with six faults, two of them at once: availability, promises,
scores, goodput, and times to detect and to restore are recounted by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from clilab import Project
from ferries import FILES, READS, SOURCES, Play, at, at_least, explained, floored, key, minute

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
WINDOW = "61d"


def compared(shop: Project, play: Play) -> Callable[[Project, datetime], None]:
    """Each evening, every consumer is in the state that follows from what was known then."""

    def evening(shop: Project, now: datetime) -> None:
        response = shop.json("status", "--now", now.isoformat())
        served = {c["name"]: c["state"] in ("served", "at_risk") for c in response["consumers"]}
        until = minute(now)
        assert (now, served) == (
            now,
            {c: until - 1 not in play.unserved(c, until, known=until) for c in READS},
        )

    return evening


def availability_agrees(shop: Project, play: Play) -> None:
    response = shop.json("status", "--window", WINDOW)
    until = minute(datetime.fromisoformat(response["now"]))
    for consumer in response["consumers"]:
        name, said = consumer["name"], consumer["availability"]
        total, lost = until - play.due(name, 0), len(play.unserved(name, until))
        assert (name, said["promised"], said["kept"]) == (name, *play.promises(name, until))
        assert (name, abs(said["lost_minutes"] - lost) <= 1) == (name, True)
        assert (name, said["honest"]) in {
            (name, floored((1 - (lost + more) / total) * 100, 1)) for more in (0, 1)
        }


def rows_agree(
    shop: Project, play: Play, faults: dict[str, dict[str, int]], again: dict[str, int]
) -> None:
    """`faults`: changed and late intervals and deliveries that were refused, of each source;
    `again`: the deliveries that came again unchanged."""
    scores = explained(shop, "sources", "source", WINDOW)
    goodput = explained(shop, "goodput", "node", WINDOW)
    for source in SOURCES:
        delivered, good = play.sound_rows(source)
        number = sum(len(play.delivered(source, day)) for day in range(play.days)) - again.get(
            source, 0
        )
        said, fault = scores[source], faults.get(source, {})
        assert (said["source"], said["deliveries"], said["expected"], said["missing"]) == (
            source,
            number,
            play.days,
            0,
        )
        late, changed, refused = (fault.get(item, 0) for item in ("late", "changed", "refused"))
        steady = number - refused
        stability = at_least((play.days - late) / play.days, play.days) * at_least(
            (steady - changed) / steady, steady
        )
        assert (source, said["changed"], said["on_time"]) == (source, changed, play.days - late)
        assert (source, said["stability"]) == (source, floored(stability, 3))
        assert (source, said["quality"]) == (source, floored(at_least(good / delivered, number), 3))
        row = goodput[source]
        assert (source, row["delivered"], row["good"], row["goodput"]) == (
            source,
            delivered,
            good,
            floored(good / delivered * 100, 1),
        )


def incidents_agree(
    shop: Project, expected: list[tuple[str, str, datetime, datetime, datetime]]
) -> None:
    """Each is (cause, node, when it began, was found, was over)."""
    rows = shop.json("status", "--explain", "incidents", "--window", WINDOW)["rows"]
    said = [
        (
            row["kind"],
            row["node"],
            *(round(row[name] / 60) for name in ("detect_seconds", "restore_seconds")),
        )
        for row in rows
    ]
    assert said == [
        (kind, node, minute(found) - minute(began), minute(over) - minute(began))
        for kind, node, began, found, over in expected
    ]


def fixed(cause: str) -> Callable[[Project, datetime], None]:
    """Somebody accepts what Headrace proposes for the open incident of a cause."""

    def act(shop: Project, now: datetime) -> None:
        when = ("--now", now.isoformat())
        (found,) = [i for i in shop.json("incidents", *when) if i["cause"]["kind"] == cause]
        shop.json("fix", found["id"], "--yes", *when)

    return act


def changed(path: str, text: str) -> Callable[[Project, datetime], None]:
    """Somebody changes a file and applies it."""

    def act(shop: Project, now: datetime) -> None:
        (shop.root / path).write_text(text)
        shop.json("apply", "--yes", "--now", now.isoformat())

    return act


def ran(*words: str) -> Callable[[Project, datetime], None]:
    return lambda shop, now: shop.json(*words, "--now", now.isoformat())


def waived(day: int) -> Callable[[Project, datetime], None]:
    """Nobody needs a day any more."""

    def act(shop: Project, now: datetime) -> None:
        for consumer in READS:
            ran("waive", f"{consumer}@{key(day)}", "--reason", "a storm")(shop, now)

    return act


def new_project(root: Path, call: Callable[..., Any]) -> Project:
    root.mkdir()
    return Project(root, call)


def test_six_faults_and_six_ticks_a_day(tmp_path: Path, call: Callable[..., Any]) -> None:
    """Would catch: a figure that isn't what a reader counts by hand, beside faults that overlap;
    each delivery after a renamed column as changed; touched files in scores or goodput."""
    takings = FILES["assets/takings.sql"]
    ten = at(18, "10:00")
    play = Play(
        60,
        ("04:30", "06:00", "08:30", "12:00", "16:00", "22:00"),
        deliveries={
            ("bookings", 10): [(11, "15:00", "")],
            ("bookings", 17): [(18, "04:00", "renamed")],
            ("sailings", 25): [(28, "14:00", "")],
            ("sailings", 26): [(28, "14:00", "")],
            ("fuel", 25): [(26, "04:00", "hundredfold"), (26, "11:00", "")],
            ("bookings", 34): [(35, "04:00", "doubled"), (35, "10:00", "")],
            ("bookings", 40): [(41, "04:00", "shifted"), (42, "15:00", "")],
            **{("bookings", day): [(day + 1, "04:00", ""), (20, "11:00", "")] for day in (5, 6, 7)},
        },
        ready={
            ("bookings", 17): ten,
            **{("bookings", d): at(d + 1, "04:30") for d in (5, 6, 7, 40)},
        },
        held_up={("takings", 48): at(49, "12:00")},
        wrong={("trips", 40): (at(41, "04:30"), at(42, "16:00"), at(42, "10:00"))},
        acts={
            (18, "10:00"): fixed("schema_change"),
            (42, "10:00"): ran("incidents", "report", f"trips@{key(40)}", "--reason", "3 too high"),
            (49, "03:00"): changed(
                "assets/takings.sql", takings.replace("sum(fare)", "sum(cast(ship as integer))")
            ),
            (49, "10:30"): changed("assets/takings.sql", takings),
        },
    )
    shop = new_project(tmp_path / "ferries", call)
    play.run(shop, compared(shop, play))
    availability_agrees(shop, play)
    rows_agree(
        shop,
        play,
        {
            "bookings": {"late": 1, "changed": 3, "refused": 2},
            "sailings": {"late": 2},
            "fuel": {"refused": 1},
        },
        {"bookings": 3},
    )
    incidents_agree(
        shop,
        [
            ("missing_source", "bookings", at(11, "05:00"), at(11, "06:00"), at(11, "16:00")),
            ("schema_change", "bookings", at(18, "04:00"), at(18, "04:30"), ten),
            ("distribution_shift", "fuel", at(26, "04:00"), at(26, "04:30"), at(26, "12:00")),
            ("missing_source", "sailings", at(26, "05:00"), at(26, "06:00"), at(28, "16:00")),
            ("duplicate_rows", "bookings", at(35, "04:00"), at(35, "04:30"), at(35, "12:00")),
            ("reported", "trips", at(41, "04:30"), at(42, "10:00"), at(42, "16:00")),
            ("restatement", "bookings", at(42, "15:00"), at(42, "16:00"), at(42, "16:00")),
            ("code_error", "takings", at(49, "04:30"), at(49, "04:30"), at(49, "12:00")),
        ],
    )


def test_two_ticks_a_morning(tmp_path: Path, call: Callable[..., Any]) -> None:
    """Would catch: time as not observed between the passes of two mornings; two late files ten
    days apart as one incident of ten days; a renamed column in another unit as two incidents; a
    pause, a drop or a waived day counted otherwise than by hand."""
    late = {("bookings", day): [(day + 1, "08:00", "")] for day in (9, 19)}
    wrong = {
        ("bookings", day): [(day + 1, "04:00", "shifted"), (51, "08:00", "")]
        for day in range(44, 50)
    }
    play = Play(
        60,
        ("05:15", "08:45"),
        deliveries={
            **late,
            ("fuel", 12): [(13, "08:30", "")],
            ("fuel", 15): [(16, "08:30", "")],
            ("bookings", 28): [(29, "04:00", "cents"), (29, "07:30", "")],
            ("fuel", 35): [(37, "04:00", "")],
            **wrong,
            ("bookings", 55): [(56, "04:00", "doubled")],
        },
        ready={
            **{key: at(key[1] + 1, "05:15") for key in wrong},
            ("bookings", 55): at(99, "05:15"),
        },
        held_up={("takings", 35): at(37, "05:15")},
        waived={(consumer, 55): at(57, "10:00") for consumer in READS},
        acts={
            (36, "05:00"): ran("pause", "takings", "--reason", "a new tariff"),
            (36, "10:00"): ran("resume", "takings"),
            (57, "09:00"): ran("quarantine", "drop", f"bookings@{key(55)}", "--reason", "a storm"),
            (57, "10:00"): waived(55),
        },
    )
    shop = new_project(tmp_path / "ferries", call)
    play.run(shop, compared(shop, play))
    availability_agrees(shop, play)
    rows_agree(
        shop,
        play,
        {"bookings": {"late": 2, "changed": 7, "refused": 7}, "fuel": {"late": 3}},
        {},
    )
    incidents_agree(
        shop,
        [
            ("late_source", "bookings", at(10, "05:00"), at(10, "05:15"), at(10, "08:45")),
            # twice within seven days: one incident, of the time of both
            ("late_source", "fuel", at(13, "05:00"), at(13, "05:15"), at(13, "12:30")),
            ("late_source", "bookings", at(20, "05:00"), at(20, "05:15"), at(20, "08:45")),
            ("schema_change", "bookings", at(29, "04:00"), at(29, "05:15"), at(29, "08:45")),
            ("late_source", "fuel", at(36, "05:00"), at(36, "05:15"), at(37, "05:15")),
            ("restatement", "bookings", at(51, "08:00"), at(51, "08:45"), at(51, "08:45")),
            ("duplicate_rows", "bookings", at(56, "04:00"), at(56, "05:15"), at(57, "10:00")),
        ],
    )
