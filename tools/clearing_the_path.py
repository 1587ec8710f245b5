"""Make the perturbation files of the Clearing-the-Path studies, in nbs/results/perturbations: run `sae-lit
study ctp-choose-shapes3d` (or -dsprites) first.

python tools/clearing_the_path.py shapes3d [--out FOLDER] [--runs FOLDER]
"""

import argparse
import json
from pathlib import Path

from sae_lit.alignment.choose import choose
from sae_lit.alignment.controls import shuffled
from sae_lit.alignment.perturb import perturb
from sae_lit.data.catalog import load_data
from sae_lit.data.disk import atomically
from sae_lit.studies.grids import STUDIES

BOUND = {twin: STUDIES[f"ctp-controls-{twin}"].data["noise"]["epsilon"] for twin in ("shapes3d", "dsprites")}
FILES = ("worst", "shuffled", "best", "kappa1", "kappa9")  # for both twins; the sprites have one more

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("twin", choices=list(BOUND))
    parser.add_argument("--out", type=Path, default=Path("nbs/results/perturbations"))
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/studies"), help="where the study left its run folders"
    )
    given = parser.parse_args()
    study = STUDIES[f"ctp-choose-{given.twin}"]
    runs = sorted(path for path in (given.runs / study.name).glob("*") if (path / "model").is_dir())
    if len(runs) != len(study.cells()):
        parser.error(
            f"{given.runs / study.name} holds {len(runs)} finished runs, expected {len(study.cells())}: "
            f"run `sae-lit study {study.name}` first"
        )
    data = load_data(**study.cells()[0].asked["load_data"])
    worst, best = (choose(runs, data, which) for which in ("worst", "best"))
    mixed = shuffled(worst.s)
    known = {
        "worst": (worst, worst.s, 4),
        "kappa1": (worst, worst.s, 1),
        "kappa9": (worst, worst.s, 9),
        "best": (best, best.s, 4),
        "shuffled": (worst, mixed, 4),
        "shuffled-kappa1": (worst, mixed, 1),
    }
    digests = {}
    for name in FILES + ("shuffled-kappa1",) * (given.twin == "dsprites"):
        choice, s, kappa = known[name]
        made = perturb(data, s, BOUND[given.twin], kappa, encoder=choice.encoder)
        print(made.save(given.out / f"{given.twin}-{name}.npz"), digests.setdefault(name, made.digest))
    about = {"worst": worst.to_dict(), "best": best.to_dict(), "digests": digests}
    atomically(given.out / f"{given.twin}.json", lambda path: path.write_text(json.dumps(about, indent=1)))
