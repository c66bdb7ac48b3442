package lookup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/symbolon/symbolon/internal/parallel"
)

// Sizes at a tenth of a million keys; fingerprints have as many bits as the
// parameters ask for at a million.
func TestSizes(t *testing.T) {
	const n, changed = 100_000, 1000
	p := modes()["plain"]
	dir := t.TempDir()
	s := benchPublish(t, dir, p, benchInput(0, n, 8))
	if each := float64(s.Manifest.Filter.Bytes) / n; each > 7 {
		t.Errorf("%.2f bytes a key, want at most 7", each)
	}
	if rate := s.Manifest.FalsePositive(); rate > -41 {
		t.Errorf("false positives of 2^%.1f leave no room to double", rate)
	}
	s = benchPublish(t, dir, p, benchInput(changed, n+changed, 8))
	if s.Stats.Added != changed || s.Stats.Removed != changed || s.Stats.Evaluated != changed {
		t.Fatalf("%+v", s.Stats)
	}
	if got := s.Manifest.Deltas[0].Bytes; got > 120<<10/10 {
		t.Errorf("a delta of %d bytes for %d additions and removals, want at most %d", got, changed, 120<<10/10)
	}
	// At a million keys, the sizes follow from the counts.
	slots := paddedCount(1_000_000 + reserve(1_000_000))
	bits := p.fingerprintBits(slots)
	h := header{params: p, bits: bits, keys: slots}
	if each := float64(h.fileLen()) / 1e6; each > 7 {
		t.Errorf("%.2f bytes a key at a million, want at most 7", each)
	}
	step := paddedCount(10_000)
	c := deltaCounts{header: h, oldKeys: slots, removed: step, added: step}
	if c.fileLen() > 120<<10 {
		t.Errorf("a delta of %d bytes at a million, want at most %d", c.fileLen(), 120<<10)
	}
}

// With short fingerprints, false positives can be counted: of so many probes, a
// share of n/2^u hits.
func TestFalsePositiveRate(t *testing.T) {
	p := testParams()
	const n, u, probes = 1 << 12, 20, 1 << 18
	k := newKeyer(&p, u)
	seen := map[fingerprint]bool{}
	var list []keyed
	for i := 0; len(list) < n; i++ {
		if f := k.fingerprint(benchSeed(&p, i)); !seen[f] {
			seen[f] = true
			list = append(list, keyed{f, 0})
		}
	}
	if err := sortKeyed(context.Background(), 0, list, u); err != nil {
		t.Fatal(err)
	}
	w := newSetWriter(n, u)
	for _, k := range list {
		if err := w.add(k.key); err != nil {
			t.Fatal(err)
		}
	}
	b, err := w.finish()
	if err != nil {
		t.Fatal(err)
	}
	s := newSet(b, n, u)
	if err := s.check(maxLoad); err != nil {
		t.Fatal(err)
	}
	hits := 0
	for i := range probes {
		if _, ok := s.find(k.fingerprint(benchSeed(&p, 1<<30+i))); ok {
			hits++
		}
	}
	mean := float64(probes) * n / (1 << u)
	if off := math.Abs(float64(hits) - mean); off > 6*math.Sqrt(mean) {
		t.Errorf("%d false positives of %d, want about %.0f", hits, probes, mean)
	}
}

// Fingerprints leave room to double, and two keys seldom share one.
func TestFingerprintBits(t *testing.T) {
	for _, n := range []int{1, 1000, 1 << 20, MaxTableKeys / 2} {
		for _, keys := range []int{1, 64, MaxKeysLimit} {
			for _, rate := range []int{MinFalsePositiveLog2, 40, MaxFalsePositiveLog2} {
				p := Params{Agreement: [32]byte{1}, Epoch: 1, MaxKeys: keys, FalsePositiveLog2: rate}
				if err := p.Validate(); err != nil {
					t.Fatal(err)
				}
				bits := p.fingerprintBits(n)
				if got := math.Log2(2*float64(n)*float64(keys)) - float64(bits); got > -float64(rate) {
					t.Errorf("%d slots, %d keys: 2^%.1f, want 2^-%d", n, keys, got, rate)
				}
				if got := 2*math.Log2(2*float64(n)) - 1 - float64(bits); got > -20 {
					t.Errorf("%d slots: two keys collide with 2^%.1f", n, got)
				}
				if !p.fits(2*n, bits) || bits > maxFingerprintBits {
					t.Errorf("%d slots: %d bits", n, bits)
				}
			}
		}
	}
}

// An epoch that grows beyond what its fingerprints allow has to end.
func TestNoRoom(t *testing.T) {
	p := modes()["plain"]
	p.FalsePositiveLog2 = MaxFalsePositiveLog2
	dir := t.TempDir()
	benchPublish(t, dir, p, benchInput(0, 100, 1))
	pub, err := OpenPublisher(dir, p, testSecret, Options{Rand: benchRand()})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	if _, err := pub.Stage(context.Background(), benchInput(0, 2*roomFloor, 1), benchEvaluate, testTerms()); !errors.Is(err, ErrRotate) {
		t.Errorf("got error %v", err)
	}
	if verified(t, dir).Manifest.Serial != 1 {
		t.Error("another serial is published")
	}
}

func TestCache(t *testing.T) {
	p := testParams()
	keys := newOwnerKeys(&p, testSecret)
	dir := t.TempDir()
	c, err := openCache(dir, keys)
	if err != nil {
		t.Fatal(err)
	}
	h := keys.hider()
	seeds := map[index]Seed{}
	for part := range 2*maxSegments + 3 {
		var fresh []hidden
		for i := range 50 * part {
			item := benchItem(1000*part + i)
			x, seed := h.indexOf(&item), benchSeed(&p, 1000*part+i)
			seeds[x] = seed
			hide := [32]byte(seed)
			h.mask(x, &hide)
			fresh = append(fresh, hidden{x, hide})
		}
		if err := c.add(fresh); err != nil {
			t.Fatal(err)
		}
		if part == maxSegments {
			// As if a merge had died before it removed anything.
			if err := c.add(fresh); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.compact(); err != nil {
			t.Fatal(err)
		}
		if len(c.segments) > maxSegments {
			t.Fatalf("%d segments", len(c.segments))
		}
	}
	check := func(c *cache) {
		t.Helper()
		records := 0
		for _, s := range c.segments {
			records += s.n
		}
		if records < len(seeds) {
			t.Errorf("%d records of %d", records, len(seeds))
		}
		for x, want := range seeds {
			if got, err := c.seed(h, x); err != nil || got != want {
				t.Fatalf("a seed is lost: %v", err)
			}
			for _, y := range []index{{x.hi, x.lo + 1}, {x.hi + 1, x.lo}, {x.hi - 1, x.lo}, {0, 0}, {^uint64(0), ^uint64(0)}} {
				if _, ok := c.find(y); ok {
					t.Fatal("an index that is not there is found")
				}
			}
		}
	}
	check(c)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	if c, err = openCache(dir, keys); err != nil {
		t.Fatal(err)
	}
	check(c)
	name := filepath.Join(dir, c.segments[0].name)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string][]byte{
		"flipped": append(append([]byte(nil), good[:100]...), append([]byte{good[100] ^ 1}, good[101:]...)...),
		"cut":     good[:len(good)-1], "short": good[:10], "count": func() []byte {
			b := bytes.Clone(good)
			binary.BigEndian.PutUint64(b[16:], 1<<62)
			return b
		}(),
	} {
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openCache(dir, keys); err == nil {
			t.Errorf("%s: it opens", what)
		}
	}
}

func TestSortKeyed(t *testing.T) {
	var list []keyed
	for i := range 5000 {
		item := benchItem(i / 2)
		list = append(list, keyed{fingerprintOf(item[:], 67), uint32(i)})
	}
	if err := sortKeyed(context.Background(), 3, list, 67); err != nil {
		t.Fatal(err)
	}
	for i := range list[1:] {
		a, b := list[i], list[i+1]
		if b.key.less(a.key) || a.key == b.key && a.ord > b.ord {
			t.Fatalf("%v comes before %v", a, b)
		}
	}
}

// The number of workers changes nothing that is published but randomness.
func TestWorkers(t *testing.T) {
	p := testParams()
	var first []byte
	for _, workers := range []int{1, 2, 7} {
		dir := t.TempDir()
		pub, err := OpenPublisher(dir, p, testSecret, Options{Rand: benchRand(), Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		s, err := pub.Stage(context.Background(), benchInput(0, 3000, 4), benchEvaluate, testTerms())
		if err != nil {
			t.Fatal(err)
		}
		pub.Close()
		if first == nil {
			first = s.Bytes()
		} else if !bytes.Equal(first, s.Bytes()) {
			t.Errorf("%d of %d workers publish something else", workers, parallel.Workers(0))
		}
	}
}

func TestDestroy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "epoch")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "secret")
	secret := bytes.Repeat([]byte("secret"), 1<<19)
	if err := os.WriteFile(path, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	// A second name shows what became of the contents.
	witness := filepath.Join(t.TempDir(), "witness")
	if err := os.Link(path, witness); err != nil {
		t.Skip("no hard links here")
	}
	if err := Destroy(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the file is still there")
	}
	b, err := os.ReadFile(witness)
	if err != nil || len(b) != len(secret) || !bytes.Equal(b, make([]byte, len(b))) {
		t.Errorf("of %d bytes %d are left, not all zero; error %v", len(secret), len(b), err)
	}
	if err := Destroy(path); err != nil {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), secret[:10], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := DestroyAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the directory is still there")
	}
	if err := DestroyAll(dir); err != nil {
		t.Errorf("a directory that is not there: %v", err)
	}
}
