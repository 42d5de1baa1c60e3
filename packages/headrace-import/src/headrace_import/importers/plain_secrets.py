"""Secrets in plain text: where they are, and texts without their values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from headrace_import.importers.imported import SecretFound

REDACTED = "***"
VALUE_CHARACTERS_MIN = 4
LINE_CHARACTERS_MAX = 20_000
_WORDS = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|authorization"
    r"|(?:api|access|private|account|auth|shared|encryption)[_-]?key)"
)
_NAME = rf"(?P<name>[\w.-]*{_WORDS}(?:_?\d+|_(?:prod|dev|test|staging|base64|value))?)"
_QUOTED = re.compile(
    rf"""(?i){_NAME}\\?["']{{0,2}}\s*(?:=>|:=|=|:|\s)\s*\\?["']{{1,2}}(?P<value>[^"'\n\\]+)"""
)
_DEFAULT = re.compile(
    rf"""(?i)\b(?:env_var|var)\(\s*["'](?P<name>\w*{_WORDS}\w*)["']\s*,\s*["'](?P<value>[^"'\n]+)"""
)
_PAIR = re.compile(rf"""(?i){_NAME}=(?P<value>[^\s"'{{}}$&;,()<>=\\]+)""")
_YAML = re.compile(
    rf"""(?i)^[\s-]*["']?{_NAME}["']?:\s+(?P<value>[^\s"'{{}}\[\]|>&*!%#]\S*)\s*(?:#|$)"""
)
_FLOW = re.compile(rf"""(?i)[{{,]\s*["']?{_NAME}["']?:\s+(?P<value>[^\s"'{{}}\[\],]+)\s*[,}}]""")
_URI = re.compile(r"(?P<name>[a-z][a-z0-9+.-]{1,30})://[^\s:/@\"'{}]*:(?P<value>[^\s@/\"'{}$]+)@")
_SIGNED = re.compile(r"(?i)[?&](?P<name>sig|signature|code|key)=(?P<value>[^&\s\"'{}$]{8,})")
_HEADER = re.compile(r"\b(?P<name>Bearer|Basic)\s+(?P<value>(?=\S*\d)[A-Za-z0-9._~+/=-]{6,})")
_KNOWN = re.compile(
    r"(?P<value>\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|sk_live_[A-Za-z0-9]{10,}"
    r"|https://hooks\.slack\.com/services/[A-Za-z0-9/]{20,}))"
)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<value>.*?)(?:-----END|\Z)", re.DOTALL)
_PEM_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}")
_NO_SECRET = re.compile(
    r"(?i)\*+|x+|\.+|none|null|true|false|yes|no|changeme|<.*>|.*\{\{.*|\$.*|.*_conn_id"
    r"|[a-z0-9._-]*(secret|token|key|password)s?[-_]?(id|name|path|arn|key|file|secret)?s?"
    r"|(var)?char(\(\d+\))?|text|string|u?int(eger|\d+)?|bigint|boolean|number|numeric|float|double"
    r"|date|timestamp|uuid|json|not_null|unique"
)
_NAMES_NOT_SECRET = re.compile(r"(?i)(?:surrogate|secrets?_backend|keyword)$")


class PlainSecrets:
    """The secrets of an origin. `code` of a file means text in which `a=b` compares columns."""

    def __init__(self) -> None:
        self.found: list[SecretFound] = []
        self._values: set[str] = set()
        self._words: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def scan(self, file: str, text: str) -> None:
        """Find the secrets of a file."""
        known = {(secret.file, secret.line) for secret in self.found}
        for line, name, value in secrets_in(text, code=_is_code(file), yaml=_is_yaml(file)):
            secret = SecretFound(file, line, name)
            if (file, line) not in known and secret not in self.found:
                self.found.append(secret)
            is_word = value.isalpha() and value.islower()
            (self._words if is_word else self._values).add(value)
        self._pattern = None

    def redacted(self, text: str) -> str:
        """Return a text without the values of secrets.

        A value that is a plain word is removed only where it is written as one.
        """
        if self._values:
            text = self._of_values().sub(REDACTED, text)
        if self._words:
            for _, _, value in list(secrets_in(text, code=False, yaml=True)):
                if value in self._words:
                    text = re.sub(rf"(?<=[\"'=:\s]){re.escape(value)}(?!\w)", REDACTED, text)
        return text

    def _of_values(self) -> re.Pattern[str]:
        if self._pattern is None:
            written = {form for value in self._values for form in _forms(value)}
            ordered = sorted(written, key=len, reverse=True)
            values = "|".join(map(re.escape, ordered))
            self._pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{values})(?![A-Za-z0-9])")
        return self._pattern


def _forms(value: str) -> set[str]:
    """Return a value as it is written in JSON, Python and SQL."""
    return {value, json.dumps(value)[1:-1], repr(value)[1:-1], value.replace("'", "''")}


def _is_code(file: str) -> bool:
    return file.endswith((".sql", ".py"))


def _is_yaml(file: str) -> bool:
    return file.endswith((".yml", ".yaml"))


def secrets_in(text: str, *, code: bool, yaml: bool) -> Iterator[tuple[int, str, str]]:
    """Yield line, name and value of each secret in a text.

    In `code`, a pair `name=value` counts only within quotes or a comment; in `yaml`, `name: value`
    is one, too.
    """
    for match in _PEM.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield from ((line, "private key", part) for part in _PEM_LINE.findall(match["value"]))
    for number, line_text in enumerate(text.split("\n"), start=1):
        if len(line_text) > LINE_CHARACTERS_MAX:
            continue
        for name, value in _in_line(line_text, code=code, yaml=yaml):
            if len(value) >= VALUE_CHARACTERS_MIN:
                yield number, name, value


def _in_line(line: str, *, code: bool, yaml: bool) -> Iterator[tuple[str, str]]:
    for match in _URI.finditer(line):
        yield f"password in a {match['name']} URI", match["value"]
    for match in _KNOWN.finditer(line):
        yield "token", match["value"]
    for pattern in (_SIGNED, _HEADER):
        yield from ((match["name"], match["value"]) for match in pattern.finditer(line))
    for pattern in (_QUOTED, _DEFAULT, _PAIR, *((_YAML, _FLOW) if yaml else ())):
        for match in pattern.finditer(line):
            is_compared = code and pattern is _PAIR and not _is_quoted(line[: match.start()])
            if not is_compared and _is_secret(match["name"], match["value"]):
                yield match["name"], match["value"]


def _is_quoted(before: str) -> bool:
    """Return whether a place in a line of code is within quotes or a comment."""
    return before.count("'") % 2 == 1 or before.count('"') % 2 == 1 or "--" in before


def _is_secret(name: str, value: str) -> bool:
    return (
        not _NAMES_NOT_SECRET.search(name)
        and not _NO_SECRET.fullmatch(value)
        and " " not in value
        and "(" not in value
    )
