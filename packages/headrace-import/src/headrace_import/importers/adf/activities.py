"""Activities of pipelines: flattened out of their containers, with what each may refer to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headrace_import.importers.adf.evaluate import resolve, text_value
from headrace_import.importers.adf.expressions import BadExpressionError, Call, parse_value, walk
from headrace_import.importers.adf.json_text import JsonObject
from headrace_import.importers.adf.origin import Origin, Resource
from headrace_import.importers.adf.reading import (
    list_of,
    object_of,
    objects_of,
    objects_within,
    text_at,
)
from headrace_import.importers.adf.values import Scope, Unknown, Value, unknown_in

UNROLLED_MAX = 50
DEPTH_MAX = 100
NEVER = "it never runs"
"""How the obstacle of an activity begins that the files exclude."""
DEACTIVATED = "it is deactivated"
_ASSIGNING = ("setvariable", "appendvariable")


@dataclass(frozen=True, slots=True)
class Upstream:
    """An activity that comes before another of the same container."""

    name: str
    conditions: frozenset[str]


@dataclass(slots=True)
class Activity:
    """One activity of a pipeline.

    `scopes` has one entry, or one for each item of a ForEach over a list that the files determine.
    `obstacle` says why it can't be said whether the activity runs, empty if it always does.
    """

    id: str
    name: str
    type: str
    pipeline: Pipeline
    raw: JsonObject
    upstream: tuple[Upstream, ...]
    container: Activity | None
    scopes: list[Scope]
    obstacle: str = ""
    children: list[Activity] = field(default_factory=list)
    uses: set[str] = field(default_factory=set)

    @property
    def settings(self) -> JsonObject:
        """The `typeProperties`."""
        return object_of(self.raw, "typeProperties")

    @property
    def description(self) -> str:
        """What its author wrote about it."""
        return text_at(self.raw, "description")

    def directly_before(self) -> Iterator[Activity]:
        """Yield the activities of the same container that it names."""
        names = {upstream.name.lower() for upstream in self.upstream}
        for other in self.pipeline.inside(self.container):
            if other.name.lower() in names and other is not self:
                yield other


@dataclass(slots=True)
class Pipeline:
    """A pipeline with all its activities, containers before what they hold."""

    id: str
    resource: Resource
    scope: Scope
    activities: list[Activity] = field(default_factory=list)
    assigned: frozenset[str] = frozenset()
    """The variables that its activities set, in lower case."""

    def inside(self, container: Activity | None) -> list[Activity]:
        """Return the activities directly in a container; None for the pipeline itself."""
        return [activity for activity in self.activities if activity.container is container]


def read_pipeline(resource: Resource, identity: str, scope: Scope, obstacle: str = "") -> Pipeline:
    """Return a pipeline's activities; `scope` has its parameters.

    `obstacle` says why it can't be said whether the pipeline runs, empty if it does.
    """
    variables = _variables(resource.raw, scope)
    assured = scope.assured
    if assured is not None:
        assured = replace(assured, variables=_variables(resource.raw, assured))
    pipeline_scope = replace(scope, variables=variables, assured=assured)
    pipeline = Pipeline(
        identity, resource, pipeline_scope, assigned=frozenset(_assigned(resource.raw))
    )
    listed = objects_of(resource.raw, "activities")
    _add(pipeline, listed, None, [pipeline_scope], obstacle, identity, 0)
    return pipeline


def _variables(raw: JsonObject, scope: Scope) -> Mapping[str, Value]:
    """Return variables that keep one value: their default, or what is set once to a constant."""
    assigned = _assigned(raw)
    values: dict[str, Value] = {
        name: declared.get("defaultValue") if isinstance(declared, dict) else None
        for name, declared in object_of(raw, "variables").items()
        if name.lower() not in assigned
    }
    top = objects_of(raw, "activities")
    for name, settings in assigned.items():
        if len(settings) == 1 and _is_set_before_use(name, settings[0], top):
            value = _constant(settings[0], scope)
            if not isinstance(value, Unknown):
                values[name] = value
    return values


def _is_set_before_use(name: str, setting: JsonObject, top: list[JsonObject]) -> bool:
    """Whether the pipeline itself sets a variable, and all that read it come after that."""
    if not any(setting is activity for activity in top):
        return False
    use = re.compile(rf"variables\(\s*'{re.escape(name)}'\s*\)", re.IGNORECASE)
    after = {text_at(setting, "name")}
    waiting = [activity for activity in top if activity is not setting]
    while following := [item for item in waiting if not after.isdisjoint(_upstream_names(item))]:
        after.update(text_at(item, "name") for item in following)
        waiting = [item for item in waiting if not any(item is other for other in following)]
    return not any(use.search(json.dumps(activity)) for activity in waiting)


def _upstream_names(activity: JsonObject) -> list[str]:
    return [text_at(item, "activity") for item in objects_of(activity, "dependsOn")]


def _assigned(raw: JsonObject) -> dict[str, list[JsonObject]]:
    """Return the activities that set variables, by the names of these in lower case."""
    assigned: dict[str, list[JsonObject]] = {}
    for activity in _assignments(raw):
        name = text_at(activity, "typeProperties", "variableName").lower()
        assigned.setdefault(name, []).append(activity)
    return assigned


def _constant(activity: JsonObject, scope: Scope) -> Value:
    if text_at(activity, "type").lower() != "setvariable":
        return Unknown("it is a list that grows")
    value = resolve(object_of(activity, "typeProperties").get("value"), scope)
    return unknown_in(value) or value


def _assignments(value: Any) -> Iterator[JsonObject]:
    for node in objects_within(value):
        assigning = str(node.get("type")).lower() in _ASSIGNING
        if assigning and isinstance(node.get("typeProperties"), JsonObject):
            yield node


def _add(
    pipeline: Pipeline,
    listed: list[JsonObject],
    container: Activity | None,
    scopes: list[Scope],
    obstacle: str,
    prefix: str,
    depth: int,
) -> None:
    taken: set[str] = {earlier.id for earlier in pipeline.activities}
    for position, raw in enumerate(listed):
        name = text_at(raw, "name") or f"activity {position + 1}"
        identity = unique(f"{prefix}/{name}", taken)
        activity = Activity(
            identity, name, str(raw.get("type", "")), pipeline, raw, _upstream(raw), container,
            scopes, obstacle or _inactive(raw),
        )  # fmt: skip
        activity.uses = used_activities(raw)
        pipeline.activities.append(activity)
        if container is not None:
            container.children.append(activity)
        if depth < DEPTH_MAX:
            _add_inner(pipeline, activity, depth)


def unique(name: str, taken: set[str]) -> str:
    """Return a name that isn't taken yet, with a number behind it if needed, and take it."""
    candidate, number = name, 1
    while candidate.lower() in taken:
        number += 1
        candidate = f"{name}~{number}"
    taken.add(candidate.lower())
    return candidate


def _inactive(raw: JsonObject) -> str:
    return DEACTIVATED if str(raw.get("state")).lower() == "inactive" else ""


def _upstream(raw: JsonObject) -> tuple[Upstream, ...]:
    return tuple(
        Upstream(
            text_at(entry, "activity"),
            frozenset(
                str(condition).lower() for condition in list_of(entry, "dependencyConditions")
            )
            or frozenset(("succeeded",)),
        )
        for entry in objects_of(raw, "dependsOn")
    )


def used_activities(raw: Any) -> set[str]:
    """Return the names of activities whose output an activity uses, in lower case."""
    used: set[str] = set()
    pending = [raw]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, str) and "activity(" in node.lower():
            used |= _used_in(node)
    return used


def _used_in(text: str) -> set[str]:
    try:
        nodes = list(walk(parse_value(text)))
    except BadExpressionError:
        return set()
    calls = [
        node for node in nodes if isinstance(node, Call) and node.function.lower() == "activity"
    ]
    return {
        str(getattr(call.arguments[0], "value", "")).lower() for call in calls if call.arguments
    }


def _add_inner(pipeline: Pipeline, activity: Activity, depth: int) -> None:
    """Add what a container holds, with what decides whether and how often it runs."""
    for listed, scopes, obstacle in _branches(activity):
        _add(
            pipeline, listed, activity, scopes, activity.obstacle or obstacle, activity.id,
            depth + 1,
        )  # fmt: skip


def _branches(activity: Activity) -> Iterator[tuple[list[JsonObject], list[Scope], str]]:
    kind, settings = activity.type.lower(), activity.settings
    if kind == "foreach":
        yield _of_foreach(activity)
    elif kind == "ifcondition":
        decided = decision(activity)
        for branch, key in ((True, "ifTrueActivities"), (False, "ifFalseActivities")):
            yield objects_of(settings, key), activity.scopes, _whether(activity, decided, branch)
    elif kind == "switch":
        yield from _of_switch(activity)
    else:
        obstacle = (
            f"`{activity.name}` repeats it until a condition holds that only a run knows"
            if kind == "until"
            else f"`{activity.name}`, of a type that isn't known, decides whether it runs"
        )
        yield objects_of(settings, "activities"), activity.scopes, obstacle


def _of_switch(activity: Activity) -> Iterator[tuple[list[JsonObject], list[Scope], str]]:
    decided, settings = decision(activity), activity.settings
    cases = [(text_at(entry, "value"), entry) for entry in objects_of(settings, "cases")]
    for value, case in cases:
        obstacle = _whether(activity, decided, value)
        yield objects_of(case, "activities"), activity.scopes, obstacle
    others = object() if decided in [value for value, _ in cases] else decided
    obstacle = _whether(activity, decided, others)
    yield objects_of(settings, "defaultActivities"), activity.scopes, obstacle


def decision(activity: Activity) -> Value:
    """Return what decides an If or a Switch: its value in every scope, or an Unknown."""
    return _decision(activity, activity.scopes)


def _decision(activity: Activity, scopes: list[Scope]) -> Value:
    key = "on" if activity.type.lower() == "switch" else "expression"
    values = [resolve(activity.settings.get(key), scope) for scope in scopes]
    if not values or any(value != values[0] for value in values):
        return Unknown("it differs from item to item")
    value = values[0]
    if isinstance(value, Unknown):
        return value
    if key == "on":
        return value if isinstance(value, str) else Unknown("it isn't a text")
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value if isinstance(value, bool) else Unknown("it depends on the time of the run")


def _whether(activity: Activity, decided: Value, branch: Value) -> str:
    if isinstance(decided, Unknown):
        return f"only a run knows whether `{activity.name}` runs it: {decided.reason}"
    if decided == branch and type(decided) is type(branch):
        return ""
    assured = _decision(activity, _assured(activity.scopes))
    if isinstance(assured, Unknown):
        return f"only a run knows whether `{activity.name}` runs it: {assured.reason}"
    if isinstance(decided, bool):
        return f"{NEVER}: the condition of `{activity.name}` is always {str(decided).lower()}"
    return f"{NEVER}: the value of `{activity.name}` is always `{decided}`"


def _assured(scopes: list[Scope]) -> list[Scope]:
    return [scope.assured or scope for scope in scopes]


def _of_foreach(activity: Activity) -> tuple[list[JsonObject], list[Scope], str]:
    listed = objects_of(activity.settings, "activities")
    items = foreach_items(activity)
    if isinstance(items, Unknown):
        blind = [scope.with_item(None) for scope in activity.scopes]
        return listed, blind, f"only a run knows the items of `{activity.name}`: {items.reason}"
    if len(items) > UNROLLED_MAX:
        reason = f"`{activity.name}` has {len(items):,} items, more than {UNROLLED_MAX}"
        return listed, activity.scopes, reason
    assured = _items(activity, _assured(activity.scopes))
    scopes = [scope.with_item((item,)) for scope in activity.scopes for item in items]
    if isinstance(assured, Unknown):
        # decisions by an item are then as unknown as the list itself
        scopes = [replace(scope, assured=Scope(scope.pipeline)) for scope in scopes]
        reason = f"only a run knows the items of `{activity.name}`: {assured.reason}"
        return listed, scopes, "" if scopes else reason
    return listed, scopes, "" if scopes else f"{NEVER}: `{activity.name}` has no items"


def foreach_items(activity: Activity) -> list[Value] | Unknown:
    """Return the items of a ForEach, or why only a run knows them."""
    return _items(activity, activity.scopes)


def _items(activity: Activity, scopes: list[Scope]) -> list[Value] | Unknown:
    if len(scopes) != 1:
        return Unknown("it is within another ForEach")
    items = resolve(activity.settings.get("items"), scopes[0])
    unknown = unknown_in(items)
    if unknown is not None:
        return unknown
    return items if isinstance(items, list) else Unknown("its items aren't a list")


def global_parameters(origin: Origin, factory: str) -> Mapping[str, Value]:
    """Return the global parameters of a factory."""
    values: dict[str, Value] = {}
    for resource in origin.of_kind("factory"):
        if factory in (resource.factory, ""):
            declared = object_of(resource.raw, "globalParameters") or resource.raw
            values.update(
                {name: entry["value"] for name, entry in declared.items()
                 if isinstance(entry, dict) and "value" in entry}
            )  # fmt: skip
    return values


def parameter_defaults(raw: JsonObject, scope: Scope) -> dict[str, Value]:
    """Return the default values of a resource's parameters."""
    return {
        name: text_value(entry["defaultValue"], scope)
        if isinstance(entry["defaultValue"], str)
        else entry["defaultValue"]
        for name, entry in object_of(raw, "parameters").items()
        if isinstance(entry, dict) and entry.get("defaultValue") is not None
    }
