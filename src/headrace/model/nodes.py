"""Immutable structs of a project's declarations: sources, assets, consumers, owners and others.

Every value is a frozen msgspec struct, so an applied project can be stored by content and loaded
without parsing its files again. INTERFACE §1 and SEMANTICS §1-§7 define what the fields mean.
"""

from __future__ import annotations

import enum
from typing import Any, dataclass_transform

import msgspec

from headrace.model.access import AccessRules
from headrace.model.policy import Expectation, PolicyRule


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all declared values: immutable, compared by content, encodable as msgpack or JSON."""


class MaterializationKind(enum.StrEnum):
    """What becomes of an asset's rows (`materialize:`)."""

    TABLE = "table"
    APPEND = "append"
    MERGE = "merge"
    SNAPSHOT = "snapshot"
    VIEW = "view"
    FILES = "files"
    NONE = "none"


class ReferenceEffect(enum.StrEnum):
    """Effect of a newer reference on published partitions (`on_reference_change:`)."""

    IGNORE = "ignore"
    REBUILD = "rebuild"


class CatchUp(enum.StrEnum):
    """The partitions that a trigger computes after downtime (`catch_up:`)."""

    ALL = "all"
    LATEST = "latest"


class ExecutorKind(enum.StrEnum):
    """Where attempts run (`executor` of [run])."""

    LOCAL = "local"
    DASK = "dask"


ACCUMULATING = ("merge", "snapshot")
"""Materialisations with one table across all partitions, which each publication updates."""


class Grain(enum.StrEnum):
    """Length of a time partition in the local calendar, finest first."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Severity(enum.StrEnum):
    """Effect of a failed check: `blocking` rejects the partition, `warning` publishes it anyway."""

    BLOCKING = "blocking"
    WARNING = "warning"


class Place(Value, kw_only=True):
    """Location of a declaration: a project-relative path with `/` separators, and a line from 1."""

    file: str
    line: int = 1
    lines: tuple[tuple[str, int], ...] = ()
    """Lines of the fields that name what another file declares."""

    def of(self, field: str) -> Place:
        """Return the location of a field; that of the declaration if the field's isn't known."""
        return Place(file=self.file, line=dict(self.lines).get(field, self.line))


class PartitionSpec(Value, kw_only=True):
    """Partitioning of a node: by time (`grain`), by `key`, by both, or by neither (one, `*`)."""

    grain: Grain | None = None
    column: str | None = None
    """Column that assigns an output row to its partition; None without `{by: day, column: …}`."""
    key: str | None = None
    """The key column of `{key: region}`."""
    values: tuple[str, ...] | None = None
    """The fixed keys of `{key: region, values: […]}`; None if new keys may appear in the data."""
    by_delivery: bool = False
    """One partition per delivery, in order of arrival; keys are numbers of twelve digits.

    Derived, never declared: from a source's `cursor:`, or from `materialize: append` of an asset
    without `partition:`.
    """

    @property
    def whole(self) -> bool:
        """True for unpartitioned data, whose one partition is `*`."""
        return self.grain is None and self.key is None and not self.by_delivery

    @property
    def time_grain(self) -> Grain:
        """The grain of a node that is known to be partitioned by time."""
        assert self.grain is not None
        return self.grain

    @property
    def grows(self) -> bool:
        """Whether its keys come from the data, so that new ones may appear."""
        return self.key is not None and self.values is None


class InputMode(enum.StrEnum):
    """Which partitions of an input the asset code reads (SEMANTICS §2)."""

    REQUIRED = "required"
    ALL = "all"
    PREVIOUS = "previous"
    WITHIN = "within"


class InputSpec(Value, kw_only=True):
    """One declared input of an asset, with its options."""

    node: str
    mode: InputMode = InputMode.REQUIRED
    lookback: str | None = None
    """A duration such as `7d`, as written."""
    optional: bool = False
    place: Place


class CheckSpec(Value, kw_only=True):
    """One declared check. `arguments` are as declared and already validated for its kind."""

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
    """Promise of a source's owner: delivery time (`by`, after the interval's end) and row count."""

    by: str | None = None
    rows_min: int | None = None
    rows_max: int | None = None
    unchanged: bool = False
    """Whether an interval may have the same content as another one."""


class Owner(Value, kw_only=True):
    """A team or vendor that is responsible for nodes."""

    name: str
    kind: str = "team"
    contact: tuple[str, ...] = ()
    manager: str | None = None
    tell: bool | None = None
    concurrency: int | None = None
    """At most this number of attempts of its nodes run concurrently."""
    quiet: str | None = None
    """Quiet hours, `22:00-07:00`: only urgent notifications are sent."""
    escalate: str | None = None
    """A duration; incidents open for longer are also sent to `manager`."""
    digest: str | None = None
    """Time of day of the daily digest."""
    place: Place


class ColumnClass(Value, kw_only=True):
    """How a column is classified: `personal`, `secret` or another word, and its mask."""

    name: str
    mask: dict[str, Any] | None = None
    """`{"method": …, parameters}`; None: the column is left out for those who may not read it."""


class Threshold(Value, kw_only=True):
    """From how many people on a column of aggregates is shown to everybody, and why."""

    reason: str
    k: int
    people: str
    """The column that counts a group's people."""


class Source(Value, kw_only=True):
    """Data that others deliver and Headrace ingests."""

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
    """Project-relative path pattern with at most one `{date:…}`; None for other kinds of source."""
    connector: dict[str, Any] = {}
    """The connector's and the file format's fields, as written and validated by `model.connectors`.

    For example `http:`, `connection:` with `query:`, `table:` and `cursor:`, `json:`. Secrets are
    references.
    """
    every: str | None = None
    """How often a source without change detection is re-read: a duration."""
    expect: Expect = Expect()
    complete: Complete = Complete()
    contract: str | None = None
    classified: dict[str, ColumnClass] = {}
    """Classified columns, besides those that its contract classifies."""
    on_drift: dict[str, str] = {}
    retain_raw: str = "90d"
    restate_within: str = "7d"
    ignore_in_comparison: tuple[str, ...] = ()
    """Columns that loading changes, besides `LOAD_COLUMNS`: deliveries are compared without."""
    checks: tuple[CheckSpec, ...] = ()
    on_fail: str = "reject"
    on_anomaly: str | dict[str, str] | None = None
    """`hold`, `warn` or `ignore`, or that by column, `*` for all others; None: by size."""
    concurrency: int | None = None
    """At most this number of its deliveries are ingested concurrently."""
    retain: str | None = None
    """How long the rows of a partition are kept, as written: `13mo`; None: for ever."""
    place: Place


class SqlBody(Value, kw_only=True, tag="sql"):
    """One SELECT statement; `line` is the file's line of the text's first character."""

    text: str
    file: str
    line: int = 1


class PythonBody(Value, kw_only=True, tag="python"):
    """A function with `@asset`, found in the syntax tree.

    `annotations` maps each input to the container type of its parameter (`arrow`, `polars`,
    `polars_lazy`, `pandas`, `duckdb`). With `takes_context`, the first parameter is the context.
    """

    file: str
    function: str
    line: int = 1
    takes_context: bool = False
    annotations: dict[str, str] = {}
    source: str = ""
    """Normalised code that the fingerprint hashes.

    It consists of the function, a hash of the module's statements outside of assets, and the
    functions of other assets that it calls.
    """


class InputFormat(enum.StrEnum):
    """The format of the files in which a command gets its inputs."""

    PARQUET = "parquet"
    CSV = "csv"
    """In UTF-8 with a header; an empty field is null, `""` is an empty text."""
    JSON_LINES = "jsonl"


class CommandBody(Value, kw_only=True, tag="command"):
    """An argument vector; never passed through a shell."""

    command: tuple[str, ...]
    file: str
    line: int = 1
    input_format: InputFormat = InputFormat.PARQUET


Body = SqlBody | PythonBody | CommandBody


class SandboxMode(enum.StrEnum):
    """`[run] sandbox`: which asset code may reach only what it declares."""

    COMMANDS = "commands"
    ON = "on"
    """Python too."""
    OFF = "off"


class Sandbox(Value, kw_only=True):
    """`sandbox:` of an asset: exceptions from what its code may reach (engine/sandbox.py)."""

    off: str | None = None
    """The reason why the code runs unrestricted; None: it is restricted."""
    read: tuple[str, ...] = ()
    """Paths to read: absolute, from the home folder (`~/…`) or relative to the project."""
    write: tuple[str, ...] = ()
    """Paths to read and write, written in the same way."""
    ports: tuple[int, ...] | None = None
    """TCP ports to connect to; None: all, or none if `hosts` are declared."""
    hosts: tuple[str, ...] | None = None
    """Hosts to reach over a proxy: `api.example.org`, `*.example.org`, `example.org:8443`."""


class Asset(Value, kw_only=True):
    """A table (or set of files) that the project computes."""

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
    """Declared inputs. `headrace.sql` finds those named in a query; `headrace.plan` adds them."""
    depends: tuple[str, ...] = ()
    """Nodes that must finish first, though no data of them is read."""
    materialize: str = "table"
    merge_keys: tuple[str, ...] = ()
    """For `materialize: merge` and `snapshot`: the columns that identify a row."""
    merge_delete: str | None = None
    """For `materialize: merge`: the output column that marks a row as deleted; it isn't stored."""
    snapshot_columns: tuple[str, ...] = ()
    """For `materialize: snapshot`: columns whose change creates a new version of the row.

    Empty means all columns except the keys.
    """
    snapshot_deletes: str = "ignore"
    """For `materialize: snapshot`: `ignore` a row that disappeared, or `close` its last version."""
    columns: dict[str, Any] | None = None
    """Declared lineage of Python and commands; None if none is declared.

    `{"writes": {column: type or None}, "reads": {input: [column, …]}}`.
    """
    classified: dict[str, ColumnClass] = {}
    """Classified columns, besides those that its contract classifies."""
    declassify: dict[str, str | Threshold] = {}
    """Columns that are shown although they derive from classified ones: why, or from where on."""
    parameters: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    """For Python and commands: environment variable → reference to the secret with its value."""
    environment: dict[str, str] = {}
    """For Python and commands: environment variables with their values, which aren't secret."""
    sandbox: Sandbox | None = None
    """For Python and commands: what the code may reach beyond its inputs."""
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
    """As written: one pool, or the number of slots per attempt by pool."""
    concurrency: int | None = None
    """At most this number of its attempts run concurrently."""
    priority: int | None = None
    batch: str = "auto"
    on_reference_change: str = "ignore"
    renamed_from: str | None = None
    retain: str | None = None
    """How long the rows of a partition are kept, as written: `13mo`; None: for ever."""
    retain_rebuildable: str | None = None
    """How long rows are kept that a partition gives again when it is computed; None: as `retain`.
    """
    code_files: tuple[str, ...] = ()
    """Patterns of further project files that its code uses, besides its imports and its command."""
    code_packages: tuple[str, ...] = ()
    """Installed distributions whose version is part of the asset's identity."""
    requirements: tuple[str, ...] = ()
    """For Python and commands: lines of a requirements file, for an environment of its own."""
    place: Place

    @property
    def pools(self) -> dict[str, int]:
        """Number of slots that an attempt takes, by pool."""
        if self.pool is None:
            return {}
        return self.pool if isinstance(self.pool, dict) else {self.pool: 1}

    @property
    def batched(self) -> bool:
        """False if each partition has to be computed in an attempt of its own (`batch: off`)."""
        return self.batch != "off"

    @property
    def accumulates(self) -> bool:
        """True if each publication updates one table across all partitions (merge, snapshot)."""
        return self.materialize in ACCUMULATING

    @property
    def readable(self) -> bool:
        """False without a table or view to read rows from (files, none)."""
        return self.materialize not in ("files", "none")


class BadgeAccess(enum.StrEnum):
    """Who gets a consumer's badge."""

    PRIVATE = "private"
    """Who is signed in and sees the consumer, and who has a signed link."""
    PUBLIC = "public"
    """Everybody who reaches the server."""


class Consumer(Value, kw_only=True):
    """A reader of assets: needs them by `due` (after the interval) or no older than `max_age`."""

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
    """Start of the promise, as declared; None: when it is applied."""
    export: dict[str, Any] | None = None
    importance: str | None = None
    badge: BadgeAccess = BadgeAccess.PRIVATE
    place: Place


class ContractColumn(Value, kw_only=True):
    """A column of a contract. `type` is DuckDB's type name, or None if the contract has none."""

    name: str
    type: str | None = None
    required: bool = False
    unique: bool = False
    primary_key: bool = False
    classification: str | None = None
    mask: dict[str, Any] | None = None
    names: tuple[dict[str, Any], ...] = ()
    """Accepted mappings of the vendor's column names (customProperty `headrace.names`)."""
    conversions: tuple[dict[str, Any], ...] = ()
    """Conversions of the vendor's values (customProperty `headrace.convert`)."""
    place: Place | None = None
    """None in versions applied before Headrace stored it."""


class ServiceLevel(Value, kw_only=True):
    """One item of a contract's `slaProperties`, such as `latency` 5 `h` or `retention` 3 `y`."""

    property: str
    value: str
    unit: str = ""


class Contract(Value, kw_only=True):
    """An ODCS v3 document, linked to a source or asset by its file name or by `contract:`."""

    name: str
    version: str
    status: str
    columns: tuple[ContractColumn, ...] = ()
    checks: tuple[CheckSpec, ...] = ()
    """Its quality rules, and the options of its columns."""
    unenforced: tuple[str, ...] = ()
    """What it says of quality and service without a check that covers it."""
    service: tuple[ServiceLevel, ...] = ()
    breaks: tuple[str, ...] = ()
    """Consumers that this version knowingly breaks (customProperty `headrace.breaks`)."""
    place: Place


class Calendar(Value, kw_only=True):
    """Dates on which no data is due."""

    name: str
    dates: tuple[str, ...]
    place: Place


class AssetTest(Value, kw_only=True):
    """A unit test of one asset (`tests/*.yaml`). `given` maps inputs to rows or a file's path."""

    name: str
    asset: str
    partition: str | None = None
    given: dict[str, Any] = {}
    expect: Any = None
    """Rows or a file's path; None if only an error or check results are expected."""
    ordered: bool = False
    """Whether the order of rows must match `expect`."""
    parameters: dict[str, Any] = {}
    expect_error: str | None = None
    """The asset code must fail with an error message that contains this text."""
    checks: dict[str, str] = {}
    """Expected result of the asset's own checks: check → `passes` or `fails`."""
    place: Place


class SignIn(Value, kw_only=True):
    """`[sign_in]`: the OpenID Connect provider at which people sign in to the server."""

    issuer: str
    client_id: str
    client_secret: str = ""
    """A reference to a secret; empty for a public client."""
    scopes: tuple[str, ...] = ("openid", "profile")
    groups: str = "groups"
    """The claim with the person's groups."""


class Backups(Value, kw_only=True):
    """`[backup]`: automatic backups of state and catalog by the leader."""

    every: str | None = "1d"
    """A duration of real time; None: never."""
    keep: int = 7
    """Number of backups to keep, newest first."""
    to: str | None = None
    """A folder, relative to the project or absolute; None: `backups` next to the lake."""


ALL_NETWORKS = ("0.0.0.0/0", "::/0")


class AgentCeilings(Value, kw_only=True):
    """`[mcp]`: what an API token may do at most with one act, and within an hour."""

    partitions_max: int = 100
    """Partitions that one act computes."""
    rows_max: int = 100_000
    """Held or rejected rows that one act accepts or drops."""
    bytes_max: int = 10 << 30
    """Estimated bytes that one act computes."""
    acts_per_hour: int = 30
    """Acts of one token."""
    exempt: tuple[str, ...] = ()
    """Names of tokens that no ceiling holds."""


class CostRates(Value):
    """What work and storage cost, in `currency`.

    `slot_hour` is for one worker slot that is busy for an hour, `gb_month` for 10⁹ bytes that are
    stored for 30 days, `gb_read` for 10⁹ bytes that attempts read.
    """

    currency: str
    slot_hour: float = 0.0
    gb_month: float = 0.0
    gb_read: float = 0.0
    budget_month: float | None = None
    """What the whole project may cost in a calendar month."""
    budgets: dict[str, float] = {}
    """Domain → what it may cost in a calendar month."""

    def of(self, slot_us: float, bytes_read: float, byte_months: float) -> float:
        """Return the cost of work in microseconds, of bytes read, and of bytes stored × months."""
        return (
            slot_us / 3_600_000_000 * self.slot_hour
            + bytes_read / 1e9 * self.gb_read
            + byte_months / 1e9 * self.gb_month
        )


class Settings(Value, kw_only=True):
    """`headrace.toml`."""

    name: str
    timezone: str = "UTC"
    workers: int = 2
    executor: str = "local"
    """Where asset code runs: `local`, in pre-started processes on this machine, or `dask`."""
    dask: str | None = None
    """The address of the Dask cluster's scheduler."""
    memory_max: str | None = None
    """Default memory limit of an attempt; None: an equal share of the machine's memory."""
    pass_environment: tuple[str, ...] = ()
    """Names of environment variables passed to asset code in addition to the fixed ones."""
    sandbox: str = SandboxMode.COMMANDS
    """Which asset code is restricted to its inputs: `commands`, `on` (Python, too) or `off`."""
    store_url: str = "sqlite:.headrace/state.db"
    store_schema: str = "headrace"
    """PostgreSQL schema of the state; the lake's catalog is in this name with `_lake` appended."""
    store_connection: str | None = None
    """The connection from `[store] connection = …`, which replaces `store_url`; None without it."""
    lake_path: str = ".headrace/lake"
    parameters: dict[str, Any] = {}
    pools: dict[str, int] = {}
    selectors: dict[str, str] = {}
    """Named selections, as they are typed behind a command: `tag:nightly --exclude orders`."""
    retention: dict[str, str] = {}
    backup: Backups = Backups()
    sign_in: SignIn | None = None
    connections: dict[str, dict[str, Any]] = {}
    notify: dict[str, dict[str, Any]] = {}
    environments: dict[str, dict[str, Any]] = {}
    openlineage: dict[str, str] = {}
    """Target of lineage events: a project `file` or a `url` with `token`, and a `namespace`."""
    keys: dict[str, str] = {}
    """References to the root key and, while it is replaced, to the `previous` one."""
    private_addresses: tuple[str, ...] = ALL_NETWORKS
    """Networks of private addresses that HTTP requests may be sent to."""
    rules: tuple[PolicyRule, ...] = ()
    """The rules of `[policy]`, that of `backfill_approval` first."""
    policy_tests: tuple[Expectation, ...] = ()
    policy: dict[str, str] = {}
    """The rule of versions that were applied before rules were in `rules`."""
    mcp: AgentCeilings = AgentCeilings()
    serve_url: str | None = None
    """The address at which people open the server of `headrace serve`, for links in messages."""
    costs: CostRates | None = None
    """What work and storage cost; None without `[costs]`."""
    environment: str = "prod"
    """`prod`, or the name in `environments` whose overrides are applied to these settings."""
    paths: dict[str, str] = {}
    """In an environment: source folder → folder to read instead."""
    tick_every: str | None = None
    """Interval at which an external scheduler such as cron runs the project, if declared."""
    look_every: str = "60s"
    """Interval at which `serve` polls every source; it notices changes in local folders at once."""

    @property
    def policy_rules(self) -> tuple[PolicyRule, ...]:
        """The rules that ask for approvals."""
        former = (PolicyRule(name=name, when=when) for name, when in self.policy.items())
        return (*former, *self.rules)


class Project(Value, kw_only=True):
    """All declarations below one `headrace.toml`, validated without reading any data."""

    settings: Settings
    owners: dict[str, Owner] = {}
    access: AccessRules | None = None
    """None without `access.yaml`: the operating system decides who may use the project."""
    sources: dict[str, Source] = {}
    assets: dict[str, Asset] = {}
    consumers: dict[str, Consumer] = {}
    contracts: dict[str, Contract] = {}
    calendars: dict[str, Calendar] = {}
    macros: dict[str, str] = {}
    """Text of `macros/*.sql`, by file."""
    tests: tuple[AssetTest, ...] = ()

    def node(self, name: str) -> Source | Asset | Consumer | None:
        """Return the source, asset or consumer of that name, or None."""
        return self.source_or_asset(name) or self.consumers.get(name)

    def kind(self, name: str) -> str | None:
        """Return `source`, `asset` or `consumer`; None for a name that isn't declared."""
        if name in self.sources:
            return "source"
        if name in self.assets:
            return "asset"
        return "consumer" if name in self.consumers else None

    def nodes(self) -> list[Source | Asset | Consumer]:
        """Return all sources, assets and consumers."""
        return [*self.sources.values(), *self.assets.values(), *self.consumers.values()]

    def source_or_asset(self, name: str) -> Source | Asset | None:
        """Return the source or asset of that name, or None."""
        return self.sources.get(name) or self.assets.get(name)

    def timezone_of(self, name: str) -> str:
        """Return the time zone of a source or asset; UTC if there is none of that name."""
        node = self.source_or_asset(name)
        return "UTC" if node is None else node.timezone
