from app.core.feature import Feature

feature = Feature(
    name="own_data",
    audit_texts={
        "user.data_requested": "Copy of the account's data requested.",
    },
)
