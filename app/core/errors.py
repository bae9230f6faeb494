"""Exceptions of the services, with their public codes, HTTP statuses and form fields."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus


class AccountError(Exception):
    """Base of every refusal; the message is for the user. A form shows it beside the first of `fields` that it has."""

    code = "refused"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    message = "This can't be done."
    fields: tuple[str, ...] = ()

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class Conflict(AccountError):
    """A refusal because of the state of what the request is about."""

    status = HTTPStatus.CONFLICT


class CommittedRefusal(AccountError):
    """A refusal whose effects (a counter, an audit event) commit before it is raised."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a request; `field` is None if it concerns the whole request."""

    field: str | None
    code: str
    message: str


class InvalidInput(AccountError):
    """A request that does not have the required format."""

    code = "invalid"
    message = "Check the highlighted fields."

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__()
        self.problems = problems


@contextmanager
def at_field(field: str, refusal: type[AccountError], *, code: str = "") -> Iterator[None]:
    """Turn a refusal into the problem of a request's field."""
    try:
        yield
    except refusal as problem:
        raise InvalidInput([Problem(field, code or problem.code, str(problem))]) from None


class InvalidAddress(AccountError):
    code = "invalid_email"
    fields = ("email",)
    message = "Enter an email address, like name@example.com."


class EmailTaken(Conflict):
    code = "email_taken"
    fields = ("email",)
    message = "Another account uses this email address."


class SameAddress(AccountError):
    code = "same_email"
    fields = ("email",)
    message = "This is already your email address."


class TooManyChanges(AccountError):
    code = "too_many_changes"
    fields = ("email",)
    message = "You requested too many changes. Wait an hour, then try again."


class InvalidName(AccountError):
    code = "invalid_name"
    message = "Remove line breaks and special characters."


class WeakPassword(AccountError):
    code = "weak_password"
    fields = ("password",)
    message = "Choose a stronger password."


class WrongPassword(CommittedRefusal):
    code = "wrong_password"
    status = HTTPStatus.UNAUTHORIZED
    fields = ("current_password", "password")
    message = "That's not your current password."


class InvalidCredentials(CommittedRefusal):
    """Deliberately does not say whether the address or the password was wrong."""

    code = "invalid_credentials"
    status = HTTPStatus.UNAUTHORIZED
    message = "Wrong email address or password."


class EmailNotVerified(CommittedRefusal):
    """Only raised after the right password."""

    code = "email_not_verified"
    status = HTTPStatus.FORBIDDEN
    message = "Confirm your email address first."


class TryLater(AccountError):
    """A refusal of a request that can be sent again in `retry_after` whole seconds; a form keeps its values."""

    retry_after: int


class TooManyTries(CommittedRefusal, TryLater):
    code = "too_many_requests"
    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many attempts. Wait a moment, then try again.")
        self.retry_after = retry_after


class Busy(TryLater):
    """More passwords are being checked than this server can check at once."""

    code = "busy"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    message = "We're busy right now. Try again in a moment."
    retry_after = 2


class RegistrationClosed(AccountError):
    code = "registration_closed"
    status = HTTPStatus.FORBIDDEN
    message = "Sign-up is closed."


class SecondFactorRequired(CommittedRefusal):
    """The first factor was correct, and a second is set up. `proof` binds the second step to that password."""

    code = "two_factor_required"
    status = HTTPStatus.UNAUTHORIZED
    message = "Enter a code from your authenticator app too."

    def __init__(self, user_id: int, proof: str) -> None:
        super().__init__()
        self.user_id = user_id
        self.proof = proof


class WrongCode(CommittedRefusal):
    code = "wrong_code"
    status = HTTPStatus.UNAUTHORIZED
    fields = ("code",)
    message = "That code is wrong or already used. Wait for a new one."


class FactorRefused(AccountError):
    """Base of the refusals of what a browser sent to prove a second factor."""

    message = "Couldn't verify that. Try again, or use another method."


class AuthenticatorLocked(CommittedRefusal):
    code = "authenticator_locked"
    status = HTTPStatus.FORBIDDEN
    fields = ("code",)
    message = "Too many wrong codes. Use another method, or contact an administrator."


class NotSetUp(Conflict):
    code = "not_set_up"
    message = "That isn't set up, or has changed since. Start again."


class FactorRequired(AccountError):
    code = "factor_required"
    message = "One of your roles requires a second factor. You can't remove the last one."


class LastFactor(AccountError):
    code = "last_factor"
    fields = ("sure",)
    message = "Tick the box to confirm."


class FactorNeeded(AccountError):
    """The account had an older second factor than the addition that a link undoes, and it was not used."""

    code = "factor_needed"
    message = "Use a second factor you had before."


class SetUpRequired(AccountError):
    """A role requires a second factor, and the user has none."""

    code = "two_factor_setup_required"
    status = HTTPStatus.FORBIDDEN
    message = "One of your roles requires a second factor. Set one up in your account first."


class InvalidChallenge(AccountError):
    """A challenge that was already used, has expired, or belongs to another browser."""

    code = "dead_challenge"
    message = "This was already used, took too long, or was started in another browser. Start again."


class NotUsable(CommittedRefusal):
    code = "not_usable"
    status = HTTPStatus.FORBIDDEN
    message = "This account can't be used right now. Contact an administrator."


class LastSignInMethod(AccountError):
    code = "last_way_in"
    message = "You wouldn't be able to sign in. Set a password first."


class InvalidLink(AccountError):
    """A one-time link that was used, has expired, was replaced by a newer one, or never existed."""

    code = "dead_link"
    status = HTTPStatus.GONE
    message = "This link no longer works."


class LastAdministrator(Conflict):
    code = "last_administrator"
    message = "There must always be one active administrator. Make someone else an administrator first."


class NotAllowed(AccountError):
    """A missing permission; with `permission`, the refusal leaves an audit event."""

    code = "forbidden"
    status = HTTPStatus.FORBIDDEN
    message = "You don't have permission to do this."

    def __init__(self, message: str | None = None, *, permission: str | None = None) -> None:
        super().__init__(message)
        self.permission = permission


class NotFound(AccountError):
    code = "not_found"
    status = HTTPStatus.NOT_FOUND
    message = "Not found."


class UserNotFound(NotFound):
    message = "User not found."


class NotActive(Conflict):
    code = "not_active"
    message = "The account is deactivated. Reactivate it first."


class InThePast(AccountError):
    code = "in_the_past"
    fields = ("until",)
    message = "Choose a time in the future."


class AlreadyConfirmed(Conflict):
    code = "already_confirmed"
    message = "The email address is already confirmed."


class RoleNotFound(NotFound):
    message = "Role not found."


class InvalidRole(AccountError):
    """`field` is the wrong one: name, description or permissions."""

    code = "invalid_role"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.fields = field, (field,)


class RoleTaken(Conflict):
    code = "role_taken"
    fields = ("name",)
    message = "A role with this name already exists."


class RoleFixed(Conflict):
    code = "role_fixed"
    message = "The name and permissions of the administrator role can't be changed."


class RoleInUse(Conflict):
    code = "role_in_use"
    message = "This role is assigned to users. Remove it from all users first."


class JobNotFound(NotFound):
    message = "Job not found."


class SessionNotFound(NotFound):
    message = "Session not found. It may have ended."


class JobNotRetryable(Conflict):
    code = "job_not_retryable"
    message = "Only dead and cancelled jobs can be retried."


class JobNotCancellable(Conflict):
    code = "job_not_cancellable"
    message = "Only waiting and running jobs can be cancelled."


class JobNotStartable(Conflict):
    code = "job_not_startable"
    message = "Only waiting jobs can be run now."


class MailNotFound(NotFound):
    message = "Email not found, or the job that sent it is gone."


class MailUnderway(Conflict):
    code = "mail_underway"
    message = "That email is already being sent."


class FileNotThere(NotFound):
    message = "The file no longer exists."


class InvalidPeriod(AccountError):
    code = "invalid_period"
    message = "The end must be after the start. Choose an earlier start or a later end."


class ScheduleNotFound(NotFound):
    message = "Schedule entry not found."


class CannotBePaused(Conflict):
    code = "cannot_be_paused"
    message = "This entry can't be paused because the security of accounts depends on it."


class BadRefreshToken(AccountError):
    """Unknown or expired, or its session has ended."""

    code = "invalid_token"
    status = HTTPStatus.UNAUTHORIZED
    message = "This refresh token is not valid. Sign in again."


class TokenReused(CommittedRefusal):
    """A refresh token was used twice, so two parties have it: the session was ended for both."""

    code = "token_reused"
    status = HTTPStatus.UNAUTHORIZED
    message = "This refresh token was already used, so we ended the session. Sign in again."


class ConfirmationRequired(AccountError):
    code = "confirmation_required"
    status = HTTPStatus.FORBIDDEN
    message = "Confirm it's you first: POST /api/v1/auth/confirm with your password, or a code if you have set one up."
    not_for_keys = "API keys can't do this. Use an access token, and confirm with POST /api/v1/auth/confirm."


class EditConflict(AccountError):
    """The resource has changed since the client read it."""

    code = "precondition_failed"
    status = HTTPStatus.PRECONDITION_FAILED
    message = "It has changed since you read it. Read it again, then retry."


class IdempotencyKeyReused(AccountError):
    code = "idempotency_key_reused"
    message = "This Idempotency-Key was used for a different request. Use a new one."


class NothingToDo(AccountError):
    """The job's work is no longer needed; the message says why and becomes the job's outcome."""


class JobCancelled(AccountError):
    """Cancellation was requested while the job ran; this step is rolled back."""

    code = "job_cancelled"
    message = "The job was cancelled."


class JobRequeued(AccountError):
    """The worker stops, or the job ran for long: it continues in another process at its last position."""

    code = "handed_back"
    message = "The job continues in another process."


class LeaseLost(AccountError):
    """Another worker holds the job; this transaction is rolled back."""

    code = "lease_lost"
    message = "The lease on this job was lost."


class JobFailed(Exception):
    """Tell RQ that an attempt failed, without details; the reason is in the job's row."""
