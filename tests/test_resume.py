"Training survives: real processes, really killed, end with the weights of a run that nothing disturbed."

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import command

SAE_LIT = Path(sys.executable).with_name("sae-lit")
WORDS = (
    "train --model sae-2 --data digits --resolution 8 --latent-dim 4 --steps 150 --batch-size 16 "
    "--checkpoint-every 10"
).split()
WEIGHTS = "model/model.safetensors"


def start(*words: str | Path, cwd: Path, **options) -> subprocess.Popen:
    "A training, on its own."
    return subprocess.Popen(
        [SAE_LIT, *WORDS, *words],
        cwd=cwd,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        **options,
    )


def checkpoints(run: Path) -> list[Path]:
    return sorted(run.glob("checkpoints/step-*.safetensors"))


def killed(run: Path, *words: str, after: int, moment: random.Random) -> int:
    """Start or go on, and kill without warning at some moment after step `after` is safe; the last step that
    was safe then.
    """
    process = start("--out", run.name, *words, cwd=run.parent)
    while process.poll() is None and not any(int(p.stem[5:]) > after for p in checkpoints(run)):
        time.sleep(0.02)
    time.sleep(moment.random() * 0.5)
    process.kill()
    process.wait()
    return int(checkpoints(run)[-1].stem[5:])


def same(a: Path, b: Path) -> bool:
    "Whether two runs ended with the same weights and the same log, to the last bit."
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in (WEIGHTS, "metrics.jsonl"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    "A run from start to end."
    folder = tmp_path_factory.mktemp("undisturbed")
    command(SAE_LIT, *WORDS, "--out", "run", cwd=folder)
    return folder / "run"


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    "A run that was killed in the middle."
    run = tmp_path_factory.mktemp("half") / "run"
    assert killed(run, after=20, moment=random.Random(0)) < 150
    return run


@pytest.fixture
def copied(half: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(half, tmp_path / "run"))


def test_killed_again_and_again(undisturbed: Path, tmp_path: Path):
    moment, safe, run = random.Random(1), 0, tmp_path / "run"
    for words in ([], ["--resume"], ["--resume"]):
        safe = killed(run, *words, after=safe, moment=moment)
    assert 0 < safe < 150 and not (run / "model").exists(), "killed too late for a test"
    command(
        SAE_LIT, "train", "--resume", "--out", run, cwd=tmp_path
    )  # the rest of the configuration is in the folder
    assert same(run, undisturbed)
    assert not list(run.glob("checkpoints/.*")), "temporary files are left"


def test_checkpoint_cut_short(undisturbed: Path, copied: Path):
    newest = checkpoints(copied)[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    command(SAE_LIT, "train", "--resume", "--out", copied, cwd=copied.parent)
    assert same(copied, undisturbed)


def test_killed_before_it_began(undisturbed: Path, tmp_path: Path):
    "The command that started a run, with --resume added, also serves where nothing is there yet."
    command(SAE_LIT, *WORDS, "--resume", "--out", "run", cwd=tmp_path)
    assert same(tmp_path / "run", undisturbed)


def test_a_file_that_cannot_grow(copied: Path):
    "A disk quota, as a limit on file size: one clear line, exit code 2, and the last checkpoint still loads."
    before = {p.name: p.read_bytes() for p in checkpoints(copied)}

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = start("--resume", "--out", "run", cwd=copied.parent, preexec_fn=limit)
    error = process.communicate()[1].splitlines()[-1]
    assert (
        process.returncode == 2
        and error.startswith("sae-lit: error: cannot write the checkpoint")
        and max(before) in error
        and "then resume" in error
    )
    assert {p.name: p.read_bytes() for p in checkpoints(copied)} == before
    assert load_file(checkpoints(copied)[-1])


@pytest.fixture
def small_disk(tmp_path: Path):
    "A disk of a few megabytes."
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", disk], capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_full_disk(undisturbed: Path, small_disk: Path):
    process = start("--out", small_disk / "run", cwd=small_disk)
    error = process.communicate()[1]
    assert process.returncode == 2 and "Traceback" not in error
    assert "No space left" in error.splitlines()[-1] and "last good checkpoint" in error.splitlines()[-1]
    moved = shutil.copytree(small_disk / "run", small_disk.parent / "run")
    assert checkpoints(moved)
    command(SAE_LIT, "train", "--resume", "--out", moved, cwd=moved.parent)
    assert same(moved, undisturbed)


def children(pid: int) -> list[int]:
    "The processes that a process has started."
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


@pytest.mark.skipif(not shutil.which("ps"), reason="looks for processes with ps")
def test_two_processes(undisturbed: Path, tmp_path: Path):
    "They do what one does; when the first is killed the other ends too; and what is resumed has two again."
    process = start("--processes", "2", "--out", "run", cwd=tmp_path)
    run, other = tmp_path / "run", []
    while process.poll() is None and len(checkpoints(run)) < 2:
        other = children(process.pid) or other
        time.sleep(0.05)
    assert len(other) == 1
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while Path(f"/proc/{other[0]}").exists() and "zombie" not in Path(f"/proc/{other[0]}/status").read_text():
        assert time.monotonic() < until, "the second process outlives the first"
        time.sleep(0.1)
    command(SAE_LIT, "train", "--resume", "--out", run, cwd=tmp_path)
    assert json.loads((run / "config.json").read_text())["versions"]["processes"] == "2"
    one, two = (load_file(folder / WEIGHTS) for folder in (undisturbed, run))
    for name in one:
        torch.testing.assert_close(
            one[name], two[name], rtol=1e-3, atol=1e-4, msg=lambda text: f"{name}: {text}"
        )
    first, second = (
        [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (undisturbed, run)
    )
    assert first == pytest.approx(second, rel=1e-5)


def test_second_process_dies(tmp_path: Path):
    process = start("--processes", "2", "--steps", "100000", "--out", "run", cwd=tmp_path)
    while process.poll() is None and not checkpoints(tmp_path / "run"):
        other = children(process.pid)
        time.sleep(0.05)
    os.kill(other[0], signal.SIGKILL)
    error = process.communicate(timeout=60)[1].splitlines()[-1]
    assert process.returncode == 2 and "one of the 2 processes ended with code -9" in error
