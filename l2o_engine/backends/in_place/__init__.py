"""One step of an LSTM for rows whose states lie in many places, in place: what an optimizer of somebody's model takes.

An unroll of meta-training has all rows side by side and keeps its beginning
(:mod:`~l2o_engine.backends.coordinatewise`). Here every tensor of a model has a state of its own, which is read, and
written over, where it lies.
"""
