from app.core.feature import Feature
from app.oauth.access import ACCESS
from app.web.navigation import NavPage

feature = Feature(
    name="oauth",
    account_pages=(NavPage("account.connections", "Connected accounts", place=50),),
    audit_texts={
        "connection.added": "{provider} connected.",
        "connection.removed": "{provider} disconnected.",
    },
    access=(ACCESS,),
)
