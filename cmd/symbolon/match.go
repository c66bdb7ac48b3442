package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

type matchCmd struct {
	Peer        string         `placeholder:"NAME" help:"The peer to match with."`
	Agreement   string         `placeholder:"ID" help:"The agreement, by its id or the beginning of it; default the only one in force with the peer."`
	Data        string         `placeholder:"FILE|URL" help:"The records: CSV, JSON Lines, SQLite or postgres://; default the configured source."`
	Mapping     string         `type:"path" placeholder:"FILE" help:"Which column feeds which field."`
	Compartment string         `placeholder:"WORD" help:"The compartment of --data; default the agreement's."`
	Mode        psi.Mode       `placeholder:"MODE" help:"intersection, mutual or cardinality; default the agreement's first."`
	Purpose     string         `placeholder:"TEXT" help:"Why; both sides log it. Required."`
	Case        string         `placeholder:"NUMBER" help:"The case number; both sides log it. Required."`
	Out         string         `type:"path" placeholder:"FILE" help:"Write the hits here, CSV or JSON; otherwise they are shown."`
	Format      string         `placeholder:"FORMAT" help:"csv or json; default by the file's extension."`
	Force       bool           `help:"Replace the file if it exists."`
	OnBadRow    records.Policy `default:"fail" placeholder:"POLICY" help:"What to do with a row that has a bad value: fail, skip, or keep it without the value."`
	Reference   string         `default:"source_ref" placeholder:"WHICH" help:"What the peer sees of a hit where it learns of hits: source_ref or id (default ${default})."`
	OneToOne    bool           `help:"Show of each record, here and there, only the best hit; all are stored."`
	Wait        bool           `help:"Wait while an approval is missing, instead of exit code 3."`
	Poll        time.Duration  `hidden:"" default:"5s" help:"How often --wait asks the peer."`
	Resume      string         `placeholder:"ID" help:"Go on with a session that waited or was cut off: its id, the beginning of it, or last."`
}

func (c *matchCmd) needs(app *App) need {
	if c.Resume != "" {
		return needStore | needNode
	}
	return needStore | needNode | needUser
}

// AfterApply is called by kong.
func (c *matchCmd) AfterApply() (err error) {
	c.Data, err = absolute(c.Data)
	return err
}

// matchView is the result of a session. Hits are in the file instead where one
// is written.
type matchView struct {
	Notice string `json:"notice"`
	*protocol.Outcome
	Out     string `json:"out,omitempty"`
	LeftOut int    `json:"left_out,omitempty"` // by --one-to-one
	// Input counts what became of the rows read.
	Input *records.Report `json:"input,omitempty"`
}

// sessionError is the failure of a session that is stored.
type sessionError struct {
	session string
	err     error
	again   bool // it may be resumed
}

func (e *sessionError) Error() string {
	var pending *protocol.PendingError
	if errors.As(e.err, &pending) {
		return e.err.Error()
	}
	return fmt.Sprintf("session %s: %v", short(e.session), e.err)
}
func (e *sessionError) Unwrap() error { return e.err }

func (c *matchCmd) check() error {
	if c.Resume == "" {
		for _, f := range []struct{ flag, value string }{{"--peer", c.Peer}, {"--purpose", c.Purpose}, {"--case", c.Case}} {
			if f.value == "" {
				return usagef("%s is required", f.flag)
			}
		}
	} else if c.Peer != "" || c.Agreement != "" || c.Mode != "" || c.Purpose != "" || c.Case != "" {
		return usagef("--resume goes on with what was proposed: leave out --peer, --agreement, --mode, --purpose and --case")
	}
	if c.Poll <= 0 {
		return usagef("--poll is not above zero")
	}
	if c.Out == "" {
		return nil
	}
	return checkNew(c.Out, c.Force) // before a session is spent
}

func (c *matchCmd) Run(app *App) error {
	if err := c.check(); err != nil {
		return err
	}
	format, err := resultFormat(c.Format, c.Out)
	if err != nil {
		return err
	}
	if !app.lent { // others may approve or look while this runs
		socket, err := app.listen()
		if err != nil {
			return err
		}
		defer socket.stop(app.ctx)
	}
	p := app.newProgress()
	defer p.done()
	var report *records.Report
	session, src, err := c.begin(app, p)
	if err != nil {
		return err
	}
	src.Read.Progress = func(rows int64) { p.update("reading", int(rows), 0) }
	src.Report = func(r *records.Report) { report = r }
	out, err := c.run(app, session, src, p)
	p.done()
	if err != nil {
		return c.explain(app, session, err)
	}
	return c.finish(app, out, report, format)
}

// begin finds or proposes the session and opens its records.
func (c *matchCmd) begin(app *App, p *progress) (string, protocol.Source, error) {
	var src protocol.Source
	if c.Resume != "" {
		row, err := app.session(c.Resume)
		if err != nil {
			return "", src, err
		}
		agreement, _, err := app.agreement(row.Agreement)
		if err != nil {
			return "", src, err
		}
		src, err = c.source(app, agreement)
		return row.ID, src, err
	}
	agreement, mode, err := c.choose(app)
	if err != nil {
		return "", src, err
	}
	if src, err = c.source(app, agreement); err != nil {
		return "", src, err
	}
	user, err := app.unlockUser()
	if err != nil {
		return "", src, err
	}
	session, err := app.node.Propose(app.ctx, protocol.Request{
		Agreement: agreement.ID, Mode: mode, User: user, Purpose: c.Purpose, Case: c.Case, Source: src, Progress: p.session,
	})
	return session, src, err
}

// choose finds the agreement and the mode.
func (c *matchCmd) choose(app *App) (store.Agreement, psi.Mode, error) {
	row, a, err := app.agreementWith(c.Peer, c.Agreement, func(a *protocol.Agreement) bool {
		return len(a.SessionModes()) > 0 && (c.Mode == "" || a.Allows(c.Mode))
	})
	if err != nil {
		return row, "", err
	}
	if _, err := app.dialable(row); err != nil {
		return row, "", err
	}
	switch modes := a.SessionModes(); {
	case c.Mode != "":
		return row, c.Mode, nil
	case len(modes) == 0:
		return row, "", withHint(usagef("agreement %s allows no sessions", short(row.ID)), "it allows `symbolon lookup`")
	default:
		return row, modes[0], nil
	}
}

// source opens --data, or what is configured for the agreement.
func (c *matchCmd) source(app *App, row store.Agreement) (protocol.Source, error) {
	return app.openData(row, dataFlags{c.Data, c.Mapping, c.Compartment, c.Reference, c.OnBadRow})
}

// run runs the session, again and again while it waits for an approval if that
// was asked for.
func (c *matchCmd) run(app *App, session string, src protocol.Source, p *progress) (*protocol.Outcome, error) {
	for told := false; ; {
		out, err := app.node.Run(app.ctx, session, protocol.RunOptions{Source: src, Progress: p.session})
		var pending *protocol.PendingError
		if !errors.As(err, &pending) || !c.Wait {
			return out, err
		}
		if !told {
			told = true
			p.done()
			app.say("%v; waiting", pending)
		}
		p.update("waiting for approval", 0, 0)
		if err := c.pause(app.ctx, pending); err != nil {
			return nil, err
		}
	}
}

// pause waits until it is worth trying again.
func (c *matchCmd) pause(ctx context.Context, pending *protocol.PendingError) error {
	wait := c.Poll
	if !pending.AtPeer {
		wait = min(wait, time.Second) // our own store costs nothing to ask
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// explain adds the session to its failure, and whether it can go on.
func (c *matchCmd) explain(app *App, session string, err error) error {
	e := &sessionError{session: session, err: err}
	row, lookup := app.store.Session(session)
	if lookup == nil {
		e.again = row.State == store.SessionApproved || row.State == store.SessionAborted && row.Attempts < protocol.MaxAttempts
	}
	code := exitCode(err)
	if e.again && (code == exitUnreachable || code == exitInterrupted) {
		hint := "go on with `symbolon match --resume " + short(session) + "`"
		if errors.Is(err, protocol.ErrUnreachable) {
			hint = hintFor(err) + "; then " + hint
		}
		return withHint(e, "%s", hint)
	}
	return e
}

// finish writes and tells the result.
func (c *matchCmd) finish(app *App, out *protocol.Outcome, report *records.Report, format string) error {
	r := &resultsView{Notice: notice, Session: out.Session, Agreement: out.Agreement, Peer: out.Peer,
		Mode: string(out.Mode), Count: int64(out.Count), Hits: out.Hits}
	r.arrange(c.OneToOne)
	out.Hits = r.Hits
	if c.Out != "" {
		if err := r.writeFile(c.Out, format, c.Force); err != nil {
			return withHint(err, "the hits are stored: `symbolon sessions results %s --out FILE`", short(out.Session))
		}
	}
	return app.print(matchView{Notice: notice, Outcome: out, Out: c.Out, LeftOut: r.LeftOut, Input: report}, func(w io.Writer) {
		fmt.Fprintf(w, "Session %s with %s, %s as %s\n", short(out.Session), out.Peer, out.Mode, out.Role)
		if report != nil {
			fmt.Fprintf(w, "Read: %s\n", report)
		}
		fmt.Fprintf(w, "Here: %d records, %d match keys, %d items sent after padding; the peer: %d items\n", out.Records, out.Keys, out.Items, out.PeerItems)
		fmt.Fprintf(w, "Wire: %d bytes sent, %d received, %.1f s\n", out.Sent.Bytes, out.Got.Bytes, out.Seconds)
		if !out.Signed {
			fmt.Fprintln(w, "The connection ended before the peer's signature came: the result stands, the log says so.")
		}
		switch {
		case out.Count < 0:
			fmt.Fprintln(w, "This side learns nothing in this mode.")
			return
		case out.Mode == psi.ModeCardinality:
			fmt.Fprintf(w, "%d match keys are shared.\n", out.Count)
			return
		}
		fmt.Fprintf(w, "%d match keys are shared; %s\n", out.Count, r.count())
		if c.Out != "" {
			fmt.Fprintf(w, "Wrote %s\n%s\n", c.Out, notice)
			return
		}
		fmt.Fprintln(w)
		r.writeText(w)
	})
}
