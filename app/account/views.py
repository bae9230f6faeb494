"""Pages for profile, email address, password, sessions and activity."""

from flask import url_for
from flask.typing import ResponseReturnValue

from app.account import bp
from app.account.forms import EmailForm, PasswordForm, TimeZoneForm
from app.audit.descriptions import describe
from app.auth.sign_in_steps import check_password, new_password
from app.core import errors
from app.core.tokens import new_token
from app.unit_of_work import reading, unit_of_work
from app.users.models import MORE_USER_FIELDS
from app.web import current_user, session_cookie
from app.web.access import by_oneself, confirmed
from app.web.actions import ask
from app.web.forms import Form, UserTextsForm
from app.web.limits import limited
from app.web.pages import page
from app.web.query_params import before, paginate
from app.web.redirects import done

EVENTS_ON_A_PAGE = 25
SESSIONS_ON_A_PAGE = 50


@bp.route("", methods=["GET", "POST"])
def profile() -> ResponseReturnValue:
    who = current_user.signed_in()
    texts = reading().profile.read_fields(who.user_id) if MORE_USER_FIELDS else {"name": who.name}
    form = UserTextsForm(**texts)
    if form.validate_on_submit():
        with unit_of_work() as work:
            work.profile.change_fields(who.user_id, form.texts())
        return done("Changes saved.", to="account.profile")
    return page("account/profile.html", form)


@bp.route("/time-zone", methods=["GET", "POST"])
@by_oneself
def time_zone() -> ResponseReturnValue:
    who = current_user.signed_in()
    form = TimeZoneForm(time_zone=who.time_zone or "")
    if form.validate_on_submit():
        with unit_of_work() as work:
            work.profile.set_time_zone(who.user_id, form.time_zone.data or None)
        return done("Time zone saved.", to="account.profile")
    return page("account/time_zone.html", form)


@bp.route("/email", methods=["GET", "POST"])
@confirmed
@limited("mail")
def email() -> ResponseReturnValue:
    who = current_user.signed_in()
    form = EmailForm()
    if form.validate_on_submit():
        with form.refusals(errors.SameAddress, errors.TooManyChanges):
            with unit_of_work() as work:
                work.profile.request_email_change(who.user_id, form.email.canonical)
            return done(f"Open the link we sent to {form.email.canonical} to confirm it.", to="account.email")
    pending = reading().email_changes.find_pending(who.user_id)
    return page("account/email.html", form, pending=pending.new_email if pending else None)


@bp.post("/email/cancel")
@by_oneself
def cancel_email_change() -> ResponseReturnValue:
    with unit_of_work() as work:
        work.email_changes.cancel(current_user.signed_in().user_id)
    return done("Your email address doesn't change.", to="account.email")


@bp.route("/password", methods=["GET", "POST"])
@by_oneself
@limited("password")
def password() -> ResponseReturnValue:
    form = PasswordForm()
    if form.validate_on_submit():
        with form.refusals(errors.WrongPassword, errors.WeakPassword):
            _change_password(form)
            return done("Password changed. Your other devices were signed out.", to="account.password")
    has_password = reading().users.has_password(current_user.signed_in().user_id)
    return page("account/password.html", form, has_password=has_password)


def _change_password(form: PasswordForm) -> None:
    who = current_user.signed_in()
    seen = check_password(who.user_id, form.current_password.data or "", purpose="change_password")
    new = new_password(form.password.data or "", words=(who.email, who.name))
    device = new_token()
    with unit_of_work() as work:
        token = work.profile.change_password(who, seen_hash=seen, password=new, device_token=device)
    session_cookie.keep_token(token)
    session_cookie.keep_device(device)


@bp.get("/sessions")
def sessions() -> ResponseReturnValue:
    who = current_user.signed_in()
    live = reading().sessions.list_live(who.user_id)
    # On the first page the current session comes first, then the newest.
    after = before()
    rest = [row for row in live if row.id != who.session_id and (after is None or row.id < after)]
    here = [row for row in live if row.id == who.session_id and after is None]
    paged = paginate([*here, *rest], size=SESSIONS_ON_A_PAGE)
    return page("account/sessions.html", current_id=who.session_id, is_alone=len(live) == 1, paged=paged)


@bp.post("/sessions/<id:session_id>/end")
@confirmed
def end_session(session_id: int) -> ResponseReturnValue:
    who = current_user.signed_in()
    try:
        with unit_of_work() as work:
            work.sessions.revoke(session_id, user_id=who.user_id, reason="ended_by_owner")
    except errors.SessionNotFound:
        return done("That device was already signed out.", to="account.sessions")
    if session_id == who.session_id:
        session_cookie.drop_session()
        return done("You're signed out.", to="auth.login")
    return done("Device signed out.", to="account.sessions")


@bp.route("/sessions/end-others", methods=["GET", "POST"])
@confirmed
def end_other_sessions() -> ResponseReturnValue:
    who, form = current_user.signed_in(), Form()
    if not form.validate_on_submit():
        text = "This signs out every browser, app and device except this one. API keys keep working."
        above = [("Sessions", url_for("account.sessions"))]
        return ask("Sign out all other devices?", text, button="Sign out all other devices", above=above, form=form)
    with unit_of_work() as work:
        count = work.sessions.revoke_all(who.user_id, reason="ended_by_owner", keep=who.session_id)
    return done(f"{count} other session{'' if count == 1 else 's'} ended.", to="account.sessions")


@bp.get("/activity")
def activity() -> ResponseReturnValue:
    who = current_user.signed_in()
    events = reading().audit.list_for(who.user_id, before=before(), limit=EVENTS_ON_A_PAGE + 1)
    paged = paginate(events, size=EVENTS_ON_A_PAGE)
    shown_events = [describe(event, for_user_id=who.user_id) for event in paged.rows]
    return page("account/activity.html", events=shown_events, paged=paged)
