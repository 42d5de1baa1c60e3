"""Pages that tell people what to type are typed here, in their order, against the real command.

A console block holds commands (`$ …`) and what they print (not said: anything), where `…` stands for anything within a line,
a line `…` for any lines, and `[exit 1]` for the exit code. Another block is the content of the file that is named above it: "`path`:".
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?:`(?P<path>[^`\n]+)`:\n\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass
class Command:
    line: int
    text: str
    expected: list[str] = field(default_factory=list)
    exit_code: int = 0


@dataclass
class Written:
    path: str
    text: str


def steps(page: str) -> Iterator[Command | Written]:
    for block in BLOCK.finditer(page):
        if block["language"] == "console":
            yield from commands(block["text"], page.count("\n", 0, block.start("text")) + 1)
        elif block["path"]:
            yield Written(block["path"], block["text"])


def commands(text: str, first_line: int) -> list[Command]:
    found: list[Command] = []
    for number, line in enumerate(text.splitlines(), first_line):
        if line.startswith("$ "):
            found.append(Command(number, line[2:]))
        elif code := re.fullmatch(r"\[exit (\d+)\]", line):
            found[-1].exit_code = int(code[1])
        else:
            found[-1].expected.append(line)
    return found


def pattern(expected: list[str]) -> re.Pattern[str]:
    lines = [r"(?:.*\n)*" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*") + r" *\n" for line in expected]
    return re.compile("".join(lines))


class Shell:
    """Runs one command after the other, each where the one before has left off."""

    def __init__(self, folder: Path, patience: float = 50) -> None:
        self.folder, self.patience = folder, patience
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = kept | {"PATH": path, "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}

    def run(self, command: str) -> tuple[int, str, str]:
        """Exit code, standard output, and what stood on standard error: progress, which comes or not, and messages."""
        script = f'{command}\ncode=$?\nprintf "\\n%s" "$PWD" >&3\nexit $code'
        reading, writing = os.pipe()
        done = subprocess.run(
            ["bash", "-c", f"exec 3>&{writing}\n{script}"],
            cwd=self.folder, env=self.environment, pass_fds=[writing], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=self.patience, check=False,
        )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as said:
            self.folder = Path(said.read().strip())
        return done.returncode, done.stdout, done.stderr


def follow(page: Path, folder: Path) -> None:
    shell = Shell(folder)
    for step in steps(page.read_text(encoding="utf-8")):
        if isinstance(step, Written):
            path = shell.folder / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
            continue
        code, output, errors = shell.run(step.text)
        where = f"{page.name}:{step.line}: $ {step.text}\n{output}\n{errors}"
        assert code == step.exit_code, f"exit {code}, not {step.exit_code}\n{where}"
        matches = pattern(step.expected or ["…"]).fullmatch(output.strip("\n") + "\n" if output.strip() else "")
        assert matches is not None, "expected:\n" + "\n".join(step.expected) + f"\n\n{where}"


@pytest.mark.timeout(120)
def test_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """A page that promises what the command no longer does: a newcomer's first ten minutes would end in an error."""
    follow(ROOT / "docs" / "tutorial.md", tmp_path)


@pytest.mark.timeout(120)
def test_readme_commands_run(tmp_path: Path) -> None:
    """The README's own example fails in a fresh shell."""
    (tmp_path / "orders.csv").write_text("order_id,customer,amount\n1,Ada,19.90\n2,Grace,5.00\n", encoding="utf-8")
    follow(ROOT / "README.md", tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_readme_shows_what_the_demo_shows(tmp_path: Path) -> None:
    """The first screen promises a status that the demo doesn't end with."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = page[page.index("    flights · prod") : page.index("A pipeline is SQL")]
    shell = Shell(tmp_path, patience=150)
    code, output, errors = shell.run("headrace demo --no-serve && cd demo && headrace status")
    assert code == 0, errors
    assert pattern(["…", *(line[4:] for line in shown.rstrip().splitlines())]).fullmatch(output.strip("\n") + "\n"), output


def test_links_lead_somewhere() -> None:
    """A page was moved and those that point to it weren't."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_a_promise_that_is_not_kept_is_noticed() -> None:
    """The matcher itself lets anything pass."""
    assert pattern(["…", "a…c", "…"]).fullmatch("x\nabc\ny\n")
    assert not pattern(["…", "a…c", "…"]).fullmatch("x\nab\ny\n")
    assert not pattern(["abc"]).fullmatch("abcd\n")
