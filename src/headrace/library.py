"""Headrace for Python programs and notebooks: `headrace.Session`, the same operations and documents as the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from headrace.model.secrets import local_actor

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.services import responses
    from headrace.services.responses import inspections
    from headrace.services.session import ProjectSession as Opened

PRODUCTION = "prod"


class Table:
    """Published rows. `arrow` is the `pyarrow.Table`; `df()` and `pl()` need pandas and Polars."""

    def __init__(self, arrow: pa.Table) -> None:
        self.arrow = arrow

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __repr__(self) -> str:
        return repr(self.arrow)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """What lets Polars, DuckDB, pandas and others take the rows without a copy."""
        return self.arrow.__arrow_c_stream__(requested_schema)

    def rows(self) -> list[dict[str, Any]]:
        """The rows as mappings with Python's values."""
        return list(self.arrow.to_pylist())

    def df(self) -> Any:
        """The rows as a pandas data frame. ImportError where pandas isn't installed."""
        return self.arrow.to_pandas()

    def pl(self) -> Any:
        """The rows as a Polars data frame. ImportError where Polars isn't installed."""
        import polars as pl

        return pl.from_arrow(self.arrow)


class Session:
    """A project, opened. Each call reads what is true then; nothing stays open between calls.

        session = headrace.Session("shop")
        session.read("revenue", partition="2025-03-01").df()

    `path` is the project's folder or one below it (default: the current one), `env` the environment, `now` a replay's time,
    `actor` who is recorded for what changes (default: the system's user and the host). Raises HeadraceError and its
    kinds (`headrace.model.errors`), whose `hint` says what to do.
    """

    def __init__(
        self, path: str | Path | None = None, *, env: str | None = None, now: datetime | str | None = None, actor: str | None = None
    ) -> None:
        self._path = None if path is None else Path(path)
        self._env = env or os.environ.get("HEADRACE_ENV") or PRODUCTION
        self._now = now.isoformat() if isinstance(now, datetime) else now
        self._actor = actor or local_actor()
        self._open().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing is open."""

    def __repr__(self) -> str:
        return f"headrace.Session({str(self._path) if self._path else ''!r}, env={self._env!r})"

    def validate(self) -> responses.ValidateResponse:
        """Every problem of the project's files."""
        from headrace.services.session import Silent
        from headrace.services.validate import validate

        with self._opened() as session:
            return validate(session, progress=Silent())

    def status(self, *select: str) -> responses.StatusResponse:
        """Consumers first: served or not, since when, why."""
        from headrace.services.status import status

        with self._opened() as session:
            return status(session, list(select))

    def ls(self, *select: str) -> list[responses.NodeRow]:
        """The sources, assets and consumers."""
        from headrace.services.ls import ls
        from headrace.services.session import Silent

        with self._opened() as session:
            return ls(session, list(select), [], progress=Silent())

    def read(
        self,
        asset: str,
        *,
        partition: str | Sequence[str] = (),
        at: datetime | str | None = None,
        version: int | None = None,
        limit: int | None = None,
    ) -> Table:
        """Published rows, of now or as they were. HeadraceError where nothing was ever published."""
        from headrace.services.read import ReadQuery, write

        keys = (partition,) if isinstance(partition, str) else tuple(partition)
        moment = at.isoformat() if isinstance(at, datetime) else at
        query = ReadQuery(asset, keys, moment, version, limit)
        with self._opened() as session:
            return _table(lambda out: write(session, query, out, "arrow"))

    def sql(self, query: str, *, at: datetime | str | None = None, limit: int | None = None, **parameters: Any) -> Table:
        """A query over one snapshot of all that is published; `$name` in it is the parameter of that name."""
        from headrace.services.sql import SqlQuery, write

        moment = at.isoformat() if isinstance(at, datetime) else at
        question = SqlQuery(query, moment, limit, bound=parameters)
        with self._opened() as session:
            return _table(lambda out: write(session, question, out, "arrow"))

    def diff(self, asset: str, before: datetime | str | int, after: datetime | str | int | None = None) -> inspections.DiffResponse:
        """What changed between two moments, each a time or a snapshot's number."""
        from headrace.services.sql import DiffQuery, diff

        with self._opened() as session:
            return diff(session, asset, DiffQuery(_moment(before), None if after is None else _moment(after)))

    def lineage(self, target: str) -> responses.LineageResponse:
        """Where `ASSET[.COLUMN]` comes from and goes to."""
        from headrace.services.lineage import lineage

        with self._opened() as session:
            return lineage(session, target, up=True, down=True)

    def test(self, *select: str) -> list[inspections.TestRow]:
        """The unit tests of the selected assets, of all where nothing is selected."""
        from headrace.services.asset_tests import run_tests
        from headrace.services.session import Silent

        with self._opened() as session:
            return run_tests(session, list(select), progress=Silent())

    def run(
        self,
        *select: str,
        partitions: Sequence[str] = (),
        first: str | None = None,
        last: str | None = None,
        again: bool = False,
        reason: str | None = None,
    ) -> responses.RunResponse:
        """Run now, as `headrace run` does: this process leads for as long, or asks the one that does."""
        from headrace.services.run import run
        from headrace.services.session import Silent

        with self._opened() as session:
            return run(
                session, list(select), exclude=[], partitions=list(partitions), first=first, last=last, again=again, reason=reason,
                progress=Silent(),
            )  # fmt: skip

    def tick(self) -> responses.RunResponse:
        """One pass: look at sources, run what is due, judge."""
        from headrace.services.run_results import tick
        from headrace.services.session import Silent

        with self._opened() as session:
            return tick(session, progress=Silent())

    def doctor(self) -> list[inspections.ExaminationRow]:
        """What could go wrong at night."""
        from headrace.services.doctor import doctor

        with self._opened() as session:
            return doctor(session)

    def _open(self) -> Opened:
        from headrace.services.session import ProjectSession as Opened

        return Opened.open(self._path, self._env, self._now, self._actor)

    def _opened(self) -> Any:
        from contextlib import closing

        return closing(self._open())


def _table(write: Any) -> Table:
    """The rows that an operation writes as an Arrow stream."""
    import io

    import pyarrow as pa

    out = io.BytesIO()
    write(out)
    return Table(pa.ipc.open_stream(pa.BufferReader(out.getvalue())).read_all())


def _moment(value: datetime | str | int) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
