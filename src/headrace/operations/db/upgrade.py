"""`db upgrade`: bring the state up to date; a SQLite file is copied first."""

from __future__ import annotations

from headrace.govern.secrets import Secrets
from headrace.govern.state import check_identity
from headrace.model import UsageError
from headrace.operations.db.responses import UpgradeResponse
from headrace.operations.session import ProjectSession
from headrace.store.upgrading import upgrade as upgrade_state


def upgrade(session: ProjectSession) -> UpgradeResponse:
    """Apply what is missing. UsageError where there is no state; StoreError for one of a newer Headrace, which stays as it is."""
    check_identity(session.root, session.settings)
    done = upgrade_state(session.root, session.settings, Secrets(session.root).resolved)
    if done is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    return UpgradeResponse(before=done.before, after=done.after, backup=None if done.copy is None else str(done.copy))
