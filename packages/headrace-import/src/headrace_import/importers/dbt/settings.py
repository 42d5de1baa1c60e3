"""Settings of the new project: headrace.toml, and the dialect and secrets of profiles.yml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.extension import LocatedMapping
from headrace_import.importers.dbt.dialects import DIALECTS
from headrace_import.importers.dbt.project_files import ProjectFiles, mapped
from headrace_import.importers.imported import UNRESTRICTED, SecretFound

PROFILES = "profiles.yml"
_SECRET = re.compile(
    r"pass(word|phrase)?|.*_password|token|.*_token|.*secret.*|private_key|.*_key|keyfile_json",
    re.IGNORECASE,
)
_DEFAULT = re.compile(r"""env_var\(\s*["'][^"']*["']\s*,\s*["'][^"']+["']""")
_ADAPTER = re.compile(r"(?m)^\s*[\"']?dbt-([a-z]+)\b")

_CONFIGURED = ("models", "seeds", "snapshots")
_OWN_SETTINGS: Mapping[str, frozenset[str]] = {
    "snowflake": frozenset(("snowflake_warehouse", "query_tag", "copy_grants", "transient")),
    "bigquery": frozenset(("hours_to_expiration", "kms_key_name", "maximum_bytes_billed")),
    "redshift": frozenset(("dist", "sort_type")),
    "postgres": frozenset(("unlogged",)),
}
"""Settings of models that only one of these adapters of dbt has."""


def read_profile(files: ProjectFiles) -> tuple[str, list[SecretFound]]:
    """Return the dialect of the project's profile (empty if unknown), and secrets in plain text."""
    if (files.root / PROFILES).is_file():
        document = mapped(files.yaml(PROFILES))
        secrets = list(_secrets(document))
        dialect = _dialect(document, str(files.settings.get("profile") or ""))
        if dialect:
            return dialect, secrets
        return _warehouse_elsewhere(files), secrets
    return _warehouse_elsewhere(files), []


def _warehouse_elsewhere(files: ProjectFiles) -> str:
    """Return the dialect that other files name; empty if none does, or several."""
    return _required_adapter(files) or _named_warehouse(files)


def _dialect(document: LocatedMapping, profile: str) -> str:
    entry = mapped(document.get(profile)) or mapped(
        next((value for key, value in document.items() if key != "config"), None)
    )
    outputs = mapped(entry.get("outputs"))
    target = str(entry.get("target") or "default")
    output = mapped(outputs.get(target)) or mapped(next(iter(outputs.values()), None))
    return DIALECTS.get(str(output.get("type")), "")


def _required_adapter(files: ProjectFiles) -> str:
    """Return the dialect of the one adapter that the project's requirements name."""
    adapters: set[str] = set()
    for name in ("requirements.txt", "requirements.in", "pyproject.toml"):
        path = files.root / name
        if path.is_file():
            adapters |= set(_ADAPTER.findall(files.text(name) or "")) & DIALECTS.keys()
    return DIALECTS[adapters.pop()] if len(adapters) == 1 else ""


def _named_warehouse(files: ProjectFiles) -> str:
    """Return the dialect of the warehouse in the profile's name, else that of its own settings."""
    words = re.split(r"[^a-z]+", str(files.settings.get("profile") or "").lower())
    named = DIALECTS.keys() & set(words)
    if not named:
        keys = {key for section in _CONFIGURED for key in _keys(files.settings.get(section))}
        named = {warehouse for warehouse, words in _OWN_SETTINGS.items() if words & keys}
    return DIALECTS[named.pop()] if len(named) == 1 else ""


def _keys(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the names of all settings below a section of dbt_project.yml."""
    if isinstance(value, LocatedMapping) and depth < 10:
        for key, item in value.items():
            yield key.removeprefix("+")
            yield from _keys(item, depth + 1)


def _secrets(value: Any, depth: int = 0) -> Iterator[SecretFound]:
    if isinstance(value, LocatedMapping) and depth < 10:
        for key, item in value.items():
            if _SECRET.fullmatch(key) and isinstance(item, str) and _is_plain(item):
                yield SecretFound(PROFILES, value.lines.get(key, 1), key)
            yield from _secrets(item, depth + 1)


def _is_plain(text: str) -> bool:
    """Whether a text is a secret itself: not a variable's name, but also its default value."""
    return bool(text) and ("env_var(" not in text or _DEFAULT.search(text) is not None)


def settings_text(files: ProjectFiles, selectors: Mapping[str, str], *, commands: bool) -> str:
    """Return headrace.toml. `commands` says whether dbt runs some of the models."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", files.name).strip("-")[:60] or "project"
    lines = ["[project]", f'name = "{name}"', 'timezone = "UTC"', "", "[run]", "workers = 2"]
    if commands:
        lines.append('pass_environment = ["DBT_PROJECT_DIR", "DBT_PROFILES_DIR"]')
        lines += UNRESTRICTED
    if selectors:
        words = (f"{name} = {json.dumps(text)}" for name, text in selectors.items())
        lines += ["", "[selectors]", *words]
    return "\n".join(lines) + "\n"
