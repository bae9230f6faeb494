import re

import pytest

from app.core.settings import ROOT
from app.web.theme import READABLE, VISIBLE, _parse, button_colors, contrast, theme_css

LIGHT, DARK = ("#ffffff", "#f5f6f8", "#eef0f3"), ("#191d23", "#111418", "#20252c")
ACCENTS = ("#1f5f8b", "#000000", "#ffffff", "#ffff00", "#00ff00", "#ff0000", "#808080", "#0000ff", "#f0f", "#7f7f00")


def schemes(accent):
    pairs = re.findall(r"--gh-accent-([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", theme_css(accent))
    for scheme, surfaces in enumerate((LIGHT, DARK)):
        yield {name: _parse(colors[scheme]) for name, *colors in pairs}, surfaces


@pytest.mark.parametrize("accent", ACCENTS)
def test_any_accent_is_readable_in_light_and_dark(accent):
    for colours, surfaces in schemes(accent):
        grounds = [*map(_parse, surfaces), colours["soft"]]
        assert all(contrast(colours["text"], ground) >= READABLE for ground in grounds)
        assert all(contrast(colours["solid"], _parse(surface)) >= VISIBLE for surface in surfaces)
        assert contrast(colours["solid"], colours["label"]) >= READABLE
        assert contrast(colours["solid-hover"], colours["label"]) >= READABLE


@pytest.mark.parametrize("accent", ACCENTS)
def test_email_button_is_readable_on_any_background(accent):
    colors = {name: _parse(value) for name, value in button_colors(accent).items()}
    assert contrast(colors["solid"], colors["label"]) >= READABLE
    assert contrast(colors["solid"], _parse("#ffffff")) >= VISIBLE
    assert contrast(colors["border"], _parse("#121212")) >= VISIBLE


@pytest.mark.parametrize("wrong", ["", "blue", "#12345", "#1234567", "#ggg", "red;}", "#１２３", "#123\n"])
def test_invalid_color_is_refused(wrong):
    with pytest.raises(ValueError, match="is not a color"):
        theme_css(wrong)


def test_initials_are_readable_on_every_avatar():
    colors = re.findall(r"\.avatar-\d { --avatar-ground: (#\w{6}); }", (ROOT / "app/static/gatehouse.css").read_text())
    assert len(colors) == 8
    assert all(contrast(_parse(color), _parse("#ffffff")) >= READABLE for color in colors)


def test_contrast_follows_wcag():
    assert contrast(_parse("#000000"), _parse("#ffffff")) == pytest.approx(21)
    assert contrast(_parse("#777777"), _parse("#ffffff")) == pytest.approx(4.48, abs=0.01)
    assert contrast(_parse("#abc"), _parse("#aabbcc")) == pytest.approx(1)
