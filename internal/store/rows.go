package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// maxID bounds identifiers and fingerprints, in hexadecimal digits.
const maxID = 128

// checkID reports what is wrong with an identifier. Ids come from peers and
// terminals, and are compared as text.
func checkID(what, id string) error {
	if id == "" || len(id) > maxID {
		return fmt.Errorf("store: %s has %d characters, want 1 to %d", what, len(id), maxID)
	}
	if !isHex(id) {
		return fmt.Errorf("store: %s is not lower-case hexadecimal", what)
	}
	return nil
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// short shows enough of an id for a message.
func short(id string) string {
	if len(id) > 16 {
		return id[:16]
	}
	return id
}

// millis and timeOf convert times; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// timeVar scans a column of milliseconds into a time.
type timeVar struct{ t *time.Time }

func (v timeVar) Scan(src any) error {
	ms, ok := src.(int64)
	if !ok {
		return fmt.Errorf("got %T for a time", src)
	}
	*v.t = timeOf(ms)
	return nil
}

// listVar scans a column holding a JSON list of strings.
type listVar struct{ l *[]string }

func (v listVar) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("got %T for a list", src)
	}
	return json.Unmarshal([]byte(s), v.l)
}

func listOf(l []string) (string, error) {
	if len(l) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(l)
	return string(b), err
}

// collect reads all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// list runs a query and reads all its rows.
func list[T any](r Reader, what string, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := r.q.Query(query, args...)
	if err != nil {
		return nil, wrap(what, err)
	}
	out, err := collect(rows, scan)
	return out, wrap(what, err)
}

// one runs a query and reads its single row; none is ErrNotFound.
func one[T any](r Reader, what string, scan func(*sql.Rows) (T, error), query string, args ...any) (T, error) {
	var zero T
	all, err := list(r, what, scan, query, args...)
	if err != nil {
		return zero, err
	}
	if len(all) == 0 {
		return zero, wrap(what, ErrNotFound)
	}
	return all[0], nil
}

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(what, query string, args ...any) (int64, error) {
	if tx.failed != nil {
		return 0, tx.failed
	}
	res, err := tx.tx.Exec(query, args...)
	if err != nil {
		return 0, tx.fail(what, err)
	}
	n, err := res.RowsAffected()
	return n, wrap(what, err)
}

// fail notes that the database refused a change, after which there are no more
// in this transaction.
func (tx *Tx) fail(what string, err error) error {
	tx.failed = wrap(what, err)
	return tx.failed
}

// execOne is exec for a statement that must change a row.
func (tx *Tx) execOne(what, query string, args ...any) error {
	n, err := tx.exec(what, query, args...)
	if err == nil && n == 0 {
		err = wrap(what, ErrNotFound)
	}
	return err
}

// wrap says what failed; nil stays nil.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return fmt.Errorf("store: %s: %w", what, mapError(err))
}

// exists reports whether the query gives a row.
func (r Reader) exists(what, query string, args ...any) (bool, error) {
	var n int
	err := r.q.QueryRow("SELECT EXISTS ("+query+")", args...).Scan(&n)
	return n == 1, wrap(what, err)
}
