"""Write presets.md, the list of every table and key of a preset, beside this file.

.venv/bin/python docs/make_presets.py
"""

from pathlib import Path

from l2o_engine.presets.documentation import markdown

if __name__ == "__main__":
    Path(__file__).with_name("presets.md").write_text(markdown(), encoding="utf-8")
