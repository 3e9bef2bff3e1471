# SPDX-License-Identifier: MIT
# The sources of a native module with some PARTS of the runtime (contract.toml, enum.part): SRC. A part that has a folder
# is left out with it, the others by TTZO_HAS in the sources. HERE is the folder of this file.
MODULE := $(HERE)ttzo/
CORE := $(HERE)../../
ROOMS := $(sort $(dir $(wildcard $(CORE)*/*.c)))

ALL_PARTS := $(shell sed -n 's/^\#define TTZO_PART_\([A-Z_]*\) .*/\1/p' $(CORE)contract/ttzo_contract.h | tr A-Z a-z)
PARTS ?= $(filter-out sparse storage key,$(ALL_PARTS)) # no region sparse, files for storage, a prompt that is open
LEFT_OUT := $(filter-out $(PARTS),$(ALL_PARTS))

SRC := $(notdir $(wildcard $(MODULE)*.c) $(filter-out $(LEFT_OUT:%=$(CORE)%/%),$(wildcard $(CORE)*/*.c)))
