"""Every notebook is a test case: all its cells run, but those marked with a flag of `tst_flags` in
settings.ini.

`NBDEV_FLAGS="slow gpu" pytest tests/test_notebooks.py` runs flagged cells too. The notebooks run in a copy
of nbs/, so the pictures that they save leave the tree as it was, and each in a process of its own, so none
sees what another one set.
"""

import contextlib
import io
import os
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import nbformat
import pytest
from joblib.externals.loky import get_reusable_executor
from nbdev.config import get_config
from nbdev.test import test_nb as run_notebook

from tools.clean import ROOT, notebooks


@pytest.fixture(scope="session")
def copy(tmp_path_factory) -> Path:
    "A copy of nbs/ to run in. Loading torch here, once, lets every notebook's process start with it loaded."
    import matplotlib.pyplot  # noqa: F401
    import torch  # noqa: F401

    root = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "settings.ini", root)
    return Path(
        shutil.copytree(ROOT / "nbs", root / "nbs", ignore=shutil.ignore_patterns(".*", "runs", "demo"))
    )


def run(path: Path, skip: list[str], force: list[str]) -> str:
    "What went wrong in the notebook at `path`, with the failing cell; empty if nothing did."
    with contextlib.redirect_stderr(io.StringIO()) as said:
        passed, _ = run_notebook(path, skip_flags=skip, force_flags=force)
    get_reusable_executor().shutdown(
        kill_workers=True
    )  # else this process lives until joblib's idle workers give up, after five minutes
    if passed:
        return ""
    cell = re.search(r"While Executing Cell #(\d+)", said.getvalue())
    source = nbformat.read(path, as_version=4).cells[int(cell[1]) - 1].source if cell else ""
    return f"{said.getvalue()}\nThe cell:\n{source}"


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_notebook(path: Path, copy: Path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    skip, force = get_config(path=ROOT).tst_flags.split(), os.environ.get("NBDEV_FLAGS", "").split()
    # A forked process would wait for ever for the workers of an executor that another test has left here.
    get_reusable_executor().shutdown(kill_workers=True)
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as process:
        failure = process.submit(run, copy / path.relative_to(ROOT / "nbs"), skip, force).result()
    if failure:
        pytest.fail(failure, pytrace=False)
