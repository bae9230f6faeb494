"""The jobs page and its API: jobs, schedule and workers, and actions on them."""

import pytest

from app.api_keys.service import ApiKeys
from app.auth.emails.factors import SendFactorChanged
from app.auth.emails.sign_in import SendNewDevice
from app.core.principal import OPERATOR
from app.jobs import views as admin_jobs
from app.jobs.models import SchedulePause
from app.jobs.notifier import notifier
from app.jobs.schedule import tick
from app.jobs.tasks import NoOperation
from app.ops.tasks import PurgeExpired
from app.unit_of_work import reading, unit_of_work
from app.users.services.roles import RoleSpec
from tests.support.mailbox import work_off
from tests.support.pages import attributes
from tests.support.program import Program, code

JOBS, SCHEDULE, WORKERS = "/admin/jobs", "/admin/jobs/schedule", "/admin/jobs/workers"
ACTS = ("retry", "run", "cancel")


@pytest.fixture
def enqueue(app):
    def enqueue(task):
        with app.app_context(), unit_of_work() as work:
            return work.enqueue(task)

    return enqueue


@pytest.fixture
def with_queue(app):
    """A unit of work whose job queue completes jobs as a worker would."""

    def act(process_expired):
        with app.app_context(), unit_of_work() as work:
            return process_expired(work.job_queue)

    return act


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.sign_in(admin)
    return client


@pytest.fixture
def root(app, admin):
    return Program(app).login(admin)


def told(browser, answer):
    """Return the page after an action."""
    assert answer.status_code == 302
    return browser.page(answer.location).text("main")


def state_of(app, job_id):
    with app.app_context():
        return reading().job_board.get(job_id).state


def test_jobs_page_requires_its_permissions(client, people, enqueue):
    job_id = enqueue(NoOperation())
    client.sign_in(people.add("ada@example.com"))
    assert client.get(JOBS).status_code == 403
    assert client.get(f"{JOBS}/{job_id}").status_code == 403
    for act in ACTS:
        assert client.post(f"{JOBS}/{job_id}/{act}", {}, page="/account").status_code == 403
    assert client.post(f"{JOBS}/retry", {}, page="/account").status_code == 403
    assert client.post(f"{JOBS}/schedule/purge-expired/pause", {}, page="/account").status_code == 403


def test_reader_is_offered_no_actions(app, client, people, enqueue):
    with app.app_context(), unit_of_work() as work:
        work.roles.create(RoleSpec(name="watcher", permissions=frozenset({"jobs:read"})), by=OPERATOR)
    job_id = enqueue(NoOperation())
    client.sign_in(people.add("eve@example.com", roles=("watcher",)))

    board, job = client.page(JOBS), client.page(f"{JOBS}/{job_id}")

    assert not board.has("main form[method=post]")
    assert not job.has("main form[method=post]")


@pytest.mark.databases("sqlite", "postgresql")
def test_jobs_page_shows_each_job_and_its_outcome(grace, enqueue, with_queue):
    done, dead, later = (enqueue(NoOperation()) for _ in range(3))
    with_queue(lambda queue: queue.complete(queue.claim(done), outcome="finished"))
    with_queue(lambda queue: queue.discard(queue.claim(dead), outcome="the user no longer exists"))
    with_queue(lambda queue: queue.retry_later(queue.claim(later), outcome="the mail server is away"))

    text = grace.page(JOBS).text("#jobs")

    for word in (
        "Done",
        "Finished",
        "Dead",
        "The user no longer exists",
        "Retrying",
        "The mail server is away",
        "Next attempt",
    ):
        assert word in text
    assert "Finished" not in grace.page(f"{JOBS}?state=dead").text("#jobs")
    assert "The user no longer exists" in grace.page(f"{JOBS}?state=dead").text("#jobs")
    assert "No jobs" in grace.page(f"{JOBS}?state=running&task=purge_expired").text("#jobs")
    assert "Finished" in grace.page(f"{JOBS}?state=odd&task=odd&before=odd").text("#jobs")


def test_running_job_shows_progress_rate_and_time_left(grace, enqueue, with_queue, clock):
    job_id = enqueue(PurgeExpired())
    claim = with_queue(lambda queue: queue.claim(job_id, worker="web1:4711"))
    clock.advance(seconds=10)
    with_queue(lambda queue: queue.heartbeat(claim, done=40_000, total=100_000))

    for path in (JOBS, f"{JOBS}/{job_id}"):
        page = grace.page(path)
        assert attributes(page.find("progress"))["value"] == "40"
        assert "40,000 of 100,000, 4,000 a second, 15 seconds left" in page.text("main")
        assert "web1:4711" in page.text("main")


def test_jobs_page_refreshes_only_while_work_is_open(grace, enqueue, with_queue):
    job_id = enqueue(NoOperation())
    assert grace.page(f"{JOBS}/{job_id}").has("#job[data-hx-trigger]")

    with_queue(lambda queue: queue.complete(queue.claim(job_id)))

    assert not grace.page(f"{JOBS}/{job_id}").has("#job[data-hx-trigger]")


@pytest.mark.settings(session_idle_minutes=30)
def test_background_refresh_does_not_keep_the_session_alive(grace, clock):
    for _ in range(4):
        clock.advance(minutes=9)
        answer = grace.get(JOBS, headers={"X-Background": "1"})

    assert answer.status_code == 302
    assert answer.location.startswith("/auth/login")


@pytest.mark.settings(session_idle_minutes=30)
def test_background_header_on_other_pages_is_ignored(app, grace, admin, clock):
    """Otherwise a stolen cookie or key could be used without leaving a trace."""
    data = Program(app).login(admin).post("/api-keys", {"name": "Reporter", "scopes": ["jobs:read"]}).json["data"]
    for _ in range(4):
        clock.advance(minutes=9)
        assert grace.get("/users", headers={"X-Background": "1"}).status_code == 200

    Program(app, token=data["key"]).get("/jobs", headers={"X-Background": "1"})
    with app.app_context():
        assert [key.last_used_at for key in reading()[ApiKeys].list_active(admin.id)] == [clock.now]


def test_job_is_cancelled_retried_and_run_early(app, grace, enqueue, with_queue, mailbox):
    job_id = enqueue(NoOperation())
    page = f"{JOBS}/{job_id}"

    assert "Job cancelled" in told(grace, grace.post(f"{page}/cancel", {}, page=page))
    assert state_of(app, job_id) == "cancelled"
    assert "can be cancelled" in told(grace, grace.post(f"{page}/cancel", {}, page=page))
    grace.post(f"{page}/retry", {}, page=page)
    assert state_of(app, job_id) == "waiting"
    assert "can be retried" in told(grace, grace.post(f"{page}/retry", {}, page=page))

    with_queue(lambda queue: queue.retry_later(queue.claim(job_id), outcome="later"))
    assert work_off(app) == 0
    grace.post(f"{page}/run", {}, page=page)
    assert work_off(app) == 1
    assert "can be run" in told(grace, grace.post(f"{page}/run", {}, page=page))

    events = grace.page("/admin/audit").text("main")
    for word in ("cancelled", "retried", "was run early"):
        assert f"Job {job_id} (no_operation) {word}" in events


def test_running_job_is_asked_to_stop(app, grace, enqueue, with_queue):
    job_id = enqueue(NoOperation())
    with_queue(lambda queue: queue.claim(job_id))
    page = f"{JOBS}/{job_id}"

    assert "stops after the current step" in told(grace, grace.post(f"{page}/cancel", {}, page=page))
    assert not grace.page(page).has("form[action$='/cancel']")


@pytest.mark.databases("sqlite", "postgresql")
def test_all_matching_jobs_are_retried(app, grace, enqueue, with_queue):
    matching = [enqueue(SendNewDevice(user_id=1, session_id=number)) for number in range(3)]
    other = enqueue(NoOperation())
    for job_id in (*matching, other):
        with_queue(lambda queue, job_id=job_id: queue.discard(queue.claim(job_id), outcome="no"))
    page = f"{JOBS}?state=dead&task=send_new_device"
    sent = {
        name: attributes(grace.page(page).find(f"form[action$='/retry'] input[name={name}]"))["value"]
        for name in ("state", "task")
    }

    answer = grace.post(f"{JOBS}/retry", sent, page=page)

    assert "Jobs enqueued again: 3" in told(grace, answer)
    assert [state_of(app, one_id) for one_id in (*matching, other)] == ["waiting"] * 3 + ["dead"]
    assert "No jobs to retry" in told(grace, grace.post(f"{JOBS}/retry", sent, page=page))


@pytest.mark.databases("sqlite", "postgresql")
def test_schedule_is_shown_paused_resumed_and_run(app, grace):
    with app.app_context():
        tick()
    assert "Delete expired data" in grace.page(SCHEDULE).text("table")

    grace.post(f"{JOBS}/schedule/purge-expired/pause", {}, page=SCHEDULE)
    assert "Paused" in grace.page(SCHEDULE).text("table")
    grace.post(f"{JOBS}/schedule/purge-expired/resume", {}, page=SCHEDULE)
    assert "Paused" not in grace.page(SCHEDULE).text("table")
    shown = told(grace, grace.post(f"{JOBS}/schedule/purge-expired/run", {}, page=SCHEDULE))
    assert "Delete expired data" in shown
    assert grace.post(f"{JOBS}/schedule/odd/run", {}, page=SCHEDULE).status_code == 404


def test_pages_for_jobs_begin_with_their_numbers(grace, enqueue, monkeypatch):
    for _ in range(2):
        enqueue(NoOperation())
    for path in (JOBS, SCHEDULE, WORKERS):
        page = grace.page(path)
        assert page.texts("#job-counts figcaption") == ["2 Waiting", "0 Running", "0 Dead", "0 Workers"]
        assert [node.attrs["href"] for node in page.find_all('nav[aria-label="Jobs"] [aria-current="page"]')] == [path]

    monkeypatch.setattr(admin_jobs, "COUNTED", 1)
    assert grace.page(JOBS).texts("#job-counts figcaption")[0] == "1+ Waiting"


def test_missing_workers_are_reported(app, grace):
    text = grace.page(JOBS).text("main")

    assert "No worker is running" in text
    assert "The schedule is not running" in text
    with app.app_context():
        tick()
    assert "The schedule is not running" not in grace.page(JOBS).text("main")


@pytest.mark.databases("sqlite")
@pytest.mark.settings(redis_url="redis://127.0.0.1:1/0")
def test_unreachable_queue_is_reported(app, grace):
    assert "Can't reach the queue" in grace.page(JOBS).text("main")
    with app.app_context():
        assert notifier.find_workers() is None
        tick()


# ── the API ──


def test_api_lists_shows_and_changes_jobs(app, root, enqueue, with_queue, clock):
    job_id = enqueue(NoOperation())
    claim = with_queue(lambda queue: queue.claim(job_id))
    clock.advance(seconds=2)
    with_queue(lambda queue: queue.heartbeat(claim, done=10, total=40))

    (listed,) = root.get("/jobs?state=running&kind=no_operation").json["data"]["items"]
    assert listed == root.get(f"/jobs/{job_id}").json["data"]
    assert listed["progress"] == {"done": 10, "total": 40, "percent": 25, "per_second": 5.0, "seconds_left": 6}

    assert "current step" in root.post(f"/jobs/{job_id}/cancel").json["message"]
    with_queue(lambda queue: queue.stop(claim))
    assert root.post(f"/jobs/{job_id}/cancel").status_code == 409
    assert root.post(f"/jobs/{job_id}/run").status_code == 409
    assert root.post(f"/jobs/{job_id}/retry").json["data"]["state"] == "waiting"
    assert root.post(f"/jobs/{job_id}/run").json["data"]["is_retrying"] is True
    assert root.post("/jobs/retry", {"kind": "no_operation"}).json["data"] == {"retried": 0}
    assert root.get("/jobs/999999999").status_code == 404


@pytest.mark.databases("sqlite", "postgresql")
def test_api_pages_through_jobs(root, enqueue):
    jobs = [enqueue(NoOperation()) for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = root.get(f"/jobs?limit=2&kind=no_operation{cursor and f'&cursor={cursor}'}").json["data"]
        seen += [job["id"] for job in page["items"]]
        cursor = page["next"]

    assert seen == jobs[::-1]


def test_api_has_the_schedule(root):
    assert root.post("/schedule/purge-expired/pause").status_code == 200
    (entry,) = [item for item in root.get("/schedule").json["data"]["items"] if item["name"] == "purge-expired"]
    assert (entry["next_at"], entry["last"], entry["every_seconds"]) == (None, None, 6 * 3600)
    assert root.post("/schedule/purge-expired/resume").status_code == 200
    assert root.post("/schedule/purge-expired/run").json["data"]["kind"] == "purge_expired"
    assert root.post("/schedule/odd/run").status_code == 404


def test_warning_emails_cannot_be_cancelled(app, grace, root, ada, flask):
    """Not even by the user who caused them."""
    with app.app_context(), unit_of_work() as work:
        event_id = work.audit.record("factor.reset_begun", subject_id=ada.id, reason="x")
        job_id = work.enqueue(SendFactorChanged(user_id=ada.id, event_id=event_id))
    assert "Cancel" not in grace.page(f"/admin/jobs/{job_id}").text("main")
    page = grace.post(f"/admin/jobs/{job_id}/cancel").location
    assert "can't be cancelled" in grace.page(page).text('[role="alert"]')
    refused = root.post(f"/jobs/{job_id}/cancel")
    assert (refused.status_code, code(refused)) == (409, "job_not_cancellable")
    assert flask("jobs", "cancel", str(job_id)).exit_code == 1
    assert state_of(app, job_id) == "waiting"


@pytest.mark.parametrize("entry", ["settle-accounts", "seal-audit-events"])
def test_security_entries_cannot_be_paused(app, grace, root, entry):
    assert f"/admin/jobs/schedule/{entry}/pause" not in grace.get(SCHEDULE).text
    assert "can't be paused" in grace.page(grace.post(f"/admin/jobs/schedule/{entry}/pause").location).text(
        '[role="alert"]'
    )
    refused = root.post(f"/schedule/{entry}/pause")
    assert (refused.status_code, code(refused)) == (409, "cannot_be_paused")
    with app.app_context(), unit_of_work() as work:
        work.session.add(SchedulePause(name=entry, paused_at=work.clock()))  # Enqueued by an earlier release.
    with app.app_context():
        assert next(planned for planned in reading().schedule.list() if planned.entry.name == entry).paused_at is None
