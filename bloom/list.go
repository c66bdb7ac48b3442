package bloom

import (
	"bufio"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// List is CLKs with the ids of the records that they encode.
type List struct {
	IDs  []string
	CLKs *Set
}

// Columns of a list in CSV.
const (
	columnID  = "id"
	columnCLK = "clk"
)

// ReadList reads a list in either form: CSV with the columns id and clk, or, as
// other tools write it, JSON {"clks": [...]} whose ids are then the places from
// 0. A CLK is in base64. All have one length, and no id comes twice.
func ReadList(r io.Reader) (*List, error) {
	limited := &limiter{r: r}
	limited.next()
	text := bufio.NewReader(limited)
	skipMark(text)
	first, err := text.Peek(1)
	if err != nil {
		if err == io.EOF {
			err = errors.New("is empty")
		}
		return nil, fmt.Errorf("bloom: list of CLKs %w", err)
	}
	l := &listReader{limited: limited, seen: make(map[string]bool)}
	if first[0] == '{' {
		if err = l.readJSON(text); err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	} else {
		err = l.readCSV(text)
	}
	if err == nil && l.list.CLKs == nil {
		err = errors.New("has none")
	}
	if err != nil {
		return nil, fmt.Errorf("bloom: list of CLKs: %w", err)
	}
	return &l.list, nil
}

type listReader struct {
	limited *limiter
	list    List
	seen    map[string]bool
}

// add appends a CLK, at a place such as "row 7".
func (l *listReader) add(id, clk, place string) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(clk)
	switch {
	case err != nil:
		return fmt.Errorf("%s: is not base64", place)
	case l.seen[id]:
		return fmt.Errorf("%s: the id is there twice", place)
	case l.list.CLKs == nil:
		if l.list.CLKs, err = NewSet(8 * len(raw)); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
	}
	if err := l.list.CLKs.Append(raw); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	l.seen[id] = true
	l.list.IDs = append(l.list.IDs, id)
	return nil
}

func (l *listReader) readCSV(r io.Reader) error {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	header, err := c.Read()
	if err != nil {
		return l.limited.csvError(err)
	}
	places, err := findColumns(header, []string{columnID, columnCLK})
	if err != nil {
		return err
	}
	for row := 2; ; row++ {
		l.limited.next()
		cells, err := c.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return l.limited.csvError(err)
		}
		if err := l.add(cells[places[0]], cells[places[1]], fmt.Sprintf("row %d", row)); err != nil {
			return err
		}
	}
}

func (l *listReader) readJSON(r io.Reader) error {
	d := json.NewDecoder(r)
	if _, err := d.Token(); err != nil { // the brace
		return err
	}
	found := false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if name != "clks" {
			l.limited.next()
			var other json.RawMessage
			if err := d.Decode(&other); err != nil {
				return err
			}
			continue
		}
		if found {
			return errors.New(`"clks" is there twice`)
		}
		found = true
		if err := l.readArray(d); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if !found {
		return errors.New(`"clks" is missing`)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is text after the JSON value")
	}
	return nil
}

func (l *listReader) readArray(d *json.Decoder) error {
	if t, err := d.Token(); err != nil {
		return err
	} else if t != json.Delim('[') {
		return errors.New(`"clks" is not a list`)
	}
	for i := 0; d.More(); i++ {
		l.limited.next()
		t, err := d.Token()
		if err != nil {
			return err
		}
		place := fmt.Sprintf("clks[%d]", i)
		clk, ok := t.(string)
		if !ok {
			return fmt.Errorf("%s: is not a string", place)
		}
		if err := l.add(strconv.Itoa(i), clk, place); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// ListWriter writes a list of CLKs row by row, in a form that ReadList reads.
type ListWriter struct {
	w    *bufio.Writer
	csv  *csv.Writer // nil for JSON
	rows int
}

// NewCSVWriter returns a writer of CSV with the columns id and clk.
func NewCSVWriter(w io.Writer) *ListWriter {
	return &ListWriter{csv: csv.NewWriter(w)}
}

// NewJSONWriter returns a writer of JSON {"clks": [...]}, without ids.
func NewJSONWriter(w io.Writer) *ListWriter { return &ListWriter{w: bufio.NewWriter(w)} }

// Write adds a CLK.
func (l *ListWriter) Write(id string, clk []byte) error {
	text := base64.StdEncoding.EncodeToString(clk)
	first := l.rows == 0
	l.rows++
	if l.csv != nil {
		if first {
			_ = l.csv.Write([]string{columnID, columnCLK}) // an error stays
		}
		return l.csv.Write([]string{id, text})
	}
	before := ",\n"
	if first {
		before = "{\"clks\": [\n"
	}
	_, err := fmt.Fprintf(l.w, "%s%q", before, text)
	return err
}

// Close ends the list. It does not close the writer beneath.
func (l *ListWriter) Close() error {
	if l.csv != nil {
		if l.rows == 0 {
			_ = l.csv.Write([]string{columnID, columnCLK})
		}
		l.csv.Flush()
		return l.csv.Error()
	}
	end := "\n]}\n"
	if l.rows == 0 {
		end = "{\"clks\": []}\n"
	}
	if _, err := l.w.WriteString(end); err != nil {
		return err
	}
	return l.w.Flush()
}

// RecordReader reads the records that a schema describes from CSV.
type RecordReader struct {
	limited *limiter
	csv     *csv.Reader
	places  []int // of the schema's columns in a row; -1 where it is ignored and absent
	id      int   // -1 for none
	row     int
}

// NewRecordReader reads the header of CSV in UTF-8 and finds the schema's
// columns by their names. Columns that the schema does not know, and those that
// it ignores, need not be there. idColumn, if not empty, names the column whose
// values Next returns as ids.
func NewRecordReader(r io.Reader, s *Schema, idColumn string) (*RecordReader, error) {
	limited := &limiter{r: r}
	limited.next()
	text := bufio.NewReader(limited)
	skipMark(text)
	rr := &RecordReader{limited: limited, csv: csv.NewReader(text), id: -1, row: 1}
	header, err := rr.csv.Read()
	if err == io.EOF {
		return nil, errors.New("bloom: the CSV is empty: not even a header")
	}
	if err != nil {
		return nil, fmt.Errorf("bloom: %w", limited.csvError(err))
	}
	var wanted []string
	for _, f := range s.features {
		if !f.ignored {
			wanted = append(wanted, f.name)
		}
	}
	if idColumn != "" {
		wanted = append(wanted, idColumn)
	}
	places, err := findColumns(header, wanted)
	if err != nil {
		return nil, fmt.Errorf("bloom: %w", err)
	}
	for _, f := range s.features {
		if f.ignored {
			rr.places = append(rr.places, -1)
			continue
		}
		rr.places, places = append(rr.places, places[0]), places[1:]
	}
	if idColumn != "" {
		rr.id = places[0]
	}
	return rr, nil
}

// ErrFields is a row whose number of cells is not the header's. Reading can go
// on behind it.
var ErrFields = errors.New("bloom: wrong number of cells")

// Next returns the next record, its id and its row, counted from 1 for the
// header. After the last it returns io.EOF.
func (r *RecordReader) Next() (row int, id string, record []string, err error) {
	r.row++
	r.limited.next()
	cells, err := r.csv.Read()
	switch {
	case err == io.EOF:
		return r.row, "", nil, err
	case errors.Is(err, csv.ErrFieldCount):
		return r.row, "", nil, ErrFields
	case err != nil:
		return r.row, "", nil, fmt.Errorf("bloom: %w", r.limited.csvError(err))
	}
	record = make([]string, len(r.places))
	for i, at := range r.places {
		if at >= 0 {
			record[i] = cells[at]
		}
	}
	if r.id >= 0 {
		id = cells[r.id]
	}
	return r.row, id, record, nil
}

// findColumns returns the places of names in a header.
func findColumns(header, names []string) ([]int, error) {
	at := make(map[string]int, len(header))
	for i, h := range header {
		if !utf8.ValidString(h) {
			return nil, errors.New("the header is not UTF-8")
		}
		if _, twice := at[h]; twice {
			return nil, fmt.Errorf("column %q is there twice", h)
		}
		at[h] = i
	}
	places := make([]int, len(names))
	for i, name := range names {
		p, ok := at[name]
		if !ok {
			return nil, fmt.Errorf("column %q is missing", name)
		}
		places[i] = p
	}
	return places, nil
}

// csvError says where a file stops being CSV; csv.ParseError holds no cell.
func (l *limiter) csvError(err error) error {
	if l.exceeded { // which package csv takes for the end of the file
		return errRow
	}
	if p := (*csv.ParseError)(nil); errors.As(err, &p) {
		return fmt.Errorf("line %d, byte %d: broken CSV: %w", p.Line, p.Column, p.Err)
	}
	return err
}

// skipMark skips a byte order mark.
func skipMark(r *bufio.Reader) {
	if b, err := r.Peek(3); err == nil && string(b) == "\ufeff" {
		_, _ = r.Discard(3)
	}
}

// maxRow bounds what is read for one row or value, so that a quote which never
// closes does not read a whole file into memory.
const maxRow = 4 << 20

// limiter reads at most maxRow bytes between calls of next.
type limiter struct {
	r        io.Reader
	left     int
	exceeded bool
}

var errRow = fmt.Errorf("a row or value has more than %d bytes", maxRow)

func (l *limiter) next() { l.left = maxRow }

func (l *limiter) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.exceeded = true
		return 0, errRow
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
