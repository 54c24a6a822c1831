"""Dovecot's side of corrections: what users move reaches dspamc, and dspamc the daemon."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.doctor.dovecot import Dovecot, in_use, read
from dspamd.doctor.site import Site
from dspamd.users.trust import trusted

_READ, _WRITE, _ENTER = 4, 2, 1
_UNLEARNED = "what users move to Junk, or out of it, is not learned"
_RELOAD = "doveadm reload"


def retraining(site: Site) -> Iterator[Diagnosis]:
    """What Dovecot of this host does when users move mail; nothing if there is none."""
    if not in_use():
        yield fine("no Dovecot is set up on this host")
        return
    yield from judged_dovecot(read(), site.config)


def judged_dovecot(dovecot: Dovecot, config: Config) -> Iterator[Diagnosis]:
    """The settings of Dovecot against ours, and the files that they name."""
    antispam = dovecot.value("antispam_backend") == "dspam"
    piping = {script.path: [*filter(_is_ours, script.programs or ())] for script in dovecot.scripts()}
    programs = {name for names in piping.values() for name in names}
    ours = [path for path, names in piping.items() if names]
    scripts = [script.path for script in dovecot.scripts() if script.programs is None]
    lost = [path for path in scripts if "dspam" in path.name]
    if not programs and not antispam and not lost:
        yield fine("Dovecot does not call dspamd when users move mail (docs/dovecot.md: how it can)")
        return
    if antispam:
        found = [*_antispam(dovecot)]
    else:
        found = [*_scripts(dovecot, lost), *_programs(dovecot, programs), *_compiled(ours)]
    found += _account(dovecot, config, () if antispam else ours)
    yield from found or [fine("Dovecot teaches dspamd what users move")]


def _scripts(dovecot: Dovecot, lost: list[Path]) -> Iterator[Diagnosis]:
    """Whether scripts run, and may pipe."""
    cure = f"cp /usr/share/dspamd/dovecot/{dovecot.version}/95-dspam.conf /etc/dovecot/conf.d/ && {_RELOAD}"
    for path in lost:
        copy = f"cp /usr/share/dspamd/dovecot/sieve/{path.name} {path} && {_RELOAD} && sievec {path}"
        yield problem(f"Dovecot's script {path} is not there, or cannot be read", _UNLEARNED, copy)
    if "imap_sieve" not in dovecot.plugins:
        yield problem("Dovecot has scripts for dspamd, but not the plugin imap_sieve", _UNLEARNED, cure)
    for name in sorted({"sieve_imapsieve", "sieve_extprograms"} - dovecot.words("sieve_plugins")):
        yield problem(f"{name} is missing in Dovecot's sieve_plugins", _UNLEARNED, cure)
    allowed = dovecot.words("sieve_global_extensions") | dovecot.words("sieve_extensions")
    if "vnd.dovecot.pipe" not in allowed:
        what = "vnd.dovecot.pipe is missing in Dovecot's sieve_global_extensions"
        yield problem(what, _UNLEARNED, cure)


def _programs(dovecot: Dovecot, programs: set[str]) -> Iterator[Diagnosis]:
    folder = dovecot.value("sieve_pipe_bin_dir")
    for name in sorted(programs):
        path = Path(folder, name)
        if not folder or not os.access(path, os.X_OK):
            what = f"Dovecot cannot run {path}: sieve_pipe_bin_dir is {folder or 'not set'}"
            cure = f"mkdir -p {folder or '/usr/lib/dovecot/sieve-pipe'}\nln -s /usr/bin/{name} {path}"
            yield problem(what, _UNLEARNED, cure)


def _is_ours(program: str) -> bool:
    return program.startswith("dspam")


def _compiled(scripts: Sequence[Path]) -> Iterator[Diagnosis]:
    """Whether the scripts are compiled: the account of the mail may not write beside them."""
    for path in scripts:
        binary = path.with_suffix(".svbin")
        if not binary.exists() or binary.stat().st_mtime < path.stat().st_mtime:
            why = "Dovecot compiles it for each message, and its log has an error each time"
            what = f"Dovecot's script {path} is not compiled, or was changed since"
            yield advice(what, why, f"{_RELOAD}; sievec {path}")


def _antispam(dovecot: Dovecot) -> Iterator[Diagnosis]:
    """Whether the plugin dovecot-antispam runs, and its program is there."""
    why = "what users move to Junk, or out of it, is not learned, or cannot be moved"
    if "antispam" not in dovecot.plugins:
        cure = f"cp /usr/share/dspamd/dovecot/2.3/95-dspam-antispam.conf /etc/dovecot/conf.d/ && {_RELOAD}"
        yield problem("Dovecot has settings for the plugin antispam, but does not load it", why, cure)
    program = dovecot.value("antispam_dspam_binary") or "/usr/bin/dspam"
    if not os.access(program, os.X_OK):
        cure = f"set antispam_dspam_binary to the path of dspamc, then {_RELOAD}"
        yield problem(f"the plugin antispam calls {program}, which is not there", why, cure)


def _account(dovecot: Dovecot, config: Config, scripts: Sequence[Path]) -> Iterator[Diagnosis]:
    """Whether the account of the mail may teach: nobody can see that if each user has an account."""
    name = dovecot.account
    if not name:
        return
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        cure = f"useradd --system --no-create-home {name}"
        yield problem(f"Dovecot's account {name} has no name here, which dspamc needs", _UNLEARNED, cure)
        return
    groups = {entry.pw_gid, *_numbers(dovecot.words("mail_access_groups"))}
    yield from judged_account(entry, groups, config)
    yield from judged_reader(entry, groups, scripts)


def judged_reader(entry: pwd.struct_passwd, groups: set[int], scripts: Sequence[Path]) -> Iterator[Diagnosis]:
    """The rights of an account to the scripts and what they are compiled to."""
    for path in scripts:
        binary = path.with_suffix(".svbin")
        files = [path, binary] if binary.exists() else [path]
        shut = [file for file in files if not may(file, entry.pw_uid, groups, _READ)]
        if shut:
            what = f"Dovecot's account {entry.pw_name} may not read {' and '.join(map(str, shut))}"
            cure = f"chmod 755 {path.parent}; chmod 644 {' '.join(map(str, files))}"
            yield problem(what, _UNLEARNED, cure)


def judged_account(entry: pwd.struct_passwd, groups: set[int], config: Config) -> Iterator[Diagnosis]:
    """The rights of an account, with these groups, to what dspamc needs."""
    name, file, place = entry.pw_name, Path(config.file), config.ClientHost
    if not may(file, entry.pw_uid, groups, _READ):
        cure = f"chgrp dspam {file}; and mail_access_groups = dspam in Dovecot's configuration"
        yield problem(f"Dovecot's account {name} may not read {file}", _UNLEARNED, cure)
    if not place:
        socket = config.ServerDomainSocketPath or "/run/dspam/dspam.sock"
        cure = f"set ServerDomainSocketPath {socket}, ServerHost and ClientHost {socket} in {file}"
        yield problem("dspamc knows no daemon: ClientHost is not set", _UNLEARNED, cure)
    elif (
        place.startswith("/") and Path(place).exists() and not may(Path(place), entry.pw_uid, groups, _WRITE)
    ):
        group = grp.getgrgid(Path(place).stat().st_gid).gr_name
        cure = f"mail_access_groups = {group} in Dovecot's configuration, then {_RELOAD}"
        yield problem(f"Dovecot's account {name} may not connect to {place}", _UNLEARNED, cure)
    if not trusted(config, entry.pw_uid, name):
        cure = f"add to {file}: Trust {name}; then systemctl reload dspamd"
        yield problem(f"Dovecot's account {name} may not act for users: it is not in Trust", _UNLEARNED, cure)


def may(path: Path, uid: int, groups: set[int], right: int) -> bool:
    """Whether an account has a right to a file, and to the folders above; access lists do not count."""
    try:
        above = all(_has(folder.stat(), uid, groups, _ENTER) for folder in path.resolve().parents)
        return above and _has(path.stat(), uid, groups, right)
    except OSError:
        return False


def _has(found: os.stat_result, uid: int, groups: set[int], right: int) -> bool:
    if uid == 0:
        return True
    shift = 6 if found.st_uid == uid else 3 if found.st_gid in groups else 0
    return stat.S_IMODE(found.st_mode) >> shift & right == right


def _numbers(names: set[str]) -> Iterator[int]:
    for name in names:
        with suppress(KeyError):
            yield int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
