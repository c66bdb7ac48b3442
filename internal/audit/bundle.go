package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The format of a bundle.
const (
	BundleFormat  = "symbolon-audit-bundle"
	BundleVersion = 1
)

// ErrNoHead: the log has no signed head yet, so nothing can be proved.
var ErrNoHead = errors.New("log has no signed head")

// Bundle is what a court or a data-protection officer gets: entries, and what
// proves offline that they are in the log of an agency and that the other
// agency has witnessed it. Its JSON may be indented and compacted freely.
type Bundle struct {
	Format    string      `json:"format"`
	Version   int         `json:"version"`
	Agreement string      `json:"agreement"`
	Owner     BundleParty `json:"owner"`
	Peer      BundleParty `json:"peer"`
	// Head is the owner's last signed head, which all proofs lead to.
	Head string `json:"head"`
	// Countersigned is the last head that the peer signed too, and Consistency
	// proves that Head extends it. They may be empty.
	Countersigned string      `json:"countersigned,omitempty"`
	Consistency   []tlog.Hash `json:"consistency,omitempty"`
	// PeerHead is the last head of the peer's own log that the owner
	// countersigned, to hold against the peer's bundle. It may be empty.
	PeerHead string `json:"peer_head,omitempty"`
	// Unsigned counts the entries after Head, which are not here. Nothing proves
	// this number.
	Unsigned int64          `json:"unsigned,omitempty"`
	Records  []BundleRecord `json:"records"`
}

// BundleParty is one agency: its root fingerprint and its public identity
// document, whose chain of rotations begins there.
type BundleParty struct {
	Root     string          `json:"root"`
	Identity json.RawMessage `json:"identity"`
}

// BundleRecord is one entry with its proof. The leaf is SHA-256 of the salt and
// the compacted entry; an erased entry leaves its leaf alone.
type BundleRecord struct {
	Index int64            `json:"index"`
	Leaf  tlog.Hash        `json:"leaf"`
	Salt  []byte           `json:"salt,omitempty"`
	Entry json.RawMessage  `json:"entry,omitempty"`
	Proof tlog.RecordProof `json:"proof"`
}

// Export returns the selected entries up to the last signed head, as an
// indented Bundle; an empty filter gives erased leaves too. The identities are
// the public documents of both agencies. It returns ErrNoHead before the first
// head is signed. Pass one snapshot.
func (t Tree) Export(r Reader, f Filter, own, peer []byte) ([]byte, error) {
	if err := t.validate(); err != nil {
		return nil, err
	}
	b := Bundle{Format: BundleFormat, Version: BundleVersion, Agreement: t.Agreement,
		Owner: BundleParty{t.Own, own}, Peer: BundleParty{t.Peer, peer}, Records: []BundleRecord{}}
	size, err := t.exportHeads(r, &b)
	if err != nil {
		return nil, err
	}
	err = r.ScanLog(t.Agreement, 0, size, func(n int64, leaf, salt, entry []byte, _ time.Time) error {
		rec, ok, err := t.exportRecord(r, f, size, n, leaf, salt, entry)
		if ok {
			b.Records = append(b.Records, rec)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("audit: encoding a bundle: %w", err)
	}
	return append(out, '\n'), nil
}

// exportHeads fills in the heads and returns the size of the last signed one.
func (t Tree) exportHeads(r Reader, b *Bundle) (int64, error) {
	size, _, head, err := r.LastLogHead(t.Agreement, true, false)
	if err != nil {
		return 0, err
	}
	if size < 0 {
		return 0, fmt.Errorf("audit: log %.16s: %w", t.Agreement, ErrNoHead)
	}
	b.Head = string(head)
	witnessed, _, both, err := r.LastLogHead(t.Agreement, true, true)
	if err != nil {
		return 0, err
	}
	if witnessed >= 0 {
		b.Countersigned = string(both)
		proof, err := t.ConsistencyProof(r, witnessed, size)
		if err != nil {
			return 0, err
		}
		if b.Consistency, err = toHashes(proof); err != nil {
			return 0, err
		}
	}
	_, _, peerHead, err := r.LastLogHead(t.Agreement, false, true)
	if err != nil {
		return 0, err
	}
	b.PeerHead = string(peerHead)
	all, err := r.LogSize(t.Agreement)
	b.Unsigned = all - size
	return size, err
}

func (t Tree) exportRecord(r Reader, f Filter, size, n int64, leaf, salt, entry []byte) (BundleRecord, bool, error) {
	if f != (Filter{}) {
		if entry == nil {
			return BundleRecord{}, false, nil
		}
		e, err := ParseEntry(entry)
		if err != nil {
			return BundleRecord{}, false, fmt.Errorf("entry %d: %w", n, err)
		}
		if !f.matches(e) {
			return BundleRecord{}, false, nil
		}
	}
	if len(leaf) != tlog.HashSize {
		return BundleRecord{}, false, fmt.Errorf("audit: leaf %d has %d bytes, want %d", n, len(leaf), tlog.HashSize)
	}
	proof, err := tlog.ProveRecord(size, n, t.hashes(r))
	if err != nil {
		return BundleRecord{}, false, fmt.Errorf("audit: proving entry %d: %w", n, err)
	}
	return BundleRecord{Index: n, Leaf: tlog.Hash(leaf), Salt: salt, Entry: entry, Proof: proof}, true, nil
}

// Identity is what a public identity document says about an agency.
type Identity interface {
	// NoteVerifiers returns the keys that may have signed its heads: its own
	// and, after it, those it was rotated from, the newest first.
	NoteVerifiers() []note.Verifier
	// DescendsFrom reports whether the fingerprint is its own or that of an
	// identity it was rotated from.
	DescendsFrom(fingerprint string) bool
}

// Verified is what a bundle proves.
type Verified struct {
	Tree
	// Head is the owner's, Unsigned the number of entries after it that the
	// owner admits to.
	Head
	Unsigned int64
	// Countersigned is the size that the peer has witnessed, -1 if none.
	Countersigned int64
	Records       []VerifiedRecord
}

// VerifiedRecord is one proven entry.
type VerifiedRecord struct {
	Record
	// Countersigned says that the peer has witnessed a log with this entry.
	Countersigned bool
}

// VerifyBundle checks a bundle, without a network or a database. The verifier
// trusts fingerprints it has from elsewhere: each of the two agencies must be,
// or descend from, one of them. identify reads an identity document and checks
// its signatures. The bundle is refused as a whole for any fault.
//
// It proves what the owner logged and the peer witnessed, not that the owner
// exported all there is to a case: of entries left out it tells the number
// only, by their indexes.
func VerifyBundle(data []byte, identify func(document []byte) (Identity, error), trusted ...string) (*Verified, error) {
	b, err := parseBundle(data)
	if err != nil {
		return nil, err
	}
	t := Tree{b.Agreement, b.Owner.Root, b.Peer.Root}
	if err := t.validate(); err != nil {
		return nil, err
	}
	owner, err := b.Owner.verifiers("owner", identify, trusted)
	if err != nil {
		return nil, err
	}
	peer, err := b.Peer.verifiers("peer", identify, trusted)
	if err != nil {
		return nil, err
	}
	v := &Verified{Tree: t, Unsigned: b.Unsigned, Countersigned: -1}
	var head *note.Note
	if v.Head, head, err = openHead([]byte(b.Head), origin(t.Agreement, t.Own), owner); err != nil {
		return nil, err
	}
	if err := v.checkWitness(b, keyOf(head, owner), owner, peer); err != nil {
		return nil, err
	}
	last := int64(-1)
	for _, rec := range b.Records {
		if rec.Index <= last {
			return nil, fmt.Errorf("audit: bundle: entry %d comes after entry %d", rec.Index, last)
		}
		last = rec.Index
		r, err := rec.verify(v)
		if err != nil {
			return nil, fmt.Errorf("audit: bundle: entry %d: %w", rec.Index, err)
		}
		v.Records = append(v.Records, r)
	}
	return v, nil
}

func parseBundle(data []byte) (*Bundle, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var b Bundle
	if err := dec.Decode(&b); err != nil {
		return nil, fmt.Errorf("audit: bundle is not valid: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("audit: bundle has something after its end")
	}
	if b.Format != BundleFormat || b.Version != BundleVersion {
		return nil, fmt.Errorf("audit: bundle has format %.32q version %d, want %q version %d",
			b.Format, b.Version, BundleFormat, BundleVersion)
	}
	if b.Unsigned < 0 {
		return nil, errors.New("audit: bundle counts fewer than no entries")
	}
	return &b, nil
}

// verifiers returns the party's keys, if its identity is one that is trusted
// and the one its heads name.
func (p BundleParty) verifiers(who string, identify func([]byte) (Identity, error), trusted []string) ([]note.Verifier, error) {
	id, err := identify(p.Identity)
	if err != nil {
		return nil, fmt.Errorf("audit: bundle: identity of the %s: %w", who, err)
	}
	if !id.DescendsFrom(p.Root) {
		return nil, fmt.Errorf("audit: bundle: identity of the %s does not descend from its root", who)
	}
	for _, f := range trusted {
		if id.DescendsFrom(f) {
			return id.NoteVerifiers(), nil
		}
	}
	return nil, fmt.Errorf("audit: bundle: none of the %d trusted fingerprints is the %s's", len(trusted), who)
}

// checkWitness checks the peer's countersignature and that the owner's head
// extends what it witnessed, under the same key or a newer one, and the peer's
// own head.
func (v *Verified) checkWitness(b *Bundle, headKey int, owner, peer []note.Verifier) error {
	switch {
	case b.Countersigned != "":
		h, n, err := openBoth([]byte(b.Countersigned), origin(v.Agreement, v.Own), owner, peer)
		if err != nil {
			return fmt.Errorf("countersigned head: %w", err)
		}
		if headKey > keyOf(n, owner) {
			return fmt.Errorf("audit: bundle: last head: %w", errReplaced)
		}
		if err := checkGrowth(v.Head, h, toBytes(b.Consistency)); err != nil {
			return fmt.Errorf("countersigned head: %w", err)
		}
		v.Countersigned = h.Size
	case len(b.Consistency) > 0:
		return fmt.Errorf("audit: %w: a consistency proof without a countersigned head", ErrHead)
	}
	if b.PeerHead != "" {
		if _, _, err := openBoth([]byte(b.PeerHead), origin(v.Agreement, v.Peer), peer, owner); err != nil {
			return fmt.Errorf("peer's head: %w", err)
		}
	}
	return nil
}

func (rec BundleRecord) verify(v *Verified) (VerifiedRecord, error) {
	out := VerifiedRecord{Record: Record{Index: rec.Index, Erased: rec.Entry == nil}, Countersigned: rec.Index < v.Countersigned}
	if rec.Erased() {
		if rec.Salt != nil {
			return out, errors.New("it has a salt but no entry")
		}
	} else {
		var entry bytes.Buffer
		if err := json.Compact(&entry, rec.Entry); err != nil {
			return out, fmt.Errorf("it is not valid JSON: %w", err)
		}
		if len(rec.Salt) != SaltSize || leafOf(rec.Salt, entry.Bytes()) != rec.Leaf {
			return out, fmt.Errorf("%w: it is not what was logged", ErrTampered)
		}
		var err error
		if out.Entry, err = ParseEntry(entry.Bytes()); err != nil {
			return out, err
		}
		if out.Entry.Agreement != v.Agreement {
			return out, errors.New("it is about another agreement")
		}
	}
	if err := tlog.CheckRecord(rec.Proof, v.Size, v.Root, rec.Index, tlog.RecordHash(rec.Leaf[:])); err != nil {
		return out, fmt.Errorf("%w: it is not in the log: %w", ErrTampered, err)
	}
	return out, nil
}

// Erased reports whether only the leaf is left.
func (rec BundleRecord) Erased() bool { return rec.Entry == nil }
