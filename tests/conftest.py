"What several tests share."

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = "setup.py settings.ini MANIFEST.in README.md LICENSE constraints.txt".split()


def command(*args: str | Path, cwd: Path, **env: str) -> str:
    "Run a command to its end and return what it printed; where it fails, the test shows all of it."
    env = (
        {k: v for k, v in os.environ.items() if k not in ("IN_TEST", "PYTHONPATH")}
        | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        | env
    )
    done = subprocess.run(
        [str(a) for a in args], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{' '.join(map(str, args))} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="session")
def archives(tmp_path_factory) -> Path:
    """A folder with the source archive, and the wheel built from it. Built in a copy: the tree gets no build/
    and no egg-info.
    """
    tree, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SHIPPED:
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "sae_lit", tree / "sae_lit", ignore=shutil.ignore_patterns("__pycache__"))
    command(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree, cwd=tree)
    return out


@pytest.fixture(scope="session")
def installed(archives: Path, tmp_path_factory) -> Path:
    "The bin/ of an environment that has the wheel and this environment's libraries, but not the checkout."
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True)
    purelib = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    # A line in a .pth file adds the folder, but does not read the .pth files in it, the checkout's editable
    # install among them.
    Path(purelib, "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = archives.glob("*.whl")
    command(
        sys.executable,
        "-m",
        "pip",
        "--python",
        home / "bin/python",
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=home,
    )
    return home / "bin"
