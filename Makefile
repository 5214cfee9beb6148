# Every target makes the environment that it needs if it is missing; a second call finds it there.
PYTHON ?= python3
RUNBOOK ?= daily_check
ENV ?= sandbox
WORLD ?=
INCIDENT ?=
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

PYTEST := $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run list test test-full test-machines test-airflow test-lab lint fix lab picture bench clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/.run  ## run a runbook: make run RUNBOOK=daily_check ENV=sandbox WORLD=many_errors
	@$(BIN)/runbook run $(RUNBOOK) --env $(ENV) $(if $(WORLD),--world $(WORLD))

list: .venv/.run  ## list the runbooks, their safety class and what they can change
	@$(BIN)/runbook list

test: .venv/.dev lint  ## lint, and every test; of the widest tests a fixed slice (about 3 minutes on 2 cores)
	$(PYTEST)

test-full: .venv/.dev lint  ## lint, and every test with all of its cases (about 20 minutes on 2 cores)
	$(PYTEST) -m 'not machines'

test-machines: .venv/.dev  ## two machines on one store, stopped at every boundary, and every fault of the store (about 7 minutes)
	$(PYTEST) -m machines

test-airflow: .venv/.dev  ## schedules/airflow_dag.py in a real Airflow, in an environment of its own (minutes, once)
	@test -x .venv/airflow/bin/airflow || { $(PYTHON) -m venv .venv/airflow && .venv/airflow/bin/pip install --quiet 'apache-airflow==3.1.*'; }
	PATH="$(CURDIR)/$(BIN):$$PATH" .venv/airflow/bin/python tests/airflow/check.py

lint: .venv/.dev  ## ruff: lint and format, without changing anything
	$(BIN)/ruff check
	$(BIN)/ruff format --check

fix: .venv/.dev  ## format, and execute the notebooks again in the sandbox
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet
	$(BIN)/python -m tests.golden

lab: .venv/.lab  ## a runbook in JupyterLab: make lab RUNBOOK=p1_response WORLD=p1_timeout INCIDENT=INC-7
	@$(BIN)/runbook lab $(RUNBOOK) --env $(ENV) $(if $(WORLD),--world $(WORLD)) $(if $(INCIDENT),--incident $(INCIDENT))

picture: .venv/.dev  ## make the two pictures of the README again (needs Chromium)
	$(BIN)/python -m tests.picture

test-lab: .venv/.lab .venv/.dev  ## run all cells of a runbook in JupyterLab, in a real browser (needs Chromium)
	$(PYTEST) -m full tests/test_lab.py

bench: .venv/.dev  ## time the daily check against the guide's health script (needs gcloud and bq)
	$(BIN)/python -P tests/bench.py

clean:  ## remove the environment (records stay)
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Next: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "Making the environment in .venv (a minute, once) …"
	@$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	@$(INSTALL) '.[sandbox]'
	@touch $@

.venv/.dev: .venv/.run
	@$(INSTALL) '.[sandbox,dev]'
	@touch $@

.venv/.lab: .venv/.run
	@$(INSTALL) '.[sandbox,lab]'
	@touch $@
