"""`flask users reset-factors`."""

import click

from app.core.principal import OPERATOR
from app.factor_resets.service import FactorResets
from app.unit_of_work import unit_of_work
from app.users.commands import check_reason, user_argument, users


@users.command(name="reset-factors")
@user_argument
@click.option("--reason", help="How you verified the user's identity. Required without --cancel.")
@click.option("--now", is_flag=True, help="Don't wait FACTOR_RESET_HOURS.")
@click.option("--cancel", is_flag=True, help="Cancel a scheduled reset.")
def reset_factors(who: str | int, reason: str | None, now: bool, cancel: bool) -> None:
    """Remove a user's second factors after a delay.

    We email all their addresses. The user can cancel the removal until then.
    """
    reason = "" if cancel else check_reason(reason)
    with unit_of_work() as work:
        user = work.users.find(who, lock=True)
        if cancel:
            work[FactorResets].cancel_reset(user, by=OPERATOR)
            click.echo("Reset cancelled. The second factors stay.")
            return
        reset = work[FactorResets].announce_reset(user, reason=reason, by=OPERATOR)
        if now:
            reset.due_at = work.clock()
            work.session.flush()
            work[FactorResets].apply_reset(reset.id)
    click.echo(
        f"The second factors of {user.email} are removed{'' if now else f' at {reset.due_at:%Y-%m-%d %H:%M} UTC'}."
    )
