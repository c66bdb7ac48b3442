package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol"
)

type searchCmd struct {
	Now  searchNowCmd  `cmd:"" default:"withargs" help:"Search, or ask for the reference behind a handle (the default)."`
	List searchListCmd `cmd:"" help:"List the searches made here, with their handles."`
}

type searchNowCmd struct {
	Peer      string `placeholder:"NAME" help:"The peer to ask."`
	Agreement string `placeholder:"ID" help:"The agreement, by its id or the beginning of it; default the only one in force with the peer that allows searches."`
	Purpose   string `placeholder:"TEXT" help:"Why; both sides log it. Required; with --reveal default the search's."`
	Case      string `placeholder:"NUMBER" help:"The case number; both sides log it. Required; with --reveal default the search's."`
	personFlags
	Threshold int      `placeholder:"N" help:"How many groups of the sketch must agree; default the agreement's least."`
	AllNames  bool     `help:"Search for each name of the person, each a search that counts; default the first name alone."`
	Reveal    []string `placeholder:"HANDLE" help:"Ask for the case reference behind a handle that a search has given, or behind those of the last one: last. The peer learns of the hit by that."`
}

func (c *searchNowCmd) needs(*App) need { return needStore | needNode | needUser }

func (c *searchNowCmd) check() error {
	if len(c.Reveal) > 0 {
		if c.given() || c.Threshold != 0 || c.AllNames {
			return usagef("--reveal asks about a search that was made: leave out the person, --threshold and --all-names")
		}
		return nil
	}
	switch {
	case c.Peer == "" && c.Agreement == "":
		return usagef("--peer or --agreement is required")
	case c.Purpose == "":
		return usagef("--purpose is required")
	case c.Case == "":
		return usagef("--case is required")
	case len(c.Name) == 0 && c.Given == "" && c.Family == "" && len(c.MRZ) == 0:
		return withHint(usagef("nobody to look for"), "a search goes by name and date of birth: give --given and --family, or --name, and --dob")
	case c.Threshold < 0:
		return usagef("--threshold %d is below 0", c.Threshold)
	}
	return nil
}

func (c *searchNowCmd) Run(app *App) error {
	if err := c.check(); err != nil {
		return err
	}
	if len(c.Reveal) > 0 {
		return c.reveal(app)
	}
	person, err := c.record()
	if err != nil {
		return err
	}
	row, a, err := app.agreementWith(c.Peer, c.Agreement, allowsSearch)
	if err != nil {
		return err
	}
	if t := a.Search; c.Threshold != 0 && (c.Threshold < t.Threshold || c.Threshold > t.Groups) {
		return usagef("--threshold %d is outside [%d, %d], which the agreement allows", c.Threshold, t.Threshold, t.Groups)
	}
	s := &searching{app: app, view: searchView{Notice: resemblance, Agreement: row.ID}}
	return s.open(row, c.Purpose, c.Case, func() error { return s.search(person, c) })
}

// reveal asks for references. The handles lead to the agreement.
func (c *searchNowCmd) reveal(app *App) error {
	if slices.Equal(c.Reveal, []string{"last"}) {
		var err error
		if c.Reveal, err = app.lastHandles(); err != nil {
			return err
		}
	}
	first, _, err := app.node.HandleSearch(c.Reveal[0])
	if err != nil {
		return explainHandle(err)
	}
	row, _, err := app.agreement(first.Agreement)
	if err != nil {
		return err
	}
	if c.Purpose == "" {
		c.Purpose = first.Purpose
	}
	if c.Case == "" {
		c.Case = first.Case
	}
	s := &searching{app: app, view: searchView{Notice: notice, Agreement: row.ID}}
	return s.open(row, c.Purpose, c.Case, func() error {
		for _, h := range c.Reveal {
			v, err := s.searches.Reveal(app.ctx, h)
			if err != nil {
				return explainHandle(err)
			}
			s.view.Revealed = append(s.view.Revealed, v)
		}
		return nil
	})
}

// lastHandles returns the handles of the last search made here.
func (a *App) lastHandles() ([]string, error) {
	all, err := a.store.Searches("", true)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 || len(all[0].Slots) == 0 {
		return nil, withHint(usagef("the last search has given no handle"), "`symbolon search list` shows the searches and their handles")
	}
	return protocol.HandleNames(all[0].ID, all[0].Slots), nil
}

func explainHandle(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrAmbiguous) {
		return withHint(&usageError{err}, "`symbolon search list` shows the searches and their handles")
	}
	return explainLookup(err)
}

// searching is a stream of searches and what came of it.
type searching struct {
	app      *App
	progress *progress
	searches *protocol.Searches
	view     searchView
}

// open opens the stream, does what is to be done on it, and tells what came of
// it.
func (s *searching) open(row store.Agreement, purpose, caseNumber string, do func() error) error {
	app := s.app
	peer, err := app.dialable(row)
	if err != nil {
		return err
	}
	s.view.Peer = peer.Name
	user, err := app.unlockUser()
	if err != nil {
		return err
	}
	done, err := app.listenWhile()
	if err != nil {
		return err
	}
	defer done()
	s.progress = app.newProgress()
	defer s.progress.done()
	began := time.Now()
	s.searches, err = app.node.OpenSearches(app.ctx, protocol.SearchRequest{Agreement: row.ID, User: user,
		Purpose: purpose, Case: caseNumber, Progress: s.progress.session})
	if err != nil {
		return explainLookup(err)
	}
	err = do()
	s.view.Sent, s.view.Got = s.searches.Traffic()
	err = errors.Join(err, s.searches.Close())
	s.view.Seconds = time.Since(began).Seconds()
	s.progress.done()
	if err != nil && len(s.view.Results)+len(s.view.Revealed) == 0 {
		return explainLookup(err)
	}
	// What was answered was paid for, and is told even if the rest failed.
	if told := app.print(&s.view, s.view.write); told != nil {
		return errors.Join(err, told)
	}
	return explainLookup(err)
}

// search looks for one name of a person, or for all of them.
func (s *searching) search(person *records.Record, c *searchNowCmd) error {
	forms, err := s.searches.Forms(person)
	if err != nil {
		return err
	}
	if forms == 0 {
		return withHint(usagef("nothing of the name can be searched for"), "give a name in letters")
	}
	if !c.AllNames {
		forms = 1
	}
	for i := range forms {
		r, err := s.searches.Search(s.app.ctx, protocol.SearchQuery{Record: person, Form: i, Threshold: c.Threshold})
		if err != nil {
			return explainSearch(err)
		}
		s.view.Results = append(s.view.Results, r)
	}
	return nil
}

// explainSearch says of a search that was sent and not answered that it may have
// cost something all the same.
func explainSearch(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) && e.Code != protocol.CodeCancelled && e.Code != protocol.CodeTimeout && e.Code != protocol.CodeMessage && e.Code != protocol.CodeInternal {
		return err
	}
	return withHint(err, "the peer counts a search from the moment that it arrives: see `symbolon search list` and `symbolon audit list`")
}

// resemblance is the sentence that goes with every handle.
const resemblance = "A handle says that some record there resembles what was typed: a lead, not an identification."

// noResemblance is the sentence that goes with an answer without a handle.
const noResemblance = "No handle is no proof that a person is unknown there: a record under another name does not resemble."

// searchView is what came of searches, or of asking for references.
type searchView struct {
	Notice    string                   `json:"notice"`
	Agreement string                   `json:"agreement"`
	Peer      string                   `json:"peer"`
	Results   []*protocol.SearchResult `json:"results,omitempty"`
	Revealed  []*protocol.Revealed     `json:"revealed,omitempty"`
	Sent      protocol.Traffic         `json:"sent"`
	Got       protocol.Traffic         `json:"got"`
	Seconds   float64                  `json:"seconds"`
}

func (v *searchView) write(w io.Writer) {
	for _, r := range v.Results {
		if len(r.Handles) == 0 {
			fmt.Fprintf(w, "No record of %s resembles this name and date in %d groups of the sketch.\n", v.Peer, r.Threshold)
		} else {
			fmt.Fprintf(w, "%s of %s resembles this name and date in %d groups of the sketch or more.\n\n", plural(len(r.Handles), "record"), v.Peer, r.Threshold)
			for _, h := range r.Handles {
				fmt.Fprintf(w, "  %s\n", h)
			}
			fmt.Fprintf(w, "\nNext: `symbolon search --reveal %s` asks %s for its case reference; by that it learns of the hit.\n", r.Handles[0], v.Peer)
		}
		fmt.Fprintf(w, "Searched %d slots under encryption in %.1f s, %s charged; index %d of epoch %d.\n",
			r.Slots, r.Seconds, plural(int(r.Evaluations), "evaluation"), r.Serial, r.Epoch)
	}
	if len(v.Revealed) > 0 {
		var rows [][]string
		for _, r := range v.Revealed {
			rows = append(rows, []string{r.Handle, clean(r.Local), clean(r.Reference), clean(r.Contact), clean(r.Text)})
		}
		compact(w, []string{"HANDLE", "ID", "PEER REFERENCE", "CONTACT", "TEXT"}, rows)
		fmt.Fprintf(w, "\n%s now knows of the hit. ", v.Peer)
	}
	if len(v.Revealed) == 0 && !slices.ContainsFunc(v.Results, func(r *protocol.SearchResult) bool { return len(r.Handles) > 0 }) {
		fmt.Fprintln(w, noResemblance)
		return
	}
	fmt.Fprintf(w, "%s\n", v.Notice)
}

type searchListCmd struct {
	Agreement string `placeholder:"ID" help:"Only those under this agreement."`
}

func (c *searchListCmd) needs(*App) need { return needStore }

// searchListView is a search that was made here.
type searchListView struct {
	ID        string   `json:"search"`
	Agreement string   `json:"agreement"`
	Peer      string   `json:"peer"`
	Local     string   `json:"id"`
	Epoch     uint32   `json:"epoch"`
	Threshold int      `json:"threshold"`
	State     string   `json:"state"` // asked, answered or failed
	User      string   `json:"user"`
	Purpose   string   `json:"purpose"`
	Case      string   `json:"case"`
	Made      string   `json:"made"`
	Handles   []string `json:"handles"`
	Revealed  []string `json:"revealed"`
}

func (c *searchListCmd) Run(app *App) error {
	id, err := app.agreementID(c.Agreement)
	if err != nil {
		return err
	}
	all, err := app.store.Searches(id, true)
	if err != nil {
		return err
	}
	v := struct {
		Searches []searchListView `json:"searches"`
	}{[]searchListView{}}
	var rows [][]string
	for _, s := range all {
		peer, err := app.peerUnder(s.Agreement)
		if err != nil {
			return err
		}
		l := searchListView{ID: s.ID, Agreement: s.Agreement, Peer: peer, Local: s.LocalID, Epoch: s.Epoch, Threshold: s.Threshold, State: s.State,
			User: s.User, Purpose: s.Purpose, Case: s.Case, Made: stamp(s.Created),
			Handles: protocol.HandleNames(s.ID, s.Slots), Revealed: protocol.HandleNames(s.ID, s.Revealed)}
		v.Searches = append(v.Searches, l)
		rows = append(rows, []string{short(l.ID), l.Peer, clean(l.Local), l.State, clean(l.User), clean(l.Case), l.Made, strings.Join(l.Handles, " ")})
	}
	return app.print(v, func(w io.Writer) {
		compact(w, []string{"SEARCH", "PEER", "ID", "STATE", "OPERATOR", "CASE", "MADE", "HANDLES"}, rows)
	})
}
