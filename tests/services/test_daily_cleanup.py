"""When a server starts the process that follows `retain_rebuildable`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from headrace.project.session import ProjectSession
from headrace.serving import serving as serving_module
from headrace.serving.serving import Maintenance


class _Leader:
    """What the maintenance asks of a leader before and after its work."""

    def __init__(self, retain: str | None) -> None:
        asset = SimpleNamespace(retain_rebuildable=retain)
        project = SimpleNamespace(assets={"clean": asset})
        self.applied = SimpleNamespace(compiled=SimpleNamespace(project=project))


@pytest.mark.parametrize(
    ("retain", "env", "due", "started"),
    [
        ("30d", "prod", True, 1),
        ("30d", "prod", False, 0),
        ("30d", "dev", True, 0),
        (None, "prod", True, 0),
    ],
)
def test_a_server_starts_it_once_after_its_maintenance(
    monkeypatch: pytest.MonkeyPatch, retain: str | None, env: str, due: bool, started: int
) -> None:
    """Would catch: a process for each look of the server, for environments, without a declaration;
    a failure that nobody hears of."""
    jobs, lines = [], []

    def process(module: str, job: msgspec.Struct) -> Any:
        jobs.append((module, job))
        return SimpleNamespace(
            poll=lambda: 1, returncode=1, communicate=lambda: ("", "no lake\n"), terminate=None
        )

    monkeypatch.setattr(serving_module, "_process", process)
    session = cast("ProjectSession", SimpleNamespace(root=Path("p"), env=env))
    maintenance = Maintenance(session, cast("Any", _Leader(retain)), lines.append)
    maintenance._cleanup_due = due
    for _ in range(3):
        maintenance._remove_rebuildable()
    maintenance.close()
    assert len(jobs) == started
    assert lines == ["no rebuildable partition was removed: no lake"] * started
