"""Write README.md from nbs/index.ipynb (`--check`: only tell whether it is in step).

Cells marked `#| hide` stay out, directives too; links are rewritten from nbs/ to the root, where the
README stands. Pictures in the README are those that markdown cells link to, since an embedded output
cannot be shown there.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbdev.process import extract_directives

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(
    r'(\]\(|src="|href=")(?![a-z]+:|[#/])([^)"]+)'
)  # what a relative link starts with, and the link
NOTE = "<!-- Written by `make readme` from nbs/index.ipynb; edit the notebook. -->\n\n"


def visible(path: Path) -> nbformat.NotebookNode:
    "The notebook at `path` as readers should see it: no hidden cells, no directives, code marked as Python."
    nb = nbformat.read(path, as_version=4)
    nb.metadata.language_info = {"name": "python"}
    directives = [extract_directives(cell) if cell.cell_type == "code" else {} for cell in nb.cells]
    nb.cells = [
        cell for cell, found in zip(nb.cells, directives) if "hide" not in found and cell.source.strip()
    ]
    return nb


def from_root(link: str) -> str:
    "`link`, which was relative to nbs/, relative to the root."
    return link[3:] if link.startswith("../") else f"nbs/{link}"


def readme(path: Path = ROOT / "nbs/index.ipynb") -> str:
    "The README's text, made from the notebook at `path`."
    nb = visible(path)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                o for o in cell.outputs if not any(kind.startswith("image/") for kind in o.get("data", {}))
            ]
        else:
            cell.source = LINK.sub(lambda m: m[1] + from_root(m[2]), cell.source)
    text, _ = MarkdownExporter().from_notebook_node(nb)
    return NOTE + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    file, text = ROOT / "README.md", readme()
    in_step = file.exists() and file.read_text(encoding="utf-8") == text
    if "--check" in sys.argv:
        sys.exit(None if in_step else "README.md is not what nbs/index.ipynb makes: run `make readme`")
    if not in_step:
        file.write_text(text, encoding="utf-8")
