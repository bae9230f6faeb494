from __future__ import annotations

from types import SimpleNamespace

from flask import request, url_for
from flask.typing import ResponseReturnValue

from app.models import Session, User
from app.services.permissions import USERS_READ
from app.unit_of_work import reading
from app.users import bp
from app.web.access import requires
from app.web.devices import device_name
from app.web.pages import page
from app.web.rows import before
from app.web.sentences import describe

SESSIONS_SHOWN = 50
ON_A_PAGE = 50


@bp.get("")
@requires(USERS_READ)
def index() -> ResponseReturnValue:
    q = " ".join(request.args.get("q", "")[:254].replace("\x00", "").split())
    found = reading().users.list(search=q, before=before(), limit=ON_A_PAGE + 1)
    more = len(found) > ON_A_PAGE
    users = found[:ON_A_PAGE]
    return page(
        "users/index.html",
        q=q,
        users=[shown(user) for user in users],
        next_url=url_for("users.index", q=q or None, before=users[-1].id) if more else None,
        first_url=url_for("users.index", q=q or None) if before() is not None else None,
    )


@bp.get("/<id:user_id>")
@requires(USERS_READ)
def show(user_id: int) -> ResponseReturnValue:
    look = reading()
    user = look.users.get(user_id)
    return page(
        "users/show.html",
        user=shown(user),
        sessions=[_shown_session(row) for row in look.sessions.list_live(user.id)[:SESSIONS_SHOWN]],
        events=[describe(event) for event in look.audit.list_for(user.id, limit=20)],
        mails=[
            SimpleNamespace(subject=m.subject, status=m.status, at=m.created_at, kind=m.kind)
            for m in look.users.list_mails(user.id)
        ],
    )


def shown(user: User) -> SimpleNamespace:
    """A user as these pages show it."""
    return SimpleNamespace(
        id=user.id,
        name=user.name,
        email=user.email,
        is_active=user.is_active,
        email_verified_at=user.email_verified_at,
        roles=[role.name for role in user.roles],
        last_seen_at=user.last_seen_at,
        created_at=user.created_at,
        deactivated_at=user.deactivated_at,
        deactivation_reason=user.deactivation_reason,
    )


def _shown_session(row: Session) -> SimpleNamespace:
    return SimpleNamespace(
        device=device_name(row.user_agent),
        address=row.address,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
    )
