"""Files of a project that a command writes and applies in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from headrace.access.agreements import NEEDS_APPROVAL
from headrace.extension import Progress, ProjectSession, Refused, apply, plan, safe_path
from headrace.responses import ApplyResponse, PlanResponse


def refuse_other_changes(session: ProjectSession, progress: Progress) -> None:
    """Raise Refused if files have changes that aren't applied."""
    if session.version is None or plan(session, progress=progress).steps:
        raise Refused(
            "the files have changes that aren't applied",
            hint="headrace plan shows them; apply them first, so that the plan is this change's",
        )


def write_and_apply(
    session: ProjectSession,
    contents: Mapping[str, bytes | None],
    confirm: Callable[[PlanResponse], bool],
    progress: Progress,
    *,
    reason: str = "",
    plan_id: str | None = None,
    keep: Sequence[str] = (),
) -> ApplyResponse:
    """Write files and apply them; restore them unless they are applied or wait for approval.

    Files without content are deleted. Raise Refused if links lead a file out of the project, and
    whatever `confirm` raises.
    """
    before = {path: _content(place_of(session, path)) for path in contents}
    opened = session.again(session.actor)
    done = False
    try:
        write_files(session, contents)
        response = apply(
            opened,
            confirm=confirm,
            progress=progress,
            plan_id=plan_id,
            keep=tuple(keep),
            reason=reason,
        )
        refused = response.refused
        waits = refused is not None and refused.code == NEEDS_APPROVAL
        done = response.state in ("applied", "nothing") or waits
        return response
    finally:
        opened.close()
        if not done:
            for path, data in before.items():
                with suppress(OSError):
                    write_files(session, {path: data})


def write_files(session: ProjectSession, contents: Mapping[str, bytes | None]) -> None:
    """Write files of the project, and delete those without content.

    Raise Refused if links lead a file out of the project.
    """
    for path, data in contents.items():
        place = place_of(session, path)
        if data is None:
            place.unlink(missing_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def _content(place: Path) -> bytes | None:
    return place.read_bytes() if place.exists() else None


def place_of(session: ProjectSession, path: str) -> Path:
    """Return where a file of the project is. Raise Refused if links lead it out of the project."""
    place = session.root / safe_path(path)
    if not place.resolve().is_relative_to(session.root.resolve()):
        raise Refused(f"{path} is behind a link that leads out of the project")
    return place
