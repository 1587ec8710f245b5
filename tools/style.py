"""How the notebooks read: `python tools/style.py` prints a table of them, and below it what breaks the rules.

`problems` holds the hard rules, which tests/test_tree.py enforces. The table shows the soft ones: a median
of at most four lines a cell, a visible check in at least a quarter of the code cells, and figures that say
which code drew them.

Figures carry a digest of the code that drew them (`signature` in nbs/A2_figures.ipynb); one that differs
from today's is of older code. What is not seen: a figure without a digest, drawn before there was one or
without `canvas` (the table counts these), and a change of the data or of a function outside the module
that draws.
"""

import ast
import base64
import re
import sys
from io import BytesIO
from pathlib import Path
from statistics import median

import nbformat
from nbformat import NotebookNode
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from sae_lit.data.figures import digest, digest_of  # noqa: E402
from tools.clean import notebooks  # noqa: E402

MAX_LINES, MAX_BYTES = 30, 1_000_000
NOT_RUN = {"slow", "gpu", "notest", "eval:"}  # directives of cells that ordinary runs leave out
PATH = re.compile(r"(?<![\w.~$}/])/(home|root|Users|work|tmp|mnt|var)/\w")
PICTURE = re.compile(r'(?:!\[[^\]]*\]\(|<img[^>]*src=")(figures/[^)\s"]+)')
SAVED = re.compile(r"""savefig\(f?["'](figures/[^"'{}]+)["']""")
CHECK = re.compile(
    r"(?:^|[;:])\s*(assert\b|test_\w+\(|with (expect_fail|raises|pytest\.raises)\b|(\w+\.)*assert_\w+\()",
    re.M,
)
SHOWN = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.BinOp,
    ast.Compare,
    ast.Tuple,
    ast.List,
    ast.Dict,
    ast.JoinedStr,
    ast.ListComp,
)
# Calls that show what they make; what other calls return cannot be seen from their names.
DISPLAYS = {"Markdown", "HTML", "SVG", "display"}


def directives(source: str) -> set[str]:
    "The words that start the `#|` lines of a cell."
    return {
        line.split()[1]
        for line in source.splitlines()
        if re.match(r"#\|\s*\S", line) and len(line.split()) > 1
    }


def python(source: str) -> str:
    "The cell's source without magics and shell lines, ready for `ast`."
    return "\n".join("" if re.match(r"\s*[%!]", line) else line for line in source.splitlines())


def code_lines(source: str) -> int:
    """Lines that a reader must follow: a signature counts as one, and neither blanks, comments, directives
    nor docstrings count.
    """
    lines = {
        i
        for i, line in enumerate(source.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    }
    for node in ast.walk(ast.parse(python(source))):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        first = node.body[0]
        lines -= set(range(node.lineno + 1, first.lineno))
        if ast.get_docstring(node) is not None:
            lines -= set(range(first.lineno, first.end_lineno + 1)) - {node.lineno}
    return len(lines)


def is_table(body: list[ast.stmt]) -> bool:
    "Whether a cell holds data and nothing else: literals with names."
    literals = (ast.Dict, ast.List, ast.Set, ast.Tuple)
    named = (ast.Assign, ast.AnnAssign)
    return bool(body) and all(isinstance(node, named) and isinstance(node.value, literals) for node in body)


def imports_only(node: ast.stmt) -> bool:
    "Whether a statement imports and does nothing else, `if TYPE_CHECKING: import …` included."
    return (
        isinstance(node, (ast.Import, ast.ImportFrom))
        or isinstance(node, (ast.If, ast.Try))
        and all(map(imports_only, node.body))
    )


def texts(cell: NotebookNode) -> str:
    "A cell's source and the text in its outputs, without embedded pictures."
    shown = [cell.source]
    for output in cell.get("outputs", []):
        shown += [output.get("text", "")] + [
            v for kind, v in output.get("data", {}).items() if kind.startswith("text/")
        ]
        shown += output.get("traceback", [])
    return re.sub(r"base64,[\w+/=\s]+", "", "\n".join(shown))


def name_called(node: ast.AST) -> str:
    "The name of the function that a call calls, or an empty text."
    called = node.func if isinstance(node, ast.Call) else None
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def prints(body: list[ast.stmt]) -> bool:
    """Whether statements print whenever they run: a `print` by itself or in a loop, not one in a function, a
    condition, or a block that catches it.
    """
    for node in body:
        if isinstance(node, ast.For) and prints(node.body):
            return True
        call = node.value if isinstance(node, ast.Expr) else None
        if name_called(call) == "print" and not any(k.arg == "file" for k in call.keywords):
            return True
    return False


def shows(body: list[ast.stmt], source: str) -> bool:
    "Whether a cell's last statement is a value that a notebook shows."
    if not body or not isinstance(body[-1], ast.Expr) or source.rstrip().endswith(";"):
        return False
    return isinstance(body[-1].value, SHOWN) or name_called(body[-1].value) in DISPLAYS


def pictures(cell: NotebookNode) -> list[bytes]:
    "The PNG files among a cell's outputs."
    return [
        base64.b64decode(o.data["image/png"])
        for o in cell.get("outputs", [])
        if "image/png" in o.get("data", {})
    ]


def signed(png: bytes | Path) -> str:
    "Which code drew a PNG file, by its own words; empty where it has none."
    with Image.open(png if isinstance(png, Path) else BytesIO(png)) as image:
        return image.info.get("Source", "unknown").replace("unknown", "")


def older(signature: str, cells: set[str]) -> bool:
    """Whether a signature is of other code than today's: a function of the package, or one of these cells,
    which are given by their digests.
    """
    functions, _, stored = signature.rpartition(" ")
    if not functions:
        return False
    try:
        return stored not in cells if functions == "cell" else stored != digest_of(functions)
    except ModuleNotFoundError:
        return True


def digests(nb: NotebookNode) -> set[str]:
    "What the notebook's cells look like to `signature`."
    found = set()
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        try:
            found.add(digest(python(cell.source) + "\n"))
        except SyntaxError:
            pass
    return found


def cell_problems(cell: NotebookNode) -> list[str]:
    "The rules that a code cell breaks."
    found, kinds = [], {o.output_type for o in cell.outputs}
    body = ast.parse(python(cell.source)).body
    imports = [imports_only(node) for node in body]
    if any(imports) and not all(imports):
        found.append("mixes imports with other code")
    exempt = "hide" in directives(cell.source) or is_table(body)
    if (n := code_lines(cell.source)) > MAX_LINES and not exempt:
        found.append(f"has {n} lines of code, more than {MAX_LINES}: split it")
    if "error" in kinds:
        found.append("stores an error as its output: execute the notebook again")
    if directives(cell.source) & NOT_RUN:
        return found
    if (
        "savefig(" in cell.source
        and "def " not in cell.source
        and not any(kind.startswith("image/") for o in cell.outputs for kind in o.get("data", {}))
    ):
        found.append("saves a figure that it does not show")
    if prints(body) and "stream" not in kinds:
        found.append("prints but stores no text: execute the notebook")
    if shows(body, cell.source) and not kinds & {"execute_result", "display_data"}:
        found.append("ends with something to show but stores no output: execute the notebook")
    return found


def problems(path: Path) -> list[str]:
    "Every hard rule that the notebook at `path` breaks, with the place; empty for a good one."
    nb, found = nbformat.read(path, as_version=4), []
    if (size := path.stat().st_size) >= MAX_BYTES:
        found.append(f"is {size:,} bytes, {MAX_BYTES:,} or more: save smaller pictures")
    first = nb.cells[0] if nb.cells else None
    if not first or first.cell_type != "markdown" or not re.match(r"# \S.*\n+> \S", first.source):
        found.append("must open with a markdown cell that has `# Title` and, below it, a `> promise`")
    cells = digests(nb)
    for i, cell in enumerate(nb.cells):
        mine = []
        if match := PATH.search(texts(cell)):
            mine.append(f"holds an absolute path ({match[0]}…)")
        if cell.cell_type == "code":
            try:
                mine += cell_problems(cell)
            except SyntaxError as error:
                mine.append(f"is not Python: {error}")
        figures = (
            set()
            if directives(cell.source) & NOT_RUN
            else {*PICTURE.findall(cell.source), *SAVED.findall(cell.source)}
        )
        mine += [
            f"names {figure}, which is not there"
            for figure in sorted(figures)
            if not (path.parent / figure).exists()
        ]
        saved = [
            path.parent / figure
            for figure in SAVED.findall(cell.source)
            if (path.parent / figure).suffix == ".png"
        ]
        drawn = [*pictures(cell), *filter(Path.exists, saved)]
        if any(older(signed(png), cells) for png in drawn):
            mine.append("has a figure of older code: execute the notebook again")
        start = (cell.source.strip() or "empty").splitlines()[0][:60]
        found += [f"cell {i} ({start}): {what}" for what in mine]
    return found


def row(path: Path) -> str:
    "One line of the table: cells, code lines a cell, checks, size."
    cells = nbformat.read(path, as_version=4).cells
    code = [c.source for c in cells if c.cell_type == "code"]
    words = sum(len(c.source.split()) for c in cells if c.cell_type == "markdown")
    lines = [code_lines(s) for s in code] or [0]
    checks = sum(bool(CHECK.search(s)) for s in code) / max(len(code), 1)
    unsigned = sum(not signed(png) for c in cells for png in pictures(c))
    marks = (
        [f"{unsigned} figures of unknown code"] * (unsigned > 0)
        + ["long cells"] * (median(lines) > 4)
        + ["few checks"] * (len(code) > 4 and checks < 0.25)
    )
    counts = f"{len(cells):6}{len(code):6}{words:7}{median(lines):8.1f}{max(lines):5}"
    counts += f"{checks:8.0%}{path.stat().st_size / 1000:8.0f}"
    return f"{path.stem:28}{counts}  {', '.join(marks)}".rstrip()


if __name__ == "__main__":
    print(f"{'notebook':28}{'cells':>6}{'code':>6}{'words':>7}{'median':>8}{'max':>5}{'checks':>8}{'kB':>8}")
    for path in notebooks():
        print(row(path))
    broken = [f"{path.name}: {what}" for path in notebooks() for what in problems(path)]
    print("\n".join(["", *broken]) if broken else "no rule broken")
