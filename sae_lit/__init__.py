__version__ = "0.0.1"

from importlib import import_module as _import
from typing import TYPE_CHECKING as _EDITOR

_HOME = {
    "load_data": "data.catalog",
    "list_data": "data.catalog",
    "build": "models.zoo",
    "list_models": "models.zoo",
    "load_model": "models.zoo",
    "list_pretrained": "models.pretrained",
    "fit": "training.fit",
    "encode": "models.codes",
    "HybridSampler": "sampling.hybrid",
    "traverse": "sampling.traversal",
    "explore": "sampling.explorer",
    "evaluate": "metrics.evaluation",
    "disentanglement": "metrics.disentanglement",
    "fidelity": "metrics.fidelity",
    "extrapolate": "training.extrapolation",
    "run_study": "studies.runner",
    "perturb": "alignment.perturb",
    "choose": "alignment.choose",
    "uniform_noise": "data.changed",
    "random_signs": "data.changed",
}
_ROOMS = [
    "data",
    "nets",
    "objectives",
    "models",
    "training",
    "sampling",
    "metrics",
    "alignment",
    "studies",
    "plots",
    "report",
]
__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    "Load a name when it is first used, so that `import sae_lit` does not wait for PyTorch (PEP 562)"
    if name not in _HOME and name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = (
        _import(f"{__name__}.{name}")
        if name in _ROOMS
        else getattr(_import(f"{__name__}.{_HOME[name]}"), name)
    )
    return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_ROOMS})


if _EDITOR:  # for completion in editors
    from .alignment.choose import choose
    from .alignment.perturb import perturb
    from .data.catalog import list_data, load_data
    from .data.changed import random_signs, uniform_noise
    from .metrics.disentanglement import disentanglement
    from .metrics.evaluation import evaluate
    from .metrics.fidelity import fidelity
    from .models.codes import encode
    from .models.pretrained import list_pretrained
    from .models.zoo import build, list_models, load_model
    from .sampling.explorer import explore
    from .sampling.hybrid import HybridSampler
    from .sampling.traversal import traverse
    from .studies.runner import run_study
    from .training.extrapolation import extrapolate
    from .training.fit import fit
