"""Compression of responses without secrets (BREACH): static files, lists, the OpenAPI document."""

from flask import Flask, Response, request
from flask_compress import Compress

from app.web.views import view_property

_compress = Compress()


def init_app(app: Flask) -> None:
    app.config["COMPRESS_REGISTER"] = False  # By default it compresses whatever is answered.
    app.config["COMPRESS_ALGORITHM"] = ["zstd", "br", "gzip"]
    _compress.init_app(app)


def compress_static_file(response: Response) -> None:
    if view_property("is_static_file"):
        compressed(response)


def compressed(response: Response) -> Response:
    """Return the response in an encoding that the client accepts.

    Partial responses stay unencoded, because their range counts plain bytes. A client that refuses an encoding
    (`gzip;q=0`) gets none, because Flask-Compress takes that for the lowest preference.
    """
    if response.mimetype not in _compress.compress_mimetypes_set:
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code != 200 or any(quality == 0 for _, quality in request.accept_encodings):
        return response
    # Read now, so that the file is closed and the length known.
    response.direct_passthrough = False
    response.make_sequence()
    return _compress.after_request(response)
