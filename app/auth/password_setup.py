"""The password hasher and the password policy of the running application."""

from collections.abc import Callable
from typing import cast

from flask import Flask, current_app

from app.auth.passwords import Passwords
from app.auth.pwned_passwords import by_file, by_list, by_service, never
from app.auth.services.password_policy import PasswordPolicy
from app.core.metrics import metrics
from app.core.settings import CoreSettings


class Credentials:
    """The password hasher and the password policy of the running application, created from its settings."""

    def init_app(self, app: Flask, settings: CoreSettings) -> None:
        passwords = Passwords(
            memory_kib=settings.argon2_memory_kib,
            time_cost=settings.argon2_time_cost,
            parallelism=settings.argon2_parallelism,
            at_once=settings.hashing_concurrency,
            observe=metrics.hashed,
        )
        app.extensions["passwords"] = passwords
        app.extensions["password_policy"] = PasswordPolicy(
            passwords=passwords,
            min_length=settings.password_min_length,
            max_length=settings.password_max_length,
            site_words=[settings.site_name, settings.public_url],
            is_breached=breach_check(settings),
        )

    @property
    def passwords(self) -> Passwords:
        return cast(Passwords, current_app.extensions["passwords"])

    @property
    def policy(self) -> PasswordPolicy:
        return cast(PasswordPolicy, current_app.extensions["password_policy"])


credentials = Credentials()


def breach_check(settings: CoreSettings) -> Callable[[str], bool]:
    """Return the checks that BREACH_CHECK selects; each larger one includes our own list."""
    if settings.breach_check == "off":
        return never
    checks: list[Callable[[str], bool]] = [by_list]
    if settings.breach_check == "file" and settings.breach_check_file:
        checks.append(by_file(settings.breach_check_file))
    if settings.breach_check == "service":
        checks.append(by_service(settings.breach_check_url, timeout=settings.breach_check_timeout_seconds))
    return lambda password: any(check(password) for check in checks)
