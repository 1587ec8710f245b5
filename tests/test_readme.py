"The README's script runs as it stands, but for fewer steps, from the installed wheel in an empty folder."

import re
from pathlib import Path

from tests.conftest import ROOT, command


def script() -> str:
    "The README's script."
    blocks = re.findall(
        r"^``` ?python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S
    )
    (found,) = (b for b in blocks if "sl.fit(" in b)
    return found


def test_readme_script(installed: Path, tmp_path: Path):
    quick, places = re.subn(r"steps=2000\b", "steps=20", script())
    assert places == 1, "the README's script no longer trains for steps=2000: change this test with it"
    quick += "\nassert images.shape == (16, 3, 32, 32) and 0 <= images.min() and images.max() <= 1"
    quick += "\nassert len(bank) == 128\n"
    (tmp_path / "first.py").write_text(quick)
    said = command(installed / "python", "first.py", cwd=tmp_path)
    assert re.search(r"\d\.\d", said), f"no scores in what it printed:\n{said}"
    assert (tmp_path / "runs/first/metrics.jsonl").read_text().strip()
    assert {p.name for p in (tmp_path / "my-sae").iterdir()} >= {"config.json", "model.safetensors"}
