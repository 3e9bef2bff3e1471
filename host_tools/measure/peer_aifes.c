// SPDX-License-Identifier: MIT
// The same network in AIfES 2, whose sources a person has fetched (AGPL; nothing of it is here).
#include "peer.h"

#include <aifes.h>

// The best of 16 settings that were tried: batches of 1 to 16, rates of 0.03 to 0.8.
#define RATE 0.03f
#define BATCH 16

__attribute__((section(".pool"))) static uint32_t pool[1 << 16]; // counted by what AIfES asks for

static uint16_t one_row[] = { 1, PEER_INPUTS }, rows_shape[] = { BATCH, PEER_INPUTS },
                target_shape[] = { BATCH, PEER_CLASSES }, answer_shape[] = { 1, PEER_CLASSES };
static ailayer_input_f32_t input = AILAYER_INPUT_F32_A(2, one_row);
static ailayer_dense_f32_t hidden = AILAYER_DENSE_F32_A(PEER_HIDDEN), last = AILAYER_DENSE_F32_A(PEER_CLASSES);
static ailayer_relu_f32_t relu = AILAYER_RELU_F32_A();
static ailayer_softmax_f32_t softmax = AILAYER_SOFTMAX_F32_A();
static ailoss_crossentropy_f32_t loss;
static aiopti_sgd_f32_t sgd = AIOPTI_SGD_F32(RATE);
static aiopti_t *optimizer;
static aimodel_t model;
static float inputs[BATCH][PEER_INPUTS], targets[BATCH][PEER_CLASSES];

uint32_t peer_begin(const float *first, const float *second)
{
    model.input_layer = ailayer_input_f32_default(&input);
    ailayer_t *at = ailayer_dense_f32_default(&hidden, model.input_layer);
    at = ailayer_relu_f32_default(&relu, at);
    at = ailayer_dense_f32_default(&last, at);
    model.output_layer = ailayer_softmax_f32_default(&softmax, at);
    model.loss = ailoss_crossentropy_f32_default(&loss, model.output_layer);
    aialgo_compile_model(&model);
    uint32_t parameters = aialgo_sizeof_parameter_memory(&model);
    aialgo_distribute_parameter_memory(&model, pool, parameters);
    optimizer = aiopti_sgd_f32_default(&sgd);
    uint32_t training = aialgo_sizeof_training_memory(&model, optimizer);
    aialgo_schedule_training_memory(&model, optimizer, pool + (parameters + 3) / 4, training);
    aialgo_init_model_for_training(&model, optimizer);
    float *w = hidden.weights.data, *v = last.weights.data; // [inputs][outputs]
    for (int j = 0; j < PEER_HIDDEN; j++)
        for (int i = 0; i < PEER_INPUTS; i++)
            w[i * PEER_HIDDEN + j] = first[j * PEER_INPUTS + i];
    for (int k = 0; k < PEER_CLASSES; k++)
        for (int j = 0; j < PEER_HIDDEN; j++)
            v[j * PEER_CLASSES + k] = second[k * PEER_HIDDEN + j];
    aimath_f32_default_init_zeros(&hidden.bias);
    aimath_f32_default_init_zeros(&last.bias);
    return parameters + training;
}

void peer_train(const uint16_t *rows, uint32_t n)
{
    aitensor_t x = AITENSOR_2D_F32(rows_shape, inputs), y = AITENSOR_2D_F32(target_shape, targets);
    for (; n >= BATCH; n -= BATCH, rows += BATCH) {
        for (int r = 0; r < BATCH; r++) {
            for (int i = 0; i < PEER_INPUTS; i++)
                inputs[r][i] = peer_rows[rows[r]][i];
            for (int k = 0; k < PEER_CLASSES; k++)
                targets[r][k] = peer_classes[rows[r]] == k ? 1.0f : 0.0f;
        }
        aialgo_train_model(&model, &x, &y, optimizer, BATCH);
    }
}

uint32_t peer_answer(const float *row)
{
    float made[PEER_CLASSES];
    uint32_t best = 0;
    aitensor_t x = AITENSOR_2D_F32(one_row, (void *)(uintptr_t)row), y = AITENSOR_2D_F32(answer_shape, made);
    aialgo_inference_model(&model, &x, &y);
    for (uint32_t k = 0; k < PEER_CLASSES; k++)
        best = made[k] > made[best] ? k : best;
    return best;
}
