"""`db restore --new-state`: a state without a past, beside a lake without files. What was there is moved aside, never adopted."""

from __future__ import annotations

import uuid

from headrace.govern import identity
from headrace.govern.audit import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.govern.secrets import Secrets
from headrace.lake import catalog
from headrace.operations.db.responses import BackupResponse
from headrace.operations.session import ProjectSession
from headrace.operations.setting_aside import before, lake_aside, stamp
from headrace.store import Clock, Store


def new_state(session: ProjectSession, *, force: bool) -> BackupResponse:
    """Begin anew; with `force` although there is a state that can be used.

    Epochs go on after those of before: logs and files of attempts are named by them, and exports accept no earlier one.
    Raises Refused while a leader runs, and HeadraceError for a folder that can't be moved."""
    was = before(session)
    was.check(force=force)
    theirs = identity.of_lake(session.folders.lake)
    session.close()
    mark = stamp()
    aside = was.put_aside(mark)
    moved = lake_aside(session.folders, mark)
    given = uuid.uuid4().hex
    what = {"lake": theirs, "lake_aside": None if moved is None else str(moved), "state_aside": aside}
    event = AuditEvent(
        action=Action.STATE_BEGUN_ANEW,
        actor=Actor(ActorType.PERSON, session.actor),
        object=Object("state", given),
        before=what,
    )
    session.folders.lake.mkdir(parents=True, exist_ok=True)
    resolve = Secrets(session.root).resolved
    with Store.open(session.root, session.settings, create=True, resolve=resolve) as store, store.write(None, durable=True) as tx:
        tx.execute("update lease set epoch = ?, released = 1 where id = 1", (was.epoch,))
        catalog.create(tx, f"{session.folders.lake}/")
        identity.give(tx, given)
        append(tx, Clock.for_writing(tx, session.now_given).now_us(), event)
    identity.mark(session.folders.lake, given, session.settings.name)
    return BackupResponse(
        folder="",
        made_at=None,
        snapshot=0,
        epoch=was.epoch,
        tables={},
        files=0,
        bytes=0,
        size_bytes=0,
        restored=True,
        aside=aside,
        lake_aside=None if moved is None else str(moved),
    )
