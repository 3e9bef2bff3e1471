# SPDX-License-Identifier: MIT
"""Training data as a plan needs them: raw rows, checked once when they are read, packed as they are sent.

A row on the line is the raw inputs (uint8, int16 or float32, little-endian), then the target: a u16 class, for sequences
one for each place, for losses of numbers `out_features` float32. Scale and offset are applied on the device.

The known data sets (digits, names, MNIST) keep the same training and test rows for ever; their validation rows come out
of the training rows, and only when somebody asks for them. A person's own rows are divided as `split_rows.py` says.
"""

import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Number
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data import known_data, read_rows, remarks, solution_points, split_rows
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.data.prepare_rows import Goal, Preparation, Samples, prepare
from ttzo.host_tools.data.read_rows import Rows, Wanted
from ttzo.host_tools.reference.network import sparse_rows
from ttzo.host_tools.reference.network.network import read_inputs

DTYPES = {Number.uint8: "<u1", Number.int16: "<i2", Number.float32: "<f4"}
COARSEST = 1 / 16  # steps, in deviations, in which normalised numbers may travel as integers
OF_KNOWN = ("validation", "split_seed")  # the options that a known data set reads
SOURCES = (
    f"name one of {', '.join(known_data.NAMES)}, a folder with MNIST's IDX files, or a .csv, .tsv, .txt, .npz, .npy or .parquet "
    "file: --data SOURCE"
)
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class DataSet:
    """Rows for one plan: x (n, in_features) in the plan's input number; y int64 classes (n,), of sequences (n, places), or
    float32 (n, out_features) targets. Validation rows may be none. `labels`: the classes' names, where they have any; `notes`:
    sentences that a person should read; `preparation`: what was done to a person's own rows; `anomalous`: of a model that
    finds anomalies, int64 (n,) 1 for each test row that is one."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    x_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None
    preparation: Preparation | None = None
    notes: tuple[str, ...] = ()
    anomalous: np.ndarray | None = None

    @property
    def labels(self) -> tuple[str, ...] | None:
        return self.preparation.labels if self.preparation else None

    @property
    def n_validation(self) -> int:
        return 0 if self.x_validation is None else len(self.x_validation)

    @cached_property
    def train_rows(self) -> np.ndarray:
        """uint8 (n, Plan.row_bytes): the training rows as they are sent."""
        return pack_rows(self.x_train, self.y_train)

    @cached_property
    def sparse_rows(self) -> bytes:
        """The training rows without their zeros: the bytes of a device's region sparse."""
        return sparse_rows.pack(self.train_rows, self.x_train.shape[1], self.x_train.dtype.itemsize)

    @cached_property
    def test_rows(self) -> np.ndarray:
        return pack_rows(self.x_test, self.y_test)

    @cached_property
    def validation_rows(self) -> np.ndarray:
        """uint8 (n, Plan.row_bytes); n is 0 where there are none."""
        if self.x_validation is None or self.y_validation is None:
            return self.test_rows[:0]
        return pack_rows(self.x_validation, self.y_validation)

    @cached_property
    def checksum(self) -> int:
        """CRC-32 of the packed training rows: what a checkpoint remembers."""
        return zlib.crc32(self.train_rows.tobytes())


def pack_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """uint8 (n, row_bytes) of checked inputs (n, in_features) and targets."""
    inputs = np.ascontiguousarray(x).view(np.uint8)
    targets = y.astype("<u2").reshape(len(y), -1) if y.dtype.kind in "iu" else np.ascontiguousarray(y, "<f4")
    return np.hstack([inputs, targets.view(np.uint8)])


def packed_bytes(plan: Plan, rows: np.ndarray, most: int | None = None) -> bytes:
    """What the device is sent of packed rows uint8 (n, row_bytes). Raises `DataError` where they are none of the plan's, or
    more than `most`: the device would only see a number of bytes that does not fit."""
    _require(
        rows,
        np.dtype(np.uint8),
        plan.row_bytes,
        "pack inputs and targets with pack_rows(x, y) of ttzo.host_tools.data.data_set",
    )
    if most is not None and len(rows) > most:
        raise DataError(f"{len(rows)} rows are more than a batch", f"hand over at most {most} at once")
    return rows.tobytes()


def require_inputs(plan: Plan, x: np.ndarray) -> None:
    """Raises `DataError` where x are no raw inputs (n, in_features) in the plan's number."""
    _require(x, np.dtype(DTYPES[plan.input_number]), plan.in_features, "hand over inputs alone, without targets")


def _require(rows: np.ndarray, wanted: np.dtype, columns: int, hint: str) -> None:
    if rows.dtype != wanted or rows.ndim != 2 or rows.shape[1] != columns:
        raise DataError(f"rows are {rows.dtype} {rows.shape}, the model takes {wanted} (n, {columns})", hint)


def n_judged(plan: Plan, rows: np.ndarray) -> int:
    """Classes that packed rows uint8 (n, row_bytes) name; NO_CLASS does not count."""
    targets = np.ascontiguousarray(rows[:, plan.row_bytes - 2 * plan.n_places :]).view("<u2")
    return int((targets != NO_CLASS).sum()) if plan.has_classes else 0


def random_targets(plan: Plan, rng: np.random.Generator, n: int) -> np.ndarray:
    """Targets of n rows for measurements that need any."""
    like = plan.no_targets(n)
    return rng.integers(0, plan.n_classes, like.shape) if plan.has_classes else rng.normal(size=like.shape)


# ---- loading ---------------------------------------------------------------------------------------------------------


def load(
    source: str | Path | None,
    plan: Plan,
    options: DataOptions | None = None,
    known: Preparation | None = None,
    *,
    only_test: bool = False,
) -> DataSet:
    """The data set `source` (default: the one the plan was exported for) for `plan`. It is called `source`; with
    `only_test` and a file of test rows, as that file.

    `known` is the preparation of the run that goes on or is measured; by default the one that the plan was exported
    with, if it was. `options` go before what it says. `only_test`: training rows are not looked for where `options` name
    a file of test rows. Raises `DataError`, with the next step, when the data are missing, damaged, empty or do not fit
    the plan, and for an option that they leave no use for.
    """
    options = options or DataOptions()
    if plan.pde is not None:
        hint = "" if source else ", or name points with their known values: --data FILE"
        _refuse_unread("an equation draws its own points", options, (), hint)
        return _points(source, plan)
    source = str(source or plan.metadata.get("data") or "")
    if not source and not (only_test and options.file("test")):
        raise DataError("the bundle does not name a data set", SOURCES)
    if known_data.is_known(source) or Path(source).is_dir() and source:
        known = known or preparation_of(plan)
        if only_test and (file := options.file("test")):
            known = known or Preparation(source)
            _require_same_treatment(options, known)
            return _own(file, plan, options, options, known, only_test)
        read = OF_KNOWN if options.share("validation") is not None else ()
        _refuse_unread(f"`{source}` has parts of its own", options, read, ", or name rows of your own: --data FILE")
        return _known(source, plan, options.over(known.options) if known and known.source == source else options)
    known, given = known or preparation_of(plan), options
    if known:
        _require_same_treatment(options, known)
        options = options.over(known.options if source == known.source else known.options.without_files())
    return _own(source, plan, options, given, known, only_test)


def _refuse_unread(why: str, options: DataOptions, read: tuple[str, ...], hint: str) -> None:
    """Raises `DataError` for an option that is given and not among `read`."""
    for name in options.as_json():
        if name not in read:
            raise DataError(f"{why}: --{name.replace('_', '-')} is not read", f"leave it out{hint}")


def _require_same_treatment(options: DataOptions, known: Preparation) -> None:
    """Columns are normalised as for the rows that the model was trained on, or exported with, and not otherwise."""
    before = known.options.normalise or "auto"
    if before == "auto":
        before = "none" if known.normalisation is None else "standard"
    if options.normalise not in (None, "auto", before):
        raise DataError(
            f"the model's columns are normalised already (--normalise {before}): --normalise {options.normalise} is not read",
            "leave it out, or export the model again with it",
        )


def preparation_of(plan: Plan) -> Preparation | None:
    """The preparation that the plan was exported with."""
    page = plan.metadata.get("preparation")
    return Preparation.from_json(page) if page is not None else None


def _points(source: str | Path | None, plan: Plan) -> DataSet:
    """A PDE trains on points of its own; what there is to test on: `source`, or where the solution is known."""
    none = np.zeros((0, plan.in_features), np.float32), np.zeros((0, 1), np.float32)
    if source is None:
        return DataSet("collocation points", *none, *solution_points.validation(plan))
    if known_data.is_known(str(source)):
        raise DataError(
            f"an equation draws its own points, `{source}` holds none",
            "leave out --data, or name a file of points with their known values",
        )
    options = DataOptions(validation=0.0, normalise="none")
    pieces = read_rows.read(_file(str(source)), options, Wanted(plan.out_features, has_classes=False))
    rows = pieces.get("test", pieces["train"])
    if rows.x.shape[1] == plan.in_features - plan.out_features:
        raise DataError(
            f"{source} has {plan.in_features} columns: points without the values that the solution should have there",
            "add them as last columns; `ttzo predict DIR --data FILE` gives the trained model's",
        )
    samples, _, _ = prepare(str(source), {"train": rows, "test": rows}, options, goal_of(plan, options, None), None)
    return DataSet(str(source), *none, *_pair(str(source), samples["test"], plan, []))


# ---- known data sets -------------------------------------------------------------------------------------------------


def _known(source: str, plan: Plan, options: DataOptions) -> DataSet:
    found = known_data.read(source)
    train, test = (
        _pair(source, _whole(f"{source}: {part} rows", *pair, plan), plan, [])
        for part, pair in (("training", found.train), ("test", found.test))
    )
    split = DataOptions(validation=options.validation, split_seed=options.split_seed)
    preparation = Preparation(source, split, found.labels or None)
    anomalous = found.test[1] if plan.finds_anomalies else None
    made = DataSet(source, *train, *test, preparation=preparation, anomalous=anomalous)
    if found.validation is not None and options.validation is None:
        x, y = _pair(source, _whole(f"{source}: validation rows", *found.validation, plan), plan, [])
        return replace(made, x_validation=x, y_validation=y)
    share = options.share("validation") or 0.0
    if not share:
        return made
    classes = (
        made.y_train if plan.has_classes and made.y_train.ndim == 1 else None
    )  # a row of places has no class of its own
    is_held = split_rows.split(len(made.x_train), (share, 0.0), options.split_seed or 0, classes) != 0
    x, y = made.x_train, made.y_train
    return replace(made, x_train=x[~is_held], y_train=y[~is_held], x_validation=x[is_held], y_validation=y[is_held])


def _whole(what: str, x: np.ndarray, y: np.ndarray, plan: Plan) -> Samples:
    """Rows of a known data set, checked against the plan."""
    x = x.reshape(len(x), -1)
    if x.shape[1] != plan.in_features:
        raise DataError(
            f"{what} have {x.shape[1]} numbers a row, the model needs {plan.in_features}",
            "choose other data or export a model of that size",
        )
    if plan.finds_anomalies:
        return Samples(x, y.astype(np.int64))
    if not plan.has_classes:
        if plan.out_features != 1:
            raise DataError(
                f"{what} have 1 number as target, the model learns {plan.out_features}", "choose other data"
            )
        return Samples(x, y.reshape(-1, 1).astype(float))
    n_places = 1 if y.ndim == 1 else y.shape[1]
    if n_places != plan.n_places:
        raise DataError(f"{what} have {n_places} classes each, the model learns {plan.n_places}", "choose other data")
    largest = y[y != NO_CLASS].max()
    if largest >= plan.n_classes:
        raise DataError(
            f"{what} have the class {largest}, the model knows 0 to {plan.n_classes - 1}",
            "export a model with more outputs",
        )
    return Samples(x, y.astype(np.int64))


# ---- a person's own data ---------------------------------------------------------------------------------------------


def _own(
    source: str, plan: Plan, options: DataOptions, given: DataOptions, known: Preparation | None, only_test: bool
) -> DataSet:
    """`given`: what of the options was given now, and is refused where nothing reads it."""
    inputs = known.inputs if known else ()
    wanted = Wanted(plan.n_places or plan.out_features, plan.n_places == 1, inputs)
    if plan.finds_anomalies:
        wanted = Wanted(1, True, inputs)
    files = {part: name for part in ("validation", "test") if (name := options.file(part))}
    pieces: dict[str, Rows] = {}
    if not (only_test and known and "test" in files):
        pieces = read_rows.read(_file(source), options, wanted)
    _refuse_unread_of_own(source, plan, given, tuple(pieces))
    pieces |= {part: read_rows.read(_file(name), options, wanted)["train"] for part, name in files.items()}
    for rows in pieces.values():
        require_tokens(rows, plan)
    goal = goal_of(plan, options, known)
    samples, preparation, notes = prepare(source, pieces, options, goal, known, trains=not only_test)
    preparation = replace(preparation, source=source, options=options)
    _require_both(source, samples, only_test, options.window)
    pairs = {part: _pair(files.get(part, source), each, plan, notes) for part, each in samples.items()}
    none = np.empty((0, plan.in_features), DTYPES[plan.input_number]), plan.no_targets(0)
    x_validation, y_validation = pairs.get("validation", (None, None))
    made = DataSet(
        files.get("test", source) if only_test else source,
        *pairs.get("train", none),
        *pairs.get("test", none),
        x_validation=x_validation,
        y_validation=y_validation,
        preparation=preparation,
        anomalous=samples["test"].y if plan.finds_anomalies and "test" in samples else None,
    )
    return replace(made, notes=(*notes, *remarks.of(made, plan, source, files, known is None)))


def _refuse_unread_of_own(source: str, plan: Plan, given: DataOptions, parts: tuple[str, ...]) -> None:
    """`parts`: of the rows in the file `source`."""
    if given.good is not None and not plan.finds_anomalies:
        raise DataError("--good is for models that find anomalies", "leave it out, or export with --task anomaly")
    for name in ("target", "ignore", "heading") if Path(source).suffix == ".npz" else ():
        if getattr(given, name) is not None:
            raise DataError(f"{source} has arrays instead of columns: --{name} is not read", "leave it out")
    for part in ("validation", "test"):
        if part in parts and given.share(part) is not None:
            raise DataError(f"{source} has {part} rows of its own: --{part} is not read", "leave it out")


def _require_both(source: str, samples: dict[str, Samples], only_test: bool, window: int | None) -> None:
    """Training and test have rows."""
    for part in ("test",) if only_test else ("train", "test"):
        if part not in samples or not len(samples[part].x):
            what = f"window of {window} rows" if window else "row"
            short = "; the first part of a recording trains, the last fifth tests: record longer, or divide by --group"
            raise DataError(
                f"{source}: the rows are too few, there is no {what} to {part} on",
                "training and test both need at least one row: give more, or test rows of their own with --test FILE"
                + short * bool(window),
            )


def _file(source: str) -> Path:
    path = Path(source)
    if not path.is_file():
        raise DataError(f"there is no data set `{source}`", SOURCES)
    if path.suffix not in read_rows.ENDINGS:
        raise DataError(f"{path} is of an unknown kind", SOURCES)
    return path


def goal_of(plan: Plan, options: DataOptions, known: Preparation | None) -> Goal:
    """Normalised without being asked are columns of float32 inputs to which the model applies no scale of its own."""
    method = options.normalise or "auto"
    plain = plan.input_number == Number.float32 and (plan.input_scale, plan.input_offset) == (1.0, 0.0)
    if method == "auto":
        method = "standard" if plain else "none"
    if method != "none" and plan.n_tokens:
        raise DataError("numbers of tokens are not normalised", "leave out --normalise")
    if method != "none" and plan.input_number != Number.float32 and plan.input_scale > COARSEST:
        raise DataError(
            f"normalised numbers in steps of {plan.input_scale:g} would lose their digits",
            "export with --normalise, which chooses the scale, or with a smaller --scale such as 0.000244140625",
        )
    return Goal(
        in_features=plan.in_features,
        n_outputs=2 if plan.finds_anomalies else plan.n_classes or plan.out_features,
        n_places=1 if plan.finds_anomalies else plan.n_places,
        normalise=None if method == "none" else method,
        shape=_row_shape(plan),
        finds_anomalies=plan.finds_anomalies,
    )


def _row_shape(plan: Plan) -> tuple[int, ...]:
    """Of a row as the model was read with it; else as its first node, a convolution, takes it."""
    said = tuple(plan.metadata.get("input_shape", ()))
    if len(said) > 1 or plan.simulation is not None:
        return said
    first = plan.graph.nodes[0].operation
    patches = first.layer.gather if isinstance(first, Affine) else None
    if isinstance(patches, Patches) and patches.n_inputs == plan.in_features:
        return patches.channels, patches.height, patches.width
    return said


# ---- numbers as they travel ------------------------------------------------------------------------------------------


def require_tokens(rows: Rows, plan: Plan) -> None:
    """All are tokens that the plan's embedding knows, where it has one."""
    if plan.n_tokens and len(bad := np.argwhere((rows.x < 0) | (rows.x >= plan.n_tokens))):
        row, place = map(int, bad[0])
        raise DataError(
            f"{rows.source}: {rows.place(row)} has the token {rows.x[row, place]:g}, the model knows 0 to {plan.n_tokens - 1}",
            "number the tokens from 0, or export a model with a larger vocabulary",
        )


def _pair(source: str, samples: Samples, plan: Plan, notes: list[str]) -> Pair:
    """Inputs in the plan's input number, targets as the plan needs them."""
    x = input_numbers(source, samples, plan, notes)
    if plan.finds_anomalies:
        return x, read_inputs(plan, x)
    return x, samples.y if samples.y.dtype.kind == "i" else _float32(source, samples.y)


def _float32(source: str, values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest float32."""
    with np.errstate(over="ignore"):
        made = values.astype("<f4")
    if not np.isfinite(made).all():
        raise DataError(f"{source} holds numbers beyond float32 (infinity there)", "divide that column first")
    return made


def input_numbers(source: str, samples: Samples, plan: Plan, notes: list[str]) -> np.ndarray:
    """(n, in_features) in the plan's input number; whole numbers that it cannot hold are refused, never clipped."""
    values = samples.x
    if samples.normalised:
        values = (values - plan.input_offset) / plan.input_scale
    if plan.input_number == Number.float32:
        return _float32(source, values)
    kind = np.iinfo(DTYPES[plan.input_number])
    if samples.normalised:
        return _rounded(source, values, plan, notes)
    if not len(values):
        return values.astype(DTYPES[plan.input_number])
    if values.min() < kind.min or values.max() > kind.max or (values.dtype.kind == "f" and (values % 1 != 0).any()):
        found = f"{values.min():.6g} to {values.max():.6g}"
        raise DataError(
            f"{source} is not all whole numbers {kind.min} to {kind.max} (it holds {found}), as the model's {plan.input_number.name} inputs require",
            f"scale them to whole numbers {kind.min} to {kind.max}, or export with --input float32",
        )
    return values.astype(DTYPES[plan.input_number])


def _rounded(source: str, values: np.ndarray, plan: Plan, notes: list[str]) -> np.ndarray:
    """Normalised numbers as the nearest integers; what lies beyond their range is cut off, and said."""
    kind = np.iinfo(DTYPES[plan.input_number])
    whole = np.rint(values)
    beyond = int(((whole < kind.min) | (whole > kind.max)).sum())
    if beyond:
        widest = kind.max * plan.input_scale
        notes.append(
            f"{source}: {beyond} of {whole.size} numbers lie beyond {widest:.3g} deviations and were cut off there"
        )
    return np.clip(whole, kind.min, kind.max).astype(DTYPES[plan.input_number])
