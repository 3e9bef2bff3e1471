// SPDX-License-Identifier: MIT
// A module without the part `cut` has this in the place of cut. ttzo_read_bundle
// refuses a model that needs the part: what is asked for sizes answers that there are none, the rest is never called.
#include "network/split_layer.h"

uint64_t ttzo_cut_prepared(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

uint64_t ttzo_cut_scratch(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

uint64_t ttzo_cut_macs(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

uint64_t ttzo_cut_prepare(const struct ttzo_layer *layer, const float *theta, float *prepared, float *scratch)
{
    (void)layer, (void)theta, (void)prepared, (void)scratch;
    return 0;
}

void ttzo_cut_forward(const struct ttzo_layer *layer, const float *theta, const float *prepared, const float *in,
                      float *out, float *scratch)
{
    (void)layer, (void)theta, (void)prepared, (void)in, (void)out, (void)scratch;
}
