// SPDX-License-Identifier: MIT
#include "network/loss.h"

#include <stddef.h>

#include "network/moments.h"
#include "number/real.h"

// ---- targets --------------------------------------------------------------------------------------------------------

uint32_t ttzo_loss_places(const struct ttzo_model *model)
{
    if (!TTZO_HAS_LOSSES)
        return 1;
    switch ((enum ttzo_loss)model->info.loss) {
    case TTZO_LOSS_CROSS_ENTROPY:
    case TTZO_LOSS_BINARY_CROSS_ENTROPY: return 1;
    case TTZO_LOSS_PLACE_CROSS_ENTROPY: return model->loss.places;
    default: return 0;
    }
}

uint32_t ttzo_loss_classes(const struct ttzo_model *model)
{
    uint32_t places = ttzo_loss_places(model);
    if (TTZO_HAS_LOSSES && model->info.loss == TTZO_LOSS_BINARY_CROSS_ENTROPY)
        return 2;
    return places ? model->info.out_features / places : 0;
}

uint32_t ttzo_target_bytes(const struct ttzo_model *model)
{
    uint32_t places = ttzo_loss_places(model);
    return places ? 2 * places : 4u * model->info.out_features;
}

bool ttzo_target_is_sound(const struct ttzo_model *model, const uint8_t *target)
{
    uint32_t classes = ttzo_loss_classes(model);
    bool pads = TTZO_HAS_LOSSES && model->info.loss == TTZO_LOSS_PLACE_CROSS_ENTROPY;
    for (uint32_t p = 0; p < ttzo_loss_places(model); p++) {
        uint32_t row_class = ttzo_get_u16(target + 2 * p);
        if (row_class >= classes && !(pads && row_class == TTZO_NO_CLASS))
            return false;
    }
    return true;
}

bool ttzo_loss_is_sound(const struct ttzo_model *model)
{
    if (!TTZO_HAS_LOSSES)
        return true;
    const struct ttzo_loss_info *loss = &model->loss;
    bool is_huber = model->info.loss == TTZO_LOSS_HUBER, by_places = model->info.loss == TTZO_LOSS_PLACE_CROSS_ENTROPY;
    if (by_places != (loss->places != 0) || (by_places && model->info.out_features % loss->places) ||
        (model->info.loss == TTZO_LOSS_BINARY_CROSS_ENTROPY && model->info.out_features != 1) ||
        (is_huber ? !(loss->huber_delta > 0.0f) || !ttzo_is_finite(loss->huber_delta) : loss->huber_delta != 0.0f) ||
        (loss->n_class_weights && loss->n_class_weights != ttzo_loss_classes(model)))
        return false;
    for (uint32_t c = 0; c < loss->n_class_weights; c++)
        if (!(model->class_weights[c] >= 0.0f) || !ttzo_is_finite(model->class_weights[c]))
            return false;
    return true;
}

// A class for each place: where its scores are, and how much its loss counts.
struct place {
    uint32_t row_class; // TTZO_NO_CLASS: does not count
    float weight;
};

static struct place place_of(const struct ttzo_model *model, const uint8_t *target, uint32_t p)
{
    struct place place = { ttzo_get_u16(target + 2 * p), 1.0f };
    if (TTZO_HAS_LOSSES && model->loss.n_class_weights && place.row_class != TTZO_NO_CLASS)
        place.weight = model->class_weights[place.row_class];
    return place;
}

uint32_t ttzo_row_judged(const struct ttzo_model *model, const uint8_t *target)
{
    uint32_t judged = 0;
    for (uint32_t p = 0; p < ttzo_loss_places(model); p++)
        judged += ttzo_get_u16(target + 2 * p) != TTZO_NO_CLASS;
    return judged;
}

// The factor by which the sum over a row's places becomes their mean; 1 where there are none.
static float share_of_place(const struct ttzo_model *model, const uint8_t *target)
{
    uint32_t judged = ttzo_row_judged(model, target);
    return judged > 1 ? 1.0f / (float)judged : 1.0f;
}

// ---- losses ---------------------------------------------------------------------------------------------------------

// log(sum_j exp(z_j - max)) - (z_class - max)
static float cross_entropy(float *z, uint32_t n, uint32_t row_class)
{
    float largest = z[0], sum = 0.0f;
    for (uint32_t j = 1; j < n; j++)
        if (z[j] > largest)
            largest = z[j];
    for (uint32_t j = 0; j < n; j++) {
        z[j] = z[j] - largest;
        sum = sum + ttzo_exp(z[j]);
    }
    return ttzo_log(sum) - z[row_class];
}

// Mean over the places that count.
static float place_cross_entropy(const struct ttzo_model *model, float *z, const uint8_t *target)
{
    uint32_t classes = ttzo_loss_classes(model);
    float sum = 0.0f;
    for (uint32_t p = 0; p < ttzo_loss_places(model); p++, z += classes) {
        struct place place = place_of(model, target, p);
        if (place.row_class != TTZO_NO_CLASS)
            sum = sum + place.weight * cross_entropy(z, classes, place.row_class);
    }
    return sum * share_of_place(model, target);
}

static float mean_squared_error(const float *z, uint32_t n, const uint8_t *target)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++) {
        float difference = z[j] - ttzo_get_f32(target + 4 * j);
        sum = TTZO_MULADD(difference, difference, sum);
    }
    return sum * (1.0f / (float)n);
}

static float clipped(float error, float delta)
{
    return error > delta ? delta : error < -delta ? -delta : error;
}

// With c the error e within delta, c (e - c / 2).
static float huber(const float *z, uint32_t n, const uint8_t *target, float delta)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++) {
        float error = z[j] - ttzo_get_f32(target + 4 * j), c = clipped(error, delta);
        sum = TTZO_MULADD(c, TTZO_MULADD(c, -0.5f, error), sum);
    }
    return sum * (1.0f / (float)n);
}

float ttzo_row_loss(const struct ttzo_model *model, float *outputs, const uint8_t *target)
{
    uint32_t n = model->info.out_features;
    if (!TTZO_HAS_LOSSES)
        return place_cross_entropy(model, outputs, target);
    switch ((enum ttzo_loss)model->info.loss) {
    case TTZO_LOSS_CROSS_ENTROPY:
    case TTZO_LOSS_PLACE_CROSS_ENTROPY: return place_cross_entropy(model, outputs, target);
    case TTZO_LOSS_BINARY_CROSS_ENTROPY: {
        float scores[2] = { 0.0f, outputs[0] };
        return place_cross_entropy(model, scores, target);
    }
    case TTZO_LOSS_HUBER: return huber(outputs, n, target, model->loss.huber_delta);
    default: return mean_squared_error(outputs, n, target);
    }
}

// ---- changes --------------------------------------------------------------------------------------------------------

// Returns the sum of exp(z_j - max), and the largest z.
static float softmax(const float *z, uint32_t n, float *p, float *max)
{
    float largest = z[0], sum = 0.0f;
    for (uint32_t j = 1; j < n; j++)
        if (z[j] > largest)
            largest = z[j];
    for (uint32_t j = 0; j < n; j++) {
        p[j] = ttzo_exp(z[j] - largest);
        sum = sum + p[j];
    }
    for (uint32_t j = 0; j < n; j++)
        p[j] = p[j] / sum;
    *max = largest;
    return sum;
}

static void loss_slopes(const struct ttzo_model *model, const float *outputs, const uint8_t *target, float *slopes)
{
    uint32_t n = model->info.out_features, classes = ttzo_loss_classes(model);
    float factor = model->info.loss == TTZO_LOSS_HUBER ? 1.0f : 2.0f, largest;
    if (model->info.loss == TTZO_LOSS_BINARY_CROSS_ENTROPY) {
        float scores[2] = { 0.0f, outputs[0] }, p[2];
        softmax(scores, 2, p, &largest);
        slopes[0] = p[1 - ttzo_get_u16(target)];
    } else if (classes) {
        for (uint32_t j = 0; j < n; j += classes)
            softmax(outputs + j, classes, slopes + j, &largest);
    } else {
        for (uint32_t j = 0; j < n; j++)
            slopes[j] = factor * (outputs[j] - ttzo_get_f32(target + 4 * j));
    }
}

float ttzo_loss_with_slopes(const struct ttzo_model *model, const float *outputs, const uint8_t *target, float *slopes,
                            float *scratch)
{
    uint32_t n = model->info.out_features;
    if (ttzo_loss_is_plain(model)) {
        float largest, sum = softmax(outputs, n, slopes, &largest);
        return ttzo_log(sum) - (outputs[ttzo_get_u16(target)] - largest);
    }
    loss_slopes(model, outputs, target, slopes);
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = outputs[i];
    return ttzo_row_loss(model, scratch, target);
}

struct moments {
    float squares, first, second, third; // sums of a a, p a, p a a, p a a a
};

static inline void add_moment(struct moments *sums, float p, float against)
{
    float moment = p * against;
    sums->squares = TTZO_MULADD(against, against, sums->squares);
    sums->first = sums->first + moment;
    moment = moment * against;
    sums->second = sums->second + moment;
    sums->third = TTZO_MULADD(moment, against, sums->third);
}

// The changes are `step` apart.
__attribute__((noinline)) static float large_change(const float *p, const float *changes, uint32_t step, uint32_t n,
                                                    float own)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++)
        sum = TTZO_MULADD(p[j], ttzo_expm1(changes[j * step] - own), sum);
    return ttzo_log1p(sum);
}

// The changes are `step` apart.
static float cross_entropy_change(const float *p, const float *changes, uint32_t step, uint32_t n, float own)
{
    struct moments sums = { 0.0f, 0.0f, 0.0f, 0.0f };
    for (uint32_t j = 0; j < n; j++)
        add_moment(&sums, p[j], changes[j * step] - own);
    return sums.squares < TTZO_SMALL_SQUARES ? ttzo_change_of_moments(sums.first, sums.second, sums.third)
                                             : large_change(p, changes, step, n, own);
}

void ttzo_loss_moved_changes(const float *slopes, const struct ttzo_quad *changes, uint32_t step, uint32_t n_quads,
                             uint32_t outputs, uint32_t own, float (*differences)[TTZO_QUERIES_AT_ONCE])
{
    while (n_quads) {
        uint32_t small = ttzo_small_changes(differences, slopes, changes, step, n_quads, outputs, own);
        n_quads -= small, changes += small * step, differences += small;
        if (n_quads == 0)
            return;
        for (uint32_t q = 0; q < TTZO_QUERIES_AT_ONCE; q++)
            (*differences)[q] = cross_entropy_change(slopes, changes->of + q, TTZO_QUERIES_AT_ONCE, outputs,
                                                     own < outputs ? changes[own].of[q] : 0.0f);
        n_quads--, changes += step, differences++;
    }
}

// log1p of the sum over the outputs [first, end) without the class's own, which change by `against` relative to it.
__attribute__((noinline)) static float large_output_change(const float *slopes, uint32_t first, uint32_t end,
                                                           float against, uint32_t row_class)
{
    float sum = 0.0f, moved = ttzo_expm1(against);
    for (uint32_t j = first; j < end; j++)
        if (j != row_class)
            sum = TTZO_MULADD(slopes[j], moved, sum);
    return ttzo_log1p(sum);
}

// Of one of n outputs; `antithetic`: less the loss's change by the opposite change, whose moments differ in sign alone.
static inline float output_change(const float *slopes, uint32_t n, uint32_t output, float change, uint32_t row_class,
                                  bool antithetic)
{
    struct moments sums = { 0.0f, 0.0f, 0.0f, 0.0f };
    uint32_t first = output, end = output + 1;
    if (output == row_class) { // all others change against it
        change = -change;
        first = 0, end = n;
        for (uint32_t j = 0; j < n; j++)
            if (j != row_class)
                add_moment(&sums, slopes[j], change);
    } else
        add_moment(&sums, slopes[output], change);
    if (sums.squares < TTZO_SMALL_SQUARES) {
        float above = ttzo_change_of_moments(sums.first, sums.second, sums.third);
        return antithetic ? above - ttzo_change_of_moments(-sums.first, sums.second, -sums.third) : above;
    }
    float above = large_output_change(slopes, first, end, change, row_class);
    return antithetic ? above - large_output_change(slopes, first, end, -change, row_class) : above;
}

float ttzo_loss_output_change(const struct ttzo_model *model, const float *slopes, uint32_t output, float change,
                              const uint8_t *target)
{
    return output_change(slopes, model->info.out_features, output, change, ttzo_get_u16(target), false);
}

#if TTZO_HAS(GATHERED)

void ttzo_loss_output_changes(const struct ttzo_model *model, const float *slopes, uint32_t output,
                              const float *changes, uint32_t n, const uint8_t *target, bool antithetic,
                              float *differences)
{
    uint32_t outputs = model->info.out_features, row_class = ttzo_get_u16(target);
    for (const float *end = changes + n; changes != end; changes++)
        *differences++ = output_change(slopes, outputs, output, *changes, row_class, antithetic);
}

#endif

static float place_change(const struct ttzo_model *model, const float *p, const float *changes, const uint8_t *target)
{
    uint32_t classes = ttzo_loss_classes(model);
    float sum = 0.0f;
    for (uint32_t i = 0; i < ttzo_loss_places(model); i++, p += classes, changes += classes) {
        struct place place = place_of(model, target, i);
        if (place.row_class != TTZO_NO_CLASS)
            sum = sum + place.weight * cross_entropy_change(p, changes, 1, classes, changes[place.row_class]);
    }
    return sum * share_of_place(model, target);
}

// `wrong`: probability of the other class.
static float binary_change(const struct ttzo_model *model, float wrong, float change, const uint8_t *target)
{
    struct place place = place_of(model, target, 0);
    float against = place.row_class ? -change : change;
    return place.weight * cross_entropy_change(&wrong, &against, 1, 1, 0.0f);
}

static float squared_change(const float *slopes, const float *changes, uint32_t n)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++)
        sum = TTZO_MULADD(changes[j], slopes[j] + changes[j], sum);
    return sum * (1.0f / (float)n);
}

// With the error e, its change d, a and b what lies within delta of e and e + d: b d + (b - a) (e - (a + b) / 2).
static float huber_change(const float *errors, const float *changes, uint32_t n, float delta)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++) {
        float a = clipped(errors[j], delta), b = clipped(errors[j] + changes[j], delta);
        sum = TTZO_MULADD(b, changes[j], sum);
        sum = TTZO_MULADD(b - a, TTZO_MULADD(a + b, -0.5f, errors[j]), sum);
    }
    return sum * (1.0f / (float)n);
}

float ttzo_loss_change(const struct ttzo_model *model, const float *slopes, const float *changes, const uint8_t *target)
{
    uint32_t outputs = model->info.out_features;
    switch ((enum ttzo_loss)model->info.loss) {
    case TTZO_LOSS_CROSS_ENTROPY:
    case TTZO_LOSS_PLACE_CROSS_ENTROPY: return place_change(model, slopes, changes, target);
    case TTZO_LOSS_BINARY_CROSS_ENTROPY: return binary_change(model, slopes[0], changes[0], target);
    case TTZO_LOSS_HUBER: return huber_change(slopes, changes, outputs, model->loss.huber_delta);
    default: return squared_change(slopes, changes, outputs);
    }
}

void ttzo_loss_changes(const struct ttzo_model *model, const float *slopes, const struct ttzo_quad *changes, uint32_t n,
                       const uint8_t *target, float *scratch, float differences[TTZO_QUERIES_AT_ONCE])
{
    uint32_t outputs = model->info.out_features;
    if (ttzo_loss_is_plain(model)) {
        float (*found)[TTZO_QUERIES_AT_ONCE] = (float (*)[TTZO_QUERIES_AT_ONCE])differences;
        uint32_t own = ttzo_get_u16(target);
        if (!ttzo_small_changes(found, slopes, changes, outputs, 1, outputs, own))
            ttzo_loss_moved_changes(slopes, changes, outputs, 1, outputs, own, found);
        return;
    }
    for (uint32_t q = 0; q < n; q++) {
        for (uint32_t j = 0; j < outputs; j++)
            scratch[j] = changes[j].of[q];
        differences[q] = ttzo_loss_change(model, slopes, scratch, target);
    }
}

// ---- hits -----------------------------------------------------------------------------------------------------------

static uint32_t largest_of(const float *scores, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t j = 1; j < n; j++)
        if (scores[j] > scores[best])
            best = j;
    return best;
}

uint32_t ttzo_row_hits(const struct ttzo_model *model, const float *outputs, const uint8_t *target)
{
    uint32_t classes = ttzo_loss_classes(model), hits = 0;
    if (TTZO_HAS_LOSSES && model->info.loss == TTZO_LOSS_BINARY_CROSS_ENTROPY)
        return (outputs[0] > 0.0f) == (ttzo_get_u16(target) == 1);
    for (uint32_t p = 0; p < ttzo_loss_places(model); p++, outputs += classes)
        hits += largest_of(outputs, classes) == ttzo_get_u16(target + 2 * p);
    return hits;
}
