"""Commands that responses and hints propose: those that their reader's roles include (TRUST Z4).

In an environment they have its option.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from itertools import takewhile
from typing import Any, TypeVar

import msgspec

from headrace.access.printed_commands import commands_in, is_command, name_of, with_commands
from headrace.responses.base import RepairRow
from headrace.responses.incidents import IncidentRepairRow

COMMAND_FIELDS = ("next", "command", "asset_command", "undo")
"""Fields of responses that hold a command, or something else: a cursor, the name of a command."""
LIST_FIELDS = ("commands", "decide")
IN_ORDER = (RepairRow, IncidentRepairRow)
"""Rows whose `commands` are typed one after the other; those of other rows are alternatives."""

T = TypeVar("T")


_PLAIN = re.compile(r"(str|int|float|bool|datetime|date|None|list\[|\]|[ |])+")
"""Types of fields without rows in them."""


class Proposals:
    """What the reader of a response may be told to run. Each command is decided once."""

    def __init__(
        self,
        names: Collection[str],
        needed_role: Callable[[str], str],
        here: Callable[[str], str] = str,
    ) -> None:
        """`names` are the commands as typed.

        `needed_role` returns the role that a command needs and the reader lacks, or an empty text;
        `here` returns a command with the option that it needs in the environment.
        """
        self._names = names
        self._needed_role = cache(needed_role)
        self._here = here

    def hint(self, text: str) -> str:
        """Return a hint with the role that its first refused command needs, if there is one."""
        hint = with_commands(text, self._here)
        for command in commands_in(text):
            if role := self._needed_role(command):
                return f"{hint} (`{name_of(command, self._names)}` needs {role})"
        return hint

    def of(self, response: T) -> T:
        """Return a response without commands that other roles run: they become null.

        Hints keep theirs, with the role. Rows of data stay as they are: only fields of Headrace's
        own rows are commands.
        """
        permitted: T = self._of(response)
        return permitted

    def _of(self, value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            return self._struct(value)
        if isinstance(value, dict):
            return {key: self._row(item) for key, item in value.items()}
        if isinstance(value, list | tuple) and any(isinstance(i, msgspec.Struct) for i in value):
            items = [self._row(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return value

    def _row(self, value: Any) -> Any:
        return self._struct(value) if isinstance(value, msgspec.Struct) else value

    def _struct(self, row: msgspec.Struct) -> msgspec.Struct:
        changed = {}
        for field in _fields(type(row)):
            before = getattr(row, field)
            after = self._field(row, field, before) if before else before
            if after is not before and after != before:
                changed[field] = after
        return msgspec.structs.replace(row, **changed) if changed else row

    def _field(self, row: msgspec.Struct, field: str, value: Any) -> Any:
        if isinstance(value, str):
            if field == "hint":
                return self.hint(value)
            if field not in COMMAND_FIELDS or not is_command(value):
                return value
            return None if self._needed_role(value) else self._here(value)
        if field in LIST_FIELDS and isinstance(value, list):
            return self._permitted(value, in_order=isinstance(row, IN_ORDER))
        return self._of(value)

    def _permitted(self, commands: Sequence[str], *, in_order: bool) -> list[str]:
        """Return the commands that the reader may run; those `in_order` end before another one."""
        select: Iterable[str] = (
            takewhile(lambda command: not self._needed_role(command), commands)
            if in_order
            else (command for command in commands if not self._needed_role(command))
        )
        return [self._here(command) for command in select]


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the fields of a row that may hold commands, or rows with commands."""
    types = {
        field: text
        for base in reversed(kind.__mro__)
        for field, text in inspect.get_annotations(base).items()
    }
    return tuple(
        field
        for field in kind.__struct_fields__
        if field in (*COMMAND_FIELDS, *LIST_FIELDS, "hint")
        or not _PLAIN.fullmatch(str(types.get(field, "")))
    )
