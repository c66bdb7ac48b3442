package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var (
	t0    = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	peerA = strings.Repeat("a1", 32)
	peerB = strings.Repeat("b2", 32)
	agrA  = strings.Repeat("01", 32)
	agrA2 = strings.Repeat("02", 32)
	agrB  = strings.Repeat("03", 32)
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// seeded returns a store with two peers, three agreements and two users.
func seeded(t *testing.T) *Store {
	t.Helper()
	s := openStore(t, t.TempDir())
	seed(t, s)
	return s
}

func seed(t testing.TB, s *Store) {
	t.Helper()
	must(t, s.Update(func(tx *Tx) error {
		return errors.Join(
			tx.AddPeer(Peer{Fingerprint: peerA, Name: "south", Identity: []byte("A"), Address: "a:1", Added: t0}),
			tx.AddPeer(Peer{Fingerprint: peerB, Name: "west", Identity: []byte("B"), Added: t0}),
			tx.PutAgreement(Agreement{ID: agrA, PeerRoot: peerA, Document: []byte("one"), State: AgreementInForce, Changed: t0}),
			tx.PutAgreement(Agreement{ID: agrA2, PeerRoot: peerA, Document: []byte("two"), State: AgreementInForce, Changed: t0}),
			tx.PutAgreement(Agreement{ID: agrB, PeerRoot: peerB, Document: []byte("three"), State: AgreementInForce, Changed: t0}),
			tx.AddUser(User{Name: "ana", PublicKey: []byte("ka"), Added: t0}),
			tx.AddUser(User{Name: "ben", PublicKey: []byte("kb"), Added: t0}),
		)
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErr fails unless err is want and its text holds all parts.
func wantErr(t testing.TB, err, want error, parts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not mention %q", err, p)
		}
	}
}

func sid(n int) string { return fmt.Sprintf("%064x", n) }

func newSession(t testing.TB, s *Store, id, agreement, peer, state string) {
	t.Helper()
	must(t, s.Update(func(tx *Tx) error {
		return tx.CreateSession(Session{ID: id, Agreement: agreement, PeerRoot: peer, Role: "receiver",
			Mode: "mutual", State: state, Created: t0, SealedSeed: []byte("sealed-seed")})
	}))
}

func TestOpenMakesPrivateFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no file modes on Windows")
	}
	dir := filepath.Join(t.TempDir(), "a dir with % and ? and #", "node")
	s := openStore(t, dir)
	seed(t, s)
	var seen int
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	}))
	if seen < 4 { // directory, lock, database, write-ahead log
		t.Errorf("found %d files, want at least 4: is the database elsewhere?", seen)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	write := func(content string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte(content), mode))
			must(t, os.Chmod(path, mode))
		}
	}
	for name, tt := range map[string]struct {
		make func(*testing.T, string)
		want error
		text string
	}{
		"readable by others":  {write("", 0o644), nil, "mode 0644"},
		"not a database":      {write(strings.Repeat("no database ", 1000), 0o600), ErrCorrupt, ""},
		"directory":           {func(t *testing.T, p string) { must(t, os.Mkdir(p, 0o700)) }, nil, "not a regular file"},
		"foreign database":    {withSQL("CREATE TABLE x (y)"), ErrCorrupt, "another program"},
		"newer schema":        {withSQL("PRAGMA application_id = 1400466786; PRAGMA user_version = 99"), ErrNewer, "version 99"},
		"foreign application": {withSQL("PRAGMA application_id = 7"), ErrCorrupt, "another program"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" && name == "readable by others" {
				t.Skip("no file modes on Windows")
			}
			dir := t.TempDir()
			tt.make(t, filepath.Join(dir, FileName))
			s, err := Open(dir)
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got error %v, want %v with %q", err, tt.want, tt.text)
			}
			// A refusal leaves no lock behind.
			must(t, os.RemoveAll(filepath.Join(dir, FileName)))
			openStore(t, dir)
		})
	}
}

// withSQL makes a database file by raw SQL.
func withSQL(text string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		s, err := open(filepath.Dir(path), options{migrations: nil})
		must(t, err)
		_, err = s.write.Exec(text)
		must(t, err)
		must(t, s.Close())
	}
}

func TestMigration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	seed(t, s)
	must(t, s.Close())

	n := len(migrations)
	broken := append(migrations[:n:n], `ALTER TABLE users ADD COLUMN shift TEXT; CREATE TABLE oops (`)
	if _, err := open(dir, options{migrations: broken}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("version %d", n+1)) {
		t.Fatalf("a broken migration gives %v", err)
	}
	newer := append(migrations[:n:n], `ALTER TABLE users ADD COLUMN shift TEXT NOT NULL DEFAULT 'day'`)
	s, err := open(dir, options{migrations: newer})
	must(t, err)
	var shift string
	must(t, s.write.QueryRow(`SELECT shift FROM users WHERE name = 'ana'`).Scan(&shift))
	if shift != "day" {
		t.Errorf("the migrated column holds %q", shift)
	}
	must(t, s.Close())
	_, err = Open(dir)
	wantErr(t, err, ErrNewer)
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	boom := errors.New("boom")
	add := func(tx *Tx, name string) error {
		return tx.AddUser(User{Name: name, PublicKey: []byte(name)})
	}
	wantErr(t, s.Update(func(tx *Tx) error {
		must(t, add(tx, "carl"))
		if _, err := tx.User("carl"); err != nil {
			t.Errorf("a transaction does not see its own change: %v", err)
		}
		if _, err := s.User("carl"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a reader sees a change that is not committed: %v", err)
		}
		return boom
	}), boom)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Update swallows a panic")
			}
		}()
		s.Update(func(tx *Tx) error {
			must(t, add(tx, "carl"))
			panic("boom")
		})
	}()
	_, err := s.User("carl")
	wantErr(t, err, ErrNotFound, `"carl"`)
	must(t, s.Update(func(tx *Tx) error { return add(tx, "carl") }))
	_, err = s.User("carl")
	must(t, err)
}

func TestUpdateInsideUpdateFails(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	s.updateWait = 20 * time.Millisecond
	err := s.Update(func(*Tx) error {
		return s.Update(func(*Tx) error { return nil })
	})
	if err == nil || !strings.Contains(err.Error(), "another transaction") {
		t.Fatalf("got error %v", err)
	}
	must(t, s.Update(func(*Tx) error { return nil }))
}

// TestSwallowedFailure: a change that the database refused takes the whole
// transaction with it, even if the caller ignores it. On a full disk SQLite has
// then rolled back, and would commit every later change by itself.
func TestSwallowedFailure(t *testing.T) {
	t.Parallel()
	s, err := open(t.TempDir(), options{migrations: migrations, maxPages: 120})
	must(t, err)
	defer s.Close()
	seed(t, s)
	wantErr(t, s.Update(func(tx *Tx) error {
		must(t, tx.RevokeUser("ana", t0))
		tx.AppendLogLeaf("big", 0, []byte("leaf"), nil, make([]byte, 1<<20), t0, 0, nil)
		wantErr(t, tx.RevokeUser("ben", t0), ErrFull)
		return nil
	}), ErrFull)
	for _, name := range []string{"ana", "ben"} {
		if u, err := s.User(name); err != nil || u.Status != StatusActive {
			t.Errorf("user %s is %s, %v", name, u.Status, err)
		}
	}
}

func TestClosedStore(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	must(t, s.Close())
	wantErr(t, s.Update(func(*Tx) error { return nil }), ErrClosed)
	if _, err := s.Users(); err == nil {
		t.Error("a closed store answers")
	}
}

func TestViewIsOneSnapshot(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	must(t, s.View(func(r Reader) error {
		before, err := r.Users()
		must(t, err)
		must(t, s.Update(func(tx *Tx) error { return tx.AddUser(User{Name: "carl", PublicKey: []byte("kc")}) }))
		after, err := r.Users()
		must(t, err)
		if len(before) != len(after) {
			t.Errorf("a view saw %d users, then %d", len(before), len(after))
		}
		return nil
	}))
}

func TestReadersCannotWrite(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	if _, err := s.read.Exec(`DELETE FROM users`); err == nil {
		t.Fatal("a reader deleted rows")
	}
}

func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	seed(t, s)
	must(t, s.Update(func(tx *Tx) error {
		for i := range 200 {
			if err := tx.AddUser(User{Name: fmt.Sprint("user", i), PublicKey: []byte(fmt.Sprint("key", i))}); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, s.Check())
	must(t, s.Close())

	path := filepath.Join(dir, FileName)
	b, err := os.ReadFile(path)
	must(t, err)
	at := bytes.LastIndex(b, []byte("user150"))
	copy(b[at:], "user999") // the index now disagrees with the table
	must(t, os.WriteFile(path, b, 0o600))
	s = openStore(t, dir)
	wantErr(t, s.Check(), ErrCorrupt)
}

func TestErrorsHoldNoValues(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	err := s.Update(func(tx *Tx) error {
		if _, err := tx.BeginAttempt(sid(1), 0, Charge{At: t0}, anyLimits); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(`CREATE TEMP TRIGGER no BEFORE INSERT ON hits BEGIN SELECT RAISE(FAIL, 'no'); END`); err != nil {
			return err
		}
		return tx.FinishSession(sid(1), Finish{At: t0}, []Hit{{LocalID: "person-4711", PeerReference: []byte("case-0815")}})
	})
	if err == nil || strings.Contains(err.Error(), "4711") || strings.Contains(err.Error(), "0815") {
		t.Fatalf("got error %v", err)
	}
}
