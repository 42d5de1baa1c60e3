"""Keys of masks: envelope encryption, versions, rotation, and what becomes of bad root keys."""

from __future__ import annotations

import os
import pickle
import random
import secrets
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.model import UsageError
from headrace.security.key_problems import KeyProblem
from headrace.security.keys import REWRAPPED_AT_ONCE, KeyStore

ROTATE = """
import sys
from pathlib import Path
from headrace.security.keys import KeyStore
KeyStore(Path(sys.argv[1]), Path(sys.argv[1]), {}).rotate()
"""


def store(folder: Path, **settings: str) -> KeyStore:
    return KeyStore(folder, folder, settings)


def rotation(folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", ROTATE, str(folder)]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE)


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (folder / "keys").iterdir())


def test_a_key_is_created_once_and_stays(tmp_path: Path) -> None:
    """Would catch: a key per process, a key shared by domains or purposes, a clear key on disk,
    files that others can read (K1)."""
    first = store(tmp_path).data_key("finance", "hash")
    assert first.secret == store(tmp_path).data_key("finance", "hash").secret
    assert len(first.secret) == 32 and first.version == 1
    others = {store(tmp_path).data_key(*pair).secret for pair in
              (("finance", "token"), ("sales", "hash"), ("finance", "hash"))}  # fmt: skip
    assert len(others) == 3
    stored = all_bytes(tmp_path)
    assert not [key for key in others if key in stored or key.hex().encode() in stored]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()}
    assert modes == {0o600} and stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_no_text_of_a_key_contains_it(tmp_path: Path) -> None:
    """Would catch: a key in a log line or a traceback, or pickled to another process (K5)."""
    key = store(tmp_path).data_key("finance", "hash")
    for text in (repr(key), str(key), f"{key!s} {[key]}", repr(store(tmp_path))):
        assert key.secret.hex() not in text and repr(key.secret) not in text
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_rotation_keeps_data_keys_and_forgets_old_versions(tmp_path: Path) -> None:
    """Would catch: tokens that change by a rotation, an old key that remains readable (K2)."""
    purposes = [f"subject {number}" for number in range(3)]
    before = {name: store(tmp_path).data_key("finance", name).secret for name in purposes}
    store(tmp_path).data_key("sales", "hash")
    old = (
        sqlite3.connect(tmp_path / "keys/keys.db")
        .execute("select wrapped from domain_key where domain = 'finance'")
        .fetchone()[0]
    )
    assert store(tmp_path).rotate("finance") == [("finance", 2, 3)]
    assert store(tmp_path).rotate() == [("finance", 3, 3), ("sales", 2, 1)]
    assert {name: store(tmp_path).data_key("finance", name).secret for name in purposes} == before
    rows = store(tmp_path).versions()
    assert [(row.domain, row.version, row.data_keys, row.newest) for row in rows] == [
        ("finance", 3, 3, True), ("sales", 2, 1, True),
    ]  # fmt: skip
    assert old not in all_bytes(tmp_path)
    with pytest.raises(UsageError, match="no keys of the domain 'nosuch'"):
        store(tmp_path).rotate("nosuch")


@pytest.mark.parametrize("point", ["keys.rotating", "keys.rewrapped", "keys.rewrapped:2"])
def test_a_rotation_that_was_killed_at_a_step_is_continued(tmp_path: Path, point: str) -> None:
    """Would catch: keys that can't be read after a kill, or a version more per attempt (K2)."""
    before = filled(tmp_path)
    process = rotation(tmp_path, HEADRACE_FAULT=f"{point}=kill")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [row.newest for row in store(tmp_path).versions()] == [False, True]
    assert readable(tmp_path, before) and store(tmp_path).data_key("finance", "new")
    [(domain, version, _)] = store(tmp_path).rotate()
    assert (domain, version, len(store(tmp_path).versions())) == ("finance", 2, 1)
    assert readable(tmp_path, before)


@pytest.mark.long
def test_rotations_killed_at_random_lose_no_key(tmp_path: Path) -> None:
    """Would catch: a moment between the named steps at which a kill loses keys (K2)."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    drawn = random.Random(seed)
    before, killed = filled(tmp_path), 0
    for _ in range(12):
        process = rotation(tmp_path)
        time.sleep(drawn.uniform(0.0, 0.6))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        assert readable(tmp_path, before)
    assert killed
    store(tmp_path).rotate()
    assert len(store(tmp_path).versions()) == 1 and readable(tmp_path, before)


def filled(folder: Path) -> dict[str, bytes]:
    """Fill a store with more data keys than a rotation moves at once."""
    first = store(folder).data_key("finance", "hash").secret
    db = sqlite3.connect(folder / "keys/keys.db", isolation_level=None)
    opened = store(folder)
    db.execute("begin immediate")
    secrets_by_name = {"hash": first}
    for number in range(2 * REWRAPPED_AT_ONCE):
        name = f"subject {number}"
        secrets_by_name[name] = opened._new_data_key(db, "finance", name).secret
    db.execute("commit")
    db.close()
    return secrets_by_name


def readable(folder: Path, before: dict[str, bytes]) -> bool:
    names = random.sample(sorted(before), 20)
    return all(store(folder).data_key("finance", name).secret == before[name] for name in names)


def test_the_root_key_is_replaced_by_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: keys that are lost with the first root key, or that hang on it for ever."""
    monkeypatch.setenv("OLD", secrets.token_hex(32))
    monkeypatch.setenv("NEW", secrets.token_hex(32))
    old, new = "secret://env/OLD", "secret://env/NEW"
    key = store(tmp_path, root=old).data_key("finance", "hash").secret
    with pytest.raises(KeyProblem, match="encrypted with the root key") as caught:
        store(tmp_path, root=new).data_key("finance", "hash")
    assert "previous" in caught.value.hint
    assert store(tmp_path, root=new, previous=old).data_key("finance", "hash").secret == key
    store(tmp_path, root=new, previous=old).rotate()
    monkeypatch.delenv("OLD")
    assert store(tmp_path, root=new).data_key("finance", "hash").secret == key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "isn't set"),
        ("", "0 bytes"),
        ("ab" * 31, "must have 32"),
        ("no key " * 9, "neither hexadecimal nor base64"),
        ("é" * 64, "neither hexadecimal nor base64"),
    ],
)
def test_a_bad_root_key_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, message: str
) -> None:
    """Would catch: a short key in use, an error that contains the key (K5)."""
    monkeypatch.delenv("ROOT", raising=False)
    if text is not None:
        monkeypatch.setenv("ROOT", text)
    with pytest.raises(KeyProblem, match=message) as caught:
        store(tmp_path, root="secret://env/ROOT").data_key("finance", "hash")
    assert not text or text not in str(caught.value) + caught.value.hint


def test_a_lost_key_file_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    """Would catch: other tokens for the same values, because a missing key was made again."""
    store(tmp_path).data_key("finance", "hash")
    (tmp_path / "keys/root.key").unlink()
    with pytest.raises(KeyProblem, match=r"root\.key is missing"):
        store(tmp_path).data_key("sales", "hash")
    with pytest.raises(KeyProblem, match=r"root\.key is missing"):
        store(tmp_path).rotate()
    assert store(tmp_path).versions() and not (tmp_path / "keys/root.key").exists()


def test_a_key_that_was_changed_or_moved_is_refused(tmp_path: Path) -> None:
    """Would catch: another domain's key under this name, a key with flipped bits."""
    store(tmp_path).data_key("finance", "hash")
    store(tmp_path).data_key("sales", "hash")
    db = sqlite3.connect(tmp_path / "keys/keys.db")
    db.execute("update data_key set wrapped = (select wrapped from data_key where domain = 'sales')"
               " where domain = 'finance'")  # fmt: skip
    db.execute("update domain_key set wrapped = substr(wrapped, 1, 20) where domain = 'sales'")
    db.commit()
    for domain in ("finance", "sales"):
        with pytest.raises(KeyProblem, match="damaged"):
            store(tmp_path).data_key(domain, "hash")
