"""Progress where standard error is a file: what a log of a long run holds."""

from __future__ import annotations

import threading

import pytest

from headrace.cli import progress as progress_module
from headrace.cli.command_table import Options
from headrace.cli.invocation import Invocation
from headrace.cli.progress import LineProgress


def test_a_log_goes_on_while_one_step_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: silence for minutes after the first dozen lines, or while no step ends."""
    monkeypatch.setattr(progress_module, "FIRST_AFTER_S", 0.01)
    monkeypatch.setattr(progress_module, "SILENT_S_MAX", 0.02)
    lines, said = LineProgress(no_color=True), ""
    lines.start("running", 3)
    lines.advance()
    waits = threading.Event()
    while said.count("1 of 3 after") < 20:
        waits.wait(0.05)
        said += capsys.readouterr().err
    lines.finish()
    assert capsys.readouterr().err.splitlines()[-1].startswith("running: 1 of 3 in ")
    waits.wait(0.1)
    assert capsys.readouterr().err == "", "nothing comes after the end of a phase"


def test_no_progress_is_printed_below_the_error_that_ended_a_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a thread that goes on printing after the command, into a closed stream."""
    monkeypatch.setattr(progress_module, "FIRST_AFTER_S", 0.01)
    with Invocation(Options()) as invocation:  # left without `finish`, as by an error
        invocation.progress().start("running", 3)
    capsys.readouterr()
    threading.Event().wait(0.1)
    assert capsys.readouterr().err == ""
