"""Secrets in plain text: found by their keys, named, and removed from everything that is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from headrace_import.importers.adf.json_text import JsonObject
from headrace_import.importers.adf.reading import objects_within
from headrace_import.importers.imported import SecretFound

_SECRET_KEYS = re.compile(
    r"[\w-]*(password|passphrase|pwd|accountkey|sastoken|sasuri|serviceprincipalkey|accesstoken|apikey|"
    r"api-key|secretaccesskey|clientsecret|functionkey|privatekeycontent|accesskey|authkey|"
    r"authorization|x-functions-key|ocp-apim-subscription-key|secret|token|refreshtoken)",
    re.IGNORECASE,
)
_IN_CONNECTION = re.compile(
    r"(password|pwd|accountkey|sharedaccesskey|sharedaccesssignature|sig|accesskey)\s*=\s*"
    r"([^;&\"]+)",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"://[^/:@\s]+:([^/@\s]+)@|[?&](?:code|sig|api[_-]?key|token)=([^&\s\"]+)")
_MASKED = re.compile(r"[*x•.]+|<[^>]*>|\{\{.*\}\}|\$\{.*\}", re.IGNORECASE)
_EXPRESSION = re.compile(r"@\{|@\w+\(")
_TEXT_MIN = 4


class Secrets:
    """The secrets of an import: where they are, and the values that must not be copied."""

    def __init__(self) -> None:
        self.found: list[SecretFound] = []
        self._values: set[str] = set()

    def scan(self, file: str, owner: str, value: Any) -> None:
        """Find the secrets within a resource."""
        for holder, key, secret in _secrets(value):
            line = _line_of(holder, key)
            self._values.add(secret)
            entry = SecretFound(file, line, f"{owner}.{key}")
            if entry not in self.found:
                self.found.append(entry)

    def removed_from(self, text: str) -> str:
        """Return a text without the values of secrets."""
        for value in sorted(self._values, key=len, reverse=True):
            for written in {value, json.dumps(value)[1:-1]}:
                text = text.replace(written, "***")
        return text


def _secrets(value: Any) -> Iterator[tuple[JsonObject, str, str]]:
    for node in objects_within(value):
        for key, held in node.items():
            for secret in _held(key, held):
                yield node, key, secret


def _held(key: str, held: Any) -> Iterator[str]:
    kind = str(held.get("type")).lower() if isinstance(held, dict) else ""
    is_secure = kind in ("securestring", "secureobject")
    text = held
    if isinstance(held, dict) and (is_secure or _SECRET_KEYS.fullmatch(key)):
        text = held.get("value", held.get("defaultValue"))
    if isinstance(text, str):
        yield from filter(_is_plain, _within(key, text, is_secure=is_secure))


def _within(key: str, text: str, *, is_secure: bool) -> list[str]:
    if key.lower().endswith("connectionstring") or _IN_CONNECTION.search(text):
        return [match[2].strip() for match in _IN_CONNECTION.finditer(text)]
    if is_secure or _SECRET_KEYS.fullmatch(key) is not None:
        return [text]
    return [match[1] or match[2] for match in _IN_URL.finditer(text)]


def _is_plain(secret: str) -> bool:
    is_long = len(secret) >= _TEXT_MIN
    return is_long and not _MASKED.fullmatch(secret) and not _EXPRESSION.match(secret)


def _line_of(holder: JsonObject, key: str) -> int:
    written = re.search(re.escape(json.dumps(key)) + r"\s*:", holder.text[holder.start :])
    if written is None:
        return holder.line
    return holder.text.count("\n", 0, holder.start + written.start()) + 1
