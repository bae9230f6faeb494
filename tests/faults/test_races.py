"""Fifty simultaneous requests on two processes: single-use things are used once."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from sqlalchemy import func, select

from app.api_keys.models import ApiKey
from app.api_keys.service import MAX_ACTIVE_KEYS
from app.audit.models import AuditEvent
from app.auth.emails.sign_in import SendPasswordReset
from app.auth.models import Purpose, RefreshToken, Session
from app.auth.password_setup import credentials
from app.auth.recovery_codes import plain
from app.auth.services.principals import find_by_cookie
from app.core.principal import NO_VISIT, OPERATOR
from app.factor_resets.models import FactorReset
from app.factor_resets.service import FactorResets
from app.invitations.service import Invitations
from app.oauth.models import OAuthIdentity
from app.oauth.service import Connections, Identity
from app.passkeys.service import Passkeys
from app.passkeys.webauthn import RelyingParty, creation_options, read_assertion, verify_new
from app.totp.service import AuthenticatorApps
from app.users.models import EmailChange, User
from tests.faults.caller import Caller, token_in
from tests.support.authenticator import Passkey, passkey_options
from tests.support.databases import databases
from tests.support.deployment import until

pytestmark = pytest.mark.slow

ADA = "ada@example.com"
PASSWORD = "a quieter harbour"
OTHER_PASSWORD = "seven lamps at dusk"
AT_ONCE = 50
CODES = ["0000-1111-2222-3333", "4444-5555-6666-7777"]
API = "/api/v1"


@pytest.fixture(scope="module", params=databases("sqlite", "postgresql"))
def database(request):
    """Settings of a deployment on this database."""
    return {"database_url": request.getfixturevalue("postgres")} if request.param == "postgresql" else {}


@pytest.fixture(scope="module")
def _deployment(build_once, _provider, database):
    deployment = build_once(web_processes="2", **_provider.environment(), **database)
    web = deployment.start_web()
    until(lambda: len(web.children()) == 2)
    yield deployment
    deployment.close()


@pytest.fixture
def deployment(_deployment, provider, sqlite_template):
    """Two web processes on an empty database."""
    _deployment.empty(sqlite_template)
    return _deployment


def all_at_once(senders):
    """Run all at once and return their responses."""
    start = threading.Barrier(len(senders))

    def send(sender):
        start.wait()
        return sender()

    with ThreadPoolExecutor(len(senders)) as crowd:
        return list(crowd.map(send, senders))


def link_for(deployment, purpose):
    with deployment.work() as work:
        user = work.users.get_by_email(ADA)
        lifetime = timedelta(minutes=work.lifetimes.reset_link_minutes)
        _, token = work.links.issue(purpose, user_id=user.id, address=ADA, lifetime=lifetime)
    return token


def test_concurrent_sign_ups_with_one_address_create_one_account(deployment):
    callers = [Caller(deployment.url) for _ in range(AT_ONCE)]
    forms = [caller.fill_in("/auth/register", email=ADA, name="Ada", password=PASSWORD) for caller in callers]

    answers = all_at_once(forms)

    assert Counter(answer.status for answer in answers) == {303: AT_ONCE}
    with deployment.read() as work:
        assert work.session.scalar(select(func.count()).select_from(User)) == 1
    assert len(deployment.jobs("answer_registration")) == AT_ONCE


def test_concurrent_uses_of_a_link_succeed_once(deployment):
    deployment.add_user(ADA, password=PASSWORD)
    token = link_for(deployment, Purpose.RESET_PASSWORD)
    forms = []
    for number in range(AT_ONCE):
        caller = Caller(deployment.url)
        assert caller.get(f"/auth/reset-password/{token}").status == 303
        forms.append(caller.fill_in("/auth/reset-password", password=f"{OTHER_PASSWORD} {number}"))

    answers = all_at_once(forms)

    assert Counter(answer.status for answer in answers) == {302: 1, 410: AT_ONCE - 1}
    (winner,) = [number for number, answer in enumerate(answers) if answer.status == 302]
    assert Caller(deployment.url).login(ADA, f"{OTHER_PASSWORD} {winner}").status == 302


def test_sign_in_with_the_old_password_does_not_survive_a_reset(deployment):
    deployment.add_user(ADA, password=PASSWORD)
    owner, strangers = Caller(deployment.url), [Caller(deployment.url) for _ in range(AT_ONCE)]
    assert owner.get(f"/auth/reset-password/{link_for(deployment, Purpose.RESET_PASSWORD)}").status == 303
    reset = owner.fill_in("/auth/reset-password", password=OTHER_PASSWORD)
    sign_ins = [stranger.fill_in("/auth/login", email=ADA, password=PASSWORD) for stranger in strangers]

    answers = all_at_once([*sign_ins[: AT_ONCE // 2], reset, *sign_ins[AT_ONCE // 2 :]])

    assert answers[AT_ONCE // 2].status == 302
    with deployment.read() as work:
        assert work.session.scalars(select(Session.id).where(Session.ended_at.is_(None))).all() == []
    assert {stranger.get("/account").status for stranger in strangers} == {302}


def test_concurrent_email_changes_leave_one_pending_and_send_five_emails(deployment):
    deployment.add_user(ADA, password=PASSWORD)
    forms = []
    for number in range(20):
        caller = Caller(deployment.url)
        assert caller.login(ADA, PASSWORD).status == 302
        forms.append(caller.fill_in("/account/email", email=f"new{number}@example.com"))

    answers = all_at_once(forms)

    assert Counter(answer.status for answer in answers) == {302: 5, 422: 15}
    with deployment.read() as work:
        assert len(work.session.scalars(select(EmailChange).where(EmailChange.ended_at.is_(None))).all()) == 1


def test_concurrent_emails_stay_within_the_quota(build, database, smtp_server, sqlite_template):
    deployment = build(**database)
    deployment.empty(sqlite_template)
    deployment.valkey.start()
    deployment.add_user(ADA, password=PASSWORD)
    deployment.start_worker(processes=4)
    with deployment.work() as work:
        user_id = work.users.get_by_email(ADA).id
        for _ in range(20):
            work.enqueue(SendPasswordReset(user_id=user_id))

    until(lambda: all(job.state == "done" for job in deployment.jobs()), why=deployment.told)
    assert len(smtp_server.received) == 5


def signed_in_program(deployment):
    deployment.add_user(ADA, password=PASSWORD, roles=["administrator"])
    answer = Caller(deployment.url).ask("POST", f"{API}/auth/login", {"email": ADA, "password": PASSWORD})
    assert answer.status == 200
    return answer.data


def test_concurrent_creation_leaves_at_most_fifty_active_api_keys(deployment):
    token = signed_in_program(deployment)["access_token"]
    with deployment.work() as work:
        owner_id = work.users.get_by_email(ADA).id
        values = {"user_id": owner_id, "name": "x", "prefix": "ghk_x", "scopes": [], "created_at": work.clock()}
        work.session.add_all(ApiKey(key_hash=f"{number}", **values) for number in range(MAX_ACTIVE_KEYS - 5))

    def make_key():
        return Caller(deployment.url).ask(
            "POST", f"{API}/api-keys", {"name": "One more"}, Authorization=f"Bearer {token}"
        )

    answers = all_at_once([make_key] * 20)

    assert Counter(answer.status for answer in answers) == {201: 5, 422: 15}


def test_concurrent_refreshes_create_one_successor(deployment):
    spent = signed_in_program(deployment)["refresh_token"]

    def refresh(token):
        return Caller(deployment.url).ask("POST", f"{API}/auth/refresh", {"refresh_token": token})

    answers = all_at_once([lambda: refresh(spent)] * 20)

    assert Counter(answer.status for answer in answers) == {200: 20}
    (successor,) = {answer.data["refresh_token"] for answer in answers}
    with deployment.read() as work:
        assert work.session.scalar(select(func.count()).where(RefreshToken.used_at.is_(None))) == 1
    assert refresh(successor).status == 200
    assert refresh(spent).status == 401
    with deployment.read() as work:
        assert work.session.scalars(select(Session.id).where(Session.ended_at.is_(None))).all() == []
        kinds = work.session.scalars(select(AuditEvent.kind).where(AuditEvent.kind == "session.token_reused")).all()
    assert len(kinds) == len(deployment.jobs("send_token_reused")) == 1


def test_concurrent_requests_with_one_idempotency_key_run_once(deployment):
    token = signed_in_program(deployment)["access_token"]

    def create(name):
        how = {"Authorization": f"Bearer {token}", "Idempotency_Key": "order-17"}
        return Caller(deployment.url).ask("POST", f"{API}/api-keys", {"name": name}, **how)

    answers = all_at_once([lambda: create("One")] * 20)

    assert Counter(answer.status for answer in answers) == {201: 20}
    assert len({answer.data["id"] for answer in answers}) == 1
    assert Counter(bool(answer.data["key"]) for answer in answers) == {True: 1, False: 19}
    assert Counter(answer.headers["Idempotency-Replayed"] for answer in answers) == {None: 1, "true": 19}
    assert create("Another").status == 422
    with deployment.read() as work:
        assert work.session.scalar(select(func.count()).select_from(ApiKey)) == 1


def test_concurrent_acceptances_use_an_invitation_once(deployment):
    with deployment.work() as work:
        work[Invitations].invite(email=ADA, name="Ada", roles=["manager"], by=OPERATOR)
    token = link_for(deployment, Purpose.INVITATION)
    forms = []
    for number in range(20):
        caller = Caller(deployment.url)
        assert caller.get(f"/auth/invitation/{token}").status == 303
        forms.append(caller.fill_in("/auth/invitation", name=f"Ada {number}", password=f"{OTHER_PASSWORD} {number}"))

    answers = all_at_once(forms)

    assert Counter(answer.status for answer in answers) == {302: 1, 410: 19}
    (winner,) = [number for number, answer in enumerate(answers) if answer.status == 302]
    with deployment.read() as work:
        ada = work.users.get_by_email(ADA)
        assert (ada.name, [role.name for role in ada.roles]) == (f"Ada {winner}", ["manager"])


def test_accepting_during_revocation_causes_no_server_error(deployment):
    deployment.add_user("root@example.com", password=PASSWORD, roles=["administrator"])
    grace = Caller(deployment.url)
    signed_in = grace.ask("POST", f"{API}/auth/login", {"email": "root@example.com", "password": PASSWORD})
    headers = {"Authorization": f"Bearer {signed_in.data['access_token']}"}

    def invite():
        return [grace.ask("POST", f"{API}/users", {"email": ADA, "roles": ["member"]}, **headers)]

    def revoke():
        with deployment.read() as work:
            ids = [invitation.id for invitation in work[Invitations].list_pending()]
        return [grace.ask("DELETE", f"{API}/invitations/{invitation_id}", **headers) for invitation_id in ids]

    for _ in range(3):
        answers = all_at_once([invite, revoke] * 8)
        assert {item.status for some in answers for item in some} <= {200, 201, 404, 409, 429}


def path_of(url):
    return url.partition("/auth/")[2].join(["/auth/", ""])


def test_concurrent_provider_callbacks_sign_in_once(deployment, provider):
    browser = Caller(deployment.url)
    start = browser.get("/auth/oauth/acme")
    path = path_of(provider.answer(start.headers["Location"]))
    cookie = start.headers["Set-Cookie"].partition(";")[0]
    callers = [Caller(deployment.url) for _ in range(AT_ONCE)]

    answers = all_at_once([lambda caller=caller: caller.ask("GET", path, Cookie=cookie) for caller in callers])

    assert Counter(answer.status for answer in answers) == {302: 1, 400: AT_ONCE - 1}
    assert provider.asked.count("POST /token") == 1
    with deployment.read() as work:
        assert work.session.scalar(select(func.count()).select_from(Session)) == 1


def test_one_identity_in_many_browsers_creates_one_account(deployment, provider):
    callers = [Caller(deployment.url) for _ in range(AT_ONCE)]
    paths = [path_of(provider.answer(caller.get("/auth/oauth/acme").headers["Location"])) for caller in callers]

    answers = all_at_once(
        [lambda caller=caller: caller[0].get(caller[1]) for caller in zip(callers, paths, strict=True)]
    )

    # Some may be refused because too many others wait for the provider.
    assert 302 in {answer.status for answer in answers} <= {302, 503}
    with deployment.read() as work:
        assert work.session.scalar(select(func.count()).select_from(User)) == 1
        assert work.session.scalar(select(func.count()).select_from(OAuthIdentity)) == 1


def test_concurrent_removal_of_the_last_two_sign_in_methods_keeps_one(deployment, provider):
    browser = Caller(deployment.url)
    browser.get(path_of(provider.answer(browser.get("/auth/oauth/acme").headers["Location"])))
    with deployment.work() as work:
        user = work.users.get_by_email(provider.people[0]["email"])
        other = Identity("acme", provider.url, "another", None)
        ids = [work[Connections].list_of(user.id)[0].id, work[Connections].connect(user.id, other).id]
    token = browser.token("/account")

    all_at_once(
        [
            lambda connection_id=connection_id: browser.send(
                f"/account/connections/{connection_id}/disconnect", csrf_token=token
            )
            for connection_id in ids * (AT_ONCE // 2)
        ]
    )

    with deployment.read() as work:
        assert work.session.scalar(select(func.count()).select_from(OAuthIdentity)) == 1


@pytest.fixture
def seed(deployment):
    """The seed of Ada's authenticator app; her recovery codes are CODES."""
    user_id = deployment.add_user(ADA, password=PASSWORD)
    with deployment.app.app_context():
        hashes = credentials.passwords.derive([plain(code) for code in CODES])
    with deployment.work() as work:
        work[AuthenticatorApps].start(user_id)
        seed = work[AuthenticatorApps].get_pending_seed(user_id)
    with deployment.work() as work:
        who = find_by_cookie(
            work.session.connection(), work.sessions.start(user_id, visit=NO_VISIT, remember=False)[1], at=work.clock()
        )
        earlier = pyotp.TOTP(seed).at(work.clock(), counter_offset=-1)
        work[AuthenticatorApps].confirm(who.principal, earlier, recovery=hashes)
    return seed


def half_signed_in(deployment):
    """Fifty browsers that have entered Ada's password."""
    callers = [Caller(deployment.url) for _ in range(AT_ONCE)]
    assert {caller.login(ADA, PASSWORD).headers["Location"] for caller in callers} == {"/auth/two-factor"}
    return callers


def sessions_of_browsers(deployment):
    with deployment.read() as work:
        count = select(func.count()).select_from(Session).where(Session.ended_at.is_(None), Session.user_agent != "")
        return work.session.scalar(count)


def test_concurrent_uses_of_a_code_sign_in_once(deployment, seed):
    callers = half_signed_in(deployment)
    # The next code is accepted already, and for long enough.
    code = pyotp.TOTP(seed).at(datetime.now(UTC), counter_offset=1)
    spellings = [code, f"{code[:3]} {code[3:]}", "".join(chr(ord(char) + 0xFEE0) for char in code)]
    forms = [browser.fill_in("/auth/two-factor", code=spellings[number % 3]) for number, browser in enumerate(callers)]

    answers = Counter(answer.status for answer in all_at_once(forms))

    # The others are counted before they are checked, so the delay stops most of them.
    assert answers[302] == 1
    assert answers[422] < 10
    assert answers[422] + answers[429] == AT_ONCE - 1
    assert sessions_of_browsers(deployment) == 1


def test_concurrent_uses_of_a_recovery_code_sign_in_once(deployment, seed):
    forms = [browser.fill_in("/auth/two-factor", code=CODES[0]) for browser in half_signed_in(deployment)]

    answers = Counter(answer.status for answer in all_at_once(forms))

    assert answers[302] == 1
    assert set(answers) <= {302, 422, 429}
    assert sessions_of_browsers(deployment) == 1
    with deployment.read() as work:
        assert work.factors.recovery_left(work.users.get_by_email(ADA).id) == len(CODES) - 1


def test_concurrent_uses_of_a_passkey_assertion_sign_in_once(deployment):
    user_id = deployment.add_user(ADA, password=PASSWORD)
    site = deployment.url.replace("127.0.0.1", "localhost")
    party, key = RelyingParty("localhost", site), Passkey(site)
    created = key.create(
        creation_options(party, challenge="x", user_id=user_id, email=ADA, name="", site_name="", existing=[])
    )
    with deployment.work() as work:
        token = work.sessions.start(user_id, visit=NO_VISIT, remember=False)[1]
        who = find_by_cookie(work.session.connection(), token, at=work.clock()).principal
        work[Passkeys].add(who, verify_new(read_assertion(created), party), name="Key", recovery=[])
    opened = Caller(site).get("/auth/login")
    cookie = opened.headers["Set-Cookie"].partition(";")[0]
    form = {"csrf_token": token_in(opened), "purpose": "sign-in", "credential": key.get(passkey_options(opened.text))}
    callers = [Caller(site) for _ in range(AT_ONCE)]

    answers = all_at_once(
        [lambda caller=caller: caller.send_with(cookie, "/auth/passkey", **form) for caller in callers]
    )

    assert Counter(answer.headers["Location"] for answer in answers) == {"/account": 1, "/auth/login": AT_ONCE - 1}
    assert sessions_of_browsers(deployment) == 1


def test_concurrent_factor_resets_leave_one_pending_and_apply_it_once(deployment, seed):
    with deployment.read() as work:
        ada = work.users.get_by_email(ADA).id
    deployment.add_user("grace@example.com", password=PASSWORD, roles=("administrator",))
    helper = Caller(deployment.url)
    helper.login("grace@example.com")
    token = helper.token("/account")
    path = f"/users/{ada}/reset-factors"

    answers = all_at_once([lambda: helper.send(path, csrf_token=token, reason="They called.")] * AT_ONCE)

    assert {answer.status for answer in answers} == {302}
    with deployment.work() as work:
        (reset,) = work.session.scalars(select(FactorReset)).all()
        reset.due_at = work.clock()
        reset_id = reset.id

    def finish():
        with deployment.work() as work:
            return work[FactorResets].apply_reset(reset_id)

    assert Counter(all_at_once([finish] * 8)) == {True: 1, False: 7}


def test_administrators_removing_each_other_leave_one(deployment):
    tokens, numbers = [], []
    for number in range(5):
        email = f"root{number}@example.com"
        deployment.add_user(email, password=PASSWORD, roles=["administrator"])
        answer = Caller(deployment.url).ask("POST", f"{API}/auth/login", {"email": email, "password": PASSWORD})
        tokens.append(answer.data["access_token"])
        numbers.append(answer.data["user"]["id"])
    acts = [
        ("PUT", {"name": "x", "roles": ["member"]}),
        ("PUT", {"name": "x", "is_active": False}),
        ("DELETE", None),
    ]

    def remove(by, whom):
        method, body = acts[(by + whom) % 3]
        path, bearer = f"{API}/users/{numbers[whom]}", f"Bearer {tokens[by]}"
        return lambda: Caller(deployment.url).ask(method, path, body, Authorization=bearer)

    answers = all_at_once([remove(by, whom) for by in range(5) for whom in range(5)])

    assert {answer.status for answer in answers} <= {200, 401, 403, 404, 409}
    with deployment.read() as work:
        assert [user.can_sign_in() for user in work.roles.list_holders("administrator")].count(True) == 1
