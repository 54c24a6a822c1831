"""A test loads each shipped file with the program that it is for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LOADED = {
    "debian/": "tests/e2e/test_debian.py::test_it_lives_from_installation_to_purge",
    "debian/apparmor": "tests/e2e/test_debian.py::test_apparmor_understands_the_profile",
    "debian/dspamd.lintian-overrides": "tests/e2e/test_debian.py::test_lintian_finds_nothing",
    "debian/dspamd.logrotate": "tests/e2e/test_debian.py::test_logrotate_understands_its_lines",
    "debian/source/": "tests/e2e/test_debian.py::test_lintian_finds_nothing",
    "etc/container/": "tests/unit/test_container.py::test_the_configuration_of_the_containers_is_good",
    "etc/container/postfix/": "tests/unit/test_container.py::test_postfix_understands_its_files",
    "etc/cron/dspamd": "tests/e2e/test_qmail.py::test_the_weekly_clean_up_is_silent",
    "etc/daemontools/": "tests/e2e/test_systemd.py::test_supervisors_run_the_daemon",
    "etc/daemontools/log/": "tests/e2e/test_systemd.py::test_supervisors_run_the_daemon",
    "etc/dovecot/": "tests/e2e/test_dovecot_retraining.py::test_the_last_move_counts",
    "etc/dovecot/2.3/": "tests/e2e/test_dovecot_retraining.py::test_the_last_move_counts",
    "etc/dovecot/2.4/": "tests/e2e/test_dovecot_retraining.py::test_the_last_move_counts",
    "etc/dovecot/sieve/": "tests/e2e/test_dovecot_retraining.py::test_the_last_move_counts",
    "etc/dspam.conf": "tests/e2e/test_samples.py::test_mail_passes_unchanged_and_a_user_corrects_a_verdict",
    "etc/exim/": "tests/e2e/test_exim.py::test_mail_from_outside_has_a_verdict",
    "etc/ignore-headers.txt": "tests/unit/config/test_config.py::test_the_sample_file_is_up_to_date",
    "etc/install-libraries": "tests/e2e/test_make.py::test_what_cannot_be_fetched_is_told_in_one_sentence",
    "etc/install-packages": "tests/unit/test_shipped.py::test_the_packages_to_build_are_there",
    "etc/maildrop/courier-fp": "tests/e2e/test_maildrop.py::test_users_correct_verdicts_by_mail",
    "etc/maildrop/courier-spam": "tests/e2e/test_maildrop.py::test_users_correct_verdicts_by_mail",
    "etc/maildrop/maildroprc": "tests/e2e/test_maildrop.py::test_mail_of_who_opted_in_has_a_verdict",
    "etc/postfix/corrections": "tests/e2e/test_postfix_ways.py::test_users_with_accounts",
    "etc/postfix/main-local.cf": "tests/e2e/test_postfix_ways.py::test_users_with_accounts",
    "etc/postfix/main-pipe.cf": "tests/e2e/test_postfix_ways.py::test_a_pipe",
    "etc/postfix/main-plus.cf": "tests/e2e/test_postfix_ways.py::test_extensions",
    "etc/postfix/main-relay.cf": "tests/e2e/test_postfix_ways.py::test_mail_for_an_imap_server",
    "etc/postfix/main-sql.cf": "tests/e2e/test_postfix_ways.py::test_tables_in_a_database",
    "etc/opensmtpd/": "tests/e2e/test_opensmtpd.py::test_mail_from_outside_has_a_verdict",
    "etc/postfix/main.cf": "tests/e2e/test_samples.py::test_mail_passes_unchanged_and_a_user_corrects",
    "etc/postfix/master-pipe.cf": "tests/e2e/test_postfix_ways.py::test_a_pipe",
    "etc/postfix/master-socket.cf": "tests/e2e/test_postfix_ways.py::test_a_socket_in_the_chroot",
    "etc/postfix/master.cf": "tests/e2e/test_samples.py::test_mail_passes_unchanged_and_a_user_corrects",
    "etc/postfix/pgsql-aliases.cf": "tests/e2e/test_postfix_ways.py::test_tables_in_a_database",
    "etc/postfix/pgsql-corrections.cf": "tests/e2e/test_postfix_ways.py::test_tables_in_a_database",
    "etc/postfix/pgsql-mailboxes.cf": "tests/e2e/test_postfix_ways.py::test_tables_in_a_database",
    "etc/prometheus/alerts.yml": "tests/unit/test_alerts.py::test_a_rule_has_what_prometheus_expects",
    "etc/qmail/": "tests/e2e/test_qmail.py::test_mail_comes_out_whole_with_a_verdict",
    "etc/qpsmtpd/": "tests/e2e/test_qpsmtpd.py::test_mail_has_a_verdict_of_its_recipient",
    "etc/rspamd/local.d/": "tests/e2e/test_rspamd.py::test_a_mail_has_both_verdicts_once",
    "etc/run.conf": "tests/e2e/test_samples.py::test_mail_passes_unchanged_and_a_user_corrects_a_verdict",
    "etc/runit/": "tests/e2e/test_systemd.py::test_supervisors_run_the_daemon",
    "etc/runit/finish": "tests/e2e/test_systemd.py::test_runit_leaves_down_what_has_a_bad_configuration",
    "etc/runit/log/": "tests/e2e/test_systemd.py::test_supervisors_run_the_daemon",
    "etc/spamassassin/": "tests/e2e/test_spamassassin.py::test_it_teaches_both_classes",
    "etc/txt/": "tests/unit/home/test_templates.py::test_the_shipped_texts",
    "systemd/sysusers.d/dspamd.conf": "tests/e2e/test_systemd.py::test_accounts_and_folders_are_understood",
    "systemd/tmpfiles.d/dspamd.conf": "tests/e2e/test_systemd.py::test_accounts_and_folders_are_understood",
    "systemd/": "tests/e2e/test_systemd.py::test_systemd_understands_the_units",
}
"""The test that loads a file; of a folder it loads all files."""

SHIPPED = sorted(
    str(path.relative_to(ROOT))
    for folder in ("debian", "etc", "systemd")
    for path in (ROOT / folder).rglob("*")
    if path.is_file()
)


@pytest.mark.parametrize("file", SHIPPED)
def test_a_test_loads_it(file: str) -> None:
    assert {file, f"{Path(file).parent}/"} & LOADED.keys(), f"{file} is shipped, and no test loads it"


@pytest.mark.parametrize("beginning", LOADED)
def test_the_test_is_there_and_has_something_to_load(beginning: str) -> None:
    assert [file for file in SHIPPED if file.startswith(beginning)]
    module, _, name = LOADED[beginning].partition("::")
    assert re.search(rf"^(async )?def {name}", (ROOT / module).read_text(), re.M)


def test_the_packages_to_build_are_there() -> None:
    """Or the kernel would not be here, so nothing is installed and nothing complained of."""
    done = subprocess.run(
        [ROOT / "etc/install-packages", "build"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("failing", ["update", "install"])
def test_packages_that_cannot_be_installed_are_named_in_one_sentence(failing: str, tmp_path: Path) -> None:
    stubs = {
        "id": "echo 0",
        "dpkg-query": "case $4 in gcc | make) exit 1 ;; esac; echo install ok installed",
        "apt-get": f'[ "$1" != {failing} ] || exit 100',
    }
    for name, text in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [ROOT / "etc/install-packages", "build"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.returncode == 1
    assert done.stderr == (
        "These packages are missing, and could not be installed; it needs a network: gcc make\n"
    )
