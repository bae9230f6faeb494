from app.core.feature import Feature
from app.oauth.access import ACCESS
from app.oauth.parts import label_methods, load_own_providers, load_providers
from app.oauth.service import Connections
from app.web.navigation import NavPage
from app.web.parts import CONFIRM_WITHOUT_PASSWORD, SIGN_IN, SIGN_UP, Part

feature = Feature(
    name="oauth",
    account_pages=(NavPage("account.connections", "Connected accounts", place=50),),
    audit_texts={
        "connection.added": "{provider} connected.",
        "connection.removed": "{provider} disconnected.",
    },
    access=(ACCESS,),
    find_use=lambda work: work[Connections].find_use(),
    sign_in_methods=label_methods,
    parts=(
        Part(SIGN_IN, "auth/_sign_in_with.html", load_providers, place=10),
        Part(SIGN_UP, "auth/_sign_up_with.html", load_providers, place=10),
        Part(CONFIRM_WITHOUT_PASSWORD, "auth/_confirm_with.html", load_own_providers, place=10),
    ),
    checks=("app.oauth.checks:check_providers",),
)
