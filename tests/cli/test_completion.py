"""Shell completion: commands, options, names; fast, and silent where it knows nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.cli import completion
from headrace.cli.completion import candidates


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "headrace.toml").write_text("this is never read for completion [")
    names = tmp_path / completion.NAMES_FILE
    names.parent.mkdir(parents=True)
    names.write_text("flights\nflights_clean\nplanes\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_and_options(project: Path) -> None:
    assert candidates(["ru"]) == ["run", "runs"]
    assert candidates(["--project", "x", "qu"]) == ["quarantine"]
    assert "--partition" in candidates(["run", "--p"])
    assert "--project" in candidates(["run", "--p"])
    assert candidates(["hando"]) == [], "what isn't built isn't offered"


def test_node_names(project: Path) -> None:
    assert candidates(["read", "flights"]) == ["flights", "flights_clean"]
    assert candidates(["run", "+flights_"]) == ["+flights_clean"]
    assert candidates(["run", "planes,fli"]) == ["planes,flights", "planes,flights_clean"]
    assert candidates(["run", "own"]) == ["owner:"]
    assert candidates(["validate", "fl"]) == []
    assert candidates(["diff", "flights_"]) == ["flights_clean"]
    assert candidates(["test", "+flights_"]) == ["+flights_clean"]
    assert candidates(["schema", "con"]) == ["consumers"]


def test_what_a_command_can_be_told_to_do(project: Path) -> None:
    """Would catch: sub-commands that only some commands offer, or nodes offered where only such a
    word can stand.
    """
    assert candidates(["contract", "a"]) == ["accept"]
    assert candidates(["contract", "accept", "fl"]) == ["flights", "flights_clean"]
    assert candidates(["db", "b"]) == ["backup"]
    assert candidates(["quarantine", ""]) == [
        "accept",
        "drop",
        "flights",
        "flights_clean",
        "planes",
    ]
    assert candidates(["backfills", "p"]) == ["pause"]
    assert candidates(["incidents", "f"]) == ["fix"], "no node stands there"
    assert candidates(["incidents", "report", "fl"]) == ["flights", "flights_clean"]
    assert candidates(["notify", ""]) == ["test"]
    assert candidates(["backfill", "+fl"]) == ["+flights", "+flights_clean"]
    assert candidates(["deliveries", "pl"]) == ["planes"]


def test_names_are_those_that_the_parameter_takes(project: Path) -> None:
    """Would catch: an asset offered where a source or a consumer stands, or the names of another
    word than the one that is typed.
    """
    (project / completion.NAMES_FILE).write_text(
        "flights\tsource\nflights_clean\tasset\nfliers\tconsumer\n"
    )
    assert candidates(["deliveries", "fl"]) == ["flights"]
    assert candidates(["waive", "fl"]) == ["fliers"]
    assert candidates(["read", "fl"]) == ["flights", "flights_clean"]
    assert candidates(["why", "fl"]) == ["fliers", "flights", "flights_clean"]
    assert candidates(["exports", "t"]) == ["take-over"]
    assert candidates(["exports", "take-over", "fl"]) == ["fliers"]
    assert candidates(["receive", "flights", "fl"]) == [], "a file: the shell offers it"
    assert candidates(["contract", "--json", "show", "fl"]) == ["flights", "flights_clean"]


def test_values_of_options(project: Path) -> None:
    """Would catch: an option's value completed as an argument, or a value that is refused."""
    assert candidates(["backfill", "--mode", ""]) == ["missing", "failed", "all"]
    assert candidates(["run", "--exclude", "+pl"]) == ["+planes"]
    assert candidates(["run", "--reason", "pl"]) == []
    assert candidates(["render", "--set", ""]) == []
    assert candidates(["plan", "--format", "g"]) == ["github"]
    assert candidates(["run", "--again", "pl"]) == ["planes"], "a flag takes no value"


def test_incidents_that_are_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Would catch: an error printed into the command line where there is no project or no state."""
    monkeypatch.chdir(tmp_path)
    assert candidates(["fix", ""]) == []
    (tmp_path / "headrace.toml").write_text("this is no project [")
    assert candidates(["fix", "INC"]) == []


def test_names_are_found_from_a_folder_below_and_by_project(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    below = project / "assets/clean"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert candidates(["read", "pl"]) == ["planes"]
    monkeypatch.chdir("/")
    assert candidates(["read", "pl"]) == []
    assert candidates(["--project", str(project), "read", "pl"]) == ["planes"]
    assert candidates(["read", "--project", str(project), "pl"]) == ["planes"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_installing_writes_a_script_the_shell_can_read(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for _ in range(2):
        message, hint = completion.install(shell)
        assert not hint
        assert str(tmp_path) in message
    rc = tmp_path / ".zshrc"
    assert not rc.exists() or rc.read_text().count("zfunc") == 1, (
        "installed twice, it is there once"
    )
    program = shutil.which(shell)
    if program:
        subprocess.run(
            [program, "-n", "/dev/stdin"], input=completion.SCRIPTS[shell], text=True, check=True
        )


def test_an_unknown_shell_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert completion.install("")[1]


def test_a_real_bash_completes(project: Path, tmp_path: Path) -> None:
    """Would catch a script whose protocol isn't what `headrace` answers."""
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    script = f"""
    PATH={Path(sys.executable).parent}:$PATH
    complete() {{ :; }}
    {completion.SCRIPTS["bash"]}
    COMP_WORDS=(headrace read flights_); COMP_CWORD=2; _headrace; printf '%s\\n' "${{COMPREPLY[@]}}"
    COMP_WORDS=(headrace q); COMP_CWORD=1; _headrace; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, cwd=project
    )
    assert done.stdout.split() == ["flights_clean", "quarantine"]
