"""Code that was corrected and isn't applied: what runs is the old code, and each command says so."""

from __future__ import annotations

from contextlib import closing

import pytest
from runlab import DAYS, Lab

from headrace.model import Refused
from headrace.project.session import Silent
from headrace.services.fix import fix
from headrace.services.run import retry, run

NOTE = "not applied yet: total; `headrace apply` first"


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def test_what_runs_the_old_code_says_so(lab: Lab) -> None:
    """`retry` and `run` failed once more without a word, and `fix` asked for a correction."""
    lab.sql("total", "select day, error('bad') as n from orders group by day")
    lab.orders(DAYS[0])
    lab.tick()
    lab.sql("total", "select day, count(*) as n from orders group by day")
    for command in (
        lambda session, notes: retry(session, "total", progress=notes),
        lambda session, notes: run(session, ["total"], progress=notes),
    ):
        with closing(lab.session()) as session:
            response = command(session, notes := Notes())
        assert NOTE in notes.lines and response.unapplied == NOTE
    with closing(lab.session()) as session, pytest.raises(Refused, match="not applied yet: total"):
        fix(session, "INC-1", dry_run=True, confirm=lambda _: True, progress=Silent())
    lab.headrace("apply", "--yes")
    with closing(lab.session()) as session:
        retry(session, "total", progress=(notes := Notes()))
    assert NOTE not in notes.lines
