# SPDX-License-Identifier: MIT
# `_ttzo` as a user C module of ports that build with make:
#
#   make -C micropython/ports/unix USER_C_MODULES=CHECKOUT/device_runtime/ports
#
# FUSED_TTZO=1 for bundles exported in fused arithmetic. Freeze ttzo.py with manifest.py of this folder.
TTZO_MODULE := $(USERMOD_DIR)
TTZO_RUNTIME := $(abspath $(USERMOD_DIR)/../..)

SRC_USERMOD_C += $(TTZO_MODULE)/modttzo.c
SRC_USERMOD_LIB_C += $(TTZO_MODULE)/run.c $(addprefix $(notdir $(TTZO_RUNTIME))/,$(notdir $(wildcard $(TTZO_RUNTIME)/*.c)))
vpath $(notdir $(TTZO_RUNTIME))/%.c $(dir $(TTZO_RUNTIME))

CFLAGS_USERMOD += -I$(TTZO_MODULE)
