// SPDX-License-Identifier: MIT
// Back-propagation in forty lines of plain C: a step of stochastic gradient descent after each row.
#include <math.h>

#include "peer.h"

#define RATE 0.05f

static float w1[PEER_HIDDEN][PEER_INPUTS], b1[PEER_HIDDEN], w2[PEER_CLASSES][PEER_HIDDEN], b2[PEER_CLASSES];
static float h[PEER_HIDDEN], z[PEER_CLASSES];

uint32_t peer_begin(const float *first, const float *second)
{
    for (int i = 0; i < PEER_HIDDEN * PEER_INPUTS; i++)
        w1[0][i] = first[i];
    for (int i = 0; i < PEER_CLASSES * PEER_HIDDEN; i++)
        w2[0][i] = second[i];
    return 0;
}

uint32_t peer_answer(const float *x)
{
    uint32_t best = 0;
    for (int j = 0; j < PEER_HIDDEN; j++) {
        float sum = b1[j];
        for (int i = 0; i < PEER_INPUTS; i++)
            sum += w1[j][i] * x[i];
        h[j] = sum > 0.0f ? sum : 0.0f;
    }
    for (uint32_t k = 0; k < PEER_CLASSES; k++) {
        z[k] = b2[k];
        for (int j = 0; j < PEER_HIDDEN; j++)
            z[k] += w2[k][j] * h[j];
        best = z[k] > z[best] ? k : best;
    }
    return best;
}

void peer_train(const uint16_t *rows, uint32_t n)
{
    for (; n > 0; n--, rows++) {
        const float *x = peer_rows[*rows];
        float largest = z[peer_answer(x)], sum = 0.0f, back[PEER_HIDDEN] = { 0.0f };
        for (int k = 0; k < PEER_CLASSES; k++)
            sum += z[k] = expf(z[k] - largest);
        for (int k = 0; k < PEER_CLASSES; k++) {
            float step = RATE * (z[k] / sum - (peer_classes[*rows] == k ? 1.0f : 0.0f));
            for (int j = 0; j < PEER_HIDDEN; j++) {
                back[j] += step * w2[k][j];
                w2[k][j] -= step * h[j];
            }
            b2[k] -= step;
        }
        for (int j = 0; j < PEER_HIDDEN; j++) {
            if (h[j] == 0.0f)
                continue;
            for (int i = 0; i < PEER_INPUTS; i++)
                w1[j][i] -= back[j] * x[i];
            b1[j] -= back[j];
        }
    }
}
