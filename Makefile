# Two commands matter: `make demo` and `make test`. Each makes the environment first if it is not there.
# VENV=path reuses another environment (with torch it is 6 GB), PYTHON=python3.12 picks the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := .stamp-$(subst /,-,$(VENV))

.PHONY: demo lab test lint notebooks test-notebooks experiments address rehearse-colab clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[notebooks,test,sweep]'
	touch $@

demo: $(STAMP)
	$(BIN)/python -m colorlib demo --out runs/demo --overwrite

lab: $(STAMP)
	$(BIN)/python -m jupyter lab --notebook-dir=$(or $(wildcard notebooks),.)

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term:skip-covered
	$(MAKE) test-notebooks

# Every notebook from top to bottom, exercises unsolved; tagged numbers must equal the stored ones.
test-notebooks: $(STAMP)
	rm -rf runs/nbval
	COLORLIB_MODE=quick COLORLIB_RUNS=$(CURDIR)/runs/nbval TQDM_DISABLE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest \
	    --nbval-lax --nbval-current-env --nbval-cell-timeout=300 -n auto --dist loadfile notebooks/*.ipynb

# NB="01 02" builds these alone; run it after every change of notebooks/src.
notebooks: $(STAMP)
	$(BIN)/python notebooks/build.py $(NB)

# NAME=mode_collapse measures that one alone. Rows that are up to date are kept.
experiments: $(STAMP)
	$(BIN)/python -m colorlib.course.experiments $(NAME)

address: $(STAMP)
	$(BIN)/python notebooks/address.py "$(REPO)"

rehearse-colab:
	$(PYTHON) tests/platforms/rehearse_colab.py

clean:
	rm -rf build dist runs *.egg-info .stamp-* .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
