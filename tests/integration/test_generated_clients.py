"""Clients generated from the OpenAPI document sign in, list, create and upload."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.databases import copied
from tests.support.deployment import Deployment
from tests.support.npm import NPM, installed

pytestmark = [pytest.mark.slow, pytest.mark.deep]

EMAIL, PASSWORD = "grace@example.com", "a quieter harbour"


@pytest.fixture
def site(tmp_path, sqlite_template) -> Iterator[Deployment]:
    copied(sqlite_template, tmp_path)
    site = Deployment(tmp_path)
    try:
        site.valkey.start()
        site.start_web()
        site.add_user(EMAIL, password=PASSWORD, roles=("administrator",))
        yield site
    finally:
        site.close()


@pytest.fixture
def document(site, tmp_path) -> Path:
    path = tmp_path / "openapi.json"
    with urllib.request.urlopen(f"{site.url}/api/v1/openapi.json", timeout=30) as answer:
        path.write_bytes(answer.read())
    return path


def run(*command: str | Path, folder: Path) -> str:
    process = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_openapi_document_generates_a_typescript_client(site, document, tmp_path):
    """The types compile in strict mode, and a client that uses them works."""
    for package in ("openapi-typescript", "openapi-fetch", "typescript"):
        installed(package)
    folder = tmp_path / "typescript"
    folder.mkdir()
    (folder / "node_modules").symlink_to(NPM / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "client.ts").write_text((NPM / "client.ts").read_text())
    modules = folder / "node_modules"
    run("node", modules / "openapi-typescript/bin/cli.js", document, "-o", "api.d.ts", folder=folder)
    options = ["--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "--lib", "es2022,dom"]
    options += ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"]
    (folder / "process.d.ts").write_text("declare const process: { argv: string[] };\n")
    run("node", modules / "typescript/bin/tsc", *options, "client.ts", "process.d.ts", folder=folder)

    output = run("node", "client.js", f"{site.url}/api/v1", EMAIL, PASSWORD, folder=folder)
    assert json.loads(output) == {"emails": ["typed@example.com"], "name": "Typed Twice", "state": "checking"}


def test_openapi_document_generates_a_python_client(site, document, tmp_path, monkeypatch):
    """The client has every endpoint of the document and works."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    package = tmp_path / "generated_client"
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    command = [Path(sys.executable).with_name("openapi-python-client"), "generate", "--path", document]
    command += ["--output-path", package, "--meta", "none", "--config", tmp_path / "config.yml"]
    run(*command, folder=tmp_path)
    operations = {
        operation["operationId"]
        for methods in json.loads(document.read_text())["paths"].values()
        for operation in methods.values()
    }
    assert {path.stem for path in package.glob("api/*/*.py") if path.stem != "__init__"} == operations

    monkeypatch.syspath_prepend(str(tmp_path))
    modules = {name: importlib.import_module(f"generated_client.{name}") for name in ("client", "models", "types")}
    models, url = modules["models"], f"{site.url}/api/v1"
    call = {
        name: importlib.import_module(f"generated_client.api.{path}").sync
        for name, path in (
            ("login", "auth.login"),
            ("invite", "users.invite_user"),
            ("list", "users.list_users"),
            ("delete", "users.delete_user"),
            ("upload", "imports.upload_import"),
        )
    }
    with modules["client"].Client(base_url=url) as anonymous:
        tokens = call["login"](client=anonymous, body=models.LoginIn(email=EMAIL, password=PASSWORD))
    with modules["client"].AuthenticatedClient(base_url=url, token=tokens.data.access_token) as client:
        use(client, call, modules)


def use(client, call, modules):
    models = modules["models"]
    created = call["invite"](client=client, body=models.InviteIn(email="made@example.com", name="Made"))
    users = call["list"](client=client, q="made")
    assert [user.id for user in users.data.items] == [created.data.id]
    gone = call["delete"](created.data.id, client=client, body=models.UserDeletionIn(reason="Only a test."))
    assert gone.success

    file = modules["types"].File(payload=BytesIO(b"email,name\nimported@example.com,Imported\n"))
    uploaded = call["upload"](client=client, body=file, name="people.csv")
    assert uploaded.data.state == "checking"
