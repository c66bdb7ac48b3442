package sealed

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
)

// TestScoresAreHidden takes the residues that slots under the threshold hold,
// over many scans, and tests for every score that they are uniform over the
// non-zero residues: Pearson's chi-squared over 64 ranges. Slots that open hold
// zero, and no others do.
func TestScoresAreHidden(t *testing.T) {
	t.Parallel()
	p := small(16, 4, 9)
	f := newParty(t, p, Compact, p.blockSlots())
	target := f.random()
	score := map[uint32]int{}
	for i := range p.blockSlots() {
		s := i % (p.Groups + 1)
		f.put(t, i, f.like(target, s))
		slot, err := f.index.Slot(i)
		if err != nil {
			t.Fatal(err)
		}
		score[slot] = s
	}
	f.flush(t)
	const ranges, scans = 64, 24
	counts := make([][ranges]float64, p.Threshold)
	var seed [32]byte
	source := rand.NewChaCha8(seed)
	for run := range scans {
		q, err := f.keys.ReadQuery(f.query(t, uint64(run), target).Message())
		if err != nil {
			t.Fatal(err)
		}
		err = f.index.Scan(context.Background(), []*EncryptedQuery{q}, ScanOptions{Rand: source}, func(_, _ int, msg []byte) error {
			residues, err := f.asker.c.DecryptAnswer(f.asker.key, msg[headerSize:])
			for slot, v := range residues {
				s := score[uint32(slot)]
				if (v == 0) != (s >= p.Threshold) {
					t.Errorf("scan %d: a slot of score %d holds %d", run, s, v)
				}
				if s < p.Threshold && v > 0 {
					counts[s][(v-1)*ranges/65536]++
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The limit lies five and a half standard deviations up, by Wilson and
	// Hilferty's approximation (PNAS 17, 1931).
	const freedom = ranges - 1
	limit := freedom * math.Pow(1-2.0/(9*freedom)+5.5*math.Sqrt(2.0/(9*freedom)), 3)
	for s, row := range counts {
		n, chi := 0.0, 0.0
		for _, v := range row {
			n += v
		}
		for _, v := range row {
			chi += (v - n/ranges) * (v - n/ranges) / (n / ranges)
		}
		if n < 1000 || chi > limit {
			t.Errorf("score %d: chi-squared %.1f over %.0f residues, limit %.1f", s, chi, n, limit)
		}
	}
}
