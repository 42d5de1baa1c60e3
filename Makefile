# Needs make and Python 3.11 or newer; everything else is fetched by uv or pip, in the versions and with the hashes of requirements/.
#   make demo [ARGS=…]   the guided example; ARGS go to `headrace demo`, e.g. ARGS="--days 20 --fault none"
#   make check [ARGS=HEAD~1]   while you work: lint, types, the tests of pure packages and those near what changed
#   make test [ARGS=…]   the tests of each package on its own; ARGS go to pytest, e.g. ARGS="-k lake"
#   make test-system [ARGS=…]   those of the whole: leaders with their workers, servers, PostgreSQL, a browser, kills, the commands in the docs
#   make test-trunk [ARGS=…]   Headrace without the packages beside it: every module, its commands, and that all its tests can be collected
#   make test-dbt [JAFFLE_SHOP=FOLDER] [ARGS=…]   imported projects beside dbt itself: equal tables and unique ids; installs dbt on first use
#   make faults [KILLS=200] [SEED=…]   kill the runtime and its workers that often, and break disks, clocks and databases; pairs of faults in PostgreSQL
#   make lab [SEEDS=2001,2002] [ARGS=--json]   one fault of every kind in random projects, and what is said of it
#   make test-languages  examples/any-language in C#, Java, R and shell; installs them where there is apt-get
#   make test-airflow [ARGS=…]   a DAG moved from a real Airflow and back, and edges beside its own; installs Airflow on first use
#   make test-adf [SEED=…]   the importer of Azure Data Factory against data-factory-testing-framework; installs Mono where there is apt-get
#   make test-exchange SCHEMAS=FOLDER   exported formats by the tools of others; FOLDER has their schemas, see packages/headrace-docs/tests/exchange
#   make test-constructs [CONSTRUCTS=2000] [SEED=…]   SQL that importers carry beside PostgreSQL, MariaDB, SQLite and Spark, over hostile rows; installs Spark on first use
#   make lint            format, lint, types, import directions, dead code, complexity, of Python and of the web UI
#   make simulate [SEEDS=10000 | SEED=7]   the core in simulated worlds where everything goes wrong; or one of them again
#   make evaluations [SEEDS=500 | SEED=7]   random histories in which every view has to say the same; or one of them again
#   make lineage [SEEDS=200 | SEED=7]   random queries: each column that matters is in the lineage, and what a classified one decides is classified; or one seed again
#   make values [SEED=…] [TABLES=10000] [ONLY="csv by polars"]   random tables of every format and database, delivered, read and exported; what differs is shrunk
#   make mutants [N=200] [SEED=…] [ARGS="--package plan"]   changes drawn by lot, each tried by its package's tests; prints survivors
#   make advice [ARGS="--queries 10000 --seed 1"]   random queries and projects before and after what the advisor proves, on rows that try to break it
#   make bench [ARGS=--stale]   the measurements, into benchmarks/RESULTS.md; --stale lists those that are older than the code
#   make ratios [ARGS="--base COMMIT"]   how many times as long commands take as at the commit in benchmarks/baseline (3 min)
#   make ui              the web UI, if ui/ is newer than what is built
#   make ui-test         the web UI's unit and component tests
#   make ui-dev          the web UI from its sources, on the server at HEADRACE_URL with HEADRACE_TOKEN
#   make screenshots     docs/pictures/ from the demo, in a real browser
#   make ui-gallery      build/ui-gallery/index.html: every page in every state, width and theme, and what changed since the last run
#   make docs            docs/reference/ from the code, then the site with search in build/site; a broken link fails
#   make leaks [ARGS=…]   1,000 canaries in classified columns, and everything that is served to each role
#   make wheel           dist/headrace-VERSION-py3-none-any.whl, with every package beside it and the web UI: uvx --from dist/headrace-*.whl headrace demo
#   make sbom [WHEEL=dist/….whl]   build/sbom.json: the wheel and its locked dependencies, in CycloneDX
#   make lock            resolve requirements/ again from pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo check test test-system test-trunk test-dbt test-constructs lint lint-types lint-rest size faults lab simulate evaluations values lineage mutants advice bench ratios docs leaks wheel sbom lock ui ui-dev ui-test screenshots ui-gallery test-languages test-adf test-airflow test-exchange
.DELETE_ON_ERROR:

BIN := .venv/bin
LEAVES := $(filter-out packages/headrace-airflow/%,$(wildcard packages/*/pyproject.toml))
IMPORT := packages/headrace-import/tests
ARGS ?=
KILLS ?= 200
# Folders of tests are in memory where 8 GiB of it are free: they are thousands of small files that soon are removed.
IN_MEMORY = $(shell df -k /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 8388608 {print "PYTEST_DEBUG_TEMPROOT=/dev/shm"}')
UV := uv==0.13.8
# What the tests use besides; GCS and Azure have no server here to test against.
EXTRAS := --extra polars --extra pandas --extra postgresql --extra mysql --extra s3 --extra sftp --extra keyring --extra dask --extra otel

# The first Python that is new enough; `make PYTHON=/path/to/python3 …` chooses.
define make_environment
@found=; for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found="$$python"; break; fi; \
done; \
if [ -z "$$found" ]; then \
    echo "Headrace needs Python 3.11 or newer, and none is on the PATH (python3: $$(python3 --version 2>&1))."; \
    echo "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python) or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; \
    exit 1; \
fi; \
"$$found" scripts/environment.py $(1)
endef

help:
	@sed -n 's/^#   //p' Makefile

.venv/.runtime: requirements/runtime.txt pyproject.toml $(LEAVES)
	$(call make_environment,runtime)

.venv/.dev: requirements/dev.txt pyproject.toml $(LEAVES)
	$(call make_environment,dev)

# Tables of commands that are no part of the repository; `scripts/generate.py` writes those that aren't current.
build/.dev build/.runtime: build/.%: .venv/.% $(shell find src scripts packages/*/src -name '*.py')
	@$(BIN)/python -m scripts.generate
	@mkdir -p build && touch $@

demo: build/.runtime
	@$(BIN)/headrace demo $(ARGS)

check: build/.dev
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m scripts.check $(ARGS)

# tests/system_tests.py says which tests are of the whole; CI runs both. Without bytecode kept, each of the thousands of processes that
# tests start would compile all it imports again.
test: build/.dev
	@env -u PYTHONDONTWRITEBYTECODE $(IN_MEMORY) $(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow and not system" $(ARGS)

test-system: build/.dev
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 4 --dist worksteal -m "system and not slow" $(ARGS)

test-trunk: build/.dev
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -m "slow or not slow" tests/packaging/test_trunk_alone.py $(ARGS)

faults: build/.dev
	@SEED="$(SEED)" $(BIN)/python tests/faults/campaign.py $(KILLS)
	@SEED="$(SEED)" $(BIN)/python -m pytest -n 2 tests/faults tests/runtime/test_command_walk.py tests/runtime/test_causes_of_two_faults.py -m slow $(ARGS)

# Airflow is installed into an environment of its own; it listens on the loopback address and ends with the test.
test-airflow: build/.dev
	@$(BIN)/python -m pytest -q $(IMPORT)/test_airflow_stages.py $(IMPORT)/test_airflow_edges.py -m slow $(ARGS)

# dbt-core and dbt-duckdb are installed into an environment of their own; they run beside imported projects.
test-dbt: build/.dev
	@$(if $(JAFFLE_SHOP),JAFFLE_SHOP="$(JAFFLE_SHOP)") $(BIN)/python -m pytest -q $(IMPORT)/test_dbt_equality.py -m slow $(ARGS)

test-constructs: build/.dev
	@$(if $(CONSTRUCTS),CONSTRUCTS=$(CONSTRUCTS)) $(if $(SEED),SEED=$(SEED)) $(BIN)/python -m pytest -q $(IMPORT)/test_sql_constructs.py -m "slow or not slow" $(ARGS)

lab: build/.dev
	@$(BIN)/python -m benchmarks.lab $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

LANGUAGES := mono-mcs mono-runtime libmono-system-web-extensions4.0-cil default-jdk-headless libgoogle-gson-java r-base-core r-cran-jsonlite jq

# Debian packages, where there is apt-get; elsewhere the tests say what they miss.
define install
	@if command -v apt-get >/dev/null; then \
	    as_root=; [ "$$(id -u)" -eq 0 ] || as_root="sudo -n"; \
	    $$as_root apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq --no-install-recommends $(1) >/dev/null; \
	fi
endef

test-languages: build/.dev
	$(call install,$(LANGUAGES))
	@HEADRACE_LANGUAGES=all $(BIN)/python -m pytest tests/examples/test_example_any_language.py $(ARGS)

build/adf-framework/.made: $(IMPORT)/adf/framework.txt
	@python3 -m venv build/adf-framework && build/adf-framework/bin/pip install --quiet --no-deps -r $<
	@touch $@

# The framework evaluates expressions in .NET.
test-adf: build/.dev build/adf-framework/.made
	$(call install,mono-devel libmonosgen-2.0-1)
	@ADF_FRAMEWORK=$(CURDIR)/build/adf-framework/bin/python SEED="$(SEED)" $(BIN)/python -m pytest -q -s -m slow $(IMPORT)/adf/test_adf_framework.py $(ARGS)

EXCHANGE := packages/headrace-docs/tests/exchange

build/exchange/.made: $(EXCHANGE)/tools.txt
	@python3 -m venv build/exchange && build/exchange/bin/pip install --quiet -r $<
	@build/exchange/bin/pip install --quiet --no-deps openmetadata-ingestion==2.0.7.0
	@npm install --silent --prefix build/exchange @backstage/catalog-model@1.10.3 @maxgraph/core@0.24.0 jsdom@31.0.1
	@touch $@

test-exchange: build/.dev build/exchange/.made
	@EXCHANGE_TOOLS=$(CURDIR)/build/exchange/bin/python EXCHANGE_NODE=$(CURDIR)/build/exchange EXCHANGE_SCHEMAS=$(abspath $(SCHEMAS)) $(BIN)/python -m pytest -q -m slow packages/headrace-docs/tests/test_exchange_tools.py $(ARGS)

lint: build/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(MAKE) --no-print-directory -j 2 lint-types lint-rest

# Two parts beside each other, which take as long.
lint-types:
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file scripts/mypy_programs.ini

lint-rest:
	@$(BIN)/lint-imports
	@$(BIN)/python -m scripts.dead_code
	@$(BIN)/complexipy --plain
	@$(MAKE) --no-print-directory size
	@$(BIN)/python scripts/environment.py npm lint

size: build/.dev
	@$(BIN)/python scripts/size.py --budget

simulate: build/.dev
	@PYTHONPATH=tests $(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),10000))

evaluations: build/.dev
	@env -u PYTHONDONTWRITEBYTECODE SEEDS="$(or $(SEEDS),500)" SEED="$(SEED)" $(BIN)/python -m pytest -q -n 2 tests/stories/test_one_evaluation.py $(ARGS)

lineage: build/.dev
	@SEEDS="$(or $(SEEDS),200)" SEED="$(SEED)" $(BIN)/python -m pytest -q -n 2 tests/sql/test_lineage_at_random.py tests/sql/test_masks_at_random.py $(ARGS)

values: build/.dev
	@env -u PYTHONDONTWRITEBYTECODE SEED="$(SEED)" TABLES="$(TABLES)" ONLY="$(ONLY)" $(BIN)/python -m pytest -q -s -m slow tests/values $(ARGS)

mutants: build/.dev
	@$(BIN)/python -m scripts.mutants $(or $(N),200) $(if $(SEED),--seed $(SEED)) $(ARGS)

advice: build/.dev
	@cd packages/headrace-advisor/tests && ../../../$(BIN)/python advice_lab.py $(ARGS)

bench: build/.dev
	@$(BIN)/python -m benchmarks.results $(ARGS)

ratios: build/.dev
	@$(BIN)/python -m benchmarks.ratios $(ARGS)

ui: build/.runtime
	@$(BIN)/python scripts/environment.py ui

ui-dev: ui
	@$(BIN)/python scripts/environment.py npm dev

ui-test: build/.dev
	@$(BIN)/python scripts/environment.py npm test

screenshots: ui build/.dev
	@HEADRACE_PICTURES=docs/pictures $(BIN)/python -m pytest -q -m slow packages/headrace-ui/tests/ui/test_pictures.py

ui-gallery: ui build/.dev
	@HEADRACE_GALLERY=build/ui-gallery $(BIN)/python -m pytest -q -s -m slow packages/headrace-ui/tests/ui/test_gallery.py

leaks: build/.dev
	@$(BIN)/python -m pytest -q -s tests/web/test_leaks.py -m slow $(ARGS)

wheel: build/.dev ui
	@$(BIN)/python -m scripts.wheel

sbom: build/.dev
	@$(BIN)/python -m scripts.sbom $(WHEEL)

docs: build/.dev
	@$(BIN)/python -m scripts.reference
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --jobs auto -b html -c docs -d build/doctrees . build/site
	@echo build/site/index.html

lock: .venv/.dev
	@$(BIN)/python -m pip install --quiet --no-deps $(UV)
	@for kind in runtime dev; do \
	    $(BIN)/uv pip compile pyproject.toml $(LEAVES) --no-emit-package headrace --no-emit-package headrace-databases --no-emit-package headrace-http --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	        --custom-compile-command "make lock" --group setup $$([ $$kind = dev ] && echo "--group dev $(EXTRAS)") -o requirements/$$kind.txt; \
	done
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" --group ui -o requirements/ui.txt
	@echo "$(UV)" | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	    --custom-compile-command "make lock" - -o requirements/uv.txt
	@! grep -nE '://|--index|--find-links' requirements/*.txt
