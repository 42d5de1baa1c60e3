"""`complexity prune`, `restore` and `undo`: delete files of findings, and write them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from headrace.extension import (
    CHANGE,
    Argument,
    Progress,
    ProjectSession,
    Refused,
    UsageError,
    command,
    command_line,
    did_you_mean,
    plan,
    safe_path,
)
from headrace.model.intervals import to_us
from headrace.responses import ApplyResponse, PlanResponse, VersionRow
from headrace.services.ls import file_of, versions
from headrace.store.queries import applied_versions
from headrace.store.queries.audit_trail import pruned_since
from headrace_advisor.queries.published_rows import is_retired_whole
from headrace_advisor.responses.advice import ComplexityRow, PruneResponse
from headrace_advisor.services.complexity import UNSEEN, complexity
from headrace_advisor.services.dismissed import refuse_dismissed
from headrace_advisor.services.written_changes import (
    place_of,
    refuse_other_changes,
    write_and_apply,
    write_files,
)


@command(
    "complexity prune", CHANGE, session="prune", not_for_agents="it deletes files of the project"
)
def prune(
    session: ProjectSession,
    *,
    ids: Annotated[Sequence[str], Argument("ID...", "findings, as `headrace complexity` lists")],
    progress: Progress,
) -> PruneResponse:
    """Delete the files of findings from the project's folder, and plan what that changes.

    Nothing changes until the plan is applied, which asks for the approvals that policy requires.
    Raise UsageError for an unknown finding, Refused for one without files of its own, for files
    that aren't applied as they are, and for a node that something else reads.
    """
    chosen = _findings(session, ids)
    contents = _applied_contents(session, chosen)
    try:
        write_files(session, dict.fromkeys(contents))
        planned = plan(session.again(session.actor), progress=progress)
    except BaseException:
        write_files(session, contents)
        raise
    return PruneResponse(
        deleted=list(contents),
        restored=[],
        version=session.version,
        plan_id=planned.plan_id,
        owners=_owners(session, chosen),
        note=UNSEEN,
        next=planned.next,
        undo=command_line("complexity", "undo", str(session.version)),
    )


@command("complexity prune --yes", CHANGE, not_for_agents="it deletes files of the project")
def apply_prune(
    session: ProjectSession,
    *,
    ids: Annotated[Sequence[str], Argument("ID...", "findings, as `headrace complexity` lists")],
    confirm: Callable[[PlanResponse], bool],
    progress: Progress,
) -> ApplyResponse:
    """Delete the files of findings, and apply that. If it isn't confirmed, the files are as before.

    Raise what `prune` raises, Refused if other files have changes that aren't applied, and whatever
    `confirm` raises.
    """
    refuse_other_changes(session, progress)
    contents = _applied_contents(session, _findings(session, ids))
    return write_and_apply(
        session,
        dict.fromkeys(contents),
        confirm,
        progress,
        reason=f"complexity prune {' '.join(dict.fromkeys(ids))}",
    )


def _findings(session: ProjectSession, ids: Sequence[str]) -> list[ComplexityRow]:
    """Return the findings of these ids, whose files can go.

    Raise UsageError for an unknown one, Refused for one that was dismissed or has no files, and for
    a node that stays and reads one that goes.
    """
    response = complexity(session)
    findings = {row.id: row for row in (*response.findings, *response.dismissed)}
    chosen = [_finding(findings, name) for name in dict.fromkeys(ids)]
    _refuse_readers(session, {row.node for row in chosen})
    return chosen


def _finding(findings: dict[str, ComplexityRow], name: str) -> ComplexityRow:
    row = findings.get(name)
    if row is None:
        hint = did_you_mean(name, list(findings)) or "`headrace complexity` lists the findings"
        raise UsageError(f"there is no finding {name[:80]!r}", hint=hint)
    refuse_dismissed(row.id, row.dismissal)
    if not row.files:
        raise Refused(
            f"{row.id} has no file that belongs to it alone, so there is nothing to delete",
            hint="change its declaration, then `headrace plan`",
        )
    return row


def _refuse_readers(session: ProjectSession, nodes: set[str]) -> None:
    """Raise Refused if a node that stays reads one that goes."""
    compiled = session.compiled
    for name, node in {} if compiled is None else compiled.nodes.items():
        read = {spec.node for spec in node.inputs} | set(node.check_references)
        if name not in nodes and read & nodes:
            raise Refused(
                f"{name} reads {', '.join(sorted(read & nodes))}",
                hint=f"name unread_asset:{name} as well, if it can go, too",
            )


def _applied_contents(session: ProjectSession, rows: Sequence[ComplexityRow]) -> dict[str, bytes]:
    """Return the files of findings as applied, by path in order.

    Raise Refused for one that couldn't be restored.
    """
    paths = sorted({path for row in rows for path in row.files})
    if session.version is None:
        raise Refused(
            "nothing is applied yet, so a deleted file couldn't be restored", hint="headrace apply"
        )
    contents = {path: file_of(session, str(session.version), path) for path in paths}
    for path, data in contents.items():
        place = place_of(session, path)
        if not place.is_file() or place.read_bytes() != data:
            raise Refused(
                f"{path} isn't as it was applied, so it couldn't be restored",
                hint="`headrace plan` shows what differs; apply it first",
            )
    return contents


def _owners(session: ProjectSession, rows: Sequence[ComplexityRow]) -> list[str]:
    compiled = session.compiled
    nodes = [] if compiled is None else [compiled.project.node(row.node) for row in rows]
    return sorted({node.owner for node in nodes if node is not None})


@command(
    "complexity restore",
    CHANGE,
    session="restore_files",
    not_for_agents="it writes files of the project",
)
def restore_files(
    session: ProjectSession,
    *,
    version: Annotated[str, Argument("VERSION", "a version's number: `headrace versions`")],
    progress: Progress,
) -> PruneResponse:
    """Write back the files of an applied version that are missing now, and plan what it changes.

    Files that exist are never changed. Raise UsageError for an unknown version.
    """
    (row,) = versions(session, version)
    missing = _missing_files(session, row)
    write_files(session, missing)
    planned = plan(session.again(session.actor), progress=progress) if missing else None
    return PruneResponse(
        deleted=[],
        restored=sorted(missing),
        version=row.version,
        plan_id=None if planned is None else planned.plan_id,
        owners=[],
        note=UNSEEN,
        next=None if planned is None else planned.next,
        undo=None,
    )


@command("complexity undo", CHANGE)
def undo_prune(
    session: ProjectSession,
    *,
    version: Annotated[str, Argument("VERSION", "the version that `prune` names")],
    confirm: Callable[[PlanResponse], bool],
    progress: Progress,
) -> ApplyResponse:
    """Write back the files of an applied version that are missing now, and apply them.

    Published data of pruned assets is still there, and is read again as it was. If the plan isn't
    confirmed, the files are as before. Raise UsageError for an unknown version, Refused if no file
    is missing, if maintenance has removed data meanwhile or if other files have changes that aren't
    applied, and whatever `confirm` raises.
    """
    (row,) = versions(session, version)
    missing = _missing_files(session, row)
    if not missing:
        raise Refused(
            f"all files of version {row.version} are there: nothing has to be undone",
            hint=command_line("versions", str(row.version)),
        )

    _refuse_removed_data(session, row)

    def confirmed(planned: PlanResponse) -> bool:
        changed = {file.path for file in planned.files if file.change != "unchanged"}
        others = sorted(changed - missing.keys())
        if others:
            raise Refused(
                f"{', '.join(others[:5])} differs from what is applied, too",
                hint="headrace plan shows them; apply them first",
            )
        return confirm(planned)

    return write_and_apply(session, missing, confirmed, progress)


def _refuse_removed_data(session: ProjectSession, row: VersionRow) -> None:
    """Raise Refused if data of nodes that a version had and the applied one hasn't is removed."""
    if session.store is None or session.compiled is None:
        return
    with session.store.read() as tx:
        gone = applied_versions.fingerprints(tx, row.version).keys() - session.compiled.nodes.keys()
        ended = gone & pruned_since(tx, to_us(row.at)) if gone else set()
        # those that were computed again since then have rows
        removed = [name for name in sorted(ended) if is_retired_whole(tx, name)]
    if removed:
        restore = command_line("complexity", "restore", str(row.version))
        raise Refused(
            f"it is too late to undo: `[retention] pruned` has removed the data of"
            f" {', '.join(removed[:5])}",
            hint=f"{restore} writes the files back; apply them, and the data is computed again",
        )


def _missing_files(session: ProjectSession, row: VersionRow) -> dict[str, bytes]:
    """Return the files of a version that don't exist now, with their contents."""
    return {
        file.path: file_of(session, str(row.version), file.path)
        for file in row.files
        if not (session.root / safe_path(file.path)).exists()
    }
