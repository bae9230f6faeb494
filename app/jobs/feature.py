from datetime import timedelta

from app.admin.notices import NoticeSource
from app.api.tags import ApiTag
from app.core.feature import Feature
from app.core.retention import purge_where
from app.jobs.models import Job
from app.jobs.notices import find_job_notices
from app.users.permissions import JOBS_READ
from app.web.navigation import AdminPage

feature = Feature(
    name="jobs",
    commands={
        "jobs": "app.jobs.commands:jobs",
        "schedule": "app.jobs.commands:schedule_group",
    },
    admin_pages=(AdminPage(JOBS_READ, "admin.jobs", "Jobs", place=70),),
    audit_texts={
        "job.cancelled": "Job {job} ({task}) cancelled.",
        "job.retried": "Job {job} ({task}) retried.",
        "job.run": "Job {job} ({task}) was run early.",
        "jobs.retried": "Dead and cancelled jobs retried: {count} (state: {states}, task: {task}).",
        "schedule.paused": "Schedule entry {entry} paused.",
        "schedule.resumed": "Schedule entry {entry} resumed.",
        "schedule.run": "Schedule entry {entry} run as job {job}.",
    },
    purges=(
        purge_where(
            Job, lambda work: Job.finished_at < work.clock() - timedelta(days=work.lifetimes.finished_job_days)
        ),
    ),
    notices=(NoticeSource(JOBS_READ, find_job_notices, place=20),),
    api_tags=(ApiTag("jobs", "Background jobs, their progress, and the schedule.", place=60),),
)
