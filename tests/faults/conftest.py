"""Deployments whose parts are killed, flushed and stopped, and an SMTP server that fails on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.faulty_smtp_server import FaultySmtpServer
from tests.support.databases import copied
from tests.support.deployment import Deployment


@pytest.fixture(scope="module")
def _smtp_server() -> Iterator[FaultySmtpServer]:
    server = FaultySmtpServer()
    server.open()
    yield server
    server.close()


@pytest.fixture
def smtp_server(_smtp_server: FaultySmtpServer) -> Iterator[FaultySmtpServer]:
    """An SMTP server that accepts everything; a test changes `answers` to refuse."""
    _smtp_server.reset()
    yield _smtp_server
    _smtp_server.release()


@pytest.fixture(scope="module")
def build_once(tmp_path_factory, sqlite_template, _smtp_server) -> Iterator[Callable[..., Deployment]]:
    """Build a deployment with the SMTP server, shared by the tests of the module; nothing in it runs yet."""
    built: list[Deployment] = []

    def make(**settings: Any) -> Deployment:
        folder = tmp_path_factory.mktemp("deployment")
        copied(sqlite_template, folder)
        built.append(Deployment(folder, **{"mail_url": _smtp_server.url, **settings}))
        return built[-1]

    yield make
    _smtp_server.release()
    for deployment in built:
        deployment.close()


@pytest.fixture
def build(build_once, smtp_server) -> Iterator[Callable[..., Deployment]]:
    """Build a deployment for this test alone."""
    built: list[Deployment] = []

    def make(**settings: Any) -> Deployment:
        built.append(build_once(**settings))
        return built[-1]

    yield make
    smtp_server.release()
    for deployment in built:
        deployment.close()


@pytest.fixture
def deployment(build) -> Deployment:
    """A deployment with Valkey running."""
    deployment = build()
    deployment.valkey.start()
    return deployment
