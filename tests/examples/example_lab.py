"""Runs a project of `examples/` as its README says: copied to a folder of the test's own, by the
real command, with secrets in the environment. Servers that an example needs live in the test's
process, on ports that the system gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from warm_fork_servers import headrace

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_SECONDS = 150


class Example:
    """A copy of `examples/<name>` below `folder`. `environment` is what the command gets besides
    the test's own environment."""

    def __init__(self, name: str, folder: Path, **environment: str) -> None:
        self.root = folder / name
        shutil.copytree(EXAMPLES / name, self.root, ignore=shutil.ignore_patterns(".headrace"))
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        self.environment = (
            kept
            | {"NO_PROXY": "127.0.0.1,localhost", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"}
            | environment
        )

    def run(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """`headrace ARGUMENTS` in the project; its exit code must be `code` (None: any)."""
        done = headrace(arguments, self.root, self.environment, PATIENCE_SECONDS)
        assert code is None or done.returncode == code, (
            f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        """The document that `headrace ARGUMENTS --json` prints."""
        done = self.run(*arguments, "--json", code=code)
        assert done.stdout.strip(), done.stderr
        return json.loads(done.stdout)

    def tick(self, now: str | None = None, *, code: int | None = 0) -> Any:
        """One pass, at the replayed time `now` where it is given; its document."""
        return self.json("tick", *(("--now", now) if now else ()), code=code)

    def rows(self, asset: str, *arguments: str) -> list[dict[str, Any]]:
        """All rows of an asset that readers see."""
        result: list[dict[str, Any]] = self.json("read", asset, "--limit", "1000000", *arguments)[
            "rows"
        ]
        return result

    def consumer(self, name: str, now: str | None = None) -> Any:
        """What `status` says of one consumer."""
        document = self.json("status", *(("--now", now) if now else ()))
        return next(item for item in document["consumers"] if item["name"] == name)

    def write(self, path: str, text: str) -> Path:
        """Put a file into the project."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target


def published(document: Any) -> list[tuple[str, str]]:
    """What a run's document says was published: asset and partition, sorted."""
    return sorted((item["asset"], item["partition"]) for item in document["published"])
