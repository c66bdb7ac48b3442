package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/symbolon/symbolon/bloom"
)

type clkEncodeCmd struct {
	Schema     string `required:"" type:"path" placeholder:"FILE" help:"The linkage schema, version 3 (JSON)."`
	Data       string `required:"" type:"path" placeholder:"FILE" help:"The records: CSV in UTF-8 with the schema's columns."`
	Out        string `required:"" type:"path" placeholder:"FILE" help:"Write the CLKs here: id and clk as CSV, or without ids as JSON {\"clks\": [...]} if it ends in .json."`
	Format     string `placeholder:"FORMAT" help:"csv or json, whatever the name of --out."`
	ID         string `name:"id" default:"id" placeholder:"COLUMN" help:"The column of ids, for CSV (default ${default})."`
	SecretFile string `type:"path" placeholder:"FILE" help:"File with the secret (or $$SYMBOLON_CLK_SECRET, else asked for)."`
	OnBadRow   string `default:"fail" enum:"fail,skip" placeholder:"POLICY" help:"What to do with a row that the schema refuses: fail or skip."`
	Workers    int    `placeholder:"N" help:"Processors to use; default all."`
	Force      bool   `help:"Replace the file if it exists."`
}

// Help is shown by --help.
func (c *clkEncodeCmd) Help() string { return clkNotice }

// clkEncodeView tells of an encoding.
type clkEncodeView struct {
	Notice      string   `json:"notice"`
	Records     int      `json:"records"`
	Encoded     int      `json:"encoded"`
	Skipped     int      `json:"skipped"`
	SkippedRows []badRow `json:"skipped_rows,omitempty"` // the first of them
	Bits        int      `json:"bits"`
	MeanBitsSet float64  `json:"mean_bits_set"`
	Out         string   `json:"out"`
	Warnings    []string `json:"warnings,omitempty"`
}

func (c *clkEncodeCmd) needs(app *App) need {
	app.files.linkage = c.SecretFile
	return needLinkage
}

// minSecret is the length in bytes below which a secret is too easy to guess.
const minSecret = 16

func (c *clkEncodeCmd) Run(app *App) error {
	format, err := resultFormat(c.Format, c.Out)
	if err != nil {
		return err
	}
	if format == formatJSON && c.OnBadRow == "skip" {
		return withHint(usagef("JSON has no ids, so that a row left out would shift all behind it"), "write CSV, or use --on-bad-row fail")
	}
	if c.Workers < 0 {
		return usagef("--workers %d is below 0", c.Workers)
	}
	if err := checkNew(c.Out, c.Force); err != nil { // before the work is done
		return err
	}
	raw, err := readBounded(c.Schema, bloom.MaxSchema)
	if err != nil {
		return err
	}
	schema, err := bloom.ParseSchema(raw)
	if err != nil {
		return &usageError{fmt.Errorf("%s: %w", c.Schema, err)}
	}
	encoder, err := bloom.NewEncoder(schema, app.secrets.linkage)
	if err != nil {
		return err
	}
	f, err := os.Open(c.Data)
	if err != nil {
		return &usageError{err}
	}
	defer f.Close()
	e := clkEncoding{cmd: c, app: app, encoder: encoder, format: format, seen: make(map[string]bool)}
	e.view = clkEncodeView{Notice: clkNotice, Bits: schema.Bits(), Out: c.Out, Warnings: schema.Notes()}
	if app.secrets.linkage.Len() < minSecret {
		e.view.Warnings = append(e.view.Warnings, fmt.Sprintf("the secret has fewer than %d bytes: it can be guessed, and then every name", minSecret))
	}
	var wrong error // with the data, not with the file that is written
	err = createFile(c.Out, c.Force, func(w io.Writer) error {
		out, err := e.run(f, w)
		if wrong = err; err != nil {
			return err
		}
		return out.Close()
	})
	if wrong != nil {
		return fmt.Errorf("%s: %w", c.Data, wrong)
	}
	if err != nil {
		return err
	}
	return app.print(e.view, e.view.writeText)
}

// clkEncoding is one in progress.
type clkEncoding struct {
	cmd     *clkEncodeCmd
	app     *App
	encoder *bloom.Encoder
	format  string
	view    clkEncodeView
	seen    map[string]bool // ids
	bitsSet int64

	// The batch under way.
	rows    []int
	ids     []string
	records [][]string
	wrong   []badRow
}

// clkBatch is how many records are encoded at a time.
const clkBatch = 1 << 13

func (e *clkEncoding) run(data io.Reader, w io.Writer) (*bloom.ListWriter, error) {
	out, id := bloom.NewCSVWriter(w), e.cmd.ID
	if e.format == formatJSON {
		out, id = bloom.NewJSONWriter(w), ""
	}
	in, err := bloom.NewRecordReader(data, e.encoder.Schema(), id)
	if err != nil {
		return nil, err
	}
	p := e.app.newProgress()
	defer p.done()
	for done := false; !done; {
		if done, err = e.fill(in); err != nil {
			return nil, err
		}
		if err := e.encode(out); err != nil {
			return nil, err
		}
		p.update("encoding", e.view.Records, 0)
	}
	if e.view.Encoded > 0 {
		e.view.MeanBitsSet = float64(e.bitsSet) / float64(e.view.Encoded)
	}
	return out, nil
}

// fill reads a batch; done is set behind the last row.
func (e *clkEncoding) fill(in *bloom.RecordReader) (done bool, err error) {
	e.rows, e.ids, e.records, e.wrong = e.rows[:0], e.ids[:0], e.records[:0], e.wrong[:0]
	for len(e.records)+len(e.wrong) < clkBatch {
		row, id, record, err := in.Next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil && !errors.Is(err, bloom.ErrFields) {
			return false, err
		}
		e.view.Records++
		reason := ""
		switch {
		case err != nil:
			reason = "wrong number of cells"
		case e.format == formatCSV && id == "":
			reason = "the id is empty"
		case e.format == formatCSV && e.seen[id]:
			reason = "the id is there twice"
		default:
			e.seen[id] = true
			e.rows, e.ids, e.records = append(e.rows, row), append(e.ids, id), append(e.records, record)
			continue
		}
		e.wrong = append(e.wrong, badRow{Row: row, Reason: reason})
	}
	return false, nil
}

// encode writes the CLKs of the batch, unless one of its rows fails it.
func (e *clkEncoding) encode(out *bloom.ListWriter) error {
	set, wrong, err := e.encoder.EncodeAll(e.app.ctx, e.cmd.Workers, e.records)
	if err != nil {
		return err
	}
	refused := make(map[int]bool)
	for _, w := range wrong {
		refused[w.Record] = true
		e.wrong = append(e.wrong, badRow{e.rows[w.Record], w.Column, w.Err.Error()})
	}
	slices.SortFunc(e.wrong, func(a, b badRow) int { return a.Row - b.Row })
	for _, b := range e.wrong {
		if err := e.bad(b); err != nil {
			return err
		}
	}
	var clk []byte
	for i, id := range e.ids {
		if refused[i] {
			continue
		}
		clk = set.AppendBytes(clk[:0], i)
		if err := out.Write(id, clk); err != nil {
			return err
		}
		e.bitsSet += int64(set.Count(i))
		e.view.Encoded++
	}
	return nil
}

// bad counts a row, or fails by it.
func (e *clkEncoding) bad(b badRow) error {
	if e.cmd.OnBadRow != "skip" {
		return withHint(errors.New(b.String()), "correct the row, or leave such rows out with --on-bad-row skip")
	}
	e.view.Skipped++
	if len(e.view.SkippedRows) < maxListed {
		e.view.SkippedRows = append(e.view.SkippedRows, b)
	}
	return nil
}

func (v *clkEncodeView) writeText(w io.Writer) {
	fields(w, "records", fmt.Sprint(v.Records), "encoded", fmt.Sprint(v.Encoded), "skipped", fmt.Sprint(v.Skipped),
		"CLKs", fmt.Sprintf("%d bits, %.1f set on average", v.Bits, v.MeanBitsSet), "written to", v.Out)
	for _, b := range v.SkippedRows {
		fmt.Fprintf(w, "skipped: %s\n", b)
	}
	if more := v.Skipped - len(v.SkippedRows); more > 0 {
		fmt.Fprintf(w, "skipped: %d more\n", more)
	}
	for _, warning := range v.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	fmt.Fprintf(w, "\n%s\n", v.Notice)
}
