from app.admin import bp
from app.core.feature import Feature
from app.web.navigation import AdminPage

feature = Feature(
    name="admin",
    blueprints=(bp,),
    admin_pages=(AdminPage(None, "admin.overview", "Overview", place=0),),
)
