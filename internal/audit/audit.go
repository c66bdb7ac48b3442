// Package audit is the append-only log of what a node did under an agreement.
//
// Each agreement has its own Merkle tree (RFC 6962, Section 2.1, by
// golang.org/x/mod/sumdb/tlog), so that its head tells a peer nothing about
// others. A leaf is
//
//	SHA-256(salt || entry)
//
// of a random 32-byte salt and the entry's JSON. Entry and salt lie beside the
// leaf and are erased at the end of their retention; the leaf stays, tells
// nothing without the salt, and keeps every proof valid.
//
// A head is the tree's size and root, signed as a checkpoint
// (c2sp.org/tlog-checkpoint). When a stream opens and closes, each side shows
// its head with a proof that it extends the last one, and gets it back with the
// other's signature:
//
//	SignHead, ConsistencyProof ── head, proof ──▶ Countersign
//	AcceptCountersignature     ◀── signed head ──
//
// From then on neither side can change its log alone. VerifyLog checks a log
// against its heads; a Bundle lets a third party check entries offline.
//
// The log's rows are kept by internal/store, whose Reader and Tx satisfy the
// interfaces here; a Store erases what has expired (EraseLogEntries).
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// SaltSize is the length of a leaf's salt in bytes.
	SaltSize = 32
	// MaxEntry bounds an entry's JSON in bytes: room for some five million
	// references.
	MaxEntry = 256 << 20
	// entryVersion is the version of the fields of Entry.
	entryVersion = 1
)

// Reader reads the rows of a log. For an answer that holds together, pass one
// snapshot.
type Reader interface {
	LogSize(tree string) (int64, error)
	LogHashes(tree string, numbers []int64) ([][]byte, error)
	ScanLogHashes(tree string, fn func(n int64, hash []byte) error) error
	ScanLog(tree string, from, to int64, fn func(n int64, leaf, salt, entry []byte, expires time.Time) error) error
	ScanLogHeads(tree string, own bool, fn func(size int64, root, note []byte, countersigned bool) error) error
	LastLogHead(tree string, own, countersigned bool) (size int64, root, note []byte, err error)
}

// Writer is a Reader inside a transaction that can also write.
type Writer interface {
	Reader
	AppendLogLeaf(tree string, n int64, leaf, salt, entry []byte, expires time.Time, first int64, hashes [][]byte) error
	PutLogHead(tree string, own bool, size int64, root, note []byte, countersigned bool) error
}

// Tree names this node's log under one agreement, and the peer's.
type Tree struct {
	// Agreement is the agreement's id, and the name of the log's rows.
	Agreement string
	// Own and Peer are the root fingerprints of both agencies.
	Own, Peer string
}

// validate keeps the names out of trouble in a head, whose lines they share.
func (t Tree) validate() error {
	for _, name := range []string{t.Agreement, t.Own, t.Peer} {
		if name == "" || len(name) > 128 || bytes.ContainsFunc([]byte(name), func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '-'
		}) {
			return fmt.Errorf("audit: %.32q can't name a log", name)
		}
	}
	if t.Own == t.Peer {
		return errors.New("audit: a log's owner and peer are the same agency")
	}
	return nil
}

// Entry is what the log says about one event. Empty fields are left out.
type Entry struct {
	Version int       `json:"version"`
	Time    time.Time `json:"time"`
	// Event is a code, such as "proposed", "approved", "attempt", "finished".
	Event string `json:"event"`
	// User is the operator's name, UserKey their public key in hexadecimal.
	User    string `json:"user,omitempty"`
	UserKey string `json:"user_key,omitempty"`
	Purpose string `json:"purpose,omitempty"`
	Case    string `json:"case,omitempty"`

	Agreement string `json:"agreement,omitempty"`
	Session   string `json:"session,omitempty"`
	// Peer is the peer's root fingerprint.
	Peer string `json:"peer,omitempty"`
	Role string `json:"role,omitempty"`
	Mode string `json:"mode,omitempty"`
	// Attempts counts the session's attempts begun so far.
	Attempts int `json:"attempts,omitempty"`
	// OwnItems and PeerItems are set sizes after padding, Hits the number of
	// hits or shared items. They are pointers because 0 is a statement.
	OwnItems  *int64 `json:"own_items,omitempty"`
	PeerItems *int64 `json:"peer_items,omitempty"`
	Hits      *int64 `json:"hits,omitempty"`
	// Commitment and PeerCommitment are the input commitments, Transcript the
	// hash of the transcript, in hexadecimal. Without a replay a commitment
	// proves nothing about the honesty of the inputs.
	Commitment     string `json:"commitment,omitempty"`
	PeerCommitment string `json:"peer_commitment,omitempty"`
	Transcript     string `json:"transcript,omitempty"`
	Outcome        string `json:"outcome,omitempty"`
	// References are this node's own record ids, Rules those by which they were
	// hit.
	References []string `json:"references,omitempty"`
	Rules      []string `json:"rules,omitempty"`
	Note       string   `json:"note,omitempty"`
	// Epoch and Serial are the version of a filter, Number that of a request on
	// its stream.
	Epoch  uint32 `json:"epoch,omitempty"`
	Serial uint64 `json:"serial,omitempty"`
	Number uint64 `json:"number,omitempty"`
	// Key is the public key that signs a stream's requests, Signature by whom
	// the entry's subject was signed: the agency for a key, the key for a
	// request.
	Key       []byte `json:"key,omitempty"`
	Signature []byte `json:"signature,omitempty"`
	// Expires is the end of the entry's retention; zero means never.
	Expires time.Time `json:"expires,omitzero"`
}

// ParseEntry reads an entry's JSON.
func ParseEntry(data []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return Entry{}, fmt.Errorf("audit: entry is not valid JSON: %w", err)
	}
	if e.Version != entryVersion {
		return Entry{}, fmt.Errorf("audit: entry has version %d, want %d", e.Version, entryVersion)
	}
	return e, nil
}

// Append adds an entry to the log and returns its number, from 0. The entry is
// erasable from expires on; the zero time keeps it for good. Version, Agreement
// and Expires are filled in. The salt is drawn from rand.
func (t Tree) Append(w Writer, rand io.Reader, e Entry, expires time.Time) (int64, error) {
	if err := t.validate(); err != nil {
		return 0, err
	}
	if e.Event == "" || e.Time.IsZero() {
		return 0, errors.New("audit: an entry needs an event and a time")
	}
	e.Version, e.Agreement, e.Time = entryVersion, t.Agreement, e.Time.UTC()
	if e.Expires = expires; !expires.IsZero() {
		e.Expires = expires.UTC().Truncate(time.Millisecond) // what the store keeps
	}
	entry, err := json.Marshal(e)
	if err != nil {
		return 0, fmt.Errorf("audit: encoding entry: %w", err)
	}
	if len(entry) > MaxEntry {
		return 0, fmt.Errorf("audit: entry has %d bytes, at most %d fit", len(entry), MaxEntry)
	}
	salt := make([]byte, SaltSize)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return 0, fmt.Errorf("audit: drawing a salt: %w", err)
	}
	n, err := w.LogSize(t.Agreement)
	if err != nil {
		return 0, err
	}
	leaf := leafOf(salt, entry)
	hashes, err := tlog.StoredHashes(n, leaf[:], t.hashes(w))
	if err != nil {
		return 0, fmt.Errorf("audit: appending to log %.16s: %w", t.Agreement, err)
	}
	err = w.AppendLogLeaf(t.Agreement, n, leaf[:], salt, entry, expires, tlog.StoredHashIndex(0, n), toBytes(hashes))
	return n, err
}

// leafOf is SHA-256(salt || entry). The salt has a fixed length, so no two
// pairs share an encoding.
func leafOf(salt, entry []byte) [sha256.Size]byte {
	return sha256.Sum256(slices.Concat(salt, entry))
}

// hashes reads the tree's stored hashes.
func (t Tree) hashes(r Reader) tlog.HashReader {
	return tlog.HashReaderFunc(func(numbers []int64) ([]tlog.Hash, error) {
		raw, err := r.LogHashes(t.Agreement, numbers)
		if err != nil {
			return nil, err
		}
		return toHashes(raw)
	})
}

func toHashes(raw [][]byte) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(raw))
	for i, b := range raw {
		if len(b) != tlog.HashSize {
			return nil, fmt.Errorf("audit: hash %d has %d bytes, want %d", i, len(b), tlog.HashSize)
		}
		out[i] = tlog.Hash(b)
	}
	return out, nil
}

func toBytes(hashes []tlog.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

// Filter selects entries; an empty field selects all.
type Filter struct {
	Session, Case, User, Event string
	// Since is inclusive, Until exclusive.
	Since, Until time.Time
}

func (f Filter) matches(e Entry) bool {
	for _, p := range [][2]string{{f.Session, e.Session}, {f.Case, e.Case}, {f.User, e.User}, {f.Event, e.Event}} {
		if p[0] != "" && p[0] != p[1] {
			return false
		}
	}
	return (f.Since.IsZero() || !e.Time.Before(f.Since)) && (f.Until.IsZero() || e.Time.Before(f.Until))
}

// Record is one entry in its place in the log.
type Record struct {
	Index int64
	// Entry is zero once erased.
	Entry   Entry
	Erased  bool
	Expires time.Time
}

// List returns the selected records in order. Erased ones can't be matched, so
// they are in the answer to the empty filter only. It trusts the rows: see
// VerifyLog.
func (t Tree) List(r Reader, f Filter) ([]Record, error) {
	var out []Record
	size, err := r.LogSize(t.Agreement)
	if err != nil {
		return nil, err
	}
	err = r.ScanLog(t.Agreement, 0, size, func(n int64, _, _, entry []byte, expires time.Time) error {
		rec := Record{Index: n, Expires: expires, Erased: entry == nil}
		if !rec.Erased {
			if rec.Entry, err = ParseEntry(entry); err != nil {
				return fmt.Errorf("entry %d: %w", n, err)
			}
		}
		if f == (Filter{}) || !rec.Erased && f.matches(rec.Entry) {
			out = append(out, rec)
		}
		return nil
	})
	return out, err
}
