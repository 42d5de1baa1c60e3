"""`demo`: a project on real flights, replayed day by day until a vendor renames two columns.

The replay drives what every project has: it delivers a day's files, moves the clock to the moment of their arrival,
and ticks. It ends on Thursday 2013-02-14 07:20, whatever the day is outside.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path

import msgspec

from headrace.govern.audit import Action, Actor, ActorType, Event, Object, append
from headrace.model import HeadraceError, ProjectError, Refused
from headrace.operations import demo_data
from headrace.operations.demo_data import FIRST_DAY, RENAMED_FROM, ZONE, Fault
from headrace.operations.documents import Counts, DemoDocument, DemoEvent
from headrace.operations.performing import Context
from headrace.operations.progress import Progress
from headrace.operations.session import Session
from headrace.run.leader import Leader
from headrace.run.leading import hold
from headrace.run.news import News
from headrace.run.orders import Order

LAST_DELIVERED = date(2013, 2, 13)
STANDS_AT = timedelta(hours=7, minutes=20)
"""The replay's clock stands at this time of the morning after the last day."""
KEPT = "demo.json"
"""In the data folder: what the replay came to, so that coming back costs nothing."""
WATCHED = ("flights", "flights_clean")
"""Whose warnings are told one by one; those of other nodes are counted."""
SOURCE_OF_DATA = "New York flights 2013 (CC0), from the package registry"


def demo(directory: Path, *, days: int | None, fault: str, fresh: bool, progress: Progress) -> DemoDocument:
    """Make the demo in `directory` and replay it, or come back to the one that is there.

    Raises Refused for a folder that holds something else, DemoDataError where the data can't be fetched.
    """
    kept = directory / ".headrace" / KEPT
    if kept.exists() and not fresh:
        return _resumed(directory, kept)
    _clear(directory, kept, fresh=fresh)
    began = time.monotonic()
    progress.start("data", None)
    landing = directory / "landing"
    demo_data.sdist()
    _copy_project(directory)
    demo_data.prepare(landing)
    data_seconds = time.monotonic() - began
    progress.finish()
    last = FIRST_DAY + timedelta(days=days - 1) if days else LAST_DELIVERED
    document = _replay(directory, last, Fault(fault), progress)
    document = msgspec.structs.replace(document, data=SOURCE_OF_DATA, data_seconds=data_seconds)
    kept.write_bytes(msgspec.json.encode(document))
    return document


def _resumed(directory: Path, kept: Path) -> DemoDocument:
    try:
        document = msgspec.json.decode(kept.read_bytes(), type=DemoDocument)
    except (OSError, msgspec.MsgspecError) as error:
        raise ProjectError(f"the demo in {directory} is damaged", hint="headrace demo --fresh makes it anew") from error
    return msgspec.structs.replace(document, resumed=True, directory=str(directory), data="", data_seconds=None)


def _clear(directory: Path, kept: Path, *, fresh: bool) -> None:
    """A new demo needs an empty folder, or one that holds a demo that may go."""
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not _is_demo(directory):
        raise Refused(f"{directory} holds something else", hint="headrace demo ANOTHER_DIR")
    if fresh or not kept.exists():  # one that was never finished is begun again
        shutil.rmtree(directory)


def _is_demo(directory: Path) -> bool:
    mine = resources.files("headrace.operations").joinpath("demo_project", "consumers.yaml").read_bytes()
    theirs = directory / "consumers.yaml"
    return theirs.is_file() and theirs.read_bytes() == mine


def _copy_project(directory: Path) -> None:
    with resources.as_file(resources.files("headrace.operations").joinpath("demo_project")) as source:
        shutil.copytree(source, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


class _Watch:
    """Collects what a person should know of the replay."""

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
        self.events.append(DemoEvent(partition=news.partition, state=state, node=news.node, message=news.reason, injected=injected))


def _replay(directory: Path, last: date, fault: Fault, progress: Progress) -> DemoDocument:
    session = Session.open(directory, "prod", _at(FIRST_DAY, timedelta()).isoformat(), "demo")
    watch, began = _Watch(), time.monotonic()
    days = (last - FIRST_DAY).days + 1
    with hold(session.root, session.settings, actor=Actor(ActorType.SERVICE, "demo"), now=session.now_given) as held:
        context = Context(session, held)
        leader = context.leader(progress)
        compiled = leader.applied.compiled
        progress.start(f"replay {FIRST_DAY} → {last}", days)
        for n in range(days):
            day = FIRST_DAY + timedelta(days=n)
            _deliver(context, directory, day, fault)
            _tick(context, leader, demo_data.arrives(day), watch)
            progress.advance()
        _tick(context, leader, _at(last + timedelta(days=1), STANDS_AT), watch)
        progress.finish()
        now = context.now()
    seconds = time.monotonic() - began
    project = compiled.project
    return DemoDocument(
        directory=str(directory),
        now=now,
        resumed=False,
        counts=Counts(
            sources=len(project.sources), assets=len(project.assets), consumers=len(project.consumers), contracts=len(project.contracts)
        ),
        owners=len(project.owners),
        first=FIRST_DAY.isoformat(),
        last=last.isoformat(),
        days=days,
        days_published=len(watch.published),
        rows=watch.flights,
        seconds=seconds,
        events=[*_shortened(watch.events), *_counted(watch.others)],
        next="headrace status",
    )


def _at(day: date, after_midnight: timedelta) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZONE) + after_midnight


def _deliver(context: Context, directory: Path, day: date, fault: Fault) -> None:
    demo_data.deliver(directory / "landing", day, fault)
    if fault is Fault.RENAME and day == RENAMED_FROM:
        with context.store.write(context.held.lease.epoch) as tx:
            what = Event(
                action=Action.DEMO_FAULT_INJECTED,
                actor=context.actor,
                object=Object("delivery", f"flights@{day}"),
                reason="the demo renames two columns of the vendor's file, without notice",
            )
            append(tx, context.clock.mark(tx), what)


def _tick(context: Context, leader: Leader, now: datetime, watch: _Watch) -> None:
    context.at(now)
    result = leader.run(Order(kind="tick", targets=leader.everything, actor=Actor(ActorType.SERVICE, "demo")), watch)
    failed = [event for event in watch.events if event.state == "failed"]
    if failed:
        raise HeadraceError(f"the demo's own {failed[0].node}@{failed[0].partition} failed in run {result.run_id}: {failed[0].message}")


def _shortened(events: list[DemoEvent]) -> list[DemoEvent]:
    """Several deliveries that are held for one reason are one line, the first one's."""
    told: list[DemoEvent] = []
    for event in events:
        if not any((t.node, t.state, t.message) == (event.node, event.state, event.message) for t in told):
            told.append(event)
    return told


def _counted(others: Counter[str]) -> list[DemoEvent]:
    """What is said of the other nodes, in one line: real data always has something to say."""
    if not others:
        return []
    listed = ", ".join(f"{node} {'once' if n == 1 else f'{n} times'}" for node, n in others.most_common())
    return [DemoEvent(partition="", state="warned", node="others", message=f"{listed}: headrace runs says why")]
