package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol"
)

type lookupCmd struct {
	Peer      string `placeholder:"NAME" help:"The peer to ask."`
	Agreement string `placeholder:"ID" help:"The agreement, by its id or the beginning of it; default the only one in force with the peer that allows lookups."`
	Purpose   string `placeholder:"TEXT" help:"Why; both sides log it. Required."`
	Case      string `placeholder:"NUMBER" help:"The case number; both sides log it. Required."`
	personFlags
	In       string         `placeholder:"FILE|URL" help:"Look up everybody in it instead: CSV, JSON Lines, SQLite or postgres://."`
	Mapping  string         `type:"path" placeholder:"FILE" help:"Which column of --in feeds which field."`
	OnBadRow records.Policy `default:"fail" placeholder:"POLICY" help:"What to do with a row of --in that has a bad value: fail, skip, or keep it without the value."`
	Out      string         `type:"path" placeholder:"FILE" help:"Write the hits here, CSV or JSON; otherwise they are shown."`
	Format   string         `placeholder:"FORMAT" help:"csv or json; default by the file's extension."`
	Force    bool           `help:"Replace the file if it exists."`
	InFlight int            `default:"16" placeholder:"N" help:"How many queries of --in are on the wire at once (default ${default})."`
	Wait     time.Duration  `default:"2m" placeholder:"TIME" help:"How long --in waits for room in the peer's budget before it ends; 0s for not at all (default ${default})."`
	NoFetch  bool           `help:"Use the filter on this disk even if the peer has a newer version."`
}

// personFlags are one person as typed. Each flag that may be repeated is one
// value a time, for names and places hold commas.
type personFlags struct {
	ID          string   `group:"The person:" default:"query" placeholder:"ID" help:"The person's number in your own files; the log names it (default ${default})."`
	Given       string   `group:"The person:" placeholder:"NAME" help:"Given names."`
	Family      string   `group:"The person:" placeholder:"NAME" help:"Family name."`
	Name        []string `group:"The person:" sep:"none" placeholder:"NAME" help:"A name as printed; again for each alias."`
	DOB         []string `group:"The person:" name:"dob" sep:"none" placeholder:"DATE" help:"Date of birth: YYYY-MM-DD, YYYY-MM, YYYY, ~YYYY or YYYY/YYYY; may be repeated."`
	Place       []string `group:"The person:" sep:"none" placeholder:"PLACE" help:"Place of birth."`
	Nationality []string `group:"The person:" sep:"none" placeholder:"COUNTRY" help:"Nationality, a code or a name."`
	Document    []string `group:"The person:" sep:"none" placeholder:"DOC" help:"A document: its number, or TYPE:NUMBER:COUNTRY, such as passport:P4471182:SY."`
	MRZ         []string `group:"The person:" name:"mrz" sep:"none" placeholder:"ZONE" help:"The machine-readable zone of a document."`
	Phone       []string `group:"The person:" sep:"none" placeholder:"NUMBER" help:"A telephone number."`
	Region      string   `group:"The person:" placeholder:"CC" help:"The country of telephone numbers without a country code."`
	Email       []string `group:"The person:" sep:"none" placeholder:"ADDRESS" help:"An e-mail address."`
	Sex         string   `group:"The person:" placeholder:"SEX" help:"F, M or X."`
}

// given reports whether anything of a person was typed.
func (f *personFlags) given() bool {
	if f.Given != "" || f.Family != "" || f.Sex != "" || f.Region != "" {
		return true
	}
	for _, l := range [][]string{f.Name, f.DOB, f.Place, f.Nationality, f.Document, f.MRZ, f.Phone, f.Email} {
		if len(l) > 0 {
			return true
		}
	}
	return false
}

// record reads the person.
func (f *personFlags) record() (*records.Record, error) {
	p := records.Person{ID: f.ID, Names: f.Name, Given: f.Given, Family: f.Family, Births: f.DOB, PlacesOfBirth: f.Place,
		Nationalities: f.Nationality, MRZ: f.MRZ, Phones: f.Phone, Emails: f.Email, Region: f.Region, Sex: f.Sex}
	for _, d := range f.Document {
		switch parts := strings.Split(d, ":"); len(parts) {
		case 1:
			p.Documents = append(p.Documents, records.DocumentText{Number: d})
		case 3:
			p.Documents = append(p.Documents, records.DocumentText{Type: parts[0], Number: parts[1], Country: parts[2]})
		default:
			return nil, withHint(usagef("--document is neither a number nor TYPE:NUMBER:COUNTRY"), "a part may be empty: passport:P4471182:")
		}
	}
	r, err := p.Record()
	if err != nil {
		return nil, &usageError{err}
	}
	return r, nil
}

// AfterApply is called by kong.
func (c *lookupCmd) AfterApply() (err error) {
	c.In, err = absolute(c.In)
	return err
}

func (c *lookupCmd) needs(*App) need { return needStore | needNode | needUser }

func (c *lookupCmd) check() error {
	switch {
	case c.Peer == "" && c.Agreement == "":
		return usagef("--peer or --agreement is required")
	case c.Purpose == "":
		return usagef("--purpose is required")
	case c.Case == "":
		return usagef("--case is required")
	case c.In == "" && !c.given():
		return withHint(usagef("nobody to look up"), "give --family, --given, --dob, --document and what else is known, or a list with --in")
	case c.In != "" && c.given():
		return usagef("--in and a person on the command line exclude each other")
	case c.In == "" && c.Mapping != "":
		return usagef("--mapping goes with --in")
	case c.Wait < 0:
		return usagef("--wait %v is below zero", c.Wait)
	case c.InFlight < 1 || c.InFlight > maxInFlight:
		return usagef("--in-flight %d is outside [1, %d]", c.InFlight, maxInFlight)
	}
	if c.Out == "" {
		return nil
	}
	return checkNew(c.Out, c.Force) // before a query is spent
}

// maxInFlight bounds the queries on the wire at once.
const maxInFlight = 1024

func (c *lookupCmd) Run(app *App) error {
	if err := c.check(); err != nil {
		return err
	}
	format, err := resultFormat(c.Format, c.Out)
	if err != nil {
		return err
	}
	person, err := c.record()
	if err != nil {
		return err
	}
	row, a, err := app.agreementWith(c.Peer, c.Agreement, allowsLookup)
	if err != nil {
		return err
	}
	peer, err := app.dialable(row)
	if err != nil {
		return err
	}
	var src protocol.Source
	if c.In != "" {
		if src, err = openSource(a.Compartment, c.In, c.Mapping, "", c.OnBadRow); err != nil {
			return err
		}
	}
	user, err := app.unlockUser()
	if err != nil {
		return err
	}
	done, err := app.listenWhile()
	if err != nil {
		return err
	}
	defer done()
	p := app.newProgress()
	defer p.done()
	l := &lookup{app: app, progress: p, view: lookupView{Notice: notice, Agreement: row.ID, Peer: peer.Name, Complete: true}}
	err = l.open(protocol.LookupRequest{Agreement: row.ID, User: user, Purpose: c.Purpose, Case: c.Case,
		InFlight: c.InFlight, Patience: c.Wait, NoFetch: c.NoFetch, Progress: p.session})
	if err != nil {
		return explainLookup(err)
	}
	if c.In != "" {
		err = l.each(src)
	} else {
		err = l.one(person)
	}
	err = errors.Join(err, l.close())
	p.done()
	if err != nil && l.view.Records == 0 {
		return explainLookup(err)
	}
	// What was answered was paid for, and is told even if the rest failed.
	if told := c.tell(app, &l.view, format); told != nil {
		return errors.Join(err, told)
	}
	return explainLookup(err)
}

// tell writes and shows the answers.
func (c *lookupCmd) tell(app *App, v *lookupView, format string) error {
	if c.Out != "" {
		if err := v.writeFile(c.Out, format, c.Force); err != nil {
			return err
		}
		v.Out = c.Out
	}
	if c.In == "" {
		return app.print(v, v.writeOne)
	}
	return app.print(v, v.writeAll)
}

// lookup is a stream of lookups and what came of it.
type lookup struct {
	app      *App
	progress *progress
	lookups  *protocol.Lookups
	view     lookupView
	began    time.Time
}

// open opens the stream, which may have to fetch the filter first, and says so.
func (l *lookup) open(r protocol.LookupRequest) error {
	before, err := l.filter(r.Agreement)
	if err != nil {
		return err
	}
	if l.lookups, err = l.app.node.OpenLookups(l.app.ctx, r); err != nil {
		return err
	}
	l.began = time.Now()
	after, err := l.filter(r.Agreement)
	if err != nil {
		return errors.Join(err, l.lookups.Close())
	}
	l.view.Epoch, l.view.Serial, l.view.ValidUntil = after.Epoch, after.Serial, stamp(after.ValidUntil)
	if before.Epoch != after.Epoch || before.Serial != after.Serial {
		l.view.Fetched = true
		l.progress.done()
		why := "there was none here"
		if before.Epoch > 0 {
			why = fmt.Sprintf("the one here was filter %d of epoch %d", before.Serial, before.Epoch)
		}
		l.app.say("Fetched filter %d of epoch %d of %s: %s.", after.Serial, after.Epoch, l.view.Peer, why)
	}
	return nil
}

// filter returns the newest filter on disk, or the zero one.
func (l *lookup) filter(agreement string) (newest protocol.Fetched, err error) {
	all, err := l.app.node.Filters(agreement)
	for _, f := range all {
		if f.Epoch > newest.Epoch || f.Epoch == newest.Epoch && f.Serial > newest.Serial {
			newest = f
		}
	}
	return newest, err
}

// one looks up the person typed.
func (l *lookup) one(person *records.Record) error {
	r, err := l.lookups.Lookup(l.app.ctx, person)
	if err != nil {
		return err
	}
	if r.NoKeys {
		return withHint(usagef("no rule of the agreement can use what was given of this person, so nothing was asked"),
			"give more, such as a full date of birth or a document; `symbolon agreement show %s` lists the rules", short(l.view.Agreement))
	}
	l.view.add(r, true)
	return nil
}

const stageLookingUp = "looking up"

// each looks up everybody in a source. Of the answers, hits alone are kept.
func (l *lookup) each(src protocol.Source) error {
	l.progress.update(stageLookingUp, 0, 0)
	src.Report = func(r *records.Report) { l.view.Input = r }
	_, err := l.lookups.Each(l.app.ctx, src, func(r *protocol.LookupResult) error {
		l.view.add(r, false)
		l.progress.update(stageLookingUp, int(l.view.Records), 0)
		return nil
	})
	l.view.Complete = err == nil
	return err
}

// close ends the stream, at which both sides exchange their logs' heads.
func (l *lookup) close() error {
	l.view.Seconds = time.Since(l.began).Seconds()
	l.view.Sent, l.view.Got = l.lookups.Traffic()
	return l.lookups.Close()
}

// retryAfter returns when a refusal for a budget or a schedule ends, or zero.
func retryAfter(err error) time.Time {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return time.Time{}
}

// explainLookup adds to a failure what may be done about it.
func explainLookup(err error) error {
	if at := retryAfter(err); !at.IsZero() {
		return withHint(err, "the peer counts evaluations a minute and a day: ask again %s, at %s", until(at), stamp(at))
	}
	if errors.Is(err, store.ErrNotFound) {
		return withHint(err, "`symbolon fetch` says what the peer has published")
	}
	return err
}
