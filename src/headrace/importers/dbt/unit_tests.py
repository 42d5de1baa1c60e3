"""Unit tests of dbt as tests of assets."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

from headrace.importers.dbt.outcome import Outcome
from headrace.importers.dbt.project_files import listed, mapped
from headrace.importers.dbt.templates import NotStatic
from headrace.importers.dbt.values import Relation
from headrace.importers.dbt.writing import flow
from headrace.importers.imported import Verdict
from headrace.model.fields import LocatedMapping


class _NoTest(Exception):
    """A unit test that can't be a test of an asset; the text says why."""


def read_unit_tests(outcome: Outcome) -> None:
    """Write the unit tests of each model to one file, and an item of each test."""
    texts: dict[str, list[str]] = {}
    waiting: list[tuple[str, str, int, str, str]] = []
    for file, line, entry in outcome.nodes.section("unit_tests"):
        model = str(entry.get("model"))
        uid = f"unit_test.{outcome.nodes.files.name}.{model}.{entry.get('name')}"
        try:
            text = _test(outcome, entry, model)
        except (_NoTest, NotStatic) as error:
            todo = "write it as a test of the asset (docs/how-to/test-assets.md)"
            outcome.add(
                uid, file, line, Verdict.PERSON, str(error), todo=todo, original=repr(entry)
            )
            continue
        texts.setdefault(model, []).append(text)
        waiting.append((uid, file, line, model, repr(entry)))
    paths = {
        model: outcome.write(f"tests/{model}.yaml", "\n".join(parts))
        for model, parts in texts.items()
    }
    for uid, file, line, model, original in waiting:
        outcome.add(
            uid,
            file,
            line,
            Verdict.CARRIED,
            "a test of the asset with the same rows",
            created=(paths[model],),
            original=original,
        )


def _test(outcome: Outcome, entry: LocatedMapping, model: str) -> str:
    node = outcome.nodes.find_ref(model)
    if node is None or node.uid not in outcome.tables:
        raise _NoTest(f"the model {model} isn't imported as an asset")
    overrides = mapped(entry.get("overrides"))
    if overrides:
        raise _NoTest(f"it overrides {', '.join(map(str, overrides))}, which are written in here")
    lines = [f"- test: {flow(_name(entry))}"]
    if isinstance(entry.get("description"), str):
        lines.append(f"  description: {flow(' '.join(entry['description'].split()))}")
    lines += [f"  asset: {node.target}", "  given:"]
    for given in map(mapped, listed(entry.get("given"))):
        relation, _ = outcome.renderer.value("{{ " + str(given.get("input")) + " }}")
        if not isinstance(relation, Relation) or not relation.id:
            raise _NoTest(f"its input {given.get('input')} isn't a node")
        lines += _rows(outcome, f"    {relation.name}", given)
    return "\n".join([*lines, *_rows(outcome, "  expect", mapped(entry.get("expect")))]) + "\n"


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name"))


def _rows(outcome: Outcome, key: str, given: Mapping[str, Any]) -> list[str]:
    """Return the lines of given or expected rows. Raise _NoTest for rows that are SQL."""
    kind, rows = given.get("format") or "dict", given.get("rows")
    if kind == "sql":
        raise _NoTest("its rows are SQL")
    fixture = given.get("fixture")
    if isinstance(fixture, str):
        rows = _fixture(outcome, fixture)
    if isinstance(rows, str):
        cells = csv.DictReader(io.StringIO(rows.strip(), newline=""), skipinitialspace=True)
        rows = [{name: _value(cell) for name, cell in row.items()} for row in cells]
    indent = " " * (len(key) - len(key.lstrip()) + 2)
    lines = [f"{indent}- {flow(row)}" for row in listed(rows)]
    return [f"{key}:", *lines] if lines else [f"{key}: []"]


def _value(value: Any) -> Any:
    """Return a cell of a CSV as dbt types it: numbers as numbers, nothing as null."""
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"-?(0|[1-9]\d{0,15})", value):
        return int(value)
    if re.fullmatch(r"-?(0|[1-9]\d{0,12})\.\d{1,6}", value):
        return float(value)
    return value or None


def _fixture(outcome: Outcome, name: str) -> str:
    for file in outcome.nodes.files.role("test-paths", "csv"):
        if file.stem == name:
            return file.text
    raise _NoTest(f"its fixture {name} isn't a CSV file of this project")
