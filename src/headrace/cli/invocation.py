"""One invocation of a command: its options, its session and its output."""

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
from headrace.model.errors import HeadraceError, UsageError
from headrace.project.local_actor import local_actor

if TYPE_CHECKING:
    from headrace.cli.progress import Bar, LineProgress
    from headrace.project.session import ProjectSession
    from headrace.security.access import Identity


# The session is opened on first use: commands without a project don't wait for it.

D = TypeVar("D")
TOKEN_FILE_CHARACTERS_MAX = 200


class Invocation:
    """One invocation of a command; the first argument of every command."""

    def __init__(self, options: Options, command: str = "") -> None:
        self.options, self._command = options, command
        self.screen = Screen(no_color=options.no_color)
        self._progress: list[LineProgress | Bar] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for progress in self._progress:
            progress.stop()
        opened = self.__dict__.get("session")
        if opened is not None:
            opened.close()

    @cached_property
    def session(self) -> ProjectSession:
        """The session of the selected project. Raises ProjectError if there is none."""
        # a slow import, which commands without a project don't need
        from headrace.project.session import ProjectSession

        folder = Path(self.options.project) if self.options.project else None
        env = self.options.env or os.environ.get("HEADRACE_ENV") or "prod"
        session = ProjectSession.open(folder, env, self.options.now, local_actor())
        session.names_roles = not self.options.json
        session.typed = self._command
        if self._token:
            session.use(self.identify(session))
        return session

    def identify(self, session: ProjectSession) -> Identity:
        """Return who runs the command: an API token, or the user of the operating system.

        Raise Refused for a token that isn't valid in the session's project.
        """
        if not self._token:
            from headrace.security.access import local_identity

            return local_identity()
        from headrace.services.tokens import identify

        return identify(session, self._token)

    @cached_property
    def _token(self) -> str:
        """Return the API token of --token-file or HEADRACE_TOKEN; empty without one."""
        if self.options.token_file is None:
            return os.environ.get("HEADRACE_TOKEN", "").strip()
        try:
            with Path(self.options.token_file).open(encoding="utf-8") as file:
                return file.read(TOKEN_FILE_CHARACTERS_MAX).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"--token-file {self.options.token_file} can't be read: {error}",
                hint="a file with the token alone",
            ) from error

    @cached_property
    def times(self) -> TimeFormatter:
        """Formats times with the project's clock and time zone."""
        session = self.session
        return TimeFormatter.at(
            session.now(), session.timezone, replay=session.replay, utc=self.options.utc
        )

    def show(
        self, response: D, render: Callable[[D, CommandOutput], None], *, clock: bool = True
    ) -> None:
        """Print a response as JSON with --json, otherwise call `render`.

        With `clock=False` the output has no times; only the clock of a replay is printed first.
        """
        if self.options.json:
            self.json(response)
            return
        page = self.output(clock=clock)
        if not clock and (text := self._replay_clock()):
            page.say(text, "dim")
        render(response, page)

    def output(self, *, clock: bool = True) -> CommandOutput:
        """Return the output of this invocation; with `clock=False` it has no times."""
        return CommandOutput(
            self.screen, self.times if clock else None, self.suffix, self._needed_role
        )

    def _needed_role(self, command: str) -> str:
        """Return the role that a command needs and the session's identity lacks, or an empty text.

        Commands without a project propose what they like.
        """
        if "session" not in self.__dict__:
            return ""
        # a slow import, which commands without a project don't need
        from headrace.access.permissions import needed_role

        return needed_role(self.session, command)

    def _replay_clock(self) -> str:
        """Return the time of a replay's clock; empty for a live or unusable project, or without
        one.
        """
        opened: ProjectSession | None = self.__dict__.get("session")
        try:
            return self.times.clock() if opened is not None and opened.replay else ""
        except HeadraceError:
            return ""

    def json(self, response: Any) -> None:
        """Print a response as JSON on standard output.

        If the response has no `clock`, the time of a replay's clock is printed on standard error.
        """
        # a slow import, which only JSON needs
        from headrace.responses.base import encoded

        sys.stdout.write(encoded(response).decode() + "\n")
        if not hasattr(response, "clock") and (text := self._replay_clock()):
            self.note(text)

    def note(self, text: str) -> None:
        """Print one line on standard error."""
        Screen(sys.stderr, no_color=self.options.no_color).line(clean(text))

    def progress(self) -> LineProgress | Bar:
        """Return the progress display of a long operation."""
        from headrace.cli.progress import progress

        self._progress.append(progress(no_color=self.options.no_color))
        return self._progress[-1]

    @property
    def suffix(self) -> str:
        """The options that a suggested command needs to run in the same project and environment."""
        option_values = {"--project": self.options.project, "--env": self.options.env}
        return "".join(
            f" {option} {shlex.quote(value)}" for option, value in option_values.items() if value
        )
