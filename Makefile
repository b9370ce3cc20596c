# Three commands matter: `make demo`, `make check` and `make test`. Each first makes the environment if it is missing.
# VENV=path reuses another environment (with torch it is 6 GB), PYTHON=python3.12 picks the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := .stamp-$(subst /,-,$(VENV))

.PHONY: demo lab check test lint fast-tests notebooks test-notebooks experiments address handout kaggle rehearse site app weights results bench gpu torture clean
.DEFAULT_GOAL := demo
# Python stores the compiled test modules even if the shell forbids it. Compiling them again takes half a minute.
unexport PYTHONDONTWRITEBYTECODE

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[notebooks,test,sweep]'
	touch $@

demo: $(STAMP)
	$(BIN)/python -m colorlib demo --out runs/demo --overwrite

lab: $(STAMP)
	$(BIN)/python -m jupyter lab --notebook-dir=$(or $(wildcard notebooks),.)

# What to run before each commit, in at most two minutes on two cores: style, types, layers and the fast tests.
check: $(STAMP)
	$(MAKE) --no-print-directory -j2 lint fast-tests

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m mypy

# COVERAGE=1 also says which lines of colorlib these tests reach, and fails below 75 %. It makes them a third slower.
fast-tests: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:nbval -n auto --dist worksteal -m "not slow" --durations=5 \
	    $(if $(COVERAGE),--cov --cov-fail-under=75 --cov-report=term:skip-covered) $(TESTS)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term:skip-covered \
	    --durations=20 --durations-min=2
	$(MAKE) test-notebooks

# Every notebook from top to bottom, together with its checks and with unsolved exercises. The numbers in cells tagged
# nbval-check-output must equal the stored ones.
test-notebooks: $(STAMP)
	rm -rf runs/nbval notebooks/.checks
	$(BIN)/python notebooks/build.py --checks notebooks/.checks
	COLORLIB_MODE=quick COLORLIB_RUNS=$(CURDIR)/runs/nbval TQDM_DISABLE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest \
	    --nbval-lax --nbval-current-env --nbval-cell-timeout=300 -n auto --dist loadfile notebooks/.checks/*.ipynb

# Run it after every change of notebooks/src. NB="01 02" builds these alone. SOLUTIONS=folder builds the solved notebooks
# into that folder instead, and changes nothing else.
notebooks: $(STAMP)
	$(BIN)/python notebooks/build.py $(NB) $(if $(SOLUTIONS),--solutions "$(SOLUTIONS)")

# Measures the rows of experiments/*.csv that are missing or stale; NAME=mode_collapse measures that table alone.
experiments: $(STAMP)
	$(BIN)/python -m experiments $(NAME)

address: $(STAMP)
	$(BIN)/python notebooks/address.py "$(REPO)"

# A zip for students in dist/, without solutions; WITH=--with-solutions leaves them in.
handout: $(STAMP)
	$(BIN)/python tools/handout.py $(WITH)

# Folders for Kaggle's own tool in dist/kaggle. USER must be given: the shell has a variable of that name.
kaggle: $(STAMP)
	$(BIN)/python tools/kaggle.py "$(if $(filter command,$(origin USER)),$(USER))"

# ENV=colab tries that one alone, NB="02 13" these notebooks. Continues where it stopped; tests/platforms/results.md.
rehearse: $(STAMP)
	$(BIN)/python tools/rehearse.py $(NB) $(if $(ENV),--only $(ENV))

# The website in site/_build/html, from the stored notebooks; works offline, warnings are errors.
site: $(STAMP)
	$(BIN)/python site/build.py

# The page that colours photographs in the browser, in site/app/dist; needs node and npm.
app: $(STAMP)
	$(BIN)/python site/app/export_pipeline.py
	cd site/app && npm ci && npm run build

# Train the weights that ship, from nothing, on the photographs of PHOTOS=folder; hours. Goes on where it stopped.
weights: $(STAMP)
	$(BIN)/python tools/weights.py "$(PHOTOS)"

# Measure these weights on the test photographs in PHOTOS=folder: README's table, and experiments/shipped_weights.
results: $(STAMP)
	$(BIN)/python tools/results.py "$(PHOTOS)"

# Speed and memory on this CPU beside code in the textbook manner, in at most 15 minutes; keep the machine idle.
# PARTS="step data" measures these alone, PHOTOS=folder takes photographs from there. Tables; benchmarks/results/*.json.
bench: $(STAMP)
	$(BIN)/python -m benchmarks $(PARTS) $(if $(PHOTOS),--photos "$(PHOTOS)")

# All that a CUDA GPU is needed for, in at most 9 minutes. Installs nothing: with .venv, or else PYTHON as it is.
gpu:
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks --device cuda $(PARTS) $(if $(PHOTOS),--photos "$(PHOTOS)")

# Runs that are killed, disks that are full, files that are broken, in at most 30 minutes; tests/torture/results.md.
torture: $(STAMP)
	OMP_NUM_THREADS=1 TQDM_DISABLE=1 $(BIN)/python tests/torture/run.py

clean:
	rm -rf build dist runs site/_build *.egg-info .stamp-* .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
