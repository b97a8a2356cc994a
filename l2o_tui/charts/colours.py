"""A chart's colours: those of a theme, tints of them for replicates, and what stands for them among sixteen.

A terminal of 16 colours shows the nearest one it has. That of a theme's green may be a grey, and those of two series
one and the same; so hues are chosen here.
"""

from collections.abc import Sequence

from textual.color import Color

_LEAST_CONTRAST = 7.0  # of a tint, unless its series' colour has less; from 1 to 21, by WCAG 2
_STEPS = 10  # in which a tint is made readable
_LEAST_SATURATION = 0.2  # below it a colour is a grey

# As rich counts them: what it is given so is what the terminal is told.
_BRIGHT = [
    Color(*rgb) for rgb in ((85, 255, 255), (255, 255, 85), (85, 255, 85), (255, 85, 85), (255, 85, 255), (85, 85, 255))
]
_DARK = [Color(*rgb) for rgb in ((0, 0, 170), (170, 85, 0), (0, 170, 0), (170, 0, 0), (170, 0, 170), (0, 170, 170))]
_LIGHT_GREY, _DARK_GREY = Color(170, 170, 170), Color(85, 85, 85)


def tint(colour: Color, background: Color, seed: int) -> Color:
    """Return a tint of a colour that can be told from the others: of another hue, and lighter or darker by turns.

    On its background it can be read as well as the colour, or as well as need be.
    """
    hue, saturation, lightness = colour.hsl
    turned = Color.from_hsl((hue + (seed + 1) * 0.09 * (-1) ** seed) % 1.0, saturation, lightness)
    text = background.get_contrast_text(1.0)
    found = turned.blend(text, 0.25) if seed % 3 == 1 else turned.blend(background, 0.3) if seed % 3 == 2 else turned
    least = min(contrast(colour, background), _LEAST_CONTRAST)
    shares = (step / _STEPS for step in range(_STEPS))
    return next((one for share in shares if contrast(one := found.blend(text, share), background) >= least), text)


def of_sixteen(colours: Sequence[Color], background: Color) -> list[Color]:
    """Return what stands for colours on a terminal of 16: the nearest hue that none before has, while there are some.

    Of two that are as near it is the one that can be read better.
    """
    is_dark = background.brightness < 0.5
    hues = _BRIGHT if is_dark else _DARK
    found: list[Color] = []
    for colour in colours:
        free = [one for one in hues if one not in found] or hues
        hue, saturation, _ = colour.hsl
        if saturation < _LEAST_SATURATION:
            found.append(_LIGHT_GREY if is_dark else _DARK_GREY)
        else:
            found.append(min(free, key=lambda one: (_between(hue, one.hsl.h), -contrast(one, background))))
    return found


def contrast(one: Color, other: Color) -> float:
    """Return the contrast of two colours, from 1 to 21, by WCAG 2."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _between(hue: float, other: float) -> float:
    """Return how far two hues, from 0 to 1 around the circle, are apart, to a degree."""
    apart = abs(hue - other)
    return round(min(apart, 1 - apart) * 360)
