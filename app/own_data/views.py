"""Pages to download your data and delete your account."""

from flask import Response, stream_with_context
from flask.typing import ResponseReturnValue

from app.account import bp
from app.core import errors
from app.core.extensions import settings
from app.own_data.service import OwnData
from app.unit_of_work import reading, unit_of_work
from app.web import current_user, session_cookie
from app.web.access import by_oneself, confirmed
from app.web.forms import Form
from app.web.limits import limited
from app.web.pages import page
from app.web.redirects import done


@bp.get("/data")
@by_oneself
def data() -> ResponseReturnValue:
    services = reading()
    return page(
        "account/data.html",
        copy=services[OwnData].find(current_user.signed_in().user_id),
        undo_days=settings().own_deletion_days,
    )


@bp.post("/data/copy")
@confirmed
@limited("mail")
def request_copy() -> ResponseReturnValue:
    with unit_of_work() as work:
        work[OwnData].request(current_user.signed_in().user_id)
    return done("We're preparing your data. We'll email you when it's ready.", to="account.data")


@bp.get("/data/download")
@confirmed
def download() -> Response:
    services = reading()
    file = services[OwnData].get_ready(current_user.signed_in().user_id)
    response = Response(stream_with_context(services.files.pieces(file.id)), mimetype="application/zip")
    response.headers["Content-Disposition"] = "attachment; filename=my-data.zip"
    response.content_length = file.size
    return response


@bp.route("/close", methods=["GET", "POST"])
@confirmed
def close() -> ResponseReturnValue:
    who, form = current_user.signed_in(), Form()
    if form.validate_on_submit():
        with form.refusals(errors.LastAdministrator):
            with unit_of_work() as work:
                work.users.delete_own(who.user_id)
            days = settings().own_deletion_days
            session_cookie.drop_session()
            return done(
                f"Account deleted. To restore it, sign in within {days} days.",
                to="auth.login",
                kind="info",
            )
    return page("account/close.html", form, undo_days=settings().own_deletion_days)
