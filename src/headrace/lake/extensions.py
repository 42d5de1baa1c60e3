"""DuckDB's extensions, from the packages that are installed beside it: nothing is downloaded, nothing is copied to a home folder.

The one place that knows how; another DuckDB version is another set of packages.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.lake.sqltext import literal
from headrace.model.errors import LakeError

if TYPE_CHECKING:
    import duckdb


def load(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Load extensions into a connection that isn't locked down. Raises `LakeError` where a package is missing.

    Never together with Python's `sqlite3` on one file: `ducklake` and `sqlite_scanner` bring an SQLite of their own."""
    for name in names:
        connection.execute(f"LOAD {literal(str(_binary(name)))}")


def _binary(name: str) -> Path:
    import duckdb

    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    folder = Path(package.origin).parent if package is not None and package.origin else None
    path = folder / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension" if folder else None
    if path is None or not path.is_file():
        raise LakeError(
            f"DuckDB's extension `{name}` isn't installed for DuckDB {duckdb.__version__}",
            hint=f"install the package duckdb-extension-{name.replace('_', '-')} in version {duckdb.__version__}",
        )
    return path
