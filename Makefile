# `make` lists the targets. What they need is installed by .ci/bootstrap; everything they leave behind in this folder
# is under .venv/ and build/.

.DEFAULT_GOAL := help
.PHONY: help tune report test test-consumers test-long lint bench completions install uninstall deb clean
MAKEFLAGS += --no-builtin-rules

DIR = .
ARGS =
BENCH = vs_fio
TIER =
WORKERS = 3
PYTHON =
DESTDIR =
PURGE =
export DIR ARGS PYTHON DESTDIR PURGE

# losetup, mkfs and blkid lie in sbin, which is not on everyone's PATH.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
ifndef HOME
export HOME := $(shell getent passwd "$$(id -u)" | cut -d: -f6)
endif

# The pip of Debian 12 and Ubuntu 22.04 builds a package without a wheel (sdnotify) only like this.
export PIP_USE_PEP517 := 1

# Caches stay out of the source folders, and out of build/ if sudo made that.
cache := $(shell if [ -e build ] && [ ! -w build ]; then echo "$$HOME/.cache/aio-tuned"; else echo "$$PWD/build/cache"; fi)
export PYTHONPYCACHEPREFIX := $(cache)/python
export HYPOTHESIS_STORAGE_DIRECTORY := $(cache)/hypothesis
export MYPY_CACHE_DIR := $(cache)/mypy
export RUFF_CACHE_DIR := $(cache)/ruff
unexport PYTHONDONTWRITEBYTECODE

bin = .venv/bin
pytest = $(bin)/python -m pytest -o cache_dir="$(cache)/pytest"
sources = daemon tests .ci/completions.py

help: ## this list
	@awk -F ' *:.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  PYTHON=python3.12 makes .venv with that interpreter. tune and test install what is missing, hence sudo.'

tune: ## sudo make tune [DIR=.] [ARGS="--read-only"]: sweep the filesystem of DIR, print and write its profile
	@sh .ci/bootstrap tune
	@$(bin)/aio-tuned tune $(ARGS) "$$DIR"

report: ## sudo make report [DIR=.]: the last sweep of DIR's drive as a page, build/report.html
	@sh .ci/bootstrap report
	@$(bin)/aio-tuned report "$$DIR" -o build/report.html

test: ## sudo make test [TIER="unit native daemon vm…"] [WORKERS=3]: lint, then all tests but the long ones
	@sh .ci/bootstrap test $(TIER)
	@$(MAKE) --no-print-directory lint
	@$(pytest) -n $(WORKERS) --durations=20 $(addprefix --tier=,$(TIER)) $(ARGS)

test-long: ## sudo make test-long: the tests that take minutes each, which make test leaves out
	@sh .ci/bootstrap test unit daemon vm
	@$(pytest) --long -n 2 --durations=20 --tier=unit --tier=daemon --tier=vm $(ARGS)

test-consumers: ## sudo make test-consumers: exports, against the consumers' own packages (10 GB into build/)
	@sh .ci/bootstrap test consumers
	@$(bin)/python tests/consumers/packages.py
	@$(pytest) --tier=consumers $(ARGS)

lint: ## ruff and mypy
	@sh .ci/bootstrap dev
	@$(bin)/ruff check --quiet $(sources)
	@$(bin)/ruff format --check --quiet $(sources) || { echo 'to format: $(bin)/ruff format $(sources)'; exit 1; }
	@$(bin)/mypy --no-error-summary
	@echo 'lint: clean'

bench: ## sudo make bench [BENCH=vs_fio] [ARGS="--help"]: run a script of tests/bench; figures, never a verdict
	@sh .ci/bootstrap test bench
	@$(bin)/python tests/bench/$(BENCH).py $(ARGS)

completions: ## write etc/completions again, after a change of the command line
	@sh .ci/bootstrap dev
	@$(bin)/python .ci/completions.py

install: ## sudo make install: put aio-tuned into /opt/aio-tuned and run its daemon; again: upgrade
	@sh .ci/install install

uninstall: ## sudo make uninstall [PURGE=1]: take it away; PURGE=1 profiles, state and configuration too
	@sh .ci/install uninstall

deb: ## sudo make deb: build/aio-tuned_VERSION_ARCH.deb for this Debian or Ubuntu
	@sh .ci/bootstrap deb
	@package=$$(sh .deb/build) && lintian --allow-root --fail-on error $$package && echo $$package

clean: ## remove .venv, build and dist
	rm -rf .venv build dist
