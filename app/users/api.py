"""User endpoints."""

from typing import Any

from app.api import bp
from app.api.endpoint import endpoint
from app.api.responses import Answer, check_unchanged
from app.core import errors
from app.core.extensions import settings
from app.core.principal import Principal
from app.unit_of_work import Work, reading, unit_of_work
from app.users.models import USER_FIELDS, User
from app.users.permissions import ACCOUNT_READ, ACCOUNT_WRITE, USERS_DELETE, USERS_READ, USERS_SUPPORT
from app.users.schemas import (
    AccessOut,
    AccessQuery,
    SomeOfUser,
    UserDeletionIn,
    UserFieldsIn,
    UserIn,
    UserOut,
    UserPatchIn,
    UserQuery,
    UsersOut,
    UsersQuery,
    plain_user,
)
from app.users.services.search import ListedUser, UserFilter
from app.web import current_user
from app.web.access import confirmed, open_to_keys, requires
from app.web.cursors import read_cursor, write_cursor
from app.web.limits import count, limited

_CANNOT_EDIT = (
    errors.NotAllowed,
    errors.ConfirmationRequired,
    errors.UserNotFound,
    errors.LastAdministrator,
    errors.EditConflict,
    errors.TooManyChanges,
    "unknown_role",
    "in_the_past",
)


@bp.get("/v1/users")
@endpoint(UsersOut, query=UsersQuery, refuses=("unknown_role",), tag="users", lists=True)
@requires(USERS_READ)
def list_users(query: UsersQuery) -> dict[str, Any]:
    """List users."""
    this = query.model_dump(include={"q", "role", "status", "seen_before", "sort"})
    filters = UserFilter(
        order=query.sort.removeprefix("-"),  # type: ignore[arg-type]  # The schema names the four.
        descending=query.sort.startswith("-"),
        after=read_cursor(query.cursor, of=this),
        **query.model_dump(include={"q", "role", "status", "seen_before", "limit"}),
    )
    users, following = reading().user_search.page(filters)
    if query.role is not None and not users:
        with errors.at_field("role", errors.RoleNotFound, code="unknown_role"):
            reading().roles.get(query.role)
    return {"items": [_shown(user, query.fields) for user in users], "next": write_cursor(following, of=this)}


@bp.get("/v1/users/me")
@endpoint(SomeOfUser, query=UserQuery, tag="users", etag=True)
@open_to_keys(ACCOUNT_READ)
def show_me(query: UserQuery) -> Answer:
    """Get the signed-in user."""
    return _one(reading().user_search.find(current_user.signed_in().user_id), query.fields)


@bp.get("/v1/users/<id:user_id>")
@endpoint(SomeOfUser, query=UserQuery, refuses=(errors.UserNotFound,), tag="users", etag=True)
@open_to_keys()
def show_user(user_id: int, query: UserQuery) -> Answer:
    """Get a user. Without `users:read` only yourself, with an API key only with `account:read`."""
    _check_visible(user_id)
    return _one(reading().user_search.find(user_id), query.fields)


@bp.put("/v1/users/<id:user_id>")
@endpoint(UserOut, body=UserIn, refuses=_CANNOT_EDIT, tag="users", etag=True)
@open_to_keys()
def edit_user(user_id: int, body: UserIn) -> Answer:
    """Change a user. `name` is required. With `If-Match`, the change is refused if the user has changed since."""
    return _changed(user_id, body)


@bp.patch("/v1/users/<id:user_id>")
@endpoint(UserOut, body=UserPatchIn, refuses=_CANNOT_EDIT, tag="users", etag=True)
@open_to_keys()
def patch_user(user_id: int, body: UserPatchIn) -> Answer:
    """Change fields of a user. Other fields stay unchanged. `If-Match` works as in `PUT`."""
    return _changed(user_id, body)


def _changed(user_id: int, body: UserFieldsIn) -> Answer:
    who = current_user.signed_in()
    _check_visible(user_id)
    before = reading().user_search.find(user_id) if body.email is not None else None
    if before is not None and before.email != body.email:
        count("mail")
    with unit_of_work() as work:
        user = work.users.get(user_id, lock=True, closed=body.is_active is False)
        check_unchanged(_tag(user.id, user.version))
        if user.deleted_at is None:
            _edit(work, user, body, by=who)
        else:
            _deactivate(work, user, body, by=who)
        work.session.flush()
        edited = work.user_search.find(user_id, deleted=True)
    return _one(edited, None)


@bp.get("/v1/users/<id:user_id>/access")
@endpoint(AccessOut, query=AccessQuery, refuses=(errors.UserNotFound, errors.NotFound), tag="users")
@requires(USERS_READ, on="users")
def show_access(user_id: int, query: AccessQuery) -> AccessOut:
    """Check whether a user has a permission, and by which rule."""
    services = reading()
    resource = services.policy.get_resource(query.resource) if query.resource else None
    return AccessOut.model_validate(services.policy.why(services.users.get(user_id), query.action, resource))


@bp.delete("/v1/users/<id:user_id>")
@endpoint(
    None,
    body=UserDeletionIn,
    needs_body=False,
    refuses=(errors.NotAllowed, errors.UserNotFound, errors.LastAdministrator, errors.EditConflict),
    tag="users",
)
@requires(USERS_DELETE, on="users")
@confirmed
def delete_user(user_id: int, body: UserDeletionIn) -> Answer:
    """Delete a user. The data is permanently deleted later. Can have a reason, which the user gets by email."""
    with unit_of_work() as work:
        user = work.users.get(user_id, lock=True)
        check_unchanged(_tag(user.id, user.version))
        work.users.delete(user, reason=body.reason, by=current_user.signed_in())
    days = settings().deleted_account_days
    return Answer(message=f"User deleted. The data is permanently deleted in {days} days, unless you restore the user.")


@bp.post("/v1/users/<id:user_id>/restore")
@endpoint(UserOut, refuses=(errors.NotAllowed, errors.UserNotFound), tag="users")
@requires(USERS_DELETE, on="users")
def restore_user(user_id: int) -> Answer:
    """Restore a deleted user."""
    with unit_of_work() as work:
        work.users.restore(work.users.get(user_id, lock=True, deleted=True), by=current_user.signed_in())
        work.session.flush()
        restored = work.user_search.find(user_id)
    return _one(restored, None)


@bp.delete("/v1/users/<id:user_id>/sessions")
@endpoint(None, refuses=(errors.NotAllowed, errors.UserNotFound), tag="users")
@requires(USERS_SUPPORT, on="users")
def end_user_sessions(user_id: int) -> Answer:
    """Sign a user out everywhere."""
    with unit_of_work() as work:
        count = work.users.revoke_sessions(work.users.get(user_id), by=current_user.signed_in())
    return Answer(message=f"Sessions ended: {count}.")


@bp.post("/v1/users/<id:user_id>/password-reset")
@limited("mail")
@endpoint(None, status=202, refuses=(errors.NotAllowed, errors.UserNotFound, errors.NotActive), tag="users")
@requires(USERS_SUPPORT, on="users")
def send_password_reset(user_id: int) -> Answer:
    """Email a user a link to choose a new password."""
    with unit_of_work() as work:
        work.users.send_reset(work.users.get(user_id), by=current_user.signed_in())
    return Answer(status=202, message="Email sent.")


@bp.post("/v1/users/<id:user_id>/verification")
@limited("mail")
@endpoint(
    None,
    status=202,
    refuses=(errors.NotAllowed, errors.UserNotFound, errors.NotActive, errors.AlreadyConfirmed),
    tag="users",
)
@requires(USERS_SUPPORT, on="users")
def resend_verification(user_id: int) -> Answer:
    """Email a user a new confirmation link."""
    with unit_of_work() as work:
        work.users.resend_verification(work.users.get(user_id), by=current_user.signed_in())
    return Answer(status=202, message="Email sent.")


def _edit(work: Work, user: User, body: UserFieldsIn, *, by: Principal) -> None:
    if texts := {name: text for name in USER_FIELDS if (text := getattr(body, name)) is not None}:
        work.users.change_fields(user, texts, by=by)
    if body.email is not None and body.email != user.email:
        work.policy.check_confirmed(by)
        work.users.propose_email(user, body.email, by=by)
    if body.roles is not None:
        with errors.at_field("roles", errors.RoleNotFound, code="unknown_role"):
            work.users.set_roles(user, body.roles, by=by)
    if body.is_active:
        work.users.reactivate(user, by=by)
    elif body.is_active is False and (user.is_active or body.deactivation_reason or body.deactivated_until):
        _deactivate(work, user, body, by=by)


def _deactivate(work: Work, user: User, body: UserFieldsIn, *, by: Principal) -> None:
    reason = body.deactivation_reason or "Through the API."
    with errors.at_field("deactivated_until", errors.InThePast):
        work.users.deactivate(user, reason=reason, until=body.deactivated_until, by=by)


def _check_visible(user_id: int) -> None:
    who = current_user.signed_in()
    is_own = user_id == who.user_id and (not who.is_key or who.has(ACCOUNT_READ) or who.has(ACCOUNT_WRITE))
    if not is_own and not who.has(USERS_READ):
        services = reading()
        if not services.policy.may(who, USERS_READ, services.users.get(user_id, deleted=True)):
            raise errors.UserNotFound


def _one(user: ListedUser | None, fields: str | None) -> Answer:
    if user is None:
        raise errors.UserNotFound
    return Answer(_shown(user, fields), etag=_tag(user.id, user.version))


def _tag(user_id: int, version: int) -> str:
    return f"{user_id}-{version}"


def _shown(user: ListedUser, fields: str | None = None) -> dict[str, Any]:
    values = plain_user(user)
    return values if fields is None else {name: values[name] for name in values if name in fields.split(",")}
