"""Gatehouse: accounts, sign-in and background jobs for a small team's web product."""

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.utils import import_string

import app.core.lazy as lazy  # Must run before anything imports those libraries.
from app.auth.password_setup import credentials
from app.core import cache
from app.core.commands import Commands
from app.core.database import init_database
from app.core.extensions import csrf, limiter
from app.core.feature import Feature
from app.core.settings import CoreSettings, SettingsError, flask_config
from app.features import load_features
from app.jobs.notifier import notifier
from app.settings import load_settings
from app.unit_of_work import reading
from app.web import (
    compression,
    cors,
    current_user,
    headers,
    pages,
    pipeline,
    proxy_headers,
    query_params,
    template_overrides,
)
from app.web import errors as web_errors
from app.web.application import Application
from app.web.logs import init_logs

__all__ = ["create_app", "lazy"]


def create_app(settings: CoreSettings | None = None) -> Flask:
    """Create the application. Raises SettingsError with one sentence for each wrong setting."""
    settings = settings or load_settings()
    app = Application(__name__, instance_path=str(settings.instance_path))
    app.config.from_mapping(flask_config(settings))
    app.extensions["settings"] = settings
    features = app.extensions["features"] = load_features(settings.disabled_features)
    app.cli = Commands(features.commands)

    init_logs(settings)
    init_database(app, settings)
    notifier.init_app(app, settings)
    cache.cache.init_app(app, settings)
    credentials.init_app(app, settings)

    limiter.init_app(app)
    csrf.init_app(app)
    current_user.init_app(app)
    headers.init_app(app, settings)
    proxy_headers.init_app(app, settings)
    cors.init_app(app, settings)
    web_errors.init_app(app)
    pages.init_app(app, settings)
    template_overrides.init_app(app)
    compression.init_app(app)
    query_params.init_app(app)
    pipeline.init_app(app)

    for blueprint in features.blueprints:
        app.register_blueprint(blueprint)
    if settings.is_development:
        app.register_blueprint(import_string("app.dev.views:bp"))
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    if settings.sentry_dsn.get_secret_value():
        import_string("app.web.sentry:init_sentry")(app, settings)
    for feature in features.off:
        _refuse_if_used(app, feature)
    return app


def _refuse_if_used(app: Flask, feature: Feature) -> None:
    """Raises SettingsError for a feature that protects accounts, if the database says so.

    Where the database can't be read, those accounts stay closed: their factor is required, and nothing verifies it.
    """
    with app.app_context():
        try:
            use = feature.find_use(reading())
        except SQLAlchemyError:
            return
    if use is not None:
        raise SettingsError(f"DISABLED_FEATURES: {feature.name} can't be disabled, because {use}.")
