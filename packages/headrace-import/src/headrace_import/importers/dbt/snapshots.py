"""Snapshots: a table of versions (`materialize: snapshot`), and a view with dbt's column names."""

from __future__ import annotations

import re
from typing import Any

from headrace_import.importers.dbt.context import Rendered
from headrace_import.importers.dbt.descriptions import column_descriptions
from headrace_import.importers.dbt.dialects import NotSelect, translate, unproven_keys
from headrace_import.importers.dbt.models import asset_fields
from headrace_import.importers.dbt.nodes import Node, clean_name, free_name, merge_config
from headrace_import.importers.dbt.outcome import Outcome
from headrace_import.importers.dbt.overrides import require_builtin
from headrace_import.importers.dbt.project_files import flag, listed
from headrace_import.importers.dbt.templates import MissingNode, NotStatic, with_sql_comments
from headrace_import.importers.dbt.values import sql_name
from headrace_import.importers.dbt.writing import sql_file
from headrace_import.importers.imported import Verdict

_CHANGED = (
    ("dbt_valid_to_current", "the view has NULL in dbt_valid_to of current rows"),
    ("snapshot_meta_column_names", "the view has dbt's usual names of columns"),
)
"""Settings of dbt that change the columns of a snapshot."""
_OWN_COLUMNS = "valid_from, valid_to, is_current"


def read_snapshots(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Return the snapshots that can be assets, by id, with their configuration and SQL.

    The others become items at once.
    """
    snapshots = {}
    for node in outcome.nodes.by_id.values():
        if node.kind == "snapshot":
            snapshot = _read(outcome, node)
            if snapshot is not None:
                snapshots[node.uid] = snapshot
    return snapshots


def _read(outcome: Outcome, node: Node) -> dict[str, Any] | None:
    doubts: list[str] = []
    try:
        rendered, config = _rendered(outcome, node, doubts)
        outcome.depend(node.uid, rendered.refs)
        if not flag(config.get("enabled"), True):
            _person(outcome, node, "it is disabled in dbt", "delete it, or enable it in dbt")
            return None
        require_builtin(outcome.nodes.macros, "snapshot")
        kinds = outcome.kinds_of(rendered.refs)
        translated = translate(rendered.text.strip(), outcome.dialect, kinds)
        keys = [str(key) for key in listed(config.get("unique_key"))]
        _require_columns(keys)
    except MissingNode as error:
        _person(outcome, node, error.reason, "correct the reference; dbt stops there, too")
        return None
    except (NotStatic, NotSelect) as error:
        _person(outcome, node, str(error), "write it as an asset with materialize: snapshot")
        return None
    doubts += map(str, translated.unproven)
    reason, notes = unproven_keys(keys, outcome.dialect, translated.kinds)
    if reason:
        doubts.append(f"which rows are the same and have changed: {reason}")
    doubts += [f"{option} isn't carried: {why}" for option, why in _CHANGED if config.get(option)]
    if rendered.environment:
        doubts.append("an environment variable is written in by its default")
    return {
        "sql": translated.sql,
        "keys": keys,
        "config": config,
        "doubts": doubts,
        "notes": (*translated.notes, *notes),
        "macros": rendered.macros,
    }


def _rendered(outcome: Outcome, node: Node, doubts: list[str]) -> tuple[Rendered, dict[str, Any]]:
    """Return a snapshot's SQL and configuration, by dbt where it must be. Raise NotStatic."""
    try:
        rendered = outcome.renderer.render(with_sql_comments(node.text))
    except MissingNode:
        raise
    except NotStatic:
        if outcome.compiled is None:
            raise
        compiled = outcome.compiled.render(node.uid, outcome.nodes, outcome.dialect)
        doubts += compiled.doubts
        return compiled.rendered, {**node.config, **compiled.config}
    config = dict(node.config)
    for key, value in rendered.config.items():
        merge_config(config, key, value)
    return rendered, config


def _require_columns(keys: list[str]) -> None:
    if not keys or not all(re.fullmatch(r"\w+", key) for key in keys):
        raise NotStatic("its unique_key isn't a column")


def check_inputs(outcome: Outcome, snapshots: dict[str, dict[str, Any]]) -> None:
    """Leave out snapshots of tables that the new project doesn't have."""
    for uid in list(snapshots):
        missing = [ref for ref in outcome.reads.get(uid, ()) if ref not in outcome.tables]
        if missing:
            del snapshots[uid]
            node = outcome.nodes.by_id[uid]
            todo = f"first decide about {missing[0]}"
            _person(outcome, node, f"it reads {missing[0]}, which isn't here", todo)


def snapshot_path(node: Node) -> str:
    """Return where the view of a snapshot is written."""
    return f"assets/snapshots/{node.target}.sql"


def write_snapshots(outcome: Outcome, snapshots: dict[str, dict[str, Any]]) -> None:
    """Write each snapshot's two assets, and its item."""
    for uid, snapshot in snapshots.items():
        _write(outcome, outcome.nodes.by_id[uid], snapshot)


def _write(outcome: Outcome, node: Node, snapshot: dict[str, Any]) -> None:
    config, keys, doubts = snapshot["config"], snapshot["keys"], list(snapshot["doubts"])
    deletes, deletes_note = _deletes(config, doubts)
    declared: dict[str, Any] = {"keys": keys}
    updated_at = _updated_at(config, doubts)
    if updated_at:
        declared["columns"] = [updated_at]
    elif isinstance(config.get("check_cols"), list):
        declared["columns"] = [str(column) for column in config["check_cols"]]
    if deletes == "close":
        declared["deletes"] = "close"
    taken = {other.target.lower() for other in outcome.nodes.by_id.values()}
    versions = free_name(clean_name(f"{node.target[:54]}_versions"), node.uid, taken)
    fields = asset_fields(
        outcome, node, config, {"materialize": "snapshot", "snapshot": declared}, []
    )
    fields.pop("name", None)
    base = f"assets/snapshots/{versions}.sql"
    first = outcome.write(base, sql_file(fields, {}, snapshot["sql"]))
    checks = [check.declaration for check in outcome.checks.get(node.uid, ())]
    view_fields = asset_fields(outcome, node, config, {"materialize": "view"}, checks)
    view_fields.pop("name", None)
    view = _view(versions, keys, updated_at)
    text = sql_file(view_fields, column_descriptions(outcome, node), view)
    second = outcome.write(snapshot_path(node), text)
    why = (
        f"versions by {', '.join(keys)} in {versions}; {node.target} shows them with dbt's columns;"
        f" {'; '.join([deletes_note, *snapshot['notes']])}"
    )
    verdict, todo = Verdict.CARRIED, ""
    if doubts:
        verdict, why = Verdict.PERSON, "; ".join([*doubts, why])
        todo = f"compare {first} with the original, and decide"
    outcome.add(
        node.uid,
        node.file,
        node.line,
        verdict,
        f"{why}; the history that dbt has isn't copied",
        todo=todo,
        created=(first, second),
        original=node.text,
    )


def _updated_at(config: dict[str, Any], doubts: list[str]) -> str:
    """Return the column of the strategy `timestamp`; empty for `check`."""
    if str(config.get("strategy") or "timestamp") != "timestamp":
        return ""
    column = str(config.get("updated_at") or "")
    if re.fullmatch(r"\w+", column):
        return column
    doubts.append("its updated_at isn't a column: all columns are compared")
    return ""


def _deletes(config: dict[str, Any], doubts: list[str]) -> tuple[str, str]:
    """Return what becomes of deleted rows, and a note about it."""
    mode = str(config.get("hard_deletes") or "ignore")
    if flag(config.get("invalidate_hard_deletes")):
        mode = "invalidate"
    if mode == "new_record":
        doubts.append("hard_deletes: new_record has no counterpart: deleted rows are only closed")
        return "close", "a deleted row closes its version"
    if mode == "invalidate":
        return "close", "a deleted row closes its version, as in dbt"
    return "ignore", "deleted rows stay current, as in dbt"


def _view(versions: str, keys: list[str], updated_at: str) -> str:
    """Return the query that shows the versions with the column names of dbt."""
    columns = ", ".join(map(sql_name, keys))
    if updated_at:
        start = sql_name(updated_at)
        end = (
            f"case\n        when not is_current then coalesce(\n"
            f"            lead({start}) over (partition by {columns} order by valid_from),\n"
            f"            cast(valid_to at time zone 'UTC' as timestamp)\n        )\n    end"
        )
    else:
        start = "cast(valid_from at time zone 'UTC' as timestamp)"
        end = "cast(valid_to at time zone 'UTC' as timestamp)"
    parts = [*(sql_name(key) for key in keys), start]
    texts = " || '|' || ".join(f"coalesce(cast({part} as varchar), '')" for part in parts)
    return (
        f"select\n    * exclude ({_OWN_COLUMNS}),\n    md5({texts}) as dbt_scd_id,\n"
        f"    {start} as dbt_updated_at,\n    {start} as dbt_valid_from,\n"
        f"    {end} as dbt_valid_to\nfrom {versions}"
    )


def _person(outcome: Outcome, node: Node, why: str, todo: str) -> None:
    outcome.add(node.uid, node.file, node.line, Verdict.PERSON, why, todo=todo, original=node.text)
