"""Each attempt says what it ran with: versions of installed packages, programs and scripts, of
Python assets and of commands.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runlab import Lab

VERSION = ".".join(map(str, sys.version_info[:3]))
LIBRARY = Path("lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
RULES = """import rules
from headrace import asset, Context

@asset(owner="core", materialize="none", code_packages={packages})
def {name}(ctx: Context):
    print(rules.FACTOR)
"""
SCORE = """import json, os
import rules
there = json.load(open(os.environ["HEADRACE_CONTEXT"]))
with open(os.path.join(there["output_directory"], "rows.csv"), "w") as file:
    file.write(f"factor\\n{rules.FACTOR}\\n")
"""
SCORED = """asset: scored
owner: core
command: [{python}, score.py]
"""
TOOL = """asset: tooled
owner: core
materialize: none
command: [{tool}, now]
"""


def install(site: Path, version: str) -> None:
    """As pip does it: the module, and what says which version it is."""
    for old in site.glob("tiny_rules-*"):
        shutil.rmtree(old)
    information = site / f"tiny_rules-{version}.dist-info"
    information.mkdir(parents=True)
    (site / "rules.py").write_text(f"FACTOR = {version}\n", encoding="utf-8")
    metadata = f"Metadata-Version: 2.1\nName: tiny-rules\nVersion: {version}\n"
    (information / "METADATA").write_text(metadata, encoding="utf-8")
    (information / "RECORD").write_text("rules.py,,\n", encoding="utf-8")
    (information / "top_level.txt").write_text("rules\n", encoding="utf-8")


class Installed:
    """A project whose commands run with a folder of packages on the path of modules."""

    def __init__(self, lab: Lab, site: Path) -> None:
        self.lab, self.site = lab, site

    def headrace(self, *arguments: str) -> Any:
        environment = {**os.environ, "PYTHONPATH": str(self.site)}
        command = self.lab.command(*arguments)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def code(self, asset: str) -> Any:
        """Of the newest attempt; of its packages only ours."""
        runs = {row["run_id"]: None for row in self.headrace("runs") if row["node"] == asset}
        newest = next(iter(runs))
        code = next(row["code"] for row in self.headrace("runs", newest) if row["node"] == asset)
        code["packages"] = [item for item in code["packages"] if item["name"] != "headrace"]
        return code


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    lab, site = Lab(tmp_path / "p"), tmp_path / "site"
    install(site, "1.0")
    lab.write("assets/bare.py", RULES.format(name="bare", packages=[]))
    lab.write("assets/named.py", RULES.format(name="named", packages=["tiny-rules"]))
    return Installed(lab, site)


@pytest.mark.long
def test_an_upgraded_package_is_a_change_where_it_is_named_and_recorded_where_not(
    installed: Installed,
) -> None:
    """Would catch: an upgrade that changes what is computed, and that neither a plan nor an attempt
    tells of."""
    installed.headrace("tick", "--now", installed.lab.now.isoformat())
    before = {name: installed.code(name) for name in ("bare", "named")}
    assert [item["packages"] for item in before.values()] == [
        [{"name": "tiny-rules", "version": "1.0"}],
        [{"name": "tiny-rules", "version": "1.0"}],
    ]
    assert before["bare"]["interpreter"] == f"CPython {VERSION}"
    install(installed.site, "2.0")
    planned = installed.headrace("plan")
    assert [(item["node"], item["change"]) for item in planned["changes"]] == [("named", "body")]
    (code,) = planned["changes"][0]["code"]
    assert (code["path"], code["change"]) == ("tiny-rules", "changed")
    assert code["via"] == "code_packages, 1.0 → 2.0"
    installed.headrace("apply", planned["plan_id"], "--yes")
    installed.headrace("run", "bare", "named", "--again", "--reason", "the rules changed")
    after = {name: installed.code(name) for name in ("bare", "named")}
    assert all(
        item["packages"] == [{"name": "tiny-rules", "version": "2.0"}] for item in after.values()
    )
    assert after["bare"]["fingerprint"] == before["bare"]["fingerprint"]
    assert after["named"]["fingerprint"] != before["named"]["fingerprint"]


@pytest.mark.long
def test_a_command_records_its_interpreter_its_script_and_its_own_packages(tmp_path: Path) -> None:
    """Would catch: versions of the packages next to Headrace, where a command has a virtual
    environment of its own; an attempt of which nobody knows which Python ran."""
    lab, venv = Lab(tmp_path / "p"), tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin/python"
    python.symlink_to(Path(sys.executable).resolve())
    home = f"home = {Path(sys.executable).resolve().parent}\nversion = {VERSION}\n"
    (venv / "pyvenv.cfg").write_text(home, encoding="utf-8")
    install(venv / LIBRARY, "1.5")
    lab.write("assets/scored.yaml", SCORED.format(python=python))
    lab.write("score.py", SCORE)
    project = Installed(lab, tmp_path / "empty")
    project.headrace("tick", "--now", lab.now.isoformat())
    assert project.headrace("read", "scored")["rows"] == [{"factor": 1.5}]
    code = project.code("scored")
    assert (code["interpreter"], code["packages"]) == (
        f"Python {VERSION}",
        [{"name": "tiny-rules", "version": "1.5"}],
    )
    ran, script = code["programs"]
    assert (ran["name"], ran["version"], ran["path"]) == (
        str(python),
        VERSION,
        str(python.resolve()),
    )
    assert ran["sha256"] == hashlib.sha256(python.read_bytes()).hexdigest()
    assert (script["name"], script["path"]) == ("score.py", "score.py")
    assert script["sha256"] == hashlib.sha256(SCORE.encode()).hexdigest()


@pytest.mark.long
@pytest.mark.parametrize("first", ["#!/bin/sh", "#!/usr/bin/env sh", "#!/usr/bin/env -S sh -e"])
def test_a_tool_outside_of_the_project_is_told_by_its_hash(tmp_path: Path, first: str) -> None:
    """Would catch: a tool that somebody replaced, and two attempts that look the same."""
    lab, tool = Lab(tmp_path / "p"), tmp_path / "tool"
    project = Installed(lab, tmp_path / "empty")
    lab.write("assets/tooled.yaml", TOOL.format(tool=tool))
    hashes = []
    for text in (f"{first}\nexit 0\n", f"{first}\nexit 0 # other\n"):
        tool.write_text(text, encoding="utf-8")
        tool.chmod(0o755)
        again = ["--again", "--reason", "x"] if hashes else []
        project.headrace("run", "tooled", *again, "--now", lab.now.isoformat())
        ran, interpreter = project.code("tooled")["programs"]
        assert (ran["path"], ran["sha256"]) == (
            str(tool),
            hashlib.sha256(text.encode()).hexdigest(),
        )
        assert interpreter["path"] == str(Path(shutil.which("sh") or "").resolve())
        hashes.append(ran["sha256"])
    assert len(set(hashes)) == 2


@pytest.mark.long
def test_an_editable_package_from_elsewhere_is_warned_of(
    installed: Installed, tmp_path: Path
) -> None:
    """Would catch: code that is edited outside of the project and runs at once, which nothing
    tells."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "src").mkdir(parents=True)
    (installed.site / "rules.py").rename(elsewhere / "src/rules.py")
    (installed.site / "tiny.pth").write_text(str(elsewhere / "src"), encoding="utf-8")
    (information,) = installed.site.glob("tiny_rules-*")
    told = {"url": elsewhere.as_uri(), "dir_info": {"editable": True}}
    (information / "direct_url.json").write_text(json.dumps(told), encoding="utf-8")
    result = [
        item
        for item in installed.headrace("validate")["problems"]
        if item["code"] == "editable_package"
    ]
    (item,) = result
    assert item["severity"] == "warning" and item["file"] == "assets/bare.py"
    assert f"installed editable from {elsewhere}" in item["message"]
    told["dir_info"] = {"editable": False}
    (information / "direct_url.json").write_text(json.dumps(told), encoding="utf-8")
    assert not any(
        item["code"] == "editable_package" for item in installed.headrace("validate")["problems"]
    )
