"""What the processes that do jobs import: once, by the server that forks them (:mod:`.workers`)."""

import gc

from l2o_engine.backends.choose import preload
from l2o_engine.studies.sweep import seeds

__all__ = ["seeds"]

preload()
gc.collect()
gc.freeze()  # or the first collection of each child would make it copy all of this
