"""The backend for many coordinates: first-order meta-training of any task whose gradient torch can compute.

``backend.py`` is what the rest of the engine sees. ``kernel/`` has the network's steps and their way back for blocks of
rows, and perceptrons' gradients; ``pack.py`` says in which order weights lie for it. ``recording.py`` has a team of
threads (``team.py``, ``crew.py``) do one unroll, and ``gradients.py`` asks them for the optimizees' gradients.
"""
