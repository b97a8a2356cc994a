"""The kernel of rows: what it is made of (lines, signals, subnormals), its drivers, and what of it is called.

``dense.py`` and ``crossings.py`` have the operations on lines, written as LLVM vector code with what ``lines.py`` knows
of these, and ``operations.py`` names them; ``lstm.py``, ``perceptron.py`` and ``stages.py`` are drivers, whose source
text becomes a module of its own; ``entries.py`` is the module that a spec names.
"""
