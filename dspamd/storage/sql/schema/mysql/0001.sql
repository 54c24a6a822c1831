-- The tables of DSPAM 3.10.2, for an empty database (reference/storage.md 3.1).  InnoDB instead of MyISAM:
-- only with transactions a message is learned whole or not at all.  Wider where DSPAM's own were too narrow:
-- signatures with a uid in front, names in any script.
--
-- A step may be cut short by a crash and taken again, so each of its statements must bear repetition.
-- {table}, {uid} and {name} are the table of users as configured.

CREATE TABLE IF NOT EXISTS {table} (
    {uid} INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    {name} VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    UNIQUE KEY id_virtual_uids_01 ({name})
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS dspam_token_data (
    uid INT UNSIGNED NOT NULL,
    token BIGINT UNSIGNED NOT NULL,
    spam_hits BIGINT UNSIGNED NOT NULL,
    innocent_hits BIGINT UNSIGNED NOT NULL,
    last_hit DATE NOT NULL,
    UNIQUE KEY id_token_data_01 (uid, token)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS dspam_signature_data (
    uid INT UNSIGNED NOT NULL,
    signature VARCHAR(128) CHARACTER SET latin1 COLLATE latin1_general_ci NOT NULL,
    data LONGBLOB NOT NULL,
    length INT UNSIGNED NOT NULL,
    created_on DATE NOT NULL,
    UNIQUE KEY id_signature_data_01 (uid, signature),
    KEY id_signature_data_02 (created_on)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS dspam_stats (
    uid INT UNSIGNED NOT NULL PRIMARY KEY,
    spam_learned BIGINT UNSIGNED NOT NULL,
    innocent_learned BIGINT UNSIGNED NOT NULL,
    spam_misclassified BIGINT UNSIGNED NOT NULL,
    innocent_misclassified BIGINT UNSIGNED NOT NULL,
    spam_corpusfed BIGINT UNSIGNED NOT NULL,
    innocent_corpusfed BIGINT UNSIGNED NOT NULL,
    spam_classified BIGINT UNSIGNED NOT NULL,
    innocent_classified BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS dspam_preferences (
    uid INT UNSIGNED NOT NULL,
    preference VARCHAR(128) CHARACTER SET latin1 COLLATE latin1_general_ci NOT NULL,
    value VARCHAR(128) CHARACTER SET utf8mb4 NOT NULL,
    UNIQUE KEY id_preferences_01 (uid, preference)
) ENGINE=InnoDB;
