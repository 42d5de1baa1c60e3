"""Kinds of declaration files with their fields, in words and as JSON Schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from headrace.model import yaml_access, yaml_files
from headrace.model.access import Permission, Role
from headrace.model.asset_fields import ASSET, ASSET_FIELDS, COMMAND, COMMAND_FIELDS
from headrace.model.check_kinds import (
    BUILT_IN,
    CheckDeclaration,
    built_in_checks,
    check_declaration,
)
from headrace.model.common_fields import COMMON, CONCURRENCY_MAX
from headrace.model.costs import RATE_FIELDS, RATE_MAX
from headrace.model.defaults import DEFAULTS
from headrace.model.exports import ExportFormat
from headrace.model.for_each import FOR_EACH
from headrace.model.key_fields import KEY_FIELDS
from headrace.model.nodes import BadgeAccess, Grain
from headrace.model.plugin_fields import SourceField, export_declaration, source_field
from headrace.model.plugins import (
    CHECKS,
    EXPORTS,
    FORMATS,
    OWN_FORMATS,
    SOURCES,
    BrokenPlugin,
    Plugin,
    own_kinds,
    plugin_names,
)
from headrace.model.policy import APPROVAL
from headrace.model.policy_fields import APPROVERS, COUNT_MAX, EXPECTED
from headrace.model.schemas import (
    DURATION,
    FLAG,
    MAPPING,
    PARAMETERS,
    ROWS,
    SIZE,
    TEXT,
    TEXTS,
    TIME_OFFSET,
    ZONE,
    Field,
    Schema,
    Section,
    checks_schema,
    closed,
    listed,
    one_of,
    texts_by_name,
    whole,
)
from headrace.model.settings import (
    _ENVIRONMENT_FIELDS,
    _RETENTION_FIELDS,
    BACKUPS_KEPT_MAX,
    CEILING_MAX,
    EXECUTOR_KINDS,
    HTTP_FIELDS,
    OPENLINEAGE_FIELDS,
    POOL_SLOTS_MAX,
    SANDBOX_STATES,
    SERVE_FIELDS,
    SIGN_IN_FIELDS,
    WORKERS_MAX,
)
from headrace.model.source_fields import SOURCE, SOURCE_FIELDS

# Tables of headrace.toml.

_WORKERS = whole(1, WORKERS_MAX)
_STORE = closed({"url": TEXT, "connection": TEXT, "schema": TEXT})
_LAKE = closed({"path": TEXT})
_TABLES: Schema = texts_by_name(MAPPING)
_RATE: Schema = {"type": "number", "minimum": 0, "maximum": RATE_MAX}
_POOLS = texts_by_name(whole(1, POOL_SLOTS_MAX))
_NEED = closed({"role": one_of(APPROVERS), "of": TEXT}, "role")
_RULE = closed(
    {"name": TEXT, "when": TEXT, "needs": listed(_NEED), "count": whole(1, COUNT_MAX)},
    "name",
    "when",
)
_POLICY_TEST = closed(
    {"actor": TEXT, "plan": MAPPING, "expect": one_of(EXPECTED)}, "actor", "plan", "expect"
)
_POLICY = closed({APPROVAL: TEXT, "rule": listed(_RULE), "tests": listed(_POLICY_TEST)})
_RETAINED = closed(dict.fromkeys(_RETENTION_FIELDS, DURATION))
_ENVIRONMENT_SCHEMAS: dict[str, Schema] = {
    "workers": _WORKERS,
    "connections": _TABLES,
    "notify": _TABLES,
    "store": _STORE,
    "lake": _LAKE,
    "paths": texts_by_name(TEXT),
    "parameters": PARAMETERS,
    "pools": _POOLS,
    "retention": _RETAINED,
    "policy": closed({APPROVAL: TEXT}),
}

SETTINGS = (
    Field(
        "project",
        closed({"name": TEXT, "timezone": ZONE, "description": TEXT}, "name"),
        "its name, and the zone that it lives in",
        required=True,
    ),
    Field(
        "run",
        closed(
            {
                "workers": _WORKERS,
                "look_every": DURATION,
                "tick_every": DURATION,
                "executor": one_of(EXECUTOR_KINDS),
                "dask": TEXT,
                "memory_max": SIZE,
                "pass_environment": TEXTS,
                "sandbox": one_of(SANDBOX_STATES),
            }
        ),
        "how many attempts run at once, where, with how much memory each, and which environment"
        " variables asset code gets besides the fixed ones; which of it is restricted to its inputs"
        " (`sandbox`: `commands`, `on` for Python, too, or `off`); how often `serve` polls every"
        " source; how often `tick` is run by cron or another scheduler, after which a state that"
        " nobody observed is `unknown`",
        'workers = 2, look_every = "60s"',
    ),
    Field(
        "store",
        _STORE,
        "where the state is: a SQLite file or a PostgreSQL database",
        'url = "sqlite:.headrace/state.db"',
    ),
    Field("lake", _LAKE, "the folder of published data", 'path = ".headrace/lake"'),
    Field(
        "pools",
        _POOLS,
        "slots that attempts share: a database that takes eight queries at once, say",
    ),
    Field("parameters", PARAMETERS, "values bound as `$name` in every body"),
    Field(
        "selectors",
        texts_by_name(TEXT),
        "selections by name, as they are typed behind a command; `selector:NAME` selects the same",
        'nightly = "tag:nightly --exclude orders"',
    ),
    Field(
        "retention",
        _RETAINED,
        "how long snapshots, history, raw bytes, quarantine and logs are kept, and the data of"
        " nodes that aren't declared any more (`pruned`; without it, that data stays)",
        'snapshots = "30d", history = "400d"',
    ),
    Field(
        "backup",
        closed({"every": TEXT, "keep": whole(1, BACKUPS_KEPT_MAX), "to": TEXT}),
        "how often the leader copies state and catalog, how many copies are kept, and in which"
        ' folder; `every = "off"` for never',
        'every = "1d", keep = 7, to = ".headrace/backups"',
    ),
    Field(
        "sign_in",
        closed({**dict.fromkeys(SIGN_IN_FIELDS, TEXT), "scopes": TEXTS}),
        "the OpenID Connect provider at which people sign in to the server; `groups` is the claim"
        " with their groups",
        'issuer = "https://login.example.com", client_id = "headrace",'
        ' client_secret = "secret://env/SIGN_IN_SECRET"',
    ),
    Field("connections", _TABLES, "databases and remote folders; secrets are references"),
    Field("notify", _TABLES, "channels for messages, by the names that owners' `contact` uses"),
    Field(
        "environments",
        texts_by_name(
            closed({name: _ENVIRONMENT_SCHEMAS.get(name, {}) for name in _ENVIRONMENT_FIELDS})
        ),
        "what is otherwise in `--env NAME`; exports are off there",
    ),
    Field(
        "policy",
        _POLICY,
        "which consequences need an approval, and whose; `tests` say what is expected of the rules",
        'rule = [{name = "large", when = "partitions > 100"}]',
    ),
    Field(
        "openlineage",
        closed(dict.fromkeys(OPENLINEAGE_FIELDS, TEXT)),
        "where OpenLineage events of attempts go: a file of the project, or a URL with its token",
    ),
    Field(
        "keys",
        closed(dict.fromkeys(KEY_FIELDS, TEXT)),
        "references to the root key of masks, and to the previous one while it is replaced; and"
        " how Vault is reached, if it has them",
    ),
    Field(
        "http",
        closed(dict.fromkeys(HTTP_FIELDS, TEXTS)),
        "whether sources, webhooks and lineage events may go to private addresses: `allow` (the"
        " default), `refuse`, or a list of networks like `10.20.0.0/16`",
        'private_addresses = "allow"',
    ),
    Field(
        "costs",
        closed(
            {
                "currency": TEXT,
                **dict.fromkeys(RATE_FIELDS, _RATE),
                "budgets": texts_by_name(_RATE),
            },
            "currency",
        ),
        "what a worker slot costs an hour (`slot_hour`), 10⁹ stored bytes a month of 30 days"
        " (`gb_month`) and 10⁹ read bytes (`gb_read`), and what a calendar month may cost: in all"
        " (`budget_month`) and by domain (`budgets`)",
        'currency = "EUR", slot_hour = 0.12, gb_month = 0.02, budget_month = 500',
    ),
    Field(
        "mcp",
        closed(
            {
                "partitions_max": whole(0, CEILING_MAX),
                "rows_max": whole(0, CEILING_MAX),
                "bytes_max": SIZE,
                "acts_per_hour": whole(0, CEILING_MAX),
                "exempt": TEXTS,
            }
        ),
        "what an API token may do at most with one act, and how often within an hour;"
        " `exempt` names the tokens for which no ceiling holds",
        'partitions_max = 100, rows_max = 100_000, bytes_max = "10GiB", acts_per_hour = 30',
    ),
    Field(
        "serve",
        closed(dict.fromkeys(SERVE_FIELDS, TEXT)),
        "the address at which people open the web UI, for links in messages",
    ),
)


# Kinds of files, each with its fields.

_OWNER = (
    Field(
        "kind",
        one_of(yaml_files.OWNER_KINDS),
        "what it is; a vendor gets no messages unless `tell: true`",
        "team",
    ),
    Field("contact", TEXTS, "where messages go: names of [notify.…], or mailto:…"),
    Field("manager", TEXT, "the owner who is notified instead, or as well"),
    Field("tell", FLAG, "whether messages go to it itself", "true for teams, false for vendors"),
    Field(
        "concurrency",
        whole(1, CONCURRENCY_MAX),
        "how many attempts at what it owns run at once",
        "no limit but workers and pools",
    ),
    Field(
        "quiet",
        {**TEXT, "examples": ["22:00-07:00"]},
        "hours in which only what can't wait is sent, in the project's zone",
    ),
    Field(
        "escalate", DURATION, "how long an incident may be open before the manager is told as well"
    ),
    Field(
        "digest",
        {**TEXT, "examples": ["08:00"]},
        "when it is told each day what has changed; on days without a change nothing",
    ),
)
_LIMITS = (
    Field("domain", TEXTS, "only nodes of these domains"),
    Field("owner", TEXTS, "only nodes of these owners"),
    Field("tag", TEXTS, "only nodes with one of these tags"),
    Field("env", TEXTS, "only these environments"),
)
_SUBJECTS = Field(
    "to",
    {**TEXTS, "examples": [["user:ana", "group:ops", "token:ci"]]},
    "who: users and groups of the operating system, and API tokens",
    required=True,
)
_ACCESS = (
    Field("role", one_of(tuple(Role)), "the role that they get; or `forbid`"),
    Field(
        "forbid",
        one_of(tuple(Permission)),
        "the permission that nobody of them has, whatever other rules say; instead of `role`",
    ),
    Field(
        "break_glass",
        one_of(tuple(Role)),
        "the role that they may take for at most 60 minutes in an emergency; instead of `role`",
    ),
    Field("same_person", TEXTS, "names of one person, as `user:NAME`; instead of `role` and `to`"),
    _SUBJECTS,
    *_LIMITS,
    Field("column", TEXTS, "of `forbid: read`: only these columns, as NODE.COLUMN"),
    Field("until", TEXT, "of a role: the last day on which they have it", "no end"),
    Field(
        "administer",
        {"type": "boolean"},
        "of `break_glass: admin`: whether it includes keys, erasures, tokens and backups",
        "no",
    ),
)
_TABLE_FIELDS = {"connection": TEXT, "table": TEXT, "interval_column": {"type": ["string", "null"]}}
_TABLE = closed(_TABLE_FIELDS, "connection", "table")
_ON_RESTATEMENT = one_of(("redeliver", "tell"))
_CLEAR = {"type": "object", "additionalProperties": TEXT}


def _export(formats: Iterable[str]) -> Schema:
    return {
        "anyOf": [
            closed(
                {
                    "to": {"anyOf": [TEXT, _TABLE]},
                    "format": one_of(formats),
                    "connection": TEXT,
                    "on_restatement": _ON_RESTATEMENT,
                    "options": {"type": "object"},
                    "csv": closed({"escape_formulas": {"type": "boolean"}}),
                    "clear": _CLEAR,
                },
                "to",
            ),
            closed(
                {**_TABLE_FIELDS, "on_restatement": _ON_RESTATEMENT, "clear": _CLEAR},
                "connection",
                "table",
            ),
        ]
    }


_CONSUMER = (
    Field("consumer", TEXT, "its name", required=True),
    *COMMON,
    Field("reads", TEXTS, "the assets (or sources) that it needs", required=True),
    Field(
        "per",
        one_of(Grain),
        "how often it is due; with `max_age` no shorter than the partitions that it reads",
        "day",
    ),
    Field("due", TIME_OFFSET, "by when after each interval; one of `due` and `max_age`"),
    Field("max_age", DURATION, "how old its data may be; one of `due` and `max_age`"),
    Field(
        "since",
        {**TEXT, "examples": ["2013-02-11"]},
        "a date or a time: what is due from then on is promised; what was due before never was",
        "when it is applied",
    ),
    Field(
        "export",
        _export(ExportFormat),
        "where what it reads is written: a file, a URL, or a table of a connection",
    ),
    Field("importance", TEXT, "how much depends on it, in your own words"),
    Field(
        "badge",
        one_of(BadgeAccess),
        "who gets `/badge/CONSUMER.svg`: `public` is everybody who reaches the server",
        "private",
    ),
)
_TEST = (
    Field("test", TEXT, "its name", required=True),
    Field("asset", TEXT, "what is computed", required=True),
    Field("description", TEXT, "what it is about, for people"),
    Field(
        "partition",
        TEXT,
        "which partition is computed; needed where the asset is partitioned by time",
        "*",
    ),
    Field(
        "given",
        texts_by_name(ROWS),
        "rows of what the asset reads: a list, or a CSV, JSON, JSON lines or Parquet file",
        "no rows",
    ),
    Field("expect", ROWS, "the rows that must come of it; columns that aren't named are ignored"),
    Field("ordered", FLAG, "whether the rows must come in this order", "false"),
    Field(
        "expect_error", TEXT, "text of the error that the body must fail with, instead of `expect`"
    ),
    Field(
        "checks",
        texts_by_name(one_of(yaml_files.CHECK_OUTCOMES)),
        "how the asset's own checks must come out",
        "only reported",
    ),
    Field("parameters", PARAMETERS, "other values of the asset's parameters"),
)
_DATES = {"type": "array", "items": TEXT}
_CALENDAR = (
    Field("calendar", TEXT, "its name", "the file's"),
    Field("description", TEXT, "what it is about, for people"),
    Field("dates", _DATES, "the dates on which nothing is due", required=True),
)

_DEFAULTS = {field.name: field for field in (*DEFAULTS["sources"], *DEFAULTS["assets"])}

SECTIONS: tuple[Section, ...] = (
    Section(
        "project",
        "headrace.toml",
        ("headrace.toml",),
        tuple(setting.name for setting in SETTINGS),
        SETTINGS,
    ),
    Section("owners", "Owners", ("owners.yaml",), yaml_files._OWNER_FIELDS, _OWNER, named=True),
    Section(
        "access",
        "Access",
        ("access.yaml",),
        (
            *yaml_access.GRANT_FIELDS,
            *yaml_access.FORBID_FIELDS,
            *yaml_access.BREAK_GLASS_FIELDS,
            *yaml_access.PERSON_FIELDS,
        ),
        _ACCESS,
        listed=True,
    ),
    Section(
        "sources",
        "Sources",
        ("sources/**/*.yaml",),
        {*SOURCE_FIELDS, FOR_EACH.name},
        (FOR_EACH, *SOURCE),
        listed=True,
    ),
    Section(
        "assets",
        "Assets in YAML: commands, and front matters of .sql files",
        ("assets/**/*.yaml",),
        {*COMMAND_FIELDS, FOR_EACH.name},
        (FOR_EACH, *COMMAND, *ASSET),
        listed=True,
    ),
    Section(
        "front_matter",
        "The front matter of an asset in SQL, and the arguments of @asset",
        (),
        {*ASSET_FIELDS, FOR_EACH.name},
        (FOR_EACH, *ASSET),
    ),
    Section(
        "defaults",
        "Defaults of the declarations in a folder, and in those below it",
        ("sources/**/defaults.yaml", "assets/**/defaults.yaml"),
        {*_DEFAULTS},
        tuple(_DEFAULTS.values()),
    ),
    Section(
        "consumers",
        "Consumers",
        ("consumers.yaml",),
        {*yaml_files._CONSUMER_FIELDS, FOR_EACH.name},
        (FOR_EACH, *_CONSUMER),
        listed=True,
    ),
    Section(
        "tests",
        "Tests",
        ("tests/**/*.yaml",),
        {*yaml_files.TEST_FIELDS, FOR_EACH.name},
        (FOR_EACH, *_TEST),
        listed=True,
    ),
    Section(
        "calendars",
        "Calendars",
        ("calendars/**/*.yaml",),
        ("calendar", "description", "dates"),
        _CALENDAR,
    ),
)
"""All kinds of declaration files except contracts, which follow the schema of ODCS v3."""


# What kinds of one class add. A class that can't be used is left out: `validate` reports it where
# a declaration names it.

NamesOf: TypeAlias = Callable[[str], Iterable[str]]
"""Group → names of kinds: `plugin_names`, or `own_kinds` for those of Headrace itself only."""


def with_kinds(section: Section, names_of: NamesOf = plugin_names) -> Section:
    """Return a kind of file with the checks, fields and formats that kinds of one class add."""
    if section.name not in ("sources", "assets", "front_matter", "defaults", "consumers"):
        return section
    fields = tuple(_with_kinds(field, names_of) for field in section.fields)
    if section.name != "sources":
        return section._replace(fields=fields)
    added = tuple(
        Field(item.name, item.value_schema(), item.meaning) for item in _source_fields(names_of)
    )
    known = frozenset((*section.known, *(field.name for field in added)))
    return section._replace(fields=(*fields, *added), known=known)


def _with_kinds(field: Field, names_of: NamesOf) -> Field:
    if field.name == "checks":
        return field._replace(schema=checks_schema((*built_in_checks(), *_added_checks(names_of))))
    if field.name == "export":
        return field._replace(schema=_export(dict.fromkeys((*ExportFormat, *names_of(EXPORTS)))))
    return field


def _added_checks(names_of: NamesOf) -> Iterable[CheckDeclaration]:
    for name in names_of(CHECKS):
        try:
            kind = check_declaration(name)
        except BrokenPlugin:
            continue
        if kind is not None and name not in BUILT_IN:
            yield kind


def _source_fields(names_of: NamesOf) -> Iterable[SourceField]:
    for name in dict.fromkeys((*names_of(SOURCES), *names_of(FORMATS))):
        if name in OWN_FORMATS:
            continue
        try:
            field = source_field(name)
        except BrokenPlugin:
            continue
        if field is not None and name not in SOURCE_FIELDS:
            yield field


def require_usable(plugin: Plugin) -> None:
    """Raise BrokenPlugin for a class that can't be used, or has a name that Headrace has itself."""
    reserved = {
        CHECKS: frozenset(BUILT_IN),
        SOURCES: SOURCE_FIELDS,
        FORMATS: SOURCE_FIELDS,
        EXPORTS: frozenset(ExportFormat),
    }
    if plugin.name in reserved[plugin.group] or plugin.name in own_kinds(plugin.group):
        raise BrokenPlugin(
            plugin,
            "Headrace has this name itself",
            hint="the package must name its class differently",
        )
    if plugin.group == CHECKS:
        check_declaration(plugin.name)
    elif plugin.group == EXPORTS:
        export_declaration(plugin.name)
    else:
        source_field(plugin.name)
