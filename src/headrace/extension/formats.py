"""What file formats and formats of exports of other packages use besides their base classes.

    from headrace.extension.formats import CannotRead, RecordFormat

A `RecordFormat` needs `CannotRead` alone. A `FormatKind` gives DuckDB a query, and uses the rest:
types of columns inferred from text, errors explained by values and lines, temporary files. Nothing
here imports DuckDB.
"""

from headrace.connect.deliveries import (
    LINES_ABOVE_MAX,
    CannotRead,
    Disagrees,
    Format,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
    error_text,
    printable,
)
from headrace.connect.exports.registry import ExportFailed, ExportKind, Portion
from headrace.connect.exports.values import as_double, as_text, is_nested
from headrace.connect.formats.csv_dialect import names_below_groups
from headrace.connect.formats.headers import (
    COLUMNS_MAX,
    column_names,
    doubled_names,
    folded,
)
from headrace.connect.formats.json import JsonRecordReader
from headrace.connect.formats.parquet import Parquet
from headrace.connect.formats.records import RecordFormat
from headrace.connect.formats.registry import FileHeader, FormatKind
from headrace.connect.formats.text_values import (
    almost_typed,
    bad_columns,
    drift_of,
    located,
    selected,
)
from headrace.connect.raw_files import Opened, UnpackLimits, place_for, written
from headrace.connect.text_files import has_both_line_ends, in_utf8, one_line_end, require_text
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal, quote
from headrace.lake.type_inference import INSTANT, infer_types
from headrace.lake.types import Type, parse
from headrace.model.connectors import ENCODINGS, RECORD_MAX, SINGLE_BYTE
from headrace.model.errors import LakeError, Report, shown
from headrace.model.fields import Fields, LocatedMapping, kind_of, plain
from headrace.model.nodes import PartitionSpec

__all__ = [
    "COLUMNS_MAX",
    "ENCODINGS",
    "INSTANT",
    "LINES_ABOVE_MAX",
    "RECORD_MAX",
    "SINGLE_BYTE",
    "CannotRead",
    "Disagrees",
    "ExportFailed",
    "ExportKind",
    "Fields",
    "FileHeader",
    "Format",
    "FormatKind",
    "JsonRecordReader",
    "LakeColumn",
    "LakeError",
    "LocatedMapping",
    "Opened",
    "Parquet",
    "PartitionSpec",
    "Portion",
    "RecordFormat",
    "Report",
    "SourceSchema",
    "Type",
    "TypeDrift",
    "UnpackLimits",
    "UnreadableFile",
    "almost_typed",
    "as_double",
    "as_text",
    "bad_columns",
    "column_names",
    "doubled_names",
    "drift_of",
    "error_text",
    "folded",
    "has_both_line_ends",
    "in_utf8",
    "infer_types",
    "is_nested",
    "kind_of",
    "literal",
    "located",
    "names_below_groups",
    "one_line_end",
    "parse",
    "place_for",
    "plain",
    "printable",
    "quote",
    "require_text",
    "selected",
    "shown",
    "written",
]
