"""How answers differ from the recorded ones: what is found, and that nothing of a project is in the file."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from click.testing import CliRunner

from gcp_sandbox.http import HOSTS
from gcp_sandbox.inprocess import InProcess
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.cloud.guard import _READS, READS
from runbook.config.load import load_settings
from runbook.model.errors import Exit
from tests import compare as module
from tests import shapes
from tests.compare import KNOWN, differences, main
from tests.runbook.facts.test_recorded_answers import damaged
from tests.slices import every

SYSTEM = load_settings("sandbox")


def test_the_file_of_shapes_is_made_of_todays_recordings() -> None:
    assert shapes.FILE.read_text(encoding="utf-8") == shapes.made(), "Run make fix: it writes tests/shapes.yaml"


def test_every_recorded_answer_of_google_has_a_collection() -> None:
    kinds = {shapes.kind_of(path.stem) for path in shapes.REAL.glob("*.json")}
    assert kinds == {*shapes.KINDS, *shapes.NO_READ}, "Add the new first word to KINDS or NO_READ in tests/shapes.py"
    assert set(shapes.KINDS.values()) == set(KNOWN["collections"]), "Run make fix: it writes tests/shapes.yaml"


@pytest.mark.parametrize("collection", sorted(set(shapes.KINDS.values())))
def test_recorded_answers_do_not_differ(collection: str) -> None:
    answers = shapes.recorded(collection)
    assert answers
    found = [differences(collection, [answer]) for answer in answers]
    assert found == [{}] * len(answers), (
        "Run make fix: it writes the form of each recorded answer into tests/shapes.yaml"
    )


def function(**changes: Any) -> list[Any]:
    """The recorded function, with other fields."""
    made = json.loads((shapes.REAL / "function_active.json").read_text(encoding="utf-8")) | changes
    return [{"functions": [{k: v for k, v in made.items() if v != "left out"}]}]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"speed": {"acme": 1}}, {"not documented": {".functions[].speed": "object"}}),
        ({"Acme GmbH": 1}, {"not documented": {".functions[].?": "number"}}),
        ({"kmsKeyName": "projects/acme"}, {"not recorded": {".functions[].kmsKeyName": "resource name"}}),
        ({"state": "DELETING"}, {"new kinds": {".functions[].state": "DELETING"}}),
        ({"state": "ACME"}, {"new kinds": {".functions[].state": "text"}}),
        ({"updateTime": 5}, {"new kinds": {".functions[].updateTime": "number"}}),
        ({"labels": {"acme": "x", "customer": "5"}}, {"new kinds": {".functions[].labels.*": "int64 as text"}}),
        ({"buildConfig": []}, None),
        ({"updateTime": "left out"}, {"missing": [".functions[].updateTime"]}),
    ],
)
def test_each_difference_has_its_group(changes: dict[str, Any], expected: Any) -> None:
    found = differences("cloudfunctions.functions", function(**changes))
    assert found == expected if expected else found["not recorded"] == {".functions[].buildConfig": "list"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("2026-03-11T04:27:24.235871818Z", "RFC 3339 time"),
        ("2026-03-11", "text"),
        ("1667085967211367", "int64 as text"),
        ("540s", "duration"),
        ("512Mi", "quantity"),
        ("", "empty text"),
        ("projects/acme/locations/x", "resource name"),
        ("ann@acme.example", "e-mail"),
        ("https://acme.example/\nx", "URL"),
        ("ACTIVE", "ACTIVE"),
        ("ACME", "text"),
        (True, "boolean"),
        (1.5, "number"),
        (None, "null"),
        ({}, "object"),
        ([], "list"),
    ],
)
def test_the_kind_of_a_value(value: Any, kind: str) -> None:
    assert module.kind(value) == kind


# --- the whole of it, in the sandbox


class Spy(InProcess):
    """Notes each request, and answers as the sandbox does, through `spoil`."""

    def __init__(self, app: Any, spoil: Any = None):
        super().__init__(app)
        self.seen: list[tuple[str, str]] = []
        self.spoil = spoil

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        self.seen.append((str(request.method), str(request.url)))
        response = super().send(request, **options)
        if self.spoil and (made := self.spoil(str(request.url), response.json())) is not None:
            response.status_code, response._content = made[0], json.dumps(made[1]).encode()
        return response


def compared(monkeypatch: pytest.MonkeyPatch, out: Path, spoil: Any = None, world: str = "many_errors") -> Any:
    """The rows, the text of the file, and the requests, where every answer goes through `spoil`."""
    wires: list[Spy] = []

    def connected(system: Any, world: str) -> Cloud:
        wires.append(Spy(connect(system, world).transport.app, spoil))
        return Cloud(system, "sandbox", wires[0])

    monkeypatch.setattr(module, "connect", connected)
    rows = module.compare("sandbox", world, out)
    return rows, out.read_text(encoding="utf-8"), wires[0].seen


def test_every_listed_read_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows, text, seen = compared(monkeypatch, tmp_path / "s.yaml")
    assert [row["status"] for row in rows] == [200] * len(READS)
    posts = [url.rpartition("/")[2] for method, url in seen if method == "POST"]
    # The clock is one more test of permissions, and a query is a dry run and itself.
    expected = {f"{SYSTEM.project}:testIamPermissions": 2, "jobs": 1, "queries": 1, "entries:list": 1}
    assert Counter(posts) == expected, "If a read that is a POST is new, add it here"
    gets = [url for method, url in seen if method == "GET"]
    assert len(set(gets)) == len(gets) == sum(read.method == "GET" for read in READS)
    found = yaml.safe_load(text)
    assert found["reads"] == rows
    assert set(found["differences"]) <= set(KNOWN["collections"])


def marked(value: Any, known: Any) -> Any:
    """The same form with other contents: every value, and every key that people choose, says canary or 7777."""
    if isinstance(value, dict):
        free = known is None or "*" in known
        made = {
            f"canary{n}" if free else key: marked(inner, known and known.get("*" if free else key))
            for n, (key, inner) in enumerate(value.items())
        }
        return made if free else made | {"newField": {"canaryKey": "canary"}}
    if isinstance(value, list):
        return [marked(inner, known and known.get("[]")) for inner in value]
    if isinstance(value, str):
        forms = {"RFC 3339 time": "7777-01-02T03:04:05Z", "int64 as text": "77777777", "duration": "7777s"}
        return value if value in KNOWN["words"] else forms.get(module.kind(value), f"{value}-canary")
    return value if value is None or isinstance(value, bool) else 77777


def fields_of(url: str) -> Any:
    """The documented fields of the answer to a URL."""
    path = url.partition("googleapis.com")[2].partition("?")[0]
    for read, pattern in _READS:
        if pattern.fullmatch(path) and read.host in url:
            known = KNOWN["collections"][module.collection_of(read)]["fields"]
            listed = module.collection_of(read).partition(".")[2]
            return known[listed]["[]"] if read.path.endswith("/*") else known
    return None


def test_nothing_of_the_project_is_in_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def spoil(url: str, value: Any) -> Any:
        return (200, marked(value, known)) if (known := fields_of(url)) else None

    rows, text, _ = compared(monkeypatch, tmp_path / "s.yaml", spoil)
    assert [row["status"] for row in rows] == [200] * len(READS)
    assert text.count("newField") > len(READS)
    assert "canary" not in text
    assert "7777" not in text
    ours = {SYSTEM.project, SYSTEM.region, SYSTEM.datasets.main, "etl", "gmail", "sandbox", "acme"}
    said = text.replace("answered by: sandbox", "")
    assert [word for word in sorted(ours) if word in said] == []


def test_nothing_of_a_refusal_is_in_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CANARY", "metadata": {"canary": "canary"}}
    error = {
        "code": 403,
        "message": "canary",
        "status": "PERMISSION_DENIED",
        "details": [info, {"canary": {"canary": 1}}],
    }
    rows, text, _ = compared(monkeypatch, tmp_path / "s.yaml", lambda _url, _value: (403, {"error": error}))
    assert [row["status"] for row in rows] == [403] * len(READS)
    assert "canary" not in text.replace(".error.details[].canary", "").lower()


def queried(url: str) -> bool:
    """Whether a request makes the query whose job is asked for."""
    return url.endswith(("/jobs", "/queries"))


@pytest.mark.parametrize("answer", [None, [], "text", 7, {"functions": 5}])
def test_answers_of_another_form_are_compared_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Any) -> None:
    rows, text, _ = compared(monkeypatch, tmp_path / "s.yaml", lambda url, _: None if queried(url) else (200, answer))
    assert {row["status"] for row in rows} == {200}
    assert yaml.safe_load(text)["differences"]


def test_no_answer_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def spoil(url: str, _value: Any) -> Any:
        if HOSTS["run"] in url:
            raise requests.ConnectionError("canary")

    rows, text, _ = compared(monkeypatch, tmp_path / "s.yaml", spoil)
    assert [row["status"] for row in rows if "run.googleapis" in row["read"]] == ["no answer"] * 2
    assert "canary" not in text


@pytest.mark.parametrize("seed", every(4, range(40)))
def test_damaged_answers_are_compared_too(seed: int) -> None:
    chance = random.Random(seed)
    for collection in set(shapes.KINDS.values()):
        differences(collection, [damaged(answer, chance) for answer in shapes.recorded(collection)])


# --- the command


def test_the_command_writes_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["--env", "sandbox"])
    assert (done.exit_code, [p.name for p in tmp_path.iterdir()]) == (0, ["shapes.yaml"]), done.output
    assert "Next: look at the file" in done.output
    monkeypatch.setattr(module, "connect", None)  # an existing file is refused before anything is asked
    again = CliRunner().invoke(main, ["--env", "sandbox"])
    assert (again.exit_code, "exists already" in again.output) == (Exit.BAD_INPUT, True)


def test_what_is_refused_makes_the_result_unknown(tmp_path: Path) -> None:
    line = ["--env", "sandbox", "--world", "no_permission", "--out", str(tmp_path / "x.yaml")]
    done = CliRunner().invoke(main, line)
    assert (done.exit_code, "403" in done.output) == (Exit.UNKNOWN, True), done.output
    found = yaml.safe_load((tmp_path / "x.yaml").read_text())["reads"]
    assert {row["read"].rpartition("/")[2] for row in found if row["status"] != 200} == {"jobs", "entries:list"}
