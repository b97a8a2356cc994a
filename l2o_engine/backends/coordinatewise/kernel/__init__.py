"""The kernel of rows: what it is made of (lines, signals, subnormals), its drivers, and what of it is called.

``lines.py`` has the dense operations, as LLVM vector code, and ``operations.py`` names them; ``lstm.py``,
``perceptron.py`` and ``stages.py`` are drivers, whose source text becomes a module of its own; ``entries.py`` is the
module that a spec names.
"""
