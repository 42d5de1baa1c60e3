"""Pages that tell people what to type are typed in their order, against the real command.

A console block holds commands (`$ …`) and what they print (not said: anything), where `…` stands
for anything within a line, a line `…` for any lines, and `[exit 1]` for the exit code. Another
block is the content of the file that is named above it: "`path`:".

With HEADRACE_FIXTURES=write, output that a page no longer has right is pasted into it; lines and
`…` that still fit stay.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from serve_lab import until
from warm_fork_servers import headrace

ROOT = Path(__file__).parents[2]
QUOTED = re.compile(r"""'[^']*'|"[^"$`\\]*\"""")
SHELLS = re.compile(r"[|&;<>$`*?(){}\\~#!\n]")
"""What only a shell understands, outside of quotes."""
WRITE = os.environ.get("HEADRACE_FIXTURES") == "write"
BLOCK = re.compile(
    r"(?:`(?P<path>[^`\n]+)`:\n\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass
class Command:
    line: int
    """Of the page, from 1."""
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
    result: list[Command] = []
    for number, line in enumerate(text.splitlines(), first_line):
        if line.startswith("$ "):
            result.append(Command(number, line[2:]))
        elif code := re.fullmatch(r"\[exit (\d+)\]", line):
            result[-1].exit_code = int(code[1])
        else:
            result[-1].expected.append(line)
    return result


def pattern(expected: list[str]) -> re.Pattern[str]:
    lines = [
        (
            r"(?:.*\n)*"
            if line.strip() == "…"
            else re.escape(line.rstrip()).replace("…", ".*") + r" *\n"
        )
        for line in expected
    ]
    return re.compile("".join(lines))


def fits(expected: list[str], output: str) -> bool:
    """Whether a page that says `expected` is right about a command that prints `output`."""
    return (
        pattern(expected or ["…"]).fullmatch(output.strip("\n") + "\n" if output.strip() else "")
        is not None
    )


def pasted(expected: list[str], output: str) -> list[str]:
    """The lines of `output`, with those of `expected` that fit kept as somebody has shortened them.

    A line `…` stays where it alone stood between two lines that fit.
    """
    result: list[str] = []
    unknown: list[str] = []
    place = 0

    def settle(until: int) -> None:
        """Write the lines since the last one that fits, or the `…` that the page has for them."""
        shortened = expected[place:until] == ["…"]
        result.extend(["…"] if shortened else unknown)
        unknown.clear()

    for line in output.strip("\n").splitlines():
        known = [
            n
            for n in range(place, len(expected))
            if expected[n].strip() != "…" and pattern([expected[n]]).fullmatch(f"{line}\n")
        ]
        if not known:
            unknown.append(line.rstrip())
            continue
        settle(known[0])
        result.append(expected[known[0]])
        place = known[0] + 1
    settle(len(expected))
    return result


class Shell:
    """Runs one command after the other, each where the one before has left off."""

    def __init__(self, folder: Path, patience: float = 50, **environment: str) -> None:
        self.folder, self.patience = folder, patience
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = (
            kept | {"PATH": path, "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"} | environment
        )

    def run(self, command: str) -> tuple[int, str, str]:
        """Exit code, standard output, and what stood on standard error: progress, which comes or
        not, and messages."""
        if command.startswith("headrace ") and not SHELLS.search(QUOTED.sub("", command)):
            done = headrace(shlex.split(command)[1:], self.folder, self.environment, self.patience)
            return done.returncode, done.stdout, done.stderr
        if sent := re.match(r"cat (outbox/\S+)", command):
            path = self.folder / sent[1]  # written by a process that a command awaits for seconds
            until(lambda: path.exists() and path.read_text().endswith("\n\n"), self.patience)
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


def follow(page: Path, folder: Path, *, write: bool = WRITE, **environment: str) -> None:
    """Do what a page says, in `folder`; `environment` is what its servers are found by.

    With `write`, mend outputs that are stale.
    """
    shell = Shell(folder, **environment)
    text = page.read_text(encoding="utf-8")
    mended = text.splitlines()
    for step in steps(text):
        if isinstance(step, Written):
            path = shell.folder / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
            continue
        code, output, errors = shell.run(step.text)
        where = f"{page.name}:{step.line}: $ {step.text}\n{output}\n{errors}"
        assert code == step.exit_code, f"exit {code}, not {step.exit_code}\n{where}"
        if not fits(step.expected, output) and write:
            moved = len(mended) - len(text.splitlines())
            start = step.line + moved
            mended[start : start + len(step.expected)] = pasted(step.expected, output)
        else:
            assert fits(step.expected, output), (
                "expected:\n" + "\n".join(step.expected) + f"\n\n{where}"
            )
    if mended != text.splitlines():
        page.write_text("\n".join(mended) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Section:
    """What stands below a heading, up to the next one of any level."""

    page: str
    """Path from the root."""
    title: str
    text: str


def pages() -> list[Path]:
    """Every page that somebody writes for users, by path: not the reference, which the
    code writes."""
    docs = ROOT / "docs"
    named = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        docs / "tutorial.md",
        docs / "why.md",
        docs / "limits.md",
    ]
    return [
        *named,
        *sorted((docs / "how-to").glob("*.md")),
        *sorted((docs / "explanation").glob("*.md")),
    ]


def sections(page: Path) -> Iterator[Section]:
    """A page's sections. A line of a code block is no heading."""
    title, lines, in_code = page.stem, [], False
    name = page.relative_to(ROOT).as_posix()
    for line in page.read_text(encoding="utf-8").splitlines():
        in_code ^= line.startswith("```")
        heading = None if in_code else re.fullmatch(r"#+ (.+)", line)
        if heading:
            if lines:
                yield Section(name, title, "\n".join(lines))
            title, lines = heading[1], []
        else:
            lines.append(line)
    yield Section(name, title, "\n".join(lines))


def spans(page: Path) -> Iterator[str]:
    """What stands as code within a page's sentences and tables."""
    prose = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for span in re.finditer(r"(?<!`)`([^`]+)`(?!`)", prose):
        yield " ".join(span[1].split())
