"""Limits of the machine and of its processes, as exceptions, signals and the words of programs tell
of them: memory, disk, file size, processor time, processes, open files. None of them is a mistake in
the code that met it."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterable

import msgspec

from headrace.engine.bodies import BodyError, ErrorKind

LINES_LOOKED_AT = 50
"""So many of the last lines of a program's output may say why it ended."""
_BY_NUMBER = {
    errno.ENOMEM: "out of memory",
    errno.EFBIG: "file size limit",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
}
_STARTS = ("_execute_child", "_launch")
"""The functions of `subprocess` and `multiprocessing` that start a process."""
_BY_SIGNAL = {
    signal.SIGKILL: "out of memory",
    signal.SIGXFSZ: "file size limit",
    signal.SIGXCPU: "processor time limit",
}
"""SIGKILL is what the kernel sends where memory is used up."""
SHELL = 128
"""A shell adds this to the number of the signal that ended its command."""
_BY_WORDS = tuple(
    (name, re.compile(words))
    for name, words in (
        (
            "out of memory",
            r"\b(MemoryError|OutOfMemoryError|std::bad_alloc)\b|[Cc]annot allocate memory|heap out of memory",
        ),
        ("no space left", r"No space left on device|Disk quota exceeded"),
        ("file size limit", r"\[Errno 27\]|: File too large$|File size limit exceeded"),
        ("processor time limit", r"CPU time limit exceeded"),
        ("process limit", r"can't start new thread|fork\b.*Resource temporarily unavailable|\[Errno 11\]"),
        ("too many open files", r"Too many open files"),
    )
)  # fmt: skip
MEMORY_HINT = "set `memory_max` of [run] higher, if there is more memory"
"""What to do where Headrace's own code lacked memory."""
_HINTS = {
    "out of memory": "give it more memory, or make the partitions smaller",
    "no space left": "make room on the disk that it writes to",
    "file size limit": "raise the limit (`ulimit -f`), or write smaller files",
    "processor time limit": "raise the limit (`ulimit -t`), or make the partitions smaller",
    "process limit": "raise the limit (`ulimit -u`), or start fewer processes and threads",
    "too many open files": "raise the limit (`ulimit -n`), or open fewer files at once",
}


def reached_by(error: BaseException) -> str:
    """The limit that an exception says was reached; empty for every other exception."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError):
        if error.errno == errno.EAGAIN:
            return "process limit" if _starts_a_process(error) else ""
        return _BY_NUMBER.get(error.errno or 0, "")
    return "process limit" if str(error) == "can't start new thread" else ""


def _starts_a_process(error: BaseException) -> bool:
    """Whether it came from where a process is started: of a lock or a socket the same number says
    that somebody else has it, or that nothing is there yet."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_name in _STARTS


def ended_by(code: int) -> str:
    """The limit that a program's end says was reached: `code` is its exit code, or minus the signal."""
    number = -code if code < 0 else code - SHELL
    return _BY_SIGNAL.get(number, "") if number > 0 else ""  # type: ignore[call-overload]


def named_in(said: str) -> str:
    """The limit that an error's words tell of; empty where they tell of none."""
    return next((name for name, words in _BY_WORDS if words.search(said)), "")


def hint_for(limit: str) -> str:
    """What to do about a limit."""
    return _HINTS.get(limit, "")


def as_said(error: BodyError, lines: Iterable[str]) -> BodyError:
    """A program's failure by its own code alone, with the limit that its last lines tell of. Of what
    it printed nothing else gets into the message: it may be data."""
    if error.code != "command_failed" or error.kind is not ErrorKind.DETERMINISTIC:
        return error
    said = [*lines][-LINES_LOOKED_AT:]
    limit = next((name for line in reversed(said) if (name := named_in(line))), "")
    if not limit:
        return error
    return msgspec.structs.replace(
        error,
        kind=ErrorKind.RESOURCES,
        message=f"{error.message}: {limit}, as it says itself",
        hint=hint_for(limit),
        everywhere=False,
        machine=False,
    )
