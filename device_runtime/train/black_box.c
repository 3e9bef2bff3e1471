// SPDX-License-Identifier: MIT
#include "number/crc32.h"
#include "number/real.h"
#include "ttzo.h"

void ttzo_black_box_model(struct ttzo_model *model, const struct ttzo_black_box *box)
{
    *model = (struct ttzo_model){
        .info = { .n_parameters = box->n_parameters,
                  .batch = box->n_losses,
                  .in_features = 1, // of rows that it does not take
                  .out_features = 1,
                  .input_number = TTZO_NUMBER_FLOAT32,
                  .loss = TTZO_LOSS_MSE,
                  .arithmetic = TTZO_FUSED ? TTZO_ARITHMETIC_FUSED : TTZO_ARITHMETIC_SEPARATE,
                  .input_scale = 1.0f },
        .training = { .seed = box->seed,
                      .steps = box->steps,
                      .n_phases = 1,
                      .schedule = box->schedule,
                      .plateau_patience = 1,
                      .decay_every = 1,
                      .decay_factor = 1.0f,
                      .plateau_window = 1 },
        .phases = { box->phase },
        .parameters = box->start,
        .box = { box->ask, box->context, box->gives_residuals },
    };
    if (!model->phases[0].n_coordinates) // not its setting, yet it has a range
        model->phases[0].n_coordinates = 1;
    uint32_t crc = ttzo_crc32(0, (const uint8_t *)box->start, sizeof(float) * box->n_parameters);
    ttzo_put_u32(model->hash, crc); // a saved run of another start is another model's
    ttzo_put_u32(model->hash + 4, box->n_losses);
    model->info.work_bytes = ttzo_work_bytes(model);
}
