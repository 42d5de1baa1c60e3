"""The manifest of an import, `.headrace-import.json`, and the comparison with the origin today."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from headrace.extension import HeadraceError, ProjectError, command_line, safe_path
from headrace_import.importers import ImportedItem, ImportedProject
from headrace_import.importers.origin_files import MANIFEST_FILE, UnreadableFile, file_hash
from headrace_import.responses.imports import ImportChanges


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """The texts of a file before and after a suggestion; None if there is no such file."""

    before: str | None
    after: str | None


class StoredSuggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A suggestion of an import. Without `changes` (by file) it is only evidence."""

    id: str
    kind: str
    items: list[str]
    evidence: str
    changes: dict[str, FileChange] = {}


class TableFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The table that an item fills at the origin, and the asset that computes it here.

    An empty `connection` says that Headrace can't read it there.
    """

    asset: str
    connection: str
    name: str


class ItemFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an item: its verdict, its files, and the DAG that it belongs to, if any."""

    verdict: str
    files: list[str]
    group: str = ""
    table: TableFacts | None = None


class RetiredDag(msgspec.Struct, frozen=True, kw_only=True):
    """A DAG that isn't needed at the origin any more; `files` had only tasks of it."""

    at: str
    files: list[str]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an import read and wrote, as SHA-256 hashes by name."""

    tool: str
    origin: str
    """The origin's root, relative to the new project."""
    origin_files: dict[str, str]
    items: dict[str, str]
    """Id of each item → hash of what decides about it."""
    became: dict[str, ItemFacts] = {}
    """Id of each item → what became of it; empty in imports of before Headrace stored it."""
    files: dict[str, str]
    """File of the new project → hash of the text that the import wrote."""
    suggestions: list[StoredSuggestion] = []
    with_dbt: bool = False
    """Whether dbt compiled what the importer can't read."""
    applied: dict[str, dict[str, str]] = {}
    """Id of each applied suggestion → file → hash of its text after that."""
    retired: dict[str, RetiredDag] = {}
    """The DAGs that are retired; what is gone of them at the origin is no change."""
    begun: dict[str, list[str]] = {}
    """File → hashes of the texts that an unfinished import may have left; empty once finished."""


def manifest_of(
    imported: ImportedProject,
    root: Path,
    origin: str,
    files: Mapping[str, str],
    suggestions: Sequence[StoredSuggestion],
    *,
    with_dbt: bool,
) -> Manifest:
    """Return the manifest of an import of the folder `root` that wrote `files`."""
    return Manifest(
        tool=imported.tool,
        origin=origin,
        origin_files=origin_hashes(imported, root),
        items=item_hashes(imported.items),
        became={
            item.id: ItemFacts(
                verdict=item.verdict.value,
                files=list(item.created),
                group=item.group,
                table=_table_facts(item),
            )
            for item in imported.items
        },
        files={path: text_hash(text) for path, text in sorted(files.items())},
        suggestions=list(suggestions),
        with_dbt=with_dbt,
    )


def begun_manifest(earlier: Manifest, texts: Mapping[str, str]) -> Manifest:
    """Return the manifest to be stored before `texts` are written over an earlier import."""
    begun = {path: list(hashes) for path, hashes in earlier.begun.items()}
    for path, text in texts.items():
        begun.setdefault(path, []).append(text_hash(text))
    return msgspec.structs.replace(
        earlier, begun={path: list(dict.fromkeys(begun[path])) for path in sorted(begun)}
    )


def _table_facts(item: ImportedItem) -> TableFacts | None:
    table = item.table
    if table is None:
        return None
    return TableFacts(asset=table.asset, connection=table.connection, name=table.name)


def load_manifest(directory: Path) -> Manifest | None:
    """Return the manifest of an earlier import into `directory`; None if there is none.

    Raise HeadraceError for a manifest that can't be read, or that names files elsewhere.
    """
    path = directory / MANIFEST_FILE
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise HeadraceError(
            f"{path} can't be read: {error}",
            hint="restore it from version control, or import into another folder",
        ) from error
    for name in chain(
        manifest.files, manifest.begun, *(row.changes for row in manifest.suggestions)
    ):
        safe_path(name)
    return manifest


def imported_manifest(directory: Path, action: str) -> Manifest:
    """Return the manifest of an import, for `import ACTION`.

    Raise ProjectError if the folder isn't a finished import, HeadraceError as `load_manifest` does.
    """
    manifest = load_manifest(directory)
    if manifest is None:
        raise ProjectError(
            f"{directory.resolve()} isn't an imported project",
            hint=f"name its folder: {command_line('import', action, '--into', 'DIR')}",
        )
    if manifest.begun:
        origin = (directory / manifest.origin).resolve()
        options = ("--with-dbt",) if manifest.with_dbt else ()
        words = ("import", manifest.tool, str(origin), "--into", str(directory), *options)
        raise unfinished(directory, command_line(*words))
    return manifest


def unfinished(directory: Path, again: str) -> ProjectError:
    """Return the error for an import that was killed; `again` is the command that finishes it."""
    return ProjectError(
        f"the import into {directory} was interrupted before it was finished", hint=again
    )


def manifest_text(manifest: Manifest) -> str:
    """Return the manifest as JSON, one name a line, so that version control shows changes."""
    return json.dumps(msgspec.to_builtins(manifest), indent=1, ensure_ascii=False) + "\n"


def changes_since(manifest: Manifest, imported: ImportedProject, root: Path) -> ImportChanges:
    """Return what is new, gone and changed at the origin since the import."""
    new, gone, changed = _compared(manifest.items, item_hashes(imported.items))
    new_files, gone_files, changed_files = _compared(
        manifest.origin_files, origin_hashes(imported, root)
    )
    retired = {file for dag in manifest.retired.values() for file in dag.files}
    gone_files = [file for file in gone_files if file not in retired]
    return ImportChanges(
        new=new,
        gone=[name for name in gone if not _is_retired(manifest, name)],
        changed=changed,
        files=sorted([*new_files, *gone_files, *changed_files]),
    )


def _is_retired(manifest: Manifest, item: str) -> bool:
    facts = manifest.became.get(item)
    return facts is not None and facts.group in manifest.retired


def _compared(
    before: Mapping[str, str], now: Mapping[str, str]
) -> tuple[list[str], list[str], list[str]]:
    """Return the new, gone and changed names."""
    return (
        sorted(now.keys() - before.keys()),
        sorted(before.keys() - now.keys()),
        sorted(name for name in before.keys() & now.keys() if before[name] != now[name]),
    )


def item_hashes(items: Iterable[ImportedItem]) -> dict[str, str]:
    """Return id → hash of the item's own text and of what else decides about it."""
    return {item.id: text_hash(f"{item.original}\0{item.fingerprint}") for item in items}


def origin_hashes(imported: ImportedProject, root: Path) -> dict[str, str]:
    """Return the hash of each of the origin's files that the import read."""
    paths = set(imported.read_files) or {item.file for item in imported.items if item.file}
    hashes = {path: _file_hash(root, path) for path in sorted(paths)}
    return {path: value for path, value in hashes.items() if value}


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _file_hash(root: Path, path: str) -> str:
    """Return the SHA-256 of a file; empty if it can't be read."""
    try:
        return file_hash(root, path)
    except UnreadableFile:
        return ""


def edited_files(manifest: Manifest, directory: Path) -> list[str]:
    """Return the files of an earlier import that somebody has edited or replaced since.

    Those that somebody removed aren't among them: nothing is lost if they are written again.
    """
    return [
        path
        for path in sorted(manifest.files.keys() | manifest.begun.keys())
        if os.path.lexists(directory / path)
        and _file_hash(directory, path)
        not in {manifest.files.get(path), *manifest.begun.get(path, ())}
    ]


def other_files(manifest: Manifest, directory: Path, names: Iterable[str]) -> list[str]:
    """Return the files of these names that exist and that no earlier import wrote."""
    return [
        name
        for name in sorted(names)
        if name not in manifest.files
        and name not in manifest.begun
        and os.path.lexists(directory / safe_path(name))
    ]
