"""Deployments of flows: their schedules, from `prefect.yaml` and from calls in Python files."""

from __future__ import annotations

import ast
import datetime as dt
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.extension import Report, load_yaml
from headrace_import.importers.airflow.origin import Origin
from headrace_import.importers.airflow.schedules import duration
from headrace_import.importers.command_projects import cron_trigger
from headrace_import.importers.origin_files import UnreadableFile, working_on
from headrace_import.importers.prefect.flows import Definition, PrefectFiles
from headrace_import.importers.python_definitions import Definitions, NotKnown, argument

DEPLOYMENT_FILES = ("prefect.yaml", "deployment.yaml")
DEPLOYING = frozenset({"serve", "deploy", "to_deployment"})
SCHEDULES = {
    "CronSchedule": "cron",
    "Cron": "cron",
    "IntervalSchedule": "interval",
    "Interval": "interval",
    "RRuleSchedule": "rrule",
    "RRule": "rrule",
}
MERGES_MAX = 10
"""At most this number of merge keys that name mappings with merge keys."""
TIMEDELTA = frozenset({"datetime.timedelta", "timedelta"})


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a flow. `trigger` is None without a schedule that Headrace knows."""

    name: str
    place: str
    """Where it is declared: `prefect.yaml`, `flows/etl.py:40`."""
    trigger: Mapping[str, Any] | None
    tags: tuple[str, ...] = ()
    note: str = ""
    """A schedule that isn't carried."""


def deployments_of(
    origin: Origin, project: PrefectFiles
) -> tuple[dict[int, list[Deployment]], dict[str, str]]:
    """Return the deployments by flow (id of its definition), and files that can't be read."""
    found: dict[int, list[Deployment]] = {}
    problems: dict[str, str] = {}
    for file in project.files.values():
        with working_on(file.path):
            for flow, deployment in _called(project, file):
                found.setdefault(id(flow), []).append(deployment)
    for path in origin.paths:
        if path.rpartition("/")[2] in DEPLOYMENT_FILES:
            try:
                with working_on(path):
                    for flow, deployment in _declared(origin, project, path):
                        found.setdefault(id(flow), []).append(deployment)
            except UnreadableFile as error:
                problems[path] = str(error)
    return found, problems


def _declared(
    origin: Origin, project: PrefectFiles, path: str
) -> Iterator[tuple[Definition, Deployment]]:
    loaded = _loaded(path, origin.data(path))
    declared = loaded.get("deployments") if isinstance(loaded, dict) else None
    for item in declared if isinstance(declared, list) else ():
        deployment = _merged(item)
        flow = _flow_of(project, path, deployment)
        if flow is not None:
            yield flow, _deployment(flow, path, deployment)


def _loaded(path: str, data: bytes) -> Any:
    """Return a file's YAML document. Raises UnreadableFile."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableFile("it isn't UTF-8 text") from None
    report = Report(path)
    loaded = load_yaml(text, report, repeated_keys=True)
    if report.problems:
        problem = report.problems[0]
        raise UnreadableFile(
            f"its YAML can't be read, line {problem.place.line}: {problem.message}"
        )
    return loaded


def _merged(value: Any, depth: int = 0) -> dict[str, Any]:
    """Return a mapping with those that its merge key (`<<: *name`) names; empty for others."""
    if not isinstance(value, dict) or depth > MERGES_MAX:
        return {}
    named = value.get("<<")
    results: dict[str, Any] = {}
    for base in reversed(named) if isinstance(named, list) else [named]:
        results |= _merged(base, depth + 1)
    return results | {key: item for key, item in value.items() if key != "<<"}


def _is_active(schedule: dict[str, Any]) -> bool:
    """Whether a schedule is on; Prefect reads YAML 1.1, where `no` and `off` are false."""
    active = schedule.get("active", True)
    return str(active).lower() not in ("no", "off") if isinstance(active, str) else bool(active)


def _flow_of(project: PrefectFiles, path: str, item: dict[str, Any]) -> Definition | None:
    """Return the flow of an entrypoint `FILE:FUNCTION`, relative to the declaring file."""
    file, _, function = str(item.get("entrypoint") or "").rpartition(":")
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
    flow = project.by_place.get((place, function))
    return flow if flow is not None and flow.is_flow else None


def _deployment(flow: Definition, path: str, item: dict[str, Any]) -> Deployment:
    schedules, tags = item.get("schedules") or [item.get("schedule")], item.get("tags")
    trigger, note = _declared_trigger(schedules if isinstance(schedules, list) else [])
    names = tuple(str(tag) for tag in tags) if isinstance(tags, list) else ()
    return Deployment(str(item.get("name") or flow.name), path, trigger, names, note)


def _declared_trigger(schedules: list[Any]) -> tuple[Mapping[str, Any] | None, str]:
    known = [item for item in map(_merged, schedules) if item and _is_active(item)]
    if not known:
        return None, ""
    first = known[0]
    zone = first.get("timezone")
    trigger: Mapping[str, Any] | None = None
    if isinstance(first.get("cron"), str):
        trigger = _with_zone(cron_trigger(first["cron"]), zone)
    elif isinstance(first.get("interval"), int | float):
        trigger = _interval(first["interval"])
    return _noted(trigger, len(known))


def _noted(trigger: Mapping[str, Any] | None, count: int) -> tuple[Mapping[str, Any] | None, str]:
    if trigger is None:
        return None, "its schedule isn't carried: write a trigger"
    more = f"{count - 1} more schedules aren't carried" if count > 1 else ""
    return trigger, more


def _with_zone(trigger: dict[str, str] | None, zone: object) -> dict[str, str] | None:
    if trigger is not None and isinstance(zone, str) and zone:
        trigger["timezone"] = zone
    return trigger


def _called(project: PrefectFiles, file: Definitions) -> Iterator[tuple[Definition, Deployment]]:
    """Find `flow.serve(…)`, `flow.deploy(…)` and `flow.to_deployment(…)`."""
    for node in ast.walk(file.module.tree):
        flow = _deployed_by(project, file, node)
        if flow is not None and isinstance(node, ast.Call):
            trigger, note = _called_trigger(file, node)
            given = file.known(argument(node, "tags"))
            tags = tuple(map(str, given)) if isinstance(given, list) else ()
            name = file.text(argument(node, "name", 0)) or flow.name
            place = f"{file.path}:{node.lineno}"
            yield flow, Deployment(name, place, trigger, tags, note)


def _deployed_by(project: PrefectFiles, file: Definitions, node: ast.AST) -> Definition | None:
    """Return the flow whose `serve`, `deploy` or `to_deployment` a node calls."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
            flow = project.by_place.get((file.path, name)) if method in DEPLOYING else None
            return flow if flow is not None and flow.is_flow else None
    return None


def _called_trigger(file: Definitions, call: ast.Call) -> tuple[Mapping[str, Any] | None, str]:
    for name in ("cron", "interval", "rrule"):
        node = argument(call, name)
        if node is not None and file.known(node, default="?") is not None:
            return _noted(_trigger(file, name, node, None), 1)
    schedules = argument(call, "schedules") or argument(call, "schedule")
    nodes = schedules.elts if isinstance(schedules, ast.List | ast.Tuple) else [schedules]
    nodes = [node for node in nodes if file.known(node, default="?") is not None]
    if not nodes or schedules is None:
        return None, ""
    first = nodes[0]
    if not isinstance(first, ast.Call):
        return _noted(None, 1)
    kind = SCHEDULES.get(file.name_of(first.func).rpartition(".")[2], "")
    value = argument(first, kind, 0) if kind else None
    return _noted(_trigger(file, kind, value, argument(first, "timezone")), len(nodes))


def _trigger(
    file: Definitions, kind: str, node: ast.expr | None, zone: ast.expr | None
) -> Mapping[str, Any] | None:
    if kind == "cron":
        return _with_zone(cron_trigger(file.text(node)), file.text(zone))
    if kind == "interval" and node is not None:
        return _interval(_seconds(file, node))
    return None


def _interval(seconds: float) -> Mapping[str, Any] | None:
    """Return a trigger for whole seconds of at least one; None for anything else."""
    try:
        whole = int(seconds)
        is_carried = not isinstance(seconds, bool) and whole == seconds and whole > 0
        return {"interval": duration(dt.timedelta(seconds=whole))} if is_carried else None
    except (ValueError, OverflowError):
        return None


def _seconds(file: Definitions, node: ast.expr) -> float:
    """Return a literal number of seconds, or that of a `timedelta(…)`; 0 if it isn't known."""
    try:
        if isinstance(node, ast.Call) and file.name_of(node.func) in TIMEDELTA:
            named = {item.arg: file.value(item.value) for item in node.keywords if item.arg}
            positional = [file.value(item) for item in node.args]
            return dt.timedelta(*positional, **named).total_seconds()
        value = file.value(node)
    except (NotKnown, TypeError, ValueError, OverflowError):
        return 0
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
