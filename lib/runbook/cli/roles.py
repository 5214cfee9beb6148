"""`runbook doctor --roles`: the least-privilege roles for reading and for applying, from the code's own lists.

It prints commands of gcloud for a person to review, and runs nothing. Unconfirmed: that a custom role may have each of
these permissions (https://cloud.google.com/iam/docs/custom-roles-permissions-support); gcloud refuses it otherwise.
"""

from pathlib import Path
from string import Template

from runbook.cloud.guard import QUERY, READS
from runbook.config.schema import Settings
from runbook.model.actions import ACT_AS
from runbook.model.operations import OPERATIONS, needed

READING = {*QUERY, *(read.permission for read in READS)} - {""}
# Of all operations; an applying run also reads. actAs is granted on the functions' accounts only, not on the project.
APPLYING = set().union(*map(needed, OPERATIONS)) - {ACT_AS}
SCRIPT = Path(__file__).with_name("roles.sh").read_text(encoding="utf-8")


def roles(system: Settings) -> str:
    """A script that creates two custom roles and two service accounts, and lets the team impersonate these."""
    values = {"project": system.project, "environment": system.environment}
    for name, key, account in (("reader", "read_as", system.read_as), ("applier", "apply_as", system.apply_as)):
        account = account or f"runbook-{name}@{system.project}.iam.gserviceaccount.com"
        values |= {key: account, name: account.partition("@")[0]}
        values[f"{name}_project"] = account.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
    lists = {"reads": READING, "writes": APPLYING}
    return Template(SCRIPT).substitute(values, **{k: "\n".join(f"- {p}" for p in sorted(v)) for k, v in lists.items()})
