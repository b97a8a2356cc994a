"""The kernel of rows, which are the coordinates of all optimizees: what of it is called, and what it is made of.

Rows do not know of one another, so they are taken in blocks (lines.py). :func:`~.stages.follow` goes forward, through
the steps of an LSTM (lstm.py) and the gradients of perceptrons (perceptron.py); :func:`~.lstm.differentiate` goes back.

Several threads may be inside at once, for none holds the interpreter: each takes a *chunk* of rows after another. What
a chunk's rows add to the weight gradients has a place of its own, in float64, whoever computes it, and chunks are added
up in pairs that are always the same, so the sum is the same to the last bit for any number of threads.

Sizes are arguments, so one kernel a float type does for every network. The source text of drivers is put into a
generated module (see compile.py), with the names that :func:`bind` makes: they may use no others. Names in capitals are
constants, and names such as `layer` functions (operations.py).
"""

from typing import Any

from numba import types

from l2o_engine.backends.compiled.jit import make_symbols_unique
from l2o_engine.backends.compiled.sources import sources_of
from l2o_engine.backends.coordinatewise.kernel import lstm, perceptron, stages
from l2o_engine.backends.coordinatewise.kernel.operations import operations
from l2o_engine.backends.coordinatewise.spec import RowsSpec

SOURCES = sources_of(__file__)
VERSIONS = ""
SHAPE = RowsSpec


def log_and_sign(gradients, settings, inputs):
    """Fill in what the network sees, [2, rows], of gradients [rows]; settings are k, e^k and ε of these inputs."""
    n = gradients.shape[0]
    encode(gradients, settings, inputs, 0, 0, n, n)


DRIVER = (*lstm.DRIVER, *perceptron.DRIVER, *stages.DRIVER, log_and_sign)
ENTRIES = ("follow", "differentiate", "load_state", "save_state", "log_and_sign")
INLINED = (
    "learn_parts", "step_chunks", "see", "move", "learn_block", "sum_up", "pack_perceptron", "end_loss", "classify",
    "load_images",
)  # fmt: skip


def bind(spec: RowsSpec) -> dict[str, object]:
    """Return every name the drivers use."""
    names = operations(spec.dtype)
    make_symbols_unique(names.values(), spec)
    return names


def signatures(spec: RowsSpec) -> dict[str, Any]:
    """Return the one type signature of each entry, given up front: it is compiled, or loaded, when it is made."""
    real, integer, double, byte = getattr(types, spec.dtype), types.int64, types.float64, types.uint8

    def array(kind: Any, dimensions: int) -> Any:
        return types.Array(kind, dimensions, "C")

    rows = _named(
        lstm.Rows,
        weights=array(real, 1),
        places=array(integer, 1),
        tape=array(real, 3),
        outputs=array(real, 2),
        arena=array(real, 1),
        settings=array(real, 1),
        **dict.fromkeys(("own", "state", "kept", "layers", "hidden", "projection", "chunk"), integer),
        scale=array(real, 1),
    )
    desk = _named(
        perceptron.Desk,
        points=array(real, 2),
        chosen=array(integer, 2),
        images=array(byte, 2),
        labels=array(byte, 1),
        sizes=array(integer, 1),
        kinds=array(integer, 1),
        packed=array(real, 1),
        lines=array(real, 1),
        sums=array(double, 1),
        partial=array(double, 1),
        losses=array(real, 1),
        gradients=array(real, 2),
    )
    board = _named(stages.Board, agenda=array(integer, 1), counters=array(integer, 2), announced=array(integer, 1))
    return {
        "follow": integer(rows, desk, board, integer, integer, integer),
        "differentiate": types.void(rows, *([array(real, 2)] * 3), array(double, 2), array(integer, 1)),
        "load_state": types.void(array(real, 1), integer, integer, integer, array(real, 2)),
        "save_state": types.void(array(real, 1), integer, integer, array(real, 2)),
        "log_and_sign": types.void(array(real, 1), array(real, 1), array(real, 2)),
    }


def _named(kind: Any, **fields: Any) -> Any:
    """Return the type of a named tuple whose fields are of these types."""
    return types.NamedTuple([fields[name] for name in kind._fields], kind)
