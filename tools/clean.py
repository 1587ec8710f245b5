"""Take from the notebooks what changes from run to run, so that a diff shows only what someone changed.

nbdev_clean removes execution counts, metadata and object addresses; this also removes live widgets (their
model ids are new each run) and progress bars. `python tools/clean.py` writes, `--check` only tells which
notebooks it would change, `FILE ...` names some of them.
"""

import argparse
import sys
from pathlib import Path

from execnb.nbio import nb2str, read_nb
from nbdev.clean import clean_nb
from nbdev.config import get_config

ROOT = Path(__file__).resolve().parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"


def notebooks(folder: Path = ROOT / "nbs") -> list[Path]:
    "The notebooks of `folder`, in reading order; drafts start with an underscore and do not count."
    paths = (
        p for p in folder.rglob("*.ipynb") if not any(part[0] in "_." for part in p.relative_to(folder).parts)
    )
    return sorted(paths, key=lambda p: (p.stem != "index", p.as_posix()))


def lasting(output: dict) -> bool:
    "Whether `output` means something to a reader of the file: neither a live widget nor a progress bar."
    said = "".join(output["text"]) if output.get("name") == "stderr" else None
    bar = said is not None and ("\r" in said or not said.strip())
    return not bar and WIDGET not in output.get("data", {})


def cleaned(path: Path) -> str:
    "The text of the notebook at `path`, cleaned."
    nb = read_nb(path)
    nb.pop("path_")
    clean_nb(nb, allowed_cell_metadata_keys=get_config(path=ROOT).allowed_cell_metadata_keys.split())
    nb["metadata"].pop("widgets", None)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell["outputs"] = [o for o in cell.outputs if lasting(o)]
    return nb2str(nb)


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("files", nargs="*", type=Path)
    args.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 where something would change"
    )
    args = args.parse_args()
    dirty = [p for p in args.files or notebooks() if p.read_text(encoding="utf-8") != cleaned(p)]
    for path in dirty:
        print(f"{path.name}: " + ("not clean, run `make clean`" if args.check else "cleaned"))
        if not args.check:
            path.write_text(cleaned(path), encoding="utf-8")
    sys.exit(args.check and bool(dirty))
