"""Follow a table: its copy, then the transactions of a replication slot, position by position.

The first delivery is a copy of the table, each later one has the transactions that were committed
since. A delivery's version says where it begins and ends, and is stored in the transaction that
publishes it. Only then is the slot advanced: what a crash leaves is read again from the slot, or
skipped by its position.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.extension.sources import (
    WHOLE,
    Access,
    ChangedWhileRead,
    DetectedDelivery,
    Fetched,
    Note,
    Observation,
    parse_duration,
    printable,
    unusable,
)
from headrace_databases.change_rows import (
    WITHOUT_COLUMN,
    Span,
    relations_in,
    text_columns,
    union_of,
    write_changes,
)
from headrace_databases.engines.parquet_files import text_to_parquet
from headrace_databases.engines.postgresql_replication import (
    PeekedTransaction,
    Replication,
    Slot,
    written_lsn,
)

SLOT_CHARACTERS_MAX = 63
HEARTBEAT = "1h"
"""Without changes, the position moves on as often as this, unless `every:` says otherwise."""
HEARTBEAT_BYTES = 64 << 20
"""64 MiB: it moves on at once if the server retains more than this for it."""
RETAINED_BYTES = 256 << 20
"""256 MiB: an observation warns if the server retains as much for the slot."""
WITNESS_MESSAGES_MAX = 10_000
"""The last published transaction is read again, as a proof, if it has no more messages."""
LOST = "lost"


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """A delivery's version: a copy of the table, or the transactions in [after, until)."""

    snapshot: str
    """The value of `snapshot:` that the copy was made for."""
    slot: str
    system: str = ""
    timeline: int = 0
    table: int = 0
    publication: str = ""
    copied: bool = False
    """Whether the delivery is a copy of the table."""
    after: int = 0
    until: int = 0
    seen: str = ""
    """The copy's snapshot, until all later transactions aren't in it."""
    horizon: int = 0
    witness: tuple[int, int] = (0, 0)
    """Start of the last commit record and the transaction's number; 0 if it isn't read again."""
    at: int = 0
    """Time of the observation, in microseconds since 1970 UTC."""
    before: tuple[str, ...] = ()
    """Of a copy: the slots that it replaces, with those of copies that were never published."""
    read: bool = False
    """Whether the delivery's bytes are kept, so that they are never fetched again."""


def observe(
    access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
) -> Observation:
    """Return the copy of the table, or the changes since the newest published delivery."""
    if not wanted:
        return Observation()
    newest = _position(known[WHOLE][1]) if WHOLE in known else None
    declared = access.source.connector["changes"]
    replication = Replication(access)
    try:
        if newest is None or newest.snapshot != declared["snapshot"]:
            return _observation(access, _copy_request(access, replication, newest), access.now_us)
        if newest.copied and not newest.read:  # its slot isn't there yet
            return Observation(seen=1)
        slot = _check(replication, newest)
        result = _next(access, replication, newest) if access.published else Observation(seen=1)
        return msgspec.structs.replace(result, notes=_retained(access, newest, slot))
    finally:
        replication.close()


def fetch(access: Access, delivery: DetectedDelivery) -> Fetched:
    """Write the copy of the table, or the changes of its transactions."""
    request = _position(delivery.version)
    if request.read:
        raise ChangedWhileRead("its changes were read before, and their bytes aren't kept any more")
    target = access.temporary / f"{uuid.uuid4().hex}.parquet"
    position = (_copy if request.copied else _read_changes)(access, request, target)
    return Fetched(
        path=target,
        name=f"{access.source.name}.parquet",
        modified_us=delivery.modified_us,
        version=_written(msgspec.structs.replace(position, read=True)),
    )


def _position(version: str) -> Position:
    try:
        return msgspec.json.decode(version, type=Position)
    except msgspec.DecodeError:
        raise unusable(f"the delivery's position can't be read: {printable(version)}") from None


def _written(position: Position) -> str:
    return msgspec.json.encode(position).decode()


def _observation(access: Access, position: Position, committed_us: int) -> Observation:
    connection, table = access.source.connector["connection"], access.source.connector["changes"]
    delivery = DetectedDelivery(
        source=access.source.name,
        partition=WHOLE,
        path=f"{connection}/{table['table']}",
        size_bytes=-1,
        modified_us=committed_us,
        version=_written(position),
    )
    return Observation(found=(delivery,), seen=1)


# The copy of the table.


def _copy_request(access: Access, replication: Replication, newest: Position | None) -> Position:
    """Return what the copy is to be made of; its slot has a name that nobody else uses."""
    replication.server()
    token = uuid.uuid4().hex[:8]
    name = f"headrace_{access.source.name.lower()}"[: SLOT_CHARACTERS_MAX - len(token) - 1]
    plain = "".join(char if char.isascii() and char.isalnum() else "_" for char in name)
    return Position(
        snapshot=access.source.connector["changes"]["snapshot"],
        slot=f"{plain}_{token}",
        copied=True,
        at=access.now_us,
        before=() if newest is None else (*newest.before, newest.slot),
    )


def _copy(access: Access, request: Position, target: Path) -> Position:
    """Create the slot, then copy the table; transactions may be in both.

    The slot of an attempt that broke off has the same name and is dropped.
    """
    replication = Replication(access)
    try:
        replication.drop(request.slot)
        start = replication.create(request.slot)
    finally:
        replication.close()
    replication = Replication(access, lock=True)
    try:
        server = replication.server()
        published = replication.published(server.table)
        seen = replication.snapshot()
        horizon, _ = replication.ends()
        text_to_parquet(
            text_columns(published.columns),
            target,
            lambda write: replication.copy_table(published, start, access.now_us, write),
            WITHOUT_COLUMN,
        )
        replication.wait_for_disk(horizon)
    finally:
        replication.close()
    return msgspec.structs.replace(
        request,
        **msgspec.structs.asdict(server),
        after=start,
        until=start,
        seen=seen,
        horizon=horizon,
    )


# Whether the slot and the server are still those of the last position.


def _check(replication: Replication, newest: Position) -> Slot:
    """Return the slot; refuse a server, table, publication or slot that isn't the position's."""
    server = replication.server()
    for what, now, before in (
        ("this is another server", server.system, newest.system),
        ("the server was restored or failed over", server.timeline, newest.timeline),
        ("the table was created again", server.table, newest.table),
        ("the publication was changed", server.publication, newest.publication),
    ):
        if now != before:
            raise _refused(f"{what} ({now} instead of {before})", newest)
    end, _ = replication.ends()
    if end < newest.until:
        raise _refused("the server was restored: its log ends before", newest)
    slot = replication.slot(newest.slot)
    if slot is None:
        raise _refused(f"the slot {newest.slot} is gone", newest)
    if slot.wal_status == LOST:
        raise _refused(
            f"the slot {newest.slot} is lost: the server has deleted the log that it needs", newest
        )
    if slot.confirmed > newest.until:
        raise _refused(
            f"the slot {newest.slot} was created again or read by somebody else: it begins at"
            f" {written_lsn(slot.confirmed)}",
            newest,
        )
    return slot


def _retained(access: Access, newest: Position, slot: Slot) -> tuple[Note, ...]:
    """Return a warning about much log that the server can't delete before the slot moves on."""
    if slot.retained_bytes < RETAINED_BYTES:
        return ()
    text = f"the server keeps {slot.retained_bytes >> 20} MiB of its log for the slot {newest.slot}"
    stopped = "" if access.published else ": its newest delivery isn't published"
    return (Note("retained_log", newest.slot, text + stopped),)


def _refused(what: str, newest: Position) -> Exception:
    return unusable(
        f"{what}, so changes after {written_lsn(newest.until)} may be missing: write another value"
        f" into `snapshot:` (now {newest.snapshot}) and run headrace apply, to copy the table again"
    )


# The next changes.


def _next(access: Access, replication: Replication, newest: Position) -> Observation:
    """Confirm what is published, and return the transactions since then."""
    end, _ = replication.ends()
    for name in newest.before:
        replication.drop(name)
    slot = replication.slot(newest.slot)
    confirmed = newest.witness[0] or newest.until
    if slot is not None and slot.confirmed < confirmed:
        replication.advance(newest.slot, confirmed)
    peeked = replication.transactions(newest.slot, newest.table)
    if newest.witness[0] and not any(
        (item.commit_lsn, item.xid) == newest.witness for item in peeked
    ):
        raise _refused("the server was restored: its log has another transaction", newest)
    later = [item for item in peeked if item.commit_lsn >= newest.until]
    request = msgspec.structs.replace(
        newest,
        copied=False,
        read=False,
        before=(),
        after=newest.until,
        at=access.now_us,
        **({"seen": "", "horizon": 0} if newest.until >= newest.horizon else {}),
    )
    if any(item.changes for item in later):
        last = later[-1]
        request = msgspec.structs.replace(request, until=last.end_lsn, witness=_witness(last))
        return _observation(access, request, last.committed_us)
    return _heartbeat(access, replication, request, end, newest.at)


def _witness(last: PeekedTransaction) -> tuple[int, int]:
    return (last.commit_lsn, last.xid) if last.messages <= WITNESS_MESSAGES_MAX else (0, 0)


def _heartbeat(
    access: Access, replication: Replication, request: Position, end: int, since: int
) -> Observation:
    """Return a delivery without changes that moves the position on to `end`, if it is time to.

    The log ended there before the slot was read. The newest delivery was observed at `since`.
    """
    every = parse_duration(access.source.every or HEARTBEAT).total_seconds()
    due = access.now_us - since >= every * 1e6 or end - request.after >= HEARTBEAT_BYTES
    _, on_disk = replication.ends()
    if not due or on_disk < end:
        return Observation(seen=1)
    position = msgspec.structs.replace(request, until=end, witness=(0, 0))
    return _observation(access, position, access.now_us)


def _read_changes(access: Access, request: Position, target: Path) -> Position:
    """Write the rows of the transactions in [after, until)."""
    replication = Replication(access)
    try:
        _check(replication, msgspec.structs.replace(request, until=request.after))
        published = replication.published(request.table)
        span = Span(request.after, request.until, request.seen, request.horizon)
        heads = replication.heads(request.slot, request.until)
        columns = union_of(relations_in(heads, request.table, span), published.columns)
        write_changes(
            [replication.resolved(column) for column in columns],
            published.keys,
            request.table,
            span,
            lambda: replication.messages(request.slot, request.until),
            target,
            request.at,
        )
    finally:
        replication.close()
    return request
