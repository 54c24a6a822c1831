"""The statements on the tables of blocks, by the rules of `statements.py`."""

# $1 uid, $2 name, $3 version before the first one, $4 data.
APPEND = """
WITH block AS (
    INSERT INTO dspamd_block AS b (uid, name, base, version, data) VALUES ($1, $2, $3, $3::bigint + 1, '')
    ON CONFLICT (uid, name) DO UPDATE SET version = b.version + 1 RETURNING b.version
)
INSERT INTO dspamd_block_change (uid, name, version, data) SELECT $1, $2, block.version, $4 FROM block"""

# $1 uid, $2 name, $3 version that the reader has: versions, the base if they need it, an array of changes.
READ = """
SELECT b.version, b.base, CASE WHEN b.anew THEN (
        SELECT data FROM dspamd_block WHERE uid = $1 AND name = $2
    ) END, ARRAY(
        SELECT c.data FROM dspamd_block_change AS c WHERE c.uid = $1 AND c.name = $2
            AND c.version > CASE WHEN b.anew THEN b.base ELSE $3 END
        ORDER BY c.version
    )
FROM (
    SELECT version, base, $3::bigint NOT BETWEEN base AND version AS anew FROM dspamd_block
    WHERE uid = $1 AND name = $2
) AS b"""

# $1 uid, $2 name, $3 version, $4 data, $5 expected version or NULL: whether that is the base now.
# A client that waited for the lock of the row looks at its version again.
FOLD = """
WITH folded AS (
    INSERT INTO dspamd_block AS b (uid, name, base, version, data)
    SELECT $1::integer, $2::varchar, $3::bigint, $3, $4::bytea WHERE $5::bigint IS NULL OR $5 = coalesce((
        SELECT version FROM dspamd_block WHERE uid = $1 AND name = $2
    ), 0)
    ON CONFLICT (uid, name) DO UPDATE
    SET base = excluded.base, version = greatest(b.version, excluded.version), data = excluded.data
    WHERE b.base < excluded.base AND b.version = coalesce($5, b.version) RETURNING 1
), dropped AS (
    DELETE FROM dspamd_block_change
    WHERE uid = $1 AND name = $2 AND version <= $3 AND EXISTS (SELECT FROM folded)
)
SELECT EXISTS (SELECT FROM folded)"""

NAMES = "SELECT name FROM dspamd_block WHERE uid = $1"
