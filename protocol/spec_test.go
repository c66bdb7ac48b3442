package protocol

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

var update = flag.Bool("update", false, "rewrite testdata/vectors.json")

// vector is one computation of SPEC.md: named inputs and the output, byte
// strings in hexadecimal.
type vector struct {
	Name    string            `json:"name"`
	Comment string            `json:"comment"`
	Inputs  map[string]string `json:"inputs"`
	Output  string            `json:"output"`
}

func fixed(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// vectors computes every vector with the code that sessions use.
func vectors(t *testing.T) []vector {
	x := hex.EncodeToString
	var out []vector
	add := func(name, comment string, inputs map[string]string, output []byte) {
		out = append(out, vector{name, comment, inputs, x(output)})
	}
	tuple := psi.HashTuple([]byte("one"), nil, []byte("three"))
	add("tuple", "T of three parts, the second empty", map[string]string{"part1": x([]byte("one")), "part2": "", "part3": x([]byte("three"))}, tuple[:])

	id := SessionID([32]byte(fixed(1)), fixed(2), fixed(3), fixed(4))
	add("session_id", "section 8", map[string]string{"agreement": x(fixed(1)), "proposer_nonce": x(fixed(2)),
		"acceptor_nonce": x(fixed(3)), "binding": x(fixed(4))}, id[:])

	item := psi.NewItemHasher(id).Item("document", "NO/passport/P000123")
	add("item", "section 9", map[string]string{"session": x(id[:]), "rule": x([]byte("document")), "key": x([]byte("NO/passport/P000123"))}, item[:])

	var items []psi.Item
	var all []byte
	for i := range 7 {
		it := psi.Item{0: byte(i), 15: 0xff}
		items, all = append(items, it), append(all, it[:]...)
	}
	root := Commit(fixed(5), items)
	add("commitment", "seven items of 16 bytes", map[string]string{"k": x(fixed(5)), "items": x(all)}, root[:])

	rules, err := records.ParseRuleSet([]byte("set vector\ndocument: document exact\n"))
	must(t, err)
	a := draft(t, func(a *Agreement) {
		a.Rules, a.CardinalityRule = rules, "document"
		a.Normalisation, a.Canary = "vector", strings.Repeat("00", 32)
	})
	raw, err := a.Bytes()
	must(t, err)
	aid := a.ID()
	add("agreement_id", "SHA-256 of canonical JSON", map[string]string{"canonical_json": x(raw)}, aid[:])

	p := psi.Params{Mode: psi.ModeMutual, Security: psi.SemiHonest, SenderItems: 1024, ReceiverItems: 512, Session: id, Attempt: 1}
	for _, domain := range []string{psi.DeriveTag, psi.DeriveLabelKey, psi.DeriveReceipt} {
		d := psi.Derive(domain, p.Context(), fixed(6))
		add("derive", "section 11, before truncation", map[string]string{"domain": x([]byte(domain)), "context": x(p.Context()), "full": x(fixed(6))}, d[:])
	}

	tr := newTranscript(id, [32]byte(fixed(7)), 1, [32]byte{})
	start := &wirepb.Frame{Body: &wirepb.Frame_Start{Start: &wirepb.Start{Session: id[:], Attempt: 1, Items: 512, Commitment: root[:]}}}
	engine := &wirepb.Frame{Body: &wirepb.Frame_Engine{Engine: &wirepb.Engine{Kind: 2, Payload: []byte("payload")}}}
	receipts := &wirepb.Frame{Body: &wirepb.Frame_Receipts{Receipts: &wirepb.Receipts{Total: 1, Payload: []byte("tag and receipt")}}}
	tr.add(true, start)
	tr.add(true, receipts)
	tr.add(false, engine)
	tr.fold(0)
	sum := tr.sum()
	add("transcript", "the proposer says Start (512 items, no records) and Receipts (total 1), the acceptor Engine (kind 2), all in shard 0",
		map[string]string{"session": x(id[:]), "handle": x(fixed(7)), "attempt": "1", "commitment": x(root[:]),
			"engine_payload": x([]byte("payload")), "receipts_payload": x([]byte("tag and receipt"))}, sum[:])

	al := draft(t, func(a *Agreement) {
		lookups(a)
		a.Rules, a.Normalisation, a.Canary = rules, "vector", strings.Repeat("00", 32)
	})
	raw, err = al.Bytes()
	must(t, err)
	alid := al.ID()
	add("agreement_id", "SHA-256 of canonical JSON, with the clause of lookups", map[string]string{"canonical_json": x(raw)}, alid[:])

	add("grant", "section 15, what the agency signs", map[string]string{"mode": x([]byte("lookup")), "agreement": x(fixed(1)), "binding": x(fixed(4)), "key": x(fixed(10))},
		grantBytes(psi.ModeLookup, [32]byte(fixed(1)), fixed(4), fixed(10)))
	params := lookup.Params{Agreement: [32]byte(fixed(1)), Epoch: 7, MaxKeys: 64, FalsePositiveLog2: 40}
	it := params.Hasher().Item("document", "NO/passport/P000123")
	add("lookup_item", "section 16", map[string]string{"agreement": x(fixed(1)), "epoch": "7", "rule": x([]byte("document")), "key": x([]byte("NO/passport/P000123"))}, it[:])
	output := bytes.Repeat([]byte{11}, 64)
	seed := params.Seed(output)
	add("lookup_seed", "section 16", map[string]string{"agreement": x(fixed(1)), "epoch": "7", "output": x(output)}, seed[:])
	elements := bytes.Repeat([]byte{12}, 8*32)
	add("lookup_request", "section 16, what the key of the grant signs, without a list", map[string]string{"agreement": x(fixed(1)), "number": "3", "epoch": "7",
		"user": x([]byte("ann")), "purpose": x([]byte("find")), "case": x([]byte("C-1")), "elements": x(elements)},
		lookupSigned([32]byte(fixed(1)), &wirepb.LookupRequest{Number: 3, Epoch: 7, User: "ann", Purpose: "find", Case: "C-1", Blinded: elements}))
	add("standing_request", "section 17", map[string]string{"agreement": x(fixed(1)), "number": "4", "epoch": "7", "serial": "9", "list": x(fixed(13)[:16]),
		"count": "16", "ended": "0", "user": x([]byte("ann")), "purpose": x([]byte("find")), "case": x([]byte("C-1"))},
		standingSigned([32]byte(fixed(1)), &wirepb.Standing{Number: 4, Epoch: 7, Serial: 9, List: fixed(13)[:16], Count: 16, User: "ann", Purpose: "find", Case: "C-1"}))
	return out
}

func TestVectors(t *testing.T) {
	const path = "testdata/vectors.json"
	got, err := json.MarshalIndent(map[string]any{"origin": "Symbolon session protocol, version 1: SPEC.md", "vectors": vectors(t)}, "", "  ")
	must(t, err)
	got = append(got, '\n')
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("the vectors have changed: the protocol no longer interoperates with its version 1 (rewrite with -update only for a new version)")
	}
}

// TestSpecAlone computes a transcript and a tuple from SPEC.md's words alone.
func TestSpecAlone(t *testing.T) {
	tuple := func(parts ...[]byte) []byte {
		var b []byte
		for _, p := range parts {
			b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
		}
		return b
	}
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	hash := func(b []byte) []byte { h := sha(b); return h[:] }
	id, handle := fixed(8), fixed(7)
	tr := newTranscript([32]byte(id), [32]byte(handle), 2, [32]byte{})
	tr.add(false, engineFrame(3, []byte("xyz")))
	tr.fold(0)
	proposer, acceptor := hash(nil), hash(tuple(number(8), number(3), []byte("xyz")))
	chain := hash(tuple([]byte("symbolon/v1/transcript-shard"), make([]byte, 32), []byte{0, 0, 0, 0}, []byte{0, 0, 0, 2}, proposer, acceptor))
	want := hash(tuple([]byte("symbolon/v1/transcript"), id, handle, []byte{0, 0, 0, 2}, chain, hash(nil), hash(nil)))
	if got := tr.sum(); !bytes.Equal(got[:], want) {
		t.Error("the transcript is not what the specification says")
	}
}

// TestSpecAloneOfLookups computes what is signed of requests from SPEC.md's
// words alone.
func TestSpecAloneOfLookups(t *testing.T) {
	hash := func(parts ...[]byte) []byte {
		var b []byte
		for _, p := range parts {
			b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
		}
		h := sha(b)
		return h[:]
	}
	u32 := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	u64 := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	id, list := fixed(1), fixed(2)[:16]
	elements := bytes.Repeat([]byte{3}, 16*32)
	sum := sha(elements)
	want := hash([]byte("symbolon/v1/lookup-request"), id, u64(5), u32(6), list, []byte("u"), []byte("p"), []byte("c"), u32(16), sum[:])
	got := lookupSigned([32]byte(id), &wirepb.LookupRequest{Number: 5, Epoch: 6, List: list, User: "u", Purpose: "p", Case: "c", Blinded: elements})
	if !bytes.Equal(got, want) {
		t.Error("a lookup request is signed otherwise than the specification says")
	}
	want = hash([]byte("symbolon/v1/standing-request"), id, u64(5), u32(6), list, []byte("u"), []byte("p"), []byte("c"), u64(7), u64(8), []byte{1})
	got = standingSigned([32]byte(id), &wirepb.Standing{Number: 5, Epoch: 6, Serial: 7, List: list, Count: 8, Ended: true, User: "u", Purpose: "p", Case: "c"})
	if !bytes.Equal(got, want) {
		t.Error("a declaration is signed otherwise than the specification says")
	}
	want = hash([]byte("lookup"), id, fixed(4), fixed(5))
	if got := grantBytes(psi.ModeLookup, [32]byte(id), fixed(4), fixed(5)); !bytes.Equal(got, want) {
		t.Error("a grant is signed otherwise than the specification says")
	}
	params := lookup.Params{Agreement: [32]byte(id), Epoch: 6, MaxKeys: 1, FalsePositiveLog2: 40}
	item := params.Hasher().Item("r", "k")
	if !bytes.Equal(item[:], hash([]byte("symbolon/v1/lookup-item"), id, u32(6), []byte("r"), []byte("k"))) {
		t.Error("an item is hashed otherwise than the specification says")
	}
	context := append(append(u64(18), "symbolon/v1/lookup"...), append(append(u64(32), id...), u32(6)...)...)
	output := bytes.Repeat([]byte{9}, 64)
	seed := params.Seed(output)
	if !bytes.Equal(seed[:], hash([]byte("symbolon/v1/lookup-seed"), context, output)) {
		t.Error("a seed is derived otherwise than the specification says")
	}
}

func TestSpecNamesEveryCode(t *testing.T) {
	spec, err := os.ReadFile("SPEC.md")
	must(t, err)
	for code := range knownCodes {
		if !bytes.Contains(spec, []byte("`"+string(code)+"`")) {
			t.Errorf("SPEC.md does not name the code %q", code)
		}
	}
}

func TestCommitIsRFC9162(t *testing.T) {
	k := fixed(9)
	var items []psi.Item
	for n := range 20 {
		if got, want := Commit(k, items), naiveRoot(k, items); got != want {
			t.Errorf("%d items: the root differs from the recursive definition", n)
		}
		items = append(items, psi.Item{byte(n), 1})
	}
}

// The commitment that workers make in pieces is that of all items.
func TestCommitmentInPieces(t *testing.T) {
	seed := fixed(8)
	var k [32]byte
	_, err := io.ReadFull(psi.NewStream(seed, streamCommit), k[:])
	must(t, err)
	items := make([]psi.Item, 3*hashBatch+5)
	for i := range items {
		binary.BigEndian.PutUint32(items[i][:], uint32(i))
	}
	for _, n := range []int{0, 1, hashBatch - 1, hashBatch, hashBatch + 1, 2 * hashBatch, len(items)} {
		for _, workers := range []int{1, 3} {
			got, err := commitment(t.Context(), workers, seed, items[:n])
			must(t, err)
			if got != naiveRoot(k[:], items[:n]) {
				t.Errorf("%d items, %d workers: the root differs from the recursive definition", n, workers)
			}
		}
	}
}

// naiveRoot is RFC 9162, Section 2.1.1, word by word.
func naiveRoot(k []byte, items []psi.Item) [32]byte {
	switch len(items) {
	case 0:
		return sha(nil)
	case 1:
		leaf := newReusableHMAC(k).sum(items[0][:])
		return sha(append([]byte{0}, leaf[:]...))
	}
	split := 1
	for split*2 < len(items) {
		split *= 2
	}
	l, r := naiveRoot(k, items[:split]), naiveRoot(k, items[split:])
	return sha(append(append([]byte{1}, l[:]...), r[:]...))
}
