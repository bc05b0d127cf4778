# `make` lists the targets. .ci/bootstrap installs what they need. In this folder they write only to .venv/, build/ and dist/.

.DEFAULT_GOAL := help
.PHONY: help tune report test test-consumers test-long lint bench completions install uninstall deb wheel platforms clean
MAKEFLAGS += --no-builtin-rules

DIR = .
ARGS =
BENCH = vs_fio
TIER =
PLATFORMS =
WORKERS = 3
GUEST =
PYTHON =
DESTDIR =
PURGE =
FLEET =
export DIR ARGS PYTHON DESTDIR PURGE FLEET
export VMRIG_SUITE = $(GUEST)

# losetup, mkfs and blkid are in sbin, which is not on every user's PATH.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
ifndef HOME
export HOME := $(shell getent passwd "$$(id -u)" | cut -d: -f6)
endif

# The pip of Debian 12 and Ubuntu 22.04 needs this to build a package without a wheel (sdnotify).
export PIP_USE_PEP517 := 1

# Caches stay out of the source folders, and out of build/ if root owns it.
cache := $(shell if [ -e build ] && [ ! -w build ]; then echo "$$HOME/.cache/aio-tuned"; else echo "$$PWD/build/cache"; fi)
export PYTHONPYCACHEPREFIX := $(cache)/python
export HYPOTHESIS_STORAGE_DIRECTORY := $(cache)/hypothesis
export MYPY_CACHE_DIR := $(cache)/mypy
export RUFF_CACHE_DIR := $(cache)/ruff
unexport PYTHONDONTWRITEBYTECODE

bin = .venv/bin
pytest = $(bin)/python -m pytest -o cache_dir="$(cache)/pytest"
sources = daemon tests native/build_backend.py .ci/completions.py

help: ## print this list
	@awk -F ' *:.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  PYTHON=python3.12 selects the interpreter of .venv. Use sudo, since targets install packages.'

tune: ## sudo make tune [DIR=.] [ARGS="--read-only"]: measure the drive of DIR, print and write its profile
	@sh .ci/bootstrap tune
	@$(bin)/aio-tuned tune $(ARGS) "$$DIR"

report: ## sudo make report [DIR=.]: write the last sweep of DIR's drive as a page, build/report.html
	@sh .ci/bootstrap report
	@$(bin)/aio-tuned report "$$DIR" -o build/report.html

test: ## sudo make test [TIER="unit native daemon fleet vm…"] [WORKERS=3] [GUEST=trixie]: run lint and all but the long tests
	@sh .ci/bootstrap test $(TIER)
	@$(MAKE) --no-print-directory lint
	@$(pytest) -n $(WORKERS) --durations=20 $(addprefix --tier=,$(TIER)) $(ARGS)

test-long: ## sudo make test-long: run the tests that take minutes each
	@sh .ci/bootstrap test unit daemon fleet vm long
	@$(pytest) --long -n 2 --durations=20 --tier=unit --tier=daemon --tier=fleet --tier=vm $(ARGS)
	@$(MAKE) --no-print-directory test TIER=vm GUEST=trixie WORKERS=2

test-consumers: ## sudo make test-consumers: test exports with the consumers' own packages (11 GB in build/)
	@sh .ci/bootstrap test consumers
	@$(bin)/python tests/consumers/packages.py
	@$(pytest) --tier=consumers $(ARGS)

lint: ## run ruff and mypy
	@sh .ci/bootstrap dev
	@$(bin)/ruff check --quiet $(sources)
	@$(bin)/ruff format --check --quiet $(sources) || { echo 'to format: $(bin)/ruff format $(sources)'; exit 1; }
	@$(bin)/mypy --no-error-summary
	@echo 'lint: clean'

bench: ## sudo make bench [BENCH=vs_fio] [ARGS="--help"]: run a script of tests/bench, which prints figures
	@sh .ci/bootstrap test bench
	@$(bin)/python tests/bench/$(BENCH).py $(ARGS)

completions: ## write etc/completions after a change of the command line
	@sh .ci/bootstrap dev
	@$(bin)/python .ci/completions.py

install: ## sudo make install [FLEET=1]: install or upgrade aio-tuned and start its daemon; FLEET=1: for a fleet, too
	@sh .ci/install install

uninstall: ## sudo make uninstall [PURGE=1]: remove aio-tuned; PURGE=1: also profiles, state and configuration
	@sh .ci/install uninstall

deb: ## sudo make deb: build the package build/aio-tuned_VERSION_ARCH.deb for this Debian or Ubuntu
	@sh .ci/bootstrap deb
	@package=$$(sh .deb/build) && lintian --allow-root --fail-on error $$package && echo $$package

wheel: ## make wheel: build wheels for x86-64 and aarch64 in dist/, which install without a compiler
	@sh .ci/wheel

platforms: ## sudo make platforms [PLATFORMS="debian-13 ubuntu-24.04…"]: try these commands in bare roots (an hour)
	@sh .ci/platforms $(PLATFORMS)

clean: ## remove .venv, build and dist
	rm -rf .venv build dist
