"""Evidence of changes: another version of a node's code, contract, checks or promise was applied. It speaks only beside something else."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.plan import Compiled
from headrace.plan.comparing import changes
from headrace.store.database import Transaction
from headrace.store.queries import versions

CHANGES_MAX = 500
NATS = 2.0


def gather(tx: Transaction, after: int) -> tuple[list[Evidence], int]:
    """What versions after one changed, and the newest version. What the first version added is no change."""
    newest = versions.newest_id(tx)
    if newest <= max(after, 0):
        return [], newest
    found = [one for number in range(max(after, 1) + 1, newest + 1) for one in _of_version(tx, number)] if after else []
    return found[:CHANGES_MAX], newest


def _of_version(tx: Transaction, number: int) -> Iterator[Evidence]:
    before, now = versions.get(tx, number - 1), versions.get(tx, number)
    if before is None or now is None:
        return
    kinds: dict[str, list[str]] = {}
    columns: dict[str, str] = {}
    for change in changes(_compiled(before.compiled), _compiled(now.compiled)):
        kinds.setdefault(change.node, []).append(change.change.value)
        if change.columns:
            columns.setdefault(change.node, "\n".join(change.columns))
    for node, what in kinds.items():
        yield Evidence(
            id=f"version:{number}:{node}", node=node, family=Family.CHANGE, column=columns.get(node, ""),
            observed=f"{', '.join(dict.fromkeys(what))} changed by {now.actor}", strength=NATS, held=False, at_us=now.applied_at,
            detail=what[0],
        )  # fmt: skip


def _compiled(content: bytes) -> Compiled:
    return msgspec.msgpack.decode(content, type=Compiled)
