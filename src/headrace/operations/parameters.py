"""`--set k=v`: other values of parameters, for one invocation that publishes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.model import Project, UsageError
from headrace.model.reporting import did_you_mean
from headrace.plan import Compiled


def with_parameters(compiled: Compiled, given: Mapping[str, str]) -> Compiled:
    """The project with these parameters, typed like their defaults. UsageError for one that there isn't, or that can't be so."""
    if not given:
        return compiled
    known = defaults(compiled.project)
    names = {name.lower(): name for name in known}
    for name in given:
        if name.lower() not in names:
            hint = did_you_mean(name, known) or f"known: {', '.join(sorted(known)) or 'none'}"
            raise UsageError(f"there is no parameter {name[:60]!r}", hint=hint)
    return _replaced(compiled, {names[name.lower()]: text for name, text in given.items()})


def defaults(project: Project) -> dict[str, Any]:
    """Every parameter of the project and its assets, with a default; the project's where it has one."""
    results: dict[str, Any] = {}
    for asset in project.assets.values():
        results.update(asset.parameters)
    return {**results, **project.settings.parameters}


def _replaced(compiled: Compiled, given: Mapping[str, str]) -> Compiled:
    project, settings = compiled.project, compiled.project.settings
    own = {name: typed(name, text, settings.parameters[name]) for name, text in given.items() if name in settings.parameters}
    assets = {
        name: msgspec.structs.replace(asset, parameters=_of_asset(asset.parameters, given)) if asset.parameters else asset
        for name, asset in project.assets.items()
    }
    settings = msgspec.structs.replace(settings, parameters={**settings.parameters, **own})
    changed: Project = msgspec.structs.replace(project, settings=settings, assets=assets)
    return msgspec.structs.replace(compiled, project=changed)


def _of_asset(parameters: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    return {name: typed(name, given[name], value) if name in given else value for name, value in parameters.items()}


def typed(name: str, text: str, default: Any) -> Any:
    """A word as a value of the default's type: `15`, `0.5`, `true`, `a,b` or `["a", "b"]` for lists."""
    match default:
        case bool():
            return _flag(name, text)
        case int():
            return _number(name, text, whole=True)
        case float():
            return _number(name, text, whole=False)
        case list():
            return _listed(text, default)
        case None:
            return guessed(text)
        case _:
            return text


def guessed(text: str) -> Any:
    """A word as what it looks like: a number, true or false, else text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def _flag(name: str, text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise UsageError(f"--set {name}={text[:40]}: it is true or false", hint=f"--set {name}=true")


def _number(name: str, text: str, *, whole: bool) -> int | float:
    try:
        value = guessed(text) if whole else float(text)
    except ValueError:
        value = text
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"--set {name}={text[:40]}: it is a number", hint=f"--set {name}=15")
    return value


def _listed(text: str, default: list[Any]) -> list[Any]:
    if text.lstrip().startswith("["):
        try:
            result = json.loads(text)
        except ValueError:
            raise UsageError(f"{text[:40]!r} is no list", hint='write a,b or ["a", "b"]') from None
        return list(result)
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [typed("…", word, default[0]) for word in words] if default else words
