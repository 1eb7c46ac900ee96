"""How roostd's process begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_what_the_start_spares_is_collected_again_once_roostd_works(tmp_path: Path) -> None:
    told = "import gc, sys; gc.disable(); from roost.daemon.composition import main; main(sys.argv[1:])"
    code = f"{told}; print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    home = str(tmp_path / "none")  # no cloud is there, so it ends right after
    done = subprocess.run(
        [sys.executable, "-c", code, "--home", home], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "True True", done.stderr
