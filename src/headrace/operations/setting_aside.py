"""What is in a project's place before a backup is restored or a new state begun, and how it is moved aside. Nothing is deleted."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from headrace.govern.identity import emptiness, of_lake, of_state
from headrace.govern.secrets import Secrets
from headrace.model import HeadraceError, Refused, StoreError
from headrace.operations.session import ProjectSession
from headrace.run.folders import Folders
from headrace.store import SqliteAddress, Store, portable
from headrace.store.database import engine_of
from headrace.store.lease import holder


class ExistingState:
    """The state that is there, if any. `made` is None where it is there and can't be read."""

    def __init__(self, session: ProjectSession) -> None:
        self._session = session
        self.made: bool | None = False
        self.leader = ""
        self.trail: tuple[int, str] | None = None
        """The last entry of its audit trail: seq and hash."""
        self.foreign = False
        """Whether it isn't the lake's, or the lake is empty, so that no command uses it."""
        self.epoch = _epoch_of_folders(session.folders)
        """At least that of every leader that the data folder knows of."""
        self._read()

    def _read(self) -> None:
        session = self._session
        engine = engine_of(session.root, session.settings, Secrets(session.root).resolved)
        try:
            if not engine.made():
                return
            self.made = None
            with engine.read() as tx:
                leader = holder(tx)
                (epoch,) = tx.execute("select epoch from lease where id = 1").fetchone()
                last = tx.execute("select seq, hash from audit order by seq desc limit 1").fetchone()
                theirs = of_lake(session.folders.lake)
                other = theirs is not None and of_state(tx) not in (None, theirs)
                lake = session.folders.lake
                self.foreign = other or bool(emptiness(tx, lake, engine.where))
            self.leader = leader.name if leader is not None else ""
            self.epoch = max(self.epoch, int(epoch))
            self.trail = tuple(last) if last else (0, "")
            self.made = True
        except StoreError:
            if not isinstance(engine.address, SqliteAddress):
                raise  # a server that is out of reach isn't moved aside
            self.made = None
        finally:
            engine.close()

    def check(self, *, force: bool) -> None:
        """Refused while a leader runs, and where a state is there that can be used (and not `force`)."""
        if self.leader:
            raise Refused(f"{self.leader} leads this project", hint="let it finish, or end it; then restore")
        if self.made and not self.foreign and not force:
            raise Refused("there is a state already", hint="--force moves it aside; `headrace db check` says whether it is whole")

    def put_aside(self, mark: str) -> str | None:
        """Move the state away under another name; what it is called now, None where there is nothing."""
        session = self._session
        engine = engine_of(session.root, session.settings, Secrets(session.root).resolved)
        if isinstance(engine.address, SqliteAddress) and not engine.address.path.exists():
            engine.close()
            return None
        if not isinstance(engine.address, SqliteAddress) and self.made is False:
            engine.close()
            return None
        return portable.put_aside(Store(engine), f"before_{mark}")


def before(session: ProjectSession) -> ExistingState:
    """What is there now."""
    return ExistingState(session)


def stamp() -> str:
    """Names what is moved aside now."""
    return str(time.time_ns() // 1_000_000_000)


def lake_aside(folders: Folders, mark: str) -> Path | None:
    """Move the lake's files, those of `materialize: files` and the quarantine into a folder beside them; which, None where there are
    none. Raw bytes stay: they are kept by content. HeadraceError where they can't be moved."""
    target = folders.data_path / f"before_{mark}"
    moved = False
    for folder in (folders.lake, folders.files, folders.quarantine):
        if not folder.is_dir() or not any(folder.iterdir()):
            continue
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            folder.rename(target / folder.name)
        except OSError as error:
            raise HeadraceError(
                f"{folder} can't be moved to {target}: {error.strerror}",
                hint="a folder that is mounted can't be renamed: move what is in it away by hand, and do it again",
            ) from error
        moved = True
    return target if moved else None


def _epoch_of_folders(folders: Folders) -> int:
    """The latest epoch that the data folder knows of, whatever became of the state: attempts' logs and files are named by it."""
    results = [0]
    with suppress(OSError, ValueError):
        results.append(int(folders.fence.read_text() or 0))
    if folders.logs.is_dir():
        results += [int(path.name) for path in folders.logs.iterdir() if path.name.isdecimal()]
    return max(results)
