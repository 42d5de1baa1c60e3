"""A partition of a batch is audited as if it had been computed alone."""

from __future__ import annotations

import re

import msgspec
import pytest
from quality_bench import Bench, Other, check

from headrace.checks import Audit, CheckResult, CheckState, Verdict
from headrace.checks.audit import PROFILES_MAX
from headrace.model import CheckSpec, Grain
from headrace.model.texts import plain

ZONE = "America/New_York"
KEYS = ["2013-02-11", "2013-02-12", "2013-02-13", "2013-02-14"]
ROUTED = ("day", Grain.DAY, ZONE)
CHECKS = [
    check("unique", columns=["id"]),
    check("not_null", "warning", columns=["note"]),
    check("row_count", "warning", name="few", min=3),
    check("range", "warning", column="amount", min=0, max=40),
    check("accepted_values", "warning", column="note", values=["a", "b"]),
    check("references", "warning", column="id", to="known.id"),
    check(
        "sql",
        "warning",
        name="summed",
        query="select count(*) as rows, sum(id) as ids from $self having sum(id) > 10",
    ),
    check("freshness", "warning", column="at", max_age="20h"),
]
ROWS = """SELECT DATE '2013-02-11' + CAST(i % 3 AS INTEGER) AS day, CAST(i // 3 AS INTEGER) AS id,
    CASE WHEN i % 7 = 0 THEN NULL WHEN i % 5 = 0 THEN 'ä' || repeat('x', 60) ELSE 'a' END AS note,
    CAST(i * 1.25 AS DECIMAL(9, 2)) AS amount, CASE WHEN i = 4 THEN 'NaN'::DOUBLE ELSE i / 4 END AS share,
    TIMESTAMPTZ '2013-02-11 03:00:00-05' + INTERVAL 1 DAY * (i % 3) + INTERVAL 7 MINUTE * i AS at, i % 2 = 0 AS even,
    encode('b' || i) AS raw, [i, i + 1] AS list, {'a': i} AS pair, INTERVAL 1 DAY * i AS took, CAST(i AS UTINYINT) AS tiny
    FROM range(40) r(i)"""


def _others(bench: Bench) -> list[Other]:
    return [bench.other("known", "SELECT i AS id FROM range(11) r(i)")]


def _alone(bench: Bench, key: str, references: list[Other]) -> Audit:
    staged = bench.stage(f"SELECT * FROM ({ROWS}) WHERE day = DATE '{key}'", key, hashed=False)
    return bench.audit(
        staged, *CHECKS, partition_check=ROUTED, partitions=[key], references=references
    )


def _plain(results: tuple[CheckResult, ...]) -> list[object]:
    """Results without the order of the rows that they show: that of a file is nobody's promise."""
    return [
        {
            **msgspec.to_builtins(result),
            "sample": sorted(map(str, result.sample)),
            "detail": sorted(re.split(r"[(), ]+", plain(result.detail))),
        }
        for result in results
    ]


def test_each_partition_of_a_batch_is_audited_as_if_it_was_computed_alone(bench: Bench) -> None:
    """Would catch: the batch's verdict, rows, figures, examples, profile or content hash given to
    its partitions, and a partition without rows that passes for its neighbours' sake."""
    references = _others(bench)
    batch = bench.audit(
        bench.batch(ROWS, "day", "DATE", KEYS, hashed=False),
        *CHECKS,
        partition_check=ROUTED,
        partitions=KEYS,
        references=references,
    )
    assert batch.verdict is Verdict.WARNED
    for key in KEYS:
        alone, own = _alone(bench, key, references), batch.of(key)
        assert _plain(own.results) == _plain(alone.results), key
        assert own.verdict is alone.verdict, key
        assert msgspec.to_builtins(own.profile) == msgspec.to_builtins(alone.profile), key
        assert own.content_hash == (alone.content_hash if key != KEYS[3] else None), (
            key
        )  # without rows it needs no scan
    assert {batch.of(key).content_hash for key in KEYS[:3]} == set(batch.hashes().values())


def test_an_exception_waives_a_check_in_its_own_partition(bench: Bench) -> None:
    """Would catch: one day's repeated keys published since those of its neighbour were accepted."""
    repeated = (
        "SELECT DATE '2013-02-11' + CAST(i % 2 AS INTEGER) AS day, 1 AS id FROM range(4) r(i)"
    )
    staged = bench.batch(repeated, "day", "DATE", KEYS[:2], hashed=False)
    verdicts = []
    for waived in (KEYS[:1], KEYS[:2]):
        batch = bench.audit(
            staged,
            check("unique", columns=["id"]),
            partition_check=ROUTED,
            partitions=KEYS[:2],
            waived={key: ["unique"] for key in waived},
        )
        verdicts.append([batch.verdict, *(batch.of(key).verdict for key in KEYS[:2])])
    assert verdicts == [
        [Verdict.REJECTED, Verdict.WARNED, Verdict.REJECTED],
        [Verdict.WARNED, Verdict.WARNED, Verdict.WARNED],
    ]


@pytest.mark.parametrize(("last", "verdict"), [("b", Verdict.PASSED), (None, Verdict.WARNED)])
def test_a_partition_with_nothing_to_say_passes_beside_one_that_warns(
    bench: Bench, last: str | None, verdict: Verdict
) -> None:
    """Would catch: a warning of one day published with all of them."""
    value = "NULL" if last is None else f"'{last}'"
    rows = (
        f"SELECT * FROM (VALUES (DATE '2013-02-11', 'a'), (DATE '2013-02-12', {value})) v(day,"
        " note)"
    )
    result = bench.audit(
        bench.batch(rows, "day", "DATE", KEYS[:3]),
        check("not_null", "warning", columns=["note"]),
        partition_check=ROUTED,
        partitions=KEYS[:3],
    )
    assert [result.of(key).verdict for key in KEYS[:3]] == [
        Verdict.PASSED,
        verdict,
        Verdict.UNCHECKED,
    ]
    warned = result.with_warning()
    assert {warned.of(key).verdict for key in KEYS[:3]} == {Verdict.WARNED} == {warned.verdict}


def test_a_check_that_cant_be_measured_fails_for_each_partition(bench: Bench) -> None:
    """Would catch: a broken check taken as passed for the partitions of a batch."""
    broken: CheckSpec = check("sql", query="select nothing from nowhere")
    result = bench.audit(
        bench.batch(ROWS, "day", "DATE", KEYS), broken, partition_check=ROUTED, partitions=KEYS
    )
    assert {result.of(key).results[0].outcome for key in KEYS} == {CheckState.FAILED}
    assert {result.of(key).verdict for key in KEYS} == {Verdict.REJECTED}


@pytest.mark.parametrize(
    "text", ["repeat('z', 300)", "repeat('ü', 129)", "repeat('ü', 128)", "repeat('€', 400)"]
)
@pytest.mark.parametrize("kind", ["VARCHAR", "BLOB"])
def test_bounds_of_long_texts_are_those_of_a_batch(bench: Bench, text: str, kind: str) -> None:
    """Would catch: bounds that a file's statistics cut after 256 bytes, or lack, in the profile of
    a partition that was computed alone."""
    value = text if kind == "VARCHAR" else f"encode({text})"
    rows = f"SELECT DATE '2013-02-11' + CAST(i % 2 AS INTEGER) AS day, {value} AS long FROM range(8) r(i)"
    batch = bench.audit(
        bench.batch(rows, "day", "DATE", KEYS[:2], hashed=False), partitions=KEYS[:2]
    )
    staged = bench.stage(f"SELECT * FROM ({rows}) WHERE day = '{KEYS[0]}'", KEYS[0], hashed=False)
    alone = bench.audit(staged, partitions=KEYS[:1])
    assert alone.profile["long"].minimum
    assert msgspec.to_builtins(batch.of(KEYS[0]).profile) == msgspec.to_builtins(alone.profile)


@pytest.mark.long
def test_a_delivery_of_very_many_partitions_isnt_profiled(bench: Bench) -> None:
    """Would catch: a year of hours in one file whose profiles are more than its rows."""
    columns = ", ".join(f"1 AS c{n}" for n in range(PROFILES_MAX // len(KEYS)))
    rows = f"SELECT DATE '2013-02-11' AS day, {columns}"
    result = bench.audit(
        bench.batch(rows, "day", "DATE", KEYS, hashed=False),
        partition_check=ROUTED,
        partitions=KEYS,
    )
    assert (
        result.profiles == {}
        and result.of(KEYS[0]).profile == {}
        and result.of(KEYS[0]).content_hash is not None
    )


@pytest.mark.parametrize(
    "value",
    [
        "repeat('x', 200 + i)",
        "'a' || chr(0) || i",
        "([NULL, '', '\U0001f600', 'é', 'Z'])[i % 5 + 1]",
        "NULL::VARCHAR",
        "-i",
        "(i - 3)::HUGEINT",
        "i = 0",
        "true",
        "9223372036854775807 - i",
        "18446744073709551615::UBIGINT",
        "([1e300, 'nan', NULL])[i % 3 + 1]::DOUBLE",
    ],
)
def test_bounds_of_a_partition_of_a_batch_are_those_of_its_file(bench: Bench, value: str) -> None:
    """Would catch: bounds from values that are written, shortened or ordered otherwise than a
    file's statistics.
    """
    rows = (
        f"SELECT DATE '2013-02-11' + CAST(i % 2 AS INTEGER) AS day, {value} AS v FROM range(20)"
        " r(i)"
    )
    batch = bench.audit(
        bench.batch(rows, "day", "DATE", KEYS[:2], hashed=False),
        partition_check=ROUTED,
        partitions=KEYS[:2],
    )
    for key in KEYS[:2]:
        staged = bench.stage(f"SELECT * FROM ({rows}) WHERE day = DATE '{key}'", key, hashed=False)
        alone = bench.audit(staged, partition_check=ROUTED, partitions=[key])
        assert batch.of(key).profile["v"] == alone.profile["v"], key
