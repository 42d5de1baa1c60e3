"""What `merge:` and `snapshot:` of an asset say: which row is meant, and what happens to it."""

from __future__ import annotations

from typing import Any

from headrace.model.fields import Fields
from headrace.model.nodes import ACCUMULATING, Asset, PartitionSpec

ADDED_BY_SNAPSHOT = ("valid_from", "valid_to", "is_current")
"""The columns that `materialize: snapshot` adds to the body's."""
KEYS_MAX = 100
DELETES = ("ignore", "close")


def read_accumulation(fields: Fields, materialize: str) -> dict[str, Any]:
    """The fields `merge` and `snapshot` as arguments of `Asset`; one that doesn't go with `materialize` is refused."""
    results: dict[str, Any] = {}
    for kind, reader in (("merge", _merge), ("snapshot", _snapshot)):
        if kind not in fields:
            continue
        read = reader(fields)
        if materialize == kind:
            results |= read
        else:
            message = f"`{kind}` is there, and the asset is materialised as `{materialize}`"
            fields.refuse(kind, message, f"write materialize: {kind}, or take it out", code="conflicting_fields")
    if materialize in ACCUMULATING and not results.get("merge_keys"):
        fields.refuse("materialize", f"`materialize: {materialize}` needs keys", f"add {materialize}: {{keys: [id]}}")
    return results


def _merge(fields: Fields) -> dict[str, Any]:
    inner = _inner(fields, "merge", ("keys", "delete"))
    if inner is None:
        return {}
    keys, delete = _keys(inner, "merge"), inner.text("delete")
    if delete is not None and delete.lower() in (key.lower() for key in keys):
        inner.refuse("delete", f"`{delete}` is a key, and says that a row goes as well", "name another column", code="conflicting_fields")
    return {"merge_keys": keys, "merge_delete": delete}


def _snapshot(fields: Fields) -> dict[str, Any]:
    inner = _inner(fields, "snapshot", ("keys", "columns", "deletes"))
    if inner is None:
        return {}
    return {
        "merge_keys": _keys(inner, "snapshot"),
        "snapshot_columns": inner.texts("columns"),
        "snapshot_deletes": inner.choice("deletes", DELETES, "ignore"),
    }


def _inner(fields: Fields, name: str, known: tuple[str, ...]) -> Fields | None:
    block = fields.block_of(name)
    return None if block is None else Fields(block, fields.report, known, what=f"`{name}`")


def _keys(inner: Fields, name: str) -> tuple[str, ...]:
    if "keys" not in inner:
        inner.required("keys", f"write {name}: {{keys: [id]}}")
        return ()
    keys = inner.texts("keys")
    if len({key.lower() for key in keys}) < len(keys) or len(keys) > KEYS_MAX:
        inner.refuse("keys", "`keys` names a column twice, or too many of them", f"each once, at most {KEYS_MAX}")
    return keys


def partition_of(asset: Asset) -> PartitionSpec:
    """How an asset is cut: one that is appended to and not cut otherwise has a partition for each delivery of its input."""
    if asset.materialize == "append" and asset.partition.whole:
        return PartitionSpec(by_delivery=True)
    return asset.partition
