"""Makes the README's picture from the real program: opens a run on the live screen and saves what it shows.

.venv/bin/l2o-tui run log30 --seed 6 --run-dir /tmp/picture --no-ui
.venv/bin/python docs/make_screen.py /tmp/picture docs/screen.svg
"""

import asyncio
import sys
from pathlib import Path

from l2o_engine.runs import DrivenRun
from l2o_tui.app import L2oApp
from l2o_tui.open_run import OpenRun


async def save_picture(folder: Path, picture: Path) -> None:
    """Open the run in ``folder`` as ``l2o-tui resume`` does and save the screen as SVG."""
    run = DrivenRun.take(folder)
    app = L2oApp(OpenRun.driving(run))
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(100):
            await pilot.pause(0.2)
            if app.screen.query_one("#status").render_line(0).text.lstrip().startswith("✔"):
                break
        await pilot.pause(1.5)
        picture.write_text(app.export_screenshot(title="l2o-tui"))


if __name__ == "__main__":
    asyncio.run(save_picture(Path(sys.argv[1]), Path(sys.argv[2])))
