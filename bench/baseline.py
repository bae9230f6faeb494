"""The baseline: bare Flask, one query through the ORM, and a page as long as ours or the same JSON."""

from __future__ import annotations

import os
from datetime import datetime

from flask import Flask, Response, jsonify, render_template, request
from sqlalchemy import create_engine, select
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


def as_json(person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "email": person.email,
        "name": person.name,
        "is_active": person.is_active,
        "email_verified_at": person.email_verified_at and person.email_verified_at.isoformat(),
        "created_at": person.created_at.isoformat(),
    }


def create_app() -> Flask:
    """It reads the users of the application beside it; its pages are copies of that application's."""
    app = Flask(__name__, template_folder=os.environ["BENCH_TEMPLATES"])
    engine = create_engine(f"sqlite:///{os.environ['BENCH_DATABASE']}")

    @app.get("/account/<int:person_id>")
    def account(person_id: int) -> str:
        with Session(engine) as session:
            return render_template("account.html", person=session.get_one(Person, person_id))

    @app.get("/users/<int:person_id>")
    def one_user(person_id: int) -> Response:
        with Session(engine) as session:
            return jsonify(as_json(session.get_one(Person, person_id)))

    @app.get("/users")
    def users() -> Response:
        query = select(Person).order_by(Person.id.desc()).limit(50)
        if "before" in request.args:
            query = query.where(Person.id < int(request.args["before"]))
        with Session(engine) as session:
            return jsonify([as_json(person) for person in session.scalars(query)])

    @app.get("/login")
    def login() -> str:
        return render_template("login.html")

    return app
