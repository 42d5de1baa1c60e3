"""`conformance`: try a program against the file protocol of command assets.

The protocol is docs/reference/command-protocol.md. Each case is one run of the program, or a
statement about all runs; the table `CASES` has them in order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from headrace.engine.command import DONE, TRY_AGAIN_LATER, CommandEvent, CommandEventKind
from headrace.extension import Argument, Option, Progress, UsageError, counted
from headrace.model import InputFormat
from headrace.project.parameters import ParameterValues
from headrace_testing.responses import ConformanceCase, ConformanceResponse
from headrace_testing.services.conformance_runs import (
    SPECIAL_SELECT,
    GivenInput,
    RunRequest,
    RunResult,
    TestedProgram,
)

TIMEOUT_S = 60.0
ASSET = "conformance"
HOSTILE_FOLDER = "a folder; with 'quotes', \"more\" & ünïcode $HOME"


class CaseFailed(Exception):
    """A case's expectation wasn't met; its text is the case's detail."""


class Trial(NamedTuple):
    """What the cases share: the program, the results so far, and whether rows are expected."""

    program: TestedProgram
    parameters: Mapping[str, Any]
    without_rows: bool
    results: list[RunResult]

    def run(self, context: Mapping[str, Any] | None = None, **unusual: Any) -> RunResult:
        """Run the program with a context; the result takes part in the statements about all."""
        fields = {**DAY, "parameters": dict(self.parameters), **(context or {})}
        result = self.program.run(RunRequest(fields, **unusual))
        self.results.append(result)
        return result

    def rows(self, result: RunResult) -> str:
        """Return what the run wrote. Raises CaseFailed unless it succeeded with readable rows."""
        _succeeded(result)
        if self.without_rows:
            return "it ended with exit code 0"
        if result.rows is None:
            raise CaseFailed(f"it ended with exit code 0, but {result.problem}")
        names = ", ".join(result.files[:3]) + (" …" if len(result.files) > 3 else "")
        return (
            f"{counted(result.rows, 'row')} of {counted(len(result.columns), 'column')} in {names}"
        )


DAY: Mapping[str, Any] = {
    "asset": ASSET,
    "partition": "2024-03-01",
    "partitions": ["2024-03-01"],
    "partition_key": None,
    "interval": {"start": "2024-03-01T00:00:00+00:00", "end": "2024-03-02T00:00:00+00:00"},
    "timezone": "UTC",
    "attempt": "1-1",
}
UNPARTITIONED = {"partition": "*", "partitions": ["*"], "interval": None}
HOUR = {
    "partition": "2013-11-03T01:00-05:00",
    "partitions": ["2013-11-03T01:00-05:00"],
    "interval": {"start": "2013-11-03T01:00:00-05:00", "end": "2013-11-03T02:00:00-05:00"},
    "timezone": "America/New_York",
}
KEY = {
    "partition": "São Paulo / \"N\"; 'x'",
    "partitions": ["São Paulo / \"N\"; 'x'"],
    "partition_key": "São Paulo / \"N\"; 'x'",
    "interval": None,
}
LATER_FIELDS = {"a_field_of_a_later_version": {"list": [1, 2, 3]}}


def conformance(
    command: Annotated[
        Sequence[str], Argument("-- COMMAND...", help="the program with its arguments")
    ],
    *,
    inputs: Annotated[
        Sequence[str],
        Option(
            "--input",
            metavar="NAME=FILE",
            help="an input that the program needs (Parquet, CSV or JSON lines), instead of `rows`",
        ),
    ] = (),
    input_format: Annotated[
        InputFormat, Option("--input-format", help="the asset's `input_format`")
    ] = InputFormat.PARQUET,
    parameters: ParameterValues = None,
    without_rows: Annotated[
        bool, Option("--without-rows", help="for `materialize: none`: no output is expected")
    ] = False,
    timeout_s: Annotated[
        int, Option("--timeout", metavar="SECONDS", least=1, help="the time limit of each run")
    ] = int(TIMEOUT_S),
    progress: Progress,
) -> ConformanceResponse:
    """Run a program against the file protocol of command assets, and say what it gets wrong.

    The program runs about a dozen times in this folder, with small inputs in a temporary one.
    Without --input it gets one input, `rows`. The exit code is 1 if a case fails.
    """
    if not command:
        raise UsageError(
            "which program is to be tried?", hint="headrace conformance -- python3 jobs/score.py"
        )
    given = [_given(word) for word in inputs]
    cases = [case for case in CASES if case.applies(bool(given), without_rows)]
    with tempfile.TemporaryDirectory(prefix="headrace-conformance-") as name:
        program = TestedProgram(
            command,
            Path(name).resolve(),
            inputs=given,
            input_format=input_format,
            timeout_s=float(timeout_s),
        )
        trial = Trial(program, dict(parameters or {}), without_rows, [])
        progress.start("cases", len(cases))
        try:
            rows = []
            for case in cases:
                rows.append(_tried(case, trial))
                progress.advance(1)
        finally:
            program.close()
            progress.finish()
    return ConformanceResponse(ok=all(row.ok for row in rows), command=list(command), cases=rows)


def _given(word: str) -> GivenInput:
    name, equals, path = word.partition("=")
    if not equals or not name or not path:
        raise UsageError(f"--input {word!r} isn't NAME=FILE", hint="--input orders=orders.parquet")
    if not Path(path).is_file():
        raise UsageError(f"--input {name}: there is no file {path}")
    return GivenInput(name, Path(path).resolve())


def _tried(case: Case, trial: Trial) -> ConformanceCase:
    try:
        return ConformanceCase(name=case.name, ok=True, detail=case.run(trial))
    except CaseFailed as failure:
        return ConformanceCase(name=case.name, ok=False, detail=str(failure))


def _printed(result: RunResult) -> str:
    return f" It printed: {result.printed}" if result.printed else ""


def _succeeded(result: RunResult) -> None:
    """Raise CaseFailed unless the run ended with exit code 0."""
    if result.code == DONE:
        return
    if result.code is None:
        raise CaseFailed(f"it didn't end within the time limit (--timeout).{_printed(result)}")
    if result.code == TRY_AGAIN_LATER:
        raise CaseFailed(
            "it ended with exit code 75, which asks to be tried again later: nothing here"
            f" changes by waiting.{_printed(result)}"
        )
    raise CaseFailed(f"expected exit code 0, got {_ending(result.code)}.{_printed(result)}")


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _refused(result: RunResult, why: str) -> str:
    """Return how the run failed. Raises CaseFailed if it succeeded, hung or asked for later."""
    if result.code is None:
        raise CaseFailed(f"{why}, but it didn't end within the time limit (--timeout).")
    if result.code == DONE:
        raise CaseFailed(f"{why}, but it ended with exit code 0: expected any other but 75.")
    if result.code == TRY_AGAIN_LATER:
        raise CaseFailed(
            f"{why}, and it ended with exit code 75, which asks to be tried again later:"
            " waiting doesn't help here."
        )
    return f"it ended with {_ending(result.code)}"


# The cases.


def _day(trial: Trial) -> str:
    return trial.rows(trial.run())


def _unpartitioned(trial: Trial) -> str:
    return trial.rows(trial.run(UNPARTITIONED))


def _hour(trial: Trial) -> str:
    return trial.rows(trial.run(HOUR))


def _key(trial: Trial) -> str:
    return trial.rows(trial.run(KEY))


def _empty_input(trial: Trial) -> str:
    return trial.rows(trial.run(empty=True))


def _special_values(trial: Trial) -> str:
    return trial.rows(trial.run(select=SPECIAL_SELECT))


def _paths(trial: Trial) -> str:
    return trial.rows(trial.run(folder=HOSTILE_FOLDER))


def _later_fields(trial: Trial) -> str:
    return trial.rows(trial.run(LATER_FIELDS))


def _repeated(trial: Trial) -> str:
    """The same context must give the same rows, since a lost attempt is repeated."""
    first, second = trial.run(), trial.run()
    text = trial.rows(second)
    trial.rows(first)
    if first.content != second.content or first.columns != second.columns:
        raise CaseFailed(
            "two runs with the same context wrote different rows: a lost attempt is repeated, and"
            " an identical result is how Headrace knows that nothing changed."
        )
    return text if trial.without_rows else f"{text}, twice the same"


def _damaged_input(trial: Trial) -> str:
    result = trial.run(damaged=True)
    if result.code == DONE and trial.without_rows:
        return "it ended with exit code 0: whether it reads its inputs can't be seen"
    if result.code == DONE and result.content and result.content == trial.results[0].content:
        return "it wrote the same rows as with a sound input: it doesn't read its inputs"
    return _refused(result, "its input can't be read")


def _missing_context(trial: Trial) -> str:
    return _refused(trial.run(without_context=True), "the file of HEADRACE_CONTEXT is missing")


def _unwritable_output(trial: Trial) -> str:
    return _refused(trial.run(without_output=True), "nothing can be written into its output folder")


def _events(trial: Trial) -> str:
    lines = [line for result in trial.results for line in result.events]
    for line in lines:
        try:
            event = msgspec.json.decode(line, type=CommandEvent)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            text = line[:80].decode("utf-8", "replace")
            raise CaseFailed(f"{text!r} in HEADRACE_EVENTS isn't an event: {error}") from None
        if event.event not in set(CommandEventKind):
            raise CaseFailed(
                f"{event.event!r} is no event: expected {', '.join(CommandEventKind)}."
            )
    return counted(len(lines), "event") if lines else "it wrote no events, which is allowed"


def _inputs_unchanged(trial: Trial) -> str:
    changed = sorted({name for result in trial.results for name in result.changed})
    if changed:
        raise CaseFailed(f"it changed {', '.join(changed)}: contexts and inputs are only read.")
    return "contexts and inputs are as they were"


class Case(NamedTuple):
    """One case of the protocol."""

    name: str
    run: Callable[[Trial], str]
    """Returns the detail; raises CaseFailed."""
    own_inputs: bool = True
    """Whether it applies to inputs of the user's."""
    no_rows: bool = True
    """Whether it applies to programs that write no rows."""

    def applies(self, own_inputs: bool, without_rows: bool) -> bool:
        """Whether the case is tried."""
        return (self.own_inputs or not own_inputs) and (self.no_rows or not without_rows)


CASES = (
    Case("day", _day),
    Case("unpartitioned", _unpartitioned),
    Case("hour_with_offset", _hour),
    Case("key", _key),
    Case("empty_input", _empty_input),
    Case("special_values", _special_values, own_inputs=False),
    Case("unusual_paths", _paths),
    Case("fields_of_later_versions", _later_fields),
    Case("repeated", _repeated),
    Case("damaged_input", _damaged_input),
    Case("missing_context", _missing_context),
    Case("unwritable_output", _unwritable_output, no_rows=False),
    Case("events", _events),
    Case("inputs_unchanged", _inputs_unchanged),
)
