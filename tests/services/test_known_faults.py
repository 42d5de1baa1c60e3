"""B3, B5, B7, B8, B18: known faults of systems like this, tried on the commands."""

from __future__ import annotations

import io
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from clilab import Project, call, filled, shop

from headrace.integrations.notifications.channels import filled as filled_template
from headrace.model import HeadraceError
from headrace.project import git_revisions

__all__ = ["call", "filled", "shop"]
"""Fixtures of the command line's tests."""

REVISIONS = (
    "--upload-pack=touch {mark}",
    "--output={mark}",
    "--exec=touch {mark}",
    "-o{mark}",
    "--remote=ext::sh -c touch% {mark}",
    "ext::sh -c 'touch {mark}'",
    "HEAD; touch {mark}",
    "$(touch {mark})",
    "`touch {mark}`",
    "HEAD\ntouch {mark}",
    "HEAD --output={mark}",
    "-c core.fsmonitor=touch",
    "--help",
    "--",
    "-",
    "",
    "\0",
    "@{{-1}}",
    "HEAD^{{/touch}}",
    ":/",
    "refs/../../etc/passwd",
)


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def test_b5_a_revision_is_never_an_option_of_git(shop: Project, tmp_path: Path) -> None:
    """B5. Would catch: `--against` that makes git write a file, run a program or ask a remote."""
    git(shop.root, "init", "-q")
    (shop.root / ".gitignore").write_text(".headrace\n")
    git(shop.root, "add", "-A")
    git(shop.root, "commit", "-q", "-m", "all")
    assert shop.call(shop.root, "plan", "--against", "HEAD")[0] == 0
    mark = tmp_path / "mark"
    before = sorted(path.name for path in shop.root.iterdir())
    for text in REVISIONS:
        code, out, err = shop.call(shop.root, "plan", f"--against={text.format(mark=mark)}")
        assert code in (1, 2, 3) and "Traceback" not in out + err, (text, code, out, err)
    assert not mark.exists()
    assert sorted(path.name for path in shop.root.iterdir()) == before


def test_b5_git_asks_no_remote_and_reads_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """B5. Would catch: a revision that fetches objects, by a protocol that runs a program."""
    seen: dict[str, str] = {}

    def note(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        seen.update(options["env"])  # type: ignore[call-overload]
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(subprocess, "run", note)
    git_revisions.git(Path(), "rev-parse", "HEAD")
    assert seen["GIT_ALLOW_PROTOCOL"] == "none" and seen["GIT_TERMINAL_PROMPT"] == "0"
    assert seen["GIT_NO_LAZY_FETCH"] == "1"


def archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as packed:
        for member in members:
            content = b"x" * member.size
            packed.addfile(member, io.BytesIO(content) if member.isfile() else None)
    return path


def member(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 1
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.size = size if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("../outside")],
        [member("/outside")],
        [member("a/../../outside")],
        [member("link", tarfile.SYMTYPE, ".."), member("link/outside")],
        [member("link", tarfile.SYMTYPE, "/"), member("link/outside")],
        [member("hard", tarfile.LNKTYPE, "../outside"), member("hard")],
        [member("device", tarfile.CHRTYPE), member("pipe", tarfile.FIFOTYPE)],
        [member("a"), member("a"), member("A")],
    ],
    ids=range(8),
)
def test_b7_an_archive_writes_nothing_outside_of_its_folder(
    tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    """B7. Would catch: `..`, an absolute name, a file written through a link, a device."""
    target = tmp_path / "inside" / "target"
    target.mkdir(parents=True)
    packed = archive(tmp_path / "x.tar", *members)
    with suppress(HeadraceError):
        git_revisions._unpack(packed, target, "HEAD")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "x.tar"]
    assert [path.name for path in (tmp_path / "inside").iterdir()] == ["target"]
    for path in target.rglob("*"):
        assert not path.is_symlink() and (path.is_dir() or path.is_file()), path
    assert not Path("/outside").exists()


def test_b7_an_archive_of_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B7. Would catch: a million members, or a member that says that it is small."""
    target = tmp_path / "target"
    target.mkdir()
    monkeypatch.setattr(git_revisions, "FILES_MAX", 3)
    packed = archive(tmp_path / "x.tar", *(member(f"f{n}") for n in range(4)))
    with pytest.raises(HeadraceError, match="more than"):
        git_revisions._unpack(packed, target, "HEAD")
    monkeypatch.setattr(git_revisions, "BYTES_MAX", 10)
    packed = archive(tmp_path / "y.tar", member("f", size=11))
    with pytest.raises(HeadraceError, match="more than"):
        git_revisions._unpack(packed, target, "HEAD")


TEMPLATES = (
    "{{ ''.__class__.__mro__ }}",
    "{0.__class__}",
    "{title.__class__}",
    "{title!r:>9999999999}",
    "%(title)s %n %s",
    "${title}",
    "#{title}",
    "<%= 7*7 %>",
    "{{7*7}}",
)


@pytest.mark.parametrize("text", TEMPLATES)
def test_b3_a_message_is_filled_in_without_a_template_language(text: str) -> None:
    """B3. Would catch: a format string or a template that reads attributes, in a channel's `body` or
    in the text that it is filled with."""
    values = {"title": text, "body": "{title}"}
    assert filled_template({"a": "{title}", "b": ["{body}"]}, values) == {
        "a": text,
        "b": ["{title}"],
    }
    result = filled_template(text, {"title": "T"})
    assert "class '" not in result and "49" not in result


def test_b8_reading_a_project_runs_none_of_its_code(shop: Project, tmp_path: Path) -> None:
    """B8. Would catch: validate, plan or ls that imports an asset, or an expression of a check."""
    mark = tmp_path / "mark"
    (shop.root / "assets/runs.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n"
        "from headrace import asset, Context\n\n"
        f"@asset(owner='core', partition='day', inputs=['revenue'], tags=[open({str(mark)!r}, 'w')])\n"
        "def runs(ctx: Context, revenue):\n    pass\n"
    )
    (shop.root / "assets/sitecustomize.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    for command in ("validate", "plan", "ls", "doctor", "status", "graph", "lineage", "code"):
        shop.call(shop.root, command)
    assert not mark.exists()


HOSTILE = "first\r\n2025-01-01 admin forged\x1b[2K\x1b[31mred\x07\u202egnp.exe\u2066\x9b31m\x00end"
RAW = ("\r", "\x1b", "\x07", "\u202e", "\u2066", "\x9b", "\x00")


def test_b18_text_of_people_moves_no_cursor_and_forges_no_line(shop: Project) -> None:
    """B18. Would catch: a reason, a note or a name that writes control characters to a terminal or
    into another line."""
    code, _, err = shop.call(shop.root, "pause", "revenue", "--reason", HOSTILE.replace("\0", ""))
    assert code in (0, 2), err
    shop.call(shop.root, "incidents", "note", "INC-1", HOSTILE.replace("\0", ""))
    shop.call(shop.root, "why", HOSTILE.replace("\0", ""))
    screens = (
        ("status",),
        ("audit", "show"),
        ("audit",),
        ("incidents",),
        ("incidents", "show", "INC-1"),
        ("ls",),
        ("runs",),
        ("why", "revenue@2025-03-01"),
        ("logs", "page"),
        ("logs", "fails"),
        ("quarantine",),
        ("token", "list"),
        ("why", HOSTILE.replace("\0", "")),
        ("read", HOSTILE.replace("\0", "")),
        (HOSTILE.replace("\0", ""),),
    )
    for screen in screens:
        _, out, err = shop.call(shop.root, *screen)
        for text in RAW:
            assert text not in out + err, (screen, text, out, err)
        lines = (out + err).splitlines()
        assert not any(line.startswith("2025-01-01 admin forged") for line in lines), screen


def test_b2_json_and_yaml_make_no_objects(shop: Project) -> None:
    """B2. Would catch: a class made by its name, a nesting that ends the process, a key twice."""
    for text in (
        "core: !!python/object/apply:os.system ['touch pwned']\n",
        "core: !!python/object/new:subprocess.Popen [[touch, pwned]]\n",
        "core: {kind: team}\ncore: {kind: team}\n",
        "core: " + "[" * 100_000 + "\n",
        "core: " + "{a: " * 100_000 + "\n",
        "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(50)),
    ):
        (shop.root / "access.yaml").write_text(text)
        code, out, err = shop.call(shop.root, "validate")
        assert code == 1 and "Traceback" not in out + err, (text[:60], out, err)
    assert not (shop.root / "pwned").exists()
