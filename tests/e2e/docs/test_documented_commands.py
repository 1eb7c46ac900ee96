"""Every command that the README and docs/ show is typed here, or named with the test that runs it or why it can't be.

The session below reads like a day with Roost. A line in it stands for the documented commands that it is an instance
of: every one of them needs such a line, and every optional part a line that uses it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import ROOT, RunningCloud
from tests.e2e.docs.documented import collect, plain
from tests.e2e.docs.reader import Reader, Step, prepare

YES = ((r"\[[yY]/[nN]\]", "y"),)
NO = ((r"\[[yY]/[nN]\]", "n"),)
ID = ("machine", r'"id": "([0-9a-f]{14})"')
OPERATION = ("operation", r"([0-9A-Z]{26})")
FOLLOWED = Step("roost operations show {operation} --follow --logs", shows="succeeded")

THE_CLOUD = (
    Step("scripts/setup"),
    Step("./roost up", shows="http://127.0.0.1:"),  # changes nothing when it runs
    Step("roost up --home {home} --http-port {http} --https-port 0 --api-port {api}"),
    Step("./roost doctor"),
    Step("roost doctor --json", shows=r"^\["),
    Step("roost version", shows=r"^roost \d"),
    Step("roost deploy --help", shows="Example: roost deploy"),
    Step("roost --install-completion", shows="completion"),
    Step("roost status", shows="apps at"),
    Step("roost status --json", saves=("roostd", r'"roostd": \{[^}]*"pid": (\d+)')),
    Step("roost login http://127.0.0.1:4280", stdin="{token}\n", shows="Logged in"),
    Step("roost logout", shows="Logged out"),
    Step("roost login http://127.0.0.1:4280 --insecure", stdin="{token}\n", shows="Logged in"),
    Step("roost logout"),
    Step("roost logout", shows="were not"),
)
LAUNCHING = (
    Step("./roost launch ./my-app", code=2, shows="--yes"),  # nobody there to ask
    Step("./roost launch ./my-app", answers=YES, shows="my-app is up"),
    Step("roost launch ~/src/shop", answers=YES, shows="shop is up"),
    Step("roost apps destroy shop", answers=NO, code=1, shows="Nothing was changed"),
    Step("roost apps destroy shop --yes"),
    Step("roost apps create shop"),
    Step("roost apps destroy shop", answers=YES),
    Step("roost apps create shop --org acme --network own --json", shows='"shop"'),
    Step("roost apps destroy shop --yes"),
    Step("roost launch ./shop --name shop --yes --no-deploy"),
    Step("roost apps destroy shop --yes"),
    Step("rm shop/roost.toml"),
    Step("roost launch ./shop --name shop --yes", shows="shop is up"),  # v1
    Step("roost apps list", shows="shop"),
    Step("roost apps list --json", shows='"shop"'),
    Step("roost status -a shop", shows="awake"),
    Step("roost status -a shop --json", shows='"state": "awake"'),
    Step("roost open -a shop --print", shows="http://shop.localhost:"),
    Step("roost open -a shop"),
    Step("grep http://shop.localhost: opened"),
)
DEPLOYING = (
    Step("roost deploy", where="shop", shows="runs v2"),
    Step("roost deploy ./shop --build-secret NPM_TOKEN", shows="runs v3"),
    Step(
        "roost deploy ./shop -a shop --build-arg COLOUR=red --build-secret KEY=@key.txt --no-cache --detach",
        saves=OPERATION,
    ),
    FOLLOWED,
    Step("roost rollback", where="shop", shows="runs v5"),
    Step("roost rollback v3 -a shop --detach", saves=OPERATION),
    FOLLOWED,
    Step("roost rollback v2", where="shop", shows="runs v7"),
    Step("roost deploy ./slow -a shop --detach", saves=OPERATION),
    Step("roost operations list -a shop", shows="running"),
    Step("roost operations cancel {operation}", shows="being cancelled"),
    Step("roost operations show {operation} --follow", shows="cancelled"),
    Step("roost operations show {operation}", shows="cancelled"),
    Step("roost operations show {operation} --json", shows='"cancelled"'),
    Step("roost operations list", shows="shop"),
    Step("roost operations list --json", shows=r"^\["),
    Step("roost deploy --image roost/base:bookworm", where="shop", code=5, shows="Taking the release back"),
    Step("roost status -a shop", shows="awake"),
    Step("roost releases -a shop", shows="v3"),
    Step("roost releases -a shop --json", shows=r"^\["),
)
SECRETS = (
    Step("roost secrets set -a shop API_KEY=@key.txt SMTP_PASSWORD=-", stdin="p-1\n", shows="SMTP_PASSWORD"),
    Step("roost secrets set -a shop GREETING=hello"),
    Step("roost secrets set KEY=VALUE", where="shop"),
    Step("roost secrets import -a shop < .env", shows="COLOUR"),
    Step("roost secrets list -a shop", shows="GREETING"),
    Step("roost secrets list -a shop --json", shows='"GREETING"'),
    Step("roost ssh console -a shop --command 'sh -c \"echo $GREETING\"'", shows="hello"),
    Step("roost secrets unset -a shop API_KEY"),
    Step("roost secrets set -a shop API_KEY=@key.txt SMTP_PASSWORD=-", stdin="p-1\n"),
    Step("roost secrets unset -a shop API_KEY --stage"),
    Step("roost logs --http", where="shop"),
    Step("roost checks list -a shop"),
    Step("roost checks list -a shop --json", shows=r"^\["),
)
SCALE_AND_CONFIG = (
    Step("roost scale count 2 -a shop", shows="app: 2"),
    Step("roost scale show -a shop", shows=r"app +2"),
    Step("roost scale show -a shop --json", shows='"count": 2'),
    Step("roost scale count 1 -a shop", shows="app: 1"),
    Step("roost scale vm shared-cpu-2x -a shop", shows="2 cpus, 512 MB"),
    Step("roost scale vm shared-cpu-2x -a shop --memory 384 --group app", shows="2 cpus, 384 MB"),
    Step("roost scale memory 320 -a shop", shows="320 MB"),
    Step("roost scale memory 320 -a shop --group app", shows="320 MB"),
    Step("roost autoscale explain -a shop", shows="No process group of shop is scaled"),
    Step("roost autoscale set app -a shop --max 5 --concurrency 20", shows="1 to 5, one for each 20 requests at once"),
    Step(
        "roost autoscale set app -a shop --max 5 --min 1 --concurrency 20 --metric queue_depth=100 --up-after 0s"
        " --down-after 5m",
        shows=r"or 100 of queue_depth \(sum\)",
    ),
    Step("roost autoscale show -a shop", shows=r"app +1 +1 +0 "),
    Step("roost autoscale show -a shop --json", shows='"concurrency": 20'),
    Step("roost autoscale explain -a shop", shows="app: 1 machine"),
    Step("roost autoscale explain -a shop --limit 20", shows="app: 1 machine"),
    Step("roost autoscale explain -a shop --json", shows='"decisions"'),
    Step("roost autoscale off app -a shop", shows="stays as it is"),
    Step("roost config show -a shop", shows="http_service"),
    Step("roost config show -a shop --json", shows="http_service"),
    Step("roost config validate ./shop", shows="is right"),
    Step("roost config validate ./shop --json", shows="http_service"),
    Step("roost config save ./shop -a shop --yes", shows="is written"),
)
KEYS = (
    Step("roost secrets keys set sessions @key.b64 --type hs256 -a shop", shows="set sessions"),
    Step("roost secrets keys list -a shop", shows="hs256"),
    Step("roost secrets keys list -a shop --json", shows='"sessions"'),
    Step("roost secrets keys remove sessions -a shop --yes"),
    Step("roost secrets keys generate sessions --type hs256 -a shop"),
    Step("roost secrets keys remove sessions -a shop", answers=((r"\?", "y"),)),
    Step("roost secrets keys generate sessions --type hs256 -a shop --json", shows='"hs256"'),
    Step("roost admin rotate-keys", shows="key 2 is in use"),
    Step("roost admin rotate-keys --json", shows='"key": 3'),
)
CERTIFICATES = (
    Step("roost certs add shop.example.com -a shop", shows="CNAME shop.localhost"),
    Step("roost certs add shop.example.com -a shop --json", shows='"pending_ownership"'),
    Step("roost certs check shop.example.com -a shop", shows="has no address in DNS"),
    Step("roost certs check shop.example.com -a shop --json", shows='"domain_has_no_address"'),
    Step(
        "roost certs import shop.example.com --fullchain chain.pem --private-key key.pem -a shop --json",
        shows='"ecdsa"',
    ),
    Step(
        "roost certs import shop.example.com --fullchain chain.pem --private-key key.pem -a shop", shows="ecdsa until"
    ),
    Step("roost certs show shop.example.com -a shop", shows="imported"),
    Step("roost certs show shop.example.com -a shop --json", shows='"custom"'),
    Step("roost certs list -a shop", shows="shop.example.com"),
    Step("roost certs list -a shop --filter example --json", shows='"shop.example.com"'),
    Step("roost certs remove shop.example.com -a shop --yes --json", shows='"removed": true'),
    Step("roost certs add shop.example.com -a shop"),
    Step("roost certs remove shop.example.com -a shop", answers=((r"\?", "y"),)),
    Step("roost certs ca > roost-ca.pem"),
    Step("roost admin domain", shows="localhost: none"),
    Step("roost admin domain --check", shows="are nobody's"),
    Step("roost admin domain --json", shows='"kind": "none"'),
)
TOKEN = ("made", r'"id": "([0-9a-f]{12})"')
ACCESS = (
    Step("roost auth whoami", shows="admin in the whole cloud"),
    Step("roost auth whoami --json", shows='"cloud": true'),
    Step("roost orgs list", shows="personal"),
    Step("roost orgs list --json", shows='"personal"'),
    Step("roost orgs create lab", shows="lab is made"),
    Step("roost orgs create acme2 --name Acme --json", shows='"acme2"'),
    Step("roost orgs show lab", shows="lab"),
    Step("roost orgs show lab --json", shows='"members"'),
    Step("roost orgs members add lab ann@example.com", shows="deployer"),
    Step("roost orgs members add lab ann@example.com --role admin", shows="admin"),
    Step("roost orgs members list lab", shows="ann@example.com"),
    Step("roost orgs members list lab --json", shows='"admin"'),
    Step("roost tokens create ci --org lab", shows="roost_m2_"),
    Step("roost tokens create ci --org lab --role reader --expiry 30d --json", saves=TOKEN),
    Step("roost tokens create ci -a shop", shows="roost_m2_"),
    Step("roost tokens create ci -a shop --expiry 30d", shows="roost_m2_"),
    Step("roost tokens create run -a shop --exec", shows="roost_m2_"),
    Step("roost tokens create run -a shop --exec --machine 00000000000001", shows="roost_m2_"),
    Step("roost tokens create look --org lab --read-only", shows="roost_m2_"),
    Step("roost tokens create ann --user ann@example.com", shows="roost_m2_"),
    Step("roost tokens create ops --cloud", shows="roost_m2_"),
    Step("roost tokens create ops --cloud --role admin", shows="roost_m2_"),
    Step("roost tokens list", shows="org lab"),
    Step("roost tokens list --org lab --json", shows='"reader"'),
    Step("roost tokens show {made}", shows="reader"),
    Step("roost tokens show --json", shows='"conditions"'),
    Step("roost tokens revoke {made}", answers=YES, shows="revoked"),
    Step("roost tokens revoke {made} --yes", shows="revoked"),
    Step("roost tokens attenuate -a shop --action read --expiry 1h --from 192.0.2.0/24", shows="roost_m2_"),
    Step(
        "roost tokens attenuate -a shop --app-id 0123456789abcdef --org lab --machine 00000000000001 --action read"
        " --expiry 1h --from 192.0.2.0/24 --stdin",
        stdin="{token}\n",
        shows="roost_m2_",
    ),
    Step("roost audit", shows="ok 2"),
    Step("roost audit -a shop --since 1h", shows="shop"),
    Step("roost audit -a shop --org personal --since 1h --limit 5 --json", shows='"request_id"'),
    Step("roost orgs members remove lab ann@example.com"),
    Step("roost orgs destroy lab", answers=YES, shows="destroyed"),
    Step("roost orgs destroy acme2 --yes"),
)
LOGS_AND_CONSOLE = (
    Step("roost machine list -a shop --json", saves=ID),
    Step("roost logs -a shop"),
    Step("roost metrics shop", shows="roost_scrape_up"),
    Step("roost logs -a shop --since 10m --machine {machine} --limit 100 --json", shows='^{"'),
    Step("curl -sS http://shop.localhost:{http}/", shows="<html"),
    Step("roost logs -a shop --http", shows=r" 200 GET shop\."),
    Step(
        "roost logs -a shop --http --status 5xx --path /api --slow 500 --errors --since 10m --machine {machine} --json"
    ),
    Step("roost logs -a shop --http --follow", until=r"\S", code=130),
    Step("roost logs -a shop --follow", until=r"\S", code=130),
    Step("roost logs -f", where="shop", until=r"\S", code=130),
    Step("roost ssh console -a shop", answers=((r"[#$] ", "exit 7"),), code=7),
    Step("roost ssh console", where="shop", answers=((r"[#$] ", "exit"),)),
    Step("roost console -a shop --command 'cat /etc/hostname'", shows="made for the console"),
    Step("roost ssh console -a shop --machine {machine} --command 'cat /etc/hostname'"),
    Step("roost ssh sftp put key.txt /tmp/key.txt -a shop --machine {machine}", shows="/tmp/key.txt"),
    Step("roost ssh sftp put key.txt /tmp/key.txt -a shop"),
    Step("roost ssh sftp get /tmp/key.txt copy.txt -a shop", shows="copy.txt"),
    Step("roost ssh sftp ls /tmp -a shop", shows="key.txt"),
    Step("roost ssh sftp ls /tmp -a shop --json", shows="key.txt"),
    Step("roost ssh sftp find /tmp -a shop", shows="/tmp/key.txt"),
    Step("roost ssh sftp find /tmp -a shop --json", shows="/tmp/key.txt"),
    Step("roost ssh sftp shell -a shop", answers=((r"sftp> ", "exit"),)),
    Step("roost proxy 15432:8080 -a shop", until="leads to", code=130),
    Step("roost proxy 15432:8080 -a shop --machine {machine} --bind 127.0.0.1", until="leads to", code=130),
)
MACHINES = (
    Step("roost apps create demo"),
    Step("roost apps create vault --network secrets"),
    Step("roost machine run roost/base:bookworm -a demo -- sleep infinity", shows="started"),
    Step("roost machine list -a demo", shows="started", saves=("machine", r"\b([0-9a-f]{14})\b")),
    Step("roost machine exec {machine} -a demo -- cat /etc/os-release", shows="bookworm"),
    Step("roost machine suspend {machine} -a demo"),
    Step(
        "roost machine run roost/base:bookworm -a shop --name job --env A=b --memory 128 --cpus 1 --json"
        " -- sh -c 'trap \"exit 0\" TERM; sleep infinity & wait'",
        saves=ID,
    ),
    Step("roost machine run roost/base:bookworm -a shop --rm -- true"),
    Step("roost machine run roost/base:bookworm -a shop", shows="[0-9a-f]{14}"),
    Step("roost machine run roost/base:bookworm -a shop --schedule '30 2 * * mon-fri' -- true", shows="start"),
    Step(
        "roost machine run roost/base:bookworm -a shop --schedule '30 2 * * mon-fri' --timezone Europe/Berlin -- true",
        shows="start",
    ),
    Step("roost machine run roost/base:bookworm -a shop --standby-for {machine} -- true", shows="created"),
    Step("roost machine status {machine} -a shop", shows="job"),
    Step("roost machine status {machine} -a shop --json", shows='"job"'),
    Step("roost machine exec {machine} -a shop -- sh -c 'exit 7'", code=7),
    Step("roost machine exec {machine} -a shop --timeout 1 -- sleep 60", code=124),
    Step("roost machine exec {machine} -a shop --timeout 9 --json -- printenv A", shows='"b'),
    Step("roost machine suspend {machine} -a shop"),
    Step("roost machine list -a shop --state started,suspended --json", shows='"suspended"'),
    Step("roost machine list -a shop", shows="suspended"),
    Step("roost machine start {machine} -a shop"),
    Step("roost machine restart {machine} -a shop"),
    Step("roost machine stop {machine} -a shop --signal SIGTERM --timeout 5"),
    Step("roost machine start {machine} -a shop"),
    Step("roost machine cordon {machine} -a shop"),
    Step("roost machine uncordon {machine} -a shop"),
    Step("roost machine metadata {machine} -a shop --json role=primary old=", shows="primary"),
    Step(
        "roost machine update {machine} -a shop --image roost/base:bookworm --env B=c --memory 96 --cpus 1"
        " --schedule hourly --timezone Europe/Berlin --skip-start --json -- sleep infinity",
        shows="96",
    ),
    Step("roost machine start {machine} -a shop"),
    Step("roost machine wait {machine} -a shop", shows="started"),
    Step("roost machine wait {machine} -a shop --state stopped --timeout 1 --json", code=124),
    Step("roost machine events {machine} -a shop", shows="start"),
    Step("roost machine events {machine} -a shop --limit 50 --json", shows=r"^\["),
    Step("roost machine runs {machine} -a shop", shows="STATE"),
    Step("roost machine runs {machine} -a shop --limit 20 --json", shows=r"^\["),
    Step("roost machine versions {machine} -a shop", shows="roost/base"),
    Step("roost machine versions {machine} -a shop --json", shows="user_config"),
    Step("roost machine ps {machine} -a shop", shows="sleep"),
    Step("roost machine ps {machine} -a shop --json", shows="sleep"),
    Step("roost machine leases view {machine} -a shop", shows="OWNER"),
    Step("roost machine leases view {machine} -a shop --json", shows=r"\[\]"),
    Step("roost machine leases clear {machine} -a shop --nonce none", code=3),
    Step("roost machine clone {machine} -a shop", shows="started"),
    Step("roost machine clone {machine} -a shop --name twin --json", shows="twin"),
    Step("roost machine destroy {machine} -a shop --force"),
    Step("roost machine status {machine} -a shop", code=3),
    Step("roost machine run roost/base:bookworm -a shop --machine-config pair.json --json", saves=ID),
    Step("roost machine exec {machine} -a shop --container two -- printenv FLY_CONTAINER_NAME", shows="two"),
    Step(
        "roost ssh console -a shop --machine {machine} --container one --command 'printenv FLY_CONTAINER_NAME'",
        shows="one",
    ),
    Step("roost machine destroy {machine} -a shop --force"),
)
VOLUMES = (
    Step("roost volumes create data -a shop --size 10"),
    Step("roost machine run roost/base:bookworm -a shop --volume data:/data -- sleep infinity", shows="started"),
    Step(
        "roost volumes create data -a shop --size 10 --snapshot-retention 5 --no-scheduled-snapshots --json",
        saves=("volume", r'"id": "(vol_\w+)"'),
    ),
    Step("roost volumes list -a shop", shows="data"),
    Step("roost volumes list -a shop --json", shows='"data"'),
    Step("roost volumes show {volume} -a shop", shows="data"),
    Step("roost volumes show {volume} -a shop --json", shows='"data"'),
    Step("roost volumes snapshots create {volume} -a shop"),
    Step("roost volumes snapshots create {volume} -a shop --json", saves=("snapshot", r'"id": "(vs_\w+)"')),
    Step("roost volumes snapshots list {volume} -a shop --json", shows="vs_"),
    Step("roost volumes snapshots list {volume}", where="shop"),
    Step("roost volumes extend {volume} --size 11", where="shop"),
    Step("roost volumes extend {volume} --size 20 -a shop --json", shows="20"),
    Step("roost volumes fork {volume}", where="shop"),
    Step("roost volumes fork {volume} --name copy --size 20 -a shop --json", saves=("copy", r'"id": "(vol_\w+)"')),
    Step("roost volumes destroy {copy} -a shop --yes"),
    Step("roost volumes restore {snapshot} --name data", where="shop"),
    Step("roost volumes restore {snapshot} --name data --size 20 -a shop --json", shows='"data"'),
    Step("roost machine run roost/base:bookworm --volume data:/data", where="shop", shows="[0-9a-f]{14}"),
)
NETWORKS = (
    Step("roost network policies create web-only -a shop --ingress tcp/80 --ingress tcp/443", shows="np_"),
    Step("roost network policies create workers -a shop --metadata role=worker --egress tcp/443 --egress udp/53"),
    Step("roost machine list -a shop --json", saves=ID),
    Step(
        "roost network policies create all --ingress tcp/80 --egress udp/53 --machine {machine} --metadata a=b"
        " -a shop --json",
        saves=("policy", r'"id": "(np_\w+)"'),
    ),
    Step("roost network policies list -a shop", shows="ingress tcp/80 tcp/443"),
    Step("roost network policies list -a shop --json", shows='"ingress"'),
    Step("roost network policies show {policy} -a shop", shows="a=b"),
    Step("roost network policies show {policy} -a shop --json", shows='"udp"'),
    Step("roost network policies show {policy}", where="shop"),
    Step("roost network policies destroy {policy} -a shop --yes"),
    Step("roost ips allocate --type shared_v4 -a shop --json", saves=("address", r'"ip": "([0-9.]+)"')),
    Step("roost ips allocate", where="shop", shows="shared"),
    Step("roost ips allocate --type private -a shop", shows="private"),
    Step("roost ips list -a shop --json", shows=r"\d+\.\d+\.\d+\.\d+"),
    Step("roost ips list", where="shop", shows=r"\d+\.\d+\.\d+\.\d+"),
    Step("roost ips release {address} -a shop"),
)
IMAGES = (
    Step("roost image list", shows="roost/base"),
    Step("roost image list --json", shows="roost/base"),
    Step("roost image show -a shop", shows=r"v\d"),
    Step("roost image show -a shop --json", shows="sha256"),
    Step("roost image collect", shows="freed"),
    Step("roost image collect --json", shows="freed_bytes"),
)
THE_END = (
    Step('sqlite3 /var/lib/roost/state.db ".backup /backup/state.db"'),
    Step("cp -a /var/lib/roost/cloud.json /var/lib/roost/keys /backup/"),
    Step("ls backup/state.db backup/cloud.json backup/keys/cli.token"),
    Step("kill {roostd}"),
    Step("roost status -a shop", shows="shop"),  # waits until it is back
    Step("roost status", shows=r"roostd +pid"),
    Step("roost edge start", shows="roostd, pid"),
    Step("roost down"),
    Step("roost down"),
    Step("""echo '[acme]\ndirectory = "https://127.0.0.1:1/dir"' > /var/lib/roost/config.toml"""),  # nobody is asked
    Step("roost up --domain apps.example.com --email ops@example.com", shows="no port for https"),
    Step("roost up --network 10.60.0.0/16", code=1, shows="its machines have their addresses there"),
    Step("roost certs show shop.apps.example.com -a shop", shows="no port for https"),
    Step("roost status -a shop", shows="shop.apps.example.com"),
    Step("roost down && roost up --http-port 80"),
    Step("roost down && roost up --api-port {api}"),
    Step("roost down && roost up --https-port 443", shows=r"https://APP.apps.example.com \(certificates come"),
    Step("roost up"),
    Step("roost destroy-cloud", answers=NO, code=1),
    Step("roost destroy-cloud --yes"),
    Step("roost status", code=4),
)
SESSION = (
    *THE_CLOUD,
    *LAUNCHING,
    *DEPLOYING,
    *SECRETS,
    *SCALE_AND_CONFIG,
    *KEYS,
    *CERTIFICATES,
    *ACCESS,
    *LOGS_AND_CONSOLE,
    *MACHINES,
    *VOLUMES,
    *NETWORKS,
    *IMAGES,
    *THE_END,
)

# What another test runs: the command, or an optional part of one, and the test with the words by which it does.
ELSEWHERE = {
    "roost launch hello --yes": ("tests/e2e/setup/test_readme.py", '"launch", "hello", "--yes"'),
    "curl http://hello.localhost:8080/": ("tests/e2e/setup/test_readme.py", 'run("curl"'),
    "git clone REPOSITORY roost": ("tests/e2e/setup/test_checkout.py", '"git", "clone"'),
    "roost destroy-cloud --stray ID --yes": ("tests/e2e/setup/test_cloud_life.py", '"--stray", cloud_id, "--yes"'),
    "roost image refresh roost/base:bookworm": (  # makes a Debian: a minute for the real thing, so its parts are tested
        "tests/contract/sdk/test_cli_commands.py",
        'run("image", "refresh", "roost/base:bookworm")',
    ),
    "scripts/demo": ("tests/e2e/setup/test_fresh_debian.py", 'demo="scripts/demo'),
    "scripts/rehearse": ("tests/e2e/setup/test_fresh_debian.py", '"rehearse", command'),
    "[--isolation gvisor]": ("tests/e2e/isolation/test_gvisor_cloud.py", '"--isolation", "gvisor"'),
    "roost machine run roost/base:bookworm -a demo --isolation gvisor -- sleep infinity": (
        "tests/e2e/isolation/test_gvisor_cloud.py",
        '"machine", "run", "roost/base:bookworm", "-a", app, "--isolation", "gvisor"',
    ),
    'psql "host=shop-db.example.com user=shop sslmode=require"': (
        "tests/e2e/edge/test_postgres.py",
        '["psql", "-XAtc"',
    ),
    "[--foreground]": ("tests/e2e/setup/test_cloud_life.py", '"--foreground"'),
}
NOT_HERE = {
    "scripts/test": "runs this test",
    "scripts/test unit": "runs what scripts/test runs",
    "scripts/test chaos": "runs what this test's neighbours in tests/chaos are",
    "scripts/rehearse-boot": "boots a server under emulation, which takes ten minutes and more",
    "scripts/lock": "rewrites the locked versions with today's",
    ".venv/bin/python bench/*": "takes minutes, and its figures mean something on an idle host only",
    "git pull": "there is no later version to pull",
    "*scripts/install*": "needs systemd: tests/boot/walk.py runs it on a server under emulation",
    "systemctl *": "needs systemd",
    "ssh -NL *": "needs a second computer",
    "roost login https://cloud.example:4280 < token.txt": "needs a name and TLS before the API; http is tried",
    "roost deploy -a shop --image ghcr.io/acme/shop:1.4": "needs a public registry; an image of this cloud is tried",
    "roost image pull debian:bookworm-slim": "needs a public registry; tests/contract/build pulls from one of its own",
}


def _excused(command: str) -> list[str]:
    """The entries of the two tables that speak of a command or of an optional part."""

    def fits(entry: str) -> bool:
        return re.fullmatch(re.escape(entry).replace(r"\*", ".*"), plain(command)) is not None

    return [entry for entry in (*ELSEWHERE, *NOT_HERE) if fits(entry)]


def test_every_documented_command_is_run_or_excused() -> None:
    missing, used, cited = [], set(), set()
    typed = [line for step in SESSION for line in step.line.split(" && ")]
    for command in collect(ROOT):
        if excuses := _excused(command.text):
            used.update(excuses)
            continue
        matches = {line: found for line in typed if (found := command.match(line))}
        cited.update(matches)
        if not matches:
            missing.append(f"{command.where}: {command.text}")
        for number, part in enumerate(command.parts, start=1):
            if excuses := _excused(f"[{part}]"):
                used.update(excuses)
            elif not any(found[number] for found in matches.values()):
                missing.append(f"{command.where}: [{part}] of {command.text}")
    assert missing == [], "documented, and nobody runs it"
    assert [entry for entry in (*ELSEWHERE, *NOT_HERE) if entry not in used] == [], "excused, and not documented"
    stray = [line for line in typed if line not in cited and line.startswith(("roost ", "./roost ", "scripts/"))]
    assert stray == [], "typed, and not documented"


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_is_run_elsewhere_is_run_there(command: str) -> None:
    path, words = ELSEWHERE[command]
    assert words in (ROOT / path).read_text()


@pytest.mark.timeout(600)  # on slow processors with three rows beside it; alone a third of that
def test_the_documented_commands_work(cloud: RunningCloud, tmp_path: Path) -> None:
    prepare(tmp_path, ROOT / "examples" / "static")
    token = (cloud.home / "keys" / "cli.token").read_text().strip()
    ports = {"http": str(cloud.http_port), "api": str(cloud.api_port)}
    reader = Reader(tmp_path, cloud, {"home": str(cloud.home), "token": token, **ports})
    for step in SESSION:
        reader.type(step)
