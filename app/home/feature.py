from app.core.feature import Feature
from app.home import bp

feature = Feature(
    name="home",
    blueprints=(bp,),
)
