-- Blocks (storage/block.py): a base, and the changes after it, each with the next version.

CREATE TABLE IF NOT EXISTS dspamd_block_change (
    uid integer,
    name varchar(32),
    version bigint,
    data bytea NOT NULL,
    PRIMARY KEY (uid, name, version)
);

CREATE TABLE IF NOT EXISTS dspamd_block (
    uid integer,
    name varchar(32),
    base bigint NOT NULL,      -- the version of data
    version bigint NOT NULL,   -- of the latest change
    data bytea NOT NULL,
    PRIMARY KEY (uid, name)
);
COMMENT ON TABLE dspamd_block IS 'dspamd schema, step 3'; -- read by the driver
