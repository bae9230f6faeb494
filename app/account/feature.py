from app.account import bp
from app.core.feature import Feature
from app.web.navigation import NavPage

feature = Feature(
    name="account",
    account_pages=(
        NavPage("account.profile", "Profile", place=10),
        NavPage("account.email", "Email", place=20),
        NavPage("account.password", "Password", place=30),
        NavPage("account.security", "Security", place=40),
        NavPage("account.sessions", "Sessions", place=60),
        NavPage("account.activity", "Activity", place=80),
    ),
    blueprints=(bp,),
)
