"""The pages of the project: each command in them exists, each link leads somewhere, and none is long.

A line of `runbook` is parsed by the command line itself, with the parameters that its notebook declares; a line of gcloud
by the real gcloud.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gcp_sandbox.world.schema import shipped
from runbook.cli.main import main
from runbook.config.load import RUNBOOKS
from runbook.config.parameters import declared_parameters
from runbook.model.errors import UnknownName

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("params/**/*.md")])
LINES = {"README.md": 100}  # of the others at most MOST; CONTRIBUTING and CHANGELOG are no pages of docs/
MOST = 150
LONG = {"CONTRIBUTING.md", "CHANGELOG.md"}


def commands(page: Path) -> Iterator[str]:
    """The commands of a page: indented lines, one command each, without comments, variables and loops around them."""
    for line in re.findall(r"(?m)^(?: {4}|\t)+(\S.*)$", page.read_text(encoding="utf-8")):
        for part in re.split(r"; do |; | \| | && ", re.sub(r"(^|\s)#\s.*$", "", line)):
            yield re.sub(r"^(?:[A-Z_]+=\S* )*(?:\.venv/bin/)?", "", part.strip())


def lines(page: Path, program: str) -> list[str]:
    return [line for line in commands(page) if line.split(" ")[0] == program]


def filled(line: str) -> str:
    """A line with the variables of the drill, and without what the shell takes for itself."""
    known = {"$SA": "a@p.iam.gserviceaccount.com", "$P": "acme-trial", "$R": "us-central1", "$F": "runbook-drill"}
    line = re.sub(r"\$\([^)]*\)", "https://x.example", re.sub(r" > \S+$", "", line))
    return re.sub(r"\$[A-Z]+|\$how", lambda name: known.get(name[0], "x"), line.replace("<the older revision>", "x"))


def wrong(line: str) -> str:
    """Why the command line would refuse these words; "" if it would take them."""
    _, *words = shlex.split(re.sub(r"[<>]\s*\S+$", "", line))
    try:
        with main.make_context("runbook", words) as context:
            name, command, rest = main.resolve_command(context, words)
            if "--help" in rest or not command:
                return ""
            given = command.make_context(name, rest, parent=context).params
    except click.UsageError as error:
        return "" if "does not exist" in error.message else error.message  # a file that the reader is to have
    except UnknownName as error:
        return "" if "environment" in error.what else str(error)  # one that the reader is to make
    if (world := given.get("world")) and "/" not in world and world not in shipped():
        return f"no world {world}"
    if name == "run":
        known = declared_parameters(RUNBOOKS / f"{given['name']}.ipynb")
        return "; ".join(f"no parameter {p}" for p in given["given"] if p.partition("=")[0] not in known)
    return ""


def test_there_are_commands() -> None:
    assert sum(len(lines(page, "runbook")) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page(page: Path) -> None:
    assert [f"{line}: {why}" for line in lines(page, "runbook") if (why := wrong(line))] == []
    targets = re.findall(r"(?m)^([a-z-]+):.*##", (ROOT / "Makefile").read_text())
    made = [word for line in lines(page, "make") for word in line.split()[1:] if "=" not in word]
    assert set(made) <= set(targets)
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
    length = len(page.read_text(encoding="utf-8").splitlines())
    assert page.name in LONG or length <= LINES.get(page.name, MOST)


def test_a_line_that_is_wrong_is_found() -> None:
    assert "no such option" in wrong("runbook list --nope").lower()
    assert "no parameter nope=1" in wrong("runbook run retry -p nope=1")
    assert "no world nope" in wrong("runbook run retry --world nope")


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed")
def test_gcloud_knows_the_lines_of_the_pages(tmp_path: Path) -> None:
    tried = [*dict.fromkeys(filled(line) for page in PAGES for line in lines(page, "gcloud"))]
    file = tmp_path / "lines.json"
    file.write_text(
        json.dumps([{"command_string": line, "id": n} for n, line in enumerate([*tried, "gcloud run nope"])])
    )
    given = {"CLOUDSDK_CONFIG": str(tmp_path), "PATH": "/usr/bin:/bin"} | {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    lint = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}"]
    done = subprocess.run([shutil.which("gcloud"), *lint[1:]], capture_output=True, text=True, env=given)
    judged = json.loads(done.stdout)
    assert [row["command_string"] for row in judged if not row["success"]] == ["gcloud run nope"]
    assert len(judged) == len(tried) + 1
