"""Shell completion of commands, options and node names.

The shell's function calls `headrace` with `_HEADRACE_COMPLETE=SHELL`. Standard input has the words
typed so far, one per line, the unfinished one last; standard output gets one candidate per line.
Node names come from a cached file: completion never parses the project.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from headrace.cli.command_table import BY_NAME, COMMANDS, FLAGS, VALUES

NAMES_FILE = ".headrace/cache/names"
"""Relative to the project: one node's name to a line, written whenever the project was read."""
PREFIXES = ("tag:", "owner:", "domain:", "source:", "path:", "consumer:", "state:changed")
NODE_COMMANDS = (
    "ls",
    "run",
    "status",
    "try",
    "render",
    "logs",
    "quarantine",
    "lineage",
    "read",
    "test",
    "diff",
    "retry",
    "pause",
    "resume",
    "unpublish",
    "why",
    "checks",
    "incidents",
    "waive",
    "backfill",
    "deliveries",
    "receive",
    "contract",
)
SELECTION_COMMANDS = ("ls", "run", "status", "test", "pause", "resume", "checks", "backfill")

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
    """Answers the shell: a script for `…_COMPLETE=source_SHELL`, else candidates for the words on
    standard input.
    """
    asked = environment["_HEADRACE_COMPLETE"]
    if asked.startswith("source_"):
        sys.stdout.write(SCRIPTS.get(asked.removeprefix("source_"), ""))
        return 0
    words = sys.stdin.read().removesuffix("\n").split("\n")
    sys.stdout.write("".join(f"{candidate}\n" for candidate in candidates(words)))
    return 0


def candidates(words: list[str]) -> list[str]:
    """What the last word can become, given those before it."""
    *before, word = words or [""]
    project, command, last = _project_and_command(before)
    if last in ("--project", "--out", "--from"):
        return []
    if command is None:
        results = (
            [command.name for command in COMMANDS]
            if not word.startswith("-")
            else [*VALUES, *FLAGS, "--help", "--version"]
        )
        return sorted(item for item in results if item.startswith(word))
    if word.startswith("-"):
        return sorted(
            item
            for item in [*_options(command), *VALUES, *FLAGS, "--help"]
            if item.startswith(word) and item != "-v"
        )
    if command == "schema":
        return [name for name in _schemas() if name.startswith(word)]
    if command == "explain":
        return [code for code in _codes() if code.startswith(word)]
    actions, others = _actions(command) if last == command else ([], True)
    results = [action for action in actions if action.startswith(word)]
    if command in NODE_COMMANDS and others:
        results += _nodes(project, word, select=command in SELECTION_COMMANDS)
    return results


def _project_and_command(before: list[str]) -> tuple[str | None, str | None, str]:
    """The project and the command among the words before, and the word just before."""
    project = command = None
    skip = ""
    for word in before:
        if skip == "--project":
            project = word
        elif not skip and command is None and word in BY_NAME:
            command = word
        elif word.startswith("--project="):
            project = word.partition("=")[2]
        skip = word if not skip and word in VALUES else ""
    return project, command, before[-1] if before else ""


def _options(command: str) -> list[str]:
    from headrace.cli.invocation import options_of

    return options_of(BY_NAME[command].load())


def _actions(command: str) -> tuple[list[str], bool]:
    from headrace.cli.invocation import actions_of

    return actions_of(BY_NAME[command].load())


def _codes() -> list[str]:
    from headrace.services.explain import codes

    return codes()


def _schemas() -> list[str]:
    from headrace.model.file_descriptions import SECTIONS

    return [section.name for section in SECTIONS]


def _nodes(project: str | None, word: str, *, select: bool) -> list[str]:
    """Names that fit, with what stands before them in a selection (`+`, `2+`, `a,`)."""
    stem = word.rpartition(",")[2].lstrip("0123456789").lstrip("+") if select else word
    lead = word[: len(word) - len(stem)]
    results = [name for name in _names(project) if name.startswith(stem)]
    if select and not lead:
        results += [prefix for prefix in PREFIXES if prefix.startswith(stem) and stem]
    return [lead + name for name in results]


def _names(project: str | None) -> list[str]:
    start = Path(project) if project else Path.cwd()
    for folder in (start, *start.absolute().parents):
        if (folder / "headrace.toml").exists():
            try:
                return (folder / NAMES_FILE).read_text(encoding="utf-8").splitlines()
            except OSError:
                return []
    return []


def install(shell: str) -> tuple[str, str]:
    """Writes the shell's completion where it looks for it. Gives what was done, and a hint where it
    couldn't be.
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
