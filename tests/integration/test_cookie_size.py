"""The session cookie: browsers drop one of more than 4,096 bytes, which would sign the user out."""

import random
import string
from datetime import timedelta

import pytest

from app.auth.models import Purpose, Target, Undoable
from app.unit_of_work import unit_of_work
from app.web import session_cookie
from tests.support.authenticator import add_passkey, set_up
from tests.support.browser import Browser
from tests.support.people import People
from tests.support.provider import ada

MOST = 4096
PATHS = {
    Purpose.VERIFY_EMAIL: "verify-email",
    Purpose.RESET_PASSWORD: "reset-password",
    Purpose.CHANGE_EMAIL: "confirm-email-change",
    Purpose.UNDO_EMAIL_CHANGE: "undo-email-change",
    Purpose.INVITATION: "invitation",
    Purpose.UNDO_ADDITION: "undo-addition",
    Purpose.KEEP_FACTORS: "keep-factors",
}


class Measured(Browser):
    """Drop a cookie that is too large, as browsers do silently, and remember the largest."""

    largest = 0

    def send(self, *arguments, **how):
        before = self.cookie("session")
        answer = super().send(*arguments, **how)
        now = self.cookie("session")
        if now is not None:
            self.largest = max(self.largest, len(f"{now.key}={now.value}".encode()))
            if self.largest > MOST:
                self.http.set_cookie(before.key, before.value if before else "", domain="gatehouse.test")
        return answer


@pytest.fixture
def site(keep_app, provider):
    return keep_app(oauth_providers=[provider.settings()])


def open_every_link(app, browser, user_id, email):
    with app.app_context(), unit_of_work() as work:
        for purpose, path in PATHS.items():
            for _ in range(5):
                undoes = Undoable(Target.API_KEY, 1, work.clock())
                token = work.links.issue(
                    purpose,
                    user_id=user_id,
                    address=email,
                    lifetime=timedelta(hours=work.lifetimes.verify_link_hours),
                    undoes=undoes,
                )[1]
                yield f"/auth/{path}/{token}"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(("limit", "most"), [(session_cookie.MAX_COOKIE_BYTES, MOST), (1200, 1300)])
def test_session_content_never_prevents_sign_in(site, provider, clock, monkeypatch, limit, most):
    monkeypatch.setattr(session_cookie, "MAX_COOKIE_BYTES", limit)
    dice = random.Random(7)  # noqa: S311 - text that is hard to compress.
    # Twelve bytes each in JSON.
    wide = "".join(map(chr, dice.sample(range(0x10000, 0x2F000), 250)))
    subject = "".join(dice.choices(string.ascii_letters, k=255))
    provider.people = [ada(sub=subject, name=wide[:100], email_verified=False)]
    people = People(site)
    person, codes_person = people.add("ada@corp.example"), people.add("second@example.com")
    other = Browser(site)
    other.login(codes_person)
    phone, _ = set_up(other, clock)
    add_passkey(other)

    browser = Measured(site)
    for _ in range(6):
        browser.get("/auth/login")
        browser.get(f"/auth/oauth/acme?next=/{wide}")
        answer = browser.get("/auth/oauth/acme")
        assert browser.get(provider.answer(answer.location)).location.startswith("/auth/login")
        browser.login(codes_person)
        browser.get("/auth/two-factor")
    for path in list(open_every_link(site, browser, person.id, person.email)):
        browser.get(path)
    browser.login(codes_person, next="/account/security/passkeys")
    assert browser.post("/auth/two-factor", {"code": phone.code()}).status_code == 302
    for _ in range(6):
        browser.get("/account/security/passkeys")
        browser.get("/auth/confirm")
        browser.get(f"/auth/oauth/acme?for=confirm&next=/{wide}")
    for path in list(open_every_link(site, browser, codes_person.id, codes_person.email)):
        browser.get(path)

    assert browser.is_signed_in()
    assert browser.login(person).location == "/account"
    assert browser.is_signed_in()
    assert most - 1400 < browser.largest <= most
