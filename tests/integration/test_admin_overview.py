"""The first page of administration, its side bar, and the creation of users."""

from datetime import timedelta

import pytest

from app.core.extensions import db
from app.core.principal import OPERATOR
from app.factor_resets.models import FactorReset
from app.invitations.service import Invitations
from app.jobs.models import Job, JobState
from app.jobs.tasks import NoOperation
from app.site.service import SiteSettings
from app.statistics.models import Statistic
from app.statistics.service import USERS
from app.unit_of_work import unit_of_work
from app.users.models import User
from app.users.permissions import JOBS_READ, ROLES_ASSIGN, ROLES_READ, USERS_CREATE, USERS_INVITE, USERS_READ
from app.users.services import search as user_search
from app.users.services.roles import RoleSpec
from tests.support.browser import Browser
from tests.support.deleted import needs
from tests.support.pages import Page

pytestmark = pytest.mark.databases("sqlite", "postgresql")

PAGES = "Overview Users Invitations Imports Roles Audit log Reports Jobs Emails Settings"
ATTENTION = '[aria-labelledby="attention"]'
BOB, PASSWORD = "bob@example.com", "a quieter harbour"


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.sign_in(admin)
    return client


@pytest.fixture
def holder_of(app, people):
    """Return the browser of a user who holds these permissions."""

    def holder_of(*permissions):
        with app.app_context(), unit_of_work() as work:
            work.roles.create(RoleSpec(name="clerk", permissions=frozenset(permissions)), by=OPERATOR)
        browser = Browser(app)
        browser.sign_in(people.add("clerk@example.com", roles=("clerk",)))
        return browser

    return holder_of


def side_bar(page):
    return " ".join(page.texts(".side-nav a"))


def links(page, within):
    return [node.attrs["href"] for node in page.find_all(f"{within} a")]


def notices(page):
    return page.text(ATTENTION)


@pytest.mark.databases("sqlite")
def test_side_bar_lists_all_pages_and_marks_the_nearest(grace):
    needs("imports", "invitations", "reports", "site_settings")
    assert side_bar(grace.page("/admin")) == PAGES
    for path, text, current in (
        ("/admin", "Overview", "page"),
        ("/users", "Users", "page"),
        ("/users/new", "Users", "true"),
        ("/users/invitations", "Invitations", "page"),
        ("/admin/roles/new", "Roles", "true"),
    ):
        page = grace.page(path)
        assert side_bar(page) == PAGES
        assert page.texts(f'.side-nav a[aria-current="{current}"]') == [text]
        assert page.text('.site-nav a[aria-current="true"]') == "Admin"


@pytest.mark.databases("sqlite")
def test_overview_shows_only_what_the_permissions_allow(holder_of):
    browser = holder_of(JOBS_READ)
    page = browser.page("/admin")

    assert side_bar(page) == "Overview Jobs"
    assert page.texts("main h2") == ["Needs attention"]
    assert "/admin" in links(browser.page("/account"), ".site-nav")


@pytest.mark.databases("sqlite")
def test_overview_is_refused_without_a_page_of_administration(signed_in):
    assert signed_in.get("/admin").status_code == 403
    assert "/admin" not in links(signed_in.page("/account"), ".site-nav")


def test_overview_names_what_needs_attention(app, grace, clock):
    with app.app_context(), unit_of_work() as work:
        dead, late = (work.enqueue(NoOperation()) for _ in range(2))
        work.session.get(Job, dead).state = JobState.DEAD
        work.session.get(Job, late).run_after = clock() - timedelta(minutes=6)
        work[Invitations].invite(email=BOB, name="", roles=[], by=OPERATOR)
        work[SiteSettings].change(maintenance=True)
    page = grace.page("/admin")

    assert "Maintenance mode is on." in notices(page)
    assert "1 job failed after all attempts." in notices(page)
    assert "should have started more than 5 minutes ago" in notices(page)
    assert "1 invitation pending." in notices(page)
    urls = links(page, ATTENTION)
    assert {"/admin/jobs?state=dead", "/admin/jobs?state=waiting", "/users/invitations"} <= {*urls}
    assert all(grace.get(url).status_code == 200 for url in urls)


def test_overview_names_scheduled_factor_resets(app, grace, people, clock):
    ada = people.add("ada@example.com", name="Ada Lovelace")
    with app.app_context(), unit_of_work() as work:
        work.session.add(FactorReset(user_id=ada.id, reason="Lost.", begun_at=clock(), due_at=clock()))
    page = grace.page("/admin")

    assert "The second factors of Ada Lovelace will be reset soon." in notices(page)
    assert f"/users/{ada.id}" in links(page, ATTENTION)


def test_user_total_is_exact_below_a_bound_and_rounded_above(app, grace, people, monkeypatch):
    for number in range(3):
        people.add(f"user{number}@example.com")
    with app.app_context(), unit_of_work() as work:
        work.users.delete(work.users.get_by_email("user2@example.com", lock=True), by=OPERATOR)
    assert grace.page("/users").text("#found") == "3 users"
    assert grace.page("/users?q=user").text("#found") == "2 users found"
    assert grace.page("/users?q=nobody").text("#found") == "0 users found"

    monkeypatch.setattr(user_search, "COUNTED", 1)
    assert grace.page("/users").text("#found") == "More than 1 users"
    assert grace.page("/users?q=user").text("#found") == "More than 1 users found"
    with app.app_context(), unit_of_work() as work:
        work.session.add(Statistic(name=USERS, period="2026-01-01", value=1_234_567))
    assert grace.page("/users").text("#found") == "About 1,230,000 users"


def test_search_finds_an_id_and_a_domain(grace, people):
    ada, _ = people.add("ada@example.com", name="Ada"), people.add("bob@example.org", name="Bob")
    people.add("eve@xn--bcher-kva.example", name="Eve")

    def found(q):
        return grace.page(f"/users?q={q}").texts("tbody th a")

    assert found(ada.id) == ["Ada"]
    assert found("%40example.o") == ["Bob"]
    assert found("%40b%C3%BCcher.example") == ["Eve"]
    assert found("%40nowhere") == []
    assert found("9" * 30) == []


def test_changed_address_is_found_by_its_new_domain(app, grace, people):
    people.add("ada@example.com", name="Ada")
    with app.app_context(), unit_of_work() as work:
        work.users.set_email(work.users.get_by_email("ada@example.com"), "ada@example.net", by=OPERATOR)

    assert grace.page("/users?q=%40example.net").texts("tbody th a") == ["Ada"]
    assert "Ada" not in grace.page("/users?q=%40example.com").texts("tbody th a")


def test_created_user_chooses_a_password_and_signs_in(grace, mailbox, new_browser, flask):
    answer = grace.post("/users/create", {"email": BOB, "name": "Bob", "roles": ["manager"]})
    assert answer.location == "/users"
    assert "We've emailed bob@example.com" in grace.page("/users").text("main")
    mail = mailbox.last_to(BOB)
    assert "created an account for you" in mail.text

    browser = new_browser()
    assert browser.open_and_send(mail.link, {"password": PASSWORD}).status_code == 302
    assert browser.login(BOB, PASSWORD).status_code == 302
    assert browser.get("/users").status_code == 200  # As a manager.

    refused = grace.post("/users/create", {"email": BOB})
    assert "Another user has" in Page(refused.text).text("main")


@pytest.mark.databases("sqlite")
def test_created_user_gets_roles_only_within_the_creators_permissions(app, holder_of, flask):
    browser = holder_of(USERS_CREATE, USERS_READ)
    assert not browser.page("/users/create").has('input[name="roles"]')
    assert browser.post("/users/create", {"email": BOB, "roles": ["administrator"]}).status_code == 422
    with app.app_context():
        assert db.session.query(User).filter_by(email=BOB).count() == 0

    assert browser.post("/users/create", {"email": BOB}).status_code == 302
    assert "member" in flask("users", "show", BOB).output


@pytest.mark.databases("sqlite")
def test_inviting_does_not_allow_creating(holder_of):
    browser = holder_of(USERS_INVITE, ROLES_ASSIGN, ROLES_READ)

    assert browser.get("/users/create").status_code == 403


def test_fields_for_a_user_offer_matching_addresses(grace, people):
    people.add("ada@example.com", name="Ada Lovelace")

    assert grace.get("/users/matches?q=love").json == ["ada@example.com"]
    assert grace.get("/users/matches").json == []
    assert grace.page("/admin/audit").has('#actor[list="actor-matches"]')
