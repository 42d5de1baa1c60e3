"""Applying a project: what runs is what was applied, kept by content and loaded from there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headrace.faults import Point, reached
from headrace.govern.audit import Action, Actor, Event, Object, append
from headrace.lake.catalog import Change as LakeChange
from headrace.lake.catalog import newest_snapshot, table
from headrace.lake.syncing import sync
from headrace.model import Asset, CommandBody, Project, Source
from headrace.model.contents import Content, ProjectFiles
from headrace.model.export_links import exported
from headrace.model.nodes import PythonBody
from headrace.model.required import WHOLE
from headrace.observe import persist
from headrace.observe.watched import watched
from headrace.plan import Change, ChangeKind, Compiled
from headrace.plan.weakening import weakened
from headrace.run.remapping import remap
from headrace.run.renaming import rename
from headrace.store import Transaction
from headrace.store.queries import applying, arriving, weakenings


class Applied(msgspec.Struct, frozen=True):
    """The version that is in force."""

    id: int
    digest: str
    compiled: Compiled


def newest(tx: Transaction) -> Applied | None:
    """What was applied last; None for a new store."""
    row = tx.execute("select id, hash, compiled from version order by id desc limit 1").fetchone()
    return Applied(row[0], row[1], msgspec.msgpack.decode(row[2], type=Compiled)) if row else None


def apply(tx: Transaction, files: ProjectFiles, compiled: Compiled, changes: list[Change], *, actor: Actor, now: int) -> Applied:
    """Keep the project's files by content, put its promises in force, and mark stale what its changes touch.

    `files` are those that `compiled` was made of: the version holds their bytes, whatever the folder holds by now.
    Tables aren't made here but by the publication that first has rows for them: only then does DuckDB itself say
    which types a body's columns have.

    Raises ProjectError if a module or a command's file can't be read.
    """
    contents = contents_of(files, compiled)
    manifest = manifest_of(contents)
    digest = hashlib.sha256(msgspec.json.encode(sorted(manifest.items()))).hexdigest()
    before = newest(tx)
    applying.keep_content(tx, ((one.sha256, one.data) for one in contents.values()))
    version = applying.add_version(
        tx,
        digest=digest,
        manifest=msgspec.json.encode(manifest).decode(),
        compiled=msgspec.msgpack.encode(compiled),
        actor=actor.id,
        now=now,
    )
    less = weakened(before.compiled if before else None, compiled)
    weakenings.record(tx, version, [(one.node, one.what, one.before, one.after) for one in less], actor.id, now)
    persist.promise(tx, watched(before.compiled) if before else None, watched(compiled), now)
    applying.may_reshape(tx, [c.node for c in changes if c.stale or c.change in (ChangeKind.ADDED, ChangeKind.SCHEMA)])
    arriving.unpin(tx, [c.node for c in changes if c.change is ChangeKind.SCHEMA and c.node in compiled.project.sources])
    if before is not None:
        rename(tx, before.compiled, compiled, now)
        _recut(tx, before.compiled, compiled, now)
        remap(tx, before.compiled.project, compiled.project, now)
    stale = {
        c.node: applying.stale_node(tx, c.node, now, ask=_stays(before.compiled.project if before else None, compiled.project, c.node))
        for c in changes
        if c.stale or c.change is ChangeKind.ADDED
    }
    append(
        tx,
        now,
        Event(
            action=Action.PROJECT_APPLIED,
            actor=actor,
            object=Object("version", str(version), digest),
            after={"nodes": len(compiled.nodes), "changes": len(changes), "stale": stale},
        ),
    )
    reached(Point.VERSION_APPLYING)
    return Applied(version, digest, compiled)


def _stays(before: Project | None, after: Project, name: str) -> bool:
    """Whether readers go on with what other code gave until somebody asks for more. Not where nothing could be added to it: a table
    that merges builds on rows of its own kind. What was exported elsewhere is exported anew: nobody reads that here."""
    asset = after.assets.get(name)
    if asset is None:
        return False
    was = before.assets.get(name) if before is not None else None
    return not asset.accumulates or was is None or was.materialize == asset.materialize


def code_differs(manifest: Mapping[str, str], files: ProjectFiles, compiled: Compiled) -> bool:
    """Whether modules and scripts, those included that no node names, are others than in an applied version, whose files' hashes
    are given. Raises ProjectError if a file can't be read."""
    found = manifest_of(contents_of(files, compiled))
    return {path: sha256 for path, sha256 in found.items() if _is_code(path)} != {
        path: sha256 for path, sha256 in manifest.items() if _is_code(path)
    }


def _recut(tx: Transaction, before: Compiled, after: Compiled, now: int) -> None:
    """Take back what is published of nodes that are cut into other partitions now: its keys mean nothing any more, and
    beside the new ones its rows would count twice."""
    change = None
    for name in after.nodes:
        old, new = _declared(before.project, name), _declared(after.project, name)
        if old is None or new is None or _cut(old) == _cut(new):
            continue
        keys = applying.take_back(tx, name, newest_snapshot(tx) + 1, now)
        if isinstance(old, Asset) and old.accumulates:
            keys = [WHOLE]
        if keys and table(tx, name) is not None:
            change = change or LakeChange.begin(tx, now)
            change.replace(name, keys, [])
    if change is not None:
        change.finish(author="headrace", message="cut into other partitions")
    for name in after.project.consumers:
        was, now_is = exported(before.project, name), exported(after.project, name)
        if was is not None and now_is is not None and was.partition != now_is.partition:
            applying.take_back(tx, name, newest_snapshot(tx) + 1, now)


def _cut(node: Source | Asset) -> tuple[object, ...]:
    """What publications of a node mean: how it is cut, and whether each is a part of its table or the whole of it."""
    spec = node.partition
    return spec.grain, spec.key, spec.by_delivery, isinstance(node, Asset) and node.accumulates


def _declared(project: Project, name: str) -> Source | Asset | None:
    return project.sources.get(name) or project.assets.get(name)


def contents_of(files: ProjectFiles, compiled: Compiled) -> dict[str, Content]:
    """Path → content of all that a version of the project consists of: its declarations, its Python modules, and the other files
    that its assets' code uses. Raises ProjectError if one can't be read."""
    found = {file.path: files.declaration(file) for file in files.scan.files}
    code = {*files.modules, *compiled.code.files} - found.keys()
    found |= {path: files.code(path) for path in code}
    return {path: found[path] for path in sorted(found)}


def manifest_of(contents: Mapping[str, Content]) -> dict[str, str]:
    """Path → SHA-256."""
    return {path: content.sha256 for path, content in contents.items()}


def unpack(tx: Transaction, applied: Applied, code: Path) -> str:
    """The folder with the applied files that bodies need, made if it isn't there; its name below `code`."""
    name = applied.digest[:16]
    folder = code / name
    if folder.is_dir() or not _needs_code(applied.compiled):
        return name
    row = tx.execute("select manifest from version where id = ?", (applied.id,)).fetchone()
    manifest: dict[str, str] = msgspec.json.decode(row[0])
    wanted = {path: digest for path, digest in manifest.items() if _is_code(path) or path in applied.compiled.code.files}
    temporary = code / f"{name}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    for path, data in applying.contents(tx, wanted).items():
        target = temporary / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(0o755)
    temporary.mkdir(parents=True, exist_ok=True)
    sync([temporary, *(temporary / path for path in wanted)])  # what has its name is taken for whole from then on
    reached(Point.CODE_UNPACKED)
    temporary.replace(folder)
    return name


def _needs_code(compiled: Compiled) -> bool:
    return any(isinstance(a.body, PythonBody | CommandBody) for a in compiled.project.assets.values())


def _is_code(path: str) -> bool:
    """Python modules, and whatever isn't a declaration: that was kept because a command names it."""
    return path.endswith(".py") or not path.endswith((".sql", ".yaml", ".yml", ".toml"))
