"""A project opened for one command: its folder, its files, the applied version and the clock."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from zoneinfo import ZoneInfo

import msgspec

from headrace.compiler.cache import make_private
from headrace.compiler.project_files import ProjectFiles, find_root, read_text
from headrace.faults import FaultPoint, reached
from headrace.model import (
    Problem,
    ProblemLevel,
    Project,
    ProjectError,
    Settings,
    SqlBody,
    UsageError,
)
from headrace.model.errors import Report
from headrace.model.files import SETTINGS_FILE, FileKind, ProjectFile
from headrace.model.intervals import from_us, local_us, to_us, zone
from headrace.model.settings import PRODUCTION, of_environment
from headrace.model.times import Duration
from headrace.runtime.folders import Folders
from headrace.security.state import existing_state
from headrace.slo.declared_promises import DeclaredPromises, declared_promises
from headrace.slo.facts import StateFacts
from headrace.slo.stored_facts import EnvironmentFacts, StoredFacts
from headrace.store import Clock, ClockKind, Store, Transaction
from headrace.store.clock import Machine
from headrace.store.queries import environments

if TYPE_CHECKING:
    from headrace.plan import Compilation, Compiled
    from headrace.plan.impact import Lineage
    from headrace.security.access import Identity
    from headrace.store.queries.applied_versions import Version


LONG_S = 1.0
"""Compiling a project reports progress only after this many seconds."""
_OF_VERSION = ("_applied", "compiled", "declared_promises")
"""Attributes of a session that follow from the applied version alone."""
NAMES_FILE = "cache/names"
"""File in the data folder with the nodes' names, for shell completion."""


class AgentClaim(msgspec.Struct, frozen=True):
    """What an agent says about itself; nobody has verified it."""

    client: str = ""
    version: str = ""
    on_behalf_of: str = ""
    transport: str = ""


class ProjectSession:
    """The project of a command; read-only, and everything is opened on first use."""

    def __init__(
        self,
        root: Path,
        env: str,
        now: str | None,
        actor: str,
        *,
        leads: bool = True,
        identity: Identity | None = None,
        trusted: bool = False,
    ) -> None:
        self.root = root
        self.env = env
        self.actor = actor
        self._identity = identity
        self.trusted = trusted
        """Whether commands run without a check: an authorised command, or Headrace itself, does."""
        self.leads = leads
        """Whether a command may lead if no process does; otherwise it waits for the next leader."""
        self.visible: frozenset[str] | None = None
        """The nodes that an authorised command may show; None for all."""
        self.claim: AgentClaim | None = None
        """What the agent whose token the session uses says about itself."""
        self.command = ""
        """The command whose permission was checked last, as typed."""
        self.typed = ""
        """The command of the command line: a refusal names it, not the function that it calls."""
        self.names_roles = False
        """Whether responses keep the commands of other roles, for text that says who runs them."""
        self.lake_may_be_empty = False
        """Whether to open the state although the lake lacks all its files, as `db check` does."""
        self.memory: dict[str, tuple[str, Any]] = {}
        """Cached values by name, each with the state that it is valid for.

        Shared by related sessions.
        """
        self._now = now

    @classmethod
    def open(
        cls,
        project: Path | None,
        env: str,
        now: str | None,
        actor: str,
        *,
        identity: Identity | None = None,
    ) -> ProjectSession:
        """Return the project at or above `project` (None: the current folder).

        Raise ProjectError if there is none. An unknown environment raises UsageError when
        `settings` is read.
        """
        session = cls(_root(project), env, now, actor, identity=identity)
        loaded = cls._loaded
        if loaded is not None and (loaded.root, loaded.env) == (session.root, env):
            session.know(loaded)
        return session

    _loaded: ClassVar[ProjectSession | None] = None

    @classmethod
    def load(cls, root: Path, env: str) -> bool:
        """Load the applied version; sessions of `open` reuse it, in this process and its forks.

        Return whether it is another one than before. Nothing stays open. Raise HeadraceError if it
        can't be read; each session then loads it itself.
        """
        session = cls(root, env, None, "")
        if cls._loaded is not None:
            session.know(cls._loaded)
        try:
            if session.compiled is None or session._applied is session._known.get("_applied"):
                return False
            _ = session.declared_promises
        finally:
            session.close()
        cls._loaded = session
        return True

    def again(self, actor: str) -> ProjectSession:
        """Return a session of the same project for an actor, with the files read anew.

        The same actor keeps its identity; another one is the operating system's user.
        """
        opened = ProjectSession(
            self.root, self.env, self._now, actor, leads=self.leads, trusted=self.trusted
        )
        if actor == self.actor:
            opened._identity = self._identity
        return opened

    @property
    def identity(self) -> Identity:
        """Who uses the session: by default the operating system's user."""
        if self._identity is None:
            from headrace.security.access import local_identity

            self._identity = local_identity()
        return self._identity

    def identify_as(self, identity: Identity) -> None:
        """Go on as the same person, with other roles of their own."""
        self._identity = identity

    @property
    def local(self) -> bool:
        """Whether the operating system identified the user, and no token did."""
        return self._identity is None or self._identity.kind == "local"

    def shows(self, node: str) -> bool:
        """Whether the command may show a node: it isn't hidden from who runs it."""
        return self.visible is None or node in self.visible

    def use(self, identity: Identity) -> None:
        """Run the next commands as another identity, which the audit trail records."""
        self._identity, self.actor = identity, identity.name

    @cached_property
    def settings(self) -> Settings:
        """The settings of this environment in headrace.toml.

        Raise ProjectError if the file can't be read, UsageError for an unknown environment.
        """
        return of_environment(_settings(self.root), self.env)

    @property
    def production(self) -> ProjectSession | None:
        """The project in production, for an environment that borrows from it.

        None in production itself. Masks there are those of who uses this session.
        """
        if self._production is not None:
            self._production._identity, self._production.actor = self._identity, self.actor
        return self._production

    @cached_property
    def _production(self) -> ProjectSession | None:
        if self.env == PRODUCTION:
            return None
        return ProjectSession(self.root, PRODUCTION, None, self.actor, trusted=True)

    @cached_property
    def borrowed(self) -> frozenset[str]:
        """The nodes that this environment reads from production."""
        if self.production is None or self.store is None:
            return frozenset()
        with self.store.read() as tx:
            return environments.borrowed_nodes(tx)

    @contextmanager
    def facts(self) -> Iterator[tuple[Transaction, StateFacts]]:
        """Open one snapshot of the state and the facts for evaluations; requires a store."""
        assert self.store is not None
        borrowed = self.borrowed  # before the transaction: a store runs one read at a time
        with self.store.read() as tx:
            if not borrowed or self.production is None or self.production.store is None:
                yield tx, StoredFacts(tx)
                return
            with self.production.store.read() as theirs:
                yield tx, EnvironmentFacts(StoredFacts(tx), StoredFacts(theirs), borrowed)

    @property
    def timezone(self) -> str:
        """The project's time zone, an IANA name."""
        return self.settings.timezone

    @property
    def zone(self) -> ZoneInfo:
        """The project's time zone."""
        return zone(self.timezone)

    @cached_property
    def now_given(self) -> datetime | None:
        """`--now` as an aware datetime. Raise UsageError if it is invalid."""
        return None if self._now is None else self.parse_time(self._now, "--now")

    def parse_time(self, text: str, option: str) -> datetime:
        """Return a time as typed (ISO 8601), by default in the project's time zone.

        Raise UsageError, naming `option`, if it is invalid.
        """
        try:
            at = datetime.fromisoformat(text.strip())
            return (
                at
                if at.tzinfo
                else from_us(local_us(at.date(), at.time(), self.timezone), self.timezone)
            )
        except (ValueError, OverflowError):
            hint = f"write it like {option} 2013-02-14T07:20, or 2013-02-14T07:20-05:00"
            raise UsageError(f"{option} {text[:40]!r} is no time", hint=hint) from None

    def time_since(self, text: str) -> int:
        """Return a time, or a duration back from now (`2d`, `6h`), in µs since 1970.

        Raise UsageError for anything else.
        """
        try:
            duration = Duration.parse(text)
        except UsageError:
            return to_us(self.parse_time(text, "--since"))
        return duration.before_us(self.clock.now_us(), self.timezone)

    def here(self, command: str) -> str:
        """Return a `headrace` command with the option that it needs in this environment."""
        if self.production is None or " --env " in command:
            return command
        return f"{command} --env {shlex.quote(self.env)}"

    def instant(self, at_us: int) -> datetime:
        """Return a time of the store, in the project's time zone."""
        return from_us(at_us, self.timezone)

    @property
    def data_folder(self) -> Path:
        """The folder of the state, the lake and all other stored data."""
        return Path(self.folders.data)

    @property
    def folders(self) -> Folders:
        """The paths in the data folder."""
        return Folders.of(self.root, self.settings)

    @cached_property
    def store(self) -> Store | None:
        """The state, for reading; None before the first command that writes.

        Raise StoreError if it can't be used.
        """
        return existing_state(self.root, self.settings, lake_may_be_empty=self.lake_may_be_empty)

    @property
    def existing_store(self) -> Store:
        """The state of a project that is known to have one."""
        assert self.store is not None
        return self.store

    def know(self, other: ProjectSession) -> None:
        """Reuse what another session of this project has loaded of the applied version.

        Only if that version is still in force; it may be megabytes for a large project.
        """
        self.memory = other.memory
        loaded = {name: other.__dict__[name] for name in _OF_VERSION if name in other.__dict__}
        self._known = loaded if "compiled" in loaded else other._known

    _known: Mapping[str, Any] = {}
    """Values of _OF_VERSION that another session has loaded."""

    def _known_value(self, name: str, applied: Version) -> Any:
        """Return a value that the other session has derived from this applied version, or None."""
        return self._known.get(name) if self._known.get("_applied") is applied else None

    def close(self) -> None:
        """Close the state if it was opened; loaded values stay available."""
        opened = self.__dict__.get("store")
        if opened is not None:
            opened.close()
        production = self.__dict__.get("_production")
        if production is not None:
            production.close()

    @cached_property
    def clock(self) -> Clock:
        """The store's clock for reading; without a store, `--now` or the present."""
        if self.store is None:
            return _clock_without_store(self.now_given)
        with self.store.read() as tx:
            return Clock.for_reading(tx, self.now_given)

    def now(self) -> datetime:
        """Return the store's current time, in the project's time zone."""
        return self.instant(self.clock.now_us())

    @property
    def replay(self) -> bool:
        """Whether the clock is a replay's."""
        return self.clock.kind is ClockKind.REPLAY

    @cached_property
    def _applied(self) -> Version | None:
        if self.store is None:
            return None
        from headrace.store.queries import applied_versions

        known: Version | None = self._known.get("_applied")
        with self.store.read() as tx:
            if known is not None and applied_versions.is_newest(tx, known):
                return known
            return applied_versions.newest(tx)

    @property
    def version(self) -> int | None:
        """The number of the applied version; None before the first apply."""
        return self._applied.id if self._applied else None

    @property
    def manifest(self) -> dict[str, str]:
        """Path → content hash of each applied file; empty before the first apply."""
        return self._applied.manifest if self._applied else {}

    @cached_property
    def compiled(self) -> Compiled | None:
        """The applied project; None before the first apply."""
        if self._applied is None:
            return None
        from headrace.plan import Compiled

        known: Compiled | None = self._known_value("compiled", self._applied)
        return known or msgspec.msgpack.decode(self._applied.compiled, type=Compiled)

    @cached_property
    def declared_promises(self) -> DeclaredPromises:
        """The applied promises, which evaluations use; a version must be applied."""
        assert self.compiled is not None
        assert self._applied is not None
        known: DeclaredPromises | None = self._known_value("declared_promises", self._applied)
        return known or declared_promises(self.compiled)

    @cached_property
    def lineage(self) -> Lineage | None:
        """The column lineage of the applied project; None before the first apply."""
        if self.compiled is None:
            return None
        from headrace.compiler.lineage import compile_lineage

        return compile_lineage(self.compiled, self.data_folder / "cache")

    def declared(
        self, progress: Progress | None = None, changed: Callable[[int], None] | None = None
    ) -> Compilation:
        """Return the compilation of the current files, or all their problems. Read once.

        `changed` is called early if a statement isn't cached, with the number of texts that aren't.
        """
        if self._compilation is None:
            self._compilation = self._compile(progress, None, changed)
        return self._compilation

    def bindable(self, progress: Progress | None = None) -> Compilation:
        """Return `declared` with DuckDB's problems in the SQL, and missing programs of commands."""
        if self._bound is None:
            from headrace.project.diagnostics import bind, with_programs

            declared = with_programs(self.declared(progress), self.root)
            self._bound = bind(declared, self.data_folder / "cache").compilation
        return self._bound

    _compilation: Compilation | None = None
    _bound: Compilation | None = None

    def declared_exactly(
        self, progress: Progress | None = None
    ) -> tuple[ProjectFiles, Compilation]:
        """Return `bindable` with the bytes that it was compiled from, which an apply stores.

        Read once.
        """
        if self._exactly is None:
            files = ProjectFiles(self.root)
            self._compilation, self._bound = self._compile(progress, files), None
            self._exactly = (files, self.bindable(progress))
            reached(FaultPoint.FILES_READ)
        return self._exactly

    _exactly: tuple[ProjectFiles, Compilation] | None = None

    def compile_files(self, files: ProjectFiles) -> Compilation:
        """Return the compilation of other contents of files, bound as `declared_exactly` is."""
        from headrace.project.diagnostics import bind, with_programs

        compilation = with_programs(self._compile(None, files), files.root)
        return bind(compilation, self.data_folder / "cache").compilation

    @contextmanager
    def declaring(self, files: ProjectFiles) -> Iterator[None]:
        """Take other files for those of the folder within the block."""
        former = self._exactly, self._compilation, self._bound
        self._compilation = self._bound = self.compile_files(files)
        self._exactly = (files, self._bound)
        try:
            yield
        finally:
            self._exactly, self._compilation, self._bound = former

    def _compile(
        self,
        progress: Progress | None,
        files: ProjectFiles | None,
        changed: Callable[[int], None] | None = None,
    ) -> Compilation:
        from headrace.compiler.cache import Cache
        from headrace.compiler.compiling import compile_project

        compile_progress = _Told(progress) if progress else None
        cache = self.data_folder / "cache"
        compilation: Compilation = compile_project(
            self.root,
            cache=Cache(cache, self.memory),
            processes=os.cpu_count() or 1,
            progress=compile_progress,
            learnt=self.learnt(),
            environment=self.env,
            files=files,
            changed=changed,
        )
        if compile_progress:
            compile_progress.finish()
        if compilation.project is not None and compilation.project.macros:
            from headrace.project.diagnostics import with_macros

            compilation = with_macros(compilation, cache)
        project = compilation.project
        if project is not None and self.memory.get("names", ("", None))[1] is not project:
            keep_names(self.data_folder, project)
            self.memory["names"] = ("", project)
        return compilation

    def learnt(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Return the known columns of sources and opaque assets, learnt here or in production.

        Data here takes precedence.
        """
        production_columns = self.production.learnt() if self.production is not None else {}
        if self.store is None or self.compiled is None:
            return production_columns
        from headrace.lake import PARTITION_COLUMN, catalog

        project = self.compiled.project
        names = [
            *project.sources,
            *(
                name
                for name, asset in project.assets.items()
                if not isinstance(asset.body, SqlBody)
            ),
        ]
        with self.store.read() as tx:
            tables = catalog.read_columns_now(tx, names)
        own_columns = {
            name: tuple(
                (column.name, column.type) for column in columns if column.name != PARTITION_COLUMN
            )
            for name, columns in tables.items()
        }
        return {**production_columns, **own_columns}

    def project(self) -> Project:
        """Return the applied project, or before the first apply the declared one.

        Raise ProjectError if the files have errors.
        """
        return (
            self.compiled.project if self.compiled is not None else usable(self.declared()).project
        )


def _clock_without_store(now: datetime | None) -> Clock:
    """Return a replay's clock if `--now` is given, as the first writing command would create it."""
    if now is None:
        return Clock(ClockKind.LIVE, 0, moving=True, real=Machine())
    return Clock(ClockKind.REPLAY, to_us(now), moving=False, real=Machine())


class _Told:
    """Passes on the progress of `compile_project` as one phase, if it takes long."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._since = time.monotonic()
        self._done = 0
        self._begun = False

    def __call__(self, done: int, total: int) -> None:
        del total  # the total grows during compilation
        if time.monotonic() - self._since < LONG_S:
            return
        if not self._begun:
            self._progress.start("understanding the project", None)
            self._begun = True
        self._progress.advance(done - self._done)
        self._done = done

    def finish(self) -> None:
        if self._begun:
            self._progress.finish()


def _settings(root: Path) -> Settings:
    """Read headrace.toml alone: all that a command needs to find the state."""
    from headrace.model import fields
    from headrace.model.settings import read_settings

    report = Report(SETTINGS_FILE)
    text = read_text(
        root,
        ProjectFile(
            path=SETTINGS_FILE, kind=FileKind.SETTINGS, size=0, mtime_ns=0, ctime_ns=0, inode=0
        ),
        report,
    )
    response = None if text is None else fields.load_toml(text, report)
    settings = None if response is None else read_settings(response, report)
    if settings is None or any(problem.level is ProblemLevel.ERROR for problem in report.problems):
        raise InvalidProject(report.problems)
    return settings


def usable(compilation: Compilation) -> Compiled:
    """Return the compiled project. Raise InvalidProject with all problems if there are errors."""
    if compilation.compiled is None:
        raise InvalidProject(compilation.problems)
    return compilation.compiled


class InvalidProject(ProjectError):
    """The files have errors; `problems` lists all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(
            problem for problem in problems if problem.level is ProblemLevel.ERROR
        )
        n = len(self.problems)
        super().__init__(
            f"the project has {n} {'error' if n == 1 else 'errors'}", hint="headrace validate"
        )


def _root(project: Path | None) -> Path:
    """Return the project's folder as an absolute path."""
    if project is not None and not project.is_dir():
        raise UsageError(
            f"there is no folder {project}",
            hint="--project names the folder that holds headrace.toml",
        )
    return find_root((project or Path.cwd()).absolute())


def keep_names(data_folder: Path, project: Project) -> None:
    """Write the nodes' names and kinds for shell completion if they changed.

    A failure to write is ignored.
    """
    path = data_folder / NAMES_FILE
    kinds = [
        *((name, "source") for name in project.sources),
        *((name, "asset") for name in project.assets),
        *((name, "consumer") for name in project.consumers),
    ]
    text = "".join(f"{name}\t{kind}\n" for name, kind in sorted(kinds))
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        make_private(path.parent)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError:
        return


# How a command reports its progress, whether or not it is displayed.


class Progress(Protocol):
    """One progress bar at a time, and lines of text.

    Calls are cheap: an operation may advance thousands of times a second.
    """

    def start(self, what: str, total: int | None) -> None:
        """Begin a phase of `total` steps (None: unknown); end the previous one."""

    def advance(self, n: int = 1) -> None:
        """Count `n` further steps as done."""

    def ahead(self, text: str) -> None:
        """Set the remaining work of the phase in a few words, displayed with its progress."""

    def note(self, line: str) -> None:
        """Display one line of plain text to the user."""

    def finish(self) -> None:
        """End the phase; harmless without one."""


class Silent:
    """Displays no progress."""

    def start(self, what: str, total: int | None) -> None:
        """Ignore the call."""

    def advance(self, n: int = 1) -> None:
        """Ignore the call."""

    def ahead(self, text: str) -> None:
        """Ignore the call."""

    def note(self, line: str) -> None:
        """Ignore the call."""

    def finish(self) -> None:
        """Ignore the call."""
