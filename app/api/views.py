"""The OpenAPI document, as JSON and as a page."""

from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape
from pydantic_core import to_json

from app.api import bp
from app.api.openapi import DESCRIPTION, document
from app.core.extensions import features
from app.core.models import MAX_ID
from app.web.access import public
from app.web.compression import compressed
from app.web.headers import for_everyone
from app.web.pages import page

Row = tuple[str, bool, str]


@bp.get("/v1/openapi.json")
@public
def openapi() -> ResponseReturnValue:
    """Get this document."""
    return compressed(for_everyone(Response(to_json(document()), mimetype="application/json"), seconds=300))


@bp.get("/docs")
@public
def docs() -> ResponseReturnValue:
    """Show the document as a page."""
    whole = document()
    shown: dict[str, Any] = {"code": _with_code, "parts_of": lambda operation: _parts_of(operation, whole)}
    has_keys = "api_keys" in features().active
    return page("api/docs.html", intro=DESCRIPTION.split("\n\n"), whole=whole, has_keys=has_keys, **shown)


def _parts_of(operation: dict[str, Any], whole: dict[str, Any]) -> dict[str, list[Row]]:
    """Return the parameters, and the fields of body and response, for the page."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
    data = good["content"]["application/json"]["schema"]["properties"]["data"]
    sent = [
        (parameter["name"], parameter["required"], _in_words(parameter["schema"], parameter))
        for parameter in operation.get("parameters", [])
    ]
    return {"Parameters": sent, "Body": _fields(body, whole), "Response data": _fields(data, whole)}


def _with_code(text: str) -> Markup:
    """Turn text between backticks into code elements."""
    words = [
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(text.split("`"))
    ]
    return Markup("").join(words)


def _fields(schema: dict[str, Any] | None, whole: dict[str, Any]) -> list[Row]:
    name = (schema or {}).get("$ref", "").rpartition("/")[2]
    described = whole["components"]["schemas"].get(name, {})
    required = described.get("required", [])
    return [(name, name in required, _in_words(schema)) for name, schema in described.get("properties", {}).items()]


def _in_words(schema: dict[str, Any], parameter: dict[str, Any] | None = None) -> str:
    """Describe a schema in one line: type, bounds, an example."""
    plain = next((option for option in schema.get("anyOf", []) if option.get("type") != "null"), schema)
    kind = plain.get("format") or plain.get("type") or plain.get("$ref", "").rpartition("/")[2]
    words = [str(kind)]
    if "enum" in plain:
        words = [", ".join(str(value) for value in plain["enum"])]
    low, high = plain.get("minimum"), plain.get("maximum")
    if low is not None and high is not None and high != MAX_ID:
        words.append(f"{low} to {high}")
    if "maxLength" in plain:
        words.append(f"at most {plain['maxLength']} characters")
    if plain is not schema and {"type": "null"} in schema.get("anyOf", []):
        words.append("or null")
    text = ", ".join(words)
    description = schema.get("description") or plain.get("description") or (parameter or {}).get("description")
    return f"{text}. {description}" if description else text
