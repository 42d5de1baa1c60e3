"""The peers that Headrace is measured beside, each in an environment of its own, made once and kept
in a cache.

`<peer>.txt` pins what is installed, `<peer>_program.py` does the work inside that environment and
prints one document: `{"figures": {figure: {who: [runs]}}, "durability": text}`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "headrace-benchmarks"
INSTALLATION_TIMEOUT_S = 900
QUIET = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
    "SCARF_ANALYTICS": "false",
}


@dataclass
class Found:
    """What a peer came to. `missing` says why it has no figures, or not all."""

    peer: str
    figures: dict[str, dict[str, Sequence[float]]] = field(default_factory=dict)
    durability: str = ""
    missing: str = ""

    def add(self, document: Mapping[str, Any]) -> None:
        """Take in a program's document."""
        for name, runs in document["figures"].items():
            self.figures.setdefault(name, {}).update(runs)
        self.durability = document.get("durability", self.durability)


class Unavailable(Exception):
    """A peer that can't be installed or started here, and why."""


def environment(peer: str) -> Path:
    """The folder of the peer's programs, installed now if it isn't yet. Raises Unavailable."""
    pinned = (HERE / f"{peer}.txt").read_text(encoding="utf-8")
    kind = f"{sys.version_info[:2]} with bytecode"
    key = hashlib.sha256(f"{kind}\n{pinned}".encode()).hexdigest()[:10]
    folder = CACHE / f"{peer}-{key}"
    if not (folder / "installed").exists():
        print(f"installing {peer} into {folder} …", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        _install(peer, folder)
        (folder / "installed").touch()
    return folder / "bin"


def _install(peer: str, folder: Path) -> None:
    uv = Path(sys.executable).parent / "uv"
    make = (
        [str(uv), "venv", "--quiet", "--python", sys.executable]
        if uv.exists()
        else [sys.executable, "-m", "venv"]
    )
    pip = (
        [str(uv), "pip", "install", "-q", "--compile-bytecode", "--python", f"{folder}/bin/python"]
        if uv.exists()
        else [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    )
    for command in ([*make, str(folder)], [*pip, "-r", str(HERE / f"{peer}.txt")]):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=INSTALLATION_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"not installed: {error}") from error
        if done.returncode != 0:
            raise Unavailable(f"not installed: {(done.stderr or done.stdout).strip()[-400:]}")


def program(
    peer: str, python: Path, arguments: Sequence[str], *, environ: Mapping[str, str], timeout: float
) -> Any:
    """The document that a peer's program prints. Raises Unavailable with what it said
    if it failed.
    """
    command = [str(python), str(HERE / f"{peer}_program.py"), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={**os.environ, **QUIET, **environ},
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"not done after {timeout:.0f} s") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        raise Unavailable(
            f"failed with exit code {done.returncode}:"
            f" {(done.stderr or done.stdout).strip()[-600:]}"
        )
    return json.loads(lines[-1])
