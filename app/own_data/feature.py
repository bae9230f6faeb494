from app.core.feature import Feature
from app.web.navigation import NavPage

feature = Feature(
    name="own_data",
    account_pages=(NavPage("account.data", "Your data", place=90),),
    audit_texts={
        "user.data_requested": "Copy of the account's data requested.",
    },
)
