"""The text of what a plan changes: differences of files on disk from what is applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace.access.visible_plans import VisiblePlan, without_hidden_errors
from headrace.extension import SEE, Progress, ProjectSession, command
from headrace.plan import Compiled
from headrace.project.session import usable
from headrace.project.text_differences import line_differences
from headrace.runtime.applied_versions import contents_of
from headrace.services.plans import Base, compared_with
from headrace.store.queries import applied_versions
from headrace_ui.responses.plan_code import FileDifferenceRow, PlanCodeResponse

FILES_MAX = 50
"""The maximum number of files whose differences are returned, in the order of their paths."""


@command("plan code", SEE, lists=True, http="GET /plan/code plan_code", of_files=True)
def plan_code(session: ProjectSession, *, progress: Progress) -> PlanCodeResponse:
    """Return what changed in the text of each file, compared as `plan` compares.

    A role that is limited to nodes gets the files that declare only its nodes, before and after.
    Raise InvalidProject if the files have errors.
    """
    with without_hidden_errors(session):
        files, compilation = session.declared_exactly(progress)
        compiled = usable(compilation)
    base = compared_with(session)
    after = {path: item.data for path, item in contents_of(files, compiled).items()}
    before = _applied_files(session, base)
    changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    visible = _visible(session, base, compiled)
    paths = [path for path in changed if visible is None or visible.shows_file(path)]
    redacted = str if visible is None else visible.text
    rows = [_row(path, before.get(path), after.get(path), redacted) for path in paths[:FILES_MAX]]
    return PlanCodeResponse(
        against=base.called,
        files=rows,
        more=max(len(paths) - FILES_MAX, 0),
        left_out=len(changed) > len(paths),
    )


def _applied_files(session: ProjectSession, base: Base) -> Mapping[str, bytes]:
    if base.store is None or base.version is None:
        return {}
    source = session.production or session
    manifest = source.manifest if base.store is source.store else session.manifest
    with base.store.read() as tx:
        return applied_versions.contents(tx, manifest)


def _visible(session: ProjectSession, base: Base, compiled: Compiled) -> VisiblePlan | None:
    if session.visible is None:
        return None
    projects = [item.project for item in (base.compiled, compiled) if item is not None]
    return VisiblePlan(session, projects)


def _row(
    path: str, before: bytes | None, after: bytes | None, redacted: Callable[[str], str]
) -> FileDifferenceRow:
    """Return a file's difference; `redacted` takes out names of hidden nodes, applied or not."""
    diff, truncated = line_differences(_text(before), _text(after), redacted)
    change = "added" if before is None else "removed" if after is None else "changed"
    return FileDifferenceRow(path=path, change=change, diff=diff, truncated=truncated)


def _text(data: bytes | None) -> str | None:
    """Return a file's text, empty for a missing file; None if it isn't text."""
    try:
        return "" if data is None else data.decode()
    except UnicodeDecodeError:
        return None
