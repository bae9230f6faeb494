"""An identity that a provider has confirmed in this browser, until it is connected."""

from dataclasses import astuple, replace

from flask import session

from app.auth.pending_sign_in import PENDING_PARTS
from app.core.extensions import now
from app.core.tokens import new_token
from app.oauth.service import Identity
from app.web.session_cookie import PENDING

PENDING_SECONDS = 15 * 60
MAX_NAME_STORED = 60


def keep_pending(oauth_identity: Identity) -> str:
    """Store an identity to be connected; return a handle for the next page's URL (see `bind_pending`)."""
    handle = new_token()[:22]
    identity = astuple(replace(oauth_identity, name=oauth_identity.name[:MAX_NAME_STORED]))
    session[PENDING] = [*identity, handle, int(now().timestamp())]
    return handle


def find_pending() -> Identity | None:
    """Return the identity proved in this browser in the last fifteen minutes and not connected yet."""
    kept = session.get(PENDING)
    if not isinstance(kept, list) or len(kept) != PENDING_PARTS or now().timestamp() - kept[-1] > PENDING_SECONDS:
        return None
    return Identity(*kept[:-2])
