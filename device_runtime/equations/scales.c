// SPDX-License-Identifier: MIT
#include "equations/scales.h"

#include "network/layers.h"
#include "number/real.h"

float ttzo_core_scale(const struct ttzo_layer *layer)
{
    uint32_t length = ttzo_layer_length(layer);
    float spread = (float)((uint32_t)layer->in_features + layer->out_features);
    if (layer->kind == TTZO_LAYER_KIND_DENSE)
        return ttzo_sqrt(2.0f / spread);
    for (uint32_t k = 1; k < length; k++)
        spread = spread * (float)layer->ranks[k];
    return ttzo_exp(ttzo_log(2.0f / spread) * (0.5f / (float)length));
}
