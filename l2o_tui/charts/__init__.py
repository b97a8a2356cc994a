"""The charts in the terminal.

``drawing`` says what is shown, ``canvas`` draws it into ``cells``, ``layout`` decides what goes where, and ``widgets``
and ``comparison`` are the screen's.
"""
