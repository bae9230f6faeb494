"""Tables with predicates and small methods; no commits, no queries across tables."""

from app.users.models.role import ADMINISTRATOR, MEMBER, Grant, Role, user_roles
from app.users.models.user import (
    MORE_USER_FIELDS,
    USER_FIELDS,
    EmailChange,
    Status,
    User,
    UserWord,
    keep_words,
    searched_text,
    words_of,
)
