"""Error reports to Sentry, loaded only where SENTRY_DSN is set."""

from __future__ import annotations

import sentry_sdk
from sentry_sdk.integrations.flask import FlaskIntegration

from app.settings import Settings


def init_sentry(settings: Settings) -> None:
    """Stack traces without local variables, bodies, cookies or addresses, so that no secret is sent."""
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.environment,
        integrations=[FlaskIntegration()],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        traces_sample_rate=0,
    )
