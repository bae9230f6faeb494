from app.core.feature import Feature
from app.jobs.services.schedule import WeeklyEntry
from app.reports.parts import load_today
from app.reports.permissions import REPORTS_READ
from app.reports.tasks import SendWeeklyReports
from app.web.navigation import AdminPage
from app.web.parts import OVERVIEW, Part

feature = Feature(
    name="reports",
    admin_pages=(AdminPage(REPORTS_READ, "admin.reports", "Reports", place=60),),
    schedule=(WeeklyEntry("send-weekly-reports", SendWeeklyReports()),),
    parts=(Part(OVERVIEW, "admin/_today.html", load_today, place=10),),
)
