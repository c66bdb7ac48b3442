package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The rows of the audit log. What they mean, and whether they are true, is
// internal/audit's to know: a tree is a name, leaves and stored hashes are
// numbered from 0, and a head is a signed size and root.

// hashBatch bounds the placeholders of one query for hashes.
const hashBatch = 256

// LogTrees returns the names of the trees that have leaves.
func (r Reader) LogTrees() ([]string, error) {
	return list(r, "log trees", func(rows *sql.Rows) (t string, err error) {
		return t, rows.Scan(&t)
	}, `SELECT DISTINCT tree FROM log_leaves ORDER BY tree`)
}

// LogSize returns the number of leaves of a tree, 0 for an unknown one.
func (r Reader) LogSize(tree string) (int64, error) {
	var n int64
	err := r.q.QueryRow(`SELECT coalesce(max(n) + 1, 0) FROM log_leaves WHERE tree = ?`, tree).Scan(&n)
	return n, wrap("log size", err)
}

// LogHashes returns the stored hashes with these numbers, in their order. A
// missing one is ErrNotFound.
func (r Reader) LogHashes(tree string, numbers []int64) ([][]byte, error) {
	found := make(map[int64][]byte, len(numbers))
	for rest := numbers; len(rest) > 0; {
		batch := rest[:min(len(rest), hashBatch)]
		rest = rest[len(batch):]
		args := make([]any, 0, 1+len(batch))
		args = append(args, tree)
		for _, n := range batch {
			args = append(args, n)
		}
		rows, err := r.q.Query(`SELECT n, hash FROM log_hashes WHERE tree = ? AND n IN (?`+
			strings.Repeat(", ?", len(batch)-1)+`)`, args...)
		if err != nil {
			return nil, wrap("log hashes", err)
		}
		_, err = collect(rows, func(rows *sql.Rows) (n int64, err error) {
			var hash []byte
			err = rows.Scan(&n, &hash)
			found[n] = hash
			return n, err
		})
		if err != nil {
			return nil, wrap("log hashes", err)
		}
	}
	out := make([][]byte, len(numbers))
	for i, n := range numbers {
		hash, ok := found[n]
		if !ok {
			return nil, fmt.Errorf("store: log %s: hash %d: %w", short(tree), n, ErrNotFound)
		}
		out[i] = hash
	}
	return out, nil
}

// ScanLogHashes calls fn with every stored hash of a tree, in order of their
// numbers.
func (r Reader) ScanLogHashes(tree string, fn func(n int64, hash []byte) error) error {
	return r.scan("log hashes", func(rows *sql.Rows) error {
		var n int64
		var hash []byte
		if err := rows.Scan(&n, &hash); err != nil {
			return err
		}
		return fn(n, hash)
	}, `SELECT n, hash FROM log_hashes WHERE tree = ? ORDER BY n`, tree)
}

// ScanLog calls fn with the leaves from number from up to, but not including,
// number to. Salt and entry of an erased leaf are nil.
func (r Reader) ScanLog(tree string, from, to int64, fn func(n int64, leaf, salt, entry []byte, expires time.Time) error) error {
	return r.scan("log leaves", func(rows *sql.Rows) error {
		var n int64
		var leaf, salt, entry []byte
		var expires time.Time
		if err := rows.Scan(&n, &leaf, &salt, &entry, timeVar{&expires}); err != nil {
			return err
		}
		return fn(n, leaf, salt, entry, expires)
	}, `SELECT n, leaf, salt, entry, expires FROM log_leaves WHERE tree = ? AND n >= ? AND n < ? ORDER BY n`, tree, from, to)
}

// ScanLogHeads calls fn with the heads of our own tree, or those the peer
// showed us of its own, by size.
func (r Reader) ScanLogHeads(tree string, own bool, fn func(size int64, root, note []byte, countersigned bool) error) error {
	return r.scan("log heads", func(rows *sql.Rows) error {
		var size int64
		var root, note []byte
		var countersigned bool
		if err := rows.Scan(&size, &root, &note, &countersigned); err != nil {
			return err
		}
		return fn(size, root, note, countersigned)
	}, `SELECT size, root, note, countersigned FROM log_heads WHERE tree = ? AND own = ? ORDER BY size`, tree, own)
}

// LastLogHead returns the largest head, of those with the other side's
// signature if countersigned is set. A size of -1 means that there is none.
func (r Reader) LastLogHead(tree string, own, countersigned bool) (size int64, root, note []byte, err error) {
	err = r.q.QueryRow(`SELECT size, root, note FROM log_heads WHERE tree = ? AND own = ? AND countersigned >= ?
		ORDER BY size DESC LIMIT 1`, tree, own, countersigned).Scan(&size, &root, &note)
	if errors.Is(err, sql.ErrNoRows) {
		return -1, nil, nil, nil
	}
	return size, root, note, wrap("log head", err)
}

// scan calls fn for every row.
func (r Reader) scan(what string, fn func(*sql.Rows) error, query string, args ...any) error {
	rows, err := r.q.Query(query, args...)
	if err != nil {
		return wrap(what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return wrap(what, rows.Err())
}

// AppendLogLeaf appends leaf number n, which must be the tree's size
// (ErrConflict), and the stored hashes from number first on.
func (tx *Tx) AppendLogLeaf(tree string, n int64, leaf, salt, entry []byte, expires time.Time, first int64, hashes [][]byte) error {
	what := fmt.Sprintf("leaf %d of log %s", n, short(tree))
	size, err := tx.LogSize(tree)
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("store: %s: the log has %d leaves: %w", what, size, ErrConflict)
	}
	_, err = tx.exec(what, `INSERT INTO log_leaves (tree, n, leaf, salt, entry, expires) VALUES (?, ?, ?, ?, ?, ?)`,
		tree, n, leaf, salt, entry, millis(expires))
	if err != nil {
		return err
	}
	for i, hash := range hashes {
		if _, err := tx.exec(what, `INSERT INTO log_hashes (tree, n, hash) VALUES (?, ?, ?)`,
			tree, first+int64(i), hash); err != nil {
			return err
		}
	}
	return nil
}

// PutLogHead stores a head. A second head of the same size replaces the first
// if it has the same root, and doesn't take a countersignature away;
// otherwise it is ErrConflict.
func (tx *Tx) PutLogHead(tree string, own bool, size int64, root, note []byte, countersigned bool) error {
	what := fmt.Sprintf("head %d of log %s", size, short(tree))
	_, err := tx.exec(what, `INSERT INTO log_heads (tree, own, size, root, note, countersigned) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (tree, own, size) DO UPDATE SET note = excluded.note, countersigned = excluded.countersigned
		WHERE root = excluded.root AND countersigned <= excluded.countersigned`, tree, own, size, root, note, countersigned)
	if err != nil {
		return err
	}
	differs, err := tx.exists(what, `SELECT 1 FROM log_heads WHERE tree = ? AND own = ? AND size = ? AND root <> ?`,
		tree, own, size, root)
	if err == nil && differs {
		err = wrap(what, ErrConflict)
	}
	return err
}

// EraseLogEntries deletes entries and salts whose retention has ended, in all
// trees, and returns how many; the leaves stay. The bytes are overwritten in
// the database and its write-ahead log before it returns.
func (s *Store) EraseLogEntries(now time.Time) (int64, error) {
	return s.expire(func(tx *Tx) (int64, error) {
		return tx.exec("erasing log entries", `UPDATE log_leaves SET salt = NULL, entry = NULL
			WHERE expires > 0 AND expires <= ? AND entry IS NOT NULL`, millis(now))
	})
}
