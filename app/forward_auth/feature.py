from app.core.feature import Feature

feature = Feature(
    name="forward_auth",
)
