"""Studies survive: real processes, really killed, end with the records of a study that nothing disturbed; and
a cluster gives the same ones.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from sae_lit.studies import MEASURES, STUDIES, Study, run_study, table
from sae_lit.studies import runner
from sae_lit.studies.ledger import estimate
from sae_lit.studies.grids import named
from sae_lit.studies.runner import on_this_machine, read
from tests.conftest import ROOT

SMALL = Study(
    "small",
    named("ae", "sae-2"),
    {"digits": {"resolution": 8}},
    seeds=(0, 1),
    recipe={"steps": 60, "batch_size": 16, "checkpoint_every": 5},
    measures={"evaluation": {"n": 200, "n_test": 100}},
    points=2,
)
TINY = replace(SMALL, name="tiny", models=named("ae"), recipe={"steps": 5, "batch_size": 16}, points=1)
PROGRAM = "from tests.test_studies import *; run_study({study}, 'runs', 'results', workers={workers})"


def start(folder: Path, study: str = "SMALL", workers: int = 2, program: str = PROGRAM) -> subprocess.Popen:
    "A study in a process group of its own, in this folder."
    program = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); os.chdir({str(folder)!r}); "
        + program.format(study=study, workers=workers)
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        },
    )


def records(folder: Path) -> dict[str, dict]:
    "What a study has stored, without what may differ: seconds, dates, machines."
    found = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("results/*/*.json"))}
    lasting = ("asked", "id", "training_version", "config", "weights", "last", "information")
    told = {
        name: {part: r[part] for part in lasting}
        | {"scores": r["measures"].get("evaluation", {}).get("scores")}
        for name, r in found.items()
    }
    for name, record in found.items():
        told[name]["curve"] = [
            {k: v for k, v in point.items() if "seconds" not in k} for point in record["curve"]["points"]
        ]
        codes = folder / "runs" / record["study"] / f"{Path(name).stem}-{record['id']}" / "codes.safetensors"
        told[name]["codes"] = codes.read_bytes() if codes.exists() else None
    return told


def safe(folder: Path) -> int:
    "How many steps are safe in checkpoints, over all runs."
    return sum(
        max((int(p.stem[5:]) for p in run.glob("checkpoints/step-*")), default=0)
        for run in folder.glob("runs/*/*")
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    "A study that was left in peace, one run after the other in this process."
    folder = tmp_path_factory.mktemp("undisturbed")
    run_study(SMALL, folder / "runs", folder / "results", workers=1)
    return folder


def test_killed_again_and_again(undisturbed: Path, tmp_path: Path):
    "The whole process group dies at once, at some moment: in training, and after a first record."
    moment, when = random.Random(0), [lambda: safe(tmp_path) > 15, lambda: len(records(tmp_path)) > 1]
    for enough in when:
        process = start(tmp_path)
        while process.poll() is None and not enough():
            time.sleep(0.02)
        time.sleep(moment.random() * 0.3)
        assert process.poll() is None, "killed too late for a test"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert 0 < len(records(tmp_path)) < 4
    process = start(tmp_path)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert records(tmp_path) == records(undisturbed)
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")], "temporary files are left"


@pytest.mark.skipif(not shutil.which("ps"), reason="looks for processes with ps")
def test_workers_end_with_the_process_that_started_them(tmp_path: Path):
    process = start(tmp_path, "replace(SMALL, recipe={{'steps': 100_000}})")

    def group() -> list[str]:
        words = ["ps", "-o", "pid=,stat=,args=", "-g", str(process.pid)]
        return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()

    while process.poll() is None and not list(tmp_path.glob("runs/*/*/config.json")):
        time.sleep(0.1)
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while left := [line for line in group() if "Z" not in line.split()[1] and "resource_tracker" not in line]:
        assert time.monotonic() < until, f"still there: {left}"
        time.sleep(0.2)


def test_two_people_start_the_same_study(tmp_path: Path):
    "Each run is trained once, and both find all records."
    both = [
        start(tmp_path, "TINY", 1, PROGRAM + "; print(len(list(Path('results/tiny').glob('*.json'))))")
        for _ in range(2)
    ]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [out.split()[-1] for out, _ in said] == ["2", "2"]
    for path in tmp_path.glob("results/tiny/*.json"):
        assert json.loads(path.read_text())["training"]["steps"] == 5
    for path in tmp_path.glob("runs/tiny/*/metrics.jsonl"):
        assert len(path.read_text().splitlines()) == 1


def test_a_process_that_dies_takes_only_its_own_run(tmp_path: Path):
    "Memory runs out, as far as anyone can tell: the system kills the process."
    program = """
def fatal(model, data, seed):
    if seed == 1 and 'Hourglass' in type(model.decoder).__name__: os.kill(os.getpid(), 9)
    return {{'one': 1.}}
one = replace({study}, measures={{'fatal': {{}}}})
try: run_study(one, 'runs', 'results', workers={workers}, measures={{'fatal': fatal}})
except ChildProcessError as e: print(e)
"""
    process = start(
        tmp_path,
        "replace(SMALL, recipe={'steps': 3}, seeds=(1, 2), points=0)",
        2,
        "from tests.test_studies import *\n" + program,
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "ae-digits-1 (process: it died: killed, or out of memory)" in out
    done = {
        path.stem
        for path in tmp_path.glob("results/small/*.json")
        if json.loads(path.read_text())["measures"]
    }
    assert done == {f"{model}-digits-{seed}" for model in ("ae", "sae-2") for seed in (1, 2)} - {
        "ae-digits-1"
    }
    assert "out of memory" in (tmp_path / "results/small/failed/ae-digits-1.json").read_text()


def test_a_failing_run_is_recorded_and_the_others_are_done(tmp_path: Path):
    study, at = (
        replace(TINY, models={"odd": {"name": "sae-2", "latent_dim": 7}, "ae": {}}, seeds=(0,)),
        (tmp_path / "runs", tmp_path / "results"),
    )
    with pytest.raises(ChildProcessError, match="1 of 2 runs failed: odd-digits-0 .training: ValueError"):
        run_study(study, *at, workers=1)
    assert "ae-digits-0.json" in records(tmp_path)
    with pytest.raises(
        ValueError, match="1 of 2 runs of 'tiny' are incomplete: odd-digits-0 .training failed: ValueError"
    ):
        table(study, at[1])
    shown = table(study, at[1], incomplete=True).markdown()
    assert "INCOMPLETE" in shown and "odd-digits-0" in shown
    mended = replace(study, models=study.models | {"odd": {"name": "sae-2", "latent_dim": 8}})
    assert len(run_study(mended, *at, workers=1)) == 2 and not list(tmp_path.glob("results/tiny/failed/*"))


def test_a_failing_measure_costs_only_itself(tmp_path: Path):
    def broken(model, data, seed):
        return {"score": float("nan")}

    study, at = (
        replace(TINY, seeds=(0,), measures={"broken": {}, **TINY.measures}),
        (tmp_path / "runs", tmp_path / "results"),
    )
    with pytest.raises(ChildProcessError, match="broken: ValueError: score=nan"):
        run_study(study, *at, workers=1, measures=MEASURES | {"broken": broken})
    (record,) = records(tmp_path).values()
    mended = run_study(
        study, *at, workers=1, measures=MEASURES | {"broken": lambda model, data, seed: {"score": 1.0}}
    )
    assert (
        mended[0]["measures"]["broken"]["scores"] == {"score": 1.0}
        and record == records(tmp_path)["ae-digits-0.json"]
    )


def test_added_measures_do_not_train(undisturbed: Path, tmp_path: Path):
    folder = Path(shutil.copytree(undisturbed, tmp_path / "copy"))
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("model.safetensors")}
    study = replace(SMALL, measures=SMALL.measures | {"mean": {"shift": 2.0}})

    def mean(model, data, seed, shift):
        return {"mean": data.images([seed]).mean().item() + shift}

    done = run_study(
        study, folder / "runs", folder / "results", workers=1, measures=MEASURES | {"mean": mean}
    )
    assert all(
        2 < r["measures"]["mean"]["scores"]["mean"] < 3 and r["measures"]["mean"]["options"] == {"shift": 2.0}
        for r in done
    )
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("model.safetensors")} and records(
        folder
    ) == records(undisturbed)


def test_other_versions_are_not_mixed(tmp_path: Path, monkeypatch):
    at, first, both = (tmp_path / "runs", tmp_path / "results"), replace(TINY, seeds=(0,)), TINY
    run_study(first, *at, workers=1)
    for which in ("TRAINING_VERSION", "SCORING_VERSION"):
        monkeypatch.setattr(runner, which, 99)
    assert len(run_study(first, *at, workers=1)) == 1, "a finished study stays as it is"
    with pytest.raises(
        ValueError, match='1 stored runs hold scores of another version.*ae-digits-0.*redo="scores"'
    ):
        run_study(both, *at, workers=1)
    with pytest.raises(ValueError, match='1 stored runs are from another version.*ae-digits-0.*redo="all"'):
        run_study(both, *at, workers=1, redo="scores")
    with pytest.raises(ValueError, match="incomplete"):
        table(both, at[1])
    done = run_study(both, *at, workers=1, redo="all")
    assert [r["training_version"] for r in done] == [99] * 2 and len(
        list(tmp_path.glob("runs/tiny/ae-digits-0-*"))
    ) == 2, "the old model stays"
    assert table(both, at[1]).summary["n"][0] == 2
    path = at[1] / "tiny/ae-digits-0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"training_version": 1}))
    with pytest.raises(ValueError, match="differ in version of the training.*ae-digits-0"):
        table(both, at[1])


def test_scores_of_another_version_can_be_made_again(tmp_path: Path, monkeypatch):
    at = tmp_path / "runs", tmp_path / "results"
    run_study(TINY, *at, workers=1)
    before = records(tmp_path)
    monkeypatch.setattr(runner, "SCORING_VERSION", 99)
    done = run_study(TINY, *at, workers=1, redo="scores")
    assert {r["measures"]["evaluation"]["scoring_version"] for r in done} == {99} and records(
        tmp_path
    ) == before


def test_records_from_before_there_were_versions_count_as_the_first(tmp_path: Path):
    at = tmp_path / "runs", tmp_path / "results"
    run_study(replace(TINY, seeds=(0,)), *at, workers=1)
    path = at[1] / "tiny/ae-digits-0.json"
    record = json.loads(path.read_text())
    del record["training_version"], record["measures"]["evaluation"]["scoring_version"]
    path.write_text(json.dumps(record))
    assert (read(path)["training_version"], read(path)["measures"]["evaluation"]["scoring_version"]) == (1, 1)


def test_shipped_records_are_those_of_the_study_files():
    "Whatever is stored was asked for as the files ask for it today, and is of the first version."
    found = {name: runner.Stored(study, ROOT / "nbs/results") for name, study in STUDIES.items()}
    assert sum(len(stored.records) for stored in found.values()) > 400
    for name, stored in found.items():
        assert not stored.otherwise(), f"{name}: the file is not what was run"
        assert {record["training_version"] for record in stored.records.values()} <= {1}


def test_records_of_two_machines_make_one_study(undisturbed: Path, tmp_path: Path):
    "Each has done some seeds; copied together, their records are the study's, and hold no path."
    for seed in SMALL.seeds:
        here = tmp_path / str(seed)
        run_study(replace(SMALL, seeds=(seed,)), here / "runs", here / "results", workers=1)
        shutil.copytree(here / "results", tmp_path / "results", dirs_exist_ok=True)
    assert not any(str(tmp_path) in path.read_text() for path in tmp_path.glob("results/small/*.json"))

    def drop(told: dict) -> dict:
        return {name: record | {"codes": None} for name, record in told.items()}

    assert drop(records(tmp_path)) == drop(records(undisturbed))
    assert (
        len(run_study(SMALL, tmp_path / "nowhere", tmp_path / "results")) == 4
        and not (tmp_path / "nowhere").exists()
    )


def test_a_lost_model_is_trained_again(tmp_path: Path):
    at = tmp_path / "runs", tmp_path / "results"
    run_study(replace(TINY, measures={}), *at, workers=1)
    shutil.rmtree(at[0])
    done = run_study(TINY, *at, workers=1)
    assert [r["training"]["steps"] for r in done] == [5, 5]


def test_a_worker_of_another_version_does_not_work(tmp_path: Path):
    (job,) = runner.Stored(replace(TINY, seeds=(0,)), tmp_path / "results").plan(
        tmp_path / "runs", MEASURES, "cpu", None
    )
    failed = replace(job, versions=(99, 1))()
    assert (
        "install the same everywhere" in failed["start"]
        and not list(tmp_path.glob("results/tiny/*.json"))
        and job.failure.exists()
    )


def test_no_process_outlives_a_study_that_is_given_up(tmp_path: Path):
    "Whoever stops asking for results stops the work."
    (tmp_path / "results/long").mkdir(parents=True)
    study = replace(SMALL, name="long", recipe={"steps": 100_000, "batch_size": 16}, models=named("ae"))
    started = on_this_machine(
        runner.Stored(
            replace(study, seeds=(0,), recipe={"steps": 1, "batch_size": 16}), tmp_path / "results"
        ).plan(tmp_path / "runs", MEASURES, "cpu", None)
        + runner.Stored(replace(study, seeds=(1,)), tmp_path / "results").plan(
            tmp_path / "runs", MEASURES, "cpu", None
        ),
        2,
    )
    job, failed = next(started)
    assert (job.cell.seed, failed) == (0, {})
    started.close()
    log = next(tmp_path.glob("runs/long/ae-digits-1-*/lock"))
    with FileLock(log, timeout=30):
        pass  # its process has let go


BUDGETS = {"steps": {"steps": 6, "batch_size": 16}, "batch_size": {"steps": 5, "batch_size": 8}}


@pytest.mark.parametrize("recipe", BUDGETS.values(), ids=BUDGETS)
def test_other_budgets_are_not_mixed(recipe: dict, tmp_path: Path):
    at, study = (tmp_path / "runs", tmp_path / "results"), replace(TINY, seeds=(0,))
    run_study(study, *at, workers=1)
    with pytest.raises(ValueError, match="1 stored runs were asked for otherwise.*ae-digits-0"):
        run_study(replace(study, recipe=recipe), *at, workers=1)
    with pytest.raises(ValueError, match="1 stored runs were asked for otherwise.*ae-digits-0"):
        table(replace(study, recipe=recipe), at[1])
    mixed = replace(study, models=named("ae") | {"sae-2": {"training": recipe}}, recipe={})
    run_study(
        replace(mixed, name="mixed", models={"ae": {"training": TINY.recipe}, "sae-2": {"training": recipe}}),
        *at,
        workers=1,
    )
    with pytest.raises(ValueError, match="differ in budget.*ae-digits-0.*sae-2-digits-0"):
        table(
            replace(
                mixed, name="mixed", models={"ae": {"training": TINY.recipe}, "sae-2": {"training": recipe}}
            ),
            at[1],
        )


def test_damaged_and_strange_records(tmp_path: Path):
    path = tmp_path / "results/tiny/ae-digits-0.json"
    path.parent.mkdir(parents=True)
    for text, said in (("{", "is damaged"), ("[]", "is no record"), ('{"asked": 1}', "is no record")):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"ae-digits-0.json {said}"):
            run_study(TINY, tmp_path / "runs", tmp_path / "results")


def test_interval_holds_the_mean_as_often_as_it_says():
    "Normal numbers, three seeds: 95 of 100 intervals, which a bootstrap of three does not reach."
    draws = np.random.default_rng(0).normal(size=(4000, 3))
    assert abs(np.mean([e.low < 0 < e.high for e in map(estimate, draws)]) - 0.95) < 0.012


def test_shipped_studies_are_sound():
    for study in STUDIES.values():
        study.check(MEASURES)


CLUSTER = """
import socket, ray
from ray.cluster_utils import Cluster
from tests.test_studies import *

def place(model, data, seed): return {{"place": float(int(ray.get_runtime_context().get_node_id()[:12], 16))}}

node = {{"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}}
node |= {{"include_log_monitor": False, "no_monitor": True}}
for attempt in range(4):  # Ray gives its helpers 15 seconds to start, few on a busy machine
    cluster = Cluster()
    try: cluster.add_node(**node); cluster.add_node(**node); break
    except Exception:
        cluster.shutdown()
        if attempt == 3: raise
print(cluster.head_node.get_session_dir_path(), flush=True)
study = replace({study}, measures={study}.measures | {{"place": {{}}}})
placed = dict(backend="ray", address=cluster.address, measures=MEASURES | {{"place": place}})
try: run_study(study, "runs", "results", workers={workers}, **placed)
finally: cluster.shutdown()
assert not ray.is_initialized()
"""


def test_two_ray_nodes_do_what_one_machine_does(undisturbed: Path, tmp_path: Path):
    pytest.importorskip("ray")
    process = start(tmp_path, "SMALL", 2, CLUSTER)
    try:
        out, err = process.communicate(timeout=500)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # Ray hangs; its processes end with this one
    assert process.returncode == 0, err
    assert records(tmp_path) == records(undisturbed)
    places = {
        json.loads(path.read_text())["measures"]["place"]["scores"]["place"]
        for path in tmp_path.glob("results/small/*.json")
    }
    assert len(places) == 2, "not both nodes have worked"
    if shutil.which("ps"):
        assert (
            out.split()[-1]
            not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        ), "Ray is still running"
