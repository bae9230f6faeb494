"""Times in the user's own time zone, and the last sign-in."""

import csv
from datetime import UTC, datetime

import pytest

from app.core.extensions import db
from app.unit_of_work import unit_of_work
from app.users.models import User

pytestmark = pytest.mark.databases("sqlite", "postgresql")

BERLIN, KIRITIMATI = "Europe/Berlin", "Pacific/Kiritimati"
ZONES = "/account/time-zone"


@pytest.fixture(autouse=True)
def _at(clock):
    clock.now = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)


def zone_of(app, person):
    with app.app_context():
        return db.session.scalar(db.select(User.time_zone).where(User.id == person.id))


def set_zone(app, person, name):
    with app.app_context(), unit_of_work() as work:
        work.profile.set_time_zone(person.id, name)


def test_chosen_time_zone_is_used_on_pages_and_in_emails(app, signed_in, ada, mailbox):
    assert "12:30 UTC" in signed_in.page("/account").text("main")

    assert signed_in.post(ZONES, {"time_zone": BERLIN}, page=ZONES).location == "/account"
    page = signed_in.page("/account")
    assert BERLIN in page.text("main")
    assert "14:30 CEST" in page.text("main")
    changed = {"current_password": ada.password, "password": "another quiet harbour"}
    signed_in.post("/account/password", changed, page="/account/password")
    assert "14:30 CEST" in mailbox.last_to(ada.email).text

    assert signed_in.post(ZONES, {"time_zone": ""}, page=ZONES).status_code == 302
    assert zone_of(app, ada) is None


@pytest.mark.databases("sqlite")
def test_unknown_time_zone_is_refused(signed_in):
    assert signed_in.post(ZONES, {"time_zone": "Mars/Olympus"}, page=ZONES).status_code == 422


@pytest.mark.databases("sqlite")
def test_stored_name_that_is_no_longer_known_falls_back_to_the_site(app, signed_in, ada):
    set_zone(app, ada, "Gone/Away")

    assert "UTC" in signed_in.page("/account").text("main")


def test_first_time_zone_comes_from_the_browser(app, new_browser, ada):
    for cookie, stored in (("Mars/Olympus", None), (BERLIN, BERLIN), (KIRITIMATI, BERLIN)):
        browser = new_browser()
        browser.http.set_cookie("time-zone", cookie, domain="gatehouse.test")
        assert browser.login(ada.email, ada.password).status_code == 302
        assert zone_of(app, ada) == stored


@pytest.mark.databases("sqlite")
def test_sign_in_page_names_the_cookie_and_other_pages_do_not(client, signed_in, new_browser):
    assert new_browser().page("/auth/login").find("html").attrs["data-zone-cookie"] == "time-zone"
    assert "data-zone-cookie" not in signed_in.page("/account").find("html").attrs


def test_last_sign_in_is_shown_after_signing_in(app, new_browser, ada, clock):
    first, second = new_browser(), new_browser()
    first.login(ada.email, ada.password)
    assert "Last sign-in" not in first.page("/account").text("main")

    set_zone(app, ada, BERLIN)
    clock.advance(hours=1)
    second.login(ada.email, ada.password)
    assert "Last sign-in: 1 Jul 2026, 14:30 CEST from 203.0.113.7." in second.page("/account").text("main")
    assert "Last sign-in" not in second.page("/account").text("main")


@pytest.mark.databases("sqlite")
def test_days_in_filters_begin_in_the_viewers_zone(app, admin, client):
    client.sign_in(admin)
    set_zone(app, admin, KIRITIMATI)  # It is the 2nd of July there already.

    assert "Account created" in client.page("/admin/audit?since=2026-07-02").text("main")
    assert "Account created" not in client.page("/admin/audit?until=2026-07-01").text("main")


@pytest.mark.databases("sqlite")
def test_exported_tables_have_times_in_the_viewers_zone(app, admin, client):
    client.sign_in(admin)
    set_zone(app, admin, BERLIN)

    for path, column in (("/admin/audit.csv", "at"), ("/users/export.csv", "created_at")):
        row = next(csv.DictReader(client.get(path).text.lstrip("\ufeff").splitlines()))
        assert row[column].endswith("+02:00"), path


@pytest.mark.databases("sqlite")
def test_impersonator_sees_times_in_their_own_zone(app, admin, ada, client):
    client.sign_in(admin)
    client.confirm(admin.password)
    set_zone(app, ada, BERLIN)
    client.post(f"/users/{ada.id}/impersonate", {"reason": "Help."}, page=f"/users/{ada.id}/impersonate")

    assert "UTC" in client.page("/account").text("main")
    assert client.post(ZONES, {"time_zone": BERLIN}, page="/account").status_code == 403
