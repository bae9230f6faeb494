from app.admin.notices import NoticeSource
from app.api.tags import ApiTag
from app.core.feature import Feature
from app.invitations.notices import find_invitation_notices
from app.invitations.parts import load_button
from app.invitations.promises import PROMISES
from app.users.permissions import USERS_INVITE
from app.web.navigation import AdminPage
from app.web.parts import USERS_ACT, Part

feature = Feature(
    name="invitations",
    commands={
        "invitations": "app.invitations.commands:invitations",
    },
    admin_pages=(AdminPage(USERS_INVITE, "users.invitations", "Invitations", place=20),),
    audit_texts={
        "invitation.accepted": "Invitation accepted.",
        "invitation.resent": "Invitation sent again.",
        "invitation.revoked": "Invitation revoked.",
        "user.invited": "User invited.",
    },
    notices=(NoticeSource(USERS_INVITE, find_invitation_notices, place=50),),
    parts=(Part(USERS_ACT, "users/_invite_user.html", load_button, place=30),),
    promises=(PROMISES,),
    api_tags=(ApiTag("invitations", "Pending invitations.", place=30),),
)
