"""The declaration files of a project: their kinds and places, and their text.

`headrace.compiler.project_files` lists and reads them.
"""

from __future__ import annotations

import codecs
import enum
import hashlib
import re
from collections.abc import Iterable

from headrace.model.access import ACCESS_FILE
from headrace.model.errors import Problem, Report
from headrace.model.nodes import Value

# Declaration files and their text.

SETTINGS_FILE = "headrace.toml"


class FileKind(enum.StrEnum):
    """Kind of a declaration file."""

    SETTINGS = "settings"
    OWNERS = "owners"
    ACCESS = "access"
    SOURCE = "source"
    SQL = "sql"
    PYTHON = "python"
    YAML_ASSET = "yaml_asset"
    CONSUMERS = "consumers"
    CONTRACT = "contract"
    CALENDAR = "calendar"
    MACRO = "macro"
    TEST = "test"
    DEFAULTS = "defaults"


DEFAULTS_FILE = "defaults.yaml"
FILE_BYTES_MAX = dict.fromkeys(FileKind, 1 << 20) | {
    FileKind.SQL: 4 << 20,
    FileKind.MACRO: 4 << 20,
    FileKind.PYTHON: 4 << 20,
    FileKind.TEST: 4 << 20,
}

FILES_AT_TOP = {
    SETTINGS_FILE: FileKind.SETTINGS,
    "owners.yaml": FileKind.OWNERS,
    ACCESS_FILE: FileKind.ACCESS,
    "consumers.yaml": FileKind.CONSUMERS,
}
FILES_IN_FOLDERS: dict[str, tuple[tuple[str, FileKind], ...]] = {
    "sources": ((DEFAULTS_FILE, FileKind.DEFAULTS), (".yaml", FileKind.SOURCE)),
    "assets": (
        (DEFAULTS_FILE, FileKind.DEFAULTS),
        (".sql", FileKind.SQL),
        (".py", FileKind.PYTHON),
        (".yaml", FileKind.YAML_ASSET),
    ),
    "contracts": ((".odcs.yaml", FileKind.CONTRACT),),
    "calendars": ((".yaml", FileKind.CALENDAR),),
    "macros": ((".sql", FileKind.MACRO),),
    "tests": ((".yaml", FileKind.TEST),),
}
"""Folder → the names of its files, or their endings, which begin with a dot; the first counts."""
DECLARATION_FOLDERS = tuple(FILES_IN_FOLDERS)
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def file_kind(path: str) -> FileKind | None:
    """Return which kind of declaration file a path of the project is."""
    top, slash, _ = path.partition("/")
    if not slash:
        return FILES_AT_TOP.get(path)
    name = path.rpartition("/")[2]
    for form, kind in FILES_IN_FOLDERS.get(top, ()):
        if name == form or (form.startswith(".") and name.endswith(form)):
            return kind
    return None


def defaults_above(path: str, defaults: Iterable[str]) -> list[str]:
    """Return the `defaults.yaml` among these that count for a file, the nearest last."""
    folders = {name.removesuffix(DEFAULTS_FILE): name for name in defaults}
    above = [folder for folder in folders if path.startswith(folder)]
    return [folders[folder] for folder in sorted(above, key=len)]


class ProjectFile(Value, kw_only=True):
    """A declaration file as found by one scan. `path` is project-relative with `/` separators."""

    path: str
    kind: FileKind
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Scan(Value, kw_only=True):
    """The declaration files of a project, sorted by path, and problems with reading folders."""

    files: tuple[ProjectFile, ...]
    problems: tuple[Problem, ...] = ()


def decode_declaration(kind: FileKind, data: bytes, report: Report) -> str | None:
    """Decode a declaration file's bytes; None, with a reported problem, if they are invalid.

    An empty Python file also gives None, without a problem.
    """
    limit = FILE_BYTES_MAX[kind]
    if len(data) > limit:
        report.error(
            "file_too_large",
            1,
            f"the file is larger than {limit:,} bytes (`file_bytes_max` of {kind} files)",
            "declarations are small; data belongs in files that sources read",
        )
        return None
    if kind is FileKind.PYTHON and not data.strip():
        return None  # a package's `__init__.py` is usually empty, and declares nothing
    return decode_text(data, report)


def decode_text(data: bytes, report: Report) -> str | None:
    """Decode UTF-8 text without control characters; None, with a reported problem, if invalid."""
    for mark, name in _WIDE_MARKS.items():
        if data.startswith(mark):
            report.error("not_utf8", 1, f"the file is encoded as {name}", "save it as UTF-8")
            return None
    if data.startswith(codecs.BOM_UTF8):
        data = data[3:]
        report.warning(
            "byte_order_mark",
            1,
            "the file begins with a byte order mark",
            "save it as UTF-8 without BOM",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        _report_encoding(data, error, report)
        return None
    wrong = _FORBIDDEN.search(text)
    if wrong is not None:
        line = text.count("\n", 0, wrong.start()) + 1
        report.error(
            "not_text",
            line,
            f"the file holds a control character (U+{ord(wrong.group()):04X})",
            "is it a binary file? write plain text",
        )
        return None
    if not text.strip():
        report.error(
            "file_empty", 1, "the file is empty", "write what it should declare, or delete it"
        )
        return None
    return text


def _report_encoding(data: bytes, error: UnicodeDecodeError, report: Report) -> None:
    line = data.count(b"\n", 0, error.start) + 1
    if b"\0" in data[:4096]:
        report.error("not_text", line, "the file is binary", "write plain text, as UTF-8")
        return
    message = f"a byte here isn't UTF-8 (0x{data[error.start]:02X})"
    report.error(
        "not_utf8", line, message, "save the file as UTF-8 (it may be Latin-1 or Windows-1252)"
    )


class Content(Value):
    """The content of a file when it was read. `sha256` is the hash of `data` in hexadecimal."""

    data: bytes
    sha256: str


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 hash in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
