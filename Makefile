# `make run` starts the main job, `make test` runs the tests, `make check` lints, checks types and layering, `make docs`
# makes the documentation's site.
# Each makes .venv and installs what it needs. `make run ARGS="log30 --no-ui --iterations 200"` passes arguments on.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?= log30
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

SUPPLY := .venv-supply
AUDIT ?=

# Apart from .venv, for the site is made of the sources alone: neither needs the other's packages.
DOCS := .venv-docs
MKDOCS := NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs

.PHONY: run digits test integrations fuzz soak check docs docs-serve audit sbom clean

run: $(VENV)/installed
	@$(BIN)/l2o-tui run $(ARGS)

# From nothing to a trained optimizer that is judged beside tuned rivals, in minutes, on digits that scikit-learn carries.
digits: $(VENV)/installed-digits
	@$(BIN)/l2o-tui run dm_digits --no-ui --run-dir runs/digits-$$(date +%Y%m%d-%H%M%S)
	@$(BIN)/l2o-tui evaluate last --draws 20

test: $(VENV)/installed-dev
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# Trained optimizers inside Lightning and Hugging Face's accelerate, which this installs.
integrations: $(VENV)/installed-dev
	@$(PIP) -e '.[integrations]'
	@$(BIN)/python -m pytest tests/engine/torch_optim/test_integrations.py $(PYTEST_ARGS)

# The tests that hypothesis finds examples for, with more of them, and others every time.
fuzz: $(VENV)/installed-dev
	@L2O_HYPOTHESIS=fuzz $(BIN)/python -m pytest -m 'hypothesis and not soak' --timeout=3600 $(PYTEST_ARGS)

# What takes minutes: hundreds of kills, bad disks, a million inputs. `L2O_SOAK_MINUTES=60 make soak` does more of it.
# It writes docs/reliability.md.
soak: $(VENV)/installed-dev
	@rm -rf .pytest_cache/soak
	@$(BIN)/python -m pytest -m soak --dist=load --timeout=3600 $(PYTEST_ARGS); code=$$?; $(BIN)/python -m tests.reliability.page; exit $$code

check: $(VENV)/installed-dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# A page that is nowhere in the site, and a link that leads nowhere, are errors; with --quiet they would not be.
docs: $(DOCS)/installed
	@$(MKDOCS) build --strict
	@echo "site/index.html"

docs-serve: $(DOCS)/installed
	@$(MKDOCS) serve

# Known vulnerabilities of what constraints.txt pins. --strict: a package that nothing is known of is no good news.
audit: $(SUPPLY)/installed
	@$(SUPPLY)/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt $(AUDIT)

# A bill of materials of what the program is installed with.
sbom: $(VENV)/installed $(SUPPLY)/installed
	@mkdir -p dist
	@$(SUPPLY)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
		-o dist/l2o-tui.cdx.json $(BIN)/python
	@echo "dist/l2o-tui.cdx.json"

clean:
	rm -rf $(VENV) $(SUPPLY) $(DOCS) site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "l2o-tui needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV)

$(SUPPLY)/installed: pyproject.toml constraints.txt
	@echo "installing pip-audit and cyclonedx-bom into $(SUPPLY) (once)" >&2
	@$(PYTHON) -m venv $(SUPPLY)
	@$(SUPPLY)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt cyclonedx-bom pip-audit
	@touch $@

$(DOCS)/installed: pyproject.toml constraints.txt
	@echo "installing mkdocs into $(DOCS) (once)" >&2
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt mkdocs-material 'mkdocstrings[python]' ruff
	@touch $@

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing l2o-tui into $(VENV) (once; PyTorch is large)" >&2
	@$(PIP) -e .
	@touch $@

$(VENV)/installed-digits: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing l2o-tui and scikit-learn into $(VENV) (once; PyTorch is large)" >&2
	@$(PIP) -e '.[digits]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing l2o-tui and its development tools into $(VENV) (once)" >&2
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/installed
