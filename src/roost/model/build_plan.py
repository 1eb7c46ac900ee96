"""What was detected in a source directory, and how it is to be built and started. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Installing what the lock file names: run before the source is added, cached by `files`' contents."""

    files: tuple[str, ...]  # paths in the source tree that decide the result, and are present while it runs
    commands: tuple[str, ...]  # shell commands, run in order in the work directory
    caches: tuple[str, ...] = ()  # absolute paths kept between builds of the app (download caches)


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """How a source directory becomes an image.

    `stack` is python, node, static, go, ruby, php, dockerfile, or another stack that is detected but
    can't be built here; then `buildable` is False and `obstacle` says what to do instead.
    """

    stack: str
    framework: str  # "" when none is recognised
    evidence: tuple[str, ...]  # what was found and what follows, in the order of discovery
    base: str = "roost/base:bookworm"  # reference of the base image the steps run on
    workdir: str = "/app"
    dependencies: Dependencies | None = None
    build_commands: tuple[str, ...] = ()  # run after the source is added; empty: adding the source is all
    build_caches: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)  # of the image, at build and run time
    processes: dict[str, str] = field(default_factory=dict)  # group -> shell command; the web group is "app"
    port: int = 8080  # the app is told by $PORT and is expected to listen there
    release_command: str = ""
    needs: tuple[str, ...] = ()  # postgres, mysql, redis, bucket: what the code seems to use
    notes: tuple[str, ...] = ()  # things the user should know (a server that was added, a file that is missing)
    generated_secrets: tuple[str, ...] = ()  # names to set to 32 random hex characters where they aren't set yet
    dockerfile: str = ""  # path below the source directory, for stack "dockerfile"
    buildable: bool = True
    obstacle: str = ""
