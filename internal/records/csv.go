package records

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// maxRowBytes bounds a row, so that a quote that never closes does not read
// the whole file into memory.
const maxRowBytes = 4 << 20

func (r *reader) readCSV(ctx context.Context) error {
	f, text, err := r.openText()
	if err != nil {
		return err
	}
	defer f.Close()
	limited := &rowLimiter{r: text}
	c := csv.NewReader(limited)
	c.ReuseRecord = true
	if d := r.source.mapping.Delimiter; d != "" {
		c.Comma, _ = utf8.DecodeRuneInString(d)
	} else if strings.EqualFold(filepath.Ext(r.source.location), ".tsv") {
		c.Comma = '\t'
	}
	header, err := c.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("empty: not even a header")
	}
	if err != nil {
		return csvError(err)
	}
	columns := make([]string, len(header))
	for i, h := range header {
		if columns[i] = strings.TrimSpace(h); !utf8.ValidString(h) {
			return encodingError(1, "")
		}
	}
	if err := r.bind(columns); err != nil {
		return err
	}
	cells := make([]string, len(r.binder.columns))
	for number := int64(2); ; number++ {
		limited.left = maxRowBytes
		got, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		w := row{number: number, cells: cells}
		if errors.Is(err, csv.ErrFieldCount) {
			w = row{number: number, short: fmt.Sprintf("got %d cells, want %d", len(got), len(columns))}
		} else if err != nil {
			return csvError(err)
		} else {
			for slot, i := range r.binder.columns {
				cells[slot] = got[i]
			}
		}
		if err := r.row(ctx, w); err != nil {
			return err
		}
	}
}

// csvError says where a file stops being CSV; csv.ParseError holds no cell.
func csvError(err error) error {
	if pe := (*csv.ParseError)(nil); errors.As(err, &pe) {
		return fmt.Errorf("line %d, byte %d: broken CSV: %w", pe.Line, pe.Column, pe.Err)
	}
	return err
}

func encodingError(row int64, column string) error {
	where := fmt.Sprintf("row %d", row)
	if column != "" {
		where += fmt.Sprintf(", column %q", column)
	}
	return fmt.Errorf("%s: not UTF-8: convert the file, or set encoding in the mapping", where)
}

// openText opens the file as UTF-8 without a byte order mark.
func (r *reader) openText() (io.Closer, io.Reader, error) {
	f, err := os.Open(r.source.location)
	if err != nil {
		// The path is in Each's message already.
		if pe := (*os.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, nil, err
	}
	var text io.Reader = f
	if e := r.source.mapping.Encoding; e != "" {
		enc, err := htmlindex.Get(e)
		if err != nil {
			f.Close()
			return nil, nil, fmt.Errorf("encoding %q is unknown", e)
		}
		text = enc.NewDecoder().Reader(f)
	}
	b := bufio.NewReaderSize(text, 1<<16)
	// A short file gives fewer bytes and io.EOF, which later reads meet again.
	head, _ := b.Peek(3)
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err = b.Discard(3)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		err = errors.New(`the file is UTF-16: convert it, or set encoding = "utf-16" in the mapping`)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, b, nil
}

// rowLimiter fails once a row has taken more than its bytes. The reader above
// it reads ahead a little, which maxRowBytes leaves room for.
type rowLimiter struct {
	r    io.Reader
	left int
}

func (l *rowLimiter) Read(p []byte) (int, error) {
	if l.left < -maxRowBytes {
		return 0, fmt.Errorf("a row is longer than %d bytes: is a quote left open?", maxRowBytes)
	}
	n, err := l.r.Read(p)
	l.left -= n
	return n, err
}
