"""The key by which erased subjects are recognised, and whether any were erased.

The key and the ledger of erasures are files of the data folder, for its owner only.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from headrace.lake.erased_files import HashKey
from headrace.model.errors import HeadraceError
from headrace.security.private_files import create_private

KEY_FILE = "erasure.key"
LEDGER_FILE = "erasures.jsonl"
"""Names the erasures, which an older state that is restored doesn't know."""
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


def has_erasures(data: Path) -> bool:
    """Whether the ledger beside the state names an erasure."""
    try:
        return (data / LEDGER_FILE).stat().st_size > 0
    except FileNotFoundError:
        return False
