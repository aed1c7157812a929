# The verbs of development; CONTRIBUTING.md says when to use which.
#
#     make dev      a development install in .venv-dev: editable, one instruction set, quick to compile
#     make quick    in 20 s what a broken kernel fails; builds first what has changed
#     make test     all tests of the development install
#     make lint     formatters, linters and types, as .ci/run has them
#     make bench    the benchmarks against NumPy, of a build as for a wheel
#     make docs     the pictures that scripts draw
#     make site     the documentation: build/site/index.html, lessons and gallery computed anew
#
# ISA=v2 (v3, v4, neon) chooses the instruction set, FULL=1 compiles it as for a
# wheel, which then stays so until FULL=0.

PYTHON ?= python3
VENV := .venv-dev
BUILD := build/dev
ISA ?= native
# Without a word, what was chosen last.
FULL ?= $(if $(wildcard $(BUILD)/installed-*-1-*),1,0)
QUICK := $(if $(filter 1,$(FULL)),OFF,ON)
RUN := $(VENV)/bin/python
# A pip that there is already, from 22.3 on; to make another one takes 6 s. Asked for when needed.
PIP = $(eval PIP := $$(shell $(PYTHON) -m pip --python $(PYTHON) --version > /dev/null 2>&1 && \
	echo $(PYTHON) -m pip --python $(RUN) || echo $(VENV)/bin/pip))$(PIP)

.PHONY: dev quick test lint bench docs site

INSTALL = $(PIP) install --quiet --no-build-isolation --editable '.$(1)' $(2) \
	--config-settings build-dir=$(BUILD) \
	--config-settings cmake.define.FCNN_ONLY=$(ISA) \
	--config-settings cmake.define.FCNN_QUICK=$(QUICK)

# pip installs once for each choice of options and set of modules; what changes in them is Ninja's
# alone, 3 s sooner.
FILES := $(shell find src/fcnn -name '*.py' | sort | cksum | cut -d ' ' -f 1)
INSTALLED := $(BUILD)/installed-$(ISA)-$(FULL)-$(FILES)

dev: $(INSTALLED)
	$(VENV)/bin/cmake --build $(BUILD)
	$(VENV)/bin/cmake --install $(BUILD) \
		--prefix "$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("platlib"))')" > /dev/null

$(INSTALLED): $(VENV)/made Makefile pyproject.toml CMakeLists.txt
	rm -f $(BUILD)/installed-*
	$(PIP) install --quiet --no-compile $(TESTING) & $(call INSTALL,,--no-deps) && wait $$!
	touch $@

# What building and the quick tests need; the rest comes with the verbs that need it. Two pips at a
# time, of packages that share none: one takes as long to unpack as the core to compile.
TESTING := "safetensors>=0.4" "pytest>=9" "pytest-xdist>=3.6"
$(VENV)/made:
	$(PYTHON) -m venv $(if $(findstring --python,$(PIP)),--without-pip) $(VENV)
	$(PIP) install --quiet --no-compile "numpy>=2.0" "cmake>=3.26" & \
		$(PIP) install --quiet --no-compile "scikit-build-core>=0.11" "cython>=3.1" ninja && wait $$!
	touch $@

quick: dev
	$(RUN) -m pytest --quick -q -n auto

test: dev
	$(call INSTALL,[test-all],)
	$(RUN) -m pytest --one-build -n auto -m "not long"

lint: $(VENV)/made
	$(PIP) install --quiet "pre-commit>=4"
	$(VENV)/bin/pre-commit run --all-files

bench: # of what users get, whatever was built last
	$(MAKE) dev FULL=1
	$(PIP) install --quiet "pytest-benchmark>=5" "threadpoolctl>=3.5"
	$(RUN) -m pytest benchmarks

docs: dev
	$(PIP) install --quiet "matplotlib>=3.8"
	$(RUN) scripts/draw_map.py
	$(RUN) scripts/draw_deltas.py

site: dev
	$(call INSTALL,[docs],)
	$(RUN) -m sphinx -W --keep-going -q -d build/site-doctrees -b html docs build/site
