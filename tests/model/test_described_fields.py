"""The schemas against the readers: what one takes the other takes, and what nobody knows both
refuse.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from modellab import parse_file

from headrace.compiler.project_files import scan
from headrace.model import ProblemLevel
from headrace.model.check_kinds import built_in_checks
from headrace.model.file_descriptions import SECTIONS
from headrace.model.files import FileKind, ProjectFile
from headrace.model.parsing import Declared
from headrace.services.init import document, files, schemas

ROOT = Path(__file__).parents[2]
SCHEMAS = {row.name: row.document for row in schemas()}
LEAST: dict[str, dict[str, Any]] = {
    "sources": {"source": "s", "owner": "core", "files": "landing/s.csv"},
    "assets": {"asset": "a", "owner": "core", "command": ["true"]},
    "consumers": {"consumer": "c", "owner": "core", "reads": ["a"], "max_age": "30h"},
    "tests": {"test": "t", "asset": "a", "expect": []},
    "calendars": {"dates": ["2025-01-01"]},
}
FILES = {
    "sources": "sources/x.yaml",
    "assets": "assets/x.yaml",
    "consumers": "consumers.yaml",
    "tests": "tests/x.yaml",
    "calendars": "calendars/x.yaml",
}
WRONG: list[Any] = [7, 7.5, True, "word", "", ["x"], {"x": "y"}, [], {}]


def as_text(value: Any) -> Any:
    """Dates as YAML 1.2 reads them: they are text."""
    return json.loads(json.dumps(value, default=str))


def valid(name: str, value: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMAS[name]).is_valid(value))


@pytest.fixture
def declared(tmp_path: Path) -> Callable[[str, Any], Declared]:
    """What a reader makes of one file with this content."""

    def read(path: str, value: Any) -> Declared:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(json.dumps(value))
        return parse_file(
            tmp_path, next(file for file in scan(tmp_path).files if file.path == path)
        )

    return read


def refused(result: Declared) -> bool:
    return any(problem.level is ProblemLevel.ERROR for problem in result.problems)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_every_field_is_described_and_none_that_there_is_not(section: Any) -> None:
    """A reader learnt a field that no editor offers and no page explains; or a description outlived
    its field.
    """
    assert {field.name for field in section.fields} == set(section.known)
    assert all(
        field.meaning and field.meaning[0].islower() | (field.meaning[0] == "`")
        for field in section.fields
    )
    jsonschema.Draft202012Validator.check_schema(document(section))


@pytest.mark.parametrize("name", LEAST)
def test_what_nobody_knows_is_refused_by_both(
    name: str, declared: Callable[[str, Any], Declared]
) -> None:
    assert valid(name, LEAST[name])
    assert not refused(declared(FILES[name], LEAST[name]))
    strange = {**LEAST[name], "no_such_field": 1}
    assert not valid(name, strange)
    assert refused(declared(FILES[name], strange))


@pytest.mark.parametrize("name", LEAST)
def test_what_the_reader_takes_the_schema_takes(
    name: str, declared: Callable[[str, Any], Declared]
) -> None:
    """An editor that underlines what works is switched off. (The other way round a schema may be
    kinder: it sees less.)"""
    section = next(section for section in SECTIONS if section.name == name)
    for field in section.known:
        for value in WRONG:
            candidate = {**LEAST[name], field: value}
            if not refused(declared(FILES[name], candidate)):
                assert valid(name, candidate), (field, value)


def test_plain_fields_of_the_wrong_type_are_refused_by_both(
    declared: Callable[[str, Any], Declared],
) -> None:
    for name, least in LEAST.items():
        section = next(section for section in SECTIONS if section.name == name)
        for field in section.fields:
            if (
                field.schema.get("type") in ("string", "boolean", "integer")
                and field.name in section.known
            ):
                candidate = {**least, field.name: {"x": 1}}
                assert not valid(name, candidate), field.name
                assert refused(declared(FILES[name], candidate)), field.name


def projects() -> Iterator[Path]:
    yield from (path.parent for path in sorted((ROOT / "examples").glob("*/headrace.toml")))
    yield ROOT / "packages/headrace-demo/src/headrace_demo/demo_project"
    yield Path(__file__).parent / "cases/good"


KIND = {
    FileKind.OWNERS: "owners",
    FileKind.SOURCE: "sources",
    FileKind.YAML_ASSET: "assets",
    FileKind.CONSUMERS: "consumers",
    FileKind.TEST: "tests",
    FileKind.CALENDAR: "calendars",
}


@pytest.mark.parametrize("root", list(projects()), ids=lambda path: path.name)
def test_real_projects_fit_the_schemas(root: Path) -> None:
    for file in scan(root).files:
        if file.kind in KIND and not refused(_read(root, file)):
            value = as_text(yaml.load((root / file.path).read_text(), yaml.BaseLoader))
            errors = [
                error
                for error in jsonschema.Draft202012Validator(SCHEMAS[KIND[file.kind]]).iter_errors(
                    value
                )
                if _matters(error)
            ]
            assert not errors, (file.path, errors[0].message)


def _read(root: Path, file: ProjectFile) -> Declared:
    return parse_file(root, file)


def _matters(error: jsonschema.ValidationError) -> bool:
    """BaseLoader reads every scalar as text, so types of scalars aren't looked at here, only names
    of fields.
    """
    return error.validator in ("additionalProperties", "required")


def test_every_check_of_the_page_fits(declared: Callable[[str, Any], Declared]) -> None:
    for shape in built_in_checks():
        check = as_text(yaml.safe_load("{" + shape.example + "}"))
        candidate = {**LEAST["assets"], "checks": [check, {**check, "severity": "warning"}]}
        assert valid("assets", candidate), shape.example
        assert not valid("assets", {**LEAST["assets"], "checks": [{**check, "severity": "fatal"}]})


def test_editors_find_each_file() -> None:
    written = files()
    settings = json.loads(written[".vscode/settings.json"])
    for path in settings["yaml.schemas"]:
        assert path.removeprefix("./") in written
    assert next(iter(settings["yaml.schemas"].values())) == ["owners.yaml"]


def test_values_of_for_each_fit_where_the_reader_takes_them(
    declared: Callable[[str, Any], Declared],
) -> None:
    """Would catch: an editor that underlines `$value(NAME)` for not being a number or a word."""
    values = {
        "for_each": [
            {"n": "a", "grain": "day", "least": 1},
            {"n": "b", "grain": "hour", "least": 2},
        ]
    }
    given = {
        **LEAST["assets"],
        "asset": "$value(n)",
        "partition": {"by": "$value(grain)", "column": "at"},
        "attempts_max": "$value(least)",
        "checks": [{"row_count": {"min": "$value(least)"}}],
        **values,
    }
    assert not refused(declared(FILES["assets"], given))
    assert valid("assets", given)
    assert not valid("assets", {**given, "attempts_max": "$val(least)"})


def test_an_owner_may_be_in_defaults() -> None:
    assert valid("assets", {key: LEAST["assets"][key] for key in ("asset", "command")})
    assert not valid("consumers", {**LEAST["consumers"], "owner": 7})
    assert valid("defaults", {"owner": "core", "partition": "day", "checks": [{"not_null": ["k"]}]})
    assert not valid("defaults", {"description": "of one node"})
