"Lists of trainings for benchmarks/jobs.py."

from benchmarks.jobs import Job
from sae_lit.models.zoo import MODELS

FAMILIES = (
    "sae-12",
    "ae",
    "vae",
    "btcvae",
    "vlae-12",
    "adaae-12",
    "fvae",
    "wae",
    "bvae",
    "sae-4",
    "tripod",
    "qlae",
)
MUON = {"optimizer": "muon", "weight_decay": 0.1, "schedule": "cosine", "warmup": 100}
ADAM = {"optimizer": "adam", "weight_decay": 0.0, "schedule": "cosine", "warmup": 100}
TRIALS: dict[str, dict] = {  # the same for every family
    "muon-.02": {**MUON, "lr": 0.02},
    "adam-.002": {**ADAM, "lr": 0.002},
    "muon-.01": {**MUON, "lr": 0.01},
    "muon-.04": {**MUON, "lr": 0.04},
    "muon-.005": {**MUON, "lr": 0.005},
    "muon-.02-stable": {**MUON, "lr": 0.02, "schedule": "stable"},
    "muon-.02-warm": {**MUON, "lr": 0.02, "warmup": 400},
}
SCREEN_STEPS, SCREEN_SEEDS = 2000, (100, 101)  # not those of any evaluated run


def screen() -> list[Job]:
    """Which optimiser, learning rate, warm-up and schedule suit each family; to be judged by the validation
    loss
    """
    return [
        Job(family, seed=seed, options={"steps": SCREEN_STEPS, **trial}, label=f"{family}-{name}-{seed}")
        for seed in SCREEN_SEEDS
        for name, trial in TRIALS.items()
        for family in FAMILIES
    ]


def paper(model: str, precision: str, steps: int = 100_000) -> Job:
    "A paper's network on our rooms"
    options = {"precision": precision, "steps": steps, "checkpoint_every": 2000, "log_every": 500}
    marks = tuple(1000 * 2**i for i in range(7))
    return Job(model, resolution=64, preset="paper", options=options, marks=marks, codes=10_000, keep=True)


def packaged(steps: int = 8000) -> list[Job]:
    "The models that come with the package"
    rooms = [(model, "shapes3d-twin") for model in ("sae-12", "ae", "btcvae", "tripod")]
    options = {"steps": steps, "lr": 0.01, "checkpoint_every": 1000}
    marks = (1000, 2000, 4000)
    return [
        Job(m, d, 64, options=options, marks=marks, codes=10_000, keep=True)
        for m, d in [*rooms, ("sae-12", "dsprites-twin")]
    ]


def curves(steps: int = 6000) -> list[Job]:
    "The common desk budget, five seeds"
    marks = (50, 100, 200, 400, 800, 1600, 3200)
    models = ("sae-12", "ae", "adaae-12", "vae", "vlae-12")
    options = {"steps": steps}
    return [
        Job(m, seed=s, options=options, marks=marks, codes=5000, published=True, label=f"{m}-{s}")
        for s in range(5)
        for m in models
    ]


def changes() -> list[Job]:
    "What the optimiser does and what the loss weights do, one at a time"
    kinds = {"vae": "kl", "bvae": "kl"}
    return [
        Job(m, seed=100, options={"steps": SCREEN_STEPS, **trial}, terms=terms, label=f"{m}-{how}-{weights}")
        for m, name in kinds.items()
        for how, trial in (("adam", TRIALS["adam-.002"]), ("muon", TRIALS["muon-.02"]))
        for weights, terms in (
            ("papers", {"bernoulli": 1.0, name: MODELS[m].terms[name]}),
            ("scaled", None),
        )
    ]


def arm(steps: int = 1500) -> list[Job]:
    "Four models on the arm, three seeds"
    models = ("sae-12", "ae", "vae", "btcvae")
    return [
        Job(m, "mpi3d-twin", seed=s, options={"steps": steps}, codes=5000, label=f"{m}-{s}")
        for s in range(3)
        for m in models
    ]
