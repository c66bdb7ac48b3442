package store

import (
	"database/sql"
	"fmt"
)

// applicationID marks the file as ours ("Symb"), so that another program's
// database is not taken for an empty one.
const applicationID = 0x53796d62

// migrations bring a database from version i to i+1. They are only ever
// appended to: a database in the field has run the old text.
var migrations = []string{schema1, schema2, schema3, schema4}

// schema2 keeps how much a hit says, for those who review hits.
const schema2 = `ALTER TABLE hits ADD COLUMN bits REAL NOT NULL DEFAULT 0`

// schema3 holds what lookups need: what they have used of a budget, the
// filters published and fetched, and the standing lists.
const schema3 = `
-- Evaluations are counted by minute, and the last of them by second too. An
-- evaluation counts until a day, or a minute, after the end of its bucket.
CREATE TABLE evaluation_minutes (
	peer_root TEXT NOT NULL REFERENCES peers (root),
	agreement TEXT NOT NULL,
	minute    INTEGER NOT NULL,
	items_in  INTEGER NOT NULL CHECK (items_in >= 0),
	items_out INTEGER NOT NULL CHECK (items_out >= 0),
	PRIMARY KEY (peer_root, agreement, minute)
) STRICT, WITHOUT ROWID;

CREATE TABLE evaluation_seconds (
	peer_root TEXT NOT NULL REFERENCES peers (root),
	agreement TEXT NOT NULL,
	second    INTEGER NOT NULL,
	items_in  INTEGER NOT NULL CHECK (items_in >= 0),
	PRIMARY KEY (peer_root, agreement, second)
) STRICT, WITHOUT ROWID;

-- The sum of the minutes from since on, so that a request need not add up a day.
CREATE TABLE evaluation_sums (
	peer_root TEXT NOT NULL REFERENCES peers (root),
	agreement TEXT NOT NULL,
	since     INTEGER NOT NULL,
	items_in  INTEGER NOT NULL CHECK (items_in >= 0),
	items_out INTEGER NOT NULL CHECK (items_out >= 0),
	newest    INTEGER NOT NULL,
	PRIMARY KEY (peer_root, agreement)
) STRICT, WITHOUT ROWID;

CREATE TABLE epochs (
	agreement     TEXT NOT NULL REFERENCES agreements (id),
	epoch         INTEGER NOT NULL,
	state         TEXT NOT NULL,
	public_key    BLOB NOT NULL,
	began         INTEGER NOT NULL,
	ends          INTEGER NOT NULL,
	answers_until INTEGER NOT NULL,
	PRIMARY KEY (agreement, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE publications (
	agreement TEXT NOT NULL,
	epoch     INTEGER NOT NULL,
	serial    INTEGER NOT NULL,
	manifest  BLOB NOT NULL,
	signature BLOB NOT NULL,
	detail    TEXT NOT NULL,
	created   INTEGER NOT NULL,
	PRIMARY KEY (agreement, epoch, serial),
	FOREIGN KEY (agreement, epoch) REFERENCES epochs (agreement, epoch)
) STRICT, WITHOUT ROWID;

-- The last version of the peer's filter that was fetched: none before it is
-- taken any more.
CREATE TABLE filters_seen (
	agreement TEXT PRIMARY KEY REFERENCES agreements (id),
	epoch     INTEGER NOT NULL,
	serial    INTEGER NOT NULL,
	hash      BLOB NOT NULL,
	manifest  BLOB NOT NULL,
	signature BLOB NOT NULL,
	at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE standing_lists (
	id          TEXT PRIMARY KEY,
	name        TEXT NOT NULL,
	agreement   TEXT NOT NULL REFERENCES agreements (id),
	data        TEXT NOT NULL,
	mapping     TEXT NOT NULL,
	on_bad_row  TEXT NOT NULL,
	user        TEXT NOT NULL,
	purpose     TEXT NOT NULL,
	case_number TEXT NOT NULL,
	created     INTEGER NOT NULL,
	ended       INTEGER NOT NULL,
	epoch       INTEGER NOT NULL,
	serial      INTEGER NOT NULL,
	records     INTEGER NOT NULL,
	evaluations INTEGER NOT NULL,
	last_run    INTEGER NOT NULL,
	last_error  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE standing_hits (
	list     TEXT NOT NULL REFERENCES standing_lists (id) ON DELETE CASCADE,
	digest   BLOB NOT NULL,
	n        INTEGER NOT NULL,
	local_id TEXT NOT NULL,
	hit      BLOB,
	epoch    INTEGER NOT NULL,
	serial   INTEGER NOT NULL,
	found    INTEGER NOT NULL,
	expires  INTEGER NOT NULL,
	PRIMARY KEY (list, digest)
) STRICT, WITHOUT ROWID;

-- The filter version for which a peer's standing list was charged last.
CREATE TABLE standing_charged (
	agreement TEXT NOT NULL REFERENCES agreements (id),
	list      TEXT NOT NULL,
	epoch     INTEGER NOT NULL,
	serial    INTEGER NOT NULL,
	PRIMARY KEY (agreement, list)
) STRICT, WITHOUT ROWID;
`

const schema1 = `
CREATE TABLE own_identities (
	fingerprint TEXT PRIMARY KEY,
	identity    BLOB NOT NULL,
	added       INTEGER NOT NULL
) STRICT;

CREATE TABLE peers (
	root        TEXT PRIMARY KEY,
	fingerprint TEXT NOT NULL UNIQUE,
	name        TEXT NOT NULL UNIQUE,
	identity    BLOB NOT NULL,
	address     TEXT NOT NULL,
	status      TEXT NOT NULL,
	added       INTEGER NOT NULL,
	changed     INTEGER NOT NULL
) STRICT;

CREATE TABLE peer_pins (
	fingerprint TEXT PRIMARY KEY,
	root        TEXT NOT NULL REFERENCES peers (root),
	identity    BLOB NOT NULL,
	added       INTEGER NOT NULL
) STRICT;
CREATE INDEX peer_pins_root ON peer_pins (root, added);

CREATE TABLE users (
	name       TEXT PRIMARY KEY,
	public_key BLOB NOT NULL UNIQUE,
	status     TEXT NOT NULL,
	added      INTEGER NOT NULL,
	revoked    INTEGER NOT NULL
) STRICT;

CREATE TABLE agreements (
	id        TEXT PRIMARY KEY,
	peer_root TEXT NOT NULL REFERENCES peers (root),
	document  BLOB NOT NULL,
	state     TEXT NOT NULL,
	changed   INTEGER NOT NULL
) STRICT;

CREATE TABLE suspensions (
	agreement TEXT NOT NULL REFERENCES agreements (id),
	by        TEXT NOT NULL,
	reason    TEXT NOT NULL,
	at        INTEGER NOT NULL,
	PRIMARY KEY (agreement, by)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
	id              TEXT PRIMARY KEY,
	agreement       TEXT NOT NULL REFERENCES agreements (id),
	peer_root       TEXT NOT NULL REFERENCES peers (root),
	role            TEXT NOT NULL,
	mode            TEXT NOT NULL,
	state           TEXT NOT NULL,
	local           INTEGER NOT NULL,
	user            TEXT NOT NULL,
	purpose         TEXT NOT NULL,
	case_number     TEXT NOT NULL,
	proposal        BLOB,
	own_size        INTEGER NOT NULL,
	peer_size       INTEGER NOT NULL,
	commitment      BLOB,
	peer_commitment BLOB,
	sealed_seed     BLOB,
	attempts        INTEGER NOT NULL,
	source          TEXT NOT NULL,
	created         INTEGER NOT NULL,
	changed         INTEGER NOT NULL,
	transcript_hash BLOB,
	outcome         TEXT NOT NULL,
	detail          TEXT NOT NULL,
	count           INTEGER NOT NULL,
	results_expire  INTEGER NOT NULL,
	results_expired INTEGER NOT NULL,
	record_expires  INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_created ON sessions (created);
CREATE INDEX sessions_agreement ON sessions (agreement, created);
CREATE INDEX sessions_peer ON sessions (peer_root, created);
CREATE INDEX sessions_state ON sessions (state);

CREATE TABLE approvals (
	session    TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	user       TEXT NOT NULL REFERENCES users (name),
	public_key BLOB NOT NULL,
	signature  BLOB NOT NULL,
	at         INTEGER NOT NULL,
	PRIMARY KEY (session, user),
	UNIQUE (session, public_key)
) STRICT, WITHOUT ROWID;

-- What a session has of its finished shards, sealed by the caller, until it ends.
CREATE TABLE shards (
	session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	n       INTEGER NOT NULL,
	data    BLOB NOT NULL,
	PRIMARY KEY (session, n)
) STRICT, WITHOUT ROWID;

-- A charge outlives its session: the budget counts it for a day.
CREATE TABLE charges (
	id        INTEGER PRIMARY KEY,
	peer_root TEXT NOT NULL REFERENCES peers (root),
	agreement TEXT NOT NULL,
	session   TEXT NOT NULL,
	attempt   INTEGER NOT NULL,
	at        INTEGER NOT NULL,
	items_in  INTEGER NOT NULL CHECK (items_in >= 0),
	items_out INTEGER NOT NULL CHECK (items_out >= 0)
) STRICT;
CREATE INDEX charges_peer ON charges (peer_root, at);
CREATE INDEX charges_at ON charges (at);

CREATE TABLE hits (
	session        TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	n              INTEGER NOT NULL,
	local_id       TEXT NOT NULL,
	rules          TEXT NOT NULL,
	peer_reference BLOB,
	flags          TEXT NOT NULL,
	PRIMARY KEY (session, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_leaves (
	tree    TEXT NOT NULL,
	n       INTEGER NOT NULL,
	leaf    BLOB NOT NULL,
	salt    BLOB,
	entry   BLOB,
	expires INTEGER NOT NULL,
	PRIMARY KEY (tree, n)
) STRICT;
CREATE INDEX log_leaves_expires ON log_leaves (expires) WHERE entry IS NOT NULL AND expires > 0;

CREATE TABLE log_hashes (
	tree TEXT NOT NULL,
	n    INTEGER NOT NULL,
	hash BLOB NOT NULL,
	PRIMARY KEY (tree, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_heads (
	tree          TEXT NOT NULL,
	own           INTEGER NOT NULL,
	size          INTEGER NOT NULL,
	root          BLOB NOT NULL,
	note          BLOB NOT NULL,
	countersigned INTEGER NOT NULL,
	PRIMARY KEY (tree, own, size)
) STRICT;
`

// migrate runs the steps the database has not seen, each in a transaction of
// its own.
func migrate(db *sql.DB, steps []string) error {
	var app, version, tables int
	for _, q := range []struct {
		sql string
		to  *int
	}{
		{"PRAGMA application_id", &app},
		{"PRAGMA user_version", &version},
		{"SELECT count(*) FROM sqlite_schema", &tables},
	} {
		if err := db.QueryRow(q.sql).Scan(q.to); err != nil {
			return err
		}
	}
	fresh := app == 0 && version == 0 && tables == 0
	if app != applicationID && !fresh {
		return fmt.Errorf("%w: it belongs to another program", ErrCorrupt)
	}
	if version > len(steps) {
		return fmt.Errorf("%w: it has version %d, this program knows up to %d", ErrNewer, version, len(steps))
	}
	for ; version < len(steps); version++ {
		if err := step(db, steps[version], version+1); err != nil {
			return fmt.Errorf("migrating to version %d: %w", version+1, err)
		}
	}
	return nil
}

func step(db *sql.DB, text string, version int) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, s := range []string{
		text,
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", version),
	} {
		if _, err := tx.Exec(s); err != nil {
			return err
		}
	}
	return tx.Commit()
}
