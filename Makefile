# Everything this project can do. Needs make, python >= 3.11 and a package index; `make help` lists the targets.

VENV   := .venv
BIN    := $(VENV)/bin
# The interpreter of the virtual environment: the first of these that is new enough, or PYTHON=... .
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11 python,\
            $(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))

LISTEN ?= 127.0.0.1:50051
STORE  ?= sqlite:///lockstitch.db
ARGS   ?=
IMAGE  ?= lockstitch
ENGINE ?= $(firstword $(foreach e,docker podman buildah,$(shell command -v $(e) 2>/dev/null)))

LABELS = --label org.opencontainers.image.version=$(shell python3 scripts/version.py) \
         --label org.opencontainers.image.revision=$(shell git rev-parse HEAD)

TYPESCRIPT := client/typescript
JAVA := client/java
MVN  := --batch-mode --quiet

export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help

##@ Use

.PHONY: run
run: $(VENV)/.run ## Serve on 127.0.0.1:50051 with SQLite (LISTEN=, STORE=, ARGS=)
	$(BIN)/lockstitch serve --listen $(LISTEN) --store $(STORE) $(ARGS)

.PHONY: demo
demo: $(VENV)/.run ## Kill a workflow half-way, see another runner finish it
	$(BIN)/python examples/resume/demo.py $(ARGS)

.PHONY: bench
bench: $(VENV)/.bench ## Measure everything beside its peers, and write docs/benchmarks.md (ARGS="--quick save")
	$(BIN)/python -m benchmarks --write docs $(ARGS)

.PHONY: image
image: ## Build the container image (IMAGE=, ENGINE=docker|podman|buildah, PLATFORM=linux/arm64)
	@test -n "$(ENGINE)" || { echo "Building an image needs docker, podman or buildah, and there is none." >&2; exit 1; }
	$(ENGINE) build $(if $(PLATFORM),--platform $(PLATFORM)) $(LABELS) --tag $(IMAGE) .

##@ Check

# Test processes side by side, one more than processors (tests/conftest.py); the tests of one file share a process. Files
# begin in the order of their paths: pytest-xdist would begin those with few tests last, and these take the longest. Tests
# that build with toolchains run after all others, since a build uses all processors by itself.
PARALLEL   := --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
TOOLCHAINS := tests/polyglot tests/client_rust
QUICK      := tests/core tests/conformance/test_sqlite_raw.py \
              tests/server/test_layers.py tests/packaging/test_lock_files.py

.PHONY: quick
quick: $(VENV)/.dev ## Run the tests of the core, and those of all stores on SQLite: a minute at most (ARGS="-k name")
	$(BIN)/pytest $(PARALLEL) -m "not slow" $(ARGS) $(QUICK)

.PHONY: test
test: $(VENV)/.dev ## Run the tests but the slow ones, real Postgres included: some minutes (ARGS="-k name")
	$(BIN)/pytest $(PARALLEL) -m "not slow" $(ARGS)

.PHONY: test-all
test-all: $(VENV)/.dev ## Run every test (ARGS="-k name")
	$(BIN)/pytest $(PARALLEL) $(addprefix --ignore=,$(TOOLCHAINS)) $(ARGS) $(OR_STEADY)
	$(BIN)/pytest $(PARALLEL) $(TOOLCHAINS) $(ARGS) $(OR_STEADY)

.PHONY: polyglot
polyglot: $(VENV)/.dev ## Run the scenarios that all clients share, in every language (ARGS="-k go")
	$(BIN)/pytest tests/polyglot $(ARGS)

.PHONY: go
go: $(VENV)/.dev ## The Go client: style, generated code, tests, tour
	scripts/go.sh lint
	scripts/go.sh drift
	$(BIN)/pytest tests/polyglot -k "test_go or go-" $(ARGS)

.PHONY: rust
rust: $(VENV)/.dev ## The Rust client: style, generated code, tests, package, guide, weavegraph
	scripts/rust.sh lint
	scripts/rust.sh drift
	$(BIN)/pytest tests/client_rust tests/polyglot -k rust $(ARGS)

# In CI a test that fails by chance does not decide: it must pass three times by itself, and is named at the end.
.PHONY: ci
ci: export LOCKSTITCH_REQUIRE_ALL := 1
ci: OR_STEADY = || { [ "$$?" = 1 ] && $(BIN)/python scripts/steady.py; }
ci: OR_STEADY_FILES = || npm run --silent test:steady
ci: $(VENV)/.bench $(VENV)/.deploy $(VENV)/.docs $(VENV)/.release lint types drift breaking test-all typescript java ## What CI runs: all checks and tests; a missing tool is a failure

.PHONY: lint
lint: $(VENV)/.dev ## Style of Python, protobuf, Go, Rust, the Dockerfile and pages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/python scripts/check_prose.py
	$(BIN)/hadolint Dockerfile
	$(BIN)/zizmor --offline --quiet .github/workflows
	scripts/go.sh lint
	scripts/rust.sh lint

.PHONY: types
types: $(VENV)/.dev ## Types (mypy --strict)
	$(BIN)/mypy

.PHONY: drift
drift: $(VENV)/.generate ## Does the committed generated code match proto/?
	scripts/check_drift.sh
	scripts/go.sh drift
	scripts/rust.sh drift

.PHONY: breaking
breaking: $(VENV)/.dev ## Does proto/ break what the last commit on main promised? (BREAKING_AGAINST=ref)
	scripts/check_breaking.sh $(BREAKING_AGAINST)

.PHONY: typescript
typescript: $(VENV)/.dev $(TYPESCRIPT)/node_modules/.package-lock.json ## The TypeScript client: style, types, generated code, tests, package
	cd $(TYPESCRIPT) && npm run --silent lint && npm run --silent drift && { npm run --silent test $(OR_STEADY_FILES); }

.PHONY: typescript-generate
typescript-generate: $(VENV)/.dev $(TYPESCRIPT)/node_modules/.package-lock.json
	cd $(TYPESCRIPT) && npm run --silent generate

.PHONY: typescript-build
typescript-build: $(TYPESCRIPT)/node_modules/.package-lock.json
	cd $(TYPESCRIPT) && npm run --silent build:test

$(TYPESCRIPT)/node_modules/.package-lock.json: $(TYPESCRIPT)/package-lock.json $(TYPESCRIPT)/package.json
	cd $(TYPESCRIPT) && npm ci --silent --prefer-offline
	touch $@

.PHONY: java
java: $(VENV)/.dev ## The Java client: style, tests, package
	cd $(JAVA) && mvn $(MVN) verify dependency:copy-dependencies

.PHONY: java-build
java-build:
	cd $(JAVA) && mvn $(MVN) -DskipTests package dependency:copy-dependencies

##@ Change

.PHONY: generate
generate: $(VENV)/.generate ## Generate the code of all clients and of the server from proto/
	scripts/generate.sh
	scripts/go.sh generate
	scripts/rust.sh generate
	@if command -v npm >/dev/null; then $(MAKE) --silent typescript-generate; \
	  else echo "There is no npm: the TypeScript client is left out." >&2; fi

.PHONY: format
format: $(VENV)/.dev ## Format Python and protobuf
	$(BIN)/ruff format
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/buf format --write

# uv resolves for every platform and python version at once. Versions and hashes only, no URL: the index stays the
# reader's own choice. UPGRADE=--upgrade takes the newest versions.
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links $(UPGRADE)
# Its wheels have 180 MB, nearly all of it a command line that tests do not need.
NO_CLAUDE_CLI = --no-binary claude-agent-sdk --emit-build-options

# Every extra but that of Google ADK, which needs older releases of packages that we use.
DEV_EXTRAS = $(shell sed -n '/^.project.optional-dep/,/^.dependency-groups/s/^\([a-z-]*\) = .*/--extra \1/p' pyproject.toml | grep -v google-adk)

.PHONY: lock
lock: $(VENV)/.python ## Write the lock files from pyproject.toml (UPGRADE=--upgrade)
	test -x $(BIN)/uv || $(BIN)/python $(INSTALL) uv
	$(LOCK) pyproject.toml --extra server --extra postgres --extra otel --extra ui --extra http --output-file requirements.lock
	$(LOCK) $(NO_CLAUDE_CLI) pyproject.toml $(DEV_EXTRAS) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(LOCK) --group build --constraint requirements-dev.lock --output-file requirements-build.lock
	$(LOCK) --group bench --constraint requirements-dev.lock --output-file requirements-bench.lock
	$(LOCK) --group deploy --constraint requirements-dev.lock --output-file requirements-deploy.lock
	$(LOCK) --group release --constraint requirements-dev.lock --output-file requirements-release.lock
	$(LOCK) --group docs --constraint requirements-dev.lock --output-file requirements-docs.lock
	$(LOCK) --group generate --output-file requirements-generate.lock
	$(LOCK) pyproject.toml --group frameworks --output-file requirements-frameworks.lock
	$(LOCK) $(NO_CLAUDE_CLI) pyproject.toml --group frameworks-oldest --output-file requirements-frameworks-oldest.lock

.PHONY: docs
docs: $(VENV)/.docs ## Build the documentation site into dist/site: strict, no dead link
	$(BIN)/mkdocs build --quiet

.PHONY: docs-serve
docs-serve: $(VENV)/.docs ## Serve the documentation site while you write
	$(BIN)/mkdocs serve

.PHONY: release
release: $(VENV)/.release $(VENV)/.deploy ## Build and check all that a release publishes, and publish nothing (ARGS="python chart")
	$(BIN)/python -m scripts.release $(ARGS)

.PHONY: version
version: $(VENV)/.python ## Show the version of everything, or write another one (VERSION=0.2.0)
	$(BIN)/python scripts/version.py $(VERSION)

.PHONY: screenshots
screenshots: $(VENV)/.dev ## Write the pictures of the session explorer into docs/images (needs chromium)
	$(BIN)/python -m scripts.screenshots

.PHONY: clean
clean: ## Remove the virtual environment, caches and build output
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The virtual environment. One file in it per stage that is done: python is there; what serving needs is installed;
# what developing needs is installed (the same versions, and more); what the benchmarks need, and the tests of deploy/; the code
# generator's own environment is there.

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Lockstitch needs python 3.11 or newer, and finds none. Install one, or: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is older than python 3.11")'
	$(PYTHON) -m venv $(VENV)
	touch $@

INSTALL = -m pip --disable-pip-version-check install --quiet

$(VENV)/.run: $(VENV)/.python pyproject.toml requirements.lock requirements-build.lock
	$(BIN)/python $(INSTALL) --require-hashes -r requirements.lock -r requirements-build.lock
	$(BIN)/python $(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(BIN)/python $(INSTALL) --require-hashes -r requirements-dev.lock
	touch $@

$(VENV)/.bench: $(VENV)/.dev requirements-bench.lock
	$(BIN)/python $(INSTALL) --require-hashes -r requirements-bench.lock
	touch $@

$(VENV)/.deploy: $(VENV)/.dev requirements-deploy.lock
	$(BIN)/python $(INSTALL) --require-hashes -r requirements-deploy.lock
	touch $@

$(VENV)/.docs: $(VENV)/.dev requirements-docs.lock
	$(BIN)/python $(INSTALL) --require-hashes -r requirements-docs.lock
	touch $@

$(VENV)/.release: $(VENV)/.dev requirements-release.lock
	$(BIN)/python $(INSTALL) --require-hashes -r requirements-release.lock
	touch $@

$(VENV)/.generate: $(VENV)/.dev requirements-generate.lock
	$(BIN)/python -m venv $(VENV)/generate
	$(VENV)/generate/bin/python $(INSTALL) --require-hashes -r requirements-generate.lock
	touch $@
