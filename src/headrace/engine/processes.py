"""A command as a process group of its own, which ends as a whole: when its first process ends, or when the worker dies.

A worker that is killed can't clean up after itself. So each command has a guard, a shell that waits on a pipe of the
worker's: when the pipe closes, the guard kills the group. What leaves the group on purpose (`setsid`) isn't caught.
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

_GUARD = 'read -r group && ! read -r _ && kill -KILL "-$group"'


class Ended(msgspec.Struct, frozen=True):
    """How the first process ended: its exit code, or minus the signal; and what it and those that it waited for used."""

    code: int
    usage: resource.struct_rusage


def run(argv: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Ended:
    """Run the argument vector in `folder` until its first process ends, then end whatever of its group is left.

    Raises `BodyFailed` where it can't be started."""
    with _guard() as guard:
        process = _start(argv, folder, environment)
        with contextlib.suppress(BrokenPipeError):
            os.write(guard, b"%d\n" % process.pid)
        try:
            _wait_unreaped(process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(process.returncode, usage)


@contextlib.contextmanager
def _guard() -> Iterator[int]:
    """The pipe to a guard: it wants the group's number as its first line."""
    guard = subprocess.Popen(["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             start_new_session=True)  # fmt: skip
    assert guard.stdin is not None
    try:
        yield guard.stdin.fileno()
    finally:
        guard.kill()
        guard.wait()
        guard.stdin.close()


def _start(argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(list(argv), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, start_new_session=True)
    except (OSError, ValueError) as error:
        raise _not_started(argv[0], folder, environment, error) from error


def _not_started(name: str, folder: Path, environment: Mapping[str, str], error: OSError | ValueError) -> BodyFailed:
    """Why the first word of a command can't be run, and what to write instead."""
    number = getattr(error, "errno", None)
    path = folder / name if "/" in name else Path(shutil.which(name, path=environment.get("PATH")) or name)
    if number == errno.ENOENT and path.is_file():
        return failed(f"`{name}` is there, but the interpreter in its first line (`#!…`) isn't", code="command_failed", hint="name the interpreter in the command itself")
    if number == errno.ENOENT:
        where = "among the applied files" if "/" in name else f"on the PATH ({environment.get('PATH', '')})"
        return failed(f"there is no `{name}` {where}", code="command_failed", hint="install it where Headrace runs, or correct the command's first word")
    if number in (errno.EACCES, errno.ENOEXEC):
        return failed(f"`{name}` can't be executed", code="command_failed", hint=f'name its interpreter: command: ["sh", "{name}"]')
    return failed(f"`{name}` can't be started: {error}", code="command_failed")


def _wait_unreaped(pid: int) -> None:
    """Waits for the process's end without taking note of it, so that nothing else can get its number before its group is killed."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    else:  # macOS before Python 3.13
        subprocess.run(["/bin/sh", "-c", 'while kill -0 "$0"; do sleep 0.05; done', str(pid)], check=False, stderr=subprocess.DEVNULL)
