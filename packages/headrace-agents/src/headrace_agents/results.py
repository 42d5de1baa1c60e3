"""What a tool returns: the command's response as JSON, limited in size, or an error.

Text from the project (names, logs, rows) stays inside of JSON strings: it is data, and a client
never gets it as a message of Headrace's.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.extension import HttpProblem
from headrace.responses.base import encoded
from headrace_agents.declarations import CUT_KEY, LIST_KEY, Tool

RESULT_BYTES_MAX = 64 << 10
"""Of one result: more would fill the context of the agent's model."""
ITEMS_MAX = 200
"""Rows of one list in a result."""
TEXT_CHARACTERS_MAX = 4_000
"""Of one text in a result."""
_STEPS = (
    (ITEMS_MAX, TEXT_CHARACTERS_MAX),
    (100, 2_000),
    (50, 1_000),
    (20, 500),
    (10, 200),
    (5, 200),
    (2, 200),
    (1, 100),
    (0, 100),
)
"""Rows of each list and characters of each text: the first that fits is used."""
NOTES_MAX = 20
_NARROWING = ("select", "partitions", "columns", "grep", "since", "from", "to", "cursor", "limit")
_CODES = {400: "invalid", 401: "not_allowed", 404: "not_found", 409: "refused", 503: "unavailable"}


class Cut(msgspec.Struct, frozen=True):
    """A list or a text of which only a part is in the result."""

    at: str
    shown: int
    of: int


def document(tool: Tool, response: Any) -> dict[str, Any]:
    """Return a response as JSON values of at most RESULT_BYTES_MAX, with notes on what is cut."""
    return bounded(tool, msgspec.json.decode(encoded(response)))


def bounded(tool: Tool, values: Any) -> dict[str, Any]:
    """Return JSON values as an object of at most RESULT_BYTES_MAX.

    Lists and texts are shortened, so that the result still fits the tool's output schema.
    """
    whole = values if isinstance(values, dict) else {LIST_KEY: values}
    result: dict[str, Any] = {}
    for items, characters in _STEPS:
        cuts: list[Cut] = []
        result = _shortened(whole, "", items, characters, cuts)
        if cuts:
            notes = msgspec.to_builtins(cuts[:NOTES_MAX])
            result[CUT_KEY] = {"parts": notes, "more": _how_to_get_more(tool)}
        if len(msgspec.json.encode(result)) <= RESULT_BYTES_MAX:
            return result
    raise HttpProblem(413, "the result is too large for an agent", _how_to_get_more(tool))


def _shortened(value: Any, at: str, items: int, characters: int, cuts: list[Cut]) -> Any:
    if isinstance(value, dict):
        return {
            key: _shortened(item, f"{at}.{key}" if at else key, items, characters, cuts)
            for key, item in value.items()
        }
    if isinstance(value, list):
        _note_cut(cuts, at, items, len(value))
        return [_shortened(item, f"{at}[]", items, characters, cuts) for item in value[:items]]
    if isinstance(value, str) and len(value) > characters:
        _note_cut(cuts, at, characters, len(value))
        return value[:characters] + "…"
    return value


def _note_cut(cuts: list[Cut], at: str, length: int, of: int) -> None:
    if of > length:
        cuts.append(Cut(at, length, of))


def _how_to_get_more(tool: Tool) -> str:
    """Return how a caller gets what was left out."""
    known = [f"`{name}`" for name in _NARROWING if name in tool.input["properties"]]
    by_command = f"`headrace {tool.command} --json` prints all of it"
    return f"ask for less with {', '.join(known)}; {by_command}" if known else by_command


def error_document(problem: HttpProblem) -> dict[str, Any]:
    """Return an error as a result: its code, what happened, and what to do next."""
    row = problem.document
    error: dict[str, Any] = {
        "code": row.code or _CODES.get(row.status, "failed"),
        "message": row.detail,
        "hint": row.hint,
    }
    if row.refused is not None:
        error["refused"] = msgspec.to_builtins(row.refused)
    if row.who is not None:
        error |= {"who": row.who, "command": row.command, "ask": row.ask}
        error["rule"] = msgspec.to_builtins(row.rule)
    return {"error": error}
