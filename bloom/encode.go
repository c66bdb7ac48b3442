package bloom

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"unicode/utf8"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/secret"
)

// Encoder turns records into CLKs by a schema and a secret. It may be used from
// several goroutines.
type Encoder struct {
	schema *Schema
	keys   secret.Bytes // those of all features
	coders sync.Pool    // of *coder
}

// RecordError is a record that does not fit the schema. It names the column and
// never the value.
type RecordError struct {
	Record int    // from 0
	Column string // empty for the record as a whole
	Err    error
}

func (e *RecordError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("bloom: record %d %v", e.Record, e.Err)
	}
	return fmt.Sprintf("bloom: record %d, column %q: value %v", e.Record, e.Column, e.Err)
}

func (e *RecordError) Unwrap() error { return e.Err }

// NewEncoder derives the keys of all features from a secret, which must not be
// empty. Parties that are to compare CLKs use the same secret and schema.
func NewEncoder(s *Schema, key secret.Bytes) (*Encoder, error) {
	if key.Len() == 0 {
		return nil, errors.New("bloom: the secret is empty")
	}
	keys, err := s.kdf.keys(key.Expose(), len(s.features))
	if err != nil {
		return nil, err
	}
	e := &Encoder{schema: s, keys: secret.New(keys)}
	clear(keys)
	e.coders.New = func() any { return newCoder(s, e.keys.Expose()) }
	return e, nil
}

// Schema returns the encoder's schema.
func (e *Encoder) Schema() *Schema { return e.schema }

// Encode appends the CLK of a record to dst: ⌈Bits/8⌉ bytes, the first bit the
// highest of the first byte. The record has the schema's columns, ignored ones
// included; a *RecordError, with Record 0, tells what does not fit. Its running
// time depends on the record.
func (e *Encoder) Encode(dst []byte, record []string) ([]byte, error) {
	set := newSet(e.schema.bits)
	set.grow(1)
	if err := e.encodeTo(set, 0, record); err != nil {
		return dst, err
	}
	return set.AppendBytes(dst, 0), nil
}

// encodeTo sets CLK i of the set, which is still empty.
func (e *Encoder) encodeTo(set *Set, i int, record []string) error {
	c := e.coders.Get().(*coder)
	defer e.coders.Put(c)
	folded, err := c.encode(record)
	if err != nil {
		return err
	}
	for w, v := range folded {
		set.set(i, w, v)
	}
	return nil
}

// piece is how many records a goroutine takes at a time; a multiple of group,
// so that no two write to one cache line.
const piece = 32 * group

// EncodeAll returns the CLKs of the records, with an empty one for each record
// that does not fit, and what is wrong with those, by ascending index. Workers
// of 0 means all processors; they do not change the result. The error is the
// context's.
func (e *Encoder) EncodeAll(ctx context.Context, workers int, records [][]string) (*Set, []*RecordError, error) {
	set := newSet(e.schema.bits)
	set.grow(len(records))
	bad := make([][]*RecordError, (len(records)+piece-1)/piece)
	err := parallel.Ranges(ctx, workers, len(records), piece, func(lo, hi int) error {
		for i := lo; i < hi; i++ {
			var wrong *RecordError
			if errors.As(e.encodeTo(set, i, records[i]), &wrong) {
				wrong.Record = i
				bad[lo/piece] = append(bad[lo/piece], wrong)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	var all []*RecordError
	for _, b := range bad {
		all = append(all, b...)
	}
	return set, all, nil
}

// coder is what one goroutine needs to encode records.
type coder struct {
	schema  *Schema
	hashers []hasher // nil where a feature is ignored
	tokens  tokens
	bytes   []byte
	filter  []uint64
	folded  []uint64
}

func newCoder(s *Schema, keys []byte) *coder {
	c := &coder{schema: s, hashers: make([]hasher, len(s.features)), filter: make([]uint64, (s.hashed()+63)/64)}
	c.folded = c.filter
	if s.folds > 0 {
		c.folded = make([]uint64, (s.bits+63)/64)
	}
	step := keysPerFeature * s.kdf.keySize
	for i, f := range s.features {
		if !f.ignored {
			c.hashers[i] = newHasher(f.hash, keys[i*step:(i+1)*step], s.hashed())
		}
	}
	return c
}

// encode returns the words of a CLK, good until the next call.
func (c *coder) encode(record []string) ([]uint64, error) {
	if len(record) != len(c.schema.features) {
		return nil, &RecordError{Err: fmt.Errorf("has %d values, want %d", len(record), len(c.schema.features))}
	}
	clear(c.filter)
	for i := range c.schema.features {
		f := &c.schema.features[i]
		if f.ignored {
			continue
		}
		if err := f.tokenize(&c.tokens, record[i]); err != nil {
			return nil, &RecordError{Column: f.name, Err: err}
		}
		c.insert(f, c.hashers[i])
	}
	if c.schema.folds > 0 {
		c.fold()
	}
	return c.folded, nil
}

// tokenize checks a value and cuts it into tokens.
func (f *feature) tokenize(t *tokens, value string) (err error) {
	t.reset()
	switch {
	case len(value) > maxValue:
		return fmt.Errorf("has %d bytes, want at most %d", len(value), maxValue)
	case !utf8.ValidString(value):
		return errors.New("is not UTF-8")
	case f.missing != nil && value == f.missing.sentinel:
		value = f.missing.replacement
	default:
		if value, err = f.format.canonical(value); err != nil {
			return err
		}
	}
	return f.comparison.tokenize(t, value)
}

// insert puts the tokens into the filter. Bits for a whole value are spread
// evenly over its tokens, the first of them getting the remainder.
func (c *coder) insert(f *feature, h hasher) {
	n := c.tokens.len()
	k, extra := f.inserts, 0
	if f.perFeature && n > 0 {
		k, extra = f.inserts/n, f.inserts%n
	}
	for i := range n {
		token := c.tokens.at(i)
		if f.encoding == utf16Encoding || f.encoding == utf32Encoding {
			c.bytes = f.encoding.append(c.bytes[:0], token)
			token = c.bytes
		}
		if i < extra {
			h.insert(c.filter, token, k+1)
		} else {
			h.insert(c.filter, token, k)
		}
	}
}

// fold halves the filter by exclusive or until it has the CLK's length, so that
// bit j of it is the parity of the bits j, j + Bits, j + 2·Bits, ... : Schnell
// and Borgs, "XOR-Folding for Bloom Filter-based Encryptions for
// Privacy-preserving Record Linkage" (2016).
func (c *coder) fold() {
	clear(c.folded)
	for w, v := range c.filter {
		for ; v != 0; v &= v - 1 {
			i := 64*w + bits.TrailingZeros64(v) ^ 7 // as in position
			to, mask := position(i % c.schema.bits)
			c.folded[to] ^= mask
		}
	}
}
