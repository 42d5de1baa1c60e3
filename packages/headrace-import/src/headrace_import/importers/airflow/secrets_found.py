"""Secrets in plain text: their names and lines, and texts without them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from headrace_import.importers.airflow.origin import Origin, UnreadableFile
from headrace_import.importers.imported import SecretFound

REDACTED = "***"
VALUE_CHARACTERS_MIN = 4
LINE_CHARACTERS_MAX = 20_000
_WORDS = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|(?:api|access|private)[_-]?key)"
_SUFFIX = r"(?:_?\d+|_(?:prod|dev|test|staging|value|base))?"
_NAME = r"(?P<name>[\w.-]{0,60}" + _WORDS + _SUFFIX + ")"
_QUOTED = r"""[rbf]{0,2}(?P<quote>["']) (?P<value>[^"'\n]+) (?P=quote)"""
_ASSIGNED = re.compile(rf"""(?ix) ["']? {_NAME} ["']? \]? \s* (?:=|:) [\s(]* {_QUOTED}""")
_GIVEN = re.compile(
    rf"""(?ix) (?:get|getenv|set|setdefault|env_var)\( \s* ["']{_NAME}["']
    \s*,\s* (?:\w+\s*=\s*)? {_QUOTED}"""
)
_OPTION = re.compile(
    r"(?i)--?(?P<name>[\w-]{0,60}" + _WORDS + r"[\w-]{0,60})[= ](?P<value>[^\s\"'{$]+)"
)
_EXPORTED = re.compile(
    r"(?P<name>\b[A-Z_]*(?:PASSWORD|PASSWD|PWD|SECRET|TOKEN|API_KEY))=(?P<value>[^\s\"'{$]+)"
)
_URI = re.compile(r"(?P<name>[a-z][a-z0-9+.-]{1,30})://[^\s:/@\"'{}]*:(?P<value>[^\s@/\"'{}$]+)@")
_WITHOUT_NAME: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("AWS access key", re.compile(r"(?P<value>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)")),
    (
        "token",
        re.compile(
            r"(?P<value>\b(?:ghp_[A-Za-z0-9]{20,}|xox[abp]-[A-Za-z0-9-]{10,}"
            r"|sk_live_[A-Za-z0-9]{10,}|https://hooks\.slack\.com/services/[A-Za-z0-9/]{20,}))"
        ),
    ),
    (
        "token in an Authorization header",
        re.compile(r"(?i)\b(?:bearer|basic)\s+(?P<value>(?=[^\s\d]*\d)[A-Za-z0-9._~+/=-]{8,})"),
    ),
    ("password of mysql", re.compile(r"\bmysql\b[^\n|;]*\s-p(?P<value>[^\s\"'{$]+)")),
    (
        "password of curl",
        re.compile(r"\bcurl\b[^\n|;]*\s(?:-u|--user)[ =]['\"]?[^\s:'\"]+:(?P<value>[^\s\"'{$]+)"),
    ),
    (
        "password in SQL",
        re.compile(r"(?i)\b(?:password|identified\s+by)\s+'(?P<value>[^'\n]+)'"),
    ),
)
_PLACEHOLDER = re.compile(
    r"(?i:\*+|x+|\.\.\.|none|null|true|false|changeme|<.*>|\{.*\}|.*\{\{.*|.*_conn_id)$"
    r"|\$(?:[\[({].*|[A-Z][A-Z0-9_]*|[a-z_]+)$|/[\w.-]+(?:/[\w.-]+)*$"
)
"""Values that stand for a secret kept elsewhere: templates, variables of a shell, paths."""
_NAMED_SECRET = re.compile(r"(?i)[a-z._-]*[._-](conn|secret|token|key|password|credential)s?$")
"""The name of a secret of Kubernetes or of a vault, where an argument is called `secret`."""
_NAMES_NOT_SECRET = re.compile(
    r"(?i)(_id|_name|_path|_file|_arn|_type|_url|_uri|keyword|bucket_key|secret_manager|tokenizer"
    r"|_version|secrets?_backend)s?$"
)
_COMMON = frozenset(
    ("airflow", "password", "passwd", "secret", "token", "test", "admin", "root", "user", "default",
     "postgres", "postgresql", "mysql", "sqlite", "local", "localhost", "prod", "production",
     "headrace", "public", "guest", "data", "python3", "jobs")
)  # fmt: skip
"""Passwords that are ordinary words: they are removed where they are given, not elsewhere."""
_WORD = re.compile("[a-z]{1,8}")
"""The same of a short word, such as `minio`: names of tasks and files have it, too."""
_QUICK = re.compile(
    r"(?i)pass|pwd|secret|token|key|credential|://|AKIA|ASIA|ghp_|xox|sk_live|bearer|basic"
    r"|identified|mysql|curl"
)
_SCANNED = (".py", ".sql", ".hql", ".bql", ".ddl", ".yaml", ".yml", ".json", ".sh", ".toml", ".cfg")


@dataclass(frozen=True, slots=True)
class _Match:
    name: str
    value: str
    start: int
    end: int


class Secrets:
    """Secrets of the project's files: Python, and what Python reads (SQL, YAML, JSON, …)."""

    def __init__(self, origin: Origin) -> None:
        self.found: list[SecretFound] = []
        self._values: set[str] = set()
        for path in origin.paths:
            if not path.endswith(_SCANNED):
                continue
            try:
                text = origin.data(path).decode("utf-8", errors="replace")
            except UnreadableFile:
                continue
            self._scan(path, text)
        ordered = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def _scan(self, path: str, text: str) -> None:
        if not _QUICK.search(text):
            return
        for match in _matches(text):
            line = text.count("\n", 0, match.start) + 1
            self.found.append(SecretFound(path, line, match.name))
            if match.value.lower() not in _COMMON and not _WORD.fullmatch(match.value):
                self._values.add(match.value)

    def redacted(self, text: str) -> str:
        """Return a text without the values of secrets."""
        for match in reversed(_matches(text)):
            text = text[: match.start] + REDACTED + text[match.end :]
        return self._pattern.sub(REDACTED, text) if self._pattern is not None else text


def _matches(text: str) -> list[_Match]:
    """The secrets of a text in their order, at most one at each place."""
    results: dict[int, _Match] = {}
    for name, match in _candidates(_without_long_lines(text)):
        value = match.group("value")
        if len(value) >= VALUE_CHARACTERS_MIN:
            start, end = match.span("value")
            results.setdefault(start, _Match(name, value, start, end))
    return [results[start] for start in sorted(results)]


def _candidates(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    if not _QUICK.search(text):
        return
    for match in _URI.finditer(text):
        yield f"password in a {match.group('name')} URI", match
    yield from _unnamed(text)
    for pattern in (_ASSIGNED, _GIVEN, _OPTION, _EXPORTED):
        for match in pattern.finditer(text):
            if _is_secret(match.group("name"), match.group("value")):
                yield match.group("name"), match


def _unnamed(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Secrets that are known by their form or by the command that they are given to."""
    for name, pattern in _WITHOUT_NAME:
        for match in pattern.finditer(text):
            if not _PLACEHOLDER.match(match.group("value")):
                yield name, match


def _without_long_lines(text: str) -> str:
    """The text with lines that are too long to be searched blanked out, at the same offsets."""
    if len(text) <= LINE_CHARACTERS_MAX:
        return text
    return "".join(
        line if len(line) <= LINE_CHARACTERS_MAX else " " * (len(line) - 1) + "\n"
        for line in text.splitlines(keepends=True)
    )


def _is_secret(name: str, value: str) -> bool:
    """Whether a value of this name is a secret itself, not a word that stands for one."""
    if _NAMES_NOT_SECRET.search(name) or _PLACEHOLDER.match(value):
        return False
    if name.lower() == "secret" and _NAMED_SECRET.match(value):
        return False
    return " " not in value or name.isupper()
