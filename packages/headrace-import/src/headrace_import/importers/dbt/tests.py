"""Generic tests of dbt as checks of the assets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from headrace_import.importers.dbt.check_kinds import KINDS, Call, NoCheck, literal
from headrace_import.importers.dbt.compiled import CompiledProject
from headrace_import.importers.dbt.dialects import (
    SELF_TABLE,
    NotSelect,
    condition_in_duckdb,
    translate,
)
from headrace_import.importers.dbt.generic_tests import DeclaredTest, declared_tests, unique_id
from headrace_import.importers.dbt.models import command_path
from headrace_import.importers.dbt.nodes import config_of
from headrace_import.importers.dbt.outcome import Check, Outcome
from headrace_import.importers.dbt.project_files import flag
from headrace_import.importers.dbt.templates import TEST_PREFIX, MissingNode, NotStatic, is_template
from headrace_import.importers.dbt.values import SELF, Relation
from headrace_import.importers.imported import Verdict


def read_generic_tests(outcome: Outcome) -> None:
    """Make checks of the generic tests, and an item of each."""
    for node in [*outcome.nodes.by_id.values()]:
        for test in declared_tests(node):
            _generic(outcome, test)


def _generic(outcome: Outcome, test: DeclaredTest) -> None:
    node, uid = test.node, unique_id(test, outcome.nodes.files.name)
    file, kind = node.properties_file or node.file, test.full_name
    common: dict[str, Any] = {"original": test.original}
    test.config = project_config(outcome, node.properties_file, "") | test.config
    if not flag(test.config.get("enabled"), True):
        why, todo = (
            f"{kind} of {node.name}: it is disabled in dbt",
            "delete it, or enable it in dbt",
        )
        outcome.add(uid, file, test.line, Verdict.PERSON, why, todo=todo, **common)
        return
    if node.uid in outcome.commands:
        _by_dbt(outcome, test, uid)
        return
    if node.uid not in outcome.tables:
        todo = f"first decide about {node.name}"
        why = f"{node.name} isn't imported"
        outcome.add(uid, file, test.line, Verdict.PERSON, why, todo=todo, **common)
        return
    try:
        owner, declaration, reads = _check(outcome, test)
        attach(outcome, owner, declaration, reads)
    except (NoCheck, NotStatic) as error:
        why = f"{kind} of {node.name}: {error}"
        todo = f"write a `sql` check in {outcome.paths[node.uid]}"
        outcome.add(uid, file, test.line, Verdict.PERSON, why, todo=todo, **common)
        return
    target = outcome.nodes.by_id[owner].target
    why = "; ".join([f"{kind} is the check {_kind_of(declaration)} of {target}", *test.notes])
    outcome.add(
        uid, file, test.line, Verdict.CARRIED, why, created=(outcome.paths[owner],), **common
    )


def _by_dbt(outcome: Outcome, test: DeclaredTest, uid: str) -> None:
    """Add the item of a test of a model that dbt computes."""
    node = test.node
    refs = [ref for value in test.arguments.values() for ref in _refs_in(outcome, value)]
    other = outcome.not_built_with(node.uid, refs)
    verdict, todo = Verdict.COMMAND, ""
    created: tuple[str, ...] = (command_path(node),)
    why = f"dbt computes {node.name} and tests it: its command is dbt build"
    if other:
        verdict, created = Verdict.PERSON, ()
        why = f"dbt computes {node.name}, but needn't compute {other} any more, which it reads"
        todo = f"import {node.name}, or have dbt compute {other}, too"
    file = node.properties_file or node.file
    outcome.add(
        uid, file, test.line, verdict, why, todo=todo, created=created, original=test.original
    )


def _refs_in(outcome: Outcome, value: object) -> list[str]:
    """Return the nodes that a test's argument names."""
    if not isinstance(value, str) or not re.search(r"\b(ref|source)\(", value):
        return []
    try:
        return list(outcome.renderer.value("{{ " + _bare(value) + " }}")[1].refs)
    except NotStatic:
        return []


def _kind_of(declaration: Mapping[str, Any]) -> str:
    return next(iter(declaration))


def _check(outcome: Outcome, test: DeclaredTest) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return a test's check: the node that it belongs to, declaration, nodes that it reads."""
    require_plain(test.config)
    try:
        return _static_check(outcome, test)
    except MissingNode:
        raise
    except (NoCheck, NotStatic) as error:
        if outcome.compiled is None:
            raise
        return _compiled_check(outcome, outcome.compiled, test, error)


def _compiled_check(
    outcome: Outcome, project: CompiledProject, test: DeclaredTest, reason: Exception
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return the query that dbt compiled as a check. Raise NoCheck."""
    uid, node = unique_id(test, outcome.nodes.files.name), test.node.uid
    try:
        compiled = project.render(uid, outcome.nodes, outcome.dialect, as_self=node)
    except NotStatic as error:
        raise NoCheck(f"{reason}; {error}") from None
    refs = [ref for ref in compiled.rendered.refs if ref != node]
    missing = [f"it reads {ref}, which isn't imported" for ref in refs if ref not in outcome.tables]
    if missing or compiled.doubts:
        raise NoCheck(f"{reason}; {[*missing, *compiled.doubts][0]}")
    declaration: dict[str, Any] = {"sql": {"query": compiled.rendered.text}}
    _finish(outcome, test, declaration, "", refs)
    for used in compiled.rendered.macros:
        outcome.macros_used.setdefault(used, []).append(node)
    return _placed(outcome, test, declaration, tuple(refs))


def _static_check(
    outcome: Outcome, test: DeclaredTest
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return the check of a test that is known without dbt. Raise NoCheck, NotStatic."""
    reads: list[str] = []

    def relation(value: object) -> str:
        table, rendered = outcome.renderer.value("{{ " + _bare(str(value)) + " }}")
        if not isinstance(table, Relation) or table.id not in outcome.tables:
            raise NoCheck(f"{value} isn't imported")
        reads.extend(rendered.refs)
        return SELF if table.id == test.node.uid else table.name

    arguments = {key: _evaluated(outcome, value) for key, value in test.arguments.items()}
    where = _where(outcome, test, arguments.pop("row_condition", None))
    call = Call(test.column or str(arguments.pop("column_name", "")), arguments, relation, where)
    if test.full_name in KINDS and not _overridden(outcome, test):
        declaration = KINDS[test.full_name](call)
    else:
        declaration, more = _own_test(outcome, test, call)
        reads += more
    _finish(outcome, test, declaration, where, reads)
    others = tuple(name for name in dict.fromkeys(reads) if name != test.node.uid)
    return _placed(outcome, test, declaration, others)


def project_config(outcome: Outcome, path: str, name: str) -> dict[str, Any]:
    """Return what dbt_project.yml configures for a test."""
    sections = ("tests", "data_tests")
    first, second = (config_of(outcome.nodes.files, part, path, name) for part in sections)
    return first | second


def require_plain(config: Mapping[str, Any]) -> None:
    """Raise NoCheck for a test that is disabled, or decides by the number of rows."""
    for option in ("error_if", "warn_if", "fail_calc"):
        if config.get(option):
            raise NoCheck(f"its {option} has no counterpart")
    if not flag(config.get("enabled"), True):
        raise NoCheck("it is disabled in dbt")


def _where(outcome: Outcome, test: DeclaredTest, row_condition: object) -> str:
    """Return the condition on rows: `where` of the test, and the package's own argument."""
    where = str(test.config.get("where") or "")
    if is_template(where):
        where = outcome.renderer.render(where).text
    conditions = [str(text) for text in (where, row_condition) if text]
    if len(conditions) > 1:
        return " and ".join(f"({text})" for text in conditions)
    return "".join(conditions)


def _bare(text: str) -> str:
    match = re.fullmatch(r"\s*\{\{(.*)\}\}\s*", text, re.DOTALL)
    return match[1] if match else text


def _evaluated(outcome: Outcome, value: Any) -> Any:
    if isinstance(value, str) and is_template(value) and not re.search(r"\b(ref|source)\(", value):
        return outcome.renderer.value(value)[0]
    return value


def _overridden(outcome: Outcome, test: DeclaredTest) -> bool:
    """Return whether the project has a generic test of its own by this name."""
    return not test.package and f"{TEST_PREFIX}{test.name}" in outcome.nodes.macros


def _own_test(outcome: Outcome, test: DeclaredTest, call: Call) -> tuple[dict[str, Any], list[str]]:
    """Return the check of a generic test that the project defines: its query, written out."""
    macro = outcome.nodes.macros.get(f"{TEST_PREFIX}{test.name}")
    if macro is None or test.package:
        raise NoCheck("this test isn't one that Headrace knows")
    values = {
        key: _relation_argument(outcome, test.node.uid, value)
        for key, value in call.arguments.items()
    }
    others = _imported_tables(outcome, values)
    arguments: dict[str, Any] = {**values, "model": Relation(test.node.uid, SELF)}
    if call.where:  # as dbt's get_where_subquery
        arguments["model"] = f"(select * from {SELF} where {call.where}) dbt_subquery"
    if test.column:
        arguments["column_name"] = test.column
    names = {arg.name for arg in macro.node.args}
    unknown = [name for name in arguments if name not in names]
    if unknown:
        raise NoCheck(f"the test takes no argument {unknown[0]}")
    rendered = outcome.renderer.call(macro, arguments)
    for used in rendered.macros:
        outcome.macros_used.setdefault(used, []).append(test.node.uid)
    return {"sql": {"query": rendered.text}}, [*others, *rendered.refs]


def _imported_tables(outcome: Outcome, arguments: Mapping[str, Any]) -> list[str]:
    """Return the tables among a test's arguments. Raise NoCheck for one that isn't imported."""
    tables = [value.id for value in arguments.values() if isinstance(value, Relation)]
    for table in tables:
        if table not in outcome.tables:
            raise NoCheck(f"{table} isn't imported")
    return tables


def _relation_argument(outcome: Outcome, node: str, value: Any) -> Any:
    """Return a test's argument; a reference as its table, `$self` for the checked one itself."""
    if not isinstance(value, str) or not re.match(r"\s*(\{\{\s*)?(ref|source)\(", value):
        return value
    table = outcome.renderer.value("{{ " + _bare(value) + " }}")[0]
    return Relation(node, SELF) if isinstance(table, Relation) and table.id == node else table


def query_of(outcome: Outcome, text: str, refs: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return a check's query for DuckDB, on one line if it has no comments, and notes.

    `refs` are the ids of nodes, and the names of their tables there. Raise NoCheck.
    """
    kinds = outcome.kinds_of(refs)
    try:
        translated = translate(text.strip().rstrip(";"), outcome.dialect, kinds, names_matter=False)
    except NotSelect as error:
        raise NoCheck(str(error)) from None
    if translated.unproven:
        raise NoCheck(str(translated.unproven[0]))
    lines = [line.rstrip() for line in translated.sql.strip().split("\n")]
    if any("--" in line for line in lines):
        return "\n".join(line for line in lines if line), translated.notes
    return " ".join(" ".join(lines).split()), translated.notes


def _finish(
    outcome: Outcome,
    test: DeclaredTest,
    declaration: dict[str, Any],
    where: str,
    reads: Iterable[str] = (),
) -> None:
    """Add name, severity and `where` to a check of these nodes; write its SQL for DuckDB."""
    kind = _kind_of(declaration)
    itself = {test.node.uid: SELF_TABLE}
    if kind == "sql":
        tables = {uid: outcome.nodes.by_id[uid].target for uid in reads}
        query, notes = query_of(outcome, declaration["sql"]["query"], tables | itself)
        declaration["sql"] = {"name": _name(test), "query": query}
    else:
        to = {uid: "u" for uid in reads if uid != test.node.uid}
        _, notes = query_of(outcome, _asked(kind, declaration[kind]), itself | to)
    if kind != "sql" and test.given_name:
        declaration["name"] = clean_check(test.given_name)
    if where and kind not in ("sql", "row_count"):
        declaration["where"], more = _condition(outcome, where, itself)
        notes += more
    set_severity(declaration, test.config)
    test.notes = tuple(dict.fromkeys(notes))


def _asked(kind: str, value: Any) -> str:
    """Return what a check asks of its columns as SQL: how the warehouse of dbt compares them."""
    if kind == "unique":
        columns = ", ".join(value)
        return f"select {columns} from $self group by {columns}"
    if kind == "accepted_values":
        texts = ", ".join(map(literal, value["values"]))
        return f"select * from $self where {value['column']} in ({texts})"
    if kind == "references":
        return f"select t.* from $self t join u on t.{value['column']} = u.{value['column']}"
    if kind == "range":
        bounds = [bound for key in ("min", "max") if (bound := value.get(key)) is not None]
        texts = " and ".join(f"{value['column']} >= {bound}" for bound in bounds)
        return f"select * from $self where {texts or '1 = 1'}"
    return "select * from $self"


def set_severity(declaration: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Make a check a warning if the test is one."""
    if str(config.get("severity", "")).lower() == "warn":
        declaration["severity"] = "warning"


def _condition(
    outcome: Outcome, where: str, itself: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    try:
        return condition_in_duckdb(where, outcome.dialect, outcome.kinds_of(itself))
    except NotSelect as error:
        raise NoCheck(str(error)) from None


def _name(test: DeclaredTest) -> str:
    if test.given_name:
        return clean_check(test.given_name)
    columns = test.column or "_".join(
        str(value) for value in test.arguments.get("combination_of_columns", ())
    )
    return clean_check(f"{test.name}_{columns}".strip("_"))


def clean_check(text: str) -> str:
    """Return a valid name of a check."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")[:60] or "check"


def _placed(
    outcome: Outcome, test: DeclaredTest, declaration: dict[str, Any], reads: tuple[str, ...]
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return the check, at the table that it compares with where it would wait in a circle."""
    node = test.node.uid
    if outcome.can_check(node, reads):
        return node, declaration, reads
    references = declaration.get("references")
    if references is None or len(reads) != 1 or reads[0] in outcome.views:
        raise NoCheck("it reads a table that is computed from this one: it would wait for itself")
    column, field = references["column"], str(references["to"]).rpartition(".")[2]
    where = f"({declaration['where']}) and " if "where" in declaration else ""
    query = (
        f"select {column} from {outcome.nodes.by_id[node].target} where {where}{column} is not null"
        f" and {column} not in (select {field} from {SELF} where {field} is not null)"
    )
    name = clean_check(f"{outcome.nodes.by_id[node].target}_{column}_is_here")
    moved: dict[str, Any] = {"sql": {"name": name, "query": query}}
    if "severity" in declaration:
        moved["severity"] = declaration["severity"]
    return reads[0], moved, (node,)


def attach(
    outcome: Outcome, node: str, declaration: dict[str, Any], reads: tuple[str, ...]
) -> None:
    """Add a check to a node under a name that is free there."""
    checks = outcome.checks.setdefault(node, [])
    holder = declaration.get("sql", declaration)
    names = {_check_name(check.declaration) for check in checks}
    name, number = _check_name(declaration), 2
    while _check_name(declaration) in names:
        holder["name"] = f"{name}_{number}"
        number += 1
    path = outcome.paths[node]
    refused = outcome.refused_checks.get((path, _check_name(declaration)))
    if refused is None and _kind_of(declaration) == "sql" and path.startswith("sources/"):
        refused = outcome.refused_files.get(path)  # of a source, only a check can be refused
    if refused:
        raise NoCheck(f"validate refused it: {refused}")
    checks.append(Check(node, declaration, reads))


def _check_name(declaration: Mapping[str, Any]) -> str:
    """Return the name that Headrace gives a check."""
    kind = _kind_of(declaration)
    value = declaration[kind]
    if "name" in declaration or kind == "sql":
        return str(declaration.get("name") or value["name"])
    if isinstance(value, list):
        return f"{kind}_{'_'.join(map(str, value))}"
    return f"{kind}_{value.get('column', '')}".rstrip("_")
