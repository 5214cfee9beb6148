"""The pages of records, from templates. Everything in a record is somebody's words: templates escape it, what cells
showed is sanitized, and a policy in each page lets no script run but the page's own, and loads nothing.
"""

import re
import sys
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

from runbook.audit.index import Run, plain
from runbook.data_file import table
from runbook.display import one_line
from runbook.model import Row
from runbook.records import listed, mapping

TEMPLATES = Path(__file__).with_name("templates")


@cache
def _environment() -> Environment:
    loader, extensions = FileSystemLoader(TEMPLATES), ["jinja2.ext.do"]
    made = Environment(loader=loader, extensions=extensions, autoescape=True, undefined=ChainableUndefined)
    made.trim_blocks = made.lstrip_blocks = True
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    made.filters |= {"plain": plain, "listed": lambda some: [*filter(mapping, listed(some))], "md": _in_markdown}
    made.filters["lines"] = lambda some: [*map(plain, listed(some))]
    made.globals["file"] = _file
    return made


@cache
def _file(name: str) -> Markup:
    """A style or a script of ours, as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _in_markdown(text: object) -> Markup:
    """Somebody's words in Markdown: one line, no HTML, no link, address or image, and no new column of a table."""
    marks = r"([\\|\[\]`*_~]|:(?=//)|(?<=\bwww)\.)"
    return Markup(re.sub(marks, r"\\\1", escape(one_line(text), quote=False), flags=re.IGNORECASE))


def page(template: str, script: str = "", **values: Any) -> str:
    """A page from a template, with one script of ours, if any, and a policy that allows no other."""
    source = _file(script) if script else Markup("")
    allowed = b64encode(sha256(source.encode()).digest()).decode()
    return _environment().get_template(template).render(allowed=allowed, script=source, **values)


def record_page(run: Run, row: Row, before: str | None = None) -> str:
    """The page of a record: the answer first. In the site, `before` is the run before, "" for none; None: no links."""
    return page("record.html.j2", "record.js", run=run, row=row, before=before, cells=_cells(run))


def record_text(run: Run) -> list[str]:
    """The findings and facts of a record in lines, each with what it is about: to compare two records."""
    return page("record.txt.j2", run=run, notebook=_notebook(run)).splitlines()


def _notebook(run: Run) -> Any:
    """The executed notebook, without the answer, as an nbformat.NotebookNode; one that says why, if it is damaged."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # see runner/engine.py
    import nbformat

    try:
        found = nbformat.v4.reads(run.files.get(f"{run.runbook}.ipynb", b"").decode())
        nbformat.validate(found)
    except Exception as error:  # noqa: BLE001 - whatever somebody has put there, the page is made
        said = f"The notebook of this run cannot be shown ({type(error).__name__})."
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(said)])
    found.cells = [cell for cell in found.cells if "answer" not in cell.metadata.get("tags", ())]
    return found


def _cells(run: Run) -> Markup:
    """The cells as HTML, by nbconvert's template `basic`, without anything that could run; charts have their text."""
    notebook = _notebook(run)
    import nh3

    for output in (one for cell in notebook.cells for one in cell.get("outputs", ()) if "data" in one):
        output.metadata["image/png"] = {"alt": str(output.data.get("text/plain", "chart"))}
    shown, _ = _exporter().from_notebook_node(notebook)
    allowed = table(__file__, "allowed.yaml")
    attributes = {tag: set(names) for tag, names in allowed["attributes"].items()}
    sets = {name: set(allowed[name]) for name in ("tags", "url_schemes", "filter_style_properties")}
    classes, ids = {tag: {*allowed["classes"]} for tag in sets["tags"]}, allowed["id_prefix"]
    return Markup(nh3.clean(shown, attributes=attributes, allowed_classes=classes, id_prefix=ids, **sets))


@cache
def _exporter() -> Any:
    from nbconvert import HTMLExporter

    return HTMLExporter(template_name="basic")
