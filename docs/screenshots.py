"""Takes the pictures of README.md, so that they show the product as it is: `make screenshots`."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

from flask import Flask
from flask_migrate import upgrade
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import make_server

from app import create_app
from app.auth.password_setup import credentials
from app.core.principal import NO_VISIT, OPERATOR, Origin
from app.ops.migrations import init_migrate
from app.settings import Settings
from app.unit_of_work import unit_of_work

IMAGES = Path(__file__).parent / "images"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
EMAIL, PASSWORD = "ada@example.com", "a quieter harbour"
NAMES = ("Grace Hopper", "Alan Turing", "Edsger Dijkstra", "Barbara Liskov", "Margaret Hamilton", "Donald Knuth")
# The same time in every picture, so that one changes only where the product did.
TAKEN_AT = datetime(2026, 1, 12, 9, 30, tzinfo=UTC)
DESKTOP, PHONE = {"width": 1100, "height": 720}, {"width": 390, "height": 720}


def main() -> None:
    browser_path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if browser_path is None:
        sys.exit("No Chromium found: install one, or name it in CHROMIUM.")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address, sync_playwright() as playwright:
        # Without a sandbox it runs as root too, as it does in containers; it opens nothing but our own pages.
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        take_pictures(browser, address)
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Yield the address of an application with a few users."""
    settings = Settings(environment="testing", instance_path=folder, port=8000)
    app = create_app(settings)
    app.extensions["clock"] = lambda: TAKEN_AT
    logging.getLogger().setLevel(logging.ERROR)
    fill(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()


def fill(app: Flask) -> None:
    with app.app_context():
        init_migrate()
        upgrade()
        password = credentials.policy.prepare(PASSWORD, words=())
        with unit_of_work(origin=Origin(NO_VISIT, entry_point="cli")) as work:
            work.users.create(
                email=EMAIL, name="Ada Lovelace", roles=["administrator", "member"], password=password, by=OPERATOR
            )
            for name in NAMES:
                email = f"{name.partition(' ')[0].lower()}@example.com"
                work.users.create(email=email, name=name, roles=["member"], password=password, by=OPERATOR)


def take_pictures(browser: Browser, address: str) -> None:
    phone = browser.new_context(viewport=PHONE, color_scheme="dark", device_scale_factor=1).new_page()
    phone.goto(f"{address}/auth/login")
    take(phone, "sign-in.png")

    desktop = browser.new_context(viewport=DESKTOP, color_scheme="light", device_scale_factor=1).new_page()
    desktop.goto(f"{address}/auth/login")
    desktop.get_by_label("Email").fill(EMAIL)
    desktop.locator("#password").fill(PASSWORD)
    desktop.get_by_role("main").get_by_role("button", name="Sign in", exact=True).click()
    desktop.wait_for_url("**/account")
    take(desktop, "account.png")
    desktop.goto(f"{address}/users")
    take(desktop, "users.png")


def take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / name)
    print(f"docs/images/{name}: {(IMAGES / name).stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
