# Each target a line or two; the longer work is in scripts/.
.PHONY: help demo setup test test-all model torture fuzz lint fmt bench install build-node clean

help:
	@echo "make demo      eight processes share one counter file, without a server; one is killed"
	@echo "make test      lint and tests (sets up what they need first)"
	@echo "make test-all  make test, and the longer checks"
	@echo "make model     ten million states of the scripts and the client's logic, and random paths"
	@echo "make torture   random faults on many processes for a minute: SECONDS=60 SEED= BACKEND=redis|file REPORT="
	@echo "make fuzz      parsers and the C interface: SECONDS=60 for each target, TARGETS=all"
	@echo "make install   the C library and its headers: PREFIX=/usr/local, DESTDIR=, LIBDIR="
	@echo "make build-node  the Node package, for npm install ./node"
	@echo "make lint | fmt | bench | setup | clean"

demo:
	@scripts/setup.sh demo
	@.venv/bin/python scripts/demo.py

setup:
	@scripts/setup.sh all

build-node:
	@scripts/build-node.sh

test: lint
	@scripts/test.sh

test-all: test
	@scripts/test-all.sh

model:
	@cargo run --locked -p fencelock-model

torture: setup
	@SECONDS_="$(SECONDS)" SEED="$(SEED)" BACKEND="$(BACKEND)" REPORT="$(REPORT)" scripts/torture.sh

fuzz: setup
	@scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

lint: setup
	@scripts/lint.sh

fmt: setup
	@scripts/lint.sh --fix

bench: setup
	@.venv/bin/python bench/run.py

install:
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" LIBDIR="$(LIBDIR)" scripts/install.sh

clean:
	@scripts/clean.sh
