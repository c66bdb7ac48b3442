package bloom

import (
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/symbolon/symbolon/internal/secret"
)

// vectors returns the directory with CLKs that clkhash has computed.
func vectors(t testing.TB) string {
	data := os.Getenv("SYMBOLON_DATA")
	if data == "" {
		t.Skip("SYMBOLON_DATA is unset: no CLKs of clkhash to compare with")
	}
	return filepath.Join(data, "..", "vectors", "clkhash-v3")
}

func readVector(t testing.TB, dir, name string) (e *Encoder, records [][]string, clks []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := ParseSchema(raw)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, name+"-input.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err = csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	raw, err = os.ReadFile(filepath.Join(dir, name+"-clks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Secret string   `json:"secret"`
		CLKs   []string `json:"clks"`
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	e, err = NewEncoder(schema, secret.New([]byte(want.Secret)))
	if err != nil {
		t.Fatal(err)
	}
	return e, records[1:], want.CLKs
}

// TestClkhash compares with CLKs of clkhash over records of FEBRL and of the US
// list of sanctioned persons, which have letters beyond ASCII and missing
// values.
func TestClkhash(t *testing.T) {
	dir := vectors(t)
	for _, name := range []string{"febrl", "sdn"} {
		e, records, want := readVector(t, dir, name)
		if len(records) != len(want) || len(want) < 200 {
			t.Fatalf("%s: %d records for %d CLKs, want at least 200", name, len(records), len(want))
		}
		set, bad, err := e.EncodeAll(context.Background(), 0, records)
		if err != nil || len(bad) > 0 {
			t.Fatal(err, bad)
		}
		for i := range records {
			if got := base64.StdEncoding.EncodeToString(set.AppendBytes(nil, i)); got != want[i] {
				t.Fatalf("%s: CLK %d differs from that of clkhash", name, i)
			}
		}
	}
}
