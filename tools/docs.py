"Write every notebook as an HTML page to _docs/, with the links between notebooks turned into links between pages."
import shutil

from clean import notebooks
from nbconvert import HTMLExporter
from readme import LINK, ROOT, visible

OUT = ROOT/"_docs"


def page_link(link: str) -> str:
    "`link` to a notebook as the link to its page; other links as they are."
    return link.replace(".ipynb", ".html", 1) if "://" not in link else link


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree(ROOT/"nbs/figures", OUT/"figures")
    exporter = HTMLExporter()
    for path in notebooks():
        nb = visible(path)
        for cell in nb.cells:
            if cell.cell_type == "markdown": cell.source = LINK.sub(lambda m: m[1] + page_link(m[2]), cell.source)
        html, _ = exporter.from_notebook_node(nb, resources={"metadata": {"name": path.stem}})
        page = OUT/path.relative_to(ROOT/"nbs").with_suffix(".html")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(html, encoding="utf-8")
        print(page.relative_to(ROOT))
    print(f"open {OUT.name}/index.html")
