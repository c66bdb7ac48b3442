package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/symbolon/symbolon/internal/store"
)

type sessionsCmd struct {
	List    sessionsListCmd    `cmd:"" default:"withargs" help:"List sessions, the newest first."`
	Show    sessionsShowCmd    `cmd:"" help:"Show one session."`
	Results sessionsResultsCmd `cmd:"" help:"Show or write the hits of a finished session."`
}

// sessionView is a session. Sizes count items after padding; shared_keys is -1
// where the mode tells this side nothing.
type sessionView struct {
	Session    string `json:"session"`
	Agreement  string `json:"agreement"`
	Peer       string `json:"peer"`
	Mode       string `json:"mode"`
	Role       string `json:"role"`
	State      string `json:"state"`
	ProposedBy string `json:"proposed_by"` // us or peer
	User       string `json:"user"`
	Purpose    string `json:"purpose"`
	Case       string `json:"case"`
	Items      int64  `json:"items"`
	PeerItems  int64  `json:"peer_items"`
	Attempts   int    `json:"attempts"`
	Count      *int64 `json:"shared_keys,omitempty"`
	Outcome    string `json:"outcome,omitempty"`
	Detail     string `json:"detail,omitempty"`
	Transcript string `json:"transcript,omitempty"`
	Created    string `json:"created"`
	Changed    string `json:"changed"`
	Expires    string `json:"results_expire,omitempty"`
	Expired    bool   `json:"results_expired"`
	// Approvals are those of this agency's operators.
	Approvals []approvalView `json:"approvals"`
}

// approvalView is an operator's consent.
type approvalView struct {
	User string `json:"user"`
	At   string `json:"at"`
}

// viewSession describes a session, with its peer's name and approvals.
func (a *App) viewSession(s store.Session) (sessionView, error) {
	v := sessionView{
		Session: s.ID, Agreement: s.Agreement, Mode: s.Mode, Role: s.Role, State: s.State, ProposedBy: "peer",
		User: s.User, Purpose: s.Purpose, Case: s.Case, Items: s.OwnSize, PeerItems: s.PeerSize, Attempts: s.Attempts,
		Outcome: s.Outcome, Detail: s.Detail, Created: stamp(s.Created), Changed: stamp(s.Changed),
		Expires: stamp(s.ResultsExpire), Expired: s.ResultsExpired, Approvals: []approvalView{},
	}
	if s.Local {
		v.ProposedBy = "us"
	}
	if s.State == store.SessionFinished {
		v.Count, v.Transcript = &s.Count, fmt.Sprintf("%x", s.TranscriptHash)
	}
	peer, err := a.store.PeerByRoot(s.PeerRoot)
	if err != nil {
		return v, err
	}
	v.Peer = peer.Name
	approvals, err := a.store.Approvals(s.ID)
	for _, x := range approvals {
		v.Approvals = append(v.Approvals, approvalView{x.User, stamp(x.At)})
	}
	return v, err
}

func (v *sessionView) write(w io.Writer) {
	var by []string
	for _, x := range v.Approvals {
		by = append(by, x.User)
	}
	fields(w, "Session", v.Session, "Agreement", v.Agreement, "Peer", v.Peer, "Mode", v.Mode, "Role", v.Role,
		"State", v.State, "Proposed by", v.ProposedBy, "Operator", clean(v.User), "Purpose", clean(v.Purpose), "Case", clean(v.Case),
		"Items", fmt.Sprintf("%d here, %d of the peer, after padding", v.Items, v.PeerItems),
		"Attempts", fmt.Sprint(v.Attempts), "Approved by", strings.Join(by, ", "))
	if v.Count != nil && *v.Count >= 0 {
		fields(w, "Shared keys", fmt.Sprint(*v.Count))
	}
	fields(w, "Outcome", v.Outcome, "Reason", clean(v.Detail), "Transcript", v.Transcript, "Made", v.Created, "Changed", v.Changed,
		"Results until", v.Expires)
	if v.Expired {
		fields(w, "Results", "erased at the end of their retention")
	}
}

// lastSession stands for the newest session where a session's id is asked for.
const lastSession = "last"

// session finds a session by a prefix of its id, or the newest.
func (a *App) session(prefix string) (store.Session, error) {
	if prefix == lastSession {
		rows, err := a.store.Sessions(store.SessionFilter{Limit: 1})
		if err != nil || len(rows) > 0 {
			return append(rows, store.Session{})[0], err
		}
		return store.Session{}, usagef("this node has no session yet")
	}
	row, err := a.store.FindSession(prefix)
	if errors.Is(err, store.ErrNotFound) {
		return row, withHint(usagef("no session %q at this node", prefix), "`symbolon sessions` lists them")
	}
	return row, err
}

type sessionsListCmd struct {
	Peer      string `placeholder:"NAME" help:"Only those with this peer."`
	Agreement string `placeholder:"ID" help:"Only those under this agreement."`
	State     string `placeholder:"STATE" help:"Only those in this state: proposed, approved, running, aborted, finished, refused, failed."`
	Limit     int    `default:"50" placeholder:"N" help:"At most so many; 0 for all (default ${default})."`
}

func (c *sessionsListCmd) needs(*App) need { return needStore }

func (c *sessionsListCmd) Run(app *App) error {
	f := store.SessionFilter{Limit: c.Limit}
	if c.Peer != "" {
		p, err := app.peer(c.Peer)
		if err != nil {
			return err
		}
		f.PeerRoot = p.Root
	}
	if c.Agreement != "" {
		row, _, err := app.agreement(c.Agreement)
		if err != nil {
			return err
		}
		f.Agreement = row.ID
	}
	if c.State != "" {
		f.States = []string{c.State}
	}
	all, err := app.store.Sessions(f)
	if err != nil {
		return err
	}
	v := struct {
		Sessions []sessionView `json:"sessions"`
	}{[]sessionView{}}
	var rows [][]string
	for _, s := range all {
		sv, err := app.viewSession(s)
		if err != nil {
			return err
		}
		v.Sessions = append(v.Sessions, sv)
		rows = append(rows, []string{short(sv.Session), sv.Peer, sv.Mode, sv.State, sv.ProposedBy, clean(sv.User), clean(sv.Case), sv.Created})
	}
	return app.print(v, func(w io.Writer) {
		table(w, []string{"SESSION", "PEER", "MODE", "STATE", "BY", "OPERATOR", "CASE", "MADE"}, rows)
	})
}

type sessionsShowCmd struct {
	Session string `arg:"" help:"Its id, the beginning of it, or last."`
}

func (c *sessionsShowCmd) needs(*App) need { return needStore }

func (c *sessionsShowCmd) Run(app *App) error {
	row, err := app.session(c.Session)
	if err != nil {
		return err
	}
	return app.printSession(row.ID, "")
}

// printSession prints the present state of a session.
func (a *App) printSession(id, headline string) error {
	row, err := a.store.Session(id)
	if err != nil {
		return err
	}
	v, err := a.viewSession(row)
	if err != nil {
		return err
	}
	return a.print(v, func(w io.Writer) {
		if headline != "" {
			fmt.Fprintln(w, headline)
		}
		v.write(w)
	})
}

type sessionsResultsCmd struct {
	Session  string `arg:"" help:"Its id, the beginning of it, or last."`
	Out      string `type:"path" placeholder:"FILE" help:"Write the hits here."`
	Format   string `placeholder:"FORMAT" help:"csv or json; default by the file's extension."`
	Force    bool   `help:"Replace the file if it exists."`
	OneToOne bool   `help:"Show of each record, here and there, only the best hit."`
}

func (c *sessionsResultsCmd) needs(*App) need { return needStore }

func (c *sessionsResultsCmd) Run(app *App) error {
	format, err := resultFormat(c.Format, c.Out)
	if err != nil {
		return err
	}
	row, err := app.session(c.Session)
	if err != nil {
		return err
	}
	v, err := app.results(row)
	if err == nil {
		v.arrange(c.OneToOne)
	}
	if errors.Is(err, store.ErrState) {
		return withHint(fmt.Errorf("session %s has no results: it is %s", short(row.ID), row.State), "see `symbolon sessions show %s`", short(row.ID))
	}
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := v.writeFile(c.Out, format, c.Force); err != nil {
			return err
		}
		app.say("wrote %s", c.Out)
	}
	return app.print(v, func(w io.Writer) {
		if c.Out != "" {
			fmt.Fprintf(w, "%s\n%s\n", v.count(), notice)
			return
		}
		if c.Format == formatCSV {
			_ = v.writeCSV(w)
			return
		}
		v.writeText(w)
	})
}
