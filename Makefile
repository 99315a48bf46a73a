# SPDX-License-Identifier: GPL-2.0-only
# make turns every failure into its own exit status 2; call .venv/bin/pytest for pytest's own.

# A worker for each processor, each with a kernel of its own; JOBS=0 for none (--pdb needs that).
JOBS ?= auto
PYTEST = .venv/bin/pytest -n $(JOBS) --maxprocesses=8

.PHONY: help doctor setup setup-check conformance matrix test lint check bench sample prove lock clean

help:
	@echo 'make doctor                  check this machine, and print the commands that mend what is missing'
	@echo 'make setup                   install what is missing, build the C parts'
	@echo 'make conformance ARGS="..."  run the suite; ARGS go to pytest'
	@echo 'make matrix ARGS="..."       Debian'"'"'s kernels from 5.10 to the newest, side by side'
	@echo 'make test ARGS="..."         the tests of the harness that boot no kernel, in two minutes'
	@echo 'make lint                    ruff and mypy'
	@echo 'make check                   lint, types, all tests of the harness, the suite in both dialects, some planted faults'
	@echo 'make bench                   how soon Ctrl-C ends a session; how long reports of 100 and of 5,000 results take;'
	@echo '                             how long the suite takes beside the selftests of the kernel'
	@echo 'make sample ARGS="..."       docs/sample-report.html and its picture, from a run of the matrix or the logs in ARGS'
	@echo 'make prove ARGS="..."        plant every fault and variant of faults/, and check that the suite detects or accepts it'
	@echo 'make lock ARGS="--upgrade"   requirements/*.txt from pyproject.toml; needs uv'
	@echo 'make clean                   remove what was built, the Python environment too'

setup:
	@tools/setup.sh

doctor: python = $(firstword $(wildcard .venv/bin/python) $(PYTHON) python3)
doctor:
	@command -v $(python) >/dev/null || { echo 'there is no $(python): run make setup, which installs it' >&2; exit 1; }
	@$(python) -m helpers.command doctor $(ARGS)

# Lint, and what the project's own tests need.
setup-check:
	@tools/setup.sh check

conformance: setup
	$(PYTEST) $(ARGS)

# From 5.10 to the newest, each once: forky's is sid's, a little later.
MATRIX ?= bullseye bookworm stable sid trixie-backports

matrix: setup
	$(PYTEST) $(foreach suite,$(MATRIX),--kernel=debian:$(suite)) $(ARGS)

# While editing: tests/kernel boots, tests/external fetches.
test: setup-check
	$(PYTEST) --dist=worksteal tests/unit tests/fake_target $(ARGS)

lint: setup-check
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

check: lint
	$(PYTEST) --kernel=debian:stable
	KVM_HVC_QEMU_LOG=$(CURDIR)/reports/results.jsonl $(PYTEST) --dist=worksteal tests
	$(PYTEST) --dialect-host=rfc-v3 --reports=reports/rfc-v3
	.venv/bin/kvm-hvc-conformance prove --quick

bench: setup-check
	.venv/bin/python -m tools.bench_stop
	.venv/bin/python -m tools.bench_report
	.venv/bin/python -m tools.peers.bench $(ARGS)

sample: setup-check
	.venv/bin/python -m tools.sample $(ARGS)

prove: setup
	.venv/bin/kvm-hvc-conformance prove $(ARGS)

lock:
	tools/lock.sh $(ARGS)

clean:
	rm -rf .venv .build build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find helpers suites tests tools -name __pycache__ -type d -exec rm -rf {} +
