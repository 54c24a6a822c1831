-- Our own table: the correction in force for a signature, with what it changed.

CREATE TABLE IF NOT EXISTS dspamd_correction (
    signature CHAR(128) PRIMARY KEY,
    label TEXT NOT NULL,   -- spam or innocent
    applied BLOB NOT NULL  -- packed by storage/correction.py
);

-- A correction goes with its signature, which dspamd, DSPAM or its purge script may delete.
CREATE TRIGGER IF NOT EXISTS dspamd_correction_purge AFTER DELETE ON dspam_signature_data
BEGIN
    DELETE FROM dspamd_correction WHERE signature = old.signature;
END;
