"""What commands ask of a leader: every request is answered once, or taken over; a wake-up is only a
hint.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.model import Settings, StoreError
from headrace.store import Lease, Store, requests
from headrace.store.requests import Follower, RequestState

Opened = Callable[..., Store]


def leader(store: Store) -> Lease:
    lease = Lease.take(store, "leader")
    assert lease is not None
    return lease


def take(store: Store, lease: Lease) -> list[requests.CommandRequest]:
    with store.write(lease.epoch) as tx:
        return requests.take(tx, lease.epoch)


def test_a_leader_takes_what_waits_once_and_in_order(store: Store, opened: Opened) -> None:
    lease = leader(store)
    asked = [requests.submit(opened(), "run", {"select": [str(n)]}, "ann") for n in range(3)]
    result = take(store, lease)
    assert [request.id for request in result] == asked
    assert result[0].arguments == {"select": ["0"]}
    assert take(store, lease) == []


def test_a_follower_gets_the_answer(store: Store, opened: Opened) -> None:
    lease = leader(store)
    asked = requests.submit(opened(), "run", {}, "ann")
    follower = Follower(opened(), asked)
    take(store, lease)
    with store.write(lease.epoch) as tx:
        requests.serve_by(tx, asked, 7)
    seen = follower.wait(5)
    assert seen is not None
    assert (seen.state, seen.run_id, seen.finished) == (RequestState.TAKEN, 7, False)
    with store.write(lease.epoch) as tx:
        requests.finish(tx, asked, '{"state": "succeeded"}')
    done = follower.wait(5)
    assert done is not None
    assert (done.finished, done.document) == (True, '{"state": "succeeded"}')


def test_a_follower_is_woken_by_the_commit_not_by_the_clock(
    store: Store, opened: Opened, tmp_path: Path
) -> None:
    lease = leader(store)
    asked = requests.submit(store, "run", {}, "ann")
    follower = Follower(opened(), asked)
    assert follower.wait(0) is not None

    def answer() -> None:
        with (
            Store.open(tmp_path, Settings(name="t", store_url=os.environ["STORE_URL"])) as own,
            own.write(lease.epoch) as tx,
        ):
            requests.finish(tx, asked, "{}")

    thread = threading.Thread(target=answer)
    thread.start()
    result = follower.wait(30)
    while result is not None and not result.finished:  # somebody else's commit may wake it as well
        result = follower.wait(30)
    thread.join()
    assert result is not None
    assert result.finished


def test_a_request_whose_leader_ended_is_taken_over_by_who_asked(
    store: Store, opened: Opened
) -> None:
    lease = leader(store)
    other = opened()
    asked = requests.submit(other, "run", {}, "ann")
    take(store, lease)  # begun, but never finished
    lease.release()
    assert Follower(other, asked).wait(1) is None
    assert [request.id for request in take(other, leader(other))] == [asked]


def test_an_answer_counts_even_if_the_leader_ended_right_after(
    store: Store, opened: Opened
) -> None:
    """Taking over a finished request would do the work twice."""
    lease = leader(store)
    asked = requests.submit(store, "run", {}, "ann")
    take(store, lease)
    with store.write(lease.epoch) as tx:
        requests.finish(tx, asked, "{}", failed=True)
    lease.release()
    result = Follower(opened(), asked).wait(1)
    assert result is not None
    assert result.state is RequestState.FAILED


def test_a_request_that_does_not_exist_is_an_error(store: Store) -> None:
    with store.read() as tx, pytest.raises(StoreError, match="no request 9"):
        requests.get(tx, 9)


# The wake-up
# --------------------------------------------------------------------------------------------------


def deep(folder: Path) -> Path:
    """A folder whose path is too long for a socket."""
    result = folder / ("d" * 60) / ("e" * 60)
    result.mkdir(parents=True)
    return result


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a short path, and a private temporary folder."""
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"hr{os.getpid()}"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder  # type: ignore[misc]
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@pytest.mark.parametrize("place", [lambda folder: folder, deep], ids=["short", "too-long"])
def test_a_wake_up_arrives(short: Path, place: Callable[[Path], Path]) -> None:
    folder = place(short)
    listener = requests.WakeListener(folder)
    assert not listener.drain()
    assert requests.wake_leader(folder)
    assert requests.wake_leader(folder)
    assert listener.drain()
    assert not listener.drain()
    listener.close()
    assert not requests.wake_leader(folder)


def test_a_dead_leaders_socket_does_not_stop_the_next(short: Path) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(short / "wake.sock"))
    left.close()
    listener = requests.WakeListener(short)
    assert requests.wake_leader(short)
    assert listener.drain()
    listener.close()


def test_an_old_leader_that_closes_late_leaves_the_next_ones_socket(short: Path) -> None:
    old = requests.WakeListener(short)
    new = requests.WakeListener(short)
    old.close()
    assert requests.wake_leader(short)
    assert new.drain()
    new.close()


def test_a_leader_that_never_drains_blocks_nobody(short: Path) -> None:
    listener = requests.WakeListener(short)
    for _ in range(10_000):
        if not requests.wake_leader(short):
            break
    assert listener.drain()
    listener.close()


def test_submitting_without_a_listener_works(store: Store) -> None:
    """The wake-up is a hint; the row is what counts."""
    assert requests.submit(store, "run", {}, "ann") == 1


@pytest.mark.parametrize(("more", "beside"), [(0, True), (1, False)])
def test_a_socket_is_beside_the_state_up_to_the_longest_address(
    short: Path, more: int, beside: bool
) -> None:
    """Would catch: a socket in the temporary folder although its address fits, or one that the
    system cuts."""
    length = requests.ADDRESS_BYTES_MAX - len(f"{short}//wake.sock") + more
    folder = short / ("f" * length)
    folder.mkdir()
    listener = requests.WakeListener(folder)
    path = folder / "wake.sock" if beside else next((short / f"headrace-{os.getuid()}").iterdir())
    assert (folder / "wake.sock").exists() is beside
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent == folder or path.parent.stat().st_mode & 0o777 == 0o700
    assert not listener.woken
    assert requests.wake_leader(folder)
    assert listener.drain() and listener.woken
    listener.close()
    assert not path.exists()


def test_a_temporary_folder_of_somebody_else_is_not_used(short: Path) -> None:
    """Would catch: a socket behind a link that another user of the machine has made."""
    (short / "theirs").mkdir()
    (short / f"headrace-{os.getuid()}").symlink_to(short / "theirs")
    folder = deep(short)
    with pytest.raises(StoreError, match="no socket can be made"):
        requests.WakeListener(folder)
    assert not requests.wake_leader(folder)
    assert list((short / "theirs").iterdir()) == []
    (short / f"headrace-{os.getuid()}").unlink()


def test_a_request_has_what_was_asked_and_answered(store: Store) -> None:
    """Would catch: an answer at another request; one that counts as unanswered, or the reverse; a
    run of a leader that has ended."""
    number = requests.submit(store, "run", {"select": ["a"]}, "ann")
    other = requests.submit(store, "tick", {}, "bob")
    waiting = requests.RequestState.WAITING
    with store.write(None) as tx:
        asked = requests.get(tx, number)
        assert asked == requests.CommandRequest(
            number, "run", {"select": ["a"]}, "ann", waiting, None, None, None
        )
        assert not asked.finished
        assert [item.id for item in requests.take(tx, 4)] == [number, other]
        assert requests.take(tx, 4) == []
        requests.serve_by(tx, number, 17)
        running = requests.get(tx, number)
        assert (running.state, running.epoch, running.run_id) == ("taken", 4, 17)
        assert not running.finished
        assert requests.get(tx, other).run_id is None
        requests.finish(tx, number, '{"ok": 1}')
        requests.finish(tx, other, '{"error": 2}', failed=True)
        done, failed = requests.get(tx, number), requests.get(tx, other)
        assert (done.state, done.document, done.finished) == ("done", '{"ok": 1}', True)
        assert (failed.state, failed.document, failed.finished) == ("failed", '{"error": 2}', True)
        assert requests.take(tx, 5) == []
        times = tx.execute("select created_at, finished_at from request").fetchall()
    assert all(0 <= end - begin < 600_000_000 for begin, end in times)
    assert abs(times[0][0] / 1e6 - time.time()) < 600


def test_what_an_ended_leader_had_begun_is_taken_again(store: Store) -> None:
    """Would catch: a request that is followed by the run of a leader that was killed."""
    number = requests.submit(store, "run", {}, "ann")
    with store.write(None) as tx:
        requests.take(tx, 4)
        requests.serve_by(tx, number, 17)
        (again,) = requests.take(tx, 5)
        assert (again.id, again.state, again.epoch, again.run_id) == (number, "taken", 5, None)
        assert requests.get(tx, number) == again
