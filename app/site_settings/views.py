"""The page for site settings: the look, sign-up, announcement, maintenance mode."""

from flask import request
from flask.typing import ResponseReturnValue

from app.admin import bp
from app.core.extensions import settings
from app.site.current import SETTINGS, change_site, is_in_environment
from app.site.service import SiteSettings
from app.site_settings.errors import UnreadableImage
from app.site_settings.forms import SiteForm
from app.site_settings.logos import MAX_FILE_BYTES, reencode_logo
from app.unit_of_work import Work, reading
from app.users.permissions import SITE_EDIT
from app.web.access import confirmed, requires
from app.web.pages import page
from app.web.redirects import done
from app.web.uploads import accepts_file


@bp.route("/settings", methods=["GET", "POST"])
@requires(SITE_EDIT)
@confirmed
@accepts_file(MAX_FILE_BYTES)
def site_settings() -> ResponseReturnValue:
    stored = reading()[SiteSettings]
    fixed = {name: setting for name, setting in SETTINGS.items() if is_in_environment(setting)}
    form = SiteForm.of(stored.get(), stored.get_brand(), config=settings(), fixed=fixed)
    if form.validate_on_submit():
        file = request.files.get("logo")
        with form.refusals(UnreadableImage):
            logo = reencode_logo(file.read()) if file and file.filename else None
            change_site(lambda work: _save(work, form, logo))
            return done("Settings saved.", to="admin.site_settings")
    return page("admin/site_settings.html", form, fixed=fixed, config=settings())


def _save(work: Work, form: SiteForm, logo: bytes | None) -> None:
    work[SiteSettings].change(**form.values())
    if logo is not None or form.removes_logo.data:
        work[SiteSettings].change_logo(logo)
