"""Exceptions of asset code as errors: kind (SEMANTICS §6), line in the user's file, hint."""

from __future__ import annotations

import errno
import os
import re

from headrace.engine.attempts import BodyError, ErrorKind, Measures, reached_by

MESSAGE_CHARACTERS_MAX = 2_000
CAUSES_MAX = 10

_EXCERPT = re.compile(r"\n+LINE (\d+):", re.ASCII)
_ADVICE = re.compile(r"\n+(?:Possible (?:fixes|solutions):|You can adjust this setting)")
"""DuckDB's advice is about functions and settings that a body doesn't have in its hands."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
"""A disk that is full, read-only or broken: neither the code's fault nor the data's."""
_AWAY = (errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENOTCONN)
"""A server that is gone: a disk's where a file was asked for, else any."""


def _said(numbers: tuple[int, ...]) -> re.Pattern[str]:
    """What the system says of errors, and what DuckDB and our own errors repeat."""
    return re.compile("|".join(re.escape(os.strerror(number)) for number in numbers))


_DENIED = (errno.EACCES, errno.EPERM)
_DISK_SAID, _AWAY_SAID, _DENIED_SAID = _said(_DISK), _said(_AWAY), _said(_DENIED)
_LIMITS_SAID = _said((errno.EFBIG, errno.EMFILE, errno.ENFILE))
_OURS = ("duckdb", "_duckdb", "headrace")
_DUCKDB_KINDS = {
    "OutOfMemoryException": ErrorKind.RESOURCES,
    "HTTPException": ErrorKind.TRANSIENT,
    "ConnectionException": ErrorKind.TRANSIENT,
    "TransactionException": ErrorKind.TRANSIENT,
    "InterruptException": ErrorKind.CANCELLED,
}
_DUCKDB_HINTS = {
    "PermissionException": "a body reads its inputs and nothing else: no files, no network, no settings, no extensions",
    "OutOfMemoryException": "make the partitions smaller, or give the worker more memory",
}


class BodyFailed(Exception):
    """A body didn't give what it should; `error` says what, where and why, `measures` what it cost until then."""

    def __init__(self, error: BodyError) -> None:
        super().__init__(error.message)
        self.error = error
        self.measures = Measures()


def failed(
    message: str,
    *,
    code: str = "",
    hint: str = "",
    kind: ErrorKind = ErrorKind.DETERMINISTIC,
    file: str | None = None,
    line: int | None = None,
    everywhere: bool = False,
    machine: bool = False,
) -> BodyFailed:
    """A failure to raise; long messages are cut."""
    return BodyFailed(BodyError(kind, shortened(message), file, line, hint, code, everywhere=everywhere, machine=machine))


def shortened(message: str) -> str:
    """At most `MESSAGE_CHARACTERS_MAX` characters of the message."""
    return message if len(message) <= MESSAGE_CHARACTERS_MAX else message[:MESSAGE_CHARACTERS_MAX] + "…"


def kind_of(error: BaseException) -> ErrorKind:
    """The kind of an exception by its class, or by that of what it was explicitly raised from. One that
    was raised while a limit was dealt with is that limit's."""
    if limit_of(error):
        return ErrorKind.RESOURCES
    seen: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if seen is None:
            break
        if (kind := _own_kind(seen)) is not ErrorKind.DETERMINISTIC:
            return kind
        seen = seen.__cause__
    return ErrorKind.DETERMINISTIC


def limit_of(error: BaseException) -> str:
    """The limit of the machine or of a process that an exception began with; empty where it's none."""
    seen: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if seen is None:
            break
        if limit := reached_by(seen):
            return limit
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was used up: that of the process, or what DuckDB may use."""
    return type(error).__name__ == "OutOfMemoryException" or limit_of(error) == "out of memory"


def without_advice(text: str) -> str:
    """DuckDB's message without what it advises, on one line."""
    return " ".join(_ADVICE.split(text, maxsplit=1)[0].split())


def of_duckdb(error: Exception, *, file: str | None = None, first_line: int = 1, lines_before: int = 0) -> BodyFailed:
    """What DuckDB refused, without its excerpt of a statement that the user never wrote whole. `lines_before` are those of
    the statement before the user's text, which begins at `first_line` of `file`."""
    text = str(error)
    excerpt = _EXCERPT.search(text)
    at = int(excerpt[1]) - lines_before if excerpt else 0
    name = type(error).__name__
    return failed(
        _ADVICE.split(text[: excerpt.start()] if excerpt else text, maxsplit=1)[0].strip(),
        kind=kind_of(error),
        hint=_DUCKDB_HINTS.get(name, ""),
        code="body_failed",
        file=file,
        line=first_line + at - 1 if file and at > 0 else None,
    )


def _own_kind(error: BaseException) -> ErrorKind:
    ours = type(error).__module__.partition(".")[0] in _OURS
    if isinstance(error, OSError) and error.errno in _DISK:
        return ErrorKind.ENVIRONMENT
    if isinstance(error, OSError) and error.errno in _AWAY:
        return ErrorKind.TRANSIENT if error.filename is None else ErrorKind.ENVIRONMENT
    text = str(error)[:MESSAGE_CHARACTERS_MAX]
    if ours and (_DISK_SAID.search(text) or _AWAY_SAID.search(text)):
        return ErrorKind.ENVIRONMENT
    if type(error).__name__ == "IOException" and ours and _DENIED_SAID.search(text):
        # SQL names no files: this is one of the lake, which somebody has taken the rights away from.
        return ErrorKind.ENVIRONMENT
    if _DISK_SAID.search(text):
        # Asset code may say so of a disk of its own, which nobody mends: that is tried once more, and no longer.
        return ErrorKind.RESOURCES
    if ours and _LIMITS_SAID.search(str(error)):
        return ErrorKind.RESOURCES
    if isinstance(error, (ConnectionError, TimeoutError)):
        return ErrorKind.TRANSIENT
    if type(error).__module__ in ("duckdb", "_duckdb"):
        return _DUCKDB_KINDS.get(type(error).__name__, ErrorKind.DETERMINISTIC)
    return ErrorKind.DETERMINISTIC
