# SPDX-License-Identifier: MIT
# Written by write_stub.py from contract.toml; change that page, not this file.
from dataclasses import dataclass
from enum import IntEnum

from ttzo.device_runtime.contract.errors import DeviceError as DeviceError
from ttzo.device_runtime.contract.errors import ExitCode as ExitCode
from ttzo.device_runtime.contract.errors import TtzoError as TtzoError
from ttzo.device_runtime.contract.errors import error_page as error_page
from ttzo.device_runtime.contract.errors import setting_name as setting_name
from ttzo.device_runtime.contract.hashes import HASH as HASH
from ttzo.device_runtime.contract.hashes import MESSAGE_HASH as MESSAGE_HASH
from ttzo.device_runtime.contract.ranges import RANGE as RANGE
from ttzo.device_runtime.contract.ranges import Range as Range
from ttzo.device_runtime.contract.ranges import first_outside as first_outside
from ttzo.device_runtime.contract.records import RECORD as RECORD
from ttzo.device_runtime.contract.records import REPLY as REPLY
from ttzo.device_runtime.contract.records import REQUEST as REQUEST
from ttzo.device_runtime.contract.records import Record as Record

LIMIT: dict[str, int]  # by its name in the page
MESSAGE: dict[str, int]  # code of a message

class LayerKind(IntEnum):
    dense = 0
    """W[out, in]"""
    tt_matrix = 1
    """TT-matrix: core k is (r_k, m_k, n_k, r_k+1), an output and an input mode in each core (paper eq. 7)"""
    tt_tensor = 2
    """2L-way TT: cores (r, n, r') of the input modes, then (r, m, r') of the output modes"""

class Gather(IntEnum):
    whole = 0
    """the layer reads its input array once, as it is"""
    patches = 1
    """it is applied to every patch of an image (convolution): inputs [channel][row][column], outputs [feature][row][column]"""
    tokens = 2
    """its input array holds numbers of tokens, each a unit vector (embedding): a token picks one input of the matrix"""
    places = 3
    """it is applied to each row of its input array [place][in_feature]: outputs [place][out_feature]; in graphs alone"""

class Combine(IntEnum):
    each = 0
    """outputs of all applications stay: of patches as gather says, of tokens [token][feature]"""
    sum = 1
    """tokens: their sum"""
    mean = 2
    """tokens: their mean; padding tokens do not count, and of none it is 0"""

class Activation(IntEnum):
    identity = 0
    """z"""
    relu = 1
    """max(z, 0)"""
    tanh = 2
    """tanh(z)"""
    sine = 3
    """sin(z)"""
    leaky_relu = 4
    """z where z > 0, else slope z"""
    relu6 = 5
    """max(min(z, 6), 0)"""
    hard_swish = 6
    """z max(min(z / 6 + 1/2, 1), 0)"""
    sigmoid = 7
    """1 / (1 + exp(-z))"""
    silu = 8
    """z / (1 + exp(-z))"""
    gelu = 9
    """z (1 + erf(z / sqrt 2)) / 2"""

class NodeOperation(IntEnum):
    affine = 0
    """a layer: struct layer; applied to the whole array, to patches, tokens or places"""
    activation = 1
    """an activation of every number: struct activation_attributes"""
    scale = 2
    """weight x + bias, one of each for a channel: struct scale_attributes"""
    learnt_array = 3
    """an array of parameters; no input"""
    add = 4
    """a + b or a - b: struct broadcast_attributes"""
    multiply = 5
    """a b: struct broadcast_attributes"""
    concat = 6
    """two or three arrays along an axis: struct concat_attributes"""
    slice = 7
    """every step-th of some entries of an axis: struct slice_attributes"""
    transpose = 8
    """axes in another order: struct transpose_attributes"""
    max_pool = 9
    """the largest number of each window: struct pool_attributes"""
    average_pool = 10
    """the mean of each window: struct pool_attributes"""
    global_mean = 11
    """the mean along an axis: struct axis_attributes"""
    global_max = 12
    """the largest number along an axis: struct axis_attributes"""
    soft_max = 13
    """exp(x) over its sum along an axis: struct soft_max_attributes"""
    layer_norm = 14
    """(x - mean) / sqrt(variance + epsilon) of the last axis, then weight and bias: struct norm_attributes"""
    rms_norm = 15
    """x / sqrt(mean square + epsilon) of the last axis, then weight: struct norm_attributes"""
    matrix_product = 16
    """product of two arrays of matrices: struct product_attributes"""
    recurrent = 17
    """a cell over the steps of a sequence: struct recurrent_attributes"""

class NodeFlag(IntEnum):
    frozen = 1
    """the parameters lie in the section of constants and are not trained"""
    int8 = 2
    """frozen weights are 8-bit integers, each row with a scale: weight = (float)q * scale"""
    shared = 4
    """the parameters are those of an earlier node"""

class Cell(IntEnum):
    tanh = 0
    """h = tanh(a + c), a = W_ih x + b_ih, c = W_hh h + b_hh"""
    gru = 1
    """r, z = sigmoid(a + c); n = tanh(a_n + r c_n); h = z (h - n) + n; rows in the order r, z, n"""
    lstm = 2
    """i, f, o = sigmoid(a + c), g = tanh(a + c); s = f s + i g; h = o tanh(s); rows in the order i, f, g, o"""

class Loss(IntEnum):
    cross_entropy = 0
    """softmax cross-entropy of the row's class"""
    mse = 1
    """squared error, mean over the row's outputs"""
    residual = 2
    """squared residual of a PDE, or of its boundary and terminal conditions, at collocation points"""
    place_cross_entropy = 3
    """softmax cross-entropy of a class at each place of a sequence, mean over the places that have one; outputs [place][class]"""
    binary_cross_entropy = 4
    """cross-entropy of two classes; the one output is the logit of class 1, that of class 0 is 0"""
    huber = 5
    """e^2 / 2 of errors up to huber_delta, beyond it huber_delta (|e| - huber_delta / 2); mean over the row's outputs"""
    simulation = 6
    """squared difference of simulated and measured numbers along a log; the parameters are the simulation's unknowns"""

class Number(IntEnum):
    uint8 = 0
    """one byte"""
    int16 = 1
    """two bytes, signed"""
    float32 = 2
    """four bytes, IEEE 754"""

class Inexactness(IntEnum):
    rounding = 1
    """the processor does not round to nearest, ties to even"""
    flush = 2
    """it takes subnormal numbers for 0"""
    precision = 3
    """intermediate results keep more digits than a float has"""
    contraction = 4
    """the compiler contracts a product and a sum into one rounding"""
    fused = 5
    """fmaf rounds twice, or arithmetic separate was built fused"""

class Arithmetic(IntEnum):
    separate = 0
    """multiply-add rounds the product, then the sum"""
    fused = 1
    """multiply-add rounds once (fmaf)"""

class Cache(IntEnum):
    float32 = 0
    """reusing estimators keep a sample's arrays as they are"""
    int16 = 1
    """they keep them in 16 bits with 11 after the binary point, saturated beyond 16; hidden units and later layers' matrices too"""
    int16_least = 2
    """the same without those matrices, whose rows are made when they are needed"""

class Estimator(IntEnum):
    rge = 0
    """random directions: the mean over n_queries of the directional difference times the direction (eq. 2)"""
    cge_plain = 1
    """coordinate by coordinate: one whole loss evaluation for each parameter"""
    cge = 2
    """the same differences from environments that a core's entries share: a few forward passes in all"""
    node_cge = 3
    """one difference for each unit, from shared environments; a parameter's derivative is made of its units'"""
    block_rge = 4
    """rge for one core, weight or bias at a time, from shared environments: n_queries directions for each"""
    cocd = 5
    """cge of the next n_coordinates coordinates in turn; the others' estimates decay by stale_decay (arXiv 2605.14373)"""
    subspace_gn = 6
    """Gauss-Newton on a PDE's residuals in n_queries random directions and the last two steps"""
    last_layer_gn = 7
    """the same in n_queries directions of the hidden layers and all of the last layer, whose columns are free"""
    simulation_gn = 8
    """Gauss-Newton on a simulation: one simulation at theta and one beside it for each unknown, while a log passes; its sums and states are moments"""
    coordinate_gn = 9
    """Gauss-Newton on a PDE's residuals in unit directions: all parameters of a small dense network, else the last layer's and the biases before it"""
    chain_differences = 10
    """difference quotients carried backwards layer by layer: the loss differences of the last layer's units, times what each unit moves the next layer by; what back-propagation does, with quotients for derivatives"""
    frozen_features = 11
    """one least squares over the last layer behind units that each step draws anew, wide or narrow, along all coordinates or one of space and time; what leaves smaller residuals than theta stays"""

class Part(IntEnum):
    equations = 1
    """PDE residuals, their derivatives and programs, Gauss-Newton steps in random directions"""
    cores = 2
    """estimators that reuse a core's environments"""
    split = 4
    """layers whose contraction is split into two halves"""
    gathered = 8
    """convolutions and embeddings"""
    evaluations = 16
    """estimators that ask whole loss evaluations: rge and cge_plain"""
    blocks = 32
    """node_cge, block_rge and chain_differences"""
    narrow = 64
    """caches of 16 bits"""
    tensors = 128
    """environments of 2L-way tensor trains"""
    compensated = 256
    """an equation's derivatives by compensated jets"""
    link = 512
    """the link by which a host trains and reads the device"""
    sparse = 1024
    """training rows without their zeros"""
    operations = 2048
    """models that are no chain of layers: graphs of nodes"""
    pooling = 4096
    """their nodes that take maxima and means"""
    attention = 8192
    """their nodes soft_max, layer_norm, rms_norm and matrix_product"""
    recurrent = 16384
    """their recurrent nodes"""
    identification = 32768
    """unknown constants of differential equations, from logs"""
    augmentation = 65536
    """training rows that the device varies by the seed"""
    storage = 131072
    """runs that outlive a reset: generations in two slots of a memory"""
    key = 262144
    """orders from holders of a key only: HMAC-SHA-256, sessions, sealed frames"""
    coordinates = 524288
    """Gauss-Newton on an equation in unit directions: coordinate_gn"""
    systems = 1048576
    """equations of several functions, along directions, with unknown constants, readings, periodic or many conditions, inverse tangents, sampled jets"""
    depth = 2097152
    """cores on chains whose changes pass further layers: more than two layers, or an activation after the last"""
    chain = 4194304
    """chain_differences"""
    features = 8388608
    """frozen_features"""
    packing = 16777216
    """rows that arrive packed: WRITE_PACKED"""
    losses = 33554432
    """losses other than the cross-entropy of one class without weights"""
    curves = 67108864
    """activations tanh and sine in chains, and the cosine schedule"""
    rules = 134217728
    """update rules other than momentum"""
    readings = 268435456
    """a sensor's readings, which the model normalises"""

class Derivative(IntEnum):
    jet = 0
    """forward Laplacian: first derivatives and a second-order sum carried through the layers, exact"""
    finite_difference = 1
    """central differences; the radius is their step"""
    sparse_grid = 2
    """Stein estimator on a sparse grid (paper eqs. 8-13); the radius is sigma"""
    monte_carlo = 3
    """Stein estimator over random antithetic pairs; the radius is sigma"""
    compensated_jet = 4
    """jet, each of its numbers the sum of two floats: for derivatives that nearly vanish"""
    sampled_jet = 5
    """jet in random directions: what is summed over the coordinates in space is estimated without bias"""

class Need(IntEnum):
    first = 1
    """first derivatives in all coordinates"""
    laplacian = 2
    """sum of the second derivatives in space"""
    diagonal = 4
    """each second derivative, time included"""
    along = 8
    """derivatives along the section's directions, to the order of each"""

class Sampler(IntEnum):
    interior = 0
    """uniform in the box of space and time"""
    faces = 1
    """uniform on the faces of the box of space, each as likely as the other"""
    start = 2
    """uniform in space, at the earliest time"""
    end = 3
    """uniform in space, at the latest time"""
    opposite = 4
    """as faces; the residual is what the program gives there, less what it gives at the same place of the opposite face"""
    readings = 5
    """where something was measured: the section's readings in turn, count of them a step"""

class ProgramInput(IntEnum):
    x = 0
    """the point in space, a vector"""
    t = 1
    """its time; 0 where the problem has none"""
    n = 2
    """the network's output"""
    n_x = 3
    """its first derivatives in space, a vector"""
    n_t = 4
    """in time"""
    lap = 5
    """its Laplacian in space"""
    n_xx = 6
    """its second derivatives in space, coordinate by coordinate, a vector"""
    n_tt = 7
    """its second derivative in time"""

class Operation(IntEnum):
    add = 0
    """a + b"""
    subtract = 1
    """a - b"""
    multiply = 2
    """a b"""
    divide = 3
    """a / b"""
    negate = 4
    """-a"""
    less = 5
    """1 where a < b, else 0"""
    select = 6
    """b where a is not 0, else c"""
    sqrt = 7
    """square root of a"""
    exp = 8
    """e to the power a"""
    expm1 = 9
    """e to the power a, minus 1"""
    log = 10
    """natural logarithm of a"""
    log1p = 11
    """natural logarithm of 1 + a"""
    sin = 12
    """sine of a"""
    cos = 13
    """cosine of a"""
    tanh = 14
    """hyperbolic tangent of a"""
    sum = 15
    """sum of the coordinates of the vector a, in ascending order"""
    component = 16
    """coordinate number b (a plain number) of the vector a"""
    place = 17
    """the vector that is the scalar a at coordinate number b and 0 elsewhere"""
    spread = 18
    """the vector whose coordinates all are the scalar a"""
    atan = 19
    """inverse tangent of a"""
    atan2 = 20
    """angle of the point (b, a), -pi to pi"""
    output = 21
    """program input number a (n, n_x, n_t, lap, n_xx or n_tt, a plain number) of the network's output number b; where there are several, these inputs are read so alone"""
    along = 22
    """derivative of order c of the network's output number b along direction number a (plain numbers)"""
    unknown = 23
    """unknown constant number a (a plain number)"""
    measured = 24
    """number a (a plain number) of what was measured at the row's reading"""
    gradient_product = 25
    """sampled_jet's estimate of the product of the gradients in space of the network's outputs number a and b (plain numbers)"""
    shift = 26
    """the vector whose coordinate i is coordinate i + b (b a plain number) of the vector a, and 0 beyond the last"""

class Access(IntEnum):
    open = 0
    """no key: whoever reaches the device may use it"""
    reading = 1
    """STATUS and READ need no key, all else does"""
    keyed = 2
    """all but HELLO and AUTHENTICATE needs the key"""

class Direction(IntEnum):
    rademacher = 0
    """each coordinate +1 or -1"""
    gaussian = 1
    """each coordinate N(0, 1)"""

class Difference(IntEnum):
    one_sided = 0
    """L(theta + mu v) - L(theta), over mu"""
    antithetic = 1
    """L(theta + mu v) - L(theta - mu v), over 2 mu"""

class Update(IntEnum):
    sgd = 0
    """theta - lr g"""
    momentum = 1
    """v = beta v + g; theta - lr v"""
    ema_momentum = 2
    """v = beta v + (1 - beta) g; theta - lr v (the paper's)"""
    adam = 3
    """Adam with bias correction"""
    sign = 4
    """theta - lr sign(g) (the paper's signRGE)"""

class Schedule(IntEnum):
    constant = 0
    """lr"""
    step = 1
    """lr times decay_factor to the power step div decay_every"""
    linear = 2
    """lr falls linearly to 0 at the last step"""
    cosine = 3
    """lr falls along half a cosine to 0 at the last step"""

class Region(IntEnum):
    parameters = 0
    """theta, float32; written to a stage, taken over by COMMIT; one that is -0.0 is pruned: no step moves it"""
    moments = 1
    """the update rule's memory, float32; written to a stage, taken over by COMMIT"""
    batch = 2
    """rows of the next STEP or EVALUATE"""
    dataset = 3
    """rows that stay on the device; STEP picks its batch from them by the sample order"""
    collocation = 4
    """points that the device draws itself: the only rows that train a PDE; nothing is written"""
    sparse = 5
    """rows without their zeros (struct sparse_rows), in a memory of their own; STEP unpacks the ones that the sample order picks into batch"""

class Stream(IntEnum):
    direction = 0
    """noise of the estimator's directions: counter (block, query, step)"""
    sample_order = 1
    """rounds of the sample permutation: counter (half, round, epoch)"""
    collocation = 2
    """training points: counter (block, row, step); coordinate i takes word i % 4 of block i / 4"""
    validation = 3
    """validation points, likewise: counter (block, row, 0), key validation_seed"""
    face = 4
    """the face of a boundary row: counter (0, row, step)"""
    augmentation = 5
    """how a training row is varied: counter (block, row of the batch, step); block 0: its shift down and to the right, word % (2 most + 1) - most; then four normal numbers a block: of the channels, after them of the row's numbers"""
    jet = 6
    """sampled_jet's directions of a row: counter (block, row, step); coordinate i in space takes bit i % 32 of word i / 32 % 4 of block i / 128"""
    features = 7
    """the points around which frozen_features' units bend: counter (block, unit, step); as training points"""

class LogRow(IntEnum):
    fitted = 0
    """its measured numbers are fitted"""
    held_out = 1
    """its measured numbers are compared, not fitted"""
    unmeasured = 2
    """nothing was measured; its inputs count"""
    end_of_sweep = 3
    """no row: the log has passed once; the unknowns take a step"""
    end_of_log = 4
    """no row: other data follow; what is known of the unknowns counts from now on with the factor that stands in the place of the time"""

class Identification(IntEnum):
    ridge = 0
    """ridge of the next step, relative to the diagonal; 0 before the first"""
    row = 1
    """rows of the log that the running sweep has read"""
    begun = 2
    """1 where the candidate is set"""
    known = 3
    """1 where the accepted sums are those of theta"""
    start = 4
    """number of the running start"""
    tries = 5
    """sweeps that this start has had"""
    cost = 6
    """sum of squares at theta, what earlier logs say included"""
    fall = 7
    """by how much the last accepted sweep lowered it"""
    best_cost = 8
    """the lowest cost of the starts before"""
    has_best = 9
    """1 where there is one"""
    sweeps = 10
    """sweeps done"""
    diverged = 11
    """1 where a simulation of the running sweep has left the finite numbers"""
    outcome = 12
    """of the last sweep: 1 accepted, 0 not better, -1 diverged"""
    lag_known = 13
    """1 where the row before has residuals"""
    running = 14
    """1 where the states are those of a row"""
    logs = 15
    """logs that have ended"""

class SweepSum(IntEnum):
    squares = 0
    """sum of squared residuals of fitted rows"""
    count = 1
    """how many there are"""
    lag = 2
    """sum of products of residuals with those of the row before"""
    held_squares = 3
    """sum of squared residuals of rows that are held out"""
    held_count = 4
    """how many there are"""
    lag_count = 5
    """how many products there are in lag"""

@dataclass(frozen=True)
class BundleHeader(Record):
    magic: int
    """bundle_magic"""
    format: int
    """bundle_format"""
    total_bytes: int
    """the whole file, the CRC-32 at its end included"""
    metadata_bytes: int
    """UTF-8 JSON after the parameters, for people and host tools; the device skips it"""
    hash: bytes
    """first bytes of SHA-256 over all from model_info to the parameters, as it stands in the file: records of model, training, phases, loss, rows and layers, the section of a graph or an equation, parameters"""

@dataclass(frozen=True)
class ModelInfo(Record):
    n_parameters: int
    """length of theta"""
    batch: int
    """rows of one training batch"""
    work_bytes: int
    """work buffer the model needs, without a resident dataset"""
    n_layers: int
    """layer records that follow; 0 of a graph that is no chain of layers"""
    in_features: int
    """numbers of one input row"""
    out_features: int
    """numbers of one output row"""
    input_number: int
    """number type of inputs, on the line and in memory: enum number"""
    loss: int
    """enum loss"""
    arithmetic: int
    """enum arithmetic"""
    cache: int
    """enum cache"""
    has_loss_section: int
    """1 where a loss_section stands after the phases"""
    has_row_section: int
    """1 where a row_section stands after the loss_section"""
    input_scale: float
    """network input = number * scale + offset, one multiply-add"""
    input_offset: float
    """see input_scale"""

@dataclass(frozen=True)
class LossInfo(Record):
    places: int
    """place_cross_entropy: places of a sequence, each with out_features / places classes; else 0"""
    n_class_weights: int
    """0, or the number of classes: what a class's weight multiplies is the loss of a row or place"""
    huber_delta: float
    """huber: the error from which on the loss grows linearly; else 0"""

@dataclass(frozen=True)
class RowInfo(Record):
    channels: int
    """where training rows are varied, the inputs of a row are [channels][height][width]; else all up to jitter is 0"""
    height: int
    width: int
    shift_height: int
    """each training row is moved by up to so many rows, up or down; zeros move in"""
    shift_width: int
    """and by up to so many columns; zeros move in, where height is 1 the number at that end"""
    scaling: float
    """then each channel's raw numbers are multiplied by 1 + scaling N(0, 1)"""
    jitter: float
    """then jitter N(0, 1) is added to each raw number; integers are rounded to the nearest, ties to even, and clipped"""
    columns: int
    """0, or columns whose readings become network inputs as (reading - centre - rest) factor; input i is of column i / (in_features / columns)"""
    packing: int
    """1 where the code of packed rows follows, else 0"""

@dataclass(frozen=True)
class LayerRecord(Record):
    kind: int
    """enum layer_kind"""
    activation: int
    """enum activation, applied to the layer's output"""
    has_bias: int
    """1 when a bias of out_features follows the cores"""
    n_in_modes: int
    """TT: input modes; dense: 0"""
    n_out_modes: int
    """TT: output modes; dense: 0"""
    contraction: int
    """TT-matrix: 0 right to left; c multiplies out the cores before and from core c once for a parameter vector, all of them together where there are c"""
    gather: int
    """enum gather: where one application of the layer finds its in_features inputs"""
    combine: int
    """enum combine"""
    kernel_height: int
    """patches: rows of a patch; 0 for others, like all below"""
    kernel_width: int
    stride_height: int
    """rows from a patch to the next"""
    stride_width: int
    padding_height: int
    """rows of zeros above the image"""
    padding_width: int
    channels: int
    """patches: of the image; in_features = channels / groups * kernel_height * kernel_width"""
    height: int
    """patches: rows of the image"""
    width: int
    """patches: columns of the image; tokens: tokens of a row; places: rows of the array"""
    padding_token: int
    """tokens: the one that is the zero vector, or no_token"""
    in_features: int
    """product of in_modes"""
    out_features: int
    """product of out_modes"""
    in_modes: tuple[int, ...]
    """n_1 ..., first mode slowest (C order)"""
    out_modes: tuple[int, ...]
    """m_1 ..., first mode slowest"""
    ranks: tuple[int, ...]
    """r_0 = 1, ..., the last 1"""
    padding_bottom: int
    """patches: rows of zeros below the image; those above it are padding_height"""
    padding_right: int
    """columns of zeros to its right; those to its left are padding_width"""
    dilation_height: int
    """patches: rows of the image from a row of the kernel to the next"""
    dilation_width: int
    groups: int
    """patches: the channels and the outputs fall into so many parts, each output reads its part alone; dense layers of graphs, else 1"""
    out_height: int
    """patches: rows of positions, as the fields above say; devices check it and then use it"""
    out_width: int
    """columns of positions"""
    reserved: bytes
    """0"""
    parameter_offset: int
    """index of the layer's first number in theta: cores in order (or W), then bias, all C order"""

@dataclass(frozen=True)
class GraphInfo(Record):
    n_nodes: int
    """node records, in topological order; the last one writes the network's output"""
    n_arrays: int
    """array records; array 0 is the network's input, every other one is written by one node"""
    attribute_bytes: int
    """bytes of attributes"""
    constant_bytes: int
    """bytes of constants: parameters of frozen nodes, each tensor in order; of int8 nodes a matrix is its rows' scales (float32), then its integers, padded to 4 bytes"""
    arena: int
    """numbers of the memory in which the arrays lie"""

@dataclass(frozen=True)
class NodeRecord(Record):
    operation: int
    """enum node_operation"""
    flags: int
    """sum of enum node_flag"""
    output: int
    """array that it writes"""
    inputs: tuple[int, ...]
    """arrays that it reads, no_array where there are fewer"""
    attributes: int
    """where its attributes begin, in units of 4 bytes; 0 where it has none"""
    parameters: int
    """index of its first parameter in theta, or of its first byte in the constants divided by 4; 0 where it has none"""

@dataclass(frozen=True)
class NodeArrayRecord(Record):
    numbers: int
    """numbers of one row"""
    place: int
    """where it lies in the arena; arrays that are wanted at the same time do not overlap"""

@dataclass(frozen=True)
class ActivationAttributesRecord(Record):
    activation: int
    """enum activation"""
    reserved: bytes
    """0"""
    slope: float
    """of leaky_relu; else 0"""

@dataclass(frozen=True)
class ScaleAttributesRecord(Record):
    outer: int
    """the array is [outer][channels][inner]"""
    channels: int
    """length of weight and bias"""
    inner: int
    has_weight: int
    """without it the weight is 1"""
    has_bias: int
    """without it the bias is 0"""
    reserved: bytes
    """0"""

@dataclass(frozen=True)
class BroadcastAttributesRecord(Record):
    outer: int
    """the first array is [outer][middle][inner], the second [middle]"""
    middle: int
    inner: int
    minus: int
    """add: 1 where the second is subtracted; multiply: 0"""
    reserved: bytes
    """0"""

@dataclass(frozen=True)
class ConcatAttributesRecord(Record):
    outer: int
    """input i is [outer][sizes_i]"""
    sizes: tuple[int, ...]
    """0 where there are fewer"""

@dataclass(frozen=True)
class SliceAttributesRecord(Record):
    outer: int
    """the array is [outer][size][inner], what is taken [outer][count][inner]"""
    size: int
    inner: int
    first: int
    """the first entry that is taken"""
    count: int
    """entries that are taken"""
    step: int
    """from an entry to the next"""

@dataclass(frozen=True)
class TransposeAttributesRecord(Record):
    sizes: tuple[int, ...]
    """of the input's axes, 1 where there are fewer"""
    axes: bytes
    """axis of the input that each axis of the output is"""

@dataclass(frozen=True)
class PoolAttributesRecord(Record):
    channels: int
    """the array is [channels][height][width]"""
    height: int
    width: int
    kernel_height: int
    kernel_width: int
    stride_height: int
    stride_width: int
    padding_top: int
    """rows beyond the border, which no maximum looks at"""
    padding_left: int
    padding_bottom: int
    padding_right: int
    count_padding: int
    """average_pool: 1 where the mean counts numbers beyond the border as zeros"""
    reserved: int
    """0"""

@dataclass(frozen=True)
class AxisAttributesRecord(Record):
    outer: int
    """the array is [outer][size][inner]"""
    size: int
    """length of the axis"""
    inner: int

@dataclass(frozen=True)
class SoftMaxAttributesRecord(Record):
    outer: int
    """the array is [outer][size][inner]"""
    size: int
    """length of the axis"""
    inner: int
    causal: int
    """1 where entry j counts in row i alone if j <= i, i = outer index mod size; the others become 0. inner is 1 then"""

@dataclass(frozen=True)
class NormAttributesRecord(Record):
    outer: int
    """the array is [outer][size]"""
    size: int
    """length of the axis, of weight and bias"""
    epsilon: float
    """added to the variance or the mean square"""
    has_weight: int
    has_bias: int
    """layer_norm"""
    reserved: bytes
    """0"""

@dataclass(frozen=True)
class ProductAttributesRecord(Record):
    count: int
    """matrices: the first array is [count][rows][inner]"""
    rows: int
    inner: int
    columns: int
    """the second array is [count][inner][columns], the result [count][rows][columns]"""
    transposed: int
    """1 where the second array is [count][columns][inner]"""

@dataclass(frozen=True)
class RecurrentAttributesRecord(Record):
    cell: int
    """enum cell"""
    has_bias: int
    reverse: int
    """1 where it begins with the last step; outputs stay at their steps"""
    last: int
    """1 where the output is the last h alone, else that of every step"""
    steps: int
    """the array is [steps][in_features]"""
    in_features: int
    hidden: int
    """numbers of h; it begins as zeros"""
    reserved: int
    """0"""

@dataclass(frozen=True)
class PdeInfo(Record):
    section_bytes: int
    """this record and all that belongs to it: bounds, directions, units, readings, row groups, programs, sparse grid"""
    n_space: int
    """coordinates in space: the network's first inputs"""
    has_time: int
    """1 when time is the network's last input"""
    derivative: int
    """enum derivative"""
    n_groups: int
    """row groups that follow the bounds"""
    has_exact: int
    """1 when the exact solution follows as programs"""
    n_classes: int
    """classes of the sparse grid; 0 without one"""
    n_values: int
    """its distinct non-zero |coordinates|"""
    level: int
    """of the sparse grid"""
    has_points: int
    """1 when the last programs say where a uniform training point goes, in space and then, with has_time, in time"""
    n_directions: int
    """directions that follow the bounds"""
    n_unknowns: int
    """unknown constants: the last parameters"""
    n_pairs: int
    """monte_carlo: antithetic pairs a point"""
    validation_seed: int
    """key of the validation points"""
    radius: float
    """stein_radius (sigma), or the step of finite differences"""
    n_readings: int
    """points where something was measured"""
    n_measured: int
    """numbers measured at each"""
    n_sampled: int
    """sampled_jet: directions k = 0, 1, .. of a row, a power of two. Coordinate i is -1 where its random bit differs from the parity of k AND i, else 1, over the root of n_sampled; 0 of other derivatives"""
    n_vectors: int
    """directions that a program computes"""
    reserved: bytes
    """0"""

@dataclass(frozen=True)
class RowGroupRecord(Record):
    sampler: int
    """enum sampler"""
    needs: int
    """sum of enum need: what the group's program reads"""
    count: int
    """rows of a batch"""
    root_weight: float
    """square root of the rows' weight in the loss"""
    first_face: int
    """of samplers faces and opposite: face 2 i is the lower, 2 i + 1 the upper bound of coordinate i"""
    n_faces: int
    """faces from that one on, each as likely as the other; 0 of other samplers"""

@dataclass(frozen=True)
class PdeDirectionRecord(Record):
    first: int
    """the direction is 1 in this input of the network; vector_direction: it is what a program computes"""
    second: int
    """and factor in this one; or the number of that program"""
    factor: float
    """0: in the first alone"""
    order: int
    """1 to max_order: up to which derivatives are computed"""
    reserved: bytes
    """0"""

@dataclass(frozen=True)
class ProgramRecord(Record):
    n_constants: int
    """constants (float32) that follow; their registers come after the inputs"""
    n_instructions: int
    """instructions that follow them, four bytes each: enum operation, registers a, b, c. Each fills the next register"""
    output: int
    """register of the result: a scalar, but a vector of the program that places points in space"""
    reserved: int
    """0"""

@dataclass(frozen=True)
class SparseRows(Record):
    n_rows: int
    """rows that follow: layout sparse_region"""

@dataclass(frozen=True)
class SimulationInfo(Record):
    section_bytes: int
    """this record and all that belongs to it: unknowns, scales, programs"""
    n_states: int
    n_inputs: int
    """input columns of the log"""
    n_measured: int
    """measured columns of the log"""
    n_starts: int
    """starts of the unknowns: the exported one, then random ones around it"""
    tries: int
    """sweeps of each start before the next one; after all of them the best goes on"""
    reserved: int
    """0"""
    linear_inputs: int
    """a bit for each input column: 1 where it is a line between two rows, 0 where it holds its number until the next row"""
    substep: float
    """longest integration step, in the log's unit of time"""
    spread: float
    """standard deviation of the random starts, in theta"""

@dataclass(frozen=True)
class UnknownRecord(Record):
    low: float
    """least theta"""
    high: float
    """largest theta"""
    unit: float
    """the constant is unit theta; 0: it is exp(theta)"""

@dataclass(frozen=True)
class PhaseRecord(Record):
    estimator: int
    """enum estimator"""
    direction: int
    """enum direction (rge, block_rge)"""
    difference: int
    """enum difference"""
    update: int
    """enum update"""
    n_queries: int
    """N: random directions of one estimate: of all parameters (rge, and Gauss-Newton: there fixed at export), or of a block of them (block_rge)"""
    perturb_radius: float
    """mu"""
    learning_rate: float
    """lr"""
    beta1: float
    """decay of the mean gradient: of momentum, ema_momentum and Adam"""
    beta2: float
    """Adam: decay of the mean squared gradient"""
    epsilon: float
    """Adam: what is added to the root of that mean"""
    clip_norm: float
    """largest gradient norm; 0 means none"""
    n_coordinates: int
    """cocd: coordinates a step; coordinate_gn: columns that are made at once, fixed at export"""
    stale_decay: float
    """cocd: factor a step of the estimates that are not made anew"""
    ridge: float
    """Gauss-Newton: ridge at the start, of coordinate_gn also the least, relative to the mean squared column"""
    trust_radius: float
    """Gauss-Newton: largest norm of the coefficients, the last layer's apart; 0 means none"""

@dataclass(frozen=True)
class TrainingRecord(Record):
    seed: int
    """key of all noise"""
    steps: int
    """length of the schedule"""
    n_phases: int
    """1, or 2 for hybrid: the second phase begins when the loss stands still"""
    schedule: int
    """enum schedule, over the steps of the whole run"""
    plateau_patience: int
    """windows without progress before the next phase"""
    warmup_steps: int
    """lr rises linearly over the first steps; 0 means none"""
    decay_every: int
    """steps (schedule step)"""
    decay_factor: float
    """see schedule step"""
    plateau_window: int
    """steps whose mean loss is compared"""
    plateau_tolerance: float
    """relative fall of that mean that counts as progress"""

@dataclass(frozen=True)
class StateRecord(Record):
    step: int
    """steps done"""
    phase: int
    """index of the running phase"""
    phase_start: int
    """step at which it began"""
    window_count: int
    """losses in window_sum"""
    window_sum: float
    """sum of the losses of the running plateau window"""
    best_window: float
    """lowest window mean so far; 0 windows seen: +inf"""
    windows_without_progress: int
    """compared with plateau_patience"""
    evaluations: int
    """loss evaluations spent: full batches at one parameter vector"""

@dataclass(frozen=True)
class SavedRunRecord(Record):
    magic: int
    """saved_run_magic"""
    format: int
    """saved_run_format"""
    total_bytes: int
    """the whole blob: this record, parameters, moments, CRC-32 of all before it"""
    hash: bytes
    """of the model"""
    training: TrainingRecord
    """settings in force"""
    phase_0: PhaseRecord
    phase_1: PhaseRecord
    state: StateRecord

@dataclass(frozen=True)
class SealRecord(Record):
    magic: int
    """seal_magic"""
    generation: int
    """number of the saved run before it: one more than that in the other slot, from 1 on; after 2^32 - 1 comes 1"""
    run: int
    """what the host calls the run: see KEEP"""
    saved_crc: int
    """the CRC-32 at the end of the saved run"""
    crc: int
    """CRC-32 of the fields before"""

@dataclass(frozen=True)
class FrameSealRecord(Record):
    number: int
    """of the request in its session, larger than all before; a reply repeats it"""
    tag: bytes
    """first bytes of the HMAC-SHA-256, by the session's key, of the letter Q (request) or R (reply) and the frame up to and including number"""

@dataclass(frozen=True)
class HelloRequest(Record):
    contract_hash: int
    """the host's; a device of another contract refuses all requests except HELLO and LEAVE"""
    hello_hash: int
    """of this message in the host's contract; the field after it counts only when the device has the same"""
    leave_hash: int
    """of LEAVE in the host's contract; a device that has the same answers it whatever the contract"""
    session: int
    """a number that the host draws for this connection"""

@dataclass(frozen=True)
class HelloReply(Record):
    contract_hash: int
    """the device's"""
    hello_hash: int
    """of this message in the device's contract; the fields after it count only when the host has the same"""
    leave_hash: int
    """of LEAVE in the device's contract"""
    model_hash: bytes
    """of the loaded model"""
    board: bytes
    """name, zero-padded"""
    n_parameters: int
    n_moments: int
    """numbers of the region moments"""
    row_bytes: int
    """one row: the raw inputs, then the target (see row)"""
    batch: int
    """rows of a training batch"""
    dataset_capacity: int
    """rows that can stay on the device"""
    macs_per_sample: int
    """multiply-accumulates of one forward pass"""
    work_bytes: int
    """work buffer the model uses"""
    work_capacity: int
    """work buffer the device has"""
    sparse_capacity: int
    """bytes of the region sparse"""
    session_before: int
    """session of the last HELLO that had another one; 0: none since the device's start. A host that reads its own here finds all as it was"""
    payload_bytes: int
    """bytes of the longest payload that the device takes and sends: min_payload to max_payload"""
    access: int
    """enum access"""
    challenge: bytes
    """that AUTHENTICATE answers; the same for a HELLO with the same session, until it is answered; zeros without a key"""

@dataclass(frozen=True)
class StatusRequest(Record): ...

@dataclass(frozen=True)
class StatusReply(Record):
    state: StateRecord
    training: TrainingRecord
    phase_0: PhaseRecord
    phase_1: PhaseRecord

@dataclass(frozen=True)
class ConfigureRequest(Record):
    training: TrainingRecord
    phase_0: PhaseRecord
    phase_1: PhaseRecord
    """zeros when n_phases is 1"""

@dataclass(frozen=True)
class ConfigureReply(Record): ...

@dataclass(frozen=True)
class ReadRequest(Record):
    region: int
    """enum region"""
    offset: int
    """bytes"""
    count: int
    """bytes, at most max_payload less the reply's crc"""

@dataclass(frozen=True)
class ReadReply(Record):
    crc: int
    """with the region's last byte: CRC-32 of the whole region as it stands now; before that 0"""

@dataclass(frozen=True)
class WriteRequest(Record):
    region: int
    """enum region"""
    offset: int
    """bytes"""

@dataclass(frozen=True)
class WriteReply(Record): ...

@dataclass(frozen=True)
class CommitRequest(Record):
    region: int
    """enum region"""
    count: int
    """bytes of the region that count"""
    crc: int
    """CRC-32 of those bytes"""

@dataclass(frozen=True)
class CommitReply(Record): ...

@dataclass(frozen=True)
class SetStateRequest(Record):
    state: StateRecord

@dataclass(frozen=True)
class SetStateReply(Record): ...

@dataclass(frozen=True)
class StepRequest(Record):
    step: int
    """steps done before this one"""
    region: int
    """where the rows come from: batch, dataset or sparse; collocation for an equation"""

@dataclass(frozen=True)
class StepReply(Record):
    step: int
    """steps done now"""
    phase: int
    """phase the step belonged to"""
    loss: float
    """mean batch loss before the update"""
    gradient_norm: float
    """of the estimate, before clipping"""
    evaluations: int
    """loss evaluations of this step"""
    macs: int
    """multiply-accumulates of this step, counted one by one where zeros are skipped; 0 from a device that does not count"""

@dataclass(frozen=True)
class EvaluateRequest(Record):
    region: int
    """batch or dataset"""
    first_row: int
    n_rows: int
    """at most max_rows_asked"""

@dataclass(frozen=True)
class EvaluateReply(Record):
    loss_sum: float
    """sum of the rows' losses, in row order"""
    n_correct: int
    """rows (place_cross_entropy: places) whose largest output is their class"""

@dataclass(frozen=True)
class PredictRequest(Record):
    row: int
    first: int
    """the output that the answer begins with"""

@dataclass(frozen=True)
class PredictReply(Record): ...

@dataclass(frozen=True)
class ResetRequest(Record): ...

@dataclass(frozen=True)
class ResetReply(Record): ...

@dataclass(frozen=True)
class CancelRequest(Record): ...

@dataclass(frozen=True)
class CancelReply(Record): ...

@dataclass(frozen=True)
class SolutionErrorRequest(Record):
    region: int
    """collocation: validation points that the device draws from validation_seed; batch or dataset: points with the host's values"""
    first_row: int
    n_rows: int
    """at most max_rows_asked"""

@dataclass(frozen=True)
class SolutionErrorReply(Record):
    squared_error: float
    """sum over the rows of (u - exact)^2"""
    squared_exact: float
    """sum of exact^2"""

@dataclass(frozen=True)
class LeaveRequest(Record): ...

@dataclass(frozen=True)
class LeaveReply(Record): ...

@dataclass(frozen=True)
class KeepRequest(Record):
    run: int
    """names the run for whoever goes on with it: the host's CRC-32 of what a run begins with"""

@dataclass(frozen=True)
class KeepReply(Record):
    generation: int
    """number of the new generation, from 1 on"""

@dataclass(frozen=True)
class RestoreRequest(Record): ...

@dataclass(frozen=True)
class RestoreReply(Record):
    generation: int
    """its number; 0: there is none of this model"""
    run: int
    """as KEEP named it"""
    rated_erases: int
    """how often each of the two slots may be erased by its data sheet; 0: the memory does not wear"""

@dataclass(frozen=True)
class AuthenticateRequest(Record):
    challenge: bytes
    """the host's"""
    proof: bytes
    """first bytes of the HMAC-SHA-256 of the letter H, by the session's key"""

@dataclass(frozen=True)
class AuthenticateReply(Record):
    proof: bytes
    """the same of the letter D: the device has the key too"""

@dataclass(frozen=True)
class WritePackedRequest(Record):
    region: int
    """batch or dataset"""
    offset: int
    """bytes"""
    count: int
    """bytes that the tail holds packed"""

@dataclass(frozen=True)
class WritePackedReply(Record): ...

@dataclass(frozen=True)
class ProgressRequest(Record): ...

@dataclass(frozen=True)
class ProgressReply(Record):
    done: int
    """loss evaluations of a step (samples, when the estimator reuses), or rows of an evaluation"""
    total: int
    """of so many"""

@dataclass(frozen=True)
class ErrorRequest(Record): ...

@dataclass(frozen=True)
class ErrorReply(Record):
    error: int
    """code of the error"""
    detail: int
    """a number that the error's text names"""
