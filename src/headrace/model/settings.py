"""`headrace.toml`."""

from __future__ import annotations

import re
from typing import Any

from headrace.model.asset_environment import read_pass_environment
from headrace.model.connections import check_kind
from headrace.model.documents import LocatedMapping, kind_of, plain
from headrace.model.environments import PRODUCTION
from headrace.model.errors import UsageError
from headrace.model.fields import Fields
from headrace.model.names import OWNER
from headrace.model.nodes import Backups, Settings
from headrace.model.openlineage import OPENLINEAGE, read_openlineage
from headrace.model.parameters import read_parameters
from headrace.model.paths import read_path
from headrace.model.policy import RULES, parse_rule
from headrace.model.reporting import Report, shown
from headrace.model.secrets import check_channel, check_connection, is_reference

WORKERS_MAX = 256
POOL_SLOTS_MAX = 100_000
RUN = ("workers", "look_every", "tick_every", "executor", "dask", "memory_max", "pass_environment")
EXECUTORS = ("local", "dask")
_DASK_ADDRESS = re.compile(r"(tcp|tls)://[A-Za-z0-9._\[\]:-]{1,255}:\d{1,5}", re.ASCII)
NAME_CHARACTERS_MAX = 100
_TABLES = (
    "project", "run", "store", "lake", "pools", "parameters", "retention", "backup", "connections", "notify", "environments",
    "policy", "openlineage",
)  # fmt: skip
_ENVIRONMENT = ("workers", "connections", "notify", "store", "lake", "paths", "parameters", "pools", "retention", "policy")
_RETENTION = ("snapshots", "history", "raw", "quarantine", "logs")
BACKUP = ("every", "keep", "to")
OFF = "off"
BACKUPS_KEPT_MAX = 1_000
_STORES = ("sqlite:", "postgresql://", "postgres://")


def read_settings(document: LocatedMapping, report: Report) -> Settings | None:
    """The settings; None where the project has no usable name, and then that is reported."""
    fields = Fields(document, report, _TABLES, what="headrace.toml")
    project = _table(fields, "project", ("name", "timezone", "description"))
    if "project" not in fields:
        report.error("missing_field", 1, "headrace.toml has no [project]", 'write [project], name = "…", timezone = "…"')
    if not isinstance(fields.raw("project"), LocatedMapping):
        return None
    name = project.required("name", 'add name = "flights" to [project]')
    timezone = project.timezone("timezone") or "UTC"
    parts = _parts(fields)
    if name is None or not _usable(project, name):
        return None
    return Settings(name=name, timezone=timezone, **parts)


def _parts(fields: Fields) -> dict[str, Any]:
    run = _table(fields, "run", RUN)
    store = _table(fields, "store", ("url", "connection", "schema"))
    lake = _table(fields, "lake", ("path",))
    results = {
        "workers": run.whole("workers", minimum=1, maximum=WORKERS_MAX),
        "executor": run.choice("executor", EXECUTORS, EXECUTORS[0]),
        "dask": _dask(run),
        "memory_max": run.size("memory_max") if "memory_max" in run else None,
        "pass_environment": read_pass_environment(run) if "pass_environment" in run else None,
        "tick_every": run.duration("tick_every", "") if "tick_every" in run else None,
        "look_every": run.duration("look_every", "") if "look_every" in run else None,
        "store_url": _store_url(store),
        "store_schema": store.text("schema") if "schema" in store else None,
        "store_connection": store.text("connection") if "connection" in store else None,
        "lake_path": read_path(lake, "path") if "path" in lake else None,
        "parameters": read_parameters(fields),
        "pools": _pools(fields),
        "retention": _durations(fields),
        "backup": _backup(_table(fields, "backup", BACKUP)),
        "connections": _tables(fields, "connections"),
        "notify": _tables(fields, "notify"),
        "environments": _environments(fields),
        "policy": _policy(fields),
        "openlineage": read_openlineage(_table(fields, "openlineage", OPENLINEAGE)),
    }
    return {name: value for name, value in results.items() if value is not None}


def _table(fields: Fields, name: str, known: tuple[str, ...]) -> Fields:
    """The fields of a table, or of an empty one where it isn't there."""
    block = fields.block_of(name)
    return Fields(block if block is not None else LocatedMapping(fields.line(name)), fields.report, known, what=f"[{name}]")


def _dask(run: Fields) -> str | None:
    """The scheduler's address, which must be there when it is needed."""
    address = run.text("dask") if "dask" in run else None
    if address is not None and not _DASK_ADDRESS.fullmatch(address):
        run.refuse("dask", f"{shown(address)} isn't the address of a Dask scheduler", 'write dask = "tcp://host:8786", or tls://…')
        return None
    if "dask" not in run and run.block.get("executor") == "dask":
        run.refuse("executor", "Dask needs the address of its scheduler", 'add dask = "tcp://host:8786" to [run]', code="missing_field")
    return address


def _usable(project: Fields, name: str) -> bool:
    if len(name) <= NAME_CHARACTERS_MAX and name.isprintable():
        return True
    project.refuse("name", f"{shown(name)} can't name a project", f"one line of at most {NAME_CHARACTERS_MAX} characters", code="bad_name")
    return False


def _store_url(store: Fields) -> str | None:
    if "url" not in store:
        return None
    url = store.text("url")
    if url is None:
        return None
    check_connection("store", store.block, store.block.lines, store.block.line, store.report)
    if not url.startswith(_STORES) and not is_reference(url):
        store.refuse(
            "url", f"{shown(url.partition(':')[0] + ':')} is no kind of store", 'write "sqlite:.headrace/state.db" or "postgresql://…"'
        )
        return None
    return url


def _pools(fields: Fields) -> dict[str, int]:
    block = fields.block_of("pools") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="[pools]")
    for name in block:
        if not OWNER.fullmatch(name):
            fields.report.error("bad_name", block.lines[name], f"{shown(name)} can't name a pool", "letters, digits, `_`, `-` and `.`")
    slots = {name: inner.whole(name, minimum=1, maximum=POOL_SLOTS_MAX) for name in block}
    return {name: count for name, count in slots.items() if count is not None}


def _durations(fields: Fields) -> dict[str, str]:
    inner = _table(fields, "retention", _RETENTION)
    results = {name: inner.duration(name, "") for name in _RETENTION if name in inner}
    return {name: value for name, value in results.items() if value}


def _backup(fields: Fields) -> Backups:
    base = Backups()
    every: str | None = base.every
    if fields.block.get("every") == OFF:
        every = None
    elif "every" in fields:
        every = fields.duration("every", base.every or "")
    keep = fields.whole("keep", minimum=1, maximum=BACKUPS_KEPT_MAX) if "keep" in fields else None
    to = fields.text("to") if "to" in fields else None
    if to is not None and ("://" in to or "\0" in to or not to.strip()):
        fields.refuse("to", f"{shown(to)} is no folder", 'write to = "/mnt/backups/shop": a folder of this machine, which may be mounted')
        to = None
    return Backups(every=every, keep=base.keep if keep is None else keep, to=to)


def _tables(fields: Fields, name: str) -> dict[str, dict[str, Any]]:
    """[connections.X] or [notify.X]: kept as they are, except for secrets, which must be references."""
    block = fields.block_of(name) or LocatedMapping(0)
    check = check_channel if name == "notify" else check_connection
    results = {}
    for key, value in block.items():
        line = block.lines[key]
        if not isinstance(value, LocatedMapping):
            fields.report.error(
                "wrong_type", line, f"{shown(f'{name}.{key}')} must be a table, not {kind_of(value)}", f"write [{name}.{key}]"
            )
        elif not OWNER.fullmatch(key):
            fields.report.error("bad_name", line, f"{shown(key)} can't name one of [{name}]", "letters, digits, `_`, `-` and `.`")
        else:
            check(f"{name}.{key}", value, value.lines, value.line, fields.report)
            if name == "connections":
                check_kind(key, value, fields.report)
            results[key] = plain(value)
    return results


def _environments(fields: Fields) -> dict[str, dict[str, Any]]:
    block = fields.block_of("environments") or LocatedMapping(0)
    results = {}
    for name, value in block.items():
        if not isinstance(value, LocatedMapping):
            fields.report.error(
                "wrong_type", block.lines[name], f"the environment {shown(name)} must be a table", f"write [environments.{name}]"
            )
            continue
        inner = Fields(value, fields.report, _ENVIRONMENT, what=f"the environment {shown(name)}")
        inner.whole("workers", minimum=1, maximum=WORKERS_MAX)
        for tables in ("connections", "notify"):
            _tables(inner, tables)
        _pools(inner)
        _policy(inner)
        _store_url(_table(inner, "store", ("url", "connection", "schema")))
        for table in ("lake", "paths"):
            folders = inner.block_of(table) or LocatedMapping(0)
            paths = Fields(folders, fields.report, ("path",) if table == "lake" else tuple(folders), what=f"[environments.{name}.{table}]")
            for path in folders:
                read_path(paths, path)
        if name == PRODUCTION or not OWNER.fullmatch(name):
            hint = "prod is what headrace.toml says outside of it" if name == PRODUCTION else "letters, digits, `_`, `-` and `.`"
            fields.report.error("bad_name", block.lines[name], f"{shown(name)} can't name an environment", hint)
            continue
        results[name] = plain(value)
    return results


def _policy(fields: Fields) -> dict[str, str]:
    inner = _table(fields, "policy", RULES)
    results = {}
    for name in RULES:
        text = inner.text(name) if name in inner else None
        if text is None:
            continue
        try:
            parse_rule(text)
        except UsageError as error:
            inner.refuse(name, f"{shown(name)} isn't a rule: {error}", error.hint)
        else:
            results[name] = text
    return results
