from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.factory import WEB

from roost.model.errors import BadInput
from roost.model.machine_config import Mount
from roost.plan.mounts import with_kept_volumes

HAS = replace(WEB, mounts=(Mount(volume="vol_1", path="/data", name="data"),))


@pytest.mark.parametrize("mount", [Mount(volume="vol_1", path="/other"), Mount(name="data", path="/other", volume="")])
def test_a_machine_keeps_its_volume_which_may_be_mounted_elsewhere(mount: Mount) -> None:
    kept = with_kept_volumes(HAS, replace(WEB, mounts=(mount,)))
    assert kept.mounts == (Mount(volume="vol_1", path="/other", name="data"),)
    assert with_kept_volumes(WEB, WEB) == WEB


@pytest.mark.parametrize(
    "mounts",
    [
        (),
        (Mount(volume="vol_2", path="/data"),),
        (Mount(volume="", name="another", path="/data"),),
        (Mount(volume="vol_1", name="another", path="/data"),),
    ],
)
def test_another_volume_or_none_is_refused(mounts: tuple[Mount, ...]) -> None:
    with pytest.raises(BadInput, match="which volume"):
        with_kept_volumes(HAS, replace(WEB, mounts=mounts))


def test_a_volume_is_not_given_by_an_update() -> None:
    with pytest.raises(BadInput, match="which volume"):
        with_kept_volumes(WEB, HAS)
