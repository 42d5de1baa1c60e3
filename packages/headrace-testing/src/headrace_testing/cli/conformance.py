"""`headrace conformance`: try a program against the file protocol of command assets."""

from __future__ import annotations

from headrace.extension import ColumnLayout, CommandOutput, Invocation, plural, terminal_command
from headrace.model import InputFormat
from headrace_testing.responses import ConformanceResponse


@terminal_command(
    "headrace_testing.services.conformance:conformance",
    group="change",
    summary="try a program against the protocol of command assets",
)
def conformance_command(
    invocation: Invocation,
    command: list[str],
    inputs: list[str],
    input_format: InputFormat,
    parameters: dict[str, str],
    without_rows: bool,
    timeout_s: int,
) -> int:
    """Run a program against the file protocol of command assets, and say what it gets wrong.

    The program runs about a dozen times in this folder, with small inputs in a temporary one.
    Without --input it gets one input, `rows`. The exit code is 1 if a case fails.
    """
    from headrace_testing.services.conformance import conformance

    response = conformance(
        command,
        inputs=inputs,
        input_format=input_format,
        parameters=parameters,
        without_rows=without_rows,
        timeout_s=timeout_s,
        progress=invocation.progress(),
    )
    invocation.show(response, _render, clock=False)
    return int(not response.ok)


def _render(response: ConformanceResponse, page: CommandOutput) -> None:
    page.table(
        [
            ColumnLayout("case", least=12),
            ColumnLayout("", least=1),
            ColumnLayout("what it did", gives=1, least=24),
        ],
        [[case.name, "✓" if case.ok else "✗", case.detail] for case in response.cases],
    )
    failed = sum(not case.ok for case in response.cases)
    if failed:
        page.say(f"✗ {plural(failed, 'case')} of {len(response.cases)} failed", "bad")
    else:
        page.say(f"✓ all {len(response.cases)} cases passed", "good")
