package records

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

const (
	formatCSV      = "csv"
	formatJSONL    = "jsonl"
	formatSQLite   = "sqlite"
	formatPostgres = "postgres"
)

// Source is a place that records are read from. It is read once per call of
// Each; nothing of it is kept.
type Source struct {
	location string
	format   string
	mapping  Mapping
}

// Open returns the source at a location, a file path or a postgres:// URL, read
// through the mapping; nil is the zero Mapping. It opens nothing yet.
func Open(location string, m *Mapping) (*Source, error) {
	s := &Source{location: location}
	if m != nil {
		if err := m.validate(); err != nil {
			return nil, fmt.Errorf("records: mapping: %w", err)
		}
		s.mapping = *m
	}
	if s.mapping.Separator == "" {
		s.mapping.Separator = "|"
	} else if t := strings.TrimSpace(s.mapping.Separator); t != "" {
		s.mapping.Separator = t
	}
	s.format = s.mapping.Format
	if s.format == "" {
		s.format = formatOf(location)
	}
	if s.format == "" {
		return nil, fmt.Errorf("records: %s: the name tells no format: set format in the mapping to csv, jsonl, sqlite or postgres", s.Name())
	}
	return s, nil
}

func formatOf(location string) string {
	if strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://") {
		return formatPostgres
	}
	switch strings.ToLower(filepath.Ext(location)) {
	case ".csv", ".tsv", ".txt":
		return formatCSV
	case ".jsonl", ".ndjson", ".json":
		return formatJSONL
	case ".db", ".sqlite", ".sqlite3":
		return formatSQLite
	}
	return ""
}

// Name names the source in messages: the file, or "database" for a URL, which
// may hold a password.
func (s *Source) Name() string {
	if formatOf(s.location) == formatPostgres || s.format == formatPostgres {
		return "database"
	}
	return fmt.Sprintf("%q", filepath.Base(s.location))
}

// Policy says what becomes of a row with a value that can't be right.
type Policy string

// The policies.
const (
	// FailOnBadRow stops at the first bad row.
	FailOnBadRow Policy = "fail"
	// SkipBadRow leaves out the row and counts it.
	SkipBadRow Policy = "skip"
	// KeepBadRow leaves out the bad value, counts it, and keeps the row, unless
	// the bad value is the id. Of a date that is in no calendar it keeps what is
	// sound: the year, and the month if there is one.
	KeepBadRow Policy = "keep"
)

// ReadOptions are how a source is read.
type ReadOptions struct {
	// OnBadRow is FailOnBadRow if empty.
	OnBadRow Policy
	// TempDir takes the keyed hashes of ids of large sources, see Each; the
	// system's folder if empty.
	TempDir string
	// Progress, if set, hears of the rows read, every few thousand rows.
	Progress func(rows int64)
	// Workers is how many goroutines BuildIndex normalises fields and derives
	// keys on; 0 means all processors. Each works on the caller's alone.
	Workers int
}

// Each reads the source and calls fn for each record, which is valid until fn
// returns: what is kept must be copied (strings may be kept). It returns a
// report also with an error.
//
// Memory does not grow with the source, nor with columns nobody uses.
// Duplicate ids are an error under every policy, for results point at ids.
// They are found at once within the first million rows; beyond it, ids are
// written as 16-byte keyed hashes to a temporary file, whose key never leaves
// memory, and compared part by part at the end: so a caller must not act on
// what it got before Each has returned nil.
func (s *Source) Each(ctx context.Context, opts ReadOptions, fn func(*Record) error) (*Report, error) {
	opts.Workers = 1
	return s.read(ctx, opts, &consumer{take: func(r *reading) error { return fn(&r.record) }})
}

// consumer is what a source is read for.
type consumer struct {
	// prepare, if set, returns for each goroutine a function that adds to a
	// reading what take needs. Nothing then keeps a string of a record.
	prepare func() func(*reading)
	// take is called for each record, in order, on the caller's goroutine.
	take func(*reading) error
}

// read is Each, on opts.Workers goroutines beside the caller's if they are
// several. None outlives the call.
func (s *Source) read(ctx context.Context, opts ReadOptions, c *consumer) (*Report, error) {
	switch opts.OnBadRow {
	case "":
		opts.OnBadRow = FailOnBadRow
	case FailOnBadRow, SkipBadRow, KeepBadRow:
	default:
		return &Report{}, fmt.Errorf("records: policy %q for bad rows is none of fail, skip, keep", opts.OnBadRow)
	}
	r := &reader{source: s, opts: opts, consumer: c, report: newReport()}
	ids, err := newIDSet(opts.TempDir)
	if err != nil {
		return r.report, fmt.Errorf("records: reading %s: %w", s.Name(), err)
	}
	defer ids.close()
	r.ids = ids
	defer r.report.Quality.finish()
	if opts.Workers > 1 {
		r.pipe = &pipeline{reader: r, workers: opts.Workers}
		defer r.pipe.close()
	}
	if err = r.readAll(ctx); err == nil {
		err = ids.finish(ctx)
	}
	if err == nil && r.report.Rows == 0 {
		err = errors.New("no rows")
	}
	if err != nil {
		return r.report, fmt.Errorf("records: reading %s: %w", s.Name(), err)
	}
	return r.report, nil
}

// reader is one run over a source.
type reader struct {
	source   *Source
	opts     ReadOptions
	consumer *consumer
	report   *Report
	ids      *idSet
	binder   *binder
	pipe     *pipeline // nil without workers
	// Without workers:
	in  *interpreter
	one reading
	// taken is the error with which take ended the reading.
	taken error
}

// readAll reads the rows and takes them all.
func (r *reader) readAll(ctx context.Context) (err error) {
	switch r.source.format {
	case formatCSV:
		err = r.readCSV(ctx)
	case formatJSONL:
		err = r.readJSONL(ctx)
	default:
		err = r.readSQL(ctx)
	}
	if r.pipe != nil && r.taken == nil {
		// What is wrong with a row under way stands before where reading ended.
		if e := r.pipe.finish(ctx); e != nil {
			return e
		}
	}
	return err
}

// progressEvery is how many rows pass between two calls of Progress and two
// looks at the context.
const progressEvery = 4096

// bind finds the columns of every field among those present.
func (r *reader) bind(columns []string) error {
	at := make(map[string]int, len(columns))
	for i, c := range columns {
		if first, dup := at[c]; dup {
			return fmt.Errorf("columns %d and %d of the header: one name stands there twice", first+1, i+1)
		}
		at[c] = i
	}
	has := func(c string) bool { _, ok := at[c]; return ok }
	cols := r.source.mapping.Columns
	if cols == nil {
		if cols = recognise(has); cols == nil {
			return fmt.Errorf("its %d columns are no known header: give a mapping", len(columns))
		}
	}
	for _, f := range cols.fields() {
		for _, c := range f.columns {
			if !has(c) {
				return fmt.Errorf("the mapping names column %q for %s; the source has %s", c, f.name, cols.show(columns))
			}
		}
	}
	r.binder = newBinder(&r.source.mapping, cols, at)
	return nil
}

// show lists the columns of a source for a message, if the mapping knows any of
// them: what has none of its names may be a person's row in place of a header.
func (c *Columns) show(columns []string) string {
	for _, f := range c.fields() {
		if slices.ContainsFunc(f.columns, func(name string) bool { return slices.Contains(columns, name) }) {
			return fmt.Sprintf("%q", clip(columns))
		}
	}
	return fmt.Sprintf("%d other columns", len(columns))
}

// clip shortens a list of column names for a message.
func clip(columns []string) []string {
	const most = 30
	if len(columns) > most {
		return append(slices.Clone(columns[:most]), fmt.Sprintf("and %d more", len(columns)-most))
	}
	return columns
}

// row handles the next row. Its memory may be used again afterwards.
func (r *reader) row(ctx context.Context, w row) error {
	if r.pipe != nil {
		return r.pipe.add(ctx, w)
	}
	if r.in == nil {
		r.in = r.newInterpreter()
	}
	r.in.read(&w, &r.one)
	return r.take(ctx, &r.one)
}

// take judges and counts a row, and hands its record on. Rows come in order.
func (r *reader) take(ctx context.Context, w *reading) error {
	r.taken = r.judgeAndCount(ctx, w)
	return r.taken
}

func (r *reader) judgeAndCount(ctx context.Context, w *reading) error {
	if w.err != nil {
		return w.err
	}
	r.report.Rows++
	if r.report.Rows%progressEvery == 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.opts.Progress != nil {
			r.opts.Progress(r.report.Rows)
		}
	}
	if w.other {
		r.report.NotPersons++
		return nil
	}
	for _, k := range w.unread {
		r.report.Unread[k]++
	}
	for i := range w.bad {
		r.report.add(&w.bad[i])
	}
	if r.drops(w.bad) {
		if r.opts.OnBadRow == FailOnBadRow {
			first := w.bad[0]
			return &first
		}
		r.report.Skipped++
		return nil
	}
	if err := r.ids.add(w.id, w.record.Row); err != nil {
		return err
	}
	r.report.Records++
	r.report.Quality.add(&w.trace)
	return r.consumer.take(w)
}

// drops reports whether the policy leaves out a row with these bad values.
func (r *reader) drops(bad []RowError) bool {
	return len(bad) > 0 && (r.opts.OnBadRow != KeepBadRow ||
		slices.ContainsFunc(bad, func(e RowError) bool { return e.Kind == KindMissingID || e.Kind == KindFields }))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
