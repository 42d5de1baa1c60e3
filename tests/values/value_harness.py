"""Deliver random tables as a worker ingests them, read them back in every way, and compare."""

from __future__ import annotations

import random
import re
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec
from postgres_cluster import Database
from value_exports import FORMATS, TABLE, plain, read_export, read_postgresql, read_sqlite
from value_tables import Difference, Table, same, table_of
from value_writers import Values, Writer, as_text

from headrace.connect import DetectedDelivery, SourceSchema
from headrace.connect.connectors import Access, connector_of
from headrace.connect.deliveries import printable
from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN, FileRef, LakeTable
from headrace.lake.catalog.columns import ids_of
from headrace.lake.reading import read
from headrace.lake.schema import TargetTable
from headrace.lake.sqltext import relation_sql
from headrace.lake.staging import stage
from headrace.model import PartitionSpec, Place, Source
from headrace.model.nodes import Grain
from headrace.runtime.messages import FailedOutcome, IngestTask, StagedOutcome, TaskOutcome
from headrace.runtime.steps.perform import perform
from headrace.security.secrets import Secrets

sys.path.append(str(Path(__file__).parents[1] / "connect"))

from exportlab import Bench

DAYS = ("2025-01-01", "2025-01-02")
PRIVATE = re.compile(
    r"AssertionError|Traceback|pyarrow|<class|NoneType|\b(int|float|uint)(8|16|32|64)\b|datetime\."
    r"|timedelta|timestamp\[|decimal128|Decimal\(|\w+Error\b|Invalid Input|Conversion Error",
)


class Refused(Exception):
    """A delivery that wasn't published, with the message."""


class Lake:
    """One source: its schema, its table, and its published files."""

    def __init__(self, bench: Bench, source: Source, connection: dict[str, Any]) -> None:
        self.bench, self.source, self.connection = bench, source, connection
        self.pinned: SourceSchema | None = None
        self.table: LakeTable | None = None
        self.files: list[FileRef] = []

    def ingest(self, data: bytes, number: int, ending: str) -> None:
        """Ingest a delivery as a worker does. Raises Refused."""
        found = self._observed() if self.connection else self._file(data, number, ending)
        task = IngestTask(
            attempt=f"1.{number + 1}",
            source=self.source,
            found=found,
            pinned=self.pinned,
            promised=None,
            table=self.table,
            evolve=False,
            connection=self.connection,
            used={"*": ("a reader of all columns",)},
            history_has_rows=bool(self.files),
            keys=(found.partition,),
            now_us=1_735_900_000_000_000,
        )
        outcome = perform(task, self.bench.context)
        assert isinstance(outcome, TaskOutcome)
        if isinstance(outcome, FailedOutcome):
            raise Refused(f"failed: {outcome.error.message} {outcome.error.hint or ''}")
        if not isinstance(outcome, StagedOutcome):
            facts = "; ".join(f"{fact.kind}: {fact.observed}" for fact in outcome.facts)
            raise Refused(f"{outcome.state}: {outcome.reason} {facts}")
        assert outcome.staged is not None, outcome.reason
        self.pinned = outcome.learnt or self.pinned
        if outcome.table is not None:  # the catalog counts the columns' ids
            ids = [number for item in outcome.table.columns for number in ids_of(item)]
            self.table = msgspec.structs.replace(outcome.table, next_id=max(ids) + 1)
        self.files.append(FileRef(outcome.staged.path))

    def _file(self, data: bytes, number: int, ending: str) -> DetectedDelivery:
        path = f"landing/t_{DAYS[number]}{ending}"
        (self.bench.root / path).write_bytes(data)
        facts = (self.bench.root / path).stat()
        return DetectedDelivery("t", DAYS[number], path, facts.st_size, facts.st_mtime_ns // 1000)

    def _observed(self) -> DetectedDelivery:
        access = Access(
            source=self.source,
            connection=self.connection,
            secrets=Secrets(self.bench.root),
            project=self.bench.root,
            temporary=self.bench.folders.temporary,
            now_us=time.time_ns() // 1000,
        )
        (found,) = connector_of(self.source).observe(access, ["*"], {}).found
        return found

    def as_input(self) -> InputData:
        """All of it, for an export."""
        assert self.table is not None
        columns = tuple(item for item in self.table.columns if item.name != PARTITION_COLUMN)
        return InputData(name="t", files=tuple(self.files), columns=columns, rows=1)

    def rows(self, files: list[FileRef], table: LakeTable) -> tuple[dict[str, str], Values]:
        """The types, and the values as `read` gives them."""
        result = read(self.bench.folders.lake, files, table)
        types = {column.name: column.type for column in result.columns}
        return types, {name: [row[name] for row in result.rows] for name in types}

    def as_asset(self) -> tuple[dict[str, str], Values]:
        """The same of an asset that selects all of it."""
        assert self.table is not None
        session = self.bench.context.session("UTC")
        columns = self.table.columns
        staged, table = stage(
            session,
            f"select * from ({relation_sql(self.files, columns)}) as source",
            target=TargetTable("asset"),
            partition="*",
        )
        return self.rows([FileRef(staged.path)], table)


def compare(delivered: Values, types: dict[str, str], stored: Values, where: str) -> None:
    """Raise Difference for the first value that isn't the delivered one. Rows have no order."""
    missing = set(delivered) - set(stored)
    if all(value is None for name in missing for value in delivered[name]):
        delivered = {name: values for name, values in delivered.items() if name not in missing}
        missing = set()
    if missing:
        raise Difference(f"{where}: no column {sorted(missing)} among {list(stored)}")
    numbers = sorted((int(number), place) for place, number in enumerate(stored["row"]))
    if [number for number, _ in numbers] != [int(number) for number in delivered["row"]]:
        raise Difference(f"{where}: rows {numbers} of {delivered['row']}")
    for name, values in delivered.items():
        for was, (row, place) in zip(values, numbers, strict=True):
            now = stored[name][place]
            if not same(was, now, types[name]):
                raise Difference(f"{where}: {name}, row {row}: {was!r} is {now!r} as {types[name]}")


def _multiset(rows: tuple[dict[str, str], Values]) -> tuple[dict[str, str], list[str]]:
    return rows[0], sorted(map(repr, zip(*rows[1].values(), strict=True)))


class Harness:
    """Runs tables through one worker's context."""

    def __init__(self, root: Path, server: Database | None = None) -> None:
        self.root, self.server = root, server
        self.bench = Bench(root)
        (root / "landing").mkdir()
        self.refused: dict[str, int] = {}
        self.exports = (*FORMATS, "sqlite", *(("postgresql",) if server else ()))

    def close(self) -> None:
        self.bench.close()

    def run(self, writer: Writer, table: Table) -> None:
        """Deliver twice, and read what was published in every way; raise Difference."""
        try:
            self._run(writer, table)
        except Difference:
            raise
        except Exception as error:
            raise Difference("".join(traceback.format_exception(error)[-12:])) from error
        finally:
            for folder in (
                "landing",
                "out",
                ".headrace/lake",
                ".headrace/raw",
                ".headrace/quarantine",
            ):
                for path in (self.root / folder).rglob("*"):
                    if path.is_file():
                        path.unlink()

    def _run(self, writer: Writer, table: Table) -> None:
        delivered: list[Values] = []
        data, values = writer.written(table, 0)
        lake = Lake(self.bench, self.source(writer, values), writer.connection)
        for number in (0, 1):
            if number:
                data, values = writer.written(table, number)
            try:
                lake.ingest(data, number, writer.ending)
            except Refused as error:
                self.check_refusal(str(error), values, writer, table, number)
                break
            delivered.append(values)
        if not delivered:
            return
        assert lake.table is not None
        both = {name: [v for each in delivered for v in each[name]] for name in delivered[0]}
        read_back = lake.rows(lake.files, lake.table)
        compare(both, *read_back, "read")
        export = random.Random(table.seed).choice((None, None, None, None, *self.exports))
        if export is not None:
            self._compare_export(lake, export, read_back)
        else:
            copied = lake.as_asset()
            if _multiset(copied) != _multiset(read_back):
                raise Difference(f"asset: {copied!r}")

    def _compare_export(
        self, lake: Lake, ending: str, read_back: tuple[dict[str, str], Values]
    ) -> None:
        types, stored = read_back
        target: Any = f"out/rows.{ending}"
        if ending not in FORMATS:
            self.bench.connection = self._database(ending)
            target = {"connection": "warehouse", "table": TABLE}
        task = self.bench.task({"to": target}, lake.as_input(), interval="*")
        outcome = self.bench.perform(task)
        if isinstance(outcome, FailedOutcome):
            if ending == "postgresql" and _NOT_THERE.search(outcome.error.message):
                return
            raise Difference(f"export to {ending}: {outcome.error.message}")
        values = self._exported(ending)
        for name, kind in types.items():
            was = [plain(value, kind, ending, as_read=True) for value in stored[name]]
            now = [plain(value, kind, ending) for value in values.get(name, [])]
            if sorted(map(repr, was)) != sorted(map(repr, now)):
                raise Difference(f"export to {ending}: {name} {kind}: {was!r} is {now!r}")

    def _database(self, kind: str) -> dict[str, Any]:
        """An empty database to export to."""
        if self.server is None or kind == "sqlite":
            return {"type": "sqlite", "path": "out/rows.sqlite"}
        self.server.execute(f"drop table if exists {TABLE}")
        return {"type": "postgresql", "url": self.server.url}

    def _exported(self, ending: str) -> Values:
        if ending == "postgresql":
            assert self.server is not None
            return read_postgresql(self.server.url)
        path = self.root / f"out/rows.{ending}"
        return read_sqlite(path) if ending == "sqlite" else read_export(path.read_bytes(), ending)

    def source(self, writer: Writer, values: Values) -> Source:
        files = None if writer.connection else f"landing/t_{{date:%Y-%m-%d}}{writer.ending}"
        return Source(
            name="t",
            owner="core",
            timezone="UTC",
            place=Place(file="sources/t.yaml"),
            files=files,
            partition=PartitionSpec(grain=None if writer.connection else Grain.DAY),
            connector=writer.options(values),
            on_anomaly="ignore",
        )

    def check_refusal(
        self, text: str, values: Values, writer: Writer, table: Table, number: int
    ) -> None:
        """A refusal has a reason, names a column or a line, and quotes what is really there."""
        text = re.sub("[\ufdd0\ufdd1]", "", text)  # the marks of values
        kind = re.sub(r"'[^']*'|\d+", "…", text)[:110]
        key = f"{writer.name} {number + 1}: {kind}"
        self.refused[key] = self.refused.get(key, 0) + 1
        if (private := PRIVATE.search(text)) is not None:
            raise Difference(f"private word {private[0]!r} in: {text}")
        if not any(name in text for name in values) and not _PLACE.search(text):
            raise Difference(f"no place in: {text}")
        for value in re.findall(r"first value that isn't [^:]*: '(.*?)' at ", text):
            texts = {printable(as_text(item) or "") for each in values.values() for item in each}
            if not any(item.startswith(value[:20].rstrip("…")) for item in texts):
                raise Difference(f"{value!r} isn't there: {text}")
        if not number or not table.may_drift():
            raise Difference(f"refused without a reason: {text}")


_NOT_THERE = re.compile(r"0x00|\\u0000|key twice|nanoseconds|name that PostgreSQL would cut")
"""What PostgreSQL can't hold: the export says so."""
_PLACE = re.compile(r"\b(line|row|cell|record|column)\b|the file")


def shrunk(harness: Harness, writer: Writer, table: Table, what: str) -> tuple[Table, str]:
    """The smallest table found that still fails, and how."""
    smaller = True
    while smaller:
        smaller = False
        for other in table.smaller():
            try:
                harness.run(writer, other)
            except Difference as difference:
                table, what, smaller = other, str(difference), True
                break
    return table, what


def described(writer: Writer, table: Table, what: str) -> str:
    """A failing table, to be read and repeated."""
    lines = [f"make values SEED={table.seed} TABLES=1 ONLY='{writer.name}': {what.strip()[-1500:]}"]
    for number in (0, 1):
        try:
            data, values = writer.written(table, number)
        except Exception:  # noqa: BLE001 - the writer itself is wrong
            break
        lines += [f"  delivery {number + 1}: {values!r}"[:600], f"    {data[:300]!r}"]
    return "\n".join(lines)


def drawn(seed: int, writers: list[Writer]) -> tuple[Writer, Table]:
    """The table of a seed, and what writes it."""
    chosen = writers[seed % len(writers)]
    return chosen, table_of(seed, chosen.kinds)
