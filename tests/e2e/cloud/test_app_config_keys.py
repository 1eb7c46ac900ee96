"""Keys of roost.toml that have an effect on the server, from a deploy to the machines that run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import RunningCloud
from tests.e2e.cloud.programs import fresh, said

TOML = """
console_command = "sh -c 'cat /etc/app.ini; exit 7'"

[build]
image = "roost/python:bookworm"

[processes]
app = "python3 -m http.server $PORT --bind :: -d /srv/www"

[[files]]
guest_path = "/srv/www/index.html"
local_path = "conf/index.html"
[[files]]
guest_path = "/etc/app.ini"
raw_value = "key = value\\n"
mode = 0o600
[[files]]
guest_path = "/run/key"
secret_name = "KEY"

[deploy]
release_command = "test $(cat /etc/app.ini | wc -l) = 1 && echo released $FLY_VM_MEMORY_MB"
seed_command = "echo seeded"
release_command_vm = {memory = "96mb"}

[[vm]]
memory = "128mb"
persist_rootfs = "restart"

[http_service]
internal_port = 8080
[[http_service.machine_checks]]
command = '''python3 -c "
import os, urllib.request as r
ip = os.environ['FLY_TEST_MACHINE_IP']
print(r.urlopen('http://[%s]:8080/' % ip if ':' in ip else 'http://%s:8080/' % ip).read().decode())"'''

[checks.told]
port = 8080
kind = "informational"
"""


@pytest.mark.timeout(120)
def test_files_commands_and_checks_of_a_deploy(cloud: RunningCloud, tmp_path: Path) -> None:
    name = fresh("keys")
    cloud.roost("apps", "create", name)
    try:
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf" / "index.html").write_text("from here")
        (tmp_path / "roost.toml").write_text(f'app = "{name}"\n{TOML}')
        cloud.api("POST", f"/apps/{name}/secrets/KEY", json={"value": "aGlkZGVu"})
        deployed = cloud.roost("deploy", tmp_path)
        story = deployed.stdout + deployed.stderr
        for word in ("released 96", "seeded", "from here", "checking machine"):
            assert word in story, story
        assert cloud.get(name).text == "from here"
        (machine,) = cloud.machines(name)
        config = cloud.api("GET", f"/apps/{name}/machines/{machine['id']}").json()["config"]
        assert (config["guest"]["persist_rootfs"], config["checks"]["told"]["kind"]) == ("restart", "informational")
        opened = said(cloud, "console", "-a", name)
        assert (opened.code, "key = value" in opened) == (7, True), opened.text
        assert len(cloud.machines(name)) == 1, "the console's machine is gone"

        (tmp_path / "secret").symlink_to("/etc/passwd")
        (tmp_path / "roost.toml").write_text(f'[[files]]\nguest_path = "/x"\nlocal_path = "secret"\napp = "{name}"')
        refused = said(cloud, "config", "validate", tmp_path)
        assert (refused.code, "is not in" in refused) == (2, True), refused.text

        (tmp_path / "conf" / "index.html").write_text("green")
        check = '[[http_service.checks]]\npath = "/"\ninterval = "1s"\n'
        green = TOML.replace("[deploy]", '[deploy]\nstrategy = "bluegreen"').replace(
            "[checks.told]", f"{check}[checks.told]"
        )
        (tmp_path / "roost.toml").write_text(f'app = "{name}"\n{green}')
        cloud.roost("deploy", tmp_path)
        assert cloud.get(name).text == "green"
        (machine,) = cloud.machines(name)

        failing = TOML.replace("print(r", "raise SystemExit(str(ip)) #").replace("from here", "changed")
        (tmp_path / "roost.toml").write_text(f'app = "{name}"\n{failing}')
        failed = said(cloud, "deploy", tmp_path)
        assert (failed.code, "the check of machine" in failed) == (5, True), failed.text
        assert "seeded" not in failed, "only the first release is seeded"
        assert [m["id"] for m in cloud.machines(name)] == [machine["id"]]
        assert cloud.get(name).text == "green"
    finally:
        cloud.roost("apps", "destroy", name, "--yes", check=False)
