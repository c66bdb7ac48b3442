package lookup

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon/symbolon/psi"
)

// A model is an owner's data as plain maps, and what the tests need to publish
// it. Instead of the VOPRF it has a keyed hash.
type model struct {
	t      testing.TB
	params Params
	dir    string
	rng    *rand.Rand
	rand   io.Reader
	keys   map[string][]int // key: numbers of its people
	people map[int]Label
	// evaluated counts items.
	evaluated atomic.Int64
	nextKey   int
}

func newModel(t testing.TB, p Params) *model {
	return &model{
		t: t, params: p, dir: t.TempDir(), rng: rand.New(rand.NewPCG(11, 12)),
		rand: psi.NewStream(bytes.Repeat([]byte{5}, 32), "test"),
		keys: map[string][]int{}, people: map[int]Label{},
	}
}

// person adds somebody with so many keys of their own, and perhaps one of
// somebody else's.
func (m *model) person(keys int) int {
	id := 0
	for ; ; id = m.rng.IntN(1 << 30) {
		if _, there := m.people[id]; !there {
			break
		}
	}
	m.relabel(id)
	for range keys {
		m.nextKey++
		k := fmt.Sprintf("key %d", m.nextKey)
		m.keys[k] = append(m.keys[k], id)
	}
	if m.rng.IntN(4) == 0 {
		k := m.someKey()
		if !slices.Contains(m.keys[k], id) {
			m.keys[k] = append(m.keys[k], id)
		}
	}
	return id
}

func (m *model) relabel(id int) {
	m.people[id] = Label{Reference: fmt.Sprintf("case %d/%d", id, m.rng.IntN(1000)), Contact: "desk é", Text: "text"}
}

func (m *model) someKey() string {
	all := make([]string, 0, len(m.keys))
	for k := range m.keys {
		all = append(all, k)
	}
	slices.Sort(all)
	return all[m.rng.IntN(len(all))]
}

func (m *model) somebody() int {
	all := m.ids()
	return all[m.rng.IntN(len(all))]
}

func (m *model) ids() []int {
	all := make([]int, 0, len(m.people))
	for id := range m.people {
		all = append(all, id)
	}
	slices.Sort(all)
	return all
}

// withdraw removes somebody and the keys that are only theirs.
func (m *model) withdraw(id int) {
	delete(m.people, id)
	for k, owners := range m.keys {
		if m.keys[k] = slices.DeleteFunc(slices.Clone(owners), func(o int) bool { return o == id }); len(m.keys[k]) == 0 {
			delete(m.keys, k)
		}
	}
}

func (m *model) item(key string) Item { return m.params.Hasher().Item("rule", key) }

func outputOf(item Item) [OutputSize]byte {
	return sha512.Sum512(append([]byte("voprf key"), item[:]...))
}

func (m *model) seed(key string) Seed {
	o := outputOf(m.item(key))
	return m.params.Seed(o[:])
}

func (m *model) evaluate(_ context.Context, dst [][OutputSize]byte, items []Item) error {
	for i := range items {
		dst[i] = outputOf(items[i])
	}
	m.evaluated.Add(int64(len(items)))
	return nil
}

// input returns the data with records numbered and keys ordered at random.
func (m *model) input() Input {
	ids := m.ids()
	m.rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	number := map[int]uint32{}
	for i, id := range ids {
		number[id] = uint32(i)
	}
	return Input{
		Items: func(yield func(Item, []uint32) error) error {
			for k, owners := range m.keys {
				var records []uint32
				for _, o := range owners {
					records = append(records, number[o])
				}
				if err := yield(m.item(k), records); err != nil {
					return err
				}
			}
			return nil
		},
		Records: len(ids),
		Record:  func(n int) (string, Label, error) { return fmt.Sprint("id ", ids[n]), m.people[ids[n]], nil },
	}
}

var testSecret = bytes.Repeat([]byte{7}, SecretSize)

func testTerms() Terms {
	return Terms{Created: testTime, ValidUntil: testTime.Add(33 * 24 * time.Hour), PublicKey: [32]byte{1}, RuleSet: [32]byte{2}, Normalisation: "1"}
}

func (m *model) open() *Publisher {
	m.t.Helper()
	p, err := OpenPublisher(m.dir, m.params, testSecret, Options{Rand: m.rand})
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

// publish stages and commits the data as it is.
func (m *model) publish() *Staged {
	m.t.Helper()
	p := m.open()
	defer p.Close()
	s, err := p.Stage(context.Background(), m.input(), m.evaluate, testTerms())
	if err != nil {
		m.t.Fatal(err)
	}
	if err := s.Commit([]byte("signature")); err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *model) serve() *Publication {
	m.t.Helper()
	p, err := OpenPublication(m.dir, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { p.Close() })
	return p
}

// fetch brings a mirror up to date.
func (m *model) fetch(to *Mirror) *Update {
	m.t.Helper()
	p := m.serve()
	f, err := to.Begin(p.Signed)
	if err != nil {
		m.t.Fatal(err)
	}
	feed(m.t, f, p)
	u, err := f.Finish(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { u.Close() })
	return u
}

func feed(t testing.TB, f *Fetch, p *Publication) {
	t.Helper()
	for {
		from, n, ok := f.Want()
		if !ok {
			return
		}
		b, err := p.Chunk(from, n)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Put(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *model) mirror() *Mirror {
	m.t.Helper()
	to, err := OpenMirror(m.t.TempDir(), m.params)
	if err != nil {
		m.t.Fatal(err)
	}
	return to
}

// check compares a filter with the data: every key hits with the right labels,
// and none of the others does.
func (m *model) check(f *Filter, gone ...string) {
	m.t.Helper()
	for k, owners := range m.keys {
		hit, ok, err := f.Test(m.seed(k))
		if err != nil || !ok || !f.Has(m.seed(k)) {
			m.t.Fatalf("%s: hit %v, error %v", k, ok, err)
		}
		if !m.params.Labelled() {
			continue
		}
		if hit.Broken || hit.More != (len(owners) > m.params.Slots) || len(hit.Labels) != min(len(owners), m.params.Slots) {
			m.t.Fatalf("%s of %d people: %d labels, more %v, broken %v", k, len(owners), len(hit.Labels), hit.More, hit.Broken)
		}
		for _, l := range hit.Labels {
			if !slices.ContainsFunc(owners, func(o int) bool { return m.people[o] == l }) {
				m.t.Fatalf("%s has the label %v", k, l)
			}
		}
	}
	for i := range 1000 {
		gone = append(gone, fmt.Sprint("stranger ", i))
	}
	for _, k := range gone {
		if _, there := m.keys[k]; !there && f.Has(m.seed(k)) {
			m.t.Fatalf("%s hits", k)
		}
	}
}

// change lets so many people come, go, and be renamed.
func (m *model) change(n int) (gone []string) {
	before := map[string]bool{}
	for k := range m.keys {
		before[k] = true
	}
	for range n {
		switch m.rng.IntN(4) {
		case 0:
			m.person(m.rng.IntN(4))
		case 1:
			if len(m.people) > 2 {
				m.withdraw(m.somebody())
			}
		case 2:
			m.relabel(m.somebody())
		default:
			k, id := m.someKey(), m.somebody()
			if !slices.Contains(m.keys[k], id) {
				m.keys[k] = append(m.keys[k], id)
			} else if len(m.keys[k]) > 1 {
				m.keys[k] = slices.DeleteFunc(slices.Clone(m.keys[k]), func(o int) bool { return o == id })
			}
		}
		if len(m.keys) < 3 {
			m.person(3)
		}
	}
	m.person(1)
	for k := range before {
		if _, there := m.keys[k]; !there {
			gone = append(gone, k)
		}
	}
	return gone
}

func modes() map[string]Params {
	labelled, plain := testParams(), testParams()
	plain.LabelBytes, plain.Slots = 0, 0
	return map[string]Params{"labels": labelled, "plain": plain}
}

func eachMode(t *testing.T, f func(t *testing.T, p Params)) {
	for name, p := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, p)
		})
	}
}

func sameFile(t testing.TB, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Fatalf("%s and %s differ", filepath.Base(a), filepath.Base(b))
	}
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), segmentPrefix) {
			out = append(out, f.Name())
		}
	}
	return out
}

var errTest = errors.New("the test says so")
