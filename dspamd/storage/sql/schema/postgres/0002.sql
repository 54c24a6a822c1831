-- Our own table: the correction in force for a signature, with what it changed. It goes with
-- its signature, which dspamd, DSPAM or its purge script may delete.

CREATE TABLE dspamd_correction (
    uid integer,
    signature varchar(128),
    label text NOT NULL,    -- spam or innocent
    applied bytea NOT NULL, -- packed by storage/correction.py
    PRIMARY KEY (uid, signature),
    FOREIGN KEY (uid, signature) REFERENCES dspam_signature_data (uid, signature) ON DELETE CASCADE
);
COMMENT ON TABLE dspamd_correction IS 'dspamd schema, step 2'; -- read by the driver
