// SPDX-License-Identifier: MIT
// Cuts the power at every byte of a generation's erase and write, in a model of flash: a page that is being erased holds
// some of its old zeros, a byte that is being written some of its new ones, and after a cut nothing works until the next
// start. The same in a memory that needs no erasing. Each cut is followed by a start, a second cut at a random byte, a
// start, and the rest of the run. Then every byte of the newest generation rots, one at a time.
// Prints how many starts there were, how many found a whole generation that was as new as it can be, in the bits of a run
// that was never cut, and how many runs ended in those bits.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/storage.h"

#define N 48u        // parameters
#define STEPS 6u     // of a run
#define PAGE 256u    // bytes that are erased at once
#define SLOT (4 * PAGE)
#define NEVER UINT64_MAX

static struct ttzo_trainer trainer;
static struct ttzo_storage storage;
static struct ttzo_model model;
static uint64_t work[1 << 12];
static uint32_t wanted[STEPS + 1]; // CRC-32 of parameters and moments after each step of a run without cuts
static unsigned misused;           // writes to bytes that were not erased

// ---- flash ----------------------------------------------------------------------------------------------------------

static struct {
    uint8_t bytes[2][SLOT];
    uint64_t left; // bytes that are still erased or written before the power fails
    uint64_t used;
    bool dead;
    bool is_ram;  // it needs no erasing
    bool is_worn; // erasing does nothing
} flash;

static uint32_t random_state = 1;

static uint32_t any(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    return random_state ^= random_state << 5;
}

static bool has_power(void)
{
    if (flash.left == 0)
        flash.dead = true;
    flash.left -= flash.left != NEVER;
    flash.used++;
    return !flash.dead;
}

static bool erase_page(uint8_t *page)
{
    for (uint32_t i = 0; i < PAGE; i++)
        if (!has_power()) {
            uint32_t from = any() % 2 ? 0 : i; // the cells of a page let go one after the other, or all at once
            for (uint32_t k = from; k < PAGE; k++)
                page[k] |= (uint8_t)any();
            return false;
        } else {
            page[i] = 0xFF;
        }
    return true;
}

static bool model_slot_erase(void *context, uint32_t slot)
{
    (void)context;
    if (flash.is_ram || flash.is_worn)
        return !flash.dead;
    uint32_t turned = any() % 2 * 3; // pages in ascending or descending order
    for (uint32_t p = 0; p < SLOT / PAGE && !flash.dead; p++)
        if (!erase_page(flash.bytes[slot] + (p ^ turned) * PAGE))
            return false;
    return !flash.dead;
}

static bool model_slot_write(void *context, uint32_t slot, uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    for (uint32_t i = 0; i < count && !flash.dead; i++) {
        uint8_t *at = flash.bytes[slot] + offset + i;
        misused += (*at != 0xFF && !flash.is_ram && !flash.is_worn) || offset % 4 || count % 4;
        if (flash.is_ram)
            *at = has_power() ? bytes[i] : (uint8_t)any();
        else
            *at &= has_power() ? bytes[i] : (uint8_t)(bytes[i] | any());
    }
    return !flash.dead;
}

static bool model_slot_read(void *context, uint32_t slot, uint32_t offset, uint8_t *bytes, uint32_t count)
{
    (void)context;
    if (flash.dead || offset > SLOT || count > SLOT - offset)
        return false;
    memcpy(bytes, flash.bytes[slot] + offset, count);
    return true;
}

static const struct ttzo_slots slots = { model_slot_erase, model_slot_write, model_slot_read, NULL, SLOT, 10000 };

// ---- a run ----------------------------------------------------------------------------------------------------------

static void bowl(void *context, const float *theta, float *losses)
{
    (void)context;
    losses[0] = 0;
    for (uint32_t i = 0; i < N; i++)
        losses[0] += (theta[i] - 1.0f / (float)(i + 1)) * (theta[i] - 1.0f / (float)(i + 1));
}

static uint32_t bits(void)
{
    uint32_t crc = ttzo_crc32(0, (const uint8_t *)trainer.theta, 4 * N);
    return ttzo_crc32(crc, (const uint8_t *)trainer.moments, 4 * trainer.n_moments);
}

static void start(void)
{
    uint32_t detail;
    flash.left = NEVER;
    flash.dead = false;
    if (ttzo_open(&trainer, &model, work, sizeof work, &detail)) {
        fprintf(stderr, "the trainer does not open (%u)\n", (unsigned)detail);
        exit(1);
    }
    if (ttzo_storage_open(&storage, &slots, &trainer, &detail))
        misused++;
}

static void step(void)
{
    struct ttzo_step_result result;
    uint32_t detail;
    if (ttzo_step(&trainer, TTZO_REGION_COLLOCATION, &result, &detail))
        misused++;
}

// One step and its generation, the power failing after `left` bytes. Whether the generation was answered with OK.
static bool step_and_keep(uint64_t left)
{
    uint32_t detail;
    step();
    flash.left = left;
    return !ttzo_keep(&storage, 7, &detail);
}

// A start after which the run stands at `least` steps or, where the last generation was complete, at one more.
static bool starts_whole(uint32_t least)
{
    start();
    uint32_t at = trainer.state.step;
    return (at == least || at == least + 1) && storage.generation == at && storage.run == 7 && bits() == wanted[at];
}

static bool ends_right(void)
{
    while (trainer.state.step < STEPS)
        if (!step_and_keep(NEVER))
            return false;
    return bits() == wanted[STEPS] && starts_whole(STEPS);
}

// A start after a cut in a run whose memory had answered `least` generations.
static bool starts_as_kept(uint32_t least)
{
    if (least)
        return starts_whole(least);
    start(); // nothing was complete: nothing, or the first generation
    return !storage.generation ? trainer.state.step == 0 && bits() == wanted[0] : bits() == wanted[1];
}

static void cut_everywhere(void)
{
    memset(&flash.bytes, 0xFF, sizeof flash.bytes);
    start();
    flash.used = 0;
    step_and_keep(NEVER);
    uint64_t bytes = flash.used;
    unsigned starts = 0, whole = 0, runs = 0, same = 0;
    for (uint32_t before = 0; before < 3; before++) // generations before the cut one: none, in slot 0, in both
        for (uint64_t cut = 0; cut <= bytes; cut++) {
            memset(flash.bytes, 0xFF, sizeof flash.bytes);
            start();
            for (uint32_t k = 0; k < before; k++)
                step_and_keep(NEVER);
            bool kept = step_and_keep(cut);
            whole += starts_as_kept(before + kept);
            uint32_t held = trainer.state.step;
            kept = step_and_keep(any() % bytes);
            whole += starts_as_kept(held + kept);
            same += ends_right();
            starts += 2;
            runs++;
        }
    printf("%u cuts at %u bytes, %u whole; %u runs, %u same; %u misused\n", starts, (unsigned)bytes, whole, runs, same,
           misused);
}

// One bit of the newest generation rots: the one before is found.
static void rot_everywhere(void)
{
    uint32_t size = ttzo_slot_bytes(&trainer), found = 0;
    memset(flash.bytes, 0xFF, sizeof flash.bytes);
    start();
    step_and_keep(NEVER);
    step_and_keep(NEVER); // into slot 1
    for (uint32_t i = 0; i < size; i++) {
        flash.bytes[1][i] ^= (uint8_t)(1u << i % 8);
        start();
        found += storage.generation == 1 && bits() == wanted[1];
        flash.bytes[1][i] ^= (uint8_t)(1u << i % 8);
    }
    printf("%u bytes rot, %u times the generation before\n", size, found);
}

// What else may stand in the slots, and how they may fail.
static void say_odd_cases(void)
{
    uint32_t detail = 0;
    struct ttzo_slots small = slots;
    memset(flash.bytes, 0xFF, sizeof flash.bytes);
    start();
    storage.generation = UINT32_MAX - 1;
    step_and_keep(NEVER);
    step_and_keep(NEVER);
    start();
    printf("after the last number %u at step %u\n", storage.generation, trainer.state.step);
    model.hash[0] ^= 1;
    start();
    printf("another model %u at step %u\n", storage.generation, trainer.state.step);
    model.hash[0] ^= 1;
    small.slot_bytes = ttzo_slot_bytes(&trainer) - 1;
    enum ttzo_error error = ttzo_storage_open(&storage, &small, &trainer, &detail);
    printf("small slots %s, %s\n", ttzo_error_name(error), detail == ttzo_slot_bytes(&trainer) ? "size" : "no size");
    start();
    flash.dead = true;
    printf("dead %s", ttzo_error_name(ttzo_keep(&storage, 7, &detail)));
    flash.dead = false;
    memset(flash.bytes[1], 0, SLOT); // worn out: it takes no ones any more
    flash.is_worn = true;
    storage.slot = 0;
    printf(", worn %s", ttzo_error_name(ttzo_keep(&storage, 7, &detail)));
    flash.is_worn = false;
    printf(", still %u\n", storage.generation);
}

int main(void)
{
    static const float zeros[N];
    struct ttzo_black_box box = { .ask = bowl, .start = zeros, .n_parameters = N, .n_losses = 1, .seed = 5, .steps = 100 };
    box.phase = (struct ttzo_phase){ .estimator = TTZO_ESTIMATOR_RGE, .update = TTZO_UPDATE_MOMENTUM, .n_queries = 4,
                                     .perturb_radius = 1e-3f, .learning_rate = 0.01f, .beta1 = 0.9f, .n_coordinates = 1 };
    ttzo_black_box_model(&model, &box);
    memset(flash.bytes, 0xFF, sizeof flash.bytes);
    start();
    for (uint32_t k = 0; k <= STEPS; k++, step())
        wanted[k] = bits();
    cut_everywhere();
    rot_everywhere();
    say_odd_cases();
    flash.is_ram = true;
    cut_everywhere();
    return 0;
}
