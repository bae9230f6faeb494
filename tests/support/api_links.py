"""OpenAPI links, which lead schemathesis from an operation to others."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tests.support.deleted import DELETED

# From an operation to others, and the parameters that its response contains.
_MADE, _FIRST = "$response.body#/data/id", "$response.body#/data/items/0/id"
_VERSION, _NEXT = "$response.header.ETag", "$response.body#/data/next"
_REFRESH = {"refresh_token": "$response.body#/data/refresh_token"}
LINKS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "login": [("refresh", _REFRESH), ("show_user", {"user_id": "$response.body#/data/user/id"})],
    "refresh": [("refresh", _REFRESH)],
    "list_users": [("show_user", {"user_id": _FIRST})],
    "restore_user": [("show_user", {"user_id": _MADE})],
    "invite_user": [
        (name, {"user_id": _MADE}) for name in ("show_user", "edit_user", "delete_user", "end_user_sessions")
    ],
    "show_me": [("edit_user", {"user_id": _MADE, "If-Match": _VERSION})],
    "show_user": [(name, {"user_id": _MADE, "If-Match": _VERSION}) for name in ("edit_user", "delete_user")],
    "edit_user": [("show_user", {"user_id": _MADE, "If-None-Match": _VERSION})],
    "list_invitations": [("list_invitations", {"cursor": _NEXT}), ("show_invitation", {"invitation_id": _FIRST})],
    "show_invitation": [(name, {"invitation_id": _MADE}) for name in ("resend_invitation", "revoke_invitation")],
    "list_audit_events": [("list_audit_events", {"cursor": _NEXT})],
    "upload_import": [
        (name, {"import_id": _MADE}) for name in ("show_import", "list_import_rows", "start_import", "cancel_import")
    ],
    "list_jobs": [("list_jobs", {"cursor": _NEXT}), ("show_job", {"job_id": _FIRST})],
    "run_entry": [(name, {"job_id": _MADE}) for name in ("show_job", "cancel_job")],
    "cancel_job": [("retry_job", {"job_id": _MADE})],
    "retry_job": [("run_job", {"job_id": _MADE})],
    "list_roles": [("list_roles", {"cursor": _NEXT}), ("show_role", {"role_id": _FIRST})],
    "make_role": [(name, {"role_id": _MADE}) for name in ("show_role", "change_role", "delete_role")],
    "show_role": [(name, {"role_id": _MADE, "If-Match": _VERSION}) for name in ("change_role", "delete_role")],
    "list_sessions": [("list_sessions", {"cursor": _NEXT}), ("end_session", {"session_id": _FIRST})],
    "list_api_keys": [("list_api_keys", {"cursor": _NEXT}), ("show_api_key", {"key_id": _FIRST})],
    "make_api_key": [("show_api_key", {"key_id": _MADE}), ("end_api_key", {"key_id": _MADE})],
    "show_api_key": [("end_api_key", {"key_id": _MADE})],
}


def with_links(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with links at the successful responses."""
    linked = deepcopy(document)
    operations = {
        operation["operationId"]: operation for path in linked["paths"].values() for operation in path.values()
    }
    for operation_id, operation in operations.items():
        good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
        links = LINKS.get(operation_id, ())
        good["links"] = {name: _link(name, values) for name, values in links if name in operations or not DELETED}
    return linked


def _link(operation: str, values: dict[str, str]) -> dict[str, Any]:
    return {"operationId": operation, ("requestBody" if values is _REFRESH else "parameters"): values}
