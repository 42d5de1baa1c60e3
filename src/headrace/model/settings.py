"""Reads `headrace.toml`: its tables, the policy language, environments and OpenLineage."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import msgspec

from headrace.model.connections import check_kind
from headrace.model.costs import COST_FIELDS, read_costs
from headrace.model.errors import Report, UnknownName, did_you_mean, shown
from headrace.model.fields import OWNER, Fields, LocatedMapping, kind_of, plain, size_in_bytes
from headrace.model.key_fields import KEY_FIELDS, read_keys
from headrace.model.locations import read_path
from headrace.model.nodes import (
    ALL_NETWORKS,
    AgentCeilings,
    Backups,
    ExecutorKind,
    Project,
    SandboxMode,
    Settings,
    SignIn,
)
from headrace.model.policy import APPROVAL, PolicyRule
from headrace.model.policy_fields import POLICY_FIELDS, read_rules, read_tests, refuse_unknown_costs
from headrace.model.secrets import (
    check_channel,
    check_connection,
    is_reference,
    read_parameters,
    read_pass_environment,
)
from headrace.model.selection import SELECTOR

# Environments (`--env NAME`): the same project with other settings, and its own state, lake and
# statistics. Production is named `prod`; its settings are outside of `[environments.*]`.

PRODUCTION = "prod"
CI = "ci"
"""The environment of `headrace ci`, which is there without being declared."""
_FOLDER = ".headrace/env"


def of_environment(settings: Settings, name: str) -> Settings:
    """Return an environment's settings, with its overrides and its own state and lake.

    Raises UnknownName for an environment that isn't in headrace.toml.
    """
    if name == PRODUCTION:
        return settings
    if name not in settings.environments and name != CI:
        known = [PRODUCTION, *settings.environments]
        hint = (
            did_you_mean(name, known)
            or f"there is {', '.join(known)}; add [environments.{name}] to headrace.toml"
        )
        raise UnknownName(f"there is no environment {name[:60]!r}", hint=hint)
    overrides = settings.environments.get(name, {})
    return msgspec.structs.replace(
        settings,
        environment=name,
        workers=overrides.get("workers", settings.workers),
        store_url=overrides.get("store", {}).get("url", _own_store(settings, name)),
        store_connection=(
            overrides["store"].get("connection")
            if "store" in overrides
            else settings.store_connection
        ),
        lake_path=overrides.get("lake", {}).get("path", f"{_FOLDER}/{name}/lake"),
        parameters={**settings.parameters, **overrides.get("parameters", {})},
        pools={**settings.pools, **overrides.get("pools", {})},
        retention={**settings.retention, **overrides.get("retention", {})},
        connections=_overridden_tables(settings.connections, overrides.get("connections", {})),
        notify=_overridden_tables(settings.notify, overrides.get("notify", {})),
        rules=_overridden_rules(settings.rules, overrides.get("policy", {})),
        paths=overrides.get("paths", {}),
    )


def _own_store(settings: Settings, name: str) -> str:
    """Return an environment's default URL: in PostgreSQL the same database, in SQLite its own file.

    In PostgreSQL, each environment has its own schema.
    """
    return (
        settings.store_url
        if not settings.store_url.startswith("sqlite:")
        else f"sqlite:{_FOLDER}/{name}/state.db"
    )


def _overridden_rules(
    rules: tuple[PolicyRule, ...], overrides: dict[str, Any]
) -> tuple[PolicyRule, ...]:
    """Replace `backfill_approval`; an environment has no other rules of its own."""
    if APPROVAL not in overrides:
        return rules
    override = PolicyRule(name=APPROVAL, when=overrides[APPROVAL], line=overrides["line"])
    return (override, *(rule for rule in rules if rule.name != APPROVAL))


def _overridden_tables(
    base: dict[str, dict[str, Any]], overrides: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Override nested tables field by field."""
    return {
        name: {**base.get(name, {}), **overrides.get(name, {})} for name in {**base, **overrides}
    }


def in_environment(project: Project) -> Project:
    """Return the project as used in the environment of its settings.

    Outside of production, `paths` replace source folders (`landing = "samples"`), and there are no
    exports.
    """
    settings = project.settings
    if settings.environment == PRODUCTION:
        return project
    sources = {
        name: msgspec.structs.replace(source, files=_moved(source.files, settings.paths))
        for name, source in project.sources.items()
    }
    consumers = {
        name: msgspec.structs.replace(consumer, export=None)
        for name, consumer in project.consumers.items()
    }
    return msgspec.structs.replace(project, sources=sources, consumers=consumers)


def _moved(files: str | None, paths: dict[str, str]) -> str | None:
    for folder, instead in paths.items():
        if files is not None and files.startswith(f"{folder.rstrip('/')}/"):
            return f"{instead.rstrip('/')}/{files[len(folder.rstrip('/')) + 1 :]}"
    return files


# `[openlineage]`: the file or URL to which OpenLineage events are sent.

OPENLINEAGE_FIELDS = ("file", "url", "token", "namespace")
_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?([/?]\S*)?", re.ASCII)
_OPENLINEAGE_HINT = (
    'write url = "https://lineage.example.com/api/v1/lineage", or file = "lineage/events.jsonl"'
)


def read_openlineage(fields: Fields) -> dict[str, str] | None:
    """Return `[openlineage]`; None if it is empty, or invalid, which is reported."""
    block = fields.block
    if not block:
        return None
    check_connection("openlineage", block, block.lines, block.line, fields.report)
    results = {
        name: fields.text(name) for name in OPENLINEAGE_FIELDS if name in fields and name != "file"
    }
    if "file" in fields:
        results["file"] = read_path(fields, "file")
    if ("file" in fields) == ("url" in fields):
        fields.report.error(
            "conflicting_fields",
            block.line,
            "[openlineage] needs one of `file` and `url`",
            _OPENLINEAGE_HINT,
        )
        return None
    settings = {name: value for name, value in results.items() if value is not None}
    url = settings.get("url", "https://x")
    if not is_reference(url) and not _URL.fullmatch(url):
        fields.refuse("url", "`url` isn't one that events can be posted to", _OPENLINEAGE_HINT)
        return None
    return settings if "file" in settings or "url" in settings else None


# `[http] private_addresses`: whether requests may be sent to addresses that aren't public.

HTTP_FIELDS = ("private_addresses",)
ADDRESS_POLICIES = {"allow": ALL_NETWORKS, "refuse": ()}


def _private_addresses(fields: Fields) -> tuple[str, ...] | None:
    """Return the networks of private addresses that are allowed; None for the default."""
    if "private_addresses" not in fields:
        return None
    texts = fields.texts("private_addresses")
    if len(texts) == 1 and texts[0] in ADDRESS_POLICIES:
        return ADDRESS_POLICIES[texts[0]]
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            fields.refuse(
                "private_addresses",
                f"{shown(text)} isn't a network",
                'write "allow", "refuse", or a list of networks like ["10.20.0.0/16"]',
            )
            return ()
    return texts


WORKERS_MAX = 256
POOL_SLOTS_MAX = 100_000
RUN_FIELDS = (
    "workers",
    "look_every",
    "tick_every",
    "executor",
    "dask",
    "memory_max",
    "pass_environment",
    "sandbox",
)
SANDBOX_STATES = tuple(mode.value for mode in SandboxMode)
EXECUTOR_KINDS = tuple(kind.value for kind in ExecutorKind)
_DASK_ADDRESS = re.compile(r"(tcp|tls)://[A-Za-z0-9._\[\]:-]{1,255}:\d{1,5}", re.ASCII)
NAME_CHARACTERS_MAX = 100
_TABLES = (
    "project",
    "run",
    "store",
    "lake",
    "pools",
    "parameters",
    "selectors",
    "retention",
    "backup",
    "sign_in",
    "connections",
    "notify",
    "environments",
    "policy",
    "openlineage",
    "keys",
    "http",
    "mcp",
    "serve",
    "costs",
)
_ENVIRONMENT_FIELDS = (
    "workers",
    "connections",
    "notify",
    "store",
    "lake",
    "paths",
    "parameters",
    "pools",
    "retention",
    "policy",
)
_RETENTION_FIELDS = ("snapshots", "history", "raw", "quarantine", "logs", "pruned")
SIGN_IN_FIELDS = ("issuer", "client_id", "client_secret", "scopes", "groups")
BACKUP_FIELDS = ("every", "keep", "to")
SERVE_FIELDS = ("url",)
MCP_FIELDS = ("partitions_max", "rows_max", "bytes_max", "acts_per_hour", "exempt")
OFF = "off"
BACKUPS_KEPT_MAX = 1_000
_STORES = ("sqlite:", "postgresql://", "postgres://")


def read_settings(document: LocatedMapping, report: Report) -> Settings | None:
    """Return the settings; None, with a reported problem, if the project has no valid name."""
    fields = Fields(document, report, _TABLES, what="headrace.toml")
    project = _table(fields, "project", ("name", "timezone", "description"))
    if "project" not in fields:
        report.error(
            "missing_field",
            1,
            "headrace.toml has no [project]",
            'write [project], name = "…", timezone = "…"',
        )
    if not isinstance(fields.raw("project"), LocatedMapping):
        return None
    name = project.required("name", 'add name = "flights" to [project]')
    timezone = project.timezone("timezone") or "UTC"
    parts = _parts(fields)
    if name is None or not _usable(project, name):
        return None
    return Settings(name=name, timezone=timezone, **parts)


def _parts(fields: Fields) -> dict[str, Any]:
    run = _table(fields, "run", RUN_FIELDS)
    store = _table(fields, "store", ("url", "connection", "schema"))
    lake = _table(fields, "lake", ("path",))
    policy = _table(fields, "policy", POLICY_FIELDS)
    rules, costs = read_rules(policy), read_costs(_table(fields, "costs", COST_FIELDS))
    results = {
        "workers": run.whole("workers", minimum=1, maximum=WORKERS_MAX),
        "executor": run.choice("executor", EXECUTOR_KINDS, ExecutorKind.LOCAL),
        "dask": _dask(run),
        "memory_max": run.size("memory_max") if "memory_max" in run else None,
        "pass_environment": read_pass_environment(run) if "pass_environment" in run else None,
        "sandbox": run.choice("sandbox", SANDBOX_STATES, SANDBOX_STATES[0]),
        "tick_every": run.duration("tick_every", "") if "tick_every" in run else None,
        "look_every": run.duration("look_every", "") if "look_every" in run else None,
        "store_url": _store_url(store),
        "store_schema": store.text("schema"),
        "store_connection": store.text("connection"),
        "lake_path": read_path(lake, "path") if "path" in lake else None,
        "parameters": read_parameters(fields),
        "pools": _pools(fields),
        "selectors": _selectors(fields),
        "retention": _durations(fields),
        "sign_in": _sign_in(_table(fields, "sign_in", SIGN_IN_FIELDS)),
        "backup": _backup(_table(fields, "backup", BACKUP_FIELDS)),
        "connections": _secret_tables(fields, "connections"),
        "notify": _secret_tables(fields, "notify"),
        "environments": _environments(fields),
        "rules": rules,
        "policy_tests": read_tests(policy),
        "keys": read_keys(_table(fields, "keys", KEY_FIELDS)),
        "openlineage": read_openlineage(_table(fields, "openlineage", OPENLINEAGE_FIELDS)),
        "private_addresses": _private_addresses(_table(fields, "http", HTTP_FIELDS)),
        "serve_url": _serve_url(_table(fields, "serve", SERVE_FIELDS)),
        "mcp": _agent_ceilings(_table(fields, "mcp", MCP_FIELDS)),
        "costs": costs,
    }
    if costs is None:
        refuse_unknown_costs(rules, fields.report)
    return {name: value for name, value in results.items() if value is not None}


def _table(fields: Fields, name: str, known: tuple[str, ...]) -> Fields:
    """Return the fields of a table, which is empty if absent."""
    block = fields.block_of(name)
    return Fields(
        block if block is not None else LocatedMapping(fields.line(name)),
        fields.report,
        known,
        what=f"[{name}]",
    )


def _dask(run: Fields) -> str | None:
    """Return the Dask scheduler's address; report it if `executor = "dask"` lacks one."""
    address = run.text("dask")
    if address is not None and not _DASK_ADDRESS.fullmatch(address):
        run.refuse(
            "dask",
            f"{shown(address)} isn't the address of a Dask scheduler",
            'write dask = "tcp://host:8786", or tls://…',
        )
        return None
    if "dask" not in run and run.block.get("executor") == "dask":
        run.refuse(
            "executor",
            "Dask needs the address of its scheduler",
            'add dask = "tcp://host:8786" to [run]',
            code="missing_field",
        )
    return address


def _usable(project: Fields, name: str) -> bool:
    if len(name) <= NAME_CHARACTERS_MAX and name.isprintable():
        return True
    project.refuse(
        "name",
        f"{shown(name)} can't name a project",
        f"one line of at most {NAME_CHARACTERS_MAX} characters",
        code="bad_name",
    )
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
            "url",
            f"{shown(url.partition(':')[0] + ':')} is no kind of store",
            'write "sqlite:.headrace/state.db" or "postgresql://…"',
        )
        return None
    return url


def _pools(fields: Fields) -> dict[str, int]:
    block = fields.block_of("pools") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="[pools]")
    for name in block:
        if not OWNER.fullmatch(name):
            fields.report.error(
                "bad_name",
                block.lines[name],
                f"{shown(name)} can't name a pool",
                "letters, digits, `_`, `-` and `.`",
            )
    slots = {name: inner.whole(name, minimum=1, maximum=POOL_SLOTS_MAX) for name in block}
    return {name: count for name, count in slots.items() if count is not None}


def _selectors(fields: Fields) -> dict[str, str]:
    """Return the named selections. Each may use those above it, so that none leads to itself."""
    block = fields.block_of("selectors") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="[selectors]")
    results: dict[str, str] = {}
    for name in block:
        text = inner.text(name) or ""
        unknown = [other for other in SELECTOR.findall(text) if other not in results]
        if unknown:
            fields.report.error(
                "wrong_value",
                block.lines[name],
                f"{shown(name)} uses selector {shown(unknown[0])}, which isn't declared above it",
                ("" if unknown[0] in block else did_you_mean(unknown[0], results))
                or "a selector may use those above it",
            )
        results[name] = text
    return results


def _durations(fields: Fields) -> dict[str, str]:
    inner = _table(fields, "retention", _RETENTION_FIELDS)
    results = {name: inner.duration(name, "") for name in _RETENTION_FIELDS if name in inner}
    return {name: value for name, value in results.items() if value}


_ISSUER = re.compile(
    r"https://[A-Za-z0-9.\-\[\]:]+(/[^\s?#]*)?|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/[^\s?#]*)?"
)


def _sign_in(fields: Fields) -> SignIn | None:
    """Return the provider; None without one, or with reported problems."""
    if not fields.block:
        return None
    check_connection("sign_in", fields.block, fields.block.lines, fields.block.line, fields.report)
    issuer = fields.required("issuer", 'add issuer = "https://login.example.com" to [sign_in]')
    client_id = fields.required("client_id", 'add client_id = "headrace" to [sign_in]')
    if issuer is not None and not _ISSUER.fullmatch(issuer):
        fields.refuse(
            "issuer",
            f"{shown(issuer)} isn't the address of a provider",
            'write issuer = "https://login.example.com", as the provider spells it',
        )
        return None
    if issuer is None or client_id is None:
        return None
    base = SignIn(issuer=issuer, client_id=client_id)
    scopes = fields.texts("scopes") if "scopes" in fields else base.scopes
    if "openid" not in scopes:
        fields.refuse("scopes", "the scopes lack openid", 'write scopes = ["openid", "profile"]')
        return None
    return SignIn(
        issuer=issuer,
        client_id=client_id,
        client_secret=fields.text("client_secret") or "",
        scopes=scopes,
        groups=fields.text("groups") or base.groups,
    )


def _backup(fields: Fields) -> Backups:
    base = Backups()
    every: str | None = base.every
    if fields.block.get("every") == OFF:
        every = None
    elif "every" in fields:
        every = fields.duration("every", base.every or "")
    keep = fields.whole("keep", minimum=1, maximum=BACKUPS_KEPT_MAX) if "keep" in fields else None
    to = fields.text("to")
    if to is not None and ("://" in to or "\0" in to or not to.strip()):
        fields.refuse(
            "to",
            f"{shown(to)} is no folder",
            'write to = "/mnt/backups/shop": a folder of this machine, which may be mounted',
        )
        to = None
    return Backups(every=every, keep=base.keep if keep is None else keep, to=to)


CEILING_MAX = 1_000_000_000
"""The largest number of partitions, rows or acts that `[mcp]` takes."""


def _serve_url(fields: Fields) -> str | None:
    """Return `url` of `[serve]`, without a slash at its end."""
    url = fields.text("url") if "url" in fields else None
    if url is None:
        return None
    if not _URL.fullmatch(url) or "?" in url:
        fields.refuse(
            "url",
            "`url` isn't the address of a server",
            'write url = "https://headrace.example.com"',
        )
        return None
    return url.rstrip("/")


def _agent_ceilings(fields: Fields) -> AgentCeilings:
    """Return `[mcp]`; 0 lets API tokens do nothing of the kind."""
    numbers = {
        name: fields.whole(name, minimum=0, maximum=CEILING_MAX)
        for name in MCP_FIELDS
        if name in fields and name not in ("bytes_max", "exempt")
    }
    ceilings = {name: number for name, number in numbers.items() if number is not None}
    size = fields.checked("bytes_max", size_in_bytes, "wrong_value")
    if size is not None:
        ceilings["bytes_max"] = size_in_bytes(size)
    return AgentCeilings(**ceilings, exempt=fields.texts("exempt"))


def _secret_tables(fields: Fields, name: str) -> dict[str, dict[str, Any]]:
    """Return [connections.X] or [notify.X] as written; report literal secrets."""
    block = fields.block_of(name) or LocatedMapping(0)
    check = check_channel if name == "notify" else check_connection
    results = {}
    for key, value in block.items():
        line = block.lines[key]
        if not isinstance(value, LocatedMapping):
            fields.report.error(
                "wrong_type",
                line,
                f"{shown(f'{name}.{key}')} must be a table, not {kind_of(value)}",
                f"write [{name}.{key}]",
            )
        elif not OWNER.fullmatch(key):
            fields.report.error(
                "bad_name",
                line,
                f"{shown(key)} can't name one of [{name}]",
                "letters, digits, `_`, `-` and `.`",
            )
        else:
            check(f"{name}.{key}", value, value.lines, value.line, fields.report)
            if name == "connections":
                check_kind(key, value, fields.report)
            results[key] = plain(value)
    return results


def _check_environment(fields: Fields, name: str, value: LocatedMapping) -> None:
    inner = Fields(value, fields.report, _ENVIRONMENT_FIELDS, what=f"the environment {shown(name)}")
    inner.whole("workers", minimum=1, maximum=WORKERS_MAX)
    for tables in ("connections", "notify"):
        _secret_tables(inner, tables)
    _pools(inner)
    read_rules(_table(inner, "policy", (APPROVAL,)))
    _store_url(_table(inner, "store", ("url", "connection", "schema")))
    for table in ("lake", "paths"):
        folders = inner.block_of(table) or LocatedMapping(0)
        known = ("path",) if table == "lake" else tuple(folders)
        paths = Fields(folders, fields.report, known, what=f"[environments.{name}.{table}]")
        for path in folders:
            read_path(paths, path)


def _environments(fields: Fields) -> dict[str, dict[str, Any]]:
    block = fields.block_of("environments") or LocatedMapping(0)
    results = {}
    for name, value in block.items():
        if not isinstance(value, LocatedMapping):
            fields.report.error(
                "wrong_type",
                block.lines[name],
                f"the environment {shown(name)} must be a table",
                f"write [environments.{name}]",
            )
            continue
        _check_environment(fields, name, value)
        if name == PRODUCTION or not OWNER.fullmatch(name):
            hint = (
                "prod is what headrace.toml says outside of it"
                if name == PRODUCTION
                else "letters, digits, `_`, `-` and `.`"
            )
            fields.report.error(
                "bad_name", block.lines[name], f"{shown(name)} can't name an environment", hint
            )
            continue
        results[name] = plain(value)
        policy = value.get("policy")
        if isinstance(policy, LocatedMapping):
            results[name]["policy"]["line"] = policy.lines.get(APPROVAL, policy.line)
    return results
