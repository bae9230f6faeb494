"""Every page, in each of its states: accessible in light and dark, usable on a narrow phone, no console messages."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import abort
from werkzeug.serving import make_server

from app import create_app
from app.auth.models import Authenticator, Purpose, Target, Undoable
from app.core.principal import OPERATOR
from app.factor_resets.service import FactorResets
from app.jobs.tasks import NoOperation
from app.settings import Settings
from app.statistics.service import Statistics
from app.web.access import public
from tests.e2e.conftest import DESKTOP, NARROWEST, PHONE, size
from tests.e2e.visitor import OTHER_PASSWORD, PASSWORD, Visitor, new_address
from tests.support.deployment import until
from tests.support.html_checker import HtmlChecker, running_html_checker

pytestmark = pytest.mark.browser

# WCAG 2.2 levels A and AA, and axe's best practices.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = Axe()

# GET endpoints that are not pages.
NOT_PAGES = {
    "admin.export_audit_csv",
    "admin.export_audit_json_lines",
    "account.download",
    "admin.export_report",
    "admin.mail_template_html",
    "users.export",
    "users.matches",
    "users.import_report",
    "api.openapi",
    "auth.forward",
    # They redirect to a provider.
    "auth.oauth",
    "auth.callback",
    "dev.mail_html",
    "dev.mailbox_json",
    "health.healthz",
    "health.metrics",
    "health.readyz",
    "home.change_password",
    "home.favicon",
    "home.logo",
    "home.jwks",
    "home.robots",
    "home.security_txt",
    "home.theme",
    "static",
    # They move a token from the URL to a cookie and redirect to a page listed here.
    "auth.open_email_change",
    "auth.open_invitation",
    "auth.open_keep_factors",
    "auth.open_reset_link",
    "auth.open_undo_addition",
    "auth.open_undo_link",
    "auth.open_verification",
}

WAYS: dict[str, Callable[[Visitor], None]] = {}


def way(name: str) -> Callable[[Callable[[Visitor], None]], Callable[[Visitor], None]]:
    """Register the function that opens the page `endpoint` or, after a colon, one of its other states."""

    def mark(how: Callable[[Visitor], None]) -> Callable[[Visitor], None]:
        WAYS[name] = how
        return how

    return mark


def opened(name: str, path: str, *, signed_in: bool = False, roles: tuple[str, ...] = (), status: int = 200) -> None:
    """Register a page that is opened by its URL alone."""

    def open_it(visitor: Visitor) -> None:
        if signed_in or roles:
            visitor.is_signed_in(roles=roles, at=None)
        assert visitor.open(path).status == status

    WAYS[name] = open_it


opened("home.index", "/")
opened("auth.login", "/auth/login")
opened("auth.register", "/auth/register")
opened("auth.forgot_password", "/auth/forgot-password")
opened("auth.resend_verification", "/auth/resend-verification")
opened("auth.check_your_mail", "/auth/check-your-mail")
opened("auth.confirm", "/auth/confirm", signed_in=True)
opened("account.profile", "/account", signed_in=True)
opened("account.email", "/account/email", signed_in=True)
opened("account.time_zone", "/account/time-zone", signed_in=True)
opened("account.password", "/account/password", signed_in=True)
opened("account.security: none", "/account/security", signed_in=True)
opened("account.connections: none", "/account/connections", signed_in=True)
opened("account.activity", "/account/activity", signed_in=True)
opened("account.api_keys", "/account/api-keys", signed_in=True)
opened("account.api_keys: with scopes", "/account/api-keys", roles=("administrator",))
opened("account.data", "/account/data", signed_in=True)
opened("account.close", "/account/close", signed_in=True)
opened("account.end_other_sessions", "/account/sessions/end-others", signed_in=True)
opened("api.docs", "/api/docs")
opened("users.index", "/users", roles=("administrator",))
opened("admin.overview", "/admin", roles=("administrator",))
opened("users.new", "/users/new", roles=("administrator",))
opened("users.create", "/users/create", roles=("administrator",))
opened("users.invitations: none", "/users/invitations", roles=("administrator",))
opened("users.index: nobody found", "/users?q=nobody-is-called-so", roles=("administrator",))
opened("admin.audit", "/admin/audit", roles=("administrator",))
opened("admin.audit: nothing found", "/admin/audit?actor=nobody", roles=("administrator",))
opened("admin.jobs: none", "/admin/jobs?state=dead", roles=("administrator",))
opened("admin.schedule", "/admin/jobs/schedule", roles=("administrator",))
opened("admin.workers", "/admin/jobs/workers", roles=("administrator",))
opened("admin.reports: nothing yet", "/admin/reports?by=month", roles=("administrator",))
opened("admin.mail: none", "/admin/mail?status=refused", roles=("administrator",))
opened("admin.mail_templates", "/admin/mail/templates", roles=("administrator",))
opened("admin.mail_template", "/admin/mail/templates/invitation", roles=("administrator",))
opened("admin.roles", "/admin/roles", roles=("administrator",))
opened("admin.new_role", "/admin/roles/new", roles=("administrator",))
opened("error: 403", "/users", signed_in=True, status=403)
opened("error: 404", "/there-is-nothing", status=404)
opened("error: 410", "/auth/verify-email/spent-long-ago", status=410)


@way("auth.two_factor")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    visitor.context.clear_cookies()
    visitor.sign_in()
    assert visitor.heading == "Two-step verification"


@way("auth.confirm: by a code")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    visitor.open("/auth/confirm")
    assert "recovery code" in visitor.says()


@way("account.codes")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(at="/account/security")
    visitor.press("Set up authenticator app")
    assert visitor.heading == "Set up your authenticator app"


@way("account.security: set up, with a trusted browser")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    _, codes = visitor.sets_up_codes()
    visitor.sign_out()
    visitor.sign_in()
    visitor.page.get_by_label("Trust this browser for 30 days").check()
    visitor.fill(code=codes[0])
    visitor.press("Sign in")
    visitor.open("/account/security")
    assert "9 of 10 codes left" in visitor.says()


@way("account.codes: the recovery codes")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    assert visitor.heading == "Your recovery codes"


@way("account.remove")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    visitor.open("/account/security")
    visitor.follow("Remove")
    visitor.press("Remove")
    assert "Tick the box to confirm" in visitor.says()


@way("auth.login: with a passkey")
def _(visitor: Visitor) -> None:
    visitor.open(f"{visitor.site}/auth/login")
    visitor.page.get_by_role("button", name="Sign in with a passkey").wait_for()


@way("account.passkeys")
def _(visitor: Visitor) -> None:
    visitor.has_account().signs_in_where_passkeys_are(then="/account/security/passkeys")


@way("auth.two_factor: a passkey")
def _(visitor: Visitor) -> None:
    visitor.has_authenticator(transport="usb", verifies=False)
    visitor.has_account().signs_in_where_passkeys_are(then="/account/security/passkeys")
    visitor.fill(name="Key on my ring")
    visitor.press("Add passkey")
    visitor.sign_out()
    visitor.signs_in_where_passkeys_are(then="/account/security")
    assert visitor.heading == "Two-step verification"


@way("account.security: a passkey")
def _(visitor: Visitor) -> None:
    visitor.has_authenticator(transport="usb", verifies=False)
    visitor.has_account().signs_in_where_passkeys_are(then="/account/security/passkeys")
    visitor.fill(name="A name that is as long as a name may be and goes on and on until it ends")
    visitor.press("Add passkey")
    visitor.open(f"{visitor.site}/account/security")


@way("account.passkey")
def _(visitor: Visitor) -> None:
    visitor.has_authenticator(transport="usb", verifies=False)
    visitor.has_account().signs_in_where_passkeys_are(then="/account/security/passkeys")
    visitor.fill(name="Work laptop")
    visitor.press("Add passkey")
    visitor.open(f"{visitor.site}/account/security")
    visitor.follow("Work laptop")


@way("account.security: about to be reset")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    with visitor.deployment.work() as work:
        work[FactorResets].announce_reset(work.users.get_by_email(visitor.email), reason="They called.", by=OPERATOR)
    visitor.open("/account/security")
    assert "They called." in visitor.says()


@way("users.show: with a reset of factors")
def _(visitor: Visitor) -> None:
    lost = has_factor(visitor)
    with visitor.deployment.work() as work:
        work[FactorResets].announce_reset(work.users.get(lost), reason="They called.", by=OPERATOR)
    visitor.is_signed_in(roles=("administrator",), at=f"/users/{lost}")
    assert "Cancel removal" in visitor.says()


@way("users.reset_factors")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at=f"/users/{has_factor(visitor)}/reset-factors")


def has_factor(visitor: Visitor) -> int:
    """Another user with an authenticator app."""
    user_id: int = visitor.deployment.add_user(new_address("lost"), name="Grace Hopper", password=PASSWORD)
    with visitor.deployment.work() as work:
        now = work.clock()
        work.session.add(Authenticator(user_id=user_id, kind="totp", created_at=now, confirmed_at=now))
    return user_id


@way("account.security: required")
def _(visitor: Visitor) -> None:
    visitor.needs_a_factor()
    assert "One of your roles requires it." in visitor.says()


@way("account.connections")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.comes_from_acme()
    visitor.press("Connect Acme")
    visitor.comes_from_acme(sub="another")
    assert visitor.heading == "Connected accounts"


@way("auth.confirm: without a password")
def _(visitor: Visitor) -> None:
    visitor.comes_from_acme()
    visitor.open("/auth/confirm")
    assert "Sign in to Acme again" in visitor.says()


@way("account.password: none")
def _(visitor: Visitor) -> None:
    visitor.comes_from_acme()
    visitor.open("/account/password")
    assert "You don't have a password" in visitor.says()


@way("error: a provider's answer that is not believed")
def _(visitor: Visitor) -> None:
    assert visitor.open("/auth/oauth/acme/callback?state=none").status == 400


@way("auth.login: refused")
def _(visitor: Visitor) -> None:
    visitor.sign_in(password="not their password")


@way("auth.login: not confirmed")
def _(visitor: Visitor) -> None:
    visitor.register()
    visitor.sign_in()
    assert "Confirm your email address" in visitor.says()


@way("auth.register: refused")
def _(visitor: Visitor) -> None:
    visitor.register(password="gatehouse gatehouse")


@way("auth.register: a password is judged and shown")
def _(visitor: Visitor) -> None:
    visitor.open("/auth/register")
    visitor.fill(password="password1234")
    visitor.page.get_by_role("button", name="Show password").click()
    visitor.page.locator("[data-strength] meter").wait_for()


@way("auth.verify_email")
def _(visitor: Visitor) -> None:
    visitor.register()
    visitor.open(token_link(visitor, Purpose.VERIFY_EMAIL, "/auth/verify-email"))


@way("auth.verify_email: another browser")
def _(visitor: Visitor) -> None:
    visitor.register()
    visitor.context.clear_cookies()
    visitor.open(token_link(visitor, Purpose.VERIFY_EMAIL, "/auth/verify-email"))
    assert "password" in visitor.says()


@way("auth.reset_password")
def _(visitor: Visitor) -> None:
    visitor.has_account().open(token_link(visitor, Purpose.RESET_PASSWORD, "/auth/reset-password"))


@way("auth.invitation")
def _(visitor: Visitor) -> None:
    # An invitation takes over an account that was never confirmed.
    visitor.register()
    visitor.open(token_link(visitor, Purpose.INVITATION, "/auth/invitation"))


@way("auth.confirm_email_change")
def _(visitor: Visitor) -> None:
    wants_another_address(visitor)
    visitor.open(token_link(visitor, Purpose.CHANGE_EMAIL, "/auth/confirm-email-change"))


@way("auth.undo_email_change")
def _(visitor: Visitor) -> None:
    wants_another_address(visitor)
    visitor.open(token_link(visitor, Purpose.UNDO_EMAIL_CHANGE, "/auth/undo-email-change"))


@way("auth.undo_addition")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    visitor.open(visitor.link_in("An authenticator app was added"))
    assert visitor.heading == "Remove authenticator app"
    assert "second factor you had before" not in visitor.says()


@way("auth.undo_addition: with a code from before")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    visitor.open("/account/api-keys")
    visitor.fill(name="backup")
    visitor.press("Create API key")
    visitor.open(visitor.link_in("A new API key"))
    visitor.fill(code="12345678")
    visitor.press("Revoke API key")
    assert "second factor you had before" in visitor.says()


@way("auth.password_changed")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    visitor.open(token_link(visitor, Purpose.RESET_PASSWORD, "/auth/reset-password"))
    visitor.fill(password=OTHER_PASSWORD)
    visitor.press("Change password")
    assert visitor.heading == "Password changed"


@way("auth.keep_factors")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    with visitor.deployment.work() as work:
        user = work.users.get_by_email(visitor.email, lock=True)
        reset = work[FactorResets].announce_reset(user, reason="They called.", by=OPERATOR)
        _, token = work.links.issue(
            Purpose.KEEP_FACTORS,
            user_id=user.id,
            address=user.email,
            lifetime=timedelta(hours=work.lifetimes.factor_reset_hours),
            undoes=Undoable(Target.FACTOR_RESET, reset.id, reset.begun_at),
        )
    visitor.open(f"/auth/keep-factors/{token}")


@way("account.profile: saved")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(name="A name that is as long as a name may be and goes on and on until it ends")
    visitor.press("Save changes")


@way("account.email: pending")
def _(visitor: Visitor) -> None:
    wants_another_address(visitor)


@way("account.password: refused")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(at="/account/password")
    visitor.fill(current_password="not their password", password=OTHER_PASSWORD)
    visitor.press("Change password")


@way("account.sessions")
def _(visitor: Visitor) -> None:
    # A second sign-in replaces the cookie and keeps the first session.
    visitor.is_signed_in(at=None).context.clear_cookies()
    visitor.sign_in()
    visitor.open("/account/sessions")


@way("account.api_keys: made")
def _(visitor: Visitor) -> None:
    makes_a_key(visitor)
    assert "You won't see it again" in visitor.says()


@way("account.api_keys: refused")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(at="/account/api-keys")
    visitor.fill(name="   ")
    visitor.press("Create API key")


@way("account.api_key")
def _(visitor: Visitor) -> None:
    makes_a_key(visitor)
    visitor.follow("Nightly report")


@way("api.docs: opened")
def _(visitor: Visitor) -> None:
    visitor.open("/api/docs")
    for operation in ("list_users", "make_api_key", "login"):
        visitor.page.locator(f"#{operation} > summary").click()


@way("account.activity: its last page")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(at=None)
    with visitor.deployment.work() as work:
        owner = work.users.get_by_email(visitor.email).id
        for _ in range(30):
            work.audit.record("user.verification_requested", subject_id=owner)
    visitor.open("/account/activity")
    visitor.follow("Older")


@way("users.show")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at=None)
    with visitor.deployment.read() as work:
        number = work.users.get_by_email(visitor.email).id
    visitor.open(f"/users/{number}")


@way("users.index: filtered")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/users")
    with visitor.page.expect_response(lambda answer: "q=ada" in answer.url):
        visitor.page.locator("#q").press_sequentially("ada")
    visitor.page.wait_for_url("**/users?q=ada*")


@way("users.bulk: preview")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/users")
    visitor.page.locator('[name="users"]').first.check()
    visitor.page.locator("#act").select_option("deactivate")
    visitor.press("Preview")


@way("users.invitations")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/users/new")
    visitor.fill(email=new_address("invited"), name="Charles Babbage")
    visitor.press("Send invitation")
    assert visitor.path == "/users/invitations"


@way("users.edit")
def _(visitor: Visitor) -> None:
    of_someone(visitor, "Edit")


@way("users.deactivate")
def _(visitor: Visitor) -> None:
    of_someone(visitor, "Deactivate")


@way("users.impersonate")
def _(visitor: Visitor) -> None:
    of_someone(visitor, "Impersonate")


@way("account.profile: impersonated")
def _(visitor: Visitor) -> None:
    of_someone(visitor, "Impersonate")
    visitor.fill(reason="They asked for help with their name.")
    visitor.press("Impersonate")
    assert "You're signed in as Charles Babbage" in visitor.page.locator("header").inner_text()


@way("users.show: deleted")
def _(visitor: Visitor) -> None:
    of_someone(visitor)
    visitor.follow("Delete")
    visitor.fill(reason="They asked for it by letter.")
    visitor.press("Delete")
    assert "They asked for it by letter." in visitor.says()


@way("users.show: why")
def _(visitor: Visitor) -> None:
    of_someone(visitor)
    visitor.press("Check")


@way("users.show: deactivated")
def _(visitor: Visitor) -> None:
    gone = new_address("gone")
    visitor.deployment.add_user(gone, password=PASSWORD)
    with visitor.deployment.work() as work:
        user = work.users.get_by_email(gone)
        work.users.deactivate(user, reason="asked for it by letter", by=OPERATOR)
    visitor.is_signed_in(roles=("administrator",), at=f"/users/{user.id}")


@way("admin.mail")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at=None)
    with visitor.deployment.work() as work:
        work.users.send_reset(work.users.get_by_email(visitor.email), by=OPERATOR)
    until(lambda: (mails := visitor.deployment.mails()) and all(mail.sent_at for mail in mails))
    visitor.open("/admin/mail")


@way("account.data: ready")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(at="/account/data")
    visitor.press("Request a copy")
    until(lambda: all(job.finished_at for job in visitor.deployment.jobs("export_own_data")))
    visitor.open("/account/data")
    visitor.page.get_by_text("is available until").wait_for()


def imported(visitor: Visitor, *, rows: str, applies: bool = False) -> None:
    """An import by this administrator, checked and optionally applied."""
    visitor.is_signed_in(roles=("administrator",), at="/users/import")
    visitor.page.get_by_label("CSV file").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": f"email,name,roles\n{rows}".encode()}
    )
    visitor.press("Check file")
    visitor.page.get_by_text("checked. The import will").wait_for()
    if applies:
        visitor.press("Start import")
        visitor.page.get_by_text("Import finished").wait_for()


@way("users.import: none")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/users/import")


@way("users.show_import: checked")
def _(visitor: Visitor) -> None:
    imported(visitor, rows=f"{new_address('in')},New,\nnonsense,,\n{new_address('in')},,wizard\n")


@way("users.import: some")
def _(visitor: Visitor) -> None:
    imported(visitor, rows=f"{new_address('in')},New,\n")
    visitor.open("/users/import")


@way("users.show_import: done")
def _(visitor: Visitor) -> None:
    imported(visitor, rows=f"{new_address('in')},New,\n", applies=True)


@way("users.show_import: refused")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/users/import")
    visitor.page.get_by_label("CSV file").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": b"PK\x03\x04"}
    )
    visitor.press("Check file")
    visitor.page.get_by_text("an Excel or ZIP file").wait_for()


@way("admin.reports")
def _(visitor: Visitor) -> None:
    with visitor.deployment.work() as work:
        work.audit.record("user.created", subject_id=None)
        for day in work[Statistics].days_to_count():
            work[Statistics].count_day(day)
    visitor.is_signed_in(roles=("administrator",), at="/admin/reports")


@way("admin.site_settings")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/admin/settings")


@way("admin.jobs")
def _(visitor: Visitor) -> None:
    with visitor.deployment.work() as work:
        for process_expired in (
            lambda queue, claim: queue.heartbeat(claim, done=40_000, total=100_000),
            lambda queue, claim: queue.discard(claim, outcome="the user no longer exists"),
            lambda queue, claim: queue.retry_later(claim, outcome="the mail server is away"),
            lambda queue, claim: queue.complete(claim, outcome="finished"),
        ):
            process_expired(work.job_queue, work.job_queue.claim(work.enqueue(NoOperation()), worker="web1:4711"))
    visitor.is_signed_in(roles=("administrator",), at="/admin/jobs")


@way("admin.job: dead")
def _(visitor: Visitor) -> None:
    with visitor.deployment.work() as work:
        job_id = work.enqueue(NoOperation())
        claim = work.job_queue.claim(job_id)
        work.job_queue.discard(claim, outcome="failed with ValueError", traceback="app/jobs/worker.py:70 in _perform")
    visitor.is_signed_in(roles=("administrator",), at=f"/admin/jobs/{job_id}")
    visitor.page.get_by_text("Traceback").click()


@way("admin.job: running")
def _(visitor: Visitor) -> None:
    with visitor.deployment.work() as work:
        job_id = work.enqueue(NoOperation())
        work.job_queue.heartbeat(work.job_queue.claim(job_id), done=40_000, total=100_000)
    visitor.is_signed_in(roles=("administrator",), at=f"/admin/jobs/{job_id}")


@way("admin.role")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/admin/roles")
    visitor.follow("manager")


@way("admin.edit_role")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/admin/roles")
    visitor.follow("administrator")
    visitor.follow("Edit")


@way("admin.new_role: refused")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/admin/roles/new")
    visitor.fill(name="Two Words")
    visitor.page.get_by_label("users:read").check()
    visitor.press("Create role")


@way("dev.mailbox")
def _(visitor: Visitor) -> None:
    visitor.register()
    visitor.mail("Confirm your email address")
    visitor.open("/dev/mailbox")


@way("dev.mail")
def _(visitor: Visitor) -> None:
    visitor.register()
    visitor.mail("Confirm your email address")
    visitor.open("/dev/mailbox")
    visitor.follow("Confirm your email address for Gatehouse")


@way("users.delete: refused")
def _(visitor: Visitor) -> None:
    of_someone(visitor, "Delete")
    visitor.page.locator("form").last.evaluate("form => { form.noValidate = true }")
    visitor.press("Delete")
    assert "Enter a reason" in visitor.says()


@way("users.send_reset")
def _(visitor: Visitor) -> None:
    of_someone(visitor, "Send reset link")


@way("users.end_sessions")
def _(visitor: Visitor) -> None:
    of_someone(visitor)
    visitor.open(f"{visitor.path}/end-sessions")


@way("users.revoke_invitation")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/users/new")
    invited = new_address("invited")
    visitor.fill(email=invited)
    visitor.press("Send invitation")
    visitor.follow(f"Revoke the invitation of {invited}")


@way("account.end_api_key")
def _(visitor: Visitor) -> None:
    makes_a_key(visitor)
    visitor.follow("Nightly report")
    visitor.follow("Revoke")


@way("account.disconnect")
def _(visitor: Visitor) -> None:
    visitor.comes_from_acme()
    visitor.open("/account/connections")
    visitor.follow(f"Disconnect Acme, {visitor.email}")


@way("account.recovery_codes")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in()
    visitor.sets_up_codes()
    visitor.open("/account/security")
    visitor.follow("Create new codes")


@way("admin.delete_role")
def _(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/admin/roles")
    visitor.follow("manager")
    visitor.open(f"{visitor.path}/delete")


def of_someone(visitor: Visitor, link: str | None = None) -> None:
    """Open a user's page as an administrator, or a page below it."""
    other = new_address("other")
    visitor.deployment.add_user(other, name="Charles Babbage", password=PASSWORD)
    with visitor.deployment.read() as work:
        number = work.users.get_by_email(other).id
    visitor.is_signed_in(roles=("administrator",), at=f"/users/{number}")
    if link is not None:
        visitor.follow(link)


def makes_a_key(visitor: Visitor) -> None:
    visitor.is_signed_in(roles=("administrator",), at="/account/api-keys")
    visitor.fill(name="Nightly report")
    visitor.page.get_by_label("users:read").check()
    visitor.press("Create API key")


def wants_another_address(visitor: Visitor) -> None:
    visitor.is_signed_in(at="/account/email")
    visitor.fill(email=new_address("countess"))
    visitor.press("Change email")


def token_link(visitor: Visitor, purpose: Purpose, path: str) -> str:
    """Create a link as the worker would, without waiting for an email."""
    with visitor.deployment.work() as work:
        user = work.users.get_by_email(visitor.email)
        change = work.email_changes.find_pending(user.id)
        _, token = work.links.issue(
            purpose,
            user_id=user.id,
            address=user.email,
            lifetime=timedelta(hours=work.lifetimes.verify_link_hours),
            email_change_id=change.id if change else None,
        )
    return f"{path}/{token}"


# ── a deployment with problems ──


@pytest.fixture
def troubled(sqlite_template, tmp_path) -> Iterator[str]:
    """The URL of a server in this process with closed registration and failing pages."""
    settings = Settings(
        environment="testing",
        secret_key="k7Jq2vXw9-this-signs-only-in-tests-Zp4Lm8Rt",
        database_url=f"sqlite:///{sqlite_template}",
        instance_path=tmp_path,
        registration="closed",
        terms_url="https://example.com/terms",
        privacy_url="https://example.com/privacy",
    )
    app = create_app(settings)
    app.add_url_rule("/fails/<int:status>", "fails", public(fail))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fail(status: int) -> None:
    abort(status)


@pytest.fixture(scope="session")
def html_checker(tmp_path_factory) -> Iterator[HtmlChecker]:
    with running_html_checker(tmp_path_factory.mktemp("html_checker")) as checker:
        yield checker


# ── the tests ──


def test_every_page_is_covered(deployment):
    """All GET endpoints except those of the API."""
    views = deployment.app.view_functions
    rules = {rule.endpoint for rule in deployment.app.url_map.iter_rules() if "GET" in rule.methods}
    rules -= {name for name in rules if hasattr(views[name], "spec")}
    looked_at = {name.partition(":")[0] for name in WAYS} - {"error", "users.bulk"}

    assert rules - NOT_PAGES == looked_at


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.deep
def test_page_is_accessible_fits_a_phone_and_logs_nothing(visitor, html_checker, name):
    WAYS[name](visitor)

    assert faults(visitor, name, html_checker) == []


@pytest.mark.parametrize("status", [400, 405, 413, 415, 429, 500, 503])
@pytest.mark.deep
def test_error_page_is_accessible_and_fits_a_phone(visitor, troubled, html_checker, status):
    assert visitor.open(f"{troubled}/fails/{status}").status == status

    assert faults(visitor, f"error: {status}", html_checker) == []


@pytest.mark.deep
def test_closed_registration_page_is_accessible_and_fits_a_phone(visitor, troubled, html_checker):
    visitor.open(f"{troubled}/auth/register")

    assert "is not accepting new accounts" in visitor.says()
    assert faults(visitor, "auth.register: closed", html_checker) == []


def faults(visitor: Visitor, name: str, html_checker: HtmlChecker) -> list[str]:
    """List HTML errors, axe's findings in both color schemes, and widths that the page does not fit."""
    page = visitor.page
    problems = [f"HTML: {error}" for error in html_checker.errors(page.content())]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width, height in (DESKTOP, PHONE, NARROWEST):
            page.set_viewport_size(size((width, height)))
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                problems.append(f"{wide} pixels wide on {width}")
            keep_picture(visitor, f"{name} {width} {scheme}")
        # Only colors differ in dark mode.
        which = (
            {"type": "tag", "values": RULES} if scheme == "light" else {"type": "rule", "values": ["color-contrast"]}
        )
        violations = AXE.run(page, options={"runOnly": which, "resultTypes": ["violations"]}).response["violations"]
        problems += [f"{scheme}: {v['id']}: {[node['html'] for node in v['nodes']]}" for v in violations]
    return problems


def keep_picture(visitor: Visitor, name: str) -> None:
    """Save a screenshot to the folder PICTURES, so that all pages can be looked at."""
    folder = os.environ.get("PICTURES")
    if folder:
        visitor.page.screenshot(path=Path(folder) / f"{name.replace(': ', '-').replace(' ', '_')}.png", full_page=True)
