"""Keyboard-only use, and a small touch screen."""

import pytest

from tests.e2e.conftest import NARROWEST, size
from tests.e2e.visitor import OTHER_PASSWORD, PASSWORD

pytestmark = pytest.mark.browser

FOCUSED = """() => {
  const it = document.activeElement;
  const style = getComputedStyle(it);
  const box = it.getBoundingClientRect();
  const label = it.labels && it.labels.length ? it.labels[0].innerText : it.getAttribute('aria-label');
  return {
    what: (label || it.innerText).trim(),
    // A ring around it, or around the box that it fills.
    ringed: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== 'none',
    seen: box.width > 0 && box.height > 0 && box.top >= 0 && box.bottom <= innerHeight,
  };
}"""


def tabs(visitor, count):
    """Return what has the focus after each press of Tab."""
    elements = []
    for _ in range(count):
        visitor.page.keyboard.press("Tab")
        elements.append(visitor.page.evaluate(FOCUSED))
    return elements


def tab_to(visitor, target, *, then_type=""):
    """Press Tab until `what` has the focus."""
    assert any(tabs(visitor, 1)[0]["what"] == target for _ in range(20))
    type_in(visitor, then_type)


def type_in(visitor, text):
    visitor.page.keyboard.type(text)


def press_enter(visitor):
    with visitor.page.expect_navigation():
        visitor.page.keyboard.press("Enter")


def test_focus_order_follows_the_page_and_is_visible(visitor):
    visitor.open("/auth/login")

    focused = tabs(visitor, 10)

    assert [element["what"] for element in focused] == [
        "Skip to main content",
        "Gatehouse",
        "Sign in",
        "Sign up",
        "Email",
        "Password",
        "Show password",
        "Stay signed in on this device",
        "Sign in",
        "Forgot your password?",
    ]
    assert [element["what"] for element in focused if not (element["ringed"] and element["seen"])] == []


def test_skip_link_skips_the_navigation(visitor):
    visitor.open("/auth/login")

    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Enter")

    assert tabs(visitor, 1)[0]["what"] == "Email"


def test_refused_form_after_the_skip_link_focuses_its_problems(visitor):
    visitor.open("/auth/login")
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**#main")
    tab_to(visitor, "Email", then_type=visitor.email)
    tab_to(visitor, "Password", then_type="a wrong password")
    press_enter(visitor)

    visitor.page.wait_for_load_state("load")
    assert "#" not in visitor.page.url
    assert visitor.page.evaluate("document.activeElement.matches('[data-focus]')")


def test_keyboard_only_sign_up_to_sign_out(visitor):
    visitor.open("/auth/register")
    tab_to(visitor, "Name (optional)", then_type="Ada Byron")
    tab_to(visitor, "Email", then_type=visitor.email)
    tab_to(visitor, "Password", then_type=PASSWORD)
    press_enter(visitor)
    assert visitor.heading == "Check your email"

    visitor.open(visitor.link_in("Confirm your email address"))
    tab_to(visitor, "Confirm email address")
    press_enter(visitor)

    assert visitor.path == "/account"
    tab_to(visitor, "Account menu: Ada Byron")
    visitor.page.keyboard.press("Enter")
    tab_to(visitor, "Sign out")
    press_enter(visitor)
    assert "You're signed out." in visitor.says()


def test_keyboard_only_password_is_shown_and_sent(visitor):
    visitor.is_signed_in(at="/account/password")
    visitor.page.locator("[name=current_password]").focus()
    type_in(visitor, PASSWORD)
    assert [tab["what"] for tab in tabs(visitor, 2)] == ["Show current password", "New password"]
    type_in(visitor, OTHER_PASSWORD)
    assert tabs(visitor, 1)[0]["what"] == "Show new password"
    visitor.page.keyboard.press("Space")
    assert visitor.page.locator("[name=password]").get_attribute("type") == "text"
    assert tabs(visitor, 1)[0]["what"] == "Change password"
    press_enter(visitor)

    assert "Password changed" in visitor.says()


def test_main_journey_on_a_phone(arrive):
    visitor = arrive(phone=True, is_mobile=True)
    visitor.register()
    visitor.confirm()
    assert visitor.path == "/account"

    visitor.page.get_by_role("link", name="Activity", exact=True).tap()
    visitor.page.wait_for_url("**/account/activity")
    assert "Signed in." in visitor.says()
    visitor.page.locator("header summary").tap()
    visitor.page.get_by_role("button", name="Sign out", exact=True).tap()
    visitor.page.wait_for_url("**/auth/login")


@pytest.mark.parametrize("page", ["Profile", "Sessions", "Activity"])
def test_current_tab_is_visible_on_a_phone(arrive, page):
    visitor = arrive(viewport=size(NARROWEST)).is_signed_in()
    visitor.follow(page) if page != "Profile" else None

    box = visitor.page.get_by_role("navigation", name="Account").locator("[aria-current=page]").bounding_box()

    assert box["x"] >= 0
    assert box["x"] + box["width"] <= NARROWEST[0]


def test_touch_targets_are_large_enough_on_a_phone(arrive):
    visitor = arrive(phone=True, is_mobile=True)
    small = []
    for path in ("/", "/auth/login", "/auth/register", "/auth/forgot-password"):
        visitor.open(path)
        # WCAG 2.5.8: 24 by 24 pixels. Links in text are exempt, and a checkbox can be pressed by its label.
        for thing in visitor.page.locator(
            "button:visible, a.button:visible, nav a:visible, input:not([type=checkbox]):visible"
        ).all():
            box = thing.bounding_box()
            if box["width"] < 24 or box["height"] < 24:
                small.append((path, thing.evaluate("it => it.outerHTML"), box))

    assert small == []
