"What must stay in step: notebooks, package and README; and the rules that make the notebooks readable."

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from sae_lit.data.figures import digest_of
from tools.clean import ROOT, cleaned, notebooks
from tools.readme import LINK, readme
from tools.style import cell_problems, older, problems

PACKAGE = ROOT / "sae_lit"
# Data flows from left to right: no room imports from one that comes after it.
ROOMS = (
    "data nets objectives models training sampling metrics alignment studies plots report bench cli".split()
)


def modules(folder: Path) -> dict[str, str]:
    "The Python files of the package under `folder`: path and text."
    return {
        p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in sorted(folder.rglob("*.py"))
    }


def test_package_is_what_the_notebooks_export(tmp_path: Path):
    """Only `__init__.py` files are written by hand; everything else must come out of an export, and nothing
    more may lie there.
    """
    shutil.copy(ROOT / "settings.ini", tmp_path)
    shutil.copytree(
        ROOT / "nbs",
        tmp_path / "nbs",
        ignore=lambda _, names: [n for n in names if "." in n and not n.endswith(".ipynb")],
    )
    for path in PACKAGE.rglob("__init__.py"):
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    export = subprocess.run(
        [Path(sys.executable).with_name("nbdev_export")], cwd=tmp_path, capture_output=True, text=True
    )
    assert export.returncode == 0, export.stderr
    ours, exported = modules(PACKAGE), modules(tmp_path / "sae_lit")
    assert not (orphans := sorted(ours.keys() - exported.keys())), (
        f"no notebook exports {orphans}: delete them, then run `make export`"
    )
    stale = sorted(name for name in exported if ours.get(name) != exported[name])
    assert not stale, (
        f"not what the notebooks export: {stale}; run `make export`, "
        "or `nbdev_update` to keep an edit of a module"
    )


def test_module_headers_name_their_notebook():
    for name, text in modules(PACKAGE).items():
        if not (header := re.search(r"File to edit: (\S+?)\.?$", text, re.M)):
            continue
        assert (PACKAGE / name).parent.joinpath(header[1]).resolve().exists(), (
            f"{name} names {header[1]}, which is not there"
        )


def test_a_module_has_one_notebook():
    exports = Counter(
        m
        for p in notebooks()
        for m in re.findall(r"#\|\s*default_exp\s+([\w.]+)", p.read_text(encoding="utf-8"))
    )
    assert not {name: n for name, n in exports.items() if n > 1}


def imported(name: str, node: ast.AST) -> list[str]:
    "Full names of the modules that a statement of the module `name` (a path in the package) imports."
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    folder = ["sae_lit", *Path(name).parent.parts]
    return [
        ".".join(
            [*folder[: len(folder) - node.level + 1], *filter(None, [node.module])]
            if node.level
            else [node.module]
        )
    ]


def test_imported():
    "Relative names are made full, from a room's module and from one beside the rooms."

    def of(name: str, text: str) -> list[str]:
        return imported(name, ast.parse(text).body[0])

    assert of("nets/fsq.py", "from ..cli import main") == ["sae_lit.cli"] and of(
        "nets/fsq.py", "from .blocks import x"
    ) == ["sae_lit.nets.blocks"]
    assert of("cli.py", "from .data.disk import x") == ["sae_lit.data.disk"] and of(
        "cli.py", "import sae_lit.report"
    ) == ["sae_lit.report"]


def test_rooms_import_only_from_rooms_before_them():
    for name, text in modules(PACKAGE).items():
        room = name.split("/")[0].removesuffix(".py")
        if room not in ROOMS:
            continue
        for node in ast.walk(ast.parse(text)):
            for other in (n.split(".")[1] for n in imported(name, node) if n.startswith("sae_lit.")):
                assert ROOMS.index(other) <= ROOMS.index(room), (
                    f"{name} imports from {other}, a room after its own"
                )


def order(notebook: str) -> tuple[bool, int]:
    "Where a notebook stands: the appendix's letters before all numbers, since any lesson may use it."
    return notebook[0].isdigit(), int(re.match(r"\d*", notebook)[0] or 0)


def test_lessons_import_only_from_lessons_before_them():
    """Exported code of a numbered notebook imports only from notebooks with smaller numbers, or from the
    appendix.

    The command line and the benchmarks (D) stand above everything; no lesson may need them, nor the page.
    """
    homes = {}
    for path in notebooks():
        for module in re.findall(r"#\|\s*default_exp\s+([\w.]+)", path.read_text(encoding="utf-8")):
            homes[f"sae_lit.{module}"] = path.stem
    wrong = []
    for module, home in homes.items():
        if not home[0].isdigit():
            continue
        name = f"{module.removeprefix('sae_lit.').replace('.', '/')}.py"
        for node in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))):
            named = [a.name for a in node.names] if isinstance(node, ast.ImportFrom) else []
            for other in imported(name, node):
                targets = {homes.get(other)} | {homes.get(f"{other}.{n}") for n in named}
                wrong += [f"{home} imports from {t}" for t in targets if t and order(t) > order(home)]
                wrong += [f"{home} imports from {t}" for t in targets if t and t in ("D3_bench", "D4_cli")]
    assert not wrong, sorted(set(wrong))


def test_code_is_laid_out_by_ruff():
    "Notebooks, tests and tools: `make format` mends most of what this finds."
    program = Path(sys.executable).with_name("ruff")
    by_hand = sorted(map(str, PACKAGE.rglob("__init__.py")))
    for command in (["check", "--output-format=concise"], ["format", "--check"]):
        ran = subprocess.run([program, *command, ".", *by_hand], cwd=ROOT, capture_output=True, text=True)
        assert ran.returncode == 0, (
            f"run `make format`; ruff {command[0]} says\n{ran.stdout[-3000:]}{ran.stderr}"
        )


def test_readme_is_in_step():
    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme(), (
        "README.md is not what nbs/index.ipynb makes: run `make readme`"
    )


def test_readme_links_lead_somewhere():
    missing = [m[2] for m in LINK.finditer(readme()) if not (ROOT / m[2].split("#")[0]).exists()]
    assert not missing, f"README.md links to {missing}, not there: correct nbs/index.ipynb"


def test_map_is_complete():
    index = (ROOT / "nbs/index.ipynb").read_text(encoding="utf-8")
    absent = [p.name for p in notebooks() if p.stem != "index" and p.name not in index]
    assert not absent, f"nbs/index.ipynb does not link {absent}"


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_notebook_is_clean(path: Path):
    if path.read_text(encoding="utf-8") != cleaned(path):
        pytest.fail(f"{path.name} is not clean: run `make clean`", pytrace=False)


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_notebook_keeps_the_rules(path: Path):
    if found := problems(path):
        pytest.fail("\n".join([path.name, *found]), pytrace=False)


@pytest.mark.parametrize("path", [p for p in notebooks() if p.stem != "index"], ids=lambda p: p.stem)
def test_notebook_opens_and_ends_as_readers_expect(path: Path):
    """First what there is to learn and how long it takes; last what to read next, and two exercises, each
    with an answer of its own.
    """
    texts = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    opening, (_, heading, end) = "\n".join(texts[:2]), "\n".join(texts).rpartition("\n## What to read next\n")
    rules = {
        "'you will learn' in its first two texts": re.search(r"\byou will learn\b", opening, re.I),
        "a running time (seconds or minutes) there": re.search(r"\b(second|minute)s?\b", opening),
        "a link that opens it in Colab": f"/blob/main/nbs/{path.name})" in texts[0],
        "the heading '## What to read next'": heading,
        "two folded answers (<details><summary>Answer</summary>) below it": len(
            re.findall(r"<details>\s*<summary>Answer</summary>[\s\S]+?</details>", end)
        )
        >= 2,
    }
    if missing := [what for what, kept in rules.items() if not kept]:
        pytest.fail(f"{path.name} lacks {'; '.join(missing)}", pytrace=False)


def test_figures_of_older_code_are_found():
    """A figure's own words against today's code: a function of the package, a cell of the notebook, and what
    can never be of today.
    """
    drawn = "sae_lit.data.figures:heat_map"
    assert not older(f"{drawn} {digest_of(drawn)}", set()) and older(f"{drawn} 0123456789ab", set())
    assert not older("cell 0123456789ab", {"0123456789ab"}) and older("cell 0123456789ab", set())
    assert older("sae_lit.gone:away 0123456789ab", set()) and not older("", set())


def test_lost_outputs_are_found():
    """Text, a value and a `Markdown` that a cell must have stored; nothing where a print waits for a
    condition or is caught.
    """

    def lost(source: str) -> list[str]:
        return cell_problems(nbformat.v4.new_code_cell(source))

    for source in ("print(1)\nassert True", "for x in 1, 2: print(x)", "x = 1\nx", "Markdown('text')"):
        assert len(lost(source)) == 1, source
    for source in ("if x: print(1)", "with caught(): print(1)", "def f(): print(1)", "test_eq(1, 1)", "x;"):
        assert not lost(source), source
