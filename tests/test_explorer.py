"""The explorer without a browser: setting a slider's value in Python runs the callbacks of a drag."""

import gc
import math
import subprocess
import sys
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from ipywidgets.widgets import widget as widgets
from PIL import Image
from torch import nn

from sae_lit.data.datasets import ArrayDataset
from sae_lit.metrics.information import mutual_information
from sae_lit.models.codes import encode
from sae_lit.models.zoo import build
from sae_lit.sampling.explorer import Explorer, Panel, _new_slider, _place, main_factors


class Disc(nn.Module):
    "Draw a disc on black; the latents are column, row and radius in pixels, and brightness"

    latent_dim, groups, bank, size = 4, [[0, 1], [2], [3]], None, 32

    def decode(self, z):
        x, y, radius, light = z.T[:, :, None, None]
        axis = torch.arange(self.size)
        distance = ((axis - x) ** 2 + (axis[:, None] - y) ** 2).sqrt()
        return (light * (radius + 0.5 - distance).clamp(0, 1))[:, None]

    def encode(self, x):
        light, mass, axis = x.amax((1, 2, 3)), x.sum((1, 2, 3)), torch.arange(self.size)
        column = (x.sum((1, 2)) * axis).sum(1) / mass
        row = (x.sum((1, 3)) * axis).sum(1) / mass
        return torch.stack([column, row, (mass / light / math.pi).sqrt(), light], 1)


@pytest.fixture
def model() -> Disc:
    return Disc()


@pytest.fixture
def data(model: Disc) -> ArrayDataset:
    low, high = torch.tensor([8, 8, 3, 0.4]), torch.tensor([24, 24, 7, 1.0])
    share = torch.rand(300, 4, generator=torch.Generator().manual_seed(0))
    return ArrayDataset(model.decode(low + (high - low) * share))


@pytest.fixture
def bank(model: Disc, data: ArrayDataset) -> torch.Tensor:
    return encode(model, data, n=128, seed=0)


def opened(png: bytes) -> Image.Image:
    return Image.open(BytesIO(png))


def shown(panel: Panel) -> torch.Tensor:
    "The decoded image on the screen, at its own size."
    return torch.tensor(np.array(opened(panel.image.value).resize((32, 32), Image.NEAREST))) / 255


def decoded(panel: Panel) -> torch.Tensor:
    return panel.model.decode(panel.latent[None])[0, 0]


def sources(panel: Panel, dims: list[int]) -> list[int]:
    "Rows of the bank that have the shown values in these latents."
    return (panel.sampler.bank[:, dims] == panel.latent[dims]).all(1).nonzero().flatten().tolist()


def test_main_factors_agree_with_the_measures():
    random = np.random.default_rng(0)
    factors = random.integers(0, 4, (2000, 2))
    codes = factors[:, :1] + random.normal(size=(2000, 1))
    nats = mutual_information(codes, factors, bins=10, binning="quantile")[0, 0]
    share = nats / mutual_information(factors, factors)[0, 0]
    assert main_factors(codes, factors, ["a", "b"]) == [f"a {100 * share:.0f} %"]


def test_a_slider_has_room_for_any_value():
    slider = _new_slider("U1 · z1", None)
    _place(slider, 300.0, None, 100.0, 200.0)
    assert (slider.min, slider.value, slider.max) == (100.0, 300.0, 300.0)
    _place(slider, 1.0, None, 1.0, 1.0)
    assert (slider.min, slider.value, slider.max) == (0.5, 1.0, 1.5)
    levels = [-1.0, 0.0, 1.0]
    stepped = _new_slider("U1 · z1", levels)
    _place(stepped, 0.5, levels, -1.0, 1.0)
    assert [label for label, _ in stepped.options] == ["-1.00", "0.00", "0.50", "1.00"]
    _place(stepped, -1.0, levels, -1.0, 1.0)
    assert (stepped.value, stepped.label, len(stepped.options)) == (-1.0, "-1.00", 3)


def test_sliders_run_over_the_observed_range(model, data, bank):
    panel = Explorer(model, seed=3, bank=bank).panels[0]
    assert [s.description for s in panel.sliders.values()] == ["U1 · z1", "U1 · z2", "U2 · z3", "U3 · z4"]
    for d, slider in panel.sliders.items():
        assert [slider.min, slider.max] == [bank[:, d].min().item(), bank[:, d].max().item()]


def test_a_browsers_rounding_is_no_move(model, data):
    "Every slider snaps to the nearest of 200 steps, and image and latent stay. A step by hand moves them."
    panel = Explorer(model, data).panels[0]
    before, z = panel.image.value, panel.latent.clone()
    for slider in panel.sliders.values():
        slider.value = slider.min + round((slider.value - slider.min) / slider.step) * slider.step
    assert panel.image.value == before and torch.equal(panel.latent, z)
    panel.sliders[0].value += panel.sliders[0].step
    assert panel.image.value != before and panel.latent[0] == torch.tensor(panel.sliders[0].value)


def test_the_strip_shows_the_latent_last_touched(model, data):
    "The radius grows along its strip, which stays while that latent is dragged, until another is touched."
    panel = Explorer(model, data).panels[0]
    panel.sliders[2].value = 4.0
    strip = torch.tensor(np.array(opened(panel.strip.value)))[2:-2, :, 0] / 255.0
    zoom = strip.shape[1] // (7 * 34 + 2)
    starts = [zoom * (2 + 34 * i) for i in range(7)]
    light = [strip[:, start : start + zoom * 32].sum().item() for start in starts]
    assert light == sorted(light)
    assert panel.caption.value == f"U2 · z3 from {panel.low[2]:.2f} to {panel.high[2]:.2f}"
    before = panel.strip.value
    panel.sliders[2].value = 5.0
    assert panel.strip.value == before
    panel.sliders[3].value = 0.5
    assert panel.strip.value != before and panel.caption.value.startswith("U3 · z4")


def test_hybrids_take_each_variable_from_the_bank(model, data, bank):
    explorer = Explorer(model, data, seed=0, bank=bank)
    panel = explorer.panels[0]
    for _ in range(5):
        explorer.buttons["hybrid sample"].click()
        assert sources(panel, [0, 1]) and sources(panel, [2]) and sources(panel, [3])
    assert sources(panel, [0, 1]) != sources(panel, [2])
    explorer.reset()
    before = panel.latent
    panel.mixers[0].click()
    assert sources(panel, [0, 1]) and torch.equal(panel.latent[2:], before[2:])
    assert not torch.equal(panel.latent[:2], before[:2])


def test_a_seed_fixes_the_images(model, data):
    one, two, other = (Explorer(model, data, seed=seed) for seed in (5, 5, 0))
    for explorer in (one, two):
        explorer.buttons["another picture"].click()
    assert one.original.value == two.original.value != other.original.value


def test_a_button_draws_once(model, data):
    "One image and a strip of seven, though it sets four sliders."
    drawn = []

    def decode(z):
        drawn.append(len(z))
        return model.decode(z)

    explorer = Explorer((model.encode, decode), data)
    drawn.clear()
    for name in ("another picture", "hybrid sample", "reset"):
        explorer.buttons[name].click()
    assert drawn == [1, 7] * 3


def test_images_are_saved_under_the_next_free_name(model, data, tmp_path: Path):
    explorer = Explorer(model, data, folder=tmp_path)
    for _ in range(2):
        explorer.buttons["save picture"].click()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["explored-1.png", "explored-2.png"]
    assert (tmp_path / "explored-2.png").read_bytes() == explorer.panels[0].image.value
    assert "explored-2.png" in explorer.status.value


def test_what_cannot_be_saved_can_be_downloaded(model, data, tmp_path: Path):
    file = tmp_path / "no folder"
    file.touch()
    explorer = Explorer(model, data, folder=file)
    explorer.save()
    assert explorer.status.value.startswith("not saved in")
    assert 'href="data:image/png;base64,' in explorer.status.value


def move(panel: Panel, times: int):
    "Move sliders in turn; every ten moves another one, with a new strip."
    for i in range(times):
        slider = panel.sliders[i // 10 % 4]
        slider.value = slider.min + (i % 7 + 1) / 9 * (slider.max - slider.min)
    gc.collect()


def grown(panel: Panel, moves: int) -> int:
    "Bytes that so many moves leave behind, once Python's and PyTorch's own caches are filled."
    tracemalloc.start()
    try:
        move(panel, 200)
        before = tracemalloc.get_traced_memory()[0]
        move(panel, moves)
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_nothing_piles_up(model, data):
    "As many widgets and callbacks as before, and less than 100 bytes held per move."

    def held():
        callbacks = [len(s._trait_notifiers["value"]["change"]) for s in panel.sliders.values()]
        return len(widgets._instances), callbacks

    panel = Explorer(model, data).panels[0]
    before = held()
    assert grown(panel, 500) < 50_000
    assert held() == before


def test_what_piles_up_is_found(model, data, monkeypatch):
    kept, draw = [], Panel.draw

    def hoarding(panel):
        draw(panel)
        kept.append(panel.image.value)

    monkeypatch.setattr(Panel, "draw", hoarding)
    assert grown(Explorer(model, data).panels[0], 500) > 150_000


def test_side_by_side_each_model_has_its_own_sliders(data):
    sae, ae = (build(name, image_shape=data.image_shape, preset="desk") for name in ("sae-4", "ae"))
    both = Explorer([sae, ae], data)
    left, right = both.panels
    assert [len(p.sliders) for p in both.panels] == [12, 12]
    assert [len(p.mixers) for p in both.panels] == [4, len(ae.groups)]
    before = left.image.value, right.image.value
    for slider in left.sliders.values():
        slider.value = slider.max
    assert left.image.value != before[0] and right.image.value == before[1] and sae.training


def test_an_image_beyond_the_bank_stretches_the_slider_while_it_is_shown(model, data, bank):
    panel = Explorer(model, data, bank=bank[:2]).panels[0]
    for d, slider in panel.sliders.items():
        assert slider.value == panel.start[d].item()
    panel.put(bank[0])
    assert panel.sliders[3].max == bank[:2, 3].max().item()


def test_a_constant_latent_gets_a_slider_that_can_move(model):
    explorer = Explorer(model, bank=torch.tensor([[16.0, 16, 5, 0.7], [12.0, 16, 6, 0.7]]))
    panel = explorer.panels[0]
    assert (panel.sampler.bank == panel.start).all(1).any()
    assert [panel.sliders[3].min, panel.sliders[3].max] == pytest.approx([0.2, 1.2], abs=1e-6)
    assert explorer.original.value == panel.image.value  # without data, a latent of the bank is the original


def test_a_quantised_latent_steps_over_its_levels(model, data, bank):
    bank[:, 2] = bank[:, 2].round().clamp(3, 6)
    panel = Explorer(model, data, bank=bank).panels[0]
    assert [type(panel.sliders[d]).__name__ for d in (2, 1)] == ["SelectionSlider", "FloatSlider"]
    assert panel.path(2).tolist() == [3.0, 4.0, 5.0, 6.0] and panel.path(2, 2).tolist() == [3.0, 6.0]
    panel.sliders[2].value = 6.0
    assert (panel.latent[2].item(), panel.touched) == (6.0, 2)
    assert torch.allclose(shown(panel), decoded(panel), atol=1 / 255)


def test_a_still_has_one_row_per_latent(model, data):
    explorer = Explorer(model, data)
    axes = explorer.still().subfigs[0].axes
    assert [len(a.images) for a in axes] == [1, 1, 1]
    assert [t.get_text() for t in axes[1].get_yticklabels()] == ["U1 · z1", "U1 · z2", "U2 · z3", "U3 · z4"]


def test_the_module_loads_without_ipywidgets():
    code = "import sys; sys.modules['ipywidgets'] = None; import sae_lit.sampling.explorer"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
