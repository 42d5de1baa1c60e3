"""What one partition waits for, as clauses: its own state, then upstream to the cause."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from headrace.plan import Compiled
from headrace.project.session import ProjectSession
from headrace.responses.interventions import WaitingRow
from headrace.scheduler import AwaitedPartition
from headrace.slo.blockage import Blockage, next_command, unreadable
from headrace.slo.obligations import EvaluationContext
from headrace.slo.times import time_text
from headrace.standing.wait_causes import WaitCause, WaitCauses, partition_target, partition_words
from headrace.store import Transaction

DEPTH_MAX = 50
"""Maximum number of partitions on a path upstream."""
ROWS_MAX = 100
"""Maximum number of rows in an answer."""


class Waits:
    """Answers about one node or consumer at one point in time."""

    def __init__(
        self,
        session: ProjectSession,
        tx: Transaction,
        compiled: Compiled,
        context: EvaluationContext,
        now_us: int,
        subject: str,
    ) -> None:
        self._context, self._now, self._zone = context, now_us, session.timezone
        self._causes = WaitCauses(session, tx, compiled, context, now_us, subject)
        self._blockage = Blockage(context, now_us)
        self.core = self._causes.core
        self.nodes = self._causes.nodes

    def of(self, node: str, key: str) -> list[WaitingRow]:
        """Return everything that a partition waits for, nearest first."""
        rows: list[WaitingRow] = []
        seen = {(node, key)}
        pending = deque([((node, key), 1)])
        while pending and len(rows) < ROWS_MAX:
            place, depth = pending.popleft()
            for row, further in self._partition_waits(*place):
                rows.append(row)
                if further is not None and further not in seen and depth < DEPTH_MAX:
                    seen.add(further)
                    pending.append((further, depth + 1))
        return rows[:ROWS_MAX]

    def undelivered(self, source: str, key: str) -> WaitCause:
        """Return the cause for a source without a delivery for `key`."""
        return self._causes.undelivered(source, key)

    def _partition_waits(
        self, node: str, key: str
    ) -> Iterator[tuple[WaitingRow, tuple[str, str] | None]]:
        """Yield what one partition waits for, each with the partition to examine next."""
        damaged = list(self._damaged(node, key))
        if damaged:
            yield from ((row, None) for row in damaged)
            return
        failed = self._failed_in_backfill(node, key)
        if failed is not None:
            yield failed, None
        cause = self._causes.cause(node, key)
        if cause is not None:
            yield cause.row, None
            if cause.row.kind not in ("paused", "backoff", "trigger"):
                return
        for partition in self.core.waiting_for(node, key):
            if (partition.node, partition.key) != (node, key):
                yield self._link(node, key, partition)

    def _link(
        self, node: str, key: str, partition: AwaitedPartition
    ) -> tuple[WaitingRow, tuple[str, str] | None]:
        """Return the row for one missing input, and the partition to examine next."""
        cause = None
        if partition.node in self.nodes and not self._blockage.damage(
            self._context.node(partition.node), partition.key
        ):
            cause = self._causes.cause(partition.node, partition.key)
        waiter, what = (
            partition_target(node, key),
            f"waits for {partition_words(partition.node, partition.key)}",
        )
        if cause is not None:
            return (
                msgspec.structs.replace(cause.row, waiter=waiter, text=f"{what}{cause.clause}"),
                None,
            )
        if partition.until is not None:
            until = time_text(partition.until, self._now, self._zone)
            clause = (
                f", complete from {until}{f', {partition.reason}' if partition.reason else ''}"
                if partition.state == "published"
                else f", but no longer than until {until}"
            )
            row = self._causes.row(
                "time",
                partition.node,
                partition.key,
                f"{what}{clause}",
                state=partition.state,
                until=partition.until,
            )
            return msgspec.structs.replace(row, waiter=waiter), None
        clause = (
            f", {partition.reason}"
            if partition.state == "published" and partition.reason
            else ", which waits itself"
        )
        further = None if partition.state == "published" else (partition.node, partition.key)
        row = self._causes.row(
            "partition", partition.node, partition.key, f"{what}{clause}", state=partition.state
        )
        return msgspec.structs.replace(row, waiter=waiter), further

    def _damaged(self, node: str, key: str) -> Iterator[WaitingRow]:
        """Yield the damaged files that block a partition until they are repaired."""
        for item in self._blockage.damage(self._context.node(node), key):
            text = (
                f"waits for {partition_words(item.node, item.partition)}, which {unreadable(item)}"
            )
            row = self._causes.row(
                "stopped",
                item.node,
                item.partition,
                text,
                state=item.state,
                since=item.since_us,
            )
            waiter, command = partition_target(node, key), next_command(item)
            yield msgspec.structs.replace(row, waiter=waiter, next=command)

    def _failed_in_backfill(self, node: str, key: str) -> WaitingRow | None:
        item = self._blockage.failed_in_backfill(self._context.node(node), key)
        if item is None or item.since_us is None:
            return None
        text = (
            f"failed in a backfill {time_text(item.since_us, self._now, self._zone)}: {item.reason}"
        )
        row = self._causes.row("stopped", node, key, text, state=item.state, since=item.since_us)
        return msgspec.structs.replace(row, next=next_command(item))
