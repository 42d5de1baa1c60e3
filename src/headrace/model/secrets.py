"""Secrets are references, never values: `secret://env/NAME`, `secret://file/…`, `secret://keyring/…`, or `${NAME}`.

Messages about a literal secret never repeat it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headrace.model.documents import LocatedMapping
from headrace.model.reporting import Report, shown
from headrace.model.services import unknown_service

_REFERENCE = re.compile(r"secret://(env|file|keyring)/\S+")
_SCHEME = "secret://"
_KIND = re.compile(r"secret://([a-z]{1,20})/", re.ASCII)
_KINDS = ("env", "file", "keyring")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_SECRET_WORDS = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "accountkey", "sharedkey", "credential",
    "authorization", "connectionstring", "cookie", "webhook",
)  # fmt: skip
_SECRET_NAMES = frozenset({"pass", "pwd", "key", "sas", "dsn"})
_ABOUT_SECRETS = ("path", "file", "name", "type", "ttl", "uri", "endpoint", "env")
"""Endings of fields that say something about a secret without being one: `private_key_file`, `token_type`."""
_PASSWORD_IN_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://[^/@\s]*:[^@/\s]+@"
    r"|[?&;](password|passwd|pwd|token|api_?key|access_?key|secret|sig|signature)=[^&\s]",
    re.IGNORECASE,
)
_PUBLIC_SCHEMES = ("mailto:", "mailtos:", "smtp:", "smtps:", "file:")
_REFERENCES = "write secret://env/NAME, secret://file/PATH or secret://keyring/SERVICE/NAME as the whole value; inside a text write ${NAME}"
_HINT = 'write "secret://env/NAME", "secret://file/PATH" or "${NAME}", and keep the value out of the project'


def is_reference(value: str) -> bool:
    """Whether a text names a secret instead of being one."""
    return _REFERENCE.fullmatch(value.strip()) is not None or _VARIABLE.search(value) is not None


def is_address(contact: str) -> bool:
    """Whether a contact is a URL or an address, and not the name of a channel."""
    return "://" in contact or contact.startswith(_PUBLIC_SCHEMES)


def is_secret_name(name: str) -> bool:
    """Whether a field of that name holds a secret."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    if word.endswith(_ABOUT_SECRETS) or (word.endswith("url") and "webhook" not in word):
        return False
    return word in _SECRET_NAMES or any(secret in word for secret in _SECRET_WORDS)


def is_password_name(name: str) -> bool:
    """Whether even a number of that name is a secret: a `key` may be one of many things, a `password` can't."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    return is_secret_name(name) and any(part in word for part in ("pass", "pwd", "secret", "token"))


def check_connection(where: str, values: Mapping[str, Any], line_of: Mapping[str, int], line: int, report: Report) -> None:
    """Report literal secrets of one connection (nested tables included). `where` names it in messages."""
    for name, value in values.items():
        at = line_of.get(name, line)
        if isinstance(value, Mapping):
            check_connection(f"{where}.{name}", value, getattr(value, "lines", {}), at, report)
        elif isinstance(value, list):
            for item in value:
                check_connection(where, {name: item}, {name: at}, at, report)
        elif isinstance(value, str):
            _check(f"{where}.{name}", name, value, at, report)
        elif isinstance(value, int | float) and not isinstance(value, bool) and is_password_name(name):
            _refuse(f"{where}.{name}", at, report)


def check_channel(where: str, values: Mapping[str, Any], line_of: Mapping[str, int], line: int, report: Report) -> None:
    """As `check_connection`, for notification channels: who knows their URL can write to them."""
    check_connection(where, values, line_of, line, report)
    url = values.get("url")
    if isinstance(url, str) and not _REFERENCE.fullmatch(url) and (scheme := unknown_service(url)):
        report.error(
            "unknown_service",
            line_of.get("url", line),
            f"{shown(where)}: there is no notification service {shown(scheme)}",
            "write https://… for a webhook, smtp://…, file:…, or a URL that apprise knows: slack://…",
        )
        return
    if isinstance(url, str) and not is_reference(url) and not url.startswith(_PUBLIC_SCHEMES) and not _has_password(url):
        _refuse(f"{where}.url", line_of.get("url", line), report)


def check_headers(http: LocatedMapping, report: Report) -> None:
    """Report literal secrets in `http:` of a source: headers, parameters, and passwords in its URL."""
    check_connection("http", http, http.lines, http.line, report)


def check_url(where: str, url: str, line: int, report: Report) -> None:
    """Report a password or a token in a URL."""
    if _has_password(url):
        _refuse(where, line, report)


def _check(where: str, name: str, value: str, line: int, report: Report) -> None:
    if _SCHEME in value and not _REFERENCE.fullmatch(value.strip()):
        _refuse_reference(where, value, line, report)
    elif value and not is_reference(value) and (_has_password(value) or is_secret_name(name)):
        _refuse(where, line, report)


def _has_password(url: str) -> bool:
    return _PASSWORD_IN_URL.search(url) is not None and not is_reference(url)


def _refuse(where: str, line: int, report: Report) -> None:
    report.error("literal_secret", line, f"{shown(where)} holds a secret itself", _HINT)


def _refuse_reference(where: str, value: str, line: int, report: Report) -> None:
    """Of a reference that can't be resolved only its kind is repeated: the rest may be a secret."""
    kind = _KIND.match(value.strip())
    wrong = kind is not None and kind[1] not in _KINDS
    text = f"there is no kind of secret {kind[1]!r}" if kind is not None and wrong else "a reference to a secret can't be read"
    report.error("literal_secret", line, f"{shown(where)}: {text}", _REFERENCES)
