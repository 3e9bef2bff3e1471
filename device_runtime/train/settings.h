// SPDX-License-Identifier: MIT
// Settings of a training run: which values are in range.
#ifndef TTZO_SETTINGS_H
#define TTZO_SETTINGS_H
#include "model/model.h"

// `bad_setting` with the number of the first setting out of range: fields of the record training count from 0, those
// of phase p from 16 (p + 1), in the contract's order.
enum ttzo_error ttzo_check_settings(const struct ttzo_training *training, const struct ttzo_phase *phases,
                                    uint32_t *detail);

// `fixed_at_export`, numbered likewise, when `phases` ask for another estimator or update rule than `exported`.
enum ttzo_error ttzo_check_fixed(const struct ttzo_training *training, const struct ttzo_phase *phases,
                                 const struct ttzo_model *exported, uint32_t *detail);

#endif
