"""What several plans need: one row of a fact, the flags of every gcloud line, and a run of a function."""

from __future__ import annotations

from runbook.errors import Refused
from runbook.plan import Change
from runbook.rows import Fact, Row
from runbook.settings import Settings


def rows_of(fact: Fact, name: str) -> tuple[Row, ...]:
    """The rows of a fact that was seen whole. Raises Refused where it was not: nothing can be planned on that."""
    why = [*(f"{n} does not exist" for n in fact.absent), *(f"{g.subject}: {g.why}" for g in fact.gaps)]
    if why:
        raise Refused(f"nothing can be planned for {name}", "; ".join(why), next="mend that, run again.")
    return fact.rows


def row_of(fact: Fact, name: str) -> Row:
    """The first row of a fact that was seen whole and is not empty. Raises Refused."""
    for row in rows_of(fact, name):
        return row
    raise Refused(f"nothing can be planned for {name}", f"{fact.name}: nothing there", next="mend that, run again.")


def names_of(text: str) -> list[str]:
    """Names that are written with commas, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def flags(settings: Settings) -> str:
    """Where the system is, as gcloud wants it."""
    return f"--region={settings.region} --project={settings.project}"


def run_once(function: str, settings: Settings) -> Change:
    """One run of a function, as the scheduler starts it: its own identity, its own arguments, no token of ours."""
    line = f"gcloud scheduler jobs run {function} --location={settings.region} --project={settings.project}"
    undo = "none: what a run has written stays written"
    return Change(
        "run once", function, "as it is", "one more run, ended with success", undo, line, {"function": function}
    )
