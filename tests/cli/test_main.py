"""The command as people and programs meet it: real processes, exit codes, streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clilab import Project

HEADRACE = str(Path(sys.executable).with_name("headrace"))


def headrace(
    *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        [HEADRACE, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=50,
        input=stdin,
        check=False,
    )


def test_a_command_that_works_never_looks_for_garbage(tmp_path: Path) -> None:
    """Catches imports that fill the collector's first generation: 15 ms before anything runs."""
    for name, text in {
        "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
        "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
        "assets/one.sql": "/* headrace\nowner: core\n*/\nselect 1 as n\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    code = (
        "import gc, sys; from headrace.cli import main\n"
        "gc.callbacks.append(lambda phase, _: print('collection', phase, file=sys.stderr))\n"
        "try:\n    main.main()\nfinally:\n    gc.callbacks.clear()\n"
    )
    arguments = ["run", "--json", "--project", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert json.loads(done.stdout)["published"]
    assert "collection" not in done.stderr


def test_help_imports_neither_a_command_nor_a_library() -> None:
    """Help is printed in 0.15 s only as long as it pays for nothing else."""
    code = (
        "import sys; from headrace.cli.main import run; run(['--help']); print(*sys.modules,"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Start:" in done.stdout
    loaded = set(done.stderr.split())
    assert not loaded & {
        "typer",
        "rich",
        "msgspec",
        "duckdb",
        "sqlglot",
        "sqlite3",
        "yaml",
        "asyncio",
        "headrace.model",
    }


@pytest.mark.parametrize(
    "arguments", [(), ("--help",), ("-h",), ("--project", "nowhere", "--help")]
)
def test_help_comes_without_a_project(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = headrace(*arguments, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: headrace COMMAND")
    assert not done.stderr


def test_a_commands_help_is_plain_and_short(tmp_path: Path) -> None:
    done = headrace("run", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--partition" in done.stdout
    assert "headrace run" in done.stdout
    assert "╭" not in done.stdout


def test_help_is_a_command_for_those_who_type_it(tmp_path: Path) -> None:
    for words in (["help"], ["help", "run"]):
        done = headrace(*words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == headrace(*words[1:], "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("clear", "headrace run"),
        ("trigger", "headrace run"),
        ("build", "headrace run"),
        ("seed", "headrace init"),
        ("materialize", "headrace run"),
        ("freshness", "headrace status"),
        ("maintenance", "not built yet"),
        ("handover", "not built yet"),
        ("daemon", "headrace serve"),
        ("stauts", "did you mean `headrace status`"),
        ("stat", "did you mean `headrace status`"),
        ("\x1b[31m", "there is no command"),
        ("asign", "if `assign` is meant: here that is `headrace incidents assign ID PERSON`"),
        ("--frobnicate", "no such option"),
    ],
)
def test_commands_that_are_not_ours_lead_to_ours(command: str, said: str, tmp_path: Path) -> None:
    done = headrace(command, "x", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "\x1b" not in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", "--frobnicate"),
        ("run", "--partition"),
        ("logs",),
        ("read",),
        ("demo", "--fault", "meteor"),
        ("try", "x", "--limit", "many"),
        ("--now",),
    ],
)
def test_a_line_that_cannot_be_parsed_is_wrong_use(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = headrace(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "suggested"),
    [("--reason", ""), ("--jsn", "--json"), ("--dry", "--dry-run"), ("--partition", "")],
)
def test_only_similar_options_are_suggested(option: str, suggested: str, tmp_path: Path) -> None:
    """Would catch: `--reason` answered with "did you mean --json?"."""
    error = headrace("db", "gc", option, "x", cwd=tmp_path).stderr
    assert option in error
    assert ("did you mean" in error) == bool(suggested), error
    assert suggested in error


@pytest.mark.parametrize(
    "command", ["ls", "status", "validate", "runs", "quarantine", "tick", "run", "apply"]
)
def test_without_a_project_every_command_says_so(command: str, tmp_path: Path) -> None:
    done = headrace(command, cwd=tmp_path)
    assert done.returncode == 1
    assert "no headrace.toml" in done.stderr
    assert "headrace init" in done.stderr
    assert not done.stdout


def test_an_environment_that_there_isnt(tmp_path: Path) -> None:
    """One that is mistyped would be made, with a state of its own."""
    (tmp_path / "headrace.toml").write_text('[project]\nname = "x"\n[environments.dev]\n')
    for done in (
        headrace("ls", "--env", "devel", cwd=tmp_path),
        headrace("ls", cwd=tmp_path, env={"HEADRACE_ENV": "devel"}),
    ):
        assert done.returncode == 2
        assert "devel" in done.stderr
        assert "dev" in done.stderr.splitlines()[-1]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = headrace("status", "--project", "nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_errors_with_json_leave_standard_output_empty(tmp_path: Path) -> None:
    done = headrace("ls", "--json", cwd=tmp_path)
    assert done.stdout == ""
    assert done.stderr


def test_a_traceback_only_with_v(tmp_path: Path) -> None:
    assert "Traceback" not in headrace("ls", cwd=tmp_path).stderr
    for arguments in (("ls", "-v"), ("-v", "ls"), ("ls", "--verbose")):
        assert "Traceback" in headrace(*arguments, cwd=tmp_path).stderr


def test_version(tmp_path: Path) -> None:
    assert headrace("--version", cwd=tmp_path).stdout.startswith("headrace 0.")


def test_a_reader_that_stops_reading_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{HEADRACE} explain | head -1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0
    assert not done.stderr


def test_an_interrupted_command_exits_with_4(tmp_path: Path) -> None:
    """Ctrl-C and a polite kill both end cleanly, without a traceback. `logs --follow` on a pipe is
    what waits here."""
    assert headrace("init", cwd=tmp_path).returncode == 0
    fifo = tmp_path / "landing.csv"
    os.mkfifo(fifo)
    for sent in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(
            [sys.executable, "-c", _WAITS],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "80"},
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "waiting\n"
                process.send_signal(sent)
                _, said = process.communicate(timeout=20)
            finally:
                process.kill()
        assert process.returncode == 4
        assert said.startswith("interrupted")
        assert "Traceback" not in said


_WAITS = """
import sys, time
from headrace.cli import main
from headrace.cli.commands import explain
from headrace.cli.declared_commands import terminal_command
def command(invocation):
    "Waits."
    print("waiting", flush=True)
    while True:
        time.sleep(60)
explain.explain_command = terminal_command()(command)
sys.exit(main.run(["explain"]))
"""


def test_output_for_an_ascii_terminal_has_no_traceback(tmp_path: Path) -> None:
    done = headrace(
        "init", "Zürich ✓", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    )
    assert done.returncode == 0, done.stderr
    assert "+ a new project" in done.stdout


def test_init_prints_json_alone(tmp_path: Path) -> None:
    done = headrace("--json", "init", "shop", cwd=tmp_path)
    response = json.loads(done.stdout)
    assert response["next"] == "cd shop && headrace run"
    assert (tmp_path / "shop/headrace.toml").exists()


def test_starting_is_quick_enough_to_be_typed(tmp_path: Path) -> None:
    """No timed test: only that help doesn't take seconds, as it would with an accidental import of
    everything."""
    began = time.perf_counter()
    headrace("--help", cwd=tmp_path)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "ls",
        "validate",
        "runs",
        "quarantine",
        "lineage revenue",
        "render revenue",
        "read revenue",
        "logs page",
        "apply",
        "tick",
    ],
)
def test_a_replay_says_so_on_every_output(command: str, shop: Project) -> None:
    """Nobody may take a replay for the present. A document with a `clock` says it itself, others
    beside it."""
    _, out, err = shop.call(shop.root, *command.split())
    assert out.count("replay clock") == 1, out
    _, out, err = shop.call(shop.root, *command.split(), "--json")
    assert "replay clock" in err or json.loads(out)["clock"] == "replay"


def test_a_live_project_says_nothing_of_replays(new: Project) -> None:
    for command in ("status", "ls", "validate", "runs"):
        _, out, err = new.call(new.root, command)
        assert "replay" not in out + err
