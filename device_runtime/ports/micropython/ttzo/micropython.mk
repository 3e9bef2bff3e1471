# SPDX-License-Identifier: MIT
# `_ttzo` as a user C module of ports that build with make:
#
#   make -C micropython/ports/unix USER_C_MODULES=CHECKOUT/device_runtime/ports/micropython
#
# TTZO_FUSED=1 for bundles exported in fused arithmetic. manifest.py freezes ttzo.py beside it.
TTZO_MODULE := $(USERMOD_DIR)
TTZO_RUNTIME := $(abspath $(USERMOD_DIR)/../../..)
TTZO_CORE := $(patsubst $(TTZO_RUNTIME)/%,%,$(wildcard $(TTZO_RUNTIME)/*/*.c))

SRC_USERMOD_C += $(TTZO_MODULE)/modttzo.c
SRC_USERMOD_LIB_C += $(filter-out %/modttzo.c,$(wildcard $(TTZO_MODULE)/*.c)) $(TTZO_CORE:%=$(notdir $(TTZO_RUNTIME))/%)
vpath $(notdir $(TTZO_RUNTIME))/%.c $(dir $(TTZO_RUNTIME))

CFLAGS_USERMOD += -I$(TTZO_MODULE) -I$(TTZO_RUNTIME) $(if $(TTZO_FUSED),-DTTZO_FUSED=1)
# The order of float operations is the contract's. Speed where a step spends its time.
TTZO_OBJECTS := $(BUILD)/$(notdir $(TTZO_MODULE))/run.o $(TTZO_CORE:%.c=$(BUILD)/$(notdir $(TTZO_RUNTIME))/%.o)
$(TTZO_OBJECTS): CFLAGS += -O2 -ffp-contract=off -fno-fast-math
