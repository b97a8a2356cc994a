"""``python -m l2o_tui`` is ``l2o-tui``."""

import os
import sys

# Python has put the working folder in front of what is imported; unless we came from there, nothing else is to.
if not sys.flags.safe_path and sys.path[0] == os.getcwd() != __file__.rsplit("/", 2)[0]:  # noqa: PTH109 (pathlib is not loaded yet)
    del sys.path[0]

from l2o_tui.cli import main

if __name__ == "__main__":
    main()
