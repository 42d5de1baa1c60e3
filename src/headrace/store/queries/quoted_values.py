"""Values of rows that texts of the state quote, between marks (`headrace.model.texts`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from headrace.model.texts import BEGIN, END, hidden_in
from headrace.store.transaction import Transaction

TEXTS = {
    "attempt": ("node", ("epoch", "n"), ("reason", "error")),
    "check_result": ("node", ("epoch", "n", "partition", "name"), ("detail",)),
    "delivery": ("source", ("id",), ("reason",)),
    "drift": ("source", ("id",), ("evidence", "measured")),
    "fact": ("node", ("id",), ("expected", "observed", "detail")),
    "incident": ("", ("id",), ("detail", "summary", "evidence")),
    "incident_event": ("", ("id",), ("what",)),
    "incident_said": ("", ("incident_id", "at"), ("summary",)),
    "look": ("source", ("source", "at"), ("error",)),
    "notice": ("", ("id",), ("title", "body", "said", "error")),
    "overlay": ("node", ("plan_id", "node", "partition"), ("reason", "changed")),
    "partition": ("node", ("node", "partition"), ("reason",)),
    "quarantine": ("node", ("id",), ("reason", "sample")),
    "request": ("", ("id",), ("arguments", "document")),
    "source_schema": ("source", ("source",), ("schema",)),
    "symptom": ("node", ("incident_id", "node", "partition", "what"), ("what",)),
}
"""Columns of text in which a check, a failure or a person may have quoted a value, after the column
that names the node, if there is one, and the key."""
ENCODED = {
    "evidence": ("node", ("id",), ("content",)),
    "overlay_attempt": ("node", ("epoch", "n"), ("outcome",)),
    "plan": ("", ("id",), ("content",)),
    "withheld": ("", ("epoch", "n"), ("outcome",)),
}
"""Likewise columns of encoded values that have such texts in them."""
_OF_INCIDENTS = {
    "incident": "id",
    "incident_event": "incident_id",
    "incident_said": "incident_id",
    "notice": "incident_id",
}
_HIDING = "quotes_hidden"
_UNAFFECTED = "in (select value from json_each(:unaffected))"
_ABOUT_OTHERS = (
    f"in (select id from incident where node {_UNAFFECTED} except select incident_id from evidence"
    f" where node not {_UNAFFECTED} except select incident_id from symptom where node not"
    f" {_UNAFFECTED})"
)
"""Incidents that no other node is part of."""


def are_hidden(tx: Transaction) -> bool:
    """Whether values are hidden as columns are classified; not in states of earlier versions."""
    row = tx.execute("select 1 from meta where key = ?", (_HIDING,)).fetchone()
    return row is not None


def begin_hiding(tx: Transaction) -> None:
    """Record that values are hidden from now on."""
    tx.execute(
        "insert into meta (key, value) values (?, '1') on conflict (key) do nothing", (_HIDING,)
    )


def hide(tx: Transaction, unaffected: Collection[str]) -> None:
    """Hide for ever the values that were quoted, but those in texts about the nodes `unaffected`.

    A text that names neither a node nor an incident may quote a value of any.
    """
    nodes = json.dumps(sorted(unaffected))
    for table, column, key, content, *values in _quoting(tx, nodes):
        if (clean := _hidden(content)) != content:
            where = " and ".join(f"{name} = ?" for name in key)
            tx.execute(f"update {table} set {column} = ? where {where}", (clean, *values))


def _quoting(tx: Transaction, unaffected: str) -> Iterator[tuple[Any, ...]]:
    """Yield table, column, names of the key, content and key of what may have a quoted value."""
    for table, (node, key, columns) in (TEXTS | ENCODED).items():
        if node:
            about = f"{node} not {_UNAFFECTED}"
        elif table in _OF_INCIDENTS:
            about = f"coalesce({_OF_INCIDENTS[table]} not {_ABOUT_OTHERS}, true)"
        else:
            about = "true"
        for column in columns:
            marks = f"({column} like :begin or {column} like :end)"
            wanted = f"{column} is not null" if table in ENCODED else marks
            sql = f"select {column}, {', '.join(key)} from {table} where {wanted} and {about}"
            given = {"unaffected": unaffected, "begin": f"%{BEGIN}%", "end": f"%{END}%"}
            rows = tx.execute(sql, given).fetchall()
            yield from ((table, column, key, *row) for row in rows)


def _hidden(content: Any) -> Any:
    """Return text, JSON or msgpack with the values in its texts hidden."""
    if isinstance(content, str):
        with suppress(msgspec.DecodeError):  # words that begin with a bracket
            if content.startswith(("{", "[")):
                return msgspec.json.encode(hidden_in(msgspec.json.decode(content))).decode()
        return hidden_in(content)
    if BEGIN.encode() not in content and END.encode() not in content:
        return content
    return msgspec.msgpack.encode(hidden_in(msgspec.msgpack.decode(content)))
