"""`--from` and `--to` of nodes that are partitioned in different ways; numbers and pools of attempts."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import OWNERS, compiled, source, sql, write

from headrace.model import Grain, PartitionSpec, UsageError
from headrace.model.intervals import bounds_us
from headrace.model.partitions import WHOLE
from headrace.plan.backfills import (
    ATTEMPTS_PER_PLAN,
    ERRANDS_FROM,
    declared_pools,
    declared_slots,
    first_attempt_of,
    is_errand,
    plan_of_attempt,
)
from headrace.plan.partition_ranges import Extent, extent_of, extent_of_keys, key_of, ranges
from headrace.plan.timeline import NodeExtents, Timeline, limits_of, number_at
from headrace.scheduler import AttemptId, Graph, GraphNode, Take

ZONE = "Europe/Berlin"


def node(name: str, **spec: object) -> GraphNode:
    partition = PartitionSpec(**spec)  # type: ignore[arg-type]
    return GraphNode(name=name, is_source=True, partition=partition, timezone=ZONE, inputs=())


DAY, MONTH, HOUR = (node(grain, grain=grain) for grain in (Grain.DAY, Grain.MONTH, Grain.HOUR))
REGION = node("region", key="region", values=("EMEA", "NA", "SA"))
DAILY_REGION = node("daily_region", grain=Grain.DAY, key="region")
WHOLE_NODE = node("whole")
DELIVERIES = node("deliveries", by_delivery=True)


def keys(item: GraphNode, extent: Extent) -> list[str]:
    """The keys of an extent, in order."""
    timed = [
        (number, key_of(item, number) + (f"/{data}" if data else ""))
        for data, edges in extent.runs.items()
        for first, last in ranges(edges)
        for number in range(first, last + 1)
    ]
    return [key for _, key in sorted(timed)] + sorted(extent.named)


def within(
    nodes: list[GraphNode], first: str | None, last: str | None, known: set[str]
) -> list[str]:
    """The known keys of the first node that are within the limits."""
    limits = limits_of(nodes, first, last)
    return keys(nodes[0], limits[nodes[0].name].within(extent_of_keys(nodes[0], known)))


DAYS = {"2024-02-28", "2024-02-29", "2024-03-01", "2024-03-31", "2024-04-01"}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, sorted(DAYS)),
        ("2024-02-29", "2024-03-01", ["2024-02-29", "2024-03-01"]),
        ("2024-03-01", None, ["2024-03-01", "2024-03-31", "2024-04-01"]),
        (None, "2024-02-29", ["2024-02-28", "2024-02-29"]),
        ("2024-03", "2024-03", ["2024-03-01", "2024-03-31"]),
        ("2024-03", None, ["2024-03-01", "2024-03-31", "2024-04-01"]),
        (None, "2024-02", ["2024-02-28", "2024-02-29"]),
        ("2024-03-31", "2024-03-31", ["2024-03-31"]),
    ],
)
def test_both_ends_of_a_range_are_included(
    first: str | None, last: str | None, expected: list[str]
) -> None:
    """Catches a day too many or too few at either end, and a month that means only its first day."""
    assert within([DAY], first, last, DAYS) == expected


def test_longer_intervals_are_taken_whole() -> None:
    """Catches a month that is left out because the range begins within it."""
    months = {"2024-01", "2024-02", "2024-03", "2024-04"}
    assert within([MONTH, DAY], "2024-02-29", "2024-03-01", months) == ["2024-02", "2024-03"]
    hours = {
        "2024-02-28T23:00+01:00",
        "2024-02-29T00:00+01:00",
        "2024-02-29T23:00+01:00",
        "2024-03-01T00:00+01:00",
    }
    assert within([HOUR, DAY], "2024-02-29", "2024-02-29", hours) == [
        "2024-02-29T00:00+01:00",
        "2024-02-29T23:00+01:00",
    ]


def test_nodes_without_time_are_taken_whole_beside_nodes_with_time() -> None:
    limits = limits_of([WHOLE_NODE, DAY], "2024-02-29", None)
    assert limits["whole"].within(extent_of({}, (WHOLE,))).named == extent_of({}, (WHOLE,)).named


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("EMEA", "NA", ["EMEA", "NA"]),
        ("NA", None, ["NA", "SA"]),
        (None, "EMEA", ["EMEA"]),
        ("SA", "SA", ["SA"]),
    ],
)
def test_keys_are_a_range_of_text(first: str | None, last: str | None, expected: list[str]) -> None:
    assert within([REGION], first, last, {"EMEA", "NA", "SA"}) == expected


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2", "3", ["2", "3"]),
        ("3", None, ["3", "4"]),
        (None, "1", ["1"]),
        ("4", "4", ["4"]),
        ("1" * 12, None, []),
    ],
)
def test_deliveries_are_a_range_of_numbers(
    first: str | None, last: str | None, expected: list[str]
) -> None:
    """Catches delivery 10 that comes before delivery 9."""
    limits = limits_of([DELIVERIES], first, last)["deliveries"]
    assert keys_of_deliveries(limits.within(extent_of({"": (1, 5)}))) == expected


def keys_of_deliveries(extent: Extent) -> list[str]:
    pairs = [pair for edges in extent.runs.values() for pair in ranges(edges)]
    return [str(number) for first, last in pairs for number in range(first, last + 1)]


def test_one_key_of_the_data_limits_the_nodes_that_have_it() -> None:
    """Catches a backfill of one region that computes all of them."""
    known = {f"2024-02-{day}/{region}" for day in (11, 12) for region in ("EMEA", "NA")}
    first, last = "2024-02-11/EMEA", "2024-02-12/EMEA"
    assert within([DAILY_REGION, DAY], first, last, known) == [first, last]
    assert within([DAILY_REGION], "2024-02-12", None, known) == ["2024-02-12/EMEA", "2024-02-12/NA"]
    assert within([DAY, DAILY_REGION], first, last, {"2024-02-10", "2024-02-11"}) == ["2024-02-11"]


@pytest.mark.parametrize(
    ("nodes", "first", "last", "message"),
    [
        ([DAY], "2024-03-02", "2024-03-01", "--to 2024-03-01 comes before --from 2024-03-02"),
        ([REGION], "NA", "EMEA", "--to EMEA comes before --from NA"),
        ([DELIVERIES], "10", "9", "--to 9 comes before --from 10"),
        ([DELIVERIES], "two", None, "deliveries@two names no delivery"),
        ([DELIVERIES], "1" * 13, None, "names no delivery"),
        ([DELIVERIES], None, "٣", "names no delivery"),
        ([DAILY_REGION], "2024-03-01/EMEA", "2024-03-02/NA", "two keys: EMEA, NA"),
        ([DAY], "yesterday", None, "yesterday"),
        ([MONTH], "2024-03-01", None, "2024-03-01"),
    ],
)
def test_a_range_that_means_nothing_is_refused(
    nodes: list[GraphNode], first: str | None, last: str | None, message: str
) -> None:
    """Catches swapped ends that choose nothing, or everything, without a word."""
    with pytest.raises(UsageError) as refused:
        limits_of(nodes, first, last)
    assert message in str(refused.value)


# Expected partitions without inputs


def timeline(item: GraphNode, known: set[str] = frozenset(), now: str = "2024-03-10") -> Timeline:  # type: ignore[assignment]
    extents = {item.name: NodeExtents(known=extent_of_keys(item, known))}
    return Timeline(Graph((item,)), extents, bounds_us(now, Grain.DAY, ZONE)[0])


def _alone(start: str | None = None, **spec: object) -> GraphNode:
    partition = PartitionSpec(**spec)  # type: ignore[arg-type]
    return GraphNode(
        name="a", is_source=False, partition=partition, timezone=ZONE, inputs=(), start=start
    )


@pytest.mark.parametrize(
    ("item", "known", "asked", "expected"),
    [
        (_alone(), set(), None, [WHOLE]),
        (_alone(key="region", values=("NA", "EMEA")), set(), None, ["EMEA", "NA"]),
        (_alone("2024-03-07", grain=Grain.DAY), set(), None, ["2024-03-07", "2024-03-08", "2024-03-09"]),
        (_alone("2024-03-10", grain=Grain.DAY), set(), None, []),
        (_alone("2024-03-08", grain=Grain.DAY), {"2024-03-01"}, None,
         ["2024-03-01", "2024-03-08", "2024-03-09"]),
        (_alone(grain=Grain.DAY), set(), "2024-03-08", ["2024-03-08", "2024-03-09"]),
        (_alone(grain=Grain.DAY), {"2024-03-02"}, None, ["2024-03-02"]),
        (_alone("2024-03-09", grain=Grain.DAY, key="region", values=("NA", "EMEA")), set(), None,
         ["2024-03-09/NA", "2024-03-09/EMEA"]),
    ],
)  # fmt: skip
def test_partitions_that_no_input_announces(
    item: GraphNode, known: set[str], asked: str | None, expected: list[str]
) -> None:
    """Catches a first day that is left out, and a day that is computed before it has ended."""
    times = timeline(item, known)
    number = number_at(item, bounds_us(asked, Grain.DAY, ZONE)[0]) if asked else 0
    result = times.candidates(item, {}, (number, number + 1) if asked else ())
    assert sorted(keys(item, result)) == sorted(expected)


def test_what_is_due_ends_now() -> None:
    """Catches an interval that counts as missing before it has ended."""
    item = _alone("2024-03-07", grain=Grain.DAY)
    times = timeline(item)
    due = extent_of({"": times.should_be(item)})
    assert keys(item, due) == ["2024-03-07", "2024-03-08", "2024-03-09"]
    later = extent_of_keys(item, {"2024-03-09", "2024-03-10"})
    assert keys(item, times.ended(item, later)) == ["2024-03-09"]
    missing = times.absent(item, extent_of_keys(item, {"2024-03-08"}), extent_of({}))
    assert keys(item, times.ended(item, missing)) == ["2024-03-07", "2024-03-09"]
    listed = _alone("2024-03-09", grain=Grain.DAY, key="region", values=("NA", "EMEA"))
    times = timeline(listed)
    missing = times.absent(listed, extent_of_keys(listed, {"2024-03-09/NA"}), extent_of({}))
    assert keys(listed, times.ended(listed, missing)) == ["2024-03-09/EMEA"]


# Numbers and pools of attempts


def test_an_attempts_number_says_its_plan() -> None:
    """Catches an attempt of a backfill that counts as production's, and work for its publication
    that counts as an attempt."""
    for plan in (0, 1, 7):
        first = first_attempt_of(plan) + 1
        last = first_attempt_of(plan + 1)
        assert plan_of_attempt(AttemptId(3, first)) == plan
        assert plan_of_attempt(AttemptId(3, last - 1)) == plan
        assert plan_of_attempt(AttemptId(3, last)) == plan + 1
        assert not is_errand(AttemptId(3, first))
        assert not is_errand(AttemptId(3, first - 1 + ERRANDS_FROM - 1))
        assert is_errand(AttemptId(3, first - 1 + ERRANDS_FROM))
        assert is_errand(AttemptId(3, first - 1 + ATTEMPTS_PER_PLAN - 1))


def test_limits_of_nodes_and_owners_are_pools(tmp_path: Path) -> None:
    """Catches a declared limit that attempts don't take, and a slot of a pool that isn't declared."""
    owners = OWNERS.replace("core: {kind: team,", "core: {kind: team, concurrency: 3,")
    files = {
        "owners.yaml": owners,
        "sources/s.yaml": source("s") + "concurrency: 2\n",
        "assets/a.sql": sql("select 1 as x", pool="{warehouse: 2, api: 1}", concurrency="1"),
        "assets/b.sql": sql("select 1 as x", owner="vendor"),
    }
    root = write(tmp_path, files)
    settings = (root / "headrace.toml").read_text(encoding="utf-8")
    (root / "headrace.toml").write_text(
        settings + "[pools]\nwarehouse = 4\napi = 1\n", encoding="utf-8"
    )
    project = compiled(root).project
    assert declared_pools(project) == {
        "warehouse": 4, "api": 1, "owner:core": 3, "node:s": 2, "node:a": 1,
    }  # fmt: skip
    assert declared_slots(project, project.assets["a"]) == (
        Take("api", 1),
        Take("warehouse", 2),
        Take("owner:core"),
        Take("node:a"),
    )
    assert declared_slots(project, project.assets["b"]) == ()
    assert declared_slots(project, project.sources["s"]) == (Take("node:s"),)
