"""Headrace for Python programs and notebooks.

`headrace.Session` has the same commands and responses as the command line. Most of its methods are
made from the commands' functions (`headrace.session_methods`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from headrace.installed_commands import installed_tables
from headrace.project.local_actor import local_actor
from headrace.session_methods import SessionMethods

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace import responses
    from headrace.project.session import ProjectSession as Opened
    from headrace.responses import inspections

PRODUCTION = "prod"
IN_PACKAGES = {
    "badge": "headrace-ui",
    "export": "headrace-import",
    **dict.fromkeys(("erase", "preview_erase"), "headrace-erase"),
    **dict.fromkeys(
        (
            "connections",
            "doctor",
            "notify",
            "test",
            "test_channels",
            "test_connections",
            "try_asset",
        ),
        "headrace-testing",
    ),
    **dict.fromkeys(
        (
            *("ab", "bottleneck", "challenge", "classify", "complexity", "costs", "dismiss"),
            *("optimize", "prove", "prune", "reopen", "restore_files", "trials", "what_if"),
        ),
        "headrace-advisor",
    ),
}
"""Method of a package that is developed with this one → the package."""


class Table:
    """Published rows. `arrow` is the `pyarrow.Table`; `df()` needs pandas, `pl()` needs Polars.

    `about` is what its metadata says: the snapshot, the state, and `states`, which is what has to
    be known of the rows, worst first (fields of `headrace.responses.rows.DataStateRow`).
    """

    def __init__(self, arrow: pa.Table) -> None:
        self.arrow = arrow
        self.about: dict[str, Any] = _metadata(arrow)
        self.states: list[dict[str, Any]] = self.about.get("states", [])

    @property
    def wrong(self) -> bool:
        """Whether any of the rows are known to be wrong."""
        return any(item["state"] == "wrong" for item in self.states)

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __repr__(self) -> str:
        return repr(self.arrow)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return an Arrow stream: Polars, DuckDB, pandas and others read it without copying."""
        return self.arrow.__arrow_c_stream__(requested_schema)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries of Python values."""
        return list(self.arrow.to_pylist())

    def df(self) -> Any:
        """Return the rows as a pandas data frame. Raises ImportError if pandas isn't installed."""
        return self.arrow.to_pandas()

    def pl(self) -> Any:
        """Return the rows as a Polars data frame. Raises ImportError if Polars isn't installed."""
        import polars as pl

        return pl.from_arrow(self.arrow)


class Session(SessionMethods):
    """An opened project. Each call reads the current state; nothing stays open between calls.

        session = headrace.Session("shop")
        session.read("revenue", partition="2025-03-01").df()

    `path` is the project's folder or a folder below it (default: the current folder). `env` is the
    environment (default: `HEADRACE_ENV`, else production). `now` replaces the current time, for
    replays. `actor` is recorded in the audit trail as the author of changes (default: the system
    user and the host). `token` is an API token to act as (default: `HEADRACE_TOKEN`), whose name
    is the actor then. Raises HeadraceError or a subclass (`headrace.model.errors`); its `hint`
    says what to do.
    """

    if not TYPE_CHECKING:  # a type checker would accept every name

        def __getattr__(self, name: str) -> Any:
            """Return the method of a command of another package."""
            for table in installed_tables():
                module = import_module(f"{table.__package__}.session_methods")
                if method := getattr(module.SessionMethods, name, None):
                    return method.__get__(self)
            raise AttributeError(
                f"`{name}` is in another package: pip install {IN_PACKAGES[name]}"
                if name in IN_PACKAGES
                else f"'Session' object has no attribute {name!r}"
            )

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        env: str | None = None,
        now: datetime | str | None = None,
        actor: str | None = None,
        token: str | None = None,
    ) -> None:
        self._path = None if path is None else Path(path)
        self._env = env or os.environ.get("HEADRACE_ENV") or PRODUCTION
        self._now = now.isoformat() if isinstance(now, datetime) else now
        self._actor = actor or local_actor()
        self._token = token or os.environ.get("HEADRACE_TOKEN", "").strip()
        self._open().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do nothing: no call leaves anything open."""

    def __repr__(self) -> str:
        return f"headrace.Session({str(self._path) if self._path else ''!r}, env={self._env!r})"

    def validate(self) -> responses.ValidateResponse:
        """Return all problems of the project's files."""
        from headrace.project.session import Silent
        from headrace.services.validate import validate

        with self._opened() as session:
            return validate(session, progress=Silent())

    def read(
        self,
        asset: str,
        *,
        partition: str | Sequence[str] = (),
        at: datetime | str | None = None,
        version: int | None = None,
        limit: int | None = None,
        only_sound: bool = False,
    ) -> Table:
        """Return the rows published now, or those published at the time `at` or in `version`.

        Raises HeadraceError if nothing was ever published, and DataUnsound if `only_sound` refuses
        them: they are wrong, or were accepted as an exception.
        """
        from headrace.project.read_queries import ReadQuery
        from headrace.services.read import write

        keys = (partition,) if isinstance(partition, str) else tuple(partition)
        as_of = at.isoformat() if isinstance(at, datetime) else at
        query = ReadQuery(asset, keys, as_of, version, limit, only_sound)
        with self._opened() as session:
            return _table(lambda out: write(session, query, out, "arrow"))

    def sql(
        self,
        query: str,
        *,
        at: datetime | str | None = None,
        limit: int | None = None,
        only_sound: bool = False,
        **parameters: Any,
    ) -> Table:
        """Run a query over one snapshot of all published data; `parameters` bind its `$name`.

        Raises DataUnsound as `read` does.
        """
        from headrace.services.sql import SqlQuery, write

        as_of = at.isoformat() if isinstance(at, datetime) else at
        question = SqlQuery(query, as_of, limit, bound=parameters, only_sound=only_sound)
        with self._opened() as session:
            return _table(lambda out: write(session, question, out, "arrow"))

    def diff(
        self, asset: str, before: datetime | str | int, after: datetime | str | int | None = None
    ) -> inspections.DiffResponse:
        """Return what changed between two points in time: times or numbers of snapshots."""
        from headrace.services.sql import DiffQuery, diff

        with self._opened() as session:
            return diff(
                session,
                asset,
                DiffQuery(_time_argument(before), None if after is None else _time_argument(after)),
            )

    def lineage(self, target: str) -> responses.LineageResponse:
        """Return the upstream and downstream lineage of `ASSET[.COLUMN]`."""
        from headrace.services.lineage import lineage

        with self._opened() as session:
            return lineage(session, target, up=True, down=True)

    def _open(self) -> Opened:
        from headrace.project.session import ProjectSession as Opened

        session = Opened.open(self._path, self._env, self._now, self._actor)
        if self._token:
            from headrace.services.tokens import identify

            session.use(identify(session, self._token))
        return session

    def _opened(self) -> Any:
        from contextlib import closing

        return closing(self._open())


def _table(write: Any) -> Table:
    """Return the rows that an operation writes as an Arrow stream."""
    import io

    import pyarrow as pa

    out = io.BytesIO()
    write(out)
    return Table(pa.ipc.open_stream(pa.BufferReader(out.getvalue())).read_all())


def _metadata(arrow: pa.Table) -> dict[str, Any]:
    import msgspec

    from headrace.lake.reading import ABOUT

    text = (arrow.schema.metadata or {}).get(ABOUT.encode())
    return {} if text is None else msgspec.json.decode(text, type=dict[str, Any])


def _time_argument(value: datetime | str | int) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
