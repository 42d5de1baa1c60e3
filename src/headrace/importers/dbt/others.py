"""Exposures, macros, analyses, metrics, hooks and packages: what else a dbt project has."""

from __future__ import annotations

import re
from typing import Any

from headrace.importers.dbt.descriptions import plain_description
from headrace.importers.dbt.nodes import clean_name
from headrace.importers.dbt.outcome import Outcome
from headrace.importers.dbt.project_files import listed, mapped
from headrace.importers.dbt.templates import TEST_PREFIX, NotStatic
from headrace.importers.dbt.values import Relation
from headrace.importers.dbt.writing import yaml_list
from headrace.importers.imported import Dependency, DependencyKind, Verdict
from headrace.model.fields import LocatedMapping

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
            f"a consumer; dbt doesn't say by when it needs its data, so it is promised {MAX_AGE}",
            todo=f"put its deadline in consumers.yaml: `due`, or another `max_age` than {MAX_AGE}",
            created=("consumers.yaml",),
            original=repr(entry),
        )
    if consumers:
        outcome.files["consumers.yaml"] = yaml_list(consumers)


def _reads(outcome: Outcome, uid: str, entry: LocatedMapping) -> tuple[list[str], list[str]]:
    """Return the names that an exposure reads, and references that aren't imported."""
    reads, missing = [], []
    for item in listed(entry.get("depends_on")):
        try:
            found, _ = outcome.renderer.value("{{ " + str(item) + " }}")
        except NotStatic:
            missing.append(str(item))
            continue
        if isinstance(found, Relation) and found.id in outcome.tables:
            reads.append(found.name)
            outcome.dependencies.append(Dependency(found.id, uid, DependencyKind.REF))
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


_NAMING = ("generate_schema_name", "generate_database_name", "generate_alias_name")


def read_macros(outcome: Outcome) -> None:
    """Add an item of each macro of the project: expanded where it is used, or for a person."""
    for uid, (file, line, text) in outcome.nodes.macro_files.items():
        name = uid.rpartition(".")[2]
        users = [
            user
            for user in dict.fromkeys(outcome.macros_used.get(uid, ()))
            if user in outcome.tables
        ]
        created = [path for user in users for path in _files_of(outcome, user)]
        if users:
            what = "test" if name.startswith(TEST_PREFIX) else "macro"
            outcome.add(
                uid,
                file,
                line,
                Verdict.CARRIED,
                f"the {what} is written out in {len(users)} places where it is used",
                created=tuple(dict.fromkeys(created)),
                original=text,
            )
        elif name in _NAMING:
            why = "it names schemas of the warehouse; Headrace has one schema"
            todo = "nothing, unless names must differ by environment"
            outcome.add(uid, file, line, Verdict.PERSON, why, todo=todo, original=text)
        else:
            why = "no asset that is imported uses it"
            todo = "leave it out, or write it as CREATE MACRO in macros/"
            outcome.add(uid, file, line, Verdict.PERSON, why, todo=todo, original=text)


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
        for index, entry in enumerate(listed(entries)):
            package = mapped(entry)
            title = next(
                (
                    str(package[key])
                    for key in ("package", "git", "local", "tarball")
                    if key in package
                ),
                "package",
            )
            lines = getattr(entries, "lines", ())
            macro = re.sub(r".*/", "", title).removesuffix(".git").replace("-", "_")
            used = any(uid.startswith(f"macro.{macro}.") for uid in outcome.macros_used)
            outcome.add(
                f"package.{title}",
                name,
                lines[index] if index < len(lines) else 1,
                Verdict.PERSON,
                "packages aren't fetched"
                + ("; the macros of it that models use are written out" if used else ""),
                todo="nothing, unless items above name a model or macro of it",
                original=repr(dict(package)),
            )
