"""The doctor examines the settings of a Dovecot, as doveconf tells them, and the rights of its account."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.doctor.dovecot import Dovecot, parsed
from dspamd.doctor.retraining import judged_account, judged_dovecot, judged_reader

SCRIPTS = Path(__file__).parents[3] / "etc/dovecot/sieve"
DOVECOT_2_3 = """\
# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf
# Pigeonhole version 0.5.19 (4eae2f79)
mail_access_groups = dspam
namespace inbox {
  mailbox Junk {
    special_use = \\Junk
  }
}
passdb {
  args = uid=root
}
plugin {
  imapsieve_mailbox1_before = file:SIEVE/dspam-spam.sieve
  imapsieve_mailbox1_causes = COPY APPEND
  imapsieve_mailbox1_name = Junk
  sieve_global_extensions = +vnd.dovecot.pipe
  sieve_pipe_bin_dir = BIN
  sieve_plugins = sieve_imapsieve sieve_extprograms
}
userdb {
  args = home=/var/vmail/%u uid=nobody gid=nogroup
  driver = static
}
protocol imap {
  mail_plugins = " imap_sieve"
}
"""
DOVECOT_2_4 = """\
# 2.4.1-4 (7d8c0e5759): /etc/dovecot/dovecot.conf
dovecot_config_version = 2.4.0
mail_access_groups = dspam
sieve_global_extensions {
  vnd.dovecot.pipe = yes
}
sieve_pipe_bin_dir = BIN
sieve_plugins {
  sieve_imapsieve = yes
  sieve_extprograms = yes
}
userdb static {
  fields {
    uid = nobody
  }
}
protocol imap {
  mail_plugins {
    imap_sieve = yes
  }
}
mailbox Other {
  sieve_script other {
    cause = copy
    path = /nowhere/other.sieve
    type = before
  }
}
sieve_script personal {
  path = ~/dspam
}
imapsieve_from Junk {
  sieve_script dspam-innocent {
    cause = copy
    path = SIEVE/dspam-innocent.sieve
    type = before
  }
}
"""
ANTISPAM = """\
# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf
plugin {
  antispam_backend = dspam
  antispam_dspam_binary = BIN/dspamc
}
protocol imap {
  mail_plugins = " antispam"
}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """With the program of the scripts, a socket, and the configuration; everybody may enter it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "bin").mkdir()
        (folder / "bin/dspamc").symlink_to("/bin/true")
        shutil.copytree(SCRIPTS, folder / "sieve")
        for script in (folder / "sieve").glob("*.sieve"):
            script.with_suffix(".svbin").touch()
        (folder / "socket").touch()
        (folder / "socket").chmod(0o660)
        (folder / "dspam.conf").write_text(f"Home {folder}\nTrust vmail\nClientHost {folder}/socket\n")
        yield folder


def told(folder: Path, text: str) -> list[tuple[str, str]]:
    """What is told of Dovecot; its account is not looked at."""
    dovecot = parsed(text.replace("BIN", f"{folder}/bin").replace("SIEVE", f"{folder}/sieve"))
    users = {name: value for name, value in dovecot.settings.items() if not name.startswith("userdb")}
    found = judged_dovecot(Dovecot(dovecot.version, users), Config.load(folder / "dspam.conf"))
    return [(str(each.severity), each.what) for each in found]


@pytest.mark.parametrize("text", [DOVECOT_2_3, DOVECOT_2_4, ANTISPAM])
def test_as_the_guide_says(folder: Path, text: str) -> None:
    assert told(folder, text) == [("fine", "Dovecot teaches dspamd what users move")]


@pytest.mark.parametrize(("text", "version"), [(DOVECOT_2_3, "2.3"), (DOVECOT_2_4, "2.4")])
def test_what_dovecot_says_of_itself(text: str, version: str) -> None:
    dovecot = parsed(text.replace("SIEVE", str(SCRIPTS)))
    assert (dovecot.version, dovecot.account) == (version, "nobody")
    assert [script.programs for script in dovecot.scripts() if script.programs] == [("dspamc",)]


@pytest.mark.parametrize(
    ("without", "said"),
    [
        (r"imap_sieve", "Dovecot has scripts for dspamd, but not the plugin imap_sieve"),
        ("sieve_imapsieve", "sieve_imapsieve is missing in Dovecot's sieve_plugins"),
        ("sieve_extprograms", "sieve_extprograms is missing in Dovecot's sieve_plugins"),
        ("vnd.dovecot.pipe", "vnd.dovecot.pipe is missing in Dovecot's sieve_global_extensions"),
    ],
)
@pytest.mark.parametrize("text", [DOVECOT_2_3, DOVECOT_2_4])
def test_what_is_missing(folder: Path, text: str, without: str, said: str) -> None:
    assert told(folder, text.replace(without, "other")) == [("problem", said)]


@pytest.mark.parametrize("text", [DOVECOT_2_3, DOVECOT_2_4])
def test_a_program_or_a_script_that_is_not_there(folder: Path, text: str) -> None:
    (folder / "bin/dspamc").unlink()
    assert told(folder, text) == [
        ("problem", f"Dovecot cannot run {folder}/bin/dspamc: sieve_pipe_bin_dir is {folder}/bin")
    ]
    ((severity, what),) = told(folder, text.replace("SIEVE", "/nowhere"))
    assert severity == "problem"
    assert what.startswith("Dovecot's script /nowhere/dspam-")


def test_a_script_that_is_not_compiled_or_that_the_account_cannot_reach(folder: Path) -> None:
    script = folder / "sieve/dspam-spam.sieve"
    binary = script.with_suffix(".svbin")
    vmail = pwd.struct_passwd(("vmail", "x", 99999, 99999, "", "/", "/bin/false"))
    uncompiled = ("advice", f"Dovecot's script {script} is not compiled, or was changed since")
    assert list(judged_reader(vmail, {99999}, [script])) == []
    os.utime(binary, (1, 1))
    assert told(folder, DOVECOT_2_3) == [uncompiled]
    binary.unlink()
    assert told(folder, DOVECOT_2_3) == [uncompiled]
    script.parent.chmod(0o700)
    (shut,) = judged_reader(vmail, {99999}, [script])
    assert (shut.severity, shut.what) == ("problem", f"Dovecot's account vmail may not read {script}")


def test_the_plugin_antispam_without_itself_or_its_program(folder: Path) -> None:
    assert told(folder, ANTISPAM.replace('" antispam"', "")) == [
        ("problem", "Dovecot has settings for the plugin antispam, but does not load it")
    ]
    (folder / "bin/dspamc").unlink()
    assert told(folder, ANTISPAM) == [
        ("problem", f"the plugin antispam calls {folder}/bin/dspamc, which is not there")
    ]


@pytest.mark.parametrize("text", ["# 2.3.19.1\nprotocols = imap\n", DOVECOT_2_3.replace("dspam-", "other-")])
def test_a_dovecot_that_has_nothing_to_do_with_us(folder: Path, text: str) -> None:
    ((severity, what),) = told(folder, text)
    assert (severity, what[:28]) == ("fine", "Dovecot does not call dspamd")


NOT_TRUSTED = "may not act for users: it is not in Trust"


@pytest.mark.parametrize(
    ("modes", "replaced", "said"),
    [
        ({}, "", []),
        ({"dspam.conf": 0o600}, "", ["may not read"]),
        ({"socket": 0o600}, "", ["may not connect to"]),
        ({".": 0o700}, "", ["may not read", "may not connect to"]),
        ({}, "Trust vmail", [NOT_TRUSTED]),
        ({}, "ClientHost", ["ClientHost is not set"]),
    ],
)
def test_the_rights_of_the_account(
    folder: Path, modes: Mapping[str, int], replaced: str, said: list[str]
) -> None:
    """It is in the group of the socket."""
    file = folder / "dspam.conf"
    file.write_text(re.sub(f"{replaced}.*", "", file.read_text()) if replaced else file.read_text())
    for name, mode in modes.items():
        (folder / name).chmod(mode)
    vmail = pwd.struct_passwd(("vmail", "x", 99999, 99999, "", "/", "/bin/false"))
    found = judged_account(vmail, {99999, folder.stat().st_gid}, Config.load(file))
    for each, words in zip(found, said, strict=True):
        assert (each.severity, words in each.what) == ("problem", True)
