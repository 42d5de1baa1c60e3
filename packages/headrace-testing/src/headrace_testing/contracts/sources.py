"""The contract suite for sources."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from headrace.connect.connectors import Access, Unavailable
from headrace.connect.deliveries import DetectedDelivery
from headrace.connect.prepared import PreparedDelivery
from headrace.extension import Report, Source, SourceKind, load_yaml
from headrace.model.plugins import SOURCES
from headrace.model.yaml_files import read_sources
from headrace.security.secrets import Secrets
from headrace_testing.contracts.formats import read_delivery
from headrace_testing.contracts.plugins import check_plugin

Row = Mapping[str, Any]
FIRST, SECOND = "2026-03-01", "2026-03-02"
ROWS: tuple[Row, ...] = ({"id": 1, "who": "ann"}, {"id": 2, "who": "bob"})


class SourceContract(ABC):
    """Abstract: a subclass has the source, declares it, and delivers rows to it."""

    kind: ClassVar[type[SourceKind]]

    @abstractmethod
    def declared(self, folder: Path) -> dict[str, Any]:
        """Return the fields of a source that is partitioned by day, besides its name and owner.

        `folder` is the project's.
        """

    @abstractmethod
    def deliver(self, folder: Path, day: str, rows: Sequence[Row]) -> None:
        """Make the rows a day's delivery, in place of an earlier one."""

    @abstractmethod
    def break_it(self, folder: Path) -> None:
        """Make the source unreachable."""

    def expected(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return delivered rows as they are read; other columns of the source don't count."""
        return rows

    def _source(self, folder: Path) -> Source:
        report = Report("sources/s.yaml")
        text = json.dumps({"source": "s", "owner": "core", **self.declared(folder)})
        sources = read_sources(load_yaml(text, report), report)
        assert not report.problems, report.problems
        source = sources[0]
        return msgspec.structs.replace(source, timezone=source.timezone or "UTC")

    def _access(self, folder: Path) -> Access:
        temporary = folder / "temporary"
        temporary.mkdir(exist_ok=True)
        return Access(
            source=self._source(folder),
            connection={},
            secrets=Secrets(folder),
            project=folder,
            temporary=temporary,
            now_us=time.time_ns() // 1000,
        )

    def _detected(
        self, folder: Path, keys: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> dict[str, DetectedDelivery]:
        observation = self.kind().observe(self._access(folder), keys, known)
        return {delivery.partition: delivery for delivery in observation.found}

    def test_the_package_has_the_entry_point(self) -> None:
        """Would catch: a class that no declaration finds, or that brings DuckDB to the leader."""
        check_plugin(SOURCES, self.kind, SourceKind)

    def test_unknown_names_are_refused(self, tmp_path: Path) -> None:
        """Would catch: a misspelt name that is ignored."""
        declared = self.declared(tmp_path)
        declared[self.kind.name] = {**declared[self.kind.name], "no_such_name": 1}
        report = Report("sources/s.yaml")
        text = json.dumps({"source": "s", "owner": "core", **declared})
        read_sources(load_yaml(text, report), report)
        assert [problem.code for problem in report.problems] == ["unknown_field"]

    def test_only_wanted_days_that_are_there_are_found(self, tmp_path: Path) -> None:
        """Would catch: a delivery for a day without data, or for one that nobody asked for."""
        self.deliver(tmp_path, FIRST, ROWS)
        self.deliver(tmp_path, SECOND, ROWS)
        assert set(self._detected(tmp_path, [FIRST, "2026-03-09"], {})) == {FIRST}
        assert self._detected(tmp_path, [], {}) == {}

    def test_a_known_version_is_no_news_and_another_one_is(self, tmp_path: Path) -> None:
        """Would catch: a source that is ingested again at each observation, or never again."""
        self.deliver(tmp_path, FIRST, ROWS)
        first = self._detected(tmp_path, [FIRST], {})[FIRST]
        assert first.version
        known = {FIRST: (first.path, first.version)}
        assert self._detected(tmp_path, [FIRST], known) == {}
        self.deliver(tmp_path, FIRST, ROWS[:1])
        second = self._detected(tmp_path, [FIRST], known)
        assert second[FIRST].version != first.version

    def test_a_delivery_is_a_file_that_headrace_reads(self, tmp_path: Path) -> None:
        """Would catch: lost rows, or a name whose ending no reader knows."""
        self.deliver(tmp_path, FIRST, ROWS)
        delivery = self._detected(tmp_path, [FIRST], {})[FIRST]
        access = self._access(tmp_path)
        fetched = self.kind().fetch(access, delivery)
        assert fetched.path.resolve().is_relative_to(access.temporary.resolve())
        options = dict(access.source.connector)
        result, rows = read_delivery(fetched.path, fetched.name, **options)
        assert isinstance(result, PreparedDelivery), result
        expected = self.expected(ROWS)
        read = [{name: row.get(name) for name in expected[0]} for row in rows]
        assert sorted(read, key=repr) == sorted(expected, key=repr)

    def test_an_unreachable_source_is_unavailable(self, tmp_path: Path) -> None:
        """Would catch: an exception without words, or an observation that says nothing is there."""
        self.deliver(tmp_path, FIRST, ROWS)
        self.break_it(tmp_path)
        deliveries: dict[str, DetectedDelivery] = {}
        message = ""
        try:
            deliveries = self._detected(tmp_path, [FIRST], {})
        except Unavailable as error:
            message = str(error)
        assert message, f"an unreachable source isn't Unavailable, but found {deliveries}"
