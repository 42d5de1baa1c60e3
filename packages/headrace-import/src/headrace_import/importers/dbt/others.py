"""Exposures, macros, analyses, metrics, hooks and packages: what else a dbt project has."""

from __future__ import annotations

import re
from typing import Any

from headrace.extension import LocatedMapping
from headrace_import.importers.dbt.descriptions import plain_description
from headrace_import.importers.dbt.nodes import clean_name
from headrace_import.importers.dbt.outcome import Outcome
from headrace_import.importers.dbt.overrides import base_name, is_naming, is_storing, replaces_text
from headrace_import.importers.dbt.project_files import listed, mapped
from headrace_import.importers.dbt.templates import TEST_PREFIX, NotStatic
from headrace_import.importers.dbt.values import Relation
from headrace_import.importers.dbt.writing import yaml_file, yaml_list
from headrace_import.importers.imported import Dependency, DependencyKind, Verdict

MAX_AGE = "36h"
"""What an exposure is promised, since dbt doesn't say; a person decides."""


def read_exposures(outcome: Outcome) -> None:
    """Write exposures as consumers, and an item of each."""
    consumers: list[dict[str, Any]] = []
    for file, line, entry in outcome.nodes.section("exposures"):
        name = str(entry.get("name"))
        uid = f"exposure.{outcome.nodes.files.name}.{name}"
        reads, missing = _reads(outcome, uid, entry)
        if missing or not reads:
            why = f"it reads {missing[0]}, which isn't imported" if missing else "it reads nothing"
            todo = "write it in consumers.yaml once its assets are there"
            outcome.add(uid, file, line, Verdict.PERSON, why, todo=todo, original=repr(entry))
            continue
        consumers.append(_consumer(outcome, entry, clean_name(name), reads))
        outcome.add(
            uid,
            file,
            line,
            Verdict.CARRIED,
            f"a consumer; dbt doesn't say by when it needs its data, so it is promised {MAX_AGE}"
            + _left_out(entry),
            todo=f"put its deadline in consumers.yaml: `due`, or another `max_age` than {MAX_AGE}",
            created=("consumers.yaml",),
            original=repr(entry),
        )
    if consumers:
        outcome.files["consumers.yaml"] = yaml_list(consumers)


def _left_out(entry: LocatedMapping) -> str:
    """Return what a consumer has no field for, as the end of a sentence."""
    texts = [f"{name} ({entry[name]})" for name in ("label", "maturity") if entry.get(name)]
    return f"; not carried: {', '.join(texts)}" if texts else ""


def _reads(outcome: Outcome, uid: str, entry: LocatedMapping) -> tuple[list[str], list[str]]:
    """Return the names that an exposure reads, and references that aren't imported."""
    reads, missing = [], []
    for item in listed(entry.get("depends_on")):
        try:
            relation, _ = outcome.renderer.value("{{ " + str(item) + " }}")
        except NotStatic:
            missing.append(str(item))
            continue
        if isinstance(relation, Relation) and relation.id in outcome.tables:
            reads.append(relation.name)
            outcome.dependencies.append(Dependency(relation.id, uid, DependencyKind.REF))
        else:
            missing.append(str(item))
    return list(dict.fromkeys(reads)), missing


def _consumer(
    outcome: Outcome, entry: LocatedMapping, name: str, reads: list[str]
) -> dict[str, Any]:
    description = plain_description(outcome, entry.get("description"))
    url = entry.get("url")
    text = " ".join(part for part in (description, str(url) if url else "") if part)
    owner = entry.get("owner") or mapped(entry.get("config")).get("owner")
    return {
        "consumer": name,
        **({"description": text} if text else {}),
        "owner": outcome.owners.named(owner)
        if owner
        else outcome.owners.add(outcome.owners.default, ""),
        **({"tags": [str(tag) for tag in listed(entry.get("tags"))]} if entry.get("tags") else {}),
        "reads": reads,
        "max_age": MAX_AGE,
    }


def read_macros(outcome: Outcome) -> None:
    """Add an item of each macro of the project: expanded where it is used, or for a person."""
    with_dbt = _used_with_dbt(outcome)
    for uid, (file, line, text) in outcome.nodes.macro_files.items():
        verdict, why, todo = _macro_verdict(outcome, uid, with_dbt)
        files = [path for user in _users(outcome, uid) for path in _files_of(outcome, user)]
        created = tuple(dict.fromkeys(files)) if verdict is Verdict.CARRIED else ()
        outcome.add(uid, file, line, verdict, why, todo=todo, created=created, original=text)


def _macro_verdict(outcome: Outcome, uid: str, with_dbt: set[str]) -> tuple[Verdict, str, str]:
    """Return a macro's verdict, why, and what to do."""
    name = uid.rpartition(".")[2]
    users = _users(outcome, uid)
    if users:
        what = "test" if name.startswith(TEST_PREFIX) else "macro"
        places = "the place that uses" if len(users) == 1 else f"{len(users)} places that use"
        return Verdict.CARRIED, f"the {what} is written out in {places} it", ""
    if is_naming(name):
        why = "it names schemas of the warehouse; Headrace has one schema"
        return Verdict.PERSON, why, "nothing, unless names must differ by environment"
    if uid in with_dbt:
        return Verdict.COMMAND, "models that dbt runs use it, and dbt still has it", ""
    if is_storing(name):
        why = "it replaces how dbt stores rows; models of that kind are left to dbt, which has it"
        return Verdict.PERSON, why, "nothing, while dbt runs these models"
    if name.startswith(TEST_PREFIX):
        todo = "leave it out, or write its query as a `sql` check of an asset"
        return Verdict.PERSON, "no test that is imported uses it", todo
    todo = "leave it out, or write it as CREATE MACRO in macros/"
    return Verdict.PERSON, "no asset that is imported uses it", todo


def _users(outcome: Outcome, uid: str) -> list[str]:
    """Return the nodes of the new project in which a macro is written out."""
    return [
        user for user in dict.fromkeys(outcome.macros_used.get(uid, ())) if user in outcome.tables
    ]


def _used_with_dbt(outcome: Outcome) -> set[str]:
    """Return the macros that models which dbt runs use, directly or through others."""
    names = {uid.rpartition(".")[2]: uid for uid in outcome.nodes.macro_files}
    texts = [outcome.nodes.by_id[uid].text for uid in outcome.commands]
    used = {name for name in names if texts and replaces_text(name)}
    while texts:
        words = set(re.findall(r"\w+", texts.pop()))
        for name in {name for name in names if {name, base_name(name)} & words} - used:
            used.add(name)
            texts.append(outcome.nodes.macro_files[names[name]][2])
    return {names[name] for name in used}


def _files_of(outcome: Outcome, node: str) -> tuple[str, ...]:
    item = outcome.items.get(node)
    return item.created if item is not None else ()


def read_rest(outcome: Outcome) -> None:
    """Add items of what has no counterpart: analyses, metrics, hooks, packages."""
    nodes, project = outcome.nodes, outcome.nodes.files.name
    for file in nodes.files.role("analysis-paths", "sql"):
        why = "an analysis is compiled by dbt and never run"
        todo = "keep it where it is, or run it with headrace sql"
        outcome.add(
            f"analysis.{project}.{file.stem}",
            file.path,
            1,
            Verdict.PERSON,
            why,
            todo=todo,
            original=file.text,
        )
    for section, kind in (
        ("metrics", "metric"),
        ("semantic_models", "semantic_model"),
        ("saved_queries", "saved_query"),
    ):
        for path, line, entry in nodes.section(section):
            why = "Headrace has no semantic layer"
            todo = "keep it in the tool that reads it, or write it as an asset"
            uid = f"{kind}.{project}.{entry.get('name')}"
            outcome.add(uid, path, line, Verdict.PERSON, why, todo=todo, original=repr(entry))
    _hooks(outcome)
    _packages(outcome)
    for node in nodes.duplicates:
        why = f"{node.uid} is declared twice; dbt stops there, too"
        outcome.add(
            node.uid,
            node.file,
            node.line,
            Verdict.PERSON,
            why,
            todo="rename or delete one of them",
            original=node.text,
        )


def _hooks(outcome: Outcome) -> None:
    settings = outcome.nodes.files.settings
    lines = getattr(settings, "lines", {})
    for key in ("on-run-start", "on-run-end"):
        for index, text in enumerate(listed(settings.get(key))):
            project = outcome.nodes.files.name
            outcome.add(
                f"operation.{project}.{project}-{key}-{index}",
                outcome.nodes.files.settings_file,
                lines.get(key, 1),
                Verdict.PERSON,
                f"{key} runs in the warehouse, around all models",
                todo="write it as a command asset if it is still needed",
                original=str(text),
            )


def _packages(outcome: Outcome) -> None:
    for name in ("packages.yml", "dependencies.yml"):
        if not (outcome.nodes.files.root / name).is_file():
            continue
        document = mapped(outcome.nodes.files.yaml(name))
        entries = document.get("packages")
        lines = getattr(entries, "lines", ())
        for index, entry in enumerate(listed(entries)):
            _package(outcome, name, lines[index] if index < len(lines) else 1, mapped(entry))


def _package(outcome: Outcome, file: str, line: int, package: LocatedMapping) -> None:
    keys = [key for key in ("package", "git", "local", "tarball") if key in package]
    title = str(package[keys[0]]) if keys else "package"
    if keys == ["local"]:
        title = title.rstrip("/").rpartition("/")[2]
    macros = re.sub(r".*/", "", title).removesuffix(".git").replace("-", "_")
    used = any(uid.startswith(f"macro.{macros}.") for uid in outcome.macros_used)
    outcome.add(
        f"package.{title}",
        file,
        line,
        Verdict.PERSON,
        "packages aren't fetched"
        + ("; the macros of it that models use are written out" if used else ""),
        todo="nothing, unless items above name a model or macro of it",
        original=yaml_file(package),
    )
