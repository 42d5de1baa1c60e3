"""`db check`: whether state, catalog and files agree, and what to do where they don't."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

from headrace.access.permissions import ADMINISTER, command
from headrace.lake import catalog
from headrace.lake.files import check_file, file_digest, orphans
from headrace.lake.tables import ColumnLookup, lost_with
from headrace.model import Asset, LakeError, Source, UsageError
from headrace.model.partitions import WHOLE, command_line, range_of
from headrace.plan import Compiled
from headrace.project.lake_files import CORRECT, moved
from headrace.project.parameters import Option
from headrace.project.session import ProjectSession
from headrace.runtime.content_check import (
    FilesRead,
    OtherContent,
    read_files,
)
from headrace.runtime.event_log import checkpoint_differences, compared
from headrace.runtime.folders import Folders
from headrace.runtime.garbage import LONGEST_ATTEMPT
from headrace.runtime.overlays.partitions import staged_paths
from headrace.security.audit import Verification, verify
from headrace.security.state import MOUNT, describe_empty_lake
from headrace.services.audit import unknown_before
from headrace.services.database import (
    CheckResponse,
    Difference,
    DifferenceSource,
    Finding,
    Unchecked,
)
from headrace.services.database_differences import (
    REPAIR,
    RESTORE,
    Readers,
    difference_rows,
    findings,
    repairable,
    unchecked,
)
from headrace.store import Transaction
from headrace.store.migrations import known
from headrace.store.queries import audit_trail, retention
from headrace.store.queries.audit_trail import PublishedRows, dropped_triggers

AGAIN_REASON = "lost file"
_OF_EARLIER = (
    f"nothing that is read now needs it; for reads at an earlier time {RESTORE}; else `headrace db"
    " gc` lets go of it once its snapshots are older than `[retention] snapshots`"
)
"""Advice for a missing file of an earlier snapshot, whose data was recomputed or replaced since."""
SHOWN_MAX = 100
"""Maximum number of findings of one kind; further ones are only counted."""
SHA256_DIGITS = 64
RECOMPUTED_MAX = 5
"""Maximum number of partitions of a damaged file that a printed command computes again."""


@command("db check", ADMINISTER, session="db_check")
def check(
    session: ProjectSession,
    *,
    deep: Annotated[bool, Option("--deep", help="read every file, and compare all rows")] = False,
    repaired: int = 0,
) -> CheckResponse:
    """Check the state, the catalog and the files; `deep` reads all files instead of a sample.

    Files are read before the state is, in no transaction: nothing waits for them.
    Raise UsageError if there is no state, StoreError if it can't be read.
    """
    session.lake_may_be_empty = True
    if session.store is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    accumulating = _accumulating(session)
    reading = read_files(session.store, session.folders.lake, deep=deep)
    with session.store.read() as tx, compared(tx, session.folders) as compared_now:
        readers = Readers(session, tx)
        from_log = list(difference_rows(compared_now, readers))
        repair = REPAIR if repairable(compared_now) else None
        files = catalog.registered(tx)
        trail = verify(tx)
        wrong = [
            *_place(tx, session),
            *_integrity(tx),
            *_audit(trail, dropped_triggers(tx)),
            *_files(tx, session.folders, files, reading),
            *_deletes(tx, session.folders, reading),
            *_contents(tx, reading),
            *_quarantine_findings(tx, session.folders, deep=deep),
            *(_raw(session.folders) if deep else ()),
            *_agreement(tx, accumulating),
            *_checkpoint(tx, session),
        ]
        results = [
            *_some(wrong),
            *findings(_unsaid(from_log, trail), repair=repair is not None),
            *_older_types(tx, session.compiled),
            *_leftovers(tx, session.folders),
        ]
        differences = [*from_log, *(_difference(item, readers) for item in wrong)]
        before = unknown_before(tx) if compared_now.log.begins else None
    only_rows = not wrong
    return CheckResponse(
        ok=all(finding.severity != "error" for finding in results),
        version=len(known()),
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files),
        audit_entries=trail.entries,
        audit_head=trail.head,
        findings=results,
        files_read=reading.files,
        bytes_read=reading.size_bytes,
        partitions_compared=reading.contents.compared,
        checked=compared_now.checked,
        differences=differences,
        unchecked=[*unchecked(compared_now), *_unseen(before), *_unread(reading)],
        repair=repair if only_rows else None,
        repaired=repaired,
    )


def _unsaid(differences: list[Difference], trail: Verification) -> list[Difference]:
    """Drop differences of the trail's entries if its hash chain has already reported the damage."""
    return [difference for difference in differences if trail.ok or difference.table != "audit"]


def _unseen(before: str | None) -> list[Unchecked]:
    return [] if before is None else [Unchecked(what="history", why=before)]


def _unread(reading: FilesRead) -> Iterator[Unchecked]:
    """Yield what wasn't read, and what even `--deep` can't compare with anything."""
    if reading.unread:
        why = (
            f"of {reading.unread:,} only size and footer were compared, not what is between;"
            " `headrace db check --deep` reads all"
        )
        yield Unchecked(what="files", why=why)
    if reading.unproved:
        why = (
            f"DuckLake or an earlier version wrote {reading.unproved:,}, and their rows have no"
            " hash: they can be read, and nothing says what was in them"
        )
        yield Unchecked(what="files without a digest", why=why)
    if reading.contents.unclear:
        why = (
            f"{reading.contents.unclear:,} partitions were written again in other types: only the"
            " bytes of their files were compared"
        )
        yield Unchecked(what="rows", why=why)


class LocatedFinding(NamedTuple):
    """A problem outside of the tables themselves."""

    finding: Finding
    source: DifferenceSource
    node: str | None = None
    key: Mapping[str, str] = MappingProxyType({})


def _error(about: str, message: str, todo: str) -> Finding:
    return Finding(severity="error", about=about, message=message, todo=todo)


def _difference(finding: LocatedFinding, readers: Readers) -> Difference:
    message = finding.finding.message
    return Difference(
        table=finding.finding.about,
        key=dict(finding.key),
        field=None,
        stored=message,
        expected=None,
        source=finding.source,
        consumers=readers.of(finding.node),
    )


def _some(located_findings: list[LocatedFinding]) -> Iterator[Finding]:
    """Yield the first findings of each kind, and a count of the rest."""
    counts: Counter[tuple[str, str]] = Counter()
    for finding in located_findings:
        kind = (
            finding.source,
            finding.finding.about if finding.source is DifferenceSource.AUDIT else "",
        )
        counts[kind] += 1
        if counts[kind] <= SHOWN_MAX:
            yield finding.finding
    for count in counts.values():
        if count > SHOWN_MAX:
            yield _error("check", f"and {count - SHOWN_MAX} more like these", RESTORE)


def _integrity(tx: Transaction) -> Iterator[LocatedFinding]:
    for text in audit_trail.database_damage(tx):
        yield LocatedFinding(_error("database", text, RESTORE), DifferenceSource.EVENT_LOG)
    try:
        catalog.check_version(tx)
    except LakeError as error:
        yield LocatedFinding(_error("catalog", str(error), error.hint), DifferenceSource.CATALOG)


def _audit(trail: Verification, dropped: list[str]) -> Iterator[LocatedFinding]:
    for name in dropped:
        todo = (
            "somebody dropped it: look who may write the database, then restore the state from a"
            " backup"
        )
        message = f"the trigger {name}, which refuses changes of the trail, isn't there"
        yield LocatedFinding(
            _error("audit", message, todo), DifferenceSource.AUDIT, key={"trigger": name}
        )
    if not trail.ok:
        todo = (
            "somebody changed the trail: compare it with a backup's before you trust what came"
            " after"
        )
        error = _error("audit", f"entry {trail.broken_at} doesn't fit: {trail.reason}", todo)
        yield LocatedFinding(error, DifferenceSource.AUDIT, key={"seq": str(trail.broken_at)})


def _place(tx: Transaction, session: ProjectSession) -> Iterator[LocatedFinding]:
    if message := describe_empty_lake(
        tx, session.folders.lake, session.existing_store.engine.where
    ):
        yield LocatedFinding(_error("lake", message, MOUNT), DifferenceSource.FILE)
    if text := moved(session, tx):
        yield LocatedFinding(_error("lake", text, CORRECT), DifferenceSource.CATALOG)


def _files(
    tx: Transaction, folders: Folders, files: list[catalog.Registered], reading: FilesRead
) -> Iterator[LocatedFinding]:
    for file in files:
        path = folders.lake / file.path
        lost_file = lost_with(path.name)
        if lost_file is not None and file.ended:
            continue  # the finding for the file it was lost with covers it
        if lost_file is not None:
            reason = f"has no rows to be read: {file.rows:,} were lost with {lost_file}.parquet"
        else:
            reason = _wrong(path, file.size_bytes) or reading.damaged.get(file.path, "")
        if reason:
            yield _damaged_file(tx, file, reason)


def _damaged_file(tx: Transaction, file: catalog.Registered, reason: str) -> LocatedFinding:
    lost = "; it is of earlier snapshots only" if file.ended else ""
    held = sorted(file.keys or ())
    todo = _OF_EARLIER if file.ended else _todo(tx, file.table, held)
    error = _error(file.table, f"the file {file.path} {reason}{lost}", todo)
    partitions = {"partition": ", ".join(held)} if held else {}
    return LocatedFinding(
        error, DifferenceSource.FILE, file.table, {"path": file.path, **partitions}
    )


def _deletes(tx: Transaction, folders: Folders, reading: FilesRead) -> Iterator[LocatedFinding]:
    """Yield missing or damaged positional delete files of the current snapshot.

    Merges write such files, and so do other DuckLake writers.
    """
    for delete in catalog.current_deletes(tx):
        reason = check_file(
            folders.lake / delete.path, delete.size_bytes, delete.footer_bytes
        ).wrong or reading.damaged.get(delete.path)
        if reason:
            error = _error(delete.table, f"the delete file {delete.path} {reason}", RESTORE)
            yield LocatedFinding(error, DifferenceSource.FILE, delete.table, {"path": delete.path})


def _contents(tx: Transaction, reading: FilesRead) -> Iterator[LocatedFinding]:
    """Yield partitions whose rows differ in files that are as they were written."""
    published = audit_trail.published_rows(tx) if reading.contents.differences else {}
    for difference in reading.contents.differences:
        if not reading.damaged.keys().isdisjoint(difference.paths) or not _is_current(
            published, difference
        ):
            continue
        files = ", ".join(difference.paths) or "no file"
        at = f"{difference.node}@{difference.partition}"
        message = f"{at} has other rows than were published, in {files}"
        yield LocatedFinding(
            _error(difference.node, message, _todo(tx, difference.node, [difference.partition])),
            DifferenceSource.FILE,
            difference.node,
            {"partition": difference.partition, "path": files},
        )


def _is_current(published: Mapping[str, list[PublishedRows]], difference: OtherContent) -> bool:
    """Whether the partition is still the one that was compared."""
    return any(
        (item.partition, item.content_hash) == (difference.partition, difference.content_hash)
        for item in published.get(difference.node, ())
    )


def _todo(tx: Transaction, node: str, keys: Sequence[str]) -> str:
    """Return how partitions of one file are repaired: together, so that nothing of it stays."""
    visible = [audit_trail.visible_partition(tx, node, key) for key in keys[:RECOMPUTED_MAX]]
    if not keys or len(keys) > RECOMPUTED_MAX or None in visible:
        return RESTORE
    of_partition = [part for key in keys if key != WHOLE for part in ("--partition", key)]
    again = command_line("run", node, *of_partition, "--again", "--reason", AGAIN_REASON)
    return f"{RESTORE}, or compute it again: {again}"


def _wrong(path: Path, size_bytes: int) -> str:
    try:
        result = path.stat().st_size
    except OSError as error:
        return f"can't be found ({error.strerror})"
    return "" if result == size_bytes else f"has {result:,} bytes and not {size_bytes:,}"


def _quarantine_findings(
    tx: Transaction, folders: Folders, *, deep: bool
) -> Iterator[LocatedFinding]:
    for path in sorted(retention.quarantined_paths(tx)):
        if not Path(folders.data, path).is_file():
            todo = "restore it, or have it delivered again"
            error = _error("quarantine", f"{path} waits there and can't be found", todo)
            yield LocatedFinding(error, DifferenceSource.FILE, key={"path": path})
    for path, entry in retention.published_files(tx, time.time_ns() // 1000).items():
        reason = _wrong(Path(folders.data, path), entry["size"])
        if not reason and deep and file_digest(Path(folders.data, path)) != entry["sha256"]:
            reason = "isn't what was published"
        if reason:
            error = _error("files", f"{path} {reason}", RESTORE)
            yield LocatedFinding(error, DifferenceSource.FILE, key={"path": path})


def _raw(folders: Folders) -> Iterator[LocatedFinding]:
    """Yield raw deliveries whose bytes don't match the SHA-256 in their names."""
    for path in sorted(folders.raw.glob("*/*")):
        if len(path.name) == SHA256_DIGITS and file_digest(path) != path.name:
            inside = path.relative_to(folders.data_path).as_posix()
            error = _error("raw", f"{inside} isn't what was delivered", RESTORE)
            yield LocatedFinding(error, DifferenceSource.FILE, key={"path": inside})


def _accumulating(session: ProjectSession) -> frozenset[str]:
    """Return assets whose rows belong to no single partition.

    For these, the rows of a key in the lake say nothing about the publication of that key.
    """
    compiled = session.compiled
    assets = compiled.project.assets if compiled is not None else {}
    return frozenset(name for name, asset in assets.items() if asset.accumulates)


def _agreement(tx: Transaction, accumulating: frozenset[str]) -> Iterator[LocatedFinding]:
    """Yield publications of the state that the catalog lacks."""
    newest = catalog.newest_snapshot(tx)
    for node, partitions in audit_trail.published_rows(tx).items():
        holds = _holder(tx, node)
        for partition, rows, snapshot, _ in partitions:
            key = {"node": node, "partition": partition}
            if snapshot > newest:
                message = (
                    f"{node}@{partition} was published in snapshot {snapshot}, and the lake ends at"
                    f" {newest}"
                )
                yield LocatedFinding(
                    _error(node, message, RESTORE), DifferenceSource.CATALOG, node, key
                )
            elif rows and node not in accumulating and not holds(partition):
                message = (
                    f"{node}@{partition} is published with {rows:,} rows, and the lake has none"
                    " of it"
                )
                yield LocatedFinding(
                    _error(node, message, RESTORE), DifferenceSource.CATALOG, node, key
                )


def _holder(tx: Transaction, node: str) -> Callable[[str], bool]:
    """Return a function that tells whether the lake has a file for a partition of a node."""
    known_keys = catalog.held_keys(tx, node)
    return lambda partition: known_keys is None or partition in known_keys


def _checkpoint(tx: Transaction, session: ProjectSession) -> Iterator[LocatedFinding]:
    """Yield partitions whose state in the next leader's checkpoint differs from the tables."""
    if session.compiled is None or session.version is None:
        return
    results = checkpoint_differences(tx, session.compiled, session.version)
    if results:
        node, key = results[0]
        message = (
            f"the checkpoint says of {len(results):,} partitions otherwise than the state does,"
            f" such as {node}@{key}"
        )
        todo = (
            "stop headrace serve, headrace db gc (the next leader reads the state itself), start it"
            " again"
        )
        where = {"node": node, "partition": key}
        yield LocatedFinding(
            _error("checkpoint", message, todo), DifferenceSource.EVENT_LOG, node, where
        )


def _older_types(tx: Transaction, compiled: Compiled | None) -> Iterator[Finding]:
    """Yield declared nodes with files from before a column's type changed.

    Earlier versions left them, and only declared ones can be computed again. Headrace casts their
    values; DuckLake compares a constant in the file's type (duckdb#24900).
    """
    nodes: list[Source | Asset] = []
    if compiled is not None:
        nodes += [*compiled.project.sources.values(), *compiled.project.assets.values()]
    for node in nodes:
        files = [
            file for file in catalog.files_of(tx, node.name) if file.ref.lookup is ColumnLookup.CAST
        ]
        for (column, old, new), count in _changed_types(tx, node.name, files).items():
            message = (
                f"{count:,} {'file' if count == 1 else 'files'} of `{node.name}` hold `{column}` as"
                f" {old}; the table has {new}. Headrace converts the values as it reads; other"
                " readers of DuckLake may find other rows where they compare them"
            )
            yield Finding(
                severity="note", about=node.name, message=message, todo=_again(node, files)
            )


def _changed_types(
    tx: Transaction, table: str, files: Sequence[catalog.FileRow]
) -> Counter[tuple[str, str, str]]:
    """Count the files that were written before a column's type changed: name, old and new type."""
    versions = catalog.column_versions(tx, table) if files else []
    starts = [snapshot for snapshot, _ in versions]
    counts: Counter[tuple[str, str, str]] = Counter()
    for file in files:
        columns = versions[bisect_right(starts, file.snapshots[0]) - 1][1]
        before = {column.id: column.type for column in columns}
        counts.update(
            (column.name, before[column.id], column.type)
            for column in versions[-1][1]
            if before.get(column.id, column.type) != column.type
        )
    return counts


def _again(node: Source | Asset, files: Sequence[catalog.FileRow]) -> str:
    """Return the command that writes the partitions of files again, in the table's types."""
    keys = sorted({key for file in files for key in file.keys or ()})
    first, last = range_of(keys) if keys and node.partition.grain is not None else ("", "")
    ends = ("--from", first, "--to", last) if first else ()
    return command_line("backfill", node.name, *ends, "--mode", "all", "--reason", "types of files")


def _leftovers(tx: Transaction, folders: Folders) -> Iterator[Finding]:
    before = time.time_ns() // 1000 - int(LONGEST_ATTEMPT.total_seconds() * 1_000_000)
    lost = orphans(folders.lake, catalog.named_paths(tx), staged_paths(tx), before_us=before)
    if lost:
        size = sum(orphan.size_bytes for orphan in lost)
        message = (
            f"{len(lost)} files of the lake ({size:,} bytes) that nothing names, such as"
            f" {lost[0].path}"
        )
        yield Finding(severity="note", about="orphans", message=message, todo="headrace db gc")
    halves = [path for folder in (folders.raw, folders.lake) for path in folder.glob("**/*.tmp")]
    if halves:
        message = f"{len(halves)} half-written files, such as {halves[0].name}"
        yield Finding(
            severity="note",
            about="staged",
            message=message,
            todo="the next headrace tick removes them",
        )
