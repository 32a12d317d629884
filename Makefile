# Every target prepares what it needs, on a machine with Rust, Python ≥ 3.11, make and a C compiler.
# Build artefacts go to CARGO_TARGET_DIR, by default a directory in the user's cache that all clones share.

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak fuzz check bench wheel fmt clean

help: ## show this list
	@printf 'cacheness: make TARGET\n\n'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-8s %s\n' "$$name" "$$text"; done

setup: ## create .venv with everything that the other targets need
	@scripts/setup.sh

demo: ## run a real pipeline on real data: computed, then reused from Python and from Rust
	@scripts/demo.sh $(ARGS)

test: ## run all tests, in Rust and in Python
	@scripts/test.sh $(ARGS)

soak: ## run the tests of docs/durability.md for long; ARGS=100 sets the number of repetitions
	@scripts/soak.sh $(ARGS)

fuzz: ## run coverage-guided fuzzing; ARGS="60 keys" for a minute of one target
	@scripts/fuzz.sh $(ARGS)

check: ## check formatting, lints, licences, advisories, types, stubs, documentation
	@scripts/check.sh $(ARGS)

bench: ## compare cacheness with its peers; ARGS="--quick" for a first look, ARGS=instructions, criterion, charts
	@scripts/bench.sh $(ARGS)

wheel: ## build the wheel into dist/ and test it without Rust and without a compiler
	@scripts/wheel.sh $(ARGS)

fmt: setup ## format the Rust and the Python code
	@cargo fmt --all
	@.venv/bin/ruff check --quiet --fix-only . ; .venv/bin/ruff format --quiet .

clean: ## remove the results of setup and the demo; shared build artefacts stay
	@rm -rf .venv dist demo_store benchmarks/results .mypy_cache .ruff_cache .pytest_cache .hypothesis python/cacheness/_core*.so
