"""Which half fails on classes it never saw: one JSON file for each case, model and seed.

    python tools/extrapolation.py ball sae-12    writes nbs/results/extrapolation-ball-sae-12-0.json
    python tools/extrapolation.py camera ae --seed 1 --steps 3000 600

The desk preset on the 3D-Shapes twin at 32 pixels; one process, one thread. A run that was killed goes on
by the same command.
"""

import argparse
import json
from pathlib import Path

import torch
from matplotlib.figure import Figure

import sae_lit as sl
from sae_lit.data.disk import atomically
from sae_lit.models.codes import evaluating
from sae_lit.sampling.traversal import plot_grid
from sae_lit.training.extrapolation import LEFT_OUT, Extrapolation, extrapolate

ROOT = Path(__file__).resolve().parents[1]


def picture(result: Extrapolation, data) -> Figure:
    "Novel test pictures, and below them what each arm makes of them."
    x, rows = data.only(result.left_out).part("test").images(range(8)), {}
    for arm, model in result.models.items():
        with evaluating(model):
            rows[arm] = model.decode(model.encode(x))
    return plot_grid(torch.stack([x, *rows.values()]), titles=["novel", *rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=LEFT_OUT)
    parser.add_argument("model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--steps", type=int, nargs=2, default=(1500, 300), help="without the classes, then with all"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    name = f"extrapolation-{args.case}-{args.model}-{args.seed}"
    data = sl.load_data("shapes3d-twin", resolution=32)
    model = sl.build(args.model, data.image_shape, preset="desk", seed=args.seed)
    result = extrapolate(
        model,
        data,
        LEFT_OUT[args.case],
        steps=tuple(args.steps),
        out=ROOT / "runs" / name,
        resume=True,
        seed=args.seed,
        evaluate_every=0,
        device="cpu",
    )
    facts = {
        "case": args.case,
        "model": args.model,
        "seed": args.seed,
        "preset": "desk",
        "data": data.loaded_as,
        **result.to_dict(),
    }
    atomically(
        ROOT / "nbs/results" / f"{name}.json", lambda path: path.write_text(json.dumps(facts, indent=1))
    )
    atomically(
        ROOT / "nbs/figures" / f"{name}.png",
        lambda path: picture(result, data).savefig(path, dpi=80, format="png", bbox_inches="tight"),
    )


if __name__ == "__main__":
    main()
