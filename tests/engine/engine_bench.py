"""A lake on disk, a locked-down session, and tasks for the engine: real files, real DuckDB, no
leader.
"""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from headrace.engine import AttemptScope, InputData
from headrace.engine.attempts import CodeSandbox, Handed
from headrace.engine.compute import AssetOutput, compute
from headrace.engine.isolation import Capture
from headrace.engine.logs import LogFile, LogLine, OutputPipes, WorkerClock, read
from headrace.lake import FileRef, LakeTable, StagedFile
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import relation_sql
from headrace.lake.staging import stage
from headrace.lake.tables import MergeRule, MergeState
from headrace.model import Body, CommandBody, PythonBody, SqlBody
from headrace.model.assets import read_module
from headrace.model.errors import Report

NOW_US = 1_360_800_000_000_000


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What `runtime.messages.ComputeTask` has for the engine."""

    scope: AttemptScope
    body: Body
    sql: str | None = None
    code: str | None = None
    inputs: tuple[InputData, ...] = ()
    materialize: str = "table"
    partition_column: str | None = None
    table: LakeTable | None = None
    evolve: bool = False
    written: tuple[tuple[str, str | None], ...] = ()
    macros: dict[str, str] = {}
    merge: MergeRule | None = None
    state: MergeState | None = None
    handed: Handed | None = None
    call_inputs: tuple[tuple[InputData, ...], ...] = ()
    sandbox: CodeSandbox = CodeSandbox()
    lock: str | None = None
    function: dict[str, Any] = {}


@dataclass
class Bench:
    """One project's data folder."""

    data: Path
    timezone: str = "America/New_York"
    versions: int = 0
    sessions: list[DuckDBSession] = field(default_factory=list)
    logged: list[LogLine] = field(default_factory=list)

    @property
    def lake(self) -> Path:
        return self.data / "lake"

    @property
    def code(self) -> Path:
        return self.data / "code"

    @property
    def files(self) -> Path:
        return self.data / "files"

    @property
    def temporary(self) -> Path:
        return self.data / "tmp"

    @property
    def project(self) -> Path:
        return self.data / "project"

    @property
    def session(self) -> DuckDBSession:
        if not self.sessions:
            self.temporary.mkdir(parents=True, exist_ok=True)
            self.sessions.append(
                DuckDBSession(self.lake, readable=[self.temporary], timezone=self.timezone)
            )
        return self.sessions[0]

    def close(self) -> None:
        for session in self.sessions:
            session.close()

    def publish(self, name: str, query: str, key: str = "*") -> InputData:
        """Rows of one partition of an input, staged as they would be published."""
        staged, table = stage(self.session, query, target=TargetTable(name), partition=key)
        return InputData(name, (FileRef(staged.path),), table.columns[1:])

    def apply(self, files: dict[str, str]) -> str:
        """A folder of applied files; a new one each time, as a new version has."""
        self.versions += 1
        folder = self.code / f"v{self.versions}"
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text).lstrip("\n"))
        return folder.name

    def scope(
        self, asset: str = "out", keys: tuple[str, ...] = ("*",), **more: Any
    ) -> AttemptScope:
        return AttemptScope(
            **{
                "asset": asset,
                "partitions": keys,
                "grain": None,
                "start": None,
                "end": None,
                "timezone": self.timezone,
                "attempt": "1.1",
                **more,
            }
        )

    def day(self, key: str, until: str = "", **more: Any) -> AttemptScope:
        """The scope of one New York winter day."""
        end = until or f"{key[:8]}{int(key[8:]) + 1:02}"
        return self.scope(
            keys=(key,),
            grain="day",
            start=f"{key}T00:00:00-05:00",
            end=f"{end}T00:00:00-05:00",
            **more,
        )

    def sql(self, text: str, *inputs: InputData, **more: Any) -> Task:
        line = more.pop("line", 1)
        return Task(
            scope=more.pop("scope", self.scope()),
            body=SqlBody(text=text, file="assets/out.sql", line=line),
            sql=text,
            inputs=inputs,
            **more,
        )

    def python(
        self, text: str, *inputs: InputData, siblings: dict[str, str] | None = None, **more: Any
    ) -> Task:
        """A task for the one asset in the text, read as a project's files are read."""
        source = textwrap.dedent(text).lstrip("\n")
        report = Report("assets/out.py")
        ((asset,), _) = read_module(source, report)
        assert isinstance(asset.body, PythonBody)
        code = self.apply({"assets/out.py": source, **(siblings or {})})
        return Task(
            scope=more.pop("scope", self.scope()), body=asset.body, code=code, inputs=inputs, **more
        )

    def command(
        self, argv: list[str], *inputs: InputData, files: dict[str, str] | None = None, **more: Any
    ) -> Task:
        body = CommandBody(command=tuple(argv), file="assets/out.yaml", line=3)
        return Task(
            scope=more.pop("scope", self.scope()),
            body=body,
            code=self.apply(files or {"empty": ""}),
            inputs=inputs,
            **more,
        )

    def run(self, task: Task) -> AssetOutput:
        return compute(task, self.session, self)

    def run_logged(self, task: Task) -> AssetOutput:
        """As in a worker: with what is printed caught; the lines are then in `logged`."""
        channel, path = OutputPipes.open(), self.data / "logs" / "1" / "1.jsonl"
        log = LogFile(path, WorkerClock(NOW_US))
        try:
            with Capture(channel, log):
                return compute(task, self.session, self, log=log)
        finally:
            self.logged = list(read(path))
            for fd in channel.ends:
                os.close(fd)

    def rows(self, staged: StagedFile | None, table: LakeTable | None) -> list[tuple[Any, ...]]:
        assert staged is not None and table is not None
        text = relation_sql([FileRef(staged.path)], table.columns, with_partition=True)
        return self.session.connection.execute(f"SELECT * FROM ({text}) ORDER BY ALL").fetchall()

    def left_behind(self) -> list[str]:
        """Files that an attempt shouldn't leave: staged ones of `out`, scratch, half an output."""
        places = (self.lake / "main" / "out", self.temporary, self.files)
        return sorted(
            str(path.relative_to(self.data))
            for place in places
            if place.exists()
            for path in place.rglob("*")
            if path.is_file()
        )
