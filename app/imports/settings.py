from pydantic import Field

from app.core.lifetimes import Lifetimes


class ImportSettings(Lifetimes):
    import_rows_per_day: int = Field(1_000_000, ge=1, le=1_000_000_000)
