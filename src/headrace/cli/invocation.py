"""One typed command: its options, its session and what it prints."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from headrace.cli.command_table import Options
from headrace.cli.output import CommandOutput, TimeFormatter
from headrace.cli.terminal import Screen, clean
from headrace.model.errors import HeadraceError
from headrace.services.local_actor import local_actor

if TYPE_CHECKING:
    from headrace.cli.progress import Bar, LineProgress
    from headrace.services.session import ProjectSession


# The session is opened on first use: a command without a project doesn't pay for it.

D = TypeVar("D")


class Invocation:
    """What a command's `command` is handed first."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.screen = Screen(no_color=options.no_color)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        opened = self.__dict__.get("session")
        if opened is not None:
            opened.close()

    @cached_property
    def session(self) -> ProjectSession:
        """The project that the command is about. ProjectError where there is none."""
        from headrace.services.session import (
            ProjectSession,
        )  # commands without a project don't pay for it

        folder = Path(self.options.project) if self.options.project else None
        env = self.options.env or os.environ.get("HEADRACE_ENV") or "prod"
        return ProjectSession.open(folder, env, self.options.now, local_actor())

    @cached_property
    def reader(self) -> TimeFormatter:
        """Where the project's clock stands."""
        session = self.session
        return TimeFormatter.at(
            session.now(), session.timezone, replay=session.replay, utc=self.options.utc
        )

    def show(
        self, response: D, render: Callable[[D, CommandOutput], None], *, clock: bool = True
    ) -> None:
        """Prints the document as JSON, or hands it to `render` for people. Without `clock` the page
        has no times, and only a replay's clock is said."""
        if self.options.json:
            self.json(response)
            return
        page = CommandOutput(self.screen, self.reader if clock else None, self.suffix)
        if not clock and (text := self._replay_clock()):
            page.say(text, "dim")
        render(response, page)

    def _replay_clock(self) -> str:
        """Where a replay's clock stands; nothing for a live store, none, or one that
        can't be used.
        """
        opened: ProjectSession | None = self.__dict__.get("session")
        try:
            return self.reader.clock() if opened is not None and opened.replay else ""
        except HeadraceError:
            return ""

    def json(self, response: Any) -> None:
        """The document, and nothing else, on standard output; a replay's clock beside it, where it
        doesn't say it.
        """
        from headrace.services.responses.base import encoded  # who prints a page doesn't pay for it

        sys.stdout.write(encoded(response).decode() + "\n")
        if not hasattr(response, "clock") and (text := self._replay_clock()):
            self.note(text)

    def note(self, text: str) -> None:
        """Something beside the document, to standard error."""
        Screen(sys.stderr, no_color=self.options.no_color).line(clean(text))

    def progress(self) -> LineProgress | Bar:
        """Shows how far a long operation is."""
        from headrace.cli.progress import progress

        return progress(no_color=self.options.no_color)

    @property
    def suffix(self) -> str:
        """What a printed command needs so that it runs from this folder as it stands."""
        option_values = {"--project": self.options.project, "--env": self.options.env}
        return "".join(
            f" {option} {shlex.quote(value)}" for option, value in option_values.items() if value
        )
