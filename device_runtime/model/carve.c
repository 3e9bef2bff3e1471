// SPDX-License-Identifier: MIT
#include "model/carve.h"

float *ttzo_take(struct ttzo_carve *carve, uint64_t n)
{
    float *piece = carve->area ? carve->area + carve->numbers : NULL;
    carve->numbers += n;
    return piece;
}

float *ttzo_take_even(struct ttzo_carve *carve, uint64_t n)
{
    return ttzo_take(carve, ttzo_even(n));
}
