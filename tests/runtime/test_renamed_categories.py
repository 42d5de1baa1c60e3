"""A category under another name and rows twice under keys of their own, through real ticks: in
young projects, and when the right file comes."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from runlab import Lab

FIRST = date(2024, 12, 2)
HEADER = "flight_no,carrier,origin,fare,day"
CARRIERS = {"AA": 0.3, "DL": 0.25, "UA": 0.2, "WN": 0.15, "HA": 0.1}
PAST = 10


def day(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


def rows(number: int, n: int = 400) -> list[list[str]]:
    chance = random.Random(f"15 {number}")
    carriers = chance.choices(list(CARRIERS), list(CARRIERS.values()), k=n)
    numbers = chance.sample(range(100, 9000), n)
    return [
        [
            str(numbers[at]),
            carriers[at],
            chance.choice(["JFK", "LGA", "EWR"]),
            f"{chance.lognormvariate(4, 0.4):.2f}",
            day(number),
        ]
        for at in range(n)
    ]


def renamed(result: list[list[str]]) -> list[list[str]]:
    return [[row[0], "United" if row[1] == "UA" else row[1], *row[2:]] for row in result]


def swapped(result: list[list[str]]) -> list[list[str]]:
    other = {"AA": "HA", "HA": "AA"}
    return [[row[0], other.get(row[1], row[1]), *row[2:]] for row in result]


def twice(result: list[list[str]]) -> list[list[str]]:
    return [*result, *([str(int(row[0]) + 10_000), *row[1:]] for row in result)]


def more(result: list[list[str]]) -> list[list[str]]:
    return [
        *result,
        *(
            [str(int(row[0]) + 10_000), *row[1:3], f"{float(row[3]) * 1.01 + 0.01:.2f}", row[4]]
            for row in result
        ),
    ]


FAULTS = {
    "renamed": (renamed, "distribution_shift", "'United' in its place"),
    "swapped": (swapped, "distribution_shift", "'HA' in its place"),
    "twice": (twice, "duplicate_rows", "each row 2 times, under other flight_no"),
    "more": (more, "volume_anomaly", "800 rows"),
}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql(
        "totals", "select day, carrier, count(*) as n, sum(fare) as fare from orders group by all"
    )
    made.write(
        "consumers.yaml",
        f"- {{consumer: report, owner: core, reads: [totals], due: '09:00', since: '{day(0)}'}}\n",
    )
    return made


def morning(number: int) -> datetime:
    """When somebody looks for what is delivered for a day."""
    return datetime.combine(FIRST + timedelta(number + 1), time(5), UTC)


def deliver(lab: Lab, number: int, result: list[list[str]]) -> None:
    lab.deliver(day(number), [",".join(row) for row in result], HEADER)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_held_in_a_young_project_and_named_when_the_right_file_comes(
    lab: Lab, fault: str
) -> None:
    """Would catch: twice the rows, or carriers under another code, published in the second week;
    the incident called
    a restatement once the right file has come; one that stays open."""
    change, kind, detail = FAULTS[fault]
    for number in range(PAST):
        deliver(lab, number, rows(number))
    lab.now = morning(PAST - 1)
    lab.tick()
    deliver(lab, PAST, change(rows(PAST)))
    lab.now = morning(PAST)
    lab.tick()
    result = lab.headrace("incidents")
    assert [(item["cause"]["kind"], item["cause"]["node"], item["state"]) for item in result] == [
        (kind, "orders", "open")
    ]
    assert detail in str(result[0]["cause"]), result[0]["cause"]
    assert "United" not in result[0]["cause"]["summary"]  # it is mailed, and values of cells aren't
    deliver(lab, PAST, rows(PAST))
    lab.tick()
    every = lab.headrace("incidents", "--all")
    own = [item for item in every if item["cause"]["node"] == "orders"]
    assert [(item["cause"]["kind"], item["state"]) for item in own] == [(kind, "resolved")]
    assert len(lab.read("orders")) == 400 * (PAST + 1)


@pytest.mark.parametrize("column", ["carrier", "origin"])
def test_rows_that_come_twice_are_named_beside_a_rename(lab: Lab, column: str) -> None:
    """Would catch: twice the rows of a file with a renamed column, called a volume that grew; and a
    delivery held for them, called a schema change that alone would hold nothing, since nobody reads
    that column.
    """
    for number in range(PAST):
        deliver(lab, number, rows(number))
    lab.now = morning(PAST - 1)
    lab.tick()
    delivered = [",".join(row) for row in twice(rows(PAST))]
    lab.deliver(day(PAST), delivered, HEADER.replace(column, f"{column}_name"))
    lab.now = morning(PAST)
    lab.tick()
    opened = {item["cause"]["kind"]: item["cause"] for item in lab.headrace("incidents")}
    held_for_names = {"schema_change"} if column == "carrier" else set()
    assert set(opened) == {"duplicate_rows"} | held_for_names
    assert "each row 2 times, under other flight_no" in str(opened["duplicate_rows"])


SEEN_AFTER = {
    "renamed": (1, "distribution_shift", "'United' in its place"),
    "swapped": (1, "distribution_shift", "'HA' in its place"),
    "twice": (0, "duplicate_rows", "each row 2 times, under other flight_no"),
    "more": (4, "volume_anomaly", "800 rows"),
}


@pytest.mark.long
@pytest.mark.parametrize("fault", SEEN_AFTER)
def test_what_was_published_goes_by_what_it_was_once_the_right_file_comes(
    lab: Lab, fault: str
) -> None:
    """Would catch: in the first days, where nothing can be held, an incident called a restatement
    by its vendor, and
    minutes in which readers saw wrong rows counted as served."""
    past, kind, detail = SEEN_AFTER[fault]
    for number in range(past):
        deliver(lab, number, rows(number))
        lab.now = morning(number)
        lab.tick()
    deliver(lab, past, FAULTS[fault][0](rows(past)))
    lab.now = morning(past)
    assert ("orders", "published") in [
        (attempt.asset, attempt.state) for attempt in lab.tick().attempts
    ]
    assert lab.headrace("incidents") == []
    deliver(lab, past, rows(past))
    lab.tick()
    result = lab.headrace("incidents", "--all")
    assert [(item["cause"]["kind"], item["cause"]["partition"]) for item in result] == [
        (kind, day(past))
    ]
    assert detail in str(result[0]["cause"]), result[0]["cause"]
    wrong = lab.rows(
        "select count(*) from unsound u join publication p on p.id = u.publication_id where p.node"
        " = 'orders'"
    )
    assert wrong == [(1,)]
    lab.tick()
    assert [item["state"] for item in lab.headrace("incidents", "--all")] == ["resolved"]


@pytest.mark.long
def test_codes_rewritten_in_files_that_come_again_are_a_restatement(lab: Lab) -> None:
    """Would catch: a vendor that writes the codes of its past otherwise said to have been wrong
    before, since the days
    before the next one have the new codes by then."""
    for number in range(5):
        deliver(lab, number, rows(number))
    lab.now = morning(4)
    lab.tick()
    for number in range(5):
        deliver(lab, number, renamed(rows(number)))
        lab.tick()
    assert {item["cause"]["kind"] for item in lab.headrace("incidents", "--all")} == {"restatement"}


WARNED = 16
"""A day whose fares are somewhat larger than those before, which is worth a warning and no
incident."""


def warned(lab: Lab) -> None:
    """Twenty days are published, one of them with a warning of its fares."""
    for number in range(WARNED):
        deliver(lab, number, rows(number))
    lab.now = morning(WARNED - 1)
    lab.tick()
    for number in range(WARNED, WARNED + 4):
        deliver(lab, number, dearer(rows(number)) if number == WARNED else rows(number))
        lab.now = morning(number)
        lab.tick()
    result = lab.rows(
        "select kind, column_name from fact where node = 'orders' and partition = ?", day(WARNED)
    )
    assert result == [("distribution_shift", "fare")]
    assert lab.headrace("incidents") == []


def dearer(result: list[list[str]]) -> list[list[str]]:
    return [[*row[:3], f"{float(row[3]) * 1.2:.2f}", row[4]] for row in result]


def other_fares(result: list[list[str]]) -> list[list[str]]:
    """As dear as they were, each another one."""
    fares = [row[3] for row in result]
    return [
        [*row[:3], f"{float(fare) + 0.01:.2f}", row[4]]
        for row, fare in zip(result, fares[1:] + fares[:1], strict=True)
    ]


def other_origins(result: list[list[str]]) -> list[list[str]]:
    return [
        [*row[:2], {"JFK": "LGA", "LGA": "JFK"}.get(row[2], row[2]), *row[3:]] for row in result
    ]


def causes(lab: Lab) -> set[tuple[str, str]]:
    """The kind of each incident that there ever was, and a partition that it is of."""
    result = [lab.headrace("incident", item["id"]) for item in lab.headrace("incidents", "--all")]
    return {
        (item["cause"]["kind"], key) for item in result for key in item["affected"]["partitions"]
    }


@pytest.mark.long
def test_days_that_come_again_all_changed_alike_are_a_restatement(lab: Lab) -> None:
    """Would catch: of seven days that a vendor delivers anew, the one that had a weak warning said
    to have been wrong until then, and its minutes lost, though the same was changed in all of them.
    """
    warned(lab)
    week = range(WARNED - 3, WARNED + 4)
    for number in week:
        deliver(lab, number, other_fares(rows(number)))
    lab.tick()
    lab.tick()
    assert causes(lab) == {("restatement", day(number)) for number in week}
    assert lab.rows("select 1 from unsound") == []


@pytest.mark.long
@pytest.mark.parametrize("others", ["alone", "other columns", "the same rows"])
def test_a_warned_day_whose_figure_is_taken_back_was_wrong(lab: Lab, others: str) -> None:
    """Would catch: a warning that was right forgotten because other days were changed otherwise, or
    not at all, in the same delivery.
    """
    warned(lab)
    for number in range(WARNED - 3, WARNED) if others != "alone" else ():
        deliver(
            lab,
            number,
            other_origins(rows(number)) if others == "other columns" else rows(number)[::-1],
        )
    deliver(lab, WARNED, rows(WARNED))
    lab.tick()
    assert ("distribution_shift", day(WARNED)) in causes(lab)
    assert lab.rows(
        "select distinct p.partition from unsound u join publication p on p.id = u.publication_id"
    ) == [(day(WARNED),)]


@pytest.mark.long
def test_a_warned_column_that_is_as_it_was_takes_nothing_back(lab: Lab) -> None:
    """Would catch: a day said to have been wrong because it is like its history now, which alone
    has changed.
    """
    warned(lab)
    for number in range(WARNED - 3, WARNED):
        deliver(
            lab, number, [[*row[:3], f"{float(row[3]) * 1.3:.2f}", row[4]] for row in rows(number)]
        )
    deliver(lab, WARNED, other_origins(dearer(rows(WARNED))))
    lab.tick()
    assert {kind for kind, key in causes(lab) if key == day(WARNED)} == {"restatement"}
    assert (day(WARNED),) not in lab.rows(
        "select p.partition from unsound u join publication p on p.id = u.publication_id"
    )
