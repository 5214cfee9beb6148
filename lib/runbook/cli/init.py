"""`runbook init`: drafts the params file of an environment from what its project says. It only reads.

The draft is a template with `$names`. What the project cannot say is a `<placeholder>`, which `load_settings` refuses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template
from typing import Any

import yaml
from pydantic import TypeAdapter

from runbook.cli.output import create, require_new
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.cloud.target import target
from runbook.config.load import load_settings, params_directory
from runbook.config.schema import Cron, Identifier, Location, ProjectId, Settings, Zone
from runbook.display.text import visible
from runbook.facts.base import Answer, each
from runbook.facts.fields import items, last, mapping, number, text
from runbook.model.errors import BadParameter, NoAnswer
from runbook.model.strict import Name

TEMPLATE = Path(__file__).with_name("params.yaml").read_text(encoding="utf-8")
GUESSES = yaml.safe_load(Path(__file__).with_name("guesses.yaml").read_text(encoding="utf-8"))


def init(project: str, region: str, environment: str, out: Path | None, world: str = "") -> tuple[Path, str]:
    """Write the draft of params to `out`, by default params/<environment>.yaml; returns the file and its text.

    In the sandbox the project has the system of params/sandbox.yaml. Raises BadParameter, and BadInput for a file that
    exists, before anything is read; what `connect` raises; and NoAnswer if the functions cannot be read.
    """
    for name, kind, value in (
        ("project", ProjectId, project),
        ("region", Location, region),
        ("env", Name, environment),
    ):
        if not fits(kind, value):
            form = kind.__metadata__[0].pattern
            raise BadParameter(f"--{name} {value} is not valid", f"it must match {form}", next="correct it.")
    require_new(path := out or params_directory() / f"{environment}.yaml")
    known = {"project": project, "region": region, "environment": environment}
    if target(environment) == "sandbox":
        system = load_settings("sandbox").model_copy(update=known)
    else:
        system = Settings.model_construct(**known, feeds={})
    draft = Template(TEMPLATE).substitute(known, **_draft(*_read(connect(system, world)), region))
    create(path, draft)
    return path, draft


def fits(kind: Any, value: Any) -> bool:
    """Whether a key of params with this type may have this value."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValueError:
        return False
    return True


def _read(cloud: Cloud) -> tuple[Answer, Answer, Answer, Answer]:
    """Functions, jobs, datasets and tables, as Google lists them; tables with their columns."""
    place = f"projects/{cloud.settings.project}/locations"
    root = f"bigquery/v2/projects/{cloud.settings.project}/datasets"

    def read(api: str, paths: Iterable[str], key: str = "") -> Answer:
        def one(path: str) -> Answer:
            return Answer(cloud.items(api, path, key) if key else [cloud.get(api, path)])

        return each(paths, one, lambda path: path.partition("/projects/")[2])

    functions = read("cloudfunctions", [f"v2/{place}/-/functions"], "functions")
    if functions.gaps:
        raise NoAnswer("the functions cannot be read", functions.gaps[0].why, next=functions.gaps[0].next)
    jobs = read("cloudscheduler", [f"v1/{place}/{cloud.settings.region}/jobs"], "jobs")
    datasets = read("bigquery", [root], "datasets")
    names = [name for row in datasets.rows if fits(Identifier, name := text(row, "datasetReference", "datasetId"))]
    listed = read("bigquery", [f"{root}/{name}/tables" for name in names], "tables")
    wanted = [
        (_dataset(t), name) for t in listed.rows if text(t, "type") == "TABLE" and fits(Identifier, name := _name(t))
    ]
    tables = read("bigquery", [f"{root}/{a}/tables/{b}" for a, b in wanted if not re.search(r"_\d{8}$", b)])
    return functions, jobs, datasets, Answer(tables.rows, gaps=(*listed.gaps, *tables.gaps))


def _draft(functions: Answer, jobs: Answer, datasets: Answer, tables: Answer, region: str) -> dict[str, str]:
    """The values of the template. The main dataset has the table of runs, else the most tables."""
    zones = Counter(zone for job in jobs.rows if fits(Zone, zone := text(job, "timeZone")))
    zone = next((zone for zone, _ in zones.most_common(1)), "<the team's time zone, such as America/Chicago>")
    runs = max(tables.rows, key=lambda t: len(_runs(t)), default=None)
    most = Counter(map(_dataset, tables.rows)).most_common(1)
    main = _dataset(runs) if _runs(runs) else most[0][0] if most else "<the dataset that the functions write>"
    places = {text(row, "datasetReference", "datasetId"): text(row, "location") for row in datasets.rows}
    backup = (name for name in places if name != main and _says(GUESSES["backup"], name))
    mine = [t for t in tables.rows if _dataset(t) == main]
    dated = [(_name(t), c) for t in mine if (c := _column(t, "DATE", ""))]
    scores = [pair for pair in dated if _says(GUESSES["scores"], " ".join(pair))]
    gaps = [gap for answer in (jobs, datasets, tables) for gap in answer.gaps]
    columns = {meaning: empty for meaning, (_, _, empty) in GUESSES["runs"].items()} | _runs(runs)
    return columns | {
        "time_zone": zone,
        "gaps": "\n".join(_comment(f"Could not be read: {g.subject}: {g.why} Next: {g.next}") for g in gaps),
        "datasets": ", ".join(f"{name} in {place}" for name, place in sorted(places.items())),
        "main": main,
        "backup": next(backup, "<the dataset for snapshots, in the location of main>"),
        "functions": "\n".join(_functions(functions, jobs, region, zone)),
        "runs": _name(runs) if _runs(runs) else "<the table with one row for each run of a function>",
        "scores": str([*scores, ("<the table of account scores>", "<its DATE column>")][0][0]),
        "date": str([*scores, ("", "<its DATE column>")][0][1]),
        "dates": ", ".join(map(".".join, dated)) or "none",
        "freshness": "\n".join(_freshness(t for t in mine if t is not runs)) or "    []",
    }


def _functions(functions: Answer, jobs: Answer, region: str, zone: str) -> Iterator[str]:
    """The rows of the functions, and comments on what params cannot hold."""
    for function in sorted(functions.rows, key=lambda f: text(f, "name")):
        if text(function, "name").split("/")[3:4] != [region]:
            yield _comment(f"not in {region}: {text(function, 'name')}")
            continue
        mine = sorted((j for j in jobs.rows if _calls(j, function)), key=lambda j: text(j, "state") != "ENABLED")
        yield _row(_function(function, mine[0] if mine else {}))
        others = [job for n, job in enumerate(mine) if n or text(job, "timeZone") != zone]
        yield from (_comment(f"job {last(j, 'name')}: {text(j, 'schedule')} in {text(j, 'timeZone')}") for j in others)


def _comment(said: str) -> str:
    return f"# {visible(' '.join(said.split()))}"


def _row(values: dict[str, Any]) -> str:
    row = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return f"    - {row.strip()}"


def _function(function: Any, job: Any) -> dict[str, Any]:
    """The row of one function; `service` and `job` only where they are not the default."""
    name, config, schedule = last(function, "name"), mapping(function, "serviceConfig"), text(job, "schedule")
    kinds = ("secretEnvironmentVariables", "secretVolumes")
    unknown = f"<cron for: {schedule}>" if schedule else "<no scheduler job calls it: its cron, or delete this line>"
    row = {
        "name": name,
        "source_system": "<as the table of runs writes it>",
        "schedule": schedule if fits(Cron, schedule) else unknown,
        "memory": text(config, "availableMemory") or "<memory, such as 512Mi>",
        "timeout_s": number(config, "timeoutSeconds") or "<seconds>",
        "secrets": list(dict.fromkeys(last(s, "secret") for kind in kinds for s in items(config, kind))),
        "service": last(config, "service"),
        "job": last(job, "name"),
    }
    default = {"secrets": [], "service": name.lower().replace("_", "-"), "job": name}
    return {key: value for key, value in row.items() if value and value != default.get(key)}


def _calls(job: Any, function: Any) -> bool:
    """Whether a job's target is one of the function's URLs, or the Pub/Sub topic that starts it.

    A Cloud Run service has a second URL with the project's number
    (https://cloud.google.com/run/docs/triggering/https-request#deterministic).
    """
    called = text(job, "httpTarget", "uri") or text(job, "pubsubTarget", "topicName")
    own = (text(function, "url"), text(function, "serviceConfig", "uri"), text(function, "eventTrigger", "pubsubTopic"))
    service = re.escape(last(function, "serviceConfig", "service") or "?")
    urls = [*(re.escape(url.rstrip("/")) for url in own if url), rf"https://{service}-\d+\.[a-z0-9-]+\.run\.app"]
    return bool(re.match(rf"({'|'.join(urls)})([/?]|$)", called))


def _dataset(table: Any) -> str:
    return text(table, "tableReference", "datasetId")


def _name(table: Any) -> str:
    return text(table, "tableReference", "tableId")


def _says(words: str, name: str) -> bool:
    return bool(re.search(words, name, re.IGNORECASE))


def _column(table: Any, kind: str, words: str, taken: Iterable[str] = ()) -> str:
    """The first column of a type whose name contains one of the words; "" if there is none."""
    names = [text(f, "name") for f in items(table, "schema", "fields") if text(f, "type") == kind]
    return next((n for n in names if n not in taken and n.isidentifier() and _says(words, n)), "")


def _runs(table: Any) -> dict[str, str]:
    """The columns of a table of runs, by their meaning; {} for any other table."""
    meant: dict[str, str] = {}
    for meaning, (kind, words, _) in GUESSES["runs"].items():
        meant |= {meaning: c} if (c := _column(table, kind, words, meant.values())) else {}
    return meant if {"status", "started_at"} <= set(meant) else {}


def _freshness(tables: Iterable[Any]) -> Iterator[str]:
    """A row for each table with a TIMESTAMP column, and the column that says best how new a row is."""
    for table in tables:
        if best := next(filter(None, (_column(table, "TIMESTAMP", words) for words in GUESSES["newest"])), ""):
            yield _row({"name": _name(table), "column": best, "limit_hours": "<hours>"})
        elif date := _column(table, "DATE", "") or _column(table, "DATETIME", ""):
            yield _comment(f"{_name(table)} has no TIMESTAMP column, only {date}: it cannot be watched")
