"""Root keys: from a file, the environment, the keyring, or Vault's HTTP API.

`[keys] root` is a reference to a secret (`secret://…`) with 32 bytes as 64 hexadecimal digits or as
base64, or to such a text in Vault (`vault://…`). `[keys] previous` names the root key before, until
`headrace keys rotate` has run. Without `[keys]`, a key file is created beside the key store.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn, Protocol

from headrace.model.key_fields import is_vault_key
from headrace.security.key_problems import KeyProblem
from headrace.security.private_files import create_private
from headrace.security.secrets import SecretMissing, Secrets

ROOT_BYTES = 32
ROOT_FILE = "root.key"
VAULT_SECONDS = 300.0
"""How long a root key of Vault stays in memory before Vault is asked again."""
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_AES_GCM = 1
"""The algorithm of an encrypted key, its first byte. 12 bytes of nonce follow."""
_NONCE_BYTES = 12


class RootKey(Protocol):
    """Encrypts the keys of domains."""

    @property
    def id(self) -> str:
        """Names the root key without giving it away."""
        ...

    def wrap(self, secret: bytes, about: bytes) -> bytes:
        """Encrypt a key. `about` is what it is bound to."""
        ...

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """Decrypt a key. Raises KeyProblem for a damaged one."""
        ...


class LocalKey:
    """A key that encrypts other keys, and whose bytes this process has."""

    __slots__ = ("_secret", "id")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.id = hmac.new(secret, b"headrace root key", hashlib.sha256).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"LocalKey({self.id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key can't be pickled")

    def wrap(self, secret: bytes, about: bytes) -> bytes:
        """Encrypt a key with AES-256-GCM: algorithm, nonce, ciphertext."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        return bytes([_AES_GCM]) + nonce + AESGCM(self._secret).encrypt(nonce, secret, about)

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """Decrypt a key. Raises KeyProblem for a damaged one, or one from elsewhere."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce, ciphertext = wrapped[1 : 1 + _NONCE_BYTES], wrapped[1 + _NONCE_BYTES :]
        if wrapped[:1] == bytes([_AES_GCM]):
            with contextlib.suppress(InvalidTag, ValueError):
                return AESGCM(self._secret).decrypt(nonce, ciphertext, about)
        raise KeyProblem(
            "a key in the key store is damaged, or was moved there from another project",
            hint="restore the folder `keys` from a backup",
        )


def root_key_of(
    settings: Mapping[str, str],
    project: Path,
    folder: Path,
    *,
    needed: str | None,
    may_create: bool,
) -> RootKey:
    """Return the root key; with `needed`, the present or previous one with that id.

    `folder` is the key store's. With `may_create`, a missing key file is created there if the
    settings name no other place. Raises KeyProblem.
    """
    candidates = []
    for root in _configured(settings, project, folder, may_create=may_create):
        if needed is None or root.id == needed:
            return root
        candidates.append(root.id)
    raise KeyProblem(
        f"the key store was encrypted with the root key {needed}, and this one is"
        f" {', '.join(candidates)}",
        hint="give the earlier root key back, or name it as `previous` in [keys]",
    )


def _configured(
    settings: Mapping[str, str], project: Path, folder: Path, *, may_create: bool
) -> Iterator[RootKey]:
    root = settings.get("root")
    yield (
        _of_reference(settings, "root", project)
        if root is not None
        else _of_file(folder / ROOT_FILE, may_create=may_create)
    )
    if "previous" in settings:
        yield _of_reference(settings, "previous", project)
    elif root is not None and (folder / ROOT_FILE).exists():
        yield _of_file(folder / ROOT_FILE, may_create=False)


def _of_reference(settings: Mapping[str, str], name: str, project: Path) -> RootKey:
    if is_vault_key(settings[name]):
        return _of_vault(settings, name, project)
    text = _resolved(settings[name], project)
    return LocalKey(_key_bytes(text, f"[keys] {name}"))


def _resolved(reference: str, project: Path) -> str:
    try:
        return str(Secrets(project).resolved(reference))
    except SecretMissing as error:
        raise KeyProblem(f"the root key is missing: {error}", hint=error.hint) from None


_vault_keys: dict[tuple[tuple[str, str], ...], tuple[float, LocalKey]] = {}
"""Root keys of Vault by what names them, with the time at which Vault was asked."""
_vault_lock = threading.Lock()


def _of_vault(settings: Mapping[str, str], name: str, project: Path) -> RootKey:
    """Return a root key in Vault, which is asked again after `VAULT_SECONDS`."""
    from headrace.security.vault import vault_text

    identity = (("", settings[name]), *sorted(settings.items()))
    with _vault_lock:
        at, key = _vault_keys.get(identity, (0.0, None))
        if key is None or time.monotonic() - at >= VAULT_SECONDS:
            token, secret_id = (
                _resolved(settings[field], project) if field in settings else ""
                for field in ("vault_token", "vault_secret_id")
            )
            text = vault_text(settings[name], settings, token, secret_id)
            key = LocalKey(_key_bytes(text, f"[keys] {name}"))
            _vault_keys[identity] = (time.monotonic(), key)
        return key


def _of_file(path: Path, *, may_create: bool) -> RootKey:
    if may_create and not path.exists():
        create_private(path, f"{secrets.token_hex(ROOT_BYTES)}\n".encode())
    try:
        text = path.read_text("ascii", errors="replace")
    except FileNotFoundError:
        raise KeyProblem(
            f"the root key {path} is missing, and keys in the key store need it",
            hint="restore the file; without it, tokens can't be made or reversed",
        ) from None
    except OSError as error:
        raise KeyProblem(
            f"the root key {path} can't be read: {error.strerror}",
            hint="the server's user needs read access to it",
        ) from None
    return LocalKey(_key_bytes(text, str(path)))


def _key_bytes(text: str, where: str) -> bytes:
    """Return the bytes of a written key. Raises KeyProblem, without the text, for others."""
    text = text.strip()
    try:
        secret = (
            bytes.fromhex(text) if _HEX.fullmatch(text) else base64.b64decode(text, validate=True)
        )
    except (ValueError, binascii.Error):
        raise KeyProblem(
            f"the root key of {where} is neither hexadecimal nor base64",
            hint="create one: openssl rand -hex 32",
        ) from None
    if len(secret) != ROOT_BYTES:
        raise KeyProblem(
            f"the root key of {where} has {len(secret)} bytes, and must have {ROOT_BYTES}",
            hint="create one: openssl rand -hex 32",
        )
    return secret
