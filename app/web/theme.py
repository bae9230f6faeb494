"""Readable colors computed from ACCENT_COLOR.

Contrast is WCAG 2.2's: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio. The surfaces named here are the
ones that `static/gatehouse.css` paints on; keep the two in step.
"""

import colorsys
import re
from dataclasses import dataclass

Colour = tuple[float, float, float]
"""Red, green and blue, each 0..1, in sRGB."""

READABLE = 4.5
"""Contrast of text against its ground (WCAG 1.4.3, level AA)."""

VISIBLE = 3.0
"""Contrast of a shape against its surroundings (WCAG 1.4.11, level AA)."""

_HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE | re.ASCII)
_WHITE: Colour = (1.0, 1.0, 1.0)
_BLACK: Colour = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Scheme:
    """One colour scheme: its card, its other surfaces, and whether text gets darker or lighter on them."""

    card: str
    surfaces: tuple[str, ...]
    towards: Colour
    tint: float


_LIGHT = _Scheme(card="#ffffff", surfaces=("#f5f6f8", "#eef0f3"), towards=_BLACK, tint=0.10)
_DARK = _Scheme(card="#191d23", surfaces=("#111418", "#20252c"), towards=_WHITE, tint=0.18)


def theme_css(accent_color: str) -> str:
    """Return the stylesheet that makes `accent_color` (`#rgb` or `#rrggbb`) the accent in light and dark.

    Text and links reach 4.5:1 on every surface, buttons 3:1 against the page and 4.5:1 with their own text.
    Raises ValueError if it is not such a colour.
    """
    accent = _parse(accent_color)
    light, dark = _properties(accent, _LIGHT), _properties(accent, _DARK)
    lines = [f"  --gh-accent-{name}: light-dark({light[name]}, {dark[name]});\n" for name in light]
    return f":root {{\n{''.join(lines)}}}\n"


def button_colors(accent_color: str) -> dict[str, str]:
    """Return the colors of a button that looks the same on any background, as in an email: `solid`, `label`, `border`.

    The label reaches 4.5:1; on a dark background, where the button itself may not, its border reaches 3:1.
    """
    accent = _parse(accent_color)
    _, solid, label = _colors(accent, _LIGHT)
    _, border, _ = _colors(accent, _DARK)
    return {"solid": _hex(solid), "label": _hex(label), "border": _hex(border)}


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio of two colours, 1..21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _properties(accent: Colour, scheme: _Scheme) -> dict[str, str]:
    text, solid, label = _colors(accent, scheme)
    pressed = _mix(solid, _BLACK if label == _WHITE else _WHITE, 0.14)
    named = {
        "text": text,
        "text-hover": _mix(text, scheme.towards, 0.25),
        "solid": solid,
        "solid-hover": pressed,
        "label": label,
        "soft": _soft(accent, scheme),
    }
    return {name: _hex(color) for name, color in named.items()}


def _colors(accent: Colour, scheme: _Scheme) -> tuple[Colour, Colour, Colour]:
    """Return the colors of text and links, of buttons, and of the text on them."""
    surfaces = [_parse(scheme.card), *map(_parse, scheme.surfaces)]
    text = _until(accent, scheme.towards, READABLE, [*surfaces, _soft(accent, scheme)])
    solid = _until(accent, scheme.towards, VISIBLE, surfaces)
    return text, solid, _WHITE if contrast(solid, _WHITE) >= READABLE else _BLACK


def _soft(accent: Colour, scheme: _Scheme) -> Colour:
    return _mix(_parse(scheme.card), accent, scheme.tint)


def _until(colour: Colour, towards: Colour, ratio: float, grounds: list[Colour]) -> Colour:
    """Move the lightness of `colour` `towards` black or white, hue kept, until it has `ratio` on all `grounds`."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*colour)
    goal = towards[0]
    for step in range(101):
        moved = lightness + (goal - lightness) * step / 100
        color = _rounded(colorsys.hls_to_rgb(hue, moved, saturation))
        if all(contrast(color, ground) >= ratio for ground in grounds):
            return color
    return towards


def _luminance(colour: Colour) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return _rounded((red, green, blue))


def _rounded(colour: Colour) -> Colour:
    """Return the colour as it will be written, so that the measured contrast is the displayed one."""
    return _parse(_hex(colour))


def _parse(text: str) -> Colour:
    if not _HEX.fullmatch(text):
        raise ValueError(f"{text!r} is not a color. Use #rrggbb, like #1f5f8b")
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return int(digits[:2], 16) / 255, int(digits[2:4], 16) / 255, int(digits[4:], 16) / 255


def _hex(colour: Colour) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)
