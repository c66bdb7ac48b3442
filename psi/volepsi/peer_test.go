package volepsi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/okvs"
	"github.com/symbolon/symbolon/psi"
)

const (
	peerSender   = 2000
	peerReceiver = 1500
)

// honest returns the messages of an honest run, by role.
func honest(t testing.TB, p psi.Params) map[psi.Role][]psi.Message {
	t.Helper()
	s, r := newPair(t, p, numbered(1, 0, p.SenderItems), numbered(2, 100, 100+p.ReceiverItems), psi.Options{})
	return mustRun(t, s, r).log
}

// lie runs with one party's message of a kind replaced.
func lie(t testing.TB, p psi.Params, from psi.Role, kind uint8, alter func(m psi.Message) []psi.Message) (*wire, *Sender, *Receiver) {
	t.Helper()
	s, r := newPair(t, p, numbered(1, 0, p.SenderItems), numbered(2, 100, 100+p.ReceiverItems), psi.Options{})
	w := &wire{alter: func(role psi.Role, _ int, m psi.Message) []psi.Message {
		if role == from && m.Kind == kind {
			return alter(m)
		}
		return []psi.Message{m}
	}}
	w.run(context.Background(), s, r)
	return w, s, r
}

func edit(f func(b []byte) []byte) func(m psi.Message) []psi.Message {
	return func(m psi.Message) []psi.Message {
		m.Payload = f(m.Payload)
		return []psi.Message{m}
	}
}

func flip(at int) func(m psi.Message) []psi.Message {
	return edit(func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b })
}

func TestLyingPeers(t *testing.T) {
	t.Parallel()
	const s, r = psi.RoleSender, psi.RoleReceiver
	short := edit(func(b []byte) []byte { return b[:len(b)-1] })
	long := edit(func(b []byte) []byte { return append(b, 0) })
	empty := edit(func([]byte) []byte { return nil })
	for name, tt := range map[string]struct {
		from  psi.Role
		kind  uint8
		alter func(m psi.Message) []psi.Message
	}{
		"offer short":                      {s, kindOffer, short},
		"offer with no group element":      {s, kindOffer, edit(func(b []byte) []byte { clear(b[commitLen : commitLen+32]); return b })},
		"commitment altered":               {s, kindOffer, flip(0)},
		"base OT of the offer altered":     {s, kindOffer, edit(func(b []byte) []byte { copy(b[commitLen:], b[commitLen+64:commitLen+96]); return b })},
		"extension long":                   {r, kindExtend, long},
		"base OT's reply altered":          {r, kindExtend, edit(func(b []byte) []byte { copy(b, b[32:64]); return b })},
		"OT extension altered":             {r, kindExtend, flip(9000)},
		"OT extension's check altered":     {r, kindExtend, flip(-1)},
		"tree's sums altered":              {s, kindSums, edit(func(b []byte) []byte { b[0] ^= 1; b[16] ^= 1; return b })},
		"tree's total altered":             {s, kindSums, flip(-1)},
		"sums short":                       {s, kindSums, short},
		"challenge altered":                {r, kindChallenge, flip(0)},
		"challenge's masked noise altered": {r, kindChallenge, flip(-1)},
		"challenge empty":                  {r, kindChallenge, empty},
		"wrong consistency answer":         {s, kindProof, flip(7)},
		"consistency answer long":          {s, kindProof, long},
		"vector short":                     {r, kindVector, short},
		"vector long":                      {r, kindVector, edit(func(b []byte) []byte { return append(b, make([]byte, 16)...) })},
		"vector empty":                     {r, kindVector, empty},
		"coin short":                       {r, kindCoin, short},
		"another coin than committed":      {s, kindReveal, flip(3)},
		"reveal long":                      {s, kindReveal, long},
		"tags short":                       {s, kindTags, short},
		"tags missing":                     {s, kindTags, edit(func(b []byte) []byte { return b[16:] })},
		"tags too many":                    {s, kindTags, edit(func(b []byte) []byte { return append(b, bytes.Repeat([]byte{0xff}, 16)...) })},
		"tag repeated":                     {s, kindTags, edit(func(b []byte) []byte { copy(b[16:32], b); return b })},
		"tags out of order":                {s, kindTags, edit(func(b []byte) []byte { b[0], b[len(b)-16] = b[len(b)-16], b[0]; return b })},
		"kind unknown":                     {s, kindSums, func(m psi.Message) []psi.Message { m.Kind = 200; return []psi.Message{m} }},
		"sums twice":                       {s, kindSums, func(m psi.Message) []psi.Message { return []psi.Message{m, m} }},
		"extension twice":                  {r, kindExtend, func(m psi.Message) []psi.Message { return []psi.Message{m, m} }},
		"reveal before the vector's end": {s, kindProof, func(m psi.Message) []psi.Message {
			return []psi.Message{m, {Kind: kindReveal, Payload: make([]byte, coinLen)}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, sender, receiver := lie(t, params(psi.Malicious, peerSender, peerReceiver), tt.from, tt.kind, tt.alter)
			// An altered offer or challenge shows only in what comes back, so
			// the victim may see the other side fail first; but nobody finishes.
			blamed := errors.Is(w.err[s], psi.ErrPeer) || errors.Is(w.err[r], psi.ErrPeer)
			if !blamed {
				t.Errorf("nobody blames the peer: sender %v, receiver %v", w.err[s], w.err[r])
			}
			if sender.Done() && receiver.Done() || receiver.Result() != nil || sender.Outputs() != nil && receiver.Done() {
				t.Error("the run finished")
			}
		})
	}
}

// TestExtraMessages sends more after the last message.
func TestExtraMessages(t *testing.T) {
	t.Parallel()
	for _, security := range []psi.Security{psi.SemiHonest, psi.Malicious} {
		p := params(security, 10, 10)
		s, r := newPair(t, p, numbered(1, 0, 10), numbered(2, 5, 15), psi.Options{})
		mustRun(t, s, r)
		if s.Wants() || r.Wants() {
			t.Error("a party wants more after the end")
		}
		for _, kind := range []uint8{kindTags, kindCoin} {
			s, r := newPair(t, p, numbered(1, 0, 10), numbered(2, 5, 15), psi.Options{})
			mustRun(t, s, r)
			for _, party := range []psi.Party{s, r} {
				if err := party.Handle(context.Background(), psi.Message{Kind: kind}); !errors.Is(err, psi.ErrPeer) {
					t.Errorf("%s: message kind %d after the end gives %v", security, kind, err)
				}
			}
		}
	}
}

// TestAlteredVectorGivesNoHits: an altered vector is no lie that anyone could
// see, but the receiver's own loss. It must not turn into wrong hits.
func TestAlteredVectorGivesNoHits(t *testing.T) {
	t.Parallel()
	alter := edit(func(b []byte) []byte {
		for i := range b {
			b[i] ^= 0x5a
		}
		return b
	})
	w, _, r := lie(t, params(psi.Malicious, peerSender, peerReceiver), psi.RoleReceiver, kindVector, alter)
	if w.err[psi.RoleSender] != nil || w.err[psi.RoleReceiver] != nil || r.Result().Count != 0 {
		t.Errorf("no result, or hits; errors %v", w.err)
	}
}

// TestWrongDelta uses another Δ for the vector than for the correlation: every
// output of the sender is wrong then, and no item hits.
func TestWrongDelta(t *testing.T) {
	t.Parallel()
	p := params(psi.Malicious, 300, 300)
	s, r := newPair(t, p, numbered(1, 0, 300), numbered(2, 0, 300), psi.Options{})
	w := &wire{alter: func(role psi.Role, _ int, m psi.Message) []psi.Message {
		if m.Kind == kindCoin {
			// K = B + AΔ already holds the right Δ; Δ·H_B(y) gets another.
			for i := range s.own.values {
				s.own.values[i] = s.own.values[i].Mul(field.Element{Lo: 3})
			}
		}
		return []psi.Message{m}
	}}
	w.run(context.Background(), s, r)
	if r.Result() == nil || r.Result().Count != 0 {
		t.Errorf("no result, or hits; errors %v", w.err)
	}
}

// TestReplay plays a message of another session, attempt or shard into a run.
func TestReplay(t *testing.T) {
	t.Parallel()
	p := params(psi.Malicious, 400, 300)
	other := p
	other.Session[5] ^= 1
	attempt := p
	attempt.Attempt++
	for name, q := range map[string]psi.Params{"session": other, "attempt": attempt} {
		old := honest(t, q)
		for role, messages := range old {
			for i, m := range messages {
				t.Run(fmt.Sprintf("%s/%s %d", name, role, i), func(t *testing.T) {
					w, s, r := lie(t, p, role, m.Kind, func(psi.Message) []psi.Message { return []psi.Message{{Kind: m.Kind, Payload: bytes.Clone(m.Payload)}} })
					blamed := errors.Is(w.err[psi.RoleSender], psi.ErrPeer) || errors.Is(w.err[psi.RoleReceiver], psi.ErrPeer)
					switch m.Kind {
					case kindVector, kindCoin, kindTags:
						// Random to whoever gets them: no hits, as above.
						if !s.Done() || !r.Done() || r.Result().Count != 0 {
							t.Errorf("not done, or hits; errors %v", w.err)
						}
					default:
						if !blamed || r.Done() {
							t.Errorf("the replay is not seen: errors %v", w.err)
						}
					}
				})
			}
		}
	}
}

// TestCut drops everything after each message: nobody finishes, nobody fails,
// and the parties can be dropped.
func TestCut(t *testing.T) {
	t.Parallel()
	p := params(psi.Malicious, 200, 200)
	full := honest(t, p)
	total := len(full[psi.RoleSender]) + len(full[psi.RoleReceiver])
	for cut := range total {
		s, r := newPair(t, p, numbered(1, 0, 200), numbered(2, 100, 300), psi.Options{})
		n := 0
		w := &wire{alter: func(_ psi.Role, _ int, m psi.Message) []psi.Message {
			if n++; n > cut {
				return nil
			}
			return []psi.Message{m}
		}}
		w.run(context.Background(), s, r)
		if r.Result() != nil || w.err[psi.RoleSender] != nil || w.err[psi.RoleReceiver] != nil {
			t.Errorf("cut after %d messages: a result, or errors %v", cut, w.err)
		}
	}
}

// TestOverfullReceiver states how many items a lying receiver gets in: it
// encodes more than it declared into a store of the declared size, and hits for
// them. It stays below Bound, since a store of m elements satisfies no more
// than m independent equations.
func TestOverfullReceiver(t *testing.T) {
	t.Parallel()
	const declared = 1000
	p := params(psi.Malicious, 2000, declared)
	extra := declared + 100
	s, r := newPair(t, p, numbered(1, 0, 2000), numbered(2, 0, declared), psi.Options{})
	// The liar: the same party with more items than the parameters say.
	r.items = numbered(3, 0, extra)
	if err := r.hash(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.own.keys.Params.Keys, r.own.keys.Params.Capacity = extra, extra
	vector := make([]field.Element, r.store.Len())
	if err := okvs.Encode(context.Background(), 1, r.own.keys, r.own.values, vector); err != nil {
		t.Fatal(err)
	}
	r.vector = vector
	r.p.ReceiverItems = extra
	w := &wire{}
	w.run(context.Background(), s, r)
	if r.Result() == nil {
		t.Fatal(w.err)
	}
	if got := r.Result().Count; got != extra || got > Bound(declared) {
		t.Errorf("the liar gets %d hits for %d items, bound %d", got, extra, Bound(declared))
	}
	over := Bound(declared) + 1
	o, err := newRun(params(psi.Malicious, 1, declared), psi.RoleReceiver, numbered(4, 0, declared), psi.Options{Rand: stream("x")})
	if err != nil {
		t.Fatal(err)
	}
	o.items = numbered(4, 0, over)
	if err := o.hash(context.Background()); err != nil {
		t.Fatal(err)
	}
	o.own.keys.Params.Keys, o.own.keys.Params.Capacity = over, over
	if err := okvs.Encode(context.Background(), 1, o.own.keys, o.own.values, vector[:o.store.Len()]); !errors.Is(err, okvs.ErrSingular) {
		t.Errorf("%d items in a store of %d elements: %v", over, o.store.Len(), err)
	}
}

// FuzzMessages feeds any bytes to either party at each of its steps.
func FuzzMessages(f *testing.F) {
	p := params(psi.Malicious, 20, 20)
	log := honest(f, p)
	for role, messages := range log {
		for i, m := range messages {
			f.Add(role == psi.RoleSender, uint8(i), m.Kind, m.Payload)
			f.Add(role == psi.RoleSender, uint8(i), m.Kind+1, m.Payload[:len(m.Payload)/2])
		}
	}
	f.Fuzz(func(t *testing.T, fromSender bool, at, kind uint8, payload []byte) {
		from := psi.RoleReceiver
		if fromSender {
			from = psi.RoleSender
		}
		s, r := newPair(t, p, numbered(1, 0, 20), numbered(2, 10, 30), psi.Options{Workers: 1})
		w := &wire{alter: func(role psi.Role, i int, m psi.Message) []psi.Message {
			if role == from && i == int(at) {
				return []psi.Message{{Kind: kind, Payload: payload}}
			}
			return []psi.Message{m}
		}}
		w.run(context.Background(), s, r)
		// Whatever came, a result holds only items that both have.
		if res := r.Result(); res != nil && res.Count > 10 {
			t.Fatalf("%d hits of 10 shared items", res.Count)
		}
	})
}
