-- Our own table: the correction in force for a signature, with what it changed.
-- A purge by DSPAM leaves rows here behind; the owner's next correction removes them.
-- The comment of the table says how many steps the database has taken.

CREATE TABLE IF NOT EXISTS dspamd_correction (
    uid INT UNSIGNED NOT NULL,
    signature VARCHAR(128) CHARACTER SET latin1 COLLATE latin1_general_ci NOT NULL,
    label VARCHAR(16) CHARACTER SET latin1 COLLATE latin1_general_ci NOT NULL,  -- spam or innocent
    applied LONGBLOB NOT NULL,  -- packed by storage/correction.py
    PRIMARY KEY (uid, signature)
) ENGINE=InnoDB COMMENT='dspamd schema, step 2';
