package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/protocol"
)

type agreementSourceCmd struct {
	Agreement   string         `arg:"" help:"A file, or an id or its beginning."`
	Data        string         `required:"" placeholder:"FILE|URL" help:"The records: CSV, JSON Lines, SQLite or postgres://."`
	Mapping     string         `type:"path" placeholder:"FILE" help:"Which column feeds which field."`
	Compartment string         `placeholder:"WORD" help:"The data's compartment; default the agreement's."`
	Reference   string         `default:"source_ref" placeholder:"WHICH" help:"What the peer sees of a hit: source_ref or id."`
	OnBadRow    records.Policy `default:"fail" placeholder:"POLICY" help:"What to do with a row that has a bad value: fail, skip, or keep it without the value."`
	Contact     string         `placeholder:"TEXT" help:"Whom to call: a lookup that hits shows it beside the reference, unless the mapping names a column for it."`
	Text        string         `placeholder:"TEXT" help:"Further text that a lookup that hits shows, unless the mapping names a column for it."`
}

// AfterApply is called by kong.
func (c *agreementSourceCmd) AfterApply() (err error) {
	if c.Agreement, err = fileOrID(c.Agreement); err != nil {
		return err
	}
	c.Data, err = absolute(c.Data)
	return err
}

func (c *agreementSourceCmd) needs(*App) need {
	if isPath(c.Agreement) {
		return 0
	}
	return needStore
}

// Run adds the entry to the configuration, which is left as it is if the result
// could not be read back.
func (c *agreementSourceCmd) Run(app *App) error {
	a, err := c.agreement(app)
	if err != nil {
		return err
	}
	src := configSource{Agreement: a.Hex(), Compartment: c.Compartment, Data: c.Data, Mapping: c.Mapping, Reference: c.Reference, OnBadRow: c.OnBadRow,
		Contact: c.Contact, Text: c.Text}
	if src.Compartment == "" {
		src.Compartment = a.Compartment
	}
	if src.Compartment != a.Compartment {
		return usagef("the data is of compartment %q, the agreement of %q", src.Compartment, a.Compartment)
	}
	if err := checkLabel(c.Contact, c.Text); err != nil {
		return &usageError{err}
	}
	if _, err := openSource(src.Compartment, src.Data, src.Mapping, src.Reference, src.OnBadRow); err != nil {
		return err
	}
	path := filepath.Join(app.dir, configFile)
	old, err := os.ReadFile(path)
	if err != nil {
		return &usageError{err}
	}
	before, err := parseConfig(string(old))
	if err != nil {
		return &usageError{fmt.Errorf("%s: %w", path, err)}
	}
	for _, s := range before.Sources {
		if strings.HasPrefix(src.Agreement, s.Agreement) {
			return withHint(usagef("a source is configured for agreement %s already", short(src.Agreement)), "edit it in %s", path)
		}
	}
	var b strings.Builder
	b.Write(old)
	b.WriteString("\n")
	if err := toml.NewEncoder(&b).Encode(struct {
		Sources []configSource `toml:"source"`
	}{[]configSource{src}}); err != nil {
		return err
	}
	if _, err := parseConfig(b.String()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := writeFile(path, []byte(b.String()), true); err != nil {
		return err
	}
	if isURL(src.Data) {
		src.Data = "database" // the URL may hold a password
	}
	return app.print(src, func(w io.Writer) {
		fmt.Fprintf(w, "Agreement %s draws on %s (compartment %s)\n", short(src.Agreement), clean(src.Data), clean(src.Compartment))
	})
}

func (c *agreementSourceCmd) agreement(app *App) (*protocol.Agreement, error) {
	if isPath(c.Agreement) {
		s, err := protocol.ReadAgreementFile(c.Agreement)
		if err != nil {
			return nil, err
		}
		return s.Agreement, nil
	}
	_, s, err := app.agreement(c.Agreement)
	if err != nil {
		return nil, err
	}
	return s.Agreement, nil
}
