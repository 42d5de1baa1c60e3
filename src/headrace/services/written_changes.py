"""Files of a project that a command writes and applies in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from headrace.model import Refused
from headrace.services.apply import apply
from headrace.services.changed_assets import text_of
from headrace.services.plans import plan
from headrace.services.project_paths import safe_path
from headrace.services.responses import ApplyResponse, PlanResponse
from headrace.services.session import Progress, ProjectSession


def refuse_other_changes(session: ProjectSession, progress: Progress) -> None:
    """Raise Refused if files have changes that aren't applied."""
    if session.version is None or plan(session, progress=progress).steps:
        raise Refused(
            "the files have changes that aren't applied",
            hint="headrace plan shows them; apply them first, so that the plan is this change's",
        )


def write_and_apply(
    session: ProjectSession,
    contents: Mapping[str, bytes],
    confirm: Callable[[PlanResponse], bool],
    progress: Progress,
    *,
    reason: str,
    plan_id: str | None = None,
    keep: Sequence[str] = (),
) -> ApplyResponse:
    """Write files and apply them; restore them unless the plan is applied or waits for approval.

    Raise Refused if links lead a file out of the project, and whatever `confirm` raises.
    """
    places = {path: _place(session, path) for path in contents}
    before = {path: text_of(place).encode() for path, place in places.items()}
    opened = session.again(session.actor)
    done = False
    try:
        for path, data in contents.items():
            places[path].write_bytes(data)
        response = apply(
            opened,
            confirm=confirm,
            progress=progress,
            plan_id=plan_id,
            keep=tuple(keep),
            reason=reason,
        )
        refused = response.refused
        waits = refused is not None and refused.code == "needs_approval"
        done = response.state == "applied" or waits
        return response
    finally:
        opened.close()
        if not done:
            for path, data in before.items():
                with suppress(OSError):
                    places[path].write_bytes(data)


def _place(session: ProjectSession, path: str) -> Path:
    """Return where a file of the project is. Raise Refused if links lead it out of the project."""
    place = session.root / safe_path(path)
    if not place.resolve().is_relative_to(session.root.resolve()):
        raise Refused(f"{path} is behind a link that leads out of the project")
    return place
