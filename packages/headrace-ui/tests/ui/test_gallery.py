"""`make ui-gallery`: every page in every state, width and theme on one page, for a person to look at.

Pictures of the run before are beside those that changed since.
"""

from __future__ import annotations

import html
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from addresses import Things
from browser_lab import SHOP, Site, browser, open_page, waiting
from playwright.sync_api import Browser
from serve_lab import headrace, project, serving
from test_pictures import DEMO, ZONE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]
WIDTHS = (375, 1280, 1920)
THEMES = ("light", "dark")
EMPTY = Things(asset="revenue", source="orders", consumer="", incident="", run="")
SETTLE_MS = 200
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; background: #8882; color-scheme: light dark }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top }
img { max-height: 420px; max-width: 640px; border: 1px solid #8888 }
.changed figcaption { font-weight: 600 } .changed img { border-color: #c40 }
nav { columns: 4 } h2 { border-top: 1px solid #8888; padding-top: 1rem }
"""


class Picture(NamedTuple):
    """A page as it looks in one state of a project, one theme and one width."""

    state: str
    page: str
    theme: str
    width: int

    @property
    def path(self) -> str:
        return f"{self.state}/{self.page}-{self.theme}-{self.width}.png"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as result:
        yield result


@contextmanager
def broken_morning(folder: Path) -> Iterator[Path]:
    headrace(folder, "demo", str(folder / "demo"), "--no-serve")
    yield folder / "demo"


@contextmanager
def hostile_names(folder: Path) -> Iterator[Path]:
    yield waiting(folder / "shop")


@contextmanager
def nothing_yet(folder: Path) -> Iterator[Path]:
    yield project(folder / "shop")


STATES = {
    "broken-morning": (broken_morning, DEMO),
    "hostile-names": (hostile_names, SHOP),
    "nothing-yet": (nothing_yet, EMPTY),
}


def test_every_page_has_its_picture_in_every_state(chromium: Browser, tmp_path: Path) -> None:
    """Would catch: a page that breaks in a theme, at a width or in a project without data; whether
    it looks right is for a person to say."""
    folder = Path(os.environ.get("HEADRACE_GALLERY", tmp_path / "gallery"))
    before = folder / "before"
    shutil.rmtree(before, ignore_errors=True)
    if (folder / "now").exists():
        (folder / "now").rename(before)
    pictures = []
    for state, (make, things) in STATES.items():
        made = tmp_path / state
        made.mkdir()
        with make(made) as root, serving(root) as server:
            site = Site(chromium, server)
            pictures += [
                picture
                for theme in THEMES
                for width in WIDTHS
                for picture in _taken(site, folder / "now", state, things, theme, width)
            ]
            assert site.problems == [], state
    (folder / "index.html").write_text(_index(folder, pictures), encoding="utf-8")
    print(f"\n{len(pictures)} pictures: {folder / 'index.html'}")


def _taken(
    site: Site, folder: Path, state: str, things: Things, theme: str, width: int
) -> Iterator[Picture]:
    with site.page(theme, width, zone=ZONE) as page:
        for name, path in things.named().items():
            picture = Picture(state, name, theme, width)
            open_page(page, path)
            page.wait_for_timeout(SETTLE_MS)
            target = folder / picture.path
            page.screenshot(path=target, full_page=True, animations="disabled", caret="hide")
            assert target.stat().st_size > 0
            yield picture


def _index(folder: Path, pictures: list[Picture]) -> str:
    changed = {picture for picture in pictures if _changed(folder, picture)}
    sections = []
    if changed:
        figures = "".join(_figure(folder, each, both=True) for each in sorted(changed))
        sections.append(f'<h2 id="changed">Changed since the run before</h2>{figures}')
    links = []
    for state, page in dict.fromkeys((each.state, each.page) for each in pictures):
        title = html.escape(f"{state}: {page}")
        links.append(f'<a href="#{state}-{page}">{title}</a><br>')
        figures = "".join(
            _figure(folder, each) for each in pictures if (each.state, each.page) == (state, page)
        )
        sections.append(f'<h2 id="{state}-{page}">{title}</h2>{figures}')
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Headrace: pages</title>'
        f"<style>{STYLE}</style><h1>{len(pictures)} pictures, {len(changed)} changed</h1>"
        f"<nav>{''.join(links)}</nav>{''.join(sections)}</html>\n"
    )


def _changed(folder: Path, picture: Picture) -> bool:
    before = folder / "before" / picture.path
    return before.is_file() and before.read_bytes() != (folder / "now" / picture.path).read_bytes()


def _figure(folder: Path, picture: Picture, *, both: bool = False) -> str:
    mark = ' class="changed"' if _changed(folder, picture) else ""
    caption = html.escape(f"{picture.page}, {picture.theme}, {picture.width} px")
    images = "".join(
        f'<a href="{run}/{picture.path}"><img loading="lazy" alt="{run}" src="{run}/{picture.path}">'
        "</a> "
        for run in (("before", "now") if both else ("now",))
    )
    return f"<figure{mark}>{images}<figcaption>{caption}</figcaption></figure>"
