package volepsi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/symbolon/symbolon/psi"
)

func startSender(p psi.Params, items []psi.Item, o psi.Options) (psi.Sender, error) {
	return NewSender(p, items, o)
}

func startReceiver(p psi.Params, items []psi.Item, o psi.Options) (psi.Receiver, error) {
	return NewReceiver(p, items, o)
}

// shardedPair returns both parties of a run cut into shards of target items.
func shardedPair(t testing.TB, p psi.Params, target int, ys, xs []psi.Item, first int) (*psi.ShardedSender, *psi.ShardedReceiver, psi.Sharding) {
	t.Helper()
	cut, err := psi.NewSharding(&p, target)
	if err != nil {
		t.Fatal(err)
	}
	options := func(name string) psi.ShardOptions {
		return psi.ShardOptions{First: first, Rand: func(shard int) io.Reader { return stream(name, uint32(shard), p.Attempt) }}
	}
	s, err := psi.NewShardedSender(p, cut, ys, psi.Options{KeepOutputs: true}, options("sender"), startSender)
	if err != nil {
		t.Fatal(err)
	}
	r, err := psi.NewShardedReceiver(p, cut, xs, psi.Options{KeepOutputs: true}, options("receiver"), startReceiver)
	if err != nil {
		t.Fatal(err)
	}
	return s, r, cut
}

func items(hits []psi.Hit) []uint32 {
	var out []uint32
	for _, h := range hits {
		out = append(out, h.Item)
	}
	return out
}

// TestShardedEqualsWhole compares sharded runs with one that is not.
func TestShardedEqualsWhole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ ns, nr, shared, target, shards int }{
		{0, 0, 0, 10, 1}, {5, 3, 2, 2, 3}, {100, 100, 50, 0, 1}, {100, 100, 50, 100, 1},
		{1000, 900, 333, 300, 4}, {10, 5000, 7, 2000, 3}, {5000, 0, 0, 2500, 2},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			t.Parallel()
			p := params(psi.Malicious, tt.ns, tt.nr)
			ys := numbered(1, 0, tt.ns)
			xs := numbered(2, tt.ns-tt.shared, tt.ns-tt.shared+tt.nr)
			whole, wholeReceiver := newPair(t, p, ys, xs, psi.Options{})
			mustRun(t, whole, wholeReceiver)
			s, r, cut := shardedPair(t, p, tt.target, ys, xs, 0)
			if cut.Shards != tt.shards {
				t.Fatalf("%d shards, want %d", cut.Shards, tt.shards)
			}
			mustRun(t, s, r)
			if got, want := items(r.Result().Hits), items(wholeReceiver.Result().Hits); !slices.Equal(got, want) || r.Result().Count != len(want) {
				t.Fatalf("sharded: %d hits, whole: %d", len(got), len(want))
			}
			out := s.Outputs()
			if len(out.Order) != cut.Tags() {
				t.Fatalf("%d outputs, want %d", len(out.Order), cut.Tags())
			}
			for _, h := range r.Result().Hits {
				at := int(h.Position)
				if ys[out.Order[at]] != xs[h.Item] || !bytes.Equal(out.Tag(at), h.Tag) || !bytes.Equal(out.At(at), h.Full) {
					t.Fatalf("hit of item %d points at another item of the sender", h.Item)
				}
			}
			real := 0
			for _, o := range out.Order {
				if int(o) < tt.ns {
					real++
				}
			}
			if real != tt.ns {
				t.Fatalf("%d outputs are of items, want %d", real, tt.ns)
			}
		})
	}
}

// TestShardedResumes runs the shards from the second on: what a session does
// after a cut. Together with the first, the result is the whole.
func TestShardedResumes(t *testing.T) {
	t.Parallel()
	p := params(psi.SemiHonest, 600, 500)
	ys, xs := numbered(1, 0, 600), numbered(2, 400, 900)
	full, fullReceiver, cut := shardedPair(t, p, 200, ys, xs, 0)
	var tags [][]byte
	w := mustRun(t, full, fullReceiver)
	for _, m := range w.log[psi.RoleReceiver] {
		tags = append(tags, m.Payload)
	}
	p.Attempt = 1
	s, r, _ := shardedPair(t, p, 200, ys, xs, 1)
	w = mustRun(t, s, r)
	for _, m := range w.log[psi.RoleReceiver] {
		if slices.ContainsFunc(tags, func(b []byte) bool { return bytes.Equal(b, m.Payload) }) {
			t.Error("another attempt repeats a message")
		}
	}
	rest := items(r.Result().Hits)
	for _, h := range fullReceiver.Result().Hits {
		in := slices.Contains(rest, h.Item)
		if later := int(h.Position) >= cut.SenderItems; in != later {
			t.Errorf("item %d: among the rest is %v, in a later shard %v", h.Item, in, later)
		}
	}
}

func TestShardedErrors(t *testing.T) {
	t.Parallel()
	p := params(psi.Malicious, 100, 100)
	if _, err := psi.NewSharding(&p, -1); err == nil {
		t.Error("shards of -1 items")
	}
	cut, err := psi.NewSharding(&p, 40)
	if err != nil {
		t.Fatal(err)
	}
	rand := func(int) io.Reader { return stream("x") }
	for name, so := range map[string]psi.ShardOptions{
		"no randomness": {}, "first below": {First: -1, Rand: rand}, "first above": {First: 4, Rand: rand},
	} {
		if _, err := psi.NewShardedSender(p, cut, numbered(1, 0, 100), psi.Options{}, so, startSender); err == nil {
			t.Errorf("%s: sender made", name)
		}
	}
	if _, err := psi.NewShardedReceiver(p, cut, numbered(1, 0, 99), psi.Options{}, psi.ShardOptions{Rand: rand}, startReceiver); err == nil {
		t.Error("99 items for 100 were accepted")
	}
	// A shard that does not hold its items, as with probability 2^-40.
	small := cut
	small.SenderItems = 5
	s, err := psi.NewShardedSender(p, small, numbered(1, 0, 100), psi.Options{}, psi.ShardOptions{Rand: rand}, startSender)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(context.Background()); err == nil || s.Done() || s.Wants() {
		t.Errorf("a full shard gives %v", err)
	}
	// A peer that lies in the second shard is blamed.
	sender, receiver, _ := shardedPair(t, p, 40, numbered(1, 0, 100), numbered(2, 50, 150), 0)
	reveals := 0
	w := &wire{alter: func(_ psi.Role, _ int, m psi.Message) []psi.Message {
		if m.Kind == kindReveal {
			if reveals++; reveals == 2 {
				m.Payload[0] ^= 1
			}
		}
		return []psi.Message{m}
	}}
	w.run(context.Background(), sender, receiver)
	if err := w.err[psi.RoleReceiver]; !errors.Is(err, psi.ErrPeer) || receiver.Result() != nil {
		t.Errorf("a lie in the second shard gives %v", err)
	}
	s2, r2, _ := shardedPair(t, p, 40, numbered(1, 0, 100), numbered(2, 50, 150), 0)
	mustRun(t, s2, r2)
	if err := r2.Handle(context.Background(), psi.Message{Kind: kindTags}); !errors.Is(err, psi.ErrPeer) {
		t.Errorf("a message after the last shard gives %v", err)
	}
}
