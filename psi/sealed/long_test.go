package sealed

import (
	"context"
	"crypto/rand"
	"os"
	"slices"
	"testing"
)

// TestLong compares ten million slots at the real parameters with plaintext:
// every slot at or over the threshold opens, none below. It takes minutes.
func TestLong(t *testing.T) {
	if os.Getenv("SYMBOLON_LONG") == "" {
		t.Skip("SYMBOLON_LONG is not set")
	}
	const blocks, batch, want = 4, 8, 10_000_000
	p := Params{Groups: 64, Symbols: 4, Threshold: 49}
	f := newParty(t, p, Compact, blocks*BlockSlots)
	tested, wrong, opened := 0, 0, 0
	for round := 0; tested < want; round++ {
		var targets [][]uint8
		var queries []*EncryptedQuery
		var collectors []*Collector
		for i := range batch {
			s := f.random()
			q, err := f.asker.Query(uint64(round*batch+i), s)
			if err != nil {
				t.Fatal(err)
			}
			e, err := f.keys.ReadQuery(q.Message())
			if err != nil {
				t.Fatal(err)
			}
			targets, queries, collectors = append(targets, s), append(queries, e), append(collectors, f.asker.Collect(q.ID()))
		}
		// Scores near the threshold against one query, far from it against others.
		for i := range blocks * BlockSlots {
			f.put(t, i, f.like(targets[i%batch], 40+i/batch%25))
		}
		f.flush(t)
		err := f.index.Scan(context.Background(), queries, ScanOptions{Rand: rand.Reader}, func(q, _ int, msg []byte) error {
			return collectors[q].Add(msg)
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range collectors {
			got, err := c.Slots()
			if err != nil {
				t.Fatal(err)
			}
			expected := f.want(t, targets[i])
			opened += len(expected)
			if !slices.Equal(got, expected) {
				wrong++
				t.Errorf("round %d: query %d opens %d slots, want %d", round, i, len(got), len(expected))
			}
			tested += blocks * BlockSlots
		}
	}
	t.Logf("%d slots, %d of them open, %d queries with a wrong slot", tested, opened, wrong)
}
