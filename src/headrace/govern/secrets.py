"""Secrets as they are used: references become values at the last moment, and no text that leaves a worker holds one.

A reference is `secret://env/NAME`, `secret://file/PATH`, `secret://keyring/SERVICE/NAME`, or `${NAME}` inside a text.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.govern.redaction import Redactor
from headrace.model.errors import HeadraceError

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
