package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPSI(t *testing.T) {
	t.Parallel()
	for _, engine := range Engines() {
		for _, tt := range []struct {
			ns, nr  int
			overlap float64
			hits    int
		}{{0, 0, 0.5, 0}, {1, 1, 1, 1}, {100, 100, 0.5, 50}, {30, 200, 1, 30}, {200, 30, 0, 0}, {99, 120, 0.333, 33}} {
			for _, mode := range []psi.Mode{psi.ModeIntersection, psi.ModeCardinality} {
				if engine == protocol.EngineVOLE && mode == psi.ModeCardinality {
					continue // it has no such mode
				}
				r, err := PSI(context.Background(), PSIConfig{
					Engine: engine, Mode: mode, SenderItems: tt.ns, ReceiverItems: tt.nr, Overlap: tt.overlap,
				})
				if err != nil {
					t.Fatalf("%s, %s, %d x %d: %v", engine, mode, tt.ns, tt.nr, err)
				}
				if !r.Correct || r.Hits != tt.hits {
					t.Errorf("%s, %s, %d x %d: correct is %v, %d hits, want %d",
						engine, mode, tt.ns, tt.nr, r.Correct, r.Hits, tt.hits)
				}
			}
		}
	}
}

func TestPSISharded(t *testing.T) {
	t.Parallel()
	for _, engine := range Engines() {
		r, err := PSI(context.Background(), PSIConfig{Engine: engine, SenderItems: 900, ReceiverItems: 700, Overlap: 0.4, Shard: 300})
		if err != nil {
			t.Fatalf("%s: %v", engine, err)
		}
		if !r.Correct || r.Hits != 280 || r.Shards != 3 {
			t.Errorf("%s: correct is %v, %d hits in %d shards", engine, r.Correct, r.Hits, r.Shards)
		}
	}
	if _, err := PSI(context.Background(), PSIConfig{Engine: "vole", Shard: -5}); err == nil {
		t.Error("shards of -5 items")
	}
}

func TestPSIReport(t *testing.T) {
	t.Parallel()
	r, err := PSI(context.Background(), PSIConfig{Engine: "dh", SenderItems: 300, ReceiverItems: 200, Overlap: 0.5, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	// 32 bytes an element each way, and tags of 40+9+8 bits in 8 bytes.
	if r.BytesToSender != 200*32 || r.BytesToReceiver != 200*32+300*8 {
		t.Errorf("carried %d bytes to the sender, %d to the receiver", r.BytesToSender, r.BytesToReceiver)
	}
	if r.Wall <= 0 || r.CPU < 0 || r.Workers != 1 || r.Transport != "memory" || r.Security != "semi-honest" {
		t.Errorf("report %+v", r)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bytes_to_receiver", "bytes_to_sender", "commit", "correct", "cpu", "cpu_s", "engine", "go", "hits",
		"n_receiver", "n_sender", "overlap", "peak_rss_bytes", "security", "shards", "transport", "wall_s", "workers",
	}
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		t.Errorf("fields %v, want %v", got, want)
	}
	naive, err := PSI(context.Background(), PSIConfig{Engine: "naive", SenderItems: 3, ReceiverItems: 3, Overlap: 1})
	if err != nil || naive.Security != "none (insecure)" {
		t.Errorf("the yardstick calls itself %q, error %v", naive.Security, err)
	}
}

// TestPSISeesWrongResults breaks results in every way that the check must see.
func TestPSISeesWrongResults(t *testing.T) {
	w, err := newWorkload(PSIConfig{
		SenderItems: 10, ReceiverItems: 10, Overlap: 0.3, Rand: psi.NewStream(make([]byte, 32), "test"),
	})
	if err != nil || len(w.shared) != 3 {
		t.Fatalf("%d shared, error %v", len(w.shared), err)
	}
	hit := func(items ...uint32) *outcome { return &outcome{len(items), slices.Clone(items)} }
	s := w.shared
	other := uint32(0)
	for slices.Contains(s, other) {
		other++
	}
	for _, tt := range []struct {
		name string
		mode psi.Mode
		res  *outcome
		want bool
	}{
		{"right", psi.ModeIntersection, hit(s...), true},
		{"right in another order", psi.ModeIntersection, hit(s[2], s[0], s[1]), true},
		{"one missing", psi.ModeIntersection, hit(s[:2]...), false},
		{"one too many", psi.ModeIntersection, hit(append(slices.Clone(s), other)...), false},
		{"one for another", psi.ModeIntersection, hit(s[0], s[1], other), false},
		{"one twice", psi.ModeIntersection, hit(s[0], s[1], s[1]), false},
		{"right number", psi.ModeCardinality, &outcome{count: 3}, true},
		{"wrong number", psi.ModeCardinality, &outcome{count: 4}, false},
	} {
		if got := w.check(tt.mode, tt.res); got != tt.want {
			t.Errorf("%s: check says %v", tt.name, got)
		}
	}
	// The sender's strings do overlap as the workload says.
	held := map[string]bool{}
	for i := range w.sender.ends {
		held[string(w.sender.at(i))] = true
	}
	for i := range w.receiver.ends {
		if held[string(w.receiver.at(i))] != slices.Contains(s, uint32(i)) {
			t.Errorf("receiver's string %d: held by the sender is %v", i, !slices.Contains(s, uint32(i)))
		}
	}
}

func TestPSIRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]PSIConfig{
		"unknown engine":      {Engine: "magic"},
		"security beyond it":  {Engine: "dh", Security: psi.Malicious},
		"overlap above one":   {Engine: "dh", Overlap: 1.1},
		"negative size":       {Engine: "dh", SenderItems: -1},
		"too many items":      {Engine: "dh", SenderItems: psi.MaxItems + 1},
		"more than strings":   {Engine: "dh", ReceiverItems: maxWorkload + 1},
		"unknown mode":        {Engine: "dh", Mode: "union"},
		"no randomness":       {Engine: "dh", SenderItems: 1, ReceiverItems: 1, Rand: bytes.NewReader(nil)},
		"randomness runs dry": {Engine: "dh", SenderItems: 1, ReceiverItems: 1, Rand: bytes.NewReader(make([]byte, 70))},
	} {
		if _, err := PSI(context.Background(), c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := PSI(ctx, PSIConfig{Engine: "dh", SenderItems: 100, ReceiverItems: 100})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}
}

// TestMemoryDelay checks that messages arrive no earlier than they may, in
// order, and that progress is reported.
func TestMemoryDelay(t *testing.T) {
	t.Parallel()
	const rtt = 20 * time.Millisecond
	var mu sync.Mutex
	stages := map[string]int{}
	r, err := PSI(context.Background(), PSIConfig{
		Engine: "dh", SenderItems: 5, ReceiverItems: 5, Overlap: 1, Transport: Memory(rtt),
		Progress: func(_ psi.Role, stage string, done, _ int) {
			mu.Lock()
			defer mu.Unlock()
			stages[stage] = done
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Wall < rtt.Seconds() || !r.Correct || r.Transport != "memory, rtt 20ms" {
		t.Errorf("a round trip of %v took %v s over %q", rtt, r.Wall, r.Transport)
	}
	if len(stages) != 4 {
		t.Errorf("heard of stages %v", stages)
	}
}

func TestPSIOverGRPC(t *testing.T) {
	for _, engine := range Engines() {
		tr := GRPC(2 * time.Millisecond)
		r, err := PSI(t.Context(), PSIConfig{Engine: engine, SenderItems: 300, ReceiverItems: 200, Overlap: 0.5, Transport: tr})
		if closed := tr.Close(); err != nil || closed != nil {
			t.Fatal(err, closed)
		}
		if !r.Correct || r.Hits != 100 {
			t.Errorf("%s: %d hits, correct: %v", engine, r.Hits, r.Correct)
		}
		if r.BytesToSender == 0 || r.BytesToReceiver == 0 {
			t.Errorf("%s: carried %d and %d bytes", engine, r.BytesToSender, r.BytesToReceiver)
		}
	}
}
