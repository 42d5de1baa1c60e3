"""DuckDB sessions for asset code, locked down.

A session reads the lake's folder and the files it is given, and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import shutil
import sys
import threading
import uuid
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from headrace.lake.sqltext import DATA_FOLDER_VARIABLE, literal
from headrace.model.errors import LakeError
from headrace.sql.engine_faults import DISABLED_FOR_WHOLE_ROWS, DISABLED_OPTIMIZERS

if TYPE_CHECKING:
    import duckdb

# DuckDB's extensions come from installed packages: nothing is downloaded, nothing is copied to a
# home folder. Another DuckDB version needs another set of packages.


def load(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Load extensions into a connection before its lock-down.

    Raises LakeError if a package is missing. Never open a file with one of them and with Python's
    `sqlite3` at once: `ducklake` and `sqlite_scanner` contain an SQLite of their own.
    """
    for name in names:
        connection.execute(f"LOAD {literal(str(_binary(name)))}")


def _binary(name: str) -> Path:
    import duckdb

    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    folder = Path(package.origin).parent if package is not None and package.origin else None
    path = (
        folder / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        if folder
        else None
    )
    if path is None or not path.is_file():
        raise LakeError(
            f"DuckDB's extension `{name}` isn't installed for DuckDB {duckdb.__version__}",
            hint=(
                f"install the package duckdb-extension-{name.replace('_', '-')} in version"
                f" {duckdb.__version__}"
            ),
        )
    return path


# Each session spills to its own folder. DuckDB uses the same file names in every process: two
# sessions in one folder would overwrite each other's files.

TEMPORARY_FOLDER = ".temporary"
"""Name of the folder below the data folder."""
_MACHINE = hashlib.sha256(platform.node().encode("utf-8", "surrogatepass")).hexdigest()[:8]
"""Part of a folder's name: several machines may share the data folder, each with a process 17."""


def make_folder(data_folder: Path) -> Path:
    """Create a folder for this process, and delete those of this machine's dead processes.

    Folders of other machines are left to them.
    """
    parent = data_folder / TEMPORARY_FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.iterdir():
        pid, _, rest = left.name.partition("-")
        if ("-" not in rest or rest.startswith(_MACHINE)) and not _is_alive(pid):
            shutil.rmtree(left, ignore_errors=True)
    folder = parent / f"{os.getpid()}-{_MACHINE}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o700)
    return folder


def remove_folder(folder: Path) -> None:
    """Delete the folder with its content."""
    shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


TEMPORARY_BYTES_MAX = 100 * 2**30
"""100 GiB: the maximum that a session may spill to disk."""

FLUSHED_BYTES_MIN = "32MiB"
"""Freed memory returns to the system when at least this much is freed at once; DuckDB keeps it."""


class DuckDBSession:
    """A separate in-memory DuckDB connection.

    It reaches `data_folder` (the lake's, to which file paths are relative), the folders and files
    in `readable`, and nothing else: no other file, no network, no extension, not its own settings.
    DuckDB doesn't distinguish reading from writing there; staging accepts only a SELECT from an
    asset. `timezone` is the asset's; `memory_max_bytes` None leaves DuckDB's default (80 % of the
    machine's memory). `ordered` keeps rows in the order of the files, which takes twice the memory.
    """

    _LOCKED_AT_ONCE: ClassVar[bool] = True

    def __init__(
        self,
        data_folder: Path,
        *,
        readable: Sequence[Path] = (),
        timezone: str = "UTC",
        threads: int = 2,
        memory_max_bytes: int | None = None,
        ordered: bool = False,
        temporary_folder: Path | None = None,
    ) -> None:
        self.data_folder = data_folder.resolve()
        self.temporary_folder = temporary_folder or make_folder(self.data_folder)
        """The session's own folder, deleted when it is closed."""
        self.connection = _connect(self.temporary_folder, threads, memory_max_bytes)
        self.timezone = ""
        self.described: dict[Hashable, tuple[tuple[str, str], ...]] = {}
        """Cache of staging: columns of statements, by a key that equal statements share."""
        self.joining_whole: set[Hashable] = set()
        """Those of these keys whose statements join whole rows (`joins_filtering`)."""
        try:
            self._lock_down(
                [self.data_folder, *(path.resolve() for path in readable)], timezone, ordered
            )
            if self._LOCKED_AT_ONCE:
                self.connection.execute(_LOCK)
        except BaseException:
            self.close()
            raise

    def run(
        self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] | None
    ) -> duckdb.DuckDBPyConnection:
        """Run a statement with values for its parameters. Raises DuckDB's errors."""
        with _pandas_as_it_is() if parameters else contextlib.nullcontext():
            return self.connection.execute(sql, parameters)

    @contextlib.contextmanager
    def joins_filtering(self, is_safe: bool) -> Iterator[None]:
        """Let joins push their keys into scans inside the context if `refuse_faulty_plan` may."""
        if not is_safe:
            yield
            return
        setting = "SET disabled_optimizers = "
        self.connection.execute(setting + literal(DISABLED_FOR_WHOLE_ROWS))
        try:
            yield
        finally:
            self.connection.execute(setting + literal(DISABLED_OPTIMIZERS))

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the one row of a query. Raises DuckDB's errors."""
        row = self.connection.execute(sql).fetchone()
        assert row is not None
        return row

    def close(self) -> None:
        """Close the connection, and drop its memory and spilled files."""
        self.connection.close()
        remove_folder(self.temporary_folder)

    def _set_data_folder(self, folder: Path) -> None:
        self.connection.execute(f"SET VARIABLE {DATA_FOLDER_VARIABLE} = {literal(f'{folder}/')}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock_down(self, readable: Sequence[Path], timezone: str, ordered: bool) -> None:
        folders = ", ".join(literal(f"{path}/") for path in readable if not path.is_file())
        files = ", ".join(literal(str(path)) for path in readable if path.is_file())
        self._set_data_folder(self.data_folder)
        _set_timezone(self.connection, timezone)
        self.timezone = timezone
        for setting, value in {
            "preserve_insertion_order": str(ordered).lower(),
            "allowed_directories": f"[{folders}]",
            "allowed_paths": f"[{files}]",
            "enable_external_access": "false",
        }.items():
            self.connection.execute(f"SET {setting} = {value}")


class UnlockedSession(DuckDBSession):
    """A session whose settings stay open until the first use of `connection` after `lock`.

    Access to files and the network is closed from the start. Code that reached for `_connection`
    could change memory, threads and the lock, in its own process only.
    """

    _LOCKED_AT_ONCE = False
    _LOCKING: ClassVar = threading.Lock()
    _connection: duckdb.DuckDBPyConnection
    _to_lock: tuple[str, int, int | None] | None = None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection, whose settings the first use after `lock` sets and locks."""
        if self._to_lock is not None:
            with self._LOCKING:  # the code of an attempt may have threads
                if self._to_lock is not None:
                    self._lock(*self._to_lock)
                    self._to_lock = None
        return self._connection

    @connection.setter
    def connection(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def lock(self, timezone: str, threads: int, memory_max_bytes: int | None) -> None:
        """Set what wasn't known when the session was opened, and lock its settings.

        They are set before the next statement. Many short attempts run none, and the first one
        takes a sixth of their time.
        """
        self._to_lock = timezone, threads, memory_max_bytes

    def _lock(self, timezone: str, threads: int, memory_max_bytes: int | None) -> None:
        if timezone != self.timezone:
            _set_timezone(self._connection, timezone)
            self.timezone = timezone
        if memory_max_bytes is not None:
            self._connection.execute(f"SET memory_limit = '{memory_max_bytes}B'")
        if threads > 1:
            self._connection.execute(f"SET threads = {threads}")
        self._connection.execute(_LOCK)

    @contextlib.contextmanager
    def over(self, data_folder: Path) -> Iterator[None]:
        """Use another lake inside the context, which the session must be able to read."""
        before, self.data_folder = self.data_folder, data_folder
        self._set_data_folder(data_folder)
        try:
            yield
        finally:
            self.data_folder = before
            self._set_data_folder(before)


@contextlib.contextmanager
def _pandas_as_it_is() -> Iterator[None]:
    """Prevent DuckDB from importing pandas to check whether a parameter is one of its values.

    That import, with NumPy and Arrow, costs a quarter of a second and 60 MiB per process. No value
    is pandas' where nobody has imported it.
    """
    if "pandas" in sys.modules:
        yield
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # its import fails: "not installed"
    try:
        yield
    finally:
        sys.modules.pop("pandas", None)


_FIXED = {
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
}
"""Settings that a database can get only when it is opened."""
_ALWAYS = {
    "disabled_optimizers": literal(DISABLED_OPTIMIZERS),
    "allowed_configs": "['disabled_optimizers']",
    "allocator_bulk_deallocation_flush_threshold": literal(FLUSHED_BYTES_MIN),
    "max_temp_directory_size": literal(f"{TEMPORARY_BYTES_MAX}B"),
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
    "enable_progress_bar": "false",
}
"""Settings that all sessions have."""
_LOCK = "SET lock_configuration = true"
_spare: list[duckdb.DuckDBPyConnection] = []


def open_spare() -> None:
    """Open an empty database, unless there is one, for the next session of this process or a fork.

    Opening takes longer than most reads. With one thread a database has no threads of its own, so
    that a fork gets all of it.
    """
    if not _spare:
        _spare.append(_opened({"threads": 1}))


@contextlib.contextmanager
def parser() -> Iterator[duckdb.DuckDBPyConnection]:
    """Lend a connection that reads no table and changes no setting, such as for parsing.

    It stays open for the next session.
    """
    connection = _taken() or _opened({"threads": 1})
    try:
        yield connection
    finally:
        _spare.append(connection)


def _connect(
    temporary_folder: Path, threads: int, memory_max_bytes: int | None
) -> duckdb.DuckDBPyConnection:
    config: dict[str, str | int] = {"threads": threads, "temp_directory": str(temporary_folder)}
    if memory_max_bytes is not None:
        config["memory_limit"] = f"{memory_max_bytes}B"
    if (connection := _taken()) is None:
        return _opened(config)
    for name, value in config.items():
        connection.execute(f"SET {name} = {literal(str(value))}")
    return connection


def _taken() -> duckdb.DuckDBPyConnection | None:
    try:
        return _spare.pop()  # not after a look: threads of a server do the same
    except IndexError:
        return None


def _opened(config: Mapping[str, str | int]) -> duckdb.DuckDBPyConnection:
    import duckdb  # costs a third of a second, which commands without queries avoid

    connection = duckdb.connect(config={**_FIXED, **config})
    for setting, value in _ALWAYS.items():
        connection.execute(f"SET {setting} = {value}")
    return connection


def _set_timezone(connection: duckdb.DuckDBPyConnection, timezone: str) -> None:
    import duckdb

    try:
        connection.execute(f"SET TimeZone = {literal(timezone)}")
    except duckdb.Error as error:
        raise LakeError(
            f"DuckDB doesn't know the time zone {timezone!r}",
            hint="use a name of the IANA database, such as Europe/Berlin",
        ) from error


# Users' SQL text inside a statement of Headrace: preparing it, and making sure that it can't
# escape.


def without_semicolons(text: str) -> str:
    """Replace the semicolons at the statement's end by spaces, so that it fits into another one.

    Lines stay as they are.
    """
    if ";" not in text:
        return text
    import duckdb

    data = bytearray(text.encode())
    for offset, _ in reversed(duckdb.tokenize(text)):
        if data[offset : offset + 1] != b";":
            break
        data[offset : offset + 1] = b" "
    return data.decode()


def is_one_query(text: str) -> bool:
    """Whether the text is exactly one SELECT, so that parentheses can enclose it.

    Raises `duckdb.Error` for invalid SQL.
    """
    import duckdb

    statements = duckdb.extract_statements(text)
    return len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT


def is_one_condition(text: str) -> bool:
    """Whether the text is exactly one expression. Raises `duckdb.Error` for invalid SQL."""
    bare, held = f"SELECT 1 WHERE {text}\n", f"SELECT 1 WHERE ({text}\n)"
    return is_one_query(bare) and is_one_query(held)
