"""``l2o-tui sweep``: many runs of one question."""
