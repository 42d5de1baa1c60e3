"""Which commands are tools for agents, and how a client sees each of them.

A tool is a function in `access.permissions.COMMANDS`: the command's name and permission, the
function's signature, docstring and response say everything. `python -m scripts.generate` writes
Headrace's tools into `tools.json` here, and those of a package into its own, so that the list of
tools needs none of the commands' modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from msgspec import structs

from headrace.access.permissions import COMMANDS
from headrace.extension import Option
from headrace.installed_commands import installed_tables
from headrace.model.access import Permission
from headrace.project.parameters import (
    Parameter,
    command_function,
    description_of,
    flattened,
    request_type,
)

TOOLS_FILE = Path(__file__).with_name("tools.json")
READING = (Permission.SEE, Permission.READ, Permission.AUDIT)
"""Permissions of tools that only read."""
ACTING = (Permission.OPERATE, Permission.DECIDE, Permission.CHANGE)
"""Permissions of tools that change something. What needs another permission is no tool."""
LIST_KEY = "result"
"""The name of a response that is a list: structured content of a tool is always an object."""
CUT_KEY = "cut"
"""The name of the notes about what was left out of a response."""
APPROVAL_KEY = "waits_for_approval"
"""The name of the note that an act waits for an approval, and what to tell the person."""

_SERVED = {path for path, row in COMMANDS.items() if row.http and not row.rows}


class Tool(msgspec.Struct, frozen=True):
    """One tool: the command that it runs, and its description for clients."""

    name: str
    command: str
    """As typed: `fix preview`."""
    function: str
    """`module:function` in `headrace.services`."""
    permission: Permission
    description: str
    input: dict[str, Any]
    output: dict[str, Any]

    @property
    def acts(self) -> bool:
        """Whether it changes something."""
        return self.permission in ACTING

    @property
    def isolated(self) -> bool:
        """Whether it loads DuckDB, which never shares a process with the open state."""
        reads_rows = self.permission is Permission.READ and self.function not in _SERVED
        return reads_rows or COMMANDS[self.function].loads_duckdb


@cache
def tools() -> dict[str, Tool]:
    """Return all tools by name: of Headrace's own commands, and of other packages."""
    files = [Path(str(table.__file__)).with_name("tools.json") for table in installed_tables()]
    rows = [
        tool
        for file in (*files, TOOLS_FILE)
        for tool in msgspec.json.decode(file.read_bytes(), type=list[Tool])
    ]
    return {tool.name: tool for tool in rows}


def declared_tools(functions: Iterable[str]) -> list[Tool]:
    """Return those of these functions that are tools, sorted by name. Imports their modules."""
    return sorted(
        (_tool(path) for path in functions if not why_no_tool(path)), key=lambda tool: tool.name
    )


def why_no_tool(path: str) -> str:
    """Return why a function of `COMMANDS` is no tool; empty if it is one."""
    row = COMMANDS[path]
    if row.permission not in (*READING, *ACTING):
        return f"people do it themselves: it needs the permission `{row.permission}`"
    if row.not_for_agents:
        return row.not_for_agents
    if path not in _SERVED and any(
        other in _SERVED for other, item in COMMANDS.items() if item.name == row.name
    ):
        return "the tool of this command calls the function that the HTTP API calls"
    if not _is_plain(path):
        return "it takes files of this machine, or belongs to a terminal"
    return ""


def _is_plain(path: str) -> bool:
    """Return whether parameters and response have JSON Schemas."""
    function = command_function(path)
    try:
        msgspec.json.schema(request_type(function))
        msgspec.json.schema(get_type_hints(function)["return"])
    except TypeError:
        return False
    return True


def _tool(path: str) -> Tool:
    row, function = COMMANDS[path], command_function(path)
    summary = " ".join(description_of(function).split())
    needs = f"Changes something; needs the permission `{row.permission}`."
    return Tool(
        name=re.sub(r"\W", "_", row.name),
        command=row.name,
        function=path,
        permission=row.permission,
        description=f"{summary} {needs}" if row.permission in ACTING else summary,
        input=_input_schema(path),
        output=_output_schema(path),
    )


def parameters(path: str) -> dict[str, Parameter]:
    """Return the parameters of a function's tool, by their names in JSON.

    A parameter that is typed nowhere belongs to a tool only if the HTTP API has it, too.
    """
    function = command_function(path)
    keys = {field.name: field.encode_name for field in structs.fields(request_type(function))}
    return {
        keys[item.name]: item
        for item in flattened(function)
        if path in _SERVED or item.declaration is not None
    }


def _input_schema(path: str) -> dict[str, Any]:
    known = parameters(path)
    whole = _inlined(msgspec.json.schema(request_type(command_function(path))))
    properties = {}
    for name, item in known.items():
        schema = dict(whole["properties"][name])
        help_text = item.declaration.help if item.declaration is not None else ""
        if help_text:
            schema["description"] = help_text
        elif isinstance(item.declaration, Option) and item.declaration.metavar:
            schema["description"] = item.declaration.metavar
        properties[name] = schema
    required = [name for name in whole.get("required", ()) if name in known]
    results: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        results["required"] = required
    return {**results, "additionalProperties": False, **_definitions(whole)}


def _output_schema(path: str) -> dict[str, Any]:
    schema = _inlined(msgspec.json.schema(get_type_hints(command_function(path))["return"]))
    if schema.get("type") == "object":
        return _without_texts(schema)
    definitions = _definitions(schema)
    schema.pop("$defs", None)
    return _without_texts(
        {
            "type": "object",
            "properties": {LIST_KEY: schema},
            "required": [LIST_KEY],
            **definitions,
        }
    )


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose root is no reference."""
    reference = schema.get("$ref")
    if reference is None:
        return dict(schema)
    definitions = dict(schema["$defs"])
    name = reference.rpartition("/")[2]
    root = dict(definitions.pop(name))
    if f'"{reference}"' in msgspec.json.encode([root, definitions]).decode():
        definitions[name] = root
    return {**root, **({"$defs": definitions} if definitions else {})}


def _definitions(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$defs": schema["$defs"]} if "$defs" in schema else {}


def _without_texts(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without titles and descriptions: a client lists the schemas of all tools."""
    return {
        key: _each_without_texts(value)
        for key, value in schema.items()
        if key not in ("title", "description", "default") or key in schema.get("properties", ())
    }


def _each_without_texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_each_without_texts(item) for item in value]
    return _without_texts(value) if isinstance(value, dict) else value
