"""A user's own function, written as a formula, at the kernel's speed.

``grammar`` reads the text into a tree, ``expression`` says what it means, ``derivatives`` differentiates that with
SymPy and ``generate`` makes code for NumPy, torch and the kernel; ``formula`` is the family of tasks, ``functions`` has
what is shipped.
"""

from l2o_engine.tasks.formula.formula import Formula, Parameter

__all__ = ["Formula", "Parameter"]
