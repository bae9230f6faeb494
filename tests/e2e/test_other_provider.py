"""Sign-in with a provider that is not ours: node-oidc-provider, on its own pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.e2e.conftest import DESKTOP, size
from tests.e2e.visitor import Visitor
from tests.support.databases import copied
from tests.support.deployment import Deployment
from tests.support.npm import NPM, installed, running

pytestmark = [pytest.mark.browser, pytest.mark.deep]

CLIENT = {"client_id": "gatehouse at the provider", "client_secret": "a+b/c=%41 d&e"}


@pytest.fixture
def provider(tmp_path) -> Iterator[SimpleNamespace]:
    installed("oidc-provider")
    with running(["node", str(NPM / "provider.mjs")], log=tmp_path / "provider.log") as process:
        port = process.stdout.readline().strip()

        def serve(redirect_uri: str) -> None:
            process.stdin.write(json.dumps({**CLIENT, "redirect_uris": [redirect_uri]}))
            process.stdin.close()
            assert process.stdout.readline().strip() == "ready", (tmp_path / "provider.log").read_text()

        yield SimpleNamespace(url=f"http://localhost:{port}", serve=serve)


@pytest.fixture
def site(tmp_path, sqlite_template, provider) -> Iterator[Deployment]:
    copied(sqlite_template, tmp_path)
    named = {f"oauth_other_{name}": value for name, value in CLIENT.items()}
    named["oauth_other_discovery_url"] = f"{provider.url}/.well-known/openid-configuration"
    site = Deployment(tmp_path, environment="development", mail_url="", **named)
    provider.serve(f"{site.url}/auth/oauth/other/callback")
    try:
        site.valkey.start()
        site.start_worker()
        site.start_web()
        yield site
        site.stop()
        assert "Traceback" not in site.told()
    finally:
        site.close()


@pytest.fixture
def visitor(chromium, site) -> Iterator[Visitor]:
    context = chromium.new_context(base_url=site.url, viewport=size(DESKTOP), locale="en-GB")
    context.set_default_timeout(10_000)
    context.new_page()
    yield Visitor(context, site)
    context.close()


def sign_in_there(visitor: Visitor, who: str) -> None:
    """Sign in and consent on the provider's own pages."""
    visitor.page.locator('[name="login"]').fill(who)
    visitor.page.locator('[name="password"]').fill("anything")
    visitor.page.get_by_role("button", name="Sign-in").click()


def test_user_signs_up_signs_in_again_and_confirms_with_a_provider(visitor, provider, site):
    visitor.open("/auth/login?next=/account/sessions")
    visitor.page.get_by_role("link", name="Continue with Other").click()
    assert visitor.page.url.startswith(provider.url)
    sign_in_there(visitor, "ada")
    visitor.page.get_by_role("button", name="Continue").click()
    visitor.page.wait_for_url(f"{site.url}/account/sessions")
    with site.read() as work:
        user = work.users.get_by_email("ada@other.example")
        assert (user.name, user.is_verified()) == ("Ada Byron", True)

    visitor.sign_out()
    visitor.open("/auth/login")
    visitor.page.get_by_role("link", name="Continue with Other").click()
    visitor.page.wait_for_url(f"{site.url}/account")

    visitor.open("/auth/confirm?next=/account/api-keys")
    visitor.page.get_by_role("link", name="Sign in to Other again").click()
    sign_in_there(visitor, "ada")
    visitor.page.wait_for_url(f"{site.url}/account/api-keys")


def test_denied_consent_returns_to_sign_in(visitor, provider, site):
    visitor.open("/auth/login")
    visitor.page.get_by_role("link", name="Continue with Other").click()
    visitor.page.get_by_role("link", name="Cancel").click()
    visitor.page.wait_for_url(f"{site.url}/auth/login**")
