"""Environments of assets with `requirements`: one for each lock, made before the first attempt.

An environment is a folder named by the hash of its lock and of this Python. Attempts of several
processes may need it at once: one makes it, the others wait. A folder without the mark of its end
is of an attempt that was killed, and is removed first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.extension import (
    CommandBody,
    Folders,
    Handed,
    PythonBody,
    counted,
    parsed_lock,
)
from headrace_python import function
from headrace_python.uv import PackagesFailed, run

MADE = "headrace-made"
"""The file that an environment has when all packages are in it."""
OF_ANY_PROGRAM = ("PATH", "HOME", "LANG", "TMPDIR")
"""Variables of the worker that uv gets, besides those of the asset's code."""


def python_environment(task: Any, folders: Folders) -> tuple[Any, str]:
    """Return the task as it runs in the environment of its lock, made first if it isn't there.

    A function becomes a command that calls it. The text says what was made, empty if nothing was.
    Raises PackagesFailed.
    """
    assert task.lock is not None
    code_root, handed = folders.code / (task.code or ""), task.handed or Handed()
    common = {name: value for name, value in os.environ.items() if name in OF_ANY_PROGRAM}
    lock = (code_root / task.lock).read_text(encoding="utf-8")
    called = isinstance(task.body, PythonBody)
    if called:
        _refuse_others(parsed_lock(lock).versions)
    home, report = _environment(folders, lock, common | handed.variables)
    path = handed.variables.get("PATH", common.get("PATH", os.defpath))
    variables = {"PATH": f"{home}/bin{os.pathsep}{path}", "VIRTUAL_ENV": str(home)}
    handed = msgspec.structs.replace(handed, variables=handed.variables | variables)
    if not called:
        return msgspec.structs.replace(task, handed=handed), report
    command = (str(home / "bin" / "python"), "-P", "-s", function.__file__, task.scope.asset)
    body = CommandBody(command=command, file=task.body.file, line=task.body.line)
    given = function.function_task(task, code_root, folders.project)
    return msgspec.structs.replace(task, handed=handed, body=body, function=given), report


def _environment(folders: Folders, lock: str, variables: Mapping[str, str]) -> tuple[Path, str]:
    """Return the environment's folder, and what was made."""
    key = hashlib.sha256(f"{lock}\n{sys.version}\n{sys.executable}".encode()).hexdigest()
    home, report = folders.environments / key[:32], ""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (home / MADE).is_file():
            begun = time.perf_counter()
            packages = counted(_make(home, lock, folders.project, variables), "package")
            report = f"made the environment ({packages}) in {time.perf_counter() - begun:.1f} s"
        os.utime(home)  # what isn't used for long is removed
    return home, report


def _make(home: Path, text: str, project: Path, variables: Mapping[str, str]) -> int:
    """Make the environment; return the number of its packages."""
    shutil.rmtree(home, ignore_errors=True)
    try:
        for_uv = {**variables, "UV_NO_CACHE": "1"}  # nothing is linked with files outside
        run(
            "venv",
            "--quiet",
            "--python",
            sys.executable,
            str(home),
            folder=project,
            variables=for_uv,
        )
        run(
            *("pip", "install", "--quiet", "--require-hashes", "--compile-bytecode"),
            *("--python", str(home / "bin" / "python"), "-r", "-"),
            folder=project,
            variables=for_uv,
            given=text,
        )
    except PackagesFailed:
        shutil.rmtree(home, ignore_errors=True)
        raise
    (home / MADE).touch()
    return len(parsed_lock(text).versions)


def _refuse_others(versions: Mapping[str, str]) -> None:
    """Raise PackagesFailed for a locked version that isn't the one that Headrace computes with."""
    for name, ours in function.versions().items():
        if versions.get(name, ours) != ours:
            raise PackagesFailed(
                f"the lock has {name} {versions[name]}, and Headrace computes with {ours}",
                hint=f"lock again with `headrace lock`; a command may have any {name}",
            )
