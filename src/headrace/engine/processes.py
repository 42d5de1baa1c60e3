"""A command as a process group of its own, which ends as a whole: when its first process ends, or when the worker dies.

A worker that is killed can't clean up after itself. So the group is that of a guard, a shell that waits on a pipe of
the worker's and kills its group when the pipe closes; the command is started into it. The guard is there first and
is reaped last, so there is no moment in which the command has no guard, or in which the group's number could be another's.
What leaves the group on purpose (`setsid`) isn't caught.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.engine.failures import BodyFailed, failed

_GUARD = 'trap "" HUP INT TERM; read -r _; kill -KILL 0'


class ProcessExit(msgspec.Struct, frozen=True):
    """How the first process ended: its exit code, or minus the signal; and what it and those that it waited for used."""

    code: int
    usage: resource.struct_rusage


def run(argv: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> ProcessExit:
    """Run the argument vector in `folder` until its first process ends, then end whatever of its group is left.

    Raises `BodyFailed` where it can't be started."""
    with _guarded_group() as group:
        process = _start(argv, folder, environment, group)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # or Popen would wait for it once more
    return ProcessExit(process.returncode, usage)


@contextlib.contextmanager
def _guarded_group() -> Iterator[int]:
    """The number of a new group with a guard in it; everything in it is killed when the context ends."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    try:
        yield guard.pid
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()
        if guard.stdin is not None:
            guard.stdin.close()


def _start(argv: Sequence[str], folder: Path, environment: Mapping[str, str], group: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(list(argv), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, process_group=group)
    except (OSError, ValueError) as error:
        raise _not_started(argv[0], folder, environment, error) from error


def _not_started(name: str, folder: Path, environment: Mapping[str, str], error: OSError | ValueError) -> BodyFailed:
    """Why the first word of a command can't be run, and what to write instead."""
    number = getattr(error, "errno", None)
    path = folder / name if "/" in name else Path(shutil.which(name, path=environment.get("PATH")) or name)
    if number == errno.ENOENT and path.is_file():
        return _refused(
            f"`{name}` is there, but the interpreter in its first line (`#!…`) isn't", "name the interpreter in the command itself"
        )
    if number == errno.ENOENT:
        where = "among the applied files" if "/" in name else f"on the PATH ({environment.get('PATH', '')})"
        return _refused(f"there is no `{name}` {where}", "install it where Headrace runs, or correct the command's first word")
    if number in (errno.EACCES, errno.ENOEXEC):
        return _refused(f"`{name}` can't be executed", f'name its interpreter: command: ["sh", "{name}"]')
    return failed(f"`{name}` can't be started: {error}", code="command_failed")


def _refused(message: str, hint: str) -> BodyFailed:
    """What no partition can start; whoever installs it changes no code."""
    return failed(message, code="command_failed", hint=hint, everywhere=True, machine=True)
