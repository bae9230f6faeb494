from app.admin.notices import Panel
from app.core.feature import Feature
from app.jobs.services.schedule import WeeklyEntry
from app.reports.tasks import SendWeeklyReports
from app.reports.views import today
from app.users.permissions import REPORTS_READ
from app.web.navigation import AdminPage

feature = Feature(
    name="reports",
    admin_pages=(AdminPage(REPORTS_READ, "admin.reports", "Reports", place=60),),
    schedule=(WeeklyEntry("send-weekly-reports", SendWeeklyReports()),),
    overview=(Panel(REPORTS_READ, "admin/_today.html", today, place=10),),
)
