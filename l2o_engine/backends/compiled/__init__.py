"""What compiled kernels share: how one is compiled and kept (``compile.py``), vector instructions (``vectors.py``).

Sigmoids, exponentials and their like are written with these (``functions.py``).

A kernel is a module that :attr:`~l2o_engine.backends.compiled.compile.Shape.kernel` names; ``fused`` and
``coordinatewise`` are two.
"""
