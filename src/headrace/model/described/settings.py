"""The tables of headrace.toml."""

from __future__ import annotations

from headrace.model.described.vocabulary import (
    DURATION,
    MAPPING,
    PARAMETERS,
    SIZE,
    TEXT,
    TEXTS,
    ZONE,
    FieldDescription,
    Schema,
    closed,
    one_of,
    texts_by_name,
    whole,
)
from headrace.model.openlineage import OPENLINEAGE
from headrace.model.policy import RULES
from headrace.model.settings import _ENVIRONMENT, _RETENTION, BACKUPS_KEPT_MAX, EXECUTORS, POOL_SLOTS_MAX, WORKERS_MAX

_WORKERS = whole(1, WORKERS_MAX)
_STORE = closed({"url": TEXT, "connection": TEXT, "schema": TEXT})
_LAKE = closed({"path": TEXT})
_TABLES: Schema = texts_by_name(MAPPING)
_POOLS = texts_by_name(whole(1, POOL_SLOTS_MAX))
_POLICY = closed(dict.fromkeys(RULES, TEXT))
_RETAINED = closed(dict.fromkeys(_RETENTION, DURATION))
_OF_AN_ENVIRONMENT: dict[str, Schema] = {
    "workers": _WORKERS,
    "connections": _TABLES,
    "notify": _TABLES,
    "store": _STORE,
    "lake": _LAKE,
    "paths": texts_by_name(TEXT),
    "parameters": PARAMETERS,
    "pools": _POOLS,
    "retention": _RETAINED,
    "policy": _POLICY,
}

SETTINGS = (
    FieldDescription(
        "project",
        closed({"name": TEXT, "timezone": ZONE, "description": TEXT}, "name"),
        "its name, and the zone that it lives in",
        required=True,
    ),
    FieldDescription(
        "run",
        closed(
            {
                "workers": _WORKERS,
                "look_every": DURATION,
                "tick_every": DURATION,
                "executor": one_of(EXECUTORS),
                "dask": TEXT,
                "memory_max": SIZE,
                "pass_environment": TEXTS,
            }
        ),
        "how many attempts run at once, where, with how much memory each, and which environment variables asset code gets besides the "
        "fixed ones; how often `serve` polls every source; how often `tick` is run by cron or another scheduler, after "
        "which a state that nobody observed is `unknown`",
        'workers = 2, look_every = "60s"',
    ),
    FieldDescription("store", _STORE, "where the state is: a SQLite file or a PostgreSQL database", 'url = "sqlite:.headrace/state.db"'),
    FieldDescription("lake", _LAKE, "the folder of published data", 'path = ".headrace/lake"'),
    FieldDescription("pools", _POOLS, "slots that attempts share: a database that takes eight queries at once, say"),
    FieldDescription("parameters", PARAMETERS, "values bound as `$name` in every body"),
    FieldDescription(
        "retention",
        _RETAINED,
        "how long snapshots, history, raw bytes, quarantine and logs are kept",
        'snapshots = "30d", history = "400d"',
    ),
    FieldDescription(
        "backup",
        closed({"every": TEXT, "keep": whole(1, BACKUPS_KEPT_MAX), "to": TEXT}),
        'how often the leader copies state and catalog, how many copies are kept, and in which folder; `every = "off"` for never',
        'every = "1d", keep = 7, to = ".headrace/backups"',
    ),
    FieldDescription("connections", _TABLES, "databases and remote folders; secrets are references"),
    FieldDescription("notify", _TABLES, "channels for messages, by the names that owners' `contact` uses"),
    FieldDescription(
        "environments",
        texts_by_name(closed({name: _OF_AN_ENVIRONMENT.get(name, {}) for name in _ENVIRONMENT})),
        "what is otherwise in `--env NAME`; exports are off there",
    ),
    FieldDescription("policy", _POLICY, "what needs an approval"),
    FieldDescription(
        "openlineage",
        closed(dict.fromkeys(OPENLINEAGE, TEXT)),
        "where OpenLineage events of attempts go: a file of the project, or a URL with its token",
    ),
)
