"""`flask` commands: output, exit codes and effects."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from app.audit.models import AuditEvent
from app.core.extensions import db
from app.core.principal import OPERATOR
from app.features import load_features
from app.unit_of_work import unit_of_work
from app.users.services.roles import RoleSpec
from tests.support.authenticator import set_up
from tests.support.browser import Browser
from tests.support.mailbox import work_off
from tests.support.program import Program

SCHEDULE = load_features().schedule
COMMANDS = {name for name in load_features().commands if " " not in name}

PASSWORD = "a quieter harbour\n"


@pytest.fixture
def root(flask):
    """An administrator created as in the README."""
    result = flask("users", "create", "root@example.com", "--name", "Root", "--role", "administrator", "--password-stdin",
                 typed=PASSWORD)  # fmt: skip
    assert result.exit_code == 0, result.output
    return "root@example.com"


def test_created_user_can_sign_in_at_once(flask, client, root):
    assert client.login(root, PASSWORD.strip()).status_code == 302
    assert client.get("/users").status_code == 200


def test_users_are_listed_and_shown_as_text_and_json(flask, root, ada):
    listed = json.loads(flask("users", "list", "--json").output)
    assert [user["email"] for user in listed] == [ada.email, root]
    assert ada.email in flask("users", "list", "--search", "ada").output
    assert flask("users", "list", "--search", "zzz").output == "No users.\n"
    shown = json.loads(flask("users", "show", root, "--json").output)
    assert shown["roles"] == ["administrator"]
    assert "hashed_password" not in shown
    assert "administrator" in flask("users", "show", root).output


def test_user_is_edited(flask, client, ada):
    assert flask("users", "edit", ada.email, "--name", "Ada King", "--email", "king@example.com").exit_code == 0
    assert flask("users", "edit", "king@example.com", "--password-stdin", typed="another fine harbour\n").exit_code == 0

    assert client.login("king@example.com", "another fine harbour").status_code == 302


def test_user_can_be_named_by_id(app, flask, ada):
    user_id = str(ada.id)
    assert json.loads(flask("users", "show", user_id, "--json").output)["email"] == ada.email
    assert flask("users", "assign", user_id, "manager").output == f"Assigned manager to {ada.email}.\n"
    assert flask("users", "deactivate", user_id, "--reason", "Left").output == f"Deactivated {ada.email}.\n"
    assert flask("users", "reactivate", user_id).output == f"Reactivated {ada.email}.\n"
    assert ada.email in flask("users", "edit", user_id, "--name", "Ada King").output
    assert "to “Ada King”" in flask("audit", "list", "--subject", user_id).output
    assert flask("users", "delete", user_id, "--yes").output == f"Deleted {ada.email}.\n"
    assert flask("users", "show", user_id).exit_code == 1
    assert flask("users", "restore", user_id).output == f"Restored {ada.email}.\n"


def test_active_user_cannot_be_reactivated(app, flask, ada):
    assert flask("users", "reactivate", ada.email).output == f"{ada.email} is already active.\n"
    with app.app_context():
        assert not db.session.scalar(select(func.count()).where(AuditEvent.kind == "user.activated"))


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "command",
    [
        ("create", "new@example.com", "--role", "king"),
        ("create", "ada@example.com"),
        ("edit", "ada@example.com", "--email", "root@example.com", "--password"),
        ("edit", "nobody@example.com", "--password"),
    ],
    ids=" ".join,
)
def test_invalid_values_are_refused_before_asking_for_a_password(flask, root, ada, command):
    refused = flask("users", *command, typed="")
    assert refused.exit_code == 1
    assert "Password" not in refused.output


def test_password_is_asked_for_twice_unless_piped(flask):
    typed = "a quieter harbour\na quieter harbour\n"

    assert flask("users", "create", "ada@example.com", typed=typed).exit_code == 0


def test_deactivation_ends_all_access_and_reactivation_restores_it(flask, signed_in, ada, mailbox):
    assert flask("users", "deactivate", ada.email, "--reason", "left the company").exit_code == 0
    assert not signed_in.is_signed_in()
    assert "left the company" in mailbox.last_to(ada.email).text

    assert flask("users", "reactivate", ada.email).exit_code == 0
    assert signed_in.login(ada).status_code == 302
    assert "reactivated" in mailbox.last_to(ada.email).subject


def test_deletion_erases_personal_data_and_keeps_the_events(flask, signed_in, ada, app):
    assert flask("users", "delete", ada.email, "--now", typed="n\n").exit_code == 1
    assert flask("users", "delete", ada.email, "--now", "--yes").exit_code == 0

    assert not signed_in.is_signed_in()
    assert flask("users", "show", ada.email).exit_code == 1
    assert flask("users", "restore", ada.email).exit_code == 1


def test_deleted_user_is_hidden_and_can_be_restored(flask, client, ada, mailbox):
    assert flask("users", "delete", ada.email, "--yes").output == f"Deleted {ada.email}.\n"
    assert "was deleted" in mailbox.last_to(ada.email).subject
    refused = flask("users", "show", ada.email)
    assert (refused.exit_code, "Restore it with `flask users restore`" in refused.stderr) == (1, True)
    assert flask("users", "list").output == "No users.\n"
    assert ada.email in flask("users", "list", "--status", "deleted").output
    assert flask("users", "create", ada.email, "--password-stdin", typed=PASSWORD).exit_code == 1

    assert flask("users", "restore", ada.email).exit_code == 0
    assert client.login(ada).status_code == 302
    assert flask("users", "delete", ada.email, "--yes").exit_code == 0
    assert flask("users", "delete", ada.email, "--now", "--yes").exit_code == 0
    assert flask("users", "restore", ada.email).exit_code == 1


def test_support_commands_send_links_and_end_sessions(flask, signed_in, ada, mailbox, client, new_browser):
    assert flask("users", "revoke-sessions", ada.email).output == "Sessions revoked: 1.\n"
    assert not signed_in.is_signed_in()
    assert flask("users", "send-reset", ada.email).exit_code == 0
    assert "/auth/reset-password/" in mailbox.last_to(ada.email).link
    refused = flask("users", "send-confirmation", ada.email)
    assert (refused.exit_code, "already confirmed" in refused.stderr) == (1, True)
    new_browser().register("new@example.com")
    assert flask("users", "send-confirmation", "new@example.com").exit_code == 0
    assert len(mailbox.to("new@example.com")) == 2


def test_deactivation_with_an_end_date(flask, ada, mailbox, clock, work_off, client):
    clock.now = clock.now.replace(year=2030, month=1, day=1)
    assert flask("users", "deactivate", ada.email, "--reason", "x", "--until", "2029-12-31").exit_code == 1
    assert flask("users", "deactivate", ada.email, "--reason", "holiday", "--until", "2030-01-05").exit_code == 0
    assert "5 Jan 2030" in mailbox.last_to(ada.email).text
    for day, status in ((4, 422), (6, 302)):
        clock.now = clock.now.replace(day=day)
        flask("jobs", "schedule", "--once")
        work_off()
        assert client.login(ada).status_code == status


def test_role_changes_apply_at_once(flask, signed_in, ada, root):
    assert signed_in.get("/users").status_code == 403
    assert flask("users", "assign", ada.email, "administrator").exit_code == 0
    assert signed_in.get("/users").status_code == 200
    assert flask("users", "unassign", ada.email, "administrator").exit_code == 0
    assert signed_in.get("/users").status_code == 403


@pytest.mark.parametrize(
    "command",
    [("deactivate", "root@example.com", "--reason", "x"), ("delete", "root@example.com", "--yes"),
     ("unassign", "root@example.com", "administrator")],
)  # fmt: skip
def test_last_administrator_cannot_be_removed(flask, root, command):
    refused = flask("users", *command)

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: There must always be one active administrator")


def test_reset_link_is_printed_where_email_does_not_arrive(flask, client, ada):
    data = json.loads(flask("users", "reset-link", ada.email, "--json").output)
    assert data["link"] in flask("users", "reset-link", ada.email).output or data["expires_at"]
    link = flask("users", "reset-link", ada.email).stdout.strip()

    assert client.reset_password(link, "another fine harbour").status_code == 302


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("users", "show", "nobody@example.com"), 1, "No user has the email address"),
        (("users", "create", "ada@example.com", "--password-stdin"), 1, "at least 12 characters"),
        (("users", "create", "ada@example.com", "--role", "king", "--password-stdin"), 1, "There is no role 'king'"),
        (("users", "create", "root@example.com", "--password-stdin"), 1, "Another user has"),
        (("users", "show", "4711"), 1, "No user has the ID 4711"),
        (("users", "create", "no address", "--password-stdin"), 2, "like name@example.com"),
        (("users", "create", "ada@example.com", "--name", "a\nb"), 2, "Remove line breaks"),
        (("users", "edit", "root@example.com"), 2, "Use --name"),
        (("users", "deactivate", "root@example.com"), 2, "--reason"),
        (("users", "deactivate", "root@example.com", "--reason", " "), 2, "reason"),
        (("users", "assign", "root@example.com", "king"), 1, "There is no role 'king'"),
        (("jobs", "show", "99"), 1, "There is no job 99"),
        (("jobs", "retry", "99"), 1, "There is no job 99"),
        (("jobs", "nonsense"), 2, "No such command"),
        (("nonsense",), 2, "No such command"),
    ],
)
@pytest.mark.databases("sqlite")
def test_failure_exits_1_with_one_sentence_and_wrong_usage_exits_2(flask, root, command, code, says):
    failed = flask(*command, typed="short\n")

    assert failed.exit_code == code
    assert says in failed.stderr
    assert "Traceback" not in failed.output


def test_jobs_are_listed_shown_cancelled_and_retried(flask, client, mailbox):
    client.register("ada@example.com")
    (job,) = json.loads(flask("jobs", "list", "--state", "waiting", "--json").stdout)
    number = str(job["id"])

    assert job["kind"] == "answer_registration"
    assert "answer_registration" in flask("jobs", "list").output
    assert "waiting" in flask("jobs", "show", number).output
    assert json.loads(flask("jobs", "show", number, "--json").stdout)["arguments"].keys() == {"user_id"}
    assert flask("jobs", "cancel", number).exit_code == 0
    assert flask("jobs", "cancel", number).exit_code == 1
    assert mailbox.all() == []
    assert flask("jobs", "retry", number).exit_code == 0
    assert len(mailbox.all()) == 1
    assert flask("jobs", "retry", number).exit_code == 1
    assert flask("jobs", "list", "--state", "dead").output == "No jobs.\n"


def test_schedule_runs_each_tick_once(flask):
    for _ in range(3):
        assert flask("jobs", "schedule", "--once").exit_code == 0

    kinds = [job["kind"] for job in json.loads(flask("jobs", "list", "--json").output)]
    assert sorted(kinds) == sorted(entry.task.kind for entry in SCHEDULE)


@pytest.mark.databases("sqlite")
def test_doctor_reports_no_problem_and_then_one(flask, make_app, root):
    healthy = flask("doctor", "--json")
    assert healthy.exit_code == 0
    assert {finding["state"] for finding in json.loads(healthy.output)} == {"ok"}
    assert "migrations" in flask("doctor").output


@pytest.mark.databases("sqlite")
@pytest.mark.settings(mail_url="smtp://127.0.0.1:1", redis_url="redis://127.0.0.1:1/0")
def test_doctor_names_unreachable_parts(flask):
    result = flask("doctor")

    assert result.exit_code == 1
    assert "mail server" in result.output
    assert "jobs wait" in result.output
    assert "create one: flask users create" in result.output


@pytest.mark.databases("sqlite")
@pytest.mark.settings(redis_url="")
def test_doctor_and_worker_report_a_missing_queue(flask):
    assert "set REDIS_URL" in flask("doctor").output
    refused = flask("jobs", "worker")
    assert refused.exit_code == 1
    assert "No queue found" in refused.stderr


@pytest.mark.databases("sqlite")
def test_test_email_is_sent_at_once(flask, mailbox):
    assert flask("mail", "test", "ada@example.com").exit_code == 0

    assert mailbox.last().subject.startswith("Test email")
    assert mailbox.last().message_id.endswith("@gatehouse.test>")  # Like that of every other email.


@pytest.mark.databases("sqlite")
@pytest.mark.settings(mail_url="smtp://127.0.0.1:1")
def test_failed_test_email_is_reported(flask):
    refused = flask("mail", "test", "ada@example.com")

    assert refused.exit_code == 1
    assert "did not accept the email" in refused.stderr


@pytest.mark.databases("sqlite")
def test_sent_emails_are_listed_and_filtered(app, flask, ada):
    assert flask("mail", "list").output == "No emails.\n"
    Browser(app).forgot_password(ada.email)
    work_off(app)

    assert "Reset your Gatehouse password" in flask("mail", "list").output
    (listed,) = json.loads(flask("mail", "list", "--to", ada.email, "--status", "sent", "--json").output)
    assert (listed["kind"], listed["recipient"], listed["status"]) == ("reset_password", ada.email, "sent")
    assert flask("mail", "list", "--to", "other@example.com").output == "No emails.\n"


@pytest.mark.databases("sqlite")
def test_help_is_not_truncated_and_names_the_product(app):
    group = FlaskGroup(create_app=lambda: app)
    for name in ("", *COMMANDS - {"db"}):
        shown = CliRunner().invoke(group, [*name.split(), "--help"]).output
        assert "..." not in shown.partition("Commands:")[2], name
    assert "Gatehouse: accounts" in CliRunner().invoke(group, ["--help"]).output


# ── roles ──


def test_roles_are_created_changed_shown_and_deleted(flask, root, ada):
    result = flask("roles", "create", "clerk", "--description", "Invites people.", "--permission", "users:invite")
    assert result.output == "Created role clerk.\n"
    assert flask("roles", "grant", "clerk", "users:read", "users:edit").exit_code == 0
    assert flask("roles", "revoke", "clerk", "users:edit").exit_code == 0
    flask("users", "assign", ada.email, "clerk")

    shown = json.loads(flask("roles", "show", "clerk", "--json").output)
    assert shown.pop("id") > 3
    assert shown.pop("created_at")
    assert shown == {
        "name": "clerk",
        "description": "Invites people.",
        "permissions": ["users:invite", "users:read"],
        "requires_second_factor": False,
        "administrators_only": False,
    }
    assert "View users" in flask("roles", "show", "clerk").output
    holders = {role["name"]: role["holders"] for role in json.loads(flask("roles", "list", "--json").output)}
    assert holders == {"administrator": 1, "clerk": 1, "manager": 0, "member": 1}
    assert "Invites people." in flask("roles", "list").output

    refused = flask("roles", "delete", "clerk")
    assert (refused.exit_code, "This role is assigned to users" in refused.stderr) == (1, True)
    flask("users", "unassign", ada.email, "clerk")
    assert flask("roles", "delete", "clerk").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (("create", "Two Words"), 1, "lowercase letters"),
        (("create", "member"), 1, "A role with this name already exists"),
        (("grant", "member", "ships:sink"), 2, "ships:sink"),
        (("grant", "nobody", "users:read"), 1, "There is no role 'nobody'"),
        (("grant", "administrator", "users:read"), 0, "administrator has users:read"),
        (("revoke", "administrator", "users:read"), 1, "can't be changed"),
        (("delete", "administrator"), 1, "cannot be deleted"),
        (("show", "nobody"), 1, "There is no role"),
    ],
)
def test_invalid_role_is_one_sentence(flask, arguments, exit_code, sentence):
    result = flask("roles", *arguments)
    assert (result.exit_code, sentence in result.output) == (exit_code, True), result.output


def test_exported_roles_are_imported_after_a_diff(flask, tmp_path):
    file = tmp_path / "roles.yaml"
    flask("roles", "create", "checker", "--permission", "users:read")
    assert flask("roles", "export", str(file)).exit_code == 0
    assert flask("roles", "load", str(file)).output == "No differences.\n"
    flask("roles", "revoke", "checker", "users:read")

    looked = flask("roles", "load", str(file), "--dry-run")
    assert looked.output == "~ checker\n    + users:read\n"
    declined = flask("roles", "load", str(file), typed="n\n")
    assert declined.exit_code == 1
    assert json.loads(flask("roles", "show", "checker", "--json").output)["permissions"] == []

    assert "Changed 1 role." in flask("roles", "load", str(file), typed="y\n").output
    assert json.loads(flask("roles", "show", "checker", "--json").output)["permissions"] == ["users:read"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a list", "The file: Input should be a valid dictionary"),
        ("member: [", "The file isn't valid YAML"),
        ("member: {permission: []}", "member: permission: Extra inputs are not permitted"),
        ("member: {permissions: [ships:sink]}", "member: ships:sink: choose from"),
        ("Big Boss: {}", "Big Boss: Use 1 to 64 lowercase letters"),
        ("administrator: {permissions: []}", "The name and permissions of the administrator role"),
        ("? {a: b}\n: c", "The file isn't valid YAML"),
    ],
)
def test_invalid_roles_file_changes_nothing(flask, text, sentence):
    before = flask("roles", "export").output

    refused = flask("roles", "load", "-", "--yes", typed=text)

    assert (refused.exit_code, sentence in refused.stderr) == (1, True), refused.output
    assert flask("roles", "export").output == before


def test_confirmation_is_refused_when_stdin_is_the_file(flask):
    assert flask("roles", "load", "-", typed="member: {}").exit_code == 2


def test_grant_applies_to_one_resource(app, flask, root, ada, people):
    bob = people.add("bob@example.com")
    resource = f"users:{bob.id}"
    assert flask("users", "grant", ada.email, "users:edit", resource).exit_code == 0
    assert flask("users", "can", ada.email, "users:edit", resource).output.startswith("Yes (grant).")
    assert flask("users", "can", ada.email, "users:edit", f"users:{bob.id + 1000}").exit_code == 1
    told_and_done(app, ada, bob, is_allowed=True)
    assert flask("users", "ungrant", ada.email, "users:edit", resource).exit_code == 0
    assert flask("users", "can", ada.email, "users:edit", resource).output.startswith("No (permission).")
    told_and_done(app, ada, bob, is_allowed=False)
    assert flask("users", "grant", ada.email, "users:edit", "ships:1").exit_code == 1


def told_and_done(app, ada, bob, *, is_allowed):
    """Check that pages and API agree with the command."""
    browser, program = Browser(app), Program(app).login(ada)
    browser.sign_in(ada)
    page = f"/users/{bob.id}"
    assert browser.get(f"{page}/edit").status_code == (200 if is_allowed else 403)
    assert browser.get(page).status_code == (200 if is_allowed else 403)
    assert program.get(page).status_code == (200 if is_allowed else 404)
    assert program.put(page, {"name": "Bob"}).status_code == (200 if is_allowed else 404)
    assert browser.get("/users").status_code == browser.get(f"/users/{ada.id}/edit").status_code == 403
    assert browser.get(f"{page}/deactivate").status_code == program.delete(page).status_code == 403


def test_can_command_reports_a_required_and_missing_second_factor(flask, app, ada, clock):
    clerk = RoleSpec(name="clerk", permissions=frozenset({"users:read"}), requires_second_factor=True)
    with app.app_context(), unit_of_work() as work:
        work.roles.create(clerk, by=OPERATOR)
    flask("users", "assign", ada.email, "clerk")
    output = flask("users", "can", ada.email, "users:read").output
    assert output == "No (account). A role requires a second factor, which is not set up.\n"
    browser = Browser(app)
    browser.login(ada)
    assert browser.get("/users").status_code == 302
    set_up(browser, clock)
    assert flask("users", "can", ada.email, "users:read").output.startswith("Yes (permission).")
    assert browser.get("/users").status_code == 200


def test_can_command_names_the_deciding_rule(flask, root, ada):
    user_id = json.loads(flask("users", "show", root, "--json").output)["id"]
    assert flask("users", "can", root, "users:edit").output == "Yes (permission). Held through: administrator.\n"
    assert flask("users", "can", ada.email, "users:edit", f"users:{ada.id}").output.startswith("Yes (ownership).")
    assert flask("users", "can", ada.email, "users:edit", f"users:{user_id}").output.startswith("No (permission).")
    data = json.loads(flask("users", "can", ada.email, "users:edit", "--json").output)
    assert (data["allowed"], data["rule"]) == (False, "permission")
    assert flask("users", "can", ada.email, "users:fly").exit_code == 2
    nowhere = flask("users", "can", ada.email, "users:edit", "users:999999999")
    assert (nowhere.exit_code, "There is no users:999999999" in nowhere.stderr) == (1, True)


@pytest.mark.parametrize(
    "command",
    [
        ("maintenance", "on"),
        ("schedule", "pause", "note-uses"),
        ("schedule", "run", "note-uses"),
        ("users", "create", "new@example.com", "--password-stdin"),
        ("users", "assign", "ada@example.com", "administrator"),
        ("users", "revoke-sessions", "ada@example.com"),
        ("users", "grant", "ada@example.com", "users:read", "users:{ada}"),
        ("roles", "create", "clerk"),
        ("invitations", "send", "bob@example.com"),
    ],
)
def test_commands_are_recorded_as_the_operator(app, flask, signed_in, ada, command):
    before = event_count(app)

    assert flask(*(word.format(ada=ada.id) for word in command), typed=PASSWORD).exit_code == 0

    with app.app_context():
        query = select(AuditEvent).options(joinedload(AuditEvent.detail)).order_by(AuditEvent.id).offset(before)
        events = db.session.scalars(query).all()
        assert events
        for event in events:
            assert event.actor_id is None
            assert event.detail.values["entry_point"] == "cli", event.kind


def event_count(app):
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(AuditEvent))
