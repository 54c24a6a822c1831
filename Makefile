# dspamd. `make` alone lists all targets. They ask no questions and change nothing outside this folder
# (except that for root they install missing Debian packages: etc/install-packages).

PYTHON ?= python3
ONLY ?=
MOMENT ?=
SECONDS ?= 60
SEED ?=
SESSIONS ?= 5000
MAILS ?= 2000
KILLS ?= 300

WHEELS ?=
SUITES ?= bookworm trixie
BASE ?=

# The tests build the published files, from trees of their own: they take over what Cython made for this one.
export CYTHON_CACHE_DIR := $(CURDIR)/build/cython-cache
# Where it is forbidden to keep compiled modules, each of a thousand commands that tests start compiles all of them.
unexport PYTHONDONTWRITEBYTECODE

bin := .venv/bin
stamp := .venv/.complete
packager := build/packager
# Tests run in an order of chance.  It belongs to the files: each commit gets another one, and whoever runs the
# tests of a commit again meets what failed there.  SEED=number chooses, SEED=files keeps the order of the files.
seed = $(or $(SEED),$(shell printf '%d' 0x$$(git rev-parse --short=7 'HEAD^{tree}' 2>/dev/null || echo 1)))
order = $(if $(filter files,$(SEED)),-p no:randomly,--randomly-seed=$(seed) --hypothesis-seed=$(seed))
# The parts whose coverage is measured: the others run dspamd in processes of its own, or measure time.
covered = unit golden dialogue
coverage = --cov=dspamd --cov-fail-under=85
# Both halves of all tests, at the same time: one works, the other waits for its servers most of the time.  What
# fails in one does not hide what fails in the other.
pure = build/tests-$(subst $() ,-,$(covered)).log
both = set -x; failed=0; \
    $(bin)/pytest $(order) $(coverage) --cov-report= $(addprefix tests/,$(covered)) > $(pure) 2>&1 & \
    $(bin)/pytest $(order) tests $(addprefix --ignore=tests/,$(covered)) || failed=1; \
    wait $$! || failed=1; cat $(pure); exit $$failed
# The parts of the tests that start real servers, if any was asked for.
servers = $(filter-out unit golden dialogue,$(or $(ONLY),all))

# Python with the kernel of `make fuzz` (-P: the one in this folder does not come first).
sanitized = LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH=build/sanitized:. $(bin)/python -P

.DEFAULT_GOAL := help
.PHONY: help build demo run check test coverage dates deb deb-test release minimum docs container fuzz fuzz-kernel fuzz-dialogue chaos site bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(stamp) ## compile the kernel in place (and make the environment .venv first)
	@$(bin)/python setup.py -q build_ext --inplace

demo: build ## watch it learn: a real daemon, sample mail, a correction
	$(bin)/python demo/demo.py

run: build ## run a daemon in the foreground, its files below build/run
	@mkdir -p build/run
	@sed 's|@RUN@|$(CURDIR)/build/run|' etc/run.conf > build/run/dspam.conf
	$(bin)/dspamd --config build/run/dspam.conf

check: build ## format, lint, types, direction of imports
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports

test: build $(if $(ONLY),,check) ## check, then all tests (ONLY=unit|golden|contract|dialogue|e2e|chaos|fuzz: one part; SEED=number: in another order; SEED=files: in none)
	$(if $(servers),etc/install-packages test)
	$(if $(ONLY),$(bin)/pytest $(order) tests/$(ONLY),@$(both))

coverage: build ## the lines of the program that no test of unit, golden and dialogue runs, line by line
	$(bin)/pytest -q $(order) $(coverage) --cov-report=term-missing:skip-covered $(addprefix tests/,$(covered))

dates: build ## run the tests on other days, in other time zones and locales (ONLY=unit|golden|contract|dialogue|e2e: one part; MOMENT=ahead|leap|summer|winter|new-year: one moment)
	etc/install-packages test
	$(bin)/python -m tests.dates $(if $(MOMENT),--moment $(MOMENT)) $(ONLY)

fuzz: $(if $(ONLY),fuzz-$(ONLY),fuzz-kernel fuzz-dialogue) ## libFuzzer on each target with sanitizers (SECONDS=60), hostile sessions (SESSIONS=5000, SEED=random; ONLY=kernel|dialogue)

fuzz-kernel: build
	DSPAMD_SANITIZE=1 $(bin)/python setup.py -q build_py --build-lib build/sanitized \
	    build_ext --build-lib build/sanitized --build-temp build/sanitized-temp
	$(sanitized) -m pytest -o pythonpath="build/sanitized ." -o timeout=600 \
	    tests/fuzz --ignore tests/fuzz/test_dialogue.py tests/golden/test_tokens.py tests/golden/test_classify.py
	$(sanitized) -m tests.fuzz $(SECONDS) message modern stored hash_file weights
	PYTHONPATH=. $(bin)/python -P -m tests.fuzz $(SECONDS) parts headers identifier forward edited

fuzz-dialogue: build
	$(bin)/python -m tests.fuzz.dialogue $(SESSIONS) $(SEED)

chaos: build ## kill processes that learn (KILLS=300, a quarter of it with joint and tone), then break everything around a daemon, and check the mail (as root; SEED=random, MAILS=2000 or more); each store
	etc/install-packages test
	$(bin)/python -m tests.chaos.kills $(KILLS) $(SEED)
	$(bin)/python -m tests.chaos.tone_kills $$(($(KILLS) / 4)) $(SEED)
	$(bin)/python -m tests.chaos $(MAILS) $(SEED)

site: build ## a site with 200 users, all kinds of groups, a directory, a virus scanner and a blacklist (MAILS=10000): is everything where it should be?
	etc/install-packages test
	$(bin)/python -m tests.support.whole_site $(if $(filter command%,$(origin MAILS)),$(MAILS),10000)

bench: build ## measure against the budgets (ONLY=engine|path|default|storage|purge|daemon|commands), table and build/bench.json
	$(if $(filter-out engine commands,$(or $(ONLY),all)),etc/install-packages test)
	$(bin)/python -m bench $(ONLY)

deb: $(packager)/.complete ## the Debian package for the Python of this Debian, in dist (WHEELS=folder: with libraries from there)
	etc/install-packages deb
	$(packager)/bin/python -m release.deb $$($(packager)/bin/python -m release.sdist dist) dist $(WHEELS)

# What makes a source distribution, and no more: an environment for development takes minutes to make.
$(packager)/.complete: pyproject.toml
	etc/install-packages build
	$(PYTHON) -m venv $(packager)
	$(packager)/bin/pip install -q --disable-pip-version-check $$($(PYTHON) -c \
	    'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])')
	@touch $@

deb-test: build ## make the package on fresh roots of Debian 12 and 13, and live through it (as root; SUITES=bookworm|trixie: on one)
	etc/install-packages test
	for suite in $(SUITES); do $(bin)/python -m tests.debian.bootstrap $$suite || exit 1; done

release: build ## everything that is published, in dist: source, wheel, Debian package, changes, contents, checksums
	etc/install-packages deb
	$(bin)/pip install -q -e '.[release]' --no-build-isolation
	rm -rf dist
	$(bin)/python -m release.wheel $$($(bin)/python -m release.sdist dist) dist
	$(bin)/python -m release.deb dist/*.tar.gz dist $(WHEELS)
	$(bin)/python -m release.changes dist/CHANGES.md
	$(bin)/python -m release.sbom dist/dspamd.cdx.json
	cd dist && sha256sum * > SHA256SUMS

minimum: build ## run the unit tests with the lowest versions of libraries that pyproject.toml allows
	$(bin)/python -m release.minimum > build/minimum.txt
	PIP_CONSTRAINT=$(CURDIR)/build/minimum.txt PYTHON=$(PYTHON) etc/install-libraries build/minimum
	build/minimum/bin/pytest -q -p no:randomly tests/unit

docs: build ## all documents and manual pages as a site, in build/site
	etc/install-packages docs
	$(bin)/pip install -q -e '.[docs]' --no-build-isolation
	$(bin)/python -m release.site build/site

container: ## build the image dspamd with podman, docker or buildah, whichever is there (BASE=image of a Debian)
	@# An image in the form of OCI has no check of health.
	BUILDAH_FORMAT=docker $(firstword $(foreach tool,podman docker buildah,$(shell command -v $(tool))) podman) build \
	    $(if $(BASE),--build-arg BASE=$(BASE)) --tag dspamd .

clean: ## remove all built files, and the environment
	find dspamd -name '*.so' -delete
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

# A virtual environment with everything in it. It is made again when its prerequisites change.
$(stamp): pyproject.toml setup.py etc/install-packages etc/install-libraries
	etc/install-packages build
	PYTHON=$(PYTHON) etc/install-libraries .venv
	@touch $@
