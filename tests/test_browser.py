"""The explorer in a real browser: a person's mouse drags a slider, in JupyterLab and on the web page, and the
picture on the screen follows.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from sae_lit.cli import main
from tests import hear
from tests.conftest import ROOT

playwright = pytest.importorskip(
    "playwright.sync_api", reason="no Playwright: pip install playwright (`make setup` does)"
)
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    not CHROMIUM,
    reason="no browser: install Chromium (`make browser` on Debian), or set CHROMIUM to where one is",
)
# Without a sandbox, for CI runs as root; and silent, for it has nobody to talk to but this machine.
SILENT = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
PATIENCE = 300  # seconds; a busy machine takes its time


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=SILENT)
        yield browser
        browser.close()


@contextmanager
def window(browser, address: str) -> Iterator["playwright.Page"]:
    "A page in the browser, whose console must hold no error at the end."
    page, errors = browser.new_page(viewport={"width": 1400, "height": 900}), []
    page.set_default_timeout(1000 * PATIENCE)
    page.on(
        "console",
        lambda message: (
            message.type == "error" and errors.append(f"{message.text} {message.location.get('url', '')}")
        ),
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    page.close()
    assert not errors, errors


@contextmanager
def serving(words: list, port: int, home: Path) -> Iterator[subprocess.Popen]:
    """A server that answers on the port, with a home of its own so that nobody's settings matter. It ends by
    Control-C, and must do so well.
    """
    env = os.environ | {"HOME": str(home), "OMP_NUM_THREADS": "1"}
    with open(home / "server.log", "w+") as log:
        server = subprocess.Popen(
            list(map(str, words)), cwd=home, env=env, stdout=log, stderr=subprocess.STDOUT, preexec_fn=hear
        )

        def said() -> str:
            return (home / "server.log").read_text()

        try:
            until(lambda: server.poll() is not None or answers(port), said)
            assert server.poll() is None, said()
            yield server
            server.send_signal(signal.SIGINT)
            assert server.wait(PATIENCE) == 0, said()
        finally:
            server.kill()
            server.wait()


def answers(port: int) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE))
    except urllib.error.URLError:
        return False


def until(done: Callable[[], object], why: Callable[[], str] = lambda: "") -> None:
    "Wait for something to become true."
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, f"waited {PATIENCE} s; {why()}"
        time.sleep(0.05)


def address(home: Path) -> str:
    "What the server says where it is, with the token."
    return re.search(r"http://\S+[?]token=\w+", (home / "server.log").read_text())[0]


def a_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def pixels(page, name: str) -> bytes:
    "What the screen shows of a picture."
    return Image.open(BytesIO(page.locator(f"img.sae-{name}").screenshot())).tobytes()


def there(page) -> None:
    "Wait for the explorer, all its pictures included."
    for name in ("original", "decoded", "strip"):
        page.wait_for_function(f"(document.querySelector('img.sae-{name}') || {{}}).naturalWidth > 0")


def drag(page, number: int, by: int) -> None:
    """Take a slider's handle and pull, and let the picture follow while the button is still down. It must
    change, and the original must not.
    """
    handle = page.locator(".noUi-handle").nth(number)
    handle.scroll_into_view_if_needed()
    before, original, box = pixels(page, "decoded"), pixels(page, "original"), handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=8)
    until(lambda: pixels(page, "decoded") != before, lambda: "the picture did not follow the slider")
    page.mouse.up()
    assert pixels(page, "original") == original


def press(page, number: int, times: int) -> None:
    "Hold arrow keys on a slider, to and fro; the page draws in between."
    page.locator(".noUi-handle").nth(number).evaluate(
        """async (handle, times) => {
        for (let i = 0; i < times; i++) {
            const key = i % 100 < 50 ? 'ArrowRight' : 'ArrowLeft';
            handle.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
            await new Promise(done => setTimeout(done, 5));
        }}""",
        times,
    )


def test_web_page(browser, tmp_path: Path):
    run, port, program = (
        tmp_path / "run",
        a_port(),
        "import sys; from sae_lit.cli import main; sys.exit(main())",
    )
    assert (
        main(
            [
                *"train --model sae-4 --data digits --resolution 8 --steps 300 --batch-size 16 --out".split(),
                str(run),
            ]
        )
        == 0
    )
    explore = [sys.executable, "-c", program, "explore", run, "--port", port, "--no-browser"]
    with serving(explore, port, tmp_path), window(browser, address(tmp_path)) as page:
        assert Image.open(run / "figures/explorer.png").width > 500  # the still
        there(page)
        text = page.inner_text("body")
        assert "sae-4 on digits" in text and "U4 · z12" in text

        # The browser rounds the sliders' values when it makes them, and tells the kernel; that must count as
        # no move.
        shown = pixels(page, "decoded")
        page.wait_for_timeout(2000)
        assert pixels(page, "decoded") == shown and "U1 · z1 from" in page.inner_text("body")

        strip = pixels(page, "strip")
        drag(page, 5, -40)  # not the latent whose traversal is shown
        until(lambda: pixels(page, "strip") != strip, lambda: "the strip did not follow")

        for button, number, changes in (
            ("mix", 1, "decoded"),
            ("hybrid sample", 0, "decoded"),
            ("another picture", 0, "original"),
        ):
            before = pixels(page, changes)
            page.get_by_role("button", name=button).nth(number).click()
            until(lambda: pixels(page, changes) != before, lambda: f"nothing came of {button!r}")

        page.get_by_role("button", name="save picture").click()
        with page.expect_download() as download:
            page.get_by_text("download").click()
        assert Path(download.value.path()).read_bytes() == (run / "figures/explored-1.png").read_bytes()

        elements = "document.querySelectorAll('*').length"  # as many after a thousand moves
        before = page.evaluate(elements)
        press(page, 5, 1000)
        assert page.evaluate(elements) == before


def test_jupyterlab(browser, tmp_path: Path):
    "The explorer's own notebook, down to its first explorer, by the menu's Run All Cells."
    notebook = nbformat.read(ROOT / "nbs/52_explorer.ipynb", as_version=4)
    first = next(i for i, cell in enumerate(notebook.cells) if cell.source == "explore(model, data)")
    del notebook.cells[first + 1 :]
    for cell in notebook.cells:
        cell.pop("outputs", None) is None or cell.update(outputs=[])
    nbformat.write(notebook, tmp_path / "explorer.ipynb")
    shutil.copytree(ROOT / "nbs/figures", tmp_path / "figures")  # the notebook shows one
    port = a_port()
    quiet = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.token=",
        f"--ServerApp.port={port}",
        f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]
    with (
        serving([sys.executable, "-m", "jupyterlab", *quiet], port, tmp_path),
        window(browser, f"http://127.0.0.1:{port}/lab/tree/explorer.ipynb") as page,
    ):
        page.locator(".jp-RenderedMarkdown h1").first.wait_for()
        page.get_by_text(
            "| Idle"
        ).wait_for()  # JupyterLab silently drops what is to run before its kernel is there
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        there(page)
        drag(page, 1, 60)
        drag(page, 3, 30)
