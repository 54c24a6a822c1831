-- Blocks (storage/block.py): a base, and the changes after it, each with the next version.

CREATE TABLE IF NOT EXISTS dspamd_block_change (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE IF NOT EXISTS dspamd_block (
    name TEXT PRIMARY KEY,
    base INTEGER NOT NULL,     -- the version of `data`
    version INTEGER NOT NULL,  -- of the latest change
    data BLOB NOT NULL
);
