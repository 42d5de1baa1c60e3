"""`headrace logs ASSET[@K]|ATTEMPT`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import states
from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.running import error, span
from headrace.operations.logs import AttemptLog, follow, logs
from headrace.operations.responses import LogRow


def command(
    invocation: Invocation,
    target: Annotated[str, Argument("ASSET[@K]|ATTEMPT", help="an asset (its newest attempt), a partition, or an attempt's id")],
    following: Annotated[bool, Option("--follow", "-f", help="wait for more until the attempt has ended")] = False,
    grep: Annotated[str | None, Option("--grep", metavar="RE", help="only lines in which this is found")] = None,
) -> int:
    """The lines that an attempt wrote, and why it failed where it did."""
    if following and invocation.options.json:
        invocation.json(list(follow(invocation.session, target, grep=grep)))
        return 0
    if following:
        page = CommandOutput(invocation.screen, invocation.reader)
        for row in follow(invocation.session, target, grep=grep):
            _line(row, page)
            invocation.screen.stream.flush()
        return 0
    log = logs(invocation.session, target, grep=grep)
    if invocation.options.json:
        invocation.json(log.rows if log else [])
        return 0
    _render(log, CommandOutput(invocation.screen, invocation.reader, invocation.suffix), target)
    return 0


def _render(log: AttemptLog | None, page: CommandOutput, target: str) -> None:
    if log is None:
        page.say(f"{target} was never attempted")
        page.clock_note()
        page.next("headrace status")
        return
    attempt = log.attempt
    name = f"{attempt.node}@{span(list(attempt.partitions))}"
    page.head(name, f"attempt {attempt.id}", states.mark(attempt.state))
    for row in log.rows:
        _line(row, page)
    if not log.rows:
        page.say("no lines were written" if not log.error else "no lines were written before it failed", "dim")
    if log.error is not None:
        error(log.error, page, name)
    elif attempt.reason:
        page.say(attempt.reason, indent=2)
    page.next(f"headrace quarantine {attempt.node}" if attempt.state in ("held", "rejected") else f"headrace runs {attempt.run_id}")


_STYLES = {"error": "bad", "critical": "bad", "warning": "warn", "debug": "dim"}


def _line(row: LogRow, page: CommandOutput) -> None:
    """Time, stream where it isn't standard output, text: never cut, people copy from it."""
    stream = "" if row.stream == "stdout" else f"{row.stream} "
    page.log(f"{page.reader.second(row.at)} {stream}", row.text, _STYLES.get(row.level, ""))
