# SPDX-License-Identifier: MIT
# The sources of a native module with some PARTS of the runtime (contract.toml, enum.part; default: all): SRC. HERE is the
# folder of this file.
MODULE := $(HERE)ttzo/
CORE := $(HERE)../../
ROOMS := $(sort $(dir $(wildcard $(CORE)*/*.c)))

WITH_SOURCES := equations environments cut gathers link
ALL_PARTS := $(WITH_SOURCES) evaluations blocks narrow tensors compensated
PARTS ?= $(ALL_PARTS)
equations := columns compensated compensated_basis compensated_columns compensated_jet derive gauss_newton pairs pde \
    pde_bundle program sparse_grid triangle
environments := core_gradient core_products environments unit_gradient panels sample_cache slices propagate coordinate_window
cut := split_layer panels
gathers := gathered_layer
link := link
LEFT_OUT := $(filter-out $(PARTS),$(WITH_SOURCES))
IN := $(foreach part,$(PARTS),$($(part)))
NO_APPLIED := $(if $(filter environments gathers,$(LEFT_OUT)),gathered_gradient)
OUT := sparse_rows $(NO_APPLIED) $(filter-out $(IN),$(foreach part,$(LEFT_OUT),$($(part))))

SRC := modttzo.c run.c polled.c $(if $(filter link,$(PARTS)),run_link.c) $(LEFT_OUT:%=without_%.c) $(if $(NO_APPLIED),without_applied.c) without_sparse_rows.c
SRC += $(filter-out $(OUT:%=%.c),$(notdir $(wildcard $(CORE)*/*.c)))
