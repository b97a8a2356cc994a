"""Pictures, in the terminal and in files.

A picture is a value before it is drawn: ``convergence``, ``base_losses`` and ``comparison`` make a ``figure``;
``plotext`` draws it into ``cells`` by the arithmetic of ``layout``, ``matplotlib`` draws it into files; ``chart``
and ``widget`` are the screen's.
"""
