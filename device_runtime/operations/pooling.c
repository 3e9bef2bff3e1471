// SPDX-License-Identifier: MIT
// Windows of an image, their numbers row by row.
#include "operations/calls.h"

#if TTZO_HAS(POOLING)

static uint32_t out_height(const struct ttzo_pool_attributes *a)
{
    return ((uint32_t)a->height + a->padding_top + a->padding_bottom - a->kernel_height) / a->stride_height + 1;
}

static uint32_t out_width(const struct ttzo_pool_attributes *a)
{
    return ((uint32_t)a->width + a->padding_left + a->padding_right - a->kernel_width) / a->stride_width + 1;
}

static bool pool_sizes(const uint8_t *attributes, uint8_t most_counted, struct ttzo_node_sizes *sizes)
{
    struct ttzo_pool_attributes a;
    ttzo_unpack_pool_attributes(attributes, &a);
    if (!a.kernel_height || !a.kernel_width || !a.stride_height || !a.stride_width || a.count_padding > most_counted ||
        a.padding_top >= a.kernel_height || a.padding_bottom >= a.kernel_height || a.padding_left >= a.kernel_width ||
        a.padding_right >= a.kernel_width || a.reserved ||
        (uint32_t)a.height + a.padding_top + a.padding_bottom < a.kernel_height ||
        (uint32_t)a.width + a.padding_left + a.padding_right < a.kernel_width)
        return false;
    *sizes =
        (struct ttzo_node_sizes){ .inputs = { ttzo_times(ttzo_times(a.channels, a.height), a.width) }, .n_inputs = 1 };
    sizes->output = ttzo_times(ttzo_times(a.channels, out_height(&a)), out_width(&a));
    return true;
}

bool ttzo_max_pool_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    (void)numbers;
    return pool_sizes(attributes, 0, sizes);
}

bool ttzo_average_pool_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    (void)numbers;
    return pool_sizes(attributes, 1, sizes);
}

// The part of a window that lies in the image: rows [top, bottom), columns [left, right).
struct window {
    uint32_t top, bottom, left, right;
};

static uint32_t inside(uint32_t place, uint32_t padding, uint32_t size)
{
    return place < padding ? 0 : place - padding < size ? place - padding : size;
}

static struct window window_at(const struct ttzo_pool_attributes *a, uint32_t row, uint32_t column)
{
    uint32_t y = row * a->stride_height, x = column * a->stride_width;
    return (
        struct window){ inside(y, a->padding_top, a->height), inside(y + a->kernel_height, a->padding_top, a->height),
                        inside(x, a->padding_left, a->width), inside(x + a->kernel_width, a->padding_left, a->width) };
}

// NaN stays: a broken forward pass must show.
static float largest_of(const float *image, uint32_t width, struct window w)
{
    float best = image[w.top * width + w.left];
    for (uint32_t y = w.top; y < w.bottom; y++)
        for (uint32_t x = w.left; x < w.right; x++) {
            float v = image[y * width + x];
            best = v > best || v != v ? v : best;
        }
    return best;
}

static float sum_of(const float *image, uint32_t width, struct window w)
{
    float sum = 0.0f;
    for (uint32_t y = w.top; y < w.bottom; y++)
        for (uint32_t x = w.left; x < w.right; x++)
            sum = sum + image[y * width + x];
    return sum;
}

void ttzo_max_pool_forward(const struct ttzo_node_call *call)
{
    struct ttzo_pool_attributes a;
    ttzo_unpack_pool_attributes(call->attributes, &a);
    const float *image = call->inputs[0];
    float *out = call->output;
    for (uint32_t c = 0; c < a.channels; c++, image += (uint32_t)a.height * a.width)
        for (uint32_t i = 0; i < out_height(&a); i++)
            for (uint32_t j = 0; j < out_width(&a); j++)
                *out++ = largest_of(image, a.width, window_at(&a, i, j));
}

void ttzo_average_pool_forward(const struct ttzo_node_call *call)
{
    struct ttzo_pool_attributes a;
    ttzo_unpack_pool_attributes(call->attributes, &a);
    const float *image = call->inputs[0];
    float *out = call->output;
    for (uint32_t c = 0; c < a.channels; c++, image += (uint32_t)a.height * a.width)
        for (uint32_t i = 0; i < out_height(&a); i++)
            for (uint32_t j = 0; j < out_width(&a); j++) {
                struct window w = window_at(&a, i, j);
                uint32_t count = a.count_padding ? (uint32_t)a.kernel_height * a.kernel_width
                                                 : (w.bottom - w.top) * (w.right - w.left);
                *out++ = sum_of(image, a.width, w) / (float)count;
            }
}

#endif
