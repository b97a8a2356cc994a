"""What drivers over rows are made of: the names that stand for something in their text."""

import math

import numpy as np

from l2o_engine.backends.compiled import functions
from l2o_engine.backends.compiled.jit import as_function
from l2o_engine.backends.compiled.vectors import GATES, Target
from l2o_engine.backends.coordinatewise.kernel import crossings, dense, lines, signals, subnormals

_ROWS = 64  # of a perceptron's matrix, whose derivatives one thread sums up at a time; `outer` takes them in pairs
_PATIENCE = 2_000  # looks of a thread for what others do before it goes: 1.2 ms, where nobody else wants the core


def operations(dtype: str) -> dict[str, object]:
    """Return what drivers over rows are made of, by name, for a float type."""
    target = Target.for_host(dtype)
    cells = "ws, kept, at, gates, z, n, c_prev, tanh_c, own, above, dc"
    outer = "out, ws, to, pitch, a, n, a_step, z, columns, z_step, steps"
    layer = "ws, w, at, below, n_below, own, n_own, c_prev, c, h"
    return {
        "np": np,
        "math": math,
        "FLOAT": np.float32 if dtype == "float32" else np.float64,
        "THE_DTYPE": np.dtype(dtype),
        "FLOAT_BYTES": np.dtype(dtype).itemsize,
        "GREATEST_POWER": int(np.finfo(dtype).maxexp) - 1,  # of two, that a number can hold
        "BLOCK": lines.block_of(target),
        "LANES": target.lanes,
        "WIDE": lines.columns_of(target),
        "HALF": lines.HALF,
        "GATES": GATES,
        "ROWS": _ROWS,
        "PATIENCE": _PATIENCE,
        "take": signals.take,
        "get": signals.get,
        "put": signals.put,
        "add": signals.add,
        "give_way": signals.give_way,
        "flush_subnormals": subnormals.flush_subnormals,
        "restore_subnormals": subnormals.restore_subnormals,
        "layer": as_function("layer", dense.make_layer(target), layer),
        "kept_layer": as_function("kept_layer", dense.make_layer(target, keeps=True), f"{layer}, z"),
        "taped_layer": as_function("taped_layer", dense.make_layer(target, tapes=True), f"{layer}, z, tanh_c"),
        "recall": as_function("recall", dense.make_recall(target), "ws, kept, gates, n, c_prev, c, h, tanh_c"),
        "product": as_function("product", dense.make_product(target), "ws, w, at, a, n, out, columns"),
        "fetching_product": as_function(
            "fetching_product",
            dense.make_product(target, fetches=True),
            "ws, w, kept, at, a, n, out, columns, near, done, rate",
        ),
        "output": as_function("output", dense.make_output(target), "ws, w, at, h, n, y"),
        "cells_back": as_function("cells_back", dense.make_cells_back(target, top=False), cells),
        "cells_back_top": as_function("cells_back_top", dense.make_cells_back(target, top=True), cells),
        "rows_to_lines": as_function(
            "rows_to_lines", crossings.make_transposition(target, into_lines=True), "ws, values, to, at, n"
        ),
        "lines_to_rows": as_function(
            "lines_to_rows", crossings.make_transposition(target, into_lines=False), "ws, values, to, at, n"
        ),
        "copy_lines": as_function("copy_lines", crossings.make_copy(target), "ws, values, to, at, n"),
        "clear_lines": as_function("clear_lines", crossings.make_clear(target), "ws, at, n"),
        "load_scaled": as_function("load_scaled", crossings.make_scaled_load(target), "ws, values, to, at, factor"),
        "put_scaled": as_function("put_scaled", crossings.make_scaled(target), "ws, values, factor, at, to"),
        "move_points": as_function("move_points", crossings.make_moved(target), "points, outputs, here, there, at, n"),
        "load_pixels": as_function(
            "load_pixels", crossings.make_images(target), "ws, pixels, chosen, to, first, count, n, white"
        ),
        "encode": as_function(
            "encode", crossings.make_log_and_sign(target), "gradients, settings, seen, at, to, apart, n"
        ),
        "elu": as_function("elu", dense.make_elu(target), "ws, a, n"),
        "sigmoid": as_function("sigmoid", dense.make_activation(target, functions.sigmoid), "ws, a, n"),
        "tanh": as_function("tanh", dense.make_activation(target, functions.fast_tanh), "ws, a, n"),
        "largest": as_function("largest", dense.make_largest(target), "ws, at, n, out"),
        "add_lines": as_function("add_lines", dense.make_sum(target), "ws, at, n, out"),
        "elu_back": as_function("elu_back", dense.make_elu_back(target), "ws, out, d, n"),
        "outer": as_function("outer", dense.make_outer(target), outer),
        "outer_and_sums": as_function("outer_and_sums", dense.make_outer(target, biases=True), f"{outer}, bias"),
    }
