# Development commands. Works with GNU make 3.81 (macOS) and newer.

SHELL := /bin/sh
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate

# Processes that start in dozens, in the tests and in `make run`, read compiled code.
unexport PYTHONDONTWRITEBYTECODE

# As many workers as cores: each has an application, a Valkey and a database of its own.
TEST = CHROMIUM="$$($(FIND_CHROMIUM))"; export CHROMIUM; exec $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help run test test-deep test-quick test-features coverage chaos check smoke sbom format bench permissions snapshot screenshots lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

run: .venv/for-run ## Serve http://localhost:8000 with a worker and Valkey; Ctrl-C stops all
	@exec $(BIN)/python run.py

test: .venv/for-test ## Run the everyday tests: SQLite, and PostgreSQL where it matters, Valkey, a browser (ARGS= goes to pytest)
	@$(TEST) -m "not deep" $(ARGS)

test-deep: .venv/for-test tests/npm/node_modules/.package-lock.json ## Run what `make test` leaves out: the other database, every page at every size, the long faults
	@$(TEST) -m deep $(ARGS)

test-quick: .venv/for-test ## Run the everyday tests without browser, processes and PostgreSQL: one or two minutes
	@$(TEST) -m "not deep and not slow and not browser and not postgresql" $(ARGS)

test-features: .venv/for-test ## Delete each feature in a copy of the tree, and run the quick tests there (ARGS="imports oauth")
	@exec $(BIN)/python -m tests.support.without $(ARGS)

coverage: .venv/for-test ## Run all tests and measure the coverage of app/, which must be 95 % (on Python 3.14: COVERAGE_CORE=sysmon)
	@rm -f .coverage .coverage.*; $(TEST) --cov --cov-report=term $(ARGS)

chaos: .venv/for-test ## Kill and freeze all parts at random for minutes, then check (ARGS="--minutes 3 --database both")
	@exec $(BIN)/python -m tests.faults.chaos $(ARGS)

check: .venv/for-test ## Check format, lint, types, import contracts, pins and known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python .ci/check_pins.py
	@$(AUDIT)

smoke: ## Ask a running site whether it serves as it should (URL=https://accounts.example.com, ARGS="--wait 60")
	@exec $(PYTHON) ops/smoke.py $(ARGS) $(URL)

sbom: .venv/for-test ## Print what is installed in production, as CycloneDX JSON
	@exec $(BIN)/python .ci/sbom.py

format: .venv/for-test ## Format the code and apply automatic lint fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: .venv/for-run ## Benchmark against bare Flask (ARGS= goes to the benchmark)
	@exec $(BIN)/python -m bench $(ARGS)

permissions: .venv/for-test ## Write docs/permissions.md anew: every route against every kind of visitor
	@exec $(BIN)/python -m pytest -q tests/integration/test_permissions.py -k every_visitor --write-documents

snapshot: .venv/for-test ## Write tests/snapshot.txt anew: all that databases, programs and scripts of others rely on
	@exec $(BIN)/python -m tests.support.snapshot

screenshots: .venv/for-test ## Retake the screenshots of README.md
	@CHROMIUM="$$($(FIND_CHROMIUM))"; export CHROMIUM; PYTHONPATH=. exec $(BIN)/python docs/screenshots.py

lock: .venv/place ## Pin the dependencies of pyproject.toml; UPGRADE=1 upgrades all
	@test -x $(BIN)/uv || $(PIP) install --quiet uv
	$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --output-file requirements.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) --group dev --constraints requirements.txt pyproject.toml --output-file requirements-dev.txt

# ── the virtual environment: created if it is missing or was moved, updated when the pins change ──

# The environment's scripts contain its path, so a moved or incomplete one is created again.
PLACED := $(shell test -x $(BIN)/python && cat .venv/place 2>/dev/null)
ENVIRONMENT_IS_STALE := $(if $(PLACED),$(if $(subst $(shell pwd -P),,$(PLACED)),make-environment),make-environment)
.PHONY: make-environment

# The pins are complete, extras included, so nothing is left to resolve (`make check` verifies).
.venv/for-run: requirements.txt $(ENVIRONMENT_IS_STALE)
	@echo "Installing what Gatehouse needs into .venv ..."
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements.txt
	@touch $@

.venv/for-test: requirements-dev.txt requirements.txt $(ENVIRONMENT_IS_STALE)
	@echo "Installing what Gatehouse and its tests need into .venv ..."
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements-dev.txt
	@touch .venv/for-run $@

.venv/place: $(ENVIRONMENT_IS_STALE)

# Without npm its tests are skipped, or fail in CI.
tests/npm/node_modules/.package-lock.json: tests/npm/package-lock.json
	@command -v npm >/dev/null || exit 0; \
	npm ci --prefix tests/npm --ignore-scripts --no-audit --no-fund --silent && touch $@

make-environment:
	@test -n "$(PYTHON)" || { echo "Gatehouse needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@if test -e .venv/place || ! $(PIP) --version >/dev/null 2>&1; then "$(PYTHON)" -m venv --clear .venv; fi
	@pwd -P >.venv/place

# ── longer recipes ──────────────────────────────────────────────────────────────────────────────────────

# Prints the path of a Chromium, or nothing. A CI machine with apt first installs Debian's, and the servers that the tests
# put in front of ours (RUNLEVEL keeps them from being started).
define FIND_CHROMIUM
find_chromium() { \
	for browser in "$$CHROMIUM" /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome \
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" /Applications/Chromium.app/Contents/MacOS/Chromium; do \
		if test -n "$$browser" && test -x "$$browser"; then echo "$$browser"; return; fi; \
	done; return 1; \
}; \
if test -n "$$CI" && test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
	missing=""; \
	find_chromium >/dev/null || missing="chromium fonts-dejavu-core"; \
	test -x /usr/sbin/nginx || missing="$$missing nginx-light"; \
	test -x /usr/sbin/pgbouncer || missing="$$missing pgbouncer"; \
	test -z "$$missing" || { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq -y --no-install-recommends $$missing; } >&2; \
fi; \
find_chromium
endef

# If the service cannot be reached, or does not know Flask, nothing was audited.
define AUDIT
found=$$($(BIN)/pip-audit --require-hashes --disable-pip --progress-spinner off --requirement requirements.txt 2>&1); result=$$?; \
case "$$found" in \
	*"audited: flask ("*|*ConnectionError*|*ConnectTimeout*|*ReadTimeout*) \
		echo "dependency audit skipped: no vulnerability service reachable" ;; \
	*) echo "$$found"; exit $$result ;; \
esac
endef
