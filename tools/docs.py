"""Write the documentation site to _docs/: every notebook as a page, with the outputs stored in it, and a
reference page for each module.

`python tools/docs.py` builds all of it, `python tools/docs.py NOTEBOOK ...` the index, these and the
modules they export. Nothing is executed. Sphinx's warnings are errors, and afterwards every link, picture
and anchor of the pages that leads to the site itself is looked up. Links that lead elsewhere, other than
to the sources, are listed; they are not fetched.
"""

import argparse
import configparser
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import nbformat
from docutils import nodes
from nbformat.v4 import new_markdown_cell
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import docutils_namespace

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_docs"
sys.path.insert(0, str(ROOT))
from tools.clean import notebooks  # noqa: E402
from tools.readme import LINK, visible  # noqa: E402
from tools.reference import CELL, Place, docstring, lines, page, prose  # noqa: E402

SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "settings.ini", encoding="utf-8")
SETTINGS = SETTINGS["DEFAULT"]
SOURCE = f"{SETTINGS['git_url']}/blob/{SETTINGS['branch']}"
# By the first character of a notebook's name: tens are the reading order, letters the appendix.
ROOMS = dict(
    zip(
        "0123456789ABCD",
        "Data Networks Objectives Models Training Sampling Metrics Alignment Studies Papers "
        "Foundations Readers Scores Tools".split(),
    )
)
HOUSE = re.compile(r"^\| ([\dA-D])(?:0–\d9)? \| .*? \| (.*?) \|$", re.M)  # the index's table of the rooms
DIRECTIVES = re.compile(r"\A(\s*#\|.*(\n|\Z))+")
COLOUR = re.compile(r"\x1b\[[\d;]*m")
CONFIG = {
    "project": SETTINGS["title"],
    "html_title": SETTINGS["title"],
    "author": SETTINGS["author"],
    "copyright": SETTINGS["copyright"],
    "extensions": ["myst_nb", "sphinx.ext.mathjax"],
    "root_doc": "index",
    "suppress_warnings": ["myst.header"],
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "myst_enable_extensions": ["dollarmath", "amsmath", "attrs_block"],
    "myst_heading_anchors": 3,
    "myst_update_mathjax": False,
    "smartquotes": False,
    "add_module_names": False,
    "python_use_unqualified_type_names": True,
    "maximum_signature_line_length": 88,
    "toc_object_entries_show_parents": "hide",
    "html_show_sourcelink": False,
    "html_copy_source": False,
    "html_theme": "furo",
    "html_static_path": ["_static"],
    "html_css_files": ["docs.css"],
    "html_extra_path": ["_extra"],
    "highlight_language": "python",
    "html_baseurl": f"{SETTINGS['doc_host']}{SETTINGS['doc_baseurl']}/",
}


class Lesson(NamedTuple):
    "A notebook: where it is, what readers see of it, and the module it exports."

    path: Path
    nb: nbformat.NotebookNode
    title: str
    promise: str
    module: str


def lesson(path: Path) -> Lesson:
    """Read the notebook at `path`; lines of directives stay out, and what is folded becomes Markdown, so that
    mathematics shows in it.
    """
    text, nb = path.read_text(encoding="utf-8"), visible(path)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.source = DIRECTIVES.sub("", cell.source)
        else:
            cell.source = re.sub(
                r"\s*(?=</details>)", "\n\n", re.sub(r"(?<=</summary>)\s*", "\n\n", cell.source)
            )
    nb.cells = [cell for cell in nb.cells if cell.source.strip()]
    first = nb.cells[0].source if nb.cells else ""
    title, promise = re.search(r"^# (.+)", first, re.M), re.search(r"^> (.+)", first, re.M)
    if not title:
        raise ValueError(
            f"{path.name} does not start with a title; its first cell should be `# Title`, then `> promise`"
        )
    module = re.search(r"#\|\s*default_exp\s+([\w.]+)", text)
    return Lesson(
        path,
        nb,
        title[1],
        promise[1] if promise else "",
        f"{SETTINGS['lib_name']}.{module[1]}" if module else "",
    )


def led(link: str, path: Path, pages: set[Path]) -> str:
    """The relative `link` of the notebook at `path`: what is no page or picture of the site but a file of the
    repository is read there.
    """
    target = (path.parent / unquote(link.split("#")[0])).resolve()
    ours = (
        target in pages or "figures" in target.parts or not target.exists() or not target.is_relative_to(ROOT)
    )
    return link if ours else f"{SOURCE}/{target.relative_to(ROOT).as_posix()}"


def write_lesson(it: Lesson, pages: set[Path], cells: set[str], source: Path) -> None:
    """Write a notebook as Sphinx reads it: links resolved, an anchor before each cell that the reference
    leads to, and a line that leads there.
    """
    shown = []
    for cell in it.nb.cells:
        if cell.id in cells:
            shown.append(new_markdown_cell(f"(cell-{cell.id})="))
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(lambda m: m[1] + led(m[2], it.path, pages), cell.source)
        shown.append(cell)
    if it.path.stem != "index":
        name = f"[`{it.path.stem}`]({SOURCE}/nbs/{it.path.name})"
        where = f"Notebook {name}" + (f" · exports [`{it.module}`](api/{it.module}.md)" if it.module else "")
        shown[0].source = re.sub(
            r"\A(\s*# .+\n+(?:> .+\n*)?)",
            lambda m: f"{m[1].rstrip()}\n\n{{.where}}\n{where}\n\n",
            shown[0].source + "\n",
            count=1,
        )
    it.nb.cells = shown
    nbformat.write(it.nb, source / it.path.name)


def toctree(entries: list[str], *options: str) -> str:
    "A table of contents in Markdown, seen in the navigation only."
    return "\n".join(["```{toctree}", ":hidden:", *options, "", *entries, "```"])


def write_rooms(lessons: list[Lesson], holds: dict[str, str], source: Path) -> list[str]:
    "A page for each room that lists its notebooks; the names of the pages."
    rooms = defaultdict(list)
    for it in lessons:
        if it.path.stem[0] not in ROOMS:
            raise ValueError(
                f"{it.path.name} belongs to no room; a notebook's name starts with its number, "
                "or with its letter in the appendix"
            )
        rooms[it.path.stem[0]].append(it)
    for mark, its in sorted(rooms.items()):
        items = [
            f"- [{it.title}]({it.path.name}) <small>{it.path.stem}</small>\n  {it.promise}" for it in its
        ]
        room = f"{mark}0–{mark}9" if mark.isdigit() else mark
        text = [
            f"# {room} {ROOMS[mark]}",
            holds.get(mark, "")[:1].upper() + holds.get(mark, "")[1:],
            "\n".join(items),
            toctree([it.path.stem for it in its]),
        ]
        (source / f"room_{mark}.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return [f"room_{mark}" for mark in sorted(rooms)]


def links(module: ModuleType, it: Lesson) -> Callable[[Place], str]:
    """What writes the line below an entry of the reference: to the source, and to the cell of the lesson
    where it is defined.
    """
    file = (
        Path(module.__file__).relative_to(ROOT).as_posix()
        if Path(module.__file__).is_relative_to(ROOT)
        else ""
    )
    shown = {cell.id for cell in it.nb.cells}

    def line(where: Place) -> str:
        source = f"[source]({SOURCE}/{file}#L{where.first}-L{where.last})" if file else ""
        cell = f"[explained here](../{it.path.name}#cell-{where.cell})" if where.cell in shown else ""
        return "{.where}\n" + " · ".join(filter(None, [source, cell]))

    return line


def write_reference(lessons: list[Lesson], source: Path) -> list[ModuleType]:
    "A page for each module, and one that lists them; the modules."
    (source / "api").mkdir()
    modules = []
    for it in lessons:
        module = import_module(it.module)
        back = f"{{.where}}\nExplained in [{it.title}](../{it.path.name})"
        (source / f"api/{it.module}.md").write_text(page(module, back, links(module, it)), encoding="utf-8")
        modules.append(module)
    package = import_module(SETTINGS["lib_name"])
    written = {module.__name__ for module in modules}
    short = [(name, getattr(package, name)) for name in package.__all__]
    names = [
        f"- {{py:obj}}`{name} <{obj.__module__}.{name}>`: {prose(docstring(obj).splitlines()[0])}"
        for name, obj in short
        if obj.__module__ in written
    ]
    items = [f"- [`{it.module}`]({it.module}.md): {it.promise}" for it in lessons]
    text = [
        "# Reference",
        f"After `import {SETTINGS['lib_name']} as sl`, "
        f"scripts find these names as `sl.{names and short[0][0]}` and so on:",
        "\n".join(names),
        "## Modules",
        "\n".join(items),
        toctree([f"{it.module.partition('.')[2]} <{it.module}>" for it in lessons], ":titlesonly:"),
    ]
    (source / "api/index.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return modules


class Names(SphinxTransform):
    """Inline code that is the name of something in the reference becomes a link to it.

    A name of the page's own module goes first; others must be unique, and look like names: `load` and
    `table` are words. The name of a notebook leads to its page. Parameters of the reference's tables are
    their own place.
    """

    default_priority = 500
    homes: dict[str, list[str]] = {}  # by name: modules that define it
    own: dict[str, str] = {}  # by page: its module
    known: set[str] = set()  # what the package itself offers
    lessons: set[str] = set()  # the notebooks' names

    def apply(self, **_) -> None:
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext().removesuffix("()").removeprefix("sl.")
            page_own, homes = self.own.get(self.env.docname, ""), self.homes.get(name, [])
            telling = name in self.known or "_" in name or name != name.lower()
            home = page_own if page_own in homes else homes[0] if len(homes) == 1 and telling else ""
            settled = any(
                isinstance(up, (nodes.reference, nodes.title, pending_xref)) or is_parameter(up)
                for up in above(literal)
            )
            if settled or not (home or name in self.lessons):
                continue
            kind = ("py", "obj", f"{home}.{name}") if home else ("std", "doc", f"/{name}")
            ref = pending_xref(
                "",
                **dict(zip(("refdomain", "reftype", "reftarget"), kind)),
                refdoc=self.env.docname,
                refexplicit=True,
            )
            literal.replace_self(ref)
            ref += literal


def is_parameter(node: nodes.Node) -> bool:
    "Whether a node is the first column of a parameter table."
    return (
        isinstance(node, nodes.entry)
        and not node.parent.index(node)
        and any("docments" in up.get("classes", ()) for up in above(node))
    )


def above(node: nodes.Node) -> Iterator[nodes.Node]:
    "The nodes that a node lies in."
    while (node := node.parent) is not None:
        yield node


class Links(HTMLParser):
    "What a page of HTML links to, and the anchors it has."

    def __init__(self, text: str):
        super().__init__()
        self.found, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        self.found += [attrs[key] for key in ("href", "src") if attrs.get(key)]


def lookup(site: Path) -> tuple[list[str], set[str]]:
    "Look up every link in the pages of `site`: what is broken, and the addresses that lead elsewhere."
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    broken, elsewhere = [], set()
    for path, it in pages.items():
        for link in dict.fromkeys(it.found):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if parts.scheme != "data":
                    elsewhere.add(link)
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                broken.append(f"{path.relative_to(site)}: {link} leads to no file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: {link} leads to no anchor of {target.name}")
    return broken, elsewhere


def build(chosen: list[Path], out: Path) -> set[str]:
    """Build the site of the `chosen` notebooks in `out`, which is emptied; addresses that lead elsewhere.

    Raises SphinxError, which names broken links, and ValueError for a folder that holds something else
    than a site.
    """
    if out != SITE and out.exists() and any(out.iterdir()) and not (out / ".buildinfo").exists():
        raise ValueError(
            f"{out} holds something else than a site, and would be emptied; "
            "name another folder, or empty it yourself"
        )
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        shutil.copytree(ROOT / "nbs/figures", source / "_extra/figures")
        shutil.copytree(ROOT / "nbs/figures", source / "figures")
        (source / "_static").mkdir()
        shutil.copy(ROOT / "tools/docs.css", source / "_static")
        index, *lessons = map(
            lesson, [ROOT / "nbs/index.ipynb", *(path for path in chosen if path.stem != "index")]
        )
        modules = write_reference([it for it in lessons if it.module], source)
        pages, cells = (
            {it.path.resolve() for it in [index, *lessons]},
            {mark[2] for m in modules for text in lines(m.__file__) if (mark := CELL.match(text))},
        )
        rooms = write_rooms(lessons, dict(HOUSE.findall(index.nb.cells[0].source)), source)
        index.nb.cells.append(
            new_markdown_cell(
                "\n\n".join(
                    [toctree(rooms, ":caption: Notebooks"), toctree(["api/index"], ":caption: Package")]
                )
            )
        )
        for it in [index, *lessons]:
            write_lesson(it, pages, cells, source)
        Names.homes = defaultdict(list)
        for module in modules:
            for name in module.__all__:
                Names.homes[name].append(module.__name__)
        Names.known = set(import_module(SETTINGS["lib_name"]).__all__)
        Names.lessons = {it.path.stem for it in lessons}
        Names.own = {
            page: it.module for it in lessons if it.module for page in (it.path.stem, f"api/{it.module}")
        }
        said, site = StringIO(), Path(scratch, "site")
        with docutils_namespace():
            app = Sphinx(
                source,
                None,
                site,
                Path(scratch, "doctrees"),
                "html",
                confoverrides=CONFIG,
                warningiserror=True,
                status=None,
                warning=said,
            )
            app.add_transform(Names)
            app.build()
        if app.statuscode:
            raise SphinxError(COLOUR.sub("", said.getvalue()).replace(f"{source}/", ""))
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(site, out)
    broken, elsewhere = lookup(out)
    if broken:
        raise SphinxError("\n".join(["the site has broken links:", *broken]))
    return elsewhere


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("notebooks", nargs="*", type=Path)
    args.add_argument("--out", type=Path, default=SITE)
    args = args.parse_args()
    try:
        elsewhere = build(args.notebooks or notebooks(), args.out)
    except (SphinxError, ValueError) as fault:
        sys.exit(str(fault))
    print(
        "These links lead elsewhere and were not followed:",
        *sorted(link for link in elsewhere if not link.startswith((SOURCE, CONFIG["html_baseurl"]))),
        sep="\n  ",
    )
    print(
        f"open {args.out}/index.html: {len(list(args.out.rglob('*.html')))} pages, "
        "no link within the site is broken"
    )
