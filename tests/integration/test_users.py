"""User administration: lists, pages and actions."""

import csv
import json
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import update

from app.core.principal import OPERATOR
from app.unit_of_work import unit_of_work
from app.users.models import User
from tests.support.pages import Page
from tests.support.statements import statements


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.sign_in(admin)
    return client


def addresses(page):
    return page.texts("tbody .sub")


@pytest.mark.parametrize("path", ["/users", "/users?q=ada", "/users/1", "/users/999999999"])
def test_member_gets_the_same_refusal_for_every_user(signed_in, path):
    refused = signed_in.get(path)

    assert refused.status_code == 403
    assert "You don't have access to this page" in Page(refused.text).text("h1")
    assert not Page(refused.text).has('nav a[href="/users"]')


def test_refusal_is_recorded_in_the_users_activity(signed_in):
    signed_in.get("/users?q=secret-search")

    page = signed_in.page("/account/activity")
    assert page.texts("main .row-title")[0] == "Access denied: users:read is required."
    assert "secret-search" not in page.html


def test_administrator_sees_all_users_newest_first(grace, people):
    people.add("ada@example.com", name="Ada")
    people.add("bob@example.com", name="Bob")

    page = grace.page("/users")

    assert addresses(page) == ["bob@example.com", "ada@example.com", "grace@example.com"]
    assert page.has('nav a[href="/users"][aria-current]')


@pytest.mark.databases("sqlite", "postgresql")
def test_list_shows_active_unconfirmed_and_deactivated_users(grace, new_browser, people, flask):
    people.add("gone@example.com", name="Gone")
    flask("users", "deactivate", "gone@example.com", "--reason", "left")
    new_browser().register("new@example.com", name="New")

    rows = grace.page("/users").texts("tbody tr")

    assert [word for row in rows for word in ("Not confirmed", "Deactivated", "Active") if word in row] == [
        "Not confirmed",
        "Deactivated",
        "Active",
    ]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ada", ["ada@example.com"]),
        ("ADA", ["ada@example.com"]),
        ("  ada  ", ["ada@example.com"]),
        ("ada@example.com", ["ada@example.com"]),
        ("ada@bücher.example", ["ada@xn--bcher-kva.example"]),
        ("Straße@example.com", ["straße@example.com"]),
        ("Bob", ["b@example.com"]),
        ("bob", ["b@example.com"]),
        ("Bob Builder", ["b@example.com"]),
        ("", ["b@example.com", "ada@example.com", "grace@example.com"]),
        ("%", []),
        ("_", []),
        ("' OR 1=1 --", []),
        ("\x00", ["b@example.com", "ada@example.com", "grace@example.com"]),
        ("\uffff\U0010ffff", []),
        ("x" * 5000, []),
        ("<b>", []),
    ],
    ids=lambda value: ascii(value)[:30],
)
@pytest.mark.databases("sqlite", "postgresql")
def test_search_finds_the_start_of_an_address_or_name(grace, people, typed, found):
    for other in {"ada@xn--bcher-kva.example", "straße@example.com"} & set(found):
        people.add(other, name="Zed")
    people.add("ada@example.com", name="Countess Lovelace")
    people.add("b@example.com", name="Bob Builder")

    answer = grace.get("/users", query_string={"q": typed.encode("utf-8", "surrogatepass")})

    assert answer.status_code == 200
    assert addresses(Page(answer.text)) == found


def test_column_headers_sort_the_list_and_toggle(grace, people):
    people.add("ada@example.com")
    page = grace.page("/users?q=a&sort=last_seen_at")
    links = {link.to_text().strip(): link.attrs["href"] for link in page.find_all("thead th a")}

    assert links["User"] == "/users?q=a&sort=name"
    assert links["Last seen"] == "/users?q=a&sort=-last_seen_at"
    assert page.texts("[aria-sort=ascending]") == ["Last seen"]
    joined = grace.page(links["Joined"])
    assert joined.texts("[aria-sort=descending]") == ["Joined"]
    assert joined.find("th[aria-sort] a").attrs["href"] == "/users?q=a&sort=created_at"


def test_bulk_bar_needs_an_action(grace, ada):
    refused = grace.post("/users/bulk", {"users": ada.id, "act": ""}, page="/users")

    assert refused.location == "/users"
    assert "Select at least one user and an action." in grace.page("/users").text("main")


def test_empty_search_result_links_back(grace):
    page = grace.page("/users?q=nobody")

    assert "No users match “nobody”" in page.text("main")
    assert page.has('main a[href="/users"]')
    assert page.value("q") == "nobody"


@pytest.mark.databases("sqlite", "postgresql")
def test_paging_shows_each_user_once(grace, app):
    with app.app_context(), unit_of_work() as work:
        for number in range(120):
            work.users.create(email=f"user{number:03}@example.com", name=f"User {number:03}", by=OPERATOR)

    seen, path = [], "/users?q=user"
    while path:
        page = grace.page(path)
        seen += addresses(page)
        following = page.find_all("nav.pager a.forward")
        path = following[0].attrs["href"] if following else None

    assert seen == [f"user{number:03}@example.com" for number in reversed(range(120))]
    assert page.has('nav.pager a[href="/users?q=user"]')


@pytest.mark.parametrize("after", ["x", "-1", "9" * 30, ""])
def test_invalid_cursor_shows_the_first_page(grace, after):
    assert addresses(grace.page(f"/users?after={after}")) == ["grace@example.com"]


def test_user_page_shows_details_for_support(grace, new_browser, ada, mailbox, flask):
    browser = new_browser()
    browser.login(ada)
    browser.forgot_password(ada.email)
    mailbox.all()

    text = grace.page(f"/users/{ada.id}").text("main")

    for part in (
        "Ada Lovelace",
        "ada@example.com",
        "member",
        "Firefox on Linux",
        "203.0.113.7",
        "Signed in.",
        "Password reset requested.",
        "Reset your Gatehouse password",
        "Sent",
    ):
        assert part in text


def test_user_page_shows_the_deactivation_reason(grace, ada, flask):
    flask("users", "deactivate", ada.email, "--reason", "left the company")

    text = grace.page(f"/users/{ada.id}").text("main")

    assert "Deactivated" in text
    assert "left the company" in text


def test_user_without_a_name_is_shown_by_email(grace, people):
    nameless = people.add("nameless@example.com")

    assert grace.page(f"/users/{nameless.id}").text("h1") == "nameless@example.com"
    assert "nameless@example.com" in grace.page("/users").text("tbody")


@pytest.mark.parametrize("user_id", ["999999999", "0", "-1", "x", "9" * 30, "1.5", "1/2"])
def test_unknown_user_returns_404(grace, user_id):
    assert grace.get(f"/users/{user_id}").status_code == 404


def test_removed_administrator_loses_access_on_the_next_request(grace, people, admin, flask):
    people.add("other@example.com", roles=("administrator",))
    assert grace.get("/users").status_code == 200

    assert flask("users", "unassign", admin.email, "administrator").exit_code == 0

    assert grace.get("/users").status_code == 403


# ── filters ──


@pytest.mark.databases("sqlite", "postgresql")
def test_filters_and_orders_apply(grace, people, new_browser, flask, clock):
    people.add("ada@example.com", name="Ada", roles=("manager",))
    people.add("bob@example.com", name="Bob")
    flask("users", "deactivate", "bob@example.com", "--reason", "left")
    new_browser().register("new@example.com", name="New")
    people.add("gone@example.com", name="Gone")
    flask("users", "delete", "gone@example.com", "--yes")

    assert addresses(grace.page("/users?role=manager")) == ["ada@example.com"]
    assert addresses(grace.page("/users?status=deactivated")) == ["bob@example.com"]
    assert addresses(grace.page("/users?status=unconfirmed")) == ["new@example.com"]
    assert addresses(grace.page("/users?status=deleted")) == ["gone@example.com"]
    assert addresses(grace.page("/users?sort=email&status=active")) == ["ada@example.com", "grace@example.com"]
    tomorrow, today = f"{clock.now.date() + timedelta(days=1)}", f"{clock.now.date()}"
    assert "grace@example.com" in addresses(grace.page(f"/users?seen_before={tomorrow}"))
    assert addresses(grace.page(f"/users?seen_before={today}&sort=name")) == [
        "ada@example.com", "bob@example.com", "new@example.com",
    ]  # fmt: skip
    page = grace.page("/users?status=deactivated&role=member")
    assert page.has('option[value="deactivated"][selected]')
    assert page.has('option[value="member"][selected]')


@pytest.mark.parametrize(
    "query",
    [
        "sort=hashed_password",
        "status=asleep",
        "seen_before=soon",
        "seen_before=9999-12-31",
        "after=x",
        "fields=hashed_password",
    ],
)
def test_invalid_filter_is_ignored(grace, query):
    assert addresses(grace.page(f"/users?{query}"))[:1] in (["grace@example.com"], [])
    assert "argon2" not in grace.get(f"/users?{query}").text


@pytest.mark.parametrize("filters", ["", "?q=a", "?role=member&status=active", "?seen_before=2020-01-01"])
@pytest.mark.databases("sqlite", "postgresql")
def test_list_page_takes_a_constant_number_of_queries(grace, people, filters):
    counts = []
    for _ in range(2):
        with statements() as queries:
            assert grace.get(f"/users{filters}").status_code == 200
        counts.append(len(queries))
        people.add_all(
            {"email": f"a{number}-{len(counts)}@example.com", "roles": ("member", "manager")} for number in range(8)
        )
    assert counts[0] == counts[1] <= 5, counts


def test_signed_out_partial_request_is_redirected_to_sign_in(client):
    answer = client.get("/users?q=a", headers={"HX-Request": "true"})
    assert answer.headers["HX-Redirect"].startswith("/auth/login?next=/users")


# ── one user ──


def test_administrator_edits_name_and_roles_and_proposes_an_address(grace, ada, mailbox, app):
    form = grace.page(f"/users/{ada.id}/edit")
    assert (form.value("name"), form.value("email")) == (ada.name, ada.email)
    sent = {"name": "Ada King", "email": "king@example.com", "roles": ["manager"], "version": form.value("version")}
    assert grace.post(f"/users/{ada.id}/edit", sent).status_code == 302

    text = grace.page(f"/users/{ada.id}").text("main")
    assert "Ada King" in text
    assert ada.email in text
    assert "manager" in text
    assert "/auth/confirm-email-change/" in mailbox.last_to("king@example.com").link

    stale = grace.post(f"/users/{ada.id}/edit", sent | {"name": "Other"})
    assert (stale.status_code, "Someone else changed" in stale.text) == (422, True)
    assert Page(stale.text).value("name") == "Other"


def test_missing_form_fields_change_nothing(grace, ada, flask):
    version = grace.page(f"/users/{ada.id}/edit").value("version")
    more = {
        "id": "1",
        "user_id": "1",
        "is_active": "",
        "hashed_password": "x",
        "email_verified_at": "",
        "deleted_at": "x",
    }
    sent = {"name": "Ada", "email": ada.email, "roles": ["member"], "version": version} | more
    assert grace.post(f"/users/{ada.id}/edit", sent).status_code == 302
    data = json.loads(flask("users", "show", ada.email, "--json").output)
    assert (data["id"], data["is_active"], data["deleted_at"]) == (ada.id, True, None)
    assert grace.login(ada).status_code == 302


def test_new_address_requires_a_recent_confirmation(grace, ada, clock):
    clock.advance(minutes=11)
    version = grace.page(f"/users/{ada.id}/edit").value("version")
    sent = {"name": "Ada King", "email": ada.email, "version": version}
    assert grace.post(f"/users/{ada.id}/edit", sent).location == f"/users/{ada.id}"
    version = grace.page(f"/users/{ada.id}/edit").value("version")
    answer = grace.post(f"/users/{ada.id}/edit", sent | {"email": "king@example.com", "version": version})
    assert answer.location == f"/auth/confirm?next=/users/{ada.id}/edit"


def test_user_is_deactivated_with_reason_and_end_and_reactivated(grace, ada, new_browser, mailbox, clock):
    browser = new_browser()
    browser.sign_in(ada)
    path = f"/users/{ada.id}/deactivate"
    yesterday, later = f"{clock.now.date() - timedelta(days=1)}", f"{clock.now.date() + timedelta(days=9)}"
    for wrong in (
        {"reason": ""},
        {"reason": "x" * 501},
        {"reason": "x", "until": yesterday},
        {"reason": "x", "until": "soon"},
    ):
        assert grace.post(path, wrong).status_code == 422

    assert grace.post(path, {"reason": "On leave.", "until": later}).status_code == 302
    assert not browser.is_signed_in()
    assert "On leave." in mailbox.last_to(ada.email).text
    page = grace.page(f"/users/{ada.id}")
    assert "On leave." in page.text("main")

    assert grace.post(f"/users/{ada.id}/activate", {}, page=f"/users/{ada.id}").status_code == 302
    assert browser.login(ada).status_code == 302


@pytest.mark.databases("sqlite", "postgresql")
def test_deleted_user_is_hidden_until_restored_and_erased_in_the_end(
    grace, ada, new_browser, app, flask, clock, work_off
):
    browser = new_browser()
    browser.sign_in(ada)
    page = f"/users/{ada.id}"
    assert grace.post(f"{page}/delete", {"reason": "Left."}).status_code == 302
    assert not browser.is_signed_in()
    assert ada.email not in addresses(grace.page("/users"))
    assert "permanently deleted" in grace.page(page).text("main")
    assert grace.get(f"{page}/edit").status_code == 404

    assert grace.post(f"{page}/restore", {}, page=page).status_code == 302
    assert browser.login(ada).status_code == 302
    grace.post(f"{page}/delete", {"reason": "Left."})
    for days, status in ((29, 200), (2, 404)):
        clock.advance(days=days)
        flask("jobs", "schedule", "--once")
        work_off()
        grace.login("grace@example.com", "a quieter harbour")
        assert grace.get(page).status_code == status


def test_deactivation_survives_deletion_and_restore(flask, ada, client):
    for command in (("deactivate", ada.email, "--reason", "x"), ("delete", ada.email, "--yes"), ("restore", ada.email)):
        assert flask("users", *command).exit_code == 0
    assert client.login(ada).status_code == 422
    assert flask("users", "reactivate", ada.email).exit_code == 0
    assert client.login(ada).status_code == 302


def test_support_sends_links_and_ends_sessions(grace, ada, new_browser, mailbox):
    browser = new_browser()
    browser.sign_in(ada)
    page = f"/users/{ada.id}"
    grace.post(f"{page}/end-sessions", {}, page=page)
    assert not browser.is_signed_in()
    grace.post(f"{page}/send-reset", {}, page=page)
    assert "/auth/reset-password/" in mailbox.last_to(ada.email).link
    refused = grace.post(f"{page}/send-confirmation", {}, page=page)
    assert "already confirmed" in grace.page(refused.location).text('[role="alert"]')


def test_user_page_explains_an_access_decision(grace, ada, admin):
    page = f"/users/{ada.id}"
    answer = grace.page(f"{page}?action=users:edit&resource=users:{ada.id}").text("#access ~ p")
    assert answer == f"Yes , users:edit on users:{ada.id} , by the rule “ownership”. Allowed for your own account."
    assert "There is no users:999999999" in grace.page(f"{page}?action=users:edit&resource=users:999999999").text(
        "main"
    )
    assert grace.get(f"{page}?action=ships:sink&resource=x").status_code == 200


@pytest.fixture
def manager(people, new_browser):
    """The browser of a manager, who can neither delete users nor assign roles."""
    browser = new_browser()
    browser.sign_in(people.add("mary@example.com", name="Mary", roles=("manager",)))
    return browser


def test_manager_helps_members_but_not_administrators(manager, ada, admin):
    page = manager.page(f"/users/{ada.id}")
    assert page.has(f'a[href="/users/{ada.id}/edit"]')
    assert not page.has('a[href$="/delete"]')
    assert not manager.page(f"/users/{ada.id}/edit").has('[name="roles"]')
    version = manager.page(f"/users/{ada.id}/edit").value("version")
    sent = {"name": "Ada", "email": ada.email, "version": version, "roles": ["administrator"]}
    assert manager.post(f"/users/{ada.id}/edit", sent).status_code == 422

    assert not manager.page(f"/users/{admin.id}").has('main form[method="post"]')
    for path in ("edit", "deactivate"):
        assert manager.get(f"/users/{admin.id}/{path}").status_code == 403
    for path in ("activate", "end-sessions", "send-reset", "delete", "restore"):
        sent = {"reason": "x"} if path == "delete" else {}
        assert manager.post(f"/users/{admin.id}/{path}", sent, page="/users").status_code == 403


@pytest.mark.databases("sqlite", "postgresql")
def test_last_administrator_cannot_be_removed(grace, admin):
    page = f"/users/{admin.id}"
    refused = grace.post(f"{page}/delete", {"reason": "Left."})
    assert "must always be one active administrator" in grace.page(refused.location).text('[role="alert"]')
    assert grace.post(f"{page}/deactivate", {"reason": "x"}).status_code == 422
    version = grace.page(f"{page}/edit").value("version")
    sent = {"name": "G", "email": admin.email, "version": version, "shows_roles": "y"}
    assert grace.post(f"{page}/edit", sent).status_code == 422


def test_delete_asks_for_the_password_and_returns_to_the_page(grace, ada, clock):
    clock.advance(minutes=11)
    page = f"/users/{ada.id}"
    assert grace.get(f"{page}/delete").location == f"/auth/confirm?next={page}/delete"


# ── bulk actions ──


def test_bulk_preview_lists_affected_users_and_changes_nothing(grace, people, admin, app, mailbox):
    some = [people.add(f"p{number}@example.com", name=f"Person {number}") for number in range(3)]
    users = [str(person.id) for person in some] + [str(admin.id), "999999999"]
    looked = Page(grace.post("/users/bulk", {"act": "deactivate", "users": users}, page="/users").text)

    assert looked.texts("#affected ~ ul li") == ["Person 0", "Person 1", "Person 2"]
    assert "There must always be one active administrator" in looked.text("main")
    assert "User not found" in looked.text("main")
    assert mailbox.all() == []

    sent = {"act": "deactivate", "users": users, "go": "y"}
    assert grace.post("/users/bulk", sent, page="/users").status_code == 422
    done = grace.post("/users/bulk", sent | {"reason": "The project is over."}, page="/users")
    assert "3 users deactivated." in grace.page(done.location).text("main")
    assert len(mailbox.all()) == 3
    assert len(addresses(grace.page("/users?status=deactivated"))) == 3


def test_bulk_action_assigns_a_role_or_signs_users_out(grace, ada, new_browser):
    browser = new_browser()
    browser.sign_in(ada)
    grace.post("/users/bulk", {"act": "assign:manager", "users": [str(ada.id)], "go": "y"}, page="/users")
    assert browser.get("/users").status_code == 200
    grace.post("/users/bulk", {"act": "end_sessions", "users": [str(ada.id)], "go": "y"}, page="/users")
    assert not browser.is_signed_in()


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"act": "deactivate"},
        {"users": ["1"]},
        {"act": "erase", "users": ["1"]},
        {"act": "deactivate", "users": ["x"]},
        {"act": "deactivate", "users": ["9" * 30]},
        {"act": "deactivate", "users": ["-1"]},
    ],
)
def test_bulk_action_without_selection_changes_nothing(grace, sent):
    refused = grace.post("/users/bulk", sent | {"go": "y"}, page="/users")
    assert "Select at least one user and an action." in grace.page(refused.location).text('[role="alert"]')


def test_manager_cannot_assign_roles_in_bulk(manager, ada, admin):
    sent = {"act": "assign:administrator", "users": [str(ada.id)], "go": "y"}
    refused = manager.post("/users/bulk", sent, page="/users")
    assert refused.location == "/users"
    looked = Page(manager.post("/users/bulk", {"act": "end_sessions", "users": [str(admin.id)]}, page="/users").text)
    assert "You also need" in looked.text("#left-out ~ dl")


# ── invitations ──


def test_user_is_invited_with_a_role(grace, mailbox, client, app):
    sent = {"email": "Bob@Example.com", "name": "Bob", "roles": ["manager"]}
    assert grace.post("/users/new", sent).status_code == 302
    assert "/auth/invitation/" in mailbox.last_to("bob@example.com").link
    again = grace.post("/users/new", sent)
    assert (again.status_code, Page(again.text).value("email")) == (422, "Bob@Example.com")


def test_manager_invites_without_choosing_roles(manager):
    assert not manager.page("/users/new").has('[name="roles"]')
    assert manager.post("/users/new", {"email": "x@example.com", "roles": ["administrator"]}).status_code == 422
    assert manager.post("/users/new", {"email": "x@example.com"}).status_code == 302


@pytest.mark.databases("sqlite", "postgresql")
def test_pages_filters_csv_and_commands_derive_the_same_status(app, grace, people, flask, clock):
    combinations = list(product([True, False], [True, False], [True, False]))
    for number, (is_active, is_verified, is_deleted) in enumerate(combinations):
        person = people.add(f"user{number}@example.com", name=f"User {number}")
        values = {
            "is_active": is_active,
            "email_verified_at": clock() if is_verified else None,
            "deleted_at": clock() if is_deleted else None,
        }
        with app.app_context(), unit_of_work() as work:
            work.session.execute(update(User).where(User.id == person.id).values(**values))
    expected = {
        f"user{number}@example.com": "deleted" if deleted else "deactivated" if not active else by_address
        for number, (active, verified, deleted) in enumerate(combinations)
        for by_address in ["active" if verified else "unconfirmed"]
    } | {"grace@example.com": "active"}

    labels = {"active": "Active", "unconfirmed": "Not confirmed", "deactivated": "Deactivated", "deleted": "Deleted"}
    for status, label in labels.items():
        of_status = {email for email, its in expected.items() if its == status}
        page = grace.page(f"/users?status={status}")
        assert set(addresses(page)) == of_status
        assert page.texts("tbody .badge") == [label] * len(of_status)
        listed = flask("users", "list", "--status", status).output.splitlines()
        assert {line.split()[1] for line in listed} == of_status
        assert all(status in line.split() for line in listed)
    exported = list(csv.DictReader(grace.get("/users/export.csv").text.removeprefix("\ufeff").splitlines()))
    assert {row["email"]: row["status"] for row in exported} == {
        email: status for email, status in expected.items() if status != "deleted"
    }
