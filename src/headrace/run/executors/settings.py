"""What workers are started with."""

from __future__ import annotations

import msgspec

from headrace.run.folders import Folders


class WorkerSettings(msgspec.Struct, frozen=True):
    """The same for all workers of one executor."""

    folders: Folders
    threads: int
    share: int
    """Threads for a small task, that neighbours run beside."""
    memory_max_bytes: int | None
    """What one attempt may use, where its asset doesn't say; None: what there is."""
    background_memory_max_bytes: int | None = None
    """The same for an attempt of the background, which runs beside others; None: what those may use."""
    python: bool = False
    """Whether there are bodies in Python: what those need is imported before the first of them waits for it."""
    arrow: bool = False
    """Whether one of them seems to take or give rows, for which Arrow is imported as well (50 MiB)."""

    def memory_of(self, *, background: bool) -> int | None:
        """What an attempt may use, where its asset doesn't say."""
        return (self.background_memory_max_bytes if background else None) or self.memory_max_bytes
