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
        runs += [make_run("second-with-a-rather-long-name-of-its-own", seed=1)]
        runs += [make_run("third", seed=2, evaluated=False)]
    return write_report(runs)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", ["one run", "several runs"], indirect=True)
def test_the_report_opens_without_errors_and_fits(page: Path, width: int, tmp_path: Path) -> None:
    seen = look(page, width, tmp_path)
    assert seen["errors"] == []
    assert seen["width"] == width
    assert seen["scroll"] <= width  # nothing sticks out of the page
    assert len(seen["pictures"]) >= 10
    for complete, natural_width, natural_height, shown_width, shown_height in seen["pictures"]:
        assert complete
        assert min(natural_width, natural_height, shown_width, shown_height) > 0
    assert len(seen["drawings"]) >= 4
    assert all(shown > 250 for shown in seen["drawings"])
    assert seen["text"] > 1000


def test_an_error_of_the_page_would_be_seen(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<!doctype html><body><p style='width:900px'>x</p><script>oops()</script>")
    seen = look(bad, 390, tmp_path)
    assert seen["scroll"] > 390
    assert any("oops" in line for line in seen["errors"])
