package lookup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/symbolon/symbolon/psi"
)

// bigParams make a filter of several chunks from few keys.
func bigParams() Params {
	p := testParams()
	p.Slots = maxSlots
	return p
}

func bigModel(t testing.TB) *model {
	m := newModel(t, bigParams())
	for range 400 {
		m.person(4)
	}
	return m
}

func TestAlteredChunks(t *testing.T) {
	m := bigModel(t)
	m.publish()
	to := m.mirror()
	p := m.serve()
	f, err := to.Begin(p.Signed)
	if err != nil {
		t.Fatal(err)
	}
	chunks := 0
	for ctx := context.Background(); ; chunks++ {
		from, n, ok := f.Want()
		if !ok {
			break
		}
		b, err := p.Chunk(from, n)
		if err != nil {
			t.Fatal(err)
		}
		other, err := p.Chunk(0, (n+1)%p.Manifest.Filter.chunks())
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(b)
		flipped[len(b)/2] ^= 4
		for name, bad := range map[string][]byte{"flipped": flipped, "short": b[1:], "long": append(bytes.Clone(b), 0), "empty": nil, "another": other} {
			if err := f.Put(ctx, bad); !errors.Is(err, ErrAltered) || !errors.Is(err, psi.ErrPeer) {
				t.Fatalf("chunk %d, %s: got error %v", n, name, err)
			}
			if _, again, _ := f.Want(); again != n {
				t.Fatalf("chunk %d, %s: it was kept", n, name)
			}
		}
		if _, err := f.Finish(ctx); err == nil {
			t.Fatal("an incomplete fetch is finished")
		}
		if err := f.Put(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	if chunks < 3 {
		t.Fatalf("%d chunks are too few for this test", chunks)
	}
	if err := f.Put(context.Background(), []byte{1}); !errors.Is(err, ErrAltered) {
		t.Errorf("a chunk too many: %v", err)
	}
	u, err := f.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	m.check(u.Filter)
}

func TestChunksThatAreNot(t *testing.T) {
	m := newModel(t, testParams())
	m.person(3)
	m.publish()
	p := m.serve()
	for _, tt := range []struct {
		from uint64
		n    int
	}{{0, -1}, {0, 1}, {1, 0}, {7, 0}, {1 << 60, 1 << 30}} {
		if _, err := p.Chunk(tt.from, tt.n); !errors.Is(err, ErrNoChunk) {
			t.Errorf("chunk %d from %d: %v", tt.n, tt.from, err)
		}
	}
}

// A fetch goes on where another process left it, whatever that left on disk.
func TestResume(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"as it was":  func(b []byte) []byte { return b },
		"torn":       func(b []byte) []byte { return b[:2*ChunkSize-5] },
		"zeros":      func(b []byte) []byte { clear(b[ChunkSize:]); return b },
		"overlong":   func(b []byte) []byte { return append(b, 1, 2, 3) },
		"other file": func(b []byte) []byte { return make([]byte, len(b)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := bigModel(t)
			m.publish()
			to := m.mirror()
			p := m.serve()
			f, err := to.Begin(p.Signed)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				from, n, _ := f.Want()
				b, err := p.Chunk(from, n)
				if err != nil {
					t.Fatal(err)
				}
				if err := f.Put(context.Background(), b); err != nil {
					t.Fatal(err)
				}
			}
			// No Close: the process is gone.
			path := fileOf(to.dir, namedPart, 0)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, spoil(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if to, err = OpenMirror(to.dir, m.params); err != nil {
				t.Fatal(err)
			}
			if f, err = to.Begin(p.Signed); err != nil {
				t.Fatal(err)
			}
			want := map[string]int{"as it was": 2, "overlong": 2, "torn": 1, "zeros": 1, "other file": 0}[name]
			if _, n, ok := f.Want(); !ok || n != want {
				t.Fatalf("chunk %d is wanted, want %d", n, want)
			}
			if done, total := f.Progress(); done != int64(want)*ChunkSize || total != p.Manifest.Filter.Bytes {
				t.Errorf("progress is %d of %d", done, total)
			}
			feed(t, f, p)
			u, err := f.Finish(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			m.check(u.Filter)
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Error("the part is still there")
			}
		})
	}
}

func TestRollback(t *testing.T) {
	m := newModel(t, testParams())
	for range 300 {
		m.person(3)
	}
	m.publish()
	first := m.serve().Signed
	m.change(3)
	m.publish()
	second := m.serve().Signed
	m.change(3)
	m.publish()
	to := m.mirror()
	m.fetch(to)
	remade := func(s Signed, change func(m *Manifest)) Signed {
		man, err := ParseManifest(s.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		change(man)
		b, err := man.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return Signed{b, s.Signature}
	}
	third, _, _ := to.Current()
	for name, bad := range map[string]Signed{
		"first": first, "second": second,
		"another third": remade(third, func(m *Manifest) { m.ValidUntil = m.ValidUntil.AddDate(0, 0, 1) }),
		"a fourth that does not follow": remade(third, func(m *Manifest) {
			m.Serial, m.Deltas, m.Previous = 4, nil, strings.Repeat("00", 32)
		}),
		"a fifth with another key": remade(third, func(m *Manifest) {
			m.Serial, m.Deltas, m.PublicKey = 5, nil, strings.Repeat("00", 32)
		}),
	} {
		if _, err := to.Begin(bad); !errors.Is(err, ErrRollback) || !errors.Is(err, psi.ErrPeer) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	for name, bad := range map[string]Signed{
		"garbage":       {[]byte("{}"), nil},
		"another epoch": remade(third, func(m *Manifest) { m.Epoch++ }),
		"no labels": remade(third, func(m *Manifest) {
			m.Labels, m.Deltas = nil, nil
			p := m.params()
			h := header{params: p, serial: m.Serial, bits: m.FingerprintBits, keys: m.Keys}
			m.Filter = blobOf(make([]byte, h.fileLen()))
		}),
	} {
		if _, err := to.Begin(bad); !errors.Is(err, psi.ErrPeer) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	if f, err := to.Open(); err != nil {
		t.Error(err)
	} else {
		m.check(f)
		f.Close()
	}
}

// forge publishes, as a lying owner would, a serial whose files are changed but
// whose manifest describes them.
func (m *model) forge(filter, delta func(b []byte) []byte) *Publication {
	m.t.Helper()
	m.person(1)
	s := m.publish()
	man := *s.Manifest
	rewrite := func(name string, change func(b []byte) []byte) Blob {
		path := fileOf(m.dir, name, man.Serial)
		b, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		b = change(b)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			m.t.Fatal(err)
		}
		return blobOf(b)
	}
	if filter != nil {
		man.Filter = rewrite(namedFilter, filter)
	}
	if delta != nil {
		man.Deltas[len(man.Deltas)-1].Blob = rewrite(namedDelta, delta)
	}
	b, err := man.Bytes()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(fileOf(m.dir, namedManifest, man.Serial), Signed{b, nil}.Marshal(), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return m.serve()
}

func TestLyingOwner(t *testing.T) {
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	bump := func(at int, by uint32) func(b []byte) []byte {
		return func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[at:], binary.BigEndian.Uint32(b[at:])+by)
			return b
		}
	}
	start := func(t *testing.T) (*model, *Mirror) {
		m := newModel(t, testParams())
		for range 300 {
			m.person(3)
		}
		m.publish()
		to := m.mirror()
		m.fetch(to)
		return m, to
	}
	for name, change := range map[string]func(b []byte) []byte{
		"magic": flip(0), "epoch": flip(48), "serial": flip(59), "a sample": flip(headerLen), "the table": flip(headerLen + 200), "slots": flip(69), "the end of the header": flip(headerLen - 1),
	} {
		t.Run("filter, "+name, func(t *testing.T) {
			t.Parallel()
			m, to := start(t)
			_, before, _ := to.Current()
			p := m.forge(change, flip(-1))
			f, err := to.Begin(p.Signed)
			if err != nil {
				t.Fatal(err)
			}
			feed(t, f, p)
			if _, err := f.Finish(context.Background()); !errors.Is(err, ErrRefetch) {
				t.Fatalf("got error %v", err)
			}
			feed(t, f, p)
			if _, err := f.Finish(context.Background()); err == nil || errors.Is(err, ErrRefetch) {
				t.Fatalf("got error %v", err)
			}
			// What was installed still is, in this process and the next.
			again, err := OpenMirror(to.dir, m.params)
			if err != nil {
				t.Fatal(err)
			}
			if _, have, ok := again.Current(); !ok || have.Serial != before.Serial {
				t.Error("the installed serial is lost")
			}
			g, err := again.Open()
			if err != nil {
				t.Fatal(err)
			}
			g.Close()
		})
	}
	for name, change := range map[string]func(b []byte) []byte{
		"magic": flip(0), "serial": flip(59), "keys": bump(70, 1), "rows": bump(74, 1<<30), "old keys": bump(headerLen, 8), "old rows": bump(headerLen+4, 1<<31),
		"removed": bump(headerLen+8, 1), "added": bump(headerLen+12, 1<<31), "relabelled": bump(headerLen+16, 1), "rewritten": bump(headerLen+20, 1<<20), "last": bump(headerLen+24, 1),
		"lists": flip(headerLen + countsLen + 10), "an entry": flip(-20000), "a row": flip(-1),
		"short": func(b []byte) []byte { return b[:len(b)-1] }, "long": func(b []byte) []byte { return append(b, 0) },
		"one byte": func(b []byte) []byte { return b[:1] },
	} {
		t.Run("delta, "+name, func(t *testing.T) {
			t.Parallel()
			m, to := start(t)
			p := m.forge(nil, change)
			f, err := to.Begin(p.Signed)
			if err != nil {
				t.Fatal(err)
			}
			if !f.ByDelta() {
				t.Fatal("no delta is fetched")
			}
			feed(t, f, p)
			if _, err := f.Finish(context.Background()); !errors.Is(err, ErrRefetch) || !errors.Is(err, psi.ErrPeer) {
				t.Fatalf("got error %v", err)
			}
			// The whole filter is good.
			feed(t, f, p)
			u, err := f.Finish(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			m.check(u.Filter)
			if len(names(t, to.dir)) != 2 {
				t.Errorf("the directory holds %v", names(t, to.dir))
			}
		})
	}
}

// An asker whose own file was damaged fetches the whole filter.
func TestDamagedMirror(t *testing.T) {
	m := newModel(t, testParams())
	for range 300 {
		m.person(3)
	}
	m.publish()
	to := m.mirror()
	m.fetch(to)
	path := fileOf(to.dir, namedFilter, 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[headerLen+3] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m.person(2)
	m.publish()
	p := m.serve()
	f, err := to.Begin(p.Signed)
	if err != nil {
		t.Fatal(err)
	}
	feed(t, f, p)
	if _, err := f.Finish(context.Background()); !errors.Is(err, ErrRefetch) {
		t.Fatalf("got error %v", err)
	}
	feed(t, f, p)
	u, err := f.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	m.check(u.Filter)
}

// Labels that don't open are flagged, and don't hide the hit.
func TestBrokenLabels(t *testing.T) {
	m := newModel(t, testParams())
	m.people[1] = Label{Reference: "one"}
	m.keys["a"] = []int{1}
	m.publish()
	f := m.fetch(m.mirror()).Filter
	rank, _ := f.table.find(f.keys.fingerprint(m.seed("a")))
	hit, _, err := f.Test(m.seed("a"))
	if err != nil || len(hit.Rows) != 1 {
		t.Fatal(err)
	}
	for name, at := range map[string]int64{"entry": f.entryAt(rank) + 50, "row": f.rowAt(int(hit.Rows[0])) + 50} {
		b, err := os.ReadFile(f.file.Name())
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 1
		path := filepath.Join(t.TempDir(), "filter")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := openFilter(path)
		if err != nil {
			t.Fatal(err)
		}
		if hit, ok, err := g.Test(m.seed("a")); err != nil || !ok || !hit.Broken || len(hit.Labels) != 0 {
			t.Errorf("%s: %+v, %v, %v", name, hit, ok, err)
		}
		g.Close()
	}
}

func FuzzDecodeLabel(f *testing.F) {
	for _, l := range []Label{{}, {"reference", "contact", "text"}, {Text: "é"}} {
		b, err := l.encode(MaxLabel)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, ok := decodeLabel(b)
		if !ok {
			return
		}
		if again, err := l.encode(len(b)); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted, but encodes otherwise: %v", err)
		}
	})
}

// FuzzFilter opens whatever a filter file may hold, and tests it.
func FuzzFilter(f *testing.F) {
	for _, p := range modes() {
		m := newModel(f, p)
		m.person(3)
		m.publish()
		b, err := os.ReadFile(fileOf(m.dir, namedFilter, 1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	path := filepath.Join(f.TempDir(), "filter")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := openFilter(path)
		if err != nil {
			return
		}
		defer g.Close()
		for i := range 50 {
			if _, _, err := g.Test(Seed{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzDelta applies whatever a delta may hold.
func FuzzDelta(f *testing.F) {
	dir := f.TempDir()
	var olds []*Filter
	for _, p := range modes() {
		m := newModel(f, p)
		for range 200 {
			m.person(3)
		}
		m.publish()
		old, err := openFilter(fileOf(m.dir, namedFilter, 1))
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { old.Close() })
		olds = append(olds, old)
		m.change(5)
		m.publish()
		b, err := os.ReadFile(fileOf(m.dir, namedDelta, 2))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		// Changed at random, most are still deltas.
		rng := rand.New(rand.NewPCG(1, 1))
		for range 20 {
			c := bytes.Clone(b)
			c[headerLen+rng.IntN(min(len(c), 2000)-headerLen)] ^= 1 << rng.IntN(8)
			f.Add(c)
		}
	}
	path := filepath.Join(dir, "delta")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := openDelta(path)
		if err != nil {
			return
		}
		defer d.Close()
		for _, old := range append(olds, nil) {
			to := filepath.Join(dir, "filter")
			if _, err := d.apply(context.Background(), old, to); err != nil {
				continue
			}
			g, err := openFilter(to)
			if err != nil {
				continue // its keys may crowd a bucket
			}
			if g.header != d.header {
				t.Fatal("a delta leads to another filter than it says")
			}
			g.Close()
		}
	})
}
