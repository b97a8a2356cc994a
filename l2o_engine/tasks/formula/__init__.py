"""A user's own function, written as a formula, at the kernel's speed.

``grammar`` reads the text into a tree, ``expression`` makes a graph of it with its derivatives, ``generate`` code for
NumPy, torch and the kernel; ``formula`` is the family of tasks, ``functions`` has the formulas that are shipped.
"""

from l2o_engine.tasks.formula.formula import Formula, Parameter

__all__ = ["Formula", "Parameter"]
