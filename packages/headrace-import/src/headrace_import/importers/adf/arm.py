"""ARM templates: the resources in them, with `[parameters('x')]` and the like evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_import.importers.adf.expressions import (
    BadExpressionError,
    Call,
    Expression,
    Interpolation,
    Literal,
    Property,
    parse_arm,
)
from headrace_import.importers.adf.functions import PURE
from headrace_import.importers.adf.json_text import JsonObject
from headrace_import.importers.adf.values import Unknown, merged, unknown_in

_PROVIDERS = ("microsoft.datafactory/factories", "microsoft.synapse/workspaces")
_PIPELINES = "pipelines"
_VARIABLES_DEEP_MAX = 20


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a template: its type without the provider, its own name, its properties."""

    kind: str
    name: str
    properties: JsonObject


def is_template(document: Any) -> bool:
    """Whether a JSON document is an ARM template."""
    return (
        isinstance(document, JsonObject)
        and isinstance(document.get("resources"), list | dict)
        and "deploymenttemplate" in str(document.get("$schema", "")).lower()
    )


def resources(template: JsonObject, given: Mapping[str, Any]) -> Iterator[Resource]:
    """Yield the resources of factories in a template.

    `given` are values of its parameters from a file of parameters.
    """
    values = _Values(template, given)
    listed = template["resources"]
    yield from _resources(listed.values() if isinstance(listed, dict) else listed, values, "")


def given_parameters(document: Any) -> Mapping[str, Any]:
    """Return the values of a file of parameters; empty for another document."""
    block = document.get("parameters") if isinstance(document, JsonObject) else None
    if not isinstance(block, dict) or "resources" in document:
        return {}
    return {
        name: entry["value"]
        for name, entry in block.items()
        if isinstance(entry, dict) and "value" in entry
    }


def _resources(listed: Any, values: _Values, parent: str) -> Iterator[Resource]:
    for raw in listed:
        if isinstance(raw, JsonObject):
            yield from _resource(raw, values, parent)


def _resource(raw: JsonObject, values: _Values, parent: str) -> Iterator[Resource]:
    kind = str(raw.get("type", "")).lower()
    full = kind if kind.startswith("microsoft.") else f"{parent}/{kind}"
    resource_kind = _kind(full)
    if resource_kind and isinstance(raw.get("properties"), JsonObject):
        properties = values.resolved(raw["properties"])
        properties.start, properties.line = raw.start, raw.line
        name = values.name(raw.get("name"))
        yield Resource(resource_kind, name, properties)
    elif kind == "microsoft.resources/deployments":
        yield from _nested(raw, values)
    if isinstance(raw.get("resources"), list):
        yield from _resources(raw["resources"], values, full)


def _kind(full: str) -> str:
    """Return the type of a resource without its provider; empty for what isn't of a factory.

    Templates of the Fabric gallery have the bare type `pipelines`, without a provider.
    """
    if full == f"/{_PIPELINES}":
        return _PIPELINES
    provider = next((prefix for prefix in _PROVIDERS if full.startswith(prefix)), None)
    return "" if provider is None else full.removeprefix(provider).strip("/") or "factories"


def _nested(raw: JsonObject, values: _Values) -> Iterator[Resource]:
    properties = raw.get("properties")
    template = properties.get("template") if isinstance(properties, dict) else None
    if isinstance(template, JsonObject) and isinstance(template.get("resources"), list):
        passed = values.resolved(properties).get("parameters")
        given = passed if isinstance(passed, dict) else {}
        inner = {k: v["value"] for k, v in given.items() if isinstance(v, dict) and "value" in v}
        yield from _resources(template["resources"], _Values(template, inner), "")


def _is_secure(entry: Mapping[str, Any]) -> bool:
    """Whether a parameter is a secret, whose default is reported and never used."""
    return str(entry.get("type")).lower() in ("securestring", "secureobject")


class _Values:
    """Parameters and variables of a template."""

    def __init__(self, template: JsonObject, given: Mapping[str, Any]) -> None:
        declared = template.get("parameters")
        self._parameters: dict[str, Any] = {}
        for name, entry in declared.items() if isinstance(declared, dict) else ():
            if isinstance(entry, dict) and "defaultValue" in entry and not _is_secure(entry):
                self._parameters[name.lower()] = entry["defaultValue"]
        self._parameters.update({name.lower(): value for name, value in given.items()})
        variables = template.get("variables")
        self._variables = (
            {name.lower(): value for name, value in variables.items()}
            if isinstance(variables, dict)
            else {}
        )
        self._placeholder = ""
        self._deep = 0

    def name(self, written: Any) -> str:
        """Return a resource's own name, the last part of its path.

        A parameter without a value is `[parameter]`.
        """
        before, self._placeholder = self._placeholder, "[{}]"
        try:
            value = self.resolved(written)
        finally:
            self._placeholder = before
        return value.rsplit("/", 1)[-1] if isinstance(value, str) else ""

    def resolved(self, value: Any) -> Any:
        """Return a value with the template's expressions evaluated."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.resolved(item) for item in value]
        if isinstance(value, JsonObject):
            result = JsonObject(value.text, value.start, value.line)
            result.end = value.end
            for key, item in value.items():
                named = key == "referenceName" and isinstance(item, str)
                result[key] = self.name(item) if named else self.resolved(item)
            return result
        return value

    def _text(self, text: str) -> Any:
        if not text.startswith("["):
            return text
        try:
            return self._value(parse_arm(text))
        except BadExpressionError as error:
            return Unknown(f"the template's expression isn't understood: {error}")

    def _value(self, tree: Expression) -> Any:
        if isinstance(tree, Literal):
            return tree.value
        if isinstance(tree, Interpolation):
            return Unknown("an expression of the template")
        if isinstance(tree, Property):
            of, key = self._value(tree.of), self._value(tree.key)
            try:
                return of if isinstance(of, Unknown) else of[key]
            except (TypeError, KeyError, IndexError):
                return Unknown("a property that the template doesn't have")
        return self._called(tree)

    def _called(self, call: Call) -> Any:
        function = call.function.lower()
        arguments = [self._value(argument) for argument in call.arguments]
        if function in ("parameters", "variables") and arguments:
            return self._referred(function, str(arguments[0]))
        unknowns = [unknown for value in arguments if (unknown := unknown_in(value)) is not None]
        if unknowns:
            return merged(unknowns)
        if function not in PURE:
            return Unknown(f"`{call.function}()` of the template is known only in Azure")
        try:
            return PURE[function](*arguments)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            return Unknown(f"`{call.function}()` of the template can't be computed: {error}")

    def _referred(self, function: str, name: str) -> Any:
        if function == "parameters" and name.lower() in self._parameters:
            return self._parameters[name.lower()]
        if function == "variables" and name.lower() in self._variables:
            if self._deep > _VARIABLES_DEEP_MAX:
                return Unknown("the template's variables refer to each other in a circle")
            self._deep += 1
            try:
                return self.resolved(self._variables[name.lower()])
            finally:
                self._deep -= 1
        if self._placeholder:
            return self._placeholder.format(name)
        return Unknown(f"the template's parameter `{name}` has no value in the files")
