"""Facts about the code to deploy (guide: Before Deploying)."""

from __future__ import annotations

import shlex
import subprocess

from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead
from runbook.facts.base import Answer, Ask, Read
from runbook.facts.checkout import source_code
from runbook.model.moment import Moment
from runbook.model.rows import SourceState


def source(folder: str) -> Ask:
    """One row for `safe_to_deploy`: commit, review, tests, digest; no row for "", which keeps the code."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        if not folder:
            return Read("source", "the code does not change", lambda: Answer(()))
        steps = ("git status --porcelain", "MOCK_MODE=1 python -m pytest", "detect-secrets scan")
        line = " && ".join((f"cd {shlex.quote(folder)}", *steps))
        return Read("source", line, lambda: Answer([_row(folder)]))

    return ask


def _row(folder: str) -> SourceState:
    place = source_code.folder_of(folder)
    if not source_code.can_test():
        raise CannotRead("pytest is not installed, so the tests of the source cannot run", "pip install pytest.")
    try:
        found = source_code.inspect_source(place)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode("utf-8", "replace") or str(error)
        raise CannotRead(f"git failed: {said.strip()}", "give the path of a git checkout.") from None
    with source_code.unpacked(found.archive) as code:
        passed, line = source_code.run_tests(code)
        leaks = tuple(source_code.leaks(code))
    return SourceState(
        source=folder,
        commit=found.commit[:12],
        not_committed=found.dirty,
        review=found.review,
        tests=line,
        looks_like_a_secret=leaks,
        digest=found.digest[:12],
        passed=passed,
        whole_digest=found.digest,
    )
