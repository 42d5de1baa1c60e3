"""The key by which erased subjects are recognised, and the ledger of erasures beside the state.

Both are files of the data folder, for its owner only. An older state that is restored from a backup
doesn't know the erasures since: the ledger names them, so that they are done again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from headrace.lake.erased_files import HashKey, token_of
from headrace.model.erased_rows import ErasedRows
from headrace.model.errors import HeadraceError
from headrace.security.private_files import create_private

KEY_FILE = "erasure.key"
LEDGER_FILE = "erasures.jsonl"
KEY_BYTES = 32
SUBJECT_DIGITS = 16


class LedgerEntry(msgspec.Struct, frozen=True):
    """One erasure, as the ledger names it: hashes only."""

    subject: str
    plan_id: str
    actor: str
    reason: str
    keys: dict[str, tuple[ErasedRows, ...]]


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


def subject_token(data: Path, text: str) -> str:
    """Return the name by which a subject is recorded, for what was typed."""
    return f"s-{token_of(secret(data), text)[:SUBJECT_DIGITS]}"


def append_ledger(data: Path, entry: LedgerEntry) -> None:
    """Add an erasure to the ledger, durably; do nothing if it is there.

    Raises HeadraceError if the ledger can't be written.
    """
    if any(known == entry for known in ledger(data)):
        return
    try:
        descriptor = os.open(
            data / LEDGER_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise HeadraceError(
            f"the ledger of erasures {data / LEDGER_FILE} can't be written: {error.strerror}",
            hint="look at the free space and who may write there; nothing was erased",
        ) from error


def ledger(data: Path) -> Iterator[LedgerEntry]:
    """Yield the erasures of the ledger, oldest first; a torn last line is left out.

    Raises HeadraceError if it can't be read.
    """
    try:
        lines = (data / LEDGER_FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise HeadraceError(
            f"the ledger of erasures {data / LEDGER_FILE} can't be read: {error.strerror}",
            hint="look at its permissions",
        ) from error
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=LedgerEntry)
        except msgspec.DecodeError:
            continue


def tokens(data: Path, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the hashes of a value's texts."""
    key = secret(data)
    return tuple(sorted({token_of(key, text) for text in texts}))
