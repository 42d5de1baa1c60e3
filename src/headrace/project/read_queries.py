"""What a reader asks for, and the snapshot that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from headrace.lake import catalog
from headrace.model import UsageError
from headrace.model.intervals import SECOND_US, to_us
from headrace.project.parameters import PARTITION_HELP, Argument, Option, RowsMax
from headrace.project.session import ProjectSession
from headrace.runtime import usage
from headrace.runtime.garbage import SNAPSHOTS_KEPT
from headrace.store import Transaction
from headrace.store.queries import applied_versions

OnlySound = Annotated[
    bool, Option("--only-sound", help="refuse data that is wrong, or accepted as an exception")
]


class ReadQuery(msgspec.Struct, frozen=True):
    """The data to be read, by default the current data.

    `at` and `version` exclude each other.
    """

    asset: Annotated[str, Argument("ASSET", help="an asset or a source")]
    partitions: Annotated[
        tuple[str, ...], Option("--partition", metavar="K", help=PARTITION_HELP)
    ] = ()
    at: Annotated[str | None, Option("--at", metavar="T", help="as it was at a time")] = None
    version: Annotated[
        int | None,
        Option("--version", metavar="N", least=0, help="as it was in a snapshot"),
    ] = None
    limit: RowsMax = None
    only_sound: OnlySound = False


def snapshot_of(session: ProjectSession, tx: Transaction, query: ReadQuery) -> int:
    """Return the snapshot of `--at` or `--version`, by default the newest.

    Raise UsageError if it doesn't exist.
    """
    if query.at is not None and query.version is not None:
        raise UsageError(
            "--at and --version exclude each other",
            hint="a version is a snapshot's number, --at a time",
        )
    if query.version is not None:
        if not catalog.snapshot_exists(tx, query.version):
            raise UsageError(
                f"there is no snapshot {query.version}",
                hint=f"the newest is {catalog.newest_snapshot(tx)}; old ones expire",
            )
        return query.version
    if query.at is None:
        return catalog.newest_snapshot(tx)
    at = session.parse_time(query.at, "--at")
    result = catalog.snapshot_at(tx, to_us(at))
    if result is None:
        raise _not_kept(session, tx, at)
    return result


def _not_kept(session: ProjectSession, tx: Transaction, at: datetime) -> UsageError:
    """Return why a time has no snapshot: there never was one, or retention has expired it."""
    first, oldest = applied_versions.first(tx), catalog.oldest_snapshot(tx)
    if first is None or oldest.id == 0 or to_us(at) < first.applied_at:
        since = (
            ""
            if first is None
            else f", {session.instant(first.applied_at).isoformat(timespec='seconds')}"
        )
        hint = f"--at takes a time after the first apply{since}"
        return UsageError(f"nothing was published by {at.isoformat()}", hint=hint)
    retention_period = session.project().settings.retention.get("snapshots", SNAPSHOTS_KEPT)
    # rounded up, because the second of the snapshot begins before it
    since = session.instant(oldest.at_us + SECOND_US - 1).isoformat(timespec="seconds")
    return UsageError(
        f"what was visible at {at.isoformat()} isn't kept any more: [retention] snapshots is"
        f" {retention_period}",
        hint=f"the oldest snapshot that is kept: --at {since}",
    )


def note_reads(session: ProjectSession, nodes: Sequence[str], via: str) -> None:
    """Record that the session's actor reads these nodes."""
    if session.store is not None:
        usage.note(session.folders, nodes, reader=session.actor, via=via, at=session.clock.now_us())
