"""Removes partitions that are older than `retain:` of their source or asset lets them be.

With `[retention] pruned`, those of nodes go that haven't been declared for so long.

Their rows leave all snapshots at once, in short transactions, each with an entry of the audit
trail. Publications and partition states stay: nothing is missing, and nothing is computed again.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake import LakeTable, catalog
from headrace.lake.catalog import FileMoved
from headrace.lake.erased_files import ErasableFile, ErasedFile, ErasureScan
from headrace.runtime import removed_rows
from headrace.runtime.folders import Folders
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.lake_search import erased_files
from headrace.runtime.pruned_nodes import EVERY_KEY, expired_nodes
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append_all
from headrace.store import Store, Transaction
from headrace.store.queries import applied_versions, holds
from headrace.store.queries import removed_rows as stored

FILES_AT_ONCE_MAX = 100
"""Maximum number of files per transaction, because the leader waits for it."""
TRIES = 5
"""Maximum number of times that files are searched again, because the table was published."""
_HEADRACE = Actor(ActorType.SYSTEM, "headrace")


class Retired(msgspec.Struct, frozen=True):
    """What was removed of a node, or what would be: `first` and `last` are its partitions."""

    node: str
    partitions: int
    rows: int
    first: str
    last: str


def retire_partitions(
    store: Store, epoch: int, folders: Folders, keep: RetentionPolicy, now_us: int
) -> list[Retired]:
    """Remove all partitions that `retain:` or `[retention] pruned` ends, except under a legal hold.

    Raises LakeError for files that can't be rewritten, after the other nodes; completed slices
    stay done.
    """
    results: list[Retired] = []
    with store.read() as tx:
        held, version = holds.held_nodes(tx), applied_versions.newest_id(tx)
        pruned = expired_nodes(tx, keep, now_us)
    slices = [
        (node, before, {"retain": keep.nodes[node].retain, "kept_from": before, "version": version})
        for node, before in keep.first_kept(now_us).items()
    ]
    slices += [
        (item.node, EVERY_KEY, {"pruned": keep.retention["pruned"], "version": item.version})
        for item in pruned
    ]
    for node, before, rule in slices:
        if held.isdisjoint({node, holds.EVERYTHING}):
            work = _NodeRetention(store, epoch, folders, node, before, now_us, rule)
            results += work.run()
    return results


def retiring(tx: Transaction, keep: RetentionPolicy, now_us: int) -> list[Retired]:
    """Return what `retire_partitions` would remove now, as far as the state knows."""
    results, held = [], holds.held_nodes(tx)
    for node, before in keep.first_kept(now_us).items():
        old = stored.published_before(tx, node, before)
        if old is not None and held.isdisjoint({node, holds.EVERYTHING}):
            results.append(Retired(node, *old))
    for item in expired_nodes(tx, keep, now_us):
        old = stored.published_before(tx, item.node, EVERY_KEY)
        if old is not None and held.isdisjoint({item.node, holds.EVERYTHING}):
            results.append(Retired(item.node, *old))
    return results


class _NodeRetention:
    """Removes the old partitions of one node."""

    def __init__(
        self,
        store: Store,
        epoch: int,
        folders: Folders,
        node: str,
        before: str,
        now_us: int,
        rule: dict[str, Any],
    ) -> None:
        self._store, self._epoch, self._folders = store, epoch, folders
        self._node, self._before, self._now = node, before, now_us
        self._rule = rule
        """Why data goes, for the audit trail."""

    def run(self) -> list[Retired]:
        """Remove its rows, slice by slice, then what is kept of its quarantine."""
        removed: dict[str, int] = {}
        for _ in range(TRIES):
            with self._store.read() as tx:
                table = None if catalog.missing(tx) else catalog.table(tx, self._node)
                files = catalog.files_before(tx, self._node, self._before)
            if table is None or not self._slices(table, files, removed):
                break
        self._forget_quarantine()
        if not removed:
            return []
        rows = sum(removed.values())
        return [Retired(self._node, len(removed), rows, min(removed), max(removed))]

    def _slices(
        self, table: LakeTable, files: Sequence[ErasableFile], removed: dict[str, int]
    ) -> bool:
        """Remove the rows in these files; return whether the table has changed meanwhile."""
        outdated = False
        for start in range(0, len(files), FILES_AT_ONCE_MAX):
            part = tuple(files[start : start + FILES_AT_ONCE_MAX])
            scan = ErasureScan(
                str(self._folders.lake), table, part, (), None, True, before=self._before
            )
            scanned = erased_files(scan)
            reached(FaultPoint.RETENTION_REWRITTEN)
            if not scanned:
                continue
            try:
                paths = self._publish(table, scanned)
            except FileMoved:
                removed_rows.discard(self._folders, scanned)
                outdated = True
                continue
            reached(FaultPoint.RETENTION_REGISTERED)
            for path in paths:
                (self._folders.lake / path).unlink(missing_ok=True)
            for file in scanned:
                for key, rows in file.visible.items():
                    removed[key] = removed.get(key, 0) + rows
        return outdated

    def _publish(self, table: LakeTable, scanned: Sequence[ErasedFile]) -> tuple[str, ...]:
        with self._store.write(self._epoch) as tx:
            listed = {file.id: file for file in catalog.erasable_files(tx, self._node)}
            seen = catalog.newest_file(tx, self._node)
            lost = removed_rows.lose_rows(tx, self._node, scanned, listed)
            replaced = catalog.replace_files(tx, self._now, table, scanned, seen)
            keys = sorted({key for file in scanned for key in file.matched})
            for key in keys:
                removed_rows.forget_values(tx, self._node, key, sys.maxsize)  # no row is left
            append_all(tx, self._now, self._events(scanned, keys, lost))
        return replaced.paths

    def _events(
        self, scanned: Sequence[ErasedFile], keys: Sequence[str], lost: Counter[str]
    ) -> list[AuditEvent]:
        facts = {
            **self._rule,
            "partitions": len(keys),
            "first": keys[0],
            "last": keys[-1],
            "rows": sum(sum(file.visible.values()) for file in scanned),
            "files": len(scanned),
        }
        return [
            self._event({**(facts if number == 0 else {}), "attempts": attempts})
            for number, attempts in enumerate(removed_rows.by_attempts(lost))
        ]

    def _event(self, facts: dict[str, Any]) -> AuditEvent:
        return AuditEvent(
            action=Action.DATA_RETIRED,
            actor=_HEADRACE,
            object=Object("node", self._node),
            after=facts,
        )

    def _forget_quarantine(self) -> None:
        with self._store.read() as tx:
            quarantined = stored.quarantined_before(tx, self._node, self._before)
        if not quarantined:
            return
        with self._store.write(self._epoch) as tx:
            keys = sorted(stored.forget_quarantined(tx, [number for number, _ in quarantined]))
            facts = {
                **self._rule,
                "quarantined": len(quarantined),
                "first": keys[0],
                "last": keys[-1],
                "attempts": {},
            }
            append_all(tx, self._now, [self._event(facts)])
        for _, path in quarantined:
            (self._folders.data_path / path).unlink(missing_ok=True)
