"""The pages of records, from templates. Everything in a record is somebody's words: templates escape it, what cells
showed is sanitized, and a policy in each page lets no script run but the page's own, and loads nothing.
"""

import sys
from base64 import b64encode
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from runbook.audit.index import Run, listed, mapping, plain
from runbook.display.text import Row
from runbook.model.findings import Verdict
from runbook.model.report import answer_lines
from runbook.records.store import Store

TEMPLATES = Path(__file__).with_name("templates")


@cache
def _environment() -> Environment:
    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    made.globals["file"] = _file
    return made


@cache
def _file(name: str) -> Markup:
    """A style or a script of ours, as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def page(template: str, script: str, **values: Any) -> str:
    """A page from a template, with one script of ours, if any, and a policy that allows no other."""
    source = _file(script) if script else Markup("")
    allowed = b64encode(sha256(source.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    policy += "; base-uri 'none'; form-action 'none'"
    return _environment().get_template(template).render(policy=policy, script=source, **values)


def record_page(store: Store, run: Run, row: Row, before: str = "") -> str:
    """The page of a record: the answer first. Raises NoRecord."""
    report, outcome = run.report, mapping(run.report.get("outcome"))
    findings = sorted(run.findings, key=lambda one: -Verdict[one["verdict"]])
    for one in findings:
        one["anchor"] = f"finding-{sha256((one['check'] + one['subject']).encode()).hexdigest()[:8]}"
    lists = {name: [*filter(mapping, listed(outcome.get(name)))] for name in ("approvals", "changes")}
    lists["ran"] = [*filter(mapping, listed(run.record.get("cells")))]
    values = {"answer": [*map(plain, answer_lines(report))], "steps": [*map(plain, listed(report.get("next")))]}
    values["planned_in"] = plain(outcome.get("planned_in")).rpartition("/")[2]
    values["seconds"] = _seconds(run.record)
    values["versions"] = mapping(run.record.get("versions")) | mapping(run.record.get("sha256"))
    cells = cells_of(store.read(f"runs/{run.name}/{row['runbook']}.ipynb"))
    values |= {"run": run, "row": row, "before": before, "findings": findings, "cells": cells}
    return page("record.html.j2", "record.js", **lists, **values)


def _seconds(record: Row) -> str:
    try:
        begun, ended = (datetime.fromisoformat(record[key]) for key in ("started_at", "ended_at"))
        return f"{(ended - begun).total_seconds():.1f}"
    except (KeyError, ValueError, TypeError):
        return ""


def cells_of(raw: bytes | None) -> Markup:
    """The cells of an executed notebook as HTML, by nbconvert's template `basic`, without anything that could run."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # see runner/engine.py
    import nh3

    try:
        shown, _ = _exporter().from_notebook_node(_notebook(raw))
    except Exception as error:  # noqa: BLE001 - whatever somebody has put into a notebook, the page is made
        return Markup("<p>The notebook of this run cannot be shown ({}).</p>").format(type(error).__name__)
    return Markup(nh3.clean(shown, **_allowed()))


@cache
def _allowed() -> dict[str, Any]:
    import nh3

    css = "background border border-bottom border-collapse border-left border-radius color cursor font-size font-weight"
    css += " margin overflow-wrap padding text-align vertical-align white-space"
    attributes = {**nh3.ALLOWED_ATTRIBUTES, "*": {"class", "id", "style", "title"}}
    allowed = {"tags": nh3.ALLOWED_TAGS, "attributes": attributes, "filter_style_properties": set(css.split())}
    return allowed | {"url_schemes": {"data", "https"}, "link_rel": "noopener noreferrer"}


@cache
def _exporter() -> Any:
    from nbconvert import HTMLExporter

    return HTMLExporter(template_name="basic")


def _notebook(raw: bytes | None) -> Any:
    """A notebook without the answer, which stands above it; each chart has its text as alternative."""
    from nbformat.v4 import reads

    notebook = reads((raw or b"").decode())
    notebook.cells = [cell for cell in notebook.cells if "answer" not in cell.metadata.get("tags", ())]
    for output in (
        one for cell in notebook.cells for one in cell.get("outputs", ()) if "image/png" in one.get("data", ())
    ):
        text = output.data.get("text/plain", "chart")
        output.metadata["image/png"] = {"alt": text}
    return notebook
