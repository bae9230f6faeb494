from datetime import timedelta

from sqlalchemy import or_

from app.api.tags import ApiTag
from app.api_keys.credential import ACCESS, CREDENTIAL
from app.api_keys.models import ApiKey
from app.api_keys.parts import load_keys
from app.api_keys.tasks import WarnOfExpiringKeys
from app.core.feature import Feature
from app.core.retention import ended_before, purge_where
from app.jobs.services.schedule import Entry
from app.web.navigation import NavPage
from app.web.parts import USER_SECTION, Part

feature = Feature(
    name="api_keys",
    account_pages=(NavPage("account.api_keys", "API keys", place=70),),
    commands={
        "keys": "app.api_keys.commands:keys",
    },
    schedule=(Entry("warn-of-expiring-keys", WarnOfExpiringKeys(), timedelta(hours=12)),),
    audit_texts={
        "api_key.ended": "API key revoked.",
        "api_key.ended_all": "All API keys revoked: {count}.",
        "api_key.made": "API key “{name}” created.",
        "api_key.renamed": "API key “{before}” renamed to “{after}”.",
    },
    purges=(
        purge_where(
            ApiKey, lambda work: or_(ApiKey.expires_at < ended_before(work), ApiKey.ended_at < ended_before(work))
        ),
    ),
    access=(ACCESS,),
    credentials=(CREDENTIAL,),
    parts=(Part(USER_SECTION, "users/_api_keys.html", load_keys, place=10),),
    api_tags=(ApiTag("api-keys", "Credentials for programs.", place=90),),
)
