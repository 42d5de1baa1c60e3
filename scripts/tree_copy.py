"""Temporary copies of the tree with environments of their own: tests of mutants and comparisons of
commits run in them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = "packages/headrace-ui/src/headrace_ui/ui_bundle"
"""The built web UI, which isn't in git."""
KEEP_TABLES = "HEADRACE_KEEP_TABLES"
"""With this variable tests generate no tables again: each mutant would take seconds more."""


def make_environment(tree: Path) -> None:
    """Make `.venv` in a tree: it finds that tree's `headrace` first, and then what ours has."""
    place = tree / ".venv"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(place)
    [packages] = place.glob("lib/python*/site-packages")
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    sources = [tree / "src", *sorted(tree.glob("packages/*/src"))]
    lines = [*map(str, sources), f"import site; site.addsitedir({ours!r})"]
    (packages / "tree.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = place / "bin/headrace"
    original = Path(sys.prefix, "bin/headrace").read_text(encoding="utf-8")
    command.write_text(original.replace(sys.prefix, str(place)), encoding="utf-8")
    command.chmod(0o755)
    if (tree / "scripts/generate.py").is_file():  # not in commits that have the tables in git
        words: list[str | Path] = [place / "bin/python", "-m", "scripts.generate"]
        subprocess.run(words, cwd=tree, env=clean_environment(), check=True)


def clean_environment() -> dict[str, str]:
    """Return our environment without variables that change Python or Headrace."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "HEADRACE_"))
    }


class Copy:
    """A temporary copy of the tree with an environment that imports `headrace` from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        if (ROOT / BUNDLE).is_dir():
            shutil.copytree(ROOT / BUNDLE, folder / BUNDLE)
        make_environment(folder)
        self._age = 1_000_000_000

    def write(self, path: str, content: bytes) -> None:
        """Replace a file.

        Its new age makes Python compile it again, though its size may be the same.
        """
        self._age += 10
        (self.folder / path).write_bytes(content)
        os.utime(self.folder / path, (self._age, self._age))

    def test(
        self, files: Sequence[str], seconds_max: float, *options: str
    ) -> tuple[int | None, str]:
        """Run the test files in this order.

        Return pytest's exit code (None at the time limit) and its output.
        """
        words: list[str | Path] = [
            self.folder / ".venv/bin/python",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--tb=no",
        ]
        words += [f"--basetemp={self.folder / 'tmp'}", *options, *files]
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**clean_environment(), KEEP_TABLES: "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(seconds_max)
            except subprocess.TimeoutExpired:
                code = None
            finally:  # also when somebody presses Ctrl-C
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            output.seek(0)
            return code, output.read()
