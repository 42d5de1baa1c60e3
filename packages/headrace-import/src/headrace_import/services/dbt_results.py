"""Newest attempts and outcomes of checks as dbt's run results, version 6
(https://schemas.getdbt.com/dbt/run-results/v6.json)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from headrace.model.intervals import from_us
from headrace.model.texts import plain
from headrace.services.checks import NEVER, CheckStandingRow
from headrace.store import Transaction
from headrace.store.queries import attempts
from headrace.store.queries.attempts import Attempt

_STATUS = {"published": "success", "failed": "error", "held": "error", "rejected": "error"}
"""State of an attempt → dbt's status. Attempts that were lost or cancelled have no result."""
_NAMED_MAX = 3
_NOT_FAILED = {"passed": "pass", "unchecked": "skipped"}


def attempt_results(tx: Transaction, uids: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the result of each asset's newest attempt that came to an end.

    `uids` maps each asset to its unique id. Assets that never ran have no result.
    """
    for name, uid in uids.items():
        for attempt in attempts.of_node(tx, name, limit=1, states=tuple(_STATUS)):
            yield _result(uid, attempt)


def _result(uid: str, attempt: Attempt) -> dict[str, Any]:
    began, ended = attempt.started_at, attempt.finished_at
    timing = []
    if began is not None and ended is not None:
        timing.append({"name": "execute", "started_at": _time(began), "completed_at": _time(ended)})
    seconds = max(0, (ended or 0) - (began or 0)) / 1_000_000 if timing else 0.0
    reason = (attempt.error or {}).get("message") or attempt.reason or ""
    message = " ".join([attempt.state, *_named(attempt.partitions)])
    return _row(
        uid,
        status=_STATUS[attempt.state],
        timing=timing,
        seconds=seconds,
        message=plain(f"{message}: {reason}") if reason else message,
        failures=None,
        response={"attempt": attempt.id},
    )


def check_results(
    rows: Iterable[CheckStandingRow], uids: Mapping[tuple[str, str], str]
) -> Iterator[dict[str, Any]]:
    """Yield the newest outcome of each check that was ever evaluated.

    `uids` maps node and name of a check to its unique id. Checks aren't timed, so they take 0 s.
    """
    for row in rows:
        uid = uids.get((row.node, row.check))
        if uid is None or row.state == NEVER:
            continue
        is_warning = row.severity == "warning"
        failed = "warn" if is_warning else "fail"
        yield _row(
            uid,
            status=_NOT_FAILED.get(row.state, failed),
            timing=[],
            seconds=0.0,
            message=" ".join([row.state, *_named([row.partition] if row.partition else [])]),
            failures=row.failing,
            response={},
        )


def results_document(metadata: Mapping[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return run_results.json. `elapsed_time` is the sum of the attempts' times in seconds."""
    elapsed = sum(row["execution_time"] for row in results)
    return {"metadata": dict(metadata), "results": results, "elapsed_time": elapsed, "args": {}}


def _row(
    uid: str,
    *,
    status: str,
    timing: list[dict[str, Any]],
    seconds: float,
    message: str,
    failures: int | None,
    response: dict[str, Any],
) -> dict[str, Any]:
    return {
        "unique_id": uid,
        "status": status,
        "timing": timing,
        "thread_id": "headrace",
        "execution_time": seconds,
        "adapter_response": response,
        "message": message,
        "failures": failures,
        "compiled": None,
        "compiled_code": None,
        "relation_name": None,
        "batch_results": None,
    }


def _named(partitions: Sequence[str]) -> list[str]:
    """Return partitions in words; nothing for a table without partitions."""
    more = [f"and {len(partitions) - _NAMED_MAX} more"] if len(partitions) > _NAMED_MAX else []
    names = ", ".join(key for key in partitions[:_NAMED_MAX] if key != "*")
    return [names, *more] if names else []


def _time(at_us: int) -> str:
    return _text(from_us(at_us, "UTC"))


def _text(at: datetime) -> str:
    """Return a time as dbt writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def artifact_metadata(kind: str, at: datetime, invocation: str, version: str) -> dict[str, Any]:
    """Return what all artifacts of one export share. `kind` is `manifest/v12`, for example."""
    return {
        "dbt_schema_version": f"https://schemas.getdbt.com/dbt/{kind}.json",
        "dbt_version": version,
        "generated_at": _text(at),
        "invocation_id": invocation,
        "env": {},
    }
