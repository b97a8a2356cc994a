"""The themes. Series have colours of their own, and markers too, so that a chart keeps its meaning without colour.

Backgrounds, borders and plain text are greys that a terminal of 256 colours has itself, and so stay grey there. What
is read has a contrast of 4.5 to 1 at least, in the high-contrast theme of 7 to 1. The colour-blind theme's series are
those of Okabe & Ito (2008), "Color Universal Design", the two that are too dark to be read on black a little lighter.
"""

from textual.theme import Theme

DEFAULT_THEME = "dark"


def _variables(
    *series: str,
    muted: str = "#a8a8a8",
    disabled: str = "#949494",
    chosen: str = "#444444",
    selected: str = "#585858",
    **others: str,
) -> dict[str, str]:
    """Return a theme's variables.

    Parameters
    ----------
    series
        The series' colours.
    muted, disabled
        Of quieter texts: colours, for a share of the text's own ("auto 65%") counts for nothing in a Content.
    chosen
        Behind what is chosen where the focus is not.
    selected
        Behind text that is selected.
    others
        The rest, by name.
    """
    return {
        "text": "auto 95%",
        "text-muted": muted,
        "text-disabled": disabled,
        "footer-key-foreground": series[0],
        "block-cursor-blurred-background": chosen,
        "input-selection-background": selected,
        **{f"series-{place}": colour for place, colour in enumerate(series, 1)},
        **{name.replace("_", "-"): value for name, value in others.items()},
    }


THEMES = (
    Theme(
        name="dark",
        primary="#5fafff",
        secondary="#585858",
        accent="#d787ff",
        warning="#ffaf5f",
        error="#ff8787",
        success="#87d787",
        foreground="#dadada",
        background="#121212",
        surface="#121212",
        panel="#303030",
        dark=True,
        variables=_variables("#5fafff", "#ffaf5f", "#87d787", "#ff8787", "#d787ff", "#5fd7d7", "#d7d75f", "#b2b2b2"),
    ),
    Theme(
        name="light",
        primary="#005faf",
        secondary="#a8a8a8",
        accent="#8700af",
        warning="#875f00",
        error="#af0000",
        success="#005f00",
        foreground="#262626",
        background="#ffffff",
        surface="#ffffff",
        panel="#e4e4e4",
        dark=False,
        variables=_variables(
            "#005faf",
            "#af5f00",
            "#008700",
            "#af0000",
            "#8700af",
            "#005f5f",
            "#5f5f00",
            "#585858",
            muted="#444444",
            disabled="#4e4e4e",
            chosen="#c6c6c6",
            selected="#c6c6c6",
        ),
    ),
    Theme(
        name="high-contrast",
        primary="#ffff00",
        secondary="#d0d0d0",
        accent="#ff87ff",
        warning="#ffaf00",
        error="#ff8787",
        success="#5fff5f",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#303030",
        dark=True,
        variables=_variables(
            "#ffff00",
            "#00ffff",
            "#5fff5f",
            "#ff8787",
            "#ff87ff",
            "#ffaf00",
            "#afafff",
            "#ffffff",
            muted="#d0d0d0",
            disabled="#c6c6c6",
            footer_background="#000000",
        ),
    ),
    Theme(
        name="colour-blind",
        primary="#56b4e9",
        secondary="#585858",
        accent="#cc79a7",
        warning="#e69f00",
        error="#e8702a",
        success="#12b48a",
        foreground="#e4e4e4",
        background="#121212",
        surface="#121212",
        panel="#303030",
        dark=True,
        variables=_variables("#56b4e9", "#e69f00", "#12b48a", "#e8702a", "#cc79a7", "#f0e442", "#3f8fd0", "#bcbcbc"),
    ),
)
