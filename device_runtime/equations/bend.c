// SPDX-License-Identifier: MIT
#include "equations/bend.h"

#if TTZO_HAS(COORDINATES)

struct ttzo_bent ttzo_bend(enum ttzo_activation activation, float z)
{
    if (activation == TTZO_ACTIVATION_SINE) {
        float value = ttzo_sin(z);
        return (struct ttzo_bent){ value, ttzo_cos(z), -value };
    }
    if (activation == TTZO_ACTIVATION_TANH) {
        float value = ttzo_tanh(z), slope = TTZO_MULADD(-value, value, 1.0f);
        return (struct ttzo_bent){ value, slope, -2.0f * value * slope };
    }
    if (activation == TTZO_ACTIVATION_IDENTITY)
        return (struct ttzo_bent){ z, 1.0f, 0.0f };
    return (struct ttzo_bent){ z < 0.0f ? 0.0f : z, z < 0.0f ? 0.0f : 1.0f, 0.0f }; // NaN stays NaN
}

#endif
