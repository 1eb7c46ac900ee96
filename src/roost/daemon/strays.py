"""Clouds that still run though their home was removed by hand: found by a copy of their identity, and reported.

State: `RUN/cloud.json`, written by `up` and in memory only, like all else that such a cloud has left. Looking changes
nothing; `roost destroy-cloud --stray ID` ends one. After a reboot there are none.
"""

from __future__ import annotations

import json
from pathlib import Path

from roost.daemon import cloud_file
from roost.edge.written import write
from roost.host.finding import Finding, warn
from roost.model import cloud as places
from roost.model.cloud import Cloud
from roost.model.errors import NotFound, RoostError


def keep_identity(cloud: Cloud) -> None:
    """Write the copy, from which `find` makes the cloud again."""
    places_of_it = {"home": str(cloud.home), "cache": str(cloud.cache)}
    write(cloud.run / cloud_file.FILE_NAME, json.dumps(cloud_file.to_json(cloud) | places_of_it))


def find() -> list[Cloud]:
    """Return the clouds with something in `/run/roost` whose home is no longer theirs."""
    found = []
    for path in sorted(places.RUN.glob(f"*/{cloud_file.FILE_NAME}")):
        try:
            data = json.loads(path.read_text())
            cloud = cloud_file.from_json(data, Path(data["home"]), Path(data["cache"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it goes just now, or nobody can say what it was
        if not has_home(cloud):
            found.append(cloud)
    return found


def by_id(cloud_id: str) -> Cloud:
    """Return the stray cloud with this id; raises NotFound."""
    for cloud in find():
        if cloud.id == cloud_id:
            return cloud
    raise NotFound(
        f"no cloud {cloud_id[:40]!r} runs here without its home", hint="`roost doctor` names the ones that do"
    )


def of_home(home: Path) -> Cloud | None:
    """Return a stray cloud that had its home in `home`."""
    return next((cloud for cloud in find() if cloud.home == home), None)


def has_home(cloud: Cloud) -> bool:
    """True when the cloud's home is there and its own, not that of a later cloud in the same place."""
    try:
        return cloud_file.load_cloud(cloud.home).id == cloud.id
    except NotFound:
        return False
    except RoostError:  # damaged, but there: its operator may mend it
        return True


def command(cloud: Cloud) -> str:
    """Return what ends a stray cloud."""
    return f"roost destroy-cloud --stray {cloud.id} --yes"


def findings() -> list[Finding]:
    """Return a finding for each stray cloud of this host, for the doctor."""
    return [
        warn(
            f"cloud {cloud.id}", f"is not destroyed, but its home {cloud.home} was removed", f"{command(cloud)} ends it"
        )
        for cloud in find()
    ]
