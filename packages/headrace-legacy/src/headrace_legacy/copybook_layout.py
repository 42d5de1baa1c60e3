"""A copybook with the choices of a source: what its records, columns and totals are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from headrace.extension.formats import shown
from headrace_legacy.byte_tables import code_page
from headrace_legacy.code_pages import EBCDIC
from headrace_legacy.copybook_conditions import Conditions
from headrace_legacy.copybooks import (
    FILLER,
    MACHINES,
    OCCURS,
    OTHER,
    CopybookError,
    Item,
    Kind,
    Usage,
    parse_copybook,
)

WHOLE_DIGITS_MAX = 18
"""Numbers of more digits don't fit into 64 bits."""
_NATIVE_DIGITS = {2: 5, 4: 10, 8: 20}


class Choice(NamedTuple):
    """Which of several items that lie at the same place is meant."""

    by: Item | None
    """The item whose value says so; None if it is always the same one."""
    names: Mapping[str, Item]
    """Value → the item; the only one for "" where nothing says so, and OTHER for other values."""

    def item_of(self, value: Any) -> Item | None:
        """Return the item that a value stands for; None if nothing says."""
        if isinstance(value, int | Decimal):
            value = next((key for key in self.names if _is_number(key, value)), value)
        return self.names.get(value, self.names.get(OTHER))


def _is_number(text: str, value: Decimal | int) -> bool:
    return text.isascii() and text.isdecimal() and Decimal(text) == value


class Layout:
    """A copybook with the choices of a source. Raises CopybookError for what doesn't fit."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        records = parse_copybook(options["text"])
        self.options = options
        self.page = code_page(options.get("code_page", EBCDIC[0]))
        self.machine = options.get("machine", MACHINES[not self.page.is_ebcdic])
        self.is_blank_null = options.get("null_blanks", False)
        self.length: int | None = options.get("length")
        self.root = Item(0, "", 1, clusters=[records])
        self.root.size = max(record.whole for record in records)
        self._around: dict[int, tuple[Item, list[Item]]] = {}
        """An item's place in memory → its group, and the items at its place, with itself."""
        self._by_name: dict[str, list[Item]] = {}
        for group in self.root.inside():
            for cluster in group.clusters:
                _name_fillers(cluster)
                for item in cluster:
                    self._around[id(item)] = group, cluster
                    self._by_name.setdefault(item.name, []).append(item)
        self.choices: dict[int, Choice] = {}
        """By the place of a cluster's first item in memory."""
        self._choose(dict(options.get("choose", {})))
        self.rows = self._alternative("rows", options["rows"]) if "rows" in options else None
        if len(self.included(records)) > 1:
            raise CopybookError(records[1].line, "there are several records; `rows` names one")
        self.sliding = {id(record): tuple(self._sliding(record)) for record in records}
        """A record's place in memory → tables whose number of elements moves what follows."""
        self.trailer = self._trailer(options.get("trailer"))
        named = (self.named(name, "conditions") for name in options.get("conditions", ()))
        self.conditions = {id(item): Conditions(item, self.page.name) for item in named}
        """By the item's place in memory."""

    def included(self, cluster: list[Item]) -> list[Item]:
        """Return the items of a cluster that rows may have."""
        if self.rows is not None and self.rows in cluster:
            return [self.rows]
        if len(cluster) == 1:
            return cluster
        meant = self.choices[id(cluster[0])].names.values()
        return [item for item in cluster if item in meant]

    def path(self, item: Item) -> list[tuple[list[Item], Item]]:
        """Return the items around an item, with itself, and their clusters; the outermost first."""
        results: list[tuple[list[Item], Item]] = []
        while item is not self.root:
            group, cluster = self._around[id(item)]
            results.insert(0, (cluster, item))
            item = group
        return results

    def scope_item(self, item: Item) -> Item:
        """Return the table that an item lies in; the root if there is none."""
        item = self._around[id(item)][0]
        while item is not self.root and not item.occurs:
            item = self._around[id(item)][0]
        return item

    def depending(self, table: Item) -> Item:
        """Return the item with a table's number of elements: the last one before it."""
        items = [item for item in self._by_name.get(table.depending, ()) if item.line < table.line]
        if not items or items[-1].is_group or items[-1].occurs:
            raise CopybookError(table.line, f"no number before it is called {table.depending}")
        if not pa.types.is_integer(type_of(items[-1])):
            raise CopybookError(table.line, f"{table.depending} isn't a whole number")
        return items[-1]

    def _sliding(self, record: Item) -> Iterator[Item]:
        for item in record.inside():
            if not item.depending:
                continue
            self.depending(item)
            if self.options.get("occurs", OCCURS[0]) != OCCURS[0]:
                continue
            if self.scope_item(item) is not self.root or any(
                len(cluster) > 1 for cluster, _ in self.path(item)[1:]
            ):
                raise CopybookError(
                    item.line,
                    f"{item.name} has a number of elements, and lies in a table or at the place of"
                    " another item: this is read with `occurs: maximum` only",
                )
            yield item

    def named(self, name: str, what: str) -> Item:
        """Return the item `NAME`, or `NAME OF GROUP`. Raises CopybookError."""
        bare, _, group = name.upper().partition(" OF ")
        items = [
            item
            for item in self._by_name.get(bare.strip(), ())
            if not group or group.strip() in [around.name for _, around in self.path(item)]
        ]
        count = len(items) or "no"
        if not items or (len(items) > 1 and what != "choose"):
            raise CopybookError(
                1,
                f"`{what}` names {shown(name)}, and {count} items are called so; NAME OF GROUP"
                " names one of several",
            )
        if items[0].is_group or items[0].occurs:
            raise CopybookError(
                items[0].line, f"`{what}` names {shown(name)}, which isn't one value"
            )
        return items[0]

    def _choose(self, choices: dict[str, Any]) -> None:
        for group in self.root.inside():
            for cluster in group.clusters:
                if len(cluster) > 1:
                    self.choices[id(cluster[0])] = self._choice(cluster, choices)
        if choices:
            raise CopybookError(
                1, f"`choose` names {shown(next(iter(choices)))}, which nothing redefines"
            )

    def _choice(self, cluster: list[Item], choices: dict[str, Any]) -> Choice:
        first = cluster[0]
        names = {item.name: item for item in cluster}
        key = next((key for key in choices if key.upper() == first.name), None)
        if key is None:
            others = ", ".join(item.name for item in cluster[1:])
            raise CopybookError(
                first.line, f"`choose` doesn't say when {first.name} is meant, and when {others}"
            )
        chosen = choices.pop(key)
        by = None if isinstance(chosen, str) else self.named(chosen["by"], "choose")
        values = {"": chosen} if isinstance(chosen, str) else chosen["values"]
        unknown = next((name for name in values.values() if name.upper() not in names), None)
        if unknown is not None:
            raise CopybookError(
                first.line, f"{shown(unknown)} isn't among {', '.join(names)}, which lie there"
            )
        return Choice(by, {str(value): names[name.upper()] for value, name in values.items()})

    def _alternative(self, what: str, name: str) -> Item:
        """Return a record, or an item at the same place as others, that some records have."""
        for choice in self.choices.values():
            for item in choice.names.values():
                if choice.by is not None and item.name == name.upper():
                    return item
        raise CopybookError(1, f"`{what}` names {shown(name)}, which `choose` tells by no value")

    def _trailer(self, declared: Any) -> Trailer | None:
        if declared is None:
            return None
        of = declared.get("of", OTHER)
        trailer = Trailer(
            self._alternative("trailer", declared["record"]),
            None if of == OTHER else self._alternative("of", of),
            self.named(declared["count"], "count") if "count" in declared else None,
            tuple(
                (self.named(total, "sums"), self.named(summand, "sums"))
                for total, summand in declared.get("sums", {}).items()
            ),
        )
        for item in (*trailer.totals, *(summand for _, summand in trailer.sums)):
            kind = type_of(item)
            if not (pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
                raise CopybookError(item.line, f"{item.name} is no number that can be added up")
            if self.scope_item(item) is not self.root:
                raise CopybookError(item.line, f"{item.name} lies in a table, and isn't added up")
        return trailer


class Trailer(NamedTuple):
    """The last record of a file, with totals of the others."""

    record: Item
    of: Item | None
    """The records that are counted; None: all of the file, with the trailer."""
    number: Item | None
    """The item with their count."""
    sums: tuple[tuple[Item, Item], ...]
    """Totals, each with the item that is summed up."""

    @property
    def totals(self) -> list[Item]:
        """The items of the trailer that are compared."""
        return [*([self.number] if self.number else []), *(total for total, _ in self.sums)]


def _name_fillers(cluster: list[Item]) -> None:
    """Give the items of a cluster names by which they can be chosen: FILLER, FILLER-2 …"""
    fillers = [item for item in cluster if item.name == FILLER]
    for number, item in enumerate(fillers[1:], 2):
        item.name = f"{FILLER}-{number}"


def type_of(item: Item) -> pa.DataType:
    """Return the type of an item's values."""
    if item.usage in (Usage.FLOAT, Usage.DOUBLE):
        return pa.float64()
    picture = item.picture
    assert picture is not None
    if picture.kind is Kind.TEXT:
        return pa.string()
    digits = picture.digits
    if item.usage is Usage.NATIVE and (picture.scale or not picture.signed):
        digits = _NATIVE_DIGITS[item.size]
    if picture.scale == 0 and digits <= WHOLE_DIGITS_MAX:
        return pa.int64()
    if picture.scale == 0 and item.usage is Usage.NATIVE and item.size < 8:
        return pa.int64()
    return pa.decimal128(max(digits - min(picture.scale, 0), picture.scale), max(picture.scale, 0))
