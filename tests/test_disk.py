"""A kill, and a full disk, at every write of everything that replaces something: the old or the new is there,
whole, and nothing else stays.
"""

import errno
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import sae_lit as sl
from sae_lit.alignment.perturb import perturb
from sae_lit.cli import save_pictures
from sae_lit.data.datasets import ArrayDataset
from sae_lit.metrics.evaluation import Scores

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
WRITES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def model(path: Path, new: bool) -> None:
    sl.build("ae", (1, 8, 8), preset="dense", latent_dim=2, seed=int(new)).save_pretrained(path)


def scores(path: Path, new: bool) -> None:
    Scores(
        data="d",
        part="test",
        pictures=2,
        mse=float(new),
        bce=1.0,
        bce_above_entropy=0.0,
        codes=2,
        latents=1,
        active=1,
    ).save(path)


def sheet(path: Path, new: bool) -> None:
    save_pictures(torch.full((4, 1, 8, 8), float(new)), path)


def perturbation(path: Path, new: bool) -> None:
    data = ArrayDataset(torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    perturb(data, torch.arange(30.0), seed=int(new)).save(path)


ACTIONS: dict[str, Callable[[Path, bool], None]] = {
    "model": model,
    "scores.json": scores,
    "sheet.png": sheet,
    "p.npz": perturbation,
}


def held(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def child(action: Callable[[], None], before: Callable[[], None]) -> int:
    """How a forked process ends in which `before` and then `action` run: 0 when all went well, 3 after an
    OSError or what stands for one, the signal's number below zero.
    """
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            before()
            action()
            os._exit(0)
        except Exception as error:
            os._exit(
                3
                if isinstance(error, OSError) or "File too large" in str(error) or "I/O" in str(error)
                else 4
            )
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status)


def hook(folder: Path, number: int, act: Callable[[], None]) -> Callable[[], None]:
    "Install an audit hook that acts at the write of this number in a folder."

    def install() -> None:
        seen = [0]

        def watch(event: str, args: tuple) -> None:
            if (
                event not in WRITES
                or not isinstance(args[0], (str, os.PathLike))
                or not str(args[0]).startswith(str(folder))
            ):
                return
            seen[0] += 1
            if seen[0] == number:
                act()

        sys.addaudithook(watch)

    return install


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(params=ACTIONS)
def case(request, tmp_path: Path) -> tuple[Path, Callable[[], None], dict, dict]:
    "A folder with the old, what writes the new, and how the folder looks before and after."
    name, act = request.param, ACTIONS[request.param]
    for kind, new in (("before", False), ("after", True)):
        act(tmp_path / kind / name, new)
    act(tmp_path / "here" / name, False)
    assert held(tmp_path / "before") == held(tmp_path / "here") != held(tmp_path / "after")
    return (
        tmp_path / "here",
        lambda: act(tmp_path / "here" / name, True),
        held(tmp_path / "before"),
        held(tmp_path / "after"),
    )


def visible(found: dict) -> dict:
    return {name: content for name, content in found.items() if not name.startswith(".")}


def test_killed_at_every_write(case):
    "The old or the new, and after the next save that is not killed, the new and nothing else."
    here, save, old, new = case
    number, states = 1, []
    while (
        end := child(save, hook(here, number, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    ) == -signal.SIGKILL:
        states.append(visible(held(here)))
        assert states[-1] in (old, new), f"killed at write {number}: {sorted(states[-1])}"
        number += 1
    assert end == 0 and number > 2 and old in states
    assert child(save, lambda: None) == 0 and held(here) == new, "what the dead have left is removed"


def test_full_at_every_write(case):
    "A full disk is an error, and leaves the old and nothing else; where it comes after the swap, the new."
    here, save, old, new = case
    number, failed = 1, 0
    while number < 60:
        end = child(save, hook(here, number, full))
        assert end in (0, 3), f"write {number} ends with {end}"
        assert visible(held(here)) in (old, new), f"full at write {number}: {sorted(held(here))}"
        failed += end == 3
        number += 1
    assert failed > 1
    assert child(save, lambda: None) == 0 and held(here) == new


def test_no_room_for_a_byte_more(case):
    "The system's own limit, which also stops writers that are not Python."
    here, save, old, new = case

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, resource.RLIM_INFINITY))

    assert child(save, limit) in (3, 4) and held(here) == old
