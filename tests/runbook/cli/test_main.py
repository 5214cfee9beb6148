"""The command line, as people type it: what it prints, and how it ends when it is used wrongly."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import pytest
import yaml
from click.testing import CliRunner, Result

from runbook.cli.lab import working_copies
from runbook.cli.main import main
from runbook.config.load import ROOT, RUNBOOKS, load_settings
from runbook.config.parameters import cell_source, declared_parameters, load_notebook
from runbook.model.errors import Exit
from tests.slices import first, first_of_each

SANDBOX = ROOT / "params/sandbox.yaml"
Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A function `cli(line, **environment)`; records go to a folder of the test's own."""

    def run(line: str, **environment: str) -> Result:
        env = {"RUNBOOK_RECORDS": str(tmp_path / "records"), **environment}
        return CliRunner().invoke(main, line.split(), env=env)

    return run


def params(folder: Path, environment: str = "sandbox", text: str = "", **keys: object) -> dict[str, str]:
    """A params folder with one file: the sandbox's with other keys, or any text."""
    folder.mkdir(exist_ok=True)
    good = yaml.safe_load(SANDBOX.read_text()) | keys
    (folder / f"{environment}.yaml").write_text(text or yaml.safe_dump(good))
    return {"RUNBOOK_PARAMS": str(folder)}


def no_google(folder: Path) -> dict[str, str]:
    return {"NO_GCE_CHECK": "true", "HOME": str(folder), "CLOUDSDK_CONFIG": str(folder), "GOOGLE_CLOUD_PROJECT": ""}


# What is wrong: (command line, environment from a folder, words that the message must have, exit code).
BAD = {
    "unknown runbook": ("run daily_chek", lambda p: {}, "did you mean daily_check?", Exit.BAD_INPUT),
    "unknown environment": ("run daily_check --env prod", lambda p: {}, "did you mean production?", Exit.BAD_INPUT),
    "unknown world": ("run daily_check --world helthy", lambda p: {}, "did you mean healthy?", Exit.BAD_INPUT),
    "unknown parameter": ("run daily_check -p as_off=1", lambda p: {}, "did you mean as_of?", Exit.BAD_INPUT),
    "no =": ("run daily_check -p as_of", lambda p: {}, "use -p name=value", Exit.BAD_INPUT),
    "given twice": ("run daily_check -p as_of=1 -p as_of=2", lambda p: {}, "given twice", Exit.BAD_INPUT),
    "no such moment": ("run daily_check -p as_of=soon", lambda p: {}, "as_of", Exit.BAD_INPUT),
    "secret": ("run daily_check -p token=abc", lambda p: {}, "looks like a secret", Exit.BAD_INPUT),
    "no params": ("run daily_check", lambda p: {"RUNBOOK_PARAMS": str(p)}, "unknown environment", Exit.BAD_INPUT),
    "params is a folder": (
        "run daily_check",
        lambda p: (p / "sandbox.yaml").mkdir() or {"RUNBOOK_PARAMS": str(p)},
        "cannot be read",
        Exit.BAD_INPUT,
    ),
    "malformed yaml": ("run daily_check", lambda p: params(p, text="a: [1"), "is not valid YAML", Exit.BAD_INPUT),
    "unknown key": ("run daily_check", lambda p: params(p, regoin="x"), "Did you mean region?", Exit.BAD_INPUT),
    "SQL in the project": ("run daily_check", lambda p: params(p, project="x`; DROP"), "project", Exit.BAD_INPUT),
    "placeholders": ("run daily_check --env production", lambda p: {}, "<your project id>", Exit.BAD_INPUT),
    "no credentials": (
        "run daily_check --env live",
        lambda p: params(p, "live") | no_google(p),
        "gcloud auth application-default login",
        Exit.BAD_INPUT,
    ),
    "a world on Google": (
        "run daily_check --env live --world no_etl",
        lambda p: params(p, "live"),
        "only the sandbox has worlds",
        Exit.BAD_INPUT,
    ),
    "dead endpoint": (
        "run daily_check",
        lambda p: {"RUNBOOK_SANDBOX": "http://127.0.0.1:1"},
        "start it with `runbook sandbox`",
        Exit.BROKEN,
    ),
    "records in a file": (
        "run daily_check",
        lambda p: ((p / "file").write_text("") and {}) or {"RUNBOOK_RECORDS": str(p / "file" / "x")},
        "set RUNBOOK_RECORDS to another directory",
        Exit.BROKEN,
    ),
    "port taken": ("sandbox --port {port}", lambda p: {}, "another --port", Exit.BROKEN),
    "doctor without credentials": (
        "doctor --env live",
        lambda p: params(p, "live") | no_google(p),
        "gcloud auth application-default login",
        Exit.BAD_INPUT,
    ),
}


@pytest.mark.parametrize(("line", "environment", "words", "code"), BAD.values(), ids=BAD)
def test_bad_input(
    cli: Cli, tmp_path: Path, line: str, environment: Callable[[Path], dict[str, str]], words: str, code: Exit
) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    done = cli(line.format(port=taken.getsockname()[1]), **environment(tmp_path))
    assert done.exit_code == code, done.output
    said = done.output
    assert words in said
    assert "Next: " in said
    assert "Traceback" not in said
    for marker in (tmp_path / "records").rglob("record.json"):
        record = json.loads(marker.read_text())
        assert (record["status"], record["verdict"]) == ("failed", None)
        assert record["exit"] == code
    assert all((p.parent / "record.json").exists() for p in (tmp_path / "records").rglob("*.ipynb"))


def test_a_healthy_run(cli: Cli, tmp_path: Path) -> None:
    done = cli("run daily_check")
    assert done.exit_code == 0, done.output
    assert "OK: all checks passed" in done.output
    (record,) = (tmp_path / "records/rehearsal/sandbox/runs").iterdir()
    assert f"Record: {record}/daily_check.ipynb" in done.output
    assert {p.name for p in record.iterdir()} == {"daily_check.ipynb", "journal.jsonl", "record.json", "report.json"}


def test_mock_mode_rehearses_another_environment(cli: Cli, tmp_path: Path) -> None:
    here = params(tmp_path, "live", project="acme-sales-live")
    done = cli("run daily_check --env live --world no_etl", MOCK_MODE="1", **here)
    assert done.exit_code == Exit.ALERT, done.output
    assert done.output.startswith("SANDBOX, acme-sales-live")


@pytest.mark.parametrize("address", ["gs:/b/x", "gs://b", "s3://b/x", "S3+a.b-c://x"])
@pytest.mark.parametrize(
    "line",
    [
        "run daily_check",
        "approve 123456789abc --role team-lead --reason x",
        "apply 123456789abc",
        "incident INC-1",
        "doctor",
        "seal runbooks/daily_check.ipynb",
        "lab",
    ],
)
def test_records_are_kept_in_a_directory(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, address: str
) -> None:
    monkeypatch.setattr("runbook.runner.execute.Kernel", None)  # the refusal comes before a kernel starts
    monkeypatch.setattr("runbook.cli.lab.find_spec", lambda name: name)
    monkeypatch.setattr(os, "execv", None)
    monkeypatch.setattr("runbook.records.record.ROOT", tmp_path)
    (tmp_path / "runbooks").mkdir()
    copyfile(RUNBOOKS / "daily_check.ipynb", tmp_path / "runbooks/daily_check.ipynb")
    monkeypatch.chdir(tmp_path)
    done = cli(line, RUNBOOK_RECORDS=address, RUNBOOK_PARAMS=str(SANDBOX.parent))
    assert done.exit_code == Exit.BAD_INPUT, done.output
    assert f"RUNBOOK_RECORDS={address}" in done.output
    assert "Next: set it to the path of a directory" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["runbooks"]


def test_the_sample_code_is_refused_outside_the_sandbox(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.runner.execute.Kernel", None)  # the refusal comes before a kernel starts
    done = cli("run deploy --env live -p source=sample", **params(tmp_path, "live"))
    assert done.exit_code == Exit.BAD_INPUT, done.output
    assert "source=sample is not allowed with --env live" in done.output
    assert "Next: set source to the path of the function's git checkout" in done.output
    assert not (tmp_path / "records").exists()


def test_as_of_leaves_gaps(cli: Cli, tmp_path: Path) -> None:
    done = cli("run daily_check -p as_of=2026-03-10T09:00")
    assert done.exit_code == Exit.UNKNOWN, done.output
    assert "Cloud Functions has no history" in done.output
    assert re.search(r"(?m)^ok: ETL runs today,", done.output)
    assert "2026-03-10T14:00 UTC" in done.output


def test_list_tells_what_each_can_change(cli: Cli) -> None:
    done = cli("list")
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines[2:]] == sorted(p.stem for p in RUNBOOKS.glob("*.ipynb"))
    assert "?" not in done.output.replace("right?", "")


@pytest.mark.parametrize(
    ("world", "code", "words"),
    [("healthy", 0, "writable"), ("no_permission", 0, "ask Security team for roles/logging.viewer")],
)
def test_doctor(cli: Cli, world: str, code: int, words: str) -> None:
    done = cli(f"doctor --world {world}")
    assert done.exit_code == code, done.output
    assert words in done.output


@pytest.mark.parametrize(
    ("background", "number"),
    first_of_each(lambda case: case[0], [(False, signal.SIGINT), (True, signal.SIGTERM), (False, signal.SIGTERM)]),
)
def test_sandbox_serves_until_it_is_stopped(background: bool, number: int) -> None:
    """A process inherits what its starter ignores; a shell ignores SIGINT for what it starts in the background."""
    words = [sys.executable, "-m", "runbook.cli.main", "sandbox", "--world", "no_etl"]
    given = partial(signal.signal, signal.SIGINT, signal.SIG_IGN if background else signal.SIG_DFL)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=given) as process:
        assert process.stdout
        lines = iter(process.stdout.readline, "")
        exports = {}
        for line in lines:
            if line.startswith("#"):
                break
            key, _, value = line.removeprefix("export ").strip().partition("=")
            exports[key] = value
        about = json.load(urlopen(exports["RUNBOOK_SANDBOX"]))
        assert about["project"] == "acme-sales-sandbox"
        assert exports["CLOUDSDK_CORE_PROJECT"] == about["project"]
        try:
            if background:
                process.send_signal(signal.SIGINT)
                assert json.load(urlopen(exports["RUNBOOK_SANDBOX"])) == about
            process.send_signal(number)
            assert process.wait(20) == 0
            assert not Path(exports["BIGQUERYRC"]).exists()
        finally:
            process.kill()


def test_the_run_of_a_served_sandbox(cli: Cli, tmp_path: Path) -> None:
    import gcp_sandbox
    from gcp_sandbox.serve import serve

    system = load_settings("sandbox")
    with serve(gcp_sandbox.app(system.inventory(), "no_etl")) as served:
        assert cli("run daily_check", RUNBOOK_SANDBOX=served.url).exit_code == Exit.ALERT
        refused = cli("run daily_check --world healthy", RUNBOOK_SANDBOX=served.url)
        assert refused.exit_code == Exit.BAD_INPUT
        assert "already has its own world" in refused.output
        other = params(tmp_path, "live", project="acme-sales-live") | {"MOCK_MODE": "1"}
        refused = cli("run daily_check --env live", RUNBOOK_SANDBOX=served.url, **other)
        assert refused.exit_code == Exit.BAD_INPUT
        assert "serves another system" in refused.output


NAMELESS = "import pwd\ndef none(uid): raise KeyError(f'getpwuid(): uid not found: {uid}')\npwd.getpwuid = none\n"


WAYS = [("patched", ""), ("another user", ""), ("another user", "/")]


@pytest.mark.parametrize(("way", "home"), first(WAYS))
def test_a_user_without_a_name_or_a_home(tmp_path: Path, way: str, home: str) -> None:
    """As in a container that runs as a number: no name is found for it, or root really becomes user 12345."""
    if way == "another user" and os.geteuid():
        pytest.skip("only root can become another user")
    with TemporaryDirectory(dir="/tmp") as open_to_all:
        Path(open_to_all).chmod(0o777)
        env = {"PATH": os.environ["PATH"], "RUNBOOK_RECORDS": open_to_all} | ({"HOME": home} if home else {})
        words, uid = [sys.executable, "-P", "-m", "runbook.cli.main"], os.getuid()
        if way == "patched":
            (tmp_path / "sitecustomize.py").write_text(NAMELESS)
            env["PYTHONPATH"] = str(tmp_path)
        else:  # it may read everything, because Python itself may lie in root's home
            uid, reads = 12345, [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
            words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *reads, *words]
        for name in ("daily_check", "rollback") if way != "patched" else ("rollback",):
            done = subprocess.run([*words, "run", name], env=env, capture_output=True, text=True, timeout=100)
            assert (done.returncode, done.stderr) == (0, "")
            (folder,) = Path(open_to_all, "rehearsal/sandbox/runs").glob(f"*-{name}-*")
            assert json.loads((folder / "record.json").read_text())["who"].startswith(f"{uid}@")
        assert json.loads((folder / "plan.json").read_text())["terms"]["requester"] == str(uid)
        done = subprocess.run([*words, "doctor"], env=env, capture_output=True, text=True, timeout=100)
        assert (done.returncode, done.stderr) == (0, "")
        assert ("No user exists for uid 12345" in done.stdout) == (way == "another user")


def test_working_copies_are_empty_and_default_to_their_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    monkeypatch.setattr("runbook.cli.lab.find_spec", lambda name: name)
    for key, value in params(tmp_path, "live").items():
        monkeypatch.setenv(key, value)
    folder = working_copies("live", incident="INC-7", world="")
    committed = sorted(RUNBOOKS.glob("*.ipynb"))
    assert [p.name for p in sorted(folder.iterdir())] == [p.name for p in committed]
    for path in committed:
        copy = load_notebook(folder / path.name)
        declared = declared_parameters(folder / path.name)
        assert (declared["environment"].default, declared["incident"].default) == ("live", "INC-7")
        assert not [c for c in copy["cells"] if c["cell_type"] == "code" and (c["outputs"] or c["execution_count"])]
        same = [cell_source(c) for c in load_notebook(path)["cells"]]
        assert sum(a != cell_source(c) for a, c in zip(same, copy["cells"], strict=True)) == 1


def test_lab_opens_the_runbook_itself_as_root_too(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr("runbook.cli.lab.find_spec", lambda name: name)
    monkeypatch.setattr(os, "execv", lambda _program, words: begun.append(words))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    done = cli("lab p1_response --world p1_timeout --incident INC-7", RUNBOOK_RECORDS=str(tmp_path))
    assert done.exit_code == 0, done.output
    assert begun[0][-2:] == ["--LabApp.default_url=/lab/tree/p1_response.ipynb", "--allow-root"]
    folder = Path(done.output.partition(": ")[2].strip())
    declared = declared_parameters(folder / "p1_response.ipynb")
    assert (declared["world"].default, declared["incident"].default) == ("p1_timeout", "INC-7")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli("lab nothing", RUNBOOK_RECORDS=str(tmp_path)).exit_code == Exit.BAD_INPUT
    cli("lab", RUNBOOK_RECORDS=str(tmp_path))
    assert begun[1][-1] == "--LabApp.default_url=/lab/tree/daily_check.ipynb"


def test_lab_without_jupyterlab(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook.cli.lab.find_spec", lambda name: None)
    done = cli("lab")
    assert done.exit_code == Exit.BAD_INPUT
    assert "make lab" in done.output


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_is_on_a_page_and_explains_itself(cli: Cli, command: str) -> None:
    assert any(f"runbook {command}" in page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert cli(f"{command} --help").exit_code == 0
    assert main.commands[command].help


def test_a_change_planned_approved_applied_refused_and_failed(cli: Cli, tmp_path: Path) -> None:
    world = tmp_path / "denied.yaml"
    world.write_text("like: healthy\nabout: Nobody may pause.\nfaults: [{route: 'POST .*:pause', status: 403}]\n")
    plans = []
    for given, code, result in (("", Exit.OK, "applied"), (f" --world {world}", Exit.ALERT, "failed")):
        planned = cli(f"run scheduler{given}", RUNBOOK_PERSON="casey")
        assert (planned.exit_code, "Planned: nothing was changed" in planned.output) == (Exit.OK, True), planned.output
        plan = re.findall(r"runbook apply ([0-9a-f]{12})", planned.output)[0]
        nobody = cli(f"approve {plan} --role team-lead --reason agreed", RUNBOOK_PERSON="avery")
        assert (nobody.exit_code, "add --yes" in nobody.output) == (Exit.REFUSED, True), nobody.output
        shown = cli(f"approve {plan} --role team-lead --reason agreed --yes", RUNBOOK_PERSON="avery")
        assert "Signed by avery as team-lead" in shown.output, shown.output
        applied = cli(f"apply {plan}", RUNBOOK_PERSON="casey")
        assert (applied.exit_code, f"{result.capitalize()}: " in applied.output) == (code, True), applied.output
        record = Path(re.findall(r"(?m)^Record: (.+)$", applied.output)[0])
        told = json.loads((record.parent / "report.json").read_text())["outcome"]
        assert (told["result"], told["approvals"][0]["approver"]) == (result, "avery")
        assert told["planned_in"] == Path(re.findall(r"(?m)^Record: (.+)$", planned.output)[0]).parent.name
        assert told["planned_in"] in record.read_text()
        plans.append(plan)
    assert f"runbook apply {plans[1]}" in applied.output  # what was refused can be tried again; what is done cannot:
    refused = cli(f"apply {plans[0]}", RUNBOOK_PERSON="casey")
    assert (refused.exit_code, "was already applied" in refused.output) == (Exit.REFUSED, True), refused.output
