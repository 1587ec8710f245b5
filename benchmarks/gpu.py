"""Turn a quarter of an hour on a GPU into knowledge: correctness, speed, and the papers' networks trained and
scored.

    python benchmarks/gpu.py --minutes 8 --out DIR         all phases, in order, as far as the time goes
    python benchmarks/gpu.py --minutes 5 --out DIR --phases c    go on with what DIR holds
    python benchmarks/gpu.py --out DIR --dry       the same on a CPU, with tiny networks, in two minutes

Each phase writes its results to DIR as it goes, so that being cut off loses little:

a  gpu-correctness.json  losses of every family on CPU and GPU; graphs against single steps; resuming; tests
b  gpu-speed.json        a step of the papers' networks: eager, TF32, bf16, compiled, graph; many small models
c  *-paper-*.json        the paper's networks on rooms of 64 pixels, scored at 1, 2, 4, ... thousand steps
d  *.json                the packaged models, and the trials behind the desk recipe, side by side (jobs.py)

A machine that has PyTorch needs the wheels of benchmarks/wheels.txt besides, and no package registry.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("IN_TEST", "1")  # no progress bars

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

import sae_lit as sl  # noqa: E402
from sae_lit.data.disk import atomically  # noqa: E402
from benchmarks.jobs import Job, run_jobs  # noqa: E402
from benchmarks.plans import packaged, paper, screen  # noqa: E402
from sae_lit.metrics import mig  # noqa: E402
from sae_lit.training.fit import Trainer, accelerator_for, device_name, fit_many, numerics, recipe_for  # noqa: E402
from sae_lit.training.runs import versions  # noqa: E402

FAMILIES = (
    "ae wae vae fvae btcvae slowvae vlae-4 sae-4 sae-12 adaae-4 tripod tripod-naive qlae sae-12+tripod"
).split()
PAPER = ("sae-12", "adaae-12", "ae", "vae", "btcvae", "vlae-12")


@dataclass
class Bench:
    "What all phases share"

    out: Path
    device: str  # "cuda", or "cpu" for a dry run
    deadline: float  # by time.monotonic()
    dry: bool
    results: dict[str, dict] = field(default_factory=dict)

    def left(self) -> float:
        "Seconds until the deadline"
        return self.deadline - time.monotonic()

    def write(self, name: str, **entries: object) -> None:
        "Add entries to a phase's file"
        path = self.out / f"gpu-{name}.json"
        if name not in self.results:
            known = {
                "device": device_name(torch.device(self.device)),
                "versions": versions(),
                "dry": self.dry,
            }
            self.results[name] = json.loads(path.read_text()) if path.exists() else known
        self.results[name].update(entries)
        atomically(path, lambda p: p.write_text(json.dumps(self.results[name], indent=1)))

    @contextmanager
    def attempt(self, name: str, entry: str) -> Iterator[None]:
        "Note how long something took, and that it failed, and go on"
        start = time.monotonic()
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.write(name, **{entry: {"failed": f"{type(error).__name__}: {error}"[:500]}})
        print(f"[{time.monotonic() - start:6.1f} s, {self.left():6.0f} left] {name}: {entry}", flush=True)


def trainer_for(bench: Bench, name: str, data, preset: str, device: str | None = None, **options) -> Trainer:
    "A trainer that neither logs nor writes"
    model = sl.build(name, data.image_shape, preset=preset)
    never = {"log_every": 10**9, "evaluate_every": 0, "checkpoint_every": 10**9, "steps": 10**9}
    recipe = recipe_for(model, {**never, **options})
    trainer = Trainer(model, data, None, recipe, accelerator_for(device or bench.device, recipe.precision))
    trainer.progress(0)
    return trainer


# a: correctness


class NoiseFromCpu(TorchFunctionMode):
    "Draw all noise on the CPU, so that two devices have the same"

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.randn_like:
            return torch.randn(args[0].shape, dtype=args[0].dtype).to(args[0].device)
        if function in (torch.randn, torch.rand, torch.randint):
            device = kwargs.pop("device", None)
            return function(*args, **kwargs).to(device or "cpu")
        return function(*args, **kwargs)


def losses(bench: Bench, name: str, data, steps: int, shared_noise: bool = False, **options) -> list[float]:
    "Loss of each of the first steps"
    trainer, found = trainer_for(bench, name, data, **{"preset": "desk", "batch_size": 16, **options}), []
    trainer.after = lambda step, loss, terms: found.append(loss.clone())
    mode = NoiseFromCpu() if shared_noise else contextmanager(lambda: iter([None]))()
    with numerics(trainer.recipe.precision), mode:
        for step in range(steps):
            trainer.step(step)
    trainer.settle()
    return torch.stack(found).tolist()


def apart(a: list[float], b: list[float]) -> dict[str, float]:
    "Relative differences: first step, and the largest"
    off = np.abs(np.array(a) / np.array(b) - 1)
    return {"first": float(off[0]), "largest": float(off.max()), "steps": len(a)}


def correctness(bench: Bench) -> None:
    data = sl.load_data("shapes3d-twin", resolution=16)
    tests = gpu_tests(bench)
    steps = 4 if bench.dry else 50
    graph = {} if bench.dry else {"graph": True}
    single = {} if bench.dry else {"graph": False}
    for name in FAMILIES:
        with bench.attempt("correctness", name):
            cpu = losses(bench, name, data, steps, shared_noise=True, device="cpu")
            gpu = losses(bench, name, data, steps, shared_noise=True, **single)
            one, all_ = (losses(bench, name, data, steps, **how) for how in (single, graph))
            bench.write(
                "correctness",
                **{name: {"cpu to gpu": apart(gpu, cpu), "graph to single steps": apart(all_, one)}},
            )
    with bench.attempt("correctness", "paper networks"):
        large = sl.load_data("shapes3d-twin", resolution=16 if bench.dry else 64)
        found = {}
        for name in ("sae-12", "btcvae", "tripod"):
            options = {"preset": "desk" if bench.dry else "paper", "batch_size": 8}
            here = losses(bench, name, large, 5, shared_noise=True, device="cpu", **options)
            how = {} if bench.dry else {"graph": False}
            there = losses(bench, name, large, 5, shared_noise=True, device=bench.device, **how, **options)
            found[name] = apart(there, here)
        bench.write("correctness", **{"paper networks": found})
    with bench.attempt("correctness", "metrics"):
        generator = torch.Generator().manual_seed(0)
        factors = torch.randint(4, (2000, 3), generator=generator)
        codes = factors.float() @ torch.randn(3, 5, generator=generator) + 0.3 * torch.randn(
            2000, 5, generator=generator
        )
        pair = [(codes.to(d), factors.to(d)) for d in ("cpu", bench.device)]
        found = [
            {
                "mig": mig(*p),
                **{k: v for k, v in sl.disentanglement(*p, seed=0).to_dict().items() if isinstance(v, float)},
            }
            for p in pair
        ]
        bench.write("correctness", metrics={k: found[1][k] - found[0][k] for k in found[0]})
    with bench.attempt("correctness", "resume"):
        bench.write("correctness", resume=resumed(bench, data))
    with bench.attempt("correctness", "side by side"):
        bench.write("correctness", **{"side by side": together(bench, data)})
    with bench.attempt("correctness", "gpu tests"):
        bench.write("correctness", **{"gpu tests": {name: said(process) for name, process in tests.items()}})


def together(bench: Bench, data) -> dict[str, float]:
    "Relative difference of losses between models that are trained side by side and one after another"
    names = ("vae", "fvae", "sae-12", "vae")
    build = lambda name: sl.build(name, data.image_shape, preset="desk")  # noqa: E731
    options = {"steps": 30, "batch_size": 16, "evaluate_every": 0, "device": bench.device}
    runs = fit_many([build(name) for name in names], data, range(4), **options)
    alone = [sl.fit(build(name), data, seed=seed, **options) for seed, name in enumerate(names)]
    pairs = zip(names, runs, alone)
    return {
        f"{i} {name}": a.history[-1]["loss"] / b.history[-1]["loss"] - 1
        for i, (name, a, b) in enumerate(pairs)
    }


def resumed(bench: Bench, data) -> dict[str, float]:
    "Largest difference of weights between a run and one that was interrupted; 0 is exact"
    off = {}
    for name in ("sae-12", "fvae"):
        build = lambda: sl.build(name, data.image_shape, preset="desk")  # noqa: E731
        options = {
            "steps": 40,
            "checkpoint_every": 20,
            "evaluate_every": 0,
            "batch_size": 16,
            "device": bench.device,
        }
        whole = sl.fit(build(), data, **options)
        folder = bench.out / "resume" / name
        stop_at(25, build(), data, folder, options)
        again = sl.fit(build(), data, out=folder, resume=True, **options)
        pairs = zip(whole.model.parameters(), again.model.parameters())
        off[name] = max(((a - b).abs().max() / a.abs().max().clamp_min(1e-12)).item() for a, b in pairs)
    return off


def stop_at(last: int, model, data, folder: Path, options: dict) -> None:
    "Train, and break off after a step"

    class Enough(Exception):
        pass

    def stop(run, step: int) -> None:
        if step == last:
            raise Enough

    try:
        sl.fit(model, data, out=folder, callbacks=(stop,), **options)
    except Enough:
        pass


CELLS = """
import json, os, sys
os.chdir(sys.argv[1])
for cell in json.load(open(sys.argv[2]))["cells"]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "code" and not source.startswith(("%", "!", "#| slow")):
        exec(compile(source, cell["id"], "exec"), globals())
"""


def gpu_tests(bench: Bench) -> dict[str, subprocess.Popen]:
    "The notebooks that have cells for a GPU, each running in a process of its own"
    if bench.dry:
        return {}
    names = [p.name for p in sorted((ROOT / "nbs").glob("*.ipynb")) if "#| gpu" in p.read_text()]
    env = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": env}
    return {n: subprocess.Popen([sys.executable, "-c", CELLS, str(ROOT / "nbs"), n], **how) for n in names}


def said(process: subprocess.Popen) -> str:
    "passed, or the end of what it printed"
    try:
        output = process.communicate(timeout=90)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return "took too long"
    return "passed" if process.returncode == 0 else output[-800:]


# b: speed


def timed(trainer: Trainer, steps: int, warm: int) -> dict[str, float]:
    "Milliseconds per step, as the host's clock sees a queue that is waited for"
    with numerics(trainer.recipe.precision):
        start = time.monotonic()
        for step in range(warm):
            trainer.step(step)
        wait(trainer)
        ready, begun = time.monotonic() - start, time.monotonic()
        for step in range(warm, warm + steps):
            trainer.step(step)
        queued = time.monotonic() - begun
        wait(trainer)
        spent = time.monotonic() - begun
    return {
        "ms": 1e3 * spent / steps,
        "host ms": 1e3 * queued / steps,
        "first seconds": ready,
        "steps": steps,
    }


def wait(trainer: Trainer) -> None:
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()


def kernels(trainer: Trainer, steps: int = 5) -> dict[str, object]:
    "Kernels of a step and their time, by PyTorch's profiler"
    from torch.profiler import ProfilerActivity, profile

    with numerics(trainer.recipe.precision):
        wait(trainer)
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            for step in range(1000, 1000 + steps):
                trainer.step(step)
            wait(trainer)
    found: dict[str, list[float]] = {}
    for event in seen.events():
        if str(event.device_type).endswith("CUDA"):
            found.setdefault(event.name, []).append(event.device_time)
    total = sum(map(sum, found.values()))
    longest = sorted(found, key=lambda name: -sum(found[name]))[:12]
    return {
        "kernels per step": sum(map(len, found.values())) / steps,
        "busy ms per step": total / steps / 1e3,
        "longest": [
            {"name": n[:90], "share": sum(found[n]) / total, "times": len(found[n]) / steps} for n in longest
        ],
    }


def speed(bench: Bench) -> None:
    resolution, preset = (16, "desk") if bench.dry else (64, "paper")
    data = sl.load_data("shapes3d-twin", resolution=resolution)
    on = {} if bench.dry else {"graph": True}
    off = {} if bench.dry else {"graph": False}
    ways = {
        "float32, single steps": {"precision": "no", **off},
        "tf32, single steps": {"precision": "tf32", **off},
        "bf16, single steps": {"precision": "bf16", **off},
        "float32, graph": {"precision": "no", **on},
        "tf32, graph": {"precision": "tf32", **on},
        "bf16, graph": {"precision": "bf16", **on},
        "bf16, compiled, graph": {"precision": "bf16", "compile": True, **on},
    }
    steps, warm, batch = (2, 1, 4) if bench.dry else (200, 20, 128)

    def measure(label: str, options: dict) -> None:
        with bench.attempt("speed", f"sae-12: {label}"):
            trainer = trainer_for(bench, "sae-12", data, preset, batch_size=batch, **options)
            found = timed(trainer, steps, warm)
            if not bench.dry:
                found |= {"memory GB": torch.cuda.max_memory_allocated() / 1e9}
                if label in ("bf16, single steps", "bf16, graph", "bf16, compiled, graph"):
                    found |= kernels(trainer)
            bench.write("speed", **{f"sae-12: {label}": found})
            print({k: v for k, v in found.items() if k != "longest"}, flush=True)
            release(trainer)

    for label in ("tf32, graph", "bf16, graph"):
        measure(label, ways[label])
    small = sl.load_data("shapes3d-twin", resolution=16 if bench.dry else 32)
    for count in (1, 2) if bench.dry else (1, 4, 12):
        with bench.attempt("speed", f"{count} desk models"):
            trainers = [trainer_for(bench, "sae-12", small, "desk", seed=seed, **on) for seed in range(count)]
            found = rounds(trainers, steps, warm)
            bench.write("speed", **{f"{count} desk models": found})
            print(found, flush=True)
            release(*trainers)
    for name in ("tripod", "fsq-ae"):  # with its penalties, and without
        with bench.attempt("speed", f"{name}: bf16, graph"):
            trainer = trainer_for(
                bench, name, data, preset, batch_size=4 if bench.dry else 64, precision="bf16", **on
            )
            found = timed(trainer, steps, warm)
            bench.write("speed", **{f"{name}: bf16, graph": found})
            print(found, flush=True)
            release(trainer)
    for label, options in ways.items():  # compiling, last, takes a minute
        if (
            f"sae-12: {label}" not in bench.results["speed"]
            and bench.left() > 0
            and not (bench.dry and options.get("compile"))
        ):
            measure(label, options)


def rounds(trainers: list[Trainer], steps: int, warm: int) -> dict[str, float]:
    "Milliseconds of a step of all models"
    with numerics(trainers[0].recipe.precision):
        for step in range(warm + steps):
            if step == warm:
                wait(trainers[0])
                begun = time.monotonic()
            for trainer in trainers:
                trainer.step(step)
        wait(trainers[0])
    spent = 1e3 * (time.monotonic() - begun) / steps
    return {"ms per round": spent, "ms per model and step": spent / len(trainers)}


def release(*trainers: Trainer) -> None:
    "Give back the memory of graphs"
    for trainer in trainers:
        trainer.__dict__.clear()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


# c and d: trainings


def trainings(bench: Bench, phases: str, models: list[str], precision: str) -> None:
    "As many as the time allows, in turns"
    jobs: list[Job] = []
    if "c" in phases:
        jobs.append(replace(paper(models[0], precision), pace=2))
    if "d" in phases:
        jobs += packaged() + screen()
    if "c" in phases:
        jobs += [paper(model, precision) for model in models[1:]]
    if bench.dry:
        small = {"steps": 4, "batch_size": 4, "checkpoint_every": 2}
        jobs = [
            replace(
                job,
                resolution=16,
                preset="desk",
                options={**job.options, **small, "precision": "no"},
                codes=100,
                marks=(2,),
            )
            for job in jobs[:8]
        ]
    gc.collect()
    gc.freeze()  # recording a graph collects garbage: let it have little to look through
    run_jobs(
        jobs,
        bench.device,
        bench.out,
        at_once=2 if bench.dry else 12,
        until=bench.deadline,
        workers=2 if bench.dry else 10,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder; what it holds is continued")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--phases", default="abcd")
    parser.add_argument(
        "--reserve", type=float, default=0, help="minutes that phases a and b leave to c and d"
    )
    parser.add_argument("--models", nargs="+", default=list(PAPER), help="of phase c, in order")
    parser.add_argument(
        "--precision",
        choices=("no", "tf32", "bf16"),
        help="of phase c; left out: bf16 if TF32 needs over 3 ms",
    )
    parser.add_argument("--dry", action="store_true", help="on the CPU, with tiny networks")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.dry and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device here; --dry tries the program on the CPU")
    deadline = time.monotonic() + 60 * args.minutes
    bench = Bench(args.out, "cpu" if args.dry else "cuda", deadline - 60 * args.reserve, args.dry)
    if "a" in args.phases:
        correctness(bench)
    if "b" in args.phases:
        speed(bench)
    bench.deadline = deadline
    if set("cd") & set(args.phases):
        bench.write("speed")  # reads what an earlier call has measured
        known = bench.results["speed"].get("sae-12: tf32, graph", {})
        precision = args.precision or ("bf16" if known.get("ms", 0) > 3 else "tf32")
        trainings(bench, args.phases, args.models, precision)


if __name__ == "__main__":
    main()
