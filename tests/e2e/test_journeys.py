"""Whole journeys in a browser, from the first page to the last."""

import re

import pytest

from app.factor_resets.service import FactorResets
from app.factor_resets.tasks import ResetFactors
from tests.e2e.visitor import OTHER_PASSWORD, PASSWORD, new_address

pytestmark = pytest.mark.browser


def test_user_signs_up_signs_in_and_signs_out(visitor):
    visitor.open("/")
    visitor.follow("Sign up")
    visitor.fill(name="Ada Byron", email=visitor.email, password=PASSWORD)
    visitor.press("Sign up")
    assert visitor.heading == "Check your email"

    visitor.open(visitor.link_in("Confirm your email address"))
    assert visitor.path == "/auth/verify-email"
    visitor.press("Confirm email address")
    assert "Email address confirmed. You're signed in." in visitor.says()
    assert visitor.path == "/account"
    assert visitor.heading == "Profile"

    visitor.fill(name="Ada Lovelace")
    visitor.press("Save changes")
    assert "Changes saved." in visitor.says()
    assert visitor.typed("name") == "Ada Lovelace"

    visitor.follow("Password")
    visitor.fill(current_password=PASSWORD, password=OTHER_PASSWORD)
    visitor.press("Change password")
    assert "Password changed" in visitor.says()
    assert visitor.mail("Your Gatehouse password")["text"]

    visitor.follow("Sessions")
    assert "Chrome on Linux" in visitor.says() or "This device" in visitor.says()
    assert "Only this device is signed in." in visitor.says()

    visitor.follow("Activity")
    message = visitor.says()
    for sentence in ("Password changed.", "Signed in.", "Email address confirmed."):
        assert sentence in message

    visitor.sign_out()
    assert visitor.path == "/auth/login"
    assert "You're signed out." in visitor.says()
    visitor.open("/account")
    assert visitor.path == "/auth/login"


def test_main_journey_works_without_javascript(arrive):
    visitor = arrive(java_script_enabled=False)

    visitor.register()
    visitor.confirm()
    visitor.fill(name="Ada Lovelace")
    visitor.press("Save changes")
    assert "Changes saved." in visitor.says()
    visitor.open("/account/password")
    visitor.fill(current_password=PASSWORD, password=OTHER_PASSWORD)
    visitor.press("Change password")
    assert "Password changed" in visitor.says()
    visitor.follow("Sessions")
    visitor.follow("Activity")
    visitor.sign_out()
    assert "You're signed out." in visitor.says()


def test_forgotten_password_is_reset_and_every_session_ends(visitor, arrive):
    visitor.is_signed_in()
    elsewhere = arrive()

    elsewhere.open("/auth/login")
    elsewhere.follow("Forgot your password?")
    elsewhere.fill(email=visitor.email)
    elsewhere.press("Send link")
    assert elsewhere.heading == "Check your email"
    elsewhere.open(elsewhere.link_in("Reset your Gatehouse password", to=visitor.email))
    assert elsewhere.path == "/auth/reset-password"
    elsewhere.fill(password=OTHER_PASSWORD)
    elsewhere.press("Change password")

    assert "Password changed" in elsewhere.says()
    visitor.open("/account")
    assert visitor.path == "/auth/login"
    elsewhere.sign_in(email=visitor.email, password=OTHER_PASSWORD)
    assert elsewhere.path == "/account"
    assert visitor.mail("Your Gatehouse password")["text"]


def test_sign_in_returns_to_the_requested_page(visitor):
    visitor.has_account().open("/account/sessions")
    assert visitor.path == "/auth/login"

    visitor.fill(email=visitor.email, password=PASSWORD)
    visitor.press("Sign in")

    assert visitor.path == "/account/sessions"


def test_expired_form_keeps_input(visitor):
    visitor.open("/auth/register")
    visitor.fill(name="Ada Byron", email=visitor.email, password=PASSWORD)
    visitor.context.clear_cookies()
    visitor.press("Sign up")

    assert "This page was open for too long." in visitor.says()
    assert visitor.typed("name") == "Ada Byron"
    assert visitor.typed("email") == visitor.email
    assert visitor.typed("password") == ""

    visitor.fill(password=PASSWORD)
    visitor.press("Sign up")
    assert visitor.heading == "Check your email"


def test_expired_form_keeps_input_when_signed_in(visitor):
    visitor.is_signed_in()
    visitor.fill(name="Countess of Lovelace")
    visitor.page.locator("main [name=csrf_token]").first.evaluate("field => field.value = 'stale'")
    visitor.press("Save changes")

    assert "This page was open for too long." in visitor.says()
    assert visitor.typed("name") == "Countess of Lovelace"
    visitor.press("Save changes")
    assert "Changes saved." in visitor.says()


def test_confirmation_in_another_browser_asks_for_the_password(visitor, arrive):
    visitor.register()
    elsewhere = arrive()
    elsewhere.open(visitor.link_in("Confirm your email address"))

    assert "You're using a different browser" in elsewhere.says()
    elsewhere.fill(password="not the one that was chosen")
    elsewhere.press("Confirm email address")
    assert "There is a problem" in elsewhere.says()

    elsewhere.fill(password=PASSWORD)
    elsewhere.press("Confirm email address")
    assert "Email address confirmed." in elsewhere.says()


def test_sign_in_before_confirmation_offers_the_link_again(visitor):
    visitor.register()
    first = visitor.link_in("Confirm your email address")
    visitor.sign_in()
    assert "Confirm your email address" in visitor.says()

    visitor.press("Resend the email")
    assert visitor.heading == "Check your email"
    visitor.open(first)
    assert visitor.heading in ("This link no longer works", "Confirm your email address")


def test_new_address_is_confirmed_and_undone_from_the_old(visitor, arrive):
    old, new = visitor.email, new_address("countess")
    visitor.is_signed_in().follow("Email")
    visitor.fill(email=new)
    visitor.press("Change email")
    assert f"Confirm {new}" in visitor.says()

    visitor.open(visitor.link_in("Confirm your new email address", to=new))
    visitor.press("Use this address")
    assert "Email address changed." in visitor.says()
    assert new in visitor.says()

    owner = arrive()
    owner.open(visitor.link_in("Your Gatehouse email address was changed", to=old))
    assert old in owner.says()
    owner.press("Restore address")
    assert "Everyone was signed out" in owner.says()
    visitor.open("/account")
    assert visitor.path == "/auth/login"
    visitor.sign_in(email=old)
    assert visitor.path == "/auth/login", "the password that asked for the change is gone, too"


def test_email_change_is_cancelled(visitor):
    visitor.is_signed_in().follow("Email")
    visitor.fill(email=new_address("countess"))
    visitor.press("Change email")
    visitor.press("Cancel change")

    assert "Your email address doesn't change." in visitor.says()
    assert "Cancel change" not in visitor.says()


def test_another_device_is_listed_and_signed_out_at_once(visitor, arrive):
    visitor.is_signed_in()
    other = arrive(user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    other.sign_in(email=visitor.email)
    assert visitor.mail("New sign-in")["text"]

    visitor.open("/account/sessions")
    assert "Firefox on Linux" in visitor.says()
    visitor.press("Sign out Firefox on Linux")
    assert "Device signed out." in visitor.says()
    assert "Firefox on Linux" not in visitor.says()

    other.open("/account")
    assert other.path == "/auth/login"


def test_all_other_devices_are_signed_out(visitor, arrive):
    visitor.is_signed_in()
    others = [arrive(), arrive()]
    for other in others:
        other.sign_in(email=visitor.email)

    visitor.open("/account/sessions")
    visitor.follow("Sign out all other devices")
    visitor.press("Sign out all other devices")

    assert "2 other sessions ended." in visitor.says()
    for other in others:
        other.open("/account")
        assert other.path == "/auth/login"


@pytest.mark.parametrize("page", ["/account", "/account/activity", "/account/sessions"])
def test_back_button_after_sign_out_shows_nothing_personal(visitor, page):
    visitor.is_signed_in()
    visitor.open(page)
    visitor.sign_out()
    visitor.page.go_back()
    visitor.page.wait_for_load_state()

    content = visitor.page.content()
    assert visitor.path == "/auth/login"
    assert visitor.email not in content
    assert "Ada Byron" not in content


def test_password_can_be_shown_and_hidden(visitor):
    visitor.open("/auth/login")
    field = visitor.page.locator("[name=password]")
    visitor.fill(password=PASSWORD)

    visitor.page.get_by_role("button", name="Show password").click()
    assert field.get_attribute("type") == "text"
    visitor.page.get_by_role("button", name="Hide password").click()
    assert field.get_attribute("type") == "password"


def test_password_strength_is_shown_while_typing(visitor):
    visitor.open("/auth/register")
    field, advice = visitor.page.locator("[name=password]"), visitor.page.locator("[data-strength] p")
    meter = visitor.page.locator("[data-strength] meter")
    assert meter.is_hidden()

    field.press_sequentially("password")
    advice.get_by_text("Too easy to guess.").wait_for()
    weak = meter.evaluate("meter => meter.value")
    field.fill(PASSWORD + " and seven lamps")
    advice.get_by_text("Very good.").wait_for()
    assert meter.evaluate("meter => meter.value") > weak

    field.fill("")
    meter.wait_for(state="hidden")
    assert advice.inner_text() == ""


def test_user_of_a_company_provider_signs_in(visitor, arrive):
    visitor.deployment.provider.people = [
        {"sub": visitor.email, "email": visitor.email, "email_verified": True, "name": "Ada Byron"}
    ]
    visitor.open("/account/sessions")
    visitor.follow("Continue with Acme")
    visitor.press(visitor.email)
    assert (visitor.path, visitor.heading) == ("/account/sessions", "Sessions")
    visitor.sign_out()
    assert "Used last" in visitor.says()

    # Without a password a user cannot remove the only sign-in method.
    visitor.follow("Continue with Acme Used last")
    visitor.press(visitor.email)
    visitor.follow("Connected accounts")
    visitor.follow(f"Disconnect Acme, {visitor.email}")
    visitor.press("Disconnect")
    assert "Set a password first" in visitor.says()
    visitor.follow("Set a password")
    visitor.press("Send link")
    visitor.open(visitor.link_in("Reset your Gatehouse password"))
    visitor.fill(password=PASSWORD)
    visitor.press("Change password")
    visitor.sign_in()
    visitor.follow("Connected accounts")
    visitor.follow(f"Disconnect Acme, {visitor.email}")
    visitor.press("Disconnect")
    assert "Account disconnected" in visitor.says()
    assert "If it wasn't, change your password now." in str(visitor.mail("Acme was disconnected from")["text"])


def test_existing_account_is_connected_by_its_owner(visitor):
    visitor.has_account()
    visitor.comes_from_acme()
    assert f"An account with {visitor.email} already exists" in visitor.says()
    visitor.fill(email=visitor.email, password=PASSWORD)
    visitor.press("Sign in")
    assert "Acme has just confirmed" in visitor.says()
    assert visitor.email in visitor.says()
    visitor.press("Connect Acme")
    assert "Acme connected. You can now sign in with it." in visitor.says()
    visitor.sign_out()
    visitor.comes_from_acme()
    assert visitor.heading == "Profile"


def test_passkey_is_added_in_two_clicks_and_replaces_the_password(arrive):
    visitor = arrive().has_account()
    visitor.has_authenticator()
    visitor.signs_in_where_passkeys_are(then="/account/security")
    visitor.follow("Add passkey")
    visitor.fill(name="Work laptop")
    visitor.press("Add passkey")
    assert visitor.heading == "Your recovery codes"
    visitor.follow("I've saved my codes")
    assert "Work laptop" in visitor.says()

    # Chromium's virtual authenticator answers the conditional request itself; otherwise a button does.
    visitor.sign_out()
    visitor.page.wait_for_url("**/account")
    assert visitor.heading == "Profile"
    visitor.open(f"{visitor.site}/account/security")
    assert "Last used" in visitor.says()
    assert "was added to your account" in str(visitor.mail("A passkey was added")["text"])


def test_security_key_is_the_second_step(arrive):
    visitor = arrive().has_account()
    visitor.has_authenticator(transport="usb", verifies=False)
    visitor.signs_in_where_passkeys_are(then="/account/security/passkeys")
    visitor.fill(name="Key on my ring")
    visitor.press("Add passkey")
    assert visitor.heading == "Your recovery codes"
    visitor.sign_out()

    visitor.fill(email=visitor.email, password=PASSWORD)
    visitor.press("Sign in")
    assert visitor.heading == "Two-step verification"
    visitor.page.get_by_label("Trust this browser for 30 days").check()
    visitor.press("Use a passkey")
    assert visitor.heading == "Profile"
    visitor.sign_out()
    visitor.fill(email=visitor.email, password=PASSWORD)
    visitor.press("Sign in")
    assert visitor.heading == "Profile"


def test_user_without_phone_signs_in_with_a_recovery_code(visitor):
    visitor.is_signed_in()
    _, codes = visitor.sets_up_codes()
    visitor.follow("I've saved my codes")
    visitor.sign_out()
    visitor.sign_in()
    visitor.follow("Lost your phone? Use a recovery code")
    visitor.fill(code=codes[3])
    visitor.press("Sign in")
    assert visitor.heading == "Profile"
    assert "Recovery codes left: 9" in str(visitor.mail("Recovery code used")["text"])


def test_user_who_lost_all_factors_gets_a_reset(visitor, arrive):
    visitor.is_signed_in()
    visitor.sets_up_codes()
    visitor.sign_out()
    with visitor.deployment.read() as work:
        lost = work.users.get_by_email(visitor.email).id
    helper = arrive()
    helper.is_signed_in(roles=("administrator",), at=f"/users/{lost}")
    helper.follow("Reset second factors")
    helper.fill(reason="They came to my desk.")
    helper.press("Reset second factors")
    assert "The second factors of this user will be removed" in helper.says()
    assert "They came" not in str(visitor.mail("Your second factors for Gatehouse will be removed")["text"])

    # A day later.
    with visitor.deployment.work() as work:
        reset = work[FactorResets].find_open(lost)
        reset.due_at = work.clock()
        work.enqueue(ResetFactors(reset_id=reset.id))
    visitor.mail("Your second factors were removed")
    visitor.sign_in()
    assert visitor.heading == "Profile"


def test_required_second_factor_is_set_up_without_javascript(arrive):
    visitor = arrive(java_script_enabled=False)
    visitor.needs_a_factor()
    assert visitor.path == "/account/security"
    visitor.sets_up_codes()
    visitor.open("/account")
    assert visitor.heading == "Profile"


def test_weak_password_is_refused_and_other_input_kept(visitor):
    visitor.register(password="gatehouse gatehouse")

    assert visitor.heading == "Sign up"
    assert visitor.page.title().startswith("Error: ")
    assert visitor.typed("email") == visitor.email
    summary = visitor.page.get_by_role("alert")
    assert summary.evaluate("box => box === document.activeElement")
    summary.get_by_role("link").click()
    assert visitor.page.locator("[name=password]").evaluate("field => field === document.activeElement")


def test_administrator_sees_the_users(visitor, arrive):
    member = arrive().has_account(name="Grace Hopper")
    visitor.is_signed_in(roles=("administrator",)).follow("Admin")
    visitor.follow("Users")
    visitor.fill(q=member.email)
    visitor.press("Search")
    visitor.follow("Grace Hopper")

    assert visitor.heading == "Grace Hopper"
    assert member.email in visitor.says()
    assert re.fullmatch(r"/users/\d+", visitor.path)


def test_member_sees_neither_link_nor_page(visitor):
    visitor.is_signed_in()

    assert visitor.page.get_by_role("link", name="Admin").count() == 0
    assert visitor.open("/users").status == 403


def test_time_zone_of_the_browser_is_stored_at_the_first_sign_in(arrive):
    visitor = arrive(timezone_id="Europe/Vienna").has_account()
    visitor.open("/auth/login")
    visitor.sign_in()

    assert "Europe/Vienna" in visitor.says()
    visitor.follow("Change your time zone")
    visitor.page.get_by_role("button", name="Use this browser's: Europe/Vienna").click()
    assert visitor.page.locator("#time_zone").input_value() == "Europe/Vienna"


def test_dark_mode_follows_the_preference(arrive):
    grounds = {}
    for scheme in ("light", "dark"):
        visitor = arrive(color_scheme=scheme)
        visitor.open("/auth/login")
        colour = visitor.page.locator("html").evaluate("page => getComputedStyle(page).backgroundColor")
        grounds[scheme] = sum(int(part) for part in re.findall(r"\d+", colour)[:3])

    assert grounds["dark"] < 200 < 600 < grounds["light"]
