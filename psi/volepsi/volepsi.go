// Package volepsi is the fast engine: private set intersection from vector
// oblivious linear evaluation and an oblivious key-value store. It is the
// protocol of Raghuraman and Rindal, "Blazing Fast PSI from Improved OKVS and
// Subfield VOLE" (CCS 2022), over GF(2^128), on Rindal and Schoppmann,
// "VOLE-PSI" (Eurocrypt 2021). It rests on dual LPN, AES and SHA-256 as ideal
// primitives, and CDH in ristretto255 for 128 base OTs.
//
// H_B hashes items to the field, H_K to keys of the store, H_O to outputs; x
// are the receiver's items, y the sender's. A vector-OLE gives the receiver A'
// and C, the sender Δ and B with C = A'Δ + B.
//
//	receiver                                     sender
//	P with Decode(P, x) = H_B(x)                 w_S random
//	            ◀── offer: H(w_S), base OTs ──
//	            ─── extend ─────────────────▶
//	            ◀── sums of trees ───────────
//	            ─── challenge ──────────────▶
//	            ◀── proof ───────────────────
//	            ─── A = P + A', then w_R ───▶    K = B + AΔ
//	            ◀── reveal: w_S ─────────────
//	            ◀── tags, sorted ────────────
//
// With u = Decode(C, x) for the receiver, Decode(K, y) + Δ·H_B(y) for the
// sender, and w = w_S + w_R, the output of an item v is H_O(u + w, v): half of
// it is the tag, half what labels and receipts derive from. Both sides have
// the same output for a shared item; any other needs Δ·(H_B(y) + Decode(P, y)),
// which the receiver doesn't know.
//
// In psi.SemiHonest challenge, proof, w and the commitment are left out and
// tags are shorter.
//
// What the proof of the malicious variant relies on: H_O takes the item and is
// no fixed-key permutation; the sender is bound to w_S before it sees A and
// opens it only after all of A has come; the receiver sends A only after the
// sender's proof holds; tags leave sorted, in an order that says nothing of
// items or bins; the vector is masked everywhere by A', free columns too. What
// it leaves open: a receiver can fit more items into the store than it
// declared, up to Bound of its declared number.
//
// Time and memory access vary with the party's own items and noise positions:
// other tenants of the machine's caches are outside the model.
package volepsi

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/hugepage"
	"github.com/symbolon/symbolon/internal/okvs"
	"github.com/symbolon/symbolon/internal/oracle"
	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/vole"
	"github.com/symbolon/symbolon/psi"
)

// Kinds of messages.
const (
	kindOffer     = 1
	kindExtend    = 2
	kindSums      = 3
	kindChallenge = 4
	kindProof     = 5
	kindVector    = 6
	kindCoin      = 7
	kindReveal    = 8
	kindTags      = 9
)

// Stages that Options.Progress hears of, in the order of a run. Each ends with
// done equal to total.
const (
	StageHash     = "hash"     // items to keys and values, sorted by bin
	StageEncode   = "encode"   // the store
	StageBase     = "base"     // base OTs and their extension
	StageTrees    = "trees"    // GGM trees
	StageCheck    = "check"    // the consistency check of the trees
	StageCompress = "compress" // the code
	StageVector   = "vector"   // A: sent, or multiplied by Δ
	StageDecode   = "decode"   // the store
	StageOutputs  = "outputs"  // hashes of items
	StageSort     = "sort"     // tags
	StageTags     = "tags"     // sent, or joined with the own ones
)

// Stages returns the stages in the order of a run.
func Stages() []string {
	return []string{
		StageHash, StageEncode, StageBase, StageTrees, StageCheck, StageCompress,
		StageVector, StageDecode, StageOutputs, StageSort, StageTags,
	}
}

const (
	coinLen     = field.Size
	commitLen   = 32
	vectorChunk = psi.MaxPayload / field.Size
	// piece is the number of items that a worker takes at a time.
	piece = 1 << 13
)

// Bound returns the most items that a lying receiver can fit into its message
// if it declares n: one for each element of the store (RR22, Section 5). An
// agreement that caps items caps this number in truth.
func Bound(n int) int {
	p := storeParams(n)
	return p.Len()
}

func storeParams(n int) okvs.Params { return okvs.NewParams(n, psi.StatisticalSecurity) }

// run is what both parties have in common.
type run struct {
	p       psi.Params
	o       psi.Options
	role    psi.Role
	context []byte
	store   okvs.Params
	items   []psi.Item
	own     *table
	places  []uint32 // scratch, one for each item
	spare   [][]field.Element
	tagLen  int
	err     error
	next    []psi.Message // ready to leave, in order
}

func newRun(p psi.Params, role psi.Role, items []psi.Item, o psi.Options) (*run, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if p.Mode == psi.ModeCardinality {
		return nil, fmt.Errorf("volepsi: mode %s needs another engine", p.Mode)
	}
	want := p.SenderItems
	if role == psi.RoleReceiver {
		want = p.ReceiverItems
	}
	if len(items) != want {
		return nil, fmt.Errorf("volepsi: got %d items for a %s of %d", len(items), role, want)
	}
	if o.Rand == nil {
		return nil, errors.New("volepsi: no source of randomness")
	}
	r := &run{p: p, o: o, role: role, context: p.Context(), items: items, tagLen: p.TagLen()}
	r.store = storeParams(p.ReceiverItems)
	return r, nil
}

func (r *run) malicious() bool { return r.p.Security == psi.Malicious }

func (r *run) voleParams() vole.Params {
	return vole.Params{Length: r.store.Len(), Binding: r.context, Malicious: r.malicious()}
}

func (r *run) push(kind uint8, payload []byte) {
	r.next = append(r.next, psi.Message{Kind: kind, Payload: payload})
}

// pop returns the next message that is ready, nil if there is none.
func (r *run) pop() *psi.Message {
	if len(r.next) == 0 {
		return nil
	}
	m := r.next[0]
	r.next = r.next[1:]
	return &m
}

// fail makes err stick: a party is spent after an error.
func (r *run) fail(err error) error {
	if vole.PeerFault(err) {
		err = fmt.Errorf("%w: %w", psi.ErrPeer, err)
	}
	r.err = err
	return err
}

func (r *run) progress(stage string, done, total int) {
	if r.o.Progress != nil {
		r.o.Progress(stage, done, total)
	}
}

// table holds what a party computes of its items, in the order of the store's
// bins.
type table struct {
	keys   *okvs.Keys
	values []field.Element // H_B(item)
	origin []uint32        // the item's index among the party's
}

// take returns a vector of n elements with any contents, from memory that was
// given back if there is enough in one piece. Fresh memory costs page faults.
func (r *run) take(n int) []field.Element {
	for i, v := range r.spare {
		if cap(v) >= n {
			r.spare = append(r.spare[:i], r.spare[i+1:]...)
			return v[:n]
		}
	}
	return hugepage.Elements(n)
}

// give returns a vector that is no longer used.
func (r *run) give(v []field.Element) { r.spare = append(r.spare, v) }

// hash fills the table.
func (r *run) hash(ctx context.Context) error {
	if r.own != nil {
		return nil
	}
	// Memory that the VOLE takes later serves until then: the sender's trees
	// take over that of the values, the receiver's half of C that of the keys.
	n := len(r.items)
	var keys, values []field.Element
	v := r.voleParams()
	if r.role == psi.RoleSender {
		keys, values = r.take(n), r.take(max(n, v.SenderMemory()))[:n]
	} else {
		keys, values = r.take(max(n, v.ReceiverMemory()))[:n], r.take(max(n, r.store.Len()))[:n]
	}
	h := oracle.NewBatch("symbolon/v1/vole/item", r.context)
	err := parallel.Ranges(ctx, r.o.Workers, n, piece, func(lo, hi int) error {
		for i := lo; i < hi; i++ {
			keys[i] = field.FromBytes(r.items[i])
		}
		h.Hash1(keys[lo:hi], values[lo:hi], keys[lo:hi])
		return nil
	})
	if err != nil {
		return err
	}
	places, starts, err := r.store.Arrange(ctx, r.o.Workers, keys)
	if err != nil {
		return err
	}
	t := &table{
		keys:   &okvs.Keys{Params: r.store, Keys: hugepage.Elements(n), Starts: starts},
		origin: make([]uint32, n),
	}
	err = parallel.Ranges(ctx, r.o.Workers, n, 8*piece, func(lo, hi int) error {
		for i := lo; i < hi; i++ {
			p := places[i]
			t.keys.Keys[p], t.origin[p] = keys[i], uint32(i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.values = keys
	err = parallel.Ranges(ctx, r.o.Workers, n, 8*piece, func(lo, hi int) error {
		for i := lo; i < hi; i++ {
			t.values[places[i]] = values[i]
		}
		return nil
	})
	r.give(values)
	r.places = places
	r.own = t
	r.progress(StageHash, n, n)
	return err
}

// outputs turns u, the decoded value of each item of the table, into the items'
// outputs under the coin: u becomes the full outputs, and the result the tags
// in ascending order, each with the index of its item, or with its place in the
// table if the full outputs are kept. The table's keys are spent.
func (r *run) outputs(ctx context.Context, u []field.Element, coin field.Element) (tagList, error) {
	tags := r.take(len(u))
	h := oracle.NewBatch("symbolon/v1/vole/output", r.context)
	err := parallel.Ranges(ctx, r.o.Workers, len(u), piece, func(lo, hi int) error {
		for i := lo; i < hi; i++ {
			u[i] = u[i].Add(coin)
			tags[i] = field.FromBytes(r.items[r.own.origin[i]])
		}
		h.Hash2(tags[lo:hi], u[lo:hi], u[lo:hi], tags[lo:hi])
		return nil
	})
	if err != nil {
		return tagList{}, err
	}
	r.progress(StageOutputs, len(u), len(u))
	r.give(r.own.keys.Keys)
	list := tagList{r.take(len(u)), r.places}
	ids := r.own.origin
	if r.o.KeepOutputs {
		ids = nil
	}
	err = sortTags(ctx, r.o.Workers, tags, ids, r.tagLen, list)
	r.give(tags)
	r.progress(StageSort, len(u), len(u))
	return list, err
}

// commit hashes the sender's half of the coin.
func (r *run) commit(coin []byte) [commitLen]byte {
	return oracle.Sum("symbolon/v1/vole/coin", r.context, coin)
}

// wrongKind is the error of a message out of order.
func wrongKind(got, want uint8) error {
	return psi.Peerf("volepsi: got message kind %d, want %d", got, want)
}

func wrongLen(what string, got, want int) error {
	return psi.Peerf("volepsi: %s is %d bytes, want %d", what, got, want)
}
