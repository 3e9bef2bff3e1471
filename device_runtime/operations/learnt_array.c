// SPDX-License-Identifier: MIT
#include "operations/calls.h"

bool ttzo_learnt_array_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    (void)attributes;
    *sizes = (struct ttzo_node_sizes){ .output = numbers, .parameters = numbers };
    return true;
}

void ttzo_learnt_array_forward(const struct ttzo_node_call *call)
{
    for (uint32_t i = 0; i < call->numbers; i++)
        call->output[i] = call->parameters[i];
}

#if TTZO_HAS(EQUATIONS)

void ttzo_learnt_array_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet)
{
    ttzo_learnt_array_forward(call);
    for (uint32_t i = call->numbers; i < ttzo_jet_columns(jet) * call->numbers; i++)
        call->output[i] = 0.0f;
}

#endif
