"""Faults made in rows, and what checks make of them: DuckDB for real, on a few rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from headrace.checks.audits_of_queries import About
from headrace.checks.check_kinds import kind
from headrace.checks.kinds import range as range_kind
from headrace.checks.metrics import StoredMetrics as Measured
from headrace.checks.metrics import encoded
from headrace.checks.proposals import MutationKind, Remembered
from headrace.checks.results import CheckResult, CheckState
from headrace.lake.session import DuckDBSession
from headrace.model import CheckSpec, Grain, Place, Severity
from headrace_advisor.challenge import mutations, suggestions
from headrace_advisor.challenge.gate import ChallengeGate, Usual
from headrace_advisor.challenge.mutations import TABLE
from headrace_advisor.challenge.suggestions import remember
from headrace_advisor.challenge.trials import (
    Challenged,
    ChallengeSubject,
    ChallengeVerdict,
    CheckHistory,
    CheckTrial,
    Deadline,
    challenge,
    duplicate,
    verdict_on,
)

AS_OF_US = 1_741_000_000_000_000
COLUMNS = {
    "id": "BIGINT",
    "Kind; drop": "VARCHAR",
    "amount": "DECIMAL(9,2)",
    "day": "DATE",
    "pos": "INTEGER",
    "tags": "VARCHAR[]",
}
ROWS = """SELECT i AS id, CASE WHEN i % 3 = 0 THEN 'a' ELSE 'b' END AS "Kind; drop", CAST(i % 7 + 1 AS DECIMAL(9,2)) AS amount,
    DATE '2025-03-02' AS day, CAST(1 AS INTEGER) AS pos, ['x'] AS tags FROM range({first}, {beyond}) AS r(i)"""


def check(
    kind: str,
    name: str = "",
    *,
    severity: Severity = Severity.BLOCKING,
    where: str | None = None,
    **arguments: object,
) -> CheckSpec:
    return CheckSpec(
        kind=kind,
        name=name or kind,
        arguments=arguments,
        severity=severity,
        where=where,
        place=Place(file="x"),
    )


@pytest.fixture
def session(tmp_path: Path) -> Iterator[DuckDBSession]:
    (tmp_path / "lake").mkdir()
    with DuckDBSession(tmp_path / "lake") as made:
        yield made


def subject(
    *checks: CheckSpec, rows: int = 40, routed: bool = False, before: bool = False
) -> ChallengeSubject:
    routing = ("day", Grain.DAY, "2025-03-02") if routed else None
    about = About(COLUMNS, "2025-03-02", AS_OF_US, AS_OF_US, "UTC", routing)
    earlier = (
        ROWS.format(first=1000, beyond=1000 + rows).replace("03-02", "03-01") if before else ""
    )
    return ChallengeSubject(about, ROWS.format(first=0, beyond=rows), checks, earlier)


def challenged(
    session: DuckDBSession,
    *checks: CheckSpec,
    rows: int = 40,
    seconds: float = 60,
    routed: bool = False,
) -> Challenged:
    return challenge(
        session, subject(*checks, rows=rows, routed=routed, before=True), seconds, lambda: None
    )


def says(result: Challenged, name: str) -> set[str]:
    return {item.mutation.says for item in result.caught(name)}


def test_each_check_notices_the_faults_that_are_its_own(session: DuckDBSession) -> None:
    """Would catch: a mutation that changes nothing, or another column; a check that is asked about
    the rows as they were.
    """
    result = challenged(
        session,
        check("unique", columns=["id"]),
        check("not_null", columns=["amount"]),
        check("accepted_values", column="Kind; drop", values=["a", "b"]),
        check("range", column="amount", min=0, max=50),
        check("row_count", min=30),
        check("sql", query="select * from $self where day > date '2025-03-02'"),
    )
    assert says(result, "unique") >= {
        "every tenth row twice",
        "all rows twice",
        "every tenth `id` repeats the first",
    }
    assert says(result, "not_null") == {"every tenth `amount` is null", "`amount` is null"}
    assert says(result, "accepted_values") >= {
        "every tenth `Kind; drop` has a broken character",
        "`Kind; drop` has a new value for the most frequent",
        "`Kind; drop` in the other case",
        "every tenth `Kind; drop` is empty",
    }
    assert says(result, "range") == {"`amount` × 100", "`amount` has the other sign"}
    assert says(result, "row_count") == {"no rows at all", "the last 40 % of the rows missing"}
    assert says(result, "sql") == {"`day` a day later"}
    assert all(item.changed for item in result.tried)
    assert {item.mutation.says for item in result.unnoticed} >= {
        "`amount` ÷ 100",
        "`day` a day earlier",
        "every tenth `tags` is null",
    }
    assert result.finished


def test_what_the_audit_itself_notices_is_noticed(session: DuckDBSession) -> None:
    """Would catch: rows of another day counted as unnoticed although every audit asks for the
    partition's column.
    """
    result = challenged(session, routed=True)
    left = {item.mutation.says for item in result.unnoticed}
    assert not any(
        "`day`" in item for item in left - {"the rows of the partition before, `day` moved on"}
    )
    assert (
        "the rows of the partition before, `day` moved on" in left
    )  # stale content with a new date: no column tells
    assert any(item.mutation.fault is MutationKind.STALE for item in result.tried)


def test_what_does_not_fit_stays_as_it_was(session: DuckDBSession) -> None:
    """Would catch: an overflow that ends the challenge, or that makes nulls of values."""
    columns = {
        "tiny": "TINYINT",
        "huge": "HUGEINT",
        "far": "DATE",
        "double": "DOUBLE",
        "utiny": "UTINYINT",
        "at": "TIMESTAMP",
    }
    values = (
        "SELECT 127::TINYINT AS tiny, 170141183460469231731687303715884105727::HUGEINT AS huge,"
        " 'infinity'::DATE AS far, 'nan'::DOUBLE"
    )
    rows = (
        f"{values} AS double, 255::UTINYINT AS utiny, TIMESTAMP '294247-01-10 04:00:54.775806' AS"
        " at FROM range(30)"
    )
    result = challenge(
        session,
        ChallengeSubject(
            About(columns, "*", 0, 0, "UTC"), rows, (check("not_null", columns=["tiny"]),)
        ),
        60,
        lambda: None,
    )
    assert says(result, "not_null") == {"every tenth `tiny` is null", "`tiny` is null"}
    assert mutations.load(session, TABLE, "SELECT 1 AS a WHERE false", ["a"]) == 0
    assert list(mutations.of_rows(0)) == []


def verdict(
    result: Challenged, item: CheckSpec, *others: CheckSpec, past: CheckHistory | None = None
) -> ChallengeVerdict | None:
    return verdict_on(item, [*others, item], result, past or CheckHistory(3)).verdict


def test_verdicts(session: DuckDBSession) -> None:
    """Would catch: a check that can't fail called effective, or an effective one called useless."""
    good = check("not_null", "good", columns=["amount"])
    never = check("sql", "never", query="select * from $self where 1 = 0")
    nowhere = check("range", "nowhere", column="amount", min=0, where="amount > 1000")
    dice = check("sql", "dice", query="select * from $self where random() < 0.5")
    gone = check("not_null", "gone", columns=["no_such_column"])
    wide = check("not_null", "wide", columns=["amount", "id"])
    twin = check("sql", "twin", query="select * from $self where amount is null")
    result = challenged(session, good, never, nowhere, dice, gone, wide, twin)
    assert verdict(result, good) is ChallengeVerdict.EFFECTIVE
    assert verdict(result, never) is ChallengeVerdict.CANNOT_FAIL
    assert verdict(result, nowhere) is ChallengeVerdict.CANNOT_FAIL
    assert (
        "true of none of 40 rows"
        in verdict_on(nowhere, [nowhere], result, CheckHistory(3)).evidence
    )
    assert verdict(result, dice) is ChallengeVerdict.FLAKY
    assert verdict(result, gone) is ChallengeVerdict.NEVER_RAN
    assert verdict(result, good, wide) is ChallengeVerdict.DUPLICATE
    assert verdict(result, wide, good) is ChallengeVerdict.EFFECTIVE
    assert verdict(result, twin, good) is ChallengeVerdict.DUPLICATE
    assert verdict(result, good, past=CheckHistory()) is ChallengeVerdict.NEVER_RAN
    assert verdict(result, good, past=CheckHistory(3, ("2025-03-01",))) is ChallengeVerdict.FLAKY
    assert verdict_on(good, [good], None, CheckHistory()).verdict is ChallengeVerdict.NEVER_RAN
    dangerous = [item for item in result.unnoticed if "amount" in item.mutation.columns]
    assert dangerous, "what a flaky check notices by chance is unnoticed"


def test_a_check_is_a_duplicate_only_of_one_that_is_at_least_as_strict() -> None:
    """Would catch: the stricter of two called superfluous, or a blocking check given up for a
    warning.
    """
    result = CheckResult("x", "range", Severity.BLOCKING, CheckState.PASSED, 1, 0)
    found = Challenged(
        1,
        (),
        {
            name: CheckTrial((result,), 1.0)
            for name in ("strict", "lax", "same", "soft", "some", "few", "many")
        },
        (),
        finished=True,
    )
    strict, lax = (
        check("range", "strict", column="a", min=0, max=10),
        check("range", "lax", column="A", min=-5, max=100),
    )
    same, soft = (
        check("range", "same", column="a", min=0, max=10),
        check("range", "soft", column="a", min=0, max=10, severity=Severity.WARNING),
    )
    every = [lax, strict, same, soft]
    assert duplicate(lax, every, found) is not None
    assert duplicate(strict, every, found) is None
    assert duplicate(same, every, found) is not None
    assert duplicate(soft, every, found) is not None
    assert duplicate(strict, [soft, strict], found) is None
    some = check("row_count", "some", min=1, where="b")
    assert duplicate(some, [check("row_count", "many", min=5), some], found) is None, (
        "a part of the rows can be too few"
    )
    few = check("range", "few", column="a", min=0, where="b")
    assert duplicate(few, [few, strict], found) is not None
    other = check("range", "lax", column="b", min=-5)
    assert duplicate(other, [other, strict], found) is None


def test_the_time_is_kept_and_said(session: DuckDBSession) -> None:
    """Would catch: a challenge of much data that goes on, or one that calls a check useless for
    want of time."""
    slow = check(
        "sql",
        "slow",
        query="select sum(a.i * b.i) as s from range(100000) a(i), range(100000) b(i) having s < 0",
    )
    quick = check("sql", "quick", query="select * from $self where 1 = 0")
    started = time.monotonic()
    result = challenged(session, quick, slow, seconds=1)
    assert time.monotonic() - started < 30, "it would take minutes"
    assert not result.finished
    assert verdict_on(slow, [slow], result, CheckHistory(1)).verdict is None
    assert verdict_on(quick, [quick], result, CheckHistory(1)).verdict is None
    with Deadline(session, 0) as deadline:
        assert deadline.over
    assert session.connection.execute("SELECT 1").fetchone() == (1,)


def test_suggestions_hold_and_notice(session: DuckDBSession) -> None:
    """Would catch: a check that the data itself breaks, one that notices nothing, values of a
    classified column in a file."""
    about = subject()
    result = challenge(session, about, 60, lambda: None)
    history = " UNION ALL ".join(
        f"SELECT '2025-03-0{day}' AS _partition, * FROM ({ROWS.format(first=0, beyond=30 + day)})"
        for day in range(1, 5)
    )
    memory = remember(session, history, COLUMNS, frozenset({"amount"}))
    assert memory is not None
    assert (memory.partitions, memory.rows, memory.least_rows, memory.key) == (4, 130, 31, ("id",))
    with Deadline(session, 60) as deadline:
        suggested = suggestions.suggest(session, about, result.unnoticed, memory, deadline)
    by_kind = {
        (item.check.kind, str(item.check.arguments.get("column", ""))): item.check.arguments
        for item in suggested
    }
    assert by_kind["unique", ""] == {"columns": ["id"]}
    assert set(by_kind["not_null", ""]["columns"]) >= {"amount", "Kind; drop", "id", "day"}
    assert by_kind["row_count", ""] == {"min": 21}
    assert by_kind["accepted_values", "Kind; drop"] == {
        "column": "Kind; drop",
        "values": ["a", "b"],
    }
    assert not any(column == "amount" for _, column in by_kind), (
        "nothing of a classified column's values"
    )
    assert all(item.catches for item in suggested)
    months = remember(
        session,
        "SELECT '2025-01-01' AS _partition, 1 AS month FROM range(50)",
        {"month": "INTEGER"},
        frozenset(),
    )
    assert months is not None
    assert list(kind("accepted_values").proposed("month", months)) == [], "February comes"
    again = challenge(session, subject(*(item.check for item in suggested)), 60, lambda: None)
    assert all(
        asked.first and asked.first.outcome is CheckState.PASSED for asked in again.trials.values()
    )
    assert len(again.unnoticed) < len(result.unnoticed)
    assert all(again.caught(item.check.name) for item in suggested)


def test_a_suggestion_holds_in_all_that_is_published(session: DuckDBSession) -> None:
    """Would catch: a check made of the newest partitions that an older one breaks."""
    about, result = subject(), challenge(session, subject(), 60, lambda: None)
    newest = f"SELECT '2025-03-02' AS _partition, * FROM ({ROWS.format(first=0, beyond=40)})"
    older = (
        newest.replace("03-02", "03-01")
        .replace("'b' END", "'z' END")
        .replace("i % 7 + 1 AS", "i % 7 * 100 - 5 AS")
    )
    twice = f"{older} UNION ALL {older.replace('range(0, 40)', 'range(0, 1)')}"
    memory = remember(session, newest, COLUMNS, frozenset())
    assert memory is not None

    def kinds(everything: str) -> set[str]:
        with Deadline(session, 60) as deadline:
            suggested = suggestions.suggest(
                session, about, result.unnoticed, memory, deadline, everything
            )
        return {item.check.name for item in suggested}

    every = kinds(f"{newest} UNION ALL {newest.replace('03-02', '03-01')}")
    assert every >= {"unique_id", "accepted_values_Kind; drop", "range_amount", "row_count"}
    assert every - kinds(f"{newest} UNION ALL {twice}") >= {
        "unique_id",
        "accepted_values_Kind; drop",
        "range_amount",
    }
    few = (
        f"{newest} UNION ALL {older.replace('range(0, 40)', 'range(0, 0)')} UNION ALL"
        f" {newest.replace('03-02', '02-28')}"
    )
    assert "row_count" in kinds(few)


def test_a_bound_is_suggested_only_where_it_notices_something(session: DuckDBSession) -> None:
    """Would catch: `amount >= -2000` of prices that never were below 2.78, and `month 0..20` of a
    column that says the month.
    """
    columns = {"price": "DOUBLE", "month": "INTEGER"}
    rows = "SELECT CAST(2.78 + i % 190 AS DOUBLE) AS price, 2 AS month FROM range(40) AS r(i)"
    about = ChallengeSubject(About(columns, "2025-02-02", 0, 0, "UTC"), rows, ())
    result = challenge(session, about, 60, lambda: None)
    history = (
        f"SELECT '2025-02-01' AS _partition, * FROM ({rows}) UNION ALL SELECT '2025-01-31', price,"
        f" 1 FROM ({rows})"
    )
    memory = remember(session, history, columns, frozenset())
    assert memory is not None
    with Deadline(session, 60) as deadline:
        suggested = suggestions.suggest(session, about, result.unnoticed, memory, deadline)
    assert [item.check.arguments for item in suggested if item.check.kind == "range"] == [
        {"column": "price", "max": 500}
    ]


def test_the_whole_gate_is_challenged(session: DuckDBSession) -> None:
    """Would catch: nulls that the contract rejects, or values that no history has, among what
    nobody notices.
    """
    past = []
    for day in range(20):
        rows = ROWS.format(first=40 * day, beyond=40 * day + 38 + day % 4)
        gate = ChallengeGate(session, subject().about, Usual(grain=Grain.DAY, delivered=True))
        gate.measure(f"SELECT * FROM ({rows})", 40)
        assert gate._as_is is not None
        past.append(Measured(f"2025-02-{day + 9:02d}", encoded(gate._as_is)))
    promised = (check("not_null", "contract_required", columns=["id", "amount"]),)
    plain = challenged(session)
    usual = Usual(grain=Grain.DAY, past=tuple(past), promised=promised, rows_max=60, delivered=True)
    result = challenge(
        session, msgspec.structs.replace(subject(before=True), usual=usual), 60, lambda: None
    )
    by = {item.mutation.says: result.noticed_by(item) for item in result.tried}
    assert (by["every tenth `id` is null"], by["`amount` is null"]) == ("contract", "contract")
    assert by["`Kind; drop` is null"] == "null_spike"
    assert by["all rows twice"] == "rows"
    assert by["no rows at all"] == "empty"
    assert by["`amount` × 100"] == "distribution_shift"
    assert by["`Kind; drop` in the other case"] == "distribution_shift"
    assert {by["every tenth row twice"], by["the last 40 % of the rows missing"]} <= {
        "duplicate_rows",
        "volume_anomaly",
    }
    assert len(result.unnoticed) * 2 < len(plain.unnoticed)
    ignored = msgspec.structs.replace(
        usual, on_anomaly="ignore", promised=(), rows_max=None, delivered=False
    )
    again = challenge(
        session, msgspec.structs.replace(subject(before=True), usual=ignored), 60, lambda: None
    )
    assert [item.mutation.says for item in again.unnoticed] == [
        one.mutation.says for one in plain.unnoticed
    ]


def test_suggestions_end_in_time(session: DuckDBSession) -> None:
    """Would catch: time that is over while rows are counted told as an error of the asset's, and
    the others not looked at.
    """
    result = challenge(session, subject(), 60, lambda: None)
    memory = remember(
        session,
        f"SELECT '2025-03-01' AS _partition, * FROM ({ROWS.format(first=0, beyond=40)})",
        COLUMNS,
        frozenset(),
    )
    assert memory is not None
    session.connection.execute(f"DROP TABLE {TABLE}")
    session.connection.execute(
        f"CREATE TEMP VIEW {TABLE} AS SELECT a.i AS id FROM range(10000000) a(i), range(10000000)"
        " b(i) WHERE a.i <> b.i"
    )
    with Deadline(session, 0) as deadline:
        assert suggestions.suggest(session, subject(), result.unnoticed, memory, deadline) == []


def test_bounds_are_wide_and_round() -> None:
    """Would catch: a range that a record breaks, or the first frost."""
    assert range_kind._bounds(Remembered(0, 10.9, 64.4)) == {"max": 700}
    assert range_kind._bounds(Remembered(0, 0.0, 0.41)) == {"min": 0, "max": 5}
    assert range_kind._bounds(Remembered(0, Decimal("1.50"), Decimal("87.50"))) == {
        "min": 0,
        "max": 900,
    }
    assert range_kind._bounds(Remembered(0, -33, 853)) == {"min": -400, "max": 9_000}
    assert range_kind._bounds(Remembered(0, float("nan"), float("inf"))) == {}
    assert range_kind._bounds(Remembered(0, 0, 0)) == {"min": 0}
    assert [range_kind._wide(value) for value in (4983, 1, 0.05, 99.9, 87.5)] == [
        50_000,
        10,
        0.5,
        1_000,
        900,
    ]
