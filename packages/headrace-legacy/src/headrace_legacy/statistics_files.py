"""Files of statistics programs: SAS, SPSS and Stata. Codes are data, their labels another table.

Values that a person has declared to be missing, such as 99 for "refused", are null, and are told
apart from those that nobody entered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from headrace.extension import marked
from headrace.extension.formats import (
    CannotRead,
    Fields,
    Opened,
    Parquet,
    PartitionSpec,
    SourceSchema,
    UnpackLimits,
    place_for,
    printable,
    shown,
)
from headrace_legacy.text_lines import read_encoding
from headrace_legacy.transport_files import Transport

if TYPE_CHECKING:
    import pyarrow as pa

DATA, LABELS, VARIABLES = "data", "labels", "variables"
ROWS = (DATA, LABELS, VARIABLES)
BATCH_ROWS = 50_000
USER_MISSING = "user_missing"
"""The column with the user-missing values of a row, such as `q1=99`."""
NUMBER, WHOLE, TEXT, DAY, INSTANT, FLAG = "number", "whole", "text", "day", "instant", "flag"
OTHERS = {
    LABELS: {"variable": TEXT, "value": TEXT, "label": TEXT, "missing": FLAG},
    VARIABLES: {
        "position": WHOLE,
        "variable": TEXT,
        "label": TEXT,
        "kind": TEXT,
        "format": TEXT,
        "measure": TEXT,
    },
}
"""Kind of rows → column → type."""
_SPSS_DAY = re.compile(r"(?:[AEJS]?DATE|MOYR|QYR|WKYR)[0-9.]*")
_SPSS_INSTANT = re.compile(r"(?:DATETIME|YMDHMS)[0-9.]*")
_SAS_DAY = re.compile(
    r"(?:DATE|WEEKDATX?|WORDDATX?|[BEN]8601DA|(?:DDMMYY|MMDDYY|YYMMDD)[BCDNPS]?|JULIAN|MONYY"
    r"|YYMM[CDNPS]?|YYQ|[EI]S8601DA|YEAR|MONTH|MONNAME|QTRR?|WEEKDAY|DOWNAME|JULDAY|DAY)[0-9.]*"
)
_SAS_INSTANT = re.compile(
    r"(?:DATETIME|DATEAMPM|DT(?:DATE|MONYY|WKDATX|YEAR|YYQC)|[BEN]8601DT|IS8601DT)[0-9.]*"
)
_STATA_DAY, _STATA_INSTANT = re.compile(r"%-?(?:td|d).*"), re.compile(r"%-?tc.*")
_IN_1960, _IN_1582 = datetime(1960, 1, 1), datetime(1582, 10, 14)  # noqa: DTZ001 - without zones


class Dates(NamedTuple):
    """How a program stores days and times: numbers since `start`, in units of microseconds."""

    day: re.Pattern[str]
    instant: re.Pattern[str]
    start: datetime
    day_unit: int
    instant_unit: int


_DAY_US, _SECOND_US = 86_400_000_000, 1_000_000


class Statistics(Parquet):
    """A file whose variables have labels, formats and missing values."""

    unmistakable = True
    fields = ("rows", "encoding")
    libraries = ("pyreadstat", "pyarrow.parquet")
    reads: ClassVar[Mapping[str, str]]
    """Ending → the function of pyreadstat."""
    dates: Dates

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `rows` and `encoding`."""
        fields.choice("rows", ROWS, DATA)
        read_encoding(fields)
        return super().read(fields, partition)

    def tables(self, path: Path) -> Mapping[str, Mapping[str, Any]]:
        """Return the data, and the labels if there are some."""
        try:
            file = _File(self, path, path.name, {})
        except (CannotRead, ImportError):
            return {}
        return {DATA: {}, **({LABELS: {"rows": LABELS}} if [*file.labels()] else {})}

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Write the rows to a Parquet file."""
        import pyarrow.parquet as pq

        del pinned
        options = opened.options.get(self.name) or {}
        path = Path(opened.path)
        if not path.stat().st_size:
            raise CannotRead("the file is empty", code="delivery_empty")
        file = _File(self, path, opened.name, options)
        target = place_for(opened, temporary)
        try:
            with pq.ParquetWriter(target.path, file.schema) as writer:
                for batch in file.batches():
                    writer.write_batch(batch)
                    bounds.check(Path(target.path).stat().st_size, path.stat().st_size)
        except BaseException:
            target.discard()
            raise
        return target


class Sas(Statistics):
    """SAS: data sets (.sas7bdat) and transport files (.xpt)."""

    name = "sas"
    meaning = "which rows of a file of SAS are read"
    endings = (".sas7bdat", ".xpt")
    reads: ClassVar = {".sas7bdat": "read_sas7bdat", ".xpt": "read_xport"}
    dates = Dates(_SAS_DAY, _SAS_INSTANT, _IN_1960, _DAY_US, _SECOND_US)


class Spss(Statistics):
    """SPSS: system files (.sav, .zsav) and portable files (.por)."""

    name = "spss"
    meaning = "which rows of a file of SPSS are read"
    endings = (".sav", ".zsav", ".por")
    reads: ClassVar = {".sav": "read_sav", ".zsav": "read_sav", ".por": "read_por"}
    dates = Dates(_SPSS_DAY, _SPSS_INSTANT, _IN_1582, _SECOND_US, _SECOND_US)


class Stata(Statistics):
    """Stata: data sets (.dta)."""

    name = "stata"
    meaning = "which rows of a file of Stata are read"
    endings = (".dta",)
    reads: ClassVar = {".dta": "read_dta"}
    dates = Dates(_STATA_DAY, _STATA_INSTANT, _IN_1960, _DAY_US, 1_000)


class _File:
    """A file with its variables."""

    def __init__(self, form: Statistics, path: Path, name: str, options: Mapping[str, Any]) -> None:
        import pyreadstat

        self._dates = form.dates
        self._kind = options.get("rows", DATA)
        ending = Path(name).suffix.lower()
        self._read = getattr(pyreadstat, form.reads.get(ending, next(iter(form.reads.values()))))
        self._errors = (pyreadstat.ReadstatError, pyreadstat.PyreadstatError)
        self._settings = {"filename_path": str(path), "user_missing": True}
        if self._read in (pyreadstat.read_xport, pyreadstat.read_por):
            del self._settings["user_missing"]
        self._settings |= {"disable_datetime_conversion": True, "output_format": "dict"}
        if encoding := options.get("encoding"):
            if self._read == pyreadstat.read_por:
                raise CannotRead("no `encoding` can be declared for a portable file (.por)")
            self._settings["encoding"] = encoding
        self.facts = self._call(metadataonly=True)[1]
        self._refuse_blank_rows()
        self._transport: Transport | None = None
        if self._read == pyreadstat.read_xport:
            self._transport = Transport(path, self.facts.variable_storage_width)
        self.types = {name: self._type(name) for name in self.facts.column_names}
        if USER_MISSING in map(str.lower, self.types):
            raise CannotRead(f"a variable is named {USER_MISSING}, as the column with such values")

    def _call(self, **more: Any) -> tuple[Mapping[str, list[Any]], Any]:
        try:
            return self._read(**self._settings, **more)  # type: ignore[no-any-return]
        except (*self._errors, UnicodeDecodeError, ValueError, OverflowError) as error:
            raise CannotRead(f"it can't be read: {marked(printable(error, 200))}") from error

    def _refuse_blank_rows(self) -> None:
        """Refuse a transport file with text alone: blank rows at its end look like its padding."""
        kinds = set(self.facts.readstat_variable_types.values())
        if self.facts.file_format == "xport" and kinds == {"string"}:
            raise CannotRead(
                "a transport file without a numeric variable can't tell how many rows it has"
            )

    def _type(self, name: str) -> str:
        kind = self.facts.readstat_variable_types[name]
        written = (self.facts.original_variable_types.get(name) or "").strip()
        form = written if written.startswith("%") else written.upper().lstrip("$")
        if kind == "string":
            return TEXT
        if self._dates.day.fullmatch(form):
            return DAY
        if self._dates.instant.fullmatch(form):
            return INSTANT
        return WHOLE if kind.startswith("int") else NUMBER

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns of the rows that are read, with their types."""
        return OTHERS.get(self._kind) or self.types

    @property
    def schema(self) -> pa.Schema:
        """The same as Arrow has them."""
        import pyarrow as pa

        types = {
            NUMBER: pa.float64(),
            WHOLE: pa.int64(),
            TEXT: pa.string(),
            DAY: pa.date32(),
            INSTANT: pa.timestamp("us"),
            FLAG: pa.bool_(),
        }
        fields = [pa.field(name, types[kind]) for name, kind in self.columns.items()]
        if self._kind == DATA:
            fields.append(pa.field(USER_MISSING, pa.list_(pa.string())))
        return pa.schema(fields)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows."""
        import pyarrow as pa

        if self._kind != DATA:
            rows = [*(self.labels() if self._kind == LABELS else self.variables())]
            yield pa.RecordBatch.from_pylist(rows, self.schema)
            return
        count = 0
        while True:
            values, _ = self._call(row_offset=count, row_limit=BATCH_ROWS)
            size = len(next(iter(values.values()), []))
            missing: list[list[str] | None] = [None] * size
            if self._transport:
                self._transport.load(count, size)
            columns = [
                pa.array(self._column(name, items, missing, count), self.schema.field(name).type)
                for name, items in values.items()
            ]
            columns.append(pa.array(missing, self.schema.field(USER_MISSING).type))
            yield pa.record_batch(columns, self.schema)
            count += size
            if size < BATCH_ROWS:
                break
        self._require_rows(count)

    def _require_rows(self, count: int) -> None:
        stated = self._transport.stated_rows if self._transport else self.facts.number_rows
        if stated not in (None, -1, count):
            raise CannotRead(
                f"its header states {stated:,} rows, and it has {count:,}",
                code="delivery_truncated",
            )

    def _column(
        self, name: str, values: list[Any], missing: list[list[str] | None], first: int
    ) -> Iterator[Any]:
        """Yield the values of a variable, and add user-missing ones to those of their rows."""
        kind = self.types[name]
        for row, value in enumerate(values):
            is_blank = value is None or (isinstance(value, float) and math.isnan(value))
            if (code := self._missing(row, None if is_blank else value, name)) is not None:
                missing[row] = [*(missing[row] or ()), f"{name}={code}"]
                yield None
            elif is_blank:
                yield None
            elif kind in (DAY, INSTANT):
                yield self._date(value, kind, name, first + row + 1)
            else:
                yield value

    def _missing(self, row: int, value: Any, name: str) -> str | None:
        """Return the code or letter of a user-missing value."""
        if value is None:
            return self._transport.letter(row, name) if self._transport else None
        return _text(value) if self._is_missing(name, value) else None

    def _is_missing(self, name: str, value: Any) -> bool:
        if self.types.get(name) != TEXT and isinstance(value, str):
            return True
        return any(_is_in(value, each) for each in self.facts.missing_ranges.get(name) or ())

    def _date(self, value: float, kind: str, name: str, row: int) -> date | datetime:
        """Return a day or time, to the microsecond nearest to the number that is stored."""
        unit = self._dates.day_unit if kind == DAY else self._dates.instant_unit
        try:
            at = self._dates.start + timedelta(microseconds=round(Fraction(value) * unit))
        except (OverflowError, ValueError) as error:
            raise CannotRead(
                f"row {row:,}: {shown(name)} is no date: {marked(_text(value))}", line=row
            ) from error
        if kind == INSTANT:
            return at
        if at.time() != datetime.min.time():
            raise CannotRead(
                f"row {row:,}: {shown(name)} is a date, and has a time: {marked(at.isoformat())}",
                line=row,
            )
        return at.date()

    def labels(self) -> Iterator[dict[str, Any]]:
        """Yield the labels of values."""
        for name, labels in self.facts.variable_value_labels.items():
            for value, label in labels.items():
                yield {
                    "variable": name,
                    "value": _text(value),
                    "label": label,
                    "missing": self._is_missing(name, value),
                }

    def variables(self) -> Iterator[dict[str, Any]]:
        """Yield the variables."""
        facts = self.facts
        labels = facts.column_names_to_labels
        for position, name in enumerate(facts.column_names, 1):
            yield {
                "position": position,
                "variable": name,
                "label": labels.get(name),
                "kind": facts.readstat_variable_types[name],
                "format": facts.original_variable_types.get(name),
                "measure": facts.variable_measure.get(name),
            }


def _is_in(value: Any, bounds: Mapping[str, Any]) -> bool:
    low, high = bounds["lo"], bounds["hi"]
    if isinstance(value, str) != isinstance(low, str):
        return False
    return bool(low <= value <= high)


def _text(value: Any) -> str:
    """Return a value as a person writes it: 99, not 99.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
