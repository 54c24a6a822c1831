-- Blocks (storage/block.py): a base, and the changes after it, each with the next version.
-- The comment of the last table says how many steps the database has taken.

CREATE TABLE IF NOT EXISTS dspamd_block_change (
    uid INT UNSIGNED NOT NULL,
    name VARCHAR(32) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
    version BIGINT UNSIGNED NOT NULL,
    data MEDIUMBLOB NOT NULL,
    PRIMARY KEY (uid, name, version)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS dspamd_block (
    uid INT UNSIGNED NOT NULL,
    name VARCHAR(32) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
    base BIGINT UNSIGNED NOT NULL,     -- the version of data
    version BIGINT UNSIGNED NOT NULL,  -- of the latest change
    data MEDIUMBLOB NOT NULL,
    PRIMARY KEY (uid, name)
) ENGINE=InnoDB COMMENT='dspamd schema, step 3';
