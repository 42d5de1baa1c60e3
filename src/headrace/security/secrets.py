"""Secrets: references become values at the last moment, and no stored text holds one.

A reference is `secret://env/NAME`, `secret://file/PATH`, `secret://keyring/SERVICE/NAME`, or `${NAME}` inside a text.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from headrace.model.errors import HeadraceError

# Redaction: no text that Headrace stores holds the value of a declared secret, in any form in
# which programs write values.
#
# `Redactor.text` is for complete texts (errors, reasons, log lines), `Redactor.stream` for bytes
# that arrive in chunks: a secret may lie across the border of two of them.

HIDDEN = "***"
PLAIN_CHARACTERS_MIN = 4
"""Shorter values are replaced only where they stand alone: a password `a` must not take every `a` out of a message."""
PROMISED_CHARACTERS_MIN = 6
"""From this length on, redaction is promised (docs/how-to/secrets.md); `validate` warns of shorter values."""
_CUT = re.compile(r"…|\.\.\.")
"""Where a text was shortened, it may end in the middle of a secret."""


class Redactor:
    """Replaces the given values, in each of their forms, by `***`. Immutable; one may be used by several threads."""

    def __init__(self, values: Iterable[str]) -> None:
        values = {value for value in values if value}
        long = {form for value in values if len(value) >= PLAIN_CHARACTERS_MIN for form in written_forms(value)}
        short = {value for value in values if len(value) < PLAIN_CHARACTERS_MIN}
        # The longest form first, so that no part of a longer secret is left.
        self._forms = sorted(long, key=len, reverse=True)
        parts = [re.escape(form) for form in self._forms]
        parts += [rf"(?<!\w){re.escape(value)}(?!\w)" for value in sorted(short, key=len, reverse=True)]
        self._pattern = re.compile("|".join(parts)) if parts else None
        encoded = sorted((form.encode("utf-8", "surrogateescape") for form in long), key=len, reverse=True)
        self._bytes = re.compile(b"|".join(map(re.escape, encoded))) if encoded else None
        self._encoded = encoded

    @property
    def hides(self) -> bool:
        """Whether there is any secret to take out."""
        return self._pattern is not None

    def text(self, text: str) -> str:
        """The text without any form of a secret, and without the beginning of one where the text was cut (`…`)."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(HIDDEN, text)
        if _CUT.search(text) is None:
            return text
        return self._without_beginnings(text)

    def stream(self) -> RedactedStream:
        """A redactor of one stream of bytes."""
        return RedactedStream(self._bytes, self._encoded)

    def without_end_of_one(self, data: bytes) -> bytes:
        """`data` without the end of a secret with which it begins: what a dead process had withheld of it is gone."""
        if any(data.startswith(form) for form in self._encoded):
            return data
        longest = max((_overlap(form, data) for form in self._encoded), default=0)
        return HIDDEN.encode() + data[longest:] if longest > 1 else data

    def _without_beginnings(self, text: str) -> str:
        pieces, at = [], 0
        for cut in _CUT.finditer(text):
            piece = text[at : cut.start()]
            begun = max((_beginning(form, piece) for form in self._forms), default=0)
            pieces += [piece[: len(piece) - begun] + HIDDEN if begun else piece, cut[0]]
            at = cut.end()
        return "".join([*pieces, text[at:]])


class RedactedStream:
    """One stream of bytes. What could be the beginning of a secret is withheld until more has come, or `rest` is asked for."""

    def __init__(self, pattern: re.Pattern[bytes] | None, encoded: list[bytes]) -> None:
        self._pattern, self._encoded = pattern, encoded
        self._length_max = max(map(len, encoded), default=0)
        self._withheld = b""

    def feed(self, data: bytes) -> bytes:
        """What can be said of the stream now, redacted."""
        if self._pattern is None:
            return data
        data, self._withheld = self._withheld + data, b""
        undecided = self._undecided(data)
        pieces, at = [], 0
        for match in self._pattern.finditer(data):
            if match.start() >= undecided:
                break
            pieces += [data[at : match.start()], HIDDEN.encode()]
            at = match.end()
        self._withheld = data[max(at, undecided) :]
        return b"".join([*pieces, data[at : max(at, undecided)]])

    def rest(self) -> bytes:
        """What was withheld: the stream has ended, so that it is no secret unless a shorter one is in it."""
        data, self._withheld = self._withheld, b""
        return data if self._pattern is None else self._pattern.sub(HIDDEN.encode(), data)

    def _undecided(self, data: bytes) -> int:
        """Where the first beginning of a secret lies that the end of the data cuts off."""
        first = len(data)
        for form in self._encoded:
            at = max(0, len(data) - len(form) + 1)
            while (at := data.find(form[:1], at, first)) >= 0:
                if form.startswith(data[at:]):
                    first = at
                    break
                at += 1
        return first


def written_forms(value: str) -> Iterator[str]:
    """How a secret may be written: as it is, line by line, in a URL, in JSON, HTML, a Python literal, SQL, and in base64 at any offset."""
    yield value
    yield from (line for line in value.splitlines() if len(line.strip()) >= PLAIN_CHARACTERS_MIN)
    raw = value.encode("utf-8", "surrogateescape")
    for encoded in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
    for escaped in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield escaped
        yield escaped.replace("/", "\\/")
    yield html.escape(value)
    yield repr(value)[1:-1]
    yield value.replace("'", "''")
    yield from _in_base64(raw)


def _in_base64(value: bytes) -> Iterator[str]:
    """What base64 makes of the value wherever it begins: `user:value` of basic authentication holds one of these."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + value).decode()
        first = (0, 2, 3)[offset]
        last = len(encoded) - (0, 3, 2)[(offset + len(value)) % 3]
        inner = encoded[first:last]
        if len(inner) >= PLAIN_CHARACTERS_MIN:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


def _beginning(form: str, text: str) -> int:
    """How many characters at the end of the text are a beginning of the form, if they are enough to tell something of it."""
    sizes = range(min(len(form) - 1, len(text)), PLAIN_CHARACTERS_MIN - 1, -1)
    return next((size for size in sizes if text.endswith(form[:size])), 0)


def _overlap(form: bytes, data: bytes) -> int:
    """How many bytes at the beginning of the data are an end of the form."""
    sizes = range(min(len(form) - 1, len(data)), 0, -1)
    return next((size for size in sizes if data.startswith(form[-size:])), 0)


# Resolving references. No text that leaves a worker holds a secret.

FILE_BYTES_MAX = 64 * 1024
"""A file with a secret is short; a longer one is refused, and not read to its end."""
_REFERENCE = re.compile(r"secret://(env|file|keyring)/(\S+)")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class SecretMissing(HeadraceError):
    """A reference to a secret that isn't there, or can't be read."""


class Secrets:
    """Resolves references, and remembers each value, so that `scrubbed` can take it out of texts. One a worker.

    `root` is the project's folder, which paths of `secret://file/` are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._values: set[str] = set()
        self._redactor = Redactor(())

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)} resolved)"

    def resolved(self, value: Any) -> Any:
        """`value` with every reference in it (in nested mappings and lists too) replaced by what it refers to. Raises SecretMissing."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {name: self.resolved(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.resolved(inner) for inner in value]
        return value

    def hide(self, value: str) -> None:
        """From now on `scrubbed` takes this value out, too: a password that came inside a resolved URL, say."""
        if value and value not in self._values:
            self._values.add(value)
            self._redactor = Redactor(self._values)

    def hide_all(self, references: Iterable[str]) -> None:
        """As `hide`, for the values of the references that can be resolved now; the others have no value that could be told."""
        for reference in references:
            with contextlib.suppress(SecretMissing):
                self.resolved(reference)

    @property
    def redactor(self) -> Redactor | None:
        """What takes the values out of texts and streams; None while there are none."""
        return self._redactor if self._values else None

    def scrubbed(self, text: str) -> str:
        """`text` without any secret that was resolved, as it is or as URLs, basic authentication and JSON write it."""
        return self._redactor.text(text)

    def _text(self, text: str) -> str:
        whole = _REFERENCE.fullmatch(text.strip())
        if whole:
            return self._remembered(self._lookup(whole[1], whole[2]))
        if text.lstrip().startswith("secret://"):
            raise SecretMissing(
                "a reference to a secret can't be read", hint="write secret://env/NAME, secret://file/PATH or secret://keyring/SERVICE/NAME"
            )
        return _VARIABLE.sub(lambda match: self._remembered(_of_environment(match[1])), text)

    def _lookup(self, kind: str, name: str) -> str:
        if kind == "env":
            return _of_environment(name)
        return _of_file(self.root, name) if kind == "file" else _of_keyring(name)

    def _remembered(self, value: str) -> str:
        self.hide(value)
        return value


def references_in(value: object) -> Iterator[str]:
    """The references in a declared value, nested mappings and lists included, each in the form that `Secrets.resolved` takes."""
    if isinstance(value, str):
        if _REFERENCE.fullmatch(value.strip()):
            yield value.strip()
        else:
            yield from (match[0] for match in _VARIABLE.finditer(value))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from references_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from references_in(inner)


def _of_environment(name: str) -> str:
    if name not in os.environ:
        raise SecretMissing(f"the environment variable {name} isn't set", hint=f"set {name} where headrace runs")
    return os.environ[name]


def _of_file(root: Path, name: str) -> str:
    """The text of a file, without the line end that editors put at its end. `//` begins an absolute path: `secret://file//run/x`."""
    path = root / name
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        hint = "a path relative to the project; secret://file//run/secrets/x is an absolute one"
        raise SecretMissing(f"the secret's file {name} can't be read: {error.strerror}", hint=hint) from None
    if len(content) > FILE_BYTES_MAX:
        raise SecretMissing(
            f"the secret's file {name} is longer than {FILE_BYTES_MAX:,} bytes", hint="name a file that holds only the secret"
        )
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise SecretMissing(f"the secret's file {name} isn't UTF-8 text", hint="keep binary keys beside it, and name their path") from None
    return text.removesuffix("\n").removesuffix("\r")


def _of_keyring(name: str) -> str:
    service, slash, user = name.rpartition("/")
    if not slash:
        raise SecretMissing(f"secret://keyring/{name} names no service", hint="write secret://keyring/SERVICE/NAME")
    try:
        import keyring
    except ImportError:
        raise SecretMissing("secret://keyring/… needs the package keyring", hint="pip install 'headrace[keyring]'") from None
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise SecretMissing(f"the keyring can't be asked: {error}", hint="it must be unlocked for the user whom headrace runs as") from None
    if value is None:
        raise SecretMissing(f"the keyring has no {user} of {service}", hint=f"keyring set {service} {user}")
    return value
