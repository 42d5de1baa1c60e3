"""Secrets in plain text: their names and lines, and texts without them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headrace.importers.airflow.origin import Origin, UnreadableFile
from headrace.importers.imported import SecretFound

REDACTED = "***"
VALUE_CHARACTERS_MIN = 4
_WORDS = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|(?:api|access|private)[_-]?key)"
_ASSIGNED = re.compile(
    r"""(?ix)
    ["']? (?P<name>[\w.-]*""" + _WORDS + r"""(?:_?\d+|_(?:prod|dev|test|staging))?) ["']?
    \s*(?:=|:)\s*[rbf]{0,2}(?P<quote>["']) (?P<value>[^"'\n]+) (?P=quote)""",
)  # fmt: skip
_OPTION = re.compile(r"(?i)--?(?P<name>[\w-]*" + _WORDS + r"[\w-]*)[= ](?P<value>[^\s\"'{$]+)")
_EXPORTED = re.compile(
    r"(?P<name>\b[A-Z_]*(?:PASSWORD|SECRET|TOKEN|API_KEY))=(?P<value>[^\s\"'{$]+)"
)
_URI = re.compile(r"(?P<name>[a-z][a-z0-9+.-]{1,30})://[^\s:/@\"'{}]*:(?P<value>[^\s@/\"'{}$]+)@")
_AWS = re.compile(r"(?P<value>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)")
_KNOWN = re.compile(
    r"(?P<value>\b(?:ghp_[A-Za-z0-9]{20,}|xox[abp]-[A-Za-z0-9-]{10,}|sk_live_[A-Za-z0-9]{10,}"
    r"|https://hooks\.slack\.com/services/[A-Za-z0-9/]{20,}))"
)
_NO_SECRET = re.compile(
    r"(?i)^(\*+|x+|\.\.\.|none|null|true|false|changeme|<.*>|\{.*\}|\$.*|.*\{\{.*|.*_conn_id|"
    r"[a-z0-9._-]*(conn|secret|token|key|password)s?[-_]?(id|name|path|arn|key|file|secret)?s?)$"
)
_NAMES_NOT_SECRET = re.compile(
    r"(?i)(_id|_name|_path|_file|_arn|_type|_url|_uri|keyword|bucket_key|secret_manager|tokenizer"
    r"|_version|secrets?_backend)s?$"
)


class Secrets:
    """Secrets of the project's Python files."""

    def __init__(self, origin: Origin, paths: Iterable[str]) -> None:
        self.found: list[SecretFound] = []
        self._values: set[str] = set()
        for path in paths:
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
        for number, line in enumerate(text.splitlines(), start=1):
            if len(line) <= LINE_CHARACTERS_MAX and _QUICK.search(line):
                for name, value in secrets_of(line):
                    self.found.append(SecretFound(path, number, name))
                    self._values.add(value)

    def redacted(self, text: str) -> str:
        """Return a text without the values of secrets."""
        return self._pattern.sub(REDACTED, text) if self._pattern is not None else text


LINE_CHARACTERS_MAX = 20_000
_QUICK = re.compile(r"(?i)pass|pwd|secret|token|key|credential|://|AKIA|ASIA|ghp_|xox|sk_live")


def secrets_of(line: str) -> list[tuple[str, str]]:
    """Return the secrets of one line of code as names and values."""
    results: dict[str, str] = {}
    for match in _URI.finditer(line):
        results.setdefault(match.group("value"), f"password in a {match.group('name')} URI")
    for name, pattern in (("AWS access key", _AWS), ("token", _KNOWN)):
        for match in pattern.finditer(line):
            results.setdefault(match.group("value"), name)
    for pattern in (_ASSIGNED, _OPTION, _EXPORTED):
        for match in pattern.finditer(line):
            if _is_secret(match.group("name"), match.group("value")):
                results.setdefault(match.group("value"), match.group("name"))
    return [(name, value) for value, name in results.items() if len(value) >= VALUE_CHARACTERS_MIN]


def _is_secret(name: str, value: str) -> bool:
    return (
        not _NAMES_NOT_SECRET.search(name)
        and not _NO_SECRET.match(value)
        and "/" not in value[:1]
        and " " not in value
    )
