"""`consumers.yaml`: who needs what, by when."""

from __future__ import annotations

from typing import Any

from headrace.model.common import COMMON, read_common
from headrace.model.documents import Items, LocatedMapping, kind_of
from headrace.model.exports import read_export
from headrace.model.fields import Fields
from headrace.model.names import check_consumer
from headrace.model.nodes import Consumer, Grain
from headrace.model.reporting import Report, shown

_FIELDS = frozenset((*COMMON, "consumer", "reads", "per", "due", "max_age", "since", "export", "importance"))
_EXAMPLE = "write - consumer: morning-report, with owner:, reads: and due: or max_age:"


def read_consumers(document: object, report: Report) -> tuple[Consumer, ...]:
    """All consumers of the file."""
    blocks: list[Any]
    if isinstance(document, LocatedMapping):
        blocks = [document]
    elif isinstance(document, list):
        blocks = document
    else:
        report.error("wrong_type", 1, f"consumers.yaml must be a list, not {kind_of(document)}", _EXAMPLE)
        return ()
    consumers = []
    for index, block in enumerate(blocks):
        if not isinstance(block, LocatedMapping):
            line = document.lines[index] if isinstance(document, Items) else 1
            report.error("wrong_type", line, f"a consumer must be a mapping, not {kind_of(block)}", _EXAMPLE)
        elif (consumer := _consumer(block, report)) is not None:
            consumers.append(consumer)
    return tuple(consumers)


def _consumer(block: LocatedMapping, report: Report) -> Consumer | None:
    name = block.get("consumer")
    fields = Fields(block, report, _FIELDS, what=f"the consumer {shown(name)}" if isinstance(name, str) else "a consumer")
    name = fields.required("consumer", "add `consumer:` with the name")
    named = name is not None and check_consumer(name, fields.line("consumer"), report)
    common = read_common(fields)
    reads = tuple(dict.fromkeys(fields.texts("reads")))
    if not reads:
        report.error("missing_field", fields.line("reads"), f"{fields.what} reads nothing", "add reads: [asset]")
    per = Grain(fields.choice("per", tuple(Grain), Grain.DAY))
    due, max_age = fields.moment("due"), fields.duration("max_age", "") or None
    since = fields.instant("since")
    _check_promise(fields)
    export = read_export(fields, reads, per)
    importance = fields.text("importance") if "importance" in fields else None
    if name is None or not named or "owner" not in common:
        return None
    place = report.place(fields.line("consumer"))
    return Consumer(
        name=name, reads=reads, per=per, due=due, max_age=max_age, since=since, export=export, importance=importance, place=place, **common
    )  # fmt: skip


def _check_promise(fields: Fields) -> None:
    """Exactly one of `due` and `max_age`: what was promised must be one thing."""
    if "due" in fields and "max_age" in fields:
        fields.refuse(
            "max_age", f"{fields.what} has both `due` and `max_age`", "keep one of them, or write two consumers", code="conflicting_fields"
        )
    elif "due" not in fields and "max_age" not in fields:
        fields.report.error(
            "missing_field", fields.block.line, f"{fields.what} has neither `due` nor `max_age`", 'add due: "07:00" or max_age: 30h'
        )
