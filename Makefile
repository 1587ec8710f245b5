# The everyday commands. Each one sets up .venv by itself; `make help` lists them.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
WORKERS ?= 2
NB ?= *
BIN := .venv/bin
READY := .venv/.installed
# One thread a process is never far from the fastest; two processes side by side pay on a busy machine, two threads on an idle one.
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test browser execute prepare clean export readme format style docs dist
.DEFAULT_GOAL := help

help:      ## this list
	@grep -hE '^[a-z]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 12

setup: $(READY)  ## the virtual environment .venv, at the versions of constraints.txt

$(READY): settings.ini setup.py constraints.txt
	@"$(or $(PYTHON),python3)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "sae_lit needs Python 3.11 or newer; '$(or $(PYTHON),python3)' is $$("$(or $(PYTHON),python3)" --version 2>&1 || true)."; \
	  echo "Install one (on Debian or Ubuntu: apt install python3 python3-venv), or name one: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12"; exit 1; }
	@echo "Setting up .venv: about 6 GB and a few minutes, once"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

demo: $(READY)  ## train SAE-12 within five minutes, and make a folder to look at
	$(BIN)/sae-lit demo

test: $(READY)  ## every notebook and everything in tests/
	MPLBACKEND=agg $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations 15 tests

# Debian's packages; elsewhere install Chromium or Chrome by hand, or set CHROMIUM. It never fails: tests that find no browser are skipped and say so.
browser:   ## where apt-get may: Chromium, for tests/test_browser.py
	@for name in "$$CHROMIUM" chromium chromium-browser google-chrome; do command -v "$$name" >/dev/null && exit 0; done; { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && export DEBIAN_FRONTEND=noninteractive \
	  && timeout 300 sh -c 'apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core' >/dev/null; } \
	|| echo "No Chromium could be installed: the browser tests will be skipped"

# Kernels draw inline pictures only where MPLBACKEND is unset. NB=03_twins runs one notebook, NB='0*' the data room.
execute: $(READY)  ## run notebooks and keep their outputs (NB=03_twins runs one)
	cd nbs && ls $(NB).ipynb | grep -v '^_' | xargs -n 1 -P 2 env -u MPLBACKEND -u IN_TEST \
	  ../$(BIN)/jupyter-nbconvert --to notebook --execute --inplace --log-level WARN

prepare: $(READY)  ## before a commit: lay out, export, execute (NB=03_twins), clean, README
	$(MAKE) format
	$(MAKE) export
	$(MAKE) execute
	$(MAKE) clean
	$(MAKE) export
	$(MAKE) readme

clean: $(READY)  ## take from the notebooks what changes from run to run
	$(BIN)/python tools/clean.py

export: $(READY)  ## write sae_lit/ from the notebooks
	$(BIN)/nbdev_export

readme: $(READY)  ## write README.md from nbs/index.ipynb
	$(BIN)/python tools/readme.py

format: $(READY)  ## lay out notebooks, tests and tools with ruff, and mend what it can
	$(BIN)/ruff format . sae_lit/__init__.py sae_lit/*/__init__.py
	$(BIN)/ruff check --fix .

style: $(READY)  ## a table of the notebooks: cells, lines a cell, checks, size, and what breaks the rules
	$(BIN)/python tools/style.py

docs: $(READY)  ## the documentation site, in _docs/: notebooks and a reference, links checked
	$(BIN)/python tools/docs.py

dist: $(READY)  ## wheel and source archive, in dist/
	rm -rf build dist
	$(BIN)/python -m build --no-isolation
