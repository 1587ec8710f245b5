"""Learning curves of the desk preset: scores over CPU seconds, one JSON file for each model and seed.

    python tools/desk_recipe.py sae-12 --seed 0 --steps 20000      writes nbs/results/desk-sae-12-20000-0.json
    python tools/desk_recipe.py sae-12 --lr 4e-3 --label lr4      another recipe than the preset's; the label goes into the file's name

One process, one thread. Training time is this process's CPU time without the scoring, so that a busy machine does not change it.
The file is written anew after every scoring; a run that was killed is resumed from its last checkpoint by the same command.
"""
import argparse
import json
import time
from pathlib import Path

import torch

import sae_lit as sl
from sae_lit.metrics import dci, mig
from sae_lit.data.disk import atomically
from sae_lit.models.codes import encode_at
from sae_lit.training.runs import Run, versions

ROOT = Path(__file__).resolve().parents[1]
MARKS = (500, 1000, 2000, 4000, 7000, 10_000, 14_000, 20_000, 30_000, 45_000, 60_000)  # steps that are scored, with the last


def scores(model: torch.nn.Module, data, n: int, last: bool) -> dict[str, float]:
    "MIG and DCI of `n` codes; with `last`, by all three classifiers, the slow published one on a fifth of them."
    index = torch.randperm(len(data), generator=torch.Generator().manual_seed(1))[:n]
    codes, factors = encode_at(model, data, index).numpy(), data.factors(index).numpy()
    found = {"mig": mig(codes, factors)}
    for kind, rows in (("forest", n), ("forest-all", n), ("gbt", n // 5))[:3 if last else 2]:
        result = dci(codes[:rows], factors[:rows], model=kind)
        found |= {f"{kind}_n": rows, f"{kind}_disentanglement": result.disentanglement, f"{kind}_completeness": result.completeness,
                  f"{kind}_informativeness": result.informativeness}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--label", default="", help="added to the file's name, for recipes that are not the preset's")
    args = parser.parse_args()
    torch.set_num_threads(1)
    name = f"desk-{args.model}{args.label and '-' + args.label}-{args.steps}-{args.seed}"
    path, folder = ROOT/"nbs/results"/f"{name}.json", ROOT/"runs"/name
    data = sl.load_data("shapes3d-twin", resolution=32)
    model = sl.build(args.model, data.image_shape, preset="desk", seed=args.seed)
    result = json.loads(path.read_text()) if path.exists() else {"model": args.model, "seed": args.seed, "steps": args.steps, "curve": []}
    start, spent = 0., result["curve"][-1]["cpu_seconds"] if result["curve"] else 0.

    def score(run: Run, step: int) -> None:
        nonlocal start, spent
        if step not in MARKS and step != args.steps or any(p["step"] == step for p in result["curve"]): return
        spent += time.process_time() - start
        last = step == args.steps
        found = scores(run.model, data, 10_000 if last else 3_000, last)
        result["curve"].append({"step": step, "cpu_seconds": round(spent, 1), **run.history[-1], **found})
        atomically(path, lambda p: p.write_text(json.dumps(result, indent=1)))
        start = time.process_time()

    options = {k: v for k, v in {"lr": args.lr, "batch_size": args.batch_size}.items() if v}
    start = time.process_time()
    run = sl.fit(model, data, out=folder, resume=(folder/"config.json").exists(), steps=args.steps, seed=args.seed, device="cpu",
                 callbacks=(score,), **options)
    result |= {"recipe": run.config["recipe"], "versions": versions(), "scores": sl.evaluate(run.model, data, n=3_000, n_test=2_000).to_dict()}
    atomically(path, lambda p: p.write_text(json.dumps(result, indent=1)))


if __name__ == "__main__": main()
