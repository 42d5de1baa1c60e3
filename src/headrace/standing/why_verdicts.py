"""The verdict of `why`: one sentence about what an interval waits for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headrace.project.session import ProjectSession
from headrace.responses.interventions import LedgerRow, WaitingRow, WhyResponse
from headrace.slo.blockage import block_of
from headrace.slo.declared_promises import WHOLE
from headrace.standing.wait_causes import partition_target
from headrace.standing.waits import ROWS_MAX

_ROOTS = (
    "stopped",
    "paused",
    "delivery",
    "running",
    "backoff",
    "decision",
    "pool",
    "slot",
    "leader",
    "trigger",
    "time",
    "partition",
)
"""Kinds of causes in the order in which the verdict prefers them."""
_NOTHING = WaitingRow(kind="", node=None, partition=None, state=None, text="")


def verdict_of(subject: str, rows: Sequence[WaitingRow]) -> str:
    """Return one sentence: the subject and its final cause."""
    root = min(rows, key=_rank)
    alike = [row for row in rows if row.kind == root.kind]
    more = _and_others(root, alike, limited=len(rows) >= ROWS_MAX)
    root_name = partition_target(root.node or "", root.partition or WHOLE)
    if root_name.replace("@", " ", 1) == subject.replace(
        "@", " ", 1
    ):  # the subject itself, or a consumer's own export
        return f"{subject} {root.text}{more}"
    text = (
        root.text
        if root.text.startswith("waits for ")
        else f"waits for {root_name.replace('@', ' ', 1)}, which {root.text}"
    )
    return f"{subject} {text}{more}"


def _and_others(root: WaitingRow, rows: Iterable[WaitingRow], *, limited: bool) -> str:
    """Return the remaining causes: a count for the same incident, names for others.

    `limited` says that the list of rows is incomplete.
    """
    others = {
        (row.node, row.partition): row
        for row in rows
        if (row.node, row.partition) != (root.node, root.partition)
    }
    causes = {
        place: _incident(row) for place, row in others.items() if _incident(row) != _incident(root)
    }
    names = list(
        dict.fromkeys(
            incident or partition_target(node or "", key or WHOLE)
            for (node, key), incident in causes.items()
        )
    )
    alike = len(others) - len(causes)
    results = [f"{'at least ' if limited else ''}{alike} more like it"] if alike else []
    if names:
        results.append(
            f"{len(names)} other cause{'s' if len(names) > 1 else ''}: {', '.join(names)}"
        )
    return f" (and {' and '.join(results)})" if results else ""


def _incident(row: WaitingRow) -> str | None:
    return row.repair.incident if row.repair is not None else None


def next_of(rows: Sequence[WaitingRow]) -> str | None:
    """Return the next command of the cause that the verdict prefers; None without one."""
    return min((row for row in rows if row.next), key=_rank, default=_NOTHING).next


def _rank(row: WaitingRow) -> tuple[int, float, int, str, str]:
    """Return the sort key of causes: kind, start, and the order of blockers in `status`."""
    kind = _ROOTS.index(row.kind) if row.kind in _ROOTS else len(_ROOTS)
    since = row.since.timestamp() if row.since is not None else 0.0
    return kind, since, block_of(row.state or ""), row.node or "", row.partition or ""


def why_response(
    session: ProjectSession,
    subject: str,
    interval: str | None,
    state: str,
    verdict: str,
    rows: Sequence[WaitingRow],
    command: str | None,
    also: int = 0,
) -> WhyResponse:
    """Return the response with its waits, before its delay ledger is known."""
    return WhyResponse(
        now=session.now(),
        clock=session.clock.kind,
        subject=subject,
        interval=interval,
        state=str(state),
        verdict=verdict,
        waiting_for=list(rows),
        waiting_limited=len(rows) >= ROWS_MAX,
        also_waiting=also,
        next=command,
    )


def with_ledger(
    response: WhyResponse, ledger: LedgerRow | None, last: LedgerRow | None = None
) -> WhyResponse:
    """Return the response with the delay ledger."""
    if ledger is None:
        return msgspec.structs.replace(response, last=last)
    timed = {
        name: getattr(ledger, name)
        for name in ledger.__struct_fields__
        if name not in ("subject", "interval")
    }
    return msgspec.structs.replace(response, **timed)
