"""When API tokens were last used: a private file beside the state, which only the leader writes."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

from headrace.security.private_files import replace_private

USES_FILE = "token_uses.json"
"""In the data folder; readable by its owner only."""
STORED_SECONDS = 3_600
"""The use of a token is stored at most this often."""


def note_use(data_folder: Path, token: int) -> None:
    """Store that a token is used now, unless a use within STORED_SECONDS is stored already.

    A failure is ignored: a reader of the project may have no right to write there. Of two processes
    that write at once, the later one wins.
    """
    uses, now = last_uses(data_folder), time.time()
    if now - uses.get(token, 0.0) < STORED_SECONDS:
        return
    with contextlib.suppress(OSError):
        replace_private(data_folder / USES_FILE, msgspec.json.encode({**uses, token: now}))


def last_uses(data_folder: Path) -> dict[int, float]:
    """Return token → its last stored use, in seconds since 1970 UTC; empty if none is stored."""
    try:
        path = data_folder / USES_FILE
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return msgspec.json.decode(file.read(), type=dict[int, float])
    except (OSError, msgspec.DecodeError):
        return {}
