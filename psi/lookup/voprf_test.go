package lookup

import (
	"context"
	"testing"

	"github.com/symbolon/symbolon/internal/voprf"
)

// A whole lookup with the function of RFC 9497: the owner's outputs and those
// that an asker gets blindly lead to the same place.
func TestLookup(t *testing.T) {
	m := newModel(t, testParams())
	for range 20 {
		m.person(3)
	}
	key, err := voprf.GenerateKey(voprf.ModeVOPRF, m.rand)
	if err != nil {
		t.Fatal(err)
	}
	terms := testTerms()
	copy(terms.PublicKey[:], key.Public().Bytes())
	evaluate := func(ctx context.Context, dst [][OutputSize]byte, items []Item) error {
		inputs := make([][]byte, len(items))
		for i := range items {
			inputs[i] = items[i][:]
		}
		outputs, err := key.Evaluate(ctx, inputs, 1)
		copy(dst, outputs)
		return err
	}
	pub := m.open()
	defer pub.Close()
	s, err := pub.Stage(context.Background(), m.input(), evaluate, terms)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(nil); err != nil {
		t.Fatal(err)
	}
	f := m.fetch(m.mirror()).Filter

	known := m.someKey()
	queries := []string{known, "stranger", m.someKey()}
	inputs := make([][]byte, len(queries))
	for i, k := range queries {
		item := m.item(k)
		inputs[i] = item[:]
	}
	req, err := voprf.Blind(voprf.ModeVOPRF, m.rand, inputs)
	if err != nil {
		t.Fatal(err)
	}
	evaluated, proof, err := key.BlindEvaluate(m.rand, req.Blinded())
	if err != nil {
		t.Fatal(err)
	}
	public, err := voprf.ParsePublicKey(voprf.ModeVOPRF, terms.PublicKey[:])
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := req.Finalize(public, evaluated, proof)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range queries {
		hit, ok, err := f.Test(m.params.Seed(outputs[i][:]))
		if err != nil || ok != (k != "stranger") {
			t.Fatalf("%s: hit %v, error %v", k, ok, err)
		}
		if ok && (hit.Broken || len(hit.Labels) == 0 || hit.Labels[0] == Label{}) {
			t.Errorf("%s: %+v", k, hit)
		}
	}
}
