"""Configuration of a run: the settings of an environment (params/*.yaml) and the parameters of a request.

In: YAML, a notebook's declared parameters, values as typed. Out: `Settings` and `Request`, validated completely before
the first request to a cloud. Start with schema.py, which documents every key of params, then request.py.
"""

from runbook.config.load import RUNBOOKS, load_settings
from runbook.config.request import Request
from runbook.config.schema import Function, Settings
from runbook.config.validation import checked_incident, names_of
