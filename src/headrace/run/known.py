"""Which files were delivered already, kept in memory between looks: a look reads what came since the one before it."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.model import Project, Source
from headrace.store import Transaction
from headrace.store.queries import arriving


class KnownFiles:
    """Source -> path -> (size in bytes, modification time in microseconds) of the newest delivery."""

    def __init__(self) -> None:
        self._project: Project | None = None
        self._files: dict[str, dict[str, tuple[int, int]]] = {}
        self._newest: dict[str, int] = {}

    def read(self, tx: Transaction, project: Project, sources: Iterable[Source]) -> None:
        """Bring it up to date. Another project may cut its sources otherwise: deliveries of before don't count there."""
        if project is not self._project:
            self._project, self._files, self._newest = project, {}, {}
        for source in sources:
            results, self._newest[source.name] = arriving.known_files(tx, source.name, self._newest.get(source.name, 0))
            self._files.setdefault(source.name, {}).update(results)

    def of(self, source: str) -> dict[str, tuple[int, int]]:
        """What is known of a source's files."""
        return self._files[source]
