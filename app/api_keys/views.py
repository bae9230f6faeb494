"""Pages to create, rename and revoke API keys."""

from datetime import timedelta
from types import SimpleNamespace

from flask import url_for
from flask.typing import ResponseReturnValue
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # its stubs are older

from app.account import bp
from app.api_keys.errors import ApiKeyNotFound, ScopeNotHeld, TooManyApiKeys
from app.api_keys.forms import ApiKeyForm, ApiKeyNameForm
from app.api_keys.service import ApiKeys
from app.core.extensions import now
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import ACCOUNT_SCOPES, by_group, sentence_of
from app.web import current_user
from app.web.access import confirmed
from app.web.actions import ask
from app.web.forms import Form
from app.web.pages import page
from app.web.redirects import done


@bp.route("/api-keys", methods=["GET", "POST"])
@confirmed
def api_keys() -> ResponseReturnValue:
    """Show API keys, and create one; only the response to the POST contains the new key."""
    who = current_user.signed_in()
    form = ApiKeyForm()
    scopes = who.permissions | ACCOUNT_SCOPES.keys()
    form.scopes.choices = [SelectChoice(name, sentence_of(name)) for name in sorted(scopes)]
    created = None
    if form.validate_on_submit():
        with form.refusals(ScopeNotHeld, TooManyApiKeys):
            created = _make(form)
    keys = reading()[ApiKeys].list_active(who.user_id)
    return page("account/api_keys.html", form, keys=keys, made=created, groups=by_group(scopes))


def _make(form: ApiKeyForm) -> SimpleNamespace:
    days = form.days.data
    with unit_of_work() as work:
        key, secret = work[ApiKeys].create_key(
            current_user.signed_in(),
            name=form.name.clean,
            scopes=form.scopes.data or [],
            expires_at=now() + timedelta(days=int(days)) if days else None,
        )
    return SimpleNamespace(name=key.name, secret=secret)


@bp.route("/api-keys/<id:key_id>", methods=["GET", "POST"])
@confirmed
def api_key(key_id: int) -> ResponseReturnValue:
    who = current_user.signed_in()
    key = reading()[ApiKeys].get(key_id, by=who)
    form = ApiKeyNameForm(name=key.name)
    if form.validate_on_submit():
        with unit_of_work() as work:
            work[ApiKeys].rename(key_id, name=form.name.clean, by=who)
        return done("Name saved.", to="account.api_keys")
    return page("account/api_key.html", form, key=key)


@bp.route("/api-keys/<id:key_id>/end", methods=["GET", "POST"])
@confirmed
def end_api_key(key_id: int) -> ResponseReturnValue:
    who, form = current_user.signed_in(), Form()
    try:
        if not form.validate_on_submit():
            name = reading()[ApiKeys].get(key_id, by=who).name
            above = [("API keys", url_for("account.api_keys")), (name, url_for("account.api_key", key_id=key_id))]
            text = "Programs that use it lose access immediately."
            return ask(f"Revoke API key {name}?", text, button="Revoke", above=above, form=form)
        with unit_of_work() as work:
            work[ApiKeys].revoke_key(key_id, by=who)
    except ApiKeyNotFound:
        return done("That API key was already revoked.", to="account.api_keys")
    return done("API key revoked.", to="account.api_keys")
