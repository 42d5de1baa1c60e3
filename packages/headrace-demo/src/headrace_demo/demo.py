"""`demo`: a project on real flights, replayed day by day until a vendor renames two columns.

The replay uses only features of every project: it delivers a day's files, moves the clock to the
time of their arrival, and ticks. It ends on Thursday 2013-02-14 07:20, whatever the real date is.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec

from headrace.acts.commands import begin_sending
from headrace.extension import (
    CommandContext,
    HeadraceError,
    Leader,
    Option,
    Progress,
    ProjectError,
    ProjectSession,
    Refused,
    Silent,
    UsageError,
)
from headrace.model.texts import plain
from headrace.responses import Counts
from headrace.runtime.leadership import Busy, hold
from headrace.runtime.runs import News, RunRequest
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.services.run_results import tick
from headrace.store.queries import incidents, publications
from headrace_demo import demo_data
from headrace_demo.demo_data import FIRST_DAY, RENAMED_FROM, ZONE, DemoFault
from headrace_demo.responses import DemoEvent, DemoResponse

LAST_DELIVERED = date(2013, 2, 13)
LAST_RESUMED = date(2013, 2, 28)
"""The last day of a resumed demo."""
STANDS_AT = timedelta(hours=7, minutes=20)
"""The replay's clock stops at this time on the morning after the last day."""
AFTERWARDS = "headrace init shop --from orders.csv"
"""The suggested next command once the demo is over."""
KEPT = "demo.json"
"""A file in the data folder with the replay's result; opening the demo again takes no replay."""
WATCHED = ("flights", "flights_clean")
"""Nodes whose warnings are listed one by one; those of other nodes are counted."""
SOURCE_OF_DATA = "New York flights 2013 (CC0), from the package registry"


def demo(
    directory: Path,
    *,
    days: Annotated[
        int | None,
        Option("--days", metavar="N", help="replay only N days"),
        msgspec.Meta(ge=1),
    ] = None,
    fault: str,
    fresh: Annotated[bool, Option("--fresh", help="begin again in a DIR that holds a demo")],
    progress: Progress,
) -> DemoResponse:
    """Create the demo in `directory` and replay it, or return the existing demo's result.

    Raise Refused if the folder holds anything else, DemoDataError if the data can't be fetched.
    """
    path = directory / ".headrace" / KEPT
    if path.exists() and not fresh:
        return _resumed(directory, path)
    _clear(directory, path, fresh=fresh)
    began = time.monotonic()
    progress.start("data", None)
    landing = directory / "landing"
    demo_data.sdist()
    copy_project(directory)
    demo_data.prepare(landing)
    data_seconds = time.monotonic() - began
    progress.finish()
    last = FIRST_DAY + timedelta(days=days - 1) if days else LAST_DELIVERED
    response = _replay(directory, last, DemoFault(fault), progress)
    response = msgspec.structs.replace(response, data=SOURCE_OF_DATA, data_seconds=data_seconds)
    path.write_bytes(msgspec.json.encode(response))
    return response


def go_on(directory: Path | None, *, progress: Progress) -> DemoResponse:
    """Resume a demo until the end of February, with the vendor's files as it now delivers them.

    Without `directory`, the demo is in the current folder or in `demo` below it. Raise UsageError
    if there is none.
    """
    root = directory if directory is not None else Path() if _is_demo(Path()) else Path("demo")
    path = root / ".headrace" / KEPT
    if not path.exists():
        raise UsageError(f"there is no demo in {root}", hint="headrace demo makes one")
    before = _resumed(root, path)
    first = date.fromisoformat(before.last) + timedelta(days=1)
    if first > LAST_RESUMED:
        return msgspec.structs.replace(before, next=AFTERWARDS)
    response = _flowed(root, first, before, progress)
    path.write_bytes(msgspec.json.encode(response))
    return response


def _flowed(directory: Path, first: date, before: DemoResponse, progress: Progress) -> DemoResponse:
    """Replay the days from `first` on, in this process or in the one that leads the demo."""
    session = ProjectSession.open(directory, "prod", None, "demo")
    began, opened = time.monotonic(), _incidents(session)
    days = [first + timedelta(days=n) for n in range((LAST_RESUMED - first).days + 1)]
    watch, fault = _Watch(), DemoFault(before.fault)
    progress.start(f"replay {first} → {LAST_RESUMED}", len(days))
    try:
        with hold(
            session.root,
            session.settings,
            actor=Actor(ActorType.SERVICE, "demo"),
            now=at_morning(first),
        ) as held:
            _through(CommandContext(session, held, progress), directory, days, fault, watch)
    except Busy:
        _through_leader(directory, days, fault, progress)
    progress.finish()
    published, rows = _published(session, days)
    return msgspec.structs.replace(
        before,
        now=session.again("demo").now(),
        resumed=False,
        went_on=True,
        first=first.isoformat(),
        last=LAST_RESUMED.isoformat(),
        days=len(days),
        days_published=published,
        rows=rows,
        seconds=time.monotonic() - began,
        events=_shortened([event for event in watch.events if event.state != "warned"]),
        incidents=_incidents(session) - opened,
        next=AFTERWARDS if published == len(days) else "headrace status",
    )


def _through(
    context: CommandContext,
    directory: Path,
    days: Sequence[date],
    fault: DemoFault,
    watch: _Watch,
) -> None:
    """Deliver and tick day by day, then tick on the morning after the last day."""
    leader = context.leader()
    for day in days:
        _deliver(context, directory, day, fault)
        _tick(context, leader, demo_data.arrives(day), watch)
        context.progress.advance()
    _tick(context, leader, at_morning(days[-1] + timedelta(days=1)), watch)


def _through_leader(
    directory: Path, days: Sequence[date], fault: DemoFault, progress: Progress
) -> None:
    """Do the same as `_through` while another process leads."""
    for day in days:
        demo_data.deliver(directory / "landing", day, fault)
        _asked_at(directory, demo_data.arrives(day))
        progress.advance()
    _asked_at(directory, at_morning(days[-1] + timedelta(days=1)))


def _asked_at(directory: Path, now: datetime) -> None:
    session = ProjectSession.open(directory, "prod", now.isoformat(), "demo")
    try:
        tick(session, progress=Silent())
    finally:
        session.close()


def _published(session: ProjectSession, days: Sequence[date]) -> tuple[int, int]:
    """Return the number of published days and the number of flights in them."""
    with session.existing_store.read() as tx:
        results = [publications.current(tx, "flights_clean", day.isoformat()) for day in days]
    return sum(publication is not None for publication in results), sum(
        item.rows for item in results if item is not None
    )


def _incidents(session: ProjectSession) -> int:
    with session.existing_store.read() as tx:
        return incidents.count(tx)


def _resumed(directory: Path, path: Path) -> DemoResponse:
    try:
        response = msgspec.json.decode(path.read_bytes(), type=DemoResponse)
    except (OSError, msgspec.MsgspecError) as error:
        raise ProjectError(
            f"the demo in {directory} is damaged", hint="headrace demo --fresh makes it again"
        ) from error
    return msgspec.structs.replace(
        response, resumed=True, directory=str(directory), data="", data_seconds=None
    )


def _clear(directory: Path, path: Path, *, fresh: bool) -> None:
    """Empty the folder for a new demo. Raise Refused if it holds anything but a demo."""
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not _is_demo(directory):
        raise Refused(f"{directory} holds something else", hint="headrace demo ANOTHER_DIR")
    if fresh or not path.exists():  # an unfinished demo is started anew
        shutil.rmtree(directory)


def _is_demo(directory: Path) -> bool:
    mine = resources.files("headrace_demo").joinpath("demo_project", "consumers.yaml").read_bytes()
    theirs = directory / "consumers.yaml"
    return theirs.is_file() and theirs.read_bytes() == mine


def copy_project(directory: Path) -> None:
    """Copy the project's files into a folder."""
    with resources.as_file(resources.files("headrace_demo").joinpath("demo_project")) as source:
        shutil.copytree(
            source, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )


class _Watch:
    """Collects the events of the replay that a person should know about."""

    def __init__(self) -> None:
        self.events: list[DemoEvent] = []
        self.flights = 0
        self.published: set[str] = set()
        self.others: Counter[str] = Counter()

    def __call__(self, news: News) -> None:
        if news.node == "flights_clean" and news.state == "published":
            self.flights += news.rows or 0
            self.published.add(news.partition)
        warned = news.state == "published" and news.verdict == "warned"
        if news.state == "published" and not warned:
            return
        if news.node not in WATCHED and warned:
            self.others[news.node] += 1
            return
        injected = news.node == "flights" and news.partition == RENAMED_FROM.isoformat()
        state = "warned" if warned else news.state
        self.events.append(
            DemoEvent(
                partition=news.partition,
                state=state,
                node=news.node,
                message=plain(news.reason),
                injected=injected,
            )
        )


def _replay(directory: Path, last: date, fault: DemoFault, progress: Progress) -> DemoResponse:
    session = ProjectSession.open(
        directory, "prod", _at(FIRST_DAY, timedelta()).isoformat(), "demo"
    )
    watch, began = _Watch(), time.monotonic()
    days = (last - FIRST_DAY).days + 1
    with hold(
        session.root,
        session.settings,
        actor=Actor(ActorType.SERVICE, "demo"),
        now=session.now_given,
    ) as held:
        context = CommandContext(session, held, progress)
        compiled = context.leader().applied.compiled
        progress.start(f"replay {FIRST_DAY} → {last}", days)
        _through(
            context,
            directory,
            [FIRST_DAY + timedelta(days=n) for n in range(days)],
            fault,
            watch,
        )
        progress.finish()
        now = context.now()
    seconds = time.monotonic() - began
    project = compiled.project
    return DemoResponse(
        directory=str(directory),
        now=now,
        resumed=False,
        counts=Counts(
            sources=len(project.sources),
            assets=len(project.assets),
            consumers=len(project.consumers),
            contracts=len(project.contracts),
        ),
        owners=len(project.owners),
        first=FIRST_DAY.isoformat(),
        last=last.isoformat(),
        days=days,
        days_published=len(watch.published),
        rows=watch.flights,
        seconds=seconds,
        events=[*_shortened(watch.events), *_counted(watch.others)],
        fault=fault.value,
        next="headrace status",
    )


def at_morning(day: date) -> datetime:
    """Return when the replay's clock stands on the morning of a day."""
    return _at(day, STANDS_AT)


def _at(day: date, after_midnight: timedelta) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZONE) + after_midnight


def _deliver(context: CommandContext, directory: Path, day: date, fault: DemoFault) -> None:
    demo_data.deliver(directory / "landing", day, fault)
    if fault is DemoFault.RENAME and day == RENAMED_FROM:
        with context.store.write(context.held.lease.epoch) as tx:
            what = AuditEvent(
                action=Action.DEMO_FAULT_INJECTED,
                actor=context.actor,
                object=Object("delivery", f"flights@{day}"),
                reason="the demo renames two columns of the vendor's file, without notice",
            )
            append(tx, context.clock.mark(tx), what)


def _tick(context: CommandContext, leader: Leader, now: datetime, watch: _Watch) -> None:
    context.at(now)
    result = leader.run(
        RunRequest(kind="tick", targets=leader.everything, actor=Actor(ActorType.SERVICE, "demo")),
        watch,
    )
    if (sent := begin_sending(context.session, context.held)) is not None:
        sent.wait()
    failed = [event for event in watch.events if event.state == "failed"]
    if failed:
        raise HeadraceError(
            f"the demo's own {failed[0].node}@{failed[0].partition} failed in run {result.run_id}:"
            f" {failed[0].message}"
        )


def _shortened(events: list[DemoEvent]) -> list[DemoEvent]:
    """Return the events without repetitions: deliveries held for the same reason give one line."""
    demo_events: list[DemoEvent] = []
    for event in events:
        if not any(
            (t.node, t.state, t.message) == (event.node, event.state, event.message)
            for t in demo_events
        ):
            demo_events.append(event)
    return demo_events


def _counted(others: Counter[str]) -> list[DemoEvent]:
    """Return one line with the warnings of the other nodes; real data always has some."""
    if not others:
        return []
    listed = ", ".join(
        f"{node} {'once' if n == 1 else f'{n} times'}" for node, n in others.most_common()
    )
    return [
        DemoEvent(
            partition="", state="warned", node="others", message=f"{listed}: headrace runs says why"
        )
    ]
