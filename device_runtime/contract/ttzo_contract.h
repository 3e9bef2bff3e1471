// SPDX-License-Identifier: MIT
// Written by write_c.py from contract.toml; change that page, not this file.
#ifndef TTZO_CONTRACT_H
#define TTZO_CONTRACT_H
#include <stdint.h>

#include "contract/exact.h"

#define TTZO_CONTRACT_HASH 0xF56A5D3Cu
#define TTZO_MESSAGE_HASH_HELLO 0x49919E86u
#define TTZO_MESSAGE_HASH_STATUS 0x5F77DF2Fu
#define TTZO_MESSAGE_HASH_CONFIGURE 0x1971488Fu
#define TTZO_MESSAGE_HASH_READ 0xC1F23428u
#define TTZO_MESSAGE_HASH_WRITE 0x30501143u
#define TTZO_MESSAGE_HASH_COMMIT 0x1B4D016Bu
#define TTZO_MESSAGE_HASH_SET_STATE 0xCB56BB31u
#define TTZO_MESSAGE_HASH_STEP 0x1686212Au
#define TTZO_MESSAGE_HASH_EVALUATE 0x358A1E25u
#define TTZO_MESSAGE_HASH_PREDICT 0x395C7B71u
#define TTZO_MESSAGE_HASH_RESET 0xF62EC850u
#define TTZO_MESSAGE_HASH_CANCEL 0x1EDF8ADFu
#define TTZO_MESSAGE_HASH_SOLUTION_ERROR 0xC0036BAFu
#define TTZO_MESSAGE_HASH_LEAVE 0x98084E1Cu
#define TTZO_MESSAGE_HASH_KEEP 0x49798392u
#define TTZO_MESSAGE_HASH_RESTORE 0x316C2EEDu
#define TTZO_MESSAGE_HASH_AUTHENTICATE 0x7B3079B6u
#define TTZO_MESSAGE_HASH_WRITE_PACKED 0xD87FCC25u
#define TTZO_MESSAGE_HASH_PROGRESS 0xC6CF9107u
#define TTZO_MESSAGE_HASH_ERROR 0xE0F1A5E1u

// ---- limits
#define TTZO_MAX_LAYERS 16u // layers of one model
#define TTZO_MAX_MODES 8u // modes on one side of a TT layer
#define TTZO_MAX_FEATURES 65535u // inputs or outputs of one layer
#define TTZO_MAX_PARAMETERS 1048576u // trainable numbers of one model
#define TTZO_MAX_RANK 4096u // largest TT rank
#define TTZO_MAX_WIDTH 16777216u // numbers of the largest array in one sample's forward pass, and of all that reusing estimators keep
#define TTZO_MAX_BATCH 4096u // rows of one batch
#define TTZO_MAX_QUERIES 1000000u // directions of one step
#define TTZO_MIN_QUERY_ROOM 128u // random directions of one step that any model has memory for; more are fixed at export
#define TTZO_MAX_COLUMNS 1024u // unknowns of one Gauss-Newton step; of coordinate_gn, or its rows where those are fewer
#define TTZO_MAX_COORDINATES 4096u // parameters of a dense network that coordinate_gn asks all of
#define TTZO_GN_BLOCK_ROWS 16u // rows that a Gauss-Newton step folds into its triangle at once
#define TTZO_GN_TRIES 3u // ridges that a Gauss-Newton step tries before it stays where it is
#define TTZO_POSITIONS_AT_ONCE 4u // patches that a layer of patches contracts side by side
#define TTZO_NO_TOKEN 65535u // padding_token of a layer without one
#define TTZO_NO_ARRAY 65535u // input of a node that has fewer
#define TTZO_NO_CLASS 65535u // class of a place that does not count: padding of a sequence
#define TTZO_MAX_NODES 250u // nodes of one graph
#define TTZO_MAX_CONSTANT_BYTES 16777216u // bytes of the parameters of frozen nodes
#define TTZO_INT8_ROWS 8u // rows of int8 weights that a layer turns into float32 at once
#define TTZO_MAX_MATRIX 16384u // numbers of the largest layer that reusing estimators keep as a matrix
#define TTZO_MAX_PHASES 2u // training phases of one model
#define TTZO_MAX_ROW_GROUPS 16u // kinds of collocation rows of one PDE
#define TTZO_FEATURE_SCALES 8u // scales of frozen_features' units, tried in turn
#define TTZO_FEW_ROW_GROUPS 4u // of them that a runtime without the part systems holds
#define TTZO_MAX_FIELDS 8u // unknown functions of one PDE: outputs of its network
#define TTZO_MAX_PDE_DIRECTIONS 64u // directions of one PDE along which derivatives are computed
#define TTZO_MAX_ORDER 3u // order of a PDE's derivatives
#define TTZO_MAX_INSTRUCTIONS 192u // instructions of one residual program
#define TTZO_MAX_CONSTANTS 48u // constants of one residual program
#define TTZO_PROGRAM_INPUTS 8u // registers that are filled before a residual program runs: enum program_input
#define TTZO_MAX_PAYLOAD 1024u // bytes between a frame's header and its checksum
#define TTZO_MIN_PAYLOAD 192u // the same on a device with little memory, which says in HELLO how long its own may be
#define TTZO_MAX_ROWS_ASKED 4096u // rows of one EVALUATE or SOLUTION_ERROR, so that its work has an end
#define TTZO_BOARD_NAME_BYTES 24u // board name in HELLO, zero-padded
#define TTZO_HASH_BYTES 16u // leading bytes of the model's SHA-256
#define TTZO_PROGRESS_MACS 20000000u // multiply-accumulates between two PROGRESS frames of long work
#define TTZO_BUNDLE_MAGIC 1331319892u // the bundle's first four bytes: TTZO
#define TTZO_BUNDLE_FORMAT 3u // layout of the bundle file
#define TTZO_SAVED_RUN_MAGIC 1381651540u // the first four bytes of a saved run: TTZR
#define TTZO_SAVED_RUN_FORMAT 1u // layout of a saved run
#define TTZO_SEAL_MAGIC 1398428756u // the first four bytes of a slot's seal: TTZS
#define TTZO_QUERIES_AT_ONCE 4u // queries that reusing estimators evaluate side by side: a quad
#define TTZO_QUADS_AT_ONCE 12u // quads of slices that they make and ask together
#define TTZO_QUADS_IF_NARROW 2u // the same with caches of 16 bits, at least
#define TTZO_UNITS_IF_NARROW 24u // with caches of 16 bits, units that queries move together
#define TTZO_ROWS_AT_ONCE 16u // rows that a product of states and cores packs together
#define TTZO_MERGED_MODES 64u // most modes of two neighbouring cores that an equation's derivatives multiply out
#define TTZO_PAIRS_AT_ONCE 4u // pairs of mirrored nodes that go through the layers side by side
#define TTZO_FEW_COLUMNS 4u // columns of a jet that go through the layers at once, where all of them are more than two for each of pairs_at_once
#define TTZO_COMPENSATED_FLOATS 4u // floats of two columns of compensated numbers
#define TTZO_QUESTION_ROWS 16u // most rows of the region batch of a PDE, which only serves the host's questions
#define TTZO_SETTING_NUMBERS 16u // numbers kept for the settings of one record: those of phase p begin at this times (p + 1)
#define TTZO_MAX_UNKNOWNS 16u // unknown constants of one simulation
#define TTZO_MAX_STATES 8u // states of one simulation
#define TTZO_MAX_LOG_INPUTS 16u // input columns of a simulation's log
#define TTZO_MAX_MEASURED 8u // measured columns of a simulation's log
#define TTZO_MAX_SUBSTEPS 1000u // integration steps from one row of a log to the next
#define TTZO_KEY_BYTES 32u // bytes of a pre-shared key
#define TTZO_CHALLENGE_BYTES 16u // bytes of a challenge, which a device draws for each session, and of a proof
#define TTZO_TAG_BYTES 8u // bytes of the HMAC-SHA-256 that a sealed frame carries
#define TTZO_SEALED 128u // added to the code of a sealed frame
#define TTZO_HALVED_SUMS_NUMBERS 24u // numbers in front of the sums of a layer that node_cge takes by halves
#define TTZO_MAX_SAMPLED 128u // sampled_jet's directions of a row
#define TTZO_VECTOR_DIRECTION 65535u // first of a direction that a program computes
#define TTZO_MAX_PDE_VECTORS 8u // directions of one PDE that programs compute
#define TTZO_GN_BLOCK_NUMBERS 4608u // most numbers of all rows' columns that a Gauss-Newton step keeps at once, so that it makes each direction once
#define TTZO_LONGEST_CODE 15u // bits of a symbol of packed rows at most
#define TTZO_PACKING_SYMBOLS 271u // symbols of packed rows: bytes 0 to 255, and runs of zeros of 2^k bytes and more, k = 1 to 15
#define TTZO_KEPT_LINES 512u // most numbers of both halves that it keeps laid out from one sample to the next

// ---- enumerations
enum ttzo_layer_kind {
    TTZO_LAYER_KIND_DENSE = 0, // W[out, in]
    TTZO_LAYER_KIND_TT_MATRIX = 1, // TT-matrix: core k is (r_k, m_k, n_k, r_k+1), an output and an input mode in each core (paper eq. 7)
    TTZO_LAYER_KIND_TT_TENSOR = 2, // 2L-way TT: cores (r, n, r') of the input modes, then (r, m, r') of the output modes
};
enum ttzo_gather {
    TTZO_GATHER_WHOLE = 0, // the layer reads its input array once, as it is
    TTZO_GATHER_PATCHES = 1, // it is applied to every patch of an image (convolution): inputs [channel][row][column], outputs [feature][row][column]
    TTZO_GATHER_TOKENS = 2, // its input array holds numbers of tokens, each a unit vector (embedding): a token picks one input of the matrix
    TTZO_GATHER_PLACES = 3, // it is applied to each row of its input array [place][in_feature]: outputs [place][out_feature]; in graphs alone
};
enum ttzo_combine {
    TTZO_COMBINE_EACH = 0, // outputs of all applications stay: of patches as gather says, of tokens [token][feature]
    TTZO_COMBINE_SUM = 1, // tokens: their sum
    TTZO_COMBINE_MEAN = 2, // tokens: their mean; padding tokens do not count, and of none it is 0
};
enum ttzo_activation {
    TTZO_ACTIVATION_IDENTITY = 0, // z
    TTZO_ACTIVATION_RELU = 1, // max(z, 0)
    TTZO_ACTIVATION_TANH = 2, // tanh(z)
    TTZO_ACTIVATION_SINE = 3, // sin(z)
    TTZO_ACTIVATION_LEAKY_RELU = 4, // z where z > 0, else slope z
    TTZO_ACTIVATION_RELU6 = 5, // max(min(z, 6), 0)
    TTZO_ACTIVATION_HARD_SWISH = 6, // z max(min(z / 6 + 1/2, 1), 0)
    TTZO_ACTIVATION_SIGMOID = 7, // 1 / (1 + exp(-z))
    TTZO_ACTIVATION_SILU = 8, // z / (1 + exp(-z))
    TTZO_ACTIVATION_GELU = 9, // z (1 + erf(z / sqrt 2)) / 2
};
enum ttzo_node_operation {
    TTZO_NODE_OPERATION_AFFINE = 0, // a layer: struct layer; applied to the whole array, to patches, tokens or places
    TTZO_NODE_OPERATION_ACTIVATION = 1, // an activation of every number: struct activation_attributes
    TTZO_NODE_OPERATION_SCALE = 2, // weight x + bias, one of each for a channel: struct scale_attributes
    TTZO_NODE_OPERATION_LEARNT_ARRAY = 3, // an array of parameters; no input
    TTZO_NODE_OPERATION_ADD = 4, // a + b or a - b: struct broadcast_attributes
    TTZO_NODE_OPERATION_MULTIPLY = 5, // a b: struct broadcast_attributes
    TTZO_NODE_OPERATION_CONCAT = 6, // two or three arrays along an axis: struct concat_attributes
    TTZO_NODE_OPERATION_SLICE = 7, // every step-th of some entries of an axis: struct slice_attributes
    TTZO_NODE_OPERATION_TRANSPOSE = 8, // axes in another order: struct transpose_attributes
    TTZO_NODE_OPERATION_MAX_POOL = 9, // the largest number of each window: struct pool_attributes
    TTZO_NODE_OPERATION_AVERAGE_POOL = 10, // the mean of each window: struct pool_attributes
    TTZO_NODE_OPERATION_GLOBAL_MEAN = 11, // the mean along an axis: struct axis_attributes
    TTZO_NODE_OPERATION_GLOBAL_MAX = 12, // the largest number along an axis: struct axis_attributes
    TTZO_NODE_OPERATION_SOFT_MAX = 13, // exp(x) over its sum along an axis: struct soft_max_attributes
    TTZO_NODE_OPERATION_LAYER_NORM = 14, // (x - mean) / sqrt(variance + epsilon) of the last axis, then weight and bias: struct norm_attributes
    TTZO_NODE_OPERATION_RMS_NORM = 15, // x / sqrt(mean square + epsilon) of the last axis, then weight: struct norm_attributes
    TTZO_NODE_OPERATION_MATRIX_PRODUCT = 16, // product of two arrays of matrices: struct product_attributes
    TTZO_NODE_OPERATION_RECURRENT = 17, // a cell over the steps of a sequence: struct recurrent_attributes
};
enum ttzo_node_flag {
    TTZO_NODE_FLAG_FROZEN = 1, // the parameters lie in the section of constants and are not trained
    TTZO_NODE_FLAG_INT8 = 2, // frozen weights are 8-bit integers, each row with a scale: weight = (float)q * scale
    TTZO_NODE_FLAG_SHARED = 4, // the parameters are those of an earlier node
};
enum ttzo_cell {
    TTZO_CELL_TANH = 0, // h = tanh(a + c), a = W_ih x + b_ih, c = W_hh h + b_hh
    TTZO_CELL_GRU = 1, // r, z = sigmoid(a + c); n = tanh(a_n + r c_n); h = z (h - n) + n; rows in the order r, z, n
    TTZO_CELL_LSTM = 2, // i, f, o = sigmoid(a + c), g = tanh(a + c); s = f s + i g; h = o tanh(s); rows in the order i, f, g, o
};
enum ttzo_loss {
    TTZO_LOSS_CROSS_ENTROPY = 0, // softmax cross-entropy of the row's class
    TTZO_LOSS_MSE = 1, // squared error, mean over the row's outputs
    TTZO_LOSS_RESIDUAL = 2, // squared residual of a PDE, or of its boundary and terminal conditions, at collocation points
    TTZO_LOSS_PLACE_CROSS_ENTROPY = 3, // softmax cross-entropy of a class at each place of a sequence, mean over the places that have one; outputs [place][class]
    TTZO_LOSS_BINARY_CROSS_ENTROPY = 4, // cross-entropy of two classes; the one output is the logit of class 1, that of class 0 is 0
    TTZO_LOSS_HUBER = 5, // e^2 / 2 of errors up to huber_delta, beyond it huber_delta (|e| - huber_delta / 2); mean over the row's outputs
    TTZO_LOSS_SIMULATION = 6, // squared difference of simulated and measured numbers along a log; the parameters are the simulation's unknowns
};
enum ttzo_number {
    TTZO_NUMBER_UINT8 = 0, // one byte
    TTZO_NUMBER_INT16 = 1, // two bytes, signed
    TTZO_NUMBER_FLOAT32 = 2, // four bytes, IEEE 754
};
enum ttzo_inexactness {
    TTZO_INEXACTNESS_ROUNDING = 1, // the processor does not round to nearest, ties to even
    TTZO_INEXACTNESS_FLUSH = 2, // it takes subnormal numbers for 0
    TTZO_INEXACTNESS_PRECISION = 3, // intermediate results keep more digits than a float has
    TTZO_INEXACTNESS_CONTRACTION = 4, // the compiler contracts a product and a sum into one rounding
    TTZO_INEXACTNESS_FUSED = 5, // fmaf rounds twice, or arithmetic separate was built fused
};
enum ttzo_arithmetic {
    TTZO_ARITHMETIC_SEPARATE = 0, // multiply-add rounds the product, then the sum
    TTZO_ARITHMETIC_FUSED = 1, // multiply-add rounds once (fmaf)
};
enum ttzo_cache {
    TTZO_CACHE_FLOAT32 = 0, // reusing estimators keep a sample's arrays as they are
    TTZO_CACHE_INT16 = 1, // they keep them in 16 bits with 11 after the binary point, saturated beyond 16; hidden units and later layers' matrices too
    TTZO_CACHE_INT16_LEAST = 2, // the same without those matrices, whose rows are made when they are needed
};
enum ttzo_estimator {
    TTZO_ESTIMATOR_RGE = 0, // random directions: the mean over n_queries of the directional difference times the direction (eq. 2)
    TTZO_ESTIMATOR_CGE_PLAIN = 1, // coordinate by coordinate: one whole loss evaluation for each parameter
    TTZO_ESTIMATOR_CGE = 2, // the same differences from environments that a core's entries share: a few forward passes in all
    TTZO_ESTIMATOR_NODE_CGE = 3, // one difference for each unit, from shared environments; a parameter's derivative is made of its units'
    TTZO_ESTIMATOR_BLOCK_RGE = 4, // rge for one core, weight or bias at a time, from shared environments: n_queries directions for each
    TTZO_ESTIMATOR_COCD = 5, // cge of the next n_coordinates coordinates in turn; the others' estimates decay by stale_decay (arXiv 2605.14373)
    TTZO_ESTIMATOR_SUBSPACE_GN = 6, // Gauss-Newton on a PDE's residuals in n_queries random directions and the last two steps
    TTZO_ESTIMATOR_LAST_LAYER_GN = 7, // the same in n_queries directions of the hidden layers and all of the last layer, whose columns are free
    TTZO_ESTIMATOR_SIMULATION_GN = 8, // Gauss-Newton on a simulation: one simulation at theta and one beside it for each unknown, while a log passes; its sums and states are moments
    TTZO_ESTIMATOR_COORDINATE_GN = 9, // Gauss-Newton on a PDE's residuals in unit directions: all parameters of a small dense network, else the last layer's and the biases before it
    TTZO_ESTIMATOR_CHAIN_DIFFERENCES = 10, // difference quotients carried backwards layer by layer: the loss differences of the last layer's units, times what each unit moves the next layer by; what back-propagation does, with quotients for derivatives
    TTZO_ESTIMATOR_FROZEN_FEATURES = 11, // one least squares over the last layer behind units that each step draws anew, wide or narrow, along all coordinates or one of space and time; what leaves smaller residuals than theta stays
};
#define TTZO_PART_EQUATIONS 1u // PDE residuals, their derivatives and programs, Gauss-Newton steps in random directions
#define TTZO_PART_CORES 2u // estimators that reuse a core's environments
#define TTZO_PART_SPLIT 4u // layers whose contraction is split into two halves
#define TTZO_PART_GATHERED 8u // convolutions and embeddings
#define TTZO_PART_EVALUATIONS 16u // estimators that ask whole loss evaluations: rge and cge_plain
#define TTZO_PART_BLOCKS 32u // node_cge, block_rge and chain_differences
#define TTZO_PART_NARROW 64u // caches of 16 bits
#define TTZO_PART_TENSORS 128u // environments of 2L-way tensor trains
#define TTZO_PART_COMPENSATED 256u // an equation's derivatives by compensated jets
#define TTZO_PART_LINK 512u // the link by which a host trains and reads the device
#define TTZO_PART_SPARSE 1024u // training rows without their zeros
#define TTZO_PART_OPERATIONS 2048u // models that are no chain of layers: graphs of nodes
#define TTZO_PART_POOLING 4096u // their nodes that take maxima and means
#define TTZO_PART_ATTENTION 8192u // their nodes soft_max, layer_norm, rms_norm and matrix_product
#define TTZO_PART_RECURRENT 16384u // their recurrent nodes
#define TTZO_PART_IDENTIFICATION 32768u // unknown constants of differential equations, from logs
#define TTZO_PART_AUGMENTATION 65536u // training rows that the device varies by the seed
#define TTZO_PART_STORAGE 131072u // runs that outlive a reset: generations in two slots of a memory
#define TTZO_PART_KEY 262144u // orders from holders of a key only: HMAC-SHA-256, sessions, sealed frames
#define TTZO_PART_COORDINATES 524288u // Gauss-Newton on an equation in unit directions: coordinate_gn
#define TTZO_PART_SYSTEMS 1048576u // equations of several functions, along directions, with unknown constants, readings, periodic or many conditions, inverse tangents, sampled jets
#define TTZO_PART_DEPTH 2097152u // cores on chains whose changes pass further layers: more than two layers, or an activation after the last
#define TTZO_PART_CHAIN 4194304u // chain_differences
#define TTZO_PART_FEATURES 8388608u // frozen_features
#define TTZO_PART_PACKING 16777216u // rows that arrive packed: WRITE_PACKED
#define TTZO_PART_LOSSES 33554432u // losses other than the cross-entropy of one class without weights
#define TTZO_PART_CURVES 67108864u // activations tanh and sine in chains, and the cosine schedule
#define TTZO_PART_RULES 134217728u // update rules other than momentum
#define TTZO_PART_READINGS 268435456u // a sensor's readings, which the model normalises
#define TTZO_ALL_PARTS 536870911u
enum ttzo_derivative {
    TTZO_DERIVATIVE_JET = 0, // forward Laplacian: first derivatives and a second-order sum carried through the layers, exact
    TTZO_DERIVATIVE_FINITE_DIFFERENCE = 1, // central differences; the radius is their step
    TTZO_DERIVATIVE_SPARSE_GRID = 2, // Stein estimator on a sparse grid (paper eqs. 8-13); the radius is sigma
    TTZO_DERIVATIVE_MONTE_CARLO = 3, // Stein estimator over random antithetic pairs; the radius is sigma
    TTZO_DERIVATIVE_COMPENSATED_JET = 4, // jet, each of its numbers the sum of two floats: for derivatives that nearly vanish
    TTZO_DERIVATIVE_SAMPLED_JET = 5, // jet in random directions: what is summed over the coordinates in space is estimated without bias
};
enum ttzo_need {
    TTZO_NEED_FIRST = 1, // first derivatives in all coordinates
    TTZO_NEED_LAPLACIAN = 2, // sum of the second derivatives in space
    TTZO_NEED_DIAGONAL = 4, // each second derivative, time included
    TTZO_NEED_ALONG = 8, // derivatives along the section's directions, to the order of each
};
enum ttzo_sampler {
    TTZO_SAMPLER_INTERIOR = 0, // uniform in the box of space and time
    TTZO_SAMPLER_FACES = 1, // uniform on the faces of the box of space, each as likely as the other
    TTZO_SAMPLER_START = 2, // uniform in space, at the earliest time
    TTZO_SAMPLER_END = 3, // uniform in space, at the latest time
    TTZO_SAMPLER_OPPOSITE = 4, // as faces; the residual is what the program gives there, less what it gives at the same place of the opposite face
    TTZO_SAMPLER_READINGS = 5, // where something was measured: the section's readings in turn, count of them a step
};
enum ttzo_program_input {
    TTZO_PROGRAM_INPUT_X = 0, // the point in space, a vector
    TTZO_PROGRAM_INPUT_T = 1, // its time; 0 where the problem has none
    TTZO_PROGRAM_INPUT_N = 2, // the network's output
    TTZO_PROGRAM_INPUT_N_X = 3, // its first derivatives in space, a vector
    TTZO_PROGRAM_INPUT_N_T = 4, // in time
    TTZO_PROGRAM_INPUT_LAP = 5, // its Laplacian in space
    TTZO_PROGRAM_INPUT_N_XX = 6, // its second derivatives in space, coordinate by coordinate, a vector
    TTZO_PROGRAM_INPUT_N_TT = 7, // its second derivative in time
};
enum ttzo_operation {
    TTZO_OPERATION_ADD = 0, // a + b
    TTZO_OPERATION_SUBTRACT = 1, // a - b
    TTZO_OPERATION_MULTIPLY = 2, // a b
    TTZO_OPERATION_DIVIDE = 3, // a / b
    TTZO_OPERATION_NEGATE = 4, // -a
    TTZO_OPERATION_LESS = 5, // 1 where a < b, else 0
    TTZO_OPERATION_SELECT = 6, // b where a is not 0, else c
    TTZO_OPERATION_SQRT = 7, // square root of a
    TTZO_OPERATION_EXP = 8, // e to the power a
    TTZO_OPERATION_EXPM1 = 9, // e to the power a, minus 1
    TTZO_OPERATION_LOG = 10, // natural logarithm of a
    TTZO_OPERATION_LOG1P = 11, // natural logarithm of 1 + a
    TTZO_OPERATION_SIN = 12, // sine of a
    TTZO_OPERATION_COS = 13, // cosine of a
    TTZO_OPERATION_TANH = 14, // hyperbolic tangent of a
    TTZO_OPERATION_SUM = 15, // sum of the coordinates of the vector a, in ascending order
    TTZO_OPERATION_COMPONENT = 16, // coordinate number b (a plain number) of the vector a
    TTZO_OPERATION_PLACE = 17, // the vector that is the scalar a at coordinate number b and 0 elsewhere
    TTZO_OPERATION_SPREAD = 18, // the vector whose coordinates all are the scalar a
    TTZO_OPERATION_ATAN = 19, // inverse tangent of a
    TTZO_OPERATION_ATAN2 = 20, // angle of the point (b, a), -pi to pi
    TTZO_OPERATION_OUTPUT = 21, // program input number a (n, n_x, n_t, lap, n_xx or n_tt, a plain number) of the network's output number b; where there are several, these inputs are read so alone
    TTZO_OPERATION_ALONG = 22, // derivative of order c of the network's output number b along direction number a (plain numbers)
    TTZO_OPERATION_UNKNOWN = 23, // unknown constant number a (a plain number)
    TTZO_OPERATION_MEASURED = 24, // number a (a plain number) of what was measured at the row's reading
    TTZO_OPERATION_GRADIENT_PRODUCT = 25, // sampled_jet's estimate of the product of the gradients in space of the network's outputs number a and b (plain numbers)
    TTZO_OPERATION_SHIFT = 26, // the vector whose coordinate i is coordinate i + b (b a plain number) of the vector a, and 0 beyond the last
};
enum ttzo_access {
    TTZO_ACCESS_OPEN = 0, // no key: whoever reaches the device may use it
    TTZO_ACCESS_READING = 1, // STATUS and READ need no key, all else does
    TTZO_ACCESS_KEYED = 2, // all but HELLO and AUTHENTICATE needs the key
};
enum ttzo_direction {
    TTZO_DIRECTION_RADEMACHER = 0, // each coordinate +1 or -1
    TTZO_DIRECTION_GAUSSIAN = 1, // each coordinate N(0, 1)
};
enum ttzo_difference {
    TTZO_DIFFERENCE_ONE_SIDED = 0, // L(theta + mu v) - L(theta), over mu
    TTZO_DIFFERENCE_ANTITHETIC = 1, // L(theta + mu v) - L(theta - mu v), over 2 mu
};
enum ttzo_update {
    TTZO_UPDATE_SGD = 0, // theta - lr g
    TTZO_UPDATE_MOMENTUM = 1, // v = beta v + g; theta - lr v
    TTZO_UPDATE_EMA_MOMENTUM = 2, // v = beta v + (1 - beta) g; theta - lr v (the paper's)
    TTZO_UPDATE_ADAM = 3, // Adam with bias correction
    TTZO_UPDATE_SIGN = 4, // theta - lr sign(g) (the paper's signRGE)
};
enum ttzo_schedule {
    TTZO_SCHEDULE_CONSTANT = 0, // lr
    TTZO_SCHEDULE_STEP = 1, // lr times decay_factor to the power step div decay_every
    TTZO_SCHEDULE_LINEAR = 2, // lr falls linearly to 0 at the last step
    TTZO_SCHEDULE_COSINE = 3, // lr falls along half a cosine to 0 at the last step
};
enum ttzo_region {
    TTZO_REGION_PARAMETERS = 0, // theta, float32; written to a stage, taken over by COMMIT; one that is -0.0 is pruned: no step moves it
    TTZO_REGION_MOMENTS = 1, // the update rule's memory, float32; written to a stage, taken over by COMMIT
    TTZO_REGION_BATCH = 2, // rows of the next STEP or EVALUATE
    TTZO_REGION_DATASET = 3, // rows that stay on the device; STEP picks its batch from them by the sample order
    TTZO_REGION_COLLOCATION = 4, // points that the device draws itself: the only rows that train a PDE; nothing is written
    TTZO_REGION_SPARSE = 5, // rows without their zeros (struct sparse_rows), in a memory of their own; STEP unpacks the ones that the sample order picks into batch
};
enum ttzo_stream {
    TTZO_STREAM_DIRECTION = 0, // noise of the estimator's directions: counter (block, query, step)
    TTZO_STREAM_SAMPLE_ORDER = 1, // rounds of the sample permutation: counter (half, round, epoch)
    TTZO_STREAM_COLLOCATION = 2, // training points: counter (block, row, step); coordinate i takes word i % 4 of block i / 4
    TTZO_STREAM_VALIDATION = 3, // validation points, likewise: counter (block, row, 0), key validation_seed
    TTZO_STREAM_FACE = 4, // the face of a boundary row: counter (0, row, step)
    TTZO_STREAM_AUGMENTATION = 5, // how a training row is varied: counter (block, row of the batch, step); block 0: its shift down and to the right, word % (2 most + 1) - most; then four normal numbers a block: of the channels, after them of the row's numbers
    TTZO_STREAM_JET = 6, // sampled_jet's directions of a row: counter (block, row, step); coordinate i in space takes bit i % 32 of word i / 32 % 4 of block i / 128
    TTZO_STREAM_FEATURES = 7, // the points around which frozen_features' units bend: counter (block, unit, step); as training points
};
enum ttzo_log_row {
    TTZO_LOG_ROW_FITTED = 0, // its measured numbers are fitted
    TTZO_LOG_ROW_HELD_OUT = 1, // its measured numbers are compared, not fitted
    TTZO_LOG_ROW_UNMEASURED = 2, // nothing was measured; its inputs count
    TTZO_LOG_ROW_END_OF_SWEEP = 3, // no row: the log has passed once; the unknowns take a step
    TTZO_LOG_ROW_END_OF_LOG = 4, // no row: other data follow; what is known of the unknowns counts from now on with the factor that stands in the place of the time
};
enum ttzo_identification {
    TTZO_IDENTIFICATION_RIDGE = 0, // ridge of the next step, relative to the diagonal; 0 before the first
    TTZO_IDENTIFICATION_ROW = 1, // rows of the log that the running sweep has read
    TTZO_IDENTIFICATION_BEGUN = 2, // 1 where the candidate is set
    TTZO_IDENTIFICATION_KNOWN = 3, // 1 where the accepted sums are those of theta
    TTZO_IDENTIFICATION_START = 4, // number of the running start
    TTZO_IDENTIFICATION_TRIES = 5, // sweeps that this start has had
    TTZO_IDENTIFICATION_COST = 6, // sum of squares at theta, what earlier logs say included
    TTZO_IDENTIFICATION_FALL = 7, // by how much the last accepted sweep lowered it
    TTZO_IDENTIFICATION_BEST_COST = 8, // the lowest cost of the starts before
    TTZO_IDENTIFICATION_HAS_BEST = 9, // 1 where there is one
    TTZO_IDENTIFICATION_SWEEPS = 10, // sweeps done
    TTZO_IDENTIFICATION_DIVERGED = 11, // 1 where a simulation of the running sweep has left the finite numbers
    TTZO_IDENTIFICATION_OUTCOME = 12, // of the last sweep: 1 accepted, 0 not better, -1 diverged
    TTZO_IDENTIFICATION_LAG_KNOWN = 13, // 1 where the row before has residuals
    TTZO_IDENTIFICATION_RUNNING = 14, // 1 where the states are those of a row
    TTZO_IDENTIFICATION_LOGS = 15, // logs that have ended
};
enum ttzo_sweep_sum {
    TTZO_SWEEP_SUM_SQUARES = 0, // sum of squared residuals of fitted rows
    TTZO_SWEEP_SUM_COUNT = 1, // how many there are
    TTZO_SWEEP_SUM_LAG = 2, // sum of products of residuals with those of the row before
    TTZO_SWEEP_SUM_HELD_SQUARES = 3, // sum of squared residuals of rows that are held out
    TTZO_SWEEP_SUM_HELD_COUNT = 4, // how many there are
    TTZO_SWEEP_SUM_LAG_COUNT = 5, // how many products there are in lag
};
enum ttzo_error {
    TTZO_ERROR_OK = 0,
    TTZO_ERROR_BAD_FRAME = 1,
    TTZO_ERROR_UNKNOWN_MESSAGE = 2,
    TTZO_ERROR_BAD_REQUEST = 3,
    TTZO_ERROR_BAD_CONTRACT = 4,
    TTZO_ERROR_BAD_BUNDLE = 5,
    TTZO_ERROR_BAD_BUNDLE_FORMAT = 6,
    TTZO_ERROR_BAD_MODEL = 7,
    TTZO_ERROR_WRONG_ARITHMETIC = 8,
    TTZO_ERROR_OUT_OF_MEMORY = 9,
    TTZO_ERROR_OUT_OF_RANGE = 10,
    TTZO_ERROR_BAD_CHECKSUM = 11,
    TTZO_ERROR_NOT_COMMITTED = 12,
    TTZO_ERROR_WRONG_STEP = 13,
    TTZO_ERROR_NON_FINITE = 14,
    TTZO_ERROR_FIXED_AT_EXPORT = 15,
    TTZO_ERROR_BAD_SETTING = 16,
    TTZO_ERROR_BAD_LABEL = 17,
    TTZO_ERROR_CANCELLED = 18,
    TTZO_ERROR_BAD_TOKEN = 19,
    TTZO_ERROR_BAD_SPARSE_ROWS = 20,
    TTZO_ERROR_NOT_BUILT_IN = 21,
    TTZO_ERROR_WRONG_WORK_SIZE = 22,
    TTZO_ERROR_BAD_NUMBER = 23,
    TTZO_ERROR_LAST_STEP = 24,
    TTZO_ERROR_INEXACT_BUILD = 25,
    TTZO_ERROR_NULL_POINTER = 26,
    TTZO_ERROR_MISALIGNED = 27,
    TTZO_ERROR_BAD_INPUT = 28,
    TTZO_ERROR_NOT_STORED = 29,
    TTZO_ERROR_BAD_SAVED_RUN = 30,
    TTZO_ERROR_OTHER_MODEL = 31,
    TTZO_ERROR_LOCKED = 32,
    TTZO_ERROR_WRONG_KEY = 33,
    TTZO_ERROR_BAD_SEAL = 34,
    TTZO_ERROR_IN_USE = 35,
    TTZO_ERROR_BAD_PACKED_ROWS = 36,
};
enum ttzo_message {
    TTZO_MESSAGE_HELLO = 1, // who is there, and what is loaded; always answered afresh, to any payload that begins with a contract's hash
    TTZO_MESSAGE_STATUS = 2, // training state and the settings in force
    TTZO_MESSAGE_CONFIGURE = 3, // override learning rate, mu, N, seed, steps and what else costs neither memory nor order; the rest must equal the export
    TTZO_MESSAGE_READ = 4, // bytes of a region (parameters or moments)
    TTZO_MESSAGE_WRITE = 5, // bytes into a region (all except collocation); parameters and moments change only with COMMIT
    TTZO_MESSAGE_COMMIT = 6, // the region is whole: take it over if its checksum is right
    TTZO_MESSAGE_SET_STATE = 7, // training state of a checkpoint
    TTZO_MESSAGE_STEP = 8, // one training step; refused unless `step` is the next one, so that a lost reply never trains twice. The step that was done last is answered again, also over a new connection, until COMMIT, SET_STATE or RESET
    TTZO_MESSAGE_EVALUATE = 9, // loss and hits over rows at the present parameters; changes nothing
    TTZO_MESSAGE_PREDICT = 10, // network outputs of one row of the batch region
    TTZO_MESSAGE_RESET = 11, // back to the exported parameters and settings, step 0
    TTZO_MESSAGE_CANCEL = 12, // stop the long work that is under way; it answers with the error `cancelled` and leaves the state as it was
    TTZO_MESSAGE_SOLUTION_ERROR = 13, // how far the solution of a PDE is from the exact one; changes nothing
    TTZO_MESSAGE_LEAVE = 14, // the host is done: a device that has something else to do (a MicroPython prompt) stops serving, any other goes on
    TTZO_MESSAGE_KEEP = 15, // save the run as the next generation, where a reset and a power cut leave it; a device without a memory for it answers unknown_message
    TTZO_MESSAGE_RESTORE = 16, // load the newest whole generation: parameters, moments, state and settings, as a device does at its start; without one nothing changes
    TTZO_MESSAGE_AUTHENTICATE = 17, // answers the challenge of HELLO, once; frames sealed by the key of this session are then taken, those of earlier sessions no more. That key is the HMAC-SHA-256, by the pre-shared key, of the letter S, both challenges, HELLO's session and the contract's hash
    TTZO_MESSAGE_WRITE_PACKED = 18, // bytes into batch or dataset, packed by the code in the bundle; as WRITE, but the bytes are checked before the first one is written. Unknown to a device without the part packing, or whose bundle has no code
    TTZO_MESSAGE_PROGRESS = 126, // from the device, while long work goes on; carries that request's sequence number
    TTZO_MESSAGE_ERROR = 127, // the answer to a request that was refused; nothing has changed
};
// An error's name as this page has it.
static inline const char *ttzo_error_name(enum ttzo_error error)
{
    switch ((unsigned)error) {
    case 0: return "ok";
    case 1: return "bad_frame";
    case 2: return "unknown_message";
    case 3: return "bad_request";
    case 4: return "bad_contract";
    case 5: return "bad_bundle";
    case 6: return "bad_bundle_format";
    case 7: return "bad_model";
    case 8: return "wrong_arithmetic";
    case 9: return "out_of_memory";
    case 10: return "out_of_range";
    case 11: return "bad_checksum";
    case 12: return "not_committed";
    case 13: return "wrong_step";
    case 14: return "non_finite";
    case 15: return "fixed_at_export";
    case 16: return "bad_setting";
    case 17: return "bad_label";
    case 18: return "cancelled";
    case 19: return "bad_token";
    case 20: return "bad_sparse_rows";
    case 21: return "not_built_in";
    case 22: return "wrong_work_size";
    case 23: return "bad_number";
    case 24: return "last_step";
    case 25: return "inexact_build";
    case 26: return "null_pointer";
    case 27: return "misaligned";
    case 28: return "bad_input";
    case 29: return "not_stored";
    case 30: return "bad_saved_run";
    case 31: return "other_model";
    case 32: return "locked";
    case 33: return "wrong_key";
    case 34: return "bad_seal";
    case 35: return "in_use";
    case 36: return "bad_packed_rows";
    default: return "unknown";
    }
}

// ---- numbers as they stand in bundles and frames: little-endian, unaligned
#ifndef TTZO_COMPACT // 1: less code at some price in speed. A record that lies in memory as in its bytes is copied as one.
#define TTZO_COMPACT 0
#endif
static inline uint8_t ttzo_get_u8(const uint8_t *p) { return p[0]; }
#if TTZO_COMPACT
static inline uint16_t ttzo_get_u16(const uint8_t *p) { uint16_t v; __builtin_memcpy(&v, p, 2); return v; }
static inline uint32_t ttzo_get_u32(const uint8_t *p) { uint32_t v; __builtin_memcpy(&v, p, 4); return v; }
#else
static inline uint16_t ttzo_get_u16(const uint8_t *p) { return (uint16_t)(p[0] | (unsigned)p[1] << 8); }
static inline uint32_t ttzo_get_u32(const uint8_t *p) { return ttzo_get_u16(p) | (uint32_t)ttzo_get_u16(p + 2) << 16; }
#endif
static inline uint64_t ttzo_get_u64(const uint8_t *p) { return ttzo_get_u32(p) | (uint64_t)ttzo_get_u32(p + 4) << 32; }
static inline int16_t ttzo_get_i16(const uint8_t *p) { return (int16_t)ttzo_get_u16(p); }
#ifndef TTZO_FLOAT32 // a test compiles `float` as double: what stands in bundles stays four bytes
#define TTZO_FLOAT32 float
#endif
static inline float ttzo_get_f32(const uint8_t *p)
{
    union { uint32_t bits; TTZO_FLOAT32 value; } both = { ttzo_get_u32(p) };
    return both.value;
}
static inline void ttzo_put_u8(uint8_t *p, uint8_t v) { p[0] = v; }
#if TTZO_COMPACT
static inline void ttzo_put_u16(uint8_t *p, uint16_t v) { __builtin_memcpy(p, &v, 2); }
static inline void ttzo_put_u32(uint8_t *p, uint32_t v) { __builtin_memcpy(p, &v, 4); }
#else
static inline void ttzo_put_u16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); }
static inline void ttzo_put_u32(uint8_t *p, uint32_t v) { ttzo_put_u16(p, (uint16_t)v); ttzo_put_u16(p + 2, (uint16_t)(v >> 16)); }
#endif
static inline void ttzo_put_u64(uint8_t *p, uint64_t v) { ttzo_put_u32(p, (uint32_t)v); ttzo_put_u32(p + 4, (uint32_t)(v >> 32)); }
static inline void ttzo_put_i16(uint8_t *p, int16_t v) { ttzo_put_u16(p, (uint16_t)v); }
static inline void ttzo_put_f32(uint8_t *p, float v)
{
    union { TTZO_FLOAT32 value; uint32_t bits; } both = { v };
    ttzo_put_u32(p, both.bits);
}

// ---- records
#define TTZO_BUNDLE_HEADER_BYTES 32u
struct ttzo_bundle_header {
    uint32_t magic;                         // bundle_magic
    uint32_t format;                        // bundle_format
    uint32_t total_bytes;                   // the whole file, the CRC-32 at its end included
    uint32_t metadata_bytes;                // UTF-8 JSON after the parameters, for people and host tools; the device skips it
    uint8_t hash[16];                       // first bytes of SHA-256 over all from model_info to the parameters, as it stands in the file: records of model, training, phases, loss, rows and layers, the section of a graph or an equation, parameters
};
static inline void ttzo_unpack_bundle_header(const uint8_t *bytes, struct ttzo_bundle_header *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 32); return; }
    out->magic = ttzo_get_u32(bytes + 0);
    out->format = ttzo_get_u32(bytes + 4);
    out->total_bytes = ttzo_get_u32(bytes + 8);
    out->metadata_bytes = ttzo_get_u32(bytes + 12);
    for (unsigned i = 0; i < 16; i++) out->hash[i] = ttzo_get_u8(bytes + 16 + 1 * i);
}
static inline void ttzo_pack_bundle_header(const struct ttzo_bundle_header *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 32); return; }
    ttzo_put_u32(bytes + 0, in->magic);
    ttzo_put_u32(bytes + 4, in->format);
    ttzo_put_u32(bytes + 8, in->total_bytes);
    ttzo_put_u32(bytes + 12, in->metadata_bytes);
    for (unsigned i = 0; i < 16; i++) ttzo_put_u8(bytes + 16 + 1 * i, in->hash[i]);
}

#define TTZO_MODEL_INFO_BYTES 32u
struct ttzo_model_info {
    uint32_t n_parameters;                  // length of theta
    uint32_t batch;                         // rows of one training batch
    uint32_t work_bytes;                    // work buffer the model needs, without a resident dataset
    uint16_t n_layers;                      // layer records that follow; 0 of a graph that is no chain of layers
    uint16_t in_features;                   // numbers of one input row
    uint16_t out_features;                  // numbers of one output row
    uint8_t input_number;                   // number type of inputs, on the line and in memory: enum number
    uint8_t loss;                           // enum loss
    uint8_t arithmetic;                     // enum arithmetic
    uint8_t cache;                          // enum cache
    uint8_t has_loss_section;               // 1 where a loss_section stands after the phases
    uint8_t has_row_section;                // 1 where a row_section stands after the loss_section
    float input_scale;                      // network input = number * scale + offset, one multiply-add
    float input_offset;                     // see input_scale
};
static inline void ttzo_unpack_model_info(const uint8_t *bytes, struct ttzo_model_info *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 32); return; }
    out->n_parameters = ttzo_get_u32(bytes + 0);
    out->batch = ttzo_get_u32(bytes + 4);
    out->work_bytes = ttzo_get_u32(bytes + 8);
    out->n_layers = ttzo_get_u16(bytes + 12);
    out->in_features = ttzo_get_u16(bytes + 14);
    out->out_features = ttzo_get_u16(bytes + 16);
    out->input_number = ttzo_get_u8(bytes + 18);
    out->loss = ttzo_get_u8(bytes + 19);
    out->arithmetic = ttzo_get_u8(bytes + 20);
    out->cache = ttzo_get_u8(bytes + 21);
    out->has_loss_section = ttzo_get_u8(bytes + 22);
    out->has_row_section = ttzo_get_u8(bytes + 23);
    out->input_scale = ttzo_get_f32(bytes + 24);
    out->input_offset = ttzo_get_f32(bytes + 28);
}
static inline void ttzo_pack_model_info(const struct ttzo_model_info *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 32); return; }
    ttzo_put_u32(bytes + 0, in->n_parameters);
    ttzo_put_u32(bytes + 4, in->batch);
    ttzo_put_u32(bytes + 8, in->work_bytes);
    ttzo_put_u16(bytes + 12, in->n_layers);
    ttzo_put_u16(bytes + 14, in->in_features);
    ttzo_put_u16(bytes + 16, in->out_features);
    ttzo_put_u8(bytes + 18, in->input_number);
    ttzo_put_u8(bytes + 19, in->loss);
    ttzo_put_u8(bytes + 20, in->arithmetic);
    ttzo_put_u8(bytes + 21, in->cache);
    ttzo_put_u8(bytes + 22, in->has_loss_section);
    ttzo_put_u8(bytes + 23, in->has_row_section);
    ttzo_put_f32(bytes + 24, in->input_scale);
    ttzo_put_f32(bytes + 28, in->input_offset);
}

#define TTZO_LOSS_INFO_BYTES 8u
struct ttzo_loss_info {
    uint16_t places;                        // place_cross_entropy: places of a sequence, each with out_features / places classes; else 0
    uint16_t n_class_weights;               // 0, or the number of classes: what a class's weight multiplies is the loss of a row or place
    float huber_delta;                      // huber: the error from which on the loss grows linearly; else 0
};
static inline void ttzo_unpack_loss_info(const uint8_t *bytes, struct ttzo_loss_info *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 8); return; }
    out->places = ttzo_get_u16(bytes + 0);
    out->n_class_weights = ttzo_get_u16(bytes + 2);
    out->huber_delta = ttzo_get_f32(bytes + 4);
}
static inline void ttzo_pack_loss_info(const struct ttzo_loss_info *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 8); return; }
    ttzo_put_u16(bytes + 0, in->places);
    ttzo_put_u16(bytes + 2, in->n_class_weights);
    ttzo_put_f32(bytes + 4, in->huber_delta);
}

#define TTZO_ROW_INFO_BYTES 20u
struct ttzo_row_info {
    uint16_t channels;                      // where training rows are varied, the inputs of a row are [channels][height][width]; else all up to jitter is 0
    uint16_t height;
    uint16_t width;
    uint8_t shift_height;                   // each training row is moved by up to so many rows, up or down; zeros move in
    uint8_t shift_width;                    // and by up to so many columns; zeros move in, where height is 1 the number at that end
    float scaling;                          // then each channel's raw numbers are multiplied by 1 + scaling N(0, 1)
    float jitter;                           // then jitter N(0, 1) is added to each raw number; integers are rounded to the nearest, ties to even, and clipped
    uint16_t columns;                       // 0, or columns whose readings become network inputs as (reading - centre - rest) factor; input i is of column i / (in_features / columns)
    uint16_t packing;                       // 1 where the code of packed rows follows, else 0
};
static inline void ttzo_unpack_row_info(const uint8_t *bytes, struct ttzo_row_info *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 20); return; }
    out->channels = ttzo_get_u16(bytes + 0);
    out->height = ttzo_get_u16(bytes + 2);
    out->width = ttzo_get_u16(bytes + 4);
    out->shift_height = ttzo_get_u8(bytes + 6);
    out->shift_width = ttzo_get_u8(bytes + 7);
    out->scaling = ttzo_get_f32(bytes + 8);
    out->jitter = ttzo_get_f32(bytes + 12);
    out->columns = ttzo_get_u16(bytes + 16);
    out->packing = ttzo_get_u16(bytes + 18);
}
static inline void ttzo_pack_row_info(const struct ttzo_row_info *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 20); return; }
    ttzo_put_u16(bytes + 0, in->channels);
    ttzo_put_u16(bytes + 2, in->height);
    ttzo_put_u16(bytes + 4, in->width);
    ttzo_put_u8(bytes + 6, in->shift_height);
    ttzo_put_u8(bytes + 7, in->shift_width);
    ttzo_put_f32(bytes + 8, in->scaling);
    ttzo_put_f32(bytes + 12, in->jitter);
    ttzo_put_u16(bytes + 16, in->columns);
    ttzo_put_u16(bytes + 18, in->packing);
}

#define TTZO_LAYER_BYTES 108u
struct ttzo_layer {
    uint8_t kind;                           // enum layer_kind
    uint8_t activation;                     // enum activation, applied to the layer's output
    uint8_t has_bias;                       // 1 when a bias of out_features follows the cores
    uint8_t n_in_modes;                     // TT: input modes; dense: 0
    uint8_t n_out_modes;                    // TT: output modes; dense: 0
    uint8_t contraction;                    // TT-matrix: 0 right to left; c multiplies out the cores before and from core c once for a parameter vector, all of them together where there are c
    uint8_t gather;                         // enum gather: where one application of the layer finds its in_features inputs
    uint8_t combine;                        // enum combine
    uint8_t kernel_height;                  // patches: rows of a patch; 0 for others, like all below
    uint8_t kernel_width;
    uint8_t stride_height;                  // rows from a patch to the next
    uint8_t stride_width;
    uint8_t padding_height;                 // rows of zeros above the image
    uint8_t padding_width;
    uint16_t channels;                      // patches: of the image; in_features = channels / groups * kernel_height * kernel_width
    uint16_t height;                        // patches: rows of the image
    uint16_t width;                         // patches: columns of the image; tokens: tokens of a row; places: rows of the array
    uint16_t padding_token;                 // tokens: the one that is the zero vector, or no_token
    uint16_t in_features;                   // product of in_modes
    uint16_t out_features;                  // product of out_modes
    uint16_t in_modes[8];                   // n_1 ..., first mode slowest (C order)
    uint16_t out_modes[8];                  // m_1 ..., first mode slowest
    uint16_t ranks[17];                     // r_0 = 1, ..., the last 1
    uint8_t padding_bottom;                 // patches: rows of zeros below the image; those above it are padding_height
    uint8_t padding_right;                  // columns of zeros to its right; those to its left are padding_width
    uint8_t dilation_height;                // patches: rows of the image from a row of the kernel to the next
    uint8_t dilation_width;
    uint16_t groups;                        // patches: the channels and the outputs fall into so many parts, each output reads its part alone; dense layers of graphs, else 1
    uint16_t out_height;                    // patches: rows of positions, as the fields above say; devices check it and then use it
    uint16_t out_width;                     // columns of positions
    uint8_t reserved[2];                    // 0
    uint32_t parameter_offset;              // index of the layer's first number in theta: cores in order (or W), then bias, all C order
};
static inline void ttzo_unpack_layer(const uint8_t *bytes, struct ttzo_layer *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 108); return; }
    out->kind = ttzo_get_u8(bytes + 0);
    out->activation = ttzo_get_u8(bytes + 1);
    out->has_bias = ttzo_get_u8(bytes + 2);
    out->n_in_modes = ttzo_get_u8(bytes + 3);
    out->n_out_modes = ttzo_get_u8(bytes + 4);
    out->contraction = ttzo_get_u8(bytes + 5);
    out->gather = ttzo_get_u8(bytes + 6);
    out->combine = ttzo_get_u8(bytes + 7);
    out->kernel_height = ttzo_get_u8(bytes + 8);
    out->kernel_width = ttzo_get_u8(bytes + 9);
    out->stride_height = ttzo_get_u8(bytes + 10);
    out->stride_width = ttzo_get_u8(bytes + 11);
    out->padding_height = ttzo_get_u8(bytes + 12);
    out->padding_width = ttzo_get_u8(bytes + 13);
    out->channels = ttzo_get_u16(bytes + 14);
    out->height = ttzo_get_u16(bytes + 16);
    out->width = ttzo_get_u16(bytes + 18);
    out->padding_token = ttzo_get_u16(bytes + 20);
    out->in_features = ttzo_get_u16(bytes + 22);
    out->out_features = ttzo_get_u16(bytes + 24);
    for (unsigned i = 0; i < 8; i++) out->in_modes[i] = ttzo_get_u16(bytes + 26 + 2 * i);
    for (unsigned i = 0; i < 8; i++) out->out_modes[i] = ttzo_get_u16(bytes + 42 + 2 * i);
    for (unsigned i = 0; i < 17; i++) out->ranks[i] = ttzo_get_u16(bytes + 58 + 2 * i);
    out->padding_bottom = ttzo_get_u8(bytes + 92);
    out->padding_right = ttzo_get_u8(bytes + 93);
    out->dilation_height = ttzo_get_u8(bytes + 94);
    out->dilation_width = ttzo_get_u8(bytes + 95);
    out->groups = ttzo_get_u16(bytes + 96);
    out->out_height = ttzo_get_u16(bytes + 98);
    out->out_width = ttzo_get_u16(bytes + 100);
    for (unsigned i = 0; i < 2; i++) out->reserved[i] = ttzo_get_u8(bytes + 102 + 1 * i);
    out->parameter_offset = ttzo_get_u32(bytes + 104);
}
static inline void ttzo_pack_layer(const struct ttzo_layer *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 108); return; }
    ttzo_put_u8(bytes + 0, in->kind);
    ttzo_put_u8(bytes + 1, in->activation);
    ttzo_put_u8(bytes + 2, in->has_bias);
    ttzo_put_u8(bytes + 3, in->n_in_modes);
    ttzo_put_u8(bytes + 4, in->n_out_modes);
    ttzo_put_u8(bytes + 5, in->contraction);
    ttzo_put_u8(bytes + 6, in->gather);
    ttzo_put_u8(bytes + 7, in->combine);
    ttzo_put_u8(bytes + 8, in->kernel_height);
    ttzo_put_u8(bytes + 9, in->kernel_width);
    ttzo_put_u8(bytes + 10, in->stride_height);
    ttzo_put_u8(bytes + 11, in->stride_width);
    ttzo_put_u8(bytes + 12, in->padding_height);
    ttzo_put_u8(bytes + 13, in->padding_width);
    ttzo_put_u16(bytes + 14, in->channels);
    ttzo_put_u16(bytes + 16, in->height);
    ttzo_put_u16(bytes + 18, in->width);
    ttzo_put_u16(bytes + 20, in->padding_token);
    ttzo_put_u16(bytes + 22, in->in_features);
    ttzo_put_u16(bytes + 24, in->out_features);
    for (unsigned i = 0; i < 8; i++) ttzo_put_u16(bytes + 26 + 2 * i, in->in_modes[i]);
    for (unsigned i = 0; i < 8; i++) ttzo_put_u16(bytes + 42 + 2 * i, in->out_modes[i]);
    for (unsigned i = 0; i < 17; i++) ttzo_put_u16(bytes + 58 + 2 * i, in->ranks[i]);
    ttzo_put_u8(bytes + 92, in->padding_bottom);
    ttzo_put_u8(bytes + 93, in->padding_right);
    ttzo_put_u8(bytes + 94, in->dilation_height);
    ttzo_put_u8(bytes + 95, in->dilation_width);
    ttzo_put_u16(bytes + 96, in->groups);
    ttzo_put_u16(bytes + 98, in->out_height);
    ttzo_put_u16(bytes + 100, in->out_width);
    for (unsigned i = 0; i < 2; i++) ttzo_put_u8(bytes + 102 + 1 * i, in->reserved[i]);
    ttzo_put_u32(bytes + 104, in->parameter_offset);
}

#define TTZO_GRAPH_INFO_BYTES 16u
struct ttzo_graph_info {
    uint16_t n_nodes;                       // node records, in topological order; the last one writes the network's output
    uint16_t n_arrays;                      // array records; array 0 is the network's input, every other one is written by one node
    uint32_t attribute_bytes;               // bytes of attributes
    uint32_t constant_bytes;                // bytes of constants: parameters of frozen nodes, each tensor in order; of int8 nodes a matrix is its rows' scales (float32), then its integers, padded to 4 bytes
    uint32_t arena;                         // numbers of the memory in which the arrays lie
};
static inline void ttzo_unpack_graph_info(const uint8_t *bytes, struct ttzo_graph_info *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    out->n_nodes = ttzo_get_u16(bytes + 0);
    out->n_arrays = ttzo_get_u16(bytes + 2);
    out->attribute_bytes = ttzo_get_u32(bytes + 4);
    out->constant_bytes = ttzo_get_u32(bytes + 8);
    out->arena = ttzo_get_u32(bytes + 12);
}
static inline void ttzo_pack_graph_info(const struct ttzo_graph_info *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    ttzo_put_u16(bytes + 0, in->n_nodes);
    ttzo_put_u16(bytes + 2, in->n_arrays);
    ttzo_put_u32(bytes + 4, in->attribute_bytes);
    ttzo_put_u32(bytes + 8, in->constant_bytes);
    ttzo_put_u32(bytes + 12, in->arena);
}

#define TTZO_NODE_BYTES 16u
struct ttzo_node {
    uint8_t operation;                      // enum node_operation
    uint8_t flags;                          // sum of enum node_flag
    uint16_t output;                        // array that it writes
    uint16_t inputs[3];                     // arrays that it reads, no_array where there are fewer
    uint16_t attributes;                    // where its attributes begin, in units of 4 bytes; 0 where it has none
    uint32_t parameters;                    // index of its first parameter in theta, or of its first byte in the constants divided by 4; 0 where it has none
};
static inline void ttzo_unpack_node(const uint8_t *bytes, struct ttzo_node *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    out->operation = ttzo_get_u8(bytes + 0);
    out->flags = ttzo_get_u8(bytes + 1);
    out->output = ttzo_get_u16(bytes + 2);
    for (unsigned i = 0; i < 3; i++) out->inputs[i] = ttzo_get_u16(bytes + 4 + 2 * i);
    out->attributes = ttzo_get_u16(bytes + 10);
    out->parameters = ttzo_get_u32(bytes + 12);
}
static inline void ttzo_pack_node(const struct ttzo_node *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    ttzo_put_u8(bytes + 0, in->operation);
    ttzo_put_u8(bytes + 1, in->flags);
    ttzo_put_u16(bytes + 2, in->output);
    for (unsigned i = 0; i < 3; i++) ttzo_put_u16(bytes + 4 + 2 * i, in->inputs[i]);
    ttzo_put_u16(bytes + 10, in->attributes);
    ttzo_put_u32(bytes + 12, in->parameters);
}

#define TTZO_NODE_ARRAY_BYTES 8u
struct ttzo_node_array {
    uint32_t numbers;                       // numbers of one row
    uint32_t place;                         // where it lies in the arena; arrays that are wanted at the same time do not overlap
};
static inline void ttzo_unpack_node_array(const uint8_t *bytes, struct ttzo_node_array *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 8); return; }
    out->numbers = ttzo_get_u32(bytes + 0);
    out->place = ttzo_get_u32(bytes + 4);
}
static inline void ttzo_pack_node_array(const struct ttzo_node_array *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 8); return; }
    ttzo_put_u32(bytes + 0, in->numbers);
    ttzo_put_u32(bytes + 4, in->place);
}

#define TTZO_ACTIVATION_ATTRIBUTES_BYTES 8u
struct ttzo_activation_attributes {
    uint8_t activation;                     // enum activation
    uint8_t reserved[3];                    // 0
    float slope;                            // of leaky_relu; else 0
};
static inline void ttzo_unpack_activation_attributes(const uint8_t *bytes, struct ttzo_activation_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 8); return; }
    out->activation = ttzo_get_u8(bytes + 0);
    for (unsigned i = 0; i < 3; i++) out->reserved[i] = ttzo_get_u8(bytes + 1 + 1 * i);
    out->slope = ttzo_get_f32(bytes + 4);
}
static inline void ttzo_pack_activation_attributes(const struct ttzo_activation_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 8); return; }
    ttzo_put_u8(bytes + 0, in->activation);
    for (unsigned i = 0; i < 3; i++) ttzo_put_u8(bytes + 1 + 1 * i, in->reserved[i]);
    ttzo_put_f32(bytes + 4, in->slope);
}

#define TTZO_SCALE_ATTRIBUTES_BYTES 16u
struct ttzo_scale_attributes {
    uint32_t outer;                         // the array is [outer][channels][inner]
    uint32_t channels;                      // length of weight and bias
    uint32_t inner;
    uint8_t has_weight;                     // without it the weight is 1
    uint8_t has_bias;                       // without it the bias is 0
    uint8_t reserved[2];                    // 0
};
static inline void ttzo_unpack_scale_attributes(const uint8_t *bytes, struct ttzo_scale_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    out->outer = ttzo_get_u32(bytes + 0);
    out->channels = ttzo_get_u32(bytes + 4);
    out->inner = ttzo_get_u32(bytes + 8);
    out->has_weight = ttzo_get_u8(bytes + 12);
    out->has_bias = ttzo_get_u8(bytes + 13);
    for (unsigned i = 0; i < 2; i++) out->reserved[i] = ttzo_get_u8(bytes + 14 + 1 * i);
}
static inline void ttzo_pack_scale_attributes(const struct ttzo_scale_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    ttzo_put_u32(bytes + 0, in->outer);
    ttzo_put_u32(bytes + 4, in->channels);
    ttzo_put_u32(bytes + 8, in->inner);
    ttzo_put_u8(bytes + 12, in->has_weight);
    ttzo_put_u8(bytes + 13, in->has_bias);
    for (unsigned i = 0; i < 2; i++) ttzo_put_u8(bytes + 14 + 1 * i, in->reserved[i]);
}

#define TTZO_BROADCAST_ATTRIBUTES_BYTES 16u
struct ttzo_broadcast_attributes {
    uint32_t outer;                         // the first array is [outer][middle][inner], the second [middle]
    uint32_t middle;
    uint32_t inner;
    uint8_t minus;                          // add: 1 where the second is subtracted; multiply: 0
    uint8_t reserved[3];                    // 0
};
static inline void ttzo_unpack_broadcast_attributes(const uint8_t *bytes, struct ttzo_broadcast_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    out->outer = ttzo_get_u32(bytes + 0);
    out->middle = ttzo_get_u32(bytes + 4);
    out->inner = ttzo_get_u32(bytes + 8);
    out->minus = ttzo_get_u8(bytes + 12);
    for (unsigned i = 0; i < 3; i++) out->reserved[i] = ttzo_get_u8(bytes + 13 + 1 * i);
}
static inline void ttzo_pack_broadcast_attributes(const struct ttzo_broadcast_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    ttzo_put_u32(bytes + 0, in->outer);
    ttzo_put_u32(bytes + 4, in->middle);
    ttzo_put_u32(bytes + 8, in->inner);
    ttzo_put_u8(bytes + 12, in->minus);
    for (unsigned i = 0; i < 3; i++) ttzo_put_u8(bytes + 13 + 1 * i, in->reserved[i]);
}

#define TTZO_CONCAT_ATTRIBUTES_BYTES 16u
struct ttzo_concat_attributes {
    uint32_t outer;                         // input i is [outer][sizes_i]
    uint32_t sizes[3];                      // 0 where there are fewer
};
static inline void ttzo_unpack_concat_attributes(const uint8_t *bytes, struct ttzo_concat_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    out->outer = ttzo_get_u32(bytes + 0);
    for (unsigned i = 0; i < 3; i++) out->sizes[i] = ttzo_get_u32(bytes + 4 + 4 * i);
}
static inline void ttzo_pack_concat_attributes(const struct ttzo_concat_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    ttzo_put_u32(bytes + 0, in->outer);
    for (unsigned i = 0; i < 3; i++) ttzo_put_u32(bytes + 4 + 4 * i, in->sizes[i]);
}

#define TTZO_SLICE_ATTRIBUTES_BYTES 24u
struct ttzo_slice_attributes {
    uint32_t outer;                         // the array is [outer][size][inner], what is taken [outer][count][inner]
    uint32_t size;
    uint32_t inner;
    uint32_t first;                         // the first entry that is taken
    uint32_t count;                         // entries that are taken
    uint32_t step;                          // from an entry to the next
};
static inline void ttzo_unpack_slice_attributes(const uint8_t *bytes, struct ttzo_slice_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 24); return; }
    out->outer = ttzo_get_u32(bytes + 0);
    out->size = ttzo_get_u32(bytes + 4);
    out->inner = ttzo_get_u32(bytes + 8);
    out->first = ttzo_get_u32(bytes + 12);
    out->count = ttzo_get_u32(bytes + 16);
    out->step = ttzo_get_u32(bytes + 20);
}
static inline void ttzo_pack_slice_attributes(const struct ttzo_slice_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 24); return; }
    ttzo_put_u32(bytes + 0, in->outer);
    ttzo_put_u32(bytes + 4, in->size);
    ttzo_put_u32(bytes + 8, in->inner);
    ttzo_put_u32(bytes + 12, in->first);
    ttzo_put_u32(bytes + 16, in->count);
    ttzo_put_u32(bytes + 20, in->step);
}

#define TTZO_TRANSPOSE_ATTRIBUTES_BYTES 20u
struct ttzo_transpose_attributes {
    uint32_t sizes[4];                      // of the input's axes, 1 where there are fewer
    uint8_t axes[4];                        // axis of the input that each axis of the output is
};
static inline void ttzo_unpack_transpose_attributes(const uint8_t *bytes, struct ttzo_transpose_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 20); return; }
    for (unsigned i = 0; i < 4; i++) out->sizes[i] = ttzo_get_u32(bytes + 0 + 4 * i);
    for (unsigned i = 0; i < 4; i++) out->axes[i] = ttzo_get_u8(bytes + 16 + 1 * i);
}
static inline void ttzo_pack_transpose_attributes(const struct ttzo_transpose_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 20); return; }
    for (unsigned i = 0; i < 4; i++) ttzo_put_u32(bytes + 0 + 4 * i, in->sizes[i]);
    for (unsigned i = 0; i < 4; i++) ttzo_put_u8(bytes + 16 + 1 * i, in->axes[i]);
}

#define TTZO_POOL_ATTRIBUTES_BYTES 16u
struct ttzo_pool_attributes {
    uint16_t channels;                      // the array is [channels][height][width]
    uint16_t height;
    uint16_t width;
    uint8_t kernel_height;
    uint8_t kernel_width;
    uint8_t stride_height;
    uint8_t stride_width;
    uint8_t padding_top;                    // rows beyond the border, which no maximum looks at
    uint8_t padding_left;
    uint8_t padding_bottom;
    uint8_t padding_right;
    uint8_t count_padding;                  // average_pool: 1 where the mean counts numbers beyond the border as zeros
    uint8_t reserved;                       // 0
};
static inline void ttzo_unpack_pool_attributes(const uint8_t *bytes, struct ttzo_pool_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    out->channels = ttzo_get_u16(bytes + 0);
    out->height = ttzo_get_u16(bytes + 2);
    out->width = ttzo_get_u16(bytes + 4);
    out->kernel_height = ttzo_get_u8(bytes + 6);
    out->kernel_width = ttzo_get_u8(bytes + 7);
    out->stride_height = ttzo_get_u8(bytes + 8);
    out->stride_width = ttzo_get_u8(bytes + 9);
    out->padding_top = ttzo_get_u8(bytes + 10);
    out->padding_left = ttzo_get_u8(bytes + 11);
    out->padding_bottom = ttzo_get_u8(bytes + 12);
    out->padding_right = ttzo_get_u8(bytes + 13);
    out->count_padding = ttzo_get_u8(bytes + 14);
    out->reserved = ttzo_get_u8(bytes + 15);
}
static inline void ttzo_pack_pool_attributes(const struct ttzo_pool_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    ttzo_put_u16(bytes + 0, in->channels);
    ttzo_put_u16(bytes + 2, in->height);
    ttzo_put_u16(bytes + 4, in->width);
    ttzo_put_u8(bytes + 6, in->kernel_height);
    ttzo_put_u8(bytes + 7, in->kernel_width);
    ttzo_put_u8(bytes + 8, in->stride_height);
    ttzo_put_u8(bytes + 9, in->stride_width);
    ttzo_put_u8(bytes + 10, in->padding_top);
    ttzo_put_u8(bytes + 11, in->padding_left);
    ttzo_put_u8(bytes + 12, in->padding_bottom);
    ttzo_put_u8(bytes + 13, in->padding_right);
    ttzo_put_u8(bytes + 14, in->count_padding);
    ttzo_put_u8(bytes + 15, in->reserved);
}

#define TTZO_AXIS_ATTRIBUTES_BYTES 12u
struct ttzo_axis_attributes {
    uint32_t outer;                         // the array is [outer][size][inner]
    uint32_t size;                          // length of the axis
    uint32_t inner;
};
static inline void ttzo_unpack_axis_attributes(const uint8_t *bytes, struct ttzo_axis_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 12); return; }
    out->outer = ttzo_get_u32(bytes + 0);
    out->size = ttzo_get_u32(bytes + 4);
    out->inner = ttzo_get_u32(bytes + 8);
}
static inline void ttzo_pack_axis_attributes(const struct ttzo_axis_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 12); return; }
    ttzo_put_u32(bytes + 0, in->outer);
    ttzo_put_u32(bytes + 4, in->size);
    ttzo_put_u32(bytes + 8, in->inner);
}

#define TTZO_SOFT_MAX_ATTRIBUTES_BYTES 16u
struct ttzo_soft_max_attributes {
    uint32_t outer;                         // the array is [outer][size][inner]
    uint32_t size;                          // length of the axis
    uint32_t inner;
    uint32_t causal;                        // 1 where entry j counts in row i alone if j <= i, i = outer index mod size; the others become 0. inner is 1 then
};
static inline void ttzo_unpack_soft_max_attributes(const uint8_t *bytes, struct ttzo_soft_max_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    out->outer = ttzo_get_u32(bytes + 0);
    out->size = ttzo_get_u32(bytes + 4);
    out->inner = ttzo_get_u32(bytes + 8);
    out->causal = ttzo_get_u32(bytes + 12);
}
static inline void ttzo_pack_soft_max_attributes(const struct ttzo_soft_max_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    ttzo_put_u32(bytes + 0, in->outer);
    ttzo_put_u32(bytes + 4, in->size);
    ttzo_put_u32(bytes + 8, in->inner);
    ttzo_put_u32(bytes + 12, in->causal);
}

#define TTZO_NORM_ATTRIBUTES_BYTES 16u
struct ttzo_norm_attributes {
    uint32_t outer;                         // the array is [outer][size]
    uint32_t size;                          // length of the axis, of weight and bias
    float epsilon;                          // added to the variance or the mean square
    uint8_t has_weight;
    uint8_t has_bias;                       // layer_norm
    uint8_t reserved[2];                    // 0
};
static inline void ttzo_unpack_norm_attributes(const uint8_t *bytes, struct ttzo_norm_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    out->outer = ttzo_get_u32(bytes + 0);
    out->size = ttzo_get_u32(bytes + 4);
    out->epsilon = ttzo_get_f32(bytes + 8);
    out->has_weight = ttzo_get_u8(bytes + 12);
    out->has_bias = ttzo_get_u8(bytes + 13);
    for (unsigned i = 0; i < 2; i++) out->reserved[i] = ttzo_get_u8(bytes + 14 + 1 * i);
}
static inline void ttzo_pack_norm_attributes(const struct ttzo_norm_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    ttzo_put_u32(bytes + 0, in->outer);
    ttzo_put_u32(bytes + 4, in->size);
    ttzo_put_f32(bytes + 8, in->epsilon);
    ttzo_put_u8(bytes + 12, in->has_weight);
    ttzo_put_u8(bytes + 13, in->has_bias);
    for (unsigned i = 0; i < 2; i++) ttzo_put_u8(bytes + 14 + 1 * i, in->reserved[i]);
}

#define TTZO_PRODUCT_ATTRIBUTES_BYTES 20u
struct ttzo_product_attributes {
    uint32_t count;                         // matrices: the first array is [count][rows][inner]
    uint32_t rows;
    uint32_t inner;
    uint32_t columns;                       // the second array is [count][inner][columns], the result [count][rows][columns]
    uint32_t transposed;                    // 1 where the second array is [count][columns][inner]
};
static inline void ttzo_unpack_product_attributes(const uint8_t *bytes, struct ttzo_product_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 20); return; }
    out->count = ttzo_get_u32(bytes + 0);
    out->rows = ttzo_get_u32(bytes + 4);
    out->inner = ttzo_get_u32(bytes + 8);
    out->columns = ttzo_get_u32(bytes + 12);
    out->transposed = ttzo_get_u32(bytes + 16);
}
static inline void ttzo_pack_product_attributes(const struct ttzo_product_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 20); return; }
    ttzo_put_u32(bytes + 0, in->count);
    ttzo_put_u32(bytes + 4, in->rows);
    ttzo_put_u32(bytes + 8, in->inner);
    ttzo_put_u32(bytes + 12, in->columns);
    ttzo_put_u32(bytes + 16, in->transposed);
}

#define TTZO_RECURRENT_ATTRIBUTES_BYTES 12u
struct ttzo_recurrent_attributes {
    uint8_t cell;                           // enum cell
    uint8_t has_bias;
    uint8_t reverse;                        // 1 where it begins with the last step; outputs stay at their steps
    uint8_t last;                           // 1 where the output is the last h alone, else that of every step
    uint16_t steps;                         // the array is [steps][in_features]
    uint16_t in_features;
    uint16_t hidden;                        // numbers of h; it begins as zeros
    uint16_t reserved;                      // 0
};
static inline void ttzo_unpack_recurrent_attributes(const uint8_t *bytes, struct ttzo_recurrent_attributes *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 12); return; }
    out->cell = ttzo_get_u8(bytes + 0);
    out->has_bias = ttzo_get_u8(bytes + 1);
    out->reverse = ttzo_get_u8(bytes + 2);
    out->last = ttzo_get_u8(bytes + 3);
    out->steps = ttzo_get_u16(bytes + 4);
    out->in_features = ttzo_get_u16(bytes + 6);
    out->hidden = ttzo_get_u16(bytes + 8);
    out->reserved = ttzo_get_u16(bytes + 10);
}
static inline void ttzo_pack_recurrent_attributes(const struct ttzo_recurrent_attributes *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 12); return; }
    ttzo_put_u8(bytes + 0, in->cell);
    ttzo_put_u8(bytes + 1, in->has_bias);
    ttzo_put_u8(bytes + 2, in->reverse);
    ttzo_put_u8(bytes + 3, in->last);
    ttzo_put_u16(bytes + 4, in->steps);
    ttzo_put_u16(bytes + 6, in->in_features);
    ttzo_put_u16(bytes + 8, in->hidden);
    ttzo_put_u16(bytes + 10, in->reserved);
}

#define TTZO_PDE_INFO_BYTES 36u
struct ttzo_pde_info {
    uint32_t section_bytes;                 // this record and all that belongs to it: bounds, directions, units, readings, row groups, programs, sparse grid
    uint16_t n_space;                       // coordinates in space: the network's first inputs
    uint8_t has_time;                       // 1 when time is the network's last input
    uint8_t derivative;                     // enum derivative
    uint8_t n_groups;                       // row groups that follow the bounds
    uint8_t has_exact;                      // 1 when the exact solution follows as programs
    uint8_t n_classes;                      // classes of the sparse grid; 0 without one
    uint8_t n_values;                       // its distinct non-zero |coordinates|
    uint8_t level;                          // of the sparse grid
    uint8_t has_points;                     // 1 when the last programs say where a uniform training point goes, in space and then, with has_time, in time
    uint8_t n_directions;                   // directions that follow the bounds
    uint8_t n_unknowns;                     // unknown constants: the last parameters
    uint32_t n_pairs;                       // monte_carlo: antithetic pairs a point
    uint32_t validation_seed;               // key of the validation points
    float radius;                           // stein_radius (sigma), or the step of finite differences
    uint16_t n_readings;                    // points where something was measured
    uint8_t n_measured;                     // numbers measured at each
    uint8_t n_sampled;                      // sampled_jet: directions k = 0, 1, .. of a row, a power of two. Coordinate i is -1 where its random bit differs from the parity of k AND i, else 1, over the root of n_sampled; 0 of other derivatives
    uint8_t n_vectors;                      // directions that a program computes
    uint8_t reserved[3];                    // 0
};
static inline void ttzo_unpack_pde_info(const uint8_t *bytes, struct ttzo_pde_info *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 36); return; }
    out->section_bytes = ttzo_get_u32(bytes + 0);
    out->n_space = ttzo_get_u16(bytes + 4);
    out->has_time = ttzo_get_u8(bytes + 6);
    out->derivative = ttzo_get_u8(bytes + 7);
    out->n_groups = ttzo_get_u8(bytes + 8);
    out->has_exact = ttzo_get_u8(bytes + 9);
    out->n_classes = ttzo_get_u8(bytes + 10);
    out->n_values = ttzo_get_u8(bytes + 11);
    out->level = ttzo_get_u8(bytes + 12);
    out->has_points = ttzo_get_u8(bytes + 13);
    out->n_directions = ttzo_get_u8(bytes + 14);
    out->n_unknowns = ttzo_get_u8(bytes + 15);
    out->n_pairs = ttzo_get_u32(bytes + 16);
    out->validation_seed = ttzo_get_u32(bytes + 20);
    out->radius = ttzo_get_f32(bytes + 24);
    out->n_readings = ttzo_get_u16(bytes + 28);
    out->n_measured = ttzo_get_u8(bytes + 30);
    out->n_sampled = ttzo_get_u8(bytes + 31);
    out->n_vectors = ttzo_get_u8(bytes + 32);
    for (unsigned i = 0; i < 3; i++) out->reserved[i] = ttzo_get_u8(bytes + 33 + 1 * i);
}
static inline void ttzo_pack_pde_info(const struct ttzo_pde_info *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 36); return; }
    ttzo_put_u32(bytes + 0, in->section_bytes);
    ttzo_put_u16(bytes + 4, in->n_space);
    ttzo_put_u8(bytes + 6, in->has_time);
    ttzo_put_u8(bytes + 7, in->derivative);
    ttzo_put_u8(bytes + 8, in->n_groups);
    ttzo_put_u8(bytes + 9, in->has_exact);
    ttzo_put_u8(bytes + 10, in->n_classes);
    ttzo_put_u8(bytes + 11, in->n_values);
    ttzo_put_u8(bytes + 12, in->level);
    ttzo_put_u8(bytes + 13, in->has_points);
    ttzo_put_u8(bytes + 14, in->n_directions);
    ttzo_put_u8(bytes + 15, in->n_unknowns);
    ttzo_put_u32(bytes + 16, in->n_pairs);
    ttzo_put_u32(bytes + 20, in->validation_seed);
    ttzo_put_f32(bytes + 24, in->radius);
    ttzo_put_u16(bytes + 28, in->n_readings);
    ttzo_put_u8(bytes + 30, in->n_measured);
    ttzo_put_u8(bytes + 31, in->n_sampled);
    ttzo_put_u8(bytes + 32, in->n_vectors);
    for (unsigned i = 0; i < 3; i++) ttzo_put_u8(bytes + 33 + 1 * i, in->reserved[i]);
}

#define TTZO_ROW_GROUP_BYTES 12u
struct ttzo_row_group {
    uint8_t sampler;                        // enum sampler
    uint8_t needs;                          // sum of enum need: what the group's program reads
    uint16_t count;                         // rows of a batch
    float root_weight;                      // square root of the rows' weight in the loss
    uint16_t first_face;                    // of samplers faces and opposite: face 2 i is the lower, 2 i + 1 the upper bound of coordinate i
    uint16_t n_faces;                       // faces from that one on, each as likely as the other; 0 of other samplers
};
static inline void ttzo_unpack_row_group(const uint8_t *bytes, struct ttzo_row_group *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 12); return; }
    out->sampler = ttzo_get_u8(bytes + 0);
    out->needs = ttzo_get_u8(bytes + 1);
    out->count = ttzo_get_u16(bytes + 2);
    out->root_weight = ttzo_get_f32(bytes + 4);
    out->first_face = ttzo_get_u16(bytes + 8);
    out->n_faces = ttzo_get_u16(bytes + 10);
}
static inline void ttzo_pack_row_group(const struct ttzo_row_group *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 12); return; }
    ttzo_put_u8(bytes + 0, in->sampler);
    ttzo_put_u8(bytes + 1, in->needs);
    ttzo_put_u16(bytes + 2, in->count);
    ttzo_put_f32(bytes + 4, in->root_weight);
    ttzo_put_u16(bytes + 8, in->first_face);
    ttzo_put_u16(bytes + 10, in->n_faces);
}

#define TTZO_PDE_DIRECTION_BYTES 12u
struct ttzo_pde_direction {
    uint16_t first;                         // the direction is 1 in this input of the network; vector_direction: it is what a program computes
    uint16_t second;                        // and factor in this one; or the number of that program
    float factor;                           // 0: in the first alone
    uint8_t order;                          // 1 to max_order: up to which derivatives are computed
    uint8_t reserved[3];                    // 0
};
static inline void ttzo_unpack_pde_direction(const uint8_t *bytes, struct ttzo_pde_direction *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 12); return; }
    out->first = ttzo_get_u16(bytes + 0);
    out->second = ttzo_get_u16(bytes + 2);
    out->factor = ttzo_get_f32(bytes + 4);
    out->order = ttzo_get_u8(bytes + 8);
    for (unsigned i = 0; i < 3; i++) out->reserved[i] = ttzo_get_u8(bytes + 9 + 1 * i);
}
static inline void ttzo_pack_pde_direction(const struct ttzo_pde_direction *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 12); return; }
    ttzo_put_u16(bytes + 0, in->first);
    ttzo_put_u16(bytes + 2, in->second);
    ttzo_put_f32(bytes + 4, in->factor);
    ttzo_put_u8(bytes + 8, in->order);
    for (unsigned i = 0; i < 3; i++) ttzo_put_u8(bytes + 9 + 1 * i, in->reserved[i]);
}

#define TTZO_PROGRAM_RECORD_BYTES 4u
struct ttzo_program_record {
    uint8_t n_constants;                    // constants (float32) that follow; their registers come after the inputs
    uint8_t n_instructions;                 // instructions that follow them, four bytes each: enum operation, registers a, b, c. Each fills the next register
    uint8_t output;                         // register of the result: a scalar, but a vector of the program that places points in space
    uint8_t reserved;                       // 0
};
static inline void ttzo_unpack_program_record(const uint8_t *bytes, struct ttzo_program_record *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 4); return; }
    out->n_constants = ttzo_get_u8(bytes + 0);
    out->n_instructions = ttzo_get_u8(bytes + 1);
    out->output = ttzo_get_u8(bytes + 2);
    out->reserved = ttzo_get_u8(bytes + 3);
}
static inline void ttzo_pack_program_record(const struct ttzo_program_record *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 4); return; }
    ttzo_put_u8(bytes + 0, in->n_constants);
    ttzo_put_u8(bytes + 1, in->n_instructions);
    ttzo_put_u8(bytes + 2, in->output);
    ttzo_put_u8(bytes + 3, in->reserved);
}

#define TTZO_SPARSE_ROWS_BYTES 4u
struct ttzo_sparse_rows {
    uint32_t n_rows;                        // rows that follow: layout sparse_region
};
static inline void ttzo_unpack_sparse_rows(const uint8_t *bytes, struct ttzo_sparse_rows *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 4); return; }
    out->n_rows = ttzo_get_u32(bytes + 0);
}
static inline void ttzo_pack_sparse_rows(const struct ttzo_sparse_rows *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 4); return; }
    ttzo_put_u32(bytes + 0, in->n_rows);
}

#define TTZO_SIMULATION_INFO_BYTES 20u
struct ttzo_simulation_info {
    uint32_t section_bytes;                 // this record and all that belongs to it: unknowns, scales, programs
    uint8_t n_states;
    uint8_t n_inputs;                       // input columns of the log
    uint8_t n_measured;                     // measured columns of the log
    uint8_t n_starts;                       // starts of the unknowns: the exported one, then random ones around it
    uint8_t tries;                          // sweeps of each start before the next one; after all of them the best goes on
    uint8_t reserved;                       // 0
    uint16_t linear_inputs;                 // a bit for each input column: 1 where it is a line between two rows, 0 where it holds its number until the next row
    float substep;                          // longest integration step, in the log's unit of time
    float spread;                           // standard deviation of the random starts, in theta
};
static inline void ttzo_unpack_simulation_info(const uint8_t *bytes, struct ttzo_simulation_info *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 20); return; }
    out->section_bytes = ttzo_get_u32(bytes + 0);
    out->n_states = ttzo_get_u8(bytes + 4);
    out->n_inputs = ttzo_get_u8(bytes + 5);
    out->n_measured = ttzo_get_u8(bytes + 6);
    out->n_starts = ttzo_get_u8(bytes + 7);
    out->tries = ttzo_get_u8(bytes + 8);
    out->reserved = ttzo_get_u8(bytes + 9);
    out->linear_inputs = ttzo_get_u16(bytes + 10);
    out->substep = ttzo_get_f32(bytes + 12);
    out->spread = ttzo_get_f32(bytes + 16);
}
static inline void ttzo_pack_simulation_info(const struct ttzo_simulation_info *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 20); return; }
    ttzo_put_u32(bytes + 0, in->section_bytes);
    ttzo_put_u8(bytes + 4, in->n_states);
    ttzo_put_u8(bytes + 5, in->n_inputs);
    ttzo_put_u8(bytes + 6, in->n_measured);
    ttzo_put_u8(bytes + 7, in->n_starts);
    ttzo_put_u8(bytes + 8, in->tries);
    ttzo_put_u8(bytes + 9, in->reserved);
    ttzo_put_u16(bytes + 10, in->linear_inputs);
    ttzo_put_f32(bytes + 12, in->substep);
    ttzo_put_f32(bytes + 16, in->spread);
}

#define TTZO_UNKNOWN_BYTES 12u
struct ttzo_unknown {
    float low;                              // least theta
    float high;                             // largest theta
    float unit;                             // the constant is unit theta; 0: it is exp(theta)
};
static inline void ttzo_unpack_unknown(const uint8_t *bytes, struct ttzo_unknown *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 12); return; }
    out->low = ttzo_get_f32(bytes + 0);
    out->high = ttzo_get_f32(bytes + 4);
    out->unit = ttzo_get_f32(bytes + 8);
}
static inline void ttzo_pack_unknown(const struct ttzo_unknown *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 12); return; }
    ttzo_put_f32(bytes + 0, in->low);
    ttzo_put_f32(bytes + 4, in->high);
    ttzo_put_f32(bytes + 8, in->unit);
}

#define TTZO_PHASE_BYTES 48u
struct ttzo_phase {
    uint8_t estimator;                      // enum estimator
    uint8_t direction;                      // enum direction (rge, block_rge)
    uint8_t difference;                     // enum difference
    uint8_t update;                         // enum update
    uint32_t n_queries;                     // N: random directions of one estimate: of all parameters (rge, and Gauss-Newton: there fixed at export), or of a block of them (block_rge)
    float perturb_radius;                   // mu
    float learning_rate;                    // lr
    float beta1;                            // decay of the mean gradient: of momentum, ema_momentum and Adam
    float beta2;                            // Adam: decay of the mean squared gradient
    float epsilon;                          // Adam: what is added to the root of that mean
    float clip_norm;                        // largest gradient norm; 0 means none
    uint32_t n_coordinates;                 // cocd: coordinates a step; coordinate_gn: columns that are made at once, fixed at export
    float stale_decay;                      // cocd: factor a step of the estimates that are not made anew
    float ridge;                            // Gauss-Newton: ridge at the start, of coordinate_gn also the least, relative to the mean squared column
    float trust_radius;                     // Gauss-Newton: largest norm of the coefficients, the last layer's apart; 0 means none
};
static inline void ttzo_unpack_phase(const uint8_t *bytes, struct ttzo_phase *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 48); return; }
    out->estimator = ttzo_get_u8(bytes + 0);
    out->direction = ttzo_get_u8(bytes + 1);
    out->difference = ttzo_get_u8(bytes + 2);
    out->update = ttzo_get_u8(bytes + 3);
    out->n_queries = ttzo_get_u32(bytes + 4);
    out->perturb_radius = ttzo_get_f32(bytes + 8);
    out->learning_rate = ttzo_get_f32(bytes + 12);
    out->beta1 = ttzo_get_f32(bytes + 16);
    out->beta2 = ttzo_get_f32(bytes + 20);
    out->epsilon = ttzo_get_f32(bytes + 24);
    out->clip_norm = ttzo_get_f32(bytes + 28);
    out->n_coordinates = ttzo_get_u32(bytes + 32);
    out->stale_decay = ttzo_get_f32(bytes + 36);
    out->ridge = ttzo_get_f32(bytes + 40);
    out->trust_radius = ttzo_get_f32(bytes + 44);
}
static inline void ttzo_pack_phase(const struct ttzo_phase *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 48); return; }
    ttzo_put_u8(bytes + 0, in->estimator);
    ttzo_put_u8(bytes + 1, in->direction);
    ttzo_put_u8(bytes + 2, in->difference);
    ttzo_put_u8(bytes + 3, in->update);
    ttzo_put_u32(bytes + 4, in->n_queries);
    ttzo_put_f32(bytes + 8, in->perturb_radius);
    ttzo_put_f32(bytes + 12, in->learning_rate);
    ttzo_put_f32(bytes + 16, in->beta1);
    ttzo_put_f32(bytes + 20, in->beta2);
    ttzo_put_f32(bytes + 24, in->epsilon);
    ttzo_put_f32(bytes + 28, in->clip_norm);
    ttzo_put_u32(bytes + 32, in->n_coordinates);
    ttzo_put_f32(bytes + 36, in->stale_decay);
    ttzo_put_f32(bytes + 40, in->ridge);
    ttzo_put_f32(bytes + 44, in->trust_radius);
}

#define TTZO_TRAINING_BYTES 36u
struct ttzo_training {
    uint64_t seed;                          // key of all noise
    uint32_t steps;                         // length of the schedule
    uint8_t n_phases;                       // 1, or 2 for hybrid: the second phase begins when the loss stands still
    uint8_t schedule;                       // enum schedule, over the steps of the whole run
    uint16_t plateau_patience;              // windows without progress before the next phase
    uint32_t warmup_steps;                  // lr rises linearly over the first steps; 0 means none
    uint32_t decay_every;                   // steps (schedule step)
    float decay_factor;                     // see schedule step
    uint32_t plateau_window;                // steps whose mean loss is compared
    float plateau_tolerance;                // relative fall of that mean that counts as progress
};
static inline void ttzo_unpack_training(const uint8_t *bytes, struct ttzo_training *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 36); return; }
    out->seed = ttzo_get_u64(bytes + 0);
    out->steps = ttzo_get_u32(bytes + 8);
    out->n_phases = ttzo_get_u8(bytes + 12);
    out->schedule = ttzo_get_u8(bytes + 13);
    out->plateau_patience = ttzo_get_u16(bytes + 14);
    out->warmup_steps = ttzo_get_u32(bytes + 16);
    out->decay_every = ttzo_get_u32(bytes + 20);
    out->decay_factor = ttzo_get_f32(bytes + 24);
    out->plateau_window = ttzo_get_u32(bytes + 28);
    out->plateau_tolerance = ttzo_get_f32(bytes + 32);
}
static inline void ttzo_pack_training(const struct ttzo_training *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 36); return; }
    ttzo_put_u64(bytes + 0, in->seed);
    ttzo_put_u32(bytes + 8, in->steps);
    ttzo_put_u8(bytes + 12, in->n_phases);
    ttzo_put_u8(bytes + 13, in->schedule);
    ttzo_put_u16(bytes + 14, in->plateau_patience);
    ttzo_put_u32(bytes + 16, in->warmup_steps);
    ttzo_put_u32(bytes + 20, in->decay_every);
    ttzo_put_f32(bytes + 24, in->decay_factor);
    ttzo_put_u32(bytes + 28, in->plateau_window);
    ttzo_put_f32(bytes + 32, in->plateau_tolerance);
}

#define TTZO_STATE_BYTES 36u
struct ttzo_state {
    uint32_t step;                          // steps done
    uint32_t phase;                         // index of the running phase
    uint32_t phase_start;                   // step at which it began
    uint32_t window_count;                  // losses in window_sum
    float window_sum;                       // sum of the losses of the running plateau window
    float best_window;                      // lowest window mean so far; 0 windows seen: +inf
    uint32_t windows_without_progress;      // compared with plateau_patience
    uint64_t evaluations;                   // loss evaluations spent: full batches at one parameter vector
};
static inline void ttzo_unpack_state(const uint8_t *bytes, struct ttzo_state *out)
{
    out->step = ttzo_get_u32(bytes + 0);
    out->phase = ttzo_get_u32(bytes + 4);
    out->phase_start = ttzo_get_u32(bytes + 8);
    out->window_count = ttzo_get_u32(bytes + 12);
    out->window_sum = ttzo_get_f32(bytes + 16);
    out->best_window = ttzo_get_f32(bytes + 20);
    out->windows_without_progress = ttzo_get_u32(bytes + 24);
    out->evaluations = ttzo_get_u64(bytes + 28);
}
static inline void ttzo_pack_state(const struct ttzo_state *in, uint8_t *bytes)
{
    ttzo_put_u32(bytes + 0, in->step);
    ttzo_put_u32(bytes + 4, in->phase);
    ttzo_put_u32(bytes + 8, in->phase_start);
    ttzo_put_u32(bytes + 12, in->window_count);
    ttzo_put_f32(bytes + 16, in->window_sum);
    ttzo_put_f32(bytes + 20, in->best_window);
    ttzo_put_u32(bytes + 24, in->windows_without_progress);
    ttzo_put_u64(bytes + 28, in->evaluations);
}

#define TTZO_SAVED_RUN_BYTES 196u
struct ttzo_saved_run {
    uint32_t magic;                         // saved_run_magic
    uint32_t format;                        // saved_run_format
    uint32_t total_bytes;                   // the whole blob: this record, parameters, moments, CRC-32 of all before it
    uint8_t hash[16];                       // of the model
    struct ttzo_training training;          // settings in force
    struct ttzo_phase phase_0;
    struct ttzo_phase phase_1;
    struct ttzo_state state;
};
static inline void ttzo_unpack_saved_run(const uint8_t *bytes, struct ttzo_saved_run *out)
{
    out->magic = ttzo_get_u32(bytes + 0);
    out->format = ttzo_get_u32(bytes + 4);
    out->total_bytes = ttzo_get_u32(bytes + 8);
    for (unsigned i = 0; i < 16; i++) out->hash[i] = ttzo_get_u8(bytes + 12 + 1 * i);
    ttzo_unpack_training(bytes + 28, &out->training);
    ttzo_unpack_phase(bytes + 64, &out->phase_0);
    ttzo_unpack_phase(bytes + 112, &out->phase_1);
    ttzo_unpack_state(bytes + 160, &out->state);
}
static inline void ttzo_pack_saved_run(const struct ttzo_saved_run *in, uint8_t *bytes)
{
    ttzo_put_u32(bytes + 0, in->magic);
    ttzo_put_u32(bytes + 4, in->format);
    ttzo_put_u32(bytes + 8, in->total_bytes);
    for (unsigned i = 0; i < 16; i++) ttzo_put_u8(bytes + 12 + 1 * i, in->hash[i]);
    ttzo_pack_training(&in->training, bytes + 28);
    ttzo_pack_phase(&in->phase_0, bytes + 64);
    ttzo_pack_phase(&in->phase_1, bytes + 112);
    ttzo_pack_state(&in->state, bytes + 160);
}

#define TTZO_SEAL_BYTES 20u
struct ttzo_seal {
    uint32_t magic;                         // seal_magic
    uint32_t generation;                    // number of the saved run before it: one more than that in the other slot, from 1 on; after 2^32 - 1 comes 1
    uint32_t run;                           // what the host calls the run: see KEEP
    uint32_t saved_crc;                     // the CRC-32 at the end of the saved run
    uint32_t crc;                           // CRC-32 of the fields before
};
static inline void ttzo_unpack_seal(const uint8_t *bytes, struct ttzo_seal *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 20); return; }
    out->magic = ttzo_get_u32(bytes + 0);
    out->generation = ttzo_get_u32(bytes + 4);
    out->run = ttzo_get_u32(bytes + 8);
    out->saved_crc = ttzo_get_u32(bytes + 12);
    out->crc = ttzo_get_u32(bytes + 16);
}
static inline void ttzo_pack_seal(const struct ttzo_seal *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 20); return; }
    ttzo_put_u32(bytes + 0, in->magic);
    ttzo_put_u32(bytes + 4, in->generation);
    ttzo_put_u32(bytes + 8, in->run);
    ttzo_put_u32(bytes + 12, in->saved_crc);
    ttzo_put_u32(bytes + 16, in->crc);
}

#define TTZO_FRAME_SEAL_BYTES 12u
struct ttzo_frame_seal {
    uint32_t number;                        // of the request in its session, larger than all before; a reply repeats it
    uint8_t tag[8];                         // first bytes of the HMAC-SHA-256, by the session's key, of the letter Q (request) or R (reply) and the frame up to and including number
};
static inline void ttzo_unpack_frame_seal(const uint8_t *bytes, struct ttzo_frame_seal *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 12); return; }
    out->number = ttzo_get_u32(bytes + 0);
    for (unsigned i = 0; i < 8; i++) out->tag[i] = ttzo_get_u8(bytes + 4 + 1 * i);
}
static inline void ttzo_pack_frame_seal(const struct ttzo_frame_seal *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 12); return; }
    ttzo_put_u32(bytes + 0, in->number);
    for (unsigned i = 0; i < 8; i++) ttzo_put_u8(bytes + 4 + 1 * i, in->tag[i]);
}

// ---- nodes
static inline uint32_t ttzo_node_part(uint8_t operation)
{
    switch (operation) {
    case TTZO_NODE_OPERATION_AFFINE: return TTZO_PART_OPERATIONS;
    case TTZO_NODE_OPERATION_ACTIVATION: return TTZO_PART_OPERATIONS;
    case TTZO_NODE_OPERATION_SCALE: return TTZO_PART_OPERATIONS;
    case TTZO_NODE_OPERATION_LEARNT_ARRAY: return TTZO_PART_OPERATIONS;
    case TTZO_NODE_OPERATION_ADD: return TTZO_PART_OPERATIONS;
    case TTZO_NODE_OPERATION_MULTIPLY: return TTZO_PART_OPERATIONS;
    case TTZO_NODE_OPERATION_CONCAT: return TTZO_PART_OPERATIONS;
    case TTZO_NODE_OPERATION_SLICE: return TTZO_PART_OPERATIONS;
    case TTZO_NODE_OPERATION_TRANSPOSE: return TTZO_PART_OPERATIONS;
    case TTZO_NODE_OPERATION_MAX_POOL: return TTZO_PART_POOLING;
    case TTZO_NODE_OPERATION_AVERAGE_POOL: return TTZO_PART_POOLING;
    case TTZO_NODE_OPERATION_GLOBAL_MEAN: return TTZO_PART_POOLING;
    case TTZO_NODE_OPERATION_GLOBAL_MAX: return TTZO_PART_POOLING;
    case TTZO_NODE_OPERATION_SOFT_MAX: return TTZO_PART_ATTENTION;
    case TTZO_NODE_OPERATION_LAYER_NORM: return TTZO_PART_ATTENTION;
    case TTZO_NODE_OPERATION_RMS_NORM: return TTZO_PART_ATTENTION;
    case TTZO_NODE_OPERATION_MATRIX_PRODUCT: return TTZO_PART_ATTENTION;
    case TTZO_NODE_OPERATION_RECURRENT: return TTZO_PART_RECURRENT;
    default: return 0;
    }
}

static inline uint32_t ttzo_node_attribute_bytes(uint8_t operation)
{
    switch (operation) {
    case TTZO_NODE_OPERATION_AFFINE: return 108u;
    case TTZO_NODE_OPERATION_ACTIVATION: return 8u;
    case TTZO_NODE_OPERATION_SCALE: return 16u;
    case TTZO_NODE_OPERATION_LEARNT_ARRAY: return 0u;
    case TTZO_NODE_OPERATION_ADD: return 16u;
    case TTZO_NODE_OPERATION_MULTIPLY: return 16u;
    case TTZO_NODE_OPERATION_CONCAT: return 16u;
    case TTZO_NODE_OPERATION_SLICE: return 24u;
    case TTZO_NODE_OPERATION_TRANSPOSE: return 20u;
    case TTZO_NODE_OPERATION_MAX_POOL: return 16u;
    case TTZO_NODE_OPERATION_AVERAGE_POOL: return 16u;
    case TTZO_NODE_OPERATION_GLOBAL_MEAN: return 12u;
    case TTZO_NODE_OPERATION_GLOBAL_MAX: return 12u;
    case TTZO_NODE_OPERATION_SOFT_MAX: return 16u;
    case TTZO_NODE_OPERATION_LAYER_NORM: return 16u;
    case TTZO_NODE_OPERATION_RMS_NORM: return 16u;
    case TTZO_NODE_OPERATION_MATRIX_PRODUCT: return 20u;
    case TTZO_NODE_OPERATION_RECURRENT: return 12u;
    default: return 0;
    }
}

// ---- ranges
// Number of the first field of a training that is out of range; -1 when all are in range.
static inline int ttzo_training_field_out_of_range(const struct ttzo_training *in)
{
    if (!(in->steps >= 1u))
        return 1;
    if (!(in->n_phases >= 1u && in->n_phases <= 2u))
        return 2;
    if (!(in->schedule <= 3u))
        return 3;
    if (!(in->plateau_patience >= 1u))
        return 4;
    if (!(in->decay_every >= 1u))
        return 6;
    if (!(in->decay_factor >= 0.0f && in->decay_factor <= 3.40282347e+38f))
        return 7;
    if (!(in->plateau_window >= 1u))
        return 8;
    if (!(in->plateau_tolerance >= 0.0f && in->plateau_tolerance <= 3.40282347e+38f))
        return 9;
    return -1;
}

// Number of the first field of a phase that is out of range; -1 when all are in range.
static inline int ttzo_phase_field_out_of_range(const struct ttzo_phase *in)
{
    if (!(in->estimator <= 11u))
        return 0;
    if (!(in->direction <= 1u))
        return 1;
    if (!(in->difference <= 1u))
        return 2;
    if (!(in->update <= 4u))
        return 3;
    if (!(in->n_queries >= 1u && in->n_queries <= 1000000u))
        return 4;
    if (!(in->perturb_radius >= 1e-30f && in->perturb_radius <= 3.40282347e+38f))
        return 5;
    if (!(in->learning_rate >= 0.0f && in->learning_rate <= 3.40282347e+38f))
        return 6;
    if (!(in->beta1 >= 0.0f && in->beta1 <= 0.99999994f))
        return 7;
    if (!(in->beta2 >= 0.0f && in->beta2 <= 0.99999994f))
        return 8;
    if (!(in->epsilon >= 0.0f && in->epsilon <= 3.40282347e+38f))
        return 9;
    if (!(in->clip_norm >= 0.0f && in->clip_norm <= 3.40282347e+38f))
        return 10;
    if (!(in->n_coordinates >= 1u && in->n_coordinates <= 1000000u))
        return 11;
    if (!(in->stale_decay >= 0.0f && in->stale_decay <= 0.99999994f))
        return 12;
    if (!(in->ridge >= 0.0f && in->ridge <= 3.40282347e+38f))
        return 13;
    if (!(in->trust_radius >= 0.0f && in->trust_radius <= 3.40282347e+38f))
        return 14;
    return -1;
}

// ---- messages
#define TTZO_HELLO_REQUEST_BYTES 16u
struct ttzo_hello_request {
    uint32_t contract_hash;                 // the host's; a device of another contract refuses all requests except HELLO and LEAVE
    uint32_t hello_hash;                    // of this message in the host's contract; the field after it counts only when the device has the same
    uint32_t leave_hash;                    // of LEAVE in the host's contract; a device that has the same answers it whatever the contract
    uint32_t session;                       // a number that the host draws for this connection
};
static inline void ttzo_unpack_hello_request(const uint8_t *bytes, struct ttzo_hello_request *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    out->contract_hash = ttzo_get_u32(bytes + 0);
    out->hello_hash = ttzo_get_u32(bytes + 4);
    out->leave_hash = ttzo_get_u32(bytes + 8);
    out->session = ttzo_get_u32(bytes + 12);
}
static inline void ttzo_pack_hello_request(const struct ttzo_hello_request *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    ttzo_put_u32(bytes + 0, in->contract_hash);
    ttzo_put_u32(bytes + 4, in->hello_hash);
    ttzo_put_u32(bytes + 8, in->leave_hash);
    ttzo_put_u32(bytes + 12, in->session);
}

#define TTZO_HELLO_REPLY_BYTES 116u
struct ttzo_hello_reply {
    uint32_t contract_hash;                 // the device's
    uint32_t hello_hash;                    // of this message in the device's contract; the fields after it count only when the host has the same
    uint32_t leave_hash;                    // of LEAVE in the device's contract
    uint8_t model_hash[16];                 // of the loaded model
    uint8_t board[24];                      // name, zero-padded
    uint32_t n_parameters;
    uint32_t n_moments;                     // numbers of the region moments
    uint32_t row_bytes;                     // one row: the raw inputs, then the target (see row)
    uint32_t batch;                         // rows of a training batch
    uint32_t dataset_capacity;              // rows that can stay on the device
    uint32_t macs_per_sample;               // multiply-accumulates of one forward pass
    uint32_t work_bytes;                    // work buffer the model uses
    uint32_t work_capacity;                 // work buffer the device has
    uint32_t sparse_capacity;               // bytes of the region sparse
    uint32_t session_before;                // session of the last HELLO that had another one; 0: none since the device's start. A host that reads its own here finds all as it was
    uint32_t payload_bytes;                 // bytes of the longest payload that the device takes and sends: min_payload to max_payload
    uint32_t access;                        // enum access
    uint8_t challenge[16];                  // that AUTHENTICATE answers; the same for a HELLO with the same session, until it is answered; zeros without a key
};
static inline void ttzo_unpack_hello_reply(const uint8_t *bytes, struct ttzo_hello_reply *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 116); return; }
    out->contract_hash = ttzo_get_u32(bytes + 0);
    out->hello_hash = ttzo_get_u32(bytes + 4);
    out->leave_hash = ttzo_get_u32(bytes + 8);
    for (unsigned i = 0; i < 16; i++) out->model_hash[i] = ttzo_get_u8(bytes + 12 + 1 * i);
    for (unsigned i = 0; i < 24; i++) out->board[i] = ttzo_get_u8(bytes + 28 + 1 * i);
    out->n_parameters = ttzo_get_u32(bytes + 52);
    out->n_moments = ttzo_get_u32(bytes + 56);
    out->row_bytes = ttzo_get_u32(bytes + 60);
    out->batch = ttzo_get_u32(bytes + 64);
    out->dataset_capacity = ttzo_get_u32(bytes + 68);
    out->macs_per_sample = ttzo_get_u32(bytes + 72);
    out->work_bytes = ttzo_get_u32(bytes + 76);
    out->work_capacity = ttzo_get_u32(bytes + 80);
    out->sparse_capacity = ttzo_get_u32(bytes + 84);
    out->session_before = ttzo_get_u32(bytes + 88);
    out->payload_bytes = ttzo_get_u32(bytes + 92);
    out->access = ttzo_get_u32(bytes + 96);
    for (unsigned i = 0; i < 16; i++) out->challenge[i] = ttzo_get_u8(bytes + 100 + 1 * i);
}
static inline void ttzo_pack_hello_reply(const struct ttzo_hello_reply *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 116); return; }
    ttzo_put_u32(bytes + 0, in->contract_hash);
    ttzo_put_u32(bytes + 4, in->hello_hash);
    ttzo_put_u32(bytes + 8, in->leave_hash);
    for (unsigned i = 0; i < 16; i++) ttzo_put_u8(bytes + 12 + 1 * i, in->model_hash[i]);
    for (unsigned i = 0; i < 24; i++) ttzo_put_u8(bytes + 28 + 1 * i, in->board[i]);
    ttzo_put_u32(bytes + 52, in->n_parameters);
    ttzo_put_u32(bytes + 56, in->n_moments);
    ttzo_put_u32(bytes + 60, in->row_bytes);
    ttzo_put_u32(bytes + 64, in->batch);
    ttzo_put_u32(bytes + 68, in->dataset_capacity);
    ttzo_put_u32(bytes + 72, in->macs_per_sample);
    ttzo_put_u32(bytes + 76, in->work_bytes);
    ttzo_put_u32(bytes + 80, in->work_capacity);
    ttzo_put_u32(bytes + 84, in->sparse_capacity);
    ttzo_put_u32(bytes + 88, in->session_before);
    ttzo_put_u32(bytes + 92, in->payload_bytes);
    ttzo_put_u32(bytes + 96, in->access);
    for (unsigned i = 0; i < 16; i++) ttzo_put_u8(bytes + 100 + 1 * i, in->challenge[i]);
}

#define TTZO_STATUS_REPLY_BYTES 168u
struct ttzo_status_reply {
    struct ttzo_state state;
    struct ttzo_training training;
    struct ttzo_phase phase_0;
    struct ttzo_phase phase_1;
};
static inline void ttzo_unpack_status_reply(const uint8_t *bytes, struct ttzo_status_reply *out)
{
    ttzo_unpack_state(bytes + 0, &out->state);
    ttzo_unpack_training(bytes + 36, &out->training);
    ttzo_unpack_phase(bytes + 72, &out->phase_0);
    ttzo_unpack_phase(bytes + 120, &out->phase_1);
}
static inline void ttzo_pack_status_reply(const struct ttzo_status_reply *in, uint8_t *bytes)
{
    ttzo_pack_state(&in->state, bytes + 0);
    ttzo_pack_training(&in->training, bytes + 36);
    ttzo_pack_phase(&in->phase_0, bytes + 72);
    ttzo_pack_phase(&in->phase_1, bytes + 120);
}

#define TTZO_CONFIGURE_REQUEST_BYTES 132u
struct ttzo_configure_request {
    struct ttzo_training training;
    struct ttzo_phase phase_0;
    struct ttzo_phase phase_1;              // zeros when n_phases is 1
};
static inline void ttzo_unpack_configure_request(const uint8_t *bytes, struct ttzo_configure_request *out)
{
    ttzo_unpack_training(bytes + 0, &out->training);
    ttzo_unpack_phase(bytes + 36, &out->phase_0);
    ttzo_unpack_phase(bytes + 84, &out->phase_1);
}
static inline void ttzo_pack_configure_request(const struct ttzo_configure_request *in, uint8_t *bytes)
{
    ttzo_pack_training(&in->training, bytes + 0);
    ttzo_pack_phase(&in->phase_0, bytes + 36);
    ttzo_pack_phase(&in->phase_1, bytes + 84);
}

#define TTZO_READ_REQUEST_BYTES 9u
struct ttzo_read_request {
    uint8_t region;                         // enum region
    uint32_t offset;                        // bytes
    uint32_t count;                         // bytes, at most max_payload less the reply's crc
};
static inline void ttzo_unpack_read_request(const uint8_t *bytes, struct ttzo_read_request *out)
{
    out->region = ttzo_get_u8(bytes + 0);
    out->offset = ttzo_get_u32(bytes + 1);
    out->count = ttzo_get_u32(bytes + 5);
}
static inline void ttzo_pack_read_request(const struct ttzo_read_request *in, uint8_t *bytes)
{
    ttzo_put_u8(bytes + 0, in->region);
    ttzo_put_u32(bytes + 1, in->offset);
    ttzo_put_u32(bytes + 5, in->count);
}

#define TTZO_READ_REPLY_BYTES 4u
struct ttzo_read_reply {
    uint32_t crc;                           // with the region's last byte: CRC-32 of the whole region as it stands now; before that 0
};
static inline void ttzo_unpack_read_reply(const uint8_t *bytes, struct ttzo_read_reply *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 4); return; }
    out->crc = ttzo_get_u32(bytes + 0);
}
static inline void ttzo_pack_read_reply(const struct ttzo_read_reply *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 4); return; }
    ttzo_put_u32(bytes + 0, in->crc);
}

#define TTZO_WRITE_REQUEST_BYTES 5u
struct ttzo_write_request {
    uint8_t region;                         // enum region
    uint32_t offset;                        // bytes
};
static inline void ttzo_unpack_write_request(const uint8_t *bytes, struct ttzo_write_request *out)
{
    out->region = ttzo_get_u8(bytes + 0);
    out->offset = ttzo_get_u32(bytes + 1);
}
static inline void ttzo_pack_write_request(const struct ttzo_write_request *in, uint8_t *bytes)
{
    ttzo_put_u8(bytes + 0, in->region);
    ttzo_put_u32(bytes + 1, in->offset);
}

#define TTZO_COMMIT_REQUEST_BYTES 9u
struct ttzo_commit_request {
    uint8_t region;                         // enum region
    uint32_t count;                         // bytes of the region that count
    uint32_t crc;                           // CRC-32 of those bytes
};
static inline void ttzo_unpack_commit_request(const uint8_t *bytes, struct ttzo_commit_request *out)
{
    out->region = ttzo_get_u8(bytes + 0);
    out->count = ttzo_get_u32(bytes + 1);
    out->crc = ttzo_get_u32(bytes + 5);
}
static inline void ttzo_pack_commit_request(const struct ttzo_commit_request *in, uint8_t *bytes)
{
    ttzo_put_u8(bytes + 0, in->region);
    ttzo_put_u32(bytes + 1, in->count);
    ttzo_put_u32(bytes + 5, in->crc);
}

#define TTZO_SET_STATE_REQUEST_BYTES 36u
struct ttzo_set_state_request {
    struct ttzo_state state;
};
static inline void ttzo_unpack_set_state_request(const uint8_t *bytes, struct ttzo_set_state_request *out)
{
    ttzo_unpack_state(bytes + 0, &out->state);
}
static inline void ttzo_pack_set_state_request(const struct ttzo_set_state_request *in, uint8_t *bytes)
{
    ttzo_pack_state(&in->state, bytes + 0);
}

#define TTZO_STEP_REQUEST_BYTES 5u
struct ttzo_step_request {
    uint32_t step;                          // steps done before this one
    uint8_t region;                         // where the rows come from: batch, dataset or sparse; collocation for an equation
};
static inline void ttzo_unpack_step_request(const uint8_t *bytes, struct ttzo_step_request *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 5); return; }
    out->step = ttzo_get_u32(bytes + 0);
    out->region = ttzo_get_u8(bytes + 4);
}
static inline void ttzo_pack_step_request(const struct ttzo_step_request *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 5); return; }
    ttzo_put_u32(bytes + 0, in->step);
    ttzo_put_u8(bytes + 4, in->region);
}

#define TTZO_STEP_REPLY_BYTES 28u
struct ttzo_step_reply {
    uint32_t step;                          // steps done now
    uint32_t phase;                         // phase the step belonged to
    float loss;                             // mean batch loss before the update
    float gradient_norm;                    // of the estimate, before clipping
    uint32_t evaluations;                   // loss evaluations of this step
    uint64_t macs;                          // multiply-accumulates of this step, counted one by one where zeros are skipped; 0 from a device that does not count
};
static inline void ttzo_unpack_step_reply(const uint8_t *bytes, struct ttzo_step_reply *out)
{
    out->step = ttzo_get_u32(bytes + 0);
    out->phase = ttzo_get_u32(bytes + 4);
    out->loss = ttzo_get_f32(bytes + 8);
    out->gradient_norm = ttzo_get_f32(bytes + 12);
    out->evaluations = ttzo_get_u32(bytes + 16);
    out->macs = ttzo_get_u64(bytes + 20);
}
static inline void ttzo_pack_step_reply(const struct ttzo_step_reply *in, uint8_t *bytes)
{
    ttzo_put_u32(bytes + 0, in->step);
    ttzo_put_u32(bytes + 4, in->phase);
    ttzo_put_f32(bytes + 8, in->loss);
    ttzo_put_f32(bytes + 12, in->gradient_norm);
    ttzo_put_u32(bytes + 16, in->evaluations);
    ttzo_put_u64(bytes + 20, in->macs);
}

#define TTZO_EVALUATE_REQUEST_BYTES 9u
struct ttzo_evaluate_request {
    uint8_t region;                         // batch or dataset
    uint32_t first_row;
    uint32_t n_rows;                        // at most max_rows_asked
};
static inline void ttzo_unpack_evaluate_request(const uint8_t *bytes, struct ttzo_evaluate_request *out)
{
    out->region = ttzo_get_u8(bytes + 0);
    out->first_row = ttzo_get_u32(bytes + 1);
    out->n_rows = ttzo_get_u32(bytes + 5);
}
static inline void ttzo_pack_evaluate_request(const struct ttzo_evaluate_request *in, uint8_t *bytes)
{
    ttzo_put_u8(bytes + 0, in->region);
    ttzo_put_u32(bytes + 1, in->first_row);
    ttzo_put_u32(bytes + 5, in->n_rows);
}

#define TTZO_EVALUATE_REPLY_BYTES 8u
struct ttzo_evaluate_reply {
    float loss_sum;                         // sum of the rows' losses, in row order
    uint32_t n_correct;                     // rows (place_cross_entropy: places) whose largest output is their class
};
static inline void ttzo_unpack_evaluate_reply(const uint8_t *bytes, struct ttzo_evaluate_reply *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 8); return; }
    out->loss_sum = ttzo_get_f32(bytes + 0);
    out->n_correct = ttzo_get_u32(bytes + 4);
}
static inline void ttzo_pack_evaluate_reply(const struct ttzo_evaluate_reply *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 8); return; }
    ttzo_put_f32(bytes + 0, in->loss_sum);
    ttzo_put_u32(bytes + 4, in->n_correct);
}

#define TTZO_PREDICT_REQUEST_BYTES 8u
struct ttzo_predict_request {
    uint32_t row;
    uint32_t first;                         // the output that the answer begins with
};
static inline void ttzo_unpack_predict_request(const uint8_t *bytes, struct ttzo_predict_request *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 8); return; }
    out->row = ttzo_get_u32(bytes + 0);
    out->first = ttzo_get_u32(bytes + 4);
}
static inline void ttzo_pack_predict_request(const struct ttzo_predict_request *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 8); return; }
    ttzo_put_u32(bytes + 0, in->row);
    ttzo_put_u32(bytes + 4, in->first);
}

#define TTZO_SOLUTION_ERROR_REQUEST_BYTES 9u
struct ttzo_solution_error_request {
    uint8_t region;                         // collocation: validation points that the device draws from validation_seed; batch or dataset: points with the host's values
    uint32_t first_row;
    uint32_t n_rows;                        // at most max_rows_asked
};
static inline void ttzo_unpack_solution_error_request(const uint8_t *bytes, struct ttzo_solution_error_request *out)
{
    out->region = ttzo_get_u8(bytes + 0);
    out->first_row = ttzo_get_u32(bytes + 1);
    out->n_rows = ttzo_get_u32(bytes + 5);
}
static inline void ttzo_pack_solution_error_request(const struct ttzo_solution_error_request *in, uint8_t *bytes)
{
    ttzo_put_u8(bytes + 0, in->region);
    ttzo_put_u32(bytes + 1, in->first_row);
    ttzo_put_u32(bytes + 5, in->n_rows);
}

#define TTZO_SOLUTION_ERROR_REPLY_BYTES 8u
struct ttzo_solution_error_reply {
    float squared_error;                    // sum over the rows of (u - exact)^2
    float squared_exact;                    // sum of exact^2
};
static inline void ttzo_unpack_solution_error_reply(const uint8_t *bytes, struct ttzo_solution_error_reply *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 8); return; }
    out->squared_error = ttzo_get_f32(bytes + 0);
    out->squared_exact = ttzo_get_f32(bytes + 4);
}
static inline void ttzo_pack_solution_error_reply(const struct ttzo_solution_error_reply *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 8); return; }
    ttzo_put_f32(bytes + 0, in->squared_error);
    ttzo_put_f32(bytes + 4, in->squared_exact);
}

#define TTZO_KEEP_REQUEST_BYTES 4u
struct ttzo_keep_request {
    uint32_t run;                           // names the run for whoever goes on with it: the host's CRC-32 of what a run begins with
};
static inline void ttzo_unpack_keep_request(const uint8_t *bytes, struct ttzo_keep_request *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 4); return; }
    out->run = ttzo_get_u32(bytes + 0);
}
static inline void ttzo_pack_keep_request(const struct ttzo_keep_request *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 4); return; }
    ttzo_put_u32(bytes + 0, in->run);
}

#define TTZO_KEEP_REPLY_BYTES 4u
struct ttzo_keep_reply {
    uint32_t generation;                    // number of the new generation, from 1 on
};
static inline void ttzo_unpack_keep_reply(const uint8_t *bytes, struct ttzo_keep_reply *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 4); return; }
    out->generation = ttzo_get_u32(bytes + 0);
}
static inline void ttzo_pack_keep_reply(const struct ttzo_keep_reply *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 4); return; }
    ttzo_put_u32(bytes + 0, in->generation);
}

#define TTZO_RESTORE_REPLY_BYTES 12u
struct ttzo_restore_reply {
    uint32_t generation;                    // its number; 0: there is none of this model
    uint32_t run;                           // as KEEP named it
    uint32_t rated_erases;                  // how often each of the two slots may be erased by its data sheet; 0: the memory does not wear
};
static inline void ttzo_unpack_restore_reply(const uint8_t *bytes, struct ttzo_restore_reply *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 12); return; }
    out->generation = ttzo_get_u32(bytes + 0);
    out->run = ttzo_get_u32(bytes + 4);
    out->rated_erases = ttzo_get_u32(bytes + 8);
}
static inline void ttzo_pack_restore_reply(const struct ttzo_restore_reply *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 12); return; }
    ttzo_put_u32(bytes + 0, in->generation);
    ttzo_put_u32(bytes + 4, in->run);
    ttzo_put_u32(bytes + 8, in->rated_erases);
}

#define TTZO_AUTHENTICATE_REQUEST_BYTES 32u
struct ttzo_authenticate_request {
    uint8_t challenge[16];                  // the host's
    uint8_t proof[16];                      // first bytes of the HMAC-SHA-256 of the letter H, by the session's key
};
static inline void ttzo_unpack_authenticate_request(const uint8_t *bytes, struct ttzo_authenticate_request *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 32); return; }
    for (unsigned i = 0; i < 16; i++) out->challenge[i] = ttzo_get_u8(bytes + 0 + 1 * i);
    for (unsigned i = 0; i < 16; i++) out->proof[i] = ttzo_get_u8(bytes + 16 + 1 * i);
}
static inline void ttzo_pack_authenticate_request(const struct ttzo_authenticate_request *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 32); return; }
    for (unsigned i = 0; i < 16; i++) ttzo_put_u8(bytes + 0 + 1 * i, in->challenge[i]);
    for (unsigned i = 0; i < 16; i++) ttzo_put_u8(bytes + 16 + 1 * i, in->proof[i]);
}

#define TTZO_AUTHENTICATE_REPLY_BYTES 16u
struct ttzo_authenticate_reply {
    uint8_t proof[16];                      // the same of the letter D: the device has the key too
};
static inline void ttzo_unpack_authenticate_reply(const uint8_t *bytes, struct ttzo_authenticate_reply *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 16); return; }
    for (unsigned i = 0; i < 16; i++) out->proof[i] = ttzo_get_u8(bytes + 0 + 1 * i);
}
static inline void ttzo_pack_authenticate_reply(const struct ttzo_authenticate_reply *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 16); return; }
    for (unsigned i = 0; i < 16; i++) ttzo_put_u8(bytes + 0 + 1 * i, in->proof[i]);
}

#define TTZO_WRITE_PACKED_REQUEST_BYTES 9u
struct ttzo_write_packed_request {
    uint8_t region;                         // batch or dataset
    uint32_t offset;                        // bytes
    uint32_t count;                         // bytes that the tail holds packed
};
static inline void ttzo_unpack_write_packed_request(const uint8_t *bytes, struct ttzo_write_packed_request *out)
{
    out->region = ttzo_get_u8(bytes + 0);
    out->offset = ttzo_get_u32(bytes + 1);
    out->count = ttzo_get_u32(bytes + 5);
}
static inline void ttzo_pack_write_packed_request(const struct ttzo_write_packed_request *in, uint8_t *bytes)
{
    ttzo_put_u8(bytes + 0, in->region);
    ttzo_put_u32(bytes + 1, in->offset);
    ttzo_put_u32(bytes + 5, in->count);
}

#define TTZO_PROGRESS_REPLY_BYTES 8u
struct ttzo_progress_reply {
    uint32_t done;                          // loss evaluations of a step (samples, when the estimator reuses), or rows of an evaluation
    uint32_t total;                         // of so many
};
static inline void ttzo_unpack_progress_reply(const uint8_t *bytes, struct ttzo_progress_reply *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 8); return; }
    out->done = ttzo_get_u32(bytes + 0);
    out->total = ttzo_get_u32(bytes + 4);
}
static inline void ttzo_pack_progress_reply(const struct ttzo_progress_reply *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 8); return; }
    ttzo_put_u32(bytes + 0, in->done);
    ttzo_put_u32(bytes + 4, in->total);
}

#define TTZO_ERROR_REPLY_BYTES 8u
struct ttzo_error_reply {
    uint32_t error;                         // code of the error
    uint32_t detail;                        // a number that the error's text names
};
static inline void ttzo_unpack_error_reply(const uint8_t *bytes, struct ttzo_error_reply *out)
{
    if (TTZO_COMPACT) { __builtin_memcpy(out, bytes, 8); return; }
    out->error = ttzo_get_u32(bytes + 0);
    out->detail = ttzo_get_u32(bytes + 4);
}
static inline void ttzo_pack_error_reply(const struct ttzo_error_reply *in, uint8_t *bytes)
{
    if (TTZO_COMPACT) { __builtin_memcpy(bytes, in, 8); return; }
    ttzo_put_u32(bytes + 0, in->error);
    ttzo_put_u32(bytes + 4, in->detail);
}

#endif
