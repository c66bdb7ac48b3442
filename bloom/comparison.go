package bloom

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// tokens is a list of tokens in one buffer.
type tokens struct {
	text []byte
	ends []int
}

func (t *tokens) reset()   { t.text, t.ends = t.text[:0], t.ends[:0] }
func (t *tokens) len() int { return len(t.ends) }

// end closes the token that the bytes appended to text since make up.
func (t *tokens) end() { t.ends = append(t.ends, len(t.text)) }

func (t *tokens) at(i int) []byte {
	start := 0
	if i > 0 {
		start = t.ends[i-1]
	}
	return t.text[start:t.ends[i]]
}

// comparison cuts a value into tokens such that similar values share many. An
// empty value has none.
type comparison interface {
	tokenize(t *tokens, value string) error
}

func parseComparison(o *object) comparison {
	defer o.close()
	switch o.choice("type", "", "ngram", "exact", "numeric") {
	case "ngram":
		return ngram{o.integer("n", required, 1, maxGram), o.boolean("positional", false)}
	case "exact":
		return exact{}
	case "numeric":
		return parseNumeric(o)
	}
	return nil
}

// ngram takes all runs of n code points of the value between n-1 blanks on
// either side. Positional ones carry their place, counted from 1.
type ngram struct {
	n          int
	positional bool
}

func (c ngram) tokenize(t *tokens, value string) error {
	if value == "" {
		return nil
	}
	// starts of the code points of the padded value lie n-1 blanks apart from
	// those of the value: a window slides over it and blanks count as its ends.
	runes := utf8.RuneCountInString(value)
	from, to := 0, 0 // bytes of the window inside the value
	for i := range runes + c.n - 1 {
		if i < runes {
			_, size := utf8.DecodeRuneInString(value[to:])
			to += size
		}
		if i >= c.n {
			_, size := utf8.DecodeRuneInString(value[from:])
			from += size
		}
		if c.positional {
			t.text = strconv.AppendInt(t.text, int64(i)+1, 10)
			t.text = append(t.text, ' ')
		}
		t.blanks(c.n - 1 - i)
		t.text = append(t.text, value[from:to]...)
		t.blanks(i - runes + 1)
		t.end()
	}
	return nil
}

func (t *tokens) blanks(n int) {
	for range n {
		t.text = append(t.text, ' ')
	}
}

// exact takes the value as one token.
type exact struct{}

func (exact) tokenize(t *tokens, value string) error {
	if value != "" {
		t.text = append(t.text, value...)
		t.end()
	}
	return nil
}

// numeric takes the neighbourhood of a number on a grid, so that the share of
// tokens in common falls with the distance and is nothing beyond a threshold:
// Vatsalan and Christen, "Privacy-Preserving Matching of Similar Patients",
// Journal of Biomedical Informatics 59 (2016). Everything is multiplied by
// 2·resolution to stay whole.
type numeric struct {
	interval   int64 // the threshold distance in units of 10^-precision
	resolution int
	precision  int
}

// Largest exponent of a precision, and largest interval, that a float64 holds
// exactly.
const (
	maxPrecision = 22
	maxInterval  = 1 << 53
)

func parseNumeric(o *object) comparison {
	c := &numeric{
		resolution: o.integer("resolution", required, 1, maxTokens),
		precision:  o.integer("fractional_precision", 0, 0, maxPrecision),
	}
	distance, err := o.number("thresholdDistance", required).Float64()
	scaled := math.RoundToEven(distance * math.Pow10(c.precision))
	switch {
	case err != nil || distance <= 0:
		o.fail("thresholdDistance", "is not a number above 0")
	case scaled < 1:
		o.fail("thresholdDistance", "is nothing at a fractional_precision of %d", c.precision)
	case scaled > maxInterval:
		o.fail("thresholdDistance", "is more than 2^53 units of the fractional_precision")
	}
	c.interval = int64(scaled)
	return c
}

func (c *numeric) tokenize(t *tokens, value string) error {
	if value == "" {
		return nil
	}
	v, ok := c.scale(value)
	if !ok {
		return errors.New("is not a number that a numeric comparison takes")
	}
	interval := big.NewInt(c.interval)
	v.Mul(v, big.NewInt(2*int64(c.resolution)))
	residue := new(big.Int).Mod(v, interval).Int64() // in [0, interval)
	v.Sub(v, big.NewInt(residue))
	if residue >= c.interval-residue { // half way rounds up
		v.Add(v, interval)
	}
	v.Sub(v, new(big.Int).Mul(interval, big.NewInt(int64(c.resolution))))
	for range 2*c.resolution + 1 {
		t.text = v.Append(t.text, 10)
		t.end()
		v.Add(v, interval)
	}
	return nil
}

// scale returns the value in units of 10^-precision. Integers are exact. Other
// numbers go through a float64 and are rounded to even, or cut off where the
// precision is 0.
func (c *numeric) scale(value string) (*big.Int, bool) {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.precision)), nil)
	if v, ok := parseInteger(value); ok {
		return v.Mul(v, unit), true
	}
	f, ok := parseFloat(value)
	if !ok {
		return nil, false
	}
	if c.precision == 0 {
		f = math.Trunc(f)
	} else {
		f = math.RoundToEven(f * math.Pow10(c.precision))
	}
	if math.IsInf(f, 0) {
		return nil, false
	}
	v, _ := big.NewFloat(f).Int(nil)
	return v, true
}
