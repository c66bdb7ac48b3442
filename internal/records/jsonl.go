package records

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

func (r *reader) readJSONL(ctx context.Context) error {
	f, text, err := r.openText()
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(text)
	lines.Buffer(make([]byte, 0, 1<<16), maxRowBytes)
	for number := int64(1); lines.Scan(); number++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if r.binder == nil {
			obj, err := parseObject(number, line)
			if err != nil {
				return err
			}
			if err := r.bindJSON(obj); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
		}
		if err := r.row(ctx, row{number: number, line: line}); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return fmt.Errorf("a line is longer than %d bytes", maxRowBytes)
		}
		return err
	}
	return nil
}

// parseObject reads the object of a line.
func parseObject(number int64, line []byte) (map[string]any, error) {
	if !utf8.Valid(line) {
		return nil, encodingError(number, "")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var obj map[string]any
	// The decoder's message may quote the input, so it is left out.
	if err := d.Decode(&obj); err != nil || obj == nil {
		return nil, fmt.Errorf("line %d: not a JSON object", number)
	}
	if d.More() {
		return nil, fmt.Errorf("line %d: more than one JSON value", number)
	}
	return obj, nil
}

// bindJSON binds by the paths of the first object. Objects leave out empty
// fields, so a preset is recognised by its id and bound in full, and a mapping
// is trusted except for the id.
func (r *reader) bindJSON(obj map[string]any) error {
	paths := jsonPaths(nil, "", obj)
	has := func(p string) bool { return slices.Contains(paths, p) }
	cols := r.source.mapping.Columns
	if cols == nil {
		for _, p := range presets {
			if has(p.columns.ID[0]) && slices.ContainsFunc(slices.Concat(p.columns.Name, p.columns.Given, p.columns.Family), has) {
				c := p.columns
				cols = &c
				break
			}
		}
		if cols == nil {
			return fmt.Errorf("fields %q are no known header: give a mapping", clip(paths))
		}
	} else if !has(cols.ID[0]) {
		return fmt.Errorf("the mapping names column %q for id; the source has %q", cols.ID[0], clip(paths))
	}
	at := map[string]int{}
	for _, f := range cols.fields() {
		for _, c := range f.columns {
			if _, ok := at[c]; !ok {
				at[c] = len(at)
			}
		}
	}
	r.binder = newBinder(&r.source.mapping, cols, at)
	return nil
}

// jsonPaths lists the paths of an object in a fixed order.
func jsonPaths(paths []string, prefix string, obj map[string]any) []string {
	for _, k := range sortedKeys(obj) {
		paths = append(paths, prefix+k)
		if o, ok := obj[k].(map[string]any); ok && strings.Count(prefix, ".") < 4 {
			paths = jsonPaths(paths, prefix+k+".", o)
		}
	}
	return paths
}

// jsonRow looks up paths in one object.
type jsonRow struct {
	separator string
	paths     [][]string
	obj       map[string]any
	out       []string
}

func (j *jsonRow) bind(b *binder) {
	for _, n := range b.names {
		j.paths = append(j.paths, strings.Split(n, "."))
	}
}

// values returns the values at a bound path, valid until the next call. Lists
// give one value an element, also on the way, so that lists of objects are
// parallel lists of their fields; a plain string is cut like a cell.
func (j *jsonRow) values(slot int) []string {
	j.out = j.collect(j.out[:0], j.obj, j.paths[slot], false)
	return j.out
}

func (j *jsonRow) collect(out []string, v any, path []string, inList bool) []string {
	switch v := v.(type) {
	case map[string]any:
		if len(path) == 0 {
			return out
		}
		e, ok := v[path[0]]
		if !ok && inList {
			return append(out, "")
		}
		return j.collect(out, e, path[1:], inList)
	case []any:
		for _, e := range v {
			out = j.collect(out, e, path, true)
		}
		return out
	case string:
		if len(path) > 0 {
			return out
		}
		if inList {
			return append(out, v)
		}
		for p := range strings.SplitSeq(v, j.separator) {
			out = append(out, strings.TrimSpace(p))
		}
		return out
	case json.Number:
		if len(path) == 0 {
			out = append(out, v.String())
		}
	case nil:
		if inList {
			out = append(out, "")
		}
	}
	return out
}
