"""The arm goes wherever the rooms go: demo, training, scores, sliders, studies, perturbation, and a file that
the reader takes for a published one.
"""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

import sae_lit as sl
from sae_lit.alignment.choose import choose
from sae_lit.alignment.perturb import perturb
from sae_lit.cli import Demo, main
from sae_lit.data.arm import ARM, MPI3DTwin
from sae_lit.data.catalog import load_data
from sae_lit.data.changed import load, uniform_noise
from sae_lit.data.mpi3d import MPI3D
from sae_lit.models.zoo import PUBLISHED, specify
from sae_lit.report import report
from sae_lit.studies import Study, run_study
from sae_lit.studies.grids import named

POSES = {"object color": 2, "object shape": 1, "object size": 1, "background color": 0}


@pytest.fixture(scope="module")
def arm() -> MPI3DTwin:
    "The twin at 16 pixels."
    return load_data("mpi3d-twin", resolution=16)


@pytest.fixture(scope="module")
def runs(arm: MPI3DTwin, tmp_path_factory) -> list[Path]:
    "Two runs of a few steps that differ in their seed."
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        words = (
            "train --preset dense --data mpi3d-twin --resolution 16 --latent-dim 7 "
            f"--model bvae --steps 8 --batch-size 8 --seed {seed}"
        )
        assert main([*words.split(), "--out", str(folder / f"clean{seed}")]) == 0
    return [folder / "clean0", folder / "clean1"]


def test_published_weights_are_those_of_mpi3d():
    "Tripod's authors tuned for MPI3D; the twin has the same grid and takes the same weights and code size."
    spec = specify("tripod", (3, 64, 64), tuned_for="mpi3d-twin")
    assert {term: spec.terms[term] for term in ("klm", "nhp")} == PUBLISHED["mpi3d"]["terms"]
    assert spec.bottleneck.arguments["latent_dim"] == 14


def test_train_evaluate_and_explore(runs: list[Path], arm: MPI3DTwin, monkeypatch, capsys):
    stored = json.loads((runs[0] / "config.json").read_text())["data"]
    assert stored == {"name": "mpi3d-twin", "resolution": 16}
    assert main(["evaluate", str(runs[0]), "--n", "400", "--n-test", "200"]) == 0
    assert "| MSE" in capsys.readouterr().out
    pages = []
    monkeypatch.setattr("sae_lit.sampling.page.serve", lambda page, *rest: pages.append(page))
    assert main(["explore", str(runs[0]), "--port", "0", "--no-browser"]) == 0 and len(pages) == 1
    assert (runs[0] / "figures/explorer.png").is_file()


def test_hybrid_samples_of_a_structural_model(arm: MPI3DTwin, tmp_path: Path):
    model = sl.build("sae-12", arm.image_shape, preset="desk")
    run = sl.fit(model, arm, steps=3, batch_size=8, seed=0, out=tmp_path / "run")
    bank = sl.encode(run.model, arm, n=16, seed=0)
    images = run.model.decode(sl.HybridSampler(bank, groups=run.model.groups)(4, seed=0))
    assert images.shape == (4, 3, 16, 16) and 0 <= images.min() and images.max() <= 1


def test_demo(tmp_path: Path, monkeypatch, capsys):
    """It trains on the arm, and its page says whose images they are; scored on few images, as thousands take
    minutes.
    """
    monkeypatch.chdir(tmp_path)
    shown = []
    monkeypatch.setattr(Demo, "show", lambda demo, *rest: shown.append(rest[:2]))
    assert main("demo --data mpi3d-twin --steps 5 --processes 1".split()) == 0
    run, data = shown[0]
    assert data.loaded_as == {"name": "mpi3d-twin", "resolution": 32}
    page = report(run, data, sl.evaluate(run.model, data, n=300, n_test=100))
    assert "our own rendering, with the factor grid of MPI3D" in page.read_text()
    assert main("demo --data mpi3d-twn --steps 5 --processes 1".split()) == 2
    assert "did you mean 'mpi3d-twin'" in capsys.readouterr().err


def test_study(tmp_path: Path):
    study = Study(
        "arm",
        named("ae"),
        {"mpi3d-twin": {"resolution": 16}},
        seeds=(0,),
        recipe={"steps": 3, "batch_size": 8},
        measures={"evaluation": {"n": 300, "n_test": 100}},
    )
    run_study(study, tmp_path / "runs", tmp_path / "results", workers=1)
    record = json.loads((tmp_path / "results/arm/ae-mpi3d-twin-0.json").read_text())
    assert record["measures"]["evaluation"]["scores"]["mse"] > 0


def test_perturbation(runs: list[Path], arm: MPI3DTwin, tmp_path: Path):
    """s comes from a clean run, for all positions of the arm with one object; the pattern is kept in a file
    and found again.
    """
    poses = arm.only(POSES)
    assert len(poses) == 3 * 40 * 40
    found = choose(runs, poses, n=500)
    assert len(found.s) == len(poses)
    made = perturb(poses, found.s, epsilon=0.15, encoder=found.encoder)
    difference = (made.images([0, 77]) - poses.images([0, 77])).abs()
    assert 0.149 < difference.max() < 0.151
    again = load(poses, made.save(tmp_path / "p.npz"))
    assert torch.equal(again.images([5]), made.images([5]))
    noisy = load_data("random-signs:mpi3d-twin", resolution=16, epsilon=0.1)
    assert 0.099 < (noisy.images([1_036_799]) - arm.images([1_036_799])).abs().max() < 0.101
    assert (uniform_noise(arm, 0.1).images([9]) - arm.images([9])).abs().max() <= 0.1


def test_rendering_never_waits_for_the_device(arm: MPI3DTwin):
    """With tensors on a pretended GPU, which have shapes but no values, whatever asks for a value fails: so
    rendering asks for none.

    That is what a captured training step needs.
    """
    pretended, factors = copy.copy(arm), ARM.sample(4)
    with FakeTensorMode():

        def like(t: torch.Tensor) -> torch.Tensor:
            return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="cuda")

        for name, value in vars(arm).items():
            if torch.is_tensor(value):
                setattr(pretended, name, like(value))
        pretended.device = torch.device("cuda")
        images = pretended.render(like(factors))
        assert images.shape == (4, 3, 16, 16) and images.device.type == "cuda"
        with pytest.raises(DataDependentOutputException):
            images.max().item()


def test_the_reader_takes_the_file(tmp_path: Path):
    "Written with 64 pixels, read as MPI3D, at every combination of the last two factors."
    twin = MPI3DTwin(64)
    path = tmp_path / "mpi3d_toy.npz"
    assert main(["data", "write-twin", "mpi3d-twin", str(path), "--count", "1600"]) == 0
    read = MPI3D("toy", path, grid=(1, 1, 1, 1, 1, 40, 40))
    rows = [0, 39, 40, 1599]
    assert torch.equal(read.factors(rows), twin.factors(rows))
    assert np.array_equal(
        (read.images(rows) * 255).round().byte().permute(0, 2, 3, 1).numpy(), twin.uint8(rows)
    )
    assert read.factor_space.names == ARM.names
