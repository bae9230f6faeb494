from app.account import bp
from app.core.feature import Feature

feature = Feature(
    name="account",
    blueprints=(bp,),
)
