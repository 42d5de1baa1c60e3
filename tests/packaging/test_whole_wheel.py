"""`make wheel`: one wheel with everything."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from scripts import wheel
from scripts.environment import LEAVES


@pytest.mark.long
def test_one_wheel_has_every_package_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a package, an entry point or a requirement that is lost on the way; a wheel
    whose demo says that it isn't installed.
    """
    monkeypatch.setenv("HEADRACE_SKIP_UI", "1")
    whole = wheel.make(tmp_path)
    target = tmp_path / "installed"
    zipfile.ZipFile(whole).extractall(target)
    [information] = target.glob("*.dist-info")
    found = configparser.ConfigParser(delimiters=("=",))
    found.read(information / "entry_points.txt")
    for package in LEAVES:
        project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
        assert (target / project["name"].replace("-", "_")).is_dir()
        for group, points in project.get("entry-points", {}).items():
            assert points.keys() <= dict(found[group]).keys()
    metadata = message_from_bytes((information / "METADATA").read_bytes())
    needed = metadata.get_all("Requires-Dist", [])
    assert not [line for line in needed if line.startswith("headrace")]
    assert any(line.startswith("opentelemetry-sdk") and "observe" in line for line in needed)
    assert any(line.startswith("mcp>=") and "extra" not in line for line in needed)
    places = [str(target), sysconfig.get_path("purelib")]
    code = f"import sys; sys.path[:0] = {places}; from headrace.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, "demo", "--help"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "guided example" in done.stdout
