"""The web UI in what is given away: an sdist builds without Node, and the npm lock sends nobody
anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from headrace_ui.web.bundle import BUNDLE, Bundle

ROOT = Path(__file__).parents[3]
FILTER: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Python has filters since 3.11.4."""


@pytest.mark.long
def test_an_sdist_has_the_built_ui_and_not_its_sources(tmp_path: Path) -> None:
    """Would catch: who installs from an sdist needs npm's registry, or gets half of
    node_modules.
    """
    if not Bundle(BUNDLE).built:
        pytest.skip("the web UI isn't built (make ui)")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(
        command,
        cwd=ROOT / "packages/headrace-ui",
        check=True,
        capture_output=True,
        env={**os.environ, "HEADRACE_SKIP_UI": "1"},
    )
    [sdist] = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, **FILTER)
    [folder] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert (folder / "src/headrace_ui/ui_bundle/index.html").is_file() and not (
        folder / "ui"
    ).exists()
    assert (
        subprocess.run(
            [sys.executable, "hatch_build.py", "--check"], cwd=folder, check=False
        ).returncode
        == 0
    )


def test_the_npm_lock_names_no_address() -> None:
    """Would catch: a mirror's address that everybody else's build is sent to."""
    text = (ROOT / "ui/package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text and '"integrity"' in text
