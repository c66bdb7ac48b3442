package dhpsi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/symbolon/symbolon/internal/ristretto"
	"github.com/symbolon/symbolon/psi"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbered returns the items numbered lo to hi-1.
func numbered(lo, hi int) []psi.Item {
	out := make([]psi.Item, 0, hi-lo)
	for i := lo; i < hi; i++ {
		var it psi.Item
		binary.BigEndian.PutUint64(it[:], uint64(i))
		out = append(out, it)
	}
	return out
}

func shuffled(seed uint64, items []psi.Item) []psi.Item {
	r := rand.New(rand.NewPCG(seed, 1))
	r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return items
}

func params(mode psi.Mode, ns, nr int) psi.Params {
	return psi.Params{
		Mode: mode, Security: psi.SemiHonest, SenderItems: ns, ReceiverItems: nr,
		Session: [32]byte{1, 2, 3},
	}
}

func stream(name string, numbers ...uint32) io.Reader {
	return psi.NewStream([]byte("a seed that only tests would use"), name, numbers...)
}

// newPair returns both parties of a run.
func newPair(t testing.TB, p psi.Params, ys, xs []psi.Item, o psi.Options) (*Sender, *Receiver) {
	t.Helper()
	o.Rand = stream("sender", p.Shard, p.Attempt)
	s, err := NewSender(p, ys, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Rand = stream("receiver", p.Shard, p.Attempt)
	r, err := NewReceiver(p, xs, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// transcript is what each party has sent.
type transcript struct{ sender, receiver []psi.Message }

// drive runs both parties in this goroutine, without a connection.
func drive(t testing.TB, s psi.Sender, r psi.Receiver) transcript {
	t.Helper()
	tr, err := tryDrive(context.Background(), s, r)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func tryDrive(ctx context.Context, s psi.Sender, r psi.Receiver) (tr transcript, err error) {
	for !s.Done() || !r.Done() {
		moved := false
		for _, side := range []struct {
			from, to psi.Party
			log      *[]psi.Message
		}{{s, r, &tr.sender}, {r, s, &tr.receiver}} {
			if !side.to.Wants() {
				continue
			}
			m, err := side.from.Next(ctx)
			if err != nil {
				return tr, err
			}
			if m == nil {
				continue
			}
			moved = true
			*side.log = append(*side.log, psi.Message{Kind: m.Kind, Payload: bytes.Clone(m.Payload)})
			if err := side.to.Handle(ctx, *m); err != nil {
				return tr, err
			}
		}
		if !moved {
			return tr, errors.New("parties are stuck")
		}
	}
	return tr, nil
}

func (tr transcript) equal(o transcript) bool {
	same := func(a, b psi.Message) bool { return a.Kind == b.Kind && bytes.Equal(a.Payload, b.Payload) }
	return slices.EqualFunc(tr.sender, o.sender, same) && slices.EqualFunc(tr.receiver, o.receiver, same)
}

// check compares the result with plain intersection.
func check(t testing.TB, p psi.Params, ys, xs []psi.Item, s *Sender, res *psi.Result) {
	t.Helper()
	theirs := map[psi.Item]uint32{}
	for i, y := range ys {
		theirs[y] = uint32(i)
	}
	var want []uint32
	for i, x := range xs {
		if _, ok := theirs[x]; ok {
			want = append(want, uint32(i))
		}
	}
	if res.Count != len(want) {
		t.Fatalf("got %d shared items, want %d", res.Count, len(want))
	}
	if p.Mode == psi.ModeCardinality {
		if res.Hits != nil || s.Outputs() != nil {
			t.Fatal("cardinality tells more than a number")
		}
		return
	}
	var got []uint32
	out := s.Outputs()
	for _, h := range res.Hits {
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
	if !slices.Equal(got, want) {
		t.Fatalf("got items %v, want %v", got, want)
	}
}

func TestAgainstPlainIntersection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ ns, nr, shared int }{
		{0, 0, 0}, {0, 1, 0}, {1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {2, 2, 1}, {3, 2, 2}, {2, 3, 0},
		{100, 100, 50}, {100, 1, 1}, {1, 100, 1}, {7, 300, 5}, {257, 33, 33},
	} {
		for _, mode := range []psi.Mode{psi.ModeIntersection, psi.ModeMutual, psi.ModeCardinality} {
			for _, keep := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d-%d-%d/%v", mode, tt.ns, tt.nr, tt.shared, keep), func(t *testing.T) {
					t.Parallel()
					p := params(mode, tt.ns, tt.nr)
					ys := shuffled(1, numbered(0, tt.ns))
					xs := shuffled(2, numbered(tt.ns-tt.shared, tt.ns-tt.shared+tt.nr))
					s, r := newPair(t, p, ys, xs, psi.Options{KeepOutputs: keep})
					drive(t, s, r)
					check(t, p, ys, xs, s, r.Result())
				})
			}
		}
	}
}

// TestBatches crosses the borders of a batch, over a connection.
func TestBatches(t *testing.T) {
	t.Parallel()
	type row struct {
		mode   psi.Mode
		ns, nr int
	}
	rows := []row{
		{psi.ModeIntersection, 40, BatchItems + 1}, {psi.ModeIntersection, BatchItems + 1, 40},
		{psi.ModeCardinality, 40, BatchItems + 1},
	}
	if long() {
		for _, n := range [][2]int{
			{BatchItems + 1, BatchItems - 1}, {BatchItems, 2*BatchItems + 1}, {3*BatchItems + 5, 1}, {3, 3 * BatchItems},
		} {
			rows = append(rows, row{psi.ModeIntersection, n[0], n[1]}, row{psi.ModeCardinality, n[0], n[1]})
		}
	}
	for _, tt := range rows {
		p := params(tt.mode, tt.ns, tt.nr)
		ys, xs := shuffled(3, numbered(0, tt.ns)), shuffled(4, numbered(tt.ns/2, tt.ns/2+tt.nr))
		s, r := newPair(t, p, ys, xs, psi.Options{KeepOutputs: true})
		if err := connect(context.Background(), s, r); err != nil {
			t.Fatal(err)
		}
		check(t, p, ys, xs, s, r.Result())
	}
}

// connect drives both parties over a connection in memory.
func connect(ctx context.Context, s psi.Sender, r psi.Receiver) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a, b := psi.Pipe(1)
	errs := make(chan error, 1)
	go func() { errs <- psi.Drive(ctx, s, a) }()
	err := psi.Drive(ctx, r, b)
	if err != nil {
		cancel()
	}
	return errors.Join(err, <-errs)
}

func TestTranscriptIsReproducible(t *testing.T) {
	t.Parallel()
	ys, xs := numbered(0, 200), numbered(100, 250)
	for _, mode := range []psi.Mode{psi.ModeIntersection, psi.ModeCardinality} {
		p := params(mode, len(ys), len(xs))
		run := func(p psi.Params, workers int) transcript {
			s, r := newPair(t, p, ys, xs, psi.Options{Workers: workers})
			return drive(t, s, r)
		}
		first := run(p, 1)
		for _, workers := range []int{1, 2, 7} {
			if !run(p, workers).equal(first) {
				t.Errorf("%s: the transcript with %d workers differs", mode, workers)
			}
		}
		p.Attempt++
		if run(p, 1).equal(first) {
			t.Errorf("%s: another attempt has the same transcript", mode)
		}
	}
}

// TestAttemptsRepeatNoMask runs two attempts at the same items and finds no
// element or tag of the first in the second, not even under the same secrets.
func TestAttemptsRepeatNoMask(t *testing.T) {
	t.Parallel()
	ys, xs := numbered(0, 50), numbered(20, 70)
	seen := map[string]int{}
	record := func(attempt int, tr transcript) {
		for _, m := range slices.Concat(tr.sender, tr.receiver) {
			size := ElementSize
			if m.Kind == kindTags {
				size = len(m.Payload) / len(ys)
			}
			for c := range slices.Chunk(m.Payload, size) {
				if at, ok := seen[string(c)]; ok {
					t.Fatalf("attempt %d repeats what attempt %d sent", attempt, at)
				}
				seen[string(c)] = attempt
			}
		}
	}
	p := params(psi.ModeIntersection, len(ys), len(xs))
	for attempt := range 2 {
		p.Attempt = uint32(attempt)
		s, r := newPair(t, p, ys, xs, psi.Options{})
		record(attempt, drive(t, s, r))
	}
	// A broken source of randomness gives both attempts the same scalars.
	for attempt := 2; attempt < 4; attempt++ {
		p.Attempt = uint32(attempt)
		s, err := NewSender(p, ys, psi.Options{Rand: stream("broken sender")})
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewReceiver(p, xs, psi.Options{Rand: stream("broken receiver")})
		if err != nil {
			t.Fatal(err)
		}
		record(attempt, drive(t, s, r))
	}
}

// TestSplittingAttack shows why the engine is called semi-honest: a receiver
// that blinds its items with two scalars learns two counts from a cardinality.
func TestSplittingAttack(t *testing.T) {
	t.Parallel()
	ys := numbered(0, 60)
	xs := append(numbered(50, 80), numbered(20, 50)...) // 10 of the first 30, all of the last 30
	p := params(psi.ModeCardinality, len(ys), len(xs))
	s, honest := newPair(t, p, ys, xs, psi.Options{})
	ctx := context.Background()

	second, err := randomScalar(stream("second scalar"))
	if err != nil {
		t.Fatal(err)
	}
	blinded, err := honest.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := 30; i < 60; i++ {
		var e ristretto.Element
		honest.group.Element(&e, xs[i][:])
		e.Multiply(second, &e)
		e.Encode(blinded.Payload[i*ElementSize:])
	}
	if err := s.Handle(ctx, *blinded); err != nil {
		t.Fatal(err) // the sender can't tell
	}
	tags, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	evaluated, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	index, err := psi.IndexTags(p.TagLen(), tags.Payload)
	if err != nil {
		t.Fatal(err)
	}
	var counts [2]int
	for c := range slices.Chunk(evaluated.Payload, ElementSize) {
		for i, inv := range []*ristretto.Scalar{honest.inverse, inverse(second)} {
			var e ristretto.Element
			if err := e.Decode(c); err != nil {
				t.Fatal(err)
			}
			e.Multiply(inv, &e)
			var full [ElementSize]byte
			e.Encode(full[:])
			if _, ok := index.Find(honest.tag(full[:])); ok {
				counts[i]++
			}
		}
	}
	if counts != [2]int{10, 30} {
		t.Fatalf("the attack counts %v, want [10 30]", counts)
	}
}

func TestSendersOrderIsHidden(t *testing.T) {
	t.Parallel()
	ys := numbered(0, 500)
	s, r := newPair(t, params(psi.ModeIntersection, 500, 500), ys, numbered(0, 500), psi.Options{KeepOutputs: true})
	drive(t, s, r)
	fixed := 0
	seen := make([]bool, 500)
	for p, i := range s.Outputs().Order {
		if seen[i] {
			t.Fatalf("item %d has two tags", i)
		}
		seen[i] = true
		if p == int(i) {
			fixed++
		}
	}
	// A random permutation has one fixed point on average.
	if fixed > 12 {
		t.Fatalf("%d of 500 tags stand at their item's place", fixed)
	}
}

func TestConstructors(t *testing.T) {
	t.Parallel()
	two := numbered(0, 2)
	ok := params(psi.ModeIntersection, 2, 2)
	with := func(f func(p *psi.Params)) psi.Params { p := ok; f(&p); return p }
	for _, tt := range []struct {
		name  string
		p     psi.Params
		items []psi.Item
		rand  io.Reader
	}{
		{"malicious security", with(func(p *psi.Params) { p.Security = psi.Malicious }), two, stream("x")},
		{"unknown mode", with(func(p *psi.Params) { p.Mode = "union" }), two, stream("x")},
		{"zero session", with(func(p *psi.Params) { p.Session = [32]byte{} }), two, stream("x")},
		{"too few items", ok, two[:1], stream("x")},
		{"too many items", ok, numbered(0, 3), stream("x")},
		{"repeated item", ok, []psi.Item{two[0], two[0]}, stream("x")},
		{"no randomness", ok, two, nil},
		{"exhausted randomness", ok, two, bytes.NewReader(make([]byte, 63))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewSender(tt.p, tt.items, psi.Options{Rand: tt.rand}); err == nil {
				t.Error("NewSender accepts it")
			}
			if tt.name == "exhausted randomness" {
				tt.rand = bytes.NewReader(make([]byte, 63))
			}
			if _, err := NewReceiver(tt.p, tt.items, psi.Options{Rand: tt.rand}); err == nil {
				t.Error("NewReceiver accepts it")
			}
		})
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	got := map[string][2]int{}
	p := params(psi.ModeIntersection, 5, 7)
	s, r := newPair(t, p, numbered(0, 5), numbered(0, 7), psi.Options{
		Progress: func(stage string, done, total int) { got[stage] = [2]int{done, total} },
	})
	drive(t, s, r)
	want := map[string][2]int{StageBlind: {7, 7}, StageTag: {5, 5}, StageEvaluate: {7, 7}, StageUnblind: {7, 7}}
	for stage, w := range want {
		if got[stage] != w {
			t.Errorf("stage %s reports %v, want %v", stage, got[stage], w)
		}
	}
}

func TestSchedule(t *testing.T) {
	for _, tt := range []struct {
		mode   psi.Mode
		ns, nr int // batches
		want   string
	}{
		{psi.ModeIntersection, 0, 0, ""}, {psi.ModeIntersection, 2, 0, "TT"}, {psi.ModeIntersection, 0, 2, "EE"},
		{psi.ModeIntersection, 3, 3, "TETETE"}, {psi.ModeIntersection, 4, 2, "TETTET"}, {psi.ModeIntersection, 1, 3, "TEEE"},
		{psi.ModeCardinality, 2, 3, "TTEEE"},
	} {
		p := params(tt.mode, tt.ns*BatchItems, tt.nr*BatchItems)
		s := newSchedule(&p)
		var got []byte
		for s.next() != 0 {
			got = append(got, " BTE"[s.next()])
			s.advance()
		}
		if string(got) != tt.want {
			t.Errorf("schedule of %d and %d batches in %s is %s, want %s", tt.ns, tt.nr, tt.mode, got, tt.want)
		}
	}
}

// TestMutual gives labels and receipts for the hits of a real run.
func TestMutual(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ys, xs := shuffled(5, numbered(0, 80)), shuffled(6, numbered(50, 120))
	p := params(psi.ModeMutual, len(ys), len(xs))
	s, r := newPair(t, p, ys, xs, psi.Options{KeepOutputs: true})
	drive(t, s, r)
	out, res := s.Outputs(), r.Result()

	lp := psi.LabelParams{Associated: []byte("x"), LabelLen: 8, Slots: 1, Rows: len(ys)}
	rand := stream("labels")
	table, err := psi.NewLabelTable(lp, rand, rand, len(ys), func(i int) ([]byte, error) { return ys[i][:8], nil })
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := psi.NewLabelSealer(table, p.Context(), out, func(i uint32) []uint32 { return []uint32{i} }, rand)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := psi.NewLabelOpener(lp, p.Context(), len(ys), res)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := sealer.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := table.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(opener.Entries(ctx, entries), opener.Rows(ctx, rows)); err != nil {
		t.Fatal(err)
	}
	labels, err := opener.Labels()
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range res.Hits {
		if !bytes.Equal(labels[i].Labels[0].Label, xs[h.Item][:8]) {
			t.Errorf("hit of item %d has another item's label", h.Item)
		}
	}

	receipts, err := psi.NewReceipts(p.Context(), res, rand)
	if err != nil {
		t.Fatal(err)
	}
	checker, err := psi.NewReceiptChecker(&p, out, receipts.Len())
	if err != nil {
		t.Fatal(err)
	}
	batch, err := receipts.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := checker.Handle(ctx, batch); err != nil {
		t.Fatal(err)
	}
	var got []psi.Item
	for _, pos := range checker.Positions() {
		got = append(got, ys[out.Order[pos]])
	}
	slices.SortFunc(got, func(a, b psi.Item) int { return bytes.Compare(a[:], b[:]) })
	if !slices.Equal(got, numbered(50, 80)) {
		t.Fatalf("the sender learns %d hits, want 30", len(got))
	}
}

// TestTranscriptIsPinned keeps what goes over the wire from changing with the
// implementation of the group: both versions must be able to talk.
func TestTranscriptIsPinned(t *testing.T) {
	t.Parallel()
	for mode, want := range map[psi.Mode]string{
		psi.ModeIntersection: "f81d8f952ef9d00c09177afe6fbbb2df5de9bae7d8e4a0e508f94d07b548d19f",
		psi.ModeCardinality:  "81bfc3377181c4445886ce0b710bf89fd2a7014b55e29cd0f4ab8ce5356e7b2b",
	} {
		s, r := newPair(t, params(mode, 40, 25), numbered(0, 40), numbered(30, 55), psi.Options{})
		tr := drive(t, s, r)
		h := sha256.New()
		for _, m := range slices.Concat(tr.sender, tr.receiver) {
			h.Write([]byte{m.Kind})
			h.Write(m.Payload)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s: transcript hashes to %s, want %s", mode, got, want)
		}
	}
}
