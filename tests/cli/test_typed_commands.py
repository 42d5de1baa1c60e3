"""Commands that pages end with run from where they are printed."""

from __future__ import annotations

import io
import shlex

import pytest

from headrace.cli.output import CommandOutput
from headrace.cli.terminal import Screen


@pytest.mark.parametrize("folder", ["", "/srv/p", "/srv/it's here"])
def test_a_command_of_git_has_no_options_of_ours(folder: str) -> None:
    """Would catch: `git commit contracts/flights.odcs.yaml --project /srv/p`, which git refuses."""
    out = io.StringIO()
    page = CommandOutput(
        Screen(out, no_color=True),
        None,
        f" --project {shlex.quote(folder)} --env dev" if folder else "",
    )
    page.next("git commit contracts/x.yaml", "headrace status")
    first, second = (
        shlex.split(item)
        for item in out.getvalue().removeprefix("next: ").strip().split("      then: ")
    )
    assert first == ["git", *(["-C", folder] if folder else []), "commit", "contracts/x.yaml"]
    assert second == [
        "headrace",
        "status",
        *(["--project", folder, "--env", "dev"] if folder else []),
    ]
