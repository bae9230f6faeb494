"""The baseline: bare Flask, one primary-key query through the ORM, one page as long as ours."""

from __future__ import annotations

import os
from datetime import datetime

from flask import Flask, render_template
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str]
    is_active: Mapped[bool]
    email_verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


def create_app() -> Flask:
    """It reads the users of the application beside it; its pages are copies of that application's."""
    app = Flask(__name__, template_folder=os.environ["BENCH_TEMPLATES"])
    engine = create_engine(f"sqlite:///{os.environ['BENCH_DATABASE']}")

    @app.get("/account/<int:person_id>")
    def account(person_id: int) -> str:
        with Session(engine) as session:
            return render_template("account.html", person=session.get_one(Person, person_id))

    @app.get("/login")
    def login() -> str:
        return render_template("login.html")

    return app
