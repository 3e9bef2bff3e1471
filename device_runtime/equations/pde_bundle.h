// SPDX-License-Identifier: MIT
// An equation's section of a bundle: read and checked once, when the bundle is loaded.
#ifndef TTZO_PDE_BUNDLE_H
#define TTZO_PDE_BUNDLE_H

#include "model/model.h"

#if TTZO_HAS(EQUATIONS)

// Reads and checks the section of a bundle at `bytes` (4-byte aligned, at most `size` bytes) for a network of
// `n_inputs` inputs and `n_outputs` outputs; false when anything is out of place. Programs, bounds and grid stay in the bundle.
bool ttzo_read_pde(const uint8_t *bytes, size_t size, uint32_t n_inputs, uint32_t n_outputs, struct ttzo_pde *pde);

// Whether a PDE's numbers are sound, for a network of `n_inputs` inputs and `n_outputs` outputs and a batch of `batch` rows.
bool ttzo_pde_is_sound(const struct ttzo_pde *pde, uint32_t n_inputs, uint32_t n_outputs, uint32_t batch);

#else

static inline bool ttzo_read_pde(const uint8_t *bytes, size_t size, uint32_t n_inputs, uint32_t n_outputs,
                                 struct ttzo_pde *pde)
{
    (void)bytes, (void)size, (void)n_inputs, (void)n_outputs, (void)pde;
    return false;
}

static inline bool ttzo_pde_is_sound(const struct ttzo_pde *pde, uint32_t n_inputs, uint32_t n_outputs, uint32_t batch)
{
    (void)pde, (void)n_inputs, (void)n_outputs, (void)batch;
    return false;
}

#endif
#endif
