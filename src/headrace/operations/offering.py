"""`db restore` without a folder: which of the backups that were made by themselves fits the lake, and what it lacks."""

from __future__ import annotations

import msgspec

from headrace.model import HeadraceError, Refused
from headrace.operations.automatic_backup import folder_of, kept
from headrace.operations.backup import described
from headrace.operations.db.responses import BackupResponse
from headrace.operations.restore import losses, unfit, verify
from headrace.operations.session import ProjectSession
from headrace.operations.setting_aside import before

REASONS_SHOWN_MAX = 3


def newest(session: ProjectSession) -> BackupResponse:
    """The newest backup whose files are in the lake, with what is lost since. Refused where none fits, with the reasons."""
    reasons = []
    for backup in kept(session.root, session.settings):
        try:
            verify(backup.folder, backup.manifest)
            reason = unfit(session.folders.lake, backup.folder, backup.manifest)
        except HeadraceError as error:
            reason = str(error)
        if reason:
            reasons.append(f"{backup.folder.name}: {reason}")
            continue
        lost = losses(session, backup.folder, backup.manifest, before(session))
        return msgspec.structs.replace(described(backup.folder, backup.manifest), lost_since=lost.since, lost_files=lost.files)
    where = folder_of(session.root, session.settings)
    text = "; ".join(reasons[:REASONS_SHOWN_MAX])
    raise Refused(
        f"no backup in {where} fits the lake" + (f" ({text})" if text else ": there is none"),
        hint="`headrace db restore DIR` restores one from elsewhere;"
        " `headrace db restore --new-state` begins anew and moves the lake aside",
    )
