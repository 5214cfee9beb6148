"""`runbook init`: drafts the params file of an environment from what its project says. It only reads.

The draft is a template with `$names`. What the project cannot say is a `<placeholder>`, which `load_settings` refuses.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any

import yaml
from pydantic import TypeAdapter

from runbook.cli.output import require_new
from runbook.cloud.answer import objects
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.cloud.target import target
from runbook.config import load_settings, params_directory
from runbook.config.schema import Cron, Identifier, Location, ProjectId, Settings, Zone, service_of
from runbook.data_file import table
from runbook.display.text import visible
from runbook.facts.base import Answer, each
from runbook.facts.fields import items, last, mapping, number, text
from runbook.model import BadParameter, Gap, NoAnswer
from runbook.model.strict import Name
from runbook.records.files import publish

TEMPLATE = Template(Path(__file__).with_name("params.yaml").read_text(encoding="utf-8"))
GUESSES = table(__file__, "guesses.yaml")
OPTIONS = {"project": ProjectId, "region": Location, "environment": Name}


def init(out: Path | None, world: str, **given: str) -> tuple[Path, str, list[str]]:
    """Write the draft of params to `out`, by default params/<environment>.yaml.

    Returns the file, who answered (google or sandbox), and a sentence for each thing that could not be read. `given`
    are the OPTIONS. In the sandbox, the project has the system of params/sandbox.yaml. Raises BadParameter, and
    BadInput for a file that exists, before anything is read; what `connect` raises; NoAnswer if the functions cannot
    be read.
    """
    for name, kind in OPTIONS.items():
        if not fits(kind, given[name]):
            raise BadParameter(f"{name} {given[name]!r} is not valid", GUESSES["examples"][name], next="correct it.")
    require_new(path := out or params_directory() / f"{given['environment']}.yaml")
    bare = Settings.model_construct(**given, feeds={})
    system = bare if target(given["environment"]) == "google" else load_settings("sandbox").model_copy(update=given)
    answers = _read(cloud := connect(system, world))
    gaps = [f"Could not be read: {g.subject}: {g.why} Next: {g.next}" for answer in answers for g in answer.gaps]
    values = {**given, "target": cloud.target, "gaps": "\n".join(map(_comment, gaps))}
    publish(path, TEMPLATE.substitute(values, **_draft(given["region"], *answers)).encode())
    return path, cloud.target, [visible(gap) for gap in gaps]


def fits(kind: Any, value: Any) -> bool:
    """Whether a key of params with this type may have this value."""
    with suppress(ValueError):
        TypeAdapter(kind).validate_python(value)
        return True
    return False


def _read(cloud: Cloud) -> tuple[Answer, ...]:
    """Functions, jobs, datasets and tables, in Google's JSON; tables as from tables.get."""

    def read(api: str, key: str, paths: Iterable[str]) -> Answer:
        def one(path: str) -> Answer:
            pages = list(cloud.pages(api, path)) if key else [{key: [cloud.get(api, path)]}]
            away = (str(name) for page in pages for name in objects(page, "unreachable"))
            gaps = tuple(Gap(name, "the location did not answer", "run again into another file.") for name in away)
            return Answer([row for page in pages for row in objects(page, key)], gaps=gaps)

        found = each(paths, one, lambda path: path.partition("/projects/")[2])
        absent = (Gap(name, "it does not exist", "check --project and --region.") for name in found.absent)
        return Answer(found.rows, gaps=(*found.gaps, *absent))

    project = f"projects/{cloud.settings.project}"
    root = f"bigquery/v2/{project}/datasets"
    functions = read("cloudfunctions", "functions", [f"v2/{project}/locations/-/functions"])
    if functions.gaps and not functions.rows:
        raise NoAnswer("the functions cannot be read", functions.gaps[0].why, next=functions.gaps[0].next)
    jobs = read("cloudscheduler", "jobs", [f"v1/{project}/locations/{cloud.settings.region}/jobs"])
    datasets = read("bigquery", "datasets", [root])
    names = {name for row in datasets.rows if fits(Identifier, name := _dataset(row, "datasetReference"))}
    listed = read("bigquery", "tables", [f"{root}/{name}/tables" for name in sorted(names)])
    plain = [t for t in listed.rows if text(t, "type") == "TABLE" and not re.search(r"_\d{8}$", _name(t))]
    paths = [f"{root}/{_dataset(t)}/tables/{_name(t)}" for t in plain if fits(Identifier, _name(t))]
    tables = read("bigquery", "", paths)
    return functions, jobs, datasets, Answer(tables.rows, gaps=(*listed.gaps, *tables.gaps))


def _draft(region: str, functions: Answer, jobs: Answer, datasets: Answer, tables: Answer) -> dict[str, str]:
    """The values of the template. The main dataset has the table of runs, else the most tables."""
    zones = [zone for job in jobs.rows if fits(Zone, zone := text(job, "timeZone"))]
    zone = max(zones, key=zones.count, default="")
    homes = [_dataset(table) for table in tables.rows]
    runs = max(tables.rows, key=lambda t: len(_runs(t)), default=None)
    main = _dataset(runs) if _runs(runs) else max(homes, key=homes.count, default="")
    places = {_dataset(row, "datasetReference"): text(row, "location") for row in datasets.rows}
    mine = [t for t in tables.rows if _dataset(t) == main]
    dated = [(_name(t), column) for t in mine if (column := _column(t, "DATE"))]
    name, date = next((pair for pair in dated if re.search(GUESSES["scores"], " ".join(pair))), ("", ""))
    found = _runs(runs) | {"time_zone": zone, "main": main, "scores": name, "date": date}
    found["datasets"] = ", ".join(f"{name} in {place}" for name, place in sorted(places.items()))
    found["backup"] = next((name for name in places if name != main and re.search(GUESSES["backup"], name)), "")
    found["dates"] = ", ".join(map(".".join, dated))
    found["functions"] = "\n".join(_functions(region, functions, jobs, zone))
    found["freshness"] = "\n".join(_freshness(t for t in mine if t is not runs))
    return GUESSES["placeholders"] | {key: value for key, value in found.items() if value}


def _functions(region: str, functions: Answer, jobs: Answer, zone: str) -> Iterator[str]:
    """The rows of the functions, and comments on what params cannot hold."""
    for function in sorted(functions.rows, key=lambda f: text(f, "name")):
        if text(function, "name").split("/")[3:4] != [region]:
            yield _comment(f"not in {region}: {text(function, 'name')}")
            continue
        mine = sorted((j for j in jobs.rows if _calls(j, function)), key=lambda j: text(j, "state") != "ENABLED")
        yield _row(_function(function, mine[0] if mine else {}))
        for n, job in enumerate(mine):
            if n or text(job, "timeZone") != zone or not fits(Cron, text(job, "schedule")):
                yield _comment(f"job {last(job, 'name')}: {text(job, 'schedule')} in {text(job, 'timeZone')}")


def _comment(said: str) -> str:
    return f"# {visible(' '.join(said.split()))}"


def _row(values: dict[str, Any]) -> str:
    row = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return f"    - {row.strip()}"


def _function(function: Any, job: Any) -> dict[str, Any]:
    """The row of one function; `service` and `job` only where they are not the default."""
    name, config, schedule = last(function, "name"), mapping(function, "serviceConfig"), text(job, "schedule")
    secrets = [*items(config, "secretEnvironmentVariables"), *items(config, "secretVolumes")]
    found: dict[str, Any] = {"schedule": schedule if fits(Cron, schedule) else ""}
    found |= {"memory": text(config, "availableMemory"), "timeout_s": number(config, "timeoutSeconds")}
    found["secrets"] = list(dict.fromkeys(last(secret, "secret") for secret in secrets))
    found |= {"service": last(config, "service"), "job": last(job, "name")}
    default = {"service": service_of(name), "job": name}
    return {"name": name} | GUESSES["function"] | {k: v for k, v in found.items() if v and v != default.get(k)}


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


def _dataset(found: Any, reference: str = "tableReference") -> str:
    return text(found, reference, "datasetId")


def _name(table: Any) -> str:
    return text(table, "tableReference", "tableId")


def _column(table: Any, kind: str, words: str = "", taken: Iterable[str] = ()) -> str:
    """The first column of a type whose name contains one of the words; "" if there is none."""
    names = [text(f, "name") for f in items(table, "schema", "fields") if text(f, "type") == kind]
    return next((n for n in names if n not in taken and n.isidentifier() and re.search(words, n)), "")


def _runs(table: Any) -> dict[str, str]:
    """The name and the columns of a table of runs, by their meaning; {} for any other table."""
    found: dict[str, str] = {}
    for meaning, (kind, words) in GUESSES["runs"].items():
        found[meaning] = _column(table, kind, words, found.values())
    known = {meaning: column for meaning, column in found.items() if column}
    return {"name": _name(table), **known} if {"status", "started_at"} <= set(known) else {}


def _freshness(tables: Iterable[Any]) -> Iterator[str]:
    """A row for each table with a TIMESTAMP column, and the column that says best how new a row is."""
    for one in tables:
        if best := next(filter(None, (_column(one, "TIMESTAMP", words) for words in GUESSES["newest"])), ""):
            yield _row({"name": _name(one), "column": best, "limit_hours": "<hours>"})
        elif date := _column(one, "DATE") or _column(one, "DATETIME"):
            yield _comment(f"{_name(one)} has no TIMESTAMP column, only {date}: it cannot be watched")
