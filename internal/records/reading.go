package records

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// row is one row as its format's reader finds it.
type row struct {
	number int64
	// cells are the bound cells by slot, line is an object of JSON Lines instead.
	cells []string
	line  []byte
	// short says what is wrong with a row of the wrong number of cells.
	short string
}

// reading is what is made of a row before the rows ahead of it are judged.
type reading struct {
	record Record
	bad    []RowError
	unread []Kind
	// other marks a row that describes no person, err one beyond which the
	// source can't be read.
	other bool
	err   error
	id    idHash
	trace traces
	// What an index holds of the record.
	keys   keyList
	hashes []uint32
	traits traits
	cut    bool
}

// interpreter makes records of rows. Every goroutine has its own.
type interpreter struct {
	*binder
	reader *reader
	ids    *idHasher
	cells  cells
	json   jsonRow
	// derive adds what the consumer wants of a record that stays; it may be nil.
	derive func(*reading)
}

func (r *reader) newInterpreter() *interpreter {
	separator := r.source.mapping.Separator
	in := &interpreter{binder: r.binder.clone(), reader: r, ids: r.ids.hasher(), json: jsonRow{separator: separator}}
	in.cells = cells{separator: separator, keep: r.consumer.prepare == nil}
	if r.source.format == formatJSONL {
		in.json.bind(in.binder)
	}
	if r.consumer.prepare != nil {
		in.derive = r.consumer.prepare()
	}
	return in
}

// read sets out to what the row says.
func (in *interpreter) read(w *row, out *reading) {
	out.record.reset()
	out.record.Row, out.err, out.other = w.number, nil, false
	out.bad, out.unread = out.bad[:0], out.unread[:0]
	if w.short != "" {
		out.bad = append(out.bad, RowError{Row: w.number, Kind: KindFields, Reason: w.short})
		return
	}
	values := in.cells.values
	if w.line != nil {
		obj, err := parseObject(w.number, w.line)
		if err != nil {
			out.err = err
			return
		}
		in.json.obj, values = obj, in.json.values
	} else if slot := slices.IndexFunc(w.cells, func(c string) bool { return !utf8.ValidString(c) }); slot >= 0 {
		out.err = encodingError(w.number, in.names[slot])
		return
	}
	in.cells.row = w.cells
	in.bad, in.unread = out.bad, out.unread
	in.fill(&out.record, values)
	out.bad, out.unread, out.other = in.bad, in.unread, in.other
	in.bad, in.unread = nil, nil
	for i := range out.bad {
		out.bad[i].Row = w.number
	}
	if out.other || in.reader.drops(out.bad) {
		return
	}
	out.id = in.ids.hash(out.record.ID)
	in.reader.report.Quality.trace(&out.trace, &out.record)
	if in.derive != nil {
		in.derive(out)
	}
}

// cells are the cells of a row with several values each.
type cells struct {
	separator string
	// keep says that values outlive their row: a cell is part of one string of
	// the whole row, which a value that is kept must not hold in memory.
	keep  bool
	row   []string
	split []string
}

// values returns the values of a bound column, valid until the next call.
func (c *cells) values(slot int) []string {
	cell := c.row[slot]
	if cell == "" {
		return nil
	}
	c.split = c.split[:0]
	for v := range strings.SplitSeq(cell, c.separator) {
		if v = strings.TrimSpace(v); c.keep {
			v = strings.Clone(v)
		}
		c.split = append(c.split, v)
	}
	return c.split
}
