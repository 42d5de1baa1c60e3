"""What is said of a cause in one clause: readable, and without values of cells."""

from __future__ import annotations

import msgspec
import pytest

from headrace.incidents.diagnosis.attribution import diagnose
from headrace.incidents.diagnosis.candidates import CauseCandidate
from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.diagnosis.graph import CauseGraph, CauseNode
from headrace.incidents.diagnosis.rules import RULES
from headrace.incidents.diagnosis.wording import CLAUSE_MAX, described_cause
from headrace.model import Grain, PartitionSpec
from headrace.model.causes import CauseKind
from headrace.model.errors import OUTSIZED


@pytest.mark.parametrize(
    ("column", "observed", "why", "told"),
    [
        (
            "at",
            "%m/%d/%y %H:%M",
            "first value that isn't TIMESTAMP: '1/23/20 17:00' at line 2",
            "at written otherwise: %m/%d/%y %H:%M",
        ),
        (
            "at",
            "format",
            "first value that isn't TIMESTAMP: '1/23/20 17:00' at line 2",
            "at written otherwise",
        ),
        (
            "",
            "",
            "the encoding is UTF-16-LE instead of UTF-8 (line 1: a nul byte)",
            "the encoding is UTF-16-LE instead of UTF-8",
        ),
    ],
)
def test_another_format_says_which(column: str, observed: str, why: str, told: str) -> None:
    """Would catch: an incident that is summed up as `format`, and says neither of what nor how; a
    cell's value that goes out with it.
    """
    item = Evidence(
        id="drift:1",
        node="daily",
        partition="2020-01-23",
        family=Family.FORMAT,
        kind="format_change",
        column=column,
        observed=observed,
        strength=12.0,
        held=False,
        at_us=0,
        detail=f"format; {why}",
    )
    node = CauseNode("daily", (), True, PartitionSpec(grain=Grain.DAY), "UTC", "")
    (cause,) = diagnose([item], CauseGraph([node], {}.get), 0)
    assert cause.summary == told


@pytest.mark.parametrize(("type_", "form"), [("DATE", " (%d/%m/%Y)"), ("DOUBLE", "")])
def test_a_single_value_of_another_type_is_told_by_its_line(type_: str, form: str) -> None:
    """Would catch: "1 value of amount isn't DOUBLENone, at line 5", of a type without a format."""
    item = Evidence(
        id="drift:1",
        node="daily",
        partition="2020-01-23",
        family=Family.TYPE,
        kind="type_change",
        column="amount",
        expected=type_,
        observed="VARCHAR",
        strength=12.0,
        held=False,
        at_us=0,
        detail=f"type; first value that isn't {type_}{form}: 'n/a' at line 5, 1 row",
    )
    node = CauseNode("daily", (), True, PartitionSpec(grain=Grain.DAY), "UTC", "")
    (cause,) = diagnose([item], CauseGraph([node], {}.get), 0)
    assert cause.summary == f"1 value of amount isn't {type_}{form}, at line 5"


def test_a_column_that_was_renamed_and_then_went_is_both() -> None:
    """Would catch: "1 column gone, amount: values × 100", of one renamed with other values, and
    gone the next day.
    """
    renamed = Evidence(
        id="fact:1",
        node="daily",
        partition="2020-01-03",
        family=Family.SCHEMA,
        kind="schema_change",
        column="amount",
        expected="amount",
        observed="amount_cents",
        strength=12.0,
        at_us=0,
        detail="renamed; values × 100, by 22 sound partitions",
    )
    gone = msgspec.structs.replace(
        renamed,
        id="fact:2",
        partition="2020-01-04",
        observed="not there",
        at_us=1,
        detail="dropped",
    )
    node = CauseNode("daily", (), True, PartitionSpec(grain=Grain.DAY), "UTC", "")
    (cause,) = diagnose([renamed, gone], CauseGraph([node], {}.get), 2)
    assert cause.summary == "1 column renamed, 1 column gone, amount: values × 100"


def test_a_clause_names_the_partitions_that_its_evidence_covers() -> None:
    """Would catch: what is wrong with one day's file, said of an incident of three days, or another
    day's file in the place of the first once more evidence is there."""

    def summary(**broken: str) -> str:
        result = [
            Evidence(
                id=f"attempt:1.{n}@{day}",
                node="daily",
                partition=day,
                family=Family.ERROR,
                observed=said,
                strength=12.0,
                at_us=n,
                error_kind="deterministic",
            )
            for n, (day, said) in enumerate(
                (f"2020-01-{day[1:]}", said) for day, said in broken.items()
            )
        ]
        node = CauseNode("daily", (), False, PartitionSpec(grain=Grain.DAY), "UTC", "")
        (cause,) = diagnose(result, CauseGraph([node], {}.get), 0)
        return cause.summary

    assert summary(d04="line 4 has 2 columns") == "line 4 has 2 columns"
    assert summary(d04="line 4 has 2 columns", d05="line 4 has 2 columns") == "line 4 has 2 columns"
    covers = "3 partitions, 2020-01-03 to 2020-01-05, first: line 7 has 2 columns"
    result = {
        "d04": "line 4 has 2 columns",
        "d03": "line 7 has 2 columns",
        "d05": "line 9 has 2 columns",
    }
    assert summary(**result) == covers


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (
            "category mix: 'toys' is 'TOYS'",
            "location: × 0.862",
            "category: categories under other names",
        ),
        ("sign", "location: × 0.862", "sign of category"),
        (
            "category mix: 'toys' is 'TOYS'",
            "category mix: 'a' is 'A'",
            "category, customer: categories under other names",
        ),
    ],
)
def test_a_clause_names_the_columns_of_which_it_is_true(first: str, second: str, told: str) -> None:
    """Would catch: "category, customer: categories under other names" where the customers' sizes
    are a little unusual.
    """
    result = [
        Evidence(
            id=f"drift:{column}",
            node="daily",
            partition="2020-01-23",
            family=Family.DISTRIBUTION,
            kind="distribution_shift",
            column=column,
            observed="other",
            strength=strength,
            held=strength > 10,
            at_us=0,
            detail=detail,
        )
        for column, detail, strength in (("category", first, 30.0), ("customer", second, 7.1))
    ]
    node = CauseNode("daily", (), True, PartitionSpec(grain=Grain.DAY), "UTC", "")
    (cause,) = diagnose(result, CauseGraph([node], {}.get), 0)
    assert cause.summary == told


def observation(family: Family, key: str = "1", **more: object) -> Evidence:
    fields = {"partition": "2020-01-01", "at_us": 0, "strength": 12.0, **more}
    return Evidence(id=f"fact:{key}", node="daily", family=family, **fields)  # type: ignore[arg-type]


def clause(kind: CauseKind, *own: Evidence, **more: object) -> str:
    """What is said of a cause with this evidence."""
    rule = next((rule for rule in RULES if rule.kind is kind), None)
    columns = frozenset(item.column for item in own if item.column)
    keys = frozenset(item.partition for item in own)
    return described_cause(
        CauseCandidate(rule, "daily", list(own), True, columns=columns, partitions=keys, **more)  # type: ignore[arg-type]
    ).summary


VOLUME, CHECK, MIX = Family.VOLUME, Family.CHECK, Family.DISTRIBUTION


@pytest.mark.parametrize(
    ("kind", "own", "said"),
    [
        (CauseKind.VOLUME_ANOMALY, [observation(VOLUME, detail="cut off", observed="the first 9 rows of 'x'")],
         "the first 9 rows of 'x'"),
        (CauseKind.VOLUME_ANOMALY, [observation(VOLUME, detail="×0.5; of 8", observed="9 rows", expected="18 rows")],
         "9 rows, expected 18 rows"),
        (CauseKind.VOLUME_ANOMALY, [observation(VOLUME, detail="no rows of: 'AA'", observed="9 rows")], "no rows of"),
        (CauseKind.VOLUME_ANOMALY, [observation(VOLUME, observed="9 rows")], "9 rows"),
        (CauseKind.VOLUME_ANOMALY, [observation(CHECK, detail="row_count", observed="9 rows")],
         "check row_count fails"),
        (CauseKind.LATE_SOURCE, [observation(Family.ARRIVAL, expected="by 07:00")], "not there by 07:00"),
        (CauseKind.LATE_SOURCE,
         [observation(Family.ARRIVAL), observation(Family.ARRIVAL, "2"), observation(CHECK, "3")],
         "2 intervals not there"),
        (CauseKind.LATE_SOURCE,
         [observation(Family.ARRIVAL, expected="by 07:00", observed="the server asked for a pause")],
         "not loaded by 07:00: the server asked for a pause"),
        (CauseKind.RESTATEMENT, [observation(Family.RESTATED, detail="3 rows changed; v: 3 rows")],
         "restated: 3 rows changed; v: 3 rows"),
        (CauseKind.RESTATEMENT, [observation(Family.RESTATED, detail="3 rows added, 1 row removed; v: 3 rows")],
         "restated: 3 rows added, 1 row removed"),
        (CauseKind.RESTATEMENT, [observation(Family.RESTATED, detail="3 rows added, 3 rows removed; v: 3 rows")],
         "restated: 3 rows added, 3 rows removed; v: 3 rows"),
        (CauseKind.RESTATEMENT, [observation(Family.RESTATED)], "restated"),
        (CauseKind.RESTATEMENT,
         [observation(Family.RESTATED, detail="9 rows changed; v: 1,200 rows, one for one; w: 1 row"),
          observation(Family.RESTATED, "2", detail="9 rows changed; v: 2 rows, one for one")],
         "restated in 2 intervals: v, w in 1,203 rows, one for one"),
        (CauseKind.DATA_CORRUPTED, [observation(Family.ERROR, observed="a file is gone (x)", expected="a.parquet")],
         "a file is gone"),
        (CauseKind.DATA_CORRUPTED,
         [observation(Family.ERROR, observed="a file is gone", expected="a.parquet"),
          observation(Family.ERROR, "2", observed="a file is gone", expected="b.parquet")],
         "2 files are damaged: a file is gone"),
        (CauseKind.SLOW_RUN, [observation(Family.DURATION, observed="90 s; of 3, x", expected="9 s")],
         "it ran for 90 s, usually 9 s"),
        (CauseKind.POISON_DELIVERY, [observation(Family.LOST, observed="the process ended by SIGKILL")],
         "its delivery ends the process that reads it (by SIGKILL)"),
        (CauseKind.POISON_DELIVERY, [observation(Family.LOST, observed="x"), observation(Family.LOST, "2", observed="x")],
         "2 deliveries end the processes that read them"),
        (CauseKind.POISON_DELIVERY, [observation(Family.LOST, detail=f"{OUTSIZED[0]}: 3 GB")],
         f"its delivery of 3 GB, {OUTSIZED[0]}"),
        (CauseKind.POISON_DELIVERY,
         [observation(Family.LOST, detail=f"{OUTSIZED[0]}: 3 GB"), observation(Family.LOST, "2", detail=f"{OUTSIZED[1]}: 3 GB")],
         "2 deliveries take more memory or time than an attempt may"),
        (CauseKind.CONFIGURATION_ERROR, [observation(Family.TYPE, column="v", observed="DATE", expected="VARCHAR")],
         "v is declared DATE, and delivered as VARCHAR"),
        (CauseKind.CONFIGURATION_ERROR, [observation(CHECK, detail="range_v")],
         "check range_v fails, and would have failed before it was declared"),
        (CauseKind.SCHEMA_CHANGE,
         [observation(Family.SCHEMA, column="a", detail="dropped"), observation(Family.SCHEMA, "2", column="b", detail="dropped; x"),
          observation(Family.SCHEMA, "3", column="c", detail="added"), observation(Family.SCHEMA, "4", column="d")],
         "2 columns gone, 1 column new, 1 column changed"),
        (CauseKind.SCHEMA_CHANGE,
         [observation(Family.SCHEMA, str(n), column=f"c{n}", detail="renamed; values ×100, of x") for n in range(5)],
         "5 columns renamed, c0: values ×100, c1: values ×100, c2: values ×100, and 2 more"),
        (CauseKind.NULL_SPIKE, [observation(Family.NULLS, str(n), column=f"c{n}") for n in range(4)],
         "nulls in c0, c1, c2 and 1 more"),
        (CauseKind.NULL_SPIKE, [observation(CHECK, detail="b"), observation(CHECK, "2", detail="a")], "check a, b fail"),
        (CauseKind.DISTRIBUTION_SHIFT, [observation(MIX, column="v", detail="location: ×100; of 8")], "v ×100"),
        (CauseKind.DISTRIBUTION_SHIFT, [observation(MIX, column="v", detail="less spread")], "less spread of v"),
        (CauseKind.DISTRIBUTION_SHIFT,
         [observation(MIX, column="v", detail="×100"), observation(MIX, "2", column="w", detail="÷10")], "v ×100"),
        (CauseKind.DISTRIBUTION_SHIFT, [observation(MIX, column="v", detail="category mix: 'AA' is 'XX'")],
         "v: categories under other names"),
        (CauseKind.DISTRIBUTION_SHIFT, [observation(MIX, column="v", detail="category mix: 'AA' is new")],
         "v: a category that never was"),
        (CauseKind.DISTRIBUTION_SHIFT, [observation(MIX, column="v", detail="other names: 'AA'")],
         "v: other names in a list that was always the same"),
        (CauseKind.DISTRIBUTION_SHIFT, [observation(MIX, column="v")], "values of v changed"),
        (CauseKind.DISTRIBUTION_SHIFT, [observation(MIX, column="v", detail="×100; delivered as V2")],
         "v ×100, delivered as V2"),
    ],
)  # fmt: skip
def test_a_cause_is_said_in_one_clause(kind: CauseKind, own: list[Evidence], said: str) -> None:
    """Would catch: a message with a cell's value, a wrong count, or one that doesn't say what happened."""
    assert clause(kind, *own) == said


def test_what_belongs_to_a_cause_is_said_after_it() -> None:
    """Would catch: a message that leaves out the other nodes, the new version, or whose exception has ended."""
    slow = observation(Family.DURATION, observed="90 s", expected="9 s")
    said = "it ran for 90 s, usually 9 s"
    assert clause(CauseKind.SLOW_RUN, slow, nodes=("b", "c")) == f"3 nodes: {said}"
    assert clause(CauseKind.SLOW_RUN, slow, version="7") == f"{said}; version 7 changed its code"
    assert (
        clause(CauseKind.SLOW_RUN, slow, latent=True)
        == f"{said}; nothing was noticed at daily itself"
    )
    lapsed = [
        msgspec.structs.replace(slow, id=f"fact:{n}", partition=f"2020-01-0{n}", lapsed=name)
        for n, name in ((1, "ann"), (2, "bob"))
    ]
    assert clause(CauseKind.SLOW_RUN, lapsed[0]) == f"{said}; the exception of ann has lapsed"
    assert clause(CauseKind.SLOW_RUN, *lapsed) == f"{said}; 2 exceptions of ann, bob have lapsed"
    long = observation(Family.VOLUME, observed="x" * 500)
    assert clause(CauseKind.VOLUME_ANOMALY, long) == "x" * (CLAUSE_MAX - 1) + "…"
    parts = [
        observation(Family.VOLUME, str(n), partition=f"2020-01-0{n}", observed=f"{n} rows")
        for n in (2, 1)
    ]
    assert (
        clause(CauseKind.VOLUME_ANOMALY, *parts)
        == "2 partitions, 2020-01-01 to 2020-01-02, first: 1 rows"
    )
