"""Declared values: sources, assets, consumers, owners and their fields, all immutable.

Every value is a frozen msgspec struct, so an applied project can be kept by content and read back without parsing anything again.
INTERFACE §1 and SEMANTICS §1-§7 define what the fields mean.
"""

from __future__ import annotations

import enum
from typing import Any, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all declared values: immutable, compared by content, encodable as msgpack and JSON."""


ACCUMULATING = ("merge", "snapshot")
"""Materialisations whose rows aren't of one partition: each publication changes the table that the one before left."""


class Grain(enum.StrEnum):
    """How the local calendar cuts time into partitions, finest first."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Severity(enum.StrEnum):
    """What a failed check does: a blocking one rejects the partition, a warning is published with it."""

    BLOCKING = "blocking"
    WARNING = "warning"


class Place(Value, kw_only=True):
    """Where something is declared: a path relative to the project, `/` between its parts, and a line from 1."""

    file: str
    line: int = 1


class PartitionSpec(Value, kw_only=True):
    """How a node's data is cut: by time (`grain`), by a key (`key`), by both, or not at all (neither: the whole, `*`)."""

    grain: Grain | None = None
    column: str | None = None
    """The output column that routes a row to its partition, if one was declared (`{by: day, column: …}`)."""
    key: str | None = None
    """The key column of `{key: region}`."""
    values: tuple[str, ...] | None = None
    """The fixed keys of `{key: region, values: […]}`; None where keys grow with the data."""
    by_delivery: bool = False
    """One partition per delivery, in the order of arrival (keys are numbers of twelve digits): what `cursor:` of a source and
    `materialize: append` of an asset that isn't cut otherwise mean. Never written as such."""

    @property
    def whole(self) -> bool:
        """True for data that is not cut: its one partition is `*`."""
        return self.grain is None and self.key is None and not self.by_delivery


class InputMode(enum.StrEnum):
    """Which partitions of an input a body sees (SEMANTICS §2)."""

    REQUIRED = "required"
    ALL = "all"
    PREVIOUS = "previous"
    WITHIN = "within"


class InputSpec(Value, kw_only=True):
    """One declared input of an asset, with how it is read."""

    node: str
    mode: InputMode = InputMode.REQUIRED
    lookback: str | None = None
    """A duration such as `7d`, as written."""
    optional: bool = False
    place: Place


class CheckSpec(Value, kw_only=True):
    """One testable statement about data. `arguments` are those of its kind, as declared and already validated."""

    kind: str
    name: str
    arguments: dict[str, Any] = {}
    severity: Severity = Severity.BLOCKING
    where: str | None = None
    place: Place


class Complete(Value, kw_only=True):
    """When a source's interval is complete (SEMANTICS §3); the default is one matching file."""

    files: int = 1
    marker: str | None = None
    watermark: str | None = None
    after: str | None = None


class Expect(Value, kw_only=True):
    """What a source's owner promised: by when (a time after the interval), and how many rows."""

    by: str | None = None
    rows_min: int | None = None
    rows_max: int | None = None
    unchanged: bool = False
    """Whether the content of an interval may be that of another one."""


class Owner(Value, kw_only=True):
    """A team or vendor that answers for nodes."""

    name: str
    kind: str = "team"
    contact: tuple[str, ...] = ()
    manager: str | None = None
    tell: bool | None = None
    concurrency: int | None = None
    """How many attempts at all that it owns run at once."""
    quiet: str | None = None
    """`22:00-07:00`: when it isn't written to, but for what can't wait."""
    escalate: str | None = None
    """For how long an incident may be open before its manager is told as well."""
    digest: str | None = None
    """At which time of day it is told what has changed."""
    place: Place


class Source(Value, kw_only=True):
    """Data that arrives from outside."""

    name: str
    owner: str
    description: str = ""
    tags: tuple[str, ...] = ()
    domain: str | None = None
    calendar: str | None = None
    timezone: str = ""
    """IANA name; empty in what one file declares, filled from the project when files are linked."""
    partition: PartitionSpec = PartitionSpec()
    start: str | None = None
    files: str | None = None
    """Path pattern relative to the project, with at most one `{date:…}`; None for kinds that aren't files."""
    connector: dict[str, Any] = {}
    """What says where other data than plain files comes from, and how it is read: `http:`, `connection:` with `query:`, `table:` and
    `cursor:`, `fixed_width:`, `excel:`, `json:`, `xml:` …; as written, validated by `model.connectors`. Secrets are references."""
    every: str | None = None
    """How often a source that can't say whether it has changed is read again: a duration."""
    expect: Expect = Expect()
    complete: Complete = Complete()
    contract: str | None = None
    on_drift: dict[str, str] = {}
    retain_raw: str = "90d"
    restate_within: str = "7d"
    checks: tuple[CheckSpec, ...] = ()
    on_fail: str = "reject"
    on_anomaly: str | dict[str, str] | None = None
    """`hold`, `warn` or `ignore`, or that by column, `*` for all others; None: by size."""
    concurrency: int | None = None
    """How many of its deliveries are ingested at once."""
    place: Place


class SqlBody(Value, kw_only=True, tag="sql"):
    """One SELECT statement; `line` is the file's line of the text's first character."""

    text: str
    file: str
    line: int = 1


class PythonBody(Value, kw_only=True, tag="python"):
    """A function found in the syntax tree. `annotations` maps each input to the container it asked for
    (`arrow`, `polars`, `polars_lazy`, `pandas`, `duckdb`), `takes_context` says whether the first parameter is the context."""

    file: str
    function: str
    line: int = 1
    takes_context: bool = False
    annotations: dict[str, str] = {}
    source: str = ""
    """What the fingerprint is taken of: the function and the module's other statements, normalised, without other assets."""


class CommandBody(Value, kw_only=True, tag="command"):
    """An argument vector; never passed through a shell."""

    command: tuple[str, ...]
    file: str
    line: int = 1


Body = SqlBody | PythonBody | CommandBody


class Asset(Value, kw_only=True):
    """A table (or set of files) that the project produces."""

    name: str
    owner: str
    body: Body
    description: str = ""
    tags: tuple[str, ...] = ()
    domain: str | None = None
    calendar: str | None = None
    timezone: str = ""
    """IANA name; empty in what one file declares, filled from the project when files are linked."""
    partition: PartitionSpec = PartitionSpec()
    start: str | None = None
    inputs: tuple[InputSpec, ...] = ()
    """Declared inputs. Those that SQL itself names are found by `headrace.sql` and joined in `headrace.plan`."""
    depends: tuple[str, ...] = ()
    """Nodes that come first, without data."""
    materialize: str = "table"
    merge_keys: tuple[str, ...] = ()
    """Of `materialize: merge` and `snapshot`: the columns that say which row is meant."""
    merge_delete: str | None = None
    """Of `materialize: merge`: the body's column that says that a row goes; it isn't kept in the table."""
    snapshot_columns: tuple[str, ...] = ()
    """Of `materialize: snapshot`: the columns whose change makes a new version of a row; all but the keys if there are none."""
    snapshot_deletes: str = "ignore"
    """Of `materialize: snapshot`: what a row that isn't there any more means: `ignore`, or `close` its last version."""
    columns: dict[str, Any] | None = None
    """Of opaque bodies: `{"writes": {column: type or None}, "reads": {input: [column, …]}}`; None where nothing is declared."""
    parameters: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    """Of Python and commands: name of an environment variable → reference to the secret that is its value."""
    environment: dict[str, str] = {}
    """Of Python and commands: environment variables with their values, which are no secrets."""
    checks: tuple[CheckSpec, ...] = ()
    on_fail: str = "reject"
    on_anomaly: str | dict[str, str] | None = None
    """`hold`, `warn` or `ignore`, or that by column, `*` for all others; None: by size."""
    contract: str | None = None
    trigger: dict[str, Any] | None = None
    timeout: str = "1h"
    attempts_max: int = 5
    memory_max: str | None = None
    pool: str | dict[str, int] | None = None
    """As written: a pool, or pools with how many slots an attempt takes of each."""
    concurrency: int | None = None
    """How many of its attempts run at once."""
    priority: int | None = None
    batch: str = "auto"
    on_reference_change: str = "ignore"
    renamed_from: str | None = None
    code_files: tuple[str, ...] = ()
    """Patterns of files of the project that its code uses besides those that its imports and its command name."""
    code_packages: tuple[str, ...] = ()
    """Installed distributions whose version is part of the asset's identity."""
    place: Place

    @property
    def pools(self) -> dict[str, int]:
        """Pool → slots that an attempt takes of it."""
        if self.pool is None:
            return {}
        return self.pool if isinstance(self.pool, dict) else {self.pool: 1}

    @property
    def accumulates(self) -> bool:
        """True where a publication changes rows of one table that lives across partitions (merge, snapshot)."""
        return self.materialize in ACCUMULATING


class Consumer(Value, kw_only=True):
    """Who needs assets: `reads` them, by `due` (a time after the interval) or no older than `max_age`."""

    name: str
    owner: str
    reads: tuple[str, ...]
    description: str = ""
    tags: tuple[str, ...] = ()
    domain: str | None = None
    calendar: str | None = None
    timezone: str = ""
    """IANA name; empty in what one file declares, filled from the project when files are linked."""
    per: Grain = Grain.DAY
    due: str | None = None
    max_age: str | None = None
    since: str | None = None
    """From when on it is promised, as declared; None: from when it is applied."""
    export: dict[str, Any] | None = None
    importance: str | None = None
    place: Place


class ContractColumn(Value, kw_only=True):
    """A column as a contract promises it; `type` is DuckDB's name for it, None where the contract leaves it open."""

    name: str
    type: str | None = None
    required: bool = False
    unique: bool = False
    primary_key: bool = False
    classification: str | None = None
    names: tuple[dict[str, Any], ...] = ()
    """Accepted mappings from a vendor's header (customProperty `headrace.names`)."""
    conversions: tuple[dict[str, Any], ...] = ()
    """How a vendor's values become the column's (customProperty `headrace.convert`)."""
    place: Place | None = None
    """None in a version that was applied before this was kept."""


class ServiceLevel(Value, kw_only=True):
    """One promise of a contract's `slaProperties`: `latency` 5 `h`, `frequency` 1 `d`, `retention` 3 `y`."""

    property: str
    value: str
    unit: str = ""


class Contract(Value, kw_only=True):
    """An ODCS v3 document, linked to a source or an asset by the name of its file or by `contract:`."""

    name: str
    version: str
    status: str
    columns: tuple[ContractColumn, ...] = ()
    checks: tuple[CheckSpec, ...] = ()
    """Its quality rules."""
    service: tuple[ServiceLevel, ...] = ()
    breaks: tuple[str, ...] = ()
    """The consumers that this version is known to break (customProperty `headrace.breaks`)."""
    place: Place


class Calendar(Value, kw_only=True):
    """Dates on which no data is due."""

    name: str
    dates: tuple[str, ...]
    place: Place


class AssetTest(Value, kw_only=True):
    """Given rows and expected rows of one asset (`tests/*.yaml`). `given` maps an input to a list of rows or to a file's path."""

    name: str
    asset: str
    partition: str | None = None
    given: dict[str, Any] = {}
    expect: Any = None
    """Rows, a file's path, or None where only an error or the outcome of checks is expected."""
    ordered: bool = False
    """Whether the rows must come in the order in which they are expected."""
    parameters: dict[str, Any] = {}
    expect_error: str | None = None
    """Text that the message of the failure holds: the body must fail."""
    checks: dict[str, str] = {}
    """Check → `passes` or `fails`: how the asset's own checks must come out."""
    place: Place


class Backups(Value, kw_only=True):
    """`[backup]`: copies of state and catalog that the leader makes by itself."""

    every: str | None = "1d"
    """A duration of real time; None: never."""
    keep: int = 7
    """How many of them, the newest."""
    to: str | None = None
    """A folder, relative to the project or absolute; None: `backups` beside the lake."""


class Settings(Value, kw_only=True):
    """`headrace.toml`."""

    name: str
    timezone: str = "UTC"
    workers: int = 2
    executor: str = "local"
    """Where bodies run: `local`, in warm processes of this machine, or `dask`."""
    dask: str | None = None
    """The address of the Dask cluster's scheduler."""
    memory_max: str | None = None
    """What one attempt may use, where its asset doesn't say; None: an equal share of the machine's memory."""
    pass_environment: tuple[str, ...] = ()
    """Names of environment variables that asset code gets besides the fixed ones."""
    store_url: str = "sqlite:.headrace/state.db"
    store_schema: str = "headrace"
    """In PostgreSQL: the schema of the state; the lake's catalog is in one whose name ends with `_lake`."""
    store_connection: str | None = None
    """The connection that holds the state, where `[store] connection = …` says so instead of a URL."""
    lake_path: str = ".headrace/lake"
    parameters: dict[str, Any] = {}
    pools: dict[str, int] = {}
    retention: dict[str, str] = {}
    backup: Backups = Backups()
    connections: dict[str, dict[str, Any]] = {}
    notify: dict[str, dict[str, Any]] = {}
    environments: dict[str, dict[str, Any]] = {}
    openlineage: dict[str, str] = {}
    """Where lineage events of attempts go: a `file` of the project or a `url` with its `token`, and their `namespace`."""
    policy: dict[str, str] = {}
    environment: str = "prod"
    """Whose settings these are: `prod`, or one of `environments`, whose overrides are in place then."""
    paths: dict[str, str] = {}
    """In an environment: folders of sources' files → the folders to read instead."""
    tick_every: str | None = None
    """How often the project is run by a scheduler of its own (cron, say), a duration; None: not said."""
    look_every: str = "60s"
    """How often `serve` looks at every source, a duration; changes in folders of this machine are noticed at once besides."""


class Project(Value, kw_only=True):
    """All declarations below one `headrace.toml`, cross-checked as far as declarations alone allow."""

    settings: Settings
    owners: dict[str, Owner] = {}
    sources: dict[str, Source] = {}
    assets: dict[str, Asset] = {}
    consumers: dict[str, Consumer] = {}
    contracts: dict[str, Contract] = {}
    calendars: dict[str, Calendar] = {}
    macros: dict[str, str] = {}
    """File → text of `macros/*.sql`."""
    tests: tuple[AssetTest, ...] = ()

    def node(self, name: str) -> Source | Asset | Consumer | None:
        """The source, asset or consumer of that name, or None."""
        return self.source_or_asset(name) or self.consumers.get(name)

    def source_or_asset(self, name: str) -> Source | Asset | None:
        """The source or asset of that name, or None."""
        return self.sources.get(name) or self.assets.get(name)
