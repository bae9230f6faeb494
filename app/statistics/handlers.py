from app.jobs.registry import Run, handles_in_steps
from app.statistics.service import Statistics
from app.statistics.tasks import CountStatistics

DAYS_IN_A_STEP = 31


@handles_in_steps(CountStatistics)
def count_statistics(run: Run, task: CountStatistics) -> None:
    with run.step() as work:
        work[Statistics].count_hours()
        days = work[Statistics].days_to_count()
    for first in range(0, len(days), DAYS_IN_A_STEP):
        batch = days[first : first + DAYS_IN_A_STEP]
        with run.step() as work:
            for day in batch:
                work[Statistics].count_day(day)
            work.progress(first + len(batch), len(days))
