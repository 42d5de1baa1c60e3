"""Sessions of browsers: they end in time, survive a restart, and their ids aren't stored."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from headrace.security import sessions as module
from headrace.security.sessions import (
    ABSOLUTE_SECONDS,
    IDLE_SECONDS,
    LOCAL_ABSOLUTE_SECONDS,
    LOCAL_IDLE_SECONDS,
    SESSIONS_FILE,
    START_LINK,
    Sessions,
    SignedIn,
    SignInKind,
)

ANA = SignedIn(kind=SignInKind.PASSWORD, who="user:ana")


class Clock:
    now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("who", "idle_seconds", "absolute_seconds"),
    [
        (START_LINK, LOCAL_IDLE_SECONDS, LOCAL_ABSOLUTE_SECONDS),
        (ANA, IDLE_SECONDS, ABSOLUTE_SECONDS),
    ],
)
def test_a_session_ends_after_idle_time_and_in_any_case(
    clock: Clock, who: SignedIn, idle_seconds: float, absolute_seconds: float
) -> None:
    """S2. Would catch: a stolen cookie that is good for ever."""
    sessions = Sessions()
    idle, busy = sessions.start(who), sessions.start(who)
    assert idle != busy and len(idle) >= 43
    started = clock.now
    while clock.now - started < absolute_seconds - idle_seconds / 2:
        clock.now += idle_seconds / 2
        assert sessions.use(busy)
    assert not sessions.use(idle)
    clock.now += idle_seconds / 2 + 1
    assert not sessions.use(busy)
    assert not sessions.use("") and not sessions.use("\ud800")


def test_an_ended_session_is_over_at_once() -> None:
    """Would catch: a session that goes on after its end."""
    sessions = Sessions()
    first, second = sessions.start(), sessions.start()
    sessions.end(first)
    sessions.end("unknown")
    assert not sessions.use(first) and sessions.use(second)


def test_sessions_survive_a_restart_without_their_ids(tmp_path: Path, clock: Clock) -> None:
    """Would catch: everybody signed out by a restart; ids that a backup of the folder gives away;
    a file that others can read."""
    path = tmp_path / SESSIONS_FILE
    session_id = Sessions(path).start()
    assert session_id not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Sessions(path)
    assert again.use(session_id)
    clock.now += LOCAL_IDLE_SECONDS + 1
    assert not Sessions(path).use(session_id)
    again.end(session_id)
    assert not Sessions(path).use(session_id)
    assert {file.name for file in tmp_path.iterdir()} == {SESSIONS_FILE, "sessions.lock"}


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[]", '{"a": {"started_at": "x"}}'])
def test_a_damaged_file_signs_out_and_starts_anew(tmp_path: Path, content: str) -> None:
    """Would catch: a server that doesn't start because of a file that it can do without."""
    path = tmp_path / SESSIONS_FILE
    path.write_text(content)
    sessions = Sessions(path)
    session_id = sessions.start()
    assert Sessions(path).use(session_id)


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    """Would catch: sessions that another user of the machine has made up."""
    forged = tmp_path / "forged.json"
    session_id = Sessions(forged).start()
    path = tmp_path / SESSIONS_FILE
    path.symlink_to(forged)
    assert not Sessions(path).use(session_id)


def test_the_number_of_sessions_is_limited(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Would catch: a file that grows with each start link that a program opens."""
    monkeypatch.setattr(module, "SESSIONS_MAX", 3)
    sessions = Sessions()
    ids = []
    for _ in range(5):
        ids.append(sessions.start())
        clock.now += 1
    assert [bool(sessions.use(session_id)) for session_id in ids] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_two_processes_share_the_sessions(tmp_path: Path, clock: Clock) -> None:
    """S2. Would catch: a session that goes on in the server after a command has ended it; one that
    a server brings back by writing its own view of the file."""
    path = tmp_path / SESSIONS_FILE
    server, command = Sessions(path), Sessions(path)
    first, second = server.start(ANA), server.start()
    assert len(command.current()) == 2
    ended = command.end_where(lambda _, who: who.who == "user:ana")
    assert [session.signed_in.who for session in ended.values()] == ["user:ana"]
    assert server.use(first) is None and not server.lasts(first)
    clock.now += 120
    assert server.use(second)
    third = server.start()
    assert command.use(third) and command.use(first) is None and len(server.current()) == 2
    path.unlink()
    assert server.use(second) is None and server.use(third) is None


def test_a_file_that_others_can_write_is_not_believed(tmp_path: Path) -> None:
    """Would catch: sessions that another user of the machine has added."""
    path = tmp_path / SESSIONS_FILE
    session_id = Sessions(path).start()
    path.chmod(0o666)
    assert Sessions(path).use(session_id) is None


def test_a_session_from_the_future_is_over(clock: Clock) -> None:
    """Would catch: a session that lasts for years, because the clock was wrong when it began."""
    sessions = Sessions()
    session_id = sessions.start(ANA)
    clock.now -= 10 * ABSOLUTE_SECONDS
    assert sessions.use(session_id) is None
