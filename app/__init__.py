"""Gatehouse: accounts, sign-in and background jobs for a small team's web product."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.utils import import_string

import app.lazy as lazy  # Must run before anything imports those libraries.
from app import account, admin, api, auth, cache, dev, health, home, users
from app.account import connections as account_connections
from app.account import data as account_data
from app.account import keys as account_keys
from app.account import routes as account_routes
from app.account import security as account_security
from app.admin import audit as admin_audit
from app.admin import jobs as admin_jobs
from app.admin import mail as admin_mail
from app.admin import overview as admin_overview
from app.admin import reports as admin_reports
from app.admin import roles as admin_roles
from app.admin import site as admin_site
from app.api import audit as api_audit
from app.api import auth as api_auth
from app.api import imports as api_imports
from app.api import invitations as api_invitations
from app.api import jobs as api_jobs
from app.api import openapi as api_openapi
from app.api import roles as api_roles
from app.api import sessions as api_sessions
from app.api import users as api_users
from app.auth import forward as auth_forward
from app.auth import links as auth_links
from app.auth import oauth as auth_oauth
from app.auth import passkey as auth_passkey
from app.auth import routes as auth_routes
from app.auth import two_factor as auth_two_factor
from app.cli import Commands
from app.database import init_database
from app.dev import routes as dev_routes
from app.extensions import credentials, csrf, limiter, notifier
from app.health import routes as health_routes
from app.home import routes as home_routes
from app.settings import Settings, flask_config, load_settings
from app.users import bulk as users_bulk
from app.users import edit as users_edit
from app.users import factor_resets as users_factor_resets
from app.users import impersonate as users_impersonate
from app.users import imports as users_imports
from app.users import invitations as users_invitations
from app.users import routes as users_routes
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

__all__ = [
    "account_connections",
    "account_data",
    "account_keys",
    "account_routes",
    "account_security",
    "admin_audit",
    "admin_jobs",
    "admin_mail",
    "admin_overview",
    "admin_reports",
    "admin_roles",
    "admin_site",
    "api_audit",
    "api_auth",
    "api_imports",
    "api_invitations",
    "api_jobs",
    "api_openapi",
    "api_roles",
    "api_sessions",
    "api_users",
    "auth_forward",
    "auth_links",
    "auth_oauth",
    "auth_passkey",
    "auth_routes",
    "auth_two_factor",
    "create_app",
    "dev_routes",
    "health_routes",
    "home_routes",
    "lazy",
    "users_bulk",
    "users_edit",
    "users_factor_resets",
    "users_impersonate",
    "users_imports",
    "users_invitations",
    "users_routes",
]


def create_app(settings: Settings | None = None) -> Flask:
    """Create the application. Raises SettingsError with one sentence for each wrong setting."""
    settings = settings or load_settings()
    app = Application(__name__, instance_path=str(settings.instance_path))
    app.config.from_mapping(flask_config(settings))
    app.extensions["settings"] = settings
    app.cli = Commands()

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

    for entry_point in (home, health, auth, account, users, admin, api):
        app.register_blueprint(entry_point.bp)
    if settings.is_development:
        app.register_blueprint(dev.bp)
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    if settings.sentry_dsn.get_secret_value():
        import_string("app.web.sentry:init_sentry")(app, settings)
    return app
