from pydantic import Field

from app.core.lifetimes import Lifetimes


class ImpersonationSettings(Lifetimes):
    impersonation_minutes: int = Field(30, ge=1, le=240)
    impersonation_notice: bool = True
