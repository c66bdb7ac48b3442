package bloom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon/symbolon/internal/secret"
)

// person returns a made-up record of given and family name, date of birth and
// document.
func person(i int) []string {
	given := []string{"anna", "ivan", "fatima", "josé maría", "wei", "olu", "zoë"}
	family := []string{"smith", "kuznetsov", "al hassan", "garcía lópez", "wang", "adeyemi", "müller"}
	return []string{
		given[i%7], family[i/7%7] + given[i/49%7],
		fmt.Sprintf("%04d-%02d-%02d", 1940+i%60, 1+i/60%12, 1+i/720%28), fmt.Sprint(1000000 + 7919*i),
	}
}

func people(n int) [][]string {
	records := make([][]string, n)
	for i := range records {
		records[i] = person(i)
	}
	return records
}

func testEncoder(t testing.TB) *Encoder {
	t.Helper()
	feature := func(name, format, comparison, strategy, hash string) string {
		return fmt.Sprintf(`{"identifier": %q, "format": {"type": %s}, "hashing": {"comparison": {"type": %s}, "strategy": {%s}, "hash": {"type": %q}}}`,
			name, format, comparison, strategy, hash)
	}
	s, err := ParseSchema([]byte(`{"version": 3, "clkConfig": {"l": 1024, "kdf": {"type": "HKDF"}}, "features": [` +
		feature("given", `"string"`, `"ngram", "n": 2`, `"bitsPerFeature": 200`, "doubleHash") + "," +
		feature("family", `"string"`, `"ngram", "n": 2`, `"bitsPerToken": 10`, "blakeHash") + "," +
		feature("dob", `"date", "format": "%Y-%m-%d"`, `"ngram", "n": 1, "positional": true`, `"bitsPerFeature": 100`, "blakeHash") + "," +
		feature("document", `"string"`, `"exact"`, `"bitsPerToken": 30`, "doubleHash") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEncoder(s, secret.New([]byte("a test secret")))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEncodeAll checks that neither workers nor what a coder remembers of
// earlier records change a CLK.
func TestEncodeAll(t *testing.T) {
	e := testEncoder(t)
	records := people(3*piece + 5)
	records[piece+1][2] = "31 February"
	records[3*piece] = []string{"short"}
	for _, workers := range []int{1, 2, 5} {
		set, bad, err := e.EncodeAll(context.Background(), workers, records)
		if err != nil {
			t.Fatal(err)
		}
		if len(bad) != 2 || bad[0].Record != piece+1 || bad[0].Column != "dob" || bad[1].Record != 3*piece {
			t.Fatalf("%d workers: bad records %v", workers, bad)
		}
		for i, r := range records {
			want, err := testEncoder(t).Encode(nil, r)
			if err != nil {
				want = make([]byte, 128)
			}
			if !bytes.Equal(set.AppendBytes(nil, i), want) {
				t.Fatalf("%d workers: CLK %d differs from that of a fresh encoder", workers, i)
			}
			if i == 300 {
				break // a fresh encoder is slow
			}
		}
		if got := set.AppendBytes(nil, piece+1); !bytes.Equal(got, make([]byte, 128)) {
			t.Fatalf("%d workers: a bad record has a CLK", workers)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := e.EncodeAll(ctx, 2, records); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancellation: %v", err)
	}
}

// TestCacheLimit has more tokens than a hasher remembers.
func TestCacheLimit(t *testing.T) {
	for kind := range 3 {
		h := newHasher(hashKind(kind), make([]byte, 128), 1024)
		filters := make(map[string][16]uint64)
		for round := range 2 {
			for i := range cacheTokens + 10 {
				token := fmt.Sprint(i)
				var f [16]uint64
				h.insert(f[:], []byte(token), 5+round)
				h.insert(f[:], []byte(token), 40)
				if i%1000 == 0 {
					h.insert(f[:], []byte(token), cacheWords+10)
				}
				if round == 1 && f != filters[token] {
					t.Fatalf("hash %d: token %s sets other bits the second time", kind, token)
				}
				filters[token] = f
			}
		}
	}
}

// TestEncoderHidesKeys prints an encoder.
func TestEncoderHidesKeys(t *testing.T) {
	e := testEncoder(t)
	start := e.keys.Expose()[:4]
	for _, verb := range []string{"%v", "%+v", "%x"} {
		inside := strings.Trim(fmt.Sprintf(verb, start), "[]")
		if text := fmt.Sprintf(verb, e); strings.Contains(text, inside) {
			t.Errorf("%s of an encoder shows its keys", verb)
		}
		if text := fmt.Sprintf(verb, &struct{ keys []byte }{e.keys.Expose()}); !strings.Contains(text, inside) {
			t.Errorf("%s of bare keys does not show them: this test can't fail", verb)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := testEncoder(b)
	records := people(1 << 14)
	b.ResetTimer()
	for n := 0; n < b.N; n += len(records) {
		if _, bad, err := e.EncodeAll(context.Background(), 1, records); err != nil || len(bad) > 0 {
			b.Fatal(err, bad)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
