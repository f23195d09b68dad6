# demo and test do all their own set-up: Python >= 3.11, make and git are all a machine needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# What is shipped. mypy sees it as each system does, with a cache each: one would throw away the other's.
PACKAGES = core plugins thunderbird_profile_tool

.PHONY: demo test check bench clean

demo: $(VENV)/installed
	$(BIN)/archipec demo $(if $(DIR),"$(DIR)")

test: $(VENV)/developing
	sh tests/support/install-servers.sh
	$(BIN)/python -Im pytest -n auto --dist loadfile

check: $(VENV)/developing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 $(PACKAGES)
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin $(PACKAGES)
	$(BIN)/python -Im pytest -q tests/test_architecture.py

bench: $(VENV)/developing
	sh tests/support/install-servers.sh
	$(BIN)/python benchmarks/run.py $(BENCH)
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/index.py
	$(BIN)/python benchmarks/rem.py
	$(BIN)/python benchmarks/prune.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/day.py
	$(BIN)/python benchmarks/view.py

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV) || (echo "python3 -m venv is missing: on Debian, apt-get install python3-venv" >&2; exit 1)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable '.[view]'
	touch $@

$(VENV)/developing: $(VENV)/installed .ci/constraints.txt
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable '.[all]' --group dev
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
