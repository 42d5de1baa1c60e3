"""A disk without space: what nothing needs any more is freed at once, not a day later, and at most once an hour."""

from __future__ import annotations

from datetime import timedelta

from headrace.observe.diagnosis.causes import HEADRACE, CauseKind
from headrace.observe.diagnosis.details import FailureCategory
from headrace.run import maintenance
from headrace.run.folders import Folders
from headrace.run.garbage import RetentionPolicy
from headrace.run.maintenance import Collected
from headrace.store import Store, Transaction
from headrace.store.clock import instant
from headrace.store.queries import attending, incidents
from headrace.store.queries.incidents import Happened

EVERY = timedelta(hours=1)
ACT = "reclaim"


def due(tx: Transaction, now_us: int) -> bool:
    """Whether something couldn't be done for want of space, and nothing was freed within the last hour."""
    last = attending.reclaimed_at(tx)
    return bool(_pressed(tx)) and (last is None or instant(now_us) - instant(last) >= EVERY)


def reclaim(store: Store, epoch: int, folders: Folders, keep: RetentionPolicy, now_us: int) -> None:
    """Free what can go, and say so in the incidents. Raises LakeError; it isn't tried again within the hour either."""
    with store.write(epoch) as tx:
        attending.reclaimed(tx, now_us)
    freed = maintenance.collect(store, epoch, folders, keep, now_us)
    with store.write(epoch) as tx:
        for number in _pressed(tx):
            incidents.happened(tx, number, [Happened(now_us, _said(freed), HEADRACE, ACT)])


def _pressed(tx: Transaction) -> list[int]:
    """The open incidents of no space."""
    wanted = (CauseKind.RESOURCE_EXHAUSTED.value, FailureCategory.SPACE.value)
    return [incident.id for incident in incidents.open_ones(tx) if (incident.kind, incident.detail) == wanted]


def _said(freed: Collected) -> str:
    other = sum(waste.size_bytes for waste in freed.waste)
    if not (freed.snapshots or freed.lake_files or other):
        return "nothing could be freed: all that is kept is needed, or is kept for so long as declared"
    return f"freed: {freed.snapshots} snapshots, {freed.lake_files} files of the lake, {other / 2**20:,.1f} MiB of other files"
