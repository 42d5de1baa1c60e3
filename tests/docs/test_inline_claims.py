"""What pages name in the middle of a sentence exists: commands, options, settings, fields, files,
metrics, routes.

Blocks of commands are typed (`page_lab.follow`); a name within a sentence isn't, so it is looked up
in the declarations.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from page_lab import ROOT, pages, spans
from typed_commands import typed_commands

from benchmarks.results import ORDER
from headrace import Context
from headrace.cli.command_table import FLAGS, VALUES, all_commands
from headrace.model.file_descriptions import SECTIONS, with_kinds
from headrace.project.parameters import Option
from headrace.services.explain import codes
from headrace.web.openapi import description
from scripts.reference_pages.files import shipped

SOURCE = ROOT / "src" / "headrace"
COMMANDS = {command.name: command for command in all_commands()}
TYPED = typed_commands(COMMANDS)
EVERYWHERE = {*FLAGS, *VALUES, "--help", "--version", "--install-completion"}
OF_OTHER_PROGRAMS = {"--config=jobs/settings.yaml"}
"""Options of a program in an example, not of Headrace."""
SPANS = [(page.relative_to(ROOT).as_posix(), span) for page in pages() for span in spans(page)]


def of_kind(shape: str) -> Iterator[tuple[str, str]]:
    """Page and span, of each span of that shape."""
    result = [(page, span) for page, span in SPANS if re.match(shape, span)]
    assert result, f"no page has a span like {shape}: this test looks at nothing"
    yield from result


def is_command(span: str) -> bool:
    """Whether a span is a command of Headrace; a command's name alone is no line that could be
    wrong.
    """
    first, _, rest = span.partition(" ")
    return bool(rest) and (first == "headrace" or (first in COMMANDS and not rest.startswith("=")))


def wrong_in_command(line: str) -> str | None:
    """What a command line names that doesn't exist: a command, what follows it, an option, or a
    problem's code."""
    words = shlex.split(line.replace("…", "X"))
    words = words[1:] if words[0] == "headrace" else words
    while words and words[0] in {*VALUES, *FLAGS}:
        words = words[2:] if words[0] in VALUES else words[1:]
    if not words or words[0] in EVERYWHERE:
        return None
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        return f"no command is called {name}"
    typed = f"{name} {rest[0]}" if rest and f"{name} {rest[0]}" in TYPED else name
    known = EVERYWHERE | options_of(typed)
    for option in (word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)):
        if option not in known:
            return f"{typed} has no option {option}"
    if (
        name in WITH_ACTIONS
        and rest
        and re.fullmatch(r"[a-z][a-z-]+", rest[0])
        and rest[0] not in actions_of(name)
    ):
        return f"{name} has no action {rest[0]}"
    if name == "explain" and rest and rest[0] not in codes():
        return f"there is no code {rest[0]}"
    return None


WITH_ACTIONS = {
    "audit",
    "backfills",
    "connections",
    "contract",
    "db",
    "exports",
    "incidents",
    "notify",
}


@cache
def options_of(name: str) -> frozenset[str]:
    said = [
        parameter.declaration
        for parameter in (TYPED[name].parameters if name in TYPED else ())
        if isinstance(parameter.declaration, Option)
    ]
    return frozenset(option for item in said for option in (item.name, item.short) if option)


@cache
def actions_of(name: str) -> frozenset[str]:
    """The words that may follow a command, as its module has them."""
    text = inspect.getsource(importlib.import_module(COMMANDS[name].home.partition(":")[0]))
    return frozenset(re.findall(r"[a-z][a-z-]+", text))


def test_commands_exist_with_their_options() -> None:
    """Would catch: a page that tells people to type what is refused."""
    commands = [(page, span) for page, span in SPANS if is_command(span)]
    assert len(commands) > 100
    wrong = [
        f"{page}: `{span}`: {problem}"
        for page, span in commands
        if (problem := wrong_in_command(span))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_wrong_command_is_noticed() -> None:
    """Would catch: a test that lets everything pass."""
    assert wrong_in_command("headrace staus") == "no command is called staus"
    assert wrong_in_command("headrace --env dev run --agian") == "run has no option --agian"
    assert wrong_in_command("db gc --deep") == "db gc has no option --deep"
    assert wrong_in_command("db chekc") == "db has no action chekc"
    assert wrong_in_command("headrace explain no_such_code") == "there is no code no_such_code"
    assert wrong_in_command("headrace run daily --again --reason TEXT") is None


def test_options_exist() -> None:
    """Would catch: an option that no command takes any more."""
    known = EVERYWHERE.union(*map(options_of, TYPED))
    named = [(page, span) for page, span in of_kind("--[a-z]") if span not in OF_OTHER_PROGRAMS]
    wrong = [f"{page}: `{span}`" for page, span in named if re.split("[ =]", span)[0] not in known]
    assert not wrong, "\n".join(wrong)


SETTING = re.compile(r"\[(?P<section>[a-z]+)[\w.]*\](?: (?P<key>[a-z_]+))?")


@cache
def settings() -> dict[str, frozenset[str]]:
    """Section of headrace.toml → its keys, from the declaration; a section with free names has
    none.
    """
    (toml,) = (section for section in SECTIONS if "headrace.toml" in section.files)
    properties = {field.name: field.schema.get("properties", {}) for field in toml.fields}
    return {name: frozenset(properties.get(name, {})) for name in toml.known}


def test_settings_exist() -> None:
    """Would catch: a setting of headrace.toml that is refused, or has another name."""
    wrong = []
    for page, span in of_kind(SETTING.pattern):
        setting = SETTING.match(span)
        assert setting is not None
        keys = settings().get(setting["section"])
        if keys is None or (setting["key"] and keys and setting["key"] not in keys):
            wrong.append(f"{page}: `{span}`")
    assert not wrong, "\n".join(wrong)


def names_in(schema: Any) -> Iterator[str]:
    """The names of all mappings within a schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from names_in(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from names_in(inner)


@cache
def fields() -> frozenset[str]:
    """All names that a project's files may have."""
    sections = [with_kinds(section, shipped) for section in SECTIONS]
    own = (name for section in sections for name in section.known)
    nested = (
        name for section in sections for field in section.fields for name in names_in(field.schema)
    )
    return frozenset([*own, *nested])


FIELDS_BY_READERS = {
    "after",
    "by",
    "files",
    "marker",
    "unchanged",
    "delimiter",
    "decimal",
    "encoding",
    "null",
    "header",
    "escape_formulas",
    "compression",
    "page",
    "scale",
    "sign",
    "records",
    "flatten",
    "skip",
    "comment",
    "trimmed",
    "end",
    "has_more",
    "start",
    "size",
    "parameter",
    "size_parameter",
    "next",
    "deletes",
    "cron",
    "interval",
    "arrival",
    "upstream",
    "watermark",
    "key",
    "values",
    "optional",
    "all",
    "previous",
    "within",
    "lookback",
    "rows",
    "added",
    "renamed",
    "nested",
    "escalate",
    "digest",
    "quiet",
    "contact",
}
"""Fields of mappings with a reader of their own, which their schema leaves free."""


def test_fields_exist() -> None:
    """Would catch: a field of a declaration that is refused."""
    known = fields() | FIELDS_BY_READERS
    named = [
        (page, span)
        for page, span in of_kind(r"[a-z_]+:(?: |$)")
        if span.partition(":")[0] not in NO_FIELDS
    ]
    wrong = [f"{page}: `{span}`" for page, span in named if span.partition(":")[0] not in known]
    assert not wrong, "\n".join(wrong)


NO_FIELDS = {"mailto", "tag", "tell", "known", "memory"}
"""What stands before a colon and is no field: schemes, selections, columns of a document."""


OF_CONTRACTS = {"type: custom", "type: text"}
"""Of ODCS, not of Headrace's own files."""


def schemas_of(name: str) -> Iterator[Any]:
    """The schemas of all fields of that name, within mappings too."""
    for section in SECTIONS:
        for known in section.known:
            described = section.field(known)
            if known == name:
                yield described.schema
            yield from nested_schemas(described.schema, name)


def nested_schemas(schema: Any, name: str) -> Iterator[Any]:
    if isinstance(schema, dict):
        if name in schema.get("properties", {}):
            yield schema["properties"][name]
        schema = list(schema.values())
    if isinstance(schema, list):
        for inner in schema:
            yield from nested_schemas(inner, name)


def test_values_of_fields_are_taken() -> None:
    """Would catch: a value in a sentence that its field refuses, such as another word of a fixed
    list."""
    wrong, seen = [], 0
    for page, span in of_kind(r"[a-z_]+: [^…|]+$"):
        name = span.partition(":")[0]
        schemas = list(schemas_of(name))
        if name in NO_FIELDS or not schemas or "files: n" in span or span in OF_CONTRACTS:
            continue
        seen += 1
        value = json.loads(json.dumps(yaml.safe_load(span)[name], default=str))
        if not any(jsonschema.Draft202012Validator(schema).is_valid(value) for schema in schemas):
            wrong.append(f"{page}: `{span}`")
    assert seen > 25
    assert not wrong, "\n".join(wrong)


def page_text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


REPOSITORY = (
    r"(src/|tests/|benchmarks/|examples/|docs/|scripts/|deploy/|requirements/|ui/)[\w./@*{}-]*$"
)


def test_paths_of_the_repository_exist() -> None:
    """Would catch: a file or folder that was moved or never was."""
    wrong = []
    for page, span in of_kind(REPOSITORY):
        written_by_the_page = f"`{span}`:\n" in page_text(page) or span in {"src/", "docs/"}
        if not written_by_the_page and not list(ROOT.glob(span.rstrip("/"))):
            wrong.append(f"{page}: `{span}`")
    assert not wrong, "\n".join(wrong)


def test_modules_exist() -> None:
    """Would catch: a test or a module that a page cites and nobody has."""
    folders = (SOURCE, ROOT / "tests", ROOT / "packages")
    known = {path.name for folder in folders for path in folder.rglob("*.py")}
    wrong = []
    for page, span in of_kind(r"(\w+/)?\w+\.py$"):
        written_by_the_page = (
            f"`{span}`:\n" in page_text(page)
            or len(re.findall(re.escape(Path(span).name), page_text(page))) > 1
        )
        if re.match(REPOSITORY, span):
            continue
        if Path(span).name not in known and not written_by_the_page:
            wrong.append(f"{page}: `{span}`")
    assert not wrong, "\n".join(wrong)


@cache
def words_of_the_code() -> frozenset[str]:
    every = [*SOURCE.rglob("*"), *ROOT.glob("packages/*/src/**/*")]
    files = (path for path in every if path.suffix in {".py", ".sql", ".md", ".yaml"})
    return frozenset(
        word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))
    )


OF_OTHERS = {
    "max_slot_wal_keep_size",
    "max_replication_slots",
    "synchronous_commit",
    "pool_mode",
    "file_row_number",
    "endpoint_url",
    "key_filename",
    "account_key",
    "account_name",
    "import_module",
    "amount_2",
    "headrace_dev_lake",
    "jwt_expiration_time",
    "auth_backends",
    "basic_auth",
}
"""Names of PostgreSQL, PgBouncer, DuckDB, Python, Airflow and the libraries of stores; what a reader gives a
second column of one name, and what an environment gives its schemas."""


def test_identifiers_exist() -> None:
    """Would catch: a code, kind, state, metric or column with a name that the code doesn't have."""
    wrong = []
    for page, span in of_kind(r"[a-z0-9]+(_[a-z0-9]+)+$"):
        of_an_example = len(re.findall(rf"\b{span}\b", page_text(page))) > page_text(page).count(
            f"`{span}`"
        )
        known = span in words_of_the_code() or span.removeprefix("headrace_") in words_of_the_code()
        if not known and not of_an_example and span not in OF_OTHERS:
            wrong.append(f"{page}: `{span}`")
    assert not wrong, "\n".join(wrong)


def test_variables_of_the_environment_exist() -> None:
    """Would catch: a variable that nothing reads."""
    read = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("src", "tests", "scripts", *ROOT.glob("packages/*/src"))
        for path in (ROOT / folder).rglob("*.py")
    )
    read += (ROOT / "packages/headrace-ui/hatch_build.py").read_text(encoding="utf-8")
    wrong = [
        f"{page}: `{span}`"
        for page, span in of_kind("HEADRACE_")
        if re.split("[ =]", span)[0] not in read
    ]
    assert not wrong, "\n".join(wrong)


def test_targets_and_benchmarks_exist() -> None:
    """Would catch: a `make` that has nothing to make, or a benchmark of another name."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page, span in of_kind("make [a-z]"):
        target = span.split()[1]
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), (page, span)
        if target == "bench":
            named = re.findall(r"\b[a-z_]+\b", span.partition("ARGS=")[2])
            assert set(named) <= {*ORDER, "stale", "page", "quick"}, (page, span)
    for page, span in of_kind(r"(python -m )?benchmarks\.\w+"):
        assert (ROOT / "benchmarks" / f"{span.rpartition('.')[2]}.py").exists(), (page, span)


def test_extras_exist() -> None:
    """Would catch: an installation that pip warns about and does without."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for page, span in of_kind(r".*headrace\["):
        extras = re.findall(r"\w+", span.partition("headrace[")[2].partition("]")[0])
        assert set(extras) <= set(project["optional-dependencies"]), (page, span)


def test_routes_exist() -> None:
    """Would catch: an address that answers 404."""
    files = [*(SOURCE / "web").glob("*.py"), *ROOT.glob("packages/*/src/*/*.py")]
    served = "".join(path.read_text(encoding="utf-8") for path in files)
    described = {re.sub(r"\{\w+\}", "{}", path) for path in description()["paths"]}
    for page, span in of_kind("/(api|data|healthz|readyz|metrics|mcp)"):
        path = re.sub(r"\{\w+\}", "{}", span.partition("?")[0])
        assert (
            path in described
            or f"/api/v1{path}" in described
            or path == "/api/v1"
            or f'"{path}' in served
        ), (page, span)


def test_objects_of_the_library_exist() -> None:
    """Would catch: a class or function that can't be imported."""
    for page, span in of_kind(r"headrace(\.[A-Za-z_]+)+$"):
        if span in {
            "headrace.toml",
            "headrace.names",
            "headrace.convert",
            "headrace.mask",
        }:  # a file, and properties of contracts
            continue
        module, name = span.rsplit(".", 1)
        try:
            importlib.import_module(span)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), name), (page, span)
    for page, span in of_kind(r"ctx\.\w+"):
        name = re.findall(r"\w+", span)[1]
        assert hasattr(Context, name) or name in inspect.getsource(Context), (page, span)
