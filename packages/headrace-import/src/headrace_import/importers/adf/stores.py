"""Linked services and datasets: where data is, and the connections that lead there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace.model.connections import PORT_MAX
from headrace_import.importers.adf.activities import parameter_defaults
from headrace_import.importers.adf.drafts import TableKey, clean
from headrace_import.importers.adf.evaluate import resolve
from headrace_import.importers.adf.json_text import JsonObject
from headrace_import.importers.adf.origin import Origin, Resource
from headrace_import.importers.adf.reading import object_of, objects_of, text_at
from headrace_import.importers.adf.values import Moment, Scope, Template, Value, joined, unknown_in
from headrace_import.importers.sql_kinds import kind_of_type

DATABASES = {
    "azurepostgresql": "postgresql",
    "postgresql": "postgresql",
    "postgresqlv2": "postgresql",
    "azuremysql": "mysql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "azuremariadb": "mysql",
}
"""Linked services that lead to databases which Headrace reads."""
DIALECTS = {
    **{name: "postgres" if kind == "postgresql" else "mysql" for name, kind in DATABASES.items()},
    "azuresqldatabase": "tsql",
    "azuresqldw": "tsql",
    "azuresqlmi": "tsql",
    "sqlserver": "tsql",
    "warehouse": "tsql",
    "datawarehouse": "tsql",
    "snowflake": "snowflake",
    "snowflakev2": "snowflake",
    "oracle": "oracle",
    "googlebigquery": "bigquery",
    "googlebigqueryv2": "bigquery",
    "amazonredshift": "redshift",
    "azuredatabricksdeltalake": "databricks",
}
"""SQL dialects by the type of the linked service."""
_SCHEMES = {
    "azureblobstorage": "az",
    "azureblobfs": "az",
    "amazons3": "s3",
    "googlecloudstorage": "gs",
    "sftp": "sftp",
}
FORMATS = {
    "delimitedtext": "csv",
    "json": "json",
    "parquet": "parquet",
    "excel": "excel",
    "xml": "xml",
}
_DATABASE_PARTS = {
    "host": ("server", "host", "datasource"),
    "database": ("database", "initialcatalog"),
    "user": ("username", "uid", "user", "userid"),
}
_CONTAINERS = ("container", "fileSystem", "bucketName")
_TABLE = re.compile(r"table|delta|lakehouse|warehouse", re.IGNORECASE)
_NAME_PART = re.compile(r"\[([^\]]*)\]|\"([^\"]*)\"|`([^`]*)`|([^.\s]+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dataset's data is. `problem` says why it can't be said.

    `kind` is table, file, http or other; `path` is a URL or a path in the store, and may hold
    points in time.
    """

    kind: str
    store: Resource | None
    path: Value = ""
    table: TableKey | None = None
    format: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    dataset: Resource | None = None
    problem: str = ""

    @property
    def store_type(self) -> str:
        """The type of the linked service, in lower case."""
        return text_at(self.store.raw, "type").lower() if self.store else ""


class Stores:
    """Resolves the datasets and linked services of an import."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.connections: dict[str, dict[str, Any]] = {}
        self._columns: dict[TableKey, dict[str, str]] | None = None

    def place(self, reference: Any, scope: Scope, factory: str) -> Place:
        """Return where the dataset of a reference is."""
        name = text_at(reference, "referenceName")
        dataset = self.origin.find("dataset", name, factory)
        if dataset is None:
            problem = f"the dataset `{name}` isn't among the files"
            return Place("other", None, problem=problem if name else "it names no dataset")
        values = parameter_defaults(dataset.raw, scope)
        passed = object_of(reference, "parameters")
        values.update({key: resolve(value, scope) for key, value in passed.items()})
        inner = Scope(scope.pipeline, global_parameters=scope.global_parameters, dataset=values)
        store = self.linked_service(dataset.raw.get("linkedServiceName"), dataset.factory)
        settings = resolve(dataset.raw.get("typeProperties"), inner)
        settings = settings if isinstance(settings, dict) else {}
        kind = text_at(dataset.raw, "type").lower()
        if kind in FORMATS or isinstance(settings.get("location"), dict):
            return _file(dataset, store, FORMATS.get(kind, kind), settings)
        if kind == "restresource":
            return Place(
                "http", store, settings.get("relativeUrl") or "", None, "json", settings, dataset
            )
        if _TABLE.search(kind) or "tableName" in settings or "table" in settings:
            return _table(dataset, store, settings)
        return Place("other", store, settings=settings, dataset=dataset)

    def columns(self, table: TableKey) -> Mapping[str, str]:
        """Return the kinds of a table's columns, as far as its datasets say them."""
        if self._columns is None:
            self._columns = {}
            for described, name, kind in self._dataset_columns():
                known = self._columns.setdefault(described, {})
                known[name] = kind if known.get(name, kind) == kind else ""
        return self._columns.get(table, {})

    def _dataset_columns(self) -> Iterator[tuple[TableKey, str, str]]:
        for dataset in self.origin.of_kind("dataset"):
            place = self.place({"referenceName": dataset.name}, Scope(), dataset.factory)
            if place.table is not None and not place.problem:
                for name, kind in _column_kinds(dataset, DIALECTS.get(place.store_type, "")):
                    yield place.table, name, kind

    def linked_service(self, reference: Any, factory: str) -> Resource | None:
        """Return the linked service of a reference."""
        return self.origin.find("linked service", text_at(reference, "referenceName"), factory)

    def connection(self, store: Resource) -> str | None:
        """Return the name of a store's connection; None where Headrace has no such connection."""
        name = clean(store.name)
        if name not in self.connections:
            connection = _connection(store)
            if connection is None:
                return None
            self.connections[name] = connection
        return name


def _column_kinds(dataset: Resource, dialect: str) -> Iterator[tuple[str, str]]:
    for column in objects_of(dataset.raw, "schema"):
        name, kind = text_at(column, "name").lower(), text_at(column, "type")
        digits = column.get("precision")
        try:
            built = exp.DataType.build(f"{kind}({digits})" if digits else kind, dialect=dialect)
        except SqlglotError:
            continue
        yield name, "other" if kind.lower() == "real" else kind_of_type(built)


def _file(dataset: Resource, store: Resource | None, kind: str, settings: dict[str, Any]) -> Place:
    location = settings.get("location")
    if not isinstance(location, dict):
        problem = "it has no location"
        return Place("other", store, settings=settings, dataset=dataset, problem=problem)
    if text_at(location, "type").lower().startswith("http"):
        url = location.get("relativeUrl") or ""
        return Place("http", store, url, None, kind, settings, dataset)
    container = next((location[key] for key in _CONTAINERS if key in location), "")
    parts = [container, location.get("folderPath"), location.get("fileName")]
    unknown = unknown_in(parts)
    if unknown is not None:
        return Place("file", store, "", None, kind, settings, dataset, unknown.reason)
    problem = "" if location.get("fileName") else "it names a folder, not a file"
    return Place("file", store, _path(parts), None, kind, settings, dataset, problem)


def _path(parts: list[Value]) -> Value:
    pieces: list[Any] = []
    for part in parts:
        if isinstance(part, Moment | Template):
            pieces += ["/", part]
        elif part not in (None, ""):
            pieces += ["/", str(part).strip("/")]
    return joined(pieces[1:])


def _table(dataset: Resource, store: Resource | None, settings: dict[str, Any]) -> Place:
    written = settings.get("table") or settings.get("tableName") or ""
    schema = settings.get("schema") or ""
    unknown = unknown_in([written, schema])
    if unknown is not None or not isinstance(written, str) or not isinstance(schema, str):
        reason = unknown.reason if unknown else "its table depends on the time of the run"
        return Place("table", store, settings=settings, dataset=dataset, problem=reason)
    key = table_key(store.name if store else "", f"{schema}.{written}" if schema else written)
    problem = "" if key.table else "it names no table"
    return Place("table", store, "", key, "", settings, dataset, problem)


def table_key(store: str, written: str) -> TableKey:
    """Return the key of a table as it is written, such as `[dbo].[Orders]`."""
    parts = ["".join(filter(None, match.groups())) for match in _NAME_PART.finditer(written)]
    schema = parts[-2] if len(parts) > 1 else ""
    return TableKey(store.lower(), _schema(schema), parts[-1].lower() if parts else "")


def _schema(name: str) -> str:
    return "" if name.lower() in ("dbo", "public") else name.lower()


def table_name(key: TableKey) -> str:
    """Return the name that a table's node would have."""
    return f"{key.schema}_{key.table}" if key.schema else key.table


def scheme(store: Resource | None) -> str | None:
    """Return the URL scheme of a store of files; None where Headrace can't read it."""
    return _SCHEMES.get(text_at(store.raw, "type").lower()) if store else None


def parts_of(connection_string: str) -> dict[str, str]:
    """Return the parts of `Key=Value;…`, with their keys in lower case and without spaces."""
    pairs = (part.partition("=") for part in connection_string.split(";"))
    return {
        key.strip().lower().replace(" ", ""): value.strip()
        for key, _, value in pairs
        if key.strip()
    }


def secret_reference(store: Resource, key: str, value: Any) -> str:
    """Return the reference to a secret: by its name in the key vault, else by the store's name."""
    name = text_at(value, "secretName") or f"{store.name}_{key}"
    return f"secret://env/{clean(name).upper().lstrip('_') or 'SECRET'}"


def _connection(store: Resource) -> dict[str, Any] | None:
    kind = text_at(store.raw, "type").lower()
    settings = resolve(
        store.raw.get("typeProperties"),
        Scope(linked_service=parameter_defaults(store.raw, Scope())),
    )
    settings = settings if isinstance(settings, dict) else {}
    if kind in DATABASES:
        return _database(store, DATABASES[kind], settings)
    if kind in ("azureblobstorage", "azureblobfs"):
        return _azure(store, settings)
    if kind == "amazons3":
        key = settings.get("accessKeyId")
        access = (
            key if isinstance(key, str) and key else secret_reference(store, "access_key_id", key)
        )
        secret = secret_reference(store, "secret_access_key", settings.get("secretAccessKey"))
        return {"type": "s3", "key": access, "secret": secret}
    if kind == "googlecloudstorage":
        return {"type": "gcs"}
    if kind == "sftp":
        return _sftp(store, settings)
    return None


def _literal(value: Any, otherwise: str) -> str:
    return value if isinstance(value, str) and value and "$" not in value else otherwise


def _env(store: Resource, key: str) -> str:
    return "${" + clean(f"{store.name}_{key}").upper().lstrip("_") + "}"


def _database(store: Resource, kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    text = settings.get("connectionString")
    parts = {**settings, **(parts_of(text) if isinstance(text, str) else {})}
    found: dict[str, Any] = {"type": kind}
    for name, keys in _DATABASE_PARTS.items():
        found[name] = _literal(_first(parts, keys), _env(store, name))
    port = _first(parts, ("port",))
    if port.isdigit() and 0 < int(port) <= PORT_MAX:
        found["port"] = int(port)
    found["password"] = secret_reference(store, "password", settings.get("password"))
    return found


def _first(parts: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    given = (parts.get(key) for key in keys)
    return next((str(value) for value in given if isinstance(value, str | int) and value), "")


def _azure(store: Resource, settings: Mapping[str, Any]) -> dict[str, Any]:
    text = settings.get("connectionString")
    parts = parts_of(text) if isinstance(text, str) else {}
    address = settings.get("url") or settings.get("serviceEndpoint") or ""
    host = urlsplit(address).hostname or "" if isinstance(address, str) else ""
    account = parts.get("accountname") or host.partition(".")[0]
    valid = re.fullmatch(r"[a-z0-9]{3,24}", account) is not None
    connection = {"type": "azure", "account_name": account if valid else _env(store, "account")}
    if "accountkey" in parts or "accountKey" in settings:
        key = settings.get("accountKey")
        connection["account_key"] = secret_reference(store, "account_key", key)
    elif "sasUri" in settings or "sasToken" in settings:
        token = settings.get("sasToken") or settings.get("sasUri")
        connection["sas_token"] = secret_reference(store, "sas_token", token)
    return connection


def _sftp(store: Resource, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "sftp",
        "host": _literal(settings.get("host"), _env(store, "host")),
        "user": _literal(settings.get("userName"), _env(store, "user")),
        "password": secret_reference(store, "password", settings.get("password")),
    }


def address(store: Resource | None) -> str:
    """Return the base URL of an HTTP or REST linked service without authentication; else ''."""
    if store is None:
        return ""
    settings: JsonObject = object_of(store.raw, "typeProperties")
    if text_at(settings, "authenticationType").lower() not in ("anonymous", ""):
        return ""
    scope = Scope(linked_service=parameter_defaults(store.raw, Scope()))
    url = resolve(settings.get("url") or settings.get("baseUrl"), scope)
    return url if isinstance(url, str) else ""
