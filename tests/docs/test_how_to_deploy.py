"""docs/how-to/deploy.md, typed beside a server; and what lies in deploy/."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_lab import ROOT, follow
from serve_lab import HEADRACE, deliver, project, serving, until

from headrace.serving.serving import GRACE_SECONDS

UNIT = ROOT / "deploy" / "headrace@.service"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@pytest.mark.timeout(120)
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Somebody who deploys types what no longer works."""
    root = project(tmp_path / "shop")
    deliver(root, "2026-03-02")
    with serving(root) as server:
        until(lambda: server.ran("revenue"))
        follow(ROOT / "docs/how-to/deploy.md", root, PORT=str(server.port))


def unit() -> configparser.ConfigParser:
    result = configparser.ConfigParser(interpolation=None, strict=False)
    result.optionxform = str  # type: ignore[assignment, method-assign]
    result.read(UNIT, encoding="utf-8")
    return result


def test_the_unit_starts_what_there_is_and_leaves_time_to_stop() -> None:
    """systemd kills a server that is finishing its work, or starts a command that there isn't."""
    service = unit()["Service"]
    assert (
        service["Type"] == "notify" and service["KillMode"] == "mixed" and service["User"] != "root"
    )
    assert int(service["TimeoutStopSec"]) > GRACE_SECONDS
    command = service["ExecStart"].split()[1:]
    assert (
        subprocess.run([HEADRACE, *command, "--help"], capture_output=True, check=False).returncode
        == 0
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """A directive that systemd ignores: the sandbox isn't one."""
    text = re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text(encoding="utf-8"))
    copy = tmp_path / "headrace@shop.service"
    copy.write_text(re.sub(r"(?m)^(User|Group|Documentation)=.*\n", "", text), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "headrace@shop" in line] == []


@pytest.mark.timeout(60)
def test_the_image_isnt_root_keeps_its_data_and_knows_whether_it_is_well(tmp_path: Path) -> None:
    """A container that runs as root, loses its data, or is restarted while it is well."""
    text = re.sub(r"\\\n", "", DOCKERFILE.read_text(encoding="utf-8"))
    said = [
        line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")
    ]
    last = dict(said)
    assert (
        last["USER"] == "headrace"
        and last["VOLUME"] == "/project/.headrace"
        and last["STOPSIGNAL"] == "SIGTERM"
    )
    for paths in (line[1].split()[:-1] for line in said if line[0] == "COPY"):
        assert all((ROOT / path).exists() for path in paths), paths
    command = [*json.loads(last["ENTRYPOINT"]), *json.loads(last["CMD"])]
    assert (
        subprocess.run(
            [HEADRACE, *command[1:], "--help"], capture_output=True, check=False
        ).returncode
        == 0
    )
    check = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    with serving(project(tmp_path / "shop")) as server:
        well = [sys.executable, *(word.replace("8787", str(server.port)) for word in check[1:])]
        assert subprocess.run(well, capture_output=True, check=False).returncode == 0
    assert subprocess.run(well, capture_output=True, check=False).returncode == 1
