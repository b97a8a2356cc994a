"""The fast backend: one compiled kernel for a whole chunk of meta-iterations.

``backend.py`` is what the rest of the engine sees. ``spec.py`` says what a kernel is compiled for; ``kernel.py`` is the
algorithm, top to bottom; ``pieces/`` holds problems, inputs and objectives with their derivatives; ``simd.py`` writes
the dense operations as vector instructions; ``compile.py`` compiles a kernel for one shape of preset and keeps it on
disk.
"""
