# make lab         JupyterLab on your own copy of the lessons (make lab LAB_ARGS=--no-browser on a server)
# make test-fast   ruff and the unit tests, in at most 90 seconds on two quiet cores
# make test        ruff and every test, the committed notebooks included, in two processes (WORKERS=4 for more)
# make test-all    and the matrices that rarely fail, and the lessons once more by nbval
# make notebooks   run the lessons and store their outputs (LESSONS="00 05" for some)
# make site        the lessons as a static site in site/, whose explorers run in the browser (needs node)
# make site-serve  the site at http://localhost:8000 (PORT=8001 for another)
# make test-web    every test of the site, in at most five minutes (needs node and Chromium)
# make test-gpu    what needs a CUDA device
# make clean       remove the environment; your copies in learn/ stay
#
# TORCH=cpu takes PyTorch's smaller build for Linux without a GPU, from PyTorch's own index.

VENV ?= .venv
READY := $(VENV)/.installed
RUN := $(VENV)/bin/python
LAB_ARGS ?=
PYTEST_ARGS ?=
WORKERS ?= 2
PORT ?= 8000
SITE_READY := web/node_modules/.package-lock.json
# Files that start a browser, a notebook or several processes, or take more than 20 seconds: left out by make test-fast.
SLOWER := lessons choice_of_models classifiers clip distributed edit_scores exercise_engine exercises fused growing kills notebooks \
          onnx publish style_analysis styleclip training training_reports web zoo_formats
PIP_EXTRA := $(if $(filter cpu,$(TORCH)),--extra-index-url https://download.pytorch.org/whl/cpu,)

.PHONY: lab lint test-fast test test-all notebooks test-gpu test-web site site-serve install clean

lab: $(READY)
	$(RUN) notebooks/learn.py
	$(RUN) -m jupyterlab --LabApp.default_url=/lab/tree/learn/00_start_here.ipynb $(LAB_ARGS)

lint: $(READY)
	$(RUN) -m ruff check

test-fast: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -p no:nbval tests -n $(WORKERS) --dist loadfile $(SLOWER:%=--ignore=tests/test_%.py) --ignore=tests/gpu \
	  $(PYTEST_ARGS)

test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -p no:nbval -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-all: $(READY)
	$(MAKE) test PYTEST_ARGS='-m "not web" $(PYTEST_ARGS)'
	$(RUN) -m pytest --nbval --nbval-current-env --nbval-cell-timeout=120 notebooks

notebooks: $(READY)
	$(RUN) notebooks/build.py $(LESSONS)

site: $(READY) $(SITE_READY)
	$(RUN) web/build.py

site-serve: site
	@echo "http://localhost:$(PORT)  (Ctrl-C ends it)"
	@$(RUN) -m http.server $(PORT) --bind 127.0.0.1 --directory site 2>/dev/null

test-web: $(READY) $(SITE_READY)
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests/test_web.py -m "web or not web" $(PYTEST_ARGS)

$(SITE_READY): web/package-lock.json
	npm ci --prefix web --ignore-scripts --no-audit --no-fund
	@touch $@

test-gpu: $(READY)
	$(RUN) -m pytest tests/gpu $(PYTEST_ARGS)

install: $(READY)

$(RUN):
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    $$python -c 'import ensurepip, venv' 2>/dev/null || { \
	      echo "$$python has no venv module. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }; \
	    echo "Creating $(VENV) with $$($$python --version)"; $$python -m venv $(VENV); exit $$?; \
	  fi; \
	done; echo "The course needs Python 3.11 or newer. Install it, or say where it is: make lab PYTHON=/path/to/python3"; exit 1

$(READY): requirements.txt pyproject.toml | $(RUN)
	$(RUN) -m pip install --disable-pip-version-check $(PIP_EXTRA) -r requirements.txt
	$(RUN) -m pip install --disable-pip-version-check --no-deps -e .
	@touch $@

clean:
	rm -rf $(VENV)
