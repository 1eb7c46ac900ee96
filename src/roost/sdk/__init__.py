"""The public Python client of Roost's API.

`Client(base_url, token)` is the way in; its groups (`client.apps`, `client.machines`, ...) follow
docs/api.md. Answers are the API's JSON objects, typed as in `roost.sdk.shapes`; failures are the
classes of `roost.model.errors`, so that a caller catches `NotFound`, not a status code.
"""

from roost.sdk.client import Client
from roost.sdk.errors import Unreachable

__all__ = ["Client", "Unreachable"]
