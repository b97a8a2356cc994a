"""Two compiled functions, a chunk of meta-iterations and the losses of a learned optimizer, without the interpreter.

:func:`meta_iterations` reads top to bottom like the algorithm: forward (:func:`unroll`), back-propagation, clip, Adam;
:func:`evaluate_losses` goes forward only. Both are compiled once for each Spec (spec.py), with its sizes as constants:
:func:`bind` makes the operations (simd.py) and pieces (pieces/) that they call by name.

Two savings, exact up to rounding, let them do less than a framework does:

1. The input projection 1 → hidden is linear, so layer 0 sees an affine function of one number a row. Its two weight
   matrices are multiplied once a meta-iteration (vectors p and q: gates = u·p + q), not once a step: layer 0 becomes an
   LSTM with one input, and a quarter of all arithmetic goes.
2. The network of the last base step would only move an x whose loss nobody records: steps - 1 of them are run.
"""

import math
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numba import types

from l2o_engine.backends.compiled.jit import as_function, inner, make_symbols_unique
from l2o_engine.backends.compiled.sources import sources_of
from l2o_engine.backends.compiled.vectors import Target, view
from l2o_engine.backends.fused import simd
from l2o_engine.backends.fused.pieces import SCRATCH, pieces_of
from l2o_engine.backends.fused.spec import Spec
from l2o_engine.tasks.formula import generate

# Of every module of this package but the one that only calls the kernel, and of those that make code of formulas.
SOURCES = sources_of(__file__, generate.__file__)
VERSIONS = version("sympy")  # which is not loaded: a kernel that is kept needs none
SHAPE = Spec


class Regions(NamedTuple):
    """Where the regions of the flat workspace begin, each on a 64-byte boundary, and its size, in elements.

    Tapes are of [layer, base step, row, …]. The network's inputs u and outputs y, x, its gradients g and its updates
    (step) are of [base step, row]; with a d before it, the objective's derivative by them.
    """

    hidden_tape: int
    cell_tape: int
    tanh_tape: int
    gate_tape: int
    own: int
    dcell: int
    above: int
    packed: int
    transposed: int
    w_out: int
    affine: int  # two rows of 4H: p and q
    d_affine: int
    bias: int
    one: int
    u: int
    y: int
    dy: int
    x: int
    g: int
    dg: int
    step: int
    dx: int
    d_input: int
    seen: int  # the gradients as the network sees them: with their noise, else g itself
    scratch: int
    size: int


# ----------------------------------------------------------------------------------------------------------------------
# The driver. Names in capitals are constants, and names such as `forward_top` functions, that `bind` makes. The source
# text of these functions is put into a generated module (see compile.py): they may use no name that `bind` lacks.
# ----------------------------------------------------------------------------------------------------------------------


def regions_of(steps):
    """Lay out the workspace for an unroll of so many base steps."""
    tape = -(-(steps * ROWS) // LANES) * LANES
    row = -(-ROWS // LANES) * LANES
    hidden_tape = 0
    cell_tape = hidden_tape + LAYERS * (steps + 1) * ROWS * HP
    tanh_tape = cell_tape + LAYERS * (steps + 1) * ROWS * HP
    gate_tape = tanh_tape + LAYERS * steps * ROWS * HP
    own = gate_tape + LAYERS * steps * ROWS * GP
    dcell = own + LAYERS * ROWS * HP
    above = dcell + LAYERS * ROWS * HP
    packed = above + ROWS * HP
    transposed = packed + LAYERS * PACKED_STRIDE
    w_out = transposed + LAYERS * TRANSPOSED_STRIDE
    affine = w_out + HP
    d_affine = affine + 2 * AFFINE
    bias = d_affine + 2 * AFFINE
    one = bias + AFFINE
    u = one + LANES
    g = u + 4 * tape
    seen = u + 7 * tape if NOISY else g
    dx = u + (8 if NOISY else 7) * tape
    d_input = dx + row
    scratch = d_input + row
    return Regions(
        hidden_tape=hidden_tape, cell_tape=cell_tape, tanh_tape=tanh_tape, gate_tape=gate_tape, own=own, dcell=dcell,
        above=above, packed=packed, transposed=transposed, w_out=w_out, affine=affine, d_affine=d_affine, bias=bias,
        one=one, u=u, y=u + tape, dy=u + 2 * tape, x=u + 3 * tape, g=g, dg=u + 5 * tape, step=u + 6 * tape,
        dx=dx, d_input=d_input, seen=seen, scratch=scratch, size=scratch + SCRATCH,
    )  # fmt: skip


def new_workspace(size):
    """Return a flat array of zeros that begins on a 64-byte boundary."""
    raw = np.zeros(size + 64 // FLOAT_BYTES, THE_DTYPE)
    return raw[(-raw.ctypes.data % 64) // FLOAT_BYTES :]


def pack_weights(theta, ws, at):
    """Put the weights into the order of the vector registers, for `unroll`."""
    fold_input_projection(theta, ws, at.affine)
    pack_first(ws, at.affine + AFFINE, ws, at.packed, 1)
    pack_first(ws, at.affine, ws, at.packed + GP, 1)
    pack_first(theta, K_FIRST + HIDDEN * 4 * HIDDEN, ws, at.packed + 2 * GP, HIDDEN)
    for layer in range(1, LAYERS):
        k = K_FIRST + layer * LAYER_STRIDE
        to = at.packed + layer * PACKED_STRIDE
        copy_bias(theta, k + 2 * HIDDEN * 4 * HIDDEN, ws, at.bias)
        pack_rest(ws, at.bias, ws, to, 1)
        pack_rest(theta, k, ws, to + GP, 2 * HIDDEN)
    for k in range(HIDDEN):
        ws[at.w_out + k] = theta[W_OUT + k]


def unroll(theta, ws, at, all_data, numbers, x0, it, steps, m0, r0, stays, losses):
    """Go forward through the base steps on batch `it`, and leave on the tapes what the way back needs.

    Parameters
    ----------
    theta, ws, at
        The weights, also packed in the workspace, and its regions.
    all_data, numbers, x0
        The problems' parameters, each behind them its gradients' noise, flat, so many numbers each; [n, batch, dims].
    steps, m0, r0
        Base steps; min_log and residual in the kernel's float type.
    stays
        Whether a coordinate whose gradient is exactly 0 stays where it is: in judging, not in training.
    losses
        [n, batch, steps]: losses[it] is filled.
    """
    hidden_stride = (steps + 1) * ROWS * HP
    tanh_stride = steps * ROWS * HP
    gate_stride = steps * ROWS * GP
    u, y, x, g, step, w_out = at.u, at.y, at.x, at.g, at.step, at.w_out
    seen = at.seen
    b_out = theta[W_OUT + HIDDEN]
    for b in range(BATCH):
        for d in range(DIMS):
            ws[x + b * DIMS + d] = x0[it, b, d]
    for t in range(steps):
        row = t * ROWS
        for b in range(BATCH):
            first = row + b * DIMS
            losses[it, b, t] = loss_and_gradient(
                view(all_data, (it * BATCH + b) * numbers, NUMBERS),
                view(ws, x + first, DIMS),
                view(ws, g + first, DIMS),
                view(ws, at.scratch, SCRATCH),
            )
        if NOISY:
            for r in range(ROWS):
                at_step = (it * BATCH + r // DIMS) * numbers + NUMBERS + t * DIMS
                ws[seen + row + r] = ws[g + row + r] + all_data[at_step + r % DIMS]
        if t == steps - 1:
            break
        before = row - ROWS if t > 0 else row
        for r in range(ROWS):
            ws[u + row + r] = encode(ws[seen + row + r], ws[seen + before + r], m0, r0)
            ws[y + row + r] = b_out
        # Loops of their own, for one operation more in the others would move the last bits of a training.
        if stays:  # 0/0 of inputs that flush subnormal numbers would be remembered for ever
            for r in range(ROWS):
                if ws[seen + row + r] == 0:
                    ws[u + row + r] = 0
        previous = HIDDEN if t > 0 else 0
        for layer in range(LAYERS):
            h = at.hidden_tape + layer * hidden_stride + row * HP
            c = at.cell_tape + layer * hidden_stride + row * HP
            z = at.gate_tape + layer * gate_stride + row * GP
            tc = at.tanh_tape + layer * tanh_stride + row * HP
            w = at.packed + layer * PACKED_STRIDE
            if layer == 0:
                forward_first(ws, z, c, c + ROWS * HP, tc, h, h + ROWS * HP, u + row, w, previous, y + row, w_out)
            else:
                below = h - hidden_stride + ROWS * HP
                if layer == LAYERS - 1:
                    forward_top(ws, z, c, c + ROWS * HP, tc, h, h + ROWS * HP, below, w, previous, y + row, w_out)
                else:
                    forward_middle(ws, z, c, c + ROWS * HP, tc, h, h + ROWS * HP, below, w, previous, y + row, w_out)
        for r in range(ROWS):
            delta = decode(ws[y + row + r], ws[seen + before + r], m0)
            ws[step + row + r] = delta
            ws[x + row + ROWS + r] = ws[x + row + r] + delta
        if stays:
            for r in range(ROWS):
                if ws[seen + row + r] == 0:
                    ws[step + row + r] = 0
                    ws[x + row + ROWS + r] = ws[x + row + r]


def meta_iterations(
    theta, m, v, min_log, powers, in_a_row, data, x0, steps,
    learning_rate, beta1, beta2, epsilon, gradient_mode, clip_norm, policy, max_non_finite, adaptation_rate,
    losses, objective, gradient_norm, non_finite, min_log_used, gradient, trace,
):  # fmt: skip
    """Run len(x0) meta-iterations, or fewer if the learner diverges.

    Parameters
    ----------
    theta, m, v
        [size]: weights and Adam's moments, updated in place.
    min_log, powers, in_a_row
        [1] float64, [2] float64, [1] int64: the rest of the learner, updated in place; as in ``Learner``.
    data, x0
        [n, batch, …], [n, batch, dims]: the drawn problems.
    steps … adaptation_rate
        The preset's settings, the four of Adam rounded to float32; modes by their codes above.
    losses, objective, gradient_norm, non_finite, min_log_used
        [n, batch, steps], [n] float64, [n] float64, [n] uint8, [n] float64: filled; as in ``Results``.
    gradient
        [size]: filled with the last meta-gradient; before clipping, if it is finite.
    trace
        [k, 4, steps * rows]: meta-iteration it fills place it % k with its x, gradients, inputs and updates; the last
        two lack the last step.

    Returns
    -------
    tuple
        How many meta-iterations were done, and whether the learner has diverged.
    """
    count = x0.shape[0]
    zero = FLOAT(0)
    at = regions_of(steps)
    ws = new_workspace(at.size)
    ws[at.one] = FLOAT(1)
    hidden_tape, gate_tape, own, dcell, above = at.hidden_tape, at.gate_tape, at.own, at.dcell, at.above
    transposed, w_out, d_affine, d_input = at.transposed, at.w_out, at.d_affine, at.d_input
    u, y, dy, x, g, dg, step, dx = at.u, at.y, at.dy, at.x, at.g, at.dg, at.step, at.dx
    seen = at.seen
    weights = np.empty(BATCH * steps, THE_DTYPE)  # d objective / d loss
    all_data, all_losses = data.reshape(-1), losses.reshape(-1)
    share = FLOAT(1.0 / BATCH)
    hidden_stride = (steps + 1) * ROWS * HP
    tanh_stride = steps * ROWS * HP
    gate_stride = steps * ROWS * GP
    moves = (steps - 1) * ROWS  # row-steps of the network that count

    for it in range(count):
        min_log_used[it] = min_log[0]
        m0 = FLOAT(min_log[0])
        r0 = FLOAT(residual_of(min_log[0]))

        # -- forward through the base steps --
        pack_weights(theta, ws, at)
        unroll(theta, ws, at, all_data, data.shape[2], x0, it, steps, m0, r0, False, losses)

        slot = it % trace.shape[0]
        for r in range(steps * ROWS):
            trace[slot, 0, r] = ws[x + r]
            trace[slot, 1, r] = ws[seen + r]
        for r in range(moves):
            trace[slot, 2, r] = ws[u + r]
            trace[slot, 3, r] = ws[step + r]

        # -- objective, and its derivative by every loss --
        total = zero
        for b in range(BATCH):
            mine = view(all_losses, (it * BATCH + b) * steps, steps)
            total += objective_value(mine)
            objective_gradient(mine, view(weights, b * steps, steps))
            for t in range(b * steps, (b + 1) * steps):
                weights[t] *= share
        total *= share
        objective[it] = total

        # -- back through the base steps --
        transpose_first_input(ws, at.affine, ws, transposed)
        transpose_first_own(theta, K_FIRST + HIDDEN * 4 * HIDDEN, ws, transposed)
        for layer in range(1, LAYERS):
            k = K_FIRST + layer * LAYER_STRIDE
            transpose_rest_input(theta, k, ws, transposed + layer * TRANSPOSED_STRIDE)
            transpose_rest_own(theta, k + HIDDEN * 4 * HIDDEN, ws, transposed + layer * TRANSPOSED_STRIDE)
        ws[own : own + LAYERS * ROWS * HP] = zero
        ws[dcell : dcell + LAYERS * ROWS * HP] = zero
        ws[dg : dg + steps * ROWS] = zero
        row = (steps - 1) * ROWS
        for r in range(ROWS):
            ws[dx + r] = weights[r // DIMS * steps + steps - 1] * ws[g + row + r]
        for t in range(steps - 2, -1, -1):
            row = t * ROWS
            before = row - ROWS if t > 0 else row
            for r in range(ROWS):
                do, dp = decode_vjp(ws[dx + r], ws[y + row + r], ws[seen + before + r], m0, ws[step + row + r])
                ws[dy + row + r] = do
                if SECOND_ORDER:
                    ws[dg + before + r] += dp
            for layer in range(LAYERS - 1, -1, -1):
                c = at.cell_tape + layer * hidden_stride + row * HP
                z = gate_tape + layer * gate_stride + row * GP
                tc = at.tanh_tape + layer * tanh_stride + row * HP
                kt = transposed + layer * TRANSPOSED_STRIDE
                o = own + layer * ROWS * HP
                dc = dcell + layer * ROWS * HP
                if layer == 0:
                    backward_first(ws, z, c, tc, dy + row if LAYERS == 1 else above, w_out, o, dc, kt, d_input)
                elif layer == LAYERS - 1:
                    backward_top(ws, z, c, tc, dy + row, w_out, o, dc, kt, above)
                else:
                    backward_middle(ws, z, c, tc, above, w_out, o, dc, kt, above)
            if SECOND_ORDER:
                for r in range(ROWS):
                    now, then = ws[seen + row + r], ws[seen + before + r]
                    dgr, dp = encode_vjp(ws[d_input + r], now, then, m0, r0, ws[u + row + r])
                    ws[dg + row + r] += dgr
                    ws[dg + before + r] += dp
                for b in range(BATCH):
                    first = row + b * DIMS
                    add_hessian_product(
                        view(all_data, (it * BATCH + b) * data.shape[2], NUMBERS),
                        view(ws, x + first, DIMS),
                        view(ws, dg + first, DIMS),
                        view(ws, dx + b * DIMS, DIMS),
                        view(ws, at.scratch, SCRATCH),
                    )
            for r in range(ROWS):
                ws[dx + r] += weights[r // DIMS * steps + t] * ws[g + row + r]

        # -- weight gradients: one product over all steps and rows each --
        later = moves - ROWS  # the first step's previous output is zero
        bias_update_first(ws, d_affine + AFFINE, ws, at.one, gate_tape, moves)
        rank_update_input(ws, d_affine, ws, u, gate_tape, moves)
        rank_update_own(
            gradient, K_FIRST + HIDDEN * 4 * HIDDEN, ws, hidden_tape + ROWS * HP, gate_tape + ROWS * GP, later
        )
        unfold_input_projection(theta, ws, d_affine, gradient)
        for layer in range(1, LAYERS):
            k = K_FIRST + layer * LAYER_STRIDE
            z = gate_tape + layer * gate_stride
            h = hidden_tape + layer * hidden_stride + ROWS * HP
            rank_update_own_rest(gradient, k, ws, h - hidden_stride, z, moves)
            rank_update_own_rest(gradient, k + HIDDEN * 4 * HIDDEN, ws, h, z + ROWS * GP, later)
            bias_update_rest(gradient, k + 2 * HIDDEN * 4 * HIDDEN, ws, at.one, z, moves)
        rank_update_output(gradient, W_OUT, ws, dy, hidden_tape + (LAYERS - 1) * hidden_stride + ROWS * HP, moves)
        d_bias = zero
        for r in range(moves):
            d_bias += ws[dy + r]
        gradient[W_OUT + HIDDEN] = d_bias

        # -- norm, policy, Adam --
        norm = math.sqrt(sum_of_squares(gradient))
        gradient_norm[it] = norm
        is_finite = math.isfinite(norm)
        bad = not is_finite
        for k in range(it * BATCH * steps, (it + 1) * BATCH * steps):
            bad = bad or not math.isfinite(all_losses[k])
        non_finite[it] = 1 if bad else 0
        in_a_row[0] = in_a_row[0] + 1 if bad else 0
        diverged = bad and (policy == 2 or (max_non_finite > 0 and in_a_row[0] > max_non_finite))
        if not diverged and not (bad and policy == 1):
            scale = 1.0
            if not is_finite:
                for k in range(gradient.size):
                    if gradient_mode != 0 or not math.isfinite(gradient[k]):
                        gradient[k] = zero
            elif gradient_mode == 1 and norm > clip_norm:
                scale = clip_norm / norm
            elif gradient_mode == 2 and norm > 0.0:
                scale = 1.0 / norm
                if scale > 1e30:  # near the end of float32: scale in float64 instead
                    for k in range(gradient.size):
                        gradient[k] = FLOAT(np.float64(gradient[k]) * scale)
                    scale = 1.0
            powers[0] = np.float64(np.float32(powers[0] * beta1))
            powers[1] = np.float64(np.float32(powers[1] * beta2))
            rate = learning_rate * math.sqrt(1.0 - powers[1]) / (1.0 - powers[0])
            adam(
                theta, m, v, gradient, FLOAT(scale), FLOAT(rate),
                FLOAT(beta1), FLOAT(1.0 - beta1), FLOAT(beta2), FLOAT(1.0 - beta2), FLOAT(epsilon),
            )  # fmt: skip
            diverged = not all_finite(theta)

        # -- adaptive min_log: a proposal that is not finite must not move it, or every later cast is NaN --
        if ADAPTIVE:
            row = (steps - 1) * ROWS
            before = row - ROWS
            least = np.inf
            for r in range(ROWS):
                s = np.float64(abs(signal(ws[seen + row + r], ws[seen + before + r])))
                if s < least or math.isnan(s):
                    least = s
            if not math.isnan(least):
                proposal = (1.0 - adaptation_rate) * min_log[0] + adaptation_rate * math.log(least + 1e-38)
                if math.isfinite(proposal) and proposal < min_log[0]:
                    min_log[0] = proposal
        if diverged:
            return it + 1, True
    return count, False


def evaluate_losses(theta, min_log, data, x0, steps, losses):
    """Only look: the losses of the learned optimizer as it is, of len(x0) batches; nothing but `losses` is changed.

    Parameters
    ----------
    theta, min_log
        [size], and a number: of the learner.
    data, x0, steps, losses
        As in `meta_iterations`.
    """
    at = regions_of(steps)
    ws = new_workspace(at.size)
    all_data = data.reshape(-1)
    m0 = FLOAT(min_log)
    r0 = FLOAT(residual_of(min_log))
    pack_weights(theta, ws, at)
    for it in range(x0.shape[0]):
        unroll(theta, ws, at, all_data, data.shape[2], x0, it, steps, m0, r0, True, losses)


# ----------------------------------------------------------------------------------------------------------------------
# Small operations around the driver: contiguous loops that LLVM vectorises as they stand.
# ----------------------------------------------------------------------------------------------------------------------

# Sums may be re-ordered and products fused; NaN and infinity keep their meaning ("nnan" and "ninf" are left out).
_loop = inner(fastmath={"contract", "reassoc", "nsz"})


@_loop
def sum_of_squares(a):
    """In float64: float32 squares of small gradients would underflow."""
    total = 0.0
    for k in range(a.size):
        x = np.float64(a[k])
        total += x * x
    return total


@_loop
def all_finite(a):
    """Whether no number is NaN or infinite: 0 times any other is 0."""
    zero = a[0] - a[0]
    for k in range(a.size):
        zero += a[k] * 0
    return zero == 0


@inner(fastmath={"contract"})
def adam(theta, m, v, g, scale, rate, beta1, rest1, beta2, rest2, epsilon):
    """TensorFlow 1's Adam, "epsilon hat" form, with the clipped gradient g * scale."""
    for k in range(theta.size):
        x = g[k] * scale
        a = beta1 * m[k] + rest1 * x
        b = beta2 * v[k] + rest2 * (x * x)
        m[k] = a
        v[k] = b
        theta[k] -= rate * a / (math.sqrt(b) + epsilon)


def bind(spec: Spec) -> dict[str, object]:
    """Every name the driver uses, for one Spec."""
    H, dtype = spec.hidden, spec.dtype
    target = Target.for_host(dtype)
    shape: dict[str, Any] = {"hidden": H, "rows": spec.rows, "target": target}
    first = simd.LayerShape(inputs=1, input_pitch=1, top=spec.layers == 1, **shape)
    rest = simd.LayerShape(inputs=H, input_pitch=first.hidden_pitch, top=False, **shape)
    top = simd.LayerShape(inputs=H, input_pitch=first.hidden_pitch, top=True, **shape)
    gates = first.gates
    lanes = target.lanes
    affine = simd.round_up(4 * H, lanes)
    forget_bias = (np.float32 if dtype == "float32" else np.float64)(spec.forget_bias)
    four_h, k_first = 4 * H, 2 * H
    inline = inner(fastmath={"contract", "reassoc", "nsz"})

    @inline
    def fold_input_projection(theta, ws, affine_at):
        """Make layer 0's vectors p = w_in K_x and q = b_in K_x + b (+ the forget bias): layer 0's gates are u p + q."""
        p, q = view(ws, affine_at, four_h), view(ws, affine_at + affine, four_h)
        for c in range(four_h):
            p[c] = 0
            q[c] = theta[k_first + 2 * H * four_h + c]
        for c in range(2 * H, 3 * H):
            q[c] += forget_bias
        for k in range(H):
            w, b = theta[k], theta[H + k]
            for c in range(four_h):
                p[c] += w * theta[k_first + k * four_h + c]
                q[c] += b * theta[k_first + k * four_h + c]

    @inline
    def unfold_input_projection(theta, ws, d_affine_at, gradient):
        """From the gradients of p and q to those of w_in, b_in, K_x and b."""
        dp, dq = view(ws, d_affine_at, four_h), view(ws, d_affine_at + affine, four_h)
        for k in range(H):
            w, b = theta[k], theta[H + k]
            dw = dp[0] * 0
            db = dw
            for c in range(four_h):
                dw += dp[c] * theta[k_first + k * four_h + c]
                db += dq[c] * theta[k_first + k * four_h + c]
            for c in range(four_h):
                gradient[k_first + k * four_h + c] = w * dp[c] + b * dq[c]
            gradient[k] = dw
            gradient[H + k] = db
        for c in range(four_h):
            gradient[k_first + 2 * H * four_h + c] = dq[c]

    @inline
    def copy_bias(theta, at, ws, to):
        for c in range(four_h):
            ws[to + c] = theta[at + c]
        for c in range(2 * H, 3 * H):
            ws[to + c] += forget_bias

    def forward(name, layer):
        return as_function(
            name, simd.make_forward(layer), "ws, z, c_prev, c, tanh_c, h_prev, h, a, w, n_prev, y, w_out"
        )

    def backward(name, layer):
        return as_function(name, simd.make_backward(layer), "ws, z, c_prev, tanh_c, above, w_out, own, dc, kt, below")

    def rank_update(name, layout, destination, rows, pitch, a_pitch):
        return as_function(
            name, simd.make_rank_update(layout, destination, rows, pitch, a_pitch, target), "out, o, ws, a, z, m"
        )

    gate_columns = {(gate, start): gate * H + start for gate, start in gates.at}
    own_update = rank_update("rank_update_own", gates, gate_columns, H, four_h, first.hidden_pitch)
    one_row = rank_update("rank_update_input", gates, gate_columns, 1, four_h, 1)
    bias_update = rank_update("bias_update", gates, gate_columns, 1, four_h, 0)
    outputs = simd.Layout([[(start, width) for start, width in first.tiles]], lanes)
    several = spec.layers > 1
    many = spec.layers > 2
    pack = as_function("pack", simd.make_pack(first), "source, s, ws, d, rows")
    forward_first, backward_first = forward("forward_first", first), backward("backward_first", first)
    forward_top = forward("forward_top", top) if several else forward_first
    backward_top = backward("backward_top", top) if several else backward_first
    transpose = "source, s, ws, d"
    transpose_first_input = as_function("transpose_first_input", simd.make_transpose(first, "below"), transpose)
    transpose_first_own = as_function("transpose_first_own", simd.make_transpose(first, "own"), transpose)
    real = np.float32 if dtype == "float32" else np.float64
    names = {
        "np": np,
        "math": math,
        "FLOAT": real,
        "THE_DTYPE": np.dtype(dtype),
        "FLOAT_BYTES": np.dtype(dtype).itemsize,
        "LANES": lanes,
        "BATCH": spec.batch,
        "DIMS": spec.dims,
        "ROWS": spec.rows,
        "HIDDEN": H,
        "LAYERS": spec.layers,
        "SECOND_ORDER": spec.second_derivatives,
        "NUMBERS": spec.problem.numbers,
        "NOISY": spec.noisy,
        "SCRATCH": SCRATCH * spec.dims,
        "ADAPTIVE": spec.adaptive,
        "HP": first.hidden_pitch,
        "GP": gates.pitch,
        "PACKED_STRIDE": (1 + 2 * max(H, 1)) * gates.pitch,
        "TRANSPOSED_STRIDE": gates.pitch * max(first.columns_back.pitch, rest.columns_back.pitch),
        "AFFINE": affine,
        "K_FIRST": k_first,
        "LAYER_STRIDE": 2 * H * four_h + four_h,
        "W_OUT": k_first + spec.layers * (2 * H * four_h + four_h),
        "fold_input_projection": fold_input_projection,
        "unfold_input_projection": unfold_input_projection,
        "copy_bias": copy_bias,
        "pack_first": pack,
        "pack_rest": pack,
        "transpose_first_input": transpose_first_input,
        "transpose_first_own": transpose_first_own,
        "transpose_rest_input": as_function("transpose_rest_input", simd.make_transpose(rest, "below"), transpose)
        if several
        else transpose_first_input,
        "transpose_rest_own": as_function("transpose_rest_own", simd.make_transpose(rest, "own"), transpose)
        if several
        else transpose_first_own,
        "forward_first": forward_first,
        "forward_top": forward_top,
        "forward_middle": forward("forward_middle", rest) if many else forward_top,
        "backward_first": backward_first,
        "backward_top": backward_top,
        "backward_middle": backward("backward_middle", rest) if many else backward_top,
        "rank_update_own": own_update,
        "rank_update_own_rest": own_update,
        "rank_update_input": one_row,
        "bias_update_first": bias_update,
        "bias_update_rest": bias_update,
        "rank_update_output": rank_update(
            "rank_update_output", outputs, {start: start for start, _ in first.tiles}, 1, H, 1
        ),
        "sum_of_squares": sum_of_squares,
        "all_finite": all_finite,
        "adam": adam,
        "view": view,
        "Regions": Regions,
    }
    names |= pieces_of(spec, real)
    make_symbols_unique(names.values(), spec)
    return names


# The functions of the generated module, and those of them that are called from outside.
DRIVER = (regions_of, new_workspace, pack_weights, unroll, meta_iterations, evaluate_losses)
ENTRIES = ("meta_iterations", "evaluate_losses")
INLINED: tuple[str, ...] = ()
FORWARD = ("evaluate_losses",)
"""The entries of a kernel that only looks, which is compiled in half the time."""


def signatures(spec: Spec) -> dict[str, Any]:
    """Return the one type signature of each entry, given up front: it is compiled, or loaded, when it is made."""
    real = getattr(types, spec.dtype)

    def array(kind: Any, dimensions: int) -> Any:
        return types.Array(kind, dimensions, "C")

    vector, drawn, doubles = array(real, 1), array(real, 3), array(types.float64, 1)
    return {
        "meta_iterations": types.Tuple([types.int64, types.boolean])(
            vector, vector, vector, doubles, doubles, array(types.int64, 1), drawn, drawn, types.int64,
            types.float64, types.float64, types.float64, types.float64, types.int64, types.float64, types.int64,
            types.int64, types.float64,
            drawn, doubles, doubles, array(types.uint8, 1), doubles, vector, drawn,
        ),
        "evaluate_losses": types.void(vector, types.float64, drawn, drawn, types.int64, drawn),
    }  # fmt: skip
