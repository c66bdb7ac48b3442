package lookup

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/symbolon/symbolon/psi"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.txt")

func TestParams(t *testing.T) {
	good := testParams()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(p *Params){
		"agreement id":       func(p *Params) { p.Agreement = [32]byte{} },
		"epoch is 0":         func(p *Params) { p.Epoch = 0 },
		"0 keys a record":    func(p *Params) { p.MaxKeys = 0 },
		"5000 keys a record": func(p *Params) { p.MaxKeys = 5000 },
		"2^-8 are":           func(p *Params) { p.FalsePositiveLog2 = 8 },
		"2^-65 are":          func(p *Params) { p.FalsePositiveLog2 = 65 },
		"both or neither":    func(p *Params) { p.Slots = 0 },
		"257 bytes":          func(p *Params) { p.LabelBytes = 257 },
		"-1 bytes":           func(p *Params) { p.LabelBytes = -1 },
		"65 label slots":     func(p *Params) { p.Slots = 65 },
	} {
		p := good
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got error %v, want one with %q", err, says)
		}
	}
}

// Items are hashes of tuples, and no part of a tuple leaves them as they are.
func TestItems(t *testing.T) {
	p := testParams()
	h := p.Hasher()
	want := psi.HashTuple([]byte("symbolon/v1/lookup-item"), p.Agreement[:], []byte{0, 0, 0, 3}, []byte("rule"), []byte("key"))
	if got := h.Item("rule", "key"); got != want || h.Item("rule", "key") != want {
		t.Errorf("got %x, want %x", got, want)
	}
	other, later := p, p
	other.Agreement[31]++
	later.Epoch++
	seen := map[Item]bool{want: true}
	for _, item := range []Item{h.Item("rulek", "ey"), h.Item("", "rulekey"), h.Item("key", "rule"), h.Item("rule", ""), other.Hasher().Item("rule", "key"), later.Hasher().Item("rule", "key")} {
		if seen[item] {
			t.Error("two tuples give one item")
		}
		seen[item] = true
	}
	output := outputOf(want)
	if got := psi.HashTuple([]byte("symbolon/v1/lookup-seed"), p.Context(), output[:]); p.Seed(output[:]) != got || other.Seed(output[:]) == got || later.Seed(output[:]) == got {
		t.Error("a seed is not bound to agreement and epoch")
	}
}

// The formats, pinned: a change here is a new version of them.
func TestGolden(t *testing.T) {
	p := testParams()
	item := p.Hasher().Item("rule", "key")
	output := outputOf(item)
	seed := p.Seed(output[:])
	k := newKeyer(&p, 67)
	label := k.labelKey(seed)
	f := k.fingerprint(seed)
	got := []string{
		"item " + hex.EncodeToString(item[:]),
		"seed " + hex.EncodeToString(seed[:]),
		fmt.Sprintf("fingerprint %x %016x", f.hi, f.lo),
		"label key " + hex.EncodeToString(label[:]),
	}
	for _, mode := range []string{"plain", "labels"} {
		p, dir := modes()[mode], t.TempDir()
		benchPublish(t, dir, p, benchInput(0, 1000, 4))
		s := benchPublish(t, dir, p, benchInput(40, 1030, 4))
		manifest := sha256.Sum256(s.Bytes())
		got = append(got, fmt.Sprintf("%s manifest %x", mode, manifest))
		for _, name := range []string{namedFilter, namedDelta} {
			b, err := os.ReadFile(fileOf(dir, name, 2))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %s %x", mode, strings.TrimSuffix(name, "-"), sha256.Sum256(b)))
		}
	}
	const path = "testdata/golden.txt"
	all := strings.Join(got, "\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(all), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if all != string(want) {
		t.Errorf("%s has other values; now they are\n%s", path, all)
	}
}

func BenchmarkItem(b *testing.B) {
	p := testParams()
	h := p.Hasher()
	for range b.N {
		h.Item("skeleton and date", "mohammed|ahmed|19700101")
	}
}
