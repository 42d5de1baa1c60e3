"""All pipelines of an import: who calls whom, with which parameters, and when they run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headrace_import.importers.adf.activities import (
    NEVER,
    Activity,
    Pipeline,
    global_parameters,
    parameter_defaults,
    read_pipeline,
    unique,
)
from headrace_import.importers.adf.conditions import call_obstacle, mark_conditional
from headrace_import.importers.adf.evaluate import resolve
from headrace_import.importers.adf.json_text import JsonObject
from headrace_import.importers.adf.origin import Origin, Resource
from headrace_import.importers.adf.reading import object_of, objects_within, text_at
from headrace_import.importers.adf.schedules import Schedule, schedules
from headrace_import.importers.adf.values import Scope, Unknown, Value

_NONE = Schedule()
_Arguments = tuple[dict[str, Value], dict[str, Value]]
"""What a call passes, and the same without what only a parameter's default says."""
_PARAMETER = re.compile(r"\[\w+\]")


@dataclass(slots=True)
class Pipelines:
    """Pipelines, callers before those whom they call. All mappings are by id."""

    all: list[Pipeline] = field(default_factory=list)
    calls: dict[str, Pipeline] = field(default_factory=dict)
    callers: dict[str, list[Activity]] = field(default_factory=dict)
    uncallable: dict[str, str] = field(default_factory=dict)
    windows_before: dict[str, list[Pipeline]] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)

    def schedule(self, pipeline: Pipeline) -> Schedule:
        """Return when a pipeline runs."""
        return self.schedules.get(pipeline.id, _NONE)

    def callees_first(self) -> list[Pipeline]:
        """Return the pipelines, those that are called before their callers."""
        return self.all[::-1]


def read_pipelines(origin: Origin) -> Pipelines:
    """Return all pipelines with their parameters, as far as callers and triggers agree on them."""
    resources = origin.of_kind("pipeline")
    taken: set[str] = set()
    identities = {
        id(resource): unique(_PARAMETER.sub("*", resource.name), taken) for resource in resources
    }
    called = {id(resource): _called(resource, origin) for resource in resources}
    timed = schedules(origin)
    result = Pipelines()
    passed: dict[int, list[_Arguments]] = {}
    calling: dict[int, list[Activity]] = {}
    inherited: dict[int, list[Schedule]] = {}
    by_resource: dict[int, Pipeline] = {}
    for resource in _callers_first(resources, called):
        own_schedules = timed.get(id(resource), [])
        schedule = _chosen_schedule(own_schedules, inherited.get(id(resource), []))
        obstacle = "" if own_schedules else call_obstacle(calling.get(id(resource), []))
        pipeline = _read(
            resource, identities[id(resource)], origin, own_schedules,
            passed.get(id(resource), []), obstacle,
        )  # fmt: skip
        mark_conditional(pipeline)
        result.all.append(pipeline)
        result.schedules[pipeline.id] = schedule
        by_resource[id(resource)] = pipeline
        for activity, target in _calls(pipeline, origin):
            calling.setdefault(id(target), []).append(activity)
            if activity.obstacle.startswith(NEVER):
                continue
            passed.setdefault(id(target), []).append(_passed(activity))
            inherited.setdefault(id(target), []).append(_inherited(schedule))
    for pipeline in result.all:
        _link(pipeline, origin, by_resource, result)
    _link_windows(result)
    return result


def _execute(raw: Any) -> list[JsonObject]:
    return [
        node for node in objects_within(raw) if str(node.get("type")).lower() == "executepipeline"
    ]


def _called(resource: Resource, origin: Origin) -> list[Resource]:
    names = [
        text_at(call, "typeProperties", "pipeline", "referenceName")
        for call in _execute(resource.raw)
    ]
    targets = [origin.find("pipeline", name, resource.factory) for name in names]
    return [target for target in targets if target is not None]


def _callers_first(resources: list[Resource], called: dict[int, list[Resource]]) -> list[Resource]:
    """Return pipelines in an order in which callers come first; circles in the order of files."""
    callers: dict[int, set[int]] = {id(resource): set() for resource in resources}
    for caller, targets in called.items():
        for target in targets:
            callers[id(target)].add(caller)
    ordered: list[Resource] = []
    left = list(resources)
    done: set[int] = set()
    while left:
        ready = [resource for resource in left if callers[id(resource)] <= done] or left[:1]
        ordered += ready
        done |= {id(resource) for resource in ready}
        left = [resource for resource in left if id(resource) not in done]
    return ordered


def _read(
    resource: Resource,
    identity: str,
    origin: Origin,
    own_schedules: list[Schedule],
    passed: list[_Arguments],
    obstacle: str,
) -> Pipeline:
    shared = global_parameters(origin, resource.factory)
    bare = Scope(resource.name, global_parameters=shared)
    values = parameter_defaults(resource.raw, bare)
    timed = [
        {k: resolve(v, bare) for k, v in schedule.parameters.items()} for schedule in own_schedules
    ]
    defaults = {
        name: Unknown(f"the parameter `{name}` has only a default, which a run may replace")
        for name in values
    }
    assured = _agreed(defaults, [*timed, *(arguments for _, arguments in passed)])
    scope = Scope(
        resource.name, _agreed(values, [*timed, *(arguments for arguments, _ in passed)]), shared,
        assured=Scope(resource.name, assured, shared),
    )  # fmt: skip
    return read_pipeline(resource, identity, scope, obstacle)


def _agreed(defaults: Mapping[str, Value], given: list[dict[str, Value]]) -> dict[str, Value]:
    """Return the values of parameters, as far as all callers and triggers agree on them."""
    values = dict(defaults)
    for name in {name for arguments in given for name in arguments}:
        given_values = [arguments.get(name, defaults.get(name)) for arguments in given]
        agreed = all(value == given_values[0] for value in given_values)
        values[name] = given_values[0] if agreed else Unknown(f"the callers differ in `{name}`")
    return values


def _calls(pipeline: Pipeline, origin: Origin) -> list[tuple[Activity, Resource]]:
    found: list[tuple[Activity, Resource]] = []
    for activity in pipeline.activities:
        if activity.type.lower() == "executepipeline":
            name = text_at(activity.settings, "pipeline", "referenceName")
            target = origin.find("pipeline", name, pipeline.resource.factory)
            if target is not None:
                found.append((activity, target))
    return found


def _passed(activity: Activity) -> _Arguments:
    assured = [scope.assured or scope for scope in activity.scopes]
    return _arguments(activity, activity.scopes), _arguments(activity, assured)


def _arguments(activity: Activity, scopes: list[Scope]) -> dict[str, Value]:
    given = object_of(activity.settings, "parameters")
    sets = [{k: resolve(v, scope) for k, v in given.items()} for scope in scopes]
    merged: dict[str, Value] = {}
    for name in given:
        item_values = [arguments[name] for arguments in sets]
        same = bool(item_values) and all(value == item_values[0] for value in item_values)
        merged[name] = item_values[0] if same else Unknown(f"`{name}` differs from item to item")
    return merged


def _chosen_schedule(own_schedules: list[Schedule], inherited: list[Schedule]) -> Schedule:
    """Return the schedule of a pipeline: of its only trigger that runs, or of its only caller."""
    running = [schedule for schedule in own_schedules if not schedule.stopped] or own_schedules
    if len(running) == 1 and not inherited:
        return running[0]
    if running:
        names = ", ".join(f"`{schedule.trigger}`" for schedule in running)
        return Schedule(todo=f"it has several triggers ({names}) or callers: choose one")
    if inherited and all(schedule == inherited[0] for schedule in inherited):
        return inherited[0]
    return Schedule(todo="it has several callers with different schedules") if inherited else _NONE


def _inherited(schedule: Schedule) -> Schedule:
    return replace(schedule, todo="", after=(), parameters={})


def _link(
    pipeline: Pipeline, origin: Origin, by_resource: dict[int, Pipeline], result: Pipelines
) -> None:
    for activity, target in _calls(pipeline, origin):
        called = by_resource[id(target)]
        if _in_circle(called, pipeline, origin, by_resource):
            reason = f"`{called.id}` and `{pipeline.id}` call each other in a circle"
            result.uncallable[activity.id] = reason
            continue
        result.calls[activity.id] = called
        result.callers.setdefault(called.id, []).append(activity)


def _in_circle(
    start: Pipeline, end: Pipeline, origin: Origin, by_resource: dict[int, Pipeline]
) -> bool:
    seen: set[str] = set()
    pending = [start]
    while pending:
        pipeline = pending.pop()
        if pipeline is end:
            return True
        if pipeline.id not in seen:
            seen.add(pipeline.id)
            pending += [by_resource[id(target)] for _, target in _calls(pipeline, origin)]
    return False


def _link_windows(result: Pipelines) -> None:
    by_trigger: dict[str, list[Pipeline]] = {}
    for pipeline in result.all:
        by_trigger.setdefault(result.schedule(pipeline).trigger, []).append(pipeline)
    for pipeline in result.all:
        names = [name for name in result.schedule(pipeline).after if name]
        before = [o for name in names for o in by_trigger.get(name, []) if o is not pipeline]
        if before:
            result.windows_before[pipeline.id] = before
