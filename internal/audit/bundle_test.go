package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
)

// identity is what this test's identity documents say: a list of fingerprints,
// the newest first. The keys are the node's.
type identity struct {
	fingerprints []string
	verifiers    []note.Verifier
}

func (i identity) NoteVerifiers() []note.Verifier  { return i.verifiers }
func (i identity) DescendsFrom(finger string) bool { return slices.Contains(i.fingerprints, finger) }

func (n *node) document() []byte { return []byte(`{"node": "` + n.tree.Own + `"}`) }

func identifier(nodes ...*node) func([]byte) (audit.Identity, error) {
	return func(doc []byte) (audit.Identity, error) {
		for _, n := range nodes {
			if bytes.Contains(doc, []byte(n.tree.Own)) {
				return identity{[]string{"now-" + n.tree.Own[:4], n.tree.Own}, n.verifiers()}, nil
			}
		}
		return nil, errors.New("unknown identity")
	}
}

func (n *node) export(t testing.TB, peer *node, f audit.Filter) (b []byte) {
	t.Helper()
	must(t, n.View(func(r store.Reader) (err error) {
		b, err = n.tree.Export(r, f, n.document(), peer.document())
		return err
	}))
	return b
}

// exported returns two nodes and north's bundle: 6 entries witnessed, of which
// 2 are erased, 2 only signed, 1 not even that.
func exported(t testing.TB, f audit.Filter) (north, south *node, bundle []byte) {
	t.Helper()
	north, south = agencies(t)
	south.append(t, 1, never)
	south.exchange(t, north)
	north.append(t, 2, t0.Add(time.Hour))
	north.append(t, 4, never)
	north.exchange(t, south)
	north.append(t, 2, never)
	north.signHead(t, 0)
	north.append(t, 1, never)
	if n, err := north.EraseLogEntries(t0.Add(time.Hour)); n != 2 || err != nil {
		t.Fatalf("erased %d, %v", n, err)
	}
	return north, south, north.export(t, south, f)
}

func TestBundle(t *testing.T) {
	t.Parallel()
	north, south, data := exported(t, audit.Filter{})
	var compact bytes.Buffer
	must(t, json.Compact(&compact, data))
	for name, b := range map[string][]byte{"as exported": data, "compacted": compact.Bytes()} {
		v, err := audit.VerifyBundle(b, identifier(north, south), north.tree.Own, "now-bbbb")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v.Tree != north.tree || v.Size != 8 || v.Countersigned != 6 || v.Unsigned != 1 || len(v.Records) != 8 {
			t.Errorf("%s: verified %+v", name, v)
		}
		for i, r := range v.Records {
			if r.Index != int64(i) || r.Erased != (i < 2) || r.Countersigned != (i < 6) {
				t.Errorf("%s: record %d is %+v", name, i, r)
			}
			if !r.Erased && *r.Entry.Hits != int64(i) {
				t.Errorf("%s: record %d is %+v", name, i, r.Entry)
			}
		}
	}
}

func TestBundleOfOneCase(t *testing.T) {
	t.Parallel()
	north, south, data := exported(t, audit.Filter{Case: "case-0"})
	v, err := audit.VerifyBundle(data, identifier(north, south), north.tree.Own, south.tree.Own)
	must(t, err)
	if len(v.Records) != 2 || v.Records[0].Index != 3 || v.Records[1].Index != 6 {
		t.Errorf("records are %+v", v.Records)
	}
	if bytes.Contains(data, []byte("local-4")) {
		t.Error("the bundle holds another case")
	}
}

func TestBundleWithoutHead(t *testing.T) {
	t.Parallel()
	north, south := agencies(t)
	north.append(t, 1, never)
	_, err := north.tree.Export(north, audit.Filter{}, north.document(), south.document())
	wantErr(t, err, audit.ErrNoHead)
	north.signHead(t, 0)
	v, err := audit.VerifyBundle(north.export(t, south, audit.Filter{}), identifier(north, south), north.tree.Own, south.tree.Own)
	must(t, err)
	if v.Countersigned != -1 || v.Records[0].Countersigned {
		t.Errorf("verified %+v", v)
	}
}

func TestForgedBundles(t *testing.T) {
	t.Parallel()
	north, south, data := exported(t, audit.Filter{})
	type bundle = audit.Bundle
	for name, forge := range map[string]func(b *bundle){
		"entry": func(b *bundle) {
			b.Records[3].Entry = bytes.Replace(b.Records[3].Entry, []byte("ana"), []byte("eve"), 1)
		},
		"salt":              func(b *bundle) { b.Records[3].Salt[0]++ },
		"salt cut":          func(b *bundle) { b.Records[3].Salt = b.Records[3].Salt[:31] },
		"leaf":              func(b *bundle) { b.Records[0].Leaf[0]++ },
		"erased afterwards": func(b *bundle) { b.Records[3].Entry = nil },
		"proof":             func(b *bundle) { b.Records[3].Proof[0][0]++ },
		"proof cut":         func(b *bundle) { b.Records[3].Proof = b.Records[3].Proof[1:] },
		"index":             func(b *bundle) { b.Records = b.Records[3:4]; b.Records[0].Index = 2 },
		"index outside":     func(b *bundle) { b.Records = b.Records[3:4]; b.Records[0].Index = 99 },
		"negative index":    func(b *bundle) { b.Records[0].Index = -1 },
		"twice":             func(b *bundle) { b.Records = append(b.Records, b.Records[7]) },
		"another order":     func(b *bundle) { slices.Reverse(b.Records) },
		"head":              func(b *bundle) { b.Head = strings.Replace(b.Head, "\n8\n", "\n9\n", 1) },
		"no head":           func(b *bundle) { b.Head = "" },
		"head of the peer":  func(b *bundle) { b.Head = b.PeerHead },
		"countersignature":  func(b *bundle) { b.Countersigned = b.Head },
		"no consistency":    func(b *bundle) { b.Consistency = nil },
		"consistency":       func(b *bundle) { b.Consistency[0][0]++ },
		"consistency alone": func(b *bundle) { b.Countersigned = "" },
		"peer's head":       func(b *bundle) { b.PeerHead = b.Head },
		"agreement":         func(b *bundle) { b.Agreement = strings.Repeat("02", 32) },
		"owner's root":      func(b *bundle) { b.Owner.Root = "cc" },
		"parties swapped":   func(b *bundle) { b.Owner, b.Peer = b.Peer, b.Owner },
		"owner is peer":     func(b *bundle) { b.Peer = b.Owner },
		"no identity":       func(b *bundle) { b.Owner.Identity = json.RawMessage("{}") },
		"format":            func(b *bundle) { b.Format = "zip" },
		"version":           func(b *bundle) { b.Version = 2 },
		"negative unsigned": func(b *bundle) { b.Unsigned = -1 },
	} {
		var b bundle
		must(t, json.Unmarshal(data, &b))
		forge(&b)
		forged, err := json.Marshal(b)
		must(t, err)
		if _, err := audit.VerifyBundle(forged, identifier(north, south), north.tree.Own, south.tree.Own); err == nil {
			t.Errorf("%s: a forged bundle verifies", name)
		}
	}
	for name, b := range map[string][]byte{
		"unknown field": bytes.Replace(data, []byte(`"version"`), []byte(`"extra": 1, "version"`), 1),
		"more after it": append(slices.Clone(data), "{}"...),
		"cut":           data[:len(data)/2],
		"nothing":       nil,
	} {
		if _, err := audit.VerifyBundle(b, identifier(north, south), north.tree.Own, south.tree.Own); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBundleNeedsTrust(t *testing.T) {
	t.Parallel()
	north, south, data := exported(t, audit.Filter{})
	for name, trusted := range map[string][]string{
		"nobody":         nil,
		"the owner only": {north.tree.Own},
		"the peer only":  {south.tree.Own},
		"others":         {"cc", "dd"},
	} {
		if _, err := audit.VerifyBundle(data, identifier(north, south), trusted...); err == nil ||
			!strings.Contains(err.Error(), "trusted fingerprints") {
			t.Errorf("%s trusted: got error %v", name, err)
		}
	}
}

func FuzzVerifyBundle(f *testing.F) {
	north, south, seed := exported(f, audit.Filter{})
	must(f, errors.Join(north.Close(), south.Close()))
	f.Add(seed)
	_, v := newKey(f, "north")
	identify := func([]byte) (audit.Identity, error) {
		return identity{[]string{strings.Repeat("aa", 32), strings.Repeat("bb", 32)}, []note.Verifier{v}}, nil
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := audit.VerifyBundle(data, identify, strings.Repeat("aa", 32)); err == nil {
			t.Error("a bundle that nobody signed verifies")
		}
	})
}
