"""Pages of a delivery that a fetch got before the server asked to be left alone, kept until it goes on.

Each page that comes is progress, however few requests a server allows at a time: a resumed fetch asks for the next page at once.
Whether the listing has changed meanwhile is looked at when the last page has come: the first page and the last one before the
interruption are asked for once more, and where one differs, everything is asked for anew.

Kept files hold data, like `raw`; a link that repeats a secret is never written.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from headrace.connect.http_paging import Position
from headrace.connect.http_request import Spec
from headrace.connect.kinds import Access

KEPT_SECONDS_MAX = 86_400.0
"""Older pages may belong to another listing, and are asked for anew."""
_STATE, _DATA = ".json", ".pages"


class FetchProgress(msgspec.Struct, frozen=True):
    """How far a fetch has come. `written` bytes of the kept file are whole pages."""

    written: int
    position: Position
    """Of the next page; where all have come, of the last."""
    first: str
    """The hash of the first page's records."""
    seams: tuple[tuple[Position, str], ...] = ()
    """Pages that were the last ones before an interruption, with the hash of their records."""
    complete: bool = False
    """All pages have come; what is left is to look whether the listing is still the same."""
    checked: int = 0
    """How many pages of those that are looked at then were the same."""


def hash_of(records: Iterable[bytes]) -> str:
    """Of one page's records, in their order."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(record + b"\n")
    return digest.hexdigest()


class PageCache:
    """The pages of one interval of one source, as it is declared now."""

    def __init__(self, access: Access, spec: Spec, key: str) -> None:
        identity = msgspec.json.encode([access.source.name, key, spec])  # references, no secrets
        self._folder = access.temporary.with_name("pages")
        self._name = hashlib.sha256(identity).hexdigest()[:32]
        self._secrets = access.secrets

    def take(self, target: Path) -> FetchProgress | None:
        """Move what is kept to `target` and say how far it is; None where nothing is, or another
        worker has taken it, or it is too old."""
        state, data = self._folder / f"{self._name}{_STATE}", self._folder / f"{self._name}{_DATA}"
        claimed = target.with_suffix(_STATE)
        try:
            age = time.time() - state.stat().st_mtime
            state.rename(claimed)  # one worker can
            data.rename(target)
            progress = msgspec.json.decode(claimed.read_bytes(), type=FetchProgress)
        except (OSError, msgspec.DecodeError):
            target.unlink(missing_ok=True)
            return None
        finally:
            claimed.unlink(missing_ok=True)
        if not 0 <= age <= KEPT_SECONDS_MAX or target.stat().st_size < progress.written:
            target.unlink()
            return None
        os.truncate(target, progress.written)
        return progress

    def keep(self, target: Path, progress: FetchProgress) -> None:
        """Keep the whole pages of `target` for the next fetch."""
        state = msgspec.json.encode(progress)
        marks = (progress.position, *(seam for seam, _ in progress.seams))
        if any(self._secrets.scrubbed(mark.mark) != mark.mark for mark in marks):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget_old()
        os.truncate(target, progress.written)
        os.utime(target)  # as young as its state, also where no page has come since
        target.replace(self._folder / f"{self._name}{_DATA}")
        written = target.with_suffix(_STATE)
        written.touch(mode=0o600)
        written.write_bytes(state)
        written.replace(self._folder / f"{self._name}{_STATE}")

    def _forget_old(self) -> None:
        for path in self._folder.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > KEPT_SECONDS_MAX:
                    path.unlink()
