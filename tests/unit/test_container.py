"""The containers have what their configurations need, and fit each other.

`make container` builds the image; nothing here does.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

from dspamd.config.config import Config

ROOT = Path(__file__).parents[2]
DOCKERFILE = re.sub(r"\\\n *", "", (ROOT / "Dockerfile").read_text())
SAMPLE = Config.load(ROOT / "etc/dspam.conf")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
CONTAINER = ROOT / "etc/container"
TEXT = (CONTAINER / "dspam.conf").read_text()
OURS = Config.from_text(re.sub("^Include .*\n", "", TEXT, flags=re.M))
MASTER_CF = (CONTAINER / "postfix/master.cf").read_text()


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)", DOCKERFILE, re.M)


def test_all_libraries_come_with_it() -> None:
    """Those of PostgreSQL and MySQL come always, the others with an extra that has to be named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"pip install .*'/src\[([\w,]+)\]'", DOCKERFILE)
    assert set(extras.split(",")) == project["optional-dependencies"].keys() - {"dev", "docs", "release"}


def test_what_is_written_lies_in_volumes() -> None:
    """The root may be read-only."""
    (account,) = instructions("USER")
    made = re.findall(rf"install -d -o {account} -g {account} (?:-m \d+ )?(\S+)", DOCKERFILE)
    for config in (SAMPLE, OURS):
        pid = Path(config.ServerPID).parent
        assert {config.Home, str(pid).replace("/var/run", "/run")} == set(made)
    (volumes,) = instructions("VOLUME")
    assert yaml.safe_load(volumes) == made


def test_the_program_is_where_pip_puts_it() -> None:
    (entry,) = instructions("ENTRYPOINT")
    (place,) = re.findall(r"python3 -m venv (\S+)", DOCKERFILE)
    assert entry == f'["{place}/bin/dspamd", "--config", "/etc/dspam/dspam.conf"]'
    assert f"COPY --from=build {place} {place}\n" in DOCKERFILE
    (check,) = instructions("HEALTHCHECK")
    assert check.endswith(f'CMD ["{place}/bin/dspamd", "--config", "/etc/dspam/dspam.conf", "--health"]')


def test_the_configuration_of_the_containers_is_good() -> None:
    assert not OURS.warnings
    (included,) = re.findall("^Include (.*)", TEXT, re.M)
    assert {Path(included).name} == set(SERVICES["dspamd"]["secrets"])
    assert SERVICES.keys() >= {OURS.DeliveryHost, OURS.PgSQLServer}
    environment = SERVICES[OURS.PgSQLServer]["environment"]
    assert environment["POSTGRES_USER"] == OURS.PgSQLUser
    assert environment["POSTGRES_DB"] == OURS.PgSQLDb


def test_compose_names_what_exists() -> None:
    for name, service in SERVICES.items():
        build = ROOT / service["build"] if "build" in service else None
        assert build is None or (build / "Dockerfile").is_file()
        assert set(service["networks"]) <= COMPOSE["networks"].keys()
        assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
        assert service.get("depends_on", {}).keys() <= SERVICES.keys() - {name}
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_check_of_health_sees_storage_and_next_hop() -> None:
    assert OURS.MetricsListen.startswith("127.0.0.1:")
    assert SERVICES["dspamd"]["healthcheck"]["test"] == ["CMD", "dspamd", "--health"]


def test_every_service_says_whether_it_is_well() -> None:
    for service in SERVICES.values():
        own = "healthcheck" in service
        assert own or "HEALTHCHECK" in (ROOT / service["build"] / "Dockerfile").read_text()


def test_no_file_has_a_password() -> None:
    """Each is in a file that is neither in the tree nor in the image."""
    texts = TEXT, (ROOT / "docker-compose.yml").read_text()
    assert not [text for text in texts if re.search(r"^\s*(\w+Pass\s|\w*PASSWORD:)", text, re.M)]
    for secret in COMPOSE["secrets"].values():
        folder = secret["file"].split("/")[1]
        assert f"/{folder}/\n" in (ROOT / ".gitignore").read_text()
        assert f"{folder}\n" in (ROOT / ".dockerignore").read_text()
        assert secret["file"].removeprefix("./") in (ROOT / "docs/container.md").read_text()


def test_mail_goes_round() -> None:
    """Postfix knows the filter, the filter Postfix, and Postfix believes nobody but the filter's network."""
    assert MASTER_CF.count(f"content_filter=dspam:[dspamd]:{OURS.ServerPort}") == 1
    assert re.search(rf"^{OURS.DeliveryPort} +inet ", MASTER_CF, re.M)
    network = COMPOSE["networks"]["filter"]["ipam"]["config"][0]["subnet"]
    assert set(re.findall(r"(?:mynetworks|xforward_hosts)=(\S+)", MASTER_CF)) == {network}
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["postfix"]


def test_postfix_understands_its_files(tmp_path: Path) -> None:
    for name in ("main.cf", "master.cf"):
        (tmp_path / name).write_text((CONTAINER / "postfix" / name).read_text())

    def told(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert not done.stderr
        return done.stdout.strip()

    services = told("postconf", "-c", str(tmp_path), "-M").splitlines()
    assert [line.split()[0] for line in services] == ["smtp", "dspam", str(OURS.DeliveryPort)]
    parameters = told("postconf", "-c", str(tmp_path), "-n")
    assert "unused" not in parameters
    # What these daemons refuse to start with, nobody else reports.
    assert told("postconf", "-c", str(tmp_path), "-h", "virtual_mailbox_limit", "alias_maps") == "0"
    tables = told("postconf", "-c", str(tmp_path), "-xh", "virtual_mailbox_maps")
    assert "$1" not in tables, "virtual(8) passes over what puts in text of an address"
    retraining, users = tables.split(" texthash:/etc/postfix/")
    mailboxes = f"texthash:{CONTAINER}/postfix/{users}"
    for address, table, mailbox in (
        ("bob@example.org", mailboxes, "bob/"),
        ("spam-bob@example.org", retraining, "retraining"),
    ):
        assert told("postmap", "-c", str(tmp_path), "-q", address, table) == mailbox
