// Package store is the node's own database: pinned peers, operators,
// agreements, sessions, the budget each peer has used, results until they
// expire, and the rows of the audit log. It holds plain types and decides
// nothing about keys or protocols.
//
// The database is one SQLite file in the node's directory, in WAL mode with
// synchronous=FULL: what Update has returned is on the disk, whatever happens
// to the process afterwards. A lock file keeps the store single-writer, so a
// second process gets ErrLocked instead of a share in it.
//
// Every change is a method of Tx and runs inside Update, so that a caller can
// write a session's result and the log entry about it in one transaction.
// Reads are methods of Reader, which Store and Tx both embed.
//
// Identifiers (agreements, sessions, fingerprints) are lower-case hexadecimal.
// Times have millisecond resolution and come back in UTC; the zero time means
// never. The package has no clock: callers pass the time.
package store

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The names of the files in the node's directory.
const (
	FileName = "symbolon.db"
	LockName = "symbolon.lock"
)

// Errors that tell the caller what to do next. They are wrapped with what was
// asked for.
var (
	// ErrLocked: another process holds the store.
	ErrLocked = errors.New("store is in use by another process")
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name or key is taken, now or in the past.
	ErrExists = errors.New("already exists")
	// ErrConflict: the row exists with other content.
	ErrConflict = errors.New("conflicts with what is stored")
	// ErrAmbiguous: a prefix fits several ids.
	ErrAmbiguous = errors.New("prefix is ambiguous")
	// ErrState: the row is not in a state that allows this change.
	ErrState = errors.New("wrong state")
	// ErrExpired: the results were deleted at the end of their retention.
	ErrExpired = errors.New("results have expired")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("store is closed")
	// ErrFull: the disk is full; the last committed state is intact.
	ErrFull = errors.New("disk is full")
	// ErrCorrupt: the file is damaged or is not a symbolon database.
	ErrCorrupt = errors.New("database is damaged")
	// ErrNewer: a newer version of symbolon wrote the database.
	ErrNewer = errors.New("database was written by a newer version of symbolon")
)

const (
	busyTimeout = 10 * time.Second
	// updateWait bounds the wait for another transaction; it is far above the
	// time that writing the largest result takes, and turns an Update inside
	// an Update into an error.
	updateWait = 2 * time.Minute
	readers    = 4
)

// Store is an open database. It is safe for concurrent use.
type Store struct {
	Reader
	read, write *sql.DB
	writer      chan struct{} // holds a token while nobody writes
	batch       batcher
	updateWait  time.Duration
	lock        *flock.Flock
	path        string
	closing     sync.Once
	done        chan struct{} // closed when Close begins
	closed      error
}

// Reader has the queries. Those of a Tx see the transaction's own changes.
type Reader struct{ q queryer }

type queryer interface {
	Query(query string, args ...any) (*sql.Rows, error)
	QueryRow(query string, args ...any) *sql.Row
}

// Tx is one read-write transaction. It is valid until the function given to
// Update returns, and in that function's goroutine only.
type Tx struct {
	Reader
	tx *sql.Tx
	// failed is the first error of a change. SQLite rolls back by itself on
	// some (full disk), and would commit what follows at once.
	failed error
}

// Open opens the store in dir, making directory (mode 0700) and database (mode
// 0600) where they don't exist, and migrates an older database. It returns
// ErrLocked while another process, or another Store, has it open.
func Open(dir string) (*Store, error) {
	return open(dir, options{migrations: migrations})
}

// options are what tests vary.
type options struct {
	migrations []string
	maxPages   int // 0: no bound
}

func open(dir string, o options) (_ *Store, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := &Store{path: filepath.Join(dir, FileName), updateWait: updateWait, writer: make(chan struct{}, 1),
		done: make(chan struct{})}
	s.writer <- struct{}{}
	if s.lock, err = takeLock(filepath.Join(dir, LockName)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := ensurePrivate(s.path); err != nil {
		return nil, err
	}
	if s.write, err = sql.Open("sqlite", dsn(s.path, false)); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s.write.SetMaxOpenConns(1)
	if err := s.prepare(o); err != nil {
		return nil, fmt.Errorf("store: opening %s: %w", s.path, mapError(err))
	}
	if s.read, err = sql.Open("sqlite", dsn(s.path, true)); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s.read.SetMaxOpenConns(readers)
	s.Reader = Reader{s.read}
	return s, nil
}

// takeLock locks the file and leaves the process id in it for whoever is
// refused.
func takeLock(path string) (*flock.Flock, error) {
	l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("store: locking: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("%w%s: %s", ErrLocked, lockOwner(path), path)
	}
	// The number only helps a reader of the message; the lock is the lock.
	_ = os.WriteFile(path, strconv.AppendInt(nil, int64(os.Getpid()), 10), 0o600)
	return l, nil
}

func lockOwner(path string) string {
	b, err := os.ReadFile(path)
	if err != nil || len(b) > 20 {
		return ""
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		return ""
	}
	return " (process " + strconv.Itoa(pid) + ")"
}

// ensurePrivate makes the database file with mode 0600, which SQLite copies to
// its write-ahead log, and refuses one that others may read.
func ensurePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("store: %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return fmt.Errorf("store: %s has mode %04o, want 0600: others could read it", path, mode)
	}
	return nil
}

func dsn(path string, readOnly bool) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/node becomes file:///C:/node
	}
	q := url.Values{
		"_busy_timeout": {strconv.FormatInt(busyTimeout.Milliseconds(), 10)},
		"_foreign_keys": {"on"},
		"_synchronous":  {"FULL"},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
		"_pragma": {
			"secure_delete(on)",   // what retention deletes is overwritten
			"temp_store(memory)",  // no sorted copy of results in /tmp
			"trusted_schema(off)", // the schema can't call out
			"cell_size_check(on)",
		},
	}
	if readOnly {
		q.Set("_query_only", "1")
	} else {
		q.Set("_journal_mode", "WAL")
		q.Set("_txlock", "immediate")
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// prepare checks the file and brings its schema up to date.
func (s *Store) prepare(o options) error {
	var mode string
	if err := s.write.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("journal mode is %q, want wal: is the directory on a network file system?", mode)
	}
	if o.maxPages > 0 {
		if _, err := s.write.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", o.maxPages)); err != nil {
			return err
		}
	}
	return migrate(s.write, o.migrations)
}

// Close waits for the running transaction, folds the write-ahead log into the
// database and gives the lock back. Closing again does nothing.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Store) close() error {
	close(s.done)
	var errs []error
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		<-s.writer // never returned: nobody writes to a closed store
		errs = append(errs, s.write.Close())
	}
	errs = append(errs, s.lock.Unlock())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("store: closing: %w", mapError(err))
	}
	return nil
}

// View runs fn over one consistent snapshot.
func (s *Store) View(fn func(r Reader) error) error {
	tx, err := s.read.Begin()
	if err != nil {
		return fmt.Errorf("store: %w", mapError(err))
	}
	defer tx.Rollback() // there is nothing to lose in a reader
	return fn(Reader{tx})
}

// Update runs fn in a transaction and commits it, on the disk, unless fn
// returns an error or panics, or the database refused one of its changes: then
// nothing of it remains. Transactions run one
// after the other, so fn does no waiting of its own and never calls Update of
// the same store.
func (s *Store) Update(fn func(tx *Tx) error) error {
	release, err := s.acquire()
	if err != nil {
		return err
	}
	defer release()
	tx, err := s.write.Begin()
	if err != nil {
		return fmt.Errorf("store: %w", mapError(err))
	}
	// After Commit this does nothing. SQLite may have rolled back by itself
	// (full disk), so its complaint about that is no news either.
	defer tx.Rollback()
	t := &Tx{Reader: Reader{tx}, tx: tx}
	if err := fn(t); err != nil {
		return mapError(err)
	}
	if t.failed != nil {
		return t.failed
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: committing: %w", mapError(err))
	}
	return nil
}

// Check has SQLite verify the whole file: pages, indexes and references. It
// reads everything, so it takes as long as a copy of the file.
func (s *Store) Check() error {
	rows, err := s.read.Query("PRAGMA integrity_check(5)")
	if err != nil {
		return fmt.Errorf("store: checking: %w", mapError(err))
	}
	faults, err := collect(rows, func(rows *sql.Rows) (msg string, err error) {
		return msg, rows.Scan(&msg)
	})
	if err != nil {
		return fmt.Errorf("store: checking: %w", mapError(err))
	}
	if len(faults) != 1 || faults[0] != "ok" {
		return fmt.Errorf("store: %w: %s", ErrCorrupt, strings.Join(faults, "; "))
	}
	var dangling int
	if err := s.read.QueryRow("SELECT count(*) FROM pragma_foreign_key_check").Scan(&dangling); err != nil {
		return fmt.Errorf("store: checking: %w", mapError(err))
	}
	if dangling > 0 {
		return fmt.Errorf("store: %w: %d rows refer to rows that don't exist", ErrCorrupt, dangling)
	}
	return nil
}

// scrub folds the write-ahead log into the database and empties it: deleted
// rows are overwritten in the database at once, but their old pages stay in
// the log until then. What the file system or the drive keeps of freed blocks
// is beyond us.
func (s *Store) scrub() error {
	var busy, pages, moved int
	if err := s.write.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil {
		return fmt.Errorf("store: emptying the write-ahead log: %w", mapError(err))
	}
	if busy != 0 {
		return errors.New("store: the write-ahead log still holds deleted rows, because a reader is at work: try again")
	}
	return nil
}

// mapError puts the sentinel that a caller can act on in front of SQLite's
// error. SQLite's own texts hold no values.
func mapError(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || errors.Is(err, ErrFull) || errors.Is(err, ErrCorrupt) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}
