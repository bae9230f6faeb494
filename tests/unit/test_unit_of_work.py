"""The services of a unit of work."""

import threading

import pytest

from app.invitations.service import Invitations
from app.site.service import SiteSettings
from app.unit_of_work import reading
from tests.support.deleted import needs

pytestmark = pytest.mark.databases("sqlite")


def test_thread_that_waits_for_the_database_does_not_stop_others_from_creating_services(app, monkeypatch):
    """Creating `invitations` reads the site settings; here one thread waits in it until the other is done."""
    needs("invitations")
    read = SiteSettings.get
    waits, goes_on = threading.Event(), threading.Event()
    slow = threading.local()

    def get(service):
        if getattr(slow, "waits", False):
            waits.set()
            assert goes_on.wait(60)
        return read(service)

    def create(*, waits):
        slow.waits = waits
        with app.app_context():
            assert reading()[Invitations]

    monkeypatch.setattr(SiteSettings, "get", get)
    one = threading.Thread(target=create, kwargs={"waits": True}, daemon=True)
    one.start()
    assert waits.wait(60)
    other = threading.Thread(target=create, kwargs={"waits": False}, daemon=True)
    other.start()
    other.join(60)
    was_stopped = other.is_alive()
    goes_on.set()
    one.join(60)
    other.join(60)

    assert not was_stopped
    assert not one.is_alive()
