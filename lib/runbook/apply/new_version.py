"""Which new versions of secrets a plan must still add: one that is there already, as after an interruption, needs no
value.
"""

from collections.abc import Iterable, Iterator

from runbook.apply.actions import ACTIONS
from runbook.cloud.client import Cloud
from runbook.cloud.failures import gap
from runbook.model.plan import Change


def to_add(cloud: Cloud, changes: Iterable[Change]) -> Iterator[Change]:
    """The changes whose version is not there, or cannot be seen."""
    for change in changes:
        if change.args.needs_secret and not _is_there(cloud, change):
            yield change


def _is_there(cloud: Cloud, change: Change) -> bool:
    try:
        return ACTIONS[change.action].observe(cloud, change).state == "new"
    except Exception as error:
        if gap(error, change.resource) is None:
            raise
        return False
