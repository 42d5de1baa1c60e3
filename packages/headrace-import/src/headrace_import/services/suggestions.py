"""`import suggestion`: the suggestions of an import as changes of its files.

A suggestion is a set of texts before and after it, in the import's manifest. Applied, it is written
into the project's files, and `headrace plan` shows what it does, as for any other edit.
"""

from __future__ import annotations

import difflib
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.extension import (
    Progress,
    ProjectError,
    ProjectSession,
    UsageError,
    command_line,
    did_you_mean,
    validate,
    write_files,
)
from headrace_import.importers import ImportedProject, Suggestion
from headrace_import.importers.origin_files import MANIFEST_FILE
from headrace_import.importers.simplifications import simplifications
from headrace_import.responses.imports import (
    ImportSuggestionRow,
    ImportSuggestionsResponse,
)
from headrace_import.services.manifest import (
    FileChange,
    Manifest,
    StoredSuggestion,
    imported_manifest,
    manifest_text,
    text_hash,
)

PERMISSIONS = "look at the permissions, then apply the suggestion again"


def with_changes(imported: ImportedProject, invalid: Collection[str]) -> list[StoredSuggestion]:
    """Return the suggestions of an import with their ids, those with a change first.

    Changes of files that `validate` refuses (`invalid`) are left out. A suggestion without a change
    is left out if changes of its kind cover its items.
    """
    suggestions = [*imported.suggestions, *simplifications(imported)]
    changing = [row for row in suggestions if row.changes and not invalid & row.changes.keys()]
    covered: dict[str, set[str]] = {}
    for row in changing:
        covered.setdefault(row.kind, set()).update(row.items)
    others = [
        row
        for row in suggestions
        if not row.changes and not set(row.items) <= covered.get(row.kind, set())
    ]
    numbers: Counter[str] = Counter()
    return [_stored(row, imported.files, numbers) for row in [*changing, *others]]


def _stored(row: Suggestion, files: Mapping[str, str], numbers: Counter[str]) -> StoredSuggestion:
    numbers[row.kind] += 1
    return StoredSuggestion(
        id=f"{row.kind}-{numbers[row.kind]}",
        kind=row.kind,
        items=list(row.items),
        evidence=row.evidence,
        changes={
            path: FileChange(before=files.get(path), after=after)
            for path, after in sorted(row.changes.items())
        },
    )


def suggestion_rows(
    suggestions: Sequence[StoredSuggestion], directory: Path
) -> list[ImportSuggestionRow]:
    """Return suggestions as rows of a response, with the commands that apply them."""
    into = ["--into", str(directory)] if directory != Path() else []
    return [
        ImportSuggestionRow(
            id=row.id,
            kind=row.kind,
            items=row.items,
            evidence=row.evidence,
            diff="".join(_diffs(row)) if row.changes else None,
            command=command_line("import", "suggestion", row.id, *into, "--apply")
            if row.changes
            else None,
        )
        for row in suggestions
    ]


def _diffs(suggestion: StoredSuggestion) -> Iterator[str]:
    """Yield the lines of the unified diff against the import."""
    for path, change in suggestion.changes.items():
        lines = difflib.unified_diff(
            _lines(change.before),
            _lines(change.after),
            "/dev/null" if change.before is None else f"a/{path}",
            "/dev/null" if change.after is None else f"b/{path}",
        )
        yield from (line if line.endswith("\n") else f"{line}\n" for line in lines)


def _lines(text: str | None) -> list[str]:
    return (text or "").splitlines(keepends=True)


def list_suggestions(name: str, into: Path | None) -> ImportSuggestionsResponse:
    """Return the suggestions of an import: one, those of a kind, or (for an empty name) all.

    Raise ProjectError if the folder isn't an import, UsageError for an unknown name.
    """
    directory = into or Path()
    manifest = imported_manifest(directory, "suggestion")
    return _response(manifest, directory, _named(manifest, name), [])


def apply_suggestions(
    name: str, into: Path | None, actor: str, progress: Progress
) -> ImportSuggestionsResponse:
    """Write the changes of one suggestion, or of all of a kind, into the imported project.

    Raise ProjectError, and leave all files as they are, if somebody edited one of them since the
    import, if applied suggestions change the same lines, or if the project would have new errors.
    """
    directory = into or Path()
    manifest = imported_manifest(directory, "suggestion")
    named = _named(manifest, name)
    chosen = [row for row in named if row.changes and row.id not in manifest.applied]
    if not chosen:
        raise UsageError(_nothing_to_apply(manifest, named), hint="headrace import suggestion")
    before, after = _texts(directory, manifest, chosen)
    _write_valid(directory, before, after, actor, progress)
    ids = {row.id: {path: text_hash(after[path] or "") for path in row.changes} for row in chosen}
    manifest = msgspec.structs.replace(manifest, applied={**manifest.applied, **ids})
    write_files(directory, {MANIFEST_FILE: manifest_text(manifest)}, PERMISSIONS)
    return _response(manifest, directory, chosen, sorted(after))


def take_back(name: str, directory: Path, actor: str, progress: Progress) -> list[str]:
    """Restore the files of an applied suggestion as they were before it, and return their names.

    Raise UsageError if it isn't applied, ProjectError, and leave all files as they are, if one of
    them was edited since, if another suggestion changed it, or if the project would have errors.
    """
    manifest = imported_manifest(directory, "suggestion")
    hashes = manifest.applied.get(name)
    if hashes is None:
        raise UsageError(f"{name} isn't applied", hint="headrace import suggestion")
    suggestion = next(row for row in manifest.suggestions if row.id == name)
    now = {path: _text(directory / path) for path in suggestion.changes}
    for path, change in suggestion.changes.items():
        _refuse_unlike(path, now[path], change, hashes[path], name)
    before = {path: change.before for path, change in suggestion.changes.items()}
    _write_valid(directory, now, before, actor, progress)
    rest = {key: value for key, value in manifest.applied.items() if key != name}
    manifest = msgspec.structs.replace(manifest, applied=rest)
    write_files(directory, {MANIFEST_FILE: manifest_text(manifest)}, PERMISSIONS)
    return sorted(before)


def _refuse_unlike(path: str, now: str | None, change: FileChange, known: str, name: str) -> None:
    """Raise ProjectError for a file that isn't as this suggestion alone left it."""
    if now == change.after:
        return
    by_others = text_hash(now or "") == known
    what = "has changes of other suggestions, too" if by_others else "changed since"
    raise ProjectError(
        f"{path} {what}, so that {name} can't be taken back",
        hint=f"undo the change by hand: headrace import suggestion {name} prints it",
    )


def _write_valid(
    directory: Path,
    before: Mapping[str, str | None],
    after: Mapping[str, str | None],
    actor: str,
    progress: Progress,
) -> None:
    """Write files unless the project has new errors then. Raise ProjectError."""
    errors = _errors(directory, actor, progress)
    write_files(directory, after, PERMISSIONS)
    try:
        new = _errors(directory, actor, progress) - errors
    except BaseException:
        write_files(directory, before, PERMISSIONS)
        raise
    if new:
        write_files(directory, before, PERMISSIONS)
        raise ProjectError(
            f"the changed project isn't valid: {min(new)}",
            hint="no file was changed; make the change by hand, and correct what it breaks",
        )


def _named(manifest: Manifest, name: str) -> list[StoredSuggestion]:
    named = [row for row in manifest.suggestions if name in ("", row.id, row.kind)]
    if name and not named:
        names = [name for row in manifest.suggestions for name in (row.id, row.kind)]
        raise UsageError(
            f"the import has no suggestion {name[:60]!r}",
            hint=did_you_mean(name, names) or "headrace import suggestion lists them",
        )
    return named


def _nothing_to_apply(manifest: Manifest, named: Sequence[StoredSuggestion]) -> str:
    if not named:
        return "the import has no suggestions"
    if any(row.id in manifest.applied for row in named):
        return f"{named[0].id} is applied already"
    return f"{named[0].id} is no change of files: it is only evidence"


# The texts before and after


def _texts(
    directory: Path, manifest: Manifest, chosen: Sequence[StoredSuggestion]
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Return the texts of all changed files now, and with the suggestions. Raise ProjectError."""
    before: dict[str, str | None] = {}
    after: dict[str, str | None] = {}
    for row in chosen:
        for path, change in row.changes.items():
            if path not in before:
                before[path] = after[path] = _text(directory / path)
                _refuse_edited(manifest, path, before[path], change)
            after[path] = _merged(path, change, after[path], row.id)
    return before, after


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProjectError(f"{path} can't be read: {error.strerror}") from error


def _refuse_edited(manifest: Manifest, path: str, now: str | None, change: FileChange) -> None:
    """Raise ProjectError for a file that neither the import nor a suggestion wrote as it is."""
    written = [hashes[path] for hashes in manifest.applied.values() if path in hashes]
    expected = written[-1] if written else text_hash(change.before or "")
    if text_hash(now or "") != expected:
        raise ProjectError(
            f"{path} changed since the import, so that the suggestion doesn't fit it any more",
            hint="make the change by hand: headrace import suggestion ID prints it",
        )


def _merged(path: str, change: FileChange, now: str | None, name: str) -> str | None:
    """Return the file's text with a change. Raise ProjectError if others changed its lines."""
    if now == change.before:
        return change.after
    conflict = ProjectError(
        f"{name} changes lines of {path} that an applied suggestion changed",
        hint="make the change by hand: headrace import suggestion ID prints it",
    )
    if change.after is None or now is None:
        raise conflict
    base = _lines(change.before)
    edits = sorted([*_edits(base, _lines(now)), *_edits(base, _lines(change.after))])
    merged: list[str] = []
    position = 0
    for start, end, lines in edits:
        if start < position:
            raise conflict
        merged += [*base[position:start], *lines]
        position = end
    return "".join([*merged, *base[position:]])


def _edits(base: list[str], text: list[str]) -> list[tuple[int, int, list[str]]]:
    """Return what replaces the lines from start to end of `base`."""
    codes = difflib.SequenceMatcher(None, base, text, autojunk=False).get_opcodes()
    return [(i, j, text[m:n]) for tag, i, j, m, n in codes if tag != "equal"]


def _errors(directory: Path, actor: str, progress: Progress) -> set[str]:
    """Return what `validate` refuses, without line numbers."""
    session = ProjectSession.open(directory, "prod", None, actor)
    try:
        problems = validate(session, bind_all=False, progress=progress).problems
    finally:
        session.close()
    return {f"{row.file}: {row.message}" for row in problems if row.severity == "error"}


def _response(
    manifest: Manifest,
    directory: Path,
    named: Sequence[StoredSuggestion],
    files: list[str],
) -> ImportSuggestionsResponse:
    enter = "" if directory == Path() else f"cd {shlex.quote(str(directory))} && "
    open_rows = [row for row in named if row.changes and row.id not in manifest.applied]
    rows = suggestion_rows(named, directory)
    next_command = None
    if files:
        next_command = f"{enter}headrace plan"
    elif open_rows:
        next_command = next(row.command for row in rows if row.id == open_rows[0].id)
    return ImportSuggestionsResponse(
        directory=str(directory),
        suggestions=rows,
        applied=list(manifest.applied),
        files=files,
        next=next_command,
    )
