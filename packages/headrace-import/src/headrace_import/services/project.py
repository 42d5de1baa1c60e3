"""`import`: read a project of another tool, and write it as a Headrace project with a report.

Nothing of the origin is run: importers read its files. Only with `--with-dbt` the user's own dbt
compiles what can't be read without it.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.extension import (
    ProblemRow,
    Progress,
    ProjectError,
    ProjectSession,
    UsageError,
    command_line,
    did_you_mean,
    leftovers,
    validate,
    write_files,
)
from headrace_import.importers import ImportedItem, ImportedProject, Refusal, Verdict
from headrace_import.importers.origin_files import MANIFEST_FILE, without_faulty_files
from headrace_import.responses.imports import (
    ImportCounts,
    ImportDependencyRow,
    ImportItemRow,
    ImportResponse,
    ImportSecretRow,
    ImportValidation,
)
from headrace_import.services.manifest import (
    Manifest,
    StoredSuggestion,
    begun_manifest,
    changes_since,
    edited_files,
    load_manifest,
    manifest_of,
    manifest_text,
    other_files,
    unfinished,
)
from headrace_import.services.report import html_report, markdown_report
from headrace_import.services.suggestions import suggestion_rows, with_changes

if TYPE_CHECKING:
    from headrace_import.importers.dbt.compiled import CompiledProject

IMPORTERS: Mapping[str, str] = {
    "dbt": "headrace_import.importers.dbt",
    "airflow": "headrace_import.importers.airflow",
    "adf": "headrace_import.importers.adf",
    "prefect": "headrace_import.importers.prefect",
    "dagster": "headrace_import.importers.dagster",
}
"""Tool → the package whose `read_project(root)` reads its projects."""

ELSEWHERE = "name another folder: --into DIR"
LISTED_MAX = 3
"""At most this number of files are named in a message."""
REPORTS = ("import-report.md", "import-report.html")


def import_project(
    tool: str,
    path: Path,
    into: Path | None,
    actor: str,
    progress: Progress,
    *,
    with_dbt: bool = False,
) -> ImportResponse:
    """Write a Headrace project from a project of another tool, and report on each of its tasks.

    Raise UsageError for an unknown tool or folder, or a target folder within the origin,
    ProjectError if the target folder holds anything but an earlier import of the same origin that
    nobody has edited, HeadraceError if dbt can't compile the project. Nothing is written then.
    """
    root = _origin(path)
    directory = _target(root, into)
    _require_apart(root, directory)
    origin = os.path.relpath(root, directory.resolve())
    target = _Target(directory, _replaceable(directory, tool, origin), with_dbt=with_dbt)
    read = importer(tool)
    compiled = _compiled(tool, root, progress) if with_dbt else None
    if compiled is not None:
        read = partial(read, compiled=compiled)
    imported = read(root)
    texts = target.write(imported)
    validation = _validated(directory, actor, progress)
    for refused in _refusals(read, validation):
        imported = read(root, refused=refused)
        texts = target.write(imported)
        validation = _validated(directory, actor, progress)
        refused.extend(_errors(validation))
    imported = replace(imported, items=_with_problems(imported.items, validation.problems))
    invalid = {row.file for row in validation.problems if row.severity == "error"}
    suggestions = with_changes(imported, invalid)
    files = sorted([*texts, *REPORTS])
    response = _response(imported, path, directory, validation, suggestions, files)
    if compiled is not None:
        response = msgspec.structs.replace(response, executed=compiled.templates)
    reports = dict(zip(REPORTS, (markdown_report(response), html_report(response)), strict=True))
    target.write_texts(reports)
    written = manifest_of(
        imported, root, origin, {**texts, **reports}, suggestions, with_dbt=with_dbt
    )
    write_files(directory, {MANIFEST_FILE: manifest_text(written)}, ELSEWHERE)
    return response


PASSES_MAX = 4
"""At most this number of times an importer is asked again without what `validate` refused."""


def _refusals(
    read: Callable[..., ImportedProject], validation: ImportValidation
) -> Iterator[list[Refusal]]:
    """Yield what the next pass must leave out, until nothing new is refused.

    The caller extends the list by what is refused then. Importers without passes get none.
    """
    if "refused" not in inspect.signature(read).parameters:
        return
    refused = _errors(validation)
    known = 0
    for _ in range(PASSES_MAX):
        if len(set(refused)) == known:
            return
        known = len(set(refused))
        yield refused


def _errors(validation: ImportValidation) -> list[Refusal]:
    return [
        Refusal(row.file, row.message) for row in validation.problems if row.severity == "error"
    ]


class _Target:
    """The folder of the new project. `manifest` says what an earlier import wrote there.

    What is going to be written is stored in the manifest first, so that an import that was killed
    can be repeated, and still knows which files are a person's.
    """

    def __init__(self, directory: Path, manifest: Manifest, *, with_dbt: bool) -> None:
        self._directory = directory
        self._manifest = msgspec.structs.replace(manifest, with_dbt=with_dbt)

    def write(self, imported: ImportedProject) -> dict[str, str]:
        """Write the new project's files, remove those of earlier passes, and return the texts."""
        texts = dict(imported.files)
        taken = other_files(self._manifest, self._directory, [*texts, *REPORTS])
        if taken:
            raise ProjectError(
                f"{_listed(self._directory, taken)} would be replaced: no earlier import wrote it",
                hint="rename or move it, or import into another folder: --into DIR",
            )
        self.write_texts(texts)
        earlier = {*self._manifest.files, *self._manifest.begun}
        gone = dict.fromkeys(sorted(earlier - texts.keys() - set(REPORTS)))
        write_files(self._directory, gone, ELSEWHERE)
        return texts

    def write_texts(self, texts: Mapping[str, str]) -> None:
        """Write files, after the manifest that announces them."""
        self._manifest = begun_manifest(self._manifest, texts)
        announced = {MANIFEST_FILE: manifest_text(self._manifest)}
        write_files(self._directory, {**announced, **texts}, ELSEWHERE)
        for path in leftovers(self._directory):
            path.unlink(missing_ok=True)


def _listed(directory: Path, files: Sequence[str]) -> str:
    more = f" and {len(files) - LISTED_MAX} more" if len(files) > LISTED_MAX else ""
    return ", ".join(str(directory / name) for name in files[:LISTED_MAX]) + more


def check_import(tool: str, path: Path, into: Path | None) -> ImportResponse:
    """Return what changed at the origin since its import; nothing is written.

    Raise ProjectError if the folder isn't an import of this tool.
    """
    read, root = importer(tool), _origin(path)
    directory = _target(root, into)
    manifest = load_manifest(directory)
    if manifest is None or manifest.tool != tool:
        raise ProjectError(
            f"{directory} isn't an import of a project of {tool}: there is nothing to compare with",
            hint=f"{command_line('import', tool, str(path))}, or name the folder by --into",
        )
    options = ("--with-dbt",) if manifest.with_dbt else ()
    again = command_line("import", tool, str(path), "--into", str(directory), *options)
    if manifest.begun:
        raise unfinished(directory, again)
    imported = read(root)
    response = _response(imported, path, directory, None, manifest.suggestions, [])
    changes = changes_since(manifest, imported, root)
    return msgspec.structs.replace(response, changes=changes, next=again)


def _compiled(tool: str, root: Path, progress: Progress) -> CompiledProject:
    """Return what dbt compiles of a project. Raise UsageError for a project of another tool."""
    if tool != "dbt":
        raise UsageError(
            f"--with-dbt is for projects of dbt, not of {tool}",
            hint=command_line("import", tool, "PATH"),
        )
    from headrace_import.importers.dbt.run_dbt import compile_project

    progress.start("dbt compiles the project", None)
    try:
        compiled = compile_project(root)
        progress.advance(compiled.templates)
    finally:
        progress.finish()
    return compiled


def importer(tool: str) -> Callable[..., ImportedProject]:
    """Return the function that reads projects of a tool. Raise UsageError for an unknown one."""
    if tool not in IMPORTERS:
        raise UsageError(
            f"projects of {tool[:60]!r} can't be imported",
            hint=did_you_mean(tool, IMPORTERS) or f"one of {', '.join(IMPORTERS)}",
        )
    read: Callable[..., ImportedProject] = import_module(IMPORTERS[tool]).read_project

    @wraps(read)
    def read_all(*args: Any, **options: Any) -> ImportedProject:
        return without_faulty_files(partial(read, *args, **options))

    return read_all


def _origin(path: Path) -> Path:
    if not path.is_dir():
        raise UsageError(
            f"there is no folder {path}", hint="name the folder of the project to be imported"
        )
    return path.resolve()


def _target(root: Path, into: Path | None) -> Path:
    if into is not None:
        return into
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", root.name).strip("-.") or "imported"
    return Path(f"{name}-headrace")


def _require_apart(root: Path, directory: Path) -> None:
    """Raise UsageError if the new project would be written over its origin.

    A folder within the origin is no problem: importers leave out what an import has written.
    """
    if directory.resolve() == root:
        beside = Path(os.path.relpath(root.parent)) / f"{root.name}-headrace"
        raise UsageError(
            f"{directory} is the project to be imported",
            hint=f"name another folder: --into {shlex.quote(str(beside))}",
        )


def _replaceable(directory: Path, tool: str, origin: str) -> Manifest:
    """Return the manifest of the import that may be replaced; an empty one for a new folder.

    Raise ProjectError for any other folder.
    """
    new = Manifest(tool=tool, origin=origin, origin_files={}, items={}, files={})
    if not os.path.lexists(directory) or (directory.is_dir() and _is_empty(directory)):
        return new
    manifest = load_manifest(directory) if directory.is_dir() else None
    if manifest is None or (manifest.tool, manifest.origin) != (tool, origin):
        raise ProjectError(
            f"{directory} isn't empty, and isn't an earlier import of this project",
            hint="name a new folder: --into DIR",
        )
    edited = edited_files(manifest, directory)
    if edited:
        raise ProjectError(
            f"{_listed(directory, edited)} changed since the import, which would be lost",
            hint="import into another folder and compare both: --into DIR",
        )
    if manifest.applied:
        raise ProjectError(
            f"{', '.join(list(manifest.applied)[:3])} of its suggestions were applied since, which"
            " would be lost",
            hint="import into another folder and compare both: --into DIR",
        )
    if manifest.retired:
        raise ProjectError(
            f"{', '.join(list(manifest.retired)[:3])} of it is retired, and its assets would be"
            " lost once its files are gone",
            hint="import into another folder and compare both: --into DIR",
        )
    return manifest


def _is_empty(directory: Path) -> bool:
    """Whether a folder has no files but those of an import that was killed at once."""
    return set(directory.iterdir()) <= set(leftovers(directory))


def _validated(directory: Path, actor: str, progress: Progress) -> ImportValidation:
    session = ProjectSession.open(directory, "prod", None, actor)
    try:
        result = validate(session, bind_all=False, progress=progress)
    finally:
        session.close()
    return ImportValidation(ok=result.ok, problems=result.problems)


def _with_problems(
    items: Sequence[ImportedItem], problems: Sequence[ProblemRow]
) -> tuple[ImportedItem, ...]:
    """Return the items; one whose file has an error is for a person, with the error as reason."""
    errors = {row.file: row for row in reversed(problems) if row.severity == "error"}
    return tuple(_with_problem(item, errors) for item in items)


def _with_problem(item: ImportedItem, errors: Mapping[str, ProblemRow]) -> ImportedItem:
    problem = next((errors[name] for name in item.created if name in errors), None)
    if problem is None or item.verdict is Verdict.PERSON:
        return item
    hint = f" ({problem.hint})" if problem.hint else ""
    return replace(
        item,
        verdict=Verdict.PERSON,
        why=f"{problem.file}:{problem.line} isn't valid: {problem.message}",
        todo=f"correct {problem.file}{hint}, then headrace validate",
    )


def _response(
    imported: ImportedProject,
    path: Path,
    directory: Path,
    validation: ImportValidation | None,
    suggestions: Sequence[StoredSuggestion],
    files: list[str],
) -> ImportResponse:
    counts = Counter(item.verdict for item in imported.items)
    command = _next_command(imported, validation)
    enter = f"cd {shlex.quote(str(directory))} && headrace {command}"
    other_folder = command_line("import", imported.tool, "PATH")
    return ImportResponse(
        tool=imported.tool,
        origin=str(path),
        directory=str(directory),
        counts=ImportCounts(
            carried=counts[Verdict.CARRIED],
            on_condition=sum(item.on_condition for item in imported.items),
            command=counts[Verdict.COMMAND],
            person=counts[Verdict.PERSON],
        ),
        items=[_item_row(item) for item in imported.items],
        dependencies=[
            ImportDependencyRow(from_=row.origin, to=row.target, how=row.how.value)
            for row in imported.dependencies
        ],
        suggestions=suggestion_rows(suggestions, directory),
        secrets_found=[
            ImportSecretRow(file=row.file, line=row.line, name=row.name) for row in imported.secrets
        ],
        executed=0,
        validate=validation,
        files=files,
        next=enter if imported.items else other_folder,
    )


def _next_command(imported: ImportedProject, validation: ImportValidation | None) -> str:
    """Return what comes first in the new project.

    `run` would start each command for all of its intervals, while the origin still runs them too.
    """
    if validation is not None and not validation.ok:
        return "validate"
    return "run" if imported.tool == "dbt" else "plan"


def _item_row(item: ImportedItem) -> ImportItemRow:
    return ImportItemRow(
        id=item.id,
        file=item.file,
        line=item.line,
        verdict=item.verdict.value,
        on_condition=item.on_condition,
        as_=list(item.created),
        why=item.why,
        todo=item.todo,
        original=item.original,
    )
