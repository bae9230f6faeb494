from app.core.feature import Feature

feature = Feature(
    name="demo",
    commands={
        "demo": "app.demo.commands:demo",
    },
)
