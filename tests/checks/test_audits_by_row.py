from __future__ import annotations

import msgspec
import pytest
from quality_bench import Bench, check

from headrace.checks import Audit, Verdict
from headrace.checks import audit as auditing


def without_time(audit: Audit) -> Audit:
    return msgspec.structs.replace(audit, seconds=0.0)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1::BIGINT AS n",
        "SELECT i, i % 7 AS few, i % 2 = 0 AS even FROM range(500) r(i)",
        "SELECT NULLIF(i % 5, 0)::INTEGER AS n, NULL::VARCHAR AS nothing FROM range(30) r(i)",
        "SELECT unnest([-9223372036854775808, 9223372036854775807]) AS n",
        "SELECT 18446744073709551615::UBIGINT AS n, (-128)::TINYINT AS small",
        "SELECT unnest(['', 'a' || chr(0) || 'b', 'é', '💧', '\"\\', chr(10), NULL]) AS text",
        "SELECT repeat('ü', 3000) || i AS long FROM range(20) r(i)",
        "SELECT i AS n, i * 0.5::DOUBLE AS half, DATE '2024-01-01' AS day FROM range(20) r(i)",
        'SELECT 1 AS "a""b", [1, 2] AS list',
        "SELECT unnest(['NaN', '-inf', '-0.0', '1e300', '0.1', NULL])::DOUBLE AS d, 0.3::FLOAT AS f",
        "SELECT (i % 9 / 10)::DECIMAL(38, 10) AS exact, (i - 5)::HUGEINT AS huge FROM range(900) r(i)",
        (
            "SELECT TIMESTAMPTZ '2024-03-10 01:30:00-05' + INTERVAL 1 HOUR * i AS at,"
            " TIME '10:00:00' + INTERVAL 1 MINUTE * i AS clock FROM range(40) r(i)"
        ),
        "SELECT unnest(['infinity', '-infinity', '2024-01-01', NULL])::DATE AS day",
        "SELECT unnest(['a', 'b', NULL])::ENUM('b', 'a') AS kind, INTERVAL 1 DAY AS took",
        "SELECT i AS id, 'x' || i % 3 AS few, i % 2 = 0 AS even, i % 7 AS seven FROM range(1000) r(i)",
    ],
)
def test_few_rows_are_audited_as_a_scan_would(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Would catch: another hash, profile or metric of the same rows, depending on their number."""
    staged = bench.stage(query, hashed=False)
    by_row = bench.audit(staged)
    monkeypatch.setattr(auditing, "BY_ROW_MAX", 0)
    scanned = bench.audit(staged)
    assert without_time(by_row) == without_time(scanned)
    assert by_row.content_hash is not None


def test_a_check_that_needs_the_scan_gets_it(bench: Bench) -> None:
    """Would catch: a check that counts as passed because its aggregates were never computed."""
    staged = bench.stage("SELECT i % 3 AS id FROM range(10) r(i)", hashed=False)
    assert bench.audit(staged, check("unique", columns=["id"])).verdict is Verdict.REJECTED


def test_a_file_with_other_rows_than_were_counted_is_scanned(bench: Bench) -> None:
    """Would catch: a sum over rows that aren't there, or an exception for an empty file."""
    staged, table = bench.stage("SELECT i FROM range(10) r(i) WHERE i < 0", hashed=False)
    counted = msgspec.structs.replace(
        staged, rows=3, partitions=(msgspec.structs.replace(staged.partitions[0], rows=3),)
    )
    assert bench.audit((counted, table)).results == ()
