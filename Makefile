# Each target a line or two; the longer work is in scripts/.
.PHONY: help demo setup test test-all lint fmt bench clean

help:
	@echo "make demo      eight processes share one counter file, without a server; one is killed"
	@echo "make test      lint and tests (sets up what they need first)"
	@echo "make test-all  make test, and the longer checks"
	@echo "make lint | fmt | bench | setup | clean"

demo:
	@scripts/setup.sh demo
	@.venv/bin/python scripts/demo.py

setup:
	@scripts/setup.sh all

test: lint
	@scripts/test.sh

test-all: test
	@scripts/test-all.sh

lint: setup
	@scripts/lint.sh

fmt: setup
	@scripts/lint.sh --fix

bench: setup
	@.venv/bin/python bench/run.py

clean:
	@scripts/clean.sh
