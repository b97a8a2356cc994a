"""An LSTM's steps forward, for all rows, and the way back through a truncation's steps.

Of a block's rows, what is needed stays in the cache. :func:`step_chunks` goes forward; of a step only the network's
inputs are kept. :func:`differentiate` computes a block's steps again from these and from the state at the truncation's
beginning, goes back through them at once, and multiplies what it has found into weight gradients. Where there is room
for the activated gates of all steps, the way forward writes them past the caches, and of a step only the cells are
computed again.

These are drivers of the kernel: see entries.py.
"""

from typing import NamedTuple

from l2o_engine.support.arrays import Floats, Integers


class Rows(NamedTuple):
    """An unroll of an LSTM for all rows: what one computes with, and in.

    Attributes
    ----------
    weights, places
        Packed, and where what begins; see `pack.py`.
    tape, outputs
        [steps, width, rows] and [steps, rows]: what the network sees at each step, and what it gives, which is filled.
        Rows are a multiple of a block's. Where nothing is kept, there is room for one step, and any number are taken.
    arena
        Flat: the state of all rows, [blocks, layers, 2, lines, block], outputs and cells of each layer, in three
        places, of which the first is where the unroll begins, the others are taken in turn; then `scratch_lines` of
        the pack for each thread; then the gates.
    settings
        Of inputs that are made here, of the gradients at the desk that the network moves the points of: see `encode`.
        Empty where what the network sees is given, and nothing is moved.
    own
        Rows that are somebody's; those behind them fill the last block.
    state, kept
        Numbers of a state; where in the arena the gates of all steps are, [blocks, steps, layers, 4·hidden, block], or
        -1 if they are not kept.
    layers, hidden, projection
        Sizes; what stands before the first layer: 0 nothing, 1 a linear map, 2 one with an ELU.
    chunk
        Rows that one thread takes at a time, a multiple of a block's.
    scale
        [1]: what the network's outputs are multiplied with.
    """

    weights: Floats
    places: Integers
    tape: Floats
    outputs: Floats
    arena: Floats
    settings: Floats
    own: int
    state: int
    kept: int
    layers: int
    hidden: int
    projection: int
    chunk: int
    scale: Floats


def new_workspace(size):
    """Return a flat array of zeros that begins on a 64-byte boundary."""
    raw = np.zeros(size + 64 // FLOAT_BYTES, THE_DTYPE)
    return raw[(-raw.ctypes.data % 64) // FLOAT_BYTES :]


def whole(n):
    """Return so many lines or columns, padded to whole narrow tiles."""
    return (n + HALF - 1) // HALF * HALF


def load_inputs(ws, to, tape, step, row):
    """Put a block's inputs, from a row on, into lines; tape is [steps, width, rows]."""
    width, count = tape.shape[1], tape.shape[2]
    for k in range(width):
        copy_lines(ws, tape, to + k * BLOCK, (step * width + k) * count + row, 1)


def rounds(columns, n):
    """Return how many lines a product of n lines for so many columns reads, tile by tile."""
    return (columns + WIDE - 1) // WIDE * n


def load_state(arena, to, apart, lines, values):
    """Put what rows [count, n] remember into lines, `apart` numbers from block to block.

    Lines behind the n-th, so many in all, and rows behind the last, are 0: whatever is computed there must be a number.
    """
    count, n = values.shape
    for row in range(0, count, BLOCK):
        at = to + row // BLOCK * apart
        if n >= LANES and row + BLOCK <= count:
            rows_to_lines(arena, values, at, row * n, n)
        else:
            for m in range(n):
                for r in range(BLOCK):
                    arena[at + m * BLOCK + r] = values[row + r, m] if row + r < count else FLOAT(0)
        for k in range(at + n * BLOCK, at + lines * BLOCK):
            arena[k] = FLOAT(0)


def save_state(arena, start, apart, values):
    """Fill in what rows [count, n] remember, which lies in lines, `apart` numbers from block to block."""
    count, n = values.shape
    for row in range(0, count, BLOCK):
        at = start + row // BLOCK * apart
        if n >= LANES and row + BLOCK <= count:
            lines_to_rows(arena, values, at, row * n, n)
        else:
            for m in range(n):
                for r in range(min(BLOCK, count - row)):
                    values[row + r, m] = arena[at + m * BLOCK + r]


def see(rows, desk, step, row, end):
    """Fill in what the network sees at a step, from a row on, of the gradients that were found at the desk."""
    width, padded = rows.tape.shape[1], rows.tape.shape[2]
    n = min(end, rows.own) - row
    encode(desk.gradients, rows.settings, rows.tape, step * rows.own + row, step * width * padded + row, padded, n)


def move(rows, desk, step, row, end):
    """Fill in where the points at the desk are after a step, from a row on."""
    here = step * rows.own + row
    at = step * rows.outputs.shape[1] + row
    move_points(desk.points, rows.outputs, here, here + rows.own, at, min(end, rows.own) - row)


def step_chunks(rows, desk, step, thread, counter):
    """Take one step for the chunks of rows that this thread comes to; return how many these were.

    Parameters
    ----------
    rows, desk
        See :class:`Rows`, and perceptron.py: the points and gradients of all steps where they are seen and moved here.
    step, thread
        Which step, and who takes it.
    counter
        [1], int64: the next chunk to be taken.
    """
    weights, places, arena, layers, hidden = rows.weights, rows.places, rows.arena, rows.layers, rows.hidden
    steps, width, count = rows.tape.shape
    step_outputs = step % steps * count
    padded = whole(hidden)
    part = padded * BLOCK  # numbers of the lines of a layer's outputs, or cells
    size = 2 * layers * part  # of a block's state
    before, after = (1 + (step - 1) % 2 if step > 0 else 0) * rows.state, (1 + step % 2) * rows.state
    u = 3 * rows.state + thread * (width + padded + 1) * BLOCK
    first_input = u + width * BLOCK
    y = first_input + part
    gates = GATES * hidden * BLOCK
    done = 0
    while True:
        row = take(counter) * rows.chunk
        if row >= count:
            return done
        done += 1
        end = min(row + rows.chunk, count)
        if rows.settings.shape[0] > 0:
            see(rows, desk, step, row, end)
        for at in range(row, end, BLOCK):
            load_inputs(arena, u, rows.tape, step % steps, at)
            below, n_below = u, width
            if rows.projection > 0:
                product(arena, weights, places[0], u, width, first_input, padded)
                if rows.projection > 1:
                    elu(arena, first_input, hidden)
                below, n_below = first_input, hidden
            for k in range(layers):
                own = before + at // BLOCK * size + 2 * k * part
                new = after + at // BLOCK * size + 2 * k * part
                if rows.kept < 0:
                    layer(arena, weights, places[2 + 2 * k], below, n_below, own, hidden, own + part, new + part, new)
                else:
                    kept_layer(
                        arena, weights, places[2 + 2 * k], below, n_below, own, hidden, own + part, new + part, new,
                        rows.kept + ((at // BLOCK * steps + step) * layers + k) * gates,
                    )  # fmt: skip
                below, n_below = new, hidden
            output(arena, weights, places[1], below, hidden, y)
            put_scaled(arena, rows.outputs, rows.scale, y, step_outputs + at)
        if rows.settings.shape[0] > 0:
            move(rows, desk, step, row, end)


def find_slopes(slopes, gradients, by_losses, later, row, end):
    """Fill in the objective's derivatives by what rows are moved by, from a row on, step by step from the last.

    Parameters
    ----------
    slopes, gradients, by_losses
        As in :func:`differentiate`.
    later
        At least as many numbers as rows, to compute in: λ, from the last update on.
    row, end
        Which rows; there are none behind the networks'.
    """
    networks, size = by_losses.shape[1], gradients.shape[1]
    sums = later[: end - row]
    sums[:] = FLOAT(0)
    for t in range(slopes.shape[0], 0, -1):
        into = slopes[t - 1, row:end]
        if t < by_losses.shape[0]:
            for k in range(row // size, (end - 1) // size + 1):
                first, last = max(row, k * size), min(end, (k + 1) * size)
                found, by_loss = into[first - row : last - row], by_losses[t, k]
                own = gradients[t * networks + k, first - k * size : last - k * size]
                for m in range(own.shape[0]):
                    found[m] = own[m] * by_loss
            for r in range(sums.shape[0]):  # by itself, so that it is rounded twice, as it is step by step
                sums[r] += into[r]
        for r in range(sums.shape[0]):
            into[r] = sums[r]


def power_for(greatest, scale):
    """Return by which power of two derivatives are multiplied, of which this is the greatest.

    It is 0 if that is 0 or infinite.

    It comes to about 2^24, or as far as one factor, which `scale` is part of, goes. The derivatives of a saturated
    optimizee are so small that, on their way back, they would be subnormal numbers, which are taken for 0; scaled,
    those that count are further from both ends.
    """
    if not 0.0 < greatest < np.inf:
        return 0
    return min(24 - math.frexp(greatest)[1], GREATEST_POWER - max(math.frexp(scale)[1], 0))


def add_up(sums, chunk, counters):
    """Add what a chunk has found to what its neighbours have, as far as these are done; the first has the sum of all.

    Chunks are added in pairs, these in pairs again, and so on, by the thread that is the second of both to be done. So
    it is always the same sum, whoever finds what.
    """
    chunks, apart = sums.shape[0], 1
    while apart < chunks:
        first = chunk // (2 * apart) * (2 * apart)
        second = first + apart
        if second < chunks:
            if take(counters[second : second + 1]) == 0:
                return
            into, other = sums[first], sums[second]
            for m in range(into.shape[0]):
                into[m] += other[m]
        apart *= 2


def differentiate(rows, slopes, gradients, by_losses, sums, counters):
    """Go back through steps, for the chunks of rows that this thread comes to.

    Parameters
    ----------
    rows
        See :class:`Rows`: all its steps have been taken, from the first state on.
    slopes
        [steps, rows]: the objective's derivative by each output. It is filled, but for rows that are nobody's, where
        the outputs are what the optimizees were moved by, and the next two say so.
    gradients, by_losses
        [losses · networks, size]: those of each loss at the points where it was found; [counted, networks]: the
        objective's derivatives by the losses, of which there may be fewer than there are. Of nothing, where slopes are
        given.
    sums
        [chunks, size]: the first is filled with the weight gradients, packed as `pack.py` says, once all threads are
        back; the others are each chunk's own, or sums of some.
    counters
        [chunks], int64, 0 before: the next chunk to be taken, then what :func:`add_up` counts.
    """
    weights, places, tape, arena, kept = rows.weights, rows.places, rows.tape, rows.arena, rows.kept
    layers, hidden, projection, chunk = rows.layers, rows.hidden, rows.projection, rows.chunk
    steps, width, count = tape.shape
    padded = whole(hidden)
    part = padded * BLOCK
    size = 2 * layers * part
    gates = GATES * hidden * BLOCK
    # Of the derivatives by the gates, a tile of columns is read at all steps: an odd number of tiles apart, they do not
    # fall upon the same few places of the first cache.
    apart = (GATES * hidden + WIDE - 1) // WIDE
    apart = (apart + 1 - apart % 2) * WIDE * BLOCK
    n_first = hidden if projection > 0 else width
    # Tapes of a block: [steps, lines] each, outputs and cells with one step more.
    u = 0
    dy = u + steps * width * BLOCK
    projected = dy + steps * BLOCK
    d_projected = projected + (steps * part if projection > 0 else 0)
    h = d_projected + (steps * part if projection > 0 else 0)
    c = h + layers * (steps + 1) * part
    tanh_c = c + layers * (steps + 1) * part
    z = tanh_c + layers * steps * part
    dc = z + layers * steps * apart
    back = dc + layers * part  # a layer's derivatives by its previous outputs, then by its inputs
    back_size = 2 * part
    total = back + layers * back_size  # a line of what is found of all steps
    outputs = total + BLOCK  # the output's weights
    factor = outputs + hidden
    ws = new_workspace(factor + 1)
    later = np.empty(chunk, THE_DTYPE)
    scale = rows.scale[0]
    for m in range(hidden):
        ws[outputs + m] = weights[places[1] + 1 + m]
    # While a block goes back, the gates of the next are brought near, so many vectors to 256 lines that it multiplies.
    turns = 0 if projection > 0 else -rounds(padded, GATES * hidden)  # the first step leaves one out
    for k in range(layers):
        turns += steps * rounds(2 * padded if k > 0 or projection > 0 else padded, GATES * hidden)
    rate = (steps * layers * gates // LANES * 256 + turns - 1) // max(turns, 1) if kept >= 0 else 0
    while True:
        taken = take(counters)
        row = taken * chunk
        if row >= count:
            return
        end = min(row + chunk, count)
        if gradients.shape[0] > 0:
            find_slopes(slopes, gradients, by_losses, later, row, min(end, rows.own))
        greatest = FLOAT(0)
        for at in range(row, end, BLOCK):
            for t in range(steps):
                copy_lines(ws, slopes, dy + t * BLOCK, t * count + at, 1)
            largest(ws, dy, steps, total)
            for r in range(BLOCK):
                greatest = max(greatest, ws[total + r])
        power = power_for(abs(float(scale)) * greatest, scale)
        ws[factor] = scale * math.ldexp(1.0, power)
        into = sums[taken]
        into[:] = 0.0
        for at in range(row, end, BLOCK):
            # -- the block's steps again --
            begin = at // BLOCK * size
            for k in range(layers):
                from_h = begin + 2 * k * part
                to = k * (steps + 1) * part
                copy_lines(ws, arena, h + to, from_h, padded)
                copy_lines(ws, arena, c + to, from_h + part, padded)
            for t in range(steps):
                load_inputs(ws, u + t * width * BLOCK, tape, t, at)
                load_scaled(ws, slopes, dy + t * BLOCK, t * count + at, factor)
            # From here on, derivatives that are subnormal add nothing, but take a hundred times as long.
            before = flush_subnormals()
            if projection > 0:
                for t in range(steps):
                    product(ws, weights, places[0], u + t * width * BLOCK, width, projected + t * part, padded)
                    if projection > 1:
                        elu(ws, projected + t * part, hidden)
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
            clear_lines(ws, dc, 3 * layers * padded)
            after = at // BLOCK + 1 if at + BLOCK < end else get(counters, 0) * chunk // BLOCK
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
                    if t == 0 and columns == padded:  # nobody asks for the derivatives by the first state
                        break
                    fetching_product(
                        ws, weights, arena, places[3 + 2 * k], z + flat * apart, GATES * hidden, own_back, columns,
                        near, done, rate,
                    )  # fmt: skip
                    done += rounds(columns, GATES * hidden)
                if projection > 0:
                    copy_lines(ws, ws, d_projected + t * part, back + part, padded)
                    if projection > 1:
                        elu_back(ws, projected + t * part, d_projected + t * part, hidden)
            # -- weight gradients: one product over all steps and rows each --
            to = 0
            if projection > 0:
                outer_and_sums(
                    into, ws, to + padded, padded, u, width, width * BLOCK, d_projected, padded, part, steps, to
                )
                to += (1 + width) * padded
            last = h + (layers - 1) * (steps + 1) * part + part
            outer(into, ws, to + HALF, padded, dy, 1, BLOCK, last, padded, part, steps)
            add_lines(ws, dy, steps, total)
            for r in range(BLOCK):
                into[to] += ws[total + r]
            to += HALF + padded
            for k in range(layers):
                d = z + k * steps * apart
                own = h + k * (steps + 1) * part
                if k > 0:
                    a, n, a_step = own - (steps + 1) * part + part, hidden, part
                elif projection > 0:
                    a, n, a_step = projected, hidden, part
                else:
                    a, n, a_step = u, width, width * BLOCK
                pitch = GATES * hidden
                outer_and_sums(into, ws, to + pitch, pitch, a, n, a_step, d, pitch, apart, steps, to)
                outer(into, ws, to + (1 + n) * pitch, pitch, own, hidden, part, d, pitch, apart, steps)
                to += (1 + n + hidden) * pitch
            restore_subnormals(before)
        # In two steps, for one factor could be subnormal.
        half, rest = math.ldexp(1.0, -(power // 2)), math.ldexp(1.0, power // 2 - power)
        for m in range(into.shape[0]):
            into[m] = into[m] * half * rest
        add_up(sums, taken, counters)


DRIVER = (
    new_workspace, whole, load_inputs, rounds, load_state, save_state, see, move, step_chunks, find_slopes,
    power_for, add_up, differentiate,
)  # fmt: skip
