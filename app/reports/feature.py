from datetime import timedelta

from app.core.feature import Feature
from app.jobs.services.schedule import Entry, WeeklyEntry
from app.reports.tasks import CountStatistics, SendWeeklyReports
from app.users.permissions import REPORTS_READ
from app.web.navigation import AdminPage

feature = Feature(
    name="reports",
    admin_pages=(AdminPage(REPORTS_READ, "admin.reports", "Reports", place=60),),
    schedule=(
        Entry("count-statistics", CountStatistics(), timedelta(minutes=5)),
        WeeklyEntry("send-weekly-reports", SendWeeklyReports()),
    ),
)
