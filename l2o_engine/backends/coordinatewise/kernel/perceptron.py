"""What the kernel computes of perceptrons: their losses and gradients on minibatches of images.

Images take the place of rows (lines.py): of a block of images, a pixel of all of them is a line, then a unit, then a
logit. First each block of images goes through all layers and back; then each few rows of the weights are given their
derivatives, summed over all blocks. Parts of either kind do not know of one another, so several threads can share them,
and whoever computes them, the result is the same.

These are drivers of the kernel: see entries.py.
"""

from typing import NamedTuple

from l2o_engine.support.arrays import Bytes, Doubles, Floats, Integers


class Desk(NamedTuple):
    """What perceptrons of one shape are computed in, on minibatches of one size.

    They are several networks; of an unroll that is taken at once, those of all steps, a step's one behind the other.

    Attributes
    ----------
    points, chosen
        Weights [networks, size], each layer's matrix [inputs, outputs], then its biases; and which images [networks,
        n], int64. They are given, but in an unroll the points behind the first step's, which are filled in.
    images, labels
        [all, pixels] and [all], uint8.
    sizes, kinds
        [layers + 1]: pixels, units, classes; [2]: the hidden units' activation: 0 a sigmoid, 1 ReLU, 2 tanh, 3 ELU; and
        what a white pixel is.
    packed, lines, sums, partial
        For one network's matrices, for its lines, and in float64 for its derivatives and the losses of each block.
    losses, gradients
        Found: [networks], the mean cross-entropy; [networks, size].
    """

    points: Floats
    chosen: Integers
    images: Bytes
    labels: Bytes
    sizes: Integers
    kinds: Integers
    packed: Floats
    lines: Floats
    sums: Doubles
    partial: Doubles
    losses: Floats
    gradients: Floats


def pack_matrix(packed, to, matrix, start, columns, n, to_column, to_line, bias):
    """Pack a matrix for `product`, tile by tile: so many columns of n numbers each, padded with columns of zeros.

    Its numbers lie to_column and to_line apart; the biases, one a column, where `bias` says, or are 0 if that is -1.
    """
    padded = whole(columns)
    first = 0
    while first < padded:
        width = WIDE if first < padded // WIDE * WIDE else HALF
        at = to + first * (n + 1)
        for c in range(width):
            packed[at + c] = matrix[bias + first + c] if bias >= 0 and first + c < columns else FLOAT(0)
        if to_column == 1 and width == WIDE and first + WIDE <= columns:  # most of them: whole vectors are moved
            for k in range(n):
                for c in range(WIDE):
                    packed[at + (k + 1) * WIDE + c] = matrix[start + k * to_line + first + c]
        elif to_column == 1 and width == HALF and first + HALF <= columns:
            for k in range(n):
                for c in range(HALF):
                    packed[at + (k + 1) * HALF + c] = matrix[start + k * to_line + first + c]
        else:
            for k in range(n):
                for c in range(width):
                    place = start + (first + c) * to_column + k * to_line
                    packed[at + (k + 1) * width + c] = matrix[place] if first + c < columns else FLOAT(0)
        first += width


def pack_perceptron(desk, k):
    """Pack a network's matrices: those of the way forward, from the first layer on, then back to the second."""
    sizes, packed = desk.sizes, desk.packed
    last = sizes.shape[0] - 1
    x, to, start = desk.points[k], 0, 0
    for layer in range(last):
        n, columns = sizes[layer], sizes[layer + 1]
        pack_matrix(packed, to, x, start, columns, n, 1, columns, start + n * columns)
        to += whole(columns) * (n + 1)
        start += (n + 1) * columns
    for layer in range(last - 1, 0, -1):
        n, columns = sizes[layer], sizes[layer + 1]
        start -= (n + 1) * columns
        pack_matrix(packed, to, x, start, n, columns, columns, 1, -1)
        to += whole(n) * (columns + 1)


def load_images(ws, to, images, index, white, first, count):
    """Put a block's images into lines, a pixel each; behind the last image stands the first again."""
    pixels = images.shape[1]
    if pixels % LANES == 0:
        load_pixels(ws, images, index, to, first, count, pixels, white)
        return
    for r in range(BLOCK):
        image = index[first + r] if first + r < count else index[0]
        for p in range(pixels):
            ws[to + p * BLOCK + r] = FLOAT(images[image, p]) / FLOAT(white)


def classify(ws, at, labels, index, classes, first, count):
    """Make of a block's logits the derivatives of the mean loss by them; return the sum of its images' losses.

    Behind the last image, derivatives are 0.
    """
    total = 0.0
    for r in range(BLOCK):
        if first + r >= count:
            for c in range(classes):
                ws[at + c * BLOCK + r] = FLOAT(0)
            continue
        greatest = ws[at + r]
        for c in range(1, classes):
            greatest = max(greatest, ws[at + c * BLOCK + r])
        right = at + int(labels[index[first + r]]) * BLOCK + r
        off = greatest - ws[right]
        powers = FLOAT(0)
        for c in range(classes):
            power = np.exp(ws[at + c * BLOCK + r] - greatest)
            ws[at + c * BLOCK + r] = power
            powers += power
        total += np.log(powers) + off
        for c in range(classes):
            ws[at + c * BLOCK + r] /= powers
        ws[right] -= FLOAT(1)
        for c in range(classes):
            ws[at + c * BLOCK + r] /= FLOAT(count)
    return total


def activate(ws, activation, at, n):
    """Make of n lines what the hidden units make of them: sigmoid, ReLU, tanh or ELU."""
    if activation == 0:
        sigmoid(ws, at, n)
    elif activation == 1:
        for k in range(at, at + n * BLOCK):
            ws[k] = FLOAT(0) if ws[k] < FLOAT(0) else ws[k]  # what is no number stays so
    elif activation == 2:
        tanh(ws, at, n)
    else:
        elu(ws, at, n)


def activate_back(ws, activation, at, by, n):
    """Make of n lines of derivatives by activations those by what these were made of."""
    if activation == 3:
        elu_back(ws, at, by, n)
        return
    for k in range(n * BLOCK):
        value, slope = ws[at + k], ws[by + k]
        if activation == 0:
            slope *= value * (FLOAT(1) - value)
        elif activation == 1:
            slope *= FLOAT(1) if value > FLOAT(0) else FLOAT(0)
        else:
            slope *= FLOAT(1) - value * value
        ws[by + k] = slope


def learn_block(desk, k, block):
    """Take a block of images through a network and back; fill in the sum of their losses."""
    sizes, packed, ws, own, activation = desk.sizes, desk.packed, desk.lines, desk.chosen[k], desk.kinds[0]
    last = sizes.shape[0] - 1
    count = own.shape[0]
    blocks = (count + BLOCK - 1) // BLOCK
    lines, to = 0, 0  # where the inputs of a layer lie, and its matrix
    size = whole(sizes[0]) * BLOCK  # of a block's lines
    load_images(ws, block * size, desk.images, own, desk.kinds[1], block * BLOCK, count)
    for layer in range(last):
        n, columns = sizes[layer], sizes[layer + 1]
        size, size_out = whole(n) * BLOCK, whole(columns) * BLOCK
        out = lines + blocks * size
        product(ws, packed, to, lines + block * size, n, out + block * size_out, size_out // BLOCK)
        if layer < last - 1:
            activate(ws, activation, out + block * size_out, columns)
        lines, to = out, to + size_out // BLOCK * (n + 1)
    size = whole(sizes[last]) * BLOCK
    desk.partial[block] = classify(ws, lines + block * size, desk.labels, own, sizes[last], block * BLOCK, count)
    slopes, spare = lines, lines + blocks * size  # by a layer's outputs, and by its inputs
    for layer in range(last - 1, 0, -1):
        n, columns = sizes[layer], sizes[layer + 1]
        size, size_out = whole(n) * BLOCK, whole(columns) * BLOCK
        lines -= blocks * size
        product(ws, packed, to, slopes + block * size_out, columns, spare + block * size, size // BLOCK)
        activate_back(ws, activation, lines + block * size, spare + block * size, n)
        slopes, spare, to = spare, spare + blocks * size, to + size // BLOCK * (columns + 1)


def sum_up(desk, k, part):
    """Fill in the gradient of a few rows of one of a network's matrices; of the first few, of the biases as well."""
    sizes, ws, sums, gradient = desk.sizes, desk.lines, desk.sums, desk.gradients[k]
    last = sizes.shape[0] - 1
    blocks = (desk.chosen.shape[1] + BLOCK - 1) // BLOCK
    lines, start, into, layer = 0, 0, 0, 0  # where the layer's inputs lie, its weights, and their derivatives
    while part >= (sizes[layer] + ROWS - 1) // ROWS:
        n, columns = sizes[layer], sizes[layer + 1]
        part -= (n + ROWS - 1) // ROWS
        lines += blocks * whole(n) * BLOCK
        start += (n + 1) * columns
        into += n * whole(columns)
        layer += 1
    n, columns = sizes[layer], sizes[layer + 1]
    size, pitch = whole(n) * BLOCK, whole(columns)
    slopes = lines + blocks * size  # those by the logits lie where these were, the others behind, the top layer's first
    for other in range(layer + 1, last):
        slopes += blocks * whole(sizes[other]) * BLOCK
    for other in range(layer + 2, last + 1):
        slopes += blocks * whole(sizes[other]) * BLOCK
    first = part * ROWS
    rows = min(ROWS, n - first)
    own = into + first * pitch
    sums[own : own + rows * pitch] = 0.0
    outer(sums, ws, own, pitch, lines + first * BLOCK, rows, size, slopes, pitch, pitch * BLOCK, blocks)
    for m in range(rows):
        for c in range(columns):
            gradient[start + (first + m) * columns + c] = sums[own + m * pitch + c]
    if first > 0:
        return
    for c in range(columns):
        total = 0.0
        for block in range(blocks):
            for r in range(BLOCK):
                total += ws[slopes + (block * pitch + c) * BLOCK + r]
        gradient[start + n * columns + c] = total


def parts_of(desk, sums):
    """Return how many parts there are of a network's images, or of the sums over these."""
    if not sums:
        return (desk.chosen.shape[1] + BLOCK - 1) // BLOCK
    parts = 0
    for layer in range(desk.sizes.shape[0] - 1):
        parts += (desk.sizes[layer] + ROWS - 1) // ROWS
    return parts


def end_loss(desk, k):
    """Fill in a network's mean loss, of which the blocks' sums are known."""
    total = 0.0
    for block in range(parts_of(desk, False)):
        total += desk.partial[block]
    desk.losses[k] = total / desk.chosen.shape[1]


DRIVER = (
    pack_matrix, pack_perceptron, load_images, classify, activate, activate_back, learn_block, sum_up, parts_of,
    end_loss,
)  # fmt: skip
