"""Staged files to audit: real Parquet, real DuckDB."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from headrace.checks import Audit, CheckResult
from headrace.checks.audit import AuditRequest, TableContents, audit
from headrace.checks.placement import PartitionCheck
from headrace.lake import FileRef, LakeColumn, LakeTable, StagedFile
from headrace.lake.row_routing import bounds_of, key_expression
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import KeyExpression, stage
from headrace.model import CheckSpec, Grain, Place, Severity

NEW_YORK = "America/New_York"
NOW_US = 1_360_800_000_000_000  # 2013-02-14T00:00Z


class Other(msgspec.Struct, frozen=True):
    """Another node's rows, as `engine.InputData` has them."""

    name: str
    files: tuple[FileRef, ...]
    columns: tuple[LakeColumn, ...]
    sql: str = ""
    inputs: tuple[Other, ...] = ()


def check(
    kind: str,
    severity: str = "blocking",
    where: str | None = None,
    name: str = "",
    **arguments: Any,
) -> CheckSpec:
    return CheckSpec(
        kind=kind,
        name=name or kind,
        arguments=arguments,
        severity=Severity(severity),
        where=where,
        place=Place(file="a.sql", line=2),
    )


@dataclass
class Bench:
    """A lake with a session."""

    lake: Path
    timezone: str = NEW_YORK
    sessions: list[DuckDBSession] = field(default_factory=list)

    @property
    def session(self) -> DuckDBSession:
        if not self.sessions:
            self.sessions.append(DuckDBSession(self.lake, timezone=self.timezone))
        return self.sessions[0]

    def close(self) -> None:
        for session in self.sessions:
            session.close()

    def stage(
        self, query: str, key: str = "*", *, hashed: bool = True
    ) -> tuple[StagedFile, LakeTable]:
        return stage(self.session, query, target=TargetTable("t"), partition=key, hashed=hashed)

    def batch(
        self,
        query: str,
        column: str,
        kind: str,
        keys: Sequence[str],
        grain: Grain = Grain.DAY,
        *,
        hashed: bool = True,
    ) -> tuple[StagedFile, LakeTable]:
        every = [bounds_of(key, grain, self.timezone, kind) for key in keys]
        partition = KeyExpression(key_expression(column, every), tuple(keys))
        return stage(
            self.session, query, target=TargetTable("t"), partition=partition, hashed=hashed
        )

    def other(self, name: str, query: str) -> Other:
        staged, table = stage(self.session, query, target=TargetTable(name), partition="*")
        return Other(name, (FileRef(staged.path),), table.columns[1:])

    def audit(
        self,
        staged: tuple[StagedFile, LakeTable],
        *checks: CheckSpec,
        partition_check: PartitionCheck | None = None,
        references: Sequence[Other] = (),
        now_us: int = NOW_US,
        whole: TableContents | None = None,
        described: bool = True,
        **more: Any,
    ) -> Audit:
        request = AuditRequest(
            checks=checks,
            partition_check=partition_check,
            references=references,
            now_us=now_us,
            **{"timezone": self.timezone, **more},
        )
        return audit(self.session, *staged, request, whole=whole, described=described)

    def one(self, query: str, spec: CheckSpec, **more: Any) -> CheckResult:
        """The result of a single check over a query's rows."""
        (result,) = self.audit(self.stage(query), spec, **more).results
        return result

    def cost(self, run: Any, times: int = 20) -> float:
        """The best of some runs, in milliseconds."""
        best = float("inf")
        for _ in range(times):
            started = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - started)
        return best * 1000
