"""What somebody whose roles are limited to some nodes sees of a response: nothing of the others.

Commands that list nodes leave hidden ones out before they count (`may_show`). What remains is done
here for all of them: rows and lists lose the names of hidden nodes, and texts lose their words.
TRUST Z5.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import msgspec

from headrace.model import HeadraceError

HIDDEN = "…"
"""Stands in texts for the name of a node that somebody may not see."""
_WORD = re.compile(r"[^\W\d]\w*(?:-\w+)*")
_JOINED = re.compile(r"-|_(?=\d)")
"""What stands between a node and what is added to its name: `orders-2026`, `orders_2026-01-01`."""
_NODE_FIELDS = ("node", "asset", "source", "consumer", "name", "of", "from_", "to")
"""Fields that name the node that a row is about."""
_NO_NODES = frozenset(
    {
        "columns", "column", "tags", "tag", "packages", "rows", "states", "kind",
        "action", "actor", "actor_type", "outcome", "hash", "needs", "of", "domain", "domains",
        "owner", "owners", "assignee", "who", "asked_by", "query",
    }
)  # fmt: skip
"""Fields whose values aren't names of nodes, even if a node has the same name.

A `query` is what the reader typed: without the name, it would say that there is such a node.
"""


_WHOLE_OR_NULL = frozenset({"ticket"})
"""Fields that are null where their text names a hidden node."""
_ADDRESS = re.compile(r"https?://\S*[\w/]")


class HiddenNodes:
    """The names of the nodes that somebody may not see."""

    def __init__(self, names: Collection[str], visible: Collection[str] = ()) -> None:
        """`visible` are names of other nodes, of which a hidden name may be a part."""
        self._names = frozenset(name.lower() for name in names)
        self._visible = frozenset(name.lower() for name in visible)
        self._parts_max = 1 + max((len(_JOINED.findall(name)) for name in self._names), default=0)

    def without(self, value: Any) -> Any:
        """Return a response without the names of hidden nodes."""
        if isinstance(value, str):
            return self.text(value) if type(value) is str else value
        if isinstance(value, msgspec.Struct):
            return self._struct(value)
        return self._items(value)

    def _items(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.without(item) for key, item in value.items() if not self._hides(key)}
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return type(value)(self.without(item) for item in value if not self._hides(item))
        return value

    def text(self, text: str) -> str:
        """Return a text with HIDDEN in place of the names, and of web addresses with one.

        An address with another word in it would lead elsewhere.
        """
        whole = _ADDRESS.sub(lambda address: self._address(address[0]), text)
        return self._words(whole)

    def _address(self, address: str) -> str:
        return address if self._words(address) == address else HIDDEN

    def _words(self, text: str) -> str:
        return _WORD.sub(lambda word: self._word(word[0]), text)

    def _word(self, word: str) -> str:
        """Return a word with HIDDEN in place of the longest hidden names that it is joined of."""
        if word.lower() in self._visible:
            return word
        joints = list(_JOINED.finditer(word))
        begins = [0, *(joint.end() for joint in joints)]
        ends = [*(joint.start() for joint in joints), len(word)]
        parts, rest = [], 0
        for number, begin in enumerate(begins):
            longest_first = reversed(ends[number : number + self._parts_max])
            end = next(
                (end for end in longest_first if word[begin:end].lower() in self._names), None
            )
            if begin >= rest and end is not None:
                parts += [word[rest:begin], HIDDEN]
                rest = end
        return "".join(parts) + word[rest:]

    def redact(self, error: HeadraceError) -> None:
        """Take the names out of an error; a hint with one is dropped."""
        error.args = tuple(self.text(item) if type(item) is str else item for item in error.args)
        if self.text(error.hint) != error.hint:
            error.hint = ""

    def _struct(self, value: msgspec.Struct) -> msgspec.Struct:
        changed = {}
        for field in value.__struct_fields__:
            before = getattr(value, field)
            if before is None:
                continue
            after = self._of_columns(before) if field in _NO_NODES else self._of_nodes(before)
            if after is not before and after != before:
                changed[field] = None if field in _WHOLE_OR_NULL else after
        return msgspec.structs.replace(value, **changed) if changed else value

    def _of_nodes(self, value: Any) -> Any:
        return None if self._hides_struct(value) else self.without(value)

    def _of_columns(self, value: Any) -> Any:
        """Return rows about columns, all of them, without the hidden nodes that use them."""
        if not isinstance(value, list):
            return value
        return [self._struct(item) if isinstance(item, msgspec.Struct) else item for item in value]

    def _hides(self, item: Any) -> bool:
        """Whether an item of a list is a hidden node, or a row about one."""
        return self._names_hidden(item) if isinstance(item, str) else self._hides_struct(item)

    def _hides_struct(self, item: Any) -> bool:
        return isinstance(item, msgspec.Struct) and any(
            self._names_hidden(getattr(item, field, None)) for field in _NODE_FIELDS
        )

    def _names_hidden(self, value: Any) -> bool:
        """Whether a value is NODE, NODE@K, NODE.COLUMN or KIND:NODE of a hidden node."""
        if not isinstance(value, str):
            return False
        name = value.rpartition(":")[2] if value.count(":") == 1 else value
        return name.partition("@")[0].partition(".")[0].lower() in self._names
