"""`init`: a new project that runs, from a template or from data files; `schema` for its editor."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from headrace.connect import file_inference
from headrace.connect.file_inference import FileGroup, InferredColumns
from headrace.model import HeadraceError, ProjectError, UnknownName, UsageError
from headrace.model.errors import did_you_mean
from headrace.model.file_descriptions import SECTIONS, with_kinds
from headrace.model.for_each import FOR_EACH
from headrace.model.schemas import Schema, Section
from headrace.project.parameters import Argument, Option
from headrace.repairs.contract_texts import contract_text
from headrace.responses import InitResponse
from headrace.responses.inspections import SchemaRow
from headrace.services.deliveries import learned_schema

# The project that `init` writes without files: small, and ready to run.

DAYS = 3
IGNORED = ".headrace/\noutbox/\n"
_MESSAGES = """
# Where messages to `mailto:` contacts go: a folder, until it is url = "smtps://user:${PASSWORD}@smtp.example.com:587"
[notify.mail]
url = "file:outbox"
"""
_DEVELOPMENT = """
# `headrace --env dev run` builds what you changed without changing production
[environments.dev]
workers = 1
"""


class NewFile(NamedTuple):
    """A file to be written: its bytes, and its modification time if that matters."""

    data: bytes
    modified: float | None = None


def starter_settings(name: str, timezone: str) -> str:
    """Return the text of headrace.toml."""
    project = f'[project]\nname = "{name}"\ntimezone = "{timezone}"\n\n[run]\nworkers = 2\n'
    return project + _MESSAGES + _DEVELOPMENT


OWNERS = """\
# Who answers for what. Every source, asset and consumer has exactly one owner.
data-team: {kind: team, contact: ["mailto:data-team@example.com"]}
"""

_SOURCE = """\
# Data that arrives from outside: one file a day, found by its name.
source: orders
owner: data-team
partition: day
files: landing/orders_{date:%Y-%m-%d}.csv
expect: {by: "08:00"}
"""

_CLEAN = """\
/* headrace
description: the day's orders, checked before anybody can read them
owner: data-team
partition: {by: day, column: order_date}
checks:
  - unique: [order_id]
  - not_null: [customer, amount]
  - range: {column: amount, min: 0}
*/
select
    order_id,
    customer,
    cast(amount as decimal(18, 2)) as amount,
    order_date
from orders
where order_date >= $partition_start and order_date < $partition_end
"""

_REVENUE = """\
/* headrace
description: orders and revenue of each day
owner: data-team
partition: {by: day, column: order_date}
checks:
  - row_count: {min: 1}
*/
select
    order_date,
    count(*) as orders,
    sum(amount) as revenue
from orders_clean
where order_date >= $partition_start and order_date < $partition_end
group by order_date
"""

_CONSUMERS = """\
# Who needs which data by when: this is what `headrace status` evaluates.
- consumer: morning-report
  owner: data-team
  reads: [daily_revenue]
  due: "09:00"
"""

_ORDERS = (
    ("Ada", "19.90"),
    ("Grace", "250.00"),
    ("Linus", "7.45"),
    ("Ada", "42.00"),
    ("Margaret", "99.95"),
    ("Edsger", "12.30"),
    ("Grace", "64.20"),
    ("Barbara", "310.10"),
    ("Linus", "5.00"),
    ("Ada", "88.80"),
    ("Donald", "17.25"),
)


def starter(name: str, timezone: str, now: datetime) -> dict[str, NewFile]:
    """Return the files of the starter project by path.

    Its sample deliveries are of the last days before `now`.
    """
    texts = {
        "headrace.toml": starter_settings(name, timezone),
        ".gitignore": IGNORED,
        "owners.yaml": OWNERS,
        "sources/orders.yaml": _SOURCE,
        "assets/orders_clean.sql": _CLEAN,
        "assets/daily_revenue.sql": _REVENUE,
        "consumers.yaml": _CONSUMERS,
    }
    today = now.astimezone(ZoneInfo(timezone)).date()
    files = {path: NewFile(text.encode()) for path, text in texts.items()}
    for back in range(DAYS, 0, -1):
        day = today - timedelta(days=back)
        files[f"landing/orders_{day}.csv"] = NewFile(
            _orders_csv(day, back).encode(), _delivery_time(day, timezone, now)
        )
    return files


def _orders_csv(day: date, number: int) -> str:
    """Return a day's orders: part of the sample, the same on every machine."""
    orders = _ORDERS[number - 1 : number + 6]
    lines = [
        f"{day:%Y%m%d}{i:03},{customer},{amount},{day}"
        for i, (customer, amount) in enumerate(orders, 1)
    ]
    return "\n".join(["order_id,customer,amount,order_date", *lines]) + "\n"


def _delivery_time(day: date, timezone: str, now: datetime) -> float:
    """Return 05:00 on the day after as a timestamp, or a minute ago if that is in the future."""
    delivered_at = datetime.combine(day + timedelta(days=1), time(5), ZoneInfo(timezone))
    return min(delivered_at.timestamp(), now.timestamp() - 60)


# `schema`: JSON Schemas of a project's files for editors, and the editor settings that use them.

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = ".vscode/headrace"
"""Folder of the schemas in a project, so that editors find them without a network."""
EDITOR_SETTINGS_FILE = ".vscode/settings.json"
_HAVE_DEFAULTS = ("sources", "assets", "front_matter")
"""Files whose owner may be in a `defaults.yaml`."""
_VALUE: Schema = {"type": "string", "pattern": r"\$value\([^()]+\)"}


def schemas(
    name: Annotated[
        str | None,
        Argument(
            "[NAME]",
            help=(
                "project, owners, access, sources, assets, front_matter, defaults, consumers,"
                " tests, calendars"
            ),
            names="SCHEMA",
        ),
    ] = None,
) -> list[SchemaRow]:
    """Return the schema of one kind of file, or of all. Raise UnknownName for an unknown kind."""
    names = [section.name for section in SECTIONS]
    if name is not None and name not in names:
        raise UnknownName(
            f"there is no schema {name[:60]!r}",
            hint=did_you_mean(name, names) or f"one of {', '.join(names)}",
        )
    return [
        SchemaRow(
            name=section.name,
            files=list(section.files),
            description=section.title,
            document=document(with_kinds(section)),
        )
        for section in SECTIONS
        if name in (None, section.name)
    ]


def document(section: Section) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one kind of file."""
    entry = _entry(section)
    head = {"$schema": DRAFT, "title": f"Headrace: {section.title}"}
    if section.named:
        return {
            **head,
            "type": "object",
            "additionalProperties": {"anyOf": [entry, {"type": "null"}]},
        }
    if section.listed:
        return {
            **head,
            "anyOf": [
                {"$ref": "#/$defs/entry"},
                {"type": "array", "items": {"$ref": "#/$defs/entry"}},
            ],
            "$defs": {"entry": entry},
        }
    if section.name == "calendars":
        return {**head, "anyOf": [entry, section.field("dates").schema]}
    return {**head, **entry}


def _entry(section: Section) -> Schema:
    properties = {}
    for name in sorted(section.known):
        field = section.field(name)
        text = f"{field.meaning} (default: {field.default})" if field.default else field.meaning
        schema = _with_values(field.schema) if FOR_EACH.name in section.known else field.schema
        properties[name] = {**schema, "description": text} if text else schema
    required = [
        field.name
        for field in section.fields
        if field.required and not (field.name == "owner" and section.name in _HAVE_DEFAULTS)
    ]
    entry: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**entry, "required": required} if required else entry


def _with_values(schema: Schema) -> Schema:
    """Return a schema that takes `$value(NAME)`, too, where a number or a word of a few stands."""
    inner = {key: _inner(key, value) for key, value in schema.items()}
    one_of_few = "enum" in inner or inner.get("type") in ("boolean", "integer", "number")
    return {"anyOf": [inner, _VALUE]} if one_of_few else inner


def _inner(key: str, value: Any) -> Any:
    """Return what a key of a schema has, with the schemas in it."""
    if key == "properties":
        return {name: _with_values(item) for name, item in value.items()}
    if key in ("items", "additionalProperties") and isinstance(value, dict):
        return _with_values(value)
    return [_with_values(item) for item in value] if key == "anyOf" else value


def files() -> dict[str, str]:
    """Return the editor's files as path (relative to the project) → text."""
    texts = {f"{FOLDER}/{row.name}.json": _text(row.document) for row in schemas() if row.files}
    return {EDITOR_SETTINGS_FILE: _text(_settings()), **texts}


def _settings() -> Mapping[str, Any]:
    """Return settings for the extensions YAML and Even Better TOML.

    Their ids are redhat.vscode-yaml and tamasfe.even-better-toml.
    """
    yaml = {
        f"./{FOLDER}/{row.name}.json": [
            *row.files,
            *(["!**/defaults.yaml"] if row.name in _HAVE_DEFAULTS else []),
        ]
        for row in schemas()
        if row.files and row.files[0].endswith(".yaml")
    }
    return {
        "yaml.schemas": yaml,
        "evenBetterToml.schema.associations": {r".*/headrace\.toml$": f"./{FOLDER}/project.json"},
    }


def write(root: Path) -> list[str]:
    """Write the editor's files into a project, and return their paths relative to it.

    Existing schemas are replaced; existing editor settings stay as they are.
    """
    written = []
    for path, text in files().items():
        target = root / path
        if path == EDITOR_SETTINGS_FILE and target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


SETTINGS_FILE = "headrace.toml"


class CiSystem(enum.StrEnum):
    """What runs `headrace ci` on a change."""

    GITHUB = "github"
    GITLAB = "gitlab"
    AZURE = "azure"


CI_TEXTS = Path(__file__).parent.parent / "ci_files"
CI_FILES = {
    CiSystem.GITHUB: ".github/workflows/headrace.yml",
    CiSystem.GITLAB: ".gitlab/headrace.yml",
    CiSystem.AZURE: "azure-pipelines-headrace.yml",
}
"""The path in a repository of the file for each system."""
_GITLAB_FILE = ".gitlab-ci.yml"
"""The one file that GitLab reads, which often has jobs already; it includes others."""


def init(
    directory: Annotated[Path, Argument("[DIR]", help="where (default: this folder)")],
    files: Annotated[
        Sequence[Path],
        Option("--from", metavar="FILE…", help="derive sources, contracts and assets from these"),
    ],
    ci: Annotated[
        CiSystem | None,
        Option(
            "--ci",
            metavar="github|gitlab|azure",
            help="write the file of its jobs, which run `headrace ci` on each change",
        ),
    ] = None,
) -> InitResponse:
    """Write a project into `directory`, created if missing, and return the next command.

    With `ci`, write the file of a system's jobs, into an existing project, too. Nothing is
    overwritten: raises ProjectError, and writes nothing, if a project or a file exists already.
    Raise UsageError for unreadable files.
    """
    jobs, notes = ({}, []) if ci is None else _jobs(directory, ci)
    if (directory / SETTINGS_FILE).exists():
        if ci is None or files:
            raise ProjectError(
                f"{directory / SETTINGS_FILE} is there already: this is a project",
                hint="headrace status, or name another folder",
            )
        existing = InitResponse(
            directory=str(directory),
            files=[],
            sources=[],
            assets=[],
            consumers=[],
            notes=notes,
            next=f"git add {shlex.join(os.path.normpath(directory / path) for path in jobs)}",
        )
        return _written(directory, jobs, {}, existing)
    name, timezone = _project_name(directory), machine_timezone()
    editors = {**jobs, **_for_editors(directory)}
    if not files:
        project = InitResponse(
            directory=str(directory),
            files=[],
            sources=["orders"],
            assets=["orders_clean", "daily_revenue"],
            consumers=["morning-report"],
            notes=notes,
            next="",
        )
        new = starter(name, timezone, datetime.now(UTC))
        return _written(directory, new | editors, {}, project)
    sources, unread = _learnt(file_inference.groups([_readable(path) for path in files]))
    new, copies = _derived(directory, name, timezone, sources)
    names = [group.name for group, _ in sources]
    project = InitResponse(
        directory=str(directory),
        files=[],
        sources=names,
        assets=[f"{source}_clean" for source in names],
        consumers=[f"{source}-report" for source in names],
        notes=[
            *(note for source in sources for each in source for note in each.warnings),
            *unread,
            *notes,
        ],
        next="",
        learnt=list(filter(None, (learned_schema(None, g.name, at.schema) for g, at in sources))),
        declared={
            group.name: "; ".join(file_inference.declarations(learnt))
            for group, learnt in sources
            if learnt.options
        },
        samples={
            group.name: [dict(zip(learnt.schema.names, row, strict=True)) for row in learnt.sample]
            for group, learnt in sources
        },
    )
    return _written(directory, new | editors, copies, project)


def _jobs(directory: Path, ci: CiSystem) -> tuple[dict[str, NewFile], list[str]]:
    """Return the file of a system's jobs, by its path from the project's folder, and notes on it.

    It is in the folder of the git repository, or in the project's if there is none.
    """
    project = directory.resolve()
    root = next((at for at in (project, *project.parents) if (at / ".git").exists()), project)
    folder = project.relative_to(root).as_posix()
    text = (CI_TEXTS / f"{ci}.yml").read_text(encoding="utf-8")
    texts = {CI_FILES[ci]: text.replace('"."', json.dumps(folder, ensure_ascii=False))}
    notes = [f"{CI_FILES[ci]} says in its first lines what its jobs need"]
    include = f"include: [{{local: {CI_FILES[ci]}}}]"
    if ci is CiSystem.GITLAB and (root / _GITLAB_FILE).exists():
        notes.append(f"add to {_GITLAB_FILE}: {include}")
    elif ci is CiSystem.GITLAB:
        texts[_GITLAB_FILE] = f"{include}\n"
    up = Path(os.path.relpath(root, project))
    return {(up / path).as_posix(): NewFile(text.encode()) for path, text in texts.items()}, notes


def _learnt(groups: list[FileGroup]) -> tuple[list[tuple[FileGroup, InferredColumns]], list[str]]:
    """Return the groups with their columns, and notes on tables of a file that can't be read.

    Raise UsageError for other files that can't be read, and if no group is left.
    """
    # it imports DuckDB, which only `init --from` needs
    from headrace.connect.first_files import learn

    sources: list[tuple[FileGroup, InferredColumns]] = []
    notes: list[str] = []
    for group in groups:
        try:
            sources.append((group, learn(group)))
        except UsageError as error:
            if not group.options or (group is groups[-1] and not sources):
                raise
            notes.append(f"no source `{group.name}`: {error}")
    return sources, notes


def _derived(
    directory: Path, name: str, timezone: str, sources: list[tuple[FileGroup, InferredColumns]]
) -> tuple[dict[str, NewFile], dict[str, Path]]:
    """Return new texts by path, and files to be copied by path; files already in landing/ stay."""
    texts = {
        SETTINGS_FILE: starter_settings(name, timezone),
        ".gitignore": IGNORED,
        "owners.yaml": OWNERS,
    }
    copies: dict[str, Path] = {}
    for group, learnt in sources:
        texts[f"sources/{group.name}.yaml"] = file_inference.source_yaml(group, learnt)
        texts[f"contracts/{group.name}.odcs.yaml"] = contract_text(group.name, learnt.schema, {}, 0)
        texts[f"assets/{group.name}_clean.sql"] = file_inference.asset_sql(group, learnt)
        for landed, path in group.files.items():
            if path.resolve() != (directory / "landing" / landed).resolve():
                copies[f"landing/{landed}"] = path
    texts["consumers.yaml"] = "\n".join(file_inference.consumer_yaml(group) for group, _ in sources)
    return {path: NewFile(text.encode()) for path, text in texts.items()}, copies


def _written(
    directory: Path,
    new: dict[str, NewFile],
    copies: dict[str, Path],
    project: InitResponse,
) -> InitResponse:
    there = [
        path
        for path in [*new, *copies]
        if os.path.lexists(_full(directory, path)) and path != ".gitignore"
    ]
    if there:
        raise ProjectError(
            f"{os.path.normpath(directory / there[0])} is there already, and nothing is ever"
            " overwritten",
            hint="name an empty folder: headrace init DIR",
        )
    paths: list[Path] = []
    try:
        for path, file in new.items():
            _write(directory / path, file, paths)
        for path, source in copies.items():
            _copy(source, directory / path, paths)
    except OSError as error:
        for file_made in paths:
            file_made.unlink(missing_ok=True)
        raise HeadraceError(
            f"{error.filename or directory} can't be written: {error.strerror}",
            hint="nothing was left behind; name another folder",
        ) from error
    enter = "" if directory.resolve() == Path.cwd() else f"cd {shlex.quote(str(directory))} && "
    return msgspec.structs.replace(
        project, files=sorted([*new, *copies]), next=project.next or f"{enter}headrace run"
    )


def _full(directory: Path, path: str) -> Path:
    """Return the whole path of a file to be written, whose folders needn't exist."""
    return (directory / path).parent.resolve() / Path(path).name


def _for_editors(directory: Path) -> dict[str, NewFile]:
    """Return JSON Schemas and the settings that use them, without files that exist already."""
    texts = files()
    return {
        path: NewFile(text.encode())
        for path, text in texts.items()
        if not os.path.lexists(directory / path)
    }


def _write(path: Path, file: NewFile, paths: list[Path]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == ".gitignore" and path.exists():
        return
    with path.open("xb") as out:
        paths.append(path)
        out.write(file.data)
    if file.modified is not None:
        os.utime(path, (file.modified, file.modified))


def _copy(source: Path, path: Path, paths: list[Path]) -> None:
    """Copy a file atomically, with its modification time, which counts as its delivery time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    os.close(handle)
    try:
        shutil.copyfile(source, part)
        shutil.copystat(source, part)
        Path(part).chmod(0o644)
        os.link(part, path)
        paths.append(path)
    finally:
        Path(part).unlink(missing_ok=True)


def _readable(path: Path) -> Path:
    if not path.exists():
        raise UsageError(
            f"there is no file {path}",
            hint="--from takes files: headrace init DIR --from orders.csv",
        )
    if not path.is_file():
        raise UsageError(f"{path} is no file", hint=f"name the files in it: --from {path}/*")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} can't be read", hint="look at its permissions")
    return path


def _project_name(directory: Path) -> str:
    """Return the folder's name, with invalid characters of a project's name replaced."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", directory.resolve().name).strip("-")[:60] or "project"


def machine_timezone() -> str:
    """Return the machine's time zone as an IANA name; UTC if unknown."""
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    with contextlib.suppress(OSError):
        candidates.append(str(Path("/etc/localtime").readlink()).partition("zoneinfo/")[2])
    for name in candidates:
        try:
            if name and "/" in name:
                return (
                    "UTC"
                    if name in ("Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu")
                    else ZoneInfo(name).key
                )
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return "UTC"
