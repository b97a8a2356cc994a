"""A trained optimizer as PyTorch has optimizers: ``optimizer.step()`` on anybody's model.

``optimizer`` is the citizen of PyTorch, which knows groups, states, closures and schedulers. ``options`` are what it
may be told, and need no torch. ``passes`` takes all coordinates of all parameters through the network, and ``guard`` is
what may step in for it.
"""
