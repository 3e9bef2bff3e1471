// SPDX-License-Identifier: MIT
#include "programs/program.h"

#include "number/real.h"

#if TTZO_HAS(EQUATIONS) || TTZO_HAS(IDENTIFICATION)

// Whether all operations are there, or none from TTZO_OPERATION_ATAN on.
#define HAS_ALL_OPERATIONS (TTZO_HAS(SYSTEMS) || TTZO_HAS(IDENTIFICATION))

// ---- shapes ---------------------------------------------------------------------------------------------------------

#define N_REGISTERS (TTZO_PROGRAM_INPUTS + TTZO_MAX_CONSTANTS + TTZO_MAX_INSTRUCTIONS)

// Which registers are vectors, a bit each.
struct shapes {
    uint32_t words[(N_REGISTERS + 31) / 32];
};

static bool is_vector(const struct shapes *shapes, uint32_t r)
{
    return shapes->words[r / 32] >> (r % 32) & 1u;
}

static void set_vector(struct shapes *shapes, uint32_t r)
{
    shapes->words[r / 32] |= 1u << (r % 32);
}

static struct shapes shapes_of_inputs(void)
{
    struct shapes shapes = { { 0 } };
    set_vector(&shapes, TTZO_PROGRAM_INPUT_X);
    set_vector(&shapes, TTZO_PROGRAM_INPUT_N_X);
    set_vector(&shapes, TTZO_PROGRAM_INPUT_N_XX);
    return shapes;
}

// How many of a, b, c are registers.
static uint32_t operand_count(uint32_t operation)
{
    switch ((enum ttzo_operation)operation) {
    case TTZO_OPERATION_SELECT: return 3;
    case TTZO_OPERATION_ADD:
    case TTZO_OPERATION_SUBTRACT:
    case TTZO_OPERATION_MULTIPLY:
    case TTZO_OPERATION_DIVIDE:
    case TTZO_OPERATION_LESS:
    case TTZO_OPERATION_ATAN2: return 2;
    case TTZO_OPERATION_OUTPUT:
    case TTZO_OPERATION_ALONG:
    case TTZO_OPERATION_UNKNOWN:
    case TTZO_OPERATION_MEASURED:
    case TTZO_OPERATION_GRADIENT_PRODUCT: return 0;
    default: return 1;
    }
}

static bool is_vector_input(uint32_t input)
{
    return input == TTZO_PROGRAM_INPUT_X || input == TTZO_PROGRAM_INPUT_N_X || input == TTZO_PROGRAM_INPUT_N_XX;
}

// Whether the result is a vector: sums and components never are, the others are as one of their operands is.
static bool makes_vector(const struct shapes *shapes, const uint8_t *instruction)
{
    bool vector = false;
    switch ((enum ttzo_operation)instruction[0]) {
    case TTZO_OPERATION_SUM:
    case TTZO_OPERATION_COMPONENT:
    case TTZO_OPERATION_ALONG:
    case TTZO_OPERATION_UNKNOWN:
    case TTZO_OPERATION_MEASURED:
    case TTZO_OPERATION_GRADIENT_PRODUCT: return false;
    case TTZO_OPERATION_OUTPUT: return is_vector_input(instruction[1]);
    case TTZO_OPERATION_PLACE:
    case TTZO_OPERATION_SPREAD: return true;
    default:
        for (uint32_t k = 0; k < operand_count(instruction[0]); k++)
            vector = vector || is_vector(shapes, instruction[1 + k]);
        return vector;
    }
}

// ---- running --------------------------------------------------------------------------------------------------------

static float apply(enum ttzo_operation operation, float a, float b, float c)
{
    switch (operation) {
    case TTZO_OPERATION_DIVIDE: return a / b;
    case TTZO_OPERATION_NEGATE: return -a;
    case TTZO_OPERATION_LESS: return a < b ? 1.0f : 0.0f;
    case TTZO_OPERATION_SELECT: return a != 0.0f ? b : c;
    case TTZO_OPERATION_SQRT: return ttzo_sqrt(a);
    case TTZO_OPERATION_EXP: return ttzo_exp(a);
    case TTZO_OPERATION_EXPM1: return ttzo_expm1(a);
    case TTZO_OPERATION_LOG: return ttzo_log(a);
    case TTZO_OPERATION_LOG1P: return ttzo_log1p(a);
    case TTZO_OPERATION_SIN: return ttzo_sin(a);
    case TTZO_OPERATION_COS: return ttzo_cos(a);
    case TTZO_OPERATION_TANH: return ttzo_tanh(a);
    case TTZO_OPERATION_ATAN: return HAS_ALL_OPERATIONS ? ttzo_atan(a) : a;
    case TTZO_OPERATION_ATAN2: return HAS_ALL_OPERATIONS ? ttzo_atan2(a, b) : a;
    case TTZO_OPERATION_ADD:
    case TTZO_OPERATION_SUBTRACT:
    case TTZO_OPERATION_MULTIPLY: // in loops of their own
    case TTZO_OPERATION_SUM:
    case TTZO_OPERATION_COMPONENT:
    case TTZO_OPERATION_PLACE:
    case TTZO_OPERATION_SPREAD:
    case TTZO_OPERATION_OUTPUT:
    case TTZO_OPERATION_ALONG:
    case TTZO_OPERATION_UNKNOWN:
    case TTZO_OPERATION_MEASURED:
    case TTZO_OPERATION_GRADIENT_PRODUCT:
    case TTZO_OPERATION_SHIFT: break; // not coordinate by coordinate
    }
    return a;
}

struct operand {
    const float *at;
    uint32_t step; // 0 for a scalar: it meets every coordinate of a vector
};

// Where the numbers of a running program stand.
struct places {
    const float *const *inputs;
    const float *constants, *registers;
    uint32_t first, n_space; // number of the first register after inputs and constants
    struct shapes shapes;
};

static struct operand find(const struct places *where, uint32_t r)
{
    const float *at = r < TTZO_PROGRAM_INPUTS ? where->inputs[r]
                      : r < where->first      ? &where->constants[r - TTZO_PROGRAM_INPUTS]
                                              : &where->registers[(r - where->first) * where->n_space];
    return (struct operand){ at, is_vector(&where->shapes, r) };
}

static void execute(const uint8_t *instruction, const struct operand operands[3], uint32_t n_space, uint32_t n,
                    float *out)
{
    enum ttzo_operation operation = (enum ttzo_operation)instruction[0];
    const float *a = operands[0].at, *b = operands[1].at, *c = operands[2].at;
    uint32_t step_a = operands[0].step, step_b = operands[1].step;
    switch (operation) {
    case TTZO_OPERATION_ADD:
        for (uint32_t i = 0; i < n; i++, a += step_a, b += step_b)
            out[i] = *a + *b;
        return;
    case TTZO_OPERATION_SUBTRACT:
        for (uint32_t i = 0; i < n; i++, a += step_a, b += step_b)
            out[i] = *a - *b;
        return;
    case TTZO_OPERATION_MULTIPLY:
        for (uint32_t i = 0; i < n; i++, a += step_a, b += step_b)
            out[i] = *a * *b;
        return;
    case TTZO_OPERATION_SUM:
        *out = 0.0f;
        for (uint32_t i = 0; i < n_space; i++)
            *out = *out + a[i];
        return;
    case TTZO_OPERATION_COMPONENT: *out = a[instruction[2]]; return;
    case TTZO_OPERATION_PLACE:
        for (uint32_t i = 0; i < n_space; i++)
            out[i] = i == instruction[2] ? *a : 0.0f;
        return;
    case TTZO_OPERATION_SHIFT:
        for (uint32_t i = 0; i < n_space; i++)
            out[i] = i + instruction[2] < n_space ? a[i + instruction[2]] : 0.0f;
        return;
    default:
        for (uint32_t i = 0; i < n; i++, a += step_a, b += step_b, c += operands[2].step)
            out[i] = apply(operation, *a, *b, *c);
    }
}

// The sum over the random directions of the products of two outputs' derivatives.
static float gradient_product(const float *along, const struct ttzo_program_reads *reads, uint32_t a, uint32_t b)
{
    float sum = 0.0f;
    for (uint32_t k = 0; k < reads->n_sampled; k++, along += reads->n_outputs)
        sum = TTZO_MULADD(along[a], along[b], sum);
    return sum;
}

// What an instruction names by plain numbers, into `out`.
static void read_by_number(const uint8_t *instruction, const struct places *where,
                           const struct ttzo_program_reads *reads, float *out)
{
    uint32_t m = reads->n_outputs, which = instruction[1], output = instruction[2];
    if (instruction[0] == TTZO_OPERATION_GRADIENT_PRODUCT) {
        *out = gradient_product(where->inputs[TTZO_PROGRAM_INPUT_N_X], reads, which, output);
        return;
    }
    if (instruction[0] >= TTZO_OPERATION_UNKNOWN) {
        *out = instruction[0] == TTZO_OPERATION_UNKNOWN ? reads->unknowns[which] : reads->measured[which];
        return;
    }
    if (instruction[0] == TTZO_OPERATION_ALONG) {
        *out = reads->along[(which * TTZO_MAX_ORDER + instruction[3] - 1u) * m + output];
        return;
    }
    uint32_t n = is_vector_input(which) ? where->n_space : 1;
    for (uint32_t i = 0; i < n; i++)
        out[i] = where->inputs[which][i * m + output];
}

const float *ttzo_program_run(const struct ttzo_program *program, uint32_t n_space,
                              const float *const inputs[TTZO_PROGRAM_INPUTS], const struct ttzo_program_reads *reads,
                              float *registers)
{
    struct places where = { inputs,  program->constants, registers, TTZO_PROGRAM_INPUTS + program->n_constants,
                            n_space, shapes_of_inputs() };
    struct operand operands[3];
    const uint8_t *instruction = program->instructions;
    for (uint32_t k = 0; k < program->n_instructions; k++, instruction += 4) {
        if (HAS_ALL_OPERATIONS && !operand_count(instruction[0])) {
            read_by_number(instruction, &where, reads, &registers[k * n_space]);
            if (makes_vector(&where.shapes, instruction))
                set_vector(&where.shapes, where.first + k);
            continue;
        }
        uint32_t count = operand_count(instruction[0]);
        for (uint32_t i = 0; i < 3; i++)
            operands[i] = i == 0 || i < count ? find(&where, instruction[1 + i]) : operands[0];
        bool vector = operands[0].step | operands[1].step | operands[2].step; // as makes_vector says
        if (instruction[0] >= TTZO_OPERATION_SUM && instruction[0] <= TTZO_OPERATION_SPREAD)
            vector = instruction[0] == TTZO_OPERATION_PLACE || instruction[0] == TTZO_OPERATION_SPREAD;
        if (vector)
            set_vector(&where.shapes, where.first + k);
        execute(instruction, operands, n_space, vector ? n_space : 1, &registers[k * n_space]);
    }
    return find(&where, program->output).at;
}

// ---- checking -------------------------------------------------------------------------------------------------------

static uint32_t needs_of_input(uint32_t r)
{
    switch (r) {
    case TTZO_PROGRAM_INPUT_N_X:
    case TTZO_PROGRAM_INPUT_N_T: return TTZO_NEED_FIRST;
    case TTZO_PROGRAM_INPUT_LAP: return TTZO_NEED_LAPLACIAN;
    case TTZO_PROGRAM_INPUT_N_XX:
    case TTZO_PROGRAM_INPUT_N_TT: return TTZO_NEED_DIAGONAL;
    default: return 0;
    }
}

static bool is_derived(uint32_t r, const struct ttzo_program_scope *scope)
{
    return (needs_of_input(r) & ~scope->needs) == 0 && !(scope->is_sampled && r == TTZO_PROGRAM_INPUT_N_X);
}

// Where there are several outputs, an instruction says which one is read.
static bool may_read(uint32_t r, uint32_t end, const struct ttzo_program_scope *scope)
{
    bool is_of_network = r >= TTZO_PROGRAM_INPUT_N && r < TTZO_PROGRAM_INPUTS;
    return r < end && is_derived(r, scope) && (!is_of_network || scope->n_outputs == 1);
}

static bool reads_what_there_is(const uint8_t *instruction, const struct ttzo_program_scope *scope)
{
    uint32_t which = instruction[1], order = instruction[3];
    if (instruction[0] == TTZO_OPERATION_UNKNOWN)
        return which < scope->n_unknowns;
    if (instruction[0] == TTZO_OPERATION_MEASURED)
        return which < scope->n_measured;
    if (instruction[2] >= scope->n_outputs)
        return false;
    if (instruction[0] == TTZO_OPERATION_GRADIENT_PRODUCT)
        return which < scope->n_outputs && scope->is_sampled && (scope->needs & TTZO_NEED_FIRST) != 0;
    if (instruction[0] == TTZO_OPERATION_OUTPUT)
        return which >= TTZO_PROGRAM_INPUT_N && which < TTZO_PROGRAM_INPUTS && is_derived(which, scope);
    struct ttzo_pde_direction direction;
    if (which >= scope->n_directions || !(scope->needs & TTZO_NEED_ALONG))
        return false;
    ttzo_unpack_pde_direction(scope->directions + which * TTZO_PDE_DIRECTION_BYTES, &direction);
    return order >= 1 && order <= direction.order;
}

static bool instruction_is_sound(const uint8_t *instruction, const struct shapes *shapes, uint32_t end,
                                 const struct ttzo_program_scope *scope)
{
    uint32_t operation = instruction[0];
    if (operation > (HAS_ALL_OPERATIONS ? TTZO_OPERATION_SHIFT : TTZO_OPERATION_SPREAD))
        return false;
    for (uint32_t i = 0; i < operand_count(operation); i++)
        if (!may_read(instruction[1 + i], end, scope))
            return false;
    if (HAS_ALL_OPERATIONS && !operand_count(operation))
        return reads_what_there_is(instruction, scope);
    bool vector = is_vector(shapes, instruction[1]);
    switch ((enum ttzo_operation)operation) {
    case TTZO_OPERATION_SUM: return vector;
    case TTZO_OPERATION_COMPONENT:
    case TTZO_OPERATION_SHIFT: return vector && instruction[2] < scope->n_space;
    case TTZO_OPERATION_PLACE: return !vector && instruction[2] < scope->n_space;
    case TTZO_OPERATION_SPREAD: return !vector;
    default: return true;
    }
}

bool ttzo_program_is_sound(const struct ttzo_program *program, const struct ttzo_program_scope *scope,
                           bool wants_vector)
{
    const uint32_t first = TTZO_PROGRAM_INPUTS + program->n_constants;
    struct shapes shapes = shapes_of_inputs();
    if (program->n_constants > TTZO_MAX_CONSTANTS || program->n_instructions > TTZO_MAX_INSTRUCTIONS)
        return false;
    for (uint32_t k = 0; k < program->n_constants; k++)
        if (!ttzo_is_finite(program->constants[k]))
            return false;
    for (uint32_t k = 0; k < program->n_instructions; k++) {
        const uint8_t *instruction = program->instructions + 4 * k;
        if (!instruction_is_sound(instruction, &shapes, first + k, scope))
            return false;
        if (makes_vector(&shapes, instruction))
            set_vector(&shapes, first + k);
    }
    return may_read(program->output, first + program->n_instructions, scope) &&
           is_vector(&shapes, program->output) == wants_vector;
}

#endif
