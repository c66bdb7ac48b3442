package bloom

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon/symbolon/internal/secret"
)

// schemaOf returns a schema with one feature; the arguments replace parts.
func schemaOf(replace ...string) string {
	return strings.NewReplacer(replace...).Replace(`{"version": 3,
 "clkConfig": {"l": 64, "kdf": {"type": "HKDF", "keySize": 64}},
 "features": [{"identifier": "x", "format": {"type": "string"},
  "hashing": {"comparison": {"type": "ngram", "n": 2}, "strategy": {"bitsPerToken": 5}, "hash": {"type": "doubleHash"}}}]}`)
}

func TestSchemaErrors(t *testing.T) {
	const numeric = `{"type": "numeric", "thresholdDistance": 5, "resolution": 2}`
	const ngram = `{"type": "ngram", "n": 2}`
	for _, c := range []struct{ name, schema, want string }{
		{"not JSON", `{`, "unexpected EOF"},
		{"a list", `[]`, "schema: is not an object"},
		{"null", `null`, "schema: is not an object"},
		{"two values", `{} {}`, "text after the JSON value"},
		{"not UTF-8", "{\"\xff\": 1}", "is not UTF-8"},
		{"too large", strings.Repeat(" ", MaxSchema+1), "want at most 1048576"},
		{"deep", strings.Repeat("[", 100), "nested deeper than 16"},
		{"a name twice", schemaOf(`"n": 2`, `"n": 2, "n": 3`), `the name "n" is there twice`},
		{"no version", schemaOf(`"version": 3,`, ``), "version: is missing"},
		{"another version", schemaOf(`"version": 3`, `"version": 2`), "version: got 2, want 3"},
		{"a version in words", schemaOf(`"version": 3`, `"version": "3"`), "version: is not a number"},
		{"an unknown name", schemaOf(`"n": 2`, `"n": 2, "positonal": true`), `features[0].hashing.comparison: does not know ["positonal"]`},
		{"an unknown name above", schemaOf(`"version": 3`, `"version": 3, "secret": "x"`), `does not know ["secret"]`},
		{"no length", schemaOf(`"l": 64,`, ``), "clkConfig.l: is missing"},
		{"length 0", schemaOf(`"l": 64`, `"l": 0`), "clkConfig.l: got 0, want 1 to"},
		{"a length that is a fraction", schemaOf(`"l": 64`, `"l": 64.5`), "clkConfig.l: is not an integer"},
		{"an absurd length", schemaOf(`"l": 64`, `"l": 99999999999999999999`), "clkConfig.l: is not an integer"},
		{"too long before folding", schemaOf(`"l": 64`, `"l": 1048576, "xorFolds": 1`), "want at most 1048576"},
		{"folds that differ", schemaOf(`"l": 64`, `"l": 64, "xorFolds": 1, "xor_folds": 2`), "clkConfig.xor_folds: got 2, but xorFolds is 1"},
		{"another KDF", schemaOf(`HKDF`, `PBKDF2`), `clkConfig.kdf.type: got "PBKDF2", want one of ["HKDF"]`},
		{"another hash of the KDF", schemaOf(`"HKDF"`, `"HKDF", "hash": "MD5"`), `clkConfig.kdf.hash: got "MD5"`},
		{"a salt that is not base64", schemaOf(`"HKDF"`, `"HKDF", "salt": "?"`), "clkConfig.kdf.salt: is not base64"},
		{"more keys than HKDF gives", schemaOf(`"keySize": 64`, `"keySize": 1024`, `"features": [`, `"features": [{"identifier": "a", "ignored": true}, {"identifier": "b", "ignored": true}, {"identifier": "c", "ignored": true},`), "HKDF gives at most 8160"},
		{"no features", `{"version": 3, "clkConfig": {"l": 64, "kdf": {"type": "HKDF"}}, "features": []}`, "features: there is none"},
		{"features that are no list", `{"version": 3, "clkConfig": {"l": 64, "kdf": {"type": "HKDF"}}, "features": {}}`, "features: is not a list"},
		{"a feature that is no object", `{"version": 3, "clkConfig": {"l": 64, "kdf": {"type": "HKDF"}}, "features": [1]}`, "features[0]: is not an object"},
		{"a column twice", schemaOf(`"features": [`, `"features": [{"identifier": "x", "ignored": true},`), "features[1].identifier: an earlier feature has the same"},
		{"no format", schemaOf(`"format": {"type": "string"},`, ``), "features[0].format: is missing"},
		{"an unknown format", schemaOf(`"string"`, `"float"`), `features[0].format.type: got "float"`},
		{"an unknown encoding", schemaOf(`"string"`, `"string", "encoding": "latin-1"`), `features[0].format.encoding: got "latin-1"`},
		{"a pattern and a case", schemaOf(`"string"`, `"string", "pattern": "a", "case": "lower"`), `features[0].format: does not know ["case"]`},
		{"a broken pattern", schemaOf(`"string"`, `"string", "pattern": "(a"`), "features[0].format.pattern: error parsing regexp"},
		{"a pattern that looks ahead", schemaOf(`"string"`, `"string", "pattern": "(?=a)b"`), "not supported"},
		{"a date without format", schemaOf(`"string"`, `"date"`), "features[0].format.format: is missing"},
		{"an unknown directive", schemaOf(`"string"`, `"date", "format": "%Y %Q"`), "features[0].format.format: %Q is not supported"},
		{"a directive twice", schemaOf(`"string"`, `"date", "format": "%Y %Y"`), "%Y is there twice"},
		{"contradicting directives", schemaOf(`"string"`, `"date", "format": "%Y %y"`), "contradict each other"},
		{"a lone percent sign", schemaOf(`"string"`, `"date", "format": "%Y%"`), "ends in a lone %"},
		{"an enumeration of numbers", schemaOf(`"string"`, `"enum", "values": [1]`), "features[0].format.values: is not a list of strings"},
		{"a bound that is a fraction", schemaOf(`"string"`, `"integer", "minimum": 1.5`), "features[0].format.minimum: is not an integer"},
		{"no hashing", schemaOf(`"hashing"`, `"hush"`), "features[0].hashing: is missing"},
		{"no comparison", schemaOf(`"comparison": `+ngram+`,`, ``), "features[0].hashing.comparison: is missing"},
		{"an unknown comparison", schemaOf(`"ngram"`, `"soundex"`), `features[0].hashing.comparison.type: got "soundex"`},
		{"0-grams", schemaOf(`"n": 2`, `"n": 0`), "features[0].hashing.comparison.n: got 0, want 1 to 64"},
		{"positional in words", schemaOf(`"n": 2`, `"n": 2, "positional": "no"`), "is not true or false"},
		{"no distance", schemaOf(ngram, `{"type": "numeric", "resolution": 2}`), "features[0].hashing.comparison.thresholdDistance: is missing"},
		{"distance 0", schemaOf(ngram, `{"type": "numeric", "thresholdDistance": 0, "resolution": 2}`), "is not a number above 0"},
		{"a distance below the precision", schemaOf(ngram, `{"type": "numeric", "thresholdDistance": 0.04, "resolution": 2, "fractional_precision": 1}`), "is nothing at a fractional_precision of 1"},
		{"an absurd distance", schemaOf(ngram, `{"type": "numeric", "thresholdDistance": 1e300, "resolution": 2}`), "is more than 2^53 units"},
		{"no strategy", schemaOf(`"strategy": {"bitsPerToken": 5},`, ``), "features[0].hashing.strategy: is missing"},
		{"two strategies", schemaOf(`"bitsPerToken": 5`, `"bitsPerToken": 5, "bitsPerFeature": 5`), "wants one of bitsPerToken and bitsPerFeature"},
		{"a strategy of 0 bits", schemaOf(`"bitsPerToken": 5`, `"bitsPerToken": 0`), "got 0, want 1 to 65536"},
		{"an unknown hash", schemaOf(`"doubleHash"`, `"sha3"`), `features[0].hashing.hash.type: got "sha3"`},
		{"singularity of BLAKE2b", schemaOf(`"doubleHash"`, `"blakeHash", "prevent_singularity": true`), `does not know ["prevent_singularity"]`},
		{"no way round singularity", schemaOf(`"l": 64`, `"l": 1`, `"doubleHash"`, `"doubleHash", "prevent_singularity": true`), "needs more than one bit"},
		{"BLAKE2b and long keys", schemaOf(`"keySize": 64`, `"keySize": 65`, `doubleHash`, `blakeHash`), "takes keys of at most 64 bytes"},
		{"BLAKE2b and an odd length", schemaOf(`"l": 64`, `"l": 65`, `doubleHash`, `blakeHash`), "needs a power of two"},
		{"no sentinel", schemaOf(`"hashing": {`, `"hashing": {"missingValue": {},`), "features[0].hashing.missingValue.sentinel: is missing"},
		{"a missing number in words", schemaOf(ngram, numeric, `"hashing": {`, `"hashing": {"missingValue": {"sentinel": "N/A"},`), "needs a number"},
		{"a replacement beyond ASCII", schemaOf(`"string"`, `"string", "encoding": "ascii"`, `"hashing": {`, `"hashing": {"missingValue": {"sentinel": "é"},`), "is not ASCII"},
	} {
		_, err := ParseSchema([]byte(c.schema))
		if err == nil || !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := ParseSchema([]byte(schemaOf())); err != nil {
		t.Errorf("the schema without errors: %v", err)
	}
}

func TestSchemaView(t *testing.T) {
	s, err := ParseSchema([]byte(schemaOf(`"l": 64`, `"l": 64, "xorFolds": 1`, `"features": [`, `"features": [{"identifier": "id", "ignored": true, "description": "row"},`)))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Bits(), s.Columns(), s.Ignored(0), s.Ignored(1)); got != "64 [id x] true false" {
		t.Errorf("got %s", got)
	}
	if n := s.Notes(); len(n) != 1 || !strings.Contains(n[0], "xor_folds") {
		t.Errorf("the notes %q do not tell that clkhash would not fold", n)
	}
}

func TestEncoderRefuses(t *testing.T) {
	s, err := ParseSchema([]byte(schemaOf()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewEncoder(s, secret.Bytes{}); err == nil {
		t.Error("an empty secret was taken")
	}
	e, err := NewEncoder(s, secret.New([]byte("k")))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][]string{nil, {"a", "b"}, {"\xff"}, {strings.Repeat("a", maxValue+1)}} {
		var bad *RecordError
		if _, err := e.Encode(nil, r); !errors.As(err, &bad) {
			t.Errorf("a record of %d values: got %v, want a RecordError", len(r), err)
		}
	}
}

// FuzzSchema looks for schemas that are accepted but can't be used, and for
// values that panic.
func FuzzSchema(f *testing.F) {
	for _, c := range optionCases(f) {
		for _, r := range c.Records[:1] {
			f.Add([]byte(c.Schema), r[0])
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, value string) {
		s, err := ParseSchema(raw)
		if err != nil {
			if !errors.Is(err, ErrSchema) {
				t.Errorf("error %v of another kind", err)
			}
			return
		}
		if !json.Valid(raw) {
			t.Error("accepted what is no JSON")
		}
		if s.hashed() > 1<<12 || len(value) > 1<<10 {
			return // slow
		}
		for _, feature := range s.features {
			if feature.inserts > 1<<8 {
				return
			}
		}
		e, err := NewEncoder(s, secret.New([]byte("k")))
		if err != nil {
			t.Fatal(err)
		}
		record := make([]string, len(s.features))
		for i := range record {
			record[i] = value
		}
		clk, err := e.Encode(nil, record)
		var bad *RecordError
		switch {
		case err != nil && !errors.As(err, &bad):
			t.Errorf("error %v of another type", err)
		case err != nil && len(value) > 8 && strings.Contains(err.Error(), value):
			t.Error("the error repeats the value")
		case err == nil && len(clk) != (s.Bits()+7)/8:
			t.Errorf("got %d bytes for %d bits", len(clk), s.Bits())
		}
		if set := newSet(s.bits); err == nil && set.Append(clk) != nil {
			t.Error("a set does not take the CLK")
		}
	})
}
