"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import MailTask


class SendSample(MailTask, kind="send_sample", title="Send sample email"):
    """Send a sample email to the administrator who asked for it; `sample_id` is its index in the list of samples."""

    user_id: int
    sample_id: int
