package audit_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
)

// copyOf returns a node that begins as a copy of n's database: the same agency
// with a second history.
func (n *node) copyOf(t *testing.T) *node {
	t.Helper()
	must(t, n.Close())
	b, err := os.ReadFile(filepath.Join(n.dir, store.FileName))
	must(t, err)
	n.open(t)
	c := *n
	c.dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(c.dir, store.FileName), b, 0o600))
	c.open(t)
	return &c
}

func TestPeerNoticesForkAndRollback(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	north.append(t, 3, never)
	north.exchange(t, south)
	old := north.copyOf(t)
	north.append(t, 2, never)
	north.exchange(t, south)

	// From the old copy, north shows what it had.
	head, _ := old.signHead(t, 0)
	_, err := south.countersign(old, head, nil)
	wantErr(t, err, audit.ErrRollback, "has 3 entries, 5 were shown")
	_, err = old.tree.ConsistencyProof(old, 5, 3)
	wantErr(t, err, audit.ErrRollback, "old copy")

	// It grows to the same size, then beyond, with other entries.
	old.append(t, 2, never)
	head, _ = old.signHead(t, 0)
	_, err = south.countersign(old, head, nil)
	wantErr(t, err, audit.ErrFork, "two roots at size 5")
	old.append(t, 4, never)
	head, proof := old.signHead(t, 5)
	_, err = south.countersign(old, head, proof)
	wantErr(t, err, audit.ErrFork)
	_, err = south.countersign(old, head, nil)
	wantErr(t, err, audit.ErrFork)

	// The true history goes on.
	north.append(t, 4, never)
	north.exchange(t, south)
	north.exchange(t, south)
}

func TestEmptyLogsExchangeHeads(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	north.exchange(t, south)
	south.exchange(t, north)
	north.append(t, 1, never)
	north.exchange(t, south)
	rep, err := north.verify(south, t0)
	if err != nil || rep.Countersigned != 1 || rep.PeerSize != 0 {
		t.Errorf("report is %+v, %v", rep, err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	step := func() {
		t.Helper()
		north.append(t, 2, never)
		north.exchange(t, south)
		south.append(t, 1, never)
		south.exchange(t, north)
		for _, n := range []*node{north, south} {
			if _, err := n.verify(map[*node]*node{north: south, south: north}[n], t0); err != nil {
				t.Fatal(err)
			}
		}
	}
	step()
	stolen := *north
	north.rotate(t)
	step()
	south.rotate(t)
	step()

	// Whoever has the old key can't pass for the new.
	head, proof := stolen.signHead(t, 6)
	_, err := south.countersign(north, head, proof)
	wantErr(t, err, audit.ErrHead)
	north.append(t, 1, never)
	stolen.signHead(t, 6)
	_, err = north.verify(south, t0)
	wantErr(t, err, audit.ErrTampered, "head 7", "replaced")
	if _, err := audit.VerifyBundle(north.export(t, south, audit.Filter{}), identifier(north, south), north.tree.Own, south.tree.Own); err == nil ||
		!strings.Contains(err.Error(), "replaced") {
		t.Errorf("a bundle under a replaced key: got error %v", err)
	}
	north.signHead(t, 6)
	if _, err := audit.VerifyBundle(north.export(t, south, audit.Filter{}), identifier(north, south), north.tree.Own, south.tree.Own); err != nil {
		t.Error(err)
	}
}

func TestSigningAgainKeepsTheCountersignature(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	north.append(t, 2, never)
	north.exchange(t, south)
	north.signHead(t, 0)
	rep, err := north.verify(south, t0)
	if err != nil || rep.Countersigned != 2 {
		t.Errorf("report is %+v, %v", rep, err)
	}
}

// TestHostileHeads is what a peer may send in place of its head.
func TestHostileHeads(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	north.append(t, 5, never)
	south.append(t, 3, never)
	north.exchange(t, south)
	north.append(t, 2, never)
	good, proof := north.signHead(t, 5)
	sign := func(text string) []byte {
		b, err := note.Sign(&note.Note{Text: text}, north.signer)
		must(t, err)
		return b
	}
	text, _, _ := strings.Cut(string(good), "\n\n")
	text += "\n"
	lines := strings.SplitAfter(text, "\n")
	stranger, _ := newKey(t, "north")
	strange, err := note.Sign(&note.Note{Text: text}, stranger)
	must(t, err)
	southHead, _ := south.signHead(t, 0)
	other := audit.Tree{Agreement: strings.Repeat("02", 32), Own: north.tree.Own, Peer: north.tree.Peer}
	var otherHead []byte
	must(t, north.Update(func(tx *store.Tx) (err error) {
		otherHead, err = other.SignHead(tx, north.signer)
		return err
	}))

	for name, tt := range map[string]struct {
		head  []byte
		proof [][]byte
		want  error
	}{
		"nothing":               {nil, nil, audit.ErrHead},
		"junk":                  {[]byte("\x00\xff"), nil, audit.ErrHead},
		"no signature":          {[]byte(text), proof, audit.ErrHead},
		"a stranger's key":      {strange, proof, audit.ErrHead},
		"our own head":          {southHead, nil, audit.ErrHead},
		"another agreement":     {otherHead, nil, audit.ErrHead},
		"altered":               {bytes.Replace(good, []byte("\n7\n"), []byte("\n8\n"), 1), proof, audit.ErrHead},
		"extension line":        {sign(text + "extra\n"), proof, audit.ErrHead},
		"leading zero":          {sign(lines[0] + "07\n" + lines[2]), proof, audit.ErrHead},
		"plus":                  {sign(lines[0] + "+7\n" + lines[2]), proof, audit.ErrHead},
		"negative":              {sign(lines[0] + "-7\n" + lines[2]), proof, audit.ErrHead},
		"overflow":              {sign(lines[0] + "99999999999999999999\n" + lines[2]), proof, audit.ErrHead},
		"short root":            {sign(lines[0] + lines[1] + "AAAA\n"), proof, audit.ErrHead},
		"loose base64":          {sign(lines[0] + lines[1] + strings.Replace(lines[2], "=", "\r=", 1)), proof, audit.ErrHead},
		"false empty log":       {sign(lines[0] + "0\n" + lines[2]), nil, audit.ErrHead},
		"too large":             {append(bytes.Repeat([]byte("x\n"), audit.MaxHead), good...), proof, audit.ErrHead},
		"no proof":              {good, nil, audit.ErrFork},
		"wrong proof":           {good, append([][]byte{make([]byte, 32)}, proof[1:]...), audit.ErrFork},
		"proof cut":             {good, proof[1:], audit.ErrFork},
		"proof with short hash": {good, append([][]byte{{1}}, proof[1:]...), audit.ErrHead},
		"endless proof":         {good, make([][]byte, audit.MaxProof+1), audit.ErrHead},
		"gigantic size":         {sign(lines[0] + "9223372036854775807\n" + lines[2]), proof, audit.ErrHead},
		"large size":            {sign(lines[0] + "281474976710656\n" + lines[2]), proof, audit.ErrFork},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := south.countersign(north, tt.head, tt.proof)
			wantErr(t, err, tt.want)
			h, err := south.tree.PeerHead(south)
			if err != nil || h.Size != 5 {
				t.Errorf("the peer's known head became %+v, %v", h, err)
			}
		})
	}
	both, err := south.countersign(north, good, proof)
	must(t, err)

	// And what a peer may send back.
	southOnly := func() []byte {
		b, err := note.Sign(&note.Note{Text: text}, south.signer)
		must(t, err)
		return b
	}()
	fake := strings.Replace(text, lines[2], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 1)
	fakeBoth, err := note.Sign(&note.Note{Text: fake}, north.signer, south.signer)
	must(t, err)
	future, err := note.Sign(&note.Note{Text: strings.Replace(text, "\n7\n", "\n8\n", 1)}, north.signer, south.signer)
	must(t, err)
	for name, b := range map[string][]byte{
		"only ours":     good,
		"only theirs":   southOnly,
		"their log":     southHead,
		"another root":  fakeBoth,
		"not yet ours":  future,
		"nothing":       nil,
		"altered":       bytes.Replace(both, []byte("\n7\n"), []byte("\n6\n"), 1),
		"far too large": bytes.Repeat(both, 100),
	} {
		t.Run("back "+name, func(t *testing.T) {
			wantErr(t, north.accept(south, b), audit.ErrHead)
		})
	}
	must(t, north.accept(south, both))
	must(t, north.accept(south, both))
}

// TestJunkSignaturesAreDropped: we don't hand on what a peer appended.
func TestJunkSignaturesAreDropped(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	north.append(t, 1, never)
	head, proof := north.signHead(t, 0)
	junk, _ := newKey(t, "junk")
	n, err := note.Open(head, note.VerifierList(north.verifier))
	must(t, err)
	dirty, err := note.Sign(n, junk)
	must(t, err)
	both, err := south.countersign(north, dirty, proof)
	must(t, err)
	if bytes.Contains(both, []byte("junk")) || bytes.Count(both, []byte("— ")) != 2 {
		t.Errorf("the countersigned head is\n%s", both)
	}
}

// TestHeadText fixes the format of a checkpoint (c2sp.org/tlog-checkpoint).
func TestHeadText(t *testing.T) {
	t.Parallel()
	north, _ := agencies(t)
	head, _ := north.signHead(t, 0)
	// The root of an empty log is the SHA-256 of nothing (RFC 6962, 2.1).
	want := "symbolon/log/" + agreement + "/" + north.tree.Own + "\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— north "
	if !strings.HasPrefix(string(head), want) {
		t.Errorf("the head is\n%s\nwant\n%s", head, want)
	}
}
