"""Nothing lost, whatever happens: the real program, killed anywhere and on bad disks, against undisturbed runs.

``program.py`` starts it, ``faults.py`` (by ``faults.c``) makes the calls below it fail or be the last, ``outcome.py``
says whether anything was lost. ``book.py`` keeps what was tried; ``page.py`` makes docs/reliability.md of it.
"""
