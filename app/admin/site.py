"""The page for site settings: sign-up, announcement, maintenance mode."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from app.admin import bp
from app.admin.forms import SiteForm
from app.extensions import settings
from app.services.permissions import SITE_EDIT
from app.unit_of_work import reading
from app.web.access import confirmed, requires
from app.web.maintenance import change_site
from app.web.pages import page
from app.web.redirects import done


@bp.route("/settings", methods=["GET", "POST"])
@requires(SITE_EDIT)
@confirmed
def site_settings() -> ResponseReturnValue:
    form = SiteForm.of(reading().site_settings.get(), otherwise=settings().registration)
    if form.validate_on_submit():
        change_site(
            registration=form.registration.data or None,
            announcement=" ".join((form.announcement.data or "").split()),
            maintenance=form.maintenance.data,
        )
        return done("Settings saved.", to="admin.site_settings")
    return page("admin/site_settings.html", form)
