"""The themes. Series have colours of their own, and markers too, so that a chart keeps its meaning without colour.

The colour-blind theme's series are those of Okabe & Ito (2008), "Color Universal Design".
"""

from textual.theme import Theme

DEFAULT_THEME = "dark"


def _series(*colours: str) -> dict[str, str]:
    return {f"series-{place}": colour for place, colour in enumerate(colours, 1)}


THEMES = (
    Theme(
        name="dark",
        primary="#5fa8f5",
        secondary="#7f8fa6",
        accent="#c792ea",
        warning="#f0a840",
        error="#ef6b73",
        success="#6cc77b",
        foreground="#d8dee9",
        background="#14171c",
        surface="#14171c",
        panel="#39424f",
        dark=True,
        variables=_series("#5fa8f5", "#f0a840", "#6cc77b", "#ef6b73", "#c792ea", "#4fc3c7", "#d4c95a", "#b0b8c4"),
    ),
    Theme(
        name="light",
        primary="#1d5fb4",
        secondary="#5b6675",
        accent="#7b3fa0",
        warning="#a35c00",
        error="#b3261e",
        success="#22703a",
        foreground="#20252c",
        background="#fbfbfa",
        surface="#fbfbfa",
        panel="#c3c9d1",
        dark=False,
        variables=_series("#1d5fb4", "#a35c00", "#22703a", "#b3261e", "#7b3fa0", "#0b7a80", "#77700a", "#4d5560"),
    ),
    Theme(
        name="high-contrast",
        primary="#ffff00",
        secondary="#ffffff",
        accent="#ff80ff",
        warning="#ffb000",
        error="#ff6060",
        success="#40ff40",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#a0a0a0",
        dark=True,
        variables=_series("#ffff00", "#00ffff", "#40ff40", "#ff6060", "#ff80ff", "#ffb000", "#8080ff", "#ffffff"),
    ),
    Theme(
        name="colour-blind",
        primary="#56b4e9",
        secondary="#999999",
        accent="#cc79a7",
        warning="#e69f00",
        error="#d55e00",
        success="#009e73",
        foreground="#e4e4e4",
        background="#16181b",
        surface="#16181b",
        panel="#45494f",
        dark=True,
        variables=_series("#56b4e9", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#f0e442", "#0072b2", "#bbbbbb"),
    ),
)
