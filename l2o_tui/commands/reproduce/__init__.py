"""``l2o-tui reproduce``: the command, what it tells meanwhile, its table and its report."""
