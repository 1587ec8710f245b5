"""From a finished run to a model of the package: weights in float16, the bank of latents as it was, and a
card that says how they were made and what they score.

    sae-lit train --model sae-12 --preset desk --data shapes3d-twin --resolution 32 --steps 6000 --seed 0 \\
        --out runs/sae-12-shapes3d-twin
    python tools/pretrained.py runs/sae-12-shapes3d-twin    writes sae_lit/pretrained/sae-12-shapes3d-twin/

The name is the run folder's. The card holds the scores of the model as it ships, and those it had in
float32. A few minutes of one thread.
"""

import argparse
import json
from pathlib import Path

import torch

import sae_lit as sl
from sae_lit.cli import Train, config_of
from sae_lit.data.datasets import ImageDataset
from sae_lit.data.disk import atomically
from sae_lit.metrics.evaluation import reconstruction_scores
from sae_lit.models.autoencoder import Autoencoder
from sae_lit.models.pretrained import PRETRAINED, Card
from sae_lit.models.zoo import specify
from sae_lit.studies.measures import tripod
from sae_lit.studies.runner import TRAINING_VERSION


def command(config: dict) -> str:
    "The command that makes the run; ValueError for a run that needs options other than these."
    model, data, recipe = (config[part] for part in ("model", "data", "recipe"))
    own = specify(model["name"], model["decoder"][1]["image_shape"], preset=model["preset"]).terms
    terms = {term: weight for term, weight in model["terms"].items() if own.get(term) != weight}
    options = {
        "model": model["name"],
        "preset": model["preset"],
        "data": data["name"],
        "resolution": data["resolution"],
        "steps": recipe["steps"],
        "seed": recipe["seed"],
    }
    train = Train(**options, terms=terms or None)
    made = {
        "model": train.network({}, model["decoder"][1]["image_shape"], recipe["seed"]).spec.to_dict(),
        "data": train.source({}),
    }
    if json.loads(json.dumps(made)) != {"model": model, "data": data}:
        raise ValueError(f"this run was made with options that no card describes yet: {config}")
    words = [f"--{name} {value}" for name, value in options.items()] + (
        ["--terms", *(f"{term} {weight:g}" for term, weight in terms.items())] if terms else []
    )
    return " ".join(["sae-lit train", *words])


def scores(model: Autoencoder, data: ImageDataset) -> dict[str, dict]:
    "Everything a card says about a model's quality."
    info = tripod(model, data, seed=0)
    first = {"mse": reconstruction_scores(model, data.part("test"), torch.arange(200))["mse"]}
    return {
        "scores": sl.evaluate(model, data).to_dict(),
        "infomec": {name: info[name] for name in ("infom", "infoc", "infoe", "infoe_unseen")},
        "first_200": first,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a finished run's folder; its name becomes the model's")
    parser.add_argument(
        "--training-version",
        type=int,
        default=TRAINING_VERSION,
        help="of the package that trained it, where it is not this one",
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    config, folder = config_of(args.run), PRETRAINED / args.run.name
    said, data, model = command(config), sl.load_data(**config["data"]), sl.load_model(args.run)
    before = scores(model, data)
    (folder / "card.json").unlink(missing_ok=True)
    bank = model.bank.clone()  # no weights but data: quantised latents have to lie on their levels exactly
    model.half().bank = bank
    model._save_pretrained(folder)
    card = Card(
        **config,
        command=said,
        trained_by=f"training version {args.training_version}",
        float32=before,
        **scores(sl.load_model(folder), data),
    )
    atomically(folder / "card.json", lambda path: path.write_text(json.dumps(vars(card), indent=1) + "\n"))
    for name, value in before["scores"].items():
        print(f"{name:20} {value!s:24} {card.scores[name]}")
    print(folder)


if __name__ == "__main__":
    main()
