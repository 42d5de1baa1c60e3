"""Shell completion of commands, actions, options and parameter values.

The shell's function calls `headrace` with `_HEADRACE_COMPLETE=SHELL`. Standard input has the words
typed so far, one per line, the unfinished one last; standard output gets one candidate per line.
The values come from a table that is generated from the commands' declarations: a metavar's
lower-case words are candidates themselves, and its upper-case words name a kind of value (ASSET,
CONSUMER). Node names come from a cached file, because completion must not parse the project.
docs/decisions/0011-argparse.md says why no library does this.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.cli.command_table import FLAGS, VALUES, Options, all_commands, find_command
from headrace.installed_commands import added_actions
from headrace.model.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.cli.declared_commands import Command, Parameter


class CompletedParameter(NamedTuple):
    """An option, or, if `options` is empty, the argument at its position."""

    options: tuple[str, ...]
    takes: str | None
    """The metavar: lower-case words are typed literally, upper-case words name a kind of value.

    None for a flag.
    """
    many: bool = False
    """Whether an argument takes all remaining words."""


NAMES_FILE = ".headrace/cache/names"
"""The cached file of node names, relative to the project.

Each line has a node's name, a tab and its kind; services.session.keep_names writes it.
"""
PREFIXES = (
    "tag:",
    "owner:",
    "domain:",
    "source:",
    "path:",
    "consumer:",
    "selector:",
    "state:modified",
)
_BASH = """\
_headrace() {
    local IFS=$'\\n' word="${COMP_WORDS[COMP_CWORD]}"
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=($(printf '%s\\n' "${words[@]}" | _HEADRACE_COMPLETE=bash headrace 2>/dev/null))
    [ "${#COMPREPLY[@]}" -eq 0 ] && COMPREPLY=($(compgen -f -- "$word"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//:}
COMP_WORDBREAKS=${COMP_WORDBREAKS//@}
complete -o filenames -o nosort -F _headrace headrace
"""
_ZSH = """\
#compdef headrace
_headrace() {
    local -a typed matches
    typed=("${(@)words[2,CURRENT]}")
    matches=("${(@f)$(printf '%s\\n' "${typed[@]}" | _HEADRACE_COMPLETE=zsh headrace 2>/dev/null)}")
    if [ -n "${matches[1]}" ]; then compadd -Q -- "${matches[@]}"; else _files; fi
}
compdef _headrace headrace
"""
_FISH = """\
function __headrace
    begin
        commandline -opc | tail -n +2
        commandline -ct
    end | _HEADRACE_COMPLETE=fish headrace 2>/dev/null
end
complete -c headrace -f -a '(__headrace)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def answer(environment: Mapping[str, str]) -> int:
    """Answer the shell and return the exit code.

    For `_HEADRACE_COMPLETE=source_SHELL`, print the shell's script; otherwise print the candidates
    for the words on standard input.
    """
    request = environment["_HEADRACE_COMPLETE"]
    if request.startswith("source_"):
        sys.stdout.write(SCRIPTS.get(request.removeprefix("source_"), ""))
        return 0
    words = sys.stdin.read().removesuffix("\n").split("\n")
    sys.stdout.write("".join(f"{candidate}\n" for candidate in candidates(words)))
    return 0


def candidates(words: list[str]) -> list[str]:
    """Return the candidates for the last word."""
    *before, word = words or [""]
    project, command, typed = _split_words(before)
    last = before[-1] if before else ""
    if last in VALUES:
        return []
    if command is None:
        return _commands(word)
    parameters, typed = _parameters(command, typed)
    options = {name: parameter for parameter in parameters for name in parameter.options}
    if word.startswith("-"):
        return _options(options, word)
    option = options.get(last)
    if option is not None and option.takes is not None:
        return _values(option, project, word)
    return _next_argument(parameters, len(_arguments(typed, options)), project, word)


def _commands(word: str) -> list[str]:
    """Return the candidates for the command: command names, or common options."""
    options = [*VALUES, *FLAGS, "--help", "--version"]
    names = options if word.startswith("-") else [command.name for command in all_commands()]
    return sorted(name for name in names if name.startswith(word))


def _parameters(command: str, typed: list[str]) -> tuple[tuple[CompletedParameter, ...], list[str]]:
    """Return the parameters of a command, or of its action, and the words that are typed for them.

    The module of a command of another package is imported.
    """
    from headrace.cli.completion_table import PARAMETERS  # written with the functions below

    table: Mapping[str, tuple[tuple[Any, ...], ...]] = PARAMETERS
    if command not in table or added_actions(command):
        from headrace.cli.declared_commands import load

        try:
            table = completed(command, load(command))
        except HeadraceError:
            return (), typed
    at = next((at for at, word in enumerate(typed) if f"{command} {word}" in table), None)
    name = command if at is None else f"{command} {typed[at]}"
    words = typed if at is None else [*typed[:at], *typed[at + 1 :]]
    return tuple(CompletedParameter(*row) for row in table[name]), words


def completed(name: str, command: Command) -> dict[str, tuple[CompletedParameter, ...]]:
    """Return what completion offers for a command, and for each of its actions."""
    from headrace.cli.declared_commands import CommandGroup

    offered = _offered(command.parameters)
    if not isinstance(command, CommandGroup):
        return {name: offered}
    first = [item for item in offered if not item.options][:1]
    words = "|".join([*command.actions, *(item.takes or "" for item in first)])
    others = [item for item in offered if item not in first]
    actions = {
        f"{name} {word}": _offered(item.parameters) for word, item in command.actions.items()
    }
    return {name: (CompletedParameter((), words), *others), **actions}


def _offered(parameters: Iterable[Parameter]) -> tuple[CompletedParameter, ...]:
    from headrace.project.parameters import Argument

    return tuple(
        CompletedParameter((), item.declaration.names or item.declaration.metavar, item.many)
        if isinstance(item.declaration, Argument)
        else CompletedParameter(
            tuple(name for name in (item.declaration.name, item.declaration.short) if name),
            None if item.type is bool else item.declaration.metavar,
        )
        for item in parameters
    )


def _options(options: Mapping[str, CompletedParameter], word: str) -> list[str]:
    names = [name for name in options if name.startswith("--")]
    return sorted(
        name
        for name in [*names, *VALUES, *FLAGS, "--help"]
        if name.startswith(word) and name != "-v"
    )


def _next_argument(
    parameters: Collection[CompletedParameter], number: int, project: str | None, word: str
) -> list[str]:
    """Return the candidates for the argument at position `number`, counted from 0."""
    arguments = [parameter for parameter in parameters if not parameter.options]
    if number < len(arguments):
        return _values(arguments[number], project, word)
    if arguments and arguments[-1].many:
        return _values(arguments[-1], project, word, actions=False)
    return []


def _split_words(before: list[str]) -> tuple[str | None, str | None, list[str]]:
    """Return the value of --project, the command, and the words after the command."""
    project = command = None
    typed: list[str] = []
    option = ""
    for word in before:
        if option == "--project":
            project = word
        elif word.startswith("--project="):
            project = word.partition("=")[2]
        if command is not None:
            typed.append(word)
        elif not option and find_command(word) is not None:
            command = word
        option = word if not option and word in VALUES else ""
    return project, command, typed


def _arguments(typed: list[str], options: Mapping[str, CompletedParameter]) -> list[str]:
    """Return the words that are neither options nor values of options."""
    results: list[str] = []
    is_value = False
    for word in typed:
        if not is_value and not word.startswith("-"):
            results.append(word)
        option = options.get(word)
        takes_value = word in VALUES or (option is not None and option.takes is not None)
        is_value = not is_value and takes_value
    return results


def _values(
    parameter: CompletedParameter, project: str | None, word: str, *, actions: bool = True
) -> list[str]:
    """Return the candidates for a parameter: its literal words (with `actions`), then names."""
    takes = parameter.takes or ""
    choices = re.findall(r"\b[a-z][a-z-]+\b", takes) if actions else []
    results = [choice for choice in choices if choice.startswith(word)]
    kinds = re.findall(r"[A-Z]+", takes)
    if "SELECT" in kinds:
        return results + _selections(project, word)
    names = set(_node_names(project, {kind for name in kinds for kind in NODE_KINDS.get(name, ())}))
    for kind in kinds:
        if kind in OTHER_NAMES:
            names.update(OTHER_NAMES[kind](project))
    return results + sorted(name for name in names if name.startswith(word))


def _selections(project: str | None, word: str) -> list[str]:
    """Return the candidates for a selection, with its typed prefix (`+`, `2+`, `a,`)."""
    stem = word.rpartition(",")[2].lstrip("0123456789").lstrip("+")
    lead = word[: len(word) - len(stem)]
    names = _node_names(project, {"source", "asset", "consumer"})
    results = [name for name in names if name.startswith(stem)]
    if not lead and stem:
        results += [prefix for prefix in PREFIXES if prefix.startswith(stem)]
    return [lead + name for name in results]


def _node_names(project: str | None, kinds: Collection[str]) -> list[str]:
    """Return the names of the project's nodes of these kinds, from the cached file."""
    start = Path(project) if project else Path.cwd()
    root = next(
        (item for item in (start, *start.absolute().parents) if (item / "headrace.toml").exists()),
        None,
    )
    if root is None or not kinds:
        return []
    try:
        lines = (root / NAMES_FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rows = [line.partition("\t") for line in lines]
    return [name for name, _, kind in rows if not kind or kind in kinds]


def _incidents(project: str | None) -> list[str]:
    """Return the ids of the open incidents; empty if the project can't be opened."""
    from headrace.cli.invocation import Invocation
    from headrace.services.incidents import incidents

    try:
        with Invocation(Options(project=project)) as invocation:
            return [row.id for row in incidents(invocation.session)]
    except HeadraceError:
        return []


def _codes(_project: str | None) -> list[str]:
    from headrace.services.explain import codes

    return codes()


def _schemas(_project: str | None) -> list[str]:
    from headrace.model.file_descriptions import SECTIONS

    return [section.name for section in SECTIONS]


NODE_KINDS: Mapping[str, tuple[str, ...]] = {
    "ASSET": ("source", "asset"),
    "NODE": ("source", "asset"),
    "SOURCE": ("source",),
    "CONSUMER": ("consumer",),
}
"""Upper-case word of a metavar → the kinds of nodes that it stands for."""
OTHER_NAMES: Mapping[str, Callable[[str | None], list[str]]] = {
    "INC": _incidents,
    "CODE": _codes,
    "SCHEMA": _schemas,
}
"""Upper-case word of a metavar → a function that returns the names for a project."""


def install(shell: str) -> tuple[str, str]:
    """Install the completion of a shell (default: that of SHELL) for the current user.

    Returns a message, and a hint if the shell isn't supported.
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SCRIPTS:
        return (
            f"no completion for the shell `{shell}`" if shell else "SHELL isn't set",
            "headrace --install-completion bash|zsh|fish",
        )
    home = Path.home()
    if shell == "fish":
        return _write_script(home / ".config/fish/completions/headrace.fish", shell), ""
    if shell == "bash":
        return _write_script(home / ".local/share/bash-completion/completions/headrace", shell), ""
    done = _write_script(home / ".zfunc/_headrace", shell)
    _add_line(home / ".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit")
    return done, ""


def _write_script(path: Path, shell: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPTS[shell], encoding="utf-8")
    return f"completion for {shell} is in {path}; it works in the next shell"


def _add_line(path: Path, line: str) -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if line not in text.splitlines():
        path.write_text(
            text + ("" if not text or text.endswith("\n") else "\n") + line + "\n", encoding="utf-8"
        )
