"""Many trainings on one device, a few at a time, in turns: for a GPU that one small model would leave idle.

    python -m benchmarks.jobs screen --out nbs/results/desk-screen    the trials behind the desk recipe
    python -m benchmarks.jobs packaged --out runs/packaged            the models that come with the package

Each run is the one that `sl.fit` would make. Scores of codes are computed beside the training, by
processes of their own. Killed, it goes on where it was: finished runs are not made again, and those that
keep their model resume.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

import sae_lit as sl
from sae_lit.data.disk import atomically
from sae_lit.metrics import dci, mig
from sae_lit.models.codes import encode_at
from sae_lit.training.fit import Trainer, accelerator_for, device_name, numerics, recipe_for
from sae_lit.training.runs import versions


@dataclass(frozen=True)
class Job:
    "One training"

    model: str
    data: str = "shapes3d-twin"
    resolution: int = 32
    preset: str = "desk"
    seed: int = 0  # of weights, batches and noise
    options: dict = field(default_factory=dict)  # entries of `Recipe`
    marks: tuple[int, ...] = ()  # steps after which it is scored, besides the last
    terms: dict | None = None  # weights of loss terms that replace the model's
    codes: int = 3000  # for MIG and DCI; 0: none
    published: bool = False  # at the end also DCI by the published trees, on 10,000 codes
    keep: bool = False  # save the model
    pace: int = 1  # steps in each turn
    label: str = ""  # for files; else made from what it is

    @property
    def name(self) -> str:
        "For files and tables"
        return self.label or f"{self.model}-{self.data}-{self.resolution}-{self.preset}-{self.seed}"


@lru_cache(8)
def data_for(name: str, resolution: int, device: str):
    "Data sets, once for all jobs"
    return sl.load_data(name, resolution=resolution)


def structure(codes: np.ndarray, factors: np.ndarray, published: bool = False) -> dict[str, float]:
    "MIG and DCI (random forests over all latents, or the published boosted trees) of codes"
    found = dci(codes, factors, model="gbt" if published else "forest-all", seed=0)
    names = {"dci": "disentanglement", "completeness": "completeness", "informativeness": "informativeness"}
    scores = {k: float(getattr(found, v)) for k, v in names.items()}
    if published:
        return {f"gbt_{k}": v for k, v in scores.items()}
    return {"mig": float(mig(codes, factors)), **scores}


class Running:
    "A job at work"

    def __init__(self, job: Job, device: str, out: Path, pool: ProcessPoolExecutor, resume: bool):
        self.job, self.out, self.pool = job, out, pool
        self.data = data_for(job.data, job.resolution, device)
        self.shown = self.data.to(device)
        other = {"terms": job.terms} if job.terms else {}
        model = sl.build(job.model, self.data.image_shape, preset=job.preset, seed=job.seed, **other)
        recipe = recipe_for(
            model, {"evaluate_every": 10**9, "log_every": 500, "seed": job.seed, **job.options}
        )
        folder = out / "runs" / job.name if job.keep else None
        self.trainer = Trainer(model, self.data, folder, recipe, accelerator_for(device, recipe.precision))
        self.stack = ExitStack()
        self.at = self.stack.enter_context(
            self.trainer.opened(resume and folder is not None and folder.exists())
        )
        self.trainer.progress(self.at)
        self.path = out / f"{job.name}.json"
        self.record = {
            "job": asdict(job),
            "device": device_name(torch.device(device)),
            "recipe": asdict(recipe),
            "curve": [],
        }
        self.record["versions"] = versions()
        if self.at and self.path.exists():
            self.record = json.loads(self.path.read_text())
        self.pending: list[tuple[dict, Future]] = []
        self.spent = self.record["curve"][-1]["seconds"] if self.record["curve"] else 0.0

    @property
    def ended(self) -> bool:
        return self.at >= self.trainer.recipe.steps

    def turn(self) -> None:
        "Some steps, and scores where they are due"
        for _ in range(self.job.pace):
            if self.ended:
                return
            start = self.clock()
            with numerics(self.trainer.recipe.precision):
                self.trainer.step(self.at)
            self.at += 1
            self.spent += self.clock() - start
            if self.at in self.job.marks or self.ended:
                self.score()

    def clock(self) -> float:
        """Seconds: of this process on a CPU, which other programs do not change; on a GPU as they pass, other
        jobs' included
        """
        return time.process_time() if self.trainer.device.type == "cpu" else time.monotonic()

    def score(self) -> None:
        "Errors now, structure later"
        self.trainer.settle()
        point = {"step": self.at, "seconds": self.spent, **self.trainer.look(self.at)}
        self.record["curve"].append(point)
        if self.job.codes:
            last = self.job.published and self.ended
            n = min(10_000 if last else self.job.codes, len(self.shown))
            index = torch.randperm(len(self.shown), generator=torch.Generator().manual_seed(1))[:n]
            codes = encode_at(self.trainer.model, self.shown, index).float().cpu().numpy()
            factors = self.shown.factors(index).cpu().numpy()
            self.pending.append((point, self.pool.submit(structure, codes, factors)))
            if last:
                self.pending.append((point, self.pool.submit(structure, codes, factors, True)))
            if self.job.keep:
                path = self.out / "codes" / f"{self.job.name}.npz"
                arrays = {"codes": codes, "factors": factors.astype(np.int8), "step": self.at}
                path.parent.mkdir(exist_ok=True)
                np.savez_compressed(path, **arrays)
        self.trainer.settle()
        self.write()

    def write(self) -> None:
        "What is known by now"
        for point, future in self.pending:
            if future.done():
                point |= {"failed": str(future.exception())} if future.exception() else future.result()
        atomically(self.path, lambda path: path.write_text(json.dumps(self.record, indent=1)))

    def end(self, failure: Exception | None = None) -> None:
        "Save the model, or say why there is none, and let go of the memory"
        if failure:
            self.record["failed"] = f"{type(failure).__name__}: {failure}"
        elif self.ended:
            run = self.trainer.finish()
            if self.job.keep:
                run.model.save_pretrained(self.out / "models" / self.job.name)
        self.stack.close()
        self.write()
        self.trainer.__dict__.clear()


def run_jobs(
    jobs: list[Job],
    device: str,  # "cuda" or "cpu"
    out: Path,  # records, and for jobs with `keep` runs/, codes/ and models/; what is there is not made again
    at_once: int = 8,
    until: float | None = None,  # by time.monotonic(): end then; runs with `keep` save where they are
    workers: int = 1,  # processes that score
    say: Callable[[str], None] = lambda text: print(text, flush=True),
) -> None:
    "Train all jobs, `at_once` of them in turns"
    waiting = [job for job in jobs if not finished(out, job)]
    active: list[Running] = []
    ended: list[Running] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while (waiting or active) and (until is None or time.monotonic() < until):
            while waiting and len(active) < at_once:
                job = waiting.pop(0)
                try:
                    active.append(Running(job, device, out, pool, resume=True))
                except Exception as error:  # the others must go on
                    say(f"{job.name}: {type(error).__name__}: {error}")
            for running in list(active):
                failure = None
                try:
                    running.turn()
                except Exception as error:  # such as a loss that became NaN, which is a result
                    failure = error
                if failure or running.ended:
                    running.end(failure)
                    active.remove(running)
                    ended.append(running)
                    for other in ended:
                        other.write()  # scores that have come in since
                    last = running.record["curve"][-1] if running.record["curve"] else {}
                    say(f"{running.job.name}: {failure or last.get('val_mse')}")
        for running in active:
            if running.job.keep:
                running.trainer.saver.wait()
                say(f"{running.job.name}: at step {running.at}")
            running.end()
        for running in ended + active:
            wait([future for _, future in running.pending], timeout=600)
            running.write()


def finished(out: Path, job: Job) -> bool:
    "Whether a job has its record, with its scores"
    path = out / f"{job.name}.json"
    if not path.exists():
        return False
    record = json.loads(path.read_text())
    if "failed" in record:
        return True
    last = record["curve"][-1] if record["curve"] else {"step": 0}
    wanted = ["mig"] * bool(job.codes) + ["gbt_dci"] * job.published
    return last["step"] >= record["recipe"]["steps"] and all(
        name in last or "failed" in last for name in wanted
    )


def main() -> None:
    from benchmarks import plans

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", choices=("screen", "packaged", "curves", "changes", "arm"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--at-once", type=int, default=8 if torch.cuda.is_available() else 1)
    parser.add_argument("--only", nargs="+", help="models")
    parser.add_argument("--minutes", type=float, help="end after so long")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    jobs = [job for job in getattr(plans, args.plan)() if not args.only or job.model in args.only]
    until = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    run_jobs(jobs, args.device, args.out, args.at_once, until)


if __name__ == "__main__":
    main()
