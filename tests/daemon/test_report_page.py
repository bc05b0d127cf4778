"""The pages of `aio-tuned report` in a browser: no request, no horizontal scrolling, readable, printed below 2 MB."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.model.profile import Result
from aio_tuned.report.html import comparison, figure
from aio_tuned.report.html import page as html_page
from needed import command
from processes import PATIENCE_S, until
from unit.support.sweeps import FULL_GRID, stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Elements wider than the window, outside of scrolling boxes.
WIDE = """
const found = [];
for (const each of document.body.querySelectorAll("*")) {
  if (!each.closest(".box, pre") && each.getBoundingClientRect().right > innerWidth + 0.5) found.push(each.outerHTML.slice(0, 200));
}
return [document.documentElement.scrollWidth, innerWidth, found];
"""  # noqa: E501 - one condition
# Text with a contrast below 4.5 to its background; numbers in the cells of a map have the cell as background.
PALE = """
const parts = (words) => words.match(/[0-9.]+/g).map(Number);
const light = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((x) => (x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (each) => {
  for (; each; each = each.parentElement) {
    const colour = parts(getComputedStyle(each).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = [];
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const each = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || each.tagName === "title") continue;
  const inChart = each.closest("svg");
  if (inChart && !(each.getAttribute("style") || "").includes("var(--")) continue;
  const style = getComputedStyle(each);
  const [low, high] = [light(parts(inChart ? style.fill : style.color)), light(ground(each))].sort((a, b) => a - b);
  texts += 1;
  if ((high + 0.05) / (low + 0.05) < 4.5) found.push(walker.currentNode.data);
}
return [texts, found];
"""

# The bottom of the last part that the first screen must show, and how the blocks to copy are selected.
FIRST = """
const bottoms = [...document.querySelectorAll(".keys, .copy, .verdicts, .fluid")].map((each) => each.getBoundingClientRect().bottom);
return [Math.max(...bottoms), [...document.querySelectorAll("pre.copy")].map((each) => getComputedStyle(each).userSelect)];
"""  # noqa: E501 - one list
# The left edges of the maps in the first row of maps.
LEFTS = """
const figures = [...document.querySelector(".maps").querySelectorAll("figure")].map((each) => each.getBoundingClientRect());
return figures.filter((each) => each.top === figures[0].top).map((each) => each.left);
"""  # noqa: E501 - one list
MOST_PRINTED = 2_000_000


class Browser:
    """A session of the W3C's WebDriver protocol."""

    def __init__(self, url: str) -> None:
        self._url = url
        options = {
            "goog:chromeOptions": {
                "args": [
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--disable-background-networking",
                ]
            },
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self._session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]

    def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data=data, method=method)  # noqa: S310 - our own address
        with urllib.request.urlopen(request, timeout=2 * PATIENCE_S) as answer:  # noqa: S310 - our own address
            return json.load(answer)["value"]

    def do(self, path: str, **body: object) -> Any:  # noqa: ANN401 - any JSON
        return self._ask("POST", f"/session/{self._session}{path}", body)

    def run(self, script: str) -> Any:  # noqa: ANN401 - any JSON
        return self.do("/execute/sync", script=script, args=[])

    def devtools(self, cmd: str, **params: object) -> None:
        self.do("/goog/cdp/execute", cmd=cmd, params=params)

    def show(self, page: Path, width: int, scheme: str) -> None:
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.do("/url", url=page.as_uri())

    def log(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.do("/se/log", type=kind)
        return found

    def requested(self) -> set[str]:
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return {
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        }

    def printed(self) -> bytes:
        return base64.b64decode(self.do("/print"))

    def close(self) -> None:
        self._ask("DELETE", f"/session/{self._session}")


@contextmanager
def browser(log: Path) -> Iterator[Browser]:
    driver = command("chromedriver", "apt-get install chromium-driver")
    with log.open("wb") as file:
        process = subprocess.Popen([driver, "--port=0"], stdout=file, stderr=file)
    try:
        started = re.compile(r"started successfully on port (\d+)")
        until(lambda: started.search(log.read_text()) or process.poll() is not None)
        port = started.search(log.read_text())
        assert port, log.read_text()
        found = Browser(f"http://127.0.0.1:{port[1]}")
        try:
            yield found
        finally:
            found.close()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def test_a_browser_shows_the_pages_whole(tmp_path: Path) -> None:
    kept, hostile = stored(pause_s=75.0), stored(read_only=True, model="<script>alert(1)</script>" * 4)
    # A name without a place to break a line, on a page of 400 pixels.
    sibling = "nvme-" + "SAMSUNG_MZQL23T8HCLS_" * 3
    assert isinstance(kept.profile.read, Result)
    check = replace(kept, profile=replace(kept.profile, read=replace(kept.profile.read, kept_from=sibling)))
    with figure.drawing():
        pages = {
            "single": html_page.render(kept),
            "full": html_page.render(stored(grid=FULL_GRID)),
            "check": html_page.render(check),
            "pair": comparison.render(kept, hostile),
        }
    for name, page in pages.items():
        (tmp_path / f"{name}.html").write_text(page)
    with browser(tmp_path / "chromedriver.log") as shown:
        for name in pages:
            file = tmp_path / f"{name}.html"
            shown.log("performance")
            for scheme, dark in (("light", False), ("dark", True)):
                for width in (400, 1200):
                    shown.show(file, width, scheme)
                    assert shown.run("return matchMedia('(prefers-color-scheme: dark)').matches") == dark
                    scroll, inner, wide = shown.run(WIDE)
                    assert inner == width
                    assert scroll <= inner, (name, scheme, width, wide)
                    assert wide == []
                texts, pale = shown.run(PALE)
                assert texts > 100
                assert pale == [], (name, scheme)
            printed = shown.printed()
            assert printed.startswith(b"%PDF")
            assert len(printed) < MOST_PRINTED, name
            assert shown.log("browser") == []
            assert shown.requested() == {file.as_uri()}
        shown.show(tmp_path / "single.html", 1280, "light")
        bottom, selected = shown.run(FIRST)
        assert bottom <= 900
        assert selected == ["all", "all"]
        for width, side_by_side in ((1200, 1), (1600, 2), (2560, 3)):
            shown.show(tmp_path / "pair.html", width, "light")
            assert len(shown.run(LEFTS)) == side_by_side, width
        shown.run("document.body.style.width = '3000px'")
        with pytest.raises(AssertionError):
            assert shown.run(WIDE)[2] == []  # the measures can fail
        shown.run("document.body.style.color = getComputedStyle(document.body).backgroundColor")
        assert shown.run(PALE)[1] != []
