-- The tables of DSPAM 3.10.2 for a database that has none of them (reference/storage.md 3.2),
-- so that DSPAM itself could work here, too. {users}, {uid} and {name} are configured.

CREATE TABLE dspam_token_data (
    uid integer,
    token bigint,           -- the 64 bits of the token, as a signed number
    spam_hits integer,
    innocent_hits integer,
    last_hit date,
    UNIQUE (uid, token)
) WITH (fillfactor = 70);   -- with room for its next version on the same page, a row leaves the index alone
-- Most tokens are rare: the planner guesses better with more samples.
ALTER TABLE dspam_token_data ALTER COLUMN token SET STATISTICS 200;
ALTER TABLE dspam_token_data ALTER COLUMN spam_hits SET STATISTICS 200;
ALTER TABLE dspam_token_data ALTER COLUMN innocent_hits SET STATISTICS 200;

CREATE TABLE dspam_signature_data (
    uid integer,
    signature varchar(128),
    data bytea,
    length integer,
    created_on date,
    UNIQUE (uid, signature)
);
ALTER TABLE dspam_signature_data ALTER COLUMN signature SET STATISTICS 200;

CREATE TABLE dspam_stats (
    uid integer PRIMARY KEY,
    spam_learned integer,
    innocent_learned integer,
    spam_misclassified integer,
    innocent_misclassified integer,
    spam_corpusfed integer,
    innocent_corpusfed integer,
    spam_classified integer,
    innocent_classified integer
);

CREATE TABLE dspam_preferences (
    uid integer,            -- 0: of everybody
    preference varchar(128),
    value varchar(128),
    UNIQUE (uid, preference)
);

CREATE SEQUENCE IF NOT EXISTS {users}_seq;
CREATE TABLE IF NOT EXISTS {users} (
    {uid} integer DEFAULT nextval('{users}_seq') PRIMARY KEY,
    {name} varchar(128)
);
CREATE UNIQUE INDEX IF NOT EXISTS id_virtual_uids_01 ON {users} ({name});
CREATE UNIQUE INDEX IF NOT EXISTS id_virtual_uids_02 ON {users} ({uid});

-- DSPAM looks tokens up by these: of a user, and of a user and a group.
CREATE FUNCTION lookup_tokens(integer, bigint[]) RETURNS SETOF dspam_token_data
    LANGUAGE sql STABLE AS
    'SELECT * FROM dspam_token_data WHERE uid = $1 AND token = ANY ($2)';
CREATE FUNCTION lookup_tokens(integer, integer, bigint[]) RETURNS SETOF dspam_token_data
    LANGUAGE sql STABLE AS
    'SELECT * FROM dspam_token_data WHERE uid IN ($1, $2) AND token = ANY ($3) ORDER BY uid <> $1';
