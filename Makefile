# What people and CI run. Each target says what it needs; nothing here needs a container or a running service.

CARGO ?= cargo
# Seconds per fuzz target: a minute in CI, half an hour in the soak.
FUZZ_SECONDS ?= 60

.PHONY: test soak bench check golden sdk fuzz api-fuzz instructions install

## Installs what the tests need and runs all of them; the last lines are cargo's.
test: install
	$(CARGO) build --workspace
	$(MAKE) golden sdk fuzz api-fuzz
	$(CARGO) test --workspace

## What is quick enough to run before every commit.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	$(CARGO) test -p gibbon-tidy

## The recorded answers of Kong, replayed.
golden:
	tests/golden/run.py

## The official SDKs of model providers, against stand-ins with faults.
sdk:
	target/sdk/bin/python tests/sdk/run.py

## Mutated input for every parser of untrusted bytes.
fuzz:
	$(CARGO) run -p gibbon-fuzz -- --seconds $(FUZZ_SECONDS)

## Every operation of the Admin API's own description, asked with values nobody would send: about a minute.
api-fuzz:
	tests/openapi/run.py

## What a request costs in instructions, against the committed figure.
instructions:
	bench/instructions --binary target/debug/gibbon

## The long runs: a million requests across reloads, changes and upgrades, half an hour of fuzzing per target, and the Admin API asked
## more thoroughly.
soak: install
	$(CARGO) build --release --workspace
	GIBBON_SOAK=1 GIBBON_BIN=$(CURDIR)/target/release/gibbon $(CARGO) test --release -p gibbon-acceptance life_cycle -- --nocapture
	GIBBON_BIN=$(CURDIR)/target/release/gibbon tests/openapi/run.py --examples 20 --seed $$(date +%s)
	$(CARGO) run --release -p gibbon-fuzz -- --seconds 1800

## Measures against nginx, HAProxy and Envoy; see bench/README.md.
bench:
	bench/run

install:
	tests/install
