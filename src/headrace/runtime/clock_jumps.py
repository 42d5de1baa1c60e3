"""A live store's clock that would jump ahead: asked about before anything is dated by it.

A machine whose clock was wrong once dates observations, deadlines and incidents in the future, and
the store's clock never goes back. So a jump of more than JUMP_DAYS since the last stored time needs
something that bears it out: a file of the project that was changed in between, or a person, by
`headrace db clock --yes`. Where the state's database is a server whose clock contradicts the
machine's, a day is enough, and only a person counts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from headrace.model import Refused, Settings
from headrace.model.intervals import DAY_US
from headrace.model.partitions import command_line
from headrace.model.wording import counted
from headrace.runtime.backups import newest_sound
from headrace.security.private_files import replace_private
from headrace.store.clock import instant

JUMP_DAYS = 60
"""A project may rest for so long without a question."""
MARGIN_US = DAY_US
"""How far within the jump a file's time must be: times close to its ends may be the clock's own."""
FILES_MAX = 20_000
"""Files of the project that are looked at."""
BELIEVED_FILE = "clock_believed"
"""In the data folder: until when the machine's clock was believed, in microseconds."""


class ClockJumped(Refused):
    """The machine's clock is far after the last stored time, and nothing bears that out."""


def refuse_jump(
    root: Path,
    data_folder: Path,
    written_us: int,
    wall_us: int,
    server_us: Callable[[], int] | None = None,
) -> None:
    """Raise ClockJumped if the machine's clock is far after the last stored time, without a reason.

    `written_us` is 0 in a new store; `server_us` returns the clock of the state's database.
    """
    if days := unconfirmed_days(root, data_folder, written_us, wall_us, server_us):
        raise ClockJumped(
            f"this machine's clock says {instant(wall_us):%Y-%m-%d %H:%M} UTC,"
            f" {counted(days, 'day')} after the last time that the project stored"
            f" ({instant(written_us):%Y-%m-%d}), and nothing else bears that out:"
            " no file of the project that was changed in between, no clock of another machine",
            hint="set the machine's clock if it is wrong; if it is right: headrace db clock --yes",
        )


def unconfirmed_days(
    root: Path,
    data_folder: Path,
    written_us: int,
    wall_us: int,
    server_us: Callable[[], int] | None = None,
) -> int:
    """Return how many days the machine's clock is after the last stored time; 0 if it is credible.

    It is after a short time, after a person confirmed it, and if a file was changed in between.
    The database's clock, from `server_us`, is asked for after a jump of more than a day.
    """
    jump_us = wall_us - written_us
    if (
        not written_us
        or jump_us <= MARGIN_US
        or _believed_us(data_folder) >= wall_us - JUMP_DAYS * DAY_US
    ):
        return 0
    denied = server_us is not None and wall_us - server_us() > MARGIN_US
    short = jump_us <= JUMP_DAYS * DAY_US
    credible = not denied and (short or _is_borne_out(root, data_folder, written_us, wall_us))
    return 0 if credible else jump_us // DAY_US


def believe(data_folder: Path, wall_us: int) -> None:
    """Let the next commands believe the machine's clock. Raises OSError."""
    replace_private(data_folder / BELIEVED_FILE, f"{wall_us}\n".encode())


def forget_belief(data_folder: Path) -> None:
    """Ask about the machine's clock again, after a restore to before it was believed."""
    (data_folder / BELIEVED_FILE).unlink(missing_ok=True)


def repair_of(root: Path, settings: Settings) -> str | None:
    """Return the command that takes a project back to before its clock was ahead.

    None without an automatic backup of before, as on a machine whose own clock is behind.
    """
    sound = newest_sound(root, settings)
    return command_line("db", "restore", str(sound.folder), "--force") if sound else None


def _believed_us(data_folder: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int((data_folder / BELIEVED_FILE).read_text(encoding="ascii"))
    return 0


def _is_borne_out(root: Path, data_folder: Path, written_us: int, wall_us: int) -> bool:
    """Whether a file of the project, landing folders included, was changed within the jump."""
    first_us, last_us = written_us + MARGIN_US, wall_us - MARGIN_US
    return any(first_us < at_us < last_us for at_us in _changes(root, data_folder))


def _changes(root: Path, data_folder: Path) -> Iterator[int]:
    """Yield when files were changed, of at most FILES_MAX files outside of the data folder."""
    left = FILES_MAX
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if Path(folder, name) != data_folder]
        for name in names[:left]:
            with contextlib.suppress(OSError):
                yield os.lstat(Path(folder, name)).st_mtime_ns // 1000
        left -= len(names)
        if left <= 0:
            return
