"""Imports whose workers die need the deployments of `tests/faults`."""

from tests.faults.conftest import _smtp_server, build, build_once, deployment, smtp_server

__all__ = ["_smtp_server", "build", "build_once", "deployment", "smtp_server"]
