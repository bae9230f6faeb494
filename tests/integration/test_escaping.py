"""User input is escaped on every page that shows it."""

from app.site.service import SiteSettings
from app.unit_of_work import unit_of_work
from tests.support.browser import Browser
from tests.support.pages import Page
from tests.support.program import Program

HOSTILE = '<x-hostile title="a">{{ 7*7 }}</x-hostile>'


def test_stored_values_are_escaped_on_every_page(app, people, mailbox):
    admin = people.add("grace@example.com", name=f"Grace {HOSTILE}", roles=("administrator",))
    ada = people.add("ada@example.com", name=f"Ada {HOSTILE}")
    browser = Browser(app, user_agent=HOSTILE)
    browser.login(admin)
    key = Program(app).login(admin).post("/api-keys", {"name": f"Key {HOSTILE}"}).json["data"]["id"]
    role = {"name": "hostile", "description": f"Role {HOSTILE}", "permissions": []}
    assert browser.post("/admin/roles/new", role).status_code == 302
    assert browser.post(f"/users/{ada.id}/deactivate", {"reason": f"Reason {HOSTILE}"}).status_code == 302
    with app.app_context(), unit_of_work() as work:
        work[SiteSettings].change(announcement=f"News {HOSTILE}")
        role_id = work.roles.get("hostile").id
    mailbox.all()

    shown = {
        path: browser.get(path)
        for path in (
            "/account", "/account/sessions", "/account/activity", "/account/security", "/account/data",
            "/account/api-keys", f"/account/api-keys/{key}",
            "/users", "/users?q=ada", f"/users/{ada.id}", f"/users/{ada.id}/edit", f"/users/{ada.id}/impersonate",
            f"/users/{ada.id}/deactivate", f"/users/{admin.id}",
            "/admin/audit", "/admin/roles", f"/admin/roles/{role_id}", f"/admin/roles/{role_id}/edit",
            "/admin/settings", "/admin/mail", "/admin/jobs", "/admin/jobs/schedule", "/admin/jobs/workers", "/admin",
        )
    }  # fmt: skip

    for path, answer in shown.items():
        assert answer.status_code in {200, 302}, path
        assert not Page(answer.text).has("x-hostile"), path
        assert "49" not in Page(answer.text).text("h1"), path
    telling = {path for path, answer in shown.items() if "&lt;x-hostile" in answer.text}
    assert telling >= {"/account", "/users", f"/users/{ada.id}", "/account/api-keys", "/admin/roles", "/admin/settings"}
