from app.auth.access import Words
from app.auth.models import Authenticator
from app.auth.second_factors import CodeSource, FactorKind
from app.core.feature import Feature
from app.core.principal import Principal
from app.core.service import Services
from app.totp.service import TOTP, AuthenticatorApps
from app.unit_of_work import Work
from app.web.parts import SECURITY_SECTION, Part


def _take_code(services: Services, authenticator: Authenticator, code: str) -> bool:
    return services[AuthenticatorApps].take_code(authenticator, code)


def _reencrypt(work: Work, _at_most: int) -> int:
    """Encrypt secrets of earlier keys with the current key: not every secret is used before a key is removed."""
    work[AuthenticatorApps].reencrypt()
    return 0


def _load_app(services: Work, who: Principal) -> dict[str, Authenticator | None]:
    return {"app": services.factors.find(who.user_id, TOTP)}


feature = Feature(
    name="totp",
    find_use=lambda work: work.factors.find_use(TOTP),
    commands={"users reencrypt": "app.totp.commands:reencrypt"},
    parts=(Part(SECURITY_SECTION, "account/_totp.html", _load_app, place=20),),
    purges=(_reencrypt,),
    factors=(
        FactorKind(
            kind=TOTP,
            words=Words(
                "Authenticator app", "An authenticator app", "Remove authenticator app", "Authenticator app removed."
            ),
            codes=CodeSource(
                source="your authenticator app",
                hint="the 6-digit code from your authenticator app",
                take_code=_take_code,
            ),
        ),
    ),
    checks=("app.totp.commands:check_seeds",),
)
