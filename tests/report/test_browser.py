"""The report as a browser shows it: headless Chromium, at the width of a desk and of a phone."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from genkit.report import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")

# The page is put into a frame of the wanted width: a window can't be narrower than about 500 px.
FRAME = """<!doctype html><iframe id="page" style="width:{width}px;height:900px;border:0"></iframe>
<pre id="seen"></pre><script>
const frame = document.getElementById("page"), errors = [];
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement;
  for (const part of page.querySelectorAll("details")) part.open = true;
  const seen = {{
    errors, width: frame.contentWindow.innerWidth, scroll: root.scrollWidth,
    pictures: [...page.images].map(i => [i.complete, i.naturalWidth, i.naturalHeight,
      i.getBoundingClientRect().width, i.getBoundingClientRect().height]),
    drawings: [...page.querySelectorAll(".charts figure > svg")]
      .map(s => s.getBoundingClientRect().width),
    plots: [...page.querySelectorAll(".charts figure > svg")]
      .filter(s => s.querySelector(".front, .reach.thin")).length,
    text: page.body.innerText.length,
  }};
  document.getElementById("seen").textContent = JSON.stringify(seen);
}};
frame.srcdoc = {page};
</script>"""


def look(page: Path, width: int, scratch: Path) -> dict[str, Any]:
    """What a browser finds in the page at that width, with the errors of its console."""
    copy = scratch / f"frame-{width}.html"
    text = json.dumps(page.read_text()).replace("</", "<\\/")
    copy.write_text(FRAME.format(width=width, page=text))
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--enable-logging=stderr",
            f"--user-data-dir={scratch / 'profile'}",
            f"--window-size={max(width, 600) + 40},1000",
            "--virtual-time-budget=5000",
            "--dump-dom",
            copy.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    seen: dict[str, Any] = json.loads(unescape(found[1]))
    seen["errors"] += [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return seen


@pytest.fixture
def page(make_run: Callable[..., Path], request: pytest.FixtureRequest) -> Path:
    runs = [make_run("first")]
    if request.param == "several runs":
        for i, speed in enumerate((120.5, 30.0)):
            runs += [make_run(f"run-{i}", seed=i + 3)]
            (runs[-1] / "sampling.json").write_text(
                json.dumps({"images_per_s": speed, "count": 2000})
            )
        runs += [make_run("second-with-a-rather-long-name-of-its-own", seed=1)]
        runs += [make_run("third", seed=2, evaluated=False)]
    return write_report(runs)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", ["one run", "several runs"], indirect=True)
def test_the_report_opens_without_errors_and_fits(
    page: Path, width: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seen = look(page, width, tmp_path)
    assert seen["errors"] == []
    assert seen["width"] == width
    assert seen["scroll"] <= width  # nothing sticks out of the page
    assert len(seen["pictures"]) >= 10
    for complete, natural_width, natural_height, shown_width, shown_height in seen["pictures"]:
        assert complete
        assert min(natural_width, natural_height, shown_width, shown_height) > 0
    assert len(seen["drawings"]) >= 4
    several = request.node.callspec.params["page"] == "several runs"
    assert seen["plots"] >= 2 * several  # against training time and against sampling speed
    assert several or not seen["plots"]
    assert all(shown > 250 for shown in seen["drawings"])
    assert seen["text"] > 1000


SORT = """<script>
addEventListener("load", () => {
  const table = document.querySelector("table.sortable"), seen = [];
  const order = () => [...table.tBodies[0].rows].map(r => r.cells[0].textContent.trim());
  const button = table.tHead.rows[0].cells[1].querySelector("button");
  seen.push(order()); button.click(); seen.push(order()); button.click(); seen.push(order());
  document.body.innerHTML = `<pre id="seen">${JSON.stringify({order: seen})}</pre>`;
});
</script></body>"""


def test_a_click_on_a_heading_sorts_the_table(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    runs = [make_run(name, seed=i) for i, name in enumerate("abc")]
    for run, value in zip(runs, (3.0, 1.0, 2.0), strict=True):
        file = run / "evaluation.json"
        tree = json.loads(file.read_text())
        tree["metrics"][0]["value"] = value
        file.write_text(json.dumps(tree))
    page = write_report(runs)
    page.write_text(page.read_text().replace("</body>", SORT))
    shown = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="seen">(.+?)</pre>', shown.stdout, re.DOTALL)
    assert found, shown.stderr[-2000:]
    first, best, worst = json.loads(unescape(found[1]))["order"]
    assert first == ["a", "b", "c"]
    assert best == ["b", "c", "a"], "lower is better"
    assert worst == ["a", "c", "b"]


def test_an_error_of_the_page_would_be_seen(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<!doctype html><body><p style='width:900px'>x</p><script>oops()</script>")
    seen = look(bad, 390, tmp_path)
    assert seen["scroll"] > 390
    assert any("oops" in line for line in seen["errors"])
