# SPDX-License-Identifier: MIT
# make demo    trains a tensor-train classifier on an emulated STM32F405, from export to comparison
# make test    runs the whole test suite
# make check   runs what every commit must pass: style, types and the fast tests
# make style   ruff and clang-format, without changing a file; make format lets them change files
# make types   mypy over the whole package
# make fast    runs the tests that are not slow
# make coverage  runs the tests of the C core, slow ones too but none on emulated boards, and says which of its lines and
#              branches they reach
# make quick-coverage  does so with the few tests of tests/quick_coverage.txt that reach most of them; CI runs it
# make slow-tests  measures all tests anew and writes tests/slow.txt, the list of the slow ones
# make step-counts  counts training steps on an emulated board and fits the forecasts of ttzo plan to them
# make part-sizes  builds firmware with other parts of the runtime for each core and fits the flash forecasts of ttzo plan to it
# make lock    writes the versions of this environment into .ci/constraints.txt
# make modules MPY_DIR=../micropython  builds MicroPython's modules into build/modules, an index for mip, and a wheel with them
#              into build/wheel; architectures whose compilers are missing are left out and named
# make clean   removes the environment and what was built
# Each sets up what it needs: a virtual environment in .venv, the Python packages, the cross compiler and QEMU.
#
#   PYTHON=python3.12              another interpreter (3.11 or newer)
#   CONSTRAINTS=                   the newest versions that pyproject.toml allows, in place of those of CI
#   TORCH_INDEX=https://...        an extra package index for torch, such as PyTorch's own one of CPU builds

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SYSTEM := qemu-system-arm gcc-arm-none-eabi libnewlib-arm-none-eabi gcc libc6-dev
COMMANDS := qemu-system-arm arm-none-eabi-gcc cc

CONSTRAINTS := .ci/constraints.txt
SERIES := sktime==1.2.0 aeon==1.6.0
C_FILES := $(shell find device_runtime host_tools -name '*.[ch]' ! -name ttzo_contract.h)

.PHONY: demo test check style format types fast coverage quick-coverage slow-tests step-counts part-sizes lock setup tools modules clean help

demo: setup
	@$(BIN)/ttzo demo

# Only tests run the C runtime for 64-bit Arm: 45 MB of packages more, 250 MB installed.
ifeq ($(shell uname -m),x86_64)
test: SYSTEM += gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
test: COMMANDS += aarch64-linux-gnu-gcc qemu-aarch64
endif
test: setup
	@$(BIN)/python -m pytest -n auto

# That generated files are up to date is one of the fast tests.
check: style types fast

style: setup
	@$(BIN)/python -m ruff check --quiet . && $(BIN)/python -m ruff format --check --quiet .
	@$(BIN)/clang-format --dry-run -Werror $(C_FILES)

format: setup
	@$(BIN)/python -m ruff check --quiet --fix . && $(BIN)/python -m ruff format --quiet .
	@$(BIN)/clang-format -i $(C_FILES)

types: setup
	@$(BIN)/python -m mypy

fast: setup
	@$(BIN)/python -m pytest -n auto -q -m "not slow"

# Ports run on boards and in interpreters; the contract is generated.
COVERED := train network cores operations equations identification key number storage link
coverage: MEASURED := $(COVERED:%=tests/%)
quick-coverage: MEASURED = $(shell grep '^tests/' tests/quick_coverage.txt)
coverage quick-coverage: setup
	@rm -rf build/coverage
	@PYTHONPATH=tests/support $(BIN)/python -m pytest -q -n auto -p c_coverage $(MEASURED)
	@$(BIN)/gcovr -r device_runtime --exclude '.*ports.*' --exclude '.*contract.*' --merge-mode-functions=merge-use-line-min \
	  --print-summary --fail-under-line 95 --fail-under-branch 85 build/coverage

slow-tests: setup
	@PYTHONPATH=tests/support $(BIN)/python -m pytest -q -p measure_slow

COUNTS := tests/vectors/step_counts.json
FUSED := tests/vectors/fused_counts.json
step-counts: setup
	$(BIN)/python -m ttzo.host_tools.measure.step_counts $(COUNTS)
	$(BIN)/python -m ttzo.host_tools.measure.fused_counts $(FUSED)
	$(BIN)/python -m ttzo.host_tools.measure.fit_instructions $(COUNTS) $(FUSED)

BUILDS := tests/vectors/part_builds.json
part-sizes: setup
	@rm -f $(BUILDS)
	$(BIN)/python -m ttzo.host_tools.measure.part_builds $(BUILDS)
	$(BIN)/python -m ttzo.host_tools.measure.fit_part_sizes $(BUILDS)

lock: setup
	@$(BIN)/python -m pip list --format freeze --exclude-editable --exclude pip --exclude setuptools --exclude sktime --exclude aeon | sed 's/+.*//' > .ci/constraints.txt

modules: setup
	@test -n "$(MPY_DIR)" || { echo "next: make modules MPY_DIR=FOLDER, a MicroPython source tree"; exit 1; }
	@rm -rf build/modules
	@$(BIN)/ttzo module every -o build/modules --mpy-dir "$(MPY_DIR)"
	@$(BIN)/python -m hatchling build -t wheel -d build/wheel

help:
	@sed -n 's/^# make /make /p' Makefile

setup: tools $(VENV)/.installed

# Installed once for each state of these files. An environment whose making was cut short is made again.
$(VENV)/.installed: pyproject.toml hatch_build.py $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ttzo needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@echo "installing Python packages into $(VENV) (some minutes; torch alone is gigabytes)"
	@$(PYTHON) -m venv $(VENV) || { echo "next: install Python's venv module (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --editable '.[torch,digits,plot,test,check]'
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(SERIES) # they want other versions of packages, their data files do not
	@touch $@

# The cross compiler and QEMU come from the distribution; without them ttzo works on the laptop's own processor.
tools:
	@missing=; for c in $(COMMANDS); do command -v $$c >/dev/null || missing="$$missing $$c"; done; \
	if [ -n "$$missing" ]; then \
	  if ! command -v apt-get >/dev/null; then sudo=none; \
	  elif [ "$$(id -u)" = 0 ]; then sudo=; \
	  elif sudo -n true 2>/dev/null; then sudo="sudo -n"; \
	  else sudo=none; fi; \
	  if [ "$$sudo" = none ]; then \
	    echo "not found:$$missing; to train on the emulated board: sudo apt-get install $(SYSTEM)"; \
	  else \
	    echo "installing$$missing"; \
	    { $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SYSTEM) >/dev/null; } \
	      || echo "could not install; to train on the emulated board: sudo apt-get install $(SYSTEM)"; \
	  fi; \
	fi

clean:
	rm -rf $(VENV) build *.egg-info
