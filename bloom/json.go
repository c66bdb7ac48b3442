package bloom

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxDepth is more than the format nests.
const maxDepth = 16

// checkJSON refuses what encoding/json would pass over: a name given twice in
// an object, invalid UTF-8, and text after the value.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is text after the JSON value")
	}
	return nil
}

func checkValue(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	t, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	names := make(map[string]bool)
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if names[name.(string)] {
				return fmt.Errorf("the name %q is there twice in one object", name)
			}
			names[name.(string)] = true
		}
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// presence tells whether a name may be left out, for the calls that take a
// default otherwise.
type presence struct{ must bool }

var (
	required = presence{true}
	optional = presence{false}
)

// object reads the values of a JSON object by name. The first thing wrong in it
// or within is kept; a nil *object reads as one without values.
type object struct {
	path   string
	values map[string]json.RawMessage
	used   map[string]bool
	first  *error // shared by the tree
}

func parseObject(path string, data []byte) (*object, error) {
	o := &object{path: path, used: make(map[string]bool), first: new(error)}
	if json.Unmarshal(data, &o.values) != nil || o.values == nil {
		o.fail("", "is not an object")
	}
	return o, *o.first
}

func (o *object) err() error { return *o.first }

func join(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}

func (o *object) fail(name, format string, args ...any) {
	if o == nil || *o.first != nil {
		return
	}
	where := join(o.path, name)
	if where == "" {
		where = "schema"
	}
	*o.first = fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...))
}

func (o *object) has(name string) bool {
	if o == nil {
		return false
	}
	_, ok := o.values[name]
	return ok
}

// get returns a value, or nil where there is none; or is required, or a value
// to take instead.
func (o *object) get(name string, or any) json.RawMessage {
	if o == nil {
		return nil
	}
	o.used[name] = true
	raw, ok := o.values[name]
	if !ok && or == any(required) {
		o.fail(name, "is missing")
	}
	return raw
}

// decode reads a value of type T. JSON's null is never one.
func decode[T any](o *object, name string, or any, kind string) T {
	v, _ := or.(T)
	raw := o.get(name, or)
	if raw == nil {
		return v
	}
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &v) != nil {
		o.fail(name, "is not %s", kind)
	}
	return v
}

func (o *object) text(name string, or any) string {
	return decode[string](o, name, or, "a string")
}

func (o *object) boolean(name string, or any) bool {
	return decode[bool](o, name, or, "true or false")
}

func (o *object) integer(name string, or any, least, most int) int {
	if o == nil || !o.has(name) {
		o.get(name, or)
		v, _ := or.(int)
		return v
	}
	v, err := strconv.Atoi(string(o.number(name, or)))
	switch {
	case err != nil:
		o.fail(name, "is not an integer, or too large a one")
	case v < least || v > most:
		o.fail(name, "got %d, want %d to %d", v, least, most)
	}
	return v
}

// number reads a number as it is written.
func (o *object) number(name string, or any) json.Number {
	if o.has(name) && o.values[name][0] == '"' { // which json.Number would take
		o.fail(name, "is not a number")
	}
	return decode[json.Number](o, name, or, "a number")
}

// choice reads one of some words; or is what stands for none, "" refuses it.
func (o *object) choice(name, or string, words ...string) string {
	w := o.text(name, or)
	if !slices.Contains(words, w) {
		o.fail(name, "got %q, want one of %q", w, words)
	}
	return w
}

func (o *object) object(name string, or presence) *object {
	raw := o.get(name, or)
	if raw == nil {
		if or == optional {
			return nil
		}
		raw = json.RawMessage("{}")
	}
	c := &object{path: join(o.path, name), used: make(map[string]bool), first: o.first}
	if json.Unmarshal(raw, &c.values) != nil || c.values == nil {
		c.fail("", "is not an object")
	}
	return c
}

func (o *object) objects(name string) []*object {
	var list []*object
	for i, raw := range decode[[]json.RawMessage](o, name, required, "a list") {
		c := &object{path: fmt.Sprintf("%s[%d]", join(o.path, name), i), used: make(map[string]bool), first: o.first}
		if json.Unmarshal(raw, &c.values) != nil || c.values == nil {
			c.fail("", "is not an object")
		}
		list = append(list, c)
	}
	return list
}

// skip allows a name that is not read.
func (o *object) skip(name string) { o.used[name] = true }

// close refuses names that nobody has asked for.
func (o *object) close() {
	var unknown []string
	for name := range o.values {
		if !o.used[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	if len(unknown) > 0 {
		o.fail("", "does not know %q", unknown)
	}
}

// done closes the root and returns the first thing wrong in the tree.
func (o *object) done() error {
	o.close()
	return o.err()
}
