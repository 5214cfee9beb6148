"""The former place of `runbook.data_file`, which modules that are frozen still name."""

from runbook.data_file import *  # noqa: F403
