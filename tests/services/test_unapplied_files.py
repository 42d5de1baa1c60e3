"""Files that say something else than what is applied, noticed by a server that has
looked before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.cli.main import run
from headrace.project import status_facts as operation
from headrace.project.session import ProjectSession

FILES = {
    "headrace.toml": '[project]\nname = "t"\ntimezone = "UTC"\n',
    "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
    "assets/one.sql": "/* headrace\nowner: core\n*/\nselect 1 as one\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert run(["apply", "--project", str(tmp_path)]) == 0
    return tmp_path


def test_each_way_to_change_a_file_is_noticed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: Today that says all is applied, an hour after somebody edited a file, added one
    or took one away."""
    monkeypatch.setattr(operation, "LOOK_SECONDS", 0.0)
    memory: dict[str, tuple[str, Any]] = {}

    def found() -> int | None:
        session = ProjectSession(root, "prod", None, "t")
        session.memory = memory
        try:
            nodes = operation.unapplied(session)
            return None if nodes is None else len(nodes)
        finally:
            session.close()

    item, two, deep = (
        root / "assets/one.sql",
        root / "assets/two.sql",
        root / "assets/below/three.sql",
    )
    assert (found(), found()) == (0, 0)
    item.write_text(FILES["assets/one.sql"].replace("select 1", "select 2"), encoding="utf-8")
    assert found() == 1
    item.write_text(FILES["assets/one.sql"], encoding="utf-8")
    assert found() == 0
    two.write_text(FILES["assets/one.sql"], encoding="utf-8")
    deep.parent.mkdir()
    deep.write_text(FILES["assets/one.sql"], encoding="utf-8")
    assert found() == 2
    two.unlink()
    assert found() == 1
    assert run(["apply", "--yes", "--project", str(root)]) == 0
    assert found() == 0
    deep.write_text("no front matter", encoding="utf-8")
    assert found() is None


def test_a_look_is_kept_while_nothing_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a status that reads ten thousand files each time that anybody asks."""
    monkeypatch.setattr(operation, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(operation, "RACY_NS", 0)
    session = ProjectSession(root, "prod", None, "t")
    assert operation.unapplied(session) == ()
    monkeypatch.setattr(operation, "_looked", lambda _: pytest.fail("looked again"))
    assert operation.unapplied(session) == ()
    session.close()
