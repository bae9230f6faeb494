from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.auth.models import OneTimeLink, Purpose
from app.auth.services.links import OneTimeLinks
from app.core.errors import InvalidLink
from tests.unit.conftest import add_user

HOUR = timedelta(hours=1)


@pytest.fixture
def issue(links, ada):
    def issue(purpose=Purpose.RESET_PASSWORD, *, user=ada, **more):
        return links.issue(purpose, user_id=user.id, address=user.email, lifetime=HOUR, **more)[1]

    return issue


def test_link_is_spent_once(links, issue):
    token = issue()

    assert links.spend_link(token, Purpose.RESET_PASSWORD).address == "ada@example.com"
    with pytest.raises(InvalidLink):
        links.spend_link(token, Purpose.RESET_PASSWORD)


def test_reading_a_link_does_not_spend_it(links, issue):
    token = issue()

    for _ in range(3):
        assert links.get_live(token, Purpose.RESET_PASSWORD).used_at is None
    assert links.spend_link(token, Purpose.RESET_PASSWORD)


def test_link_works_until_its_successor_was_sent(links, issue):
    old, new = issue(job_id=7), issue(job_id=8)
    assert links.get_live(old, Purpose.RESET_PASSWORD)

    links.sent(8)

    with pytest.raises(InvalidLink):
        links.spend_link(old, Purpose.RESET_PASSWORD)
    with pytest.raises(InvalidLink):
        issue(job_id=7)  # Its email, still queued, would only confuse.
    assert links.spend_link(new, Purpose.RESET_PASSWORD)


def test_older_of_two_sent_links_does_not_end_the_newer(links, issue):
    _, new = issue(job_id=7), issue(job_id=8)

    links.sent(7)

    assert links.spend_link(new, Purpose.RESET_PASSWORD)


def test_undo_links_are_never_replaced(links, issue):
    first, second = issue(Purpose.UNDO_EMAIL_CHANGE, job_id=7), issue(Purpose.UNDO_EMAIL_CHANGE, job_id=8)

    links.sent(8)

    assert links.get_live(first, Purpose.UNDO_EMAIL_CHANGE)
    assert links.get_live(second, Purpose.UNDO_EMAIL_CHANGE)


def test_links_for_other_purposes_and_users_stay_valid(links, issue, session, clock):
    bob = add_user(session, "bob@example.com", at=clock.now)
    verify, his = issue(Purpose.VERIFY_EMAIL), issue(user=bob)

    issue(job_id=7)
    links.sent(7)

    assert links.spend_link(verify, Purpose.VERIFY_EMAIL)
    assert links.spend_link(his, Purpose.RESET_PASSWORD)


@pytest.mark.parametrize("other", [purpose for purpose in Purpose if purpose is not Purpose.RESET_PASSWORD])
def test_link_for_another_purpose_is_invalid(links, issue, other):
    token = issue()

    with pytest.raises(InvalidLink):
        links.get_live(token, other)
    with pytest.raises(InvalidLink):
        links.spend_link(token, other)
    assert links.spend_link(token, Purpose.RESET_PASSWORD)


def test_link_expires(links, issue, clock):
    token = issue()

    clock.advance(minutes=59)
    assert links.get_live(token, Purpose.RESET_PASSWORD)
    clock.advance(minutes=1)
    with pytest.raises(InvalidLink):
        links.get_live(token, Purpose.RESET_PASSWORD)
    with pytest.raises(InvalidLink):
        links.spend_link(token, Purpose.RESET_PASSWORD)


def test_retried_job_sends_the_same_link(links, issue, session):
    first, again = issue(job_id=7), issue(job_id=7)

    assert first == again
    assert session.scalar(select(func.count()).select_from(OneTimeLink)) == 1
    assert issue(job_id=8) != first


def test_late_job_does_not_revive_a_used_link(links, issue):
    token = issue(job_id=7)
    links.spend_link(token, Purpose.RESET_PASSWORD)

    with pytest.raises(InvalidLink):
        issue(job_id=7)


def test_token_is_not_stored(session, issue):
    token = issue()

    (row,) = session.execute(select(OneTimeLink.__table__)).mappings()
    assert token not in str(dict(row))


def test_link_survives_key_rotation_with_fallback_keys(session, clock, ada):
    before = OneTimeLinks(session=session, secret_keys=["the old key"], clock=clock)
    link, token = before.issue(Purpose.RESET_PASSWORD, user_id=ada.id, address=ada.email, lifetime=HOUR)

    after = OneTimeLinks(session=session, secret_keys=["the new key", "the old key"], clock=clock)

    assert after.token_of(link) == token
    assert after.spend_link(token, Purpose.RESET_PASSWORD)


def test_link_cannot_be_resent_without_its_key(session, clock, ada):
    before = OneTimeLinks(session=session, secret_keys=["the old key"], clock=clock)
    link, _ = before.issue(Purpose.RESET_PASSWORD, user_id=ada.id, address=ada.email, lifetime=HOUR)

    with pytest.raises(InvalidLink):
        OneTimeLinks(session=session, secret_keys=["the new key"], clock=clock).token_of(link)


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "\x00", "\ud800", "x" * 100_000], ids=lambda t: ascii(t[:50]))
def test_unknown_link_is_invalid(links, token):
    with pytest.raises(InvalidLink):
        links.get_live(token, Purpose.RESET_PASSWORD)
    with pytest.raises(InvalidLink):
        links.spend_link(token, Purpose.RESET_PASSWORD)


def test_ending_links_ends_only_the_named_ones(links, issue, ada):
    reset, verify, undo = issue(), issue(Purpose.VERIFY_EMAIL), issue(Purpose.UNDO_EMAIL_CHANGE)

    links.end_all(ada.id, Purpose.RESET_PASSWORD, Purpose.VERIFY_EMAIL)

    for token, purpose in ((reset, Purpose.RESET_PASSWORD), (verify, Purpose.VERIFY_EMAIL)):
        with pytest.raises(InvalidLink):
            links.spend_link(token, purpose)
    assert links.spend_link(undo, Purpose.UNDO_EMAIL_CHANGE)
