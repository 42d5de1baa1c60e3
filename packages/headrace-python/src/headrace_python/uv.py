"""Calls of uv, which resolves and installs packages: what it gets, and what it says of failures."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path

from uv import find_uv_bin

from headrace.extension import HeadraceError

SECONDS_MAX = 1_800
"""How long one call may take: wheels of some packages have gigabytes."""
TEXT_CHARACTERS_MAX = 600
_NO_ANSWER = re.compile(
    r"error sending request|tcp connect error|dns error|timed out|HTTP status.{0,20}(429|5\d\d)",
    re.IGNORECASE,
)
_HASH = re.compile(r"hash mismatch", re.IGNORECASE)
_NO_SOLUTION = re.compile(r"No solution found", re.IGNORECASE)
_LOCK_AGAIN = "lock it again with `headrace lock`, and look at what changed"


class PackagesFailed(HeadraceError):
    """Packages can't be resolved or installed; `transient` if another try may succeed."""

    def __init__(self, message: str, *, hint: str, transient: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.transient = transient


def run(*arguments: str, folder: Path, variables: Mapping[str, str], given: str = "") -> str:
    """Return what uv prints, called in `folder` with these environment variables.

    `given` is its standard input. Raises PackagesFailed with uv's own words.
    """
    command = [find_uv_bin(), *arguments, "--no-progress", "--color", "never"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=_certificates() | dict(variables),
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PackagesFailed(
            f"uv did not end within {SECONDS_MAX} s", hint="look at the network", transient=True
        ) from error
    if done.returncode == 0:
        return done.stdout
    raise _failed(done.stderr)


def _certificates() -> dict[str, str]:
    """Return the setting by which uv trusts what the system trusts, as pip does, if it has any."""
    system = ssl.get_default_verify_paths()
    return {"UV_SYSTEM_CERTS": "1"} if system.cafile or system.capath else {}


def _failed(text: str) -> PackagesFailed:
    """Return uv's error in one line, with what to do next."""
    begin = text.find("error:")
    words = " ".join(text[max(begin, 0) :].removeprefix("error:").split())[:TEXT_CHARACTERS_MAX]
    if _NO_ANSWER.search(text):
        hint = "look at the network, and at the index in UV_DEFAULT_INDEX or uv.toml"
        return PackagesFailed(words, hint=hint, transient=True)
    if _HASH.search(text):
        return PackagesFailed(
            words,
            hint="what came isn't what was locked: ask who changed the lock or the index; "
            + _LOCK_AGAIN,
        )
    if _NO_SOLUTION.search(text):
        return PackagesFailed(words, hint="change the versions that `requirements` asks for")
    return PackagesFailed(words, hint=_LOCK_AGAIN)
