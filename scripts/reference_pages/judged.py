"""Checks, sources, exports and problems."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from importlib import import_module

from headrace.connect.connection_kinds import ConnectionKind
from headrace.connect.formats.registry import reader
from headrace.model.asset_fields import ASSET
from headrace.model.check_kinds import built_in_checks
from headrace.model.checks import COMMON_ARGUMENTS
from headrace.model.connections import EXPORT_DATABASES
from headrace.model.exports import FORMAT_OPTIONS
from headrace.model.file_descriptions import SECTIONS, with_kinds
from headrace.model.plugin_fields import SourceDeclaration, export_declaration, source_field
from headrace.model.plugins import CONNECTIONS, EXPORTS, FORMATS, SOURCES, load_plugin
from headrace.model.source_fields import SOURCE
from headrace.services.explain import codes
from headrace.services.explain import page as explained
from scripts.reference_pages.files import shipped, takes
from scripts.reference_pages.markdown import code, table
from scripts.reference_pages.markdown import page as written

LABEL = re.compile(r"^((?:Why|Wrong|Right)\b[^:\n]*:)", re.MULTILINE)
"""What a problem's page calls its parts."""


def checks() -> str:
    """Each kind of check, with its example and what its module says."""
    lead = (
        "A check is a mapping with its kind as the key. Any may have"
        f" {', '.join(map(code, COMMON_ARGUMENTS))} beside its arguments. With `severity: warning`,"
        " data that fails the check is published with a warning instead of rejected. `where` is a"
        " condition: only rows that satisfy it are checked."
    )
    parts = []
    for kind in built_in_checks():
        text = inspect.getdoc(type(kind)) or ""
        parts.append([f"## {kind.name}", "", *text.splitlines(), "", f"    - {kind.example}"])
    return written("Checks", lead, *parts)


def sources() -> str:
    """Kinds of sources and of files, with the fields that are only theirs."""
    lead = (
        "Where data comes from, and how files of each kind are read. What is common to all is in"
        " [files](files.md#sources)."
    )
    kinds = [("`files`", "files of a local folder", _module("files"))]
    kinds.append(("`files: s3://…` and the like", "files elsewhere", _module("filesystems")))
    kinds += [
        (code(name), field.meaning, _module(type(field).__module__))
        for name in shipped(SOURCES)
        if isinstance(field := source_field(name), SourceDeclaration)
    ]
    parts = [["## Kinds of sources", "", *table(("declared by", "is", "in short"), kinds)]]
    formats = [
        (
            code(kind.name),
            " ".join(map(code, kind.endings)) or "none; named by its field",
            _module(type(kind).__module__),
        )
        for kind in map(reader, sorted(shipped(FORMATS)))
    ]
    parts.append(["## Kinds of files", "", *table(("kind", "endings", "in short"), formats)])
    section = next(section for section in SECTIONS if section.name == "sources")
    added = with_kinds(section, shipped).fields[len(section.fields) :]
    fields = [
        (code(field.name), takes(field.schema), field.meaning)
        for field in (*SOURCE, *added)
        if field not in ASSET
    ]
    parts.append(["## Fields", "", *table(("field", "takes", "meaning"), fields)])
    return written("Sources", lead, *parts)


def exports() -> str:
    """Formats and databases that `export:` of a consumer may name."""
    lead = (
        "What `export:` of a consumer writes: files of a format, or rows of a table."
        " [Export data to files and tables](../how-to/exports.md) shows how, and"
        " [files](files.md#consumers) has all fields."
    )
    rows = []
    for name in shipped(EXPORTS):
        declaration = export_declaration(name)
        assert declaration is not None
        rows.append(
            (
                code(name),
                _endings(declaration.endings),
                _options(FORMAT_OPTIONS.get(name, declaration.options)),
                _module(type(declaration).__module__),
            )
        )
    head = ("`format:`", "endings", "`options:`, the default first", "in short")
    parts = [["## Files", "", *table(head, rows)]]
    databases = []
    for name in EXPORT_DATABASES:
        kind = load_plugin(CONNECTIONS, name, ConnectionKind)  # type: ignore[type-abstract]
        databases.append((code(name), inspect.getdoc(type(kind)) or ""))
    parts.append(["## Tables", "", *table(("connection's type", "in short"), databases)])
    return written("Exports", lead, *parts)


def _endings(endings: Iterable[str]) -> str:
    return " ".join(code(f".{ending}") for ending in endings)


def _options(options: Mapping[str, tuple[str, ...]]) -> str:
    return "; ".join(
        f"{code(name)}: {', '.join(code(json.dumps(value)) for value in values)}"
        for name, values in options.items()
    )


def _module(name: str) -> str:
    """The first sentence of a module's docstring."""
    full = name if name.startswith("headrace") else f"headrace.connect.{name}"
    return (inspect.getdoc(import_module(full)) or "").partition("\n\n")[0].replace("\n", " ")


def problems() -> str:
    """Every problem code with its page."""
    lead = (
        "What `validate` and attempts say, by code. `headrace explain CODE` prints the same page."
    )
    pages = [explained(item) for item in codes()]
    contents = table(
        ("code", "means"), ((f"[{page.code}](#{page.code})", page.title) for page in pages)
    )
    parts = [
        [
            f"## {page.code}",
            "",
            f"{page.title[0].upper()}{page.title[1:]}.",
            "",
            *LABEL.sub(r"**\1**", page.text).splitlines(),
        ]
        for page in pages
    ]
    return written("Problems", lead, contents, *parts)
