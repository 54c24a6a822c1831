-- The tables of DSPAM 3.10.2, as it makes them itself (reference/storage.md 3.3).
-- Where it made them already, they stay as they are.

CREATE TABLE IF NOT EXISTS dspam_token_data (
    token CHAR(20) PRIMARY KEY,  -- unsigned 64-bit number, decimal
    spam_hits INT,
    innocent_hits INT,
    last_hit DATE                -- YYYY-MM-DD
);

CREATE INDEX IF NOT EXISTS id_token_data_02 ON dspam_token_data(innocent_hits);

CREATE TABLE IF NOT EXISTS dspam_signature_data (
    signature CHAR(128) PRIMARY KEY,
    data BLOB,
    created_on DATE
);

CREATE TABLE IF NOT EXISTS dspam_stats (
    dspam_stat_id INT PRIMARY KEY,  -- always 0
    spam_learned INT,
    innocent_learned INT,
    spam_misclassified INT,
    innocent_misclassified INT,
    spam_corpusfed INT,
    innocent_corpusfed INT,
    spam_classified INT,
    innocent_classified INT
);
