# SPDX-License-Identifier: MIT
# make demo    trains a tensor-train classifier on an emulated STM32F405, from export to comparison
# make test    runs the whole test suite
# Both set everything up: a virtual environment in .venv, the Python packages, the cross compiler and QEMU.
#
#   PYTHON=python3.12              another interpreter (3.11 or newer)
#   TORCH_INDEX=https://...        an extra package index for torch, such as PyTorch's own one of CPU builds

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SYSTEM := qemu-system-arm gcc-arm-none-eabi libnewlib-arm-none-eabi gcc libc6-dev
COMMANDS := qemu-system-arm arm-none-eabi-gcc cc

.PHONY: demo test lint setup tools clean

demo: setup
	@$(BIN)/ttzo demo

# Only tests run the C runtime for 64-bit Arm: 45 MB of packages more, 250 MB installed.
ifeq ($(shell uname -m),x86_64)
test: SYSTEM += gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
test: COMMANDS += aarch64-linux-gnu-gcc qemu-aarch64
endif
test: setup
	@$(BIN)/pytest -n auto

lint: setup
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

setup: tools $(VENV)/.installed

# Installed once for each state of these two files. An environment whose making was cut short is made again.
$(VENV)/.installed: pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ttzo needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "next: install Python's venv module (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[torch,digits,plot,test]'
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
