"""Environments: the same project with other settings, and a state, a lake and figures of its own (`--env NAME`).

Production is called `prod`, and is what headrace.toml says outside of [environments.*].
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.model.errors import UnknownName
from headrace.model.nodes import Project, Settings
from headrace.model.reporting import did_you_mean

PRODUCTION = "prod"
_FOLDER = ".headrace/env"


def of_environment(settings: Settings, name: str) -> Settings:
    """The settings of one environment: what it overrides, and its own place for state and lake. UsageError for one that
    headrace.toml doesn't have."""
    if name == PRODUCTION:
        return settings
    if name not in settings.environments:
        known = [PRODUCTION, *settings.environments]
        hint = did_you_mean(name, known) or f"there is {', '.join(known)}; add [environments.{name}] to headrace.toml"
        raise UnknownName(f"there is no environment {name[:60]!r}", hint=hint)
    said = settings.environments[name]
    return msgspec.structs.replace(
        settings,
        environment=name,
        workers=said.get("workers", settings.workers),
        store_url=said.get("store", {}).get("url", _own_store(settings, name)),
        store_connection=said["store"].get("connection") if "store" in said else settings.store_connection,
        lake_path=said.get("lake", {}).get("path", f"{_FOLDER}/{name}/lake"),
        parameters={**settings.parameters, **said.get("parameters", {})},
        pools={**settings.pools, **said.get("pools", {})},
        retention={**settings.retention, **said.get("retention", {})},
        connections=_tables(settings.connections, said.get("connections", {})),
        notify=_tables(settings.notify, said.get("notify", {})),
        policy={**settings.policy, **said.get("policy", {})},
        paths=said.get("paths", {}),
    )


def _own_store(settings: Settings, name: str) -> str:
    """In PostgreSQL an environment has a schema of its own in the same database, in SQLite a file of its own."""
    return settings.store_url if not settings.store_url.startswith("sqlite:") else f"sqlite:{_FOLDER}/{name}/state.db"


def _tables(base: dict[str, dict[str, Any]], said: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Tables of tables, overridden field by field."""
    return {name: {**base.get(name, {}), **said.get(name, {})} for name in {**base, **said}}


def in_environment(project: Project) -> Project:
    """The project as it is where its settings are an environment's: the folders of its sources replaced as `paths` say
    (`landing = "samples"`), and nobody exported to."""
    settings = project.settings
    if settings.environment == PRODUCTION:
        return project
    sources = {
        name: msgspec.structs.replace(source, files=_moved(source.files, settings.paths)) for name, source in project.sources.items()
    }
    consumers = {name: msgspec.structs.replace(consumer, export=None) for name, consumer in project.consumers.items()}
    return msgspec.structs.replace(project, sources=sources, consumers=consumers)


def _moved(files: str | None, paths: dict[str, str]) -> str | None:
    for folder, instead in paths.items():
        if files is not None and files.startswith(f"{folder.rstrip('/')}/"):
            return f"{instead.rstrip('/')}/{files[len(folder.rstrip('/')) + 1 :]}"
    return files
