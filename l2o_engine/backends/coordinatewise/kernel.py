"""Two compiled functions: a step forward of an LSTM for all rows, and the way back through a truncation's steps.

Rows, the coordinates of all optimizees, do not know of one another, so they are taken in blocks, and what a block
needs stays in the cache. :func:`step` goes forward; of it only the network's inputs are kept. :func:`differentiate`
computes a block's steps again from these and from the state at the truncation's beginning, goes back through them at
once, and multiplies what it has found into weight gradients. Where there is room for the activated gates of all steps,
:func:`follow` writes them past the caches, and of a step only the cells are computed again.

Several threads may be inside at once, for none holds the interpreter: each takes a *chunk* of rows after another. What
a chunk's rows add to the weight gradients has a place of its own, in float64, whoever computes it, so that the sums are
the same to the last bit for any number of threads.

Sizes are arguments, so one kernel a float type does for every network; see lines.py.
"""

from functools import partial
from typing import Any

import numpy as np
from numba import types

from l2o_engine.backends.compiled.jit import as_function, make_symbols_unique
from l2o_engine.backends.compiled.sources import sources_of
from l2o_engine.backends.compiled.vectors import Target
from l2o_engine.backends.coordinatewise import lines, perceptron
from l2o_engine.backends.coordinatewise.spec import RowsSpec

SOURCES = sources_of(__file__)
VERSIONS = ""
_ROWS = 64  # of a perceptron's matrix, whose derivatives one thread sums up at a time: an even number
SHAPE = RowsSpec

# ----------------------------------------------------------------------------------------------------------------------
# The driver. Names in capitals are constants, and names such as `layer` functions, that `bind` makes. The source text
# of these functions is put into a generated module (see compile.py): they may use no name that `bind` lacks.
# ----------------------------------------------------------------------------------------------------------------------


def new_workspace(size):
    """Return a flat array of zeros that begins on a 64-byte boundary."""
    raw = np.zeros(size + 64 // FLOAT_BYTES, THE_DTYPE)
    return raw[(-raw.ctypes.data % 64) // FLOAT_BYTES :]


def load_inputs(ws, to, inputs, row, width):
    """Put a block's inputs, [width, rows] from a row on, into lines."""
    for k in range(width):
        for r in range(BLOCK):
            ws[to + k * BLOCK + r] = inputs[k, row + r]


def log_and_sign(gradients, settings, inputs):
    """Fill in what the network sees, [2, rows], of gradients [rows]; settings are k, e^k and ε of these inputs."""
    encode(gradients, settings, inputs, gradients.shape[0])


def rounds(columns, n):
    """Return how many lines a product of n lines for so many columns reads, tile by tile."""
    return (columns + WIDE - 1) // WIDE * n


def step_chunks(
    weights, places, inputs, arena, before, after, scratch, kept, apart, outputs, counter, layers, hidden, width,
    projection, chunk, scale,
):  # fmt: skip
    """Take one step for the chunks of rows that this thread comes to; return how many these were.

    Parameters
    ----------
    weights, places
        Packed, and where what begins; see `pack.py`.
    inputs
        [width, rows]: what the network sees; rows are a multiple of a block's.
    arena, before, after, scratch
        A flat workspace, and where in it lie the state before and the one after, each [blocks, layers, 2, lines,
        block], outputs and cells of each layer; and `scratch_size` numbers of this thread's own.
    kept, apart
        Where in it the gates of the first block are to be kept, [layers, 4·hidden, block], and how far from them those
        of the next; kept is -1 where none are.
    outputs
        [rows]: filled.
    counter
        [1], int64: the next chunk to be taken.
    layers, hidden, width, projection
        Sizes; what stands before the first layer: 0 nothing, 1 a linear map, 2 one with an ELU.
    chunk
        Rows of a chunk, a multiple of a block's.
    scale
        What the network's outputs are multiplied with.
    """
    rows = inputs.shape[1]
    padded = (hidden + 3) // 4 * 4
    part = padded * BLOCK  # numbers of the lines of a layer's outputs, or cells
    size = 2 * layers * part  # of a block's state
    u = scratch
    first_input = u + width * BLOCK
    y = first_input + part
    gates = 4 * hidden * BLOCK
    factor = FLOAT(scale)
    done = 0
    while True:
        row = take(counter) * chunk
        if row >= rows:
            return done
        done += 1
        for at in range(row, min(row + chunk, rows), BLOCK):
            load_inputs(arena, u, inputs, at, width)
            below, n_below = u, width
            if projection > 0:
                product(arena, weights, places[0], u, width, first_input, padded)
                if projection > 1:
                    elu(arena, weights, first_input, hidden)
                below, n_below = first_input, hidden
            for k in range(layers):
                own = before + at // BLOCK * size + 2 * k * part
                new = after + at // BLOCK * size + 2 * k * part
                if kept < 0:
                    layer(arena, weights, places[2 + 2 * k], below, n_below, own, hidden, own + part, new + part, new)
                else:
                    kept_layer(
                        arena, weights, places[2 + 2 * k], below, n_below, own, hidden, own + part, new + part, new,
                        kept + at // BLOCK * apart + k * gates,
                    )  # fmt: skip
                below, n_below = new, hidden
            output(arena, weights, places[1], below, hidden, y)
            for r in range(BLOCK):
                outputs[at + r] = factor * arena[y + r]


def step(
    weights, places, inputs, arena, before, after, scratch, outputs, counter, layers, hidden, width, projection, chunk,
    scale,
):  # fmt: skip
    """Take one step for the chunks of rows that this thread comes to: see `step_chunks`; no gates are kept."""
    step_chunks(
        weights, places, inputs, arena, before, after, scratch, -1, 0, outputs, counter, layers, hidden, width,
        projection, chunk, scale,
    )  # fmt: skip


def learn_parts(desk, k, sums, counter):
    """Do the parts of a network's images, or of the sums over these, that this thread comes to; return how many."""
    parts, done = parts_of(desk, sums), 0
    while True:
        part = take(counter)
        if part >= parts:
            return done
        done += 1
        if sums:
            sum_up(desk, k, part)
        else:
            learn_block(desk, k, part)


def follow(
    weights, places, tape, arena, state, scratch, kept, outputs, desk, agenda, counters, board, first, leads, patience,
    layers, hidden, width, projection, chunk, scale,
):  # fmt: skip
    """Do one stage of an unroll after another, as soon as it is announced, as far as this thread comes to its parts.

    A thread that sleeps from stage to stage is woken too late, so it looks again and again, but lets others have the
    core meanwhile. None is needed: a stage is over once all its parts are done, whoever did them.

    Parameters
    ----------
    weights, places, arena, scratch, layers, hidden, width, projection, chunk, scale
        As in `step_chunks`.
    tape, outputs
        [steps, width, rows] and [steps, rows]: `inputs` and `outputs` of each step.
    state
        Numbers of the state of all rows: the first lies at the arena's beginning, the others in turn in the two places
        behind it.
    kept
        Where in the arena the gates of all steps are to be kept, [blocks, steps, layers, 4·hidden, block]; -1 if not.
    desk
        See `perceptron.py`.
    agenda
        [stages], int64: what each is. A step t of the network, in chunks: t; a perceptron k's way through its images
        and back, in blocks of these: -2k - 1; the sums of that over the blocks, in rows of weights: -2k - 2.
    counters, board
        [2, stages], int64, 0 before: the next part of each stage to be taken, and how many are done; [1], int64: how
        many stages are announced, -1 where there will be no other.
    first, leads
        The stage to begin with; how many of them this thread announces, each when the one before is done, and then
        returns; 0 if it is another that does.
    patience
        How many times it looks for what another announces before it returns.
    """
    steps, stages = tape.shape[0], agenda.shape[0]
    gates = 4 * hidden * layers * BLOCK  # numbers of a block's gates at a step
    for stage in range(first, first + leads if leads > 0 else stages):
        if leads > 0:
            if agenda[stage] < 0 and agenda[stage] % 2 == 1:
                pack_perceptron(desk, (-1 - agenda[stage]) // 2)
            put(board, 0, stage + 1)
        looks = 0
        announced = get(board, 0)
        while 0 <= announced <= stage:
            if looks >= patience:
                return
            looks += 1
            give_way()
            announced = get(board, 0)
        if announced < 0:
            return
        t = agenda[stage]
        counter = counters[0, stage : stage + 1]
        if t >= 0:
            parts = (tape.shape[2] + chunk - 1) // chunk
            before, after = (1 + (t - 1) % 2 if t > 0 else 0) * state, (1 + t % 2) * state
            done = step_chunks(
                weights, places, tape[t], arena, before, after, scratch, kept + t * gates if kept >= 0 else -1,
                steps * gates, outputs[t], counter, layers, hidden, width, projection, chunk, scale,
            )  # fmt: skip
        else:
            sums = t % 2 == 0
            parts = parts_of(desk, sums)
            done = learn_parts(desk, (-1 - t) // 2, sums, counter)
        add(counters, stages + stage, done)
        if leads > 0:
            while get(counters, stages + stage) < parts:
                give_way()
            if t < 0 and t % 2 == 1:
                end_loss(desk, (-1 - t) // 2)


def differentiate(
    weights, places, tape, arena, start, kept, slopes, sums, counter, layers, hidden, projection, chunk
):  # fmt: skip
    """Go back through all steps for the chunks of rows that this thread comes to.

    Parameters
    ----------
    weights, places, counter, layers, hidden, projection, chunk
        As in `step_chunks`.
    tape
        [steps, width, rows]: what the network saw.
    arena, start
        As `arena` and `before` in `step_chunks`, at the first step.
    kept
        As in `follow`.
    slopes
        [steps, rows]: the objective's derivative by each output.
    sums
        [chunks, size]: filled with each chunk's weight gradients, packed as `pack.py` says.
    """
    steps, width, rows = tape.shape
    padded = (hidden + 3) // 4 * 4
    part = padded * BLOCK
    size = 2 * layers * part
    gates = 4 * hidden * BLOCK
    # Of the derivatives by the gates, a tile of columns is read at all steps: an odd number of tiles apart, they do not
    # fall upon the same few places of the first cache.
    apart = (4 * hidden + WIDE - 1) // WIDE
    apart = (apart + 1 - apart % 2) * WIDE * BLOCK
    n_first = hidden if projection > 0 else width
    # Tapes of a block: [steps, lines] each, outputs and cells with one step more.
    u = 0
    dy = u + steps * width * BLOCK
    one = dy + steps * BLOCK
    projected = one + BLOCK
    d_projected = projected + (steps * part if projection > 0 else 0)
    h = d_projected + (steps * part if projection > 0 else 0)
    c = h + layers * (steps + 1) * part
    tanh_c = c + layers * (steps + 1) * part
    z = tanh_c + layers * steps * part
    dc = z + layers * steps * apart
    back = dc + layers * part  # a layer's derivatives by its previous outputs, then by its inputs
    back_size = 2 * part + 4 * BLOCK
    outputs = back + layers * back_size  # the output's weights
    ws = new_workspace(outputs + hidden)
    ws[one : one + BLOCK] = FLOAT(1)
    ws[outputs : outputs + hidden] = weights[places[1] + 1 : places[1] + 1 + hidden]
    # While a block goes back, the gates of the next are brought near, so many vectors to 256 lines that it multiplies.
    turns = 0
    for k in range(layers):
        turns += rounds(2 * padded if k > 0 or projection > 0 else padded, 4 * hidden)
    rate = (layers * gates // LANES * 256 + turns - 1) // turns if kept >= 0 else 0
    # Derivatives decay on their way back; those that become subnormal add nothing, and take a hundred times as long.
    before = flush_subnormals()
    while True:
        taken = take(counter)
        row = taken * chunk
        if row >= rows:
            restore_subnormals(before)
            return
        into = sums[taken]
        into[:] = 0.0
        for at in range(row, min(row + chunk, rows), BLOCK):
            # -- the block's steps again --
            begin = at // BLOCK * size
            for k in range(layers):
                from_h = start + begin + 2 * k * part
                to = k * (steps + 1) * part
                for m in range(part):
                    ws[h + to + m] = arena[from_h + m]
                    ws[c + to + m] = arena[from_h + part + m]
            for t in range(steps):
                load_inputs(ws, u + t * width * BLOCK, tape[t], at, width)
                for r in range(BLOCK):
                    ws[dy + t * BLOCK + r] = slopes[t, at + r]
            if projection > 0:
                for t in range(steps):
                    product(ws, weights, places[0], u + t * width * BLOCK, width, projected + t * part, padded)
                    if projection > 1:
                        elu(ws, weights, projected + t * part, hidden)
            for t in range(steps):
                below = projected + t * part if projection > 0 else u + t * width * BLOCK
                n_below = n_first
                for k in range(layers):
                    own = h + (k * (steps + 1) + t) * part
                    cell = c + (k * (steps + 1) + t) * part
                    flat = k * steps + t
                    if kept < 0:
                        taped_layer(
                            ws, weights, places[2 + 2 * k], below, n_below, own, hidden, cell, cell + part, own + part,
                            z + flat * apart, tanh_c + flat * part,
                        )  # fmt: skip
                    else:
                        recall(
                            ws, arena, kept + ((at // BLOCK * steps + t) * layers + k) * gates, hidden, cell,
                            cell + part, own + part, tanh_c + flat * part,
                        )  # fmt: skip
                    below, n_below = own + part, hidden
            # -- back through them --
            for k in range(dc, back + layers * back_size):
                ws[k] = FLOAT(0)
            after = at // BLOCK + 1 if at + BLOCK < min(row + chunk, rows) else get(counter, 0) * chunk // BLOCK
            near, done = max(kept, 0) + after * steps * layers * gates, 0
            for t in range(steps - 1, -1, -1):
                for k in range(layers - 1, -1, -1):
                    flat = k * steps + t
                    own_back = back + k * back_size
                    cell = c + (k * (steps + 1) + t) * part
                    known, known_at = ws, z + flat * apart
                    if kept >= 0:
                        known, known_at = arena, kept + ((at // BLOCK * steps + t) * layers + k) * gates
                    if k == layers - 1:
                        cells_back_top(
                            ws, known, outputs, known_at, z + flat * apart, hidden, cell, tanh_c + flat * part,
                            own_back, dy + t * BLOCK, dc + k * part,
                        )  # fmt: skip
                    else:
                        cells_back(
                            ws, known, 0, known_at, z + flat * apart, hidden, cell, tanh_c + flat * part, own_back,
                            back + (k + 1) * back_size + part, dc + k * part,
                        )  # fmt: skip
                    columns = 2 * padded if k > 0 or projection > 0 else padded
                    fetching_product(
                        ws, weights, arena, places[3 + 2 * k], z + flat * apart, 4 * hidden, own_back, columns, near,
                        done, rate,
                    )  # fmt: skip
                    done += rounds(columns, 4 * hidden)
                if projection > 0:
                    for m in range(part):
                        ws[d_projected + t * part + m] = ws[back + part + m]
                    if projection > 1:
                        elu_back(ws, weights, projected + t * part, d_projected + t * part, hidden)
            # -- weight gradients: one product over all steps and rows each --
            to = 0
            if projection > 0:
                outer(into, ws, to, padded, one, 1, 0, d_projected, padded, part, steps)
                outer(into, ws, to + padded, padded, u, width, width * BLOCK, d_projected, padded, part, steps)
                to += (1 + width) * padded
            last = h + (layers - 1) * (steps + 1) * part + part
            outer(into, ws, to + 4, padded, dy, 1, BLOCK, last, padded, part, steps)
            for k in range(dy, dy + steps * BLOCK):
                into[to] += ws[k]
            to += 4 + padded
            for k in range(layers):
                d = z + k * steps * apart
                own = h + k * (steps + 1) * part
                if k > 0:
                    a, n, a_step = own - (steps + 1) * part + part, hidden, part
                elif projection > 0:
                    a, n, a_step = projected, hidden, part
                else:
                    a, n, a_step = u, width, width * BLOCK
                pitch = 4 * hidden
                outer(into, ws, to, pitch, one, 1, 0, d, pitch, apart, steps)
                outer(into, ws, to + pitch, pitch, a, n, a_step, d, pitch, apart, steps)
                outer(into, ws, to + (1 + n) * pitch, pitch, own, hidden, part, d, pitch, apart, steps)
                to += (1 + n + hidden) * pitch


def operations(dtype: str) -> dict[str, object]:
    """Return what drivers over rows are made of, by name, for a float type."""
    target = Target.for_host(dtype)
    cells = "ws, kept, at, gates, z, n, c_prev, tanh_c, own, above, dc"
    layer = "ws, w, at, below, n_below, own, n_own, c_prev, c, h"
    return {
        "np": np,
        "FLOAT": np.float32 if dtype == "float32" else np.float64,
        "THE_DTYPE": np.dtype(dtype),
        "FLOAT_BYTES": np.dtype(dtype).itemsize,
        "BLOCK": lines.block_of(target),
        "LANES": target.lanes,
        "WIDE": lines.columns_of(target),
        "HALF": lines.HALF,
        "ROWS": _ROWS,
        "take": lines.take,
        "get": lines.get,
        "put": lines.put,
        "add": lines.add,
        "give_way": lines.give_way,
        "flush_subnormals": lines.flush_subnormals,
        "restore_subnormals": lines.restore_subnormals,
        "layer": as_function("layer", lines.make_layer(target), layer),
        "kept_layer": as_function("kept_layer", lines.make_layer(target, keeps=True), f"{layer}, z"),
        "taped_layer": as_function("taped_layer", lines.make_layer(target, tapes=True), f"{layer}, z, tanh_c"),
        "recall": as_function("recall", lines.make_recall(target), "ws, kept, gates, n, c_prev, c, h, tanh_c"),
        "product": as_function("product", lines.make_product(target), "ws, w, at, a, n, out, columns"),
        "fetching_product": as_function(
            "fetching_product",
            lines.make_product(target, fetches=True),
            "ws, w, kept, at, a, n, out, columns, near, done, rate",
        ),
        "output": as_function("output", lines.make_output(target), "ws, w, at, h, n, y"),
        "cells_back": as_function("cells_back", lines.make_cells_back(target, top=False), cells),
        "cells_back_top": as_function("cells_back_top", lines.make_cells_back(target, top=True), cells),
        "load_pixels": as_function(
            "load_pixels", lines.make_images(target), "ws, pixels, chosen, to, first, count, n, white"
        ),
        "encode": as_function("encode", lines.make_log_and_sign(target), "ws, w, out, n"),
        "elu": as_function("elu", lines.make_elu(target), "ws, w, a, n"),
        "sigmoid": as_function("sigmoid", lines.make_activation(target, "sigmoid"), "ws, w, a, n"),
        "tanh": as_function("tanh", lines.make_activation(target, "fast_tanh"), "ws, w, a, n"),
        "elu_back": as_function("elu_back", lines.make_elu_back(target), "ws, w, out, d, n"),
        "outer": as_function(
            "outer", lines.make_outer(target), "out, ws, to, pitch, a, n, a_step, z, columns, z_step, steps"
        ),
    }


def bind(spec: RowsSpec) -> dict[str, object]:
    """Return every name the driver uses."""
    names = operations(spec.dtype)
    make_symbols_unique(names.values(), spec)
    return names


DRIVER = (
    new_workspace,
    load_inputs,
    log_and_sign,
    rounds,
    step_chunks,
    step,
    *perceptron.DRIVER,
    learn_parts,
    follow,
    differentiate,
)
ENTRIES = ("step", "follow", "differentiate", "perceptrons", "log_and_sign")


def signatures(spec: RowsSpec) -> dict[str, Any]:
    """Return the one type signature of each entry, given up front: it is compiled, or loaded, when it is made."""
    real = getattr(types, spec.dtype)

    def array(kind: Any, dimensions: int) -> Any:
        return types.Array(kind, dimensions, "C")

    flat, places = array(real, 1), array(types.int64, 1)
    counter = places
    sizes = [types.int64] * 3
    pixels, doubles = partial(array, types.uint8), array(types.float64, 1)
    desk = types.NamedTuple(
        [
            array(real, 2), array(types.int64, 2), pixels(2), pixels(1), places, places, flat, flat, doubles,
            doubles, flat, array(real, 2),
        ],
        perceptron.Desk,
    )  # fmt: skip
    return {
        "step": types.void(
            flat, places, array(real, 2), flat, *sizes, flat, counter, *sizes, types.int64, types.int64, types.float64
        ),
        "follow": types.void(
            flat, places, array(real, 3), flat, *sizes, array(real, 2), desk, places, array(types.int64, 2), counter,
            *sizes, *sizes, types.int64, types.int64, types.float64,
        ),
        "differentiate": types.void(
            flat, places, array(real, 3), flat, types.int64, types.int64, array(real, 2), array(types.float64, 2),
            counter, *sizes, types.int64,
        ),
        "perceptrons": types.void(desk),
        "log_and_sign": types.void(flat, flat, array(real, 2)),
    }  # fmt: skip
