"""Angles of a VAE's main axis on plane data: the full recipe behind nbs/76_two_dimensions.ipynb.

`python tools/two_dimensions.py` does what is missing of nbs/results/two_dimensions.json; about forty
seconds a row on a free core.
"""

import json
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from sae_lit.alignment.two_dimensions import (
    bars,
    degrees,
    main_axes,
    normal_like,
    principal_angle,
    train_plane,
)  # noqa: E402
from sae_lit.data.disk import atomically  # noqa: E402

RESULTS = ROOT / "nbs/results/two_dimensions.json"
RUNS = [(3, 0), (3, 1), (5, 0), (5, 1)]  # bars, seed


def angles(count: int, seed: int) -> dict:
    """Principal angle of the bars, and the main axes' median angles of a linear, a nonlinear VAE, and one on
    the control.
    """
    x = bars(count=count, seed=seed)
    control = normal_like(x, seed=seed + 1)

    def angle(points: torch.Tensor, hidden: int) -> float:
        axes = main_axes(train_plane(points, hidden, seed=seed), points[:1500])
        return degrees(axes).median().item()

    found = {
        "pca": principal_angle(x),
        "linear": angle(x, 0),
        "nonlinear": angle(x, 96),
        "control": angle(control, 96),
    }
    return {"bars": count, "seed": seed, **{name: round(value, 2) for name, value in found.items()}}


if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for count, seed in RUNS:
        if (count, seed) in {(row["bars"], row["seed"]) for row in rows}:
            continue
        rows.append(angles(count, seed))
        print(rows[-1], flush=True)
        atomically(RESULTS, lambda path: path.write_text(json.dumps(rows, indent=1) + "\n"))
