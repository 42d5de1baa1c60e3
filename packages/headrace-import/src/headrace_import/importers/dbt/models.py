"""Models as assets; what can't be carried becomes a command of dbt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from headrace_import.importers.dbt.descriptions import column_descriptions, description_of
from headrace_import.importers.dbt.dialects import (
    NotSelect,
    WrongResult,
    hidden_tables,
    tables_read,
    translate,
)
from headrace_import.importers.dbt.incremental import incremental
from headrace_import.importers.dbt.model_contracts import (
    NotCarried,
    casts_on_writing,
    is_enforced,
    write_contract,
)
from headrace_import.importers.dbt.model_versions import settings_left_out
from headrace_import.importers.dbt.nodes import Node, merge_config
from headrace_import.importers.dbt.outcome import Model, Outcome
from headrace_import.importers.dbt.overrides import require_builtin
from headrace_import.importers.dbt.project_files import flag, listed, mapped
from headrace_import.importers.dbt.settings import PROFILES
from headrace_import.importers.dbt.templates import (
    MissingNode,
    NotStatic,
    Unreadable,
    with_sql_comments,
)
from headrace_import.importers.dbt.writing import flow, sql_file, yaml_file
from headrace_import.importers.imported import Verdict
from headrace_import.importers.origin_files import working_on
from headrace_import.importers.sql_guard import Unproven

_HOOKS = ("pre_hook", "post_hook", "pre-hook", "post-hook")
DBT_SCRIPT = "jobs/run-dbt.sh"
_SCRIPT = """\
#!/bin/sh
# Runs dbt for the models that it still computes, in its own project (DBT_PROJECT_DIR) and
# environment: activate that here if dbt isn't on the PATH.
exec dbt "$@"
"""
_BUILD = ("build", "--indirect-selection", "buildable")
"""With the tests that read only what is built: others may read tables that dbt left behind."""
_KINDS = {"append": "a table that new rows are appended to", "merge": "a merged table"}
_FORM = "write the query without this form, and import again"
_STORED = {"table", "materialized_view", "external", "dynamic_table"}


def read_models(outcome: Outcome) -> dict[str, Model]:
    """Return the models that can be assets by id; the others become items at once."""
    models = {}
    for node in _inputs_first(outcome.nodes.by_id):
        with working_on(node.file):
            model = _read(outcome, node)
        if model is not None:
            models[node.uid] = model
    for uid, model in list(models.items()):
        refused = outcome.refused_files.get(asset_path(model.node))
        if refused:
            del models[uid]
            why = [*model.doubts, f"as SQL of DuckDB it isn't valid: {refused}"]
            _command(outcome, model.node, "; ".join(why))
    _run_with_dbt(outcome, models)
    _break_circles(outcome, models)
    _doubt_fractions(outcome, models)
    _store_inputs_of_appends(models)
    return models


_REF = re.compile(r"""\bref\(\s*(?:['"]\w+['"]\s*,\s*)?['"](\w+)['"]""")


def _inputs_first(nodes: Mapping[str, Node]) -> list[Node]:
    """Return the models, each after those that it names, so that the kinds of columns are known."""
    models = [node for node in nodes.values() if node.kind == "model"]
    sorter = TopologicalSorter({node.name: _REF.findall(node.text) for node in models})
    try:
        order = {name: number for number, name in enumerate(sorter.static_order())}
    except CycleError:
        return models
    return sorted(models, key=lambda node: order[node.name])


def _doubt_fractions(outcome: Outcome, models: Mapping[str, Model]) -> None:
    """Doubt what rounds a column that may be a fraction: another model has a DOUBLE for it here."""
    fractions = {uid for uid, model in models.items() if model.fractions}
    for uid, model in models.items():
        if fractions & outcome.ancestors(uid):
            model.doubts += model.inexact


def _located(model: Model, source: str, unproven: Unproven) -> str:
    """Return a construct that isn't proven with its line in the model's file, if that is known."""
    lines, written = source.splitlines(), model.node.text.splitlines()
    text = lines[unproven.line - 1].strip() if 0 < unproven.line <= len(lines) else ""
    places = [number for number, line in enumerate(written, start=1) if line.strip() == text]
    line = places[0] if text and len(places) == 1 else 0
    model.line = model.line or line
    return str(replace(unproven, line=line))


def _store_inputs_of_appends(models: Mapping[str, Model]) -> None:
    """Make tables of views that an appending model follows: a view has no deliveries of its own."""
    for model in models.values():
        if model.fields.get("materialize") != "append":
            continue
        for ref in model.rendered.refs:
            if ref in models and models[ref].fields.get("materialize") == "view":
                del models[ref].fields["materialize"]
                models[ref].notes.append(
                    f"stored, because {model.node.target} appends its new rows"
                )


def _read(outcome: Outcome, node: Node) -> Model | None:
    if not node.enabled:
        _person(outcome, node, node.disabled_because, "delete it, or enable it and import again")
        return None
    if node.language == "python":
        _command(outcome, node, "a Python model runs in the warehouse of dbt")
        return None
    try:
        rendered = outcome.renderer.render(with_sql_comments(node.text), config=node.config)
        config = dict(node.config)
        for key, value in rendered.config.items():
            merge_config(config, key, value)
        outcome.depend(node.uid, rendered.refs)
        if not flag(config.get("enabled"), True):
            _person(outcome, node, "it is disabled in dbt", "delete it, or enable it in dbt")
            return None
        model = Model(node, rendered, config)
        _body(outcome, model)
    except MissingNode as error:
        _person(
            outcome, node, error.reason, "correct the reference; dbt stops there, too", error.line
        )
        return None
    except Unreadable as error:
        _person(outcome, node, error.reason, "correct the template", error.line)
        return None
    except NotStatic as error:
        return _compiled(outcome, node, error)
    except WrongResult as error:
        _person(outcome, node, str(error), _FORM)
        return None
    except NotSelect as error:
        _command(outcome, node, str(error))
        return None
    return _with_macros(outcome, model)


def _with_macros(outcome: Outcome, model: Model) -> Model:
    """Record which macros a model uses, and return it."""
    for macro in model.rendered.macros:
        outcome.macros_used.setdefault(macro, []).append(model.node.uid)
    return model


def _compiled(outcome: Outcome, node: Node, reason: NotStatic) -> Model | None:
    """Return a model with the SQL that dbt compiled; a command if there is none.

    `reason` says why the static reader couldn't read it.
    """
    if outcome.compiled is None:
        _command(outcome, node, reason.reason, reason.line)
        return None
    try:
        compiled = outcome.compiled.render(node.uid, outcome.nodes, outcome.dialect)
        model = Model(node, compiled.rendered, {**node.config, **compiled.config})
        model.doubts += compiled.doubts
        model.notes += [f"dbt {outcome.compiled.version} compiled it ({reason.reason})"]
        model.notes += compiled.notes
        if model.config.get("materialized") == "incremental":
            model.config["materialized"] = "table"
            model.doubts.append(
                "it is incremental in dbt: here the whole table is computed anew, as by dbt run"
                " --full-refresh"
            )
        _body(outcome, model)
    except WrongResult as error:
        _person(outcome, node, str(error), _FORM)
        return None
    except (NotStatic, NotSelect) as error:
        _command(outcome, node, f"{reason.reason}; {error}", reason.line)
        return None
    outcome.depend(node.uid, compiled.rendered.refs)
    return _with_macros(outcome, model)


def _body(outcome: Outcome, model: Model) -> None:
    """Set the SQL and the fields of the asset. Raise NotStatic, NotSelect."""
    _materialize(outcome, model)
    source = model.sql or model.rendered.text
    kinds = outcome.kinds_of(model.rendered.refs)
    translated = translate(source, outcome.dialect, kinds)
    model.node.kinds = translated.kinds
    model.sql = translated.sql
    model.doubts += [_located(model, source, unproven) for unproven in translated.unproven]
    model.inexact = [_located(model, source, unproven) for unproven in translated.inexact]
    model.fractions = translated.fractions
    model.notes += translated.notes
    model.doubts += casts_on_writing(outcome, model, source)
    if model.rendered.marks and "* exclude (" in model.sql:
        model.notes.append(
            "it fails if a column in the `except` of dbt_utils.star isn't there, which dbt ignores"
        )
    if translated.changed:
        model.notes.append(f"its SQL is translated from {outcome.dialect}".removesuffix(" from "))
    _doubts(model)
    for name in hidden_tables(model.sql, model.rendered.uses):
        model.doubts.append(f"its CTE {name} hides the table {name}: rename the CTE")
    known = {name.lower() for name in model.rendered.refs.values()} | {"__headrace_self"}
    unknown = [name for name in tables_read(model.sql) if name and name.lower() not in known]
    if unknown:
        raise NotStatic(
            f"it reads {unknown[0]} by its name in the warehouse, without ref or source"
        )


def _materialize(outcome: Outcome, model: Model) -> None:
    """Set how the asset's rows are stored. Raise NotStatic."""
    materialized = str(model.config.get("materialized") or "view")
    require_builtin(outcome.nodes.macros, materialized)
    if materialized == "incremental":
        incremental(outcome, model)
    elif materialized in ("view", "ephemeral"):
        model.fields["materialize"] = "view"
    elif materialized not in _STORED:
        raise NotStatic(f"the materialization {materialized} isn't one of dbt's own")
    if materialized == "ephemeral":
        model.notes.append("an ephemeral model is a view here")
    if materialized == "external":
        model.doubts.append("dbt writes it to a file, too: add a consumer with an export")


def _doubts(model: Model) -> None:
    for key in _HOOKS:
        if listed(model.config.get(key)):
            model.doubts.append(f"its {key.replace('_', '-')} isn't run")
    if model.config.get("sql_header"):
        model.doubts.append("its sql_header isn't run")
    for name, default in model.rendered.environment.items():
        model.doubts.append(f"the environment variable {name} is written in as {default!r}")
    for name, value in model.rendered.variables.items():
        model.notes.append(f"var {name} is written in as {flow(value)}")
    if model.node.renamed:
        model.notes.append(model.node.renamed)
    model.notes += settings_left_out(model.node, model.config)


def _run_with_dbt(outcome: Outcome, models: dict[str, Model]) -> None:
    """Make commands of the models below those that dbt runs: their inputs are in its warehouse."""
    while blocked := _blocked(outcome, models):
        for uid, ref in blocked.items():
            node = models.pop(uid).node
            if ref in outcome.commands:
                _command(outcome, node, f"it reads {ref}, which dbt runs")
            else:
                todo = f"first decide about {ref}"
                _person(outcome, node, f"it reads {ref}, which isn't imported", todo)


def _blocked(outcome: Outcome, models: Mapping[str, Model]) -> dict[str, str]:
    """Return the models that read a model which can't be an asset, with its id."""
    blocked = {}
    for uid, model in models.items():
        missing = [ref for ref in model.rendered.refs if _is_missing(outcome, ref, models)]
        if missing:
            blocked[uid] = next((ref for ref in missing if ref in outcome.commands), missing[0])
    return blocked


def _is_missing(outcome: Outcome, ref: str, models: Mapping[str, Model]) -> bool:
    node = outcome.nodes.by_id[ref]
    return node.kind == "model" and ref not in models


def _break_circles(outcome: Outcome, models: dict[str, Model]) -> None:
    """Leave out models that read themselves, directly or through others."""
    for uid in [uid for uid in models if uid in outcome.ancestors(uid)]:
        model = models.pop(uid)
        todo = "break the circle in dbt; it stops there, too"
        _person(outcome, model.node, "it is computed from itself (circular ref)", todo)
    _run_with_dbt(outcome, models)


def write_models(outcome: Outcome, models: Mapping[str, Model]) -> None:
    """Write the assets, with the checks that belong to them."""
    outcome.models = dict(models)
    for uid, model in models.items():
        if model.fields.get("materialize") == "view":
            outcome.views.add(uid)
        outcome.tables.add(uid)
    for uid in outcome.commands:
        _write_command(outcome, outcome.nodes.by_id[uid])


def finish_models(outcome: Outcome, models: Mapping[str, Model]) -> None:
    """Write each model's file, once all checks are known, and its item."""
    for uid, model in models.items():
        node = model.node
        checks = [check.declaration for check in outcome.checks.get(uid, ())]
        fields = asset_fields(outcome, node, model.config, model.fields, checks)
        text = sql_file(fields, column_descriptions(outcome, node), model.sql)
        path = outcome.write(asset_path(node), text)
        _item(outcome, model, path)


def _item(outcome: Outcome, model: Model, path: str) -> None:
    node = model.node
    kind = model.fields.get("materialize", "table")
    why = "; ".join([f"the same query as {_KINDS.get(kind, f'a {kind}')}", *model.notes])
    verdict, todo = Verdict.CARRIED, ""
    created: tuple[str, ...] = (path,)
    if is_enforced(model):
        try:
            contract, note = write_contract(outcome, model)
        except NotCarried as error:
            why += f"; columns and types aren't compared with its contract: {error}"
            todo = f"write the contract as contracts/{node.target}.odcs.yaml"
        else:
            why, created = f"{why}; {note}", (path, contract)
    if model.doubts:
        verdict, why = Verdict.PERSON, "; ".join([*model.doubts, *model.notes])
        todo = f"compare {path} with the original, and decide"
        if not outcome.dialect:
            todo = f"name its database in {PROFILES} and import again, or {todo}"
    line = model.line or node.line
    outcome.add(
        node.uid, node.file, line, verdict, why, todo=todo, created=created, original=node.text
    )


def asset_fields(
    outcome: Outcome,
    node: Node,
    config: Mapping[str, Any],
    more: Mapping[str, Any],
    checks: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return the front matter of a node's asset."""
    node = replace(node, config=dict(config))
    fields: dict[str, Any] = {}
    if asset_path(node).rpartition("/")[2] != f"{node.target}.sql":
        fields["name"] = node.target
    description = description_of(outcome, node)
    if description:
        fields["description"] = description
    fields["owner"] = outcome.owners.of(node)
    tags = [str(tag) for tag in dict.fromkeys(listed(config.get("tags")) + _own_tags(node))]
    if tags:
        fields["tags"] = tags
    fields |= more
    if checks:
        fields["checks"] = checks
    return fields


def _own_tags(node: Node) -> list[Any]:
    return listed(node.properties.get("tags"))


def asset_path(node: Node) -> str:
    """Return where a node's asset is written: the folders of dbt below `assets`."""
    folders = [re.sub(r"[^A-Za-z0-9_.-]+", "_", part) for part in node.file.split("/")[1:-1]]
    return "/".join(["assets", *folders, f"{node.target}.sql"])


def _person(outcome: Outcome, node: Node, why: str, todo: str, line: int = 0) -> None:
    outcome.add(
        node.uid, node.file, line or node.line, Verdict.PERSON, why, todo=todo, original=node.text
    )


def _command(outcome: Outcome, node: Node, why: str, line: int = 0) -> None:
    outcome.commands.add(node.uid)
    outcome.add(
        node.uid,
        node.file,
        line or node.line,
        Verdict.COMMAND,
        f"{why}; so dbt runs it",
        todo=(
            "set DBT_PROJECT_DIR and DBT_PROFILES_DIR where Headrace runs, and give it a trigger;"
            " its table stays in dbt's warehouse"
        ),
        created=(command_path(node),),
        original=node.text,
    )


def command_path(node: Node) -> str:
    """Return where the command is written that has dbt compute a node."""
    return asset_path(node).removesuffix(".sql") + ".yaml"


def _write_command(outcome: Outcome, node: Node) -> None:
    """Write a command of dbt: `build`, so that seeds, snapshots and tests run, too."""
    selected = f"+{node.name}.v{node.version}" if node.version else f"+{node.name}"
    description = description_of(outcome, node)
    depends = [
        outcome.nodes.by_id[ref].target
        for ref in outcome.reads.get(node.uid, ())
        if ref in outcome.commands
    ]
    fields: dict[str, Any] = {
        "asset": node.target,
        **({"description": description} if description else {}),
        "owner": outcome.owners.of(node),
        "materialize": "none",
        **({"depends": depends} if depends else {}),
        "trigger": "manual",
        "command": ["sh", DBT_SCRIPT, *_BUILD, "--select", selected],
    }
    tags = [str(tag) for tag in listed(mapped(node.properties).get("tags"))]
    if tags:
        fields["tags"] = tags
    outcome.files[command_path(node)] = yaml_file(fields)
    outcome.files[DBT_SCRIPT] = _SCRIPT
