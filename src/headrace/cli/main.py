"""`headrace`: finds the command, runs it, and turns every outcome into an exit code.

Exit codes: 0 success, 1 work failed or a problem was found, 2 wrong usage, 3 refused by policy, 4
interrupted.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from headrace import __version__
from headrace.cli.command_table import (
    COMPLETE,
    INTERRUPTED,
    LEADING,
    NOT_BUILT,
    OTHER_TOOLS,
    RENAMED,
    Options,
    ValueMissing,
    all_commands,
    find_command,
    help_text,
    split_options,
)
from headrace.installed_commands import IN_PACKAGES, missing_command

COLLECTED_OBJECTS = 200_000
"""New objects after which the garbage collector looks for unreachable ones (Python: 700).

What a command imports and loads stays until it ends, so each look through it is in vain. Imports
alone create 50,000 objects; a server looks more often (`headrace.serving.serving`).
"""


def main() -> None:
    """Run the console script."""
    gc.set_threshold(COLLECTED_OBJECTS)
    code = run(sys.argv[1:])
    gc.freeze()  # the interpreter's end then doesn't look through all modules, several times
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Errors are printed, not raised.
    """
    if COMPLETE in os.environ:
        from headrace.cli.completion import answer

        return answer(os.environ)
    _escape_unprintable()
    try:
        options, rest = split_options(arguments)
    except ValueMissing as missing:
        return _refuse(f"{missing} needs a value", "headrace --help")
    if rest[:1] == ["help"]:
        rest = [*rest[1:], "--help"]
    if not rest or rest[0] in ("--help", "-h"):
        sys.stdout.write(help_text() + "\n")
        return 0
    if rest[0] == "--version":
        sys.stdout.write(f"headrace {__version__}\n")
        return 0
    if rest[0].startswith("--install-completion"):
        return _install_completion(rest)
    return _run_guarded(rest[0], rest[1:], options)


def _run_guarded(name: str, arguments: list[str], options: Options) -> int:
    """Run a command; print every error as a message and return the exit code that it means."""
    try:
        return _command(name, arguments, options)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    # every error becomes one line and an exit code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        # DuckDB 1.5.5 makes a RuntimeError of Ctrl-C, with the interrupt as its cause
        if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
            _write_error("interrupted; what was published stays, the rest is done by the next run")
            return INTERRUPTED
        from headrace.cli.terminal import report_error

        _flush()
        verbose = options.verbose or "-v" in arguments or "--verbose" in arguments
        if options.json or "--json" in arguments:
            _write_refusal(error)
        return report_error(
            error, verbose=verbose, no_color=options.no_color or "--no-color" in arguments
        )


def _write_refusal(error: Exception) -> None:
    """Print a refusal for a missing permission as JSON on standard output."""
    from headrace.model.errors import Refused

    if isinstance(error, Refused):
        from headrace.responses.access import refusal

        if (text := refusal(error)) is not None:
            sys.stdout.write(text + "\n")


def _command(name: str, arguments: list[str], options: Options) -> int:
    if name in RENAMED:
        _write_error(f"note: `headrace {name}` is called `headrace {RENAMED[name]}` now")
        name = RENAMED[name]
    if missing := missing_command([name, *arguments]):
        package = IN_PACKAGES[missing]
        _write_error(f"error: `headrace {missing}` is in another package: pip install {package}")
        return 2
    if find_command(name) is None:
        return _unknown(name)
    signal.signal(signal.SIGTERM, _interrupt)
    if name not in LEADING:
        code = _run_here(name, arguments, options)
    else:
        from headrace.cli.starting_ahead import starting_ahead

        with starting_ahead(name, arguments, options):
            code = _run_here(name, arguments, options)
    sys.stdout.flush()
    return code


def _run_here(name: str, arguments: list[str], options: Options) -> int:
    from headrace.cli.declared_commands import load
    from headrace.cli.parser import run_command

    if name == "init":  # `init --from a b c`, as a shell expands a pattern
        from headrace.cli.commands.start import init_arguments

        arguments = init_arguments(arguments)
    return run_command(name, load(name), arguments, options)


def _unknown(name: str) -> int:
    if name.startswith("-"):
        return _refuse(f"no such option: {name}", "headrace --help")
    if name in NOT_BUILT:
        return _refuse(f"`headrace {name}` is not built yet", NOT_BUILT[name])
    if name in OTHER_TOOLS:
        return _refuse(f"there is no command `{name}`", f"here that is {OTHER_TOOLS[name]}")
    from headrace.model.errors import close_names

    names = [command.name for command in all_commands()]
    close = next(iter([*close_names(name, names, 1), *close_names(name, OTHER_TOOLS, 1)]), None)
    if close is None:
        hint = "headrace --help"
    elif close in names:
        hint = f"did you mean `headrace {close}`?"
    else:
        hint = f"if `{close}` is meant: here that is {OTHER_TOOLS[close]}"
    return _refuse(f"there is no command `{name}`", hint)


def _install_completion(rest: list[str]) -> int:
    from headrace.cli.completion import install

    shell = rest[0].partition("=")[2] or (rest[1] if len(rest) > 1 else "")
    message, hint = install(shell)
    if hint:
        return _refuse(message, hint)
    sys.stdout.write(message + "\n")
    return 0


def _refuse(message: str, hint: str) -> int:
    from headrace.cli.terminal import clean

    _write_error(f"error: {clean(message)}\n  hint: {hint}")
    return 2


def _write_error(text: str) -> None:
    _flush()
    sys.stderr.write(text + "\n")


def _flush() -> None:
    """Flush standard output, so that it appears before the error; ignore a closed pipe."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _escape_unprintable() -> None:
    """Print characters that the terminal's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End a command on SIGTERM as on Ctrl-C."""
    raise KeyboardInterrupt
