"""Request bodies: what each call takes. A key that is not listed here is refused by name.

Keys that the Fly Machines API has and Roost does not act on are accepted while they ask for nothing
(null, false, 0, "" or empty), and refused otherwise.
"""

from __future__ import annotations

import base64
import shlex
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from roost.model.errors import BadInput

Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
OptionalLabel = Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$")]
_MachineName = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$")]
_Words = Annotated[list[str], Field(max_length=1024)]
LeaseTime = Annotated[int, Field(ge=0, le=86_400)]  # seconds; 0: as if not given
Duration = str | int | float  # seconds, or a Go duration such as "10s"


class Body(BaseModel):
    """Base of all bodies: strict types, no unknown keys, no text that can't be stored."""

    model_config = ConfigDict(extra="forbid", strict=True)
    not_acted_on: ClassVar[tuple[str, ...]] = ()
    may_hold_nul: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for key, value in data.items():
            _check_text(key, "a key")
            _check_text(value, str(key), nul=key in cls.may_hold_nul)
            if key in cls.not_acted_on and value not in (None, False, 0, "", [], {}):
                raise ValueError(f"{key} is not supported")
        return {
            key: value for key, value in data.items() if key not in cls.not_acted_on and not cls._absent(key, value)
        }

    @classmethod
    def _absent(cls, key: str, value: object) -> bool:
        """Tell whether a key is sent as null where it could have been left out: clients in Go do so."""
        field = cls.model_fields.get(key)
        return value is None and field is not None and not field.is_required()


def _check_text(value: Any, where: str, *, nul: bool = False) -> None:
    """Refuse strings that are no text: lone surrogates, and NUL unless `nul`."""
    if isinstance(value, str):
        if not nul and "\0" in value:
            raise ValueError(f"{where} holds a NUL character")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{where} is not valid Unicode") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, f"a key in {where}")
            _check_text(item, where)
    elif isinstance(value, list):
        for item in value:
            _check_text(item, where)


class NewApp(Body):
    """`POST /apps`."""

    not_acted_on = ("enable_subdomains",)
    name: str | None = None
    app_name: str | None = None
    org_slug: OptionalLabel = ""
    network: OptionalLabel = ""
    app_role_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,63}$")] = ""

    def chosen_name(self) -> str:
        """Return the name, from either of its two fields; raises BadInput for none or two different ones."""
        names = {name for name in (self.name, self.app_name) if name}
        if not names:
            raise BadInput("name is missing", hint='send {"name": "my-app"}')
        if len(names) > 1:
            raise BadInput("name and app_name differ", hint="send one of them")
        return names.pop()


class NewMachine(Body):
    """`POST /apps/{app}/machines`. `config` is read by the model, which names the key it can't honour."""

    config: dict[str, Any]
    skip_service_registration: bool = False
    skip_secrets: bool = False
    lease_ttl: LeaseTime | None = None
    name: _MachineName = ""
    region: OptionalLabel = ""
    skip_launch: bool = False
    min_secrets_version: Annotated[int, Field(ge=0)] | None = None


class UpdateMachine(NewMachine):
    """`POST .../machines/{machine_id}`: the whole configuration. `current_version` is what it must have now."""

    current_version: str | None = None


class NewLease(Body):
    """`POST .../lease`. The time comes here or in the query."""

    ttl: LeaseTime | None = None
    description: Annotated[str, Field(max_length=1000)] = ""


class MetadataChanges(Body):
    """`PUT` and `PATCH .../metadata`: null or "" removes. With `machine_version` or `updated_at` only if unchanged."""

    metadata: Annotated[dict[str, str | None], Field(max_length=1000)] = {}
    machine_version: str | None = None
    updated_at: str | None = None


class MetadataValue(Body):
    """`POST .../metadata/{key}`."""

    value: str


class MemoryLimit(Body):
    """`PUT .../memory`."""

    limit_mb: Annotated[int, Field(ge=1, le=2**31)]


class Placement(Body):
    """`POST /platform/placements`: where machines could be made. There is one region, whatever is asked for."""

    org_slug: str = ""
    region: str = ""
    count: Annotated[int, Field(ge=0, le=1000)] = 1
    compute: dict[str, Any] | None = None
    volume_name: str = ""
    volume_size_bytes: Annotated[int, Field(ge=0)] = 0
    weights: dict[str, Any] | None = None


class ReclaimedMemory(Body):
    """`POST .../memory/reclaim`."""

    amount_mb: Annotated[int, Field(ge=1, le=2**31)]


class StopMachine(Body):
    """`POST .../stop` and `restart`. Clients in Go send the machine's `id` along."""

    id: str = ""
    signal: str | int | None = None
    timeout: Duration | None = None
    force_stop: bool = False


class SignalMachine(Body):
    """`POST .../signal`."""

    signal: str | int


class ExecCommand(Body):
    """`POST .../exec`. `cmd` is the older form: one string, split as a shell would split words."""

    may_hold_nul = ("stdin",)
    command: _Words | None = None
    cmd: str = ""
    container: str = ""
    stdin: str = ""
    timeout: Duration | None = None

    def argv(self) -> tuple[str, ...]:
        """Return the words of the command; raises BadInput when there is none."""
        if self.command and self.cmd:
            raise BadInput("command and cmd are both given", hint="send command only")
        try:
            words = tuple(self.command or shlex.split(self.cmd))
        except ValueError as error:
            raise BadInput(f"cmd can't be split into words: {error}", hint="send command, a list of words") from None
        if not words or not words[0]:
            raise BadInput("command is missing", hint='send {"command": ["ls", "-l"]}')
        return words


class NewVolume(Body):
    """`POST /apps/{app}/volumes`. `encrypted` and `fstype` are what clients send; the answer tells what is so.

    The keys about where it is to be made (`compute` and those about zones) hold: a server is one zone with room for it.
    """

    require_unique_zone: bool | None = None
    unique_zone_app_wide: bool | None = None
    machines_only: bool | None = None
    compute: dict[str, Any] | None = None
    compute_image: str = ""
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,30}$")]
    region: OptionalLabel = ""
    size_gb: Annotated[int, Field(ge=1, le=500)] | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    snapshot_retention: Annotated[int, Field(ge=1, le=60)] | None = None
    auto_backup_enabled: bool | None = None
    encrypted: bool | None = None
    fstype: Annotated[str, Field(pattern=r"^(ext4)?$")] = ""


class ChangedVolume(Body):
    """`PUT .../volumes/{id}`."""

    snapshot_retention: Annotated[int, Field(ge=1, le=60)] | None = None
    auto_backup_enabled: bool | None = None


class ExtendedVolume(Body):
    """`PUT .../volumes/{id}/extend`."""

    size_gb: Annotated[int, Field(ge=1, le=500)]


class NewNetworkPolicy(Body):
    """`POST /apps/{app}/network_policies`. Selector and rules are read by the model."""

    name: str
    selector: dict[str, Any]
    rules: list[dict[str, Any]]


class NewIpAssignment(Body):
    """`POST /apps/{app}/ip_assignments`. A server has one address and no others to choose from."""

    not_acted_on = ("org_slug", "network")
    type: str
    region: OptionalLabel = ""
    service_name: Annotated[str, Field(max_length=63)] = ""


class SecretValues(Body):
    """`POST /apps/{app}/secrets`: null removes."""

    values: Annotated[dict[str, str | None], Field(max_length=1000)]


class SecretValue(Body):
    """`POST /apps/{app}/secrets/{name}`."""

    value: str


def _bytes(value: object, info: ValidationInfo) -> bytes:
    """Read bytes: base64 text, as Go writes them, or a list of numbers, as the published OpenAPI document has it."""
    if value is None:
        return b""
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise ValueError(f"{info.field_name} is not base64") from None
    if isinstance(value, list) and all(type(item) is int and 0 <= item <= 255 for item in value):
        return bytes(value)
    raise ValueError(f"{info.field_name} must be base64 text, or a list of numbers from 0 to 255")


Octets = Annotated[bytes, BeforeValidator(_bytes, json_schema_input_type=str | list[int] | None), Field(repr=False)]


class NewSecretKey(Body):
    """`POST /apps/{app}/secretkeys/{name}`."""

    type: str
    value: Octets


class GeneratedSecretKey(Body):
    """`POST .../secretkeys/{name}/generate`."""

    not_acted_on = ("value",)
    type: str


class Plaintext(Body):
    """`POST .../secretkeys/{name}/encrypt`."""

    plaintext: Octets = b""
    associated_data: Octets = b""


class Ciphertext(Body):
    """`POST .../secretkeys/{name}/decrypt`."""

    ciphertext: Octets
    associated_data: Octets = b""


class Message(Body):
    """`POST .../secretkeys/{name}/sign`."""

    plaintext: Octets = b""


class SignedMessage(Message):
    """`POST .../secretkeys/{name}/verify`."""

    signature: Octets


class AcmeCertificate(Body):
    """`POST /apps/{app}/certificates/acme`."""

    hostname: Annotated[str, Field(max_length=254)]


class CustomCertificate(Body):
    """`POST /apps/{app}/certificates/custom`. `cert` and `key` are what other clients call the two texts."""

    hostname: Annotated[str, Field(max_length=254)]
    fullchain: str = ""
    private_key: Annotated[str, Field(repr=False)] = ""
    cert: str = ""
    key: Annotated[str, Field(repr=False)] = ""

    def parts(self) -> tuple[str, str]:
        """Return chain and key; raises BadInput when one is missing or given twice."""
        for name, one, other in (("fullchain", self.fullchain, self.cert), ("private_key", self.private_key, self.key)):
            if bool(one) == bool(other):
                raise BadInput(
                    f"{name} is {'given twice' if one else 'missing'}", hint="send fullchain and private_key"
                )
        return self.fullchain or self.cert, self.private_key or self.key


class OidcToken(Body):
    """`POST /tokens/oidc`. `aud` is for whom the token is; with `aws_principal_tags` AWS makes session tags of it."""

    aud: Annotated[str, Field(max_length=1000)] = ""
    aws_principal_tags: bool = False


class NewPlan(Body):
    """`POST /sources/{id}/plan`."""

    config: dict[str, Any] | None = None
    name: str = ""


class NewDeploy(Body):
    """`POST /apps/{app}/deploys`."""

    source: str = ""
    image: str = ""
    config: dict[str, Any] | None = None
    build_args: dict[str, str] = {}
    build_secrets: dict[str, str] = Field(default={}, repr=False)
    no_cache: bool = False


class NewRollback(Body):
    """`POST /apps/{app}/rollback`."""

    version: Annotated[int, Field(ge=0, le=2**31)] = 0


class NewScale(Body):
    """`POST /apps/{app}/scale`: how many machines each process group gets."""

    counts: dict[str, Annotated[int, Field(ge=0, le=1000)]]


class ImageReference(Body):
    """`POST /images/pull` and `refresh`."""

    reference: Annotated[str, Field(min_length=1, max_length=512)]
