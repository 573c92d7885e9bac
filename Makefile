# make demo | test | lint | bench: each installs what it needs first (virtual environment, pinned packages, system libraries)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
JOBS ?= 2

.PHONY: demo test lint bench system-compiler system-audio system-browser clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo system-audio
	$(BIN)/evalkit generators sample ngram --n 60 --bars 8 --seed 1 --out demo-report/midi-folder
	$(BIN)/evalkit run demo --out demo-report/run --workers $(JOBS) \
		--generators "held-out Bach,es-net,coconet,ngram,shuffled-notes,uniform,copycat,demo-report/midi-folder"
	$(BIN)/evalkit report demo-report/run --out demo-report
	@echo "open demo-report/index.html"

# a process for each core: threads of their own would only get in each other's way
test: $(VENV)/.test system-audio system-browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(VENV)/.test
	@for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) demo-report build dist

# ---- the virtual environment -------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "evalkit needs Python 3.11 or newer; set PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory apt PACKAGES=python3-venv
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python system-compiler
	$(PIP) -e '.[corpora]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python system-compiler
	$(PIP) -e '.[corpora,test,lint]'
	@touch $@ $(VENV)/.demo

# ---- system libraries: what is installed is reused ----------------------------------------------------------------

.PHONY: apt
apt:
	@command -v apt-get >/dev/null || { echo "please install $(PACKAGES) with this system's package manager"; exit 1; }
	$(SUDO) apt-get update -qq
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null

system-compiler: | $(BIN)/python # kenlm comes as source
	@$(BIN)/python -c 'import kenlm' 2>/dev/null \
		|| { command -v g++ >/dev/null && test -f "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h"; } \
		|| $(MAKE) --no-print-directory apt PACKAGES="g++ python3-dev"

system-audio: | $(BIN)/python # without it the report is made, but silent
	@$(BIN)/python -c 'import ctypes.util, sys; sys.exit(not ctypes.util.find_library("fluidsynth"))' \
		|| $(MAKE) --no-print-directory apt PACKAGES=libfluidsynth3 \
		|| echo "no libfluidsynth (Debian: libfluidsynth3, macOS: brew install fluid-synth): going on without audio"

system-browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
		|| $(MAKE) --no-print-directory apt PACKAGES="chromium fonts-dejavu-core" \
		|| echo "no chromium: the browser tests will be skipped"
