# Everything here works on a fresh clone: what a target needs is installed first, once.
.DEFAULT_GOAL := help
.PHONY: help install server tools demo test lint docs check faults bench coverage format lock release clean

# The first Python that fits. To choose another: make PYTHON=/path/to/python3.11 demo
FITS := import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
PYTHON = $(shell for p in python3.11 python3.12 python3 python; do \
	"$$p" -c '$(FITS)' 2>/dev/null && echo "$$p" && exit; done; echo python3)
BIN := .venv/bin

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: ## .venv from requirements.lock (3.4 GB to download, once)
	@p='$(PYTHON)'; command -v "$$p" >/dev/null \
		|| { echo "detseg: no Python found ($$p): install Python 3.11 (Debian, Ubuntu:" \
		"apt-get install python3.11 python3.11-venv) or name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }; \
	exec "$$p" -m deploy.install

server: install # the Label Studio server, in an environment of its own in the user's cache folder
	@$(BIN)/python -m detseg.labelstudio.install

tools: install # Chromium and PostgreSQL for the tests, where they may be installed
	@$(BIN)/python deploy/run_tests.py --only-install

demo: server ## the whole loop on made-up scenes, with a real Label Studio, and a report in demo/
	@$(BIN)/detseg demo

test: server ## all tests, with a real Label Studio and a real browser
	@$(BIN)/python deploy/run_tests.py

lint: install ## format, lint, types and architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

docs: install ## the documentation, into build/site; a dead link fails
	@$(BIN)/python -m deploy.docs

check: lint docs test ## what has to pass before a change is handed in

faults: server ## breaks push and collect N times (make faults N=300 SEED=1) and looks what is lost or doubled
	@$(BIN)/python -m tests.e2e.faults $(or $(N),25) --seed $(or $(SEED),1) $(if $(ONLY),--only $(ONLY))

bench: install ## times and memory beside other ways, into docs/benchmarks.md (24 GB, 15 minutes)
	@$(BIN)/python -m bench $(BENCH)

coverage: install ## how often intervals hold the truth of made projects, into docs/coverage.md (ONLY=shares N=300 SEED=2)
	@$(BIN)/python -m bench.coverage --seed $(or $(SEED),1) $(if $(N),--trials $(N)) --only $(ONLY)

study: install ## three rounds of learning with simulated people on ../shared/data, into docs/study.md (ONLY=bccd)
	@$(BIN)/python -m bench.study $(if $(ONLY),--only $(ONLY)) $(STUDY)

format: install ## rewrites the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: install ## renews the lock files within the limits of pyproject.toml
	$(BIN)/python -m deploy.lock

release: install ## wheel and sdist in dist/, tried out in a fresh environment
	@$(BIN)/python -m deploy.release

clean: ## removes what was installed and built here (not the server in the cache folder)
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
