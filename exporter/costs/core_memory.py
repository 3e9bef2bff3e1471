# SPDX-License-Identifier: MIT
"""Geometry of what the entries of a tensor-train core share, and the memory it takes: environments.c and
sample_cache.c say what each part is. The estimators that reuse it are in `REUSING`.
"""

import enum
import math
from dataclasses import dataclass

from ttzo.device_runtime.contract import LIMIT, Cache, Estimator, LayerKind
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import BY_UNITS, REUSING

QUERIES_AT_ONCE, ROWS_AT_ONCE = LIMIT["queries_at_once"], LIMIT["rows_at_once"]
QUADS_AT_ONCE, QUADS_IF_NARROW, UNITS_IF_NARROW = (
    LIMIT[name] for name in ("quads_at_once", "quads_if_narrow", "units_if_narrow")
)


def core_shapes(layer: Layer) -> list[tuple[int, int, int, int]]:
    """(left, m, n, right) of each core, with a mode of 1 where a 2L-way TT core has none; a dense W[out, in] is the
    single core (1, out, in, 1)."""
    if layer.kind == LayerKind.dense:
        return [(1, layer.out_features, layer.in_features, 1)]
    if layer.kind == LayerKind.tt_matrix:
        return [(a, m, n, b) for a, m, n, b in layer.core_shapes]
    n_in = len(layer.in_modes)
    return [(a, 1, k, b) if i < n_in else (a, k, 1, b) for i, (a, k, b) in enumerate(layer.core_shapes)]


@dataclass(frozen=True)
class Extents:
    """Products of the output (m) and input (n) modes of the cores before (l) and after (r) one."""

    ml: int
    mr: int
    nl: int
    nr: int


def extents(layer: Layer, k: int) -> Extents:
    shapes = core_shapes(layer)
    before, after = shapes[:k], shapes[k + 1 :]
    return Extents(*(math.prod(s[axis] for s in side) for axis in (1, 2) for side in (before, after)))


def middle_core(layer: Layer) -> int:
    """The first core whose slices come from the left; of a 2L-way TT, the first output core."""
    if layer.kind == LayerKind.tt_tensor:
        return len(layer.in_modes)
    length = len(core_shapes(layer))
    return next((k for k in range(length) if extents(layer, k).nl > extents(layer, k).nr), length)


def matrix_split(layer: Layer) -> int:
    return min(middle_core(layer), len(core_shapes(layer)) - 1)


def has_matrix(layer: Layer, number: int) -> bool:
    """Whether the cores are multiplied out to a matrix once a step; a layer of one core is a matrix already."""
    small = layer.in_features * layer.out_features <= LIMIT["max_matrix"]
    return number > 0 and len(core_shapes(layer)) > 1 and small


def halves(layer: Layer) -> tuple[int, int, int, int, int]:
    """(ml, nl, mr, nr, rank) of the cores before and after the split of the layer's matrix."""
    split = matrix_split(layer)
    before, after = extents(layer, split), extents(layer, split - 1)
    return before.ml, before.nl, after.mr, after.nr, layer.ranks[split]


class Assembled(enum.Enum):
    """What node_cge adds up over the samples: unit_gradient.h."""

    matrix, halves, slices = range(3)


def assembled_by(plan: Plan, number: int) -> Assembled:
    layer = plan.layers[number]
    if is_narrow(plan):
        return Assembled.slices
    if len(core_shapes(layer)) == 1 or has_matrix(layer, number):
        return Assembled.matrix
    ml, nl, mr, nr, rank = halves(layer)
    return Assembled.halves if (ml * nl + mr * nr) * rank <= LIMIT["max_matrix"] else Assembled.slices


# ---- memory: numbers of float32, each piece padded to an even count --------------------------------------------------


def even(*sizes: int) -> int:
    """Their sum, each padded to an even count."""
    return sum(size + size % 2 for size in sizes)


def stored_products(layer: Layer, with_matrix: bool) -> tuple[range, range, range]:
    """Numbers k of the stored products before core k, after it, and between it and the middle of a 2L-way TT."""
    length, middle, tensor = len(core_shapes(layer)), middle_core(layer), layer.kind == LayerKind.tt_tensor
    left_end = max(0 if tensor else middle, matrix_split(layer) + 1 if with_matrix else 0)
    first_right = middle - 1 if tensor else matrix_split(layer) - 1 if with_matrix else middle
    return range(2, left_end), range(first_right, length - 2), range(middle - 2 if tensor else 0)


def product_numbers(layer: Layer, with_matrix: bool) -> int:
    """Stored products of cores; those of one core are the core itself."""
    shapes, (left, right, middle) = core_shapes(layer), stored_products(layer, with_matrix)
    at = [extents(layer, k) for k in range(len(shapes))]
    return even(
        *(at[k].ml * at[k].nl * shapes[k][0] for k in left),
        *(shapes[k][3] * at[k].mr * at[k].nr for k in right),
        *(shapes[k][3] * at[k].nr * layer.ranks[middle_core(layer)] for k in middle),
    )


def _state_from_left(layer: Layer, k: int) -> int:
    (a, _, n, _), e = core_shapes(layer)[k], extents(layer, k)
    return e.ml * a * n * e.nr


def _state_from_right(layer: Layer, k: int) -> int:
    (_, _, n, b), e = core_shapes(layer)[k], extents(layer, k)
    return e.nl * n * b * e.mr


def sweeps(layer: Layer) -> bool:
    """Whether some of the layer's slices come from a sweep from the left."""
    return layer.kind != LayerKind.tt_tensor and middle_core(layer) < len(core_shapes(layer))


def _slot_of_state(layer: Layer, k: int) -> int:
    middle = middle_core(layer)
    return k if k < middle else (k - middle + (middle == 1)) % 2


def _slot_of_sweep(k: int) -> int:
    return (k + 1) % 2


def _slots(layer: Layer) -> list[int]:
    """Sizes of the slots of the arrays that a forward pass and a sweep go through: environments.c says which shares
    which."""
    length = len(core_shapes(layer))
    if layer.kind == LayerKind.tt_tensor:
        return [_state_from_left(layer, k) for k in range(1, length)]
    sizes = [0] * length
    for k in range(length - 1):
        slot = _slot_of_state(layer, k)
        sizes[slot] = max(sizes[slot], _state_from_right(layer, k))
    for k in range(1, length if sweeps(layer) else 0):
        slot = _slot_of_sweep(k)
        sizes[slot] = max(sizes[slot], _state_from_left(layer, k))
    return sizes


def state_numbers(layer: Layer) -> int:
    return even(*_slots(layer))


def _contraction_widest(layer: Layer) -> int:
    return max(layer.in_features, *(repeats * rows * columns for repeats, rows, _, columns in layer.contractions))


def _contracted_widest(plan: Plan) -> int:
    """Largest array while a change is propagated through layers that are contracted core by core."""
    later = [(number, layer) for number, layer in enumerate(plan.layers) if number > 0]
    wanted = [y for number, y in later if len(core_shapes(y)) > 1 and not has_matrix(y, number)]
    return max(map(_contraction_widest, wanted), default=0)


def reuses(plan: Plan) -> bool:
    return any(phase.estimator in REUSING for phase in plan.training.phases)


def whole_panels(n: int) -> int:
    """n, rounded up to whole panels of four lines."""
    return 4 * math.ceil(n / 4)


def _tile(rows: int, inner: int) -> int:
    """Panels of `rows` lines and of four lines that are multiplied with them, and a strip of four columns."""
    return whole_panels(rows) * (inner + 4) + 4 * inner


def matrix_panels(layer: Layer) -> int:
    """Numbers of the operands that multiplying out a small layer's matrix needs."""
    if len(core_shapes(layer)) == 1 or layer.in_features * layer.out_features > LIMIT["max_matrix"]:
        return 0
    _, _, mr, nr, rank = halves(layer)
    return mr * whole_panels(nr) * rank + 4 * (rank + nr)


def _contraction_panels(layer: Layer) -> list[int]:
    """The operands of each product of a forward pass."""
    if len(core_shapes(layer)) == 1:
        return [0]
    sizes, n_left = [], len(layer.in_modes) if layer.kind == LayerKind.tt_tensor else len(layer.contractions)
    for number, (_, rows, inner, columns) in enumerate(layer.contractions):
        if number < n_left and columns > 1:
            sizes.append(_tile(rows, inner))
        else:
            lines = rows if number < n_left else columns
            sizes.append(whole_panels(lines) * inner + ROWS_AT_ONCE * (inner + 4))
    return sizes


def panel_numbers(layer: Layer) -> int:
    """The largest operands of one product: forward, sweep or slices."""
    shapes, middle, tensor = core_shapes(layer), middle_core(layer), layer.kind == LayerKind.tt_tensor
    sizes = [*_contraction_panels(layer), matrix_panels(layer)]
    if sweeps(layer):
        sizes += [_tile(m * b, a * n) for a, m, n, b in shapes[:-1]]
    for k in range(len(shapes)):
        e = extents(layer, k)
        if tensor and k < middle:
            sizes.append((whole_panels(e.mr) + 4) * layer.ranks[middle])
        elif k < middle:
            sizes.append(4 * e.mr * e.nl + whole_panels(e.ml) * e.nl)
        else:
            sizes.append(4 * e.ml * e.nr + whole_panels(e.mr) * e.nr)
    return max(sizes)


def slice_widest(layer: Layer) -> int:
    """Numbers of the largest slice."""
    return max(e.ml * e.mr for e in (extents(layer, k) for k in range(len(core_shapes(layer)))))


def _unit_panels(layer: Layer) -> int:
    each = ((extents(layer, k), shape[1]) for k, shape in enumerate(core_shapes(layer)))
    return max(e.ml * e.mr * whole_panels(m) for e, m in each)


def _goes_by_matrix(plan: Plan, number: int) -> bool:
    if number >= len(plan.layers):
        return False
    return len(core_shapes(plan.layers[number])) == 1 or has_matrix(plan.layers[number], number)


def _units_at_once(plan: Plan, number: int, blocks: bool) -> int:
    """Units of a layer that queries move together."""
    layer = plan.layers[number]
    units = layer.out_features if blocks else slice_widest(layer)
    in_parts = is_narrow(plan) and _goes_by_matrix(plan, number + 1)
    return min(units, UNITS_IF_NARROW) if in_parts else units


def _weights(plan: Plan, blocks: bool) -> int:
    """Weights of the next layer that start at those units."""
    later = [n for n in range(1, len(plan.layers)) if _goes_by_matrix(plan, n)]
    sizes = (_units_at_once(plan, n - 1, blocks) * whole_panels(plan.layers[n].out_features) for n in later)
    return max(sizes, default=0)


def asks_units(plan: Plan) -> bool:
    return any(phase.estimator in BY_UNITS for phase in plan.training.phases)


def asks_entries(plan: Plan) -> bool:
    """Whether a phase asks about entries, or directions of them; node_cge only asks about units."""
    return any(phase.estimator in REUSING - BY_UNITS for phase in plan.training.phases)


def _wants_slices(plan: Plan, number: int) -> bool:
    return asks_entries(plan) or (asks_units(plan) and assembled_by(plan, number) == Assembled.slices)


@dataclass(frozen=True)
class Factors:
    """A product P[q][m][n][t] = sum over r of A[q][n][r] B[r][m][t]: of one half and one core, or of both halves."""

    q: int
    m: int
    n: int
    t: int
    r: int

    @property
    def macs(self) -> int:
        return self.q * self.m * self.n * self.t * self.r


def splits(layer: Layer) -> list[Factors]:
    """The products that turn the derivatives of a layer's halves into those of its cores."""
    shapes, split = core_shapes(layer), matrix_split(layer)
    before = [(extents(layer, k - 1), shapes[k - 1]) for k in range(2, split + 1)]
    after = [(extents(layer, k + 1), shapes[k + 1]) for k in range(split - 1, len(shapes) - 2)]
    return [Factors(e.ml, m, e.nl, n * b, a) for e, (a, m, n, b) in before] + [
        Factors(a * m, e.mr, n, e.nr, b) for e, (a, m, n, b) in after
    ]


def matrix_factors(layer: Layer) -> Factors:
    ml, nl, mr, nr, rank = halves(layer)
    return Factors(ml, mr, nl, nr, rank)


def _sums_numbers(plan: Plan, number: int) -> int:
    """What node_cge adds up of a layer, in the order of unit_gradient.c."""
    layer, by = plan.layers[number], assembled_by(plan, number)
    if by == Assembled.slices or len(core_shapes(layer)) == 1:
        return 0
    ml, nl, mr, nr, rank = halves(layer)
    if by == Assembled.matrix:
        return even(ml * nl * rank, layer.in_features * layer.out_features)
    both = (ml * nl * rank, mr * nr * rank)
    return even(LIMIT["halved_sums_numbers"], *both * (2 if sum(both) <= LIMIT["kept_lines"] else 1), ml * nr * rank)


def _sums_panels(plan: Plan, number: int) -> int:
    layer, by = plan.layers[number], assembled_by(plan, number)
    if by == Assembled.slices or len(core_shapes(layer)) == 1:
        return matrix_panels(layer)
    ml, nl, mr, nr, _ = halves(layer)
    laid_out = max(nl * ml, nr * mr, nr * ml, mr * ml, nr * 4) if by == Assembled.halves else 0
    shapes = []
    for f in splits(layer) + ([matrix_factors(layer)] if by == Assembled.matrix else []):
        shapes += [(f.r, f.n), (f.n, f.t)]
    return max(matrix_panels(layer), laid_out, *((whole_panels(rows) + 4) * inner for rows, inner in shapes))


def _panels(plan: Plan, number: int) -> int:
    """The largest operands of one product of a layer."""
    return max(
        panel_numbers(plan.layers[number]) if _wants_slices(plan, number) else 0,
        _sums_panels(plan, number) if asks_units(plan) else 0,
    )


def is_narrow(plan: Plan) -> bool:
    return plan.cache != Cache.float32


def inputs_share(plan: Plan) -> bool:
    """Whether the network's inputs lie among the first layer's states, and are read again when they are needed."""
    return is_narrow(plan) and sweeps(plan.layers[0])


def _kept_states(plan: Plan, number: int) -> int:
    layer = plan.layers[number]
    if number > 0 or not inputs_share(plan):
        return state_numbers(layer)
    first_free = _slot_of_state(layer, len(core_shapes(layer)) - 2) + 1
    return max(state_numbers(layer), even(*_slots(layer)[:first_free]) + 2 * layer.in_features)


def has_narrow_units(plan: Plan, number: int) -> bool:
    """Whether the layer's pre-activations are kept in 16 bits: those of hidden tensor trains are."""
    return is_narrow(plan) and number + 1 < len(plan.layers) and len(core_shapes(plan.layers[number])) > 1


def keeps_matrix(plan: Plan, number: int) -> bool:
    return has_matrix(plan.layers[number], number) and plan.cache != Cache.int16_least


def keeps_halves(plan: Plan, number: int) -> bool:
    """Whether the two products that make the layer's matrix stay: only a matrix of 16 bits makes them superfluous."""
    by_halves = asks_units(plan) and assembled_by(plan, number) == Assembled.halves
    superfluous = is_narrow(plan) and keeps_matrix(plan, number)
    return (has_matrix(plan.layers[number], number) and not superfluous) or by_halves


def _cache_sizes(plan: Plan, number: int) -> tuple[int, ...]:
    """Numbers of a layer's pre-activations, outputs, states, products and matrix, as sample_cache.c carves them."""
    layer, narrow = plan.layers[number], is_narrow(plan)
    read_through = narrow and number + 1 < len(plan.layers) and sweeps(plan.layers[number + 1])
    matrix = layer.in_features * layer.out_features if keeps_matrix(plan, number) else 0
    states = _halved(_kept_states(plan, number), narrow) if _wants_slices(plan, number) else 0
    return (
        _halved(layer.out_features, has_narrow_units(plan, number)),
        0 if read_through else layer.out_features,
        max(states, _sums_numbers(plan, number) if asks_units(plan) else 0),
        product_numbers(layer, keeps_halves(plan, number)),
        _halved(matrix, narrow),
    )


def _halved(numbers: int, narrow: bool) -> int:
    """Numbers of float32 that take as many bytes as `numbers` do, which have 16 bits where `narrow`."""
    return (numbers + 1) // 2 if narrow else numbers


def _are_numbers(layer: Layer, k: int) -> bool:
    """Whether the slices of core k are numbers of a state, because there is no core on its other side."""
    first_or_last = k == 0 if k < middle_core(layer) else k + 1 == len(core_shapes(layer))
    return layer.kind != LayerKind.tt_tensor and first_or_last


def _spare(layer: Layer, k: int) -> tuple[int, int]:
    """First and end of the states' numbers that are free while the slices of core k are queried."""
    if layer.kind == LayerKind.tt_tensor:
        return 0, 0
    if k < middle_core(layer):
        return 0, even(*_slots(layer)[:k])
    first_slot = even(*_slots(layer)[:1])
    return (0, first_slot) if _slot_of_sweep(k) == 1 else (first_slot, state_numbers(layer))


def _slice_size(layer: Layer, k: int) -> int:
    e = extents(layer, k)
    return e.ml * e.mr


def _spare_quads(layer: Layer, k: int) -> int:
    """Quads of slices of core k that fit between its layer's states of 16 bits."""
    first, end = _spare(layer, k)
    return max(0, end // 4 - (first + 3) // 4) * 2 // (QUERIES_AT_ONCE * _slice_size(layer, k))


def _slice_numbers(plan: Plan, one_quad: bool) -> int:
    most, narrow = 0, is_narrow(plan)
    for layer in [plan.layers[number] for number in range(len(plan.layers)) if _wants_slices(plan, number)]:
        for k in range(len(core_shapes(layer))):
            quads = QUADS_IF_NARROW if narrow else QUADS_AT_ONCE
            if narrow and (_are_numbers(layer, k) or _spare_quads(layer, k) >= quads):
                quads = int(one_quad)
            most = max(most, quads * QUERIES_AT_ONCE * _slice_size(layer, k))
    return most


def core_gradient_numbers(plan: Plan) -> int:
    """Numbers of everything that reusing estimators keep within a step, in the order of sample_cache.c and
    query_scratch.c; 0 when no phase reuses. Raises `PlanError` when no device accepts so many."""
    if not reuses(plan):
        return 0
    total = 0 if inputs_share(plan) else even(plan.in_features)
    total += sum(even(*_cache_sizes(plan, number)) for number in range(len(plan.layers)))
    total += _scratch_numbers(plan)
    if total > LIMIT["max_width"]:
        raise PlanError(
            f"this estimator would keep {total:,} numbers of one sample, which is too many",
            "export with smaller --ranks or a more even fold, or an estimator that keeps nothing (--estimator rge)",
        )
    return total


def _scratch_numbers(plan: Plan) -> int:
    estimators, queries = {phase.estimator for phase in plan.training.phases}, QUERIES_AT_ONCE
    blocks, nodes = Estimator.block_rge in estimators, asks_units(plan)
    sliced = [plan.layers[number] for number in range(len(plan.layers)) if _wants_slices(plan, number)]
    widest = max(layer.out_features for layer in plan.layers)
    later = max(plan.out_features, *(layer.out_features for layer in plan.layers[1:]), 0)
    block = max(widest, *(tensor.size for layer in plan.layers for tensor in layer.tensors))
    aimed = _aimed(plan, blocks)
    contracted, lists = _contracted_widest(plan), (aimed + 1) // 2
    return even(
        plan.out_features, *_query_pieces(plan), _slice_numbers(plan, blocks or nodes),
        widest if nodes else 0, max(map(_unit_panels, sliced), default=0) if nodes else 0,
        queries * block if blocks else 0, queries * widest if blocks else 0, later,
        contracted, contracted, lists, lists, lists, (later + 1) // 2,
    )  # fmt: skip


def _aimed(plan: Plan, blocks: bool) -> int:
    """Units that queries of entries move together."""
    return max(_units_at_once(plan, n, blocks) for n in range(len(plan.layers))) if asks_entries(plan) else 0


def _query_sizes(plan: Plan) -> tuple[int, int, int]:
    """Numbers of the panels, of weights and changes, and of the arrivals of a quad."""
    blocks = any(phase.estimator == Estimator.block_rge for phase in plan.training.phases)
    later = max(plan.out_features, *(layer.out_features for layer in plan.layers[1:]), 0)
    aimed = _aimed(plan, blocks)
    matrices = [n for n in range(len(plan.layers)) if is_narrow(plan) and keeps_matrix(plan, n)]
    made = [product_numbers(plan.layers[n], True) + plan.layers[n].out_features for n in matrices]
    panels = max(*(_panels(plan, n) for n in range(len(plan.layers))), *made, 0)
    changes = QUERIES_AT_ONCE * max(aimed, later, QUERIES_AT_ONCE)
    weights = _weights(plan, blocks) if asks_entries(plan) else 0
    return panels, even(weights, changes), QUERIES_AT_ONCE * whole_panels(later)


def _query_pieces(plan: Plan) -> tuple[int, int]:
    """Numbers of the panels, and of what else queries need; with narrow caches both lie in one place."""
    panels, queries, arrivals = _query_sizes(plan)
    if is_narrow(plan):
        return max(panels, queries + QUADS_IF_NARROW * arrivals), 0
    return panels, queries + (QUADS_AT_ONCE if asks_entries(plan) else 1) * arrivals


def quads_of_slices(layer: Layer, k: int) -> int:
    """Quads that the slices of core k come in: neighbouring lines with the same other index, as in slices.h."""
    a, _, n, b = core_shapes(layer)[k]
    if k >= middle_core(layer):
        return math.ceil(n * a / QUERIES_AT_ONCE) * b
    if layer.kind == LayerKind.tt_tensor:
        return math.ceil(a * n * b / QUERIES_AT_ONCE)
    return math.ceil(n * b / QUERIES_AT_ONCE) * a


def quads_at_once(plan: Plan, number: int, k: int) -> int:
    """Quads of slices of core k of a layer that are made and asked about together."""
    if not is_narrow(plan):
        return QUADS_AT_ONCE
    layer, (_, queries, arrivals) = plan.layers[number], _query_sizes(plan)
    arrive = min(QUADS_AT_ONCE, (_query_pieces(plan)[0] - queries) // arrivals)
    if _are_numbers(layer, k):
        return arrive
    blocks = any(phase.estimator in BY_UNITS | {Estimator.block_rge} for phase in plan.training.phases)
    own = _slice_numbers(plan, blocks) // (QUERIES_AT_ONCE * _slice_size(layer, k))
    return min(arrive, max(own, _spare_quads(layer, k)))
