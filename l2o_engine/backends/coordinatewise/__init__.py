"""The backend for many coordinates: first-order meta-training of any task whose gradient torch can compute.

``backend.py`` is what the rest of the engine sees. ``kernel.py`` has the network's step and its way back for blocks of
rows, whose vector instructions ``lines.py`` writes; ``pack.py`` says in which order weights lie for it;
``recording.py`` hands rows to threads (``crew.py``). ``perceptron.py`` is the kernel's part for optimizees, and
``gradients.py`` asks it.
"""
