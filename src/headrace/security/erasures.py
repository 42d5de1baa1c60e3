"""The key by which erased subjects are recognised, and whether any were erased.

The key and the ledger of erasures are files of the data folder, for its owner only.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import NamedTuple

from headrace.lake.erased_files import HashKey
from headrace.model.errors import HeadraceError
from headrace.security.private_files import create_private

KEY_FILE = "erasure.key"
LEDGER_FILE = "erasures.jsonl"
"""Names the erasures, which an older state that is restored doesn't know."""
CERTIFICATES = "erasures"
"""The folder of certificates, each named after its subject."""
KEY_BYTES = 32


def secret(data: Path, *, create: bool = True) -> bytes:
    """Return the project's key; create it on first use.

    Raises HeadraceError if it can't be read or written, or isn't a key.
    """
    path = data / KEY_FILE
    try:
        if create and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            create_private(path, secrets.token_bytes(KEY_BYTES))
        stored_secret = path.read_bytes()
    except OSError as error:
        raise HeadraceError(
            f"the key of erasures {path} can't be read: {error.strerror}",
            hint="look at its permissions",
        ) from error
    if len(stored_secret) != KEY_BYTES:
        raise HeadraceError(
            f"{path} isn't a key of erasures: it has {len(stored_secret)} bytes, not {KEY_BYTES}",
            hint="restore the file from a copy: without it erased rows aren't recognised",
        )
    return stored_secret


def hash_key(data: Path) -> HashKey:
    """Return the key as the hashes' SQL needs it."""
    return HashKey.of(secret(data))


class KnownErasures(NamedTuple):
    """Whether rows were erased, and the files that are missing to erase them again."""

    any: bool
    missing: tuple[str, ...]


def read_ledger(data: Path) -> bytes:
    """Return the ledger, a line of JSON for each erasure; empty before the first.

    Raises HeadraceError if it can't be read.
    """
    try:
        return (data / LEDGER_FILE).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise HeadraceError(
            f"the ledger of erasures {data / LEDGER_FILE} can't be read: {error.strerror}",
            hint="look at its permissions",
        ) from error


def known_erasures(data: Path) -> KnownErasures:
    """Return what is known beside the state of erasures, by their ledger and certificates.

    Raises HeadraceError if the ledger can't be read.
    """
    ledger = read_ledger(data)
    certified = [path.stem.encode() for path in (data / CERTIFICATES).glob("s-*.json")]
    missing = []
    if any(b'"%s"' % subject not in ledger for subject in certified):
        missing.append(LEDGER_FILE)
    if (ledger or certified) and not (data / KEY_FILE).exists():
        missing.append(KEY_FILE)
    return KnownErasures(bool(ledger or certified), tuple(missing))
