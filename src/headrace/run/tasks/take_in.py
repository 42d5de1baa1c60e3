"""The task that takes deliveries in."""

from __future__ import annotations

import msgspec

from headrace.connect import Found, Part, SourceSchema
from headrace.lake.catalog import shared_files
from headrace.model import Source
from headrace.run.messages import TakeIn
from headrace.run.tasks.lookup import Lookup, Undeliverable
from headrace.run.tasks.view_checks import beside, view_checks
from headrace.schedule import AttemptId
from headrace.store import Transaction
from headrace.store.queries import leading

SAMPLES_MAX = 7
"""Further deliveries that types are learnt from: a column that holds 0 on the first day may hold 0.5 on the tenth."""


def task(
    lookup: Lookup, tx: Transaction, attempt: AttemptId, source: Source, keys: tuple[str, ...], now: int, snapshot: int
) -> tuple[TakeIn, int]:
    """The newest delivery of an interval (of all intervals of a bundle), and its id. Raises Undeliverable."""
    delivery = leading.newest_delivery(tx, source.name, keys[0])
    if delivery is None:
        raise Undeliverable(f"nothing was delivered for {source.name}@{keys[0]}")
    pinned = leading.pinned_schema(tx, source.name)
    contract = lookup.project.contracts.get(source.contract or source.name)
    made = TakeIn(
        attempt=str(attempt),
        source=source,
        found=_found(source.name, delivery),
        keys=keys,
        pinned=msgspec.json.decode(pinned, type=SourceSchema) if pinned else None,
        promised=contract.columns if contract and contract.columns else None,
        table=lookup.table(tx, source.name),
        evolve=lookup.reshaping(tx, source.name),
        history_has_rows=leading.has_rows(tx, source.name),
        samples=() if pinned else _samples(tx, source.name, delivery.id),
        shared=tuple(shared_files(tx, source.name, keys)),
        references=lookup.references(tx, source.name, snapshot),
        connection=lookup.project.settings.connections.get(source.connector.get("connection", ""), {}),
        now_us=now,
        views=view_checks(lookup, tx, source, keys, snapshot),
        beside=beside(lookup, tx, source, keys),
        macros=lookup.project.macros if any(check.kind == "sql" for check in source.checks) else {},
    )
    return made, delivery.id


def _samples(tx: Transaction, source: str, besides: int) -> tuple[Found, ...]:
    return tuple(_found(source, one) for one in leading.other_waiting(tx, source, besides, SAMPLES_MAX))


def _found(source: str, delivered: leading.Delivered) -> Found:
    parts = msgspec.json.decode(delivered.parts, type=tuple[Part, ...]) if delivered.parts else ()
    return Found(
        source=source,
        partition=delivered.partition,
        path=delivered.path,
        size_bytes=delivered.size_bytes,
        modified_us=delivered.modified_us,
        version=delivered.version,
        parts=parts,
        bundle=delivered.bundle,
    )
