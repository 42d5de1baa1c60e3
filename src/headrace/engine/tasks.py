"""What the engine needs to know of a task and of the data folder. `run` has both; this room may not import it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from headrace.engine.bodies import InputData, Scope
from headrace.lake import Table
from headrace.model import Body


class BodyTask(Protocol):
    """The fields of `run.messages.Produce` that a body needs; what they mean is said there."""

    @property
    def scope(self) -> Scope: ...
    @property
    def body(self) -> Body: ...
    @property
    def sql(self) -> str | None: ...
    @property
    def code(self) -> str | None: ...
    @property
    def inputs(self) -> tuple[InputData, ...]: ...
    @property
    def materialize(self) -> str: ...
    @property
    def partition_column(self) -> str | None: ...
    @property
    def table(self) -> Table | None: ...
    @property
    def evolve(self) -> bool: ...
    @property
    def macros(self) -> dict[str, str]: ...


class DataFolders(Protocol):
    """Where things lie (`run.folders.Folders`). DuckDB must be allowed to read `temporary`."""

    @property
    def lake(self) -> Path: ...
    @property
    def code(self) -> Path: ...
    @property
    def files(self) -> Path: ...
    @property
    def temporary(self) -> Path: ...
