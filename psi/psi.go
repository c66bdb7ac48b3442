// Package psi holds what the private set intersection engines share: items,
// roles, parameters, the shape of a party, and the values derived from an
// engine's output.
//
// An engine (psi/dhpsi, psi/volepsi) is a pair of state machines, a sender and
// a receiver, that know neither network nor clock. Sender and receiver always
// mean the PSI roles: the receiver learns the result.
package psi

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// ItemSize is the length of an Item in bytes.
const ItemSize = 16

// Item is one match key hashed to 128 bits for one session. A lying peer's
// item is any 128 bits, so engines hash items again themselves.
type Item [ItemSize]byte

// Role tells the two parties of a run apart.
type Role string

// The roles. The receiver learns the result.
const (
	RoleSender   Role = "sender"
	RoleReceiver Role = "receiver"
)

// Peer returns the other role.
func (r Role) Peer() Role {
	if r == RoleSender {
		return RoleReceiver
	}
	return RoleSender
}

// Mode says what a run discloses and to whom.
type Mode string

// The modes of a session.
const (
	// ModeIntersection tells the receiver which of its items the sender holds.
	ModeIntersection Mode = "intersection"
	// ModeMutual tells the sender too, by receipts the receiver returns.
	ModeMutual Mode = "mutual"
	// ModeCardinality tells the receiver how many items are shared.
	ModeCardinality Mode = "cardinality"
)

// ModeLookup is no session: single people are looked up in a published filter
// (psi/lookup).
const ModeLookup Mode = "lookup"

// ModeSearch is no session either: one person is looked for by resemblance,
// under encryption (psi/sealed).
const ModeSearch Mode = "search"

// Security names the adversary an engine withstands.
type Security string

// The adversaries.
const (
	SemiHonest Security = "semi-honest"
	Malicious  Security = "malicious"
)

// StatisticalSecurity is λ in bits: the probability of a wrong result is at
// most 2^-λ per run.
const StatisticalSecurity = 40

// MaxItems bounds a party's items in one run, so that indices fit in 32 bits
// with room to spare. Larger sets are cut into shards.
const MaxItems = 1 << 28

// MaxPayload bounds the payload of one Message in bytes: a frame of 1 MiB less
// room for its envelope.
const MaxPayload = 1<<20 - 4096

// Params fixes one run of an engine. Both parties hold equal values; they enter
// the transcript, so they can't quietly differ.
type Params struct {
	Mode     Mode
	Security Security
	// SenderItems and ReceiverItems count the items after padding.
	SenderItems, ReceiverItems int
	// Session binds every hash of the run. It is never reused.
	Session [32]byte
	// Shard and Attempt separate the runs of one session; both count from 0.
	Shard, Attempt uint32
}

// Validate reports the first parameter that no engine accepts.
func (p *Params) Validate() error {
	switch p.Mode {
	case ModeIntersection, ModeMutual, ModeCardinality:
	default:
		return fmt.Errorf("psi: mode %q is unknown", p.Mode)
	}
	switch p.Security {
	case SemiHonest, Malicious:
	default:
		return fmt.Errorf("psi: security %q is unknown", p.Security)
	}
	for _, n := range []int{p.SenderItems, p.ReceiverItems} {
		if n < 0 || n > MaxItems {
			return fmt.Errorf("psi: %d items are outside [0, %d]", n, MaxItems)
		}
	}
	if p.Session == [32]byte{} {
		return errors.New("psi: session id is zero")
	}
	return nil
}

// Context returns the canonical bytes of p, the associated data of everything
// a run hashes or seals.
func (p *Params) Context() []byte {
	b := make([]byte, 0, 96)
	b = AppendPart(b, []byte("symbolon/psi/v1"))
	b = AppendPart(b, []byte(p.Mode))
	b = AppendPart(b, []byte(p.Security))
	b = binary.BigEndian.AppendUint64(b, uint64(p.SenderItems))
	b = binary.BigEndian.AppendUint64(b, uint64(p.ReceiverItems))
	b = append(b, p.Session[:]...)
	b = binary.BigEndian.AppendUint32(b, p.Shard)
	return binary.BigEndian.AppendUint32(b, p.Attempt)
}

// TagBits returns the length of a tag in bits: λ + ⌈log2 nx⌉ + ⌈log2 ny⌉ for
// semi-honest engines, so that a wrong hit has probability at most 2^-λ over
// all nx·ny comparisons, and 128 for malicious ones (RR22, Section 5).
func (p *Params) TagBits() int {
	if p.Security == Malicious {
		return 128
	}
	return StatisticalSecurity + ceilLog2(p.SenderItems) + ceilLog2(p.ReceiverItems)
}

// TagLen is TagBits in whole bytes.
func (p *Params) TagLen() int { return (p.TagBits() + 7) / 8 }

func ceilLog2(n int) int {
	if n < 2 {
		return 0
	}
	return bits.Len(uint(n - 1))
}

// Options are what a party may choose alone: they change neither result nor
// transcript, except that Rand decides the party's secrets.
type Options struct {
	// Rand yields the party's randomness; crypto/rand.Reader or a Stream.
	Rand io.Reader
	// Workers bounds the goroutines of one call; 0 means all processors.
	Workers int
	// KeepOutputs keeps what labels and receipts are derived from.
	KeepOutputs bool
	// Progress, if set, hears of the items done in each stage. It is called
	// from the goroutine that calls the party.
	Progress func(stage string, done, total int)
}

// Message is one message of an engine: a kind that the engine numbers from 1,
// and at most MaxPayload bytes.
type Message struct {
	Kind    uint8
	Payload []byte
}

// Party is one side of one run: message in, message out. Its methods are
// called from one goroutine at a time, and no goroutine outlives a call. A
// party is spent after an error or once Done.
//
// A driver (Drive is one) repeats: take Next; while there is a message to send,
// send it, or hand over what has arrived, whichever is possible first, but call
// Handle only while Wants is true. Two parties driven so can't deadlock, and
// neither queues more than a few messages.
type Party interface {
	// Next returns the next message to send, or nil when there is none before
	// something arrives. The payload belongs to the caller.
	Next(ctx context.Context) (*Message, error)
	// Wants reports whether Handle may be called now. A party that wants a
	// message can't be Done without one, so a driver may wait for it.
	Wants() bool
	// Handle consumes a message of the peer, and owns its payload. An error
	// that wraps ErrPeer blames the peer.
	Handle(ctx context.Context, m Message) error
	// Done reports whether this side has sent and received everything.
	Done() bool
}

// Sender is the sending party.
type Sender interface {
	Party
	// Outputs returns what labels and receipts need, once the sender is Done
	// or, earlier, once its last tag has left. It needs Options.KeepOutputs
	// and returns nil in ModeCardinality.
	Outputs() *Outputs
}

// Receiver is the receiving party.
type Receiver interface {
	Party
	// Result returns the result once the receiver is Done, nil before.
	Result() *Result
}

// Outputs is the sender's view of its own tags, by their position in the
// order sent.
type Outputs struct {
	// TagLen is the length of one tag in bytes.
	TagLen int
	// Tags are all tags in the order sent, TagLen bytes each.
	Tags []byte
	// Order[p] is the index of the item whose tag is at position p.
	Order []uint32
	// Full holds the engine's full output of the item at position p,
	// FullLen bytes each, before truncation.
	Full    []byte
	FullLen int
}

// At returns the full output behind position p.
func (o *Outputs) At(p int) []byte { return o.Full[p*o.FullLen : (p+1)*o.FullLen] }

// Tag returns the tag at position p.
func (o *Outputs) Tag(p int) []byte { return o.Tags[p*o.TagLen : (p+1)*o.TagLen] }

// Result is what a run tells the receiver.
type Result struct {
	// Count is the number of shared items.
	Count int
	// Hits are the shared items in the order of the receiver's own; nil in
	// ModeCardinality.
	Hits []Hit
}

// Hit is one shared item.
type Hit struct {
	// Item is the index among the receiver's items.
	Item uint32
	// Position is the place of the matching tag among the sender's.
	Position uint32
	// Tag is the sender's tag, Full the engine's full output for the item.
	// Both are kept with Options.KeepOutputs; without it Full is nil, and Tag
	// may be.
	Tag, Full []byte
}

// ErrPeer marks an error as the peer's fault. What it wraps is for our own
// operator; the peer gets a code.
var ErrPeer = errors.New("peer broke the protocol")

// Peerf returns an error that wraps ErrPeer.
func Peerf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrPeer, fmt.Sprintf(format, args...))
}

// HashTuple returns SHA-256 over the parts, each prefixed with its length as
// eight big-endian bytes, so that no two tuples share an encoding.
func HashTuple(parts ...[]byte) [32]byte {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	var out [32]byte
	h.Sum(out[:0])
	return out
}

// AppendPart appends part behind its length, as HashTuple hashes it.
func AppendPart(b, part []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
	return append(b, part...)
}

// Labels of Derive.
const (
	DeriveTag      = "symbolon/v1/tag"
	DeriveLabelKey = "symbolon/v1/label-key"
	DeriveReceipt  = "symbolon/v1/receipt"
)

// Derive returns one of the values that come from an engine's full output,
// separated by domain and bound to the run's context.
func Derive(domain string, context, full []byte) [32]byte {
	return HashTuple([]byte(domain), context, full)
}
