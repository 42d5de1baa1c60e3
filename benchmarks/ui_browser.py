"""What a browser does with the web UI, measured inside of it: when a page is there, how many frames
a second, how much memory.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

CHROMIUM = (
    os.environ.get("HEADRACE_CHROMIUM")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
)
WINDOW: ViewportSize = {"width": 1400, "height": 850}
SECONDS = 180.0
"""So long a page is waited for: a machine that others use is slow."""
WATCH = """
window.isThere = () => {
  const waiting = [...document.querySelectorAll('main .empty[role=status]')].some(one => one.textContent.endsWith('…'));
  return !!document.querySelector('main h1') && !waiting;
};
window.there = (is) => new Promise((found, never) => {
  const until = performance.now() + MILLISECONDS;
  const look = () => {
    if (is()) return requestAnimationFrame(() => setTimeout(() => found(performance.now())));
    if (performance.now() > until) return never(new Error(`${location.href}: ${document.body.innerText.slice(0, 500)}`));
    requestAnimationFrame(look);
  };
  look();
});
window.opened = window.there(window.isThere);
window.frames = (seconds, step) => new Promise(found => {
  const began = performance.now(); let count = 0, last = began, longest = 0;
  const frame = (now) => {
    longest = Math.max(longest, now - last); last = now;
    if (now - began >= seconds * 1000) return found({fps: 1000 * count / (now - began), longest});
    count += 1; step(count); requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
});
""".replace("MILLISECONDS", str(int(SECONDS * 1000)))
"""A page is there once it has its heading and nothing says that it is on its way; the time is that
of the frame after, since the address was asked for. Frames are counted while a step is ingested
each."""
PAN = """() => {
  const pane = document.querySelector('.react-flow__pane'), box = pane.getBoundingClientRect();
  const at = (count) => ({bubbles: true, view: window, button: 0, buttons: 1, clientX: box.x + box.width / 2 + 200 * Math.sin(count / 20),
                          clientY: box.y + box.height / 2 + 120 * Math.cos(count / 20)});
  pane.dispatchEvent(new MouseEvent('mousedown', at(0)));
  return frames(3, count => window.dispatchEvent(new MouseEvent('mousemove', at(count))))
    .then(found => (window.dispatchEvent(new MouseEvent('mouseup', at(0))), found));
}"""
SCROLL = (
    "() => { const table = document.querySelector('.scroll.many'); return frames(3, () => {"
    " table.scrollTop += 120; }); }"
)

MULTIPLIED = """
const real = window.fetch;
window.fetch = async (...asked) => {
  const answer = await real(...asked);
  if (new URL(asked[0].url ?? asked[0], location).pathname !== PATH) return answer;
  const found = await answer.json();
  const nodes = Array.from({length: ROWS}, (_, n) => ({...found.nodes[n % found.nodes.length], name: `asset_${n}`}));
  return new Response(JSON.stringify({...found, nodes, total: ROWS, next: null}), {headers: {'content-type': 'application/json'}});
};
"""


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, without a screen. Ends the benchmark where there is none."""
    if CHROMIUM is None:
        raise SystemExit("no chromium here (apt install chromium), or name it in HEADRACE_CHROMIUM")
    with sync_playwright() as playwright:
        result = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--enable-precise-memory-info"]
        )
        try:
            yield result
        finally:
            result.close()


@contextmanager
def page_of(result: Browser, url: str) -> Iterator[Page]:
    """A page of somebody who comes for the first time: nothing is cached. `url` is the one with the
    token.
    """
    parts = urlsplit(url)
    context = result.new_context(viewport=WINDOW, base_url=f"{parts.scheme}://{parts.netloc}")
    context.set_default_timeout(SECONDS * 1000)
    name, token = "token", parts.query.partition("=")[2]
    assert name in parts.query
    context.request.get(f"/?token={token}")
    try:
        page = context.new_page()
        page.add_init_script(WATCH)
        yield page
    finally:
        context.close()


def opened_ms(page: Page, path: str) -> float:
    """From asking for an address to the page that can be read."""
    page.goto(path, wait_until="commit")
    return float(page.evaluate("window.opened"))


def drawn_ms(page: Page, act: str, drawn: str) -> float:
    """From an act (a script) to what is drawn then (a condition): as the viewer waits."""
    return float(
        page.evaluate(
            f"() => {{ const began = performance.now(); {act}; return there(() => {drawn}).then(at"
            " => at - began); }"
        )
    )


def frames(page: Page, moving: str) -> dict[str, float]:
    """Frames a second while something moves, and the longest of them in milliseconds."""
    result: dict[str, float] = page.evaluate(moving)
    return result


def memory(page: Page) -> tuple[float, int]:
    """MB of script's objects, and nodes of the document and beside it, after what nobody needs is
    gone.
    """
    tools = page.context.new_cdp_session(page)
    for _ in range(3):
        tools.send("HeapProfiler.collectGarbage")
    used = tools.send("Runtime.getHeapUsage")["usedSize"]
    nodes = tools.send("Memory.getDOMCounters")["nodes"]
    tools.detach()
    return used / 1e6, int(nodes)


def multiplied(page: Page, path: str, rows: int) -> None:
    """Let a page get so many nodes from an address, made of those that there are: inside the page,
    so that nothing large is sent.
    """
    page.add_init_script(MULTIPLIED.replace("PATH", json.dumps(path)).replace("ROWS", str(rows)))
