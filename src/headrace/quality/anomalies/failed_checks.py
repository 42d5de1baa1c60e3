"""What failed checks are evidence of, so that one list says all that is odd about a partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headrace.model import Severity as CheckSeverity
from headrace.quality import partitioning
from headrace.quality.anomalies.facts import EXACT
from headrace.quality.facts import Fact, FactSeverity
from headrace.quality.results import CheckResult, CheckState

_KINDS = {
    "unique": "duplicate_rows", "not_null": "null_spike", "references": "reference_broken", "row_count": "volume_anomaly",
    "freshness": "stale_data",
}  # fmt: skip


def of_checks(results: Iterable[CheckResult], partition: str, *, holds: bool) -> Iterator[Fact]:
    """A fact for each failed check. Rows that all lie outside their partition are another interval's, delivered again. `holds`:
    whether a blocking check that fails keeps the rows from readers."""
    for result in results:
        if result.outcome is not CheckState.FAILED:
            continue
        outside = result.kind == partitioning.NAME
        kind = "stale_data" if outside and result.failing == result.rows > 0 else _KINDS.get(result.kind, "distribution_shift")
        yield Fact(
            kind=kind,
            severity=FactSeverity.HOLD if holds and result.severity is CheckSeverity.BLOCKING else FactSeverity.WARN,
            expected=f"{result.name} holds",
            observed=_observed(result),
            strength=EXACT,
            detail=f"check {result.name}",
            partition=partition,
        )


def _observed(result: CheckResult) -> str:
    """How many rows fail; of a query only what it says, since its rows need not be the node's, and of a number of
    rows that number, since none of them fails; of what couldn't be checked why."""
    return (
        result.detail if result.kind in ("sql", "row_count") or not result.failing else f"{result.failing:,} of {result.rows:,} rows fail"
    )
