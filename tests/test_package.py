"What `make dist` builds can be installed and used where there is no checkout."

import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

from tests.conftest import ROOT, command

config = ConfigParser(interpolation=None, delimiters=["="])
config.read(ROOT / "settings.ini", encoding="utf-8")
VERSION = config["DEFAULT"]["version"]


def shipped() -> set[str]:
    "What the wheel must hold of the package: its modules, and the small files beside them."
    kinds = {".py", ".json", ".safetensors"}
    return {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "sae_lit").rglob("*")
        if p.suffix in kinds and "__pycache__" not in p.parts
    }


def test_nothing_else_lies_in_the_package():
    left = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "sae_lit").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    } - shipped()
    assert not left, f"setup.py ships no files of these kinds: {sorted(left)}"


def test_wheel_holds_the_package(archives: Path):
    (wheel,) = archives.glob("*.whl")
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == shipped()


def test_source_archive_holds_what_a_build_needs(archives: Path):
    (sdist,) = archives.glob("*.tar.gz")
    names = {n.split("/", 1)[1] for n in tarfile.open(sdist).getnames() if "/" in n}
    assert shipped() | {"setup.py", "settings.ini", "LICENSE", "README.md", "constraints.txt"} <= names


def test_import_from_the_wheel(installed: Path, tmp_path: Path):
    script = (
        "import sae_lit, importlib.metadata as m; "
        "print(sae_lit.__file__, sae_lit.__version__, m.version('sae_lit'), sep='\\n')"
    )
    file, version, metadata = command(installed / "python", "-c", script, cwd=tmp_path).splitlines()[-3:]
    assert Path(file).is_relative_to(installed.parent), f"imported {file}, not what the wheel installed"
    assert version == metadata == VERSION


def test_every_module_imports_from_the_wheel(installed: Path, tmp_path: Path):
    names = [
        n.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for n in sorted(shipped())
        if n.endswith(".py")
    ]
    command(
        installed / "python",
        "-c",
        "import importlib, sys; [importlib.import_module(n) for n in sys.argv[1:]]",
        *names,
        cwd=tmp_path,
    )


def test_command_line_from_the_wheel(installed: Path, tmp_path: Path):
    said = command(installed / "sae-lit", "--help", cwd=tmp_path)
    for name in "demo train evaluate sample traverse data bench".split():
        assert name in said


def test_pretrained_models_from_the_wheel(installed: Path, tmp_path: Path):
    script = (
        "import sae_lit as sl\nfrom sae_lit.models.pretrained import packaged\n"
        "for name in packaged(): print(name, sl.load_model(name).latent_dim)"
    )
    said = command(installed / "python", "-c", script, cwd=tmp_path).splitlines()
    assert said == [f"{name}-shapes3d-twin 12" for name in ("ae", "sae-12", "tripod", "vae")]


def test_pretrained_models_are_small():
    assert sum(p.stat().st_size for p in (ROOT / "sae_lit/pretrained").rglob("*")) < 5_000_000
