"""The exceptions of the services. No HTTP here: `app/web/errors.py` maps each to a status."""

from __future__ import annotations

from dataclasses import dataclass


class AccountError(Exception):
    """Base of every refusal; the message is written for the person who reads it."""

    code = "refused"
    message = "That cannot be done."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class CommittedRefusal(AccountError):
    """A refusal whose effects (a counter, an audit event) commit before it is raised."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with what was sent; `field` is None where it is about the whole."""

    field: str | None
    code: str
    message: str


class InvalidInput(AccountError):
    """What was sent does not have the required format."""

    code = "invalid"
    message = "Some of what was sent is not right."

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__()
        self.problems = problems


class InvalidAddress(AccountError):
    code = "invalid_email"
    message = "Enter an email address like name@example.com."


class EmailTaken(AccountError):
    code = "email_taken"
    message = "That address belongs to another account."


class SameAddress(AccountError):
    code = "same_email"
    message = "That is already your address."


class TooManyChanges(AccountError):
    code = "too_many_changes"
    message = "You asked for several changes already. Wait an hour, then try again."


class InvalidName(AccountError):
    code = "invalid_name"
    message = "Leave out line breaks and control characters."


class WeakPassword(AccountError):
    code = "weak_password"
    message = "Choose a stronger password."


class WrongPassword(CommittedRefusal):
    code = "wrong_password"
    message = "That is not your current password."


class InvalidCredentials(CommittedRefusal):
    """Deliberately does not say whether the address or the password was wrong."""

    code = "invalid_credentials"
    message = "Wrong email address or password."


class EmailNotVerified(CommittedRefusal):
    """Only raised after the right password."""

    code = "email_not_verified"
    message = "Confirm your email address first."


class TryLater(AccountError):
    """The same can be sent again in `retry_after` whole seconds; a form keeps what was typed."""

    retry_after: int


class TooManyTries(CommittedRefusal, TryLater):
    code = "too_many_requests"

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many tries. Wait a little, then try again.")
        self.retry_after = retry_after


class Busy(TryLater):
    """More passwords are being checked than this server can check at once."""

    code = "busy"
    message = "We are busy right now. Try again in a moment."
    retry_after = 2


class RegistrationClosed(AccountError):
    code = "registration_closed"
    message = "Registration is closed here."


class SecondFactorRequired(CommittedRefusal):
    """The password was right, or a provider's word, and a second factor is set. `proof` is of the password it was."""

    code = "two_factor_required"
    message = "A code from your authenticator app is needed as well."

    def __init__(self, user_id: int, proof: str) -> None:
        super().__init__()
        self.user_id = user_id
        self.proof = proof


class WrongCode(CommittedRefusal):
    code = "wrong_code"
    message = "That code is not right, or was used already. Wait for the next one."


class BadPasskey(AccountError):
    code = "bad_passkey"
    message = "That passkey could not be used. Try again, or use another way."


class TooManyPasskeys(AccountError):
    code = "too_many_passkeys"
    message = "You have as many passkeys as there can be. Remove one first."


class TooManyConnections(AccountError):
    code = "too_many_connections"
    message = "You have as many connections as there can be. Disconnect one first."


class PasskeyTaken(AccountError):
    code = "passkey_taken"
    message = "That passkey is in use already."


class AuthenticatorLocked(CommittedRefusal):
    code = "authenticator_locked"
    message = "After a hundred wrong codes no more are taken. Use another way, or ask an administrator."


class NotSetUp(AccountError):
    code = "not_set_up"
    message = "That is not set up, or was set up anew meanwhile. Start again."


class FactorRequired(AccountError):
    code = "factor_required"
    message = "One of your roles requires a second factor, so the last one cannot be removed."


class LastFactor(AccountError):
    code = "last_factor"
    message = "It is your last one: say that you mean it."


class FactorNeeded(AccountError):
    """The account had a second factor before what a link undoes, and none that old was shown."""

    code = "factor_needed"
    message = "Use a second factor that you had before."


class FactorTooNew(AccountError):
    code = "factor_too_new"
    message = (
        "Only a second factor that you have had for at least a week longer can cancel this. Use the link in our email, "
        "or contact an administrator."
    )


class SetUpRequired(AccountError):
    """A role demands a second factor, and the person has none."""

    code = "two_factor_setup_required"
    message = "One of your roles requires a second factor. Set one up on the pages of your account first."


class DeadChallenge(AccountError):
    """What a browser was asked to prove was proved already, has expired, or was asked of another browser."""

    code = "dead_challenge"
    message = "This was used already, took too long, or was begun in another browser. Start again."


class NotUsable(CommittedRefusal):
    code = "not_usable"
    message = "That account cannot be used at the moment. Ask an administrator."


class IdentityTaken(AccountError):
    code = "identity_taken"
    message = "It is connected to another account here. Sign in with it, and disconnect it there first."


class LastWayIn(AccountError):
    code = "last_way_in"
    message = "You could not sign in any more. Set a password first."


class DeadLink(AccountError):
    """A one-time link that was used, has expired, was replaced by a newer one, or never existed."""

    code = "dead_link"
    message = "This link no longer works."


class LastAdministrator(AccountError):
    code = "last_administrator"
    message = "There must always be one active administrator. Make someone else an administrator first."


class NotAllowed(AccountError):
    """`permission` is what was lacking; the refusal then leaves an audit event."""

    code = "forbidden"
    message = "You may not do that."

    def __init__(self, message: str | None = None, *, permission: str | None = None) -> None:
        super().__init__(message)
        self.permission = permission


class NotFound(AccountError):
    code = "not_found"
    message = "There is nothing here."


class UserNotFound(NotFound):
    message = "There is no such user."


class NotActive(AccountError):
    code = "not_active"
    message = "The account is deactivated. Activate it first."


class InThePast(AccountError):
    code = "in_the_past"
    message = "Choose a time in the future."


class AlreadyConfirmed(AccountError):
    code = "already_confirmed"
    message = "The address is confirmed already."


class RoleNotFound(NotFound):
    message = "There is no such role."


class InvalidRole(AccountError):
    """`field` is the one that is wrong: name, description or permissions."""

    code = "invalid_role"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class RoleTaken(AccountError):
    code = "role_taken"
    message = "There is a role of this name already."


class RoleFixed(AccountError):
    code = "role_fixed"
    message = "The administrator keeps every permission and its name."


class RoleInUse(AccountError):
    code = "role_in_use"
    message = "Somebody holds this role. Take it from everybody first."


class InvitationNotFound(NotFound):
    message = "There is no such invitation; it may have been accepted."


class JobNotFound(NotFound):
    message = "There is no such job."


class SessionNotFound(NotFound):
    message = "That session has already ended."


class ConnectionNotFound(NotFound):
    message = "There is no such connection."


class ApiKeyNotFound(NotFound):
    message = "There is no such API key."


class JobNotRetryable(AccountError):
    code = "job_not_retryable"
    message = "Only a dead or cancelled job can be retried."


class JobNotCancellable(AccountError):
    code = "job_not_cancellable"
    message = "Only a waiting or running job can be cancelled."


class JobNotStartable(AccountError):
    code = "job_not_startable"
    message = "Only a waiting job can be run now."


class MailNotFound(NotFound):
    message = "There is no record of that mail, or of the job that sent it."


class MailUnderway(AccountError):
    code = "mail_underway"
    message = "That mail is on its way already."


class FileNotThere(NotFound):
    message = "The file is not there any more."


class ImportNotFound(NotFound):
    message = "There is no such import."


class ImportNotReady(AccountError):
    code = "import_not_ready"
    message = "Only an import that was checked and not begun can be started."


class TooManyRows(CommittedRefusal, TryLater):
    code = "too_many_rows"
    retry_after = 3600

    def __init__(self, at_most: int) -> None:
        super().__init__(f"You can import {at_most:,} rows within a day. Split the file, or wait.")


class UnreadableFile(AccountError):
    """The message says why, and what to do."""

    code = "unreadable_file"
    message = "The file cannot be read."


class InvalidPeriod(AccountError):
    code = "invalid_period"
    message = "The end must be after the beginning. Choose an earlier beginning or a later end."


class ScheduleNotFound(NotFound):
    message = "The schedule has no such entry."


class CannotBePaused(AccountError):
    code = "cannot_be_paused"
    message = "This one cannot be paused: people's security depends on it."


class BadRefreshToken(AccountError):
    """Unknown, expired, or its sign-in has ended."""

    code = "invalid_token"
    message = "This refresh token does not work. Sign in again."


class TokenReused(CommittedRefusal):
    """A refresh token was used twice, so two parties hold it: the sign-in was ended for both."""

    code = "token_reused"
    message = "This refresh token was used before, so the sign-in has ended. Sign in again."


class ScopeNotHeld(AccountError):
    """`missing` are the scopes that the owner does not hold."""

    code = "scope_not_held"

    def __init__(self, missing: list[str]) -> None:
        super().__init__(f"You do not have {', '.join(missing)}, so a key of yours cannot have it either.")
        self.missing = missing


class TooManyApiKeys(AccountError):
    code = "too_many_api_keys"


class ConfirmationRequired(AccountError):
    code = "confirmation_required"
    message = "Confirm it's you first: POST /api/v1/auth/confirm with your password, or a code if you have set one up."
    not_for_keys = "An API key cannot do this. Use an access token, and confirm with POST /api/v1/auth/confirm."


class Changed(AccountError):
    """The resource has changed since the client read it."""

    code = "precondition_failed"
    message = "It was changed in the meantime. Get it again, then decide."


class IdempotencyKeyReused(AccountError):
    code = "idempotency_key_reused"
    message = "This Idempotency-Key was used for another request. Use a new one."


class Pointless(AccountError):
    """The job's work is no longer needed; the message says why and becomes the job's outcome."""


class JobCancelled(AccountError):
    """Cancellation was requested while the job ran; the transaction of this step is rolled back."""

    code = "job_cancelled"
    message = "The job was cancelled."


class HandedBack(AccountError):
    """The worker stops or the job ran for long: it goes on in another process, from its last position."""

    code = "handed_back"
    message = "The job goes on in another process."


class LeaseLost(AccountError):
    """Another worker holds the job now; the transaction of this one is rolled back."""

    code = "lease_lost"
    message = "The lease on this job was lost."


class JobFailed(Exception):
    """Tells RQ that a try failed, without any detail; the reason is in the job's row."""


class PermanentFailure(Exception):
    """A failure that a retry cannot fix (a mail server's permanent refusal); its message is stored in the job's row."""
