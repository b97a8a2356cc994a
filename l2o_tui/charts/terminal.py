"""What the terminal can show."""

import os

PLAIN_VARIABLE = "L2O_ASCII"
_WITHOUT_BRAILLE = frozenset({"linux", "dumb", "vt100", "vt220"})


def is_plain() -> bool:
    """Return whether charts are drawn in ASCII: asked for, or on a terminal that has no braille (the Linux console)."""
    return bool(os.environ.get(PLAIN_VARIABLE)) or os.environ.get("TERM") in _WITHOUT_BRAILLE
