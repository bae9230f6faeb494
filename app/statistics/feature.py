from datetime import timedelta

from app.core.feature import Feature
from app.jobs.services.schedule import Entry
from app.statistics.tasks import CountStatistics

feature = Feature(
    name="statistics",
    schedule=(Entry("count-statistics", CountStatistics(), timedelta(minutes=5)),),
)
