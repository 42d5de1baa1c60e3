"""Sources, file formats and export formats of installed packages, as declarations need them.

Their classes have the code that runs in workers as well: `headrace.connect.connectors.SourceKind`,
`headrace.connect.formats.records.RecordFormat` and `headrace.connect.exports.registry.ExportKind`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, TypeVar

import msgspec

from headrace.model.fields import Fields, plain
from headrace.model.nodes import PartitionSpec, Source
from headrace.model.plugins import (
    EXPORTS,
    FORMATS,
    OWN_FORMATS,
    SOURCES,
    BrokenPlugin,
    load_plugin,
    plugin_names,
    running,
)


class SourceField(ABC):
    """A field of sources, by default with a mapping as its value: `sensor: {station: 7}`."""

    name: ClassVar[str]
    """The field, equal to the name of the entry point."""
    fields: ClassVar[tuple[str, ...]] = ()
    """Names that the mapping may have."""
    meaning: ClassVar[str]
    """What the field is, for editors: a phrase that begins with a small letter."""

    # for fields that depend on it
    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:  # noqa: ARG002
        """Return the mapping as JSON values, which a worker gets in `Source.connector[name]`.

        Problems are reported to `fields`. By default, it is as written.
        """
        return dict(plain(fields.block))

    def read_value(self, fields: Fields, partition: PartitionSpec) -> Any:
        """Return the field's value in a source as JSON, None if it is invalid; by default, `read`.

        A field whose value may be something else than a mapping overrides this and `value_schema`.
        """
        block = fields.block_of(self.name)
        if block is None:
            return None
        inner = Fields(block, fields.report, self.fields, what=f"`{self.name}`")
        return self.read(inner, partition)

    def schema(self) -> dict[str, dict[str, Any]]:
        """Return a JSON Schema for each name of the mapping; by default, anything."""
        return {name: {} for name in self.fields}

    def value_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the field's value."""
        return {"type": "object", "properties": self.schema(), "additionalProperties": False}


class SourceDeclaration(SourceField):
    """A place that data comes from."""

    connections: ClassVar[tuple[str, ...]] = ()
    """Kinds of connections that `connection:` of the source may name; empty: any."""

    # for sources that ask for an interval by dates
    def dates(self, source: Source) -> Sequence[str]:  # noqa: ARG002
        """Return the formats of the dates by which an interval is asked for; by default, none."""
        return ()

    def completed(self, source: Source) -> Source:
        """Return the source with fields that follow from its others; by default, as it is."""
        return source


class FormatDeclaration(SourceField):
    """A kind of files, used by the ending of a file's name or by the field of the source."""

    meaning = "how files of this format are read"
    endings: tuple[str, ...]
    """Endings of file names, in lower case, with their dot."""


class ExportDeclaration(ABC):
    """A file format of exports, used by the ending of `to:` or by `format:`."""

    name: ClassVar[str]
    """The word in `format:`, equal to the name of the entry point."""
    endings: ClassVar[tuple[str, ...]]
    """Endings of file names, in lower case, without a dot."""
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Names in `options:` with the values that they may have, the default first."""
    several: ClassVar[bool] = False
    """Whether one file may have the rows of several assets."""


@cache
def source_field(name: str) -> SourceField | None:
    """Return the field of sources that an installed package adds; None if there is none.

    Raises BrokenPlugin.
    """
    source = load_plugin(SOURCES, name, SourceField)
    return source or load_plugin(FORMATS, name, FormatDeclaration)


@cache
def export_declaration(name: str) -> ExportDeclaration | None:
    """Return an installed package's format of exports. Raises BrokenPlugin."""
    return load_plugin(EXPORTS, name, ExportDeclaration)


def read_source_field(field: SourceField, fields: Fields, partition: PartitionSpec) -> Any:
    """Return the value of a package's field in a source, or report its problems."""
    group = FORMATS if isinstance(field, FormatDeclaration) else SOURCES
    try:
        with running(group, field.name):
            value = field.read_value(fields, partition)
            msgspec.json.encode(value)  # it is stored
            return plain(value)
    except BrokenPlugin as error:
        fields.report.error("broken_plugin", fields.line(field.name), str(error), error.hint)
        return None


# Formats by the ending of a file's name. A package's class knows its endings, so all of the group
# are loaded, for an ending that Headrace doesn't know.

Format = TypeVar("Format", FormatDeclaration, ExportDeclaration)


def format_by_ending(ending: str) -> FormatDeclaration | None:
    """Return the package's format of files with this ending, with its dot."""
    return _by_ending(FORMATS, FormatDeclaration, ending)


def export_by_ending(ending: str) -> ExportDeclaration | None:
    """Return the package's format of exports with this ending, without a dot."""
    return _by_ending(EXPORTS, ExportDeclaration, ending)


def _by_ending(group: str, base: type[Format], ending: str) -> Format | None:
    """Return the first class with the ending; a broken one is reported where its name is used."""
    for name in plugin_names(group):
        if name in OWN_FORMATS:
            continue
        try:
            plugin = load_plugin(group, name, base)
        except BrokenPlugin:
            continue
        if plugin is not None and ending in plugin.endings:
            return plugin
    return None
