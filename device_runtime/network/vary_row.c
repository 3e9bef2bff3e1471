// SPDX-License-Identifier: MIT
#include "network/vary_row.h"

#include "network/network.h"
#include "number/random.h"
#include "number/real.h"

#if TTZO_HAS(AUGMENTATION)

// ---- noise ----------------------------------------------------------------------------------------------------------

// Where a row's noise is: seed and counter, but for the block.
struct noise {
    uint64_t seed;
    uint32_t step, slot;
};

static void words_of(const struct noise *noise, uint32_t block, uint32_t words[4])
{
    const uint32_t counter[4] = { block, noise->slot, noise->step, TTZO_STREAM_AUGMENTATION };
    ttzo_philox(counter, noise->seed, words);
}

// Four normal numbers at a time, from `block` on.
struct normals {
    const struct noise *noise;
    uint32_t block;
    uint32_t used; // of `numbers`
    float numbers[4];
};

static float next_normal(struct normals *from)
{
    if (from->used == 4) {
        uint32_t words[4];
        words_of(from->noise, from->block++, words);
        ttzo_normal_pair(words, from->numbers);
        ttzo_normal_pair(words + 2, from->numbers + 2);
        from->used = 0;
    }
    return from->numbers[from->used++];
}

// ---- shift ----------------------------------------------------------------------------------------------------------

static int32_t shift_of(uint32_t word, uint32_t most)
{
    return (int32_t)(word % (2u * most + 1u)) - (int32_t)most;
}

// One channel [height][width] of numbers of `size` bytes moves `down` and `right`. Each number is read before its place
// is written: numbers that move on are taken from the end.
static void shift_channel(const struct ttzo_row_info *rows, uint8_t *channel, uint32_t size, int32_t down,
                          int32_t right)
{
    const int32_t height = rows->height, width = rows->width, n = height * width;
    const bool from_end = down > 0 || (down == 0 && right > 0);
    for (int32_t i = 0; i < n; i++) {
        int32_t to = from_end ? n - 1 - i : i;
        int32_t y = to / width - down, x = to % width - right;
        if (height == 1)
            x = x < 0 ? 0 : x >= width ? width - 1 : x;
        bool is_inside = y >= 0 && y < height && x >= 0 && x < width;
        const uint8_t *from = channel + (uint32_t)(is_inside ? y * width + x : 0) * size;
        for (uint32_t b = 0; b < size; b++)
            channel[(uint32_t)to * size + b] = is_inside ? from[b] : 0;
    }
}

// ---- scaling and jitter ---------------------------------------------------------------------------------------------

// The nearest whole number, ties to even, between the least and the largest of the type.
static int32_t to_integer(float x, float low, float high)
{
    const float round = 12582912.0f; // adding it rounds |x| < 2^22 to the nearest integer, ties to even
    return (int32_t)(x >= high ? high : x > low ? (x + round) - round : low);
}

static void vary_number(const struct ttzo_model *model, uint8_t *row, uint32_t i, float factor, float noise)
{
    switch ((enum ttzo_number)model->info.input_number) {
    case TTZO_NUMBER_UINT8:
        row[i] = (uint8_t)to_integer(TTZO_MULADD(factor, (float)row[i], noise), 0.0f, 255.0f);
        break;
    case TTZO_NUMBER_INT16: {
        float raw = (float)ttzo_get_i16(row + 2 * i);
        ttzo_put_i16(row + 2 * i, (int16_t)to_integer(TTZO_MULADD(factor, raw, noise), -32768.0f, 32767.0f));
        break;
    }
    case TTZO_NUMBER_FLOAT32: ttzo_put_f32(row + 4 * i, TTZO_MULADD(factor, ttzo_get_f32(row + 4 * i), noise)); break;
    }
}

// ---- a row ----------------------------------------------------------------------------------------------------------

bool ttzo_row_info_is_sound(const struct ttzo_model *model)
{
    const struct ttzo_row_info *rows = &model->rows;
    uint64_t numbers = (uint64_t)rows->channels * rows->height * rows->width;
    return numbers == model->info.in_features && rows->shift_height < rows->height && rows->shift_width < rows->width &&
           ttzo_is_finite(rows->scaling) && rows->scaling >= 0.0f && ttzo_is_finite(rows->jitter) &&
           rows->jitter >= 0.0f;
}

void ttzo_vary_row(const struct ttzo_model *model, uint64_t seed, uint32_t step, uint32_t slot, uint8_t *row)
{
    const struct ttzo_row_info *rows = &model->rows;
    const struct noise noise = { seed, step, slot };
    const uint32_t size = ttzo_input_bytes(model) / model->info.in_features;
    const uint32_t channel = (uint32_t)rows->height * rows->width;
    uint32_t words[4];
    words_of(&noise, 0, words);
    int32_t down = shift_of(words[0], rows->shift_height), right = shift_of(words[1], rows->shift_width);
    if (down != 0 || right != 0)
        for (uint32_t c = 0; c < rows->channels; c++)
            shift_channel(rows, row + (size_t)c * channel * size, size, down, right);
    if (!(rows->scaling > 0.0f) && !(rows->jitter > 0.0f))
        return;
    struct normals factors = { &noise, 1, 4, { 0.0f, 0.0f, 0.0f, 0.0f } };
    struct normals jitters = { &noise, 1 + (rows->channels + 3u) / 4u, 4, { 0.0f, 0.0f, 0.0f, 0.0f } };
    for (uint32_t c = 0; c < rows->channels; c++) {
        float factor = rows->scaling > 0.0f ? TTZO_MULADD(rows->scaling, next_normal(&factors), 1.0f) : 1.0f;
        for (uint32_t i = c * channel; i < (c + 1) * channel; i++)
            vary_number(model, row, i, factor, rows->jitter > 0.0f ? rows->jitter * next_normal(&jitters) : 0.0f);
    }
}

#endif
