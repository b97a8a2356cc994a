"""``python -m l2o_tui`` is ``l2o-tui``."""

from l2o_tui.cli import main

if __name__ == "__main__":
    main()
