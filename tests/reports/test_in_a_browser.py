"""The report in headless Chromium: nothing fetched, no complaint, no sideways scrolling, printable."""

import html as markup
import json
import re
import shutil
import subprocess

import pytest

from .fake_snapshot import tables
from .test_monthly import HOSTILE, changed, html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")


def browse(tmp_path, file, *arguments):
    """What Chromium printed for a file, with a profile of its own."""
    profile = tmp_path / "profile"
    profile.mkdir()
    done = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={profile}", *arguments, file.as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def report(tmp_path):
    """A report with hostile names, as a file."""
    filled = changed(
        fct_api_costs_daily=[{**line, "model": HOSTILE, "team": HOSTILE} for line in tables()["fct_api_costs_daily"]]
    )
    file = tmp_path / "report.html"
    file.write_text(html(tmp_path, filled, company=HOSTILE), encoding="utf-8")
    return file


def test_the_browser_fetches_nothing_and_complains_of_nothing(tmp_path, report):
    log = tmp_path / "net.json"
    seen, said = browse(tmp_path, report, "--dump-dom", f"--log-net-log={log}", "--enable-logging=stderr", "--v=0")
    assert "What a million tokens cost" in seen
    assert "CONSOLE" not in said
    net = log.read_text(errors="replace")
    assert "report.html" in net
    assert "evil.invalid" not in [address.split("/")[0] for address in re.findall(r'"https?://([^"]+)"', net)]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways(tmp_path, report, width):
    """Wide tables scroll in their own box, under a caption that is read without; the page itself fits a phone."""
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<iframe id="f" width="{width}" height="800" srcdoc="{markup.escape(report.read_text(encoding="utf-8"))}">'
        "</iframe><p id='out'></p><script>onload = () => { const page = f.contentDocument.documentElement;"
        "const captions = [...page.querySelectorAll('caption')].map(one => {"
        "const range = f.contentDocument.createRange(); range.selectNodeContents(one);"
        "return range.getBoundingClientRect().right; });"
        "out.textContent = JSON.stringify([page.scrollWidth, page.clientWidth, Math.max(...captions)]); }</script>",
        encoding="utf-8",
    )
    seen, _ = browse(tmp_path, outer, "--dump-dom", "--window-size=1400,900")
    found = re.search(r'id="out">(\[[\d.,]+\])', seen)
    assert found, seen[-300:]
    scrolled, shown, caption_ends = json.loads(found.group(1))
    assert scrolled <= shown
    assert 0 < caption_ends <= shown


def test_the_report_prints(tmp_path, report):
    target = tmp_path / "report.pdf"
    browse(tmp_path, report, f"--print-to-pdf={target}", "--no-pdf-header-footer")
    assert target.read_bytes().startswith(b"%PDF")
