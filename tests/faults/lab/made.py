"""Faults of those who make: code, declarations, the machine, and what people do with Headrace."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import time, timedelta

from lab.declarations import SERVER, declare_assets, declare_consumers
from lab.faults import EARLY, Act, Fault, Make, Stage, Unfit, nothing
from lab.graph import Asset, changed
from lab.month import Lab

SLOW_SECONDS = 9
SLOW_TIMES = 6
"""A slow run sleeps 6 times the longest attempt before it, at least 9 s: on a busy machine, 9 s may
be less than the 5 times from which Headrace calls a run slow."""


def _sql(lab: Lab, chance: random.Random, *, single: bool = False) -> Asset:
    chosen = [
        asset
        for asset in lab.graph.assets
        if not asset.python
        and (asset.root or not single)
        and asset.name in (lab.aimed or {asset.name})
    ]
    if not chosen:
        raise Unfit
    return chance.choice(chosen)


def _code(
    name: str,
    edit: Callable[[Asset, random.Random], tuple[str, str]],
    *,
    single: bool = False,
    fails: bool = False,
) -> Make:
    """The body of an asset is changed and applied; on the next morning it is changed back. What
    only failed is made by itself then; what wrong code has published is made again by who asks for
    it."""

    def make(lab: Lab, chance: random.Random) -> Fault:
        asset = _sql(lab, chance, single=single)
        body, what = edit(asset, chance)

        def strike(stage: Stage) -> None:
            declare_assets(lab.root, changed(lab.graph, asset.name, body))
            stage.command(stage.lab.morning, EARLY, "apply", "--yes")

        def mend(stage: Stage) -> None:
            declare_assets(lab.root, lab.graph)
            stage.command(stage.mended, EARLY, "apply", "--yes")

        return Fault(
            f"code_error {name}",
            asset.name,
            what,
            strike=strike,
            mend=mend,
            resent=False,
            by_itself=fails,
        )

    return make


def _failing(asset: Asset, _: random.Random) -> tuple[str, str]:
    return (
        f"select * from (\n{asset.body}\n) where error('no such account') is null",
        "raises an error",
    )


def _casting(asset: Asset, _: random.Random) -> tuple[str, str]:
    cast = f"""cast('x' || "{asset.measure}" as double) as "{asset.measure}\""""
    return f"select * replace ({cast}) from (\n{asset.body}\n)", "casts what can't be cast"


def _scaling(asset: Asset, chance: random.Random) -> tuple[str, str]:
    factor = chance.choice((100, 1_000, -1))
    body = (
        f'select * replace ("{asset.measure}" * {factor} as "{asset.measure}") from'
        f" (\n{asset.body}\n)"
    )
    return body, f"{asset.measure} × {factor}"


def _fanning(asset: Asset, chance: random.Random) -> tuple[str, str]:
    times = chance.choice((2, 3))
    return f"select t.* from (\n{asset.body}\n) t, range({times}) g", f"each row {times} times"


def _losing(asset: Asset, chance: random.Random) -> tuple[str, str]:
    return (
        f'select * from (\n{asset.body}\n) where abs(hash("{asset.measure}") % 10) < 2',
        "keeps a fifth of the rows",
    )


# The machine


def _machine(
    name: str, trouble: str, what: str, *, mended: bool = True, by_itself: bool = True
) -> Make:
    """What the Python asset meets when it runs."""

    def make(lab: Lab, chance: random.Random) -> Fault:
        asset = next(asset for asset in lab.graph.assets if asset.python)
        if lab.aimed and asset.name not in lab.aimed:
            raise Unfit
        path = lab.root / "machine" / "trouble.py"

        def strike(stage: Stage) -> None:
            seconds = max(SLOW_SECONDS, SLOW_TIMES * _longest(stage, asset))
            path.write_text(
                trouble.replace("{root}", str(lab.root)).replace("{seconds}", f"{seconds:.1f}")
            )

        def mend(stage: Stage) -> None:
            path.unlink(missing_ok=True)
            if not by_itself:
                stage.command(stage.mended, EARLY, "retry", asset.name)

        return Fault(
            name,
            asset.name,
            what,
            strike=strike,
            mend=mend if mended else nothing,
            resent=False,
            by_itself=by_itself,
        )

    return make


def _longest(stage: Stage, asset: Asset) -> float:
    """The seconds of an asset's longest attempt."""
    rows = stage.driver.rows(
        "SELECT max(finished_at - started_at) FROM attempt WHERE node = ?", asset.name
    )
    return float(rows[0][0] or 0) / 1_000_000


ONCE = """import os, signal
flag = '{root}/machine/struck'
if not os.path.exists(flag):
    open(flag, 'w').close()
    os.kill(os.getpid(), signal.SIGKILL)
"""
ALWAYS = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
MEMORY = "raise MemoryError('cannot allocate 9 GB')\n"
SLEEP = "import time\ntime.sleep({seconds})\n"


# What people declare and do


def infeasible(lab: Lab, chance: random.Random) -> Fault:
    """A deadline before anything ever came; by the promise that is in force it is due on the next
    morning first."""
    consumer = chance.choice([consumer for consumer in lab.graph.consumers if not consumer.export])
    earlier = tuple(
        replace(item, promise="due: '00:10'") if item.name == consumer.name else item
        for item in lab.graph.consumers
    )

    def strike(stage: Stage) -> None:
        declare_consumers(lab.root, earlier)
        stage.command(stage.lab.morning, time(0, 5), "apply", "--yes")

    return Fault(
        "deadline_infeasible",
        consumer.name,
        "it is due at 00:10",
        strike=strike,
        resent=False,
        by_itself=False,
    )


def no_destination(lab: Lab, chance: random.Random) -> Fault:
    consumer = next(consumer for consumer in lab.graph.consumers if consumer.export)
    folder, kept = lab.root / "exports", lab.root / "exports.kept"

    def strike(_: Stage) -> None:
        folder.rename(kept)
        folder.write_text("a file where a folder was")

    def mend(_: Stage) -> None:
        folder.unlink()
        kept.rename(folder)

    return Fault(
        "destination_unavailable",
        consumer.name,
        "exports is a file",
        strike=strike,
        mend=mend,
        resent=False,
    )


def misconfigured(lab: Lab, chance: random.Random) -> Fault:
    """A declaration is changed to a secret that isn't set."""
    source = next(event for event in lab.world.events if event.kind == "http")
    path = lab.root / f"sources/{source.name}.yaml"
    before = path.read_text()
    os.environ.pop("LAB_NO_SUCH", None)

    def write(text: str, *, mended: bool) -> Act:
        def act(stage: Stage) -> None:
            path.write_text(text)
            stage.command(stage.mended if mended else stage.lab.morning, EARLY, "apply", "--yes")

        return act

    strike, mend = (
        write(before.replace(SERVER, "LAB_NO_SUCH"), mended=False),
        write(before, mended=True),
    )
    return Fault(
        "configuration_error",
        source.name,
        "its URL needs a secret that isn't set",
        strike=strike,
        mend=mend,
        resent=False,
    )


def paused(lab: Lab, chance: random.Random) -> Fault:
    asset = chance.choice(lab.graph.assets)
    strike: Act = lambda stage: stage.command(  # noqa: E731
        stage.lab.morning, EARLY, "pause", asset.name, "--reason", "looking into it"
    )
    mend: Act = lambda stage: stage.command(stage.mended, EARLY, "resume", asset.name)  # noqa: E731
    return Fault(
        "paused", asset.name, "somebody looks into it", strike=strike, mend=mend, resent=False
    )


def unapproved(lab: Lab, chance: random.Random) -> Fault:
    """A backfill waits for somebody's approval."""
    asset = _sql(lab, chance)

    def strike(stage: Stage) -> None:
        settings = lab.root / "headrace.toml"
        settings.write_text(
            settings.read_text() + '[policy]\nbackfill_approval = "partitions > 2"\n'
        )
        first, last = lab.day - timedelta(5), lab.day - timedelta(1)
        stage.command(
            stage.lab.morning,
            EARLY,
            "backfill",
            asset.name,
            "--from",
            first.isoformat(),
            "--to",
            last.isoformat(),
            "--mode",
            "all",
            "--only",
            "--reason",
            "made again",
            "--yes",
        )

    return Fault(
        "approval_pending",
        asset.name,
        "a backfill waits",
        strike=strike,
        resent=False,
        by_itself=False,
        findable=False,
    )


def nobody(lab: Lab, chance: random.Random) -> Fault:
    return Fault("runtime_down", "headrace", "nobody looks for three days", skipped=3, resent=False)


MADE: tuple[Make, ...] = (
    _code("failing", _failing, fails=True),
    _code("casting", _casting, fails=True),
    _code("scaling", _scaling),
    _code("fanning", _fanning, single=True),
    _code("losing", _losing, single=True),
    _machine("resource_exhausted", MEMORY, "no memory", by_itself=False),
    _machine("worker_lost once", ONCE, "its worker is killed once", mended=False),
    _machine("worker_lost always", ALWAYS, "its workers are killed", by_itself=False),
    _machine("slow_run", SLEEP, "takes 6 times as long as ever, at least 9 s"),
    infeasible,
    no_destination,
    misconfigured,
    paused,
    unapproved,
    nobody,
)
