"""The documentation site: what docments say reaches the reference, notebooks show what is stored in them, and
a broken link is an error.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.errors import SphinxError

from tests.conftest import ROOT
from tools.docs import build, lookup
from tools.reference import markdown_table, prose, table

pytestmark = pytest.mark.filterwarnings(
    "ignore:'myst_parser"
)  # it uses an attribute that leaves in Sphinx 11


def scaled(
    codes: "list[float] | None",  # Real numbers, `[N]`
    *shifts: int,  # one a code
    by: float = 2.0,  # >= 1, not `$HOME`
    **options: str,  # for <nobody>
) -> list[float]:  # As many as `codes`
    "Codes times `by`."


def unsaid(codes, by=(1, 2)) -> None: ...


def test_docments_become_a_table():
    assert [tuple(row) for row in table(scaled)] == [
        ("codes", "list[float] | None", "", "Real numbers, `[N]`"),
        ("*shifts", "int", "", "one a code"),
        ("by", "float", "2.0", ">= 1, not `$HOME`"),
        ("**options", "str", "", "for <nobody>"),
        ("returns", "list[float]", "", "As many as `codes`"),
    ]
    assert [tuple(row) for row in table(unsaid)] == [("codes", "", "", ""), ("by", "", "(1, 2)", "")]


def test_comments_are_words_and_no_markup():
    assert prose(">= 1") == r"\>= 1" and prose("at <path>, $DATA or `<a>`") == r"at \<path>, \$DATA or `<a>`"
    assert prose("in $[0, 1]$ if a < b") == "in $[0, 1]$ if a < b"
    assert r"- \>= 1, not `$HOME`" in markdown_table(table(scaled)).replace("  -", "-")


def notebook(folder: Path, *cells: dict) -> Path:
    "A notebook of the metrics room in `folder`."
    path = folder / "69z_example.ipynb"
    write(new_notebook(cells=[new_markdown_cell("# An example\n\n> It promises little."), *cells]), path)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Callable[[str], BeautifulSoup]:
    "A site of two of our notebooks and an example; called with the name of a page, it is that page."
    folder = tmp_path_factory.mktemp("site")
    example = notebook(
        folder,
        new_markdown_cell(
            "See `mutual_information`, `gap` and [the rules](60_information.ipynb#rules).\n\n"
            "<details><summary>Answer</summary>It is $x^2$.</details>"
        ),
        new_code_cell(
            "#| export\n#| eval: false\n1/0", outputs=[new_output("stream", text="stored, not computed")]
        ),
        new_code_cell("#| hide\nsecret = 1"),
    )
    build([ROOT / "nbs/01_factors.ipynb", ROOT / "nbs/60_information.ipynb", example], folder / "out")
    assert {p.name for p in folder.iterdir()} == {"out", example.name}, (
        "a build leaves nothing beside the site"
    )
    return lambda name: BeautifulSoup(
        (folder / f"out/{name}.html").read_text(encoding="utf-8"), "html.parser"
    )


def test_reference_has_the_comments_and_leads_to_source_and_lesson(site):
    entry = site("api/sae_lit.metrics.information").find(id="sae_lit.metrics.information.as_arrays").parent
    assert "as_arrays(codes, factors, whole=True)" in entry.dt.get_text()
    rows = [[cell.get_text(strip=True) for cell in row("td")] for row in entry.table("tr")]
    assert ["whole", "bool", "Factors must be whole numbers"] in rows
    source, lesson = (link["href"] for link in entry.select(".where a"))
    first, last = map(
        int, re.fullmatch(r"https://.*/sae_lit/metrics/information\.py#L(\d+)-L(\d+)", source).groups()
    )
    lines = (
        (ROOT / "sae_lit/metrics/information.py").read_text(encoding="utf-8").splitlines()[first - 1 : last]
    )
    assert lines[0].startswith("def as_arrays(") and "return codes" in lines[-1]
    anchor = site("60_information").find(id=lesson.partition("#")[2])
    assert "def as_arrays(" in anchor.find_next("pre").get_text(), (
        "the lesson's anchor does not stand at the cell"
    )
    assert site("60_information").select_one(".where a[href='api/sae_lit.metrics.information.html']")


def test_methods_patched_in_have_their_own_entry(site):
    assert site("api/sae_lit.data.factors").find(id="sae_lit.data.factors.FactorSpace.to_index")


def test_notebook_shows_what_is_stored_and_hides_what_is_hidden(site):
    page = site("69z_example").find("article")
    assert "1/0" in page.get_text() and "stored, not computed" in page.get_text()
    assert "secret" not in page.get_text() and "#|" not in page.get_text()
    assert page.details.find(class_="math").get_text() == r"\(x^2\)"
    assert [link["href"] for link in page("a", class_="internal") if link.code] == [
        "api/sae_lit.metrics.information.html#sae_lit.metrics.information.mutual_information"
    ]


def test_rooms_list_their_notebooks(site):
    assert [link["href"] for link in site("room_6").find(id="metrics").ul("a")] == [
        "60_information.html",
        "69z_example.html",
    ]
    assert [link["href"] for link in site("index").select(".toctree-l1 > a")] == [
        "room_0.html",
        "room_6.html",
        "api/index.html",
    ]


@pytest.mark.parametrize(
    "link",
    [
        "[there](99_nowhere.ipynb)",
        "[there](#nowhere)",
        "![there](figures/nowhere.png)",
        "<a href='nowhere.html'>there</a>",
    ],
)
def test_broken_link_is_named(tmp_path: Path, link: str):
    with pytest.raises(SphinxError, match="69z_example[^\n]*nowhere"):
        build([notebook(tmp_path, new_markdown_cell(link))], tmp_path / "out")


def test_lookup_knows_files_anchors_and_what_lies_elsewhere(tmp_path: Path):
    (tmp_path / "a.html").write_text(
        "<p id='here'><a href='#here'>1</a><a href='b.html#there'>2</a>"
        "<a href='https://example.org/x'>3</a><img src='data:,'>"
    )
    (tmp_path / "b.html").write_text(
        "<a id='there' href='a.html#gone'>4</a><img src='c.png'><a href='a.html?q=1#here'>5</a>"
    )
    broken, elsewhere = lookup(tmp_path)
    assert broken == [
        "b.html: a.html#gone leads to no anchor of a.html",
        "b.html: c.png leads to no file",
    ] and elsewhere == {"https://example.org/x"}


def test_no_folder_of_other_things_is_emptied(tmp_path: Path):
    (tmp_path / "kept.txt").touch()
    with pytest.raises(ValueError, match="something else than a site"):
        build([], tmp_path)
    assert (tmp_path / "kept.txt").exists()
