"""What is refused before anything happens, and how it is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from runbook.cloud.target import request_on_target
from runbook.config.load import params_directory
from runbook.config.parameters import declared_parameters, injected
from runbook.config.request import find_runbook, request
from runbook.config.validation import looks_secret
from runbook.model.errors import BadParameter, Broken, RunbookError, UnknownName

DECLARED = """
environment: str = "sandbox"  # params/<environment>.yaml
world: str = ""  # what is true in the sandbox
name: str = "# x"  # any text
count: int = 3  # how many
share: float = 0.5  # of all
force: bool = False  # or not
"""


def notebook(folder: Path, text: str, tags: tuple[str, ...] = ("parameters",), times: int = 1) -> str:
    """A notebook with these parameters; its path."""
    cell = {"cell_type": "code", "metadata": {"tags": tags}, "source": text.strip().splitlines(keepends=True)}
    path = folder / "mine.ipynb"
    path.write_text(json.dumps({"cells": [cell] * times, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return str(path)


def refusal(error: type[RunbookError], path: str, values: dict[str, object]) -> str:
    with pytest.raises(error) as raised:
        request(path, values)
    assert raised.value.next
    return str(raised.value)


GOOD: list[tuple[str, object, object]] = [
    ("name", "", ""),
    ("name", "08", "08"),
    ("name", "1234e567", "1234e567"),
    ("name", "false", "false"),
    ("name", "x = 'y'; {z} ü 値", "x = 'y'; {z} ü 値"),
    ("count", "0", 0),
    ("count", "-12", -12),
    ("count", 7, 7),
    ("share", "1", 1.0),
    ("share", "1e-3", 0.001),
    ("share", ".5", 0.5),
    ("share", 2, 2.0),
    ("force", "false", False),
    ("force", "True", True),
    ("force", "no", False),
    ("force", "1", True),
    ("force", True, True),
]


@pytest.mark.parametrize(("name", "given", "value"), GOOD)
def test_values_become_what_they_say(tmp_path: Path, name: str, given: object, value: object) -> None:
    found = request(notebook(tmp_path, DECLARED), {name: given})
    assert (found.values[name], type(found.values[name])) == (value, type(value))
    assert getattr(found, name) == value


WRONG: list[tuple[str, object]] = [
    ("name", 8),
    ("name", True),
    ("name", None),
    ("count", "08"),
    ("count", "1.0"),
    ("count", "1e3"),
    ("count", "1234e567"),
    ("count", "1_000"),
    ("count", "1٣"),
    ("count", "9" * 20),
    ("count", "9" * 5000),
    ("share", "9" * 5000),
    ("count", " 3"),
    ("count", ""),
    ("count", True),
    ("count", 3.0),
    ("share", "nan"),
    ("share", "inf"),
    ("share", "1234e567"),
    ("share", float("nan")),
    ("share", float("-inf")),
    ("share", "1,5"),
    ("share", False),
    ("force", "2"),
    ("force", "maybe"),
    ("force", ""),
    ("force", None),
    ("force", 0.5),
]


@pytest.mark.parametrize(("name", "given"), WRONG)
def test_a_wrong_type_is_named(tmp_path: Path, name: str, given: object) -> None:
    said = refusal(BadParameter, notebook(tmp_path, DECLARED), {name: given})
    assert said.startswith(f"BadParameter: {name}=")
    assert f"{name}: {type(request(notebook(tmp_path, DECLARED), {}).values[name]).__name__}, " in said


def test_words_for_the_next_step(tmp_path: Path) -> None:
    for name, hint in {
        "count": "give a number such as 3",
        "share": "give a number",
        "force": "give true or false.",
    }.items():
        assert hint in refusal(BadParameter, notebook(tmp_path, DECLARED), {name: "x"})
    assert "quote it in a notebook" in refusal(BadParameter, notebook(tmp_path, DECLARED), {"name": 8})


@pytest.mark.parametrize("value", ["a\nb", "x\x1b[2Ky", "\u202eyako", "a\tb", "\x00", "zero\u200bwidth"])
def test_a_text_must_be_printable(tmp_path: Path, value: str) -> None:
    said = refusal(BadParameter, notebook(tmp_path, DECLARED), {"name": value})
    assert "which is not printable text" in said
    assert value not in said


# Values → error, what the message says.
UNKNOWN: list[tuple[dict[str, object], type[RunbookError], str]] = [
    ({"nmae": "x"}, BadParameter, "did you mean name?"),
    ({"zzz": "x"}, BadParameter, "use one of: environment, world, name, count, share, force."),
    ({"x = 1; y": "1"}, BadParameter, "write -p name=value"),
    ({"": "1"}, BadParameter, "write -p name=value"),
    ({"environment": "sandbx"}, UnknownName, "did you mean sandbox?"),
    ({"environment": "../params/sandbox"}, UnknownName, "unknown environment"),
]


@pytest.mark.parametrize(("values", "error", "said"), UNKNOWN)
def test_what_is_not_there(tmp_path: Path, values: dict[str, object], error: type[RunbookError], said: str) -> None:
    assert said in refusal(error, notebook(tmp_path, DECLARED), values)


def test_a_world_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean many_errors"):
        request_on_target(notebook(tmp_path, DECLARED), {"world": "many_eror"})


def test_a_rehearsal_of_production_has_worlds(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MOCK_MODE", "1")
    shutil.copy(params_directory() / "sandbox.yaml", tmp_path / "rehearsed.yaml")
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path))
    found = request_on_target(notebook(tmp_path, DECLARED), {"environment": "rehearsed", "world": "healthy"})
    assert (found.environment, found.world) == ("rehearsed", "healthy")


def test_runbooks_are_found_by_name_or_path(tmp_path: Path) -> None:
    assert find_runbook("daily_check").name == "daily_check.ipynb"
    assert request(notebook(tmp_path, DECLARED), {}).runbook == "mine"
    for name, hint in {"daily_chek": "did you mean daily_check?", str(tmp_path / "not.ipynb"): "use one of: "}.items():
        with pytest.raises(UnknownName) as raised:
            find_runbook(name)
        assert hint in str(raised.value)


def test_an_attribute_that_is_no_parameter(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="it has environment, world, name"):
        _ = request(notebook(tmp_path, DECLARED), {}).nmae


# None of these is real: each is the shape of a secret.
RANDOM = "Zq3vX8kLw0PbT5nRj7YcD2mHf9GsA4eU"
SECRETS: list[tuple[str, object]] = [
    ("password", "hunter2"),
    ("slack_token", "hunter2"),
    ("apiKey", "hunter2"),
    ("client_secret", "hunter2"),
    ("SECRET_VALUE", "hunter2"),
    ("name", "-----BEGIN " + "PRIVATE KEY-----"),
    ("name", "AIza" + "Sy" + "x" * 33),
    ("name", "ya29." + "a0x"),
    ("name", "GOCSPX-" + "x"),
    ("name", "xoxb-" + "1-2"),
    ("name", "https://hooks.slack.com/services/" + "T0/B0/x"),
    ("name", "ghp_" + "x" * 36),
    ("name", "AKIA" + "A" * 16),
    ("name", "sk-" + "x" * 24),
    ("name", "pat-na1-" + "01234567-89ab"),
    ("name", "eyJhbGciOiJI" + ".eyJzdWIiOiIx" + ".x"),
    ("name", "postgres://me:" + "hunter2@host/db"),
    ("name", RANDOM),
    ("name", f"prefix {RANDOM} suffix"),
    ("name", [RANDOM]),
    ("count", RANDOM.encode()),
]


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_a_secret_is_refused_and_not_repeated(tmp_path: Path, name: str, value: object) -> None:
    more = f'{name}: str = ""\n' * (name not in DECLARED)
    said = refusal(BadParameter, notebook(tmp_path, DECLARED + more), {name: value})
    assert "looks like a secret" in said
    assert str(value) not in said
    assert RANDOM not in said


HARMLESS = [
    "gmail-oauth-token",
    "projects/acme/secrets/salesforce-client-secret/versions/3",
    "7f3a91c0d2e4" * 5,
    "129c87f4b4f90251c188108ea4fcc28e0fc53897",
    "2026-03-11T13:30:00Z",
    "acme-sales-sandbox.sales_intelligence_backup.account_recommendations_20260311",
    "https://us-central1-acme.cloudfunctions.net/gmail-sync",
    "~/src/sales-intelligence/functions/gmail-sync",
]


@pytest.mark.parametrize("value", HARMLESS)
def test_what_is_no_secret(value: str) -> None:
    assert not looks_secret(value)


def test_a_secrets_name_is_no_secret(tmp_path: Path) -> None:
    text = DECLARED + 'secret: str = ""  # which\nsecret_name: str = ""  # which'
    assert request(notebook(tmp_path, text), {"secret": "gmail-oauth-token", "secret_name": "a"}).secret


MISDECLARED = [
    ("", "`environment: str` is missing"),
    ("name: str = 'x'", "`environment: str` is missing"),
    ("environment = 'sandbox'", "line 1 is not like"),
    ("environment: str | None = None", "line 1 is not like"),
    ("environment: str", "line 1 is not like"),
    ("environment: str = 3", "environment says str, its default is int"),
    ("environment: str = 'sandbox'\nshare: float = 1", "line 2: share says float, its default is int"),
    ("environment: str = 'sandbox'\ncount: int = True", "count says int, its default is bool"),
    ("environment: str = print('x')", "malformed node"),
    ("environment: str = 'sandbox'\nimport os", "line 2 is not like"),
    ("environment: str = 'sandbox", "unterminated string"),
    ("environment: int = 3", "environment must be declared as str"),
    ("environment: str = 'sandbox'\nversion: str = 'x'", "version must be declared as int"),
    ("environment: str = 'sandbox'\ntable: int = 3", "table must be declared as str"),
    ("environment: str = 'sandbox'\nat: bool = True", "at must be declared as str"),
    ("environment: str = 'sandbox'\nto: int = 3", "to must be declared as str"),
    ("environment: str = 'sandbox'\nnotify: float = 0.5", "notify must be declared as str"),
]


@pytest.mark.parametrize(("text", "said"), MISDECLARED)
def test_parameters_that_are_not_declared_as_they_must_be(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(Broken, notebook(tmp_path, text), {})


@pytest.mark.parametrize(("tags", "times"), [((), 1), (("parameters",), 2), (("injected-parameters",), 1)])
def test_one_cell_declares(tmp_path: Path, tags: tuple[str, ...], times: int) -> None:
    assert "exactly one code cell" in refusal(Broken, notebook(tmp_path, DECLARED, tags, times), {})


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"cells": 3}', '{"cells": [', "\x00"])
def test_what_is_no_notebook(tmp_path: Path, content: str) -> None:
    (tmp_path / "no.ipynb").write_text(content)
    assert "no.ipynb is not a notebook" in refusal(Broken, str(tmp_path / "no.ipynb"), {})


def test_declarations_are_read_with_their_comments(tmp_path: Path) -> None:
    found = declared_parameters(Path(notebook(tmp_path, DECLARED)))
    assert [(p.name, p.type, p.default, p.comment) for p in found.values()][2:4] == [
        ("name", str, "# x", "any text"),
        ("count", int, 3, "how many"),
    ]


def test_an_own_notebook_may_lack_what_other_runbooks_have(tmp_path: Path) -> None:
    path = notebook(tmp_path, DECLARED + 'notify: str = ""  # whom')
    assert "is sent only for an incident" in refusal(BadParameter, path, {"notify": "on-call"})
    mine = Path(path).rename(tmp_path / "restore.ipynb")
    assert "not from both or neither" in refusal(BadParameter, str(mine), {})


def test_the_names_that_papermill_injected() -> None:
    cells = ["x = 1", '# Parameters\nname = "a"\ncount = 3\n', "# Parameters of mine\ny = 2"]
    assert injected(cells) == {"name", "count"}
