"""The command line as a person uses it: help, a whole chain of commands, the demo, and one clear line for
every mistake.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import typing
from pathlib import Path

import pytest
from PIL import Image

from sae_lit.cli import COMMANDS, CheckData, PerturbData, WriteTwin, main
from sae_lit.data.catalog import load_data
from sae_lit.models.pretrained import PRETRAINED
from tests import hear
from tests.conftest import command

SAE_LIT = Path(sys.executable).with_name("sae-lit")
TINY = "train --model sae-2 --data digits --resolution 8 --steps 40 --batch-size 16".split()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    "A finished run."
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main([*TINY, "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize(
    "words",
    [
        [],
        *([name] for name in COMMANDS),
        *(["data", name] for name in ("list", "check", "write-twin", "perturb")),
    ],
    ids=" ".join,
)
def test_help(words: list[str], monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "usage: sae-lit" in said and "{None}" not in said
    assert not (silent := re.findall(r"^.*?(?:  |│ )\(default.*$", said, re.M)), f"no help: {silent}"
    if not words:
        assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize("words", ["--help", "train --help", "study --list"])
def test_a_reader_who_has_enough(words: str):
    "As in `sae-lit --help | head`: the reader is gone before the first word."
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([SAE_LIT, *words.split()], stdout=write, stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_help_loads_no_torch(tmp_path: Path):
    script = (
        "import sys, sae_lit.cli as c\n"
        "try: c.main(['train', '--help'])\n"
        "except SystemExit: print('loaded', 'torch' in sys.modules)"
    )
    assert command(sys.executable, "-c", script, cwd=tmp_path).splitlines()[-1] == "loaded False"


def test_names_are_loaded_when_used(tmp_path: Path):
    script = (
        "import sys, sae_lit as sl\n"
        "assert 'torch' not in sys.modules\n"
        "assert set(sl.__all__) <= set(dir(sl))\n"
        "for n in sl.__all__: assert callable(getattr(sl, n)), n"
    )
    command(sys.executable, "-c", script + "\nsl.metrics.mig", cwd=tmp_path)
    import sae_lit

    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        sae_lit.nothing_of_this_name


MISTAKES = {  # words, and what the error must name
    "train --model sae12": "did you mean sae-12",
    "train --data shapes3d-twn": "did you mean 'shapes3d-twin'",
    "train --resolution 4": "resolution=4",
    "train --data digits --resolution 12": "resolution=12",
    "train --steps -1": "steps=-1",
    "train --batch-size 0": "batch_size=0",
    "train --batch-size 100000000": "batch_size=100000000",
    "train --lr -0.1": "lr=-0.1",
    "train --latent-dim 7 --model sae-2": "7",
    "train --latent-dim 0": "latent_dim=0",
    "train --terms bernoulli -1": "terms['bernoulli']=-1",
    "train --resume --optimizer adam --out RUN": "recipe.optimizer: muon there, adam now",
    "train --processes 0": "processes=0",
    "train --threads -1": "threads=-1",
    "train --out FILE/run": "FILE/run",
    "train --out RUN": "already holds a run",
    "train --resume": "needs --out",
    "train --resume --out nowhere": "nowhere is not a run folder",
    "train --resume --lr 0.1 --out RUN": "recipe.lr: 0.02 there, 0.1 now",
    "train --resume --model ae --out RUN": "model.name: sae-2 there, ae now",
    "train --data shapes3d --root EMPTY": "3dshapes.h5 is not in",
    "train --data folder:EMPTY": "holds no pictures",
    "train --terms klmm 1": "unknown loss term 'klmm'",
    "train --resume --terms bernoulli 2 --out RUN": "model.terms",
    "train --resume --out sae-12-shapes3d-twin": "sae-12-shapes3d-twin is not a run folder",
    "evaluate nowhere": "nowhere is not a run folder",
    "evaluate sae-12-shapes3d": "did you mean sae-12-shapes3d-twin",
    "sample tripod": "did you mean tripod-shapes3d-twin",
    "traverse nowhere": "nowhere is not a run folder",
    "evaluate EMPTY": "EMPTY is not a run folder",
    "evaluate STRANGE": "does not describe a run",
    "evaluate BROKEN": "train --resume --out BROKEN",
    "evaluate RUN --n 1": "n=1",
    "sample RUN --n 0": "n=0",
    "sample RUN --sampler prior": "was not trained to match a prior",
    "sample RUN --sampler codes --partial 1": "goes with --sampler hybrid",
    "sample RUN --partial 3": "variables 1 to 2",
    "sample RUN --partial 1 --reference 100000": "100000",
    "sample RUN --out picture.txt": "picture.txt is no name for a picture",
    "traverse RUN --steps 1": "steps=1",
    "explore nowhere": "nowhere is not a run folder",
    "explore RUN --port 70000": "port=70000",
    "explore RUN --host 192.0.2.1": "host='192.0.2.1'",
    "explore RUN --beside nowhere": "nowhere is not a run folder",
    "explore RUN --out page.html": "page.html is no name for a picture",
    "demo --out RUN": "holds something that is no demo",
    "demo --minutes 0 --processes 1": "minutes=0",
    "data check nothing": "unknown data set 'nothing'",
    "bench nothing": "unknown benchmark 'nothing'",
    "study": "which study? Name a file, or one of ctp-across",
    "study smoek": "unknown study 'smoek'; did you mean smoke",
    "study nowhere.toml": "nowhere.toml",
    "study FILE.toml": "FILE.toml: models is None; expected a list of names",
    "study smoke --workers 0": "workers=0",
    "study smoke --address 192.0.2.1:6379": "it needs backend='ray'",
    "study smoke --results FILE/there": "FILE/there",
    "study smoke --table": "ae-digits-0 (not run)",
    "study smoek --table": "did you mean smoke",
    "data write-twin shapes3d-twin FILE": "is there already",
    "data write-twin shapes3d-twin new.h5 --count 0": "count=0",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistake(words: str, finished: Path, tmp_path: Path, monkeypatch, capsys):
    "Exit code 2, and one line that names the value and what was expected; nothing is left behind."
    monkeypatch.chdir(tmp_path)
    Path("EMPTY").mkdir()
    Path("FILE").touch()
    Path("FILE.toml").touch()
    Path("STRANGE").mkdir()
    Path("STRANGE/config.json").write_text("[]")
    Path("BROKEN").mkdir()
    shutil.copy(finished / "config.json", "BROKEN")
    Path("RUN").symlink_to(finished)
    before = sorted(Path().rglob("*"))
    assert main(words.split()) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("sae-lit: error: ") and MISTAKES[words] in error
    assert sorted(Path().rglob("*")) == before


def test_optimizer_and_precision(tmp_path: Path):
    "They reach the recipe of the run."
    words = (
        "train --model ae --preset dense --data digits --resolution 8 --latent-dim 3 --steps 2 "
        "--optimizer muon --lr 0.01 --precision tf32"
    )
    assert main([*words.split(), "--out", str(tmp_path / "run")]) == 0
    recipe = json.loads((tmp_path / "run/config.json").read_text())["recipe"]
    assert (recipe["optimizer"], recipe["precision"], recipe["lr"]) == ("muon", "tf32", 0.01)


def test_explore_without_voila(finished: Path, monkeypatch, capsys):
    "A user who has not installed it learns what to install, before anything is loaded or written."
    for name in ("voila", "voila.app"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["explore", str(finished), "--out", "nowhere/picture.png"]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1 and "pip install voila" in said.err


def test_a_packaged_model_is_as_good_as_a_run(tmp_path: Path, monkeypatch, capsys):
    """Its name will do, what the commands make goes to runs/NAME, the package stays as it was, and a folder
    of that name comes first.
    """
    monkeypatch.chdir(tmp_path)
    name = "vae-shapes3d-twin"
    before = {path: path.read_bytes() for path in (PRETRAINED / name).iterdir()}
    for words in (
        ["sample", name, "--n", "4"],
        ["sample", name, "--n", "4", "--sampler", "prior", "--out", "prior.png"],
        ["traverse", name, "--steps", "3"],
        ["evaluate", name, "--n", "300", "--n-test", "200"],
    ):
        assert main(words) == 0
    assert sorted(
        p.relative_to(f"runs/{name}").as_posix() for p in Path("runs").rglob("*") if p.is_file()
    ) == ["figures/samples.png", "figures/traversals.png", "scores.json"]
    assert json.loads(Path(f"runs/{name}/scores.json").read_text())["data"] == "shapes3d-twin"
    assert {path: path.read_bytes() for path in (PRETRAINED / name).iterdir()} == before
    Path(name).mkdir()
    assert main(["sample", name]) == 2 and "is not a run folder" in capsys.readouterr().err


def test_explore_serves_a_packaged_model(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages = []
    monkeypatch.setattr("sae_lit.sampling.page.serve", lambda page, *rest: pages.append(page))
    assert (
        main(
            [
                "explore",
                "sae-12-shapes3d-twin",
                "--beside",
                "vae-shapes3d-twin",
                "--port",
                "0",
                "--no-browser",
            ]
        )
        == 0
    )
    assert Path("runs/sae-12-shapes3d-twin/figures/explorer.png").is_file()
    assert all(
        repr(str(PRETRAINED / f"{name}-shapes3d-twin")) in pages[0]["cells"][1]["source"]
        for name in ("sae-12", "vae")
    )


def test_no_gpu(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["train", "--device", "cuda"]) == 2
    assert "device='cuda' was asked for, but PyTorch sees no CUDA device" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", ["trian", "train --step 3", "train --steps many", "train --preset large", "evaluate", "data"]
)
def test_unknown_words(words: str, capsys):
    with pytest.raises(SystemExit) as end:
        main(words.split())
    assert end.value.code == 2
    assert "--help" in capsys.readouterr().err


def test_an_error_is_one_line_and_debug_shows_where(tmp_path: Path):
    def run(*more: str) -> subprocess.CompletedProcess:
        words = [SAE_LIT, "evaluate", "nowhere", *more]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)

    assert (done := run()).returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout
    assert "Traceback" in run("--debug").stderr


def test_chain(finished: Path, tmp_path: Path, capsys):
    "Everything that can be done with a finished run."
    assert main(["evaluate", str(finished), "--n", "400", "--n-test", "200"]) == 0
    assert "| MSE" in capsys.readouterr().out
    assert json.loads((finished / "scores.json").read_text())["data"] == "digits"
    assert main(["sample", str(finished), "--n", "12"]) == 0
    sheet = Image.open(finished / "figures/samples.png")
    assert sheet.size == (8 * 66 + 2, 2 * 66 + 2)
    assert (
        main(["sample", str(finished), "--n", "12", "--seed", "1", "--out", str(tmp_path / "new/other.png")])
        == 0
    )
    assert Image.open(tmp_path / "new/other.png").tobytes() != sheet.tobytes()
    assert (
        main(["sample", str(finished), "--n", "4", "--partial", "2", "--out", str(tmp_path / "partial.jpg")])
        == 0
    )
    assert Image.open(tmp_path / "partial.jpg").format == "JPEG"
    for sampler in ("codes", "gaussian", "mixture"):
        assert (
            main(
                [
                    "sample",
                    str(finished),
                    "--n",
                    "12",
                    "--sampler",
                    sampler,
                    "--out",
                    str(tmp_path / f"{sampler}.png"),
                ]
            )
            == 0
        )
        assert Image.open(tmp_path / f"{sampler}.png").tobytes() != sheet.tobytes()
    assert main(["traverse", str(finished), "--steps", "5", "--out", str(tmp_path / "t.png")]) == 0
    assert Image.open(tmp_path / "t.png").width > 200


def test_data(tmp_path: Path, capsys):
    assert main(["data", "list"]) == 0
    assert {"shapes3d-twin", "digits"} <= set(capsys.readouterr().out.split())
    assert main(["data", "write-twin", "shapes3d-twin", str(tmp_path / "3dshapes.h5"), "--count", "64"]) == 0
    assert main(["data", "check", "shapes3d", "--root", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "pictures: 64\n" in said and "shape: [3, 64, 64]" in said and "orientation (15)" in said


def test_perturbation(tmp_path: Path, monkeypatch, capsys):
    "From two VAEs to a perturbation file, to a model that has only seen perturbed pictures, to its scores."
    monkeypatch.chdir(tmp_path)
    train = "train --preset dense --data dsprites-twin --resolution 16 --latent-dim 2 --batch-size 8".split()
    for seed in "01":
        assert (
            main([*train, "--model", "bvae", "--steps", "10", "--seed", seed, "--out", f"clean{seed}"]) == 0
        )
    assert main("data perturb clean0 clean1 --n 500 --epsilon .2 --kappa 3 --out p.npz".split()) == 0
    assert "p.npz\nnext: sae-lit train --data dsprites-twin --perturbation p.npz" in capsys.readouterr().out
    assert main([*train, "--model", "ae", "--steps", "2", "--perturbation", "p.npz", "--out", "after"]) == 0
    stored = json.loads(Path("after/config.json").read_text())["data"]
    assert (
        stored["name"] == "perturbed:dsprites-twin"
        and stored["file"] == "p.npz"
        and len(stored["digest"]) == 16
    )
    pair = [load_data(**stored), load_data("dsprites-twin", resolution=16)]
    assert 0.199 < (pair[0].images([5]) - pair[1].images([5])).abs().max() < 0.201
    assert main("evaluate after --n 300 --n-test 100".split()) == 0
    for words, why in {
        "data perturb clean0 clean1 --out p.npz": "is there already",
        "data perturb clean0 after --out q.npz": "other data than clean0",
        "data perturb clean0 --out q.npz": "at least two restarts",
        "data perturb clean0 clean1 --out q.txt": "ends in .npz",
        "data perturb clean0 clean1 --n 500 --epsilon 2 --out q.npz": "epsilon=2",
    }.items():
        assert main(words.split()) == 2 and why in capsys.readouterr().err, words
    assert not Path("q.npz").exists()


def test_study(tmp_path: Path, monkeypatch, capsys):
    "From a name to a table; a second time nothing is left to do."
    monkeypatch.chdir(tmp_path)
    assert main(["study", "smoke", "--workers", "1"]) == 0
    assert "4 of 4 runs are in runs/results/smoke" in capsys.readouterr().out
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert len([p for p in files if p.match("runs/results/smoke/*.json")]) == 4
    assert main(["study", "smoke"]) == 0
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == files
    capsys.readouterr()
    assert main(["study", "smoke", "--table"]) == 0
    assert "| sae-2 " in (said := capsys.readouterr().out) and "mse" in said and "2 seeds" in said
    assert main(["study", "smoke", "--table", "--scores", "mig"]) == 0
    assert "mig" in (said := capsys.readouterr().out) and "mse" not in said
    assert main(["study", "--list"]) == 0
    said = capsys.readouterr().out
    assert "4 of 4 runs done" in said and "sba-desk" in said and "0 of 63 runs done" in said
    Path("runs/results/smoke/ae-digits-1.json").unlink()
    assert main(["study", "smoke", "--table"]) == 2
    assert "ae-digits-1 (not run)" in capsys.readouterr().err
    assert main(["study", "smoke", "--table", "--incomplete"]) == 0
    assert "INCOMPLETE, 1 of 4 runs" in capsys.readouterr().out


def test_study_of_ones_own(tmp_path: Path, monkeypatch, capsys):
    "A file in the folder `studies` of a project is listed, and runs by its path and by its name."
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir()
    Path("src").mkdir()
    Path("studies/mine.toml").write_text("""
about = "how small can a study be"
models = ["ae"]
seeds = [7]
points = 1
recipe = {steps = 2, batch_size = 4}
measures = {responses = {n = 5}}
keep = "kept"
data = {digits = {resolution = 8}}
""")
    assert main("study studies/mine.toml --workers 1".split()) == 0
    assert "1 of 1 runs are in runs/results/mine" in capsys.readouterr().out
    assert len(list(tmp_path.glob("kept/mine/ae-digits-7-*/model/model.safetensors"))) == 1
    assert main(["study", "--list"]) == 0
    assert capsys.readouterr().out == "mine: how small can a study be; 1 of 1 runs done\n"
    monkeypatch.chdir(tmp_path / "src")
    assert main("study mine --table --results ../runs/results".split()) == 0
    assert "unused" in capsys.readouterr().out


def test_demo(tmp_path: Path):
    """Two processes, few steps: every file, a page that needs no other, and a last line that says where to
    look.
    """
    said = command(SAE_LIT, "demo", "--steps", "30", "--processes", "2", cwd=tmp_path)
    demo = tmp_path / "demo"
    assert said.splitlines()[-1].endswith(f"Look at {demo / 'report.html'}")
    files = {p.relative_to(demo).as_posix() for p in demo.rglob("*") if p.is_file()}
    pictures = {
        f"figures/{name}.png" for name in ("reconstructions", "samples", "traversals", "history", "scores")
    }
    assert (
        pictures
        | {
            "config.json",
            "metrics.jsonl",
            "scores.json",
            "report.html",
            "model/config.json",
            "model/model.safetensors",
        }
        <= files
    )
    page = (demo / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert not re.search(r'(src|href)="(?!data:)|https?:|url\(|@import|<script', page)
    assert "our own rendering" in page and "not the original" in page and "30 steps" in page
    assert json.loads((demo / "config.json").read_text())["versions"]["processes"] == "2"


def test_demo_makes_room_for_itself_only(tmp_path: Path):
    from sae_lit.cli import Demo
    from sae_lit.data.disk import place_folder

    demo = Demo(tmp_path / "demo")
    demo.clear()
    assert [p.name for p in demo.work.iterdir()] == ["demo.json"] and not demo.out.exists()
    place_folder(demo.work, demo.out)
    demo.clear()
    assert (demo.out / "demo.json").exists()  # the old one stays until the new one is whole
    (demo.out / "notes").touch()
    with pytest.raises(FileExistsError, match="holds notes"):
        demo.clear()
    (demo.out / "demo.json").unlink()
    with pytest.raises(FileExistsError, match="no demo"):
        demo.clear()
    assert (demo.out / "notes").exists()


def hostile_options() -> list[str]:
    "Every option of every command that takes a number, a path or a name, with values that nobody means."
    lines = []
    for name, described in COMMANDS.items():
        kinds = (
            {
                f"data {s}": kind
                for s, kind in (("check", CheckData), ("write-twin", WriteTwin), ("perturb", PerturbData))
            }
            if name == "data"
            else {name: described}
        )
        for words, kind in kinds.items():
            for field, hint in typing.get_type_hints(kind).items():
                options = [o for o in (hint, *typing.get_args(hint)) if o in (int, float, Path, str)]
                if not options or field in ("run", "name", "path", "runs", "workers", "processes", "jobs"):
                    continue  # jobs=-1: all cores
                values = {
                    int: ("-1", "1e400", "nan", ""),
                    float: ("nan", "inf", "-1", ""),
                    Path: ("",),
                    str: ("",),
                }[options[0]]
                lines += [f"{words}|--{field.replace('_', '-')}|{value}" for value in values]
    return lines


def test_hostile_options(finished: Path, tmp_path: Path, monkeypatch, capsys):
    """Exit code 2, and one line that names the option, for every option and value that has no meaning;
    training is not begun.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sae_lit.training.fit.fit",
        lambda *args, **options: (_ for _ in ()).throw(ValueError("fit would look at the rest")),
    )
    needs = {
        "evaluate": [str(finished)],
        "sample": [str(finished)],
        "traverse": [str(finished)],
        "explore": [str(finished)],
        "data check": ["digits"],
        "data write-twin": ["dsprites-twin", "x.npz"],
        "data perturb": ["nowhere", "nowhere"],
        "study": ["smoke"],
    }
    lines, bad = hostile_options(), []
    for line in lines:
        command, option, value = line.split("|")
        try:
            code = main([*command.split(), *needs.get(command, []), option, value])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr().err
        if code != 2:
            bad.append(f"{line}: {code} {said[-150:]}")
    assert not bad, f"{len(bad)} of {len(lines)}:\n" + "\n".join(bad)
    print(f"{len(lines)} calls")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_help_on_any_console(encoding: str, tmp_path: Path):
    done = subprocess.run(
        [SAE_LIT, "train", "--help"],
        cwd=tmp_path,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0 and b"usage: sae-lit train" in done.stdout and not done.stderr


def test_an_unexpected_error_is_one_line(monkeypatch, capsys):
    "Whatever goes wrong inside: no traceback, and another exit code than for bad input."

    def broken(*_, **__):
        raise KeyError("inside")

    monkeypatch.setattr("sae_lit.data.catalog.load_data", broken)
    assert main(["data", "check", "digits"]) == 1
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == "sae-lit: unexpected KeyError: 'inside'; the same command with --debug shows where it came from"
    )


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc")
def test_processes_listen_on_the_loopback_only(tmp_path: Path):
    "Two processes meet without a port that other machines can reach."
    words = [SAE_LIT, *TINY, "--steps", "100000", "--processes", "2", "--out", "run"]
    process = subprocess.Popen(
        words,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=hear,
    )
    try:
        while process.poll() is None and not (tmp_path / "run/metrics.jsonl").exists():
            time.sleep(0.1)
        inodes = {
            os.readlink(f"/proc/{process.pid}/fd/{fd}")[8:-1]
            for fd in os.listdir(f"/proc/{process.pid}/fd")
            if "socket" in os.readlink(f"/proc/{process.pid}/fd/{fd}")
        }
        lines = [
            line.split()
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        ]
        listening = [f[1] for f in lines if f[3] == "0A" and f[9] in inodes]
        assert all(a.startswith(("0100007F:", "00000000000000000000000001000000:")) for a in listening), (
            listening
        )
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def test_interrupted(tmp_path: Path):
    "Control-C ends with 130 and the command that goes on."
    words = [SAE_LIT, *TINY, "--steps", "100000", "--out", "run"]
    process = subprocess.Popen(
        words,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=hear,
    )
    while process.poll() is None and not (tmp_path / "run/metrics.jsonl").exists():
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    error = process.communicate()[1]
    assert (
        process.returncode == 130
        and error.splitlines()[-1] == "sae-lit: interrupted; go on with: sae-lit train --resume --out run"
    )
