"""Applying a project: what runs is what was applied, kept by content and loaded from there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.govern.audit import Action, Actor, AuditEvent, Object, append
from headrace.lake.catalog import CatalogChange as LakeChange
from headrace.lake.catalog import newest_snapshot, table
from headrace.lake.syncing import sync
from headrace.model import Asset, CommandBody, Project, Source
from headrace.model.contents import Content, ProjectFiles
from headrace.model.nodes import PythonBody
from headrace.model.required import WHOLE
from headrace.observe import persist
from headrace.observe.declared_promises import declared_promises
from headrace.plan import ChangeKind, Compiled
from headrace.plan.project_plan import KEPT, Plan, is_code, recorded, rows
from headrace.plan.steps import Declare, Invalidate, Remap, Rename, Repartition, Retire, Step, Unpin, Weaken
from headrace.run.renaming import rename
from headrace.run.unchanged import returned
from headrace.store import Transaction
from headrace.store.queries import applying, arriving, weakenings


class AppliedVersion(msgspec.Struct, frozen=True):
    """The version that is in force."""

    id: int
    digest: str
    compiled: Compiled


def newest(tx: Transaction) -> AppliedVersion | None:
    """What was applied last; None for a new store."""
    row = tx.execute("select id, hash, compiled from version order by id desc limit 1").fetchone()
    return AppliedVersion(row[0], row[1], msgspec.msgpack.decode(row[2], type=Compiled)) if row else None


def apply(
    tx: Transaction, files: ProjectFiles, compiled: Compiled, plan: Plan, *, actor: Actor, now: int, reason: str = ""
) -> AppliedVersion:
    """Do a plan: keep the project's files by content, put its promises in force, and take its steps, and no others.

    `files` are those that `compiled` was made of, and the plan: the version holds their bytes, whatever the folder holds by now.
    Promotions are done by whoever has copied their rows. Tables aren't made here but by the publication that first has rows for
    them: only then does DuckDB itself say which types a body's columns have. `reason` is why somebody keeps what other code published.

    Raises ProjectError if a name that an asset gets is taken.
    """
    contents = contents_of(files, compiled)
    manifest = manifest_of(contents)
    assert manifest == plan.manifest, "the plan is of other files"
    digest = hashlib.sha256(msgspec.json.encode(sorted(manifest.items()))).hexdigest()
    before = newest(tx)
    applying.keep_content(tx, ((content.sha256, content.data) for content in contents.values()))
    version = applying.add_version(
        tx,
        digest=digest,
        manifest=msgspec.json.encode(manifest).decode(),
        compiled=msgspec.msgpack.encode(compiled),
        plan_id=plan.plan_id,
        steps=msgspec.json.encode(rows(plan)).decode(),
        actor=actor.id,
        now=now,
    )
    persist.promise(tx, declared_promises(before.compiled) if before else None, declared_promises(compiled), now)
    stale = _take(tx, plan, before, compiled, version, actor, now)
    changed = {step.node for step in plan.steps if isinstance(step, Declare | Retire)}
    after = {"nodes": len(compiled.nodes), "changes": len(changed), "stale": stale, **recorded(plan)}
    event = AuditEvent(
        action=Action.PROJECT_APPLIED, actor=actor, object=Object("version", str(version), digest), reason=reason, after=after
    )
    append(tx, now, event)
    reached(FaultPoint.VERSION_APPLYING)
    return AppliedVersion(version, digest, compiled)


def _take(
    tx: Transaction, plan: Plan, before: AppliedVersion | None, compiled: Compiled, version: int, actor: Actor, now: int
) -> dict[str, int]:
    """Take the steps, in their order; node → how many of its partitions are to be computed again."""
    stale: dict[str, int] = {}
    by_kind: dict[type[Step], list[Any]] = {}
    for step in plan.steps:
        by_kind.setdefault(type(step), []).append(step)
    for kind, steps in by_kind.items():
        if kind is Declare:
            _declare(tx, steps, now)
        elif kind is Weaken:
            weakenings.record(tx, version, [(step.node, step.what, step.before, step.after) for step in steps], actor.id, now)
        elif kind is Unpin:
            applying.may_reshape(tx, [step.node for step in steps])
            arriving.unpin(tx, [step.node for step in steps if step.learnt])
        elif kind is Rename:
            rename(tx, {step.node: step.former for step in steps}, now)
        elif kind is Repartition and before is not None:
            _take_back(tx, before.compiled.project, [step.node for step in steps], now)
        elif kind is Remap:
            for step in steps:
                applying.read_again(tx, step.node, step.keys, now)
        elif kind is Invalidate:
            applying.may_reshape(tx, [step.node for step in steps])
            for step in steps:
                again = returned(tx, compiled, step.node)
                everything = applying.stale_node(tx, step.node, now, ask=step.asks)
                applying.fresh_again(tx, step.node, again, now)
                stale[step.node] = everything - len(again)
    return stale


def _declare(tx: Transaction, steps: Sequence[Declare], now: int) -> None:
    """Added nodes, and those that keep what other code published, may change their columns; of the latter, what failed is tried
    again."""
    applying.may_reshape(tx, [step.node for step in steps if {ChangeKind.ADDED, KEPT} & {*step.aspects}])
    for step in steps:
        if KEPT in step.aspects:
            applying.try_unpublished(tx, step.node, now)


def _take_back(tx: Transaction, before: Project, names: Iterable[str], now: int) -> None:
    """Take back what is published of nodes that are cut into other partitions now: its keys mean nothing any more, and
    beside the new ones its rows would count twice."""
    change = None
    for name in names:
        old = before.node(name)
        keys = applying.take_back(tx, name, newest_snapshot(tx) + 1, now)
        if isinstance(old, Asset) and old.accumulates:
            keys = [WHOLE]
        if keys and isinstance(old, Source | Asset) and table(tx, name) is not None:
            change = change or LakeChange.begin(tx, now)
            change.replace(name, keys, [])
    if change is not None:
        change.finish(author="headrace", message="cut into other partitions")


def contents_of(files: ProjectFiles, compiled: Compiled) -> dict[str, Content]:
    """Path → content of all that a version of the project consists of: its declarations, its Python modules, and the other files
    that its assets' code uses. Raises ProjectError if one can't be read."""
    contents = {file.path: files.declaration(file) for file in files.scan.files}
    code = {*files.modules, *compiled.code.files} - contents.keys()
    contents |= {path: files.code(path) for path in code}
    return {path: contents[path] for path in sorted(contents)}


def manifest_of(contents: Mapping[str, Content]) -> dict[str, str]:
    """Path → SHA-256."""
    return {path: content.sha256 for path, content in contents.items()}


def unpack(tx: Transaction, applied: AppliedVersion, code: Path) -> str:
    """The folder with the applied files that bodies need, made if it isn't there; its name below `code`."""
    name = applied.digest[:16]
    folder = code / name
    if folder.is_dir() or not _needs_code(applied.compiled):
        return name
    row = tx.execute("select manifest from version where id = ?", (applied.id,)).fetchone()
    manifest: dict[str, str] = msgspec.json.decode(row[0])
    wanted = {path: digest for path, digest in manifest.items() if is_code(path) or path in applied.compiled.code.files}
    temporary = code / f"{name}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    for path, data in applying.contents(tx, wanted).items():
        target = temporary / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(0o755)
    temporary.mkdir(parents=True, exist_ok=True)
    sync([temporary, *(temporary / path for path in wanted)])  # what has its name is taken for whole from then on
    reached(FaultPoint.CODE_UNPACKED)
    temporary.replace(folder)
    return name


def _needs_code(compiled: Compiled) -> bool:
    return any(isinstance(a.body, PythonBody | CommandBody) for a in compiled.project.assets.values())
