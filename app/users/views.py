"""The list of users, and the page of one user."""

from types import SimpleNamespace
from typing import Any, get_args

from flask import jsonify, request, url_for
from flask.typing import ResponseReturnValue

from app.audit.descriptions import describe
from app.core import errors
from app.core.principal import Principal
from app.unit_of_work import Work, reading
from app.users import bp
from app.users.forms import ORDERS, STATES, BulkForm
from app.users.models import Status, User
from app.users.permissions import (
    PERMISSIONS,
    ROLES_ASSIGN,
    USERS_DEACTIVATE,
    USERS_DELETE,
    USERS_EDIT,
    USERS_READ,
    USERS_SUPPORT,
    granted,
)
from app.users.services.policy import Decision
from app.users.services.search import Order, UserFilter
from app.web import current_user
from app.web.access import requires
from app.web.cursors import read_cursor, write_cursor
from app.web.pages import page
from app.web.parts import USER_ACT, USER_NOTICE, USER_SECTION, USERS_ACT, load_parts
from app.web.query_params import Paged, day, query_text

SESSIONS_SHOWN = 50
ON_A_PAGE = 50
MATCHES = 8
FILTERS = ("q", "role", "status", "sort", "seen_before")


@bp.get("")
@requires(USERS_READ)
def index() -> ResponseReturnValue:
    who, services = current_user.signed_in(), reading()
    query = _read_query()
    filters = _parse_filters(query)
    unsorted_url = list_url(query | {"sort": ""})
    users, following, total = services.user_search.page_with_count(filters)
    roles = services.roles.list_all()
    form = BulkForm()
    form.offer(
        [role.name for role in roles if who.has(ROLES_ASSIGN) and granted(role.permissions) <= who.permissions],
        may_deactivate=who.has(USERS_DEACTIVATE),
        may_support=who.has(USERS_SUPPORT),
    )
    return page(
        "users/index.html",
        form,
        query=SimpleNamespace(**query),
        is_filtered=any(query[name] for name in FILTERS if name != "sort"),
        total=total,
        roles={"": "Any"} | {role.name: role.name for role in roles},
        states={"": "Any"} | STATES,
        orders=ORDERS,
        sort_url=f"{unsorted_url}{'&' if '?' in unsorted_url else '?'}",
        acts=load_parts(USERS_ACT, services, who, query),
        paged=Paged(
            users,
            newest_url=list_url(query) if filters.after else None,
            older_url=list_url(query, after=write_cursor(following, of=query)) if following else None,
        ),
    )


@bp.get("/matches")
@requires(USERS_READ)
def matches() -> ResponseReturnValue:
    """Return addresses that match `q`, for a field that completes them."""
    q = query_text("q")
    users, _ = reading().user_search.page(UserFilter(order="email", descending=False, q=q, limit=MATCHES))
    return jsonify([user.email for user in users] if q else [])


@bp.get("/<id:user_id>")
@requires(USERS_READ, on="users")
def show(user_id: int) -> ResponseReturnValue:
    who, services = current_user.signed_in(), reading()
    user = services.users.get(user_id, deleted=True)
    return page(
        "users/show.html",
        user=user,
        allowed=_allowed(who, services, user),
        has_factor=services.factors.has_any(user.id),
        notices=load_parts(USER_NOTICE, services, who, user),
        acts=load_parts(USER_ACT, services, who, user),
        sections=load_parts(USER_SECTION, services, who, user),
        erased_at=services.users.erased_at(user),
        deletion_reason=services.users.deletion_reason(user.id) if user.deleted_at else None,
        sessions=services.sessions.list_live(user.id)[:SESSIONS_SHOWN],
        grants=services.policy.list_grants_of(user.id),
        events=[describe(event) for event in services.audit.list_for(user.id, limit=20)],
        mails=services.users.list_mails(user.id),
        why=_why(services, user),
        permissions=sorted(PERMISSIONS),
    )


# ── the list ──


def _read_query() -> dict[str, str]:
    """Return the filters and the order of the list; invalid values are ignored."""
    query = {name: query_text(name) for name in FILTERS}
    if query["status"] not in get_args(Status):
        query["status"] = ""
    if query["sort"] not in ORDERS:
        query["sort"] = "-created_at"
    if day(query["seen_before"]) is None:
        query["seen_before"] = ""
    return query


def read_filters() -> UserFilter:
    """Return the filters of the list, without paging."""
    return _parse_filters(_read_query())


def _parse_filters(query: dict[str, str]) -> UserFilter:
    order: Order = query["sort"].removeprefix("-")  # type: ignore[assignment]  # `_read_query` checked it.
    try:
        after = read_cursor(request.args.get("after"), of=query)
    except errors.InvalidInput:
        after = None  # The cursor of an old page or another list: start with the first page.
    return UserFilter(
        order=order,
        descending=query["sort"].startswith("-"),
        q=query["q"],
        role=query["role"] or None,
        status=query["status"] or None,  # type: ignore[arg-type]  # `_read_query` checked it.
        seen_before=day(query["seen_before"]),
        after=after,
        limit=ON_A_PAGE,
    )


def list_url(query: dict[str, str], *, to: str = "users.index", **more: Any) -> str:
    kept: dict[str, Any] = {
        name: value for name, value in query.items() if value and (name, value) != ("sort", "-created_at")
    }
    return url_for(to, **(kept | more))


# ── one user ──


def _allowed(who: Principal, services: Work, user: User) -> SimpleNamespace:
    """Return which actions to offer; the services decide again."""
    permissions = {
        "edit": USERS_EDIT,
        "deactivate": USERS_DEACTIVATE,
        "support": USERS_SUPPORT,
        "delete": USERS_DELETE,
    }
    return SimpleNamespace(
        **{name: bool(services.policy.may(who, action, user)) for name, action in permissions.items()}
    )


def _why(services: Work, user: User) -> SimpleNamespace | None:
    """Return the decision for `?action=...&resource=...`: whether this user has access, and by which rule."""
    action, resource = request.args.get("action", ""), request.args.get("resource", "").strip()
    if action not in PERMISSIONS:
        return None
    try:
        decision: Decision = services.policy.why(
            user, action, services.policy.get_resource(resource) if resource else None
        )
    except errors.NotFound as refusal:
        return SimpleNamespace(action=action, resource=resource, problem=str(refusal))
    return SimpleNamespace(
        action=action, resource=resource, allowed=decision.allowed, rule=decision.rule, reason=decision.reason
    )
