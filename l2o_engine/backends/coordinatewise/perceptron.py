"""A compiled function: the losses and gradients of perceptrons on minibatches of images.

Images take the place of rows (lines.py): of a block of images, a pixel of all of them is a line, then a unit, then a
logit. It is a driver of the kernel of rows (kernel.py), made of the same operations.
"""


def pack_matrix(packed, matrix, start, columns, n, to_column, to_line, bias):
    """Pack a matrix for `product`, tile by tile: so many columns of n numbers each, padded with columns of zeros.

    Its numbers lie to_column and to_line apart; the biases, one a column, where `bias` says, or are 0 if that is -1.
    """
    padded = (columns + HALF - 1) // HALF * HALF
    in_wide = padded // WIDE * WIDE
    packed[: padded * (n + 1)] = FLOAT(0)
    for column in range(columns):
        width = WIDE if column < in_wide else HALF
        first = column // width * width
        at = first * (n + 1) + column - first
        if bias >= 0:
            packed[at] = matrix[bias + column]
        for k in range(n):
            packed[at + (k + 1) * width] = matrix[start + column * to_column + k * to_line]


def load_images(ws, to, images, index, shades, first, count):
    """Put a block's images into lines, a pixel each; behind the last image stands the first again."""
    pixels = images.shape[1]
    for some in range(0, pixels, STRIP):  # whose lines stay in the cache while image after image is put into them
        for r in range(BLOCK):
            image = index[first + r] if first + r < count else index[0]
            for p in range(some, min(some + STRIP, pixels)):
                ws[to + p * BLOCK + r] = shades[images[image, p]]


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
        whole = FLOAT(0)
        for c in range(classes):
            power = np.exp(ws[at + c * BLOCK + r] - greatest)
            ws[at + c * BLOCK + r] = power
            whole += power
        total += np.log(whole) + off
        for c in range(classes):
            ws[at + c * BLOCK + r] /= whole
        ws[right] -= FLOAT(1)
        for c in range(classes):
            ws[at + c * BLOCK + r] /= FLOAT(count)
    return total


def activate(ws, weights, activation, at, n):
    """Make of n lines what the hidden units make of them: sigmoid, ReLU, tanh or ELU."""
    if activation == 0:
        sigmoid(ws, weights, at, n)
    elif activation == 1:
        for k in range(at, at + n * BLOCK):
            ws[k] = FLOAT(0) if ws[k] < FLOAT(0) else ws[k]  # what is no number stays so
    elif activation == 2:
        tanh(ws, weights, at, n)
    else:
        elu(ws, weights, at, n)


def activate_back(ws, activation, at, by, n):
    """Make of n lines of activations the derivatives by what they were made of, given those by them."""
    for k in range(n * BLOCK):
        value, slope = ws[at + k], ws[by + k]
        if activation == 0:
            slope *= value * (FLOAT(1) - value)
        elif activation == 1:
            slope *= FLOAT(1) if value > FLOAT(0) else FLOAT(0)
        elif activation == 2:
            slope *= FLOAT(1) - value * value
        else:
            slope *= min(value + FLOAT(1), FLOAT(1))
        ws[at + k] = slope


def perceptrons(
    points, index, images, labels, shades, sizes, activation, packed, ws, sums, losses, gradients
):  # fmt: skip
    """Fill in each network's mean cross-entropy on its images, and its gradient.

    Parameters
    ----------
    points
        [networks, size]: weights; each layer's matrix [inputs, outputs], then its biases.
    index, images, labels, shades
        [networks, n]: which images; [all, pixels] and [all], uint8; [256]: which number a pixel is.
    sizes, activation
        [layers + 1]: pixels, units, classes; the hidden units': 0 a sigmoid, 1 ReLU, 2 tanh, 3 ELU.
    packed, ws, sums
        For the matrix in use, for lines, and in float64 for a layer's derivatives: see `Gradients`.
    losses, gradients
        [networks] and [networks, size]: filled.
    """
    count, last = index.shape[1], sizes.shape[0] - 1
    blocks = (count + BLOCK - 1) // BLOCK
    for k in range(points.shape[0]):
        x, own, gradient = points[k], index[k], gradients[k]
        lines, start = 0, 0  # where the inputs of a layer lie, and its weights
        for block in range(blocks):
            size = (sizes[0] + HALF - 1) // HALF * HALF * BLOCK  # of a block's lines
            load_images(ws, block * size, images, own, shades, block * BLOCK, count)
        for layer in range(last):
            n, columns = sizes[layer], sizes[layer + 1]
            size, size_out = (n + HALF - 1) // HALF * HALF * BLOCK, (columns + HALF - 1) // HALF * HALF * BLOCK
            out = lines + blocks * size
            pack_matrix(packed, x, start, columns, n, 1, columns, start + n * columns)
            for block in range(blocks):
                at = out + block * size_out
                product(ws, packed, 0, lines + block * size, n, at, size_out // BLOCK)
                if layer < last - 1:
                    activate(ws, packed, activation, at, columns)
            lines, start = out, start + (n + 1) * columns
        total = 0.0
        size = (sizes[last] + HALF - 1) // HALF * HALF * BLOCK
        for block in range(blocks):
            total += classify(ws, lines + block * size, labels, own, sizes[last], block * BLOCK, count)
        losses[k] = total / count
        spare = lines + blocks * size
        for layer in range(last - 1, -1, -1):
            n, columns = sizes[layer], sizes[layer + 1]
            size, size_out = (n + HALF - 1) // HALF * HALF * BLOCK, (columns + HALF - 1) // HALF * HALF * BLOCK
            out, lines, start = lines, lines - blocks * size, start - (n + 1) * columns
            pitch = size_out // BLOCK
            sums[: n * pitch] = 0.0
            outer(sums, ws, 0, pitch, lines, n, size, out, pitch, size_out, blocks)
            for m in range(n):
                for c in range(columns):
                    gradient[start + m * columns + c] = sums[m * pitch + c]
            for c in range(columns):
                total = 0.0
                for block in range(blocks):
                    for r in range(BLOCK):
                        total += ws[out + block * size_out + c * BLOCK + r]
                gradient[start + n * columns + c] = total
            if layer > 0:
                pack_matrix(packed, x, start, n, columns, columns, 1, -1)
                for block in range(blocks):
                    product(ws, packed, 0, out + block * size_out, columns, spare, size // BLOCK)
                    activate_back(ws, activation, lines + block * size, spare, n)


DRIVER = (pack_matrix, load_images, classify, activate, activate_back, perceptrons)
