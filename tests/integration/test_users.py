"""Other people's accounts, for those who may see them."""

import pytest

from app.unit_of_work import unit_of_work
from tests.support.pages import Page


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.login(admin)
    return client


def addresses(page):
    return page.texts("tbody .sub")


@pytest.mark.parametrize("path", ["/users", "/users?q=ada", "/users/1", "/users/999"])
def test_a_member_may_not_look_whoever_they_ask_for(signed_in, path):
    refused = signed_in.get(path)

    assert refused.status_code == 403
    assert "You may not open this" in Page(refused.text).text("h1")
    assert not Page(refused.text).has('nav a[href="/users"]')


def test_a_refusal_leaves_a_trace_that_its_owner_can_read(signed_in):
    signed_in.get("/users?q=secret-search")

    page = signed_in.page("/account/activity")
    assert page.texts("main .row-title")[0] == "A page that needs the permission users:read was refused."
    assert "secret-search" not in page.html


def test_an_administrator_sees_everybody_newest_first(grace, people):
    people.add("ada@example.com", name="Ada")
    people.add("bob@example.com", name="Bob")

    page = grace.page("/users")

    assert addresses(page) == ["bob@example.com", "ada@example.com", "grace@example.com"]
    assert page.has('nav a[href="/users"][aria-current]')


def test_the_list_says_who_is_active_unconfirmed_or_deactivated(grace, new_browser, people, flask):
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
    ids=lambda each: ascii(each)[:30],
)
def test_a_search_finds_the_beginning_of_an_address_or_a_name(grace, people, typed, found):
    for other in {"ada@xn--bcher-kva.example", "straße@example.com"} & set(found):
        people.add(other, name="Zed")
    people.add("ada@example.com", name="Countess Lovelace")
    people.add("b@example.com", name="Bob Builder")

    answer = grace.get("/users", query_string={"q": typed.encode("utf-8", "surrogatepass")})

    assert answer.status_code == 200
    assert addresses(Page(answer.text)) == found


def test_a_search_without_a_result_says_so_and_shows_a_way_back(grace):
    page = grace.page("/users?q=nobody")

    assert "Nobody matches “nobody”" in page.text("main")
    assert page.has('main a[href="/users"]')
    assert page.value("q") == "nobody"


def test_many_are_read_page_by_page_and_each_is_there_once(grace, app):
    with app.app_context(), unit_of_work() as work:
        for number in range(120):
            work.users.create(email=f"user{number:03}@example.com", name=f"User {number:03}")

    seen, path = [], "/users?q=user"
    while path:
        page = grace.page(path)
        seen += addresses(page)
        following = page.find_all("nav.pager a.forward")
        path = following[0].attrs["href"] if following else None

    assert seen == [f"user{number:03}@example.com" for number in reversed(range(120))]
    assert page.has('nav.pager a[href="/users?q=user"]')


@pytest.mark.parametrize("before", ["x", "-1", "0", "9" * 30, "1e3", ""])
def test_a_strange_place_to_go_on_from_is_the_beginning(grace, before):
    assert addresses(grace.page(f"/users?before={before}")) == ["grace@example.com"]


def test_a_persons_page_shows_all_that_helps(grace, new_browser, ada, mailbox, flask):
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
        "A link to reset the password was asked for.",
        "Reset your password for Gatehouse",
        "Sent",
    ):
        assert part in text


def test_a_deactivated_persons_page_says_why(grace, ada, flask):
    flask("users", "deactivate", ada.email, "--reason", "left the company")

    text = grace.page(f"/users/{ada.id}").text("main")

    assert "Deactivated" in text
    assert "left the company" in text


def test_a_person_without_a_name_is_called_by_their_address(grace, people):
    nameless = people.add("nameless@example.com")

    assert grace.page(f"/users/{nameless.id}").text("h1") == "nameless@example.com"
    assert "nameless@example.com" in grace.page("/users").text("tbody")


@pytest.mark.parametrize("user_id", ["999", "0", "-1", "x", "9" * 30, "1.5", "1/2"])
def test_nobody_is_a_404(grace, user_id):
    assert grace.get(f"/users/{user_id}").status_code == 404


def test_an_administrator_who_is_none_any_more_is_out_on_the_next_request(grace, people, admin, flask):
    people.add("other@example.com", roles=("administrator",))
    assert grace.get("/users").status_code == 200

    assert flask("users", "unassign", admin.email, "administrator").exit_code == 0

    assert grace.get("/users").status_code == 403
