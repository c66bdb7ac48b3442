package store

// schema4 holds what sealed searches need: the indexes and the keys of askers
// on the owner's side, the seeds of our own keys on the asker's, and each
// search on both.
const schema4 = `
CREATE TABLE search_indexes (
	agreement TEXT NOT NULL REFERENCES agreements (id),
	epoch     INTEGER NOT NULL,
	state     TEXT NOT NULL,
	seed      BLOB NOT NULL,
	form      INTEGER NOT NULL,
	capacity  INTEGER NOT NULL,
	serial    INTEGER NOT NULL,
	detail    TEXT NOT NULL,
	began     INTEGER NOT NULL,
	ends      INTEGER NOT NULL,
	changed   INTEGER NOT NULL,
	PRIMARY KEY (agreement, epoch)
) STRICT, WITHOUT ROWID;

-- The seed of our own keys under the peer's epoch.
CREATE TABLE search_seeds (
	agreement  TEXT NOT NULL REFERENCES agreements (id),
	epoch      INTEGER NOT NULL,
	seed       BLOB NOT NULL,
	keys_id    BLOB NOT NULL,
	commitment BLOB NOT NULL,
	queries    INTEGER NOT NULL,
	created    INTEGER NOT NULL,
	PRIMARY KEY (agreement, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE searches (
	id          TEXT PRIMARY KEY,
	agreement   TEXT NOT NULL REFERENCES agreements (id),
	epoch       INTEGER NOT NULL,
	serial      INTEGER NOT NULL,
	local       INTEGER NOT NULL CHECK (local IN (0, 1)),
	state       TEXT NOT NULL,
	query       BLOB NOT NULL,
	attempts    INTEGER NOT NULL,
	threshold   INTEGER NOT NULL,
	user        TEXT NOT NULL,
	purpose     TEXT NOT NULL,
	case_number TEXT NOT NULL,
	local_id    TEXT NOT NULL,
	slots       TEXT NOT NULL,
	revealed    TEXT NOT NULL,
	created     INTEGER NOT NULL,
	ended       INTEGER NOT NULL,
	expires     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX searches_expire ON searches (expires);
CREATE INDEX searches_agreement ON searches (agreement, created);
`
