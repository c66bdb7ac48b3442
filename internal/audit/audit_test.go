package audit_test

import (
	"bufio"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
)

// The store is what the log is written against.
var (
	_ audit.Reader = (*store.Store)(nil)
	_ audit.Writer = (*store.Tx)(nil)
)

var (
	t0        = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	agreement = strings.Repeat("01", 32)
	never     time.Time
)

// node is one agency with a real store.
type node struct {
	*store.Store
	dir      string
	tree     audit.Tree
	signer   note.Signer
	verifier note.Verifier
	former   []note.Verifier // the newest first
}

// rotate gives the node a new key.
func (n *node) rotate(t testing.TB) {
	t.Helper()
	n.former = n.verifiers()
	n.signer, n.verifier = newKey(t, n.verifier.Name())
}

func (n *node) verifiers() []note.Verifier { return append([]note.Verifier{n.verifier}, n.former...) }

// agencies returns two nodes with an agreement.
func agencies(t testing.TB) (north, south *node) {
	t.Helper()
	roots := [2]string{strings.Repeat("aa", 32), strings.Repeat("bb", 32)}
	var nodes [2]*node
	for i, name := range []string{"north", "south"} {
		n := &node{dir: t.TempDir(), tree: audit.Tree{Agreement: agreement, Own: roots[i], Peer: roots[1-i]}}
		n.signer, n.verifier = newKey(t, name)
		n.open(t)
		nodes[i] = n
	}
	return nodes[0], nodes[1]
}

func newKey(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	must(t, err)
	s, err := note.NewSigner(skey)
	must(t, err)
	v, err := note.NewVerifier(vkey)
	must(t, err)
	return s, v
}

func (n *node) open(t testing.TB) {
	t.Helper()
	s, err := store.Open(n.dir)
	must(t, err)
	n.Store = s
	t.Cleanup(func() { s.Close() })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

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

func entry(i int) audit.Entry {
	return audit.Entry{Time: t0.Add(time.Duration(i) * time.Hour), Event: "finished", User: "ana", Session: fmt.Sprintf("%04x", i),
		Case: "case-" + strconv.Itoa(i%3), Hits: new(int64(i)), References: []string{"local-" + strconv.Itoa(i), "<b>&\u2028"}}
}

// append adds count entries, numbered from the log's size, that expire at the
// given time.
func (n *node) append(t testing.TB, count int, expires time.Time) {
	t.Helper()
	for range count {
		must(t, n.Update(func(tx *store.Tx) error {
			size, err := tx.LogSize(n.tree.Agreement)
			if err != nil {
				return err
			}
			i, err := n.tree.Append(tx, rand.Reader, entry(int(size)), expires)
			if i != size {
				t.Errorf("entry %d has number %d", size, i)
			}
			return err
		}))
	}
}

// signHead returns the node's signed head, with the proof that a peer who knows
// size old needs.
func (n *node) signHead(t testing.TB, old int64) (head []byte, proof [][]byte) {
	t.Helper()
	must(t, n.Update(func(tx *store.Tx) (err error) {
		if head, err = n.tree.SignHead(tx, n.signer); err != nil {
			return err
		}
		h, err := n.tree.Head(tx)
		if err != nil {
			return err
		}
		proof, err = n.tree.ConsistencyProof(tx, old, h.Size)
		return err
	}))
	return head, proof
}

func (n *node) countersign(peer *node, head []byte, proof [][]byte) (both []byte, err error) {
	err = n.Update(func(tx *store.Tx) (err error) {
		both, err = n.tree.Countersign(tx, head, proof, peer.verifier, n.signer)
		return err
	})
	return both, err
}

func (n *node) accept(peer *node, both []byte) error {
	return n.Update(func(tx *store.Tx) error {
		return n.tree.AcceptCountersignature(tx, both, n.verifier, peer.verifier)
	})
}

// exchange shows n's head to the peer and takes it back.
func (n *node) exchange(t testing.TB, peer *node) {
	t.Helper()
	known, err := peer.tree.PeerHead(peer)
	must(t, err)
	head, proof := n.signHead(t, known.Size)
	both, err := peer.countersign(n, head, proof)
	must(t, err)
	must(t, n.accept(peer, both))
}

func (n *node) verify(peer *node, now time.Time) (rep audit.Report, err error) {
	err = n.View(func(r store.Reader) (err error) {
		rep, err = n.tree.VerifyLog(r, now, n.verifiers(), peer.verifiers())
		return err
	})
	return rep, err
}

func TestLogGrowsAndVerifies(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	for size := range 20 {
		rep, err := north.verify(south, t0)
		must(t, err)
		signed := int64(size - size%3)
		if size < 3 {
			signed = -1
		}
		if rep.Size != int64(size) || rep.Entries != int64(size) || rep.Erased != 0 || rep.Signed != signed || rep.Countersigned != signed {
			t.Errorf("size %d: report is %+v", size, rep)
		}
		north.append(t, 1, never)
		if (size+1)%3 == 0 {
			north.exchange(t, south)
		}
	}
	rep, err := south.verify(north, t0)
	must(t, err)
	if rep.PeerSize != 18 || rep.Size != 0 {
		t.Errorf("south reports %+v", rep)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	north, _ := agencies(t)
	north.append(t, 6, never)
	for name, tt := range map[string]struct {
		f    audit.Filter
		want []int64
	}{
		"all":       {audit.Filter{}, []int64{0, 1, 2, 3, 4, 5}},
		"case":      {audit.Filter{Case: "case-1"}, []int64{1, 4}},
		"session":   {audit.Filter{Session: "0003"}, []int64{3}},
		"time":      {audit.Filter{Since: t0.Add(2 * time.Hour), Until: t0.Add(4 * time.Hour)}, []int64{2, 3}},
		"user":      {audit.Filter{User: "ben"}, nil},
		"event":     {audit.Filter{Event: "finished", Case: "case-0"}, []int64{0, 3}},
		"all of it": {audit.Filter{Session: "0003", Case: "case-1"}, nil},
	} {
		got, err := north.tree.List(north, tt.f)
		must(t, err)
		var numbers []int64
		for _, r := range got {
			numbers = append(numbers, r.Index)
			want := entry(int(r.Index))
			want.Version, want.Agreement = 1, agreement
			if !reflect.DeepEqual(r.Entry, want) {
				t.Errorf("%s: got %+v, want %+v", name, r.Entry, want)
			}
		}
		if !reflect.DeepEqual(numbers, tt.want) {
			t.Errorf("%s: got %v, want %v", name, numbers, tt.want)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	north, _ := agencies(t)
	good := audit.Entry{Time: t0, Event: "x"}
	for name, tt := range map[string]struct {
		tree audit.Tree
		e    audit.Entry
		rand string
	}{
		"no event":      {north.tree, audit.Entry{Time: t0}, strings.Repeat("r", 32)},
		"no time":       {north.tree, audit.Entry{Event: "x"}, strings.Repeat("r", 32)},
		"no randomness": {north.tree, good, "short"},
		"bad tree":      {audit.Tree{Agreement: "a\nb", Own: "aa", Peer: "bb"}, good, strings.Repeat("r", 32)},
		"own peer":      {audit.Tree{Agreement: "a", Own: "aa", Peer: "aa"}, good, strings.Repeat("r", 32)},
	} {
		err := north.Update(func(tx *store.Tx) error {
			_, err := tt.tree.Append(tx, strings.NewReader(tt.rand), tt.e, never)
			return err
		})
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if size, err := north.LogSize(agreement); size != 0 || err != nil {
		t.Errorf("%d entries, %v", size, err)
	}
}

// TestSaltsDiffer: equal entries give different leaves, or the leaf of an
// erased entry could be guessed.
func TestSaltsDiffer(t *testing.T) {
	t.Parallel()
	north, _ := agencies(t)
	leaves := map[string]bool{}
	for range 4 {
		must(t, north.Update(func(tx *store.Tx) error {
			_, err := north.tree.Append(tx, rand.Reader, entry(0), never)
			return err
		}))
	}
	must(t, north.ScanLog(agreement, 0, 4, func(_ int64, leaf, salt, _ []byte, _ time.Time) error {
		leaves[string(leaf)], leaves[string(salt)] = true, true
		return nil
	}))
	if len(leaves) != 8 {
		t.Errorf("%d different leaves and salts, want 8", len(leaves))
	}
}

// insider changes the database behind the node's back.
func (n *node) insider(t *testing.T, statement string) {
	t.Helper()
	must(t, n.Close())
	db, err := sql.Open("sqlite", filepath.Join(n.dir, store.FileName))
	must(t, err)
	res, err := db.Exec(statement)
	must(t, err)
	if changed, err := res.RowsAffected(); err != nil || changed == 0 {
		t.Fatalf("%q changed nothing (%v)", statement, err)
	}
	must(t, db.Close())
	n.open(t)
}

func TestTampering(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ statement, fault string }{
		"entry":                 {`UPDATE log_leaves SET entry = CAST(replace(CAST(entry AS TEXT), 'ana', 'eve') AS BLOB) WHERE n = 4`, "entry 4 is not what was logged"},
		"salt":                  {`UPDATE log_leaves SET salt = zeroblob(32) WHERE n = 4`, "entry 4 is not what was logged"},
		"leaf":                  {`UPDATE log_leaves SET leaf = zeroblob(32) WHERE n = 4`, "entry 4 is not what was logged"},
		"entries swapped":       {`UPDATE log_leaves SET entry = (SELECT entry FROM log_leaves WHERE n = 3), salt = (SELECT salt FROM log_leaves WHERE n = 3), leaf = (SELECT leaf FROM log_leaves WHERE n = 3) WHERE n = 4`, "head 5 does not follow"},
		"retention shortened":   {`UPDATE log_leaves SET expires = 1 WHERE n = 4`, "entry 4 has another end of retention"},
		"no entry at all":       {`UPDATE log_leaves SET entry = x'', salt = x'' WHERE n = 4`, "entry 4"},
		"entry gone too early":  {`UPDATE log_leaves SET entry = NULL, salt = NULL WHERE n = 4`, "entry 4 is gone before"},
		"entry gone, salt kept": {`UPDATE log_leaves SET entry = NULL WHERE n = 4`, "its salt is not"},
		"expired leaf altered":  {`UPDATE log_leaves SET entry = NULL, salt = NULL, expires = 1, leaf = zeroblob(32) WHERE n = 4`, "head 5 does not follow"},
		"leaf removed":          {`DELETE FROM log_leaves WHERE n = 4`, "entry 4 is missing"},
		"last leaf removed":     {`DELETE FROM log_leaves WHERE n = 6`, "entries were removed"},
		"end removed":           {`DELETE FROM log_leaves WHERE n >= 4; DELETE FROM log_hashes WHERE n >= 7`, "head 5 counts entries that are missing"},
		"all removed":           {`DELETE FROM log_hashes; DELETE FROM log_leaves`, "head 5 counts entries that are missing"},
		"hash":                  {`UPDATE log_hashes SET hash = zeroblob(32) WHERE n = 2`, "stored hash 2 does not follow"},
		"hash removed":          {`DELETE FROM log_hashes WHERE n = 2`, "stored hash 2 is missing"},
		"last hash removed":     {`DELETE FROM log_hashes WHERE n = 10`, "stored hash 10 is missing"},
		"hash added":            {`INSERT INTO log_hashes SELECT tree, 11, hash FROM log_hashes WHERE n = 2`, "stored hash 11 belongs to no entry"},
		"head's root":           {`UPDATE log_heads SET root = zeroblob(32) WHERE own AND size = 5`, "head 5 is not the head that its note says"},
		"head's size":           {`UPDATE log_heads SET size = 4 WHERE own AND size = 5`, "head 4 is not the head that its note says"},
		"head's note":           {`UPDATE log_heads SET note = CAST(replace(CAST(note AS TEXT), char(10) || '5', char(10) || '4') AS BLOB) WHERE own AND size = 5`, "invalid signature"},
		"countersignature":      {`UPDATE log_heads SET note = CAST(substr(CAST(note AS TEXT), 1, instr(CAST(note AS TEXT), '— south') - 1) AS BLOB) WHERE own AND size = 5`, "countersignature"},
		"own signature":         {`UPDATE log_heads SET note = CAST(replace(CAST(note AS TEXT), '— north', '— norte') AS BLOB) WHERE own AND size = 5`, "head 5"},
		"peer's head":           {`UPDATE log_heads SET note = CAST(replace(CAST(note AS TEXT), '— south', '— sooth') AS BLOB) WHERE NOT own`, "the peer's head 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			north, south := agencies(t)
			north.append(t, 5, never)
			north.exchange(t, south)
			north.append(t, 2, never)
			south.append(t, 2, never)
			south.exchange(t, north)
			_, err := north.verify(south, t0)
			must(t, err)
			north.insider(t, tt.statement)
			_, err = north.verify(south, t0)
			wantErr(t, err, audit.ErrTampered, tt.fault)
		})
	}
}

// TestRewrittenLog replaces the whole log by another that is valid in itself.
func TestRewrittenLog(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	north.append(t, 5, never)
	north.exchange(t, south)

	clean, _ := agencies(t)
	clean.append(t, 7, never)
	must(t, clean.Close())
	north.insider(t, `ATTACH '`+filepath.Join(clean.dir, store.FileName)+`' AS clean;
		DELETE FROM log_leaves; DELETE FROM log_hashes;
		INSERT INTO log_hashes SELECT * FROM clean.log_hashes;
		INSERT INTO log_leaves SELECT * FROM clean.log_leaves`)
	_, err := north.verify(south, t0)
	wantErr(t, err, audit.ErrTampered, "head 5 does not follow")
	err = north.Update(func(tx *store.Tx) error {
		_, err := north.tree.SignHead(tx, north.signer)
		return err
	})
	wantErr(t, err, audit.ErrFork, "own")

	// The insider has the keys too, and removes the heads that tell of it. Now
	// the log looks fine at home; the peer knows better.
	north.insider(t, `DELETE FROM log_heads`)
	_, err = north.verify(south, t0)
	must(t, err)
	known, err := south.tree.PeerHead(south)
	must(t, err)
	head, proof := north.signHead(t, known.Size)
	_, err = south.countersign(north, head, proof)
	wantErr(t, err, audit.ErrFork)
}

// TestErasure: entries past their retention are gone, and everything still
// verifies.
func TestErasure(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	expires := t0.Add(24 * time.Hour)
	north.append(t, 4, expires)
	north.exchange(t, south)
	north.append(t, 3, never)
	north.exchange(t, south)
	if n, err := north.EraseLogEntries(expires); n != 4 || err != nil {
		t.Fatalf("erased %d, %v", n, err)
	}
	rep, err := north.verify(south, expires)
	must(t, err)
	if rep.Erased != 4 || rep.Entries != 3 || rep.Countersigned != 7 {
		t.Errorf("report is %+v", rep)
	}
	_, err = north.verify(south, expires.Add(-time.Second))
	wantErr(t, err, audit.ErrTampered, "before the end of its retention")

	north.append(t, 2, never)
	north.exchange(t, south)
	got, err := north.tree.List(north, audit.Filter{})
	must(t, err)
	for i, r := range got {
		if r.Erased != (i < 4) || r.Erased && r.Entry.Event != "" {
			t.Errorf("record %d is %+v", i, r)
		}
	}
	if got, err = north.tree.List(north, audit.Filter{Case: "case-0"}); err != nil || len(got) != 1 {
		t.Errorf("%d records of the case remain, %v", len(got), err)
	}
}

const childDir = "SYMBOLON_AUDIT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		childAppends(dir)
	}
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// childAppends logs for ever, and prints the number of each entry once it is
// committed.
func childAppends(dir string) {
	tree := audit.Tree{Agreement: agreement, Own: "aa", Peer: "bb"}
	s, err := store.Open(dir)
	for err == nil {
		var n int64
		if err = s.Update(func(tx *store.Tx) (err error) {
			n, err = tree.Append(tx, rand.Reader, entry(0), never)
			return err
		}); err == nil {
			fmt.Println(n)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	last := -1
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatalf("the child says %q", lines.Text())
		}
		if last == 20 {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	s, err := store.Open(dir)
	must(t, err)
	defer s.Close()
	rep, err := audit.Tree{Agreement: agreement, Own: "aa", Peer: "bb"}.VerifyLog(s, t0, nil, nil)
	must(t, err)
	if rep.Size < int64(last)+1 {
		t.Errorf("the log has %d entries, %d were acknowledged", rep.Size, last+1)
	}
}
