"""One leader at a time, whatever happens to the others: real processes, killed, stopped
and raced.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.model import LeaseLost
from headrace.store import Lease, Store, lease
from headrace.store.lease import Process, is_dead, this_process

Opened = Callable[..., Store]

LEADER = """
import os, sys; from pathlib import Path
from headrace.model import LeaseLost, Settings
from headrace.store import Lease, Store
store = Store.open(Path(sys.argv[1]), Settings(name="t", store_url=os.environ["STORE_URL"]), create=True)
sys.stdin.readline()
lease = Lease.take(store, "child", seconds=float(sys.argv[2]))
print(lease.epoch if lease else "no", flush=True)
sys.stdin.readline()
try:
    with store.write(lease.epoch) as tx:
        tx.execute("insert into meta (key, value) values ('child', 'was here')")
    print("committed", flush=True)
except LeaseLost:
    print("lost", flush=True)
"""


class Leader:
    """A process that takes the lease when told, and writes when told."""

    def __init__(self, root: Path, seconds: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LEADER, str(root), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self, *, reap: bool = True) -> None:
        self._process.kill()
        if reap:
            self._process.wait(10)
        else:
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)


@contextmanager
def leaders(root: Path, count: int = 1, seconds: float = 10.0) -> Iterator[list[Leader]]:
    started = [Leader(root, seconds) for _ in range(count)]
    try:
        yield started
    finally:
        for leader in started:
            leader.end()


def taken(store: Store, **more: float) -> Lease:
    result = Lease.take(store, "test", **more)
    assert result is not None
    return result


def test_of_processes_that_race_exactly_one_wins(tmp_path: Path, opened: Opened) -> None:
    opened()
    with leaders(tmp_path, count=5) as racing:
        for leader in racing:
            leader.go()
        answers = sorted(leader.says() for leader in racing)
        assert answers == ["1", "no", "no", "no", "no"]


def test_a_killed_leader_is_replaced_at_once(tmp_path: Path, opened: Opened) -> None:
    """A restart after `kill -9` would wait for the lease to lapse, here for ten minutes."""
    with leaders(tmp_path, seconds=600.0) as (leader,):
        leader.go()
        assert leader.says() == "1"
        leader.kill()
        assert taken(opened()).epoch == 2


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="needs to see a process without reaping it")
def test_a_killed_leader_that_nobody_has_reaped_counts_as_dead(
    tmp_path: Path, opened: Opened
) -> None:
    """A zombie still has its pid and its start time."""
    with leaders(tmp_path) as (leader,):
        leader.go()
        assert leader.says() == "1"
        leader.kill(reap=False)
        assert taken(opened()).epoch == 2


def test_a_stopped_leader_that_continues_can_commit_nothing(tmp_path: Path, opened: Opened) -> None:
    store = opened()
    with leaders(tmp_path, seconds=0.3) as (leader,):
        leader.go()
        assert leader.says() == "1"
        leader.signal(signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while (ours := Lease.take(store, "test")) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        leader.signal(signal.SIGCONT)
        leader.go()
        assert leader.says() == "lost"
        with store.write(ours.epoch) as tx:
            assert tx.execute("select count(*) from meta where key = 'child'").fetchone() == (0,)


def test_a_living_leader_keeps_the_lease_and_is_named(store: Store, opened: Opened) -> None:
    ours = taken(store)
    assert Lease.take(opened(), "other") is None
    with store.read() as tx:
        result = lease.holder(tx)
    assert result is not None
    assert (result.epoch, result.name, result.process) == (ours.epoch, "test", this_process())


def test_a_released_lease_is_free_at_once_and_the_epoch_grows(store: Store, opened: Opened) -> None:
    first = taken(store)
    first.release()
    first.release()  # twice does no harm
    with store.read() as tx:
        assert lease.holder(tx) is None
    assert taken(opened()).epoch == first.epoch + 1
    first.release()  # and doesn't release what is another's
    assert Lease.take(opened(), "third") is None


def test_a_lease_lapses_without_renewal_and_renewing_keeps_it(store: Store, opened: Opened) -> None:
    other = opened()
    ours = taken(store, seconds=60)
    ours.renew()
    assert Lease.take(other, "other") is None
    with store.write(None) as tx:
        tx.execute("update lease set expires_at = 1")
    with store.read() as tx:
        assert lease.holder(tx) is None
    ours.renew()  # late, but nobody else took it: still ours
    assert Lease.take(other, "other") is None
    with store.write(None) as tx:
        tx.execute("update lease set expires_at = 1")
    taken(other)
    with pytest.raises(LeaseLost):
        ours.renew()


def test_renewal_falls_due_before_the_lease_lapses(store: Store) -> None:
    ours = taken(store, seconds=0.0)
    assert ours.renewal_due
    assert not taken(store, seconds=3600).renewal_due


def test_what_is_written_with_the_taking_shares_its_fate(store: Store) -> None:
    """An audit entry of a lease that wasn't taken, or a lease without its entry."""
    with pytest.raises(ZeroDivisionError):
        Lease.take(store, "test", then=lambda tx, epoch: 1 // 0)  # type: ignore[arg-type, return-value]
    with store.read() as tx:
        assert lease.holder(tx) is None
    epochs: list[int] = []
    ours = Lease.take(store, "test", then=lambda tx, epoch: epochs.append(epoch))
    assert ours is not None
    assert epochs == [ours.epoch]


def test_a_process_of_another_machine_or_boot_is_never_called_dead() -> None:
    """Its pid means nothing here."""
    ours = this_process()
    assert not is_dead(ours)
    assert is_dead(ours._replace(started="0"))  # the pid was given to another process
    assert is_dead(ours._replace(pid=2**22 + 1))
    assert not is_dead(ours._replace(machine="elsewhere", pid=2**22 + 1))
    assert not is_dead(Process("", 0, ""))


def test_renewing_puts_the_next_renewal_off(store: Store) -> None:
    """Would catch: a leader that renews its lease in each loop iteration once it is due."""
    ours = taken(store, seconds=60)
    ours._renewed -= 21
    assert ours.renewal_due
    ours.renew()
    assert not ours.renewal_due
    ours._renewed -= 15
    assert not ours.renewal_due


def test_the_holder_is_known_by_name_process_and_end(store: Store) -> None:
    """Would catch: a lease that lasts for milliseconds or days; columns in exchange."""
    ours = taken(store, seconds=60)
    with store.read() as tx:
        holder = lease.holder(tx)
        assert holder is not None
        assert (holder.epoch, holder.process) == (ours.epoch, this_process())
        assert 0 < holder.expires_at_us - tx.real_us() <= 60_000_000
        assert abs(tx.real_us() / 1e6 - time.time()) < 60
    with store.write(None) as tx:
        tx.execute("update lease set expires_at = ?", (tx.real_us() + 5,))
    ours.renew()
    with store.read() as tx:
        holder = lease.holder(tx)
        assert holder is not None and holder.expires_at_us - tx.real_us() > 30_000_000


def test_processes_are_known_without_a_proc_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a leader on macOS that counts as dead while it runs, or never as dead."""
    monkeypatch.setattr(lease, "_PROC", tmp_path / "none")
    ours = this_process()
    assert ours.machine and ours.started
    assert not is_dead(ours)
    assert is_dead(ours._replace(started="Thu Jan  1 00:00:00 1970"))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        started = lease._process_started(child.pid)
        theirs = Process(ours.machine, child.pid, started or "")
        assert started and not is_dead(theirs)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(theirs), "a zombie"
    finally:
        child.kill()
        child.wait()
    assert is_dead(theirs)
    (tmp_path / "none").mkdir()
    assert this_process().machine == "", "a /proc without what it should have"
    assert not is_dead(theirs)
