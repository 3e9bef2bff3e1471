// SPDX-License-Identifier: MIT
// A module without the part `gathers` has this in the place of gather. ttzo_read_bundle refuses a model that needs the
// part: every layer is applied once, the rest is never called.
#include "network/gathered_layer.h"

uint64_t ttzo_layer_inputs(const struct ttzo_layer *layer)
{
    return layer->in_features;
}

uint64_t ttzo_layer_outputs(const struct ttzo_layer *layer)
{
    return layer->out_features;
}

bool ttzo_gather_is_sound(const struct ttzo_layer *layer)
{
    return !layer->gather;
}

uint64_t ttzo_gather_scratch(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

uint64_t ttzo_gather_macs(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

void ttzo_gather_forward(const struct ttzo_layer *layer, const float *theta, const float *in, float *out,
                         float *scratch)
{
    (void)layer, (void)theta, (void)in, (void)out, (void)scratch;
}
