"""Data sets of images with labels, read from files that are there; nothing is downloaded.

``base`` says what a data set is and opens files, ``idx``, ``table`` and ``cifar`` read one format each, ``sets`` has
the sets by name: where their files lie, how they are split, and how to get them.
"""

from l2o_engine.tasks.data.base import FOLDER_VARIABLE, DataError, DataSet, Part, pooled_shape
from l2o_engine.tasks.data.sets import SETS, load

__all__ = ["FOLDER_VARIABLE", "SETS", "DataError", "DataSet", "Part", "load", "pooled_shape"]
