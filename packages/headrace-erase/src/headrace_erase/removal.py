"""Erase rows of a subject in the leader's transactions: the lake, the state and the audit trail.

Files are searched and rewritten beforehand, by another process (`headrace_erase.process`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from headrace.extension import Folders
from headrace.faults import FaultPoint, reached
from headrace.lake import catalog
from headrace.lake.erased_files import ErasedFile
from headrace.runtime.removed_rows import by_attempts, forget_values, lose_rows
from headrace.security.audit import Action, Actor, AuditEvent, Object, append, append_all
from headrace.store import Transaction
from headrace.store.queries import holds
from headrace_erase.queries import erased_exports, erasures
from headrace_erase.queries.erasures import Erasure


def erase_table(  # noqa: PLR0913 - one step of one erasure
    tx: Transaction,
    folders: Folders,
    erasure: Erasure,
    node: str,
    files: Sequence[ErasedFile],
    *,
    seen: int,
    counted: bool,
    actor: Actor,
    now: int,
) -> None:
    """Replace the files of a table by copies without the subject's rows, in all snapshots.

    `counted` says whether each publication counts the rows of its own partition. Raises FileMoved
    if the table has changed since its files were searched.
    """
    table = catalog.table(tx, node)
    assert table is not None, "its files were searched"
    listed = {file.id: file for file in catalog.erasable_files(tx, node)}
    lost = lose_rows(tx, node, files, listed) if counted else Counter[str]()
    replaced = catalog.replace_files(tx, now, table, files, seen)
    reached(FaultPoint.ERASURE_REGISTERED)
    _scrub(tx, node, files, counted=counted)
    visible = sum(sum(file.visible.values()) for file in files)
    matched = sum(sum(file.matched.values()) for file in files)
    counts = {"rows": visible, "versions": matched, "files": len(files)}
    paths = [f"{folders.lake_name}/{path}" for path in replaced.paths]
    erasures.note(tx, erasure, node, counts, paths)
    append_all(tx, now, _events(erasure, node, counts, lost, actor))


def erase_export(
    tx: Transaction,
    erasure: Erasure,
    export: tuple[str, str, int],
    manifest: Sequence[dict[str, Any]],
    actor: Actor,
    now: int,
) -> None:
    """Record that an export was written again, if it is the newest of its interval."""
    consumer, interval, publication = export
    exports = {item.publication: item for item in erased_exports.newest_exports(tx, consumer)}
    before = exports.get(publication)
    if before is None:
        return
    lost = max(before.rows - sum(int(item["rows"]) for item in manifest), 0)
    erased_exports.erase(tx, erasure.id, export, lost, manifest)
    event = AuditEvent(
        action=Action.ROWS_ERASED,
        actor=actor,
        object=Object("node", consumer, erasure.subject),
        reason=erasure.reason,
        after={
            "interval": interval,
            "rows": lost,
            "targets": {
                str(item["target"]): item["sha256"] for item in manifest if not item.get("gone")
            },
            "attempts": {f"{before.epoch}.{before.n}": lost},
        },
    )
    append(tx, now, event)


def _scrub(tx: Transaction, node: str, files: Sequence[ErasedFile], *, counted: bool) -> None:
    """Delete what the state keeps of values in the partitions with rows of the subject.

    A table that is merged by key may show the rows of each partition in all later ones.
    """
    matched = Counter[str]()
    for file in files:
        matched.update(file.matched)
    if counted:
        for key, rows in matched.items():
            forget_values(tx, node, key, rows)
        return
    for key in erasures.profiled(tx, node):
        forget_values(tx, node, key, matched.total())


def _events(
    erasure: Erasure, node: str, counts: dict[str, int], lost: Counter[str], actor: Actor
) -> list[AuditEvent]:
    return [
        AuditEvent(
            action=Action.ROWS_ERASED,
            actor=actor,
            object=Object("node", node, erasure.subject),
            reason=erasure.reason,
            after={
                **(counts if number == 0 else {}),
                "attempts": attempts,
            },
        )
        for number, attempts in enumerate(by_attempts(lost))
    ]


def delete_unnamed(folders: Folders, erasure: Erasure) -> list[str]:
    """Delete the files that an erasure has replaced; return their paths."""
    for path in erasure.unnamed:
        (folders.data_path / path).unlink(missing_ok=True)
        reached(FaultPoint.ERASURE_DELETING)
    return list(erasure.unnamed)


def held(tx: Transaction, nodes: Sequence[str]) -> list[holds.Hold]:
    """Return the legal holds that forbid an erasure of data of these nodes."""
    return [hold for hold in holds.in_force(tx) if hold.node in ("*", *nodes)]
