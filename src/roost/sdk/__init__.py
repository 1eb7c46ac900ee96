"""The public Python client of Roost's API, blocking and async.

`Client(base_url, token)` is the way in; its groups (`client.apps`, `client.machines`, ...) follow
docs/api.md, and docs/sdk.md shows them. `AsyncClient` has the same calls to be awaited. Answers are the API's
JSON objects, typed as in `roost.sdk.shapes`; failures are the classes of `roost.model.errors`, so that a caller
catches `NotFound`, not a status code.
"""

from roost.model.token_text import weakened as attenuate
from roost.sdk.client import AsyncClient, Client
from roost.sdk.errors import Unreachable

__all__ = ["AsyncClient", "Client", "Unreachable", "attenuate"]
