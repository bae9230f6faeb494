"""The principal of an administrator who acts as another user."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, select

from app.auth.services.principals import ROLE_COLUMNS, USER_COLUMNS, Found, holder_of, with_roles
from app.core.lookups import Lookup, Source
from app.impersonation.permissions import USERS_IMPERSONATE
from app.users.models import User

_BY_USER = Lookup(
    with_roles(select(*USER_COLUMNS, *ROLE_COLUMNS).select_from(User)).where(User.id == bindparam("user_id"))
)


def act_as(source: Source, credential: Found, at: datetime) -> Found:
    """Return the principal of the impersonated user, as long as the impersonation lasts and is allowed."""
    own, until = credential.principal, credential.acts_until
    if credential.acts_as is None or until is None or until <= at or USERS_IMPERSONATE not in own.permissions:
        return credential
    rows = _BY_USER.all(source, user_id=credential.acts_as)
    if not rows:
        return credential
    holder = holder_of(rows)
    if not holder["permissions"] <= own.permissions:
        return credential
    holder["permissions"] -= {USERS_IMPERSONATE}
    return replace(credential, principal=replace(own, **holder, impersonator_id=own.user_id, impersonated_until=until))
