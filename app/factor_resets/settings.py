from pydantic import Field

from app.core.lifetimes import Lifetimes


class FactorResetSettings(Lifetimes):
    factor_reset_hours: int = Field(24, ge=1, le=31 * 24)
