"""The explorer's page as a stranger would try it: without the token, under another name, and what has been
started before anybody came.
"""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import hear

pytest.importorskip("voila", reason="no Voilà: pip install voila")
PROGRAM = "import sys; from sae_lit.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> tuple[subprocess.Popen, int, str]:
    "A served page: the process, its port, and its token."
    home = tmp_path_factory.mktemp("home")
    with open(home / "log", "w") as log:
        words = [
            sys.executable,
            "-c",
            PROGRAM,
            "explore",
            "sae-12-shapes3d-twin",
            "--port",
            "0",
            "--no-browser",
        ]
        server = subprocess.Popen(
            words,
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HOME": str(home), "OMP_NUM_THREADS": "1"},
            preexec_fn=hear,
        )
    try:
        while not (found := re.search(r":(\d+)/[?]token=(\w+)", (home / "log").read_text())):
            assert server.poll() is None, (home / "log").read_text()
            time.sleep(0.1)
        yield server, int(found[1]), found[2]
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()


def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    "Status and body of an answer."
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            connection.request("GET", path, headers=headers)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)  # the address is said a moment before the port is open
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")


def kernels(server: subprocess.Popen) -> int:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    if not children.exists():
        pytest.skip("needs /proc")
    return sum(
        b"ipykernel" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text().split()
    )


def test_without_the_token_nothing_is_served_or_started(served):
    server, port, token = served
    assert kernels(server) == 1, "one is ready for the first visitor"
    for path in (
        "/",
        "/?token=wrong",
        "/voila/render/explorer.ipynb",
        "/api/kernels",
        "/voila/files/explorer.ipynb",
    ):
        status, body = ask(port, path)
        assert status in (302, 401, 403, 404, 405) and "widget-view" not in body, path
    assert kernels(server) == 1


def test_another_name_is_refused(served):
    server, port, token = served
    for name in ("evil.example", "evil.example:80", "localhost.evil.example", "192.0.2.1"):
        assert ask(port, f"/?token={token}", Host=name)[0] == 403, name
    assert kernels(server) == 1


def test_with_the_token_the_sliders_are_there(served):
    server, port, token = served
    status, body = ask(port, f"/?token={token}")
    assert (
        status == 200
        and "application/vnd.jupyter.widget-view+json" in body
        and "sae-12 on shapes3d-twin" in body
    )
