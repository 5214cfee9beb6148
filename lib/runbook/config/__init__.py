"""Configuration of a run: the settings of an environment (params/*.yaml) and the parameters of a request.

In: YAML, a notebook's declared parameters, values as typed. Out: `Settings` and `Request`, validated completely before
the first request to a cloud. Start with schema.py, which documents every key of params (thresholds.py: those of its
thresholds), then request.py.

What is offered here needs pydantic, so the command line imports it only when it is needed.
"""

from runbook.config.load import ROOT, RUNBOOKS, environments, load_settings, params_directory, records_variable
from runbook.config.parameters import cell_source, declared_parameters, injected, load_notebook, steps
from runbook.config.request import Request, find_runbook
from runbook.config.schema import Function, Settings, address_variable
from runbook.config.secret_scan import Scan, secrets_in
from runbook.config.validation import checked_incident, names_of
