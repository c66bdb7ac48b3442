package sealed

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"
)

// FuzzMessages feeds bytes to the readers of all three messages: what is
// accepted has one encoding, and a query that is accepted can be answered.
func FuzzMessages(f *testing.F) {
	p := Params{Groups: 8, Symbols: 2, Threshold: 6, ring: 8}
	a, err := NewAsker(p, testScope, [32]byte{9})
	if err != nil {
		f.Fatal(err)
	}
	k, err := ReadKeys(p, testScope, a.Keys())
	if err != nil {
		f.Fatal(err)
	}
	x, err := CreateIndex(f.TempDir(), p, testScope, IndexOptions{Form: Compact, Capacity: 1, Seed: [32]byte{8}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { x.Close() })
	if err := x.Flush(context.Background(), 1, nil); err != nil {
		f.Fatal(err)
	}
	q, err := a.Query(1, make([]uint8, 8))
	if err != nil {
		f.Fatal(err)
	}
	scan := func(q *EncryptedQuery) (answer []byte) {
		err := x.Scan(context.Background(), []*EncryptedQuery{q}, ScanOptions{Rand: rand.Reader}, func(_, _ int, msg []byte) error {
			answer = msg
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
		return answer
	}
	e, err := k.ReadQuery(q.Message())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(q.Message())
	f.Add(scan(e))
	f.Add(a.Keys()[:headerSize])
	f.Fuzz(func(t *testing.T, msg []byte) {
		if e, err := k.ReadQuery(msg); err == nil {
			h, body, err := open(msg, kindQuery, p, testScope, len(msg)-headerSize)
			if err != nil || !bytes.Equal(append(h.append(nil, p, testScope), body...), msg) {
				t.Error("an accepted query does not encode to itself")
			}
			scan(e)
		}
		c := a.Collect(q.ID())
		if c.Add(msg) == nil {
			if done, blocks := c.Progress(); done != 1 || blocks < 1 {
				t.Errorf("an accepted answer left %d of %d", done, blocks)
			}
		}
		if _, err := ReadKeys(p, testScope, msg); err == nil && !bytes.Equal(msg[:headerSize], a.Keys()[:headerSize]) && len(msg) != len(a.Keys()) {
			t.Error("keys of a wrong length are accepted")
		}
	})
}
