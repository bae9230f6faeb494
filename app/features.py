"""The folders of the application, and which of their modules a web process or a worker imports."""

import re

from werkzeug.utils import find_modules, import_string

CORE = ("account", "admin", "api", "audit", "auth", "home", "jobs", "mail", "ops", "users")
FEATURES = (
    "api_keys",
    "demo",
    "factor_resets",
    "forward_auth",
    "impersonation",
    "imports",
    "invitations",
    "oauth",
    "own_data",
    "passkeys",
    "reports",
    "site_settings",
)
# Commands and worker processes load these on first use.
LOADED_LATER = re.compile(r"(\w+_)?commands|rq_workers|schedule|worker|backup|doctor\w*|migrations|prepare|why")


def load_modules() -> None:
    """Import the modules of all folders: views register themselves."""
    for name in (*CORE, *FEATURES):
        for module in find_modules(f"app.{name}"):
            if not LOADED_LATER.fullmatch(module.rpartition(".")[2]):
                import_string(module)
