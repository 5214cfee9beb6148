"""`python -m tests.compare --env NAME`: asks every listed read once, and writes how the answers differ from tests/real.

The file has the shapes of answers: names of fields with the kind of their values, which is a format or a word of
Google's own. A key that people choose is `*`. Nothing says whose project it is. `shapes.yaml`, what is documented and
what is recorded, is made by `make fix` (tests/shapes.py).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import yaml

from runbook.cli.doctor import READING
from runbook.cli.output import require_new, table_text
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.cloud.guard import READS, Listed
from runbook.config.load import load_settings
from runbook.display.text import Row
from runbook.facts.base import Answer, attempt
from runbook.facts.fields import text
from runbook.facts.logs import between
from runbook.model import table
from runbook.model.errors import Exit, RunbookError
from runbook.model.moment import Moment
from runbook.records.files import publish

KNOWN = table(__file__, "shapes.yaml")
HEADER = """\
# How Google Cloud's answers to a project differ from those that the runbooks were tested with: names of fields, kinds
# of values, and Google's own words. No value, name, id or time of the project is in it. Look at it before you send it.
"""
SELECT: dict[str, Any] = {"query": "SELECT 1", "useLegacySql": False, "maximumBytesBilled": "10485760"}
SERIES = {"filter": 'metric.type="serviceruntime.googleapis.com/quota/limit" AND resource.type="consumer_quota"'}
_POSTS = {"list": "entries", "testIamPermissions": "permissions"}  # what the POSTs among the reads answer with
_TYPES = {dict: "object", list: "list", bool: "boolean", int: "number", float: "number", type(None): "null"}


def compare(environment: str, world: str, out: Path) -> list[Row]:
    """Write the file; returns rows `read, status` of every listed read: the HTTP status, or "no answer".

    Raises BadInput for a file that exists, and what `load_settings` and `connect` raise.
    """
    require_new(out)
    rows, answers = [], dict[str, list[Any]]()
    for read, found in _ask(cloud := connect(load_settings(environment), world)):
        status, name = found.get("status", "no answer"), collection_of(read)
        rows.append({"read": f"{read.method} {read.host}{read.path}", "status": status})
        if found:
            single = status == 200 and read.path.endswith("/*")  # compared as a list with one item
            body = {name.partition(".")[2]: [found["body"]]} if single else found["body"]
            answers.setdefault(name if status == 200 else "error", []).append(body)
    told = {name: new for name, values in sorted(answers.items()) if (new := differences(name, values))}
    made = {"answered by": cloud.target, "reads": rows, "differences": told}
    publish(out, (HEADER + yaml.safe_dump(made, sort_keys=False, width=120)).encode())
    return rows


def collection_of(read: Listed) -> str:
    """What a read is about, such as `run.services`: a list and its items are the same."""
    name = re.split("[/:]", read.path.removesuffix("/*"))[-1]
    return f"{read.host.partition('.')[0]}.{_POSTS.get(name, name)}"


def _ask(cloud: Cloud) -> Iterator[tuple[Listed, Row]]:
    """Each listed read, and `status, body` of its answer, {} if there is none. The names are those of params."""

    def send(method: str, url: str, body: Any = None) -> Row:
        def see() -> Answer:
            answer = cloud.session.request(method, f"https://{url}", json=body, timeout=20)
            return Answer([{"status": answer.status_code, "body": answer.json()}])

        return next(iter(attempt(see, url, "").rows), {})

    system, now = cloud.settings, cloud.now()[0]
    hours = between(24, Moment(now, system.zone))
    function, project = system.functions[0], f"projects/{system.project}"
    bigquery = f"bigquery.googleapis.com/bigquery/v2/{project}"
    send("POST", f"{bigquery}/jobs", {"configuration": {"dryRun": True, "query": SELECT}})
    query = send("POST", f"{bigquery}/queries", SELECT) if cloud.guard.is_select(SELECT["query"]) else {}
    job, place = (text(query, "body", "jobReference", key) or "none" for key in ("jobId", "location"))
    names = {"projects": system.project, "locations": system.region, "datasets": system.datasets.main}
    names |= {"tables": system.tables.etl_runs.name, "functions": function.name, "services": function.service_name}
    names |= {"cloudscheduler.jobs": function.job_name, "bigquery.jobs": job, "queries": job}
    names |= {"secrets": next((s for f in system.functions for s in f.secrets), "none"), "versions": "latest"}
    newest = {"filter": hours, "orderBy": "timestamp desc", "pageSize": 1000, "resourceNames": [project]}
    window = {f"interval.{end}Time": f"{at:%FT%TZ}" for end, at in (("start", now - timedelta(hours=24)), ("end", now))}
    bodies = {"cloudresourcemanager.permissions": {"permissions": sorted(READING)}, "logging.entries": newest}
    for read in READS:
        api = read.host.partition(".")[0]
        path = re.sub(r"(\w+)/\*", lambda m: f"{m[1]}/{names.get(m[1]) or names[f'{api}.{m[1]}']}", read.path)  # noqa: B023
        path += f"?{urlencode(SERIES | window)}" if path.endswith("/timeSeries") else ""
        path += f"?location={place}" if path.endswith(f"/{job}") else ""  # which BigQuery wants for a job
        yield read, send(read.method, f"{read.host}{path}", bodies.get(collection_of(read)))


def kind(value: Any) -> str:
    """What kind of value it is; of a text, its format, or the text itself if it is a word of Google's own."""
    if not isinstance(value, str):
        return _TYPES[type(value)]
    formats = (name for name, form in KNOWN["formats"].items() if re.fullmatch(form, value, re.DOTALL))
    return value if value in KNOWN["words"] else next(formats, "text")


def shape(value: Any, known: Mapping[str, Any] | None, path: str = "") -> Iterator[tuple[str, str, bool]]:
    """Each field with its kind, and whether Google documents it. `known` is the tree of documented fields.

    What is inside an undocumented field is not looked at, because its keys may be somebody's names.
    """
    if isinstance(value, list) and value and known and "[]" in known:
        for inner in value:
            yield from shape(inner, known["[]"], f"{path}[]")
    elif isinstance(value, dict) and value and known and "[]" not in known:
        for key, inner in value.items():
            name = "*" if "*" in known else key if re.fullmatch(r"@?[A-Za-z]\w{0,60}", key, re.ASCII) else "?"
            if name in known:
                yield from shape(inner, known[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}", kind(inner), False
    else:
        yield path, kind(value), True


def differences(collection: str, answers: list[Any]) -> dict[str, Any]:
    """How the answers about one collection differ from the recorded ones; {} if they do not."""
    known, found = KNOWN["collections"][collection], dict[str, dict[str, str]]()
    seen = {one for answer in answers for one in shape(answer, known["fields"])}
    for path, what, documented in sorted(seen):
        recorded = known["recorded"].get(path, "")
        if what not in recorded.split(" | "):
            group = "new kinds" if recorded else "not recorded" if documented else "not documented"
            paths = found.setdefault(group, {})
            paths[path] = f"{paths[path]} | {what}" if path in paths else what
    missing = sorted(set(known["always"]) - {path for path, _, _ in seen}) if any(answers) else []
    return found | ({"missing": missing} if missing else {})


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--env", "environment", envvar="RUNBOOK_ENV", required=True, help="params/<ENV>.yaml.")
@click.option("--world", default="", help="Sandbox only: a shipped world, or the path of a world file.")
@click.option("--out", type=click.Path(path_type=Path), default="shapes.yaml", show_default=True, help="A new file.")
def main(environment: str, world: str, out: Path) -> None:
    """Compare Google's answers with the recorded ones, and write how they differ, without any value."""
    try:
        rows = compare(environment, world, out)
    except RunbookError as error:
        click.echo(error, err=True)
        sys.exit(error.exit)
    click.echo(
        f"{table_text(rows)}\n\nWritten: {out}\nNext: look at the file, then attach it to an issue of this project."
    )
    sys.exit(Exit.OK if all(row["status"] == 200 for row in rows) else Exit.UNKNOWN)


if __name__ == "__main__":
    main()
