"""Templates get rows with everything they show."""

import pytest
from flask import render_template_string

from app.core.extensions import db
from app.users.models import User


@pytest.mark.parametrize("shown", ["roles", "time_zone"])
def test_template_that_makes_a_query_fails_its_test(app, people, shown):
    ada = people.add("ada@example.com")
    with app.test_request_context("/"):
        user = db.session.get(User, ada.id)
        with pytest.raises(AssertionError, match="a template makes a query"):
            render_template_string("{{ user[shown] }}", user=user, shown=shown)
