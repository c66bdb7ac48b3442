package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/protocol"
)

type standingCmd struct {
	Add    standingAddCmd    `cmd:"" help:"Declare a list of people; it is looked up now and at every change of the peer's filter."`
	List   standingListCmd   `cmd:"" default:"withargs" help:"List the standing lookups of this node (the default)."`
	Run    standingRunCmd    `cmd:"" help:"Fetch what is new and test it now, instead of when serve does."`
	Hits   standingHitsCmd   `cmd:"" help:"Show what standing lookups have found."`
	Remove standingRemoveCmd `cmd:"" help:"End a standing lookup."`
}

type standingAddCmd struct {
	Peer      string         `placeholder:"NAME" help:"The peer to ask."`
	Agreement string         `placeholder:"ID" help:"The agreement, by its id or the beginning of it; default the only one in force with the peer that allows lookups."`
	Name      string         `required:"" placeholder:"NAME" help:"What to call the list."`
	Data      string         `required:"" placeholder:"FILE|URL" help:"The people: CSV, JSON Lines, SQLite or postgres://. It is read anew at each run."`
	Mapping   string         `type:"path" placeholder:"FILE" help:"Which column feeds which field."`
	OnBadRow  records.Policy `default:"fail" placeholder:"POLICY" help:"What to do with a row that has a bad value: fail, skip, or keep it without the value."`
	Purpose   string         `required:"" placeholder:"TEXT" help:"Why; both sides log it."`
	Case      string         `required:"" placeholder:"NUMBER" help:"The case number; both sides log it."`
	Later     bool           `help:"Leave the first run to serve."`
}

// AfterApply is called by kong.
func (c *standingAddCmd) AfterApply() (err error) {
	c.Data, err = absolute(c.Data)
	return err
}

func (c *standingAddCmd) needs(*App) need { return needStore | needNode | needUser }

func (c *standingAddCmd) Run(app *App) error {
	if c.Peer == "" && c.Agreement == "" {
		return usagef("--peer or --agreement is required")
	}
	row, a, err := app.agreementWith(c.Peer, c.Agreement, allowsLookup)
	if err != nil {
		return err
	}
	if _, err := app.dialable(row); err != nil {
		return err
	}
	if _, err := openSource(a.Compartment, c.Data, c.Mapping, "", c.OnBadRow); err != nil {
		return err
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
	s, err := app.node.AddStanding(app.ctx, protocol.StandingRequest{Agreement: row.ID, Name: c.Name, Data: c.Data, Mapping: c.Mapping,
		OnBadRow: c.OnBadRow, User: user, Purpose: c.Purpose, Case: c.Case})
	if err != nil {
		return err
	}
	app.say("Standing lookup %s (%s) with %s is declared; both sides have logged it.", short(s.ID), clean(s.Name), s.Peer)
	if c.Later {
		v := viewStanding(s)
		return app.print(v, func(w io.Writer) { v.write(w) })
	}
	return app.runStanding(s.ID)
}

// standingView is a standing lookup.
type standingView struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Agreement   string `json:"agreement"`
	Peer        string `json:"peer"`
	User        string `json:"user"`
	Purpose     string `json:"purpose"`
	Case        string `json:"case"`
	Created     string `json:"created"`
	Ended       string `json:"ended,omitempty"`
	Epoch       uint32 `json:"epoch"` // of the filter tested last
	Serial      uint64 `json:"serial"`
	Records     int64  `json:"records"`
	Evaluations int64  `json:"evaluations"`
	LastRun     string `json:"last_run,omitempty"`
	LastError   string `json:"last_error,omitempty"`
	Hits        int    `json:"hits"`
}

func viewStanding(s *protocol.Standing) standingView {
	return standingView{ID: s.ID, Name: s.Name, Agreement: s.Agreement, Peer: s.Peer, User: s.User, Purpose: s.Purpose, Case: s.Case,
		Created: stamp(s.Created), Ended: stamp(s.Ended), Epoch: s.Epoch, Serial: s.Serial, Records: s.Records, Evaluations: s.Evaluations,
		LastRun: stamp(s.LastRun), LastError: s.LastError, Hits: s.Hits}
}

// state says how a standing lookup stands.
func (v standingView) state() string {
	switch {
	case v.Ended != "":
		return "ended"
	case v.LastError != "":
		return "failed"
	case v.LastRun == "":
		return "not run yet"
	}
	return "current"
}

func (v standingView) write(w io.Writer) {
	filter := ""
	if v.Epoch > 0 {
		filter = fmt.Sprintf("%d of epoch %d", v.Serial, v.Epoch)
	}
	fields(w, "Standing", v.ID, "Name", clean(v.Name), "Agreement", short(v.Agreement), "Peer", v.Peer, "Operator", clean(v.User),
		"Purpose", clean(v.Purpose), "Case", clean(v.Case), "Made", v.Created, "State", v.state(), "Last run", v.LastRun,
		"Filter", filter, "Hits", fmt.Sprint(v.Hits), "Reason", clean(v.LastError))
}

type standingListCmd struct {
	Agreement string `placeholder:"ID" help:"Only those under this agreement."`
}

func (c *standingListCmd) needs(*App) need { return needStore | needNode }

func (c *standingListCmd) Run(app *App) error {
	id, err := app.agreementID(c.Agreement)
	if err != nil {
		return err
	}
	all, err := app.node.Standings(id)
	if err != nil {
		return err
	}
	v := struct {
		Standing []standingView `json:"standing"`
	}{[]standingView{}}
	var rows [][]string
	for i := range all {
		s := viewStanding(&all[i])
		v.Standing = append(v.Standing, s)
		rows = append(rows, []string{short(s.ID), clean(s.Name), s.Peer, s.state(), clean(s.User), clean(s.Case),
			fmt.Sprint(s.Records), fmt.Sprint(s.Hits), s.LastRun, clean(s.LastError)})
	}
	return app.print(v, func(w io.Writer) {
		table(w, []string{"STANDING", "NAME", "PEER", "STATE", "OPERATOR", "CASE", "PEOPLE", "HITS", "LAST RUN", "REASON"}, rows)
	})
}

type standingRunCmd struct {
	Standing string `arg:"" optional:"" help:"Its id, the beginning of it, or its name; default all."`
}

func (c *standingRunCmd) needs(*App) need { return needStore | needNode }

func (c *standingRunCmd) Run(app *App) error {
	ids, err := app.standing(c.Standing, false)
	if err != nil {
		return err
	}
	done, err := app.listenWhile()
	if err != nil {
		return err
	}
	defer done()
	return app.runStanding(ids...)
}

// standing returns the ids of the standing lookups that a person calls so: by
// name or the beginning of an id one, by "" all, those that have ended only if
// wanted.
func (a *App) standing(called string, ended bool) ([]string, error) {
	all, err := a.node.Standings("")
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range all {
		if called == "" && (ended || s.Ended.IsZero()) || called != "" && (s.Name == called || strings.HasPrefix(s.ID, called)) {
			ids = append(ids, s.ID)
		}
	}
	switch {
	case called != "" && len(ids) == 0:
		return nil, withHint(usagef("no standing lookup %q at this node", called), "`symbolon standing` lists them")
	case called != "" && len(ids) > 1:
		return nil, withHint(usagef("%q names several standing lookups", called), "give more digits of the id")
	}
	return ids, nil
}

// standingRunView is what one run of a standing lookup did.
type standingRunView struct {
	Standing string `json:"standing"`
	Epoch    uint32 `json:"epoch"`
	Serial   uint64 `json:"serial"`
	// Evaluated were made now; Declared are kept ones, told to the peer and
	// charged because they are tested against a new version.
	Evaluated int64             `json:"evaluated"`
	Declared  int64             `json:"declared"`
	New       []standingHitView `json:"new_hits"`
}

// runStanding runs standing lookups and tells what is new.
func (a *App) runStanding(ids ...string) error {
	p := a.newProgress()
	defer p.done()
	v := struct {
		Notice string            `json:"notice"`
		Runs   []standingRunView `json:"runs"`
	}{notice, []standingRunView{}}
	for _, id := range ids {
		run, err := a.node.RunStanding(a.ctx, id, p.session)
		if err != nil {
			return explainLookup(fmt.Errorf("standing lookup %s: %w", short(id), err))
		}
		v.Runs = append(v.Runs, standingRunView{Standing: run.List, Epoch: run.Epoch, Serial: run.Serial,
			Evaluated: run.Evaluated, Declared: run.Declared, New: viewStandingHits(run.New)})
	}
	p.done()
	return a.print(v, func(w io.Writer) {
		for _, r := range v.Runs {
			fmt.Fprintf(w, "Standing lookup %s, filter %d of epoch %d: %s, %s charged\n", short(r.Standing), r.Serial, r.Epoch,
				plural(len(r.New), "new hit"), plural(int(r.Evaluated+r.Declared), "evaluation"))
			if len(r.New) > 0 {
				fmt.Fprintln(w)
				writeStandingHits(w, r.New)
				fmt.Fprintf(w, "\n%s\n", notice)
			}
		}
	})
}

type standingHitsCmd struct {
	Standing string `arg:"" optional:"" help:"Its id, the beginning of it, or its name; default all."`
}

func (c *standingHitsCmd) needs(*App) need { return needStore | needNode }

// standingHitView is a hit with when it was found.
type standingHitView struct {
	Standing string `json:"standing"`
	ID       string `json:"id"`
	lookupHitView
	Epoch  uint32 `json:"epoch"`
	Serial uint64 `json:"serial"`
	Found  string `json:"found"`
}

func viewStandingHits(hits []protocol.StandingHit) []standingHitView {
	out := make([]standingHitView, 0, len(hits))
	for _, h := range hits {
		out = append(out, standingHitView{h.List, h.ID, viewHits([]protocol.LookupHit{h.LookupHit})[0], h.Epoch, h.Serial, stamp(h.Found)})
	}
	return out
}

func writeStandingHits(w io.Writer, hits []standingHitView) {
	var rows [][]string
	for _, h := range hits {
		rows = append(rows, []string{short(h.Standing), clean(h.ID), strings.Join(h.Rules, " "), clean(h.Reference), clean(h.Contact),
			clean(h.Text), strings.Join(h.Flags, " "), h.Found})
	}
	compact(w, []string{"STANDING", "ID", "RULES", "PEER REFERENCE", "CONTACT", "TEXT", "FLAGS", "FOUND"}, rows)
}

func (c *standingHitsCmd) Run(app *App) error {
	ids, err := app.standing(c.Standing, true)
	if err != nil {
		return err
	}
	var hits []protocol.StandingHit
	for _, id := range ids {
		of, err := app.node.StandingHits(id)
		if err != nil {
			return err
		}
		hits = append(hits, of...)
	}
	v := struct {
		Notice string            `json:"notice"`
		Hits   []standingHitView `json:"hits"`
	}{notice, viewStandingHits(hits)}
	return app.print(v, func(w io.Writer) {
		if len(v.Hits) == 0 {
			fmt.Fprintln(w, "No hits.")
			return
		}
		writeStandingHits(w, v.Hits)
		fmt.Fprintf(w, "\n%s\n", notice)
	})
}

type standingRemoveCmd struct {
	Standing string `arg:"" help:"Its id, the beginning of it, or its name."`
}

func (c *standingRemoveCmd) needs(app *App) need { return needStore | needNode | app.actorNeeds() }

func (c *standingRemoveCmd) Run(app *App) error {
	ids, err := app.standing(c.Standing, false)
	if err != nil {
		return err
	}
	user, err := app.optionalUser()
	if err != nil {
		return err
	}
	if err := app.node.EndStanding(app.ctx, ids[0], user); err != nil {
		return err
	}
	return app.print(struct {
		Standing string `json:"standing"`
		State    string `json:"state"`
	}{ids[0], "ended"}, func(w io.Writer) {
		fmt.Fprintf(w, "Standing lookup %s is ended; its hits stay until they expire\n", short(ids[0]))
	})
}
