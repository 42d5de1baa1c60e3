"""Where DuckLake finds a catalog that isn't a file. Apart from `maintenance`, which loads DuckDB."""

from __future__ import annotations

import msgspec


class PostgresqlCatalog(msgspec.Struct, frozen=True):
    """A catalog in a schema of a PostgreSQL database. `parameters` are libpq's, with the password."""

    parameters: dict[str, str]
    schema: str
