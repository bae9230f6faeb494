"""docs/permissions.md says who may enter where; this asks the application the same, route by route.

`make permissions` writes it anew.
"""

import re
from itertools import count
from urllib.parse import urlsplit

import pytest

from app.core.extensions import db
from app.core.principal import OPERATOR
from app.core.settings import ROOT
from app.features import load_features
from app.imports.models import UserImport
from app.invitations.service import Invitations
from app.jobs.tasks import NoOperation
from app.unit_of_work import unit_of_work
from app.users.models import User
from app.users.permissions import ACCOUNT_SCOPES, PERMISSIONS
from app.users.services.roles import RoleSpec
from tests.support.browser import Browser
from tests.support.people import Person
from tests.support.program import Program

pytestmark = pytest.mark.databases("sqlite")

load_features()  # It declares the permissions.
DOCUMENT = ROOT / "docs" / "permissions.md"
# Bodies that are valid, so that the policy decides and not the form.
BODIES = {"api.edit_user": {"name": "Someone"}, "api.confirm": {"password": "a quieter harbour"}}
NUMBERS = count(1)

INTRODUCTION = """# Access by route

Every route and method against every kind of visitor, as the running application answers. `make permissions` writes this
page; `tests/integration/test_permissions.py` compares it with the application, and fails for a route that is not here.

* **yes**: allowed; the request may still be refused for another reason
* **sign in**: redirected to sign-in, or 401
* **no**: 403
* **hidden**: 404, as if it did not exist

Every visitor has entered their password recently. `<user_id>` is another member, `<session_id>` and `<key_id>` belong
to the visitor, `<role_id>` is a role without permissions, `<token>` is an unknown token. The impersonator is an
administrator who impersonates a member. Both API keys belong to an administrator, one without scopes and one with all.
A user with an unconfirmed address, and on pages an API key, gets the responses of a signed-out visitor.
"""


class Visitor:
    """A browser of one kind of visitor; `owner_id` owns the objects they use."""

    owner_id = 0

    def __init__(self, app, people):
        self.app, self.people, self.browser, self.person = app, people, Browser(app), None
        self.come_in()

    def come_in(self):
        """Sign in as this kind of visitor, also again after having been signed out."""

    def send(self, method, rule, path):
        how = {}
        if method != "GET":
            token = self.browser.token()
            is_api = path.startswith("/api/")
            how = (
                {"json": BODIES.get(rule.endpoint, {}), "headers": {"X-CSRFToken": token}}
                if is_api
                else {"data": {"csrf_token": token}}
            )
        answer = self.browser.send(method, path, **how)
        if method != "GET" and answer.status_code < 400:
            self.come_in()
        return answer


class SignedOut(Visitor):
    title = "signed out"


class Unconfirmed(Visitor):
    title = "not confirmed"

    def come_in(self):
        self.browser.register("unconfirmed@example.com")
        self.browser.login("unconfirmed@example.com", "a quieter harbour")


class Member(Visitor):
    title, roles = "member", ("member",)

    def come_in(self):
        if self.person is None:
            self.person = self.people.add(f"{self.title.replace(' ', '-')}@example.com", roles=self.roles)
            self.owner_id = self.person.id
        self.browser.sign_in(self.person)
        if not self.browser.is_signed_in():
            self.browser.login(self.person)  # Signing in restores their closed account.


class Manager(Member):
    title, roles = "manager", ("manager",)


class Administrator(Member):
    title, roles = "administrator", ("administrator",)


class Impersonating(Administrator):
    title = "impersonating a member"

    def come_in(self):
        super().come_in()
        if self.owner_id == self.person.id:
            self.owner_id = self.people.add("acted-as@example.com").id
        self.browser.post(f"/users/{self.owner_id}/impersonate", {"reason": "to see what they see"})


class KeyWithoutScopes(Visitor):
    title, scopes = "API key without scopes", ()

    def come_in(self):
        email = f"key{len(self.scopes)}@example.com"
        person = self.person or self.people.add(email, roles=("administrator",))
        self.person, self.owner_id = person, person.id
        answer = Program(self.app).login(person).post("/api-keys", {"name": "A key", "scopes": list(self.scopes)})
        self.key = answer.json["data"]["key"]

    def send(self, method, rule, path):
        headers = {"Authorization": f"Bearer {self.key}"}
        if path.startswith("/api/"):
            body = {} if method == "GET" else {"json": BODIES.get(rule.endpoint, {})}
            return self.browser.send(method, path, headers=headers, **body)
        stranger = Browser(self.app)
        sent = {} if method == "GET" else {"data": {"csrf_token": stranger.token()}}
        return stranger.send(method, path, headers=headers, **sent)


class KeyWithScopes(KeyWithoutScopes):
    title, scopes = "API key with scopes", tuple(sorted([*PERMISSIONS, *ACCOUNT_SCOPES]))


PEOPLE = (SignedOut, Member, Manager, Administrator, Impersonating)
KEYS = (KeyWithoutScopes, KeyWithScopes)


def kinds_of(path):
    """Return the visitors of the document's columns; others get the responses of signed-out ones."""
    return PEOPLE + KEYS if path.startswith("/api/") else PEOPLE


@pytest.fixture
def target(app, people):
    """Return a value for a route's argument, created for this request, so that no other is affected."""

    def program_of(visitor):
        with app.app_context():
            owner = db.session.get_one(User, visitor.owner_id)
            return Program(app).login(Person(id=owner.id, email=owner.email, name="", password="a quieter harbour"))

    def made(act):
        with app.app_context(), unit_of_work() as work:
            return act(work).id

    def made_import(visitor):
        """An import of the visitor: those of others are hidden."""
        with app.app_context(), unit_of_work() as work:
            user_import = UserImport(
                owner_id=visitor.owner_id or None, by_operator=False, permissions=[], file_name="people.csv",
                invites=False, phase="checked", rows=0, checked={}, applied={}, examples=[], ignored=[],
                created_at=work.clock(), job_id=work.enqueue(NoOperation()),
            )  # fmt: skip
            work.session.add(user_import)
            work.session.flush()
            return user_import.id

    def made_mail():
        with app.app_context(), unit_of_work() as work:
            job_id = work.enqueue(NoOperation())
            work.job_queue.complete(work.job_queue.claim(job_id))
            return work.mail_quota.open(
                job_id=job_id, kind="x", user_id=None, recipient="x@example.com", subject="x", domain="x"
            ).id

    def made_job():
        with app.app_context(), unit_of_work() as work:
            return work.enqueue(NoOperation())

    def make(name, visitor):
        number = next(NUMBERS)
        makers = {
            "filename": lambda: "gatehouse.css",
            "token": lambda: "x" * 43,
            "user_id": lambda: people.add(f"target{number}@example.com").id,
            "role_id": lambda: made(lambda work: work.roles.create(RoleSpec(name=f"role{number}"), by=OPERATOR)),
            "import_id": lambda: made_import(visitor),
            "mail_id": made_mail,
            "template": lambda: "invitation",
            "job_id": made_job,
            "provider": lambda: "github",
            "name": lambda: "purge-expired",
            "invitation_id": lambda: made(
                lambda work: work[Invitations].invite(email=f"{number}@example.com", name="", roles=[], by=OPERATOR)
            ),
            "key_id": lambda: program_of(visitor).post("/api-keys", {"name": "Theirs"}).json["data"]["id"],
            "session_id": lambda: program_of(visitor).get("/sessions").json["data"]["items"][0]["id"],
        }
        is_own = name in {"key_id", "session_id"}
        # Missing objects look hidden to everyone.
        return makers[name]() if name in makers and (visitor.owner_id or not is_own) else number

    return make


@pytest.fixture
def ask(app, people, target):
    """Request a route as one kind of visitor; return the word for the response."""
    visitors = {}

    def ask(kind, method, rule):
        if kind not in visitors:
            visitors[kind] = kind(app, people)
        visitor = visitors[kind]
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(target(match[1], visitor)), rule.rule)
        answer = visitor.send(method, rule, path)
        return word(answer, is_public=getattr(app.view_functions[rule.endpoint], "is_public", False))

    return ask


def routes(app):
    """Return each method of each route, with its path in the document."""
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule.startswith("/api/"), rule.rule))
    return [
        (method, rule, re.sub(r"<[a-z]+:", "<", rule.rule))
        for rule in rules
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"})
    ]


def word(answer, *, is_public):
    assert answer.status_code < 500, answer.text
    sent_on = urlsplit(answer.headers.get("Location", "")).path
    if answer.status_code == 401 or (sent_on == "/auth/login" and not is_public):
        return "sign in"
    return {403: "no", 404: "hidden"}.get(answer.status_code, "yes")


def documented():
    """Return the document's table: for each method and path, the word for each kind of visitor."""
    rows = re.findall(r"^\| ([A-Z, ]+) \| `([^`]+)` \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return {
        (method, path): dict(zip(kinds_of(path), words.split(" | "), strict=True))
        for methods, path, words in rows
        for method in methods.split(", ")
    }


def decisive(words):
    """Return the most powerful visitor who is refused, whom a loosened rule admits first; or a stranger."""
    refused = [kind for kind in (Member, Manager, Administrator) if words[kind] in {"no", "hidden"}]
    return [SignedOut, *refused][-1]


# GitHub's authorization URL is known without a request.
WITH_GITHUB = pytest.mark.settings(oauth_providers=[{"name": "github", "label": "GitHub", "client_id": "x"}])


@WITH_GITHUB
def test_each_route_answers_the_deciding_visitor_as_documented(app, ask):
    words = documented()
    assert sorted(words) == sorted((method, path) for method, _, path in routes(app))

    for method, rule, path in routes(app):
        kind = decisive(words[method, path])
        assert ask(kind, method, rule) == words[method, path][kind], (method, path, kind.title)


@WITH_GITHUB
@pytest.mark.deep
def test_each_route_answers_every_visitor_as_documented(app, ask, request):
    tables = {PEOPLE: {}, PEOPLE + KEYS: {}}
    for method, rule, path in routes(app):
        words = {kind: ask(kind, method, rule) for kind in (*PEOPLE, Unconfirmed, *KEYS)}
        kinds = kinds_of(path)
        assert {words[kind] for kind in words.keys() - {*kinds}} <= {words[SignedOut]}, (method, path)
        cells = " | ".join(words[kind] for kind in kinds)
        tables[kinds].setdefault((path, cells), []).append(method)
    text = INTRODUCTION
    for (kinds, rows), heading in zip(tables.items(), ("Pages", "API"), strict=True):
        text += f"\n## {heading}\n\n| method | route | {' | '.join(kind.title for kind in kinds)} |\n"
        text += f"| --- | --- |{' --- |' * len(kinds)}\n"
        text += "".join(f"| {', '.join(methods)} | `{path}` | {cells} |\n" for (path, cells), methods in rows.items())
    if request.config.getoption("--write-documents"):
        DOCUMENT.write_text(text)

    assert DOCUMENT.read_text() == text
