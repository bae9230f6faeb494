"""Pages to connect and disconnect accounts at providers."""

from flask import url_for
from flask.typing import ResponseReturnValue

from app.account import bp
from app.auth import pending_sign_in
from app.core import errors
from app.core.extensions import settings_of
from app.oauth.errors import ConnectionNotFound, IdentityTaken, TooManyConnections
from app.oauth.pending import find_pending
from app.oauth.service import Connections
from app.oauth.settings import OAuthSettings
from app.unit_of_work import reading, unit_of_work
from app.web import current_user
from app.web.access import confirmed
from app.web.actions import ask
from app.web.forms import Form
from app.web.pages import page, provider_label
from app.web.redirects import done


@bp.get("/connections")
def connections() -> ResponseReturnValue:
    who = current_user.signed_in()
    work = reading()
    pending = find_pending()
    return page(
        "account/connections.html",
        connections=work[Connections].list_of(who.user_id),
        pending=pending,
        providers=settings_of(OAuthSettings).oauth_providers,
        has_password=work.users.has_password(who.user_id),
    )


@bp.post("/connections/connect")
@confirmed
def connect() -> ResponseReturnValue:
    """Connect the identity that this browser has just proved at its provider."""
    pending = find_pending()
    if pending is None:
        return done("That took too long. Start again.", to="account.connections", kind="error")
    try:
        with unit_of_work() as work:
            work[Connections].connect(current_user.signed_in().user_id, pending)
    except (IdentityTaken, TooManyConnections) as refusal:
        pending_sign_in.drop_pending()
        return done(str(refusal), to="account.connections", kind="error")
    pending_sign_in.drop_pending()
    return done(f"{provider_label(pending.provider)} connected. You can now sign in with it.", to="account.connections")


@bp.post("/connections/dismiss")
def dismiss() -> ResponseReturnValue:
    pending_sign_in.drop_pending()
    return done("Not connected.", to="account.connections")


@bp.route("/connections/<id:connection_id>/disconnect", methods=["GET", "POST"])
@confirmed
def disconnect(connection_id: int) -> ResponseReturnValue:
    who, form = current_user.signed_in(), Form()
    try:
        if not form.validate_on_submit():
            label = provider_label(reading()[Connections].get(who.user_id, connection_id).provider)
            above = [("Connected accounts", url_for("account.connections"))]
            text = "You won't be able to sign in with it."
            return ask(f"Disconnect {label}?", text, button="Disconnect", above=above, form=form)
        with unit_of_work() as work:
            work[Connections].disconnect(who.user_id, connection_id)
    except ConnectionNotFound:
        return done("That account was already disconnected.", to="account.connections")
    except errors.LastSignInMethod as refusal:
        return done(str(refusal), to="account.connections", kind="error")
    return done("Account disconnected. You can no longer sign in with it.", to="account.connections")
