"""The API reference as MyST Markdown, one page a module: signatures, docstrings, and what docments say of
each parameter.

Comments come from `fastcore.docments`; types and defaults are shown as they are written in the source,
because a resolved alias such as numpy's ArrayLike fills half a page. Names become objects of Sphinx's
Python domain, so that search and links find them.
"""

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import NamedTuple

from fastcore.docments import docments

CELL = re.compile(
    r"# %% (\S+\.ipynb) #(\w+)"
)  # nbdev's mark: the notebook and the cell that the lines below come from
LONGEST = 90  # a constant's value is shown up to here


class Row(NamedTuple):
    "A line of a parameter table."

    name: str
    type: str
    default: str
    meaning: str


@cache
def lines(file: str) -> list[str]:
    "The lines of a source file."
    return Path(file).read_text(encoding="utf-8").splitlines()


def written(node: ast.AST | None) -> str:
    "A piece of source on one line; nothing for nothing."
    return "" if node is None else ast.unparse(node)


def kind(annotation: ast.AST | None) -> str:
    "A type as written, without quotation marks round what could not be named yet."
    return (
        annotation.value
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
        else written(annotation)
    )


def default(value: ast.AST | None) -> str:
    "A field's default as written; for a `field(...)` what it makes."
    if not (isinstance(value, ast.Call) and written(value.func).rpartition(".")[2] == "field"):
        return written(value)
    given = {word.arg: word.value for word in value.keywords}
    factory = given.get("default_factory")
    if factory is None:
        return written(given.get("default"))
    return written(factory.body) if isinstance(factory, ast.Lambda) else f"{written(factory)}()"


def definition(obj: object) -> ast.AST:
    "The syntax tree of a function or class."
    return ast.parse(dedent(inspect.getsource(obj))).body[0]


def arguments(node: ast.FunctionDef) -> Iterator[tuple[str, str, str, str]]:
    "Name, stars, type and default of each argument of a function, as written."
    args = node.args
    plain = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(plain) - len(args.defaults)) + args.defaults
    yield from ((a.arg, "", kind(a.annotation), written(d)) for a, d in zip(plain, defaults))
    if args.vararg:
        yield args.vararg.arg, "*", kind(args.vararg.annotation), ""
    yield from (
        (a.arg, "", kind(a.annotation), written(d)) for a, d in zip(args.kwonlyargs, args.kw_defaults)
    )
    if args.kwarg:
        yield args.kwarg.arg, "**", kind(args.kwarg.annotation), ""


def fields(cls: type) -> dict[str, tuple[str, str]]:
    "Type and default of each annotated field of a class and of those it inherits from, as written."
    found = {}
    for base in reversed(cls.__mro__):
        if base is not object and (is_dataclass(base) or "_fields" in vars(base)):
            body = (node for node in definition(base).body if isinstance(node, ast.AnnAssign))
            found |= {node.target.id: (kind(node.annotation), default(node.value)) for node in body}
    return found


def field_comments(cls: type) -> dict[str, str | None]:
    "What docments say of the fields of a class, those of the classes it inherits from included."
    found = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            found |= {
                name: text
                for name, text in docments(base, returns=False).items()
                if text or name not in found
            }
        elif "_fields" in vars(base):
            source = inspect.getsource(base).splitlines()
            found |= {
                name: said[1]
                for line in source
                for name in base._fields
                if (said := re.match(rf"\s*{name}\s*:[^#]*#\s*(.*)", line))
            }
    return found


def table(obj: Callable) -> list[Row]:
    "A row for each parameter of a function or class, and one named `returns`."
    if inspect.isclass(obj) and (is_dataclass(obj) or "_fields" in vars(obj)):
        spelt, said = fields(obj), field_comments(obj)
        return [
            Row(name, *spelt[name], said.get(name) or "")
            for name in spelt
            if name in inspect.signature(obj).parameters
        ]
    if inspect.isclass(obj):
        home = next(base for base in obj.__mro__ if "__init__" in vars(base))
        if home.__module__.split(".")[0] != obj.__module__.split(".")[0]:
            return []
        obj = home.__init__
    obj = inspect.unwrap(obj)
    node, said = definition(obj), docments(obj, args_kwargs=True)
    rows = [
        Row(stars + name, type_, value, said.get(name) or "")
        for name, stars, type_, value in arguments(node)
        if name not in ("self", "cls")
    ]
    return rows + [Row("returns", kind(node.returns), "", said.get("return") or "")] * (
        kind(node.returns) not in ("", "None")
    )


def signature(rows: list[Row], types: bool) -> str:
    "The rows as an argument list, with types or without them."

    def argument(row: Row) -> str:
        type_ = f": {row.type}" if types and row.type else ""
        return (
            row.name
            + type_
            + (f" = {row.default}" if row.default and type_ else f"={row.default}" if row.default else "")
        )

    args = [argument(row) for row in rows if row.name != "returns"]
    result = next((row.type for row in rows if row.name == "returns"), "")
    return f"({', '.join(args)})" + (f" -> {result}" if result else "")


def prose(text: str) -> str:
    "A docstring or comment as Markdown: `<` starts no HTML, `$NAME` no mathematics, and `>= 1` no quotation."
    pieces = re.split(r"(`[^`]*`)", text)
    for i, piece in enumerate(pieces):
        if not piece.startswith("`"):
            pieces[i] = re.sub(r"\$(?=[A-Z_]+\b)", r"\\$", re.sub(r"<(?=[A-Za-z/!])", r"\\<", piece))
    text = "".join(pieces)
    return re.sub(r"^(\d*)(?=[>#+*.)-])(?!\*\S)", r"\1\\", text, flags=re.M)


def code(text: str) -> str:
    "Text as inline code."
    return f"`` {text} ``" if "`" in text else f"`{text}`" if text else ""


def markdown_table(rows: list[Row]) -> str:
    "The rows as a table in Markdown; defaults stand in the signature above it."
    shown = [
        ("*returns*" if row.name == "returns" else code(row.name), code(row.type), prose(row.meaning))
        for row in rows
    ]
    cells = [
        f"* - {a}\n  - {b}\n  - {c}".replace("- \n", "-\n").rstrip()
        for a, b, c in [("Parameter", "Type", "Meaning"), *shown]
    ]
    return "\n".join(["```{list-table}", ":header-rows: 1", ":class: docments", "", *cells, "```"])


def docstring(obj: object) -> str:
    """The docstring an object has itself; not an inherited one, and not the signature that a dataclass puts
    there.
    """
    text = (
        inspect.cleandoc(vars(obj).get("__doc__") or "")
        if inspect.isclass(obj)
        else inspect.getdoc(obj) or ""
    )
    return "" if inspect.isclass(obj) and text.startswith(f"{obj.__name__}(") else text


class Place(NamedTuple):
    "Where a name is defined: lines of a module, and the notebook cell they come from."

    first: int
    last: int
    cell: str


def cell_of(source: list[str], line: int) -> str:
    "Id of the notebook cell that line number `line` of a module comes from."
    marks = (CELL.match(source[i]) for i in range(line - 1, -1, -1))
    return next((mark[2] for mark in marks if mark), "")


def place(obj: object, module: ModuleType, name: str) -> Place | None:
    "Where `name`, which is `obj`, is defined in the module; None where it is written in another one."
    source = lines(module.__file__)
    if inspect.isclass(obj) or inspect.isroutine(obj):
        obj = inspect.unwrap(obj)
        if inspect.getsourcefile(obj) != module.__file__:
            return None
        text, first = inspect.getsourcelines(obj)
        return Place(first, first + len(text) - 1, cell_of(source, first))
    for node in ast.parse("\n".join(source)).body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        if any(isinstance(n, ast.Name) and n.id == name for target in targets for n in ast.walk(target)):
            return Place(node.lineno, node.end_lineno, cell_of(source, node.lineno))
    return None


def constant(module: ModuleType, where: Place) -> tuple[str, str]:
    "The value of a constant as written, or its beginning, and the comment that stands behind it or above it."
    source = lines(module.__file__)
    text = "\n".join(source[where.first - 1 : where.last])
    value = written(ast.parse(text).body[0].value)
    said = re.search(r"\s#\s*([^'\"]*)$", source[where.first - 1]) or re.search(
        r"\s#\s*([^'\"]*)$", source[where.last - 1]
    )
    above = re.match(r"#\s*(?![%|])(.*)", source[where.first - 2])
    return value if len(value) <= LONGEST else f"{value[:LONGEST].rstrip()} …", said[1] if said else above[
        1
    ] if above else ""


def members(cls: type) -> Iterator[tuple[str, str, object]]:
    "Kind, name and function of the public methods and properties that a class defines itself."
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield "property", name, member.fget
        elif isinstance(member, (classmethod, staticmethod)):
            yield "classmethod" if isinstance(member, classmethod) else "staticmethod", name, member.__func__
        elif inspect.isfunction(member):
            yield "method", name, member


def fenced(directive: str, argument: str, options: list[str], body: list[str], ticks: int) -> str:
    "A MyST directive."
    return "\n".join(
        [
            f"{'`' * ticks}{{{directive}}} {argument}",
            *options,
            "",
            *(part + "\n" for part in body if part),
            "`" * ticks,
        ]
    )


def entry(sort: str, name: str, obj: object, module: ModuleType, links: Callable[[Place], str]) -> str:
    "What the reference says of one name: `links` writes the line that leads to its source and its lesson."
    where = place(obj, module, name)
    below, options = links(where) if where else "", [":module: " + module.__name__]
    if sort == "data":
        value, said = constant(module, where) if where else ("", "")
        return fenced(
            "py:data",
            name,
            options + [f":value: {json.dumps(value, ensure_ascii=False)}"] * bool(value),
            [prose(said), below],
            6,
        )
    rows = table(obj)
    tabled = any(row.meaning for row in rows)
    words = signature(rows, types=not tabled)
    if sort == "property":
        words, options = (
            "",
            options
            + [f":type: {json.dumps(rows[-1].type, ensure_ascii=False)}"] * bool(rows and rows[-1].type),
        )
    if sort in ("classmethod", "staticmethod"):
        sort, options = "method", options + [f":{sort}:"]
    inner = [entry(s, f"{name}.{n}", o, module, links) for s, n, o in members(obj)] if sort == "class" else []
    body = [prose(docstring(obj)), markdown_table(rows) if tabled else "", below, *inner]
    return fenced(
        f"py:{sort}",
        name + (words if sort != "class" or rows else ""),
        options,
        body,
        6 if sort != "class" else 7,
    )


def page(module: ModuleType, lesson: str, links: Callable[[Place], str]) -> str:
    "The reference page of a module, whose notebook is linked by `lesson`."

    def sort(name: str, obj: object) -> str:
        if not place(obj, module, name):
            return "data"
        return (
            "class"
            if inspect.isclass(obj)
            else "function"
            if inspect.isroutine(inspect.unwrap(obj))
            else "data"
        )

    entries = [
        entry(sort(name, obj), name, obj, module, links)
        for name in module.__all__
        for obj in [getattr(module, name)]
    ]
    return (
        "\n\n".join(
            [
                f"# `{module.__name__}`",
                prose(module.__doc__ or ""),
                lesson,
                fenced("py:module", module.__name__, [], [], 3),
                *entries,
            ]
        )
        + "\n"
    )
