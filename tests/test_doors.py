"""Hostile values at the door of every public function: a result without NaN, or an error that names the
argument.

The values follow from the signatures. A door is a function behind `sae_lit.data.checks.checked` or
`shaped`; `CALLS` says for each how it is called rightly, and the test fails for a door that is not there.
"""

import importlib
import inspect
import math
import pkgutil
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import sae_lit as sl
from sae_lit.alignment import perturb, two_dimensions
from sae_lit.data import streams, twins
from sae_lit.data.arm import MPI3DTwin
from sae_lit.data.datasets import ArrayDataset
from sae_lit.data.factors import FactorSpace
from sae_lit.metrics import factor_net
from sae_lit.metrics.infomec import infomec
from sae_lit.models.autoencoder import Autoencoder
from sae_lit.objectives import factor_vae
from sae_lit.sampling import hybrid, samplers
from sae_lit.training.runs import Run

nan, inf = math.nan, math.inf
ROOMS = "data metrics sampling alignment objectives models training".split()
# Doors that cannot be called hundreds of times: their arguments go through the same checks.
LONG = {
    "sae_lit.metrics.factor_net.train_factor_net": "trains for minutes",
    "sae_lit.sampling.page.serve": "serves until interrupted",
    "sae_lit.data.files.Shapes3D.__init__": "needs a file of its own",
    "sae_lit.data.files.DSprites.__init__": "needs a file of its own",
    "sae_lit.data.mpi3d.MPI3D.__init__": "needs a file of its own",
    "sae_lit.data.rendered.Rendered.__init__": "needs a folder of its own",
    "sae_lit.data.photos.CelebA.__init__": "needs a folder of its own",
    "sae_lit.data.photos.RFD.__init__": "needs a folder of its own",
    "sae_lit.data.photos.write_rfd": "writes a thousand files",
    "sae_lit.data.photos.write_celeba": "writes a folder",
    "sae_lit.data.rendered.write_rendered": "writes a folder",
}
# What arguments are called in sentences: where two do not fit together, the error names what they hold.
WORDS = ("shape", "codes", "pictures", "images", "latents", "variable", "width", "port=", "run folder")
# NaN stands, as documented, for what a constant latent or factor has no answer to.
NAN = {"sap_matrix", "robustness", "explicitness_by_factor", "nonlinearity", "infomec", "nmi_heatmap", "dci"}


def doors() -> dict[str, Callable]:
    "Every door of the rooms by its full name."
    found = {}
    for room in ROOMS:
        package = importlib.import_module(f"sae_lit.{room}")
        for info in pkgutil.iter_modules(package.__path__, f"sae_lit.{room}."):
            module = importlib.import_module(info.name)
            for name, thing in vars(module).items():
                if getattr(thing, "__module__", "") != info.name:
                    continue
                parts = (
                    {f"{name}.{k}": v for k, v in vars(thing).items()}
                    if isinstance(thing, type)
                    else {name: thing}
                )
                found |= {f"{info.name}.{k}": v for k, v in parts.items() if hasattr(v, "door")}
    return found


@pytest.fixture(scope="module")
def stage() -> dict[str, object]:
    "Small right arguments, by the names that parameters have."
    g = torch.Generator().manual_seed(0)
    space = FactorSpace(["x", "y"], [8, 6])
    data = ArrayDataset(torch.rand(48, 1, 8, 8, generator=g), factor_space=space, name="small")
    model = sl.build("vae", (1, 8, 8), preset="dense", latent_dim=2)
    z = torch.randn(40, 3, generator=g)
    known = space.sample(40, seed=0)
    shifts = torch.randint(3, (4, 8), generator=g)
    return {
        "model": model,
        "data": data,
        "part": data,
        "factor_space": space,
        "space": space,
        "codes": z,
        "factors": known,
        "z": z,
        "bank": torch.randn(20, 2, generator=g),
        "mean": z,
        "logvar": -z.abs(),
        "variance": torch.rand(40, 3, generator=g),
        "dataset_size": 100,
        "index": torch.arange(5),
        "x": torch.rand(4, 1, 8, 8, generator=g),
        "images": torch.rand(4, 1, 8, 8, generator=g),
        "shifts": shifts,
        "before": shifts,
        "after": shifts,
        "pattern": perturb.sign_pattern(12, 8),
        "epsilon": 0.1,
        "encode": lambda index: space.to_factors(index).double(),
        "s": torch.rand(48, generator=g),
        "M": torch.rand(3, 3, generator=g),
        "R": torch.rand(2, 3, generator=g),
        "groups": [[0, 1, 2]],
        "f": lambda z: torch.stack([z.prod(1), z.square().sum(1)], 1),
        "critic": factor_vae.Critic(3, 8, 1),
        "runs": [Run(model), Run(model)],
        "points": torch.randn(50, 2, generator=g),
        "prior": torch.randn(30, 3, generator=g),
        "names": ["x", "y"],
        "sampler": samplers.PriorSampler(2),
    }


SMALL = {
    "n": 10,
    "contexts": 5,
    "steps": 3,
    "votes": 20,
    "test_votes": 20,
    "examples": 40,
    "test_examples": 20,
    "variance_samples": 20,
    "batch_size": 8,
    "batch": 8,
    "traversals": 2,
    "interventions": 2,
    "size": 16,
    "size_of": 8,
    "factor": 0,
}
# By the end of the full name: what differs from `stage` and from the defaults. A function makes the object
# whose method is called.
CALLS: dict[str, dict] = {
    "FactorSpace.__init__": {"names": ["a", "b"], "sizes": [2, 3]},
    "split_rows": {"size": 20},
    "ImageDataset.part": {"name": "test"},
    "Digits.__init__": {"resolution": 8},
    "ImageFolder.__init__": {"path": "pictures"},
    "Shapes3DTwin.uint8": {"index": [0, 1]},
    "Shapes3DTwin.write": {"path": "new.h5", "count": 2},
    "DSpritesTwin.write": {"path": "new.npz", "count": 2},
    "MPI3DTwin.uint8": {"index": [0, 1]},
    "MPI3DTwin.write": {"path": "arm.npz", "count": 2},
    "barcodes": {"classes": [[0, 1]], "sizes": [2, 3], "height": 4, "width": 4},
    "write_mpi3d": {"path": "m.npz", "grid": (1, 1, 1, 1, 1, 2, 2)},
    "BatchStream.__init__": {"size": 20, "batch_size": 4},
    "BatchStream.batch": {"step": 3},
    "write_data": {"name": "mpi3d-toy", "root": "made"},
    "transition_table": {"size": 3},
    "neighbours": {"factors": [[0, 1]]},
    "HybridSampler.__init__": {"bank": [[0.0, 1.0], [2.0, 3.0]], "groups": [[0], [1]]},
    "HybridSampler.__call__": {},
    "HybridSampler.partial": {"reference": [0.0, 1.0], "groups": [1]},
    "traverse": {"z": torch.zeros(2), "bank": torch.rand(20, 2)},
    "plot_grid": {"rows": 2},
    "plot_traversal": {"images": torch.rand(2, 3, 1, 8, 8), "groups": [[0], [1]]},
    "to_png": {"image": torch.rand(1, 8, 8)},
    "main_factors": {},
    "levels_of": {},
    "Explorer.__init__": {"data": "@data"},
    "explore": {"data": "@data"},
    "page": {"title": "a page", "models": ["somewhere"], "data": {"name": "digits"}},
    "free_port": {"port": 0},
    "PriorSampler.__init__": {"latent_dim": 2},
    "MixtureSampler.__init__": {"components": 2},
    "discretise": {"bins": 4},
    "nmi_heatmap": {"result": "@infomec"},
    "entropy_scores": {"importance": np.eye(3)},
    "dci": {"model": "fast"},
    "infomec": {"discrete": False},
    "evaluate": {"n_test": 10, "n_fidelity": 0, "model": "@model"},
    "disentanglement": {"dci_model": "fast"},
    "feature_distances": {"real": torch.rand(12, 3), "fake": torch.rand(12, 3)},
    "fidelity": {"real": torch.rand(12, 3, 8, 8), "fake": torch.rand(12, 3, 8, 8), "frechet": False},
    "response_matrix": {"z": torch.rand(20, 2)},
    "model_fidelity": {"frechet": False, "kid": True},
    "home_variable": {},
    "order_correlation": {"hardness": [0.1, 0.2, 0.3], "homes": [0, 1, 1]},
    "chunk_matrix": {},
    "hybrid_risk": {},
    "signed_permutation": {"v": torch.eye(3)},
    "distance": {"v": torch.eye(3)[None]},
    "local_axes": {"decode": lambda z: z * 2},
    "distance_to_orthogonality": {"z": torch.zeros(3, 2)},
    "unit_step": {"classes": 3},
    "expansiveness": {"steps": [1.0, 2.0], "delta": 1.0},
    "sign_pattern": {"height": 3, "width": 4},
    "column_factors": {"width": 4},
    "shift_table": {"kappa": 2.0, "column_factors": [1, 2]},
    "perturb": {},
    "Perturbed.change": {"images": torch.rand(2, 1, 8, 8), "s": [0.4, 0.5]},
    "Perturbed.save": {"path": "p.npz"},
    "Perturbed.write": {"path": "p.h5"},
    "load": {"file": "saved.npz"},
    "choose": {},
    "bars": {"n": 20},
    "degrees": {"direction": [1.0, 2.0]},
    "PlaneVAE.__init__": {"hidden": 2},
    "train_plane": {"hidden": 2},
    "main_axes": {"model": two_dimensions.PlaneVAE()},
    "bernoulli": {"logits": torch.rand(4, 1, 8, 8)},
    "gaussian": {"output": torch.rand(4, 1, 8, 8)},
    "mean_squared_error": {"reconstruction": torch.rand(4, 1, 8, 8)},
    "Critic.__init__": {"latent_dim": 3, "width": 4, "layers": 1},
    "factor_accuracies": {"net": "@net", "data": "@twin"},
    "factor_net_facts": {},
    "load_factor_net": {},
    "fit": {"model": "@fresh"},
    "fit_many": {"models": "@two", "seeds": [0, 1]},
    "orthogonalize": {"matrices": torch.rand(4, 3)},
    **dict.fromkeys(("specify", "build"), {"name": "ae", "image_shape": (1, 8, 8), "preset": "desk"}),
    "scaled_terms": {"terms": {"bernoulli": 1.0, "kl": 2.0}, "image_shape": (1, 8, 8)},
}


def brief() -> Autoencoder:
    "A small model that is trained for two steps, unless told otherwise."
    return sl.build("vae", (1, 8, 8), preset="dense", latent_dim=2, training={"steps": 2, "batch_size": 4})


MADE = {
    "@fresh": lambda s: brief(),
    "@two": lambda s: [brief(), brief()],
    "@data": lambda s: s["data"],
    "@model": lambda s: s["model"],
    "@net": lambda s: factor_net.load_factor_net(),
    "@twin": lambda s: sl.load_data("dsprites-twin", resolution=32),
    "@infomec": lambda s: infomec(s["codes"], s["factors"], False),
}
OWNERS = {
    "FactorSpace": lambda s: s["space"],
    "ImageDataset": lambda s: s["data"],
    "Shapes3DTwin": lambda s: twins.Shapes3DTwin(8),
    "DSpritesTwin": lambda s: twins.DSpritesTwin(8),
    "MPI3DTwin": lambda s: MPI3DTwin(8),
    "BatchStream": lambda s: streams.BatchStream(20, 4),
    "HybridSampler": lambda s: hybrid.HybridSampler(s["bank"]),
    "PriorSampler": lambda s: samplers.PriorSampler(2),
    "GaussianSampler": lambda s: samplers.GaussianSampler(s["bank"]),
    "MixtureSampler": lambda s: samplers.MixtureSampler(s["bank"], 2),
    "Perturbed": lambda s: perturb.perturb(s["data"], s["s"]),
}


def right(name: str, door: Callable, stage: dict) -> dict[str, object]:
    "Arguments of a right call."
    given = next((v for k, v in CALLS.items() if name.endswith(f".{k}")), {})
    found = {}
    for p in list(inspect.signature(door).parameters.values()):
        if p.name == "self" or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        made = MADE.get(given[p.name]) if isinstance(given.get(p.name), str) else None
        if made:
            found[p.name] = made(stage)
        elif p.name in given:
            found[p.name] = given[p.name]
        elif p.default is p.empty or p.name in SMALL and isinstance(p.default, int):
            found[p.name] = SMALL[p.name] if p.name in SMALL else stage[p.name]
    return found | {k: v for k, v in given.items() if k == "frechet" and k not in found}


def bound(name: str, door: Callable, stage: dict) -> Callable:
    "The function to call: a class, a method of a fresh object, or the function itself."
    kind, _, method = name.removeprefix("sae_lit.").partition(".")[2].partition(".")[2].partition(".")
    if not method:
        return door
    module = importlib.import_module(".".join(name.split(".")[:3]))
    return getattr(module, kind) if method == "__init__" else getattr(OWNERS[kind](stage), method)


def hostile(annotation: object, value: object, look: bool) -> list[object]:
    "Values that a parameter of this kind may meet."
    kinds = [annotation, *typing.get_args(annotation)]
    optional = type(None) in kinds
    everybody = [object(), b"bytes", {}, *([] if optional else [None])]
    if bool in kinds:
        return [*everybody, "no", 2, nan, []]
    if (
        int in kinds
        and value is not None
        and not isinstance(value, (list, torch.Tensor))
        or kinds[1:] == [int, type(None)]
    ):
        return [
            *everybody,
            -1,
            0,
            -(2**40),
            2.5,
            nan,
            inf,
            -inf,
            True,
            "3",
            "",
            [],
            [1],
            10**30,
            3j,
            np.float64("nan"),
            torch.tensor([1, 2]),
        ]
    if float in kinds:
        return [
            *everybody,
            nan,
            inf,
            -inf,
            -1.0,
            0.0,
            "0.1",
            "",
            [],
            True,
            1j,
            np.float32("inf"),
            torch.tensor(nan),
            10**400,
        ]
    if str in kinds or Path in kinds:
        return [*everybody, "", "   ", "nonsense", 3, nan, [], "a\0b", "x" * 300]
    arrays = isinstance(value, (torch.Tensor, np.ndarray)) or torch.Tensor in kinds
    if arrays:
        shape = tuple(np.shape(value)) or (2, 2)
        floats = (
            [np.full(shape, nan), np.full(shape, inf), torch.full(shape, nan), np.full(shape, -1e300)]
            if look
            else []
        )
        return [
            *everybody,
            *floats,
            "x",
            [],
            3.0,
            "",
            [["a"]],
            [[1.0], [1.0, 2.0]],
            np.zeros(shape, complex),
            np.full(shape, None),
            np.zeros((0, *shape[1:])),
            np.zeros((*shape, 2)),
            np.zeros(shape[:1] or 1),
            np.full(shape, "a"),
            torch.zeros(shape, dtype=torch.complex64),
            torch.zeros(0),
            np.zeros(shape, "datetime64[s]"),
        ]
    if callable(value):
        return [*everybody, 3, "x", []]
    if isinstance(value, (list, tuple)):
        return [
            *everybody,
            3,
            "ab",
            "",
            [],
            [None],
            [nan],
            ["x"],
            [[]],
            [[nan]],
            [-1],
            [10**30],
            np.zeros((2, 2, 2)),
            torch.zeros(2),
        ]
    return [*everybody, 3, "x", "", [], nan, torch.zeros(2, 2), np.zeros((2, 1, 8, 8))]


def holds_nan(value: object, depth: int = 0) -> bool:
    "Whether a result has a NaN anywhere that one would look."
    if depth > 4:
        return False
    if isinstance(value, torch.Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind == "f" and bool(np.isnan(value).any())
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, dict):
        return any(holds_nan(v, depth + 1) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(holds_nan(v, depth + 1) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        return any(holds_nan(getattr(value, f.name), depth + 1) for f in fields(value))
    return False


def wrong(name: str, call: Callable, kwargs: dict, parameter: str) -> str | None:
    "What is wrong with how a call ends, or None."
    shown = repr(kwargs[parameter])[:50].replace("\n", " ")
    try:
        result = call(**kwargs)
    except (ValueError, IndexError, OSError) as error:
        said = str(error)
        if isinstance(error, OSError) and error.errno and error.filename:
            return None  # the system's own words: what went wrong, and with which file
        return (
            None
            if any(word.lower() in said.lower() for word in (parameter.rstrip("s"), *WORDS))
            and len(said) > 15
            else f"{name}({parameter}={shown}): the error does not name the argument: {said[:120]}"
        )
    except Exception as error:
        return f"{name}({parameter}={shown}): {type(error).__name__}: {str(error)[:120]}"
    return (
        f"{name}({parameter}={shown}): NaN in the result"
        if name.split(".")[-1] not in NAN and holds_nan(result)
        else None
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch, stage) -> Path:
    "A folder with what some calls need."
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (9, 9), "red").save(tmp_path / "pictures/red.png")
    perturb.perturb(stage["data"], stage["s"]).save("saved.npz")
    return tmp_path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("room", ROOMS)
def test_doors(room: str, stage: dict, place: Path, record_property):
    calls, found = 0, []
    for name, door in doors().items():
        if not name.startswith(f"sae_lit.{room}.") or name in LONG:
            continue
        kwargs, call = right(name, door, stage), bound(name, door, stage)
        if not name.endswith("Perturbed.write"):  # which these data have no published form for
            try:
                assert not holds_nan(call(**kwargs)) or name.split(".")[-1] in NAN
            except Exception as error:
                found.append(f"{name} is not called rightly: {error!r}")
                continue
        for p in inspect.signature(door).parameters.values():
            if (
                p.name == "self"
                or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
                or p.annotation in (object, typing.Any)
            ):
                continue
            for value in hostile(
                p.annotation, kwargs.get(p.name, p.default), look=room not in ("objectives", "training")
            ):
                calls += 1
                found.append(wrong(name, call, kwargs | {p.name: value}, p.name))
    found = list(filter(None, found))
    record_property("calls", calls)
    print(f"{room}: {calls} calls")
    assert not found, f"{len(found)} of {calls} calls fall through:\n" + "\n".join(found)


def test_what_is_exported_is_behind_a_door():
    """Everything that `sae_lit` and `sae_lit.metrics` offer, but for training and studies, and what takes no
    more than a name.
    """
    elsewhere = {"load_model", "extrapolate", "list_data", "list_models", "list_pretrained", "load_data"}
    for name in set(sl.__all__) - elsewhere:
        thing = getattr(sl, name)
        assert hasattr(thing.__init__ if isinstance(thing, type) else thing, "door"), f"{name} has no door"
    import sae_lit.metrics

    for name, thing in vars(sae_lit.metrics).items():
        if inspect.isfunction(thing):
            assert hasattr(thing, "door"), f"sae_lit.metrics.{name} has no door"


def forms(value: object) -> list[object]:
    "The same argument as other libraries hold it."
    if isinstance(value, bool):
        return [np.bool_(value)]
    if isinstance(value, int):
        return [
            np.int64(value),
            np.int32(value),
            torch.tensor(value),
            float(value),
            *([np.uint8(value)] if 0 <= value < 256 else []),
        ]
    if isinstance(value, float):
        return [np.float32(value), np.float64(value), torch.tensor(value, dtype=torch.float64)]
    if isinstance(value, torch.Tensor):
        return [
            value.numpy(),
            value.tolist(),
            value.double() if value.is_floating_point() else value.numpy().astype(np.uint16),
        ]
    if isinstance(value, list) and value and isinstance(value[0], int):
        return [np.array(value), torch.tensor(value), tuple(value)]
    return []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("room", ROOMS)
def test_what_has_a_meaning_is_taken(room: str, stage: dict, place: Path):
    "NumPy's and PyTorch's numbers, arrays, tensors and lists, wherever the signature asks for such a thing."
    calls, found = 0, []
    for name, door in doors().items():
        if not name.startswith(f"sae_lit.{room}.") or name in LONG or name.endswith("Perturbed.write"):
            continue
        kwargs, call = right(name, door, stage), bound(name, door, stage)
        for p in inspect.signature(door).parameters.values():
            for value in forms(kwargs.get(p.name, p.default)):
                calls += 1
                try:
                    call(**kwargs | {p.name: value})
                except Exception as error:
                    found.append(
                        f"{name}({p.name}={type(value).__name__}): {type(error).__name__}: {str(error)[:150]}"
                    )
    print(f"{room}: {calls} calls")
    assert not found, f"{len(found)} of {calls} calls are refused:\n" + "\n".join(found)
