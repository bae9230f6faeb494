from app.core.feature import Feature
from app.users.permissions import SITE_EDIT
from app.web.navigation import AdminPage

feature = Feature(
    name="site_settings",
    admin_pages=(AdminPage(SITE_EDIT, "admin.site_settings", "Settings", place=90),),
)
