"""Problems of a project that DuckDB or the file system must confirm: SQL, macros and programs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple, Self, cast

import msgspec

from headrace.checks.placeholders import with_self
from headrace.compiler import helper_process
from headrace.compiler.cache import Cache, KeptBound
from headrace.compiler.frames import receive, send
from headrace.model import (
    Asset,
    CommandBody,
    Grain,
    HeadraceError,
    Place,
    Problem,
    ProblemLevel,
    Project,
    Source,
)
from headrace.model.errors import shown
from headrace.model.python_code import script_of
from headrace.plan import Compilation, Compiled, CompiledNode
from headrace.plan.compiled import Columns
from headrace.plan.schemas import (
    Bind,
    BindResult,
    BoundsType,
    Prepare,
    SelectStatement,
    StatementTable,
    digest,
    table_columns,
    untyped_columns,
)
from headrace.sql.values import SELF

# DuckDB parses and binds every SQL statement of a project in a worker process. Results are cached
# by content. This process may have the state open, so it never loads DuckDB; `engine.binding` does.

VALIDATE_SECONDS = 1.0
"""Time limit in seconds for binding in `validate`; the next call continues."""
BOUND_AT_ONCE_MAX = 1000
"""Statements that fit into about this time; with more, `validate` leaves all to a background
process."""
STATEMENT_SECONDS_MAX = 30.0
"""Time limit per statement in seconds, after which a worker counts as lost.

Binding takes below a millisecond.
"""
LOST_WORKERS_MAX = 3


class BindingResult(NamedTuple):
    """A compilation with DuckDB's problems; `left` of its `statements` aren't bound yet."""

    compilation: Compilation
    statements: int
    left: int


def bind(
    compilation: Compilation,
    cache_folder: Path,
    *,
    seconds: float | None = None,
    new_max: int | None = None,
    starting: StartingWorker | None = None,
) -> BindingResult:
    """Parse and bind the SQL of assets, checks and their conditions with DuckDB.

    Inputs have the columns that are known. Cached results are reused. `seconds` limits the time for
    binding (None: no limit); the rest is left to the next call. If there are clearly more than
    `new_max` statements without a cached result, none is bound now. `starting` may have a worker.
    """
    compiled = compilation.compiled or compilation.partial
    if compiled is None:
        return BindingResult(compilation, 0, 0)
    cache = Cache(cache_folder)
    bound = cache.load(KeptBound)
    whole = digest((_duckdb_build(), compiled))
    if bound is not None and bound.whole == whole:
        return BindingResult(_with(compilation, bound.problems), bound.statements, 0)
    known = bound.bound if bound is not None else {}
    later = new_max is not None and _queries(compiled) - len(known) > new_max
    with _Binding(compiled, known, seconds, starting or StartingWorker()) as binder:
        if later:
            binder.stop_asking()
        problems = tuple(binder.problems())
    if binder.new or not binder.left:
        whole = b"" if binder.left else whole
        cache.keep(KeptBound(cache.header, whole, binder.statements, problems, binder.bound))
    return BindingResult(_with(compilation, problems), binder.statements, binder.left)


def _queries(compiled: Compiled) -> int:
    return sum(node.sql is not None for node in compiled.nodes.values())


def _with(compilation: Compilation, problems: tuple[Problem, ...]) -> Compilation:
    problems = _not_reported(problems, compilation.problems)
    if not problems:
        return compilation
    return msgspec.structs.replace(
        compilation,
        compiled=None,
        partial=compilation.compiled or compilation.partial,
        problems=[*compilation.problems, *problems],
    )


def _not_reported(problems: Iterable[Problem], known: Iterable[Problem]) -> tuple[Problem, ...]:
    """Drop problems that follow from a known error of the same file.

    An unknown column, for example, would otherwise be reported in DuckDB's words as well.
    """
    errors = [problem.place for problem in known if problem.level is ProblemLevel.ERROR]
    lines = {(place.file, place.line) for place in errors}
    files = {place.file for place in errors}
    return tuple(
        problem
        for problem in problems
        if (problem.place.file, problem.place.line) not in lines
        and (problem.code != "sql_binding" or problem.place.file not in files)
    )


def _duckdb_build() -> int:
    """Return a number that changes with the installed DuckDB.

    Importing it for its version would be slow.
    """
    result = find_spec("_duckdb") or find_spec("duckdb")
    if result is None or result.origin is None:
        return 0
    return Path(result.origin).stat().st_mtime_ns


class _Question(NamedTuple):
    """A statement, its file and line, and the subject of its problems."""

    statement: SelectStatement
    file: str
    line: int
    subject: str


class _WithWorker:
    """Ends its worker process with its block."""

    _worker: _Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()


class _Binding(_WithWorker):
    """One pass over the nodes in dependency order.

    The result columns that DuckDB reports for an asset are the input columns of later ones.
    """

    def __init__(
        self,
        compiled: Compiled,
        bind_results: Mapping[bytes, BindResult],
        seconds: float | None,
        starting: StartingWorker,
    ) -> None:
        self._compiled, self._kept, self._seconds = compiled, bind_results, seconds
        self._starting = starting
        self._macros = digest((_duckdb_build(), sorted(compiled.project.macros.items())))
        self._columns: dict[str, Columns | None] = {}
        self._lost = 0
        self._until: float | None = None
        self.bound: dict[bytes, BindResult] = {}
        self.statements = self.left = self.new = 0

    def stop_asking(self) -> None:
        """Leave every statement without a cached result to a later call."""
        self._until = time.monotonic()

    def problems(self) -> Iterator[Problem]:
        """Yield DuckDB's problems."""
        for name in self._compiled.order:
            node = self._compiled.nodes[name]
            declared = (
                self._compiled.project.sources.get(name) or self._compiled.project.assets[name]
            )
            self._columns[name] = node.columns
            if isinstance(declared, Asset) and node.sql:
                yield from self._problems_of_query(declared, node)
            for question in self._checks(declared, node):
                answer = self._duckdb_answer(question)
                if answer is not None:
                    yield from self._problem(question, answer)

    def _problems_of_query(self, asset: Asset, node: CompiledNode) -> Iterator[Problem]:
        """Yield the problems of an asset's query, and remember the columns that it returns."""
        question = self._body(asset, node)
        answer = self._duckdb_answer(question)
        if answer is None:
            return
        yield from self._problem(question, answer)
        if answer.columns is not None:
            self._columns[asset.name] = table_columns(asset, answer.columns)

    def _body(self, asset: Asset, node: CompiledNode) -> _Question:
        every = {
            name.lower(): value
            for name, value in {
                **self._compiled.project.settings.parameters,
                **asset.parameters,
            }.items()
        }
        parameters = {name: every[name] for name in node.placeholders if name in every}
        if "partition_key" in node.placeholders:
            parameters["partition_key"] = ""
        tables = [
            StatementTable(spec.node, self._columns.get(spec.node))
            for spec in node.inputs
            if spec.node != asset.name
        ]
        if node.uses_self:
            columns = node.columns or untyped_columns(asset, node.column_names)
            tables.append(StatementTable(SELF, columns))
        bounds = (
            BoundsType.NONE
            if asset.partition.grain is None
            else BoundsType.INSTANT
            if asset.partition.grain is Grain.HOUR
            else BoundsType.DATE
        )
        statement = SelectStatement(node.sql or "", tuple(tables), parameters, bounds)
        return _Question(statement, asset.body.file, asset.body.line, "")

    def _checks(self, declared: Source | Asset, node: CompiledNode) -> Iterator[_Question]:
        table = StatementTable(SELF, self._columns[declared.name])
        for check in declared.checks:
            subject = f"the check {shown(check.name)} of {shown(declared.name)}"
            if check.kind == "sql":
                others = [
                    StatementTable(
                        name, self._columns.get(name, self._compiled.nodes[name].columns)
                    )
                    for name in node.check_references
                ]
                query = with_self(str(check.arguments.get("query", "")), f'"{SELF}"')
                yield _Question(
                    SelectStatement(query, (table, *others)),
                    check.place.file,
                    check.place.line,
                    subject,
                )
            elif check.where is not None and table.known:
                condition = SelectStatement(
                    f'SELECT 1 FROM "{SELF}" WHERE (\n{check.where}\n)', (table,)
                )
                yield _Question(
                    condition, check.place.file, check.place.line - 1, f"`where` of {subject}"
                )

    def _duckdb_answer(self, question: _Question) -> BindResult | None:
        """Return DuckDB's answer; None if the time is up."""
        self.statements += 1
        if self._out_of_time() and not self._kept and not self.bound:
            self.left += 1  # of a large project, without a digest of each statement
            return None
        key = digest((self._macros, question.statement))
        known = self._kept.get(key) or self.bound.get(key)
        if known is None:
            if self._out_of_time():
                self.left += 1
                return None
            known = self._answer(question.statement)
            if known is None:
                self.left += 1
                return None
            self.new += 1
        self.bound[key] = known
        return known

    def _out_of_time(self) -> bool:
        return self._until is not None and time.monotonic() >= self._until

    def _answer(self, statement: SelectStatement) -> BindResult | None:
        """Return DuckDB's answer; None after LOST_WORKERS_MAX lost workers.

        A statement that ends its worker counts as bound: the run reports it.
        """
        if self._lost >= LOST_WORKERS_MAX:
            return None
        if self._worker is None:
            self._worker = self._starting.take()
            if self._worker.ask(Prepare(self._compiled.project.macros)) is None:
                self._worker_lost()
                return None
            if self._seconds is not None and self._until is None:
                self._until = time.monotonic() + self._seconds
        answer = self._worker.ask(Bind(statement))
        if answer is None:
            self._worker_lost()
            return BindResult()
        return answer

    def _worker_lost(self) -> None:
        if self._worker is not None:
            self._worker.close()
        self._worker = None
        self._lost += 1

    def _problem(self, question: _Question, answer: BindResult) -> Iterator[Problem]:
        if answer.code:
            message = (
                f"{question.subject}: {answer.message}" if question.subject else answer.message
            )
            place = Place(file=question.file, line=max(1, question.line + answer.line - 1))
            yield Problem(code=answer.code, message=message, hint=answer.hint, place=place)


class _Worker:
    """A process of `engine.binding`: one answer per request."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="headrace-bind-", ignore_cleanup_errors=True)
        self._process = helper_process.start("headrace.engine.binding", self._folder.name)
        self._requests = cast("BinaryIO", self._process.stdin)
        self._answers = cast("BinaryIO", self._process.stdout)

    def ask(self, request: Prepare | Bind) -> BindResult | None:
        """Return the answer; None if the process has ended or doesn't answer in time."""
        try:
            send(self._requests, msgspec.msgpack.encode(request))
        except OSError:
            return None
        # one request at a time, so nothing is left in the reader's buffer between two answers
        with selectors.DefaultSelector() as selector:  # select() takes no descriptor above 1023
            selector.register(self._answers, selectors.EVENT_READ)
            if not selector.select(STATEMENT_SECONDS_MAX):
                return None
        frame = receive(self._answers)
        return None if frame is None else msgspec.msgpack.decode(frame, type=BindResult)

    def close(self) -> None:
        """Kill the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers):
            try:
                stream.close()
            except OSError:  # a request that the process never read
                continue
        self._folder.cleanup()


class StartingWorker(_WithWorker):
    """A worker that is started before it is known that one is needed: DuckDB loads slowly."""

    def start(self) -> None:
        """Start the worker without waiting for it."""
        self._worker = self._worker or _Worker()

    def take(self) -> _Worker:
        """Return the worker, which the caller closes; later calls return other ones."""
        worker, self._worker = self._worker or _Worker(), None
        return worker


# Problems of a project's macros, reported by DuckDB in a separate process and cached by content.

SECONDS_MAX = 30.0
CACHE_FILE = "macros"
HINT = "`headrace explain bad_macro` shows what a macro may be"
_NEAR = re.compile(r'syntax error at or near "([^"]*)"')


class MacroDiagnostic(msgspec.Struct, frozen=True):
    """A problem as `engine.macros` reports it."""

    file: str
    line: int
    message: str


class _Kept(msgspec.Struct, frozen=True):
    digest: str
    faults: tuple[MacroDiagnostic, ...]


def _macro_hint(fault: MacroDiagnostic, text: str) -> str:
    near = _NEAR.search(fault.message)
    named = near and re.search(
        rf"\b(?:macro|function)\s+{re.escape(near[1])}\b", text, re.IGNORECASE
    )
    if not near or not named:
        return HINT
    return f"`{near[1]}` is a word of SQL: call the macro something else"


def with_macros(compilation: Compilation, cache: Path) -> Compilation:
    """Return the compilation with its macros' problems, which prevent every run."""
    if compilation.project is None or not compilation.project.macros:
        return compilation
    faults = _faults(compilation.project.macros, cache)
    if not faults:
        return compilation
    problems = [
        Problem(
            code="bad_macro",
            message=fault.message,
            hint=_macro_hint(fault, compilation.project.macros[fault.file]),
            place=Place(file=fault.file, line=fault.line),
        )
        for fault in faults
    ]
    return msgspec.structs.replace(
        compilation,
        compiled=None,
        partial=compilation.compiled or compilation.partial,
        problems=[*compilation.problems, *problems],
    )


def _faults(macros: Mapping[str, str], cache: Path) -> tuple[MacroDiagnostic, ...]:
    text = json.dumps(sorted(macros.items()))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = cache / CACHE_FILE
    try:
        cached = msgspec.json.decode(path.read_bytes(), type=_Kept)
        if cached.digest == digest:
            return cached.faults
    except (OSError, msgspec.DecodeError):
        pass
    faults = _tested_connection(json.dumps(dict(macros)))
    _keep(path, _Kept(digest, faults))
    return faults


def _tested_connection(macros: str) -> tuple[MacroDiagnostic, ...]:
    done = subprocess.run(
        [sys.executable, "-m", "headrace.engine.macros"],
        input=macros,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    try:
        return msgspec.json.decode(done.stdout, type=tuple[MacroDiagnostic, ...])
    except msgspec.DecodeError:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise HeadraceError(
            f"the macros can't be examined: {last}", hint="headrace doctor"
        ) from None


def _keep(path: Path, cached: _Kept) -> None:
    """Cache the problems; if that fails, the next call asks DuckDB again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(msgspec.json.encode(cached))
        part.replace(path)
    except OSError:
        return


# Programs and scripts of command assets that don't exist: their attempts would fail one by one.


def with_programs(compilation: Compilation, root: Path) -> Compilation:
    """Return the compilation with an error for each missing program and script of a command.

    If attempts run on another machine (Dask), a program that isn't installed here is only a
    warning.
    """
    project = compilation.project
    if project is None:
        return compilation
    problems = [
        problem for asset in project.assets.values() for problem in _missing(asset, project, root)
    ]
    if not problems:
        return compilation
    failed = any(problem.level is ProblemLevel.ERROR for problem in problems)
    return msgspec.structs.replace(
        compilation,
        compiled=None if failed else compilation.compiled,
        partial=compilation.compiled or compilation.partial,
        problems=[*compilation.problems, *problems],
    )


def _missing(asset: Asset, project: Project, root: Path) -> Iterator[Problem]:
    if not isinstance(asset.body, CommandBody) or not asset.body.command:
        return
    place = Place(file=asset.body.file, line=asset.body.line)
    program, script = asset.body.command[0], script_of(asset.body.command)
    message = _wrong_program(program, root)
    if message:
        elsewhere = project.settings.executor == "dask" and "/" not in program
        if " " in program:
            hint = (
                'a command is a list of words: ["dbt", "run"]; a line of a shell is ["sh", "-c",'
                ' "…"]'
            )
        elif "/" in program:
            hint = "correct the path, or make it executable (chmod +x)"
        else:
            hint = "install it where attempts run, or write its path"
        level = ProblemLevel.WARNING if elsewhere else ProblemLevel.ERROR
        yield Problem(
            code="missing_program",
            message=f"{shown(asset.name)}: {message}",
            hint=hint,
            place=place,
            level=level,
        )
    if script is not None and not (root / script).is_file():
        text = f"{shown(asset.name)}: there is no script {shown(script)} in the project"
        hint = "paths of a command are relative to the project's folder, where headrace.toml is"
        yield Problem(code="missing_program", message=text, hint=hint, place=place)


def _wrong_program(program: str, root: Path) -> str:
    """Return why a program can't be started; empty if it can."""
    if "/" not in program:
        path = os.environ.get("PATH", os.defpath)
        return (
            ""
            if shutil.which(program, path=path)
            else f"there is no program {shown(program)} on the PATH"
        )
    result = root / program
    if not result.is_file():
        return f"there is no program {shown(program)}"
    return "" if os.access(result, os.X_OK) else f"the program {shown(program)} isn't executable"
