"""A user with a real browser: their actions, and the browser's error messages."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import count
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response, WebError

from app.core.principal import OPERATOR
from app.users.services.roles import RoleSpec
from tests.support.authenticator import App
from tests.support.browser import CHROME, Browser
from tests.support.deployment import Deployment, until

PASSWORD = "a quieter harbour"
OTHER_PASSWORD = "seven lamps at dusk"

_numbers = count(1)


def new_address(name: str = "ada") -> str:
    return f"{name}{next(_numbers)}@example.com"


class Visitor:
    """`page` is the only tab; `complaints` are script errors, console errors and CSP violations."""

    def __init__(self, context: BrowserContext, deployment: Deployment) -> None:
        self.context = context
        self.deployment = deployment
        self.complaints: list[str] = []
        self.email = new_address()
        self.page: Page = context.pages[0]
        context.on("console", self._hear)
        context.on("weberror", self._see)

    def leave(self) -> None:
        """Clear the complaints for the next user of this browser."""
        self.context.remove_listener("console", self._hear)
        self.context.remove_listener("weberror", self._see)

    def _see(self, problem: WebError) -> None:
        self.complaints.append(f"script: {problem.error}")

    def _hear(self, message: ConsoleMessage) -> None:
        # The console also reports a page that is itself a 404 or 422; only failed parts of a page are errors.
        is_the_page = message.page is not None and message.location.get("url") == message.page.url
        is_about_its_status = message.text.startswith("Failed to load resource") and is_the_page
        if message.type in ("error", "warning") and not is_about_its_status:
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    # ── what the page shows ──

    def open(self, path: str) -> Response:
        answer = self.page.goto(path)
        assert answer is not None
        return answer

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    @property
    def heading(self) -> str:
        return self.page.get_by_role("heading", level=1).inner_text()

    def says(self) -> str:
        """Return all text on the page."""
        return self.page.locator("main").inner_text()

    def typed(self, field: str) -> str:
        """Return the value of a field by name."""
        return self.page.locator(f"main [name={field}]:visible").input_value()

    # ── actions ──

    def fill(self, **fields: str) -> None:
        """Fill in fields by name."""
        for name, value in fields.items():
            self.page.locator(f"main [name={name}]:visible").fill(value)

    def press(self, button: str) -> None:
        """Press a button and wait for the next page."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=button, exact=True).click()

    def open_account_menu(self) -> None:
        self.page.locator("header summary").click()

    def follow(self, link: str) -> None:
        with self.page.expect_navigation():
            self.page.get_by_role("link", name=link, exact=True).first.click()

    def register(self, *, name: str = "Ada Byron", password: str = PASSWORD) -> None:
        self.open("/auth/register")
        self.fill(name=name, email=self.email, password=password)
        self.press("Sign up")

    def confirm(self) -> None:
        self.open(self.link_in("Confirm your email address"))
        self.press("Confirm email address")

    def sign_in(self, *, password: str = PASSWORD, email: str | None = None) -> None:
        self.open("/auth/login")
        self.fill(email=email or self.email, password=password)
        self.press("Sign in")

    def sets_up_codes(self) -> tuple[App, list[str]]:
        """Set up an authenticator app on the account pages; return it and the recovery codes."""
        self.open("/account/security")
        self.press("Set up authenticator app")
        app = App(self.page.locator("code.secret").inner_text().replace(" ", ""), lambda: datetime.now(UTC))
        self.fill(code=app.code())
        self.press("Enable")
        return app, self.page.locator("code.secret").all_inner_texts()

    def has_authenticator(self, *, transport: str = "internal", verifies: bool = True) -> None:
        """Add a virtual authenticator of Chromium whose user approves everything."""
        devices = self.context.new_cdp_session(self.page)
        devices.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": transport,
            "hasResidentKey": verifies,
            "hasUserVerification": verifies,
            "isUserVerified": verifies,
            "automaticPresenceSimulation": True,
        }
        devices.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    @property
    def site(self) -> str:
        """The origin where passkeys work: they need a host name."""
        return self.deployment.url.replace("127.0.0.1", "localhost")

    def signs_in_where_passkeys_are(self, *, then: str) -> None:
        self.open(f"{self.site}/auth/login?next={then}")
        self.fill(email=self.email, password=PASSWORD)
        self.press("Sign in")

    def needs_a_factor(self) -> None:
        """Sign in with a role that requires a second factor."""
        with self.deployment.work() as work:
            if not any(role.name == "keeper" for role in work.roles.list_all()):
                work.roles.create(RoleSpec(name="keeper", requires_second_factor=True), by=OPERATOR)
        self.is_signed_in(roles=("keeper", "member"), at="/account")

    def comes_from_acme(self, *, path: str = "/auth/oauth/acme", **claims: object) -> None:
        """Sign in at the provider with this address and return."""
        self.deployment.provider.people = [{"sub": self.email, "email": self.email, "email_verified": True} | claims]
        self.open(path)
        assert self.heading == "Who are you?"
        self.press(self.email)

    def sign_out(self) -> None:
        self.open_account_menu()
        self.press("Sign out")

    def has_account(self, *, name: str = "Ada Byron", roles: tuple[str, ...] = ()) -> Visitor:
        """Create a confirmed account directly, without its pages."""
        self.deployment.add_user(self.email, name=name, password=PASSWORD, roles=roles)
        return self

    def is_signed_in(
        self, *, name: str = "Ada Byron", roles: tuple[str, ...] = (), at: str | None = "/account"
    ) -> Visitor:
        """Create a session directly: set its cookies and open the page `at`."""
        self.has_account(name=name, roles=roles)
        signed_in = Browser(self.deployment.app, base_url=self.deployment.url, user_agent=CHROME)
        assert signed_in.login(self.email, PASSWORD).status_code == 302
        self.context.add_cookies(
            [{"name": cookie.key, "value": cookie.value, "url": self.deployment.url} for cookie in signed_in.cookies()]
        )
        if at is not None:
            self.open(at)
        return self

    # ── emails ──

    def mail(self, subject: str, *, to: str | None = None) -> dict[str, object]:
        """Wait for the newest email whose subject starts so."""
        address = to or self.email

        def look() -> dict[str, object] | None:
            mails = json.loads(self.deployment.get("/dev/mailbox.json"))
            return next((m for m in mails if m["to"] == address and m["subject"].startswith(subject)), None)

        return until(look)

    def link_in(self, subject: str, *, to: str | None = None) -> str:
        """Return the link with a token in that email."""
        links = self.mail(subject, to=to)["links"]
        assert isinstance(links, list)
        return next(link for link in links if re.search(r"/auth/[a-z-]+/[\w-]{20,}$", link))
