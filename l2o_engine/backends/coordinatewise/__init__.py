"""The backend for many coordinates: first-order meta-training of any task whose gradient torch can compute.

``backend.py`` is what the rest of the engine sees. ``kernel.py`` has the network's step and its way back for blocks of
rows, whose vector instructions ``lines.py`` writes; ``pack.py`` says in which order weights lie for it; ``rows.py``
hands rows to threads.
"""
