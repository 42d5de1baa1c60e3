"""Exceptions of asset code as errors: kind (SEMANTICS §6), line in the user's file, hint."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.engine.attempts import BodyError, ErrorKind, Limit, Measures, reached_by
from headrace.model.texts import of_error

MESSAGE_CHARACTERS_MAX = 2_000
CAUSES_MAX = 10
ATTRIBUTABLE = (ErrorKind.DETERMINISTIC, ErrorKind.TRANSIENT)
"""Kinds of errors whose words asset code, or DuckDB about its query, has chosen."""
_ERROR_NAME = re.compile(r"(?P<name>[A-Za-z]{1,40} ?(?:Error|[Ee]xception)): ")

_EXCERPT = re.compile(r"\n+LINE (\d+):", re.ASCII)
_ADVICE = re.compile(r"\n+(?:Possible (?:fixes|solutions):|You can adjust this setting)")
"""DuckDB's advice is about functions and settings that asset code can't use."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
"""A full, read-only or broken disk: a fault of neither the code nor the data."""
_AWAY = (errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENOTCONN)
"""An unreachable server: a network disk if the error names a file, else any server."""


def _pattern_of(numbers: tuple[int, ...]) -> re.Pattern[str]:
    """Return a pattern of the system's messages, which DuckDB and Headrace's errors repeat."""
    return re.compile("|".join(re.escape(os.strerror(number)) for number in numbers))


_DENIED = (errno.EACCES, errno.EPERM)
_DISK_SAID, _AWAY_SAID, _DENIED_SAID = _pattern_of(_DISK), _pattern_of(_AWAY), _pattern_of(_DENIED)
_LIMITS_SAID = _pattern_of((errno.EFBIG, errno.EMFILE, errno.ENFILE))
_OURS = ("duckdb", "_duckdb", "headrace")
_DUCKDB_KINDS = {
    "OutOfMemoryException": ErrorKind.RESOURCES,
    "HTTPException": ErrorKind.TRANSIENT,
    "ConnectionException": ErrorKind.TRANSIENT,
    "TransactionException": ErrorKind.TRANSIENT,
    "InterruptException": ErrorKind.CANCELLED,
}
_DUCKDB_HINTS = {
    "PermissionException": (
        "asset code reads its inputs and nothing else: no files, no network, no settings, no"
        " extensions"
    ),
    "OutOfMemoryException": "make the partitions smaller, or give the worker more memory",
}


class BodyFailed(Exception):
    """The asset code failed.

    `error` holds the message, the place and the kind; `measures` holds the cost up to the failure.
    """

    def __init__(self, error: BodyError) -> None:
        super().__init__(error.message)
        self.error = error
        self.measures = Measures()

    def of_machine(self) -> BodyFailed:
        """Return the same failure, as one that installing software on the machine may repair."""
        return BodyFailed(msgspec.structs.replace(self.error, machine=True))


def failed(
    message: str,
    *,
    code: str = "",
    hint: str = "",
    kind: ErrorKind = ErrorKind.DETERMINISTIC,
    file: str | None = None,
    line: int | None = None,
    everywhere: bool = False,
) -> BodyFailed:
    """Return a failure to raise; a long message is truncated."""
    return BodyFailed(
        BodyError(kind, shortened(message), file, line, hint, code, everywhere=everywhere)
    )


def shortened(message: str) -> str:
    """Return at most `MESSAGE_CHARACTERS_MAX` characters of the message, with `…` if truncated."""
    return (
        message
        if len(message) <= MESSAGE_CHARACTERS_MAX
        else message[:MESSAGE_CHARACTERS_MAX] + "…"
    )


def kind_of(error: BaseException) -> ErrorKind:
    """Return the kind of an exception, by its class or by those of its explicit causes.

    An exception that was raised while a limit was handled has the kind of that limit.
    """
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


def limit_of(error: BaseException) -> Limit | None:
    """Return the limit of the machine or process that caused the exception; None if none did."""
    seen: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if seen is None:
            break
        if limit := reached_by(seen):
            return limit
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out: the process's own or DuckDB's limit."""
    return type(error).__name__ == "OutOfMemoryException" or limit_of(error) is Limit.OUT_OF_MEMORY


def without_advice(text: str) -> str:
    """Return DuckDB's message on one line, without its advice."""
    return " ".join(_ADVICE.split(text, maxsplit=1)[0].split())


UNTYPED_SELF_HINT = (
    "nothing of the asset is published yet, and the types of its columns can't be derived: say the"
    " type where `$self` is read, such as `max(cast(day as date))`"
)


def of_duckdb(
    error: Exception, *, file: str | None = None, first_line: int = 1, lines_before: int = 0
) -> BodyFailed:
    """Return DuckDB's error as a failure, without its excerpt of the generated statement.

    `lines_before` is the number of lines before the user's text in the statement; the text begins
    at `first_line` of `file`.
    """
    text = str(error)
    excerpt = _EXCERPT.search(text)
    at = int(excerpt[1]) - lines_before if excerpt else 0
    name, kind = type(error).__name__, kind_of(error)
    words = _ADVICE.split(text[: excerpt.start()] if excerpt else text, maxsplit=1)[0].strip()
    return failed(
        words if kind is ErrorKind.RESOURCES else of_error(words),
        kind=kind,
        hint=_DUCKDB_HINTS.get(name, ""),
        code="body_failed",
        file=file,
        line=first_line + at - 1 if file and at > 0 else None,
    )


_ALWAYS_STORED = re.compile(
    r"(U?(TINY|SMALL|BIG)?INT|U?INTEGER|BOOLEAN|FLOAT|DOUBLE|DECIMAL|UUID|BLOB)(\([\d,]+\))?"
)
MEMORY_USED_UP = "the memory was used up"


def unstorable(
    error: Exception, columns: Sequence[tuple[str, str]], file: str, line: int
) -> BodyFailed:
    """Return the failure of a value that a function or a program computed, from DuckDB's error.

    `columns` are the names and DuckDB types of the result.
    """
    names = [f"`{name}`" for name, kind in columns if not _ALWAYS_STORED.fullmatch(kind)]
    reason = (
        "a map has a key twice"
        if "Map keys must be unique" in str(error)
        else "it is beyond what the column's type holds, or a text that isn't valid"
    )
    return failed(
        f"a value of {' or '.join(names) or 'a column'} can't be stored: {reason}",
        hint="convert the values before they are returned",
        code="wrong_result",
        file=file,
        line=line,
    )


_CSV_LINE = re.compile(r"CSV Error on Line: (\d+)")
_CSV_FILE = re.compile(r"^ *file = .*?([^/\n]+)$", re.MULTILINE)
_WIDTHS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")


_JSON_FILE = re.compile(
    r'Invalid Input Error: (?:Malformed JSON|JSON \w+ error) in file "([^"]+)"'
    r"(?:, at byte \d+)?,? in line (\d+): (.*)"
)


def unreadable(error: Exception) -> BodyFailed | None:
    """Return the failure of a file that a program wrote, with its line if known; None for others.

    The line of broken JSON is searched for: DuckDB may name a later one.
    """
    text = str(error)
    if broken := _JSON_FILE.match(text):
        path = Path(broken[1])
        with path.open("rb") as file:
            at = next(
                (str(n) for n, line in enumerate(file, 1) if not _is_json(line)),
                f"{broken[2]} or before",
            )
        return failed(
            f"`{path.name}`, line {at}: {broken[3]}",
            code="no_output",
            hint="write values of one kind, or declare the column's type under `columns:`"
            if broken[3].startswith("Expected")
            else "write JSON lines: one object in each line, and each of its keys once",
        )
    line, name = _CSV_LINE.search(text), _CSV_FILE.search(text)
    if name is None or (line is None and "invalid state" not in text):
        return None
    if widths := _WIDTHS.search(text):
        reason = f"{widths[2]} values, but the header names {widths[1]} columns"
    elif "unterminated quote" in text:
        reason = "a quote that is never closed, or text after a closing quote"
    elif "Invalid unicode" in text:
        reason = "not UTF-8"
    else:
        reason = "not CSV by RFC 4180 (quotes or line ends)"
    at = f", line {line[1]}" if line else ""
    return failed(
        f"`{name[1]}`{at}: {reason}",
        code="no_output",
        hint="write CSV by RFC 4180: values with commas, quotes or line ends stand in quotes",
    )


def _is_json(line: bytes) -> bool:
    try:
        return not line.strip() or bool(json.dumps(json.loads(line), ensure_ascii=False).encode())
    except (ValueError, RecursionError):
        return False


def _own_kind(error: BaseException) -> ErrorKind:  # complexipy: ignore (rules, the first applies)
    ours = type(error).__module__.partition(".")[0] in _OURS
    if isinstance(error, OSError) and error.errno in _DISK:
        return ErrorKind.ENVIRONMENT
    if isinstance(error, OSError) and error.errno in _AWAY:
        return ErrorKind.TRANSIENT if error.filename is None else ErrorKind.ENVIRONMENT
    text = str(error)[:MESSAGE_CHARACTERS_MAX]
    if ours and (_DISK_SAID.search(text) or _AWAY_SAID.search(text)):
        return ErrorKind.ENVIRONMENT
    if type(error).__name__ == "IOException" and ours and _DENIED_SAID.search(text):
        # SQL names no files, so this is a file of the lake whose permissions someone changed.
        return ErrorKind.ENVIRONMENT
    if _DISK_SAID.search(text):
        # Asset code may report a disk of its own, which may never be repaired: only one more retry.
        return ErrorKind.RESOURCES
    if ours and _LIMITS_SAID.search(str(error)):
        return ErrorKind.RESOURCES
    if isinstance(error, (ConnectionError, TimeoutError)):
        return ErrorKind.TRANSIENT
    if type(error).__module__ in ("duckdb", "_duckdb"):
        return _DUCKDB_KINDS.get(type(error).__name__, ErrorKind.DETERMINISTIC)
    return ErrorKind.DETERMINISTIC


def without_words(message: str, inputs: Sequence[str]) -> str:
    """Return what is said instead of an error's words, which may quote values of these inputs."""
    named = _ERROR_NAME.match(message)
    return (
        f"{named['name'] if named else 'an error'}: its words are left out, because"
        f" {', '.join(inputs[:3])} has classified columns"
    )
