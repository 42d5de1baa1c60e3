"""Recent restatements are looked for again only if one is added or expires."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from headrace.model import Project, Settings
from headrace.plan import Compiled
from headrace.project.session import ProjectSession
from headrace.standing import restatements
from headrace.store import Store

AT = 10**15
SECOND = 1_000_000
PUBLISHED = (
    "insert into publication (id, node, partition, epoch, n, snapshot, ended_snapshot,"
    " published_at, ended_at, rows, bytes, verdict, version) values (?, 'sales', '2026-03-01', 1,"
    " ?, ?, ?, ?, ?, 1, 1, 'passed', 1)"
)


def test_time_alone_repeats_it_only_when_a_restatement_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a search through thousands of restatements every ten seconds, and one that stays
    on the page for ever."""
    searched: list[int] = []

    def search(_tx: Any, _compiled: Any, _zone: Any, since_us: int) -> list[Any]:
        searched.append(since_us)
        return []

    monkeypatch.setattr(restatements, "restatements_since", search)
    session = cast("ProjectSession", SimpleNamespace(version=1, memory={}, zone=ZoneInfo("UTC")))
    compiled = Compiled(project=Project(settings=Settings(name="t")), nodes={}, order=())
    with Store.open(tmp_path, Settings(name="t"), create=True) as store, store.write(None) as tx:
        tx.executemany(PUBLISHED, [(1, 1, 1, 2, AT - SECOND, AT), (2, 2, 2, None, AT, None)])

        def ask(now_us: int) -> int:
            restatements.recent_restatements(session, tx, compiled, now_us)
            return len(searched)

        assert ask(AT + SECOND) == 1
        assert ask(AT + 3600 * SECOND) == 1
        assert ask(AT + restatements.TOLD_US - SECOND) == 1
        assert ask(AT + restatements.TOLD_US + restatements.KEPT_US) == 2
        assert ask(AT + restatements.TOLD_US + 3600 * SECOND) == 2
        tx.execute("update publication set ended_snapshot = 3, ended_at = ? where id = 2", (AT,))
        tx.executemany(PUBLISHED, [(3, 3, 3, None, AT, None)])
        assert ask(AT + restatements.TOLD_US + 3600 * SECOND) == 3
