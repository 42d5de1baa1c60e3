"""The data folder that a command will work in, found before it imports what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.cli import data_folder as folders
from headrace.cli.command_table import Options


@pytest.mark.parametrize(
    ("settings", "folder"),
    [
        ("", ".headrace"),
        ("[lake]\npath = 'else/where/lake'", "else/where"),
        ("[lake]\npath = 5", None),
        ("[lake", None),
    ],
)
def test_the_folder_is_that_of_the_settings(
    tmp_path: Path, settings: str, folder: str | None
) -> None:
    """Would catch: a project whose lake is elsewhere, whose leader is never found."""
    (tmp_path / "headrace.toml").write_text(settings)
    (tmp_path / "a/b").mkdir(parents=True)
    expected = None if folder is None else str(tmp_path / folder)
    assert folders._data_folder(str(tmp_path / "a/b"), "prod") == expected
    assert folders._data_folder(str(tmp_path), "dev") is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('[project]\nname = "p"\n', ".headrace"),
        ('[lake]\npath = "data/lake/"\n', "data"),
        ('"l\\u0061ke".path = "other/lake"\n', "other"),
        ('[project]\nname = "lakes"\n', ".headrace"),
        ("[lake]\n", ".headrace"),
        ('[lake]\npath = "/srv/lake"\n', "/srv"),
        ("[lake\n", None),
        ("lake = 3\n", None),
    ],
)
def test_the_data_folder_is_the_declared_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, expected: str | None
) -> None:
    """Another folder's leader would count, or none, although one leads."""
    (tmp_path / "headrace.toml").write_text(settings, encoding="utf-8")
    (tmp_path / "assets").mkdir()
    for folder, named in ((tmp_path, None), (tmp_path / "assets", None), (tmp_path, "assets")):
        monkeypatch.chdir(folder)
        result = folders.data_folder(["run"], Options(project=named))
        assert result == (None if expected is None else str(tmp_path / expected))


def test_no_project_has_no_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for settings has to end at the top of the file system."""
    monkeypatch.chdir(tmp_path)
    assert folders.data_folder(["run"], Options()) is None
