"""`dev`: a server in an environment of its own that applies what is saved, and builds what that changes."""

from __future__ import annotations

from collections.abc import Callable

from headrace.model import HeadraceError, Problem, Refused
from headrace.model.environments import PRODUCTION
from headrace.model.files import DECLARATION_FOLDERS
from headrace.operations.downstream import reached_from
from headrace.operations.performing import CommandContext
from headrace.operations.progress import Silent
from headrace.operations.session import InvalidProject, ProjectSession
from headrace.plan import changes
from headrace.run.leader import Leader
from headrace.run.news import News
from headrace.run.orders import RunRequest, RunResult
from headrace.run.watching import FolderWatcher, WatchedFolder
from headrace.store.wake import wake

PROBLEMS_SHOWN_MAX = 20
ENVIRONMENT = "dev"


def refuse_production(session: ProjectSession) -> None:
    """Refused where saving a file would change what readers see."""
    if session.env == PRODUCTION:
        raise Refused("`dev` applies what you save, and production isn't for that", hint="headrace dev, or headrace serve")


class Saves:
    """Watches the project's files while a server runs. The last version that was good goes on until there is a better one."""

    def __init__(self, session: ProjectSession, tell: Callable[[str], None]) -> None:
        self._session, self._tell = session, tell
        self._watch: FolderWatcher | None = None
        self._runs: dict[int, str] = {}

    def turn(self, context: CommandContext, leader: Leader) -> None:
        """Apply what was saved since the last turn, and say what became of it."""
        if self._watch is None:
            folder = context.store.folder
            self._watch = FolderWatcher(lambda: wake(folder))
            self._apply(context)
        elif self._watch.changed():
            self._apply(context)
        self._watch.watch(self._places())
        for run in list(self._runs):
            if (ended := leader.result(run)) is not None:
                what = self._runs.pop(run)
                if ended.partitions:
                    self._tell(_said(what, ended))

    def close(self) -> None:
        """Watch nothing any more."""
        if self._watch is not None:
            self._watch.close()

    def _places(self) -> dict[str, WatchedFolder]:
        root = self._session.root
        folders = {name: WatchedFolder(root / name, deep=True) for name in DECLARATION_FOLDERS if (root / name).is_dir()}
        return {"": WatchedFolder(root, deep=False), **folders}

    def _apply(self, context: CommandContext) -> None:
        command_context = context.asked_by(self._session.actor, None)
        before = context.applied()
        try:
            _, compilation = command_context.session.declared_exactly()
            if compilation.compiled is None:
                raise InvalidProject(compilation.problems)
            node_changes = changes(before.compiled if before else None, compilation.compiled)
            if not node_changes:
                return
            applied = command_context.apply(Silent())
        except HeadraceError as error:
            self._refused(error)
            return
        touched = {change.node for change in node_changes}
        self._tell(f"applied version {applied.id}: {', '.join(sorted(touched)[:5])}{' …' if len(touched) > 5 else ''}")
        self._build(command_context, touched)

    def _build(self, context: CommandContext, touched: set[str]) -> None:
        """Make again what the change touches, and what reads from it."""
        leader = context.leader(Silent())
        wanted = reached_from(leader.applied.compiled, touched)
        targets = tuple(target for target in leader.everything if target.node in wanted)
        if targets:
            names = frozenset(target.node for target in targets)
            order = RunRequest(kind="run", targets=targets, actor=context.actor, request={"dev": sorted(touched)}, retry=names)
            self._runs[leader.begin(order, self._report)] = ", ".join(sorted(touched)[:5])

    def _report(self, news: News) -> None:
        if news.state != "published":
            self._tell(f"{news.node}@{news.partition} {news.state}: {news.reason}")

    def _refused(self, error: HeadraceError) -> None:
        self._tell(f"not applied: {error}; the version before goes on")
        problems: tuple[Problem, ...] = tuple(getattr(error, "problems", ()))
        for problem in problems[:PROBLEMS_SHOWN_MAX]:
            self._tell(f"  {problem.place.file}:{problem.place.line}  {problem.message}")


def _said(what: str, ended: RunResult) -> str:
    return f"{what}: {ended.state}, {ended.partitions} partition{'' if ended.partitions == 1 else 's'}"
