"""What workers are started with."""

from __future__ import annotations

import msgspec

from headrace.run.folders import Folders


class Settings(msgspec.Struct, frozen=True):
    """The same for all workers of one executor."""

    folders: Folders
    threads: int
    share: int
    """Threads for a small task, that neighbours run beside."""
    memory_max_bytes: int | None
    """What one attempt may use, where its asset doesn't say; None: what there is."""
    python: bool = False
    """Whether there are bodies in Python: what those need is imported before the first of them waits for it."""
