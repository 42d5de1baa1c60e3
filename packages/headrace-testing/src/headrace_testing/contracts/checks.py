"""The contract suite for check kinds."""

from __future__ import annotations

import json
import tempfile
from abc import ABC
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jsonschema

from headrace.checks.audits_of_queries import About, ask
from headrace.checks.results import CheckResult, CheckState
from headrace.extension import CheckKind, Report, literal, load_yaml
from headrace.lake.session import DuckDBSession
from headrace.model import CheckSpec, Problem
from headrace.model.checks import read_checks
from headrace.model.fields import Fields
from headrace.model.plugins import CHECKS
from headrace.model.schemas import checks_schema
from headrace_testing.contracts.plugins import HOSTILE_NAMES, check_plugin

Row = Mapping[str, Any]


def evaluate_check(check: str, rows: Sequence[Row], *, now_us: int = 0) -> CheckResult:
    """Return the result of a check, written as in a declaration, on the rows of one partition.

    Ages are measured from `now_us`, in microseconds since 1970 UTC. Raises ValueError with the
    problems of an invalid check.
    """
    return _evaluated(_parsed(check), rows, now_us)


def _evaluated(check: Any, rows: Sequence[Row], now_us: int = 0) -> CheckResult:
    specs, problems = _declared(check)
    if problems:
        raise ValueError("; ".join(problem.message for problem in problems))
    return _result(specs[0], rows, now_us)


def _parsed(check: str) -> Any:
    """Return the mapping that one item of `checks:` is."""
    return load_yaml("{" + check + "}", Report("checks.yaml"))


def _declared(check: Any) -> tuple[tuple[CheckSpec, ...], list[Problem]]:
    report = Report("checks.yaml")
    block = load_yaml(json.dumps({"checks": [check]}), report)
    return read_checks(Fields(block, report, ("checks",), what="the test")), report.problems


def _result(spec: CheckSpec, rows: Sequence[Row], now_us: int) -> CheckResult:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        file = Path(folder).resolve() / "rows.parquet"
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), file)
        with DuckDBSession(file.parent) as session:
            select = f"SELECT * FROM read_parquet({literal(str(file))}, hive_partitioning = false)"
            described = session.connection.execute(f"DESCRIBE {select}").fetchall()
            columns = {str(name): str(kind) for name, kind, *_ in described}
            about = About(columns, "*", now_us, now_us, "UTC")
            (result,) = ask(session, about, [spec], select, len(rows))
            return result


class CheckContract(ABC):
    """Abstract: a subclass has the kind, a check of it, and rows."""

    kind: ClassVar[type[CheckKind]]
    check: ClassVar[str]
    """A check as YAML, with its arguments in the long form: `check_digit: {column: ean}`."""
    good: ClassVar[Sequence[Row]]
    """Rows that pass together."""
    bad: ClassVar[Sequence[Row]]
    """Rows that fail; if the kind is of single rows, each of them."""

    @property
    def _arguments(self) -> Mapping[str, Any]:
        arguments: Mapping[str, Any] = _parsed(self.check)[self.kind.name]
        return arguments

    def test_the_package_has_the_entry_point(self) -> None:
        """Would catch: a class that no declaration finds, or that brings DuckDB to the leader."""
        check_plugin(CHECKS, self.kind, CheckKind)

    def test_the_example_is_valid_and_fits_the_schema(self) -> None:
        """Would catch: documentation or an editor that disagrees with `validate`."""
        for check in map(_parsed, (self.kind.example, self.check)):
            specs, problems = _declared(check)
            assert not problems
            assert specs[0].kind == self.kind.name
            jsonschema.validate([check], checks_schema([self.kind()]))

    def test_unknown_arguments_are_refused(self) -> None:
        """Would catch: a misspelt argument that is ignored."""
        arguments = {**self._arguments, "no_such_argument": 1}
        _, problems = _declared({self.kind.name: arguments})
        assert [problem.code for problem in problems] == ["unknown_field"]

    def test_good_rows_pass_and_bad_rows_fail(self) -> None:
        """Would catch: a check that can't fail, or fails for rows that are right."""
        passed, failed = evaluate_check(self.check, self.good), evaluate_check(self.check, self.bad)
        assert passed.outcome is CheckState.PASSED, passed.detail
        assert failed.outcome is CheckState.FAILED
        assert failed.failing > 0
        assert failed.detail
        if self.kind.of_single_rows and self.kind.name != "unique":
            both = evaluate_check(self.check, [*self.good, *self.bad])
            assert both.failing == len(self.bad)
            assert both.sample, "failing rows have samples"

    def test_where_narrows_the_rows(self) -> None:
        """Would catch: a kind that forgets `where`."""
        if self.kind.of_single_rows:
            result = _evaluated({self.kind.name: self._arguments, "where": "1 = 0"}, self.bad)
            assert result.outcome is not CheckState.FAILED

    def test_hostile_names_of_columns(self) -> None:
        """Would catch: a name that becomes part of a statement."""
        names = {name for row in (*self.good, *self.bad) for name in row}
        used = _texts(self._arguments) & names
        for hostile in HOSTILE_NAMES:
            renamed = {name: f"{name}{hostile}" for name in used}
            check = {self.kind.name: _renamed(self._arguments, renamed)}
            good, bad = _rows_renamed(self.good, renamed), _rows_renamed(self.bad, renamed)
            assert _evaluated(check, good).outcome is CheckState.PASSED, hostile
            assert _evaluated(check, bad).failing > 0, hostile

    def test_a_missing_column_fails_with_its_name(self) -> None:
        """Would catch: an exception that names no column, or a check that passes without data."""
        names = {name for row in (*self.good, *self.bad) for name in row}
        if _texts(self._arguments) & names:
            result = evaluate_check(self.check, [{"another": 1}])
            assert result.outcome is CheckState.FAILED
            assert "no column" in result.detail

    def test_equal_arguments_are_neither_looser_nor_news(self) -> None:
        """Would catch: a plan that calls an unchanged check weakened."""
        (spec,), _ = _declared(_parsed(self.check))
        kind = self.kind()
        assert not kind.looser(spec.arguments, spec.arguments)
        assert kind.implied(spec.arguments, spec.arguments)


def _texts(arguments: Any) -> set[str]:
    if isinstance(arguments, str):
        return {arguments}
    if isinstance(arguments, Mapping):
        return set().union(*map(_texts, arguments.values()))
    return set().union(*map(_texts, arguments)) if isinstance(arguments, list | tuple) else set()


def _renamed(arguments: Any, names: Mapping[str, str]) -> Any:
    if isinstance(arguments, str):
        return names.get(arguments, arguments)
    if isinstance(arguments, Mapping):
        return {name: _renamed(value, names) for name, value in arguments.items()}
    if isinstance(arguments, list | tuple):
        return [_renamed(value, names) for value in arguments]
    return arguments


def _rows_renamed(
    rows: Sequence[Mapping[str, Any]], renamed: Mapping[str, str]
) -> list[dict[str, Any]]:
    return [{renamed.get(name, name): row[name] for name in row} for row in rows]
