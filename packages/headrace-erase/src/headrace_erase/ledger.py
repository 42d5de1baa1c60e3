"""The ledger of erasures beside the state, and the names by which it has subjects.

An older state that is restored from a backup doesn't know the erasures since: the ledger names
them, so that they are done again. It is a file of the data folder, for its owner only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from headrace.extension import HeadraceError
from headrace.lake.erased_files import token_of
from headrace.model.erased_rows import ErasedRows
from headrace.security.erasures import LEDGER_FILE, read_ledger, secret

SUBJECT_DIGITS = 16


class LedgerEntry(msgspec.Struct, frozen=True):
    """One erasure, as the ledger names it: hashes only."""

    subject: str
    plan_id: str
    actor: str
    reason: str
    keys: dict[str, tuple[ErasedRows, ...]]


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
    for line in read_ledger(data).splitlines():
        try:
            yield msgspec.json.decode(line, type=LedgerEntry)
        except msgspec.DecodeError:
            continue


def tokens(data: Path, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the hashes of a value's texts."""
    key = secret(data)
    return tuple(sorted({token_of(key, text) for text in texts}))
