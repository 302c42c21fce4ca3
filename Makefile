# make help lists the targets. Everything runs in .venv, which setup makes from the lock file.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
# nproc alone counts the threads that OpenMP may use, not the cores
JOBS ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: setup repro study paper test check soak dag ui report clean help

setup: .venv/ready  ## make the virtual environment from requirements.lock
.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv
	@pip install --quiet --disable-pip-version-check -r requirements.lock
	@pip install --quiet --disable-pip-version-check --no-deps --editable .
	@mkdir -p mlruns && python -m mlflow db upgrade sqlite:///mlruns/mlflow.db 2> .venv/mlflow.log || { cat .venv/mlflow.log; exit 1; }
	@touch $@

repro: setup  ## run the whole course on embedded data, and write the report
	@unroll repro --jobs $(JOBS)
	@echo "The report: outputs/report/index.html    The runs: make ui"

study: setup  ## try every window length of each cell, at every distance of the recall corpus
	@unroll tune study=reach --workers $(JOBS)
	@echo "The page is named above.    The runs: make ui"

paper: setup  ## run the paper tables on public corpora (UNROLL_MIRROR: a folder or URL that has them)
	@unroll repro paper/dvc.yaml
	@echo "The report: paper/outputs/report/index.html"

test: setup  ## run the default tests
	@python -m pytest -n $(JOBS) --dist loadgroup -q

check: setup  ## lint, format, types
	@ruff check . && ruff format --check . && mypy

soak: setup  ## kill runs 25 times at random, and compare their results with those of uninterrupted runs
	@python benchmarks/soak.py

dag: setup  ## print the stages of the course by chapter
	@unroll course --graph

ui: setup  ## serve the runs in MLflow's UI on localhost
	@unroll ui

report: setup  ## write the report again from finished runs
	@unroll repro --force report
	@echo outputs/report/index.html

clean: setup  ## delete caches and ad-hoc runs after confirmation (unroll clean lists what else takes disk space)
	@unroll clean caches adhoc

help:  ## show this list
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
