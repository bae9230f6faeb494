"""A real browser and the real processes; any message on the console fails the test."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.e2e.visitor import Visitor
from tests.support.databases import copied
from tests.support.deployment import Deployment

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium runs without a sandbox because tests may run as root; it opens only our own pages.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP, PHONE, NARROWEST = (1280, 900), (360, 740), (320, 640)


def size(pixels):
    return {"width": pixels[0], "height": pixels[1]}


def find_chromium():
    named = os.environ.get("CHROMIUM")
    return named if named and Path(named).is_file() else next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@pytest.fixture(scope="session")
def chromium():
    browser_path = find_chromium()
    if browser_path is None:
        reason = "no Chromium found: install one, or name it in CHROMIUM"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def deployment(tmp_path_factory, sqlite_template, chromium, _provider):
    """A deployment for each test process, in development, so that its emails can be read in the mailbox."""
    folder = tmp_path_factory.mktemp("deployment")
    copied(sqlite_template, folder)
    deployment = Deployment(folder, environment="development", mail_url="", **_provider.environment())
    deployment.provider = _provider
    try:
        deployment.valkey.start()
        deployment.start_worker()
        deployment.start_web()
        yield deployment
        deployment.stop()
        assert "Traceback" not in deployment.told()
    finally:
        deployment.close()


@pytest.fixture(scope="session")
def profile(chromium, deployment):
    """One browser profile for all tests: creating one takes longer than most tests."""
    context = chromium.new_context(base_url=deployment.url, viewport=size(DESKTOP), locale="en-GB")
    context.set_default_timeout(10_000)
    context.new_page()
    return context


@pytest.fixture
def visitor(profile, deployment):
    """A visitor with an empty browser profile."""
    visitor = Visitor(profile, deployment)
    yield visitor
    visitor.leave()
    profile.clear_cookies()
    profile.pages[0].goto("about:blank")
    profile.pages[0].emulate_media(color_scheme=None, reduced_motion=None)
    profile.pages[0].set_viewport_size(size(DESKTOP))
    assert visitor.complaints == []


@pytest.fixture
def arrive(chromium, deployment):
    """Open another browser: `arrive(phone=True)`, `arrive(java_script_enabled=False)`."""
    arrived = []

    def make(*, phone=False, **how):
        how.setdefault("viewport", size(PHONE if phone else DESKTOP))
        context = chromium.new_context(base_url=deployment.url, has_touch=phone, locale="en-GB", **how)
        context.set_default_timeout(10_000)
        context.new_page()
        arrived.append(Visitor(context, deployment))
        return arrived[-1]

    yield make
    complaints = [line for visitor in arrived for line in visitor.complaints]
    for visitor in arrived:
        visitor.context.close()
    assert complaints == []
