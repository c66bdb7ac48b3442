package bloom

import (
	"encoding/base64"
	"errors"
	"fmt"
)

// Bounds on what a schema may ask for.
const (
	MaxBits    = 1 << 20 // bits of a CLK before folding
	MaxSchema  = 1 << 20 // bytes of a schema's JSON
	maxFolds   = 16
	maxInserts = 1 << 16 // bits a token or a feature sets
	maxGram    = 64      // n of an n-gram
	maxKeySize = 1 << 10 // bytes
	maxTokens  = 1 << 12 // numeric comparison: tokens on each side
)

// ErrSchema is wrapped by every error of ParseSchema.
var ErrSchema = errors.New("bloom: linkage schema")

// Schema is a linkage schema of version 3 in the format of clkhash: which
// columns a record has, how each is checked, cut into tokens and hashed. It
// does not change once parsed.
type Schema struct {
	bits     int
	folds    int
	kdf      kdf
	features []feature
	notes    []string
}

// feature is one column.
type feature struct {
	name    string
	ignored bool
	format  format
	// encoding turns tokens into bytes.
	encoding   textEncoding
	missing    *missingValue
	comparison comparison
	// inserts is the number of bits set for each token, or for all of a value.
	inserts    int
	perFeature bool
	hash       hashKind
}

// missingValue replaces values that stand for none.
type missingValue struct{ sentinel, replacement string }

type hashKind int

const (
	hashBlake hashKind = iota
	hashDouble
	hashDoubleNonSingular
)

// Bits returns the length of a CLK, after folding.
func (s *Schema) Bits() int { return s.bits }

// Columns returns the names of a record's columns, in order, with the ignored
// ones.
func (s *Schema) Columns() []string {
	names := make([]string, len(s.features))
	for i, f := range s.features {
		names[i] = f.name
	}
	return names
}

// Ignored reports whether column i leaves no trace in a CLK.
func (s *Schema) Ignored(i int) bool { return s.features[i].ignored }

// Notes returns what a user of other implementations should know of this
// schema.
func (s *Schema) Notes() []string { return append([]string(nil), s.notes...) }

// hashed is the length of the filter before folding.
func (s *Schema) hashed() int { return s.bits << s.folds }

// ParseSchema reads a linkage schema of version 3. It is stricter than the
// format's JSON Schema: unknown and repeated names are refused, for a misspelt
// option would otherwise silently change the bits.
func ParseSchema(data []byte) (*Schema, error) {
	s, err := parseSchema(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return s, nil
}

func parseSchema(data []byte) (*Schema, error) {
	if len(data) > MaxSchema {
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(data), MaxSchema)
	}
	if err := checkJSON(data); err != nil {
		return nil, err
	}
	o, err := parseObject("", data)
	if err != nil {
		return nil, err
	}
	if v := o.integer("version", required, 0, 1<<30); o.err() == nil && v != 3 {
		return nil, fmt.Errorf("version: got %d, want 3", v)
	}
	o.skip("$schema")
	var s Schema
	s.parseConfig(o.object("clkConfig", required))
	for _, f := range o.objects("features") {
		s.features = append(s.features, parseFeature(f))
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	return &s, s.check()
}

func (s *Schema) parseConfig(o *object) {
	s.bits = o.integer("l", required, 1, MaxBits)
	s.folds = o.integer("xorFolds", 0, 0, maxFolds)
	other := o.integer("xor_folds", s.folds, 0, maxFolds)
	if other != s.folds && o.has("xorFolds") {
		o.fail("xor_folds", "got %d, but xorFolds is %d", other, s.folds)
	}
	if s.folds > 0 && !o.has("xor_folds") {
		s.notes = append(s.notes, "clkhash up to 0.18.3 ignores xorFolds and does not fold: it reads the name xor_folds; give both to agree with it")
	}
	s.folds = other
	k := o.object("kdf", required)
	k.choice("type", "", "HKDF")
	s.kdf.sha512 = k.choice("hash", "SHA256", "SHA256", "SHA512") == "SHA512"
	s.kdf.salt = k.base64("salt")
	s.kdf.info = k.base64("info")
	s.kdf.keySize = k.integer("keySize", 64, 1, maxKeySize)
	k.skip("description")
	k.close()
	o.skip("description")
	o.close()
}

func (o *object) base64(name string) []byte {
	b, err := base64.StdEncoding.Strict().DecodeString(o.text(name, ""))
	if err != nil {
		o.fail(name, "is not base64")
	}
	return b
}

func parseFeature(o *object) feature {
	defer o.close()
	f := feature{name: o.text("identifier", required), ignored: o.boolean("ignored", false)}
	o.skip("description")
	if f.ignored {
		// A column that is switched off may keep its settings.
		o.skip("format")
		o.skip("hashing")
		return f
	}
	f.format, f.encoding = parseFormat(o.object("format", required))
	h := o.object("hashing", required)
	f.comparison = parseComparison(h.object("comparison", required))
	f.inserts, f.perFeature = parseStrategy(h.object("strategy", required))
	f.hash = parseHash(h.object("hash", optional))
	if m := h.object("missingValue", optional); m != nil {
		v := missingValue{sentinel: m.text("sentinel", required)}
		v.replacement = m.text("replaceWith", v.sentinel)
		if n, ok := f.comparison.(*numeric); ok && n.tokenize(new(tokens), v.replacement) != nil {
			m.fail("replaceWith", "a numeric comparison needs a number or \"\" for a missing value")
		}
		if checkASCII(f.encoding == asciiEncoding, v.replacement) != nil {
			m.fail("replaceWith", "is not ASCII, which the format's encoding is")
		}
		f.missing = &v
		m.close()
	}
	h.close()
	return f
}

func parseStrategy(o *object) (inserts int, perFeature bool) {
	perFeature = o.has("bitsPerFeature")
	if perFeature == o.has("bitsPerToken") {
		o.fail("", "wants one of bitsPerToken and bitsPerFeature")
	}
	name := "bitsPerToken"
	if perFeature {
		name = "bitsPerFeature"
	}
	inserts = o.integer(name, required, 1, maxInserts)
	o.close()
	return inserts, perFeature
}

func parseHash(o *object) hashKind {
	if o == nil {
		return hashBlake
	}
	defer o.close()
	double := o.choice("type", "", "blakeHash", "doubleHash") == "doubleHash"
	if !double {
		return hashBlake
	}
	if o.boolean("prevent_singularity", false) {
		return hashDoubleNonSingular
	}
	return hashDouble
}

// check looks at what concerns several parts of the schema.
func (s *Schema) check() error {
	if len(s.features) == 0 {
		return errors.New("features: there is none")
	}
	if s.hashed() > MaxBits {
		return fmt.Errorf("clkConfig: %d bits before %d folds, want at most %d", s.hashed(), s.folds, MaxBits)
	}
	if got, most := s.kdf.length(len(s.features)), s.kdf.most(); got > most {
		return fmt.Errorf("clkConfig.kdf: %d features need %d bytes of keys, HKDF gives at most %d", len(s.features), got, most)
	}
	names := make(map[string]bool)
	for i, f := range s.features {
		where := fmt.Sprintf("features[%d]", i)
		switch {
		case names[f.name]:
			return fmt.Errorf("%s.identifier: an earlier feature has the same", where)
		case f.ignored:
		case f.hash == hashBlake && s.kdf.keySize > 64:
			return fmt.Errorf("%s.hashing.hash: blakeHash takes keys of at most 64 bytes, kdf.keySize is %d", where, s.kdf.keySize)
		case f.hash == hashBlake && s.hashed()&(s.hashed()-1) != 0:
			return fmt.Errorf("%s.hashing.hash: blakeHash needs a power of two for the length before folding, which is %d", where, s.hashed())
		case f.hash == hashDoubleNonSingular && s.hashed() == 1:
			return fmt.Errorf("%s.hashing.hash: prevent_singularity needs more than one bit", where)
		}
		names[f.name] = true
	}
	return nil
}
