# A thin layer over CMake: the things one types. `make help` lists them.

PREFIX ?= /usr/local
JOBS   ?= $(shell nproc)
BUILD  ?= build

.DEFAULT_GOAL := release

.PHONY: release quickstart check install soak plant helgrind portable coverage fuzz bench clean help

release: ## build the library and lsmctl (default)
	@cmake --preset release -B $(BUILD)/release >/dev/null
	@cmake --build $(BUILD)/release -j $(JOBS)

quickstart: ## install what is missing, build, and run it on this machine's dpkg database
	@scripts/deps.sh build
	@BUILD=$(BUILD) JOBS=$(JOBS) scripts/quickstart.sh

check: ## all tests, in all configurations
	@scripts/deps.sh check
	@BUILD=$(BUILD) JOBS=$(JOBS) scripts/check.sh

install: ## install below PREFIX (/usr/local); DESTDIR is honoured
	@cmake --preset release -B $(BUILD)/release -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null
	@cmake --build $(BUILD)/release -j $(JOBS)
	@cmake --install $(BUILD)/release

soak: ## the long campaigns, new seeds, for MINUTES=60
	@scripts/deps.sh soak
	@BUILD=$(BUILD) JOBS=$(JOBS) scripts/soak.sh $(or $(MINUTES),60)

plant: ## whether the tests notice every planted bug
	@scripts/deps.sh check
	@BUILD=$(BUILD) JOBS=$(JOBS) scripts/plant.sh

helgrind: ## the modules that only use locks, and the order of all locks, under Helgrind
	@scripts/deps.sh soak
	@BUILD=$(BUILD) JOBS=$(JOBS) scripts/helgrind.sh

portable: ## the tests on ARM, on 32 bits and on a big-endian machine; databases change hands
	@scripts/deps.sh check
	@BUILD=$(BUILD) JOBS=$(JOBS) scripts/portable.sh $(MACHINES)

coverage: ## lines and branches that the tests reach
	@scripts/deps.sh coverage
	@BUILD=$(BUILD) JOBS=$(JOBS) scripts/coverage.sh

fuzz: ## every fuzz target for FOR=60 seconds; RECORD=yes counts the executions
	@scripts/deps.sh check
	@BUILD=$(BUILD) JOBS=$(JOBS) scripts/fuzz.sh $(if $(RECORD),--record) $(or $(FOR),60)

bench: release ## the workloads of docs/benchmarks.md
	@BUILD=$(BUILD) scripts/bench.sh

clean: ## remove everything that was built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1@\2/p' Makefile | awk -F@ '{printf "%-18s %s\n", $$1, $$2}'
