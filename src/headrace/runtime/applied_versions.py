"""Apply a project. Runs use the applied version, stored by content and loaded from there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.compiler.project_files import ProjectFiles
from headrace.faults import FaultPoint, reached
from headrace.incidents import renamed_nodes
from headrace.lake import FileRef
from headrace.lake.catalog import CatalogChange, newest_snapshot, table
from headrace.lake.catalog import CatalogChange as LakeChange
from headrace.lake.files import sync
from headrace.model import Asset, CommandBody, Project, ProjectError, Settings, Source
from headrace.model.declassification import reasons
from headrace.model.exports import clear_columns
from headrace.model.files import Content
from headrace.model.nodes import PythonBody
from headrace.model.partitions import WHOLE
from headrace.plan import ChangeKind, Compiled
from headrace.plan.column_limits import all_classified
from headrace.plan.comparison import borrowed
from headrace.plan.project_plan import KEPT, Plan, is_code, planned_steps, recorded
from headrace.plan.steps import (
    Declare,
    Invalidate,
    Remap,
    Rename,
    Repartition,
    Retire,
    Retype,
    Step,
    Unpin,
    Weaken,
)
from headrace.runtime.bytecode import files_to_compile, write_bytecode
from headrace.runtime.folders import Folders
from headrace.runtime.recomputation import returned
from headrace.scheduler import LoadedPartition, PartitionState, Refreshed
from headrace.security.audit import Action, Actor, AuditEvent, Object, append
from headrace.security.state import existing_state
from headrace.slo import obligation_records
from headrace.slo.declared_promises import declared_promises
from headrace.slo.stored_facts import EnvironmentFacts, StoredFacts
from headrace.store import Clock, ClockKind, Store, Transaction
from headrace.store.queries import (
    applied_versions,
    availability,
    environments,
    ingestion,
    leader_writes,
    obligations,
)

# `renamed_from`: an asset's table and history continue under its new name; nothing is recomputed.


def rename(tx: Transaction, renamed: Mapping[str, str], now: int) -> None:
    """Move tables and history of assets to new names (new → former).

    Raises ProjectError if data or history of another asset still has the new name.
    """
    change = CatalogChange.begin(tx, now)
    for name, former in renamed.items():
        _free(tx, name, former)
        if table(tx, former) is not None:
            change.rename_table(former, name)
        leader_writes.rename_node(tx, former, name)
        renamed_nodes.rename_node(tx, former, name, now)
        obligations.rename_read(tx, former, name)
    change.finish(
        author="headrace",
        message="rename "
        + ", ".join(f"{former} to {name}" for name, former in renamed.items())[:500],
    )


def _free(tx: Transaction, name: str, former: str) -> None:
    other_table = name.lower() != former.lower() and table(tx, name) is not None
    if other_table or leader_writes.is_known_node(tx, name):
        message = (
            f"{former} can't be renamed to {name}: there was an asset of that name, whose data or"
            " history is still there"
        )
        raise ProjectError(message, hint="take another name")


# The applied version, the steps of an apply, and the folder of applied files that asset code is
# loaded from.


class AppliedVersion(msgspec.Struct, frozen=True):
    """A version that was applied; runs use the newest."""

    id: int
    digest: str
    compiled: Compiled


def newest(tx: Transaction) -> AppliedVersion | None:
    """Return the newest applied version; None for a new store."""
    row = tx.execute("select id, hash, compiled from version order by id desc limit 1").fetchone()
    return (
        AppliedVersion(row[0], row[1], msgspec.msgpack.decode(row[2], type=Compiled))
        if row
        else None
    )


def apply(
    tx: Transaction,
    files: ProjectFiles,
    compiled: Compiled,
    plan: Plan,
    *,
    actor: Actor,
    now: int,
    reason: str = "",
) -> AppliedVersion:
    """Apply a plan: store the project's files by content, its promises, and the plan's steps.

    `files` are the files that `compiled` and the plan were built from: the version stores their
    bytes, whatever the folder holds by now. The caller copies the rows of promotions and applies
    them. A table is created only by the first publication with rows for it, when DuckDB reports its
    column types. `reason` is why a user keeps rows that other code published.

    Raises ProjectError if an asset's new name is taken.
    """
    contents = contents_of(files, compiled)
    manifest = manifest_of(contents)
    assert manifest == plan.manifest, "the plan is of other files"
    digest = hashlib.sha256(msgspec.json.encode(sorted(manifest.items()))).hexdigest()
    before = newest(tx)
    applied_versions.keep_content(
        tx, ((content.sha256, content.data) for content in contents.values())
    )
    version = applied_versions.add_version(
        tx,
        digest=digest,
        manifest=msgspec.json.encode(manifest).decode(),
        compiled=msgspec.msgpack.encode(compiled),
        classifies=bool(all_classified(compiled.project)),
        plan_id=plan.plan_id,
        steps=msgspec.json.encode(planned_steps(plan)).decode(),
        actor=actor.id,
        now=now,
    )
    obligation_records.apply_promises(
        tx, declared_promises(before.compiled) if before else None, declared_promises(compiled), now
    )
    stale = _take(tx, plan, before, compiled, version, actor, now)
    changed = {step.node for step in plan.steps if isinstance(step, Declare | Retire)}
    after = {
        "nodes": len(compiled.nodes),
        "changes": len(changed),
        "stale": stale,
        **recorded(plan),
    }
    event = AuditEvent(
        action=Action.PROJECT_APPLIED,
        actor=actor,
        object=Object("version", str(version), digest),
        reason=reason,
        after=after,
    )
    append(tx, now, event)
    for event in _columns_in_the_clear(before, compiled.project, actor, version):
        append(tx, now, event)
    reached(FaultPoint.VERSION_APPLYING)
    return AppliedVersion(version, digest, compiled)


def _columns_in_the_clear(
    before: AppliedVersion | None, project: Project, actor: Actor, version: int
) -> Iterator[AuditEvent]:
    """Yield an entry for each column declassified or exported as it is, or for another reason."""
    declared = {
        Action.COLUMN_DECLASSIFIED: _declassified_columns,
        Action.EXPORT_CLEARED: _cleared_columns,
    }
    for action, columns_of in declared.items():
        known = columns_of(before.compiled.project) if before is not None else {}
        for column, reason in columns_of(project).items():
            if known.get(column) != reason:
                yield AuditEvent(
                    action=action,
                    actor=actor,
                    object=Object("column", column, str(version)),
                    reason=reason,
                )


def _declassified_columns(project: Project) -> dict[str, str]:
    """Return ASSET.COLUMN → the reason for which it is declassified."""
    return {
        f"{name}.{column}": reason
        for name, asset in project.assets.items()
        for column, reason in reasons(asset).items()
    }


def _cleared_columns(project: Project) -> dict[str, str]:
    """Return CONSUMER.COLUMN → the reason for which its export writes it as it is."""
    return {
        f"{name}.{column}": reason
        for name, consumer in project.consumers.items()
        for column, reason in clear_columns(consumer).items()
    }


def _take(  # complexipy: ignore (a table: kind of step → what it stores)
    tx: Transaction,
    plan: Plan,
    before: AppliedVersion | None,
    compiled: Compiled,
    version: int,
    actor: Actor,
    now: int,
) -> dict[str, int]:
    """Apply the steps in their order; return node → number of partitions to recompute."""
    stale: dict[str, int] = {}
    by_kind: dict[type[Step], list[Any]] = {}
    for step in plan.steps:
        by_kind.setdefault(type(step), []).append(step)
    for kind, steps in by_kind.items():
        if kind is Declare:
            _declare(tx, steps, now)
        elif kind is Weaken:
            weakened = [(step.node, step.what, step.before, step.after) for step in steps]
            availability.record_weakenings(tx, version, weakened, actor.id, now)
        elif kind is Unpin:
            _unpin(tx, steps)
        elif kind is Retype:
            applied_versions.may_reshape(tx, [step.node for step in steps])
        elif kind is Rename:
            rename(tx, {step.node: step.former for step in steps}, now)
        elif kind is Repartition and before is not None:
            _take_back(tx, before.compiled.project, [step.node for step in steps], now)
        elif kind is Remap:
            _remap(tx, steps, now)
        elif kind is Invalidate:
            stale |= _invalidate(tx, compiled, steps, now)
    return stale


def _unpin(tx: Transaction, steps: Sequence[Unpin]) -> None:
    applied_versions.may_reshape(tx, [step.node for step in steps])
    ingestion.unpin(tx, [step.node for step in steps if step.learnt])


def _remap(tx: Transaction, steps: Sequence[Remap], now: int) -> None:
    for step in steps:
        applied_versions.reingest_partitions(tx, step.node, step.keys, now)


def _invalidate(
    tx: Transaction, compiled: Compiled, steps: Sequence[Invalidate], now: int
) -> dict[str, int]:
    """Invalidate partitions of changed code; return node → number of partitions to recompute."""
    applied_versions.may_reshape(tx, [step.node for step in steps])
    stale: dict[str, int] = {}
    for step in steps:
        again = returned(tx, compiled, step.node)
        everything = applied_versions.stale_node(tx, step.node, now, ask=step.asks)
        applied_versions.mark_fresh(tx, step.node, again, now)
        stale[step.node] = everything - len(again)
    return stale


def _declare(tx: Transaction, steps: Sequence[Declare], now: int) -> None:
    """Allow added nodes, and those that keep rows of other code, to change their columns.

    For the latter, failed partitions are retried.
    """
    applied_versions.may_reshape(
        tx, [step.node for step in steps if {ChangeKind.ADDED, KEPT} & {*step.aspects}]
    )
    for step in steps:
        if KEPT in step.aspects:
            applied_versions.try_unpublished(tx, step.node, now)


def _take_back(tx: Transaction, before: Project, names: Iterable[str], now: int) -> None:
    """Unpublish all partitions of nodes that are partitioned otherwise now.

    The old keys mean nothing any more, and their rows would count twice alongside the new ones.
    """
    change = None
    for name in names:
        old = before.node(name)
        keys = applied_versions.unpublish_node(tx, name, newest_snapshot(tx) + 1, now)
        if isinstance(old, Asset) and old.accumulates:
            keys = [WHOLE]
        if keys and isinstance(old, Source | Asset) and table(tx, name) is not None:
            change = change or LakeChange.begin(tx, now)
            change.replace(name, keys, [])
    if change is not None:
        change.finish(author="headrace", message="cut into other partitions")


def contents_of(files: ProjectFiles, compiled: Compiled) -> dict[str, Content]:
    """Return path → content of all files of a version.

    These are declarations, Python modules and other files that asset code uses. Raises ProjectError
    for a file that can't be read.
    """
    contents = {file.path: files.declaration(file) for file in files.scan.files}
    code = {*files.modules, *compiled.code.files} - contents.keys()
    contents |= {path: files.code(path) for path in code}
    return {path: contents[path] for path in sorted(contents)}


def manifest_of(contents: Mapping[str, Content]) -> dict[str, str]:
    """Return path → SHA-256."""
    return {path: content.sha256 for path, content in contents.items()}


def unpack(tx: Transaction, applied: AppliedVersion, code: Path) -> str:
    """Unpack the applied files that asset code needs, unless done; return the folder's name.

    The folder is below `code`.
    """
    name = applied.digest[:16]
    folder = code / name
    if folder.is_dir() or not _needs_code(applied.compiled):
        return name
    row = tx.execute("select manifest from version where id = ?", (applied.id,)).fetchone()
    manifest: dict[str, str] = msgspec.json.decode(row[0])
    needed_files = {
        path: digest
        for path, digest in manifest.items()
        if is_code(path) or path in applied.compiled.code.files
    }
    temporary = code / f"{name}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    for path, data in applied_versions.contents(tx, needed_files).items():
        target = temporary / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(0o755)
    temporary.mkdir(parents=True, exist_ok=True)
    bytecode = [
        *write_bytecode(files_to_compile(applied.compiled.project), temporary, _newest(code))
    ]
    # a folder with the final name counts as complete
    sync([temporary, *(temporary / path for path in needed_files), *bytecode])
    reached(FaultPoint.CODE_UNPACKED)
    temporary.replace(folder)
    return name


def _newest(code: Path) -> Path | None:
    """Return the complete code folder that was unpacked last, or None."""
    folders = (path for path in code.iterdir() if path.is_dir() and not path.suffix)
    return max(folders, key=lambda folder: folder.stat().st_mtime_ns, default=None)


def _needs_code(compiled: Compiled) -> bool:
    return any(
        isinstance(a.body, PythonBody | CommandBody) for a in compiled.project.assets.values()
    )


# An environment reads unchanged nodes from production: which nodes these are, where their files are
# stored, and what is new. Production's state is only read. The environment remembers the
# publications that its last leader saw, so that partitions computed from older ones become stale as
# they would in production.


class BorrowedChanges(msgspec.Struct, frozen=True):
    """Borrowed partitions for an environment's core: states as last seen, and changes since."""

    tracked_partitions: tuple[LoadedPartition, ...] = ()
    news: tuple[Refreshed, ...] = ()


class Production:
    """Production's state and lake, as an environment reads them."""

    def __init__(self, store: Store, folders: Folders) -> None:
        self.store, self._folders = store, folders
        self.nodes: frozenset[str] = frozenset()
        """The nodes that the environment's applied version borrows."""
        self.project: Project | None = None
        """The applied version, as declared; None before the first look."""

    @classmethod
    def open(cls, root: Path, settings: Settings) -> Production | None:
        """Open production of the project at `root`; None before its first run.

        `settings` are the settings outside of any environment.
        """
        store = existing_state(root, settings)
        return None if store is None else cls(store, Folders.of(root, settings))

    def close(self) -> None:
        """Close production's state."""
        self.store.close()

    @property
    def lake(self) -> Path:
        """The folder with the borrowed files."""
        return self._folders.lake

    def at_us(self) -> int | None:
        """Return the replay clock's time in microseconds; None for a live production."""
        with self.store.read() as tx:
            clock = Clock.for_reading(tx, None)
        return clock.now_us() if clock.kind is ClockKind.REPLAY else None

    def take(self, tx: Transaction, compiled: Compiled) -> BorrowedChanges:
        """Determine the borrowed nodes, and remember their current publications.

        `tx` is the environment's transaction. Returns the changes since they were last remembered.
        """
        with self.store.read() as theirs:
            applied = newest(theirs)
            self.nodes = borrowed(applied.compiled if applied else None, compiled)
            self.project = None if applied is None else applied.compiled.project
            now = {
                key: seen
                for key, seen in environments.published_in_production(theirs).items()
                if key[0] in self.nodes
            }
        before = {
            key: seen
            for key, seen in environments.remembered_publications(tx).items()
            if key[0] in self.nodes
        }
        environments.remember_publications(tx, self.nodes, now)
        tracked_partitions = (_tracked(key, seen) for key, seen in before.items())
        # sources first: they determine where downstream nodes start
        rank = {name: place for place, name in enumerate(compiled.order)}
        moved = sorted(
            (key for key, seen in now.items() if before.get(key) != seen),
            key=lambda key: (rank[key[0]], key[1]),
        )
        return BorrowedChanges(
            tuple(tracked_partitions),
            tuple(Refreshed(*key, changed=_changed(before.get(key), now[key])) for key in moved),
        )

    def absolute(self, file: FileRef) -> FileRef:
        """Return the file with absolute paths, to be read from another project's lake."""
        deletes = tuple(
            msgspec.structs.replace(delete, path=str(self.lake / delete.path))
            for delete in file.deletes
        )
        return msgspec.structs.replace(file, path=str(self.lake / file.path), deletes=deletes)

    def facts(self, transaction: Transaction, theirs: Transaction) -> EnvironmentFacts:
        """Return the facts to evaluate in the environment, from both states."""
        return EnvironmentFacts(StoredFacts(transaction), StoredFacts(theirs), self.nodes)


def _changed(before: environments.Borrowed | None, now: environments.Borrowed) -> bool:
    """Whether a publication's content differs from the one before, or may differ."""
    return before is None or now.content_hash is None or now.content_hash != before.content_hash


def _tracked(key: tuple[str, str], seen: environments.Borrowed) -> LoadedPartition:
    return LoadedPartition(
        node=key[0],
        key=key[1],
        state=PartitionState.PUBLISHED,
        published=True,
        publication=seen.publication_id,
    )
