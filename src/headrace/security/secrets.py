"""Secrets: references are resolved as late as possible, and no stored text contains a value.

A reference is `secret://env/NAME`, `secret://file/PATH`, `secret://keyring/SERVICE/NAME`, or
`${NAME}` inside a text. Packages add other kinds, such as `secret://vault/…`.
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
from headrace.model.plugins import SECRETS, function_named

# Redaction: no text that Headrace stores has the value of a declared secret, in any form in which
# programs write values.
#
# `Redactor.text` is for complete texts (errors, reasons, log lines), `Redactor.stream` for bytes
# that arrive in chunks, where a secret may span two of them.

HIDDEN = "***"
PLAIN_CHARACTERS_MIN = 4
"""Shorter values are replaced only as whole words: a password `a` must not remove every `a`."""
PROMISED_CHARACTERS_MIN = 6
"""The length from which on redaction is promised (docs/how-to/secrets.md).

`validate` warns of shorter values.
"""
_OPEN_KEY = re.compile(
    r"(?i)(?:.*[_-])?(?:type|name|user|email|host|port|db|dbname|database|schema|region|role"
    r"|account|warehouse|engine|project|domain|ur[il]|endpoint)(?:[_-]?(?:id|name))?"
    r"|username|client_?id"
)
"""Keys of a JSON secret whose values say where it is used: their words are in names and messages.
"""
_CUT = re.compile(r"…|\.\.\.")
"""A mark where a text was shortened, possibly in the middle of a secret."""


class Redactor:
    """Replaces the given values in all their written forms by `***`. Immutable and thread-safe."""

    def __init__(self, values: Iterable[str]) -> None:
        values = set(_with_parts(values))
        long = {
            form
            for value in values
            if len(value) >= PLAIN_CHARACTERS_MIN
            for form in written_forms(value)
        }
        short = {value for value in values if len(value) < PLAIN_CHARACTERS_MIN}
        # The longest form comes first, so that no part of a longer secret remains.
        self._forms = sorted(long, key=len, reverse=True)
        parts = [re.escape(form) for form in self._forms]
        parts += [
            rf"(?<!\w){re.escape(value)}(?!\w)" for value in sorted(short, key=len, reverse=True)
        ]
        self._pattern = re.compile("|".join(parts)) if parts else None
        encoded = sorted(
            (form.encode("utf-8", "surrogateescape") for form in long), key=len, reverse=True
        )
        self._bytes = re.compile(b"|".join(map(re.escape, encoded))) if encoded else None
        self._encoded = encoded

    @property
    def hides(self) -> bool:
        """Return whether there is any secret to redact."""
        return self._pattern is not None

    def text(self, text: str) -> str:
        """Return the text without secrets, and without the start of one before a cut (`…`)."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(HIDDEN, text)
        if _CUT.search(text) is None:
            return text
        return self._without_beginnings(text)

    def stream(self) -> RedactedStream:
        """Return a redactor of one stream of bytes."""
        return RedactedStream(self._bytes, self._encoded)

    def without_end_of_secret(self, data: bytes) -> bytes:
        """Return `data` without the end of a secret at its start.

        The beginning of that secret was lost with the process that withheld it.
        """
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
    """Redacts one stream of bytes.

    It withholds a possible beginning of a secret until more bytes arrive or `rest` is called.
    """

    def __init__(self, pattern: re.Pattern[bytes] | None, encoded: list[bytes]) -> None:
        self._pattern, self._encoded = pattern, encoded
        self._withheld = b""

    def feed(self, data: bytes) -> bytes:
        """Return the redacted part of the stream that can be decided now."""
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
        """Return the withheld bytes at the end of the stream, redacted for shorter secrets."""
        data, self._withheld = self._withheld, b""
        return data if self._pattern is None else self._pattern.sub(HIDDEN.encode(), data)

    def _undecided(self, data: bytes) -> int:
        """Return the offset of the first possible secret that the end of the data cuts off."""
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
    """Return all forms in which a secret may be written.

    These are plain, line by line, in a URL, in JSON, HTML, a Python literal, SQL, and in base64 at
    any offset.
    """
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


def _with_parts(values: Iterable[str]) -> Iterator[str]:
    for value in filter(None, values):
        yield value
        yield from _values_in_json(value)


def _values_in_json(text: str) -> Iterator[str]:
    """Yield the values inside a secret that is JSON, such as the key of a service account."""
    if not text.lstrip().startswith(("{", "[")):
        return
    try:
        pending = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            pending += [value for key, value in node.items() if not _OPEN_KEY.fullmatch(key)]
        elif isinstance(node, list):
            pending += node
        elif isinstance(node, str) and len(node) >= PROMISED_CHARACTERS_MIN:
            yield node


def _in_base64(value: bytes) -> Iterator[str]:
    """Return the value in base64 at each offset; basic authentication encodes `user:value`."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + value).decode()
        first = (0, 2, 3)[offset]
        last = len(encoded) - (0, 3, 2)[(offset + len(value)) % 3]
        inner = encoded[first:last]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


def _beginning(form: str, text: str) -> int:
    """Return how many characters at the end of the text begin the form.

    0 if there are fewer than `PLAIN_CHARACTERS_MIN`.
    """
    sizes = range(min(len(form) - 1, len(text)), PLAIN_CHARACTERS_MIN - 1, -1)
    return next((size for size in sizes if text.endswith(form[:size])), 0)


def _overlap(form: bytes, data: bytes) -> int:
    """Return how many bytes at the start of the data are the end of the form."""
    sizes = range(min(len(form) - 1, len(data)), 0, -1)
    return next((size for size in sizes if data.startswith(form[-size:])), 0)


# Resolving references. No text that leaves a worker has a secret.

FILE_BYTES_MAX = 64 * 1024
"""The maximum size of a file with a secret; a larger file is refused and not read to its end."""
_REFERENCE = re.compile(r"secret://([a-z]{1,20})/(\S+)", re.ASCII)
ON_THIS_MACHINE = ("secret://env/", "secret://file/", "secret://keyring/", "${")
"""Beginnings of references whose values nobody else is asked for."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class SecretMissing(HeadraceError):
    """A referenced secret is missing or can't be read."""

    code = "configuration_error"
    transient = False


class SecretUnreachable(SecretMissing):
    """The manager of a secret can't be reached now, and perhaps later."""

    code = "source_unavailable"
    transient = True


class Secrets:
    """Resolves references and remembers the values, so that `scrubbed` can remove them from texts.

    Each worker has one. `root` is the project's folder; paths of `secret://file/` are relative to
    it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._values: set[str] = set()
        self._redactor = Redactor(())

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)} resolved)"

    def resolved(self, value: Any) -> Any:
        """Return `value` with all references replaced, also in nested mappings and lists.

        Raises SecretMissing.
        """
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {name: self.resolved(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.resolved(inner) for inner in value]
        return value

    def hide(self, value: str) -> None:
        """Let `scrubbed` remove this value too, such as a password inside a resolved URL."""
        if value and value not in self._values:
            self._values.add(value)
            self._redactor = Redactor(self._values)

    def hide_all(self, references: Iterable[str]) -> None:
        """Hide the values of all references that can be resolved now; others can't leak."""
        for reference in references:
            with contextlib.suppress(SecretMissing):
                self.resolved(reference)

    @property
    def redactor(self) -> Redactor | None:
        """Return the redactor of texts and streams, or None while no secret was resolved."""
        return self._redactor if self._values else None

    def scrubbed(self, text: str) -> str:
        """Return `text` without any resolved secret, in any of its written forms."""
        return self._redactor.text(text)

    def _text(self, text: str) -> str:
        whole = _REFERENCE.fullmatch(text.strip())
        if whole:
            return self._remembered(self._lookup(whole[1], whole[2]))
        if text.lstrip().startswith("secret://"):
            raise SecretMissing(
                "a reference to a secret can't be read",
                hint="write secret://env/NAME, secret://file/PATH or secret://keyring/SERVICE/NAME",
            )
        return _VARIABLE.sub(lambda match: self._remembered(_of_environment(match[1])), text)

    def _lookup(self, kind: str, name: str) -> str:
        if kind == "env":
            return _of_environment(name)
        if kind in ("file", "keyring"):
            return _of_file(self.root, name) if kind == "file" else _of_keyring(name)
        return _of_package(kind, name)

    def _remembered(self, value: str) -> str:
        self.hide(value)
        return value


def references_in(value: object) -> Iterator[str]:
    """Return the references in a declared value, also in nested mappings and lists.

    `Secrets.resolved` accepts each of them.
    """
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


def _of_package(kind: str, name: str) -> str:
    """Return a secret by the function that an installed package has for its kind."""
    try:
        return str(function_named(SECRETS, kind)(name))
    except SecretMissing:
        raise
    except HeadraceError as error:  # no such package, or one that can't be imported
        raise SecretMissing(f"secret://{kind}/{name}: {error}", hint=error.hint) from None
    except Exception as error:  # noqa: BLE001 a package's, whose words may hold the secret
        raise SecretMissing(
            f"secret://{kind}/{name}: the package of this kind of secret failed:"
            f" {type(error).__name__}",
            hint="headrace doctor",
        ) from None


def _of_environment(name: str) -> str:
    if name not in os.environ:
        raise SecretMissing(
            f"the environment variable {name} isn't set", hint=f"set {name} where headrace runs"
        )
    return os.environ[name]


def _of_file(root: Path, name: str) -> str:
    """Return the text of a file without its last line end.

    `//` begins an absolute path: `secret://file//run/x`.
    """
    path = root / name
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        hint = "a path relative to the project; secret://file//run/secrets/x is an absolute one"
        raise SecretMissing(
            f"the secret's file {name} can't be read: {error.strerror}", hint=hint
        ) from None
    if len(content) > FILE_BYTES_MAX:
        raise SecretMissing(
            f"the secret's file {name} is longer than {FILE_BYTES_MAX:,} bytes",
            hint="name a file that holds only the secret",
        )
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise SecretMissing(
            f"the secret's file {name} isn't UTF-8 text",
            hint="keep binary keys beside it, and name their path",
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def _of_keyring(name: str) -> str:
    service, slash, user = name.rpartition("/")
    if not slash:
        raise SecretMissing(
            f"secret://keyring/{name} names no service", hint="write secret://keyring/SERVICE/NAME"
        )
    try:
        import keyring
    except ImportError:
        raise SecretMissing(
            "secret://keyring/… needs the package keyring", hint="pip install 'headrace[keyring]'"
        ) from None
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise SecretMissing(
            f"the keyring can't be read: {error}",
            hint="it must be unlocked for the user whom headrace runs as",
        ) from None
    if value is None:
        raise SecretMissing(
            f"the keyring has no {user} of {service}", hint=f"keyring set {service} {user}"
        )
    return value
