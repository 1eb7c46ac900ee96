"""The cloud that the documented commands are typed at: a fresh one, made and removed by the command line."""

from __future__ import annotations

from tests.e2e.cloud.conftest import cloud

__all__ = ["cloud"]
