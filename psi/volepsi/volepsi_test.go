package volepsi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/psi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbered returns the items numbered lo to hi-1, shuffled.
func numbered(seed uint64, lo, hi int) []psi.Item {
	out := make([]psi.Item, 0, hi-lo)
	for i := lo; i < hi; i++ {
		var it psi.Item
		binary.BigEndian.PutUint64(it[:], uint64(i))
		out = append(out, it)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func params(security psi.Security, ns, nr int) psi.Params {
	return psi.Params{
		Mode: psi.ModeIntersection, Security: security, SenderItems: ns, ReceiverItems: nr,
		Session: [32]byte{1, 2, 3},
	}
}

func stream(name string, numbers ...uint32) io.Reader {
	return psi.NewStream([]byte("a seed that only tests would use"), name, numbers...)
}

func newPair(t testing.TB, p psi.Params, ys, xs []psi.Item, o psi.Options) (*Sender, *Receiver) {
	t.Helper()
	o.Rand = stream("sender", p.Shard, p.Attempt, uint32(p.Session[5]))
	s, err := NewSender(p, ys, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Rand = stream("receiver", p.Shard, p.Attempt, uint32(p.Session[5]))
	r, err := NewReceiver(p, xs, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// wire carries the messages of a run in this goroutine, and may alter them.
type wire struct {
	alter func(from psi.Role, i int, m psi.Message) []psi.Message
	log   map[psi.Role][]psi.Message
	err   map[psi.Role]error
}

// run drives both parties until both are done or stuck. A party that failed
// takes no more part.
func (w *wire) run(ctx context.Context, s psi.Sender, r psi.Receiver) {
	w.log, w.err = map[psi.Role][]psi.Message{}, map[psi.Role]error{}
	parties := map[psi.Role]psi.Party{psi.RoleSender: s, psi.RoleReceiver: r}
	queue := map[psi.Role][]psi.Message{}
	for moved := true; moved; {
		moved = false
		for _, role := range []psi.Role{psi.RoleSender, psi.RoleReceiver} {
			p := parties[role]
			if w.err[role] != nil {
				continue
			}
			m, err := p.Next(ctx)
			if err != nil {
				w.err[role] = err
				continue
			}
			if m != nil {
				moved = true
				i := len(w.log[role])
				w.log[role] = append(w.log[role], psi.Message{Kind: m.Kind, Payload: bytes.Clone(m.Payload)})
				out := []psi.Message{*m}
				if w.alter != nil {
					out = w.alter(role, i, *m)
				}
				queue[role.Peer()] = append(queue[role.Peer()], out...)
			}
			if q := queue[role]; len(q) > 0 && p.Wants() {
				moved = true
				queue[role] = q[1:]
				w.err[role] = p.Handle(ctx, q[0])
			}
		}
	}
}

// mustRun fails the test unless both parties finish.
func mustRun(t testing.TB, s psi.Sender, r psi.Receiver) *wire {
	t.Helper()
	w := &wire{}
	w.run(context.Background(), s, r)
	for role, err := range w.err {
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
	}
	if !s.Done() || !r.Done() {
		t.Fatalf("done: sender %v, receiver %v", s.Done(), r.Done())
	}
	return w
}

// check compares the result with plain intersection, and both parties' outputs.
func check(t testing.TB, ys, xs []psi.Item, s *Sender, r *Receiver) {
	t.Helper()
	theirs := map[psi.Item]uint32{}
	for i, y := range ys {
		theirs[y] = uint32(i)
	}
	var want, got []uint32
	for i, x := range xs {
		if _, ok := theirs[x]; ok {
			want = append(want, uint32(i))
		}
	}
	out := s.Outputs()
	for _, h := range r.Result().Hits {
		got = append(got, h.Item)
		if out == nil {
			continue
		}
		if out.Order[h.Position] != theirs[xs[h.Item]] {
			t.Fatalf("hit of item %d points at another item of the sender", h.Item)
		}
		if !bytes.Equal(out.Tag(int(h.Position)), h.Tag) || !bytes.Equal(out.At(int(h.Position)), h.Full) {
			t.Fatalf("the parties hold different outputs for item %d", h.Item)
		}
	}
	if r.Result().Count != len(want) || !slices.Equal(got, want) {
		t.Fatalf("got %d items, want %d", len(got), len(want))
	}
}

func TestAgainstPlainIntersection(t *testing.T) {
	t.Parallel()
	sizes := []struct{ ns, nr, shared int }{
		{0, 0, 0}, {0, 1, 0}, {1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {2, 2, 1}, {3, 2, 2}, {2, 3, 0},
		{100, 100, 50}, {1, 100, 1}, {7, 300, 5}, {1023, 1025, 512}, {1025, 1023, 1023},
		{3, 20000, 2}, {70000, 5, 5}, {30000, 25000, 10000},
	}
	if os.Getenv("SYMBOLON_LONG") != "" {
		sizes = append(sizes, []struct{ ns, nr, shared int }{
			{1<<16 - 1, 1<<16 + 1, 30000}, {1<<17 + 1, 1 << 17, 0}, {1 << 18, 1 << 18, 1 << 18}, {10, 1 << 20, 10}, {1 << 20, 10, 3},
		}...)
	}
	for _, tt := range sizes {
		for _, security := range []psi.Security{psi.SemiHonest, psi.Malicious} {
			t.Run(fmt.Sprintf("%s/%d-%d-%d", security, tt.ns, tt.nr, tt.shared), func(t *testing.T) {
				t.Parallel()
				p := params(security, tt.ns, tt.nr)
				ys := numbered(1, 0, tt.ns)
				xs := numbered(2, tt.ns-tt.shared, tt.ns-tt.shared+tt.nr)
				o := psi.Options{KeepOutputs: tt.shared > 0, Workers: tt.ns % 3}
				s, r := newPair(t, p, ys, xs, o)
				mustRun(t, s, r)
				check(t, ys, xs, s, r)
				if (s.Outputs() != nil) != o.KeepOutputs {
					t.Error("outputs are kept unasked, or not kept")
				}
			})
		}
	}
}

// TestReproducible compares transcripts of one seed over numbers of workers, and
// of different attempts.
func TestReproducible(t *testing.T) {
	t.Parallel()
	ys, xs := numbered(3, 0, 3000), numbered(4, 1000, 3500)
	transcript := func(workers int, attempt uint32) map[psi.Role][]psi.Message {
		p := params(psi.Malicious, len(ys), len(xs))
		p.Attempt = attempt
		s, r := newPair(t, p, ys, xs, psi.Options{Workers: workers})
		w := mustRun(t, s, r)
		check(t, ys, xs, s, r)
		return w.log
	}
	same := func(a, b psi.Message) bool { return a.Kind == b.Kind && bytes.Equal(a.Payload, b.Payload) }
	one, many, again := transcript(1, 0), transcript(4, 0), transcript(1, 1)
	for _, role := range []psi.Role{psi.RoleSender, psi.RoleReceiver} {
		if !slices.EqualFunc(one[role], many[role], same) {
			t.Errorf("the %s's messages depend on the number of workers", role)
		}
		for i := range one[role] {
			if same(one[role][i], again[role][i]) {
				t.Errorf("message %d of the %s repeats in another attempt", i, role)
			}
		}
	}
}

// TestDrive runs over a connection, with both parties at once.
func TestDrive(t *testing.T) {
	t.Parallel()
	ys, xs := numbered(5, 0, 70000), numbered(6, 60000, 130000)
	for _, security := range []psi.Security{psi.SemiHonest, psi.Malicious} {
		s, r := newPair(t, params(security, len(ys), len(xs)), ys, xs, psi.Options{KeepOutputs: true})
		a, b := psi.Pipe(1)
		errs := make(chan error)
		go func() { errs <- psi.Drive(context.Background(), s, a) }()
		if err := errors.Join(psi.Drive(context.Background(), r, b), <-errs); err != nil {
			t.Fatal(err)
		}
		check(t, ys, xs, s, r)
	}
}

// TestFlights counts how often the direction of the messages changes: the
// rounds of a run don't grow with its items.
func TestFlights(t *testing.T) {
	t.Parallel()
	for security, want := range map[psi.Security]int{psi.Malicious: 7, psi.SemiHonest: 5} {
		for _, n := range []int{10, 80000} {
			s, r := newPair(t, params(security, n, n), numbered(1, 0, n), numbered(2, n/2, n+n/2), psi.Options{})
			// A driver that lets a party say all it has before the other speaks.
			var queue []psi.Message
			flights, parties := 0, []psi.Party{s, r}
			for turn := 0; !s.Done() || !r.Done(); turn++ {
				from, to := parties[turn%2], parties[1-turn%2]
				for {
					m, err := from.Next(context.Background())
					if err != nil {
						t.Fatal(err)
					}
					if m == nil {
						break
					}
					queue = append(queue, *m)
				}
				if len(queue) > 0 {
					flights++
				}
				for ; len(queue) > 0; queue = queue[1:] {
					if err := to.Handle(context.Background(), queue[0]); err != nil {
						t.Fatal(err)
					}
				}
			}
			if flights != want {
				t.Errorf("%s, %d items: %d flights, want %d", security, n, flights, want)
			}
		}
	}
}

func TestRefusesBadUse(t *testing.T) {
	t.Parallel()
	ok := params(psi.Malicious, 3, 2)
	items := numbered(7, 0, 3)
	cardinality, zero := ok, ok
	cardinality.Mode = psi.ModeCardinality
	zero.Session = [32]byte{}
	for name, tt := range map[string]struct {
		p     psi.Params
		items []psi.Item
		rand  io.Reader
	}{
		"cardinality":         {cardinality, items, stream("x")},
		"no session":          {zero, items, stream("x")},
		"too few items":       {ok, items[:1], stream("x")},
		"no randomness":       {ok, items, nil},
		"short of randomness": {ok, items, bytes.NewReader(make([]byte, 100))},
	} {
		if _, err := NewSender(tt.p, tt.items, psi.Options{Rand: tt.rand}); err == nil {
			t.Errorf("%s: sender made", name)
		}
		if _, err := NewReceiver(tt.p, tt.items[:min(2, len(tt.items))], psi.Options{Rand: tt.rand}); err == nil && name != "too few items" {
			t.Errorf("%s: receiver made", name)
		}
	}
	twice := []psi.Item{items[0], items[1], items[0]}
	for _, security := range []psi.Security{psi.SemiHonest, psi.Malicious} {
		p := params(security, 3, 3)
		w := &wire{}
		s, r := newPair(t, p, twice, items, psi.Options{})
		w.run(context.Background(), s, r)
		if w.err[psi.RoleSender] == nil || errors.Is(w.err[psi.RoleSender], psi.ErrPeer) {
			t.Errorf("a sender's repeated item gives %v", w.err[psi.RoleSender])
		}
		s, r = newPair(t, p, items, twice, psi.Options{})
		w.run(context.Background(), s, r)
		if w.err[psi.RoleReceiver] == nil || errors.Is(w.err[psi.RoleReceiver], psi.ErrPeer) {
			t.Errorf("a receiver's repeated item gives %v", w.err[psi.RoleReceiver])
		}
	}
}

// TestCancel cancels before each call in turn: the party returns the context's
// error, blames nobody and stays spent.
func TestCancel(t *testing.T) {
	t.Parallel()
	ys, xs := numbered(8, 0, 20000), numbered(9, 0, 20000)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	hit := map[psi.Role]int{}
	for step := range 12 {
		s, r := newPair(t, params(psi.Malicious, len(ys), len(xs)), ys, xs, psi.Options{Workers: 2})
		w := &wire{}
		w.alter = func(from psi.Role, i int, m psi.Message) []psi.Message {
			var p psi.Party = s
			if from == psi.RoleSender {
				p = r
			}
			if len(w.log[psi.RoleSender])+len(w.log[psi.RoleReceiver])-1 != step || !p.Wants() {
				return []psi.Message{m}
			}
			err := p.Handle(cancelled, m)
			if err == nil {
				_, err = p.Next(cancelled)
			}
			if err == nil {
				return nil // a step without work to cancel
			}
			hit[from.Peer()]++
			if !errors.Is(err, context.Canceled) || errors.Is(err, psi.ErrPeer) {
				t.Errorf("step %d: error is %v", step, err)
			}
			if _, again := p.Next(context.Background()); again == nil || p.Done() || p.Wants() {
				t.Errorf("step %d: a party goes on after an error", step)
			}
			return nil
		}
		w.run(context.Background(), s, r)
	}
	if hit[psi.RoleSender] == 0 || hit[psi.RoleReceiver] == 0 {
		t.Errorf("no step was cancelled: %v", hit)
	}
}

func TestSortTags(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for _, n := range []int{0, 1, 2, 511, 513, 5000, 200_000} {
		for _, tagLen := range []int{5, 8, 10, 16} {
			outputs := make([]field.Element, n)
			for i := range outputs {
				outputs[i] = field.Element{Lo: r.Uint64(), Hi: r.Uint64()}
			}
			var ids []uint32
			if tagLen == 8 {
				for i := range n {
					ids = append(ids, uint32(n-1-i))
				}
			}
			list := tagList{make([]field.Element, n), make([]uint32, n)}
			if err := sortTags(context.Background(), 3, outputs, ids, tagLen, list); err != nil {
				t.Fatal(err)
			}
			seen := make([]bool, n)
			var last []byte
			for i, tag := range list.tags {
				place := list.ids[i]
				if ids != nil {
					place = uint32(n-1) - place
				}
				got, want := make([]byte, tagLen), outputs[place].Bytes()
				putTag(got, tag)
				if !bytes.Equal(got, want[:tagLen]) || getTag(got) != tag {
					t.Fatalf("%d tags of %d bytes: tag %d is not that of its place", n, tagLen, i)
				}
				if bytes.Compare(last, got) > 0 || seen[place] {
					t.Fatalf("%d tags of %d bytes: not in order at %d", n, tagLen, i)
				}
				last, seen[place] = got, true
			}
		}
	}
}

func TestBound(t *testing.T) {
	for _, n := range []int{1 << 12, 1 << 16, 1 << 20} {
		if b := Bound(n); b < n || b > n*16/10 {
			t.Errorf("%d items: bound %d", n, b)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	const n = 1 << 18
	ys, xs := numbered(10, 0, n), numbered(11, n/2, n+n/2)
	for b.Loop() {
		s, r := newPair(b, params(psi.Malicious, n, n), ys, xs, psi.Options{})
		x, y := psi.Pipe(2)
		errs := make(chan error)
		go func() { errs <- psi.Drive(context.Background(), s, x) }()
		if err := errors.Join(psi.Drive(context.Background(), r, y), <-errs); err != nil {
			b.Fatal(err)
		}
	}
}
