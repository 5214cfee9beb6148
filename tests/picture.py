"""Makes the two pictures of the README: `make picture`. A record of a bad day, and the index over many records."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from random import Random
from unittest.mock import patch

from runbook.audit.site import site
from runbook.config.load import ROOT, load_settings
from tests.chromium import chromium
from tests.runbook.audit.made import NOW, WRONG, made

WIDTH = 1080


def records() -> None:
    """A daily check on most of 120 days, and two incidents, of which one is open."""
    chance = Random(7)
    for day in range(120, 0, -1):
        at = NOW.replace(minute=0, second=0) - timedelta(days=day - 1, hours=1)
        wrong = tuple(check for check in list(WRONG)[:5] if chance.random() < (0.035 if day % 9 else 0.3))
        if day not in (40, 41, 63):  # the scheduler stood still
            made(at, wrong=wrong)
        if day in (44, 43, 3):
            made(
                at + timedelta(hours=1),
                "p1_response",
                () if day == 43 else ("cause",),
                incident=f"INC-{18 if day < 9 else 17}",
            )


def main() -> None:
    """Write docs/record.png and docs/site.png."""
    command = [sys.executable, "-m", "runbook.cli.main"]
    with tempfile.TemporaryDirectory() as place, chromium() as page:
        os.environ |= {"RUNBOOK_RECORDS": f"{place}/one", "RUNBOOK_PERSON": "avery"}
        subprocess.run([*command, "run", "daily_check", "--world", "many_errors"], capture_output=True, check=False)
        said = subprocess.run(
            [*command, "records", "open", "newest"], capture_output=True, text=True, check=True
        ).stdout
        page.width(WIDTH, 900)
        page.go(Path(said.removeprefix("Page: ").strip()).as_uri())
        page.picture(ROOT / "docs" / "record.png", 760)
        os.environ["RUNBOOK_RECORDS"] = f"{place}/many"
        records()
        with patch("runbook.audit.site.record_page", lambda *_: ""):  # only the index is in the picture
            site([load_settings("sandbox")], Path(place, "site"))
        index = Path(place, "site", "index.html")
        index.write_text(index.read_text().replace(place, "/srv/runbooks"))  # no path of this machine in the picture
        page.go(index.as_uri())
        page.picture(
            ROOT / "docs" / "site.png", page.js("document.getElementById('count').getBoundingClientRect().top + 130")
        )


if __name__ == "__main__":
    main()
