"""Parses one declaration file of any kind, with the YAML, SQL and command asset parsers.

Parsing is a pure function of the file's path and bytes, so its result is cached by content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from headrace.model import fields as model_fields
from headrace.model.access import AccessRules
from headrace.model.asset_fields import ASSET_FIELDS, COMMAND_FIELDS
from headrace.model.assets import (
    name_of_file,
    read_asset,
    read_command,
    read_module,
)
from headrace.model.contracts import read_contract
from headrace.model.defaults import read_defaults
from headrace.model.errors import Problem, Report, shown
from headrace.model.fields import BIGINT_BEYOND, Fields, Items, LocatedMapping, kind_of
from headrace.model.files import FileKind, ProjectFile, decode_declaration, defaults_above
from headrace.model.for_each import FOR_EACH, blocks_of, instances
from headrace.model.nodes import (
    Asset,
    AssetTest,
    Body,
    Calendar,
    Consumer,
    Contract,
    ExecutorKind,
    Owner,
    Settings,
    Source,
    SqlBody,
    Value,
)
from headrace.model.plugins import EMITTERS, EXECUTORS, plugin_state, report_missing
from headrace.model.python_code import ModuleFacts
from headrace.model.settings import read_settings
from headrace.model.yaml_access import read_access
from headrace.model.yaml_files import (
    read_calendar,
    read_consumers,
    read_owners,
    read_sources,
    read_tests,
)

# YAML for declarations: scalars of YAML 1.2's core schema, line numbers of all keys and items, and
# limited size. `NO`, `07:00`, `2013-02-11` and `1_000` are text. Duplicate keys are problems, tags
# are refused, and aliases may expand to at most `VALUES_MAX` values. PyYAML's C parser yields
# events, which are assembled without recursion, so deep documents can't exhaust the stack.

DEPTH_MAX = 40
"""At most this number of nested levels; a declaration needs about six."""
VALUES_MAX = 100_000
"""At most this number of values per document, with aliases expanded."""
KEY_CHARACTERS_MAX = 200

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SCALAR_WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".inf": float("inf"),
    ".Inf": float("inf"),
    ".INF": float("inf"),
    "+.inf": float("inf"),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
    ".NaN": float("nan"),
    ".NAN": float("nan"),
}
_NUMERIC_START = frozenset("0123456789-+.")


class _Refused(Exception):
    """Parsing of the document stops with a problem."""

    def __init__(self, code: str, line: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.problem = (code, line, message, hint)


def load_yaml(text: str, report: Report, *, line: int = 1, repeated_keys: bool = False) -> Any:
    """Parse one YAML document. Mappings become `LocatedMapping`s, and lists become `Items`.

    `line` is the file's line of the first line of `text`. Returns None if the document is empty, or
    invalid, which is reported. With `repeated_keys`, the last value of a repeated key counts, as in
    dbt and PyYAML; otherwise it is an error.
    """
    import yaml  # takes 20 ms to import

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(report, line, repeated_keys).build(yaml.parse(text, Loader=loader))
    except _Refused as refused:
        report.error(*refused.problem)
    except yaml.MarkedYAMLError as error:
        report.error(*_syntax(error, text, line))
    except yaml.YAMLError as error:  # from PyYAML's reader: characters that YAML doesn't allow
        report.error(
            "yaml_syntax", line, f"this isn't YAML: {error}", "remove characters that can't be seen"
        )
    return None


def yaml_scalar(text: str) -> Any:
    """Return the value of a plain (unquoted) scalar in YAML 1.2's core schema."""
    if text in _SCALAR_WORDS:
        return _SCALAR_WORDS[text]
    if text[0] not in _NUMERIC_START or len(text) > 40:
        return text
    if _INTEGER.fullmatch(text):
        number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        return number if -BIGINT_BEYOND <= number < BIGINT_BEYOND else text
    return float(text) if _FLOAT.fullmatch(text) else text


class _Frame:
    """An open mapping or list."""

    __slots__ = ("anchor", "before", "container", "key", "key_line")

    def __init__(self, container: LocatedMapping | Items, anchor: str | None, before: int) -> None:
        self.container = container
        self.anchor = anchor
        self.before = before
        self.key: str | None = None
        self.key_line = 0


class _Builder:
    """Assembles one document from the parser's events."""

    def __init__(self, report: Report, line: int, repeated_keys: bool) -> None:
        self._report = report
        self._offset = line
        self._repeated_keys = repeated_keys
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0
        self._documents = 0
        self._result: Any = None

    def build(self, events: Iterator[Any]) -> Any:
        handlers = {
            "ScalarEvent": self._scalar,
            "MappingStartEvent": self._mapping,
            "SequenceStartEvent": self._sequence,
            "MappingEndEvent": self._close,
            "SequenceEndEvent": self._close,
            "AliasEvent": self._alias,
            "DocumentStartEvent": self._document,
        }
        for event in events:
            handler = handlers.get(type(event).__name__)
            if handler is not None:
                handler(event)
        return self._result

    def _line(self, event: Any) -> int:
        return int(event.start_mark.line) + self._offset

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _Refused(
                "yaml_syntax",
                self._line(event),
                "a second document begins here (`---`)",
                "write one document a file, or a list",
            )

    def _scalar(self, event: Any) -> None:
        line = self._line(event)
        if event.tag is not None and event.tag not in ("!", "tag:yaml.org,2002:str"):
            self._refuse_tag(event.tag, line)
        text: str = event.value
        if "\0" in text:
            raise _Refused("not_text", line, "a value holds a NUL character", "remove `\\0`")
        if self._wants_key():
            self._key(text, line)
        else:
            self._add(yaml_scalar(text) if event.implicit[0] else text, line, event.anchor, 1)

    def _refuse_tag(self, tag: str, line: int) -> None:
        raise _Refused(
            "yaml_tag",
            line,
            f"the tag {shown(tag)} isn't read",
            "write the plain value, in quotes where it is text",
        )

    def _wants_key(self) -> bool:
        return (
            bool(self._stack)
            and isinstance(self._stack[-1].container, LocatedMapping)
            and self._stack[-1].key is None
        )

    def _key(self, text: str, line: int) -> None:
        frame = self._stack[-1]
        if not text or len(text) > KEY_CHARACTERS_MAX:
            raise _Refused(
                "yaml_key",
                line,
                f"{shown(text)} can't be a key",
                "a key is a short name before a colon",
            )
        frame.key, frame.key_line = text, line

    def _mapping(self, event: Any) -> None:
        self._open(LocatedMapping(self._line(event)), event)

    def _sequence(self, event: Any) -> None:
        self._open(Items(self._line(event)), event)

    def _open(self, container: LocatedMapping | Items, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            self._refuse_tag(event.tag, container.line)
        if self._wants_key():
            raise _Refused(
                "yaml_key",
                container.line,
                "there is a list or mapping where a key is expected",
                "quote it if it is meant as text",
            )
        if len(self._stack) >= DEPTH_MAX:
            raise _Refused(
                "yaml_too_deep",
                container.line,
                f"more than {DEPTH_MAX} levels of nesting",
                "a declaration needs about six",
            )
        self._stack.append(_Frame(container, event.anchor, self._count))

    def _close(self, _: Any) -> None:
        frame = self._stack.pop()
        self._add(
            frame.container, frame.container.line, frame.anchor, 1, self._count - frame.before
        )

    def _alias(self, event: Any) -> None:
        line = self._line(event)
        if event.anchor not in self._anchors:
            raise _Refused(
                "yaml_syntax",
                line,
                f"the alias {shown('*' + event.anchor)} has no anchor before it",
                "write the value itself",
            )
        if self._wants_key():
            raise _Refused(
                "yaml_key",
                line,
                "there is an alias where a key is expected",
                "write the key itself",
            )
        value, size = self._anchors[event.anchor]
        self._add(value, line, None, size)

    def _add(self, value: Any, line: int, anchor: str | None, size: int, inside: int = 0) -> None:
        """Add a complete value to its parent.

        `inside` is the number of values in a container, which are already counted.
        """
        self._count += size
        if self._count > VALUES_MAX:
            raise _Refused(
                "yaml_too_many_values",
                line,
                f"more than {VALUES_MAX:,} values, aliases expanded",
                "keep data in files that sources read",
            )
        if anchor is not None:
            self._anchors[anchor] = (value, size + inside)
        if not self._stack:
            self._result = value
            return
        frame = self._stack[-1]
        if isinstance(frame.container, Items):
            frame.container.put(value, line)
            return
        self._put(frame, value)

    def _put(self, frame: _Frame, value: Any) -> None:
        key, frame.key = frame.key, None
        block = frame.container
        assert isinstance(block, LocatedMapping)
        assert key is not None
        if key in block and not self._repeated_keys:
            first = block.lines[key]
            message = f"the key {shown(key)} is here twice (first on line {first})"
            self._report.error("yaml_duplicate_key", frame.key_line, message, "keep one of them")
            return
        block.put(key, value, frame.key_line)


def _syntax(error: Any, text: str, offset: int) -> tuple[str, int, str, str]:
    """Return a parser error as code, line, message and hint.

    Most errors are tabs, missing quotes or wrong indentation.
    """
    mark = error.problem_mark or error.context_mark
    index = mark.line if mark is not None else 0
    lines = text.splitlines()
    written = lines[index] if index < len(lines) else ""
    indentation = written[: len(written) - len(written.lstrip())]
    if "\t" in indentation:
        return (
            "yaml_tab",
            index + offset,
            "there is a tab in the indentation",
            "use spaces; YAML doesn't take tabs",
        )
    problem = " ".join(part for part in (error.context, error.problem) if part)
    return "yaml_syntax", index + offset, f"this isn't YAML: {problem}", _syntax_hint(written)


def _syntax_hint(written: str) -> str:
    stripped = written.strip()
    if stripped.startswith(("*", "&", "@", "%", "`", "{{")) or ": " in stripped.partition(": ")[2]:
        return "put text with special characters in quotes"
    return "check indentation, colons and quotes here and on the line before"


# `assets/**/*.sql`: a front matter in the first comment (`/* headrace`, fields in YAML, `*/`),
# and one SELECT below it.

_FRONT = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$))*/\*\s*headrace\b[ \t]*:?(.*?)(\*/|\Z)", re.DOTALL | re.IGNORECASE
)
_CUT = re.compile(r"\bcron\s*:\s*[\"'][^\"']*\Z")
_FORM = "begin the file with /* headrace, `owner: …`, */"


def read_sql(text: str, report: Report) -> tuple[tuple[Asset, ...], SqlBody | None]:
    """Return the assets of a file with a front matter, else the file's query.

    The front matter may also be in a YAML file of the same name.
    """
    front = _FRONT.match(text)
    if front is None:
        return (), _statement(text, 0, report)
    line = text.count("\n", 0, front.start(1)) + 1
    if not front.group(2):
        report.error(
            "yaml_syntax", line, "the comment with the front matter isn't closed", "end it with */"
        )
        return (), None
    if _CUT.search(front.group(1)):
        at = text.count("\n", 0, front.end(1)) + 1
        report.error(
            "yaml_syntax",
            at,
            "`*/` ends the comment here, in the middle of a cron",
            "write 0-59/5 instead of */5",
        )
        return (), None
    body = _statement(text, front.end(), report)
    before = len(report.problems)
    document = load_yaml(front.group(1), report, line=line)
    if document is None and len(report.problems) == before:
        document = LocatedMapping(line)
    if document is None or body is None:
        return (), None
    if not isinstance(document, LocatedMapping):
        report.error(
            "wrong_type",
            line,
            f"the front matter must be a mapping, not {kind_of(document)}",
            _FORM,
        )
        return (), None
    return tuple(_sql_assets(document, body, line, report)), None


def _sql_assets(front: LocatedMapping, body: SqlBody, line: int, report: Report) -> Iterator[Asset]:
    """Yield the assets that a front matter declares: one, or all of its `for_each`."""
    for instance in instances(front, report, body.text):
        before = len(report.problems)
        bound = msgspec.structs.replace(body, text=instance.sql(body.text, body.line))
        if len(report.problems) > before:
            continue
        fields = Fields(instance.block, report, ASSET_FIELDS, what="the front matter")
        if asset := read_asset(fields, name_of_file(report), 1, bound, line):
            yield asset


def _statement(text: str, start: int, report: Report) -> SqlBody | None:
    """Return the statement from position `start` on, without surrounding blanks."""
    statement = text[start:].lstrip()
    line = text.count("\n", 0, len(text) - len(statement)) + 1
    if not statement:
        report.error("empty_body", line, "there is no SQL below the front matter", "write a SELECT")
        return None
    return SqlBody(text=statement.rstrip(), file=report.file, line=line)


# `assets/**/*.yaml`: command assets, and the front matter of a `.sql` file of the same name.


def read_yaml_assets(document: object, report: Report) -> tuple[Asset, ...]:
    """Return all assets of the file.

    An asset without a command gets an empty SQL query with the name of the `.sql` file that `link`
    joins to it.
    """
    first = document[0] if isinstance(document, list) and document else document
    if isinstance(first, LocatedMapping) and FOR_EACH.name in first and "command" not in first:
        report.error(
            "wrong_value",
            first.lines[FOR_EACH.name],
            "`for_each` of an asset in SQL stands beside its query",
            "put these fields into the front matter of the .sql file",
        )
        return ()
    blocks = blocks_of(
        document,
        report,
        "an asset",
        (
            "an asset must be a mapping",
            "write asset: name, owner: …, command: […]",
            "write - asset: name",
        ),
    )
    alone = not isinstance(document, list) or len(document) == 1
    read = (_yaml_asset(block, report, alone=alone) for block in blocks)
    return tuple(asset for asset in read if asset is not None)


def _yaml_asset(block: LocatedMapping, report: Report, *, alone: bool) -> Asset | None:
    name = block.get("asset")
    fields = Fields(
        block,
        report,
        COMMAND_FIELDS,
        what=f"the asset {shown(name)}" if isinstance(name, str) else "an asset",
    )
    if "asset" in fields and "name" in fields:
        fields.refuse(
            "name",
            "an asset has both `asset` and `name`",
            "keep `asset`",
            code="conflicting_fields",
        )
    if not alone and "asset" not in fields:
        fields.required("asset", "in a list each asset needs `asset: name`")
        return None
    if "command" not in fields and not alone:
        fields.required("command", 'add command: ["program", "argument"]')
        return None
    named = fields.text("asset")
    body: Body | None = SqlBody(text="", file=report.file.removesuffix(".yaml") + ".sql", line=1)
    if "command" in fields:
        body = read_command(fields, report.file)
    asset = read_asset(
        fields,
        named or name_of_file(report),
        fields.line("asset"),
        body or SqlBody(text="", file=report.file),
        block.line,
    )
    return asset if body is not None else None


# The declarations of one file of any kind.


class Declared(Value, kw_only=True):
    """Declarations of one file, and its own problems. `path` is relative to the project.

    `sql` is the statement of an `.sql` file without front matter. An asset with an empty
    `SqlBody.text` is the front matter of the file `SqlBody.file`. `link` joins the two.
    """

    path: str
    settings: Settings | None = None
    owners: tuple[Owner, ...] = ()
    access: AccessRules | None = None
    sources: tuple[Source, ...] = ()
    assets: tuple[Asset, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    contracts: tuple[Contract, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    macros: dict[str, str] = msgspec.field(default_factory=dict)
    tests: tuple[AssetTest, ...] = ()
    sql: SqlBody | None = None
    facts: ModuleFacts | None = None
    """Facts about the code of a Python file."""
    plugins: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    """Kinds that aren't built in: group of entry points → name in the file → `plugin_state`."""
    problems: tuple[Problem, ...] = ()


def parse_bytes(
    file: ProjectFile, data: bytes, defaults: Mapping[str, bytes] | None = None
) -> Declared:
    """Parse a file with these bytes; invalid content never raises.

    `defaults` are the bytes of all `defaults.yaml` by path.
    """
    report = Report(file.path)
    if defaults and file.kind is not FileKind.DEFAULTS:
        for path in defaults_above(file.path, defaults):
            report.defaults = {**report.defaults, **_defaults(path, defaults[path])}
    text = decode_declaration(file.kind, data, report)
    if text is None:
        return Declared(path=file.path, problems=tuple(report.problems))
    return parse_text(file.kind, text, report)


def parse_text(kind: FileKind, text: str, report: Report) -> Declared:
    """Parse the current or a former text of the file of `report`."""
    results = _READERS[kind](text, report)
    plugins: dict[str, dict[str, str]] = {}
    for group, name in sorted(report.plugins):
        plugins.setdefault(group, {})[name] = plugin_state(group, name)
    return Declared(path=report.file, plugins=plugins, problems=tuple(report.problems), **results)


def _settings(text: str, report: Report) -> dict[str, Any]:
    document = model_fields.load_toml(text, report)
    settings = None if document is None else read_settings(document, report)
    if document is None or settings is None:
        return {}
    if settings.openlineage:
        line = document.lines["openlineage"]
        report_missing(report, line, "[openlineage]", EMITTERS, "openlineage")
    if settings.executor != ExecutorKind.LOCAL:
        line, kind = document["run"].lines["executor"], settings.executor
        report_missing(report, line, f'executor = "{kind}"', EXECUTORS, kind)
    return {"settings": settings}


def _yaml(
    field: str, read: Callable[[Any, Report], Any]
) -> Callable[[str, Report], dict[str, Any]]:
    """Return a reader for one kind of YAML file."""

    def reader(text: str, report: Report) -> dict[str, Any]:
        before = len(report.problems)
        document = load_yaml(text, report)
        if document is None:
            if len(report.problems) == before:
                report.error(
                    "file_empty",
                    1,
                    "the file declares nothing",
                    "write what it should declare, or delete it",
                )
            return {}
        return {field: read(document, report)}

    return reader


def _sql(text: str, report: Report) -> dict[str, Any]:
    assets, body = read_sql(text, report)
    return {"assets": assets, "sql": body}


def _python(text: str, report: Report) -> dict[str, Any]:
    assets, facts = read_module(text, report)
    return {"assets": assets, "facts": facts}


def _macro(text: str, report: Report) -> dict[str, Any]:
    return {"macros": {report.file: text}}


@lru_cache(maxsize=64)  # a file's defaults are those of many files
def _defaults(path: str, data: bytes) -> LocatedMapping:
    """Return the usable fields of a `defaults.yaml`, whose problems it reports itself."""
    report = Report(path)
    text = decode_declaration(FileKind.DEFAULTS, data, report)
    document = None if text is None else load_yaml(text, report)
    return LocatedMapping(1) if document is None else read_defaults(document, report)


def _no_nodes(text: str, report: Report) -> dict[str, Any]:
    _yaml("defaults", read_defaults)(text, report)
    return {}


_READERS: dict[FileKind, Callable[[str, Report], dict[str, Any]]] = {
    FileKind.SETTINGS: _settings,
    FileKind.OWNERS: _yaml("owners", read_owners),
    FileKind.ACCESS: _yaml("access", read_access),
    FileKind.SOURCE: _yaml("sources", read_sources),
    FileKind.SQL: _sql,
    FileKind.PYTHON: _python,
    FileKind.YAML_ASSET: _yaml("assets", read_yaml_assets),
    FileKind.CONSUMERS: _yaml("consumers", read_consumers),
    FileKind.CONTRACT: _yaml("contracts", read_contract),
    FileKind.CALENDAR: _yaml("calendars", read_calendar),
    FileKind.MACRO: _macro,
    FileKind.TEST: _yaml("tests", read_tests),
    FileKind.DEFAULTS: _no_nodes,
}
