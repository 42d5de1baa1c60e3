"""Notes refused attempts, failed sign-ins and reads of classified columns for the audit trail."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.model import ProjectError
from headrace.security.access_events import UNKNOWN, AccessEvent, note
from headrace.security.audit import Action

if TYPE_CHECKING:
    from headrace.project.session import ProjectSession

COLUMNS_MAX = 50
"""Columns that an entry names."""


def note_refusal(session: ProjectSession, command: str, code: str, node: str = "") -> None:
    """Note that a command was refused. A failure to write is ignored: it stays refused."""
    event = AccessEvent(
        action=Action.ACCESS_DENIED,
        actor=session.identity.name,
        kind="command" if not node else "node",
        id=node or command,
        code=code,
        command=command,
    )
    _note_refused(session, event)


def note_failed_sign_in(session: ProjectSession, kind: str, claimed: str, code: str) -> None:
    """Note that somebody couldn't sign in, or sent a token that isn't valid.

    `claimed` is an existing user or token, or UNKNOWN. A failure to write is ignored.
    """
    event = AccessEvent(
        action=Action.SIGN_IN_FAILED, actor=UNKNOWN, kind=kind, id=claimed, code=code
    )
    _note_refused(session, event)


def note_clear_read(session: ProjectSession, node: str, columns: Collection[str]) -> None:
    """Note that the session's identity gets classified columns of a node in the clear.

    Raise ProjectError if it can't be recorded: the values then aren't returned.
    """
    if not columns:
        return
    event = AccessEvent(
        action=Action.CLASSIFIED_READ,
        actor=session.identity.name,
        kind="node",
        id=node,
        command=session.command,
        columns=tuple(sorted(columns)[:COLUMNS_MAX]),
    )
    try:
        note(_folder(session), event)
    except OSError as error:
        raise ProjectError(
            f"{_folder(session)} can't be written, and reads of classified columns are recorded:"
            f" {error.strerror}",
            hint="free space there, or let the server's user write",
        ) from error


def _note_refused(session: ProjectSession, event: AccessEvent) -> None:
    with suppress(OSError):
        note(_folder(session), event)


def _folder(session: ProjectSession) -> Path:
    """Return the data folder whose leader records events: an environment may have no state yet."""
    recording = session
    if session.production is not None and session.store is None:
        recording = session.production
    return recording.data_folder
