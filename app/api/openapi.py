"""The OpenAPI 3.1 document, built from the schemas that validate requests."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import current_app
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from app.api.endpoint import MAX_KEY_LENGTH, Spec
from app.api.parsing import CODES_OF_BODIES, CODES_OF_QUERIES
from app.core import errors
from app.core.extensions import features, settings
from app.core.models import MAX_ID
from app.site.current import brand
from app.web.errors import API_WORDS

REFS = "#/components/schemas/{model}"
VERSION = "1"
DESCRIPTION = """Every response is an envelope: `success`, `data`, `message`, `errors`.

Credentials: `Authorization: Bearer` with an access token or an API key, or the browser's session cookie together with
`X-CSRFToken`. Times are RFC 3339 in UTC. Unknown fields are refused."""
ERROR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["success", "data", "message", "errors"],
    "properties": {
        "success": {"const": False},
        "data": {"type": "null"},
        "message": {"type": "string", "minLength": 1, "examples": ["Check the highlighted fields."]},
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["field", "code", "message"],
                "properties": {
                    "field": {
                        "type": ["string", "null"],
                        "description": "The field that is wrong, or null.",
                        "examples": ["email", None],
                    },
                    "code": {
                        "type": "string",
                        "description": "Stable, for programs. Each response lists its possible codes.",
                        "examples": ["required"],
                    },
                    "message": {
                        "type": "string",
                        "description": "For people. It can change.",
                        "examples": ["This field is required."],
                    },
                },
            },
        },
    },
}
TEXT = {"type": "string"}
SECONDS: dict[str, Any] = {"type": "integer", "minimum": 1}
HEADERS: dict[int, dict[str, tuple[str, dict[str, Any]]]] = {
    401: {"WWW-Authenticate": ("How to authenticate (RFC 6750).", TEXT)},
    429: {"Retry-After": ("Seconds to wait.", SECONDS)},
    503: {"Retry-After": ("Seconds to wait.", SECONDS)},
}


def document() -> dict[str, Any]:
    built: dict[str, Any] | None = current_app.extensions.get("openapi")
    if built is None:
        built = current_app.extensions["openapi"] = _build()
    return built


def _build() -> dict[str, Any]:
    rules = [rule for rule in current_app.url_map.iter_rules() if _spec(rule) is not None]
    schemas = _schemas([_spec(rule) for rule in rules])
    paths: dict[str, Any] = {}
    for rule in sorted(rules, key=lambda rule: rule.rule):
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule.removeprefix("/api/v1"))
            paths.setdefault(path, {})[method.lower()] = _operation(rule, method, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": brand().name, "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": f"{settings().public_url}/api/v1"}],
        "tags": [{"name": tag.name, "description": tag.text} for tag in features().api_tags],
        "paths": paths,
        "components": {
            "schemas": {**schemas["definitions"], "Error": ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An access token or an API key."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": current_app.config["SESSION_COOKIE_NAME"]},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRFToken"},
            },
        },
    }


def _spec(rule: Rule) -> Spec | None:
    return getattr(current_app.view_functions[rule.endpoint], "spec", None)


def _schemas(specs: list[Spec | None]) -> dict[str, Any]:
    incoming = {spec.body for spec in specs if spec and spec.body}
    outgoing = {spec.data for spec in specs if spec and spec.data}
    models: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in incoming]
    models += [(model, "serialization") for model in outgoing]
    models.sort(key=lambda kind: kind[0].__name__)
    schemas, definitions = models_json_schema(models, ref_template=REFS)
    for schema in definitions["$defs"].values():
        for field in schema.get("properties", {}).values():
            if field.get("default", True) is None:
                del field["default"]  # Client generators would treat a field with a default as always present.
    return {"found": {model: schema for (model, _), schema in schemas.items()}, "definitions": definitions["$defs"]}


def _name(rule: Rule) -> str:
    return rule.endpoint.rpartition(".")[2]


def _operation(rule: Rule, method: str, schemas: dict[str, Any]) -> dict[str, Any]:
    view: Any = current_app.view_functions[rule.endpoint]
    spec: Spec = view.spec
    is_public = getattr(view, "is_public", False)
    text = " ".join((view.__doc__ or "").split())
    operation: dict[str, Any] = {
        "operationId": _name(rule),
        "summary": text.split(". ")[0].rstrip("."),
        "description": text,
        "tags": [spec.tag],
        "security": [] if is_public else [{"bearer": []}, {"cookie": [], **({} if method == "GET" else {"csrf": []})}],
        "responses": _responses(rule, method, spec, schemas, is_public=is_public),
    }
    if permission := getattr(view, "permission", None):
        operation["description"] += f" Requires the permission `{permission}`."
    if getattr(view, "wants_confirmation", False):
        operation["description"] += " Requires a recent confirmation (`POST /auth/confirm`)."
    if not is_public and not permission:
        operation["description"] += _for_keys(getattr(view, "key_scopes", None))
    if parameters := _parameters(rule, method, spec):
        operation["parameters"] = parameters
    if spec.body is not None:
        content = {"application/json": {"schema": schemas["found"][spec.body]}}
        operation["requestBody"] = {"required": spec.needs_body, "content": content}
    if spec.upload:
        content = {media_type: {"schema": schema} for media_type, schema in spec.upload.items()}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(rule: Rule, method: str, spec: Spec) -> list[dict[str, Any]]:
    whole = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": whole if name.endswith("_id") else TEXT}
        for name in sorted(rule.arguments)
    ]
    if spec.query is not None:
        for name, schema in spec.query.model_json_schema()["properties"].items():
            plain = next((option for option in schema.get("anyOf", []) if option.get("type") != "null"), schema)
            required = spec.query.model_fields[name].is_required()
            parameters.append({"name": name, "in": "query", "required": required, "schema": plain})
    if spec.etag and method == "GET":
        parameters.append(
            _header("If-None-Match", "The ETag of a known version. If it is unchanged, the response is 304.")
        )
    if errors.EditConflict in spec.refuses:
        parameters.append(
            _header("If-Match", "The ETag of the version you read. If it has changed, the response is 412.")
        )
    if spec.replays:
        key = _header("Idempotency-Key", "A unique name for this request. A repeated request gets the first response.")
        key["schema"] = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"}
        parameters.append(key)
    return parameters


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": TEXT}


def _responses(rule: Rule, method: str, spec: Spec, schemas: dict[str, Any], *, is_public: bool) -> dict[str, Any]:
    view = current_app.view_functions[rule.endpoint]
    data = {"type": "null"} if spec.data is None else schemas["found"][spec.data]
    good: dict[str, Any] = {
        "description": HTTPStatus(spec.status).phrase,
        "content": {"application/json": {"schema": _envelope(data)}},
    }
    version = {"ETag": _described("The version of the resource.", TEXT)}
    if spec.etag:
        good["headers"] = version
    if spec.replays:
        again = _described("`true` for a repeated response.", {"const": "true"}, required=False)
        good["headers"] = {"Idempotency-Replayed": again}
    responses = {str(spec.status): good}
    if spec.etag and method == "GET":
        responses["304"] = {"description": "Not Modified", "headers": version}
    for status, codes in sorted(_codes(view, method, spec, is_public=is_public).items()):
        responses[str(status)] = _refusal(status, codes)
    return responses


def _codes(view: Any, method: str, spec: Spec, *, is_public: bool) -> dict[int, set[str]]:
    """Return every status that the endpoint's errors can have, with their codes."""
    usual = {400, 429, 500, 503}
    usual |= {411, 413, 415} if spec.body or spec.upload else set()
    usual |= set() if is_public else {401}
    codes = {status: {API_WORDS[status][0]} for status in usual}
    if method != "GET" and not is_public:
        codes[403] = {"csrf"}
    codes[422] = CODES_OF_BODIES if spec.body else CODES_OF_QUERIES if spec.query else {"unknown_field"}
    for refusal in (*spec.refuses, *_refusals_before(view, method, spec, is_public=is_public)):
        status, code = (422, refusal) if isinstance(refusal, str) else (refusal.status, refusal.code)
        codes[status] = codes.get(status, set()) | {code}
    return codes


def _for_keys(scopes: tuple[str, ...] | None) -> str:
    """Return what an API key needs where no permission is required."""
    if scopes is None:
        return " Not available to API keys."
    return f" An API key requires the scope {' or '.join(f'`{name}`' for name in scopes)}." if scopes else ""


def _refusals_before(
    view: Any, method: str, spec: Spec, *, is_public: bool
) -> Iterator[type[errors.AccountError] | str]:
    """Return refusals that happen before the view is called."""
    if not is_public:
        yield errors.NotAllowed
    if getattr(view, "wants_confirmation", False):
        yield errors.ConfirmationRequired
    if spec.query is not None and "cursor" in spec.query.model_fields:
        yield "invalid_cursor"
    if spec.query is not None and any(field.is_required() for field in spec.query.model_fields.values()):
        yield "required"
    if spec.replays:
        yield from (errors.IdempotencyKeyReused, "idempotency_key")


def _refusal(status: int, codes: set[str]) -> dict[str, Any]:
    schema = {"properties": {"errors": {"items": {"properties": {"code": {"enum": sorted(codes)}}}}}}
    refused: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in sorted(codes))}",
        "content": {"application/json": {"schema": {"$ref": REFS.format(model="Error"), **schema}}},
    }
    if status in HEADERS:
        refused["headers"] = {name: _described(*header) for name, header in HEADERS[status].items()}
    return refused


def _envelope(data: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["success", "data", "message", "errors"],
        "properties": {
            "success": {"const": True},
            "data": data,
            "message": {"type": "string", "examples": ["", "Session ended."]},
            "errors": {"type": "null"},
        },
    }


def _described(text: str, schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"description": text, "required": required, "schema": schema}


"""Name of a parameter or field, whether it is required, and its description."""
