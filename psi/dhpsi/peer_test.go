package dhpsi

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/symbolon/symbolon/psi"
)

func long() bool { return os.Getenv("SYMBOLON_LONG") != "" }

// malformed are changes to a batch of at least two elements, and what the
// error says of them.
var malformed = []struct {
	name, says string
	change     func(b []byte) []byte
}{
	{"empty", "got 0 bytes", func([]byte) []byte { return nil }},
	{"one byte short", "bytes, want", func(b []byte) []byte { return b[:len(b)-1] }},
	{"too few", "bytes, want", func(b []byte) []byte { return b[:len(b)-ElementSize] }},
	{"too many", "bytes, want", func(b []byte) []byte { return append(b, b[:ElementSize]...) }},
	{"identity", "element 1 is the identity", func(b []byte) []byte { return put(b, make([]byte, ElementSize)) }},
	{"identity as p", "element 1 is not a canonical", func(b []byte) []byte { return put(b, unhex("ed"+strings.Repeat("ff", 30)+"7f")) }},
	{"not an element", "element 1 is not a canonical", func(b []byte) []byte {
		return put(b, unhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"))
	}},
	{"top bit", "element 1 is not a canonical", func(b []byte) []byte { b[2*ElementSize-1] |= 0x80; return b }},
	{"repeated", "element 1 repeats", func(b []byte) []byte { return put(b, b[:ElementSize]) }},
}

// put replaces the second element.
func put(b, e []byte) []byte { copy(b[ElementSize:], e); return b }

func wantPeerError(t *testing.T, err error, says string) {
	t.Helper()
	if !errors.Is(err, psi.ErrPeer) || !strings.Contains(err.Error(), says) {
		t.Fatalf("got error %v, want one of the peer that says %q", err, says)
	}
}

// spent checks that a party does nothing after an error.
func spent(t *testing.T, p psi.Party) {
	t.Helper()
	if p.Wants() || p.Done() {
		t.Error("party goes on after an error")
	}
	if _, err := p.Next(context.Background()); err == nil {
		t.Error("Next works after an error")
	}
	if err := p.Handle(context.Background(), psi.Message{}); err == nil {
		t.Error("Handle works after an error")
	}
}

func TestMalformedReceiver(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, mode := range []psi.Mode{psi.ModeIntersection, psi.ModeCardinality} {
		for _, tt := range malformed {
			t.Run(string(mode)+"/"+tt.name, func(t *testing.T) {
				s, r := newPair(t, params(mode, 3, 3), numbered(0, 3), numbered(1, 4), psi.Options{})
				m, err := r.Next(ctx)
				if err != nil {
					t.Fatal(err)
				}
				m.Payload = tt.change(m.Payload)
				wantPeerError(t, s.Handle(ctx, *m), tt.says)
				spent(t, s)
			})
		}
	}
	t.Run("wrong kind", func(t *testing.T) {
		s, r := newPair(t, params(psi.ModeIntersection, 3, 3), numbered(0, 3), numbered(1, 4), psi.Options{})
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		m.Kind = kindTags
		wantPeerError(t, s.Handle(ctx, *m), "kind 2, want 1")
		spent(t, s)
	})
	t.Run("more after the last", func(t *testing.T) {
		s, r := newPair(t, params(psi.ModeIntersection, 3, 3), numbered(0, 3), numbered(1, 4), psi.Options{})
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Handle(ctx, *m); err != nil {
			t.Fatal(err)
		}
		wantPeerError(t, s.Handle(ctx, *m), "beyond the declared 3")
	})
	t.Run("repeated in another batch", func(t *testing.T) {
		n := BatchItems + 1
		s, r := newPair(t, params(psi.ModeIntersection, 0, n), nil, numbered(0, n), psi.Options{})
		first, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		again := psi.Message{Kind: kindBlinded, Payload: append([]byte(nil), first.Payload[:ElementSize]...)}
		if err := s.Handle(ctx, *first); err != nil {
			t.Fatal(err)
		}
		wantPeerError(t, s.Handle(ctx, again), "element 4096 repeats")
	})
}

// senderMessages runs an honest sender of three items against an honest
// receiver of three up to the messages that the receiver would get next.
func senderMessages(t *testing.T, mode psi.Mode) (r *Receiver, tags, evaluated psi.Message) {
	t.Helper()
	ctx := context.Background()
	s, r := newPair(t, params(mode, 3, 3), numbered(0, 3), numbered(1, 4), psi.Options{})
	m, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Handle(ctx, *m); err != nil {
		t.Fatal(err)
	}
	for _, to := range []*psi.Message{&tags, &evaluated} {
		m, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		*to = *m
	}
	return r, tags, evaluated
}

func TestMalformedSender(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, mode := range []psi.Mode{psi.ModeIntersection, psi.ModeCardinality} {
		for _, tt := range malformed {
			t.Run(string(mode)+"/"+tt.name, func(t *testing.T) {
				r, tags, evaluated := senderMessages(t, mode)
				if err := r.Handle(ctx, tags); err != nil {
					t.Fatal(err)
				}
				evaluated.Payload = tt.change(evaluated.Payload)
				wantPeerError(t, r.Handle(ctx, evaluated), tt.says)
				spent(t, r)
				if r.Result() != nil {
					t.Error("there is a result after an error")
				}
			})
		}
	}
	for _, tt := range []struct {
		name, says string
		change     func(b []byte, tagLen int) []byte
	}{
		{"no tags", "got 0 bytes", func(b []byte, _ int) []byte { return nil }},
		{"too few tags", "bytes, want", func(b []byte, n int) []byte { return b[:len(b)-n] }},
		{"too many tags", "bytes, want", func(b []byte, n int) []byte { return append(b, make([]byte, n)...) }},
		{"half a tag", "bytes, want", func(b []byte, n int) []byte { return b[:len(b)-1] }},
		{"repeated tag", "tag 2 repeats", func(b []byte, n int) []byte { copy(b[2*n:], b[:n]); return b }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, tags, _ := senderMessages(t, psi.ModeIntersection)
			tags.Payload = tt.change(tags.Payload, r.tagLen)
			wantPeerError(t, r.Handle(ctx, tags), tt.says)
			spent(t, r)
		})
	}
	t.Run("evaluated before tags", func(t *testing.T) {
		r, _, evaluated := senderMessages(t, psi.ModeIntersection)
		wantPeerError(t, r.Handle(ctx, evaluated), "kind 3, want 2")
	})
	t.Run("tags twice", func(t *testing.T) {
		r, tags, _ := senderMessages(t, psi.ModeIntersection)
		if err := r.Handle(ctx, tags); err != nil {
			t.Fatal(err)
		}
		wantPeerError(t, r.Handle(ctx, tags), "kind 2, want 3")
	})
	t.Run("message after the last", func(t *testing.T) {
		r, tags, evaluated := senderMessages(t, psi.ModeIntersection)
		for _, m := range []psi.Message{tags, evaluated} {
			if err := r.Handle(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		wantPeerError(t, r.Handle(ctx, tags), "after the last")
	})
	for _, mode := range []psi.Mode{psi.ModeIntersection, psi.ModeCardinality} {
		t.Run("evaluated before blinded, "+string(mode), func(t *testing.T) {
			_, tags, evaluated := senderMessages(t, mode)
			_, r := newPair(t, params(mode, 3, 3), numbered(0, 3), numbered(1, 4), psi.Options{})
			if err := r.Handle(ctx, tags); err != nil {
				t.Fatal(err)
			}
			wantPeerError(t, r.Handle(ctx, evaluated), "of 0 blinded")
		})
	}
}

// TestImpatientDriver hands the sender more than it wants.
func TestImpatientDriver(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("set SYMBOLON_LONG=1: three batches take seconds")
	}
	ctx := context.Background()
	n := 3 * BatchItems
	s, r := newPair(t, params(psi.ModeIntersection, 1, n), numbered(0, 1), numbered(0, n), psi.Options{})
	var err error
	for range 3 {
		m, nextErr := r.Next(ctx)
		if nextErr != nil {
			t.Fatal(nextErr)
		}
		err = s.Handle(ctx, *m)
	}
	if err == nil || errors.Is(err, psi.ErrPeer) {
		t.Fatalf("got error %v, want one that blames the driver", err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := params(psi.ModeIntersection, 3, 3)
	s, r := newPair(t, p, numbered(0, 3), numbered(0, 3), psi.Options{})
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the sender's Next returns %v", err)
	}
	spent(t, s)
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the receiver's Next returns %v", err)
	}
	spent(t, r)

	s, r = newPair(t, p, numbered(0, 3), numbered(0, 3), psi.Options{})
	m, err := r.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Handle(ctx, *m); !errors.Is(err, context.Canceled) {
		t.Errorf("the sender's Handle returns %v", err)
	}
	spent(t, s)

	r, tags, evaluated := senderMessages(t, psi.ModeIntersection)
	if err := r.Handle(context.Background(), tags); err != nil {
		t.Fatal(err)
	}
	if err := r.Handle(ctx, evaluated); !errors.Is(err, context.Canceled) {
		t.Errorf("the receiver's Handle returns %v", err)
	}
	spent(t, r)
}

// TestCancelledMidway cancels from within a stage; goleak in TestMain sees
// what would stay behind.
func TestCancelledMidway(t *testing.T) {
	t.Parallel()
	for _, at := range []string{StageBlind, StageTag, StageEvaluate} {
		ctx, cancel := context.WithCancel(context.Background())
		n := BatchItems/4 + 1
		s, r := newPair(t, params(psi.ModeCardinality, n, n), numbered(0, n), numbered(0, n), psi.Options{
			Progress: func(stage string, done, total int) {
				if stage == at {
					cancel()
				}
			},
		})
		if err := connect(ctx, s, r); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at %s: got %v", at, err)
		}
		if r.Result() != nil {
			t.Errorf("cancelled at %s: there is a result", at)
		}
		cancel()
	}
}
