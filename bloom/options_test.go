package bloom

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/symbolon/symbolon/internal/secret"
)

// optionCase is a schema with made-up records and the CLKs that the functions
// of clkhash 0.18.3 return for them, null for a record that they refuse.
type optionCase struct {
	Name    string
	Schema  json.RawMessage
	Secret  string
	Records [][]string
	CLKs    []*string
}

func optionCases(t testing.TB) []optionCase {
	t.Helper()
	raw, err := os.ReadFile("testdata/clkhash-0.18-options.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []optionCase
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 70 {
		t.Fatalf("only %d cases", len(cases))
	}
	return cases
}

// TestOptions covers each comparison, strategy, hash, key derivation, fold,
// format and encoding of a schema, and missing and ignored values.
func TestOptions(t *testing.T) {
	for _, c := range optionCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			schema, err := ParseSchema(c.Schema)
			if err != nil {
				t.Fatal(err)
			}
			e, err := NewEncoder(schema, secret.New([]byte(c.Secret)))
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range c.Records {
				clk, err := e.Encode(nil, r)
				var bad *RecordError
				switch {
				case err != nil && !errors.As(err, &bad):
					t.Errorf("record %q: error %v of another type", r, err)
				case c.CLKs[i] == nil && err == nil:
					t.Errorf("record %q was encoded, want an error", r)
				case c.CLKs[i] != nil && err != nil:
					t.Errorf("record %q: %v", r, err)
				case err == nil && base64.StdEncoding.EncodeToString(clk) != *c.CLKs[i]:
					t.Errorf("record %q has another CLK", r)
				}
			}
		})
	}
}
