"""Strict parsing of requests: one JSON object in UTF-8, or a query, with each name once."""

import json
from typing import Any, NoReturn, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from app.core import errors

MAX_BODY_BYTES = 64 * 1024

Model = TypeVar("Model", bound=BaseModel)

# pydantic's error types and our codes for them; every other type is "invalid".
CODES = {
    "missing": "required",
    "extra_forbidden": "unknown_field",
    "string_type": "wrong_type",
    "bool_type": "wrong_type",
    "list_type": "wrong_type",
    "int_parsing": "wrong_type",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "too_long": "too_long",
    "greater_than_equal": "too_small",
    "less_than_equal": "too_large",
    "string_pattern_mismatch": "invalid_characters",
    "string_unicode": "invalid_characters",
    "literal_error": "not_a_choice",
    "weak_password": "weak_password",
}
# Codes of a 422 in the document that every endpoint can have.
USUAL_CODES = {*CODES.values(), "invalid"} - {"weak_password"}
CODES_OF_QUERIES = (USUAL_CODES | {"repeated"}) - {"required"}
CODES_OF_BODIES = (USUAL_CODES | {"not_an_object"}) - {"too_small", "too_large"}
SENTENCES = {
    "required": "This field is required.",
    "unknown_field": "Unknown field.",
    "invalid_characters": "Remove line breaks and special characters.",
}


class UnreadableBody(BadRequest):
    """The description gives the position at which the JSON is invalid."""

    shows_description = True

    def __init__(self, where: str) -> None:
        super().__init__(f"The body isn't valid JSON: {where}.")


def read_body(model: type[Model], *, is_optional: bool = False) -> Model:
    """Read a JSON object. With `is_optional`, a missing body is an empty object.

    Raises UnsupportedMediaType, RequestEntityTooLarge, UnreadableBody, InvalidInput.
    """
    body = {} if is_optional and _has_no_body() else _read_object()
    return _checked(model, body)


def _has_no_body() -> bool:
    return not request.content_length and "Transfer-Encoding" not in request.headers


def _read_object() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    request.max_content_length = MAX_BODY_BYTES
    try:
        body = json.loads(
            request.get_data(cache=True).decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_number
        )
    except json.JSONDecodeError as problem:
        raise UnreadableBody(f"line {problem.lineno}, column {problem.colno}: {problem.msg}") from None
    except UnicodeDecodeError:
        raise UnreadableBody("not UTF-8") from None
    except RecursionError:
        raise UnreadableBody("nested too deeply") from None
    except ValueError as problem:  # Raised by the request hooks.
        raise UnreadableBody(str(problem)) from None
    if not isinstance(body, dict):
        raise errors.InvalidInput([errors.Problem(None, "not_an_object", "Send a JSON object.")])
    return body


def read_query(model: type[Model]) -> Model:
    """Raises InvalidInput."""
    doubled = [name for name, values in request.args.lists() if len(values) > 1]
    if doubled:
        raise errors.InvalidInput([errors.Problem(name, "repeated", "Send this field only once.") for name in doubled])
    return _checked(model, request.args.to_dict())


def _checked(model: type[Model], values: dict[str, Any]) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as refused:
        raise errors.InvalidInput([_problem(error) for error in refused.errors(include_url=False)]) from None


def _problem(error: Any) -> errors.Problem:
    code = CODES.get(error["type"], "invalid")
    message = error["msg"].removeprefix("Value error, ")
    # Only known names or names that were sent; never a value.
    field = ".".join(str(part) for part in error["loc"])[:100].encode("utf-8", "replace").decode()
    return errors.Problem(field or None, code, SENTENCES.get(code, message))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("duplicate name")
    return values


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")
