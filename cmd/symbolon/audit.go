package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
)

type auditCmd struct {
	List   auditListCmd   `cmd:"" help:"List log entries."`
	Verify auditVerifyCmd `cmd:"" help:"Verify this node's logs, or an exported bundle offline."`
	Export auditExportCmd `cmd:"" help:"Write entries with their proofs, for a court or a data-protection officer."`
}

// auditFilter is how list and export select entries.
type auditFilter struct {
	Session string `placeholder:"ID" help:"Only those of this session."`
	Case    string `placeholder:"NUMBER" help:"Only those of this case."`
	Event   string `placeholder:"EVENT" help:"Only those of this event, such as finished."`
	By      string `placeholder:"NAME" help:"Only those of this operator."`
	Since   string `placeholder:"TIME" help:"From this time on, RFC 3339 or YYYY-MM-DD."`
	Until   string `placeholder:"TIME" help:"Before this time."`
}

func (f *auditFilter) filter(app *App) (audit.Filter, error) {
	out := audit.Filter{Case: f.Case, User: f.By, Event: f.Event, Session: f.Session}
	if f.Session != "" {
		// The session's row may be gone while its log entries are not.
		row, err := app.store.FindSession(f.Session)
		if err == nil {
			out.Session = row.ID
		} else if len(f.Session) != 64 {
			return out, err
		}
	}
	var err error
	if out.Since, err = parseTime("--since", f.Since); err != nil {
		return out, err
	}
	out.Until, err = parseTime("--until", f.Until)
	return out, err
}

func parseTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%s is neither an RFC 3339 time nor YYYY-MM-DD", flag)
}

// journal is one agreement's log with those who sign its heads.
type journal struct {
	audit.Tree
	peerName  string
	own, peer *keys.PublicIdentity
}

// journals returns the logs of all agreements, or of one.
func (a *App) journals(prefix string) ([]journal, error) {
	rows, err := a.store.Agreements()
	if err != nil {
		return nil, err
	}
	if prefix != "" {
		row, _, err := a.agreement(prefix)
		if err != nil {
			return nil, err
		}
		rows = []store.Agreement{row}
	}
	own, err := a.ownIdentity()
	if err != nil {
		return nil, err
	}
	var out []journal
	for _, row := range rows {
		s, err := protocol.ParseSignedAgreement(row.Document)
		if err != nil {
			return nil, fmt.Errorf("stored agreement %s: %w", short(row.ID), err)
		}
		us, ok := s.Agreement.PartyOf(own)
		if !ok {
			return nil, fmt.Errorf("this node is no party to agreement %s", short(row.ID))
		}
		peer, err := a.store.PeerByRoot(row.PeerRoot)
		if err != nil {
			return nil, err
		}
		id, err := keys.ParsePublicIdentity(peer.Identity)
		if err != nil {
			return nil, fmt.Errorf("stored identity of peer %q: %w", peer.Name, err)
		}
		out = append(out, journal{audit.Tree{Agreement: row.ID, Own: us.Identity, Peer: s.Agreement.Other(us).Identity}, peer.Name, own, id})
	}
	return out, nil
}

type auditListCmd struct {
	Agreement string `placeholder:"ID" help:"Only the log of this agreement."`
	auditFilter
}

func (c *auditListCmd) needs(*App) need { return needStore }

// recordView is a log entry in its place.
type recordView struct {
	Agreement string       `json:"agreement"`
	Index     int64        `json:"index"`
	Erased    bool         `json:"erased"`
	Expires   string       `json:"expires,omitempty"`
	Entry     *audit.Entry `json:"entry,omitempty"`
}

func viewRecord(agreement string, r audit.Record) recordView {
	v := recordView{Agreement: agreement, Index: r.Index, Erased: r.Erased, Expires: stamp(r.Expires)}
	if !r.Erased {
		v.Entry = &r.Entry
	}
	return v
}

func (v recordView) row() []string {
	if v.Erased {
		return []string{short(v.Agreement), fmt.Sprint(v.Index), "", "(erased at the end of its retention)"}
	}
	e := v.Entry
	hits := ""
	if e.Hits != nil {
		hits = fmt.Sprint(*e.Hits)
	}
	return []string{short(v.Agreement), fmt.Sprint(v.Index), stamp(e.Time), e.Event, clean(e.User), clean(e.Case), short(e.Session), e.Mode, e.Outcome, hits}
}

var recordHeader = []string{"AGREEMENT", "NO", "TIME", "EVENT", "OPERATOR", "CASE", "SESSION", "MODE", "OUTCOME", "SHARED"}

func (c *auditListCmd) Run(app *App) error {
	f, err := c.filter(app)
	if err != nil {
		return err
	}
	all, err := app.journals(c.Agreement)
	if err != nil {
		return err
	}
	v := struct {
		Records []recordView `json:"records"`
	}{[]recordView{}}
	var rows [][]string
	for _, j := range all {
		list, err := j.List(app.store.Reader, f)
		if err != nil {
			return err
		}
		for _, r := range list {
			rv := viewRecord(j.Agreement, r)
			v.Records, rows = append(v.Records, rv), append(rows, rv.row())
		}
	}
	return app.print(v, func(w io.Writer) { table(w, recordHeader, rows) })
}

type auditVerifyCmd struct {
	File      string   `arg:"" optional:"" type:"existingfile" help:"A bundle that \"audit export\" wrote; otherwise this node's own logs."`
	Agreement string   `placeholder:"ID" help:"Only the log of this agreement."`
	Trust     []string `placeholder:"FINGERPRINT" help:"Whose bundle it may be: fingerprints of both agencies, known from elsewhere. Default: this node and its peers."`
}

func (c *auditVerifyCmd) needs(*App) need {
	if c.File != "" && len(c.Trust) > 0 {
		return 0 // an inspector has no node
	}
	return needStore
}

func (c *auditVerifyCmd) Run(app *App) error {
	if c.File != "" {
		return c.verifyBundle(app)
	}
	all, err := app.journals(c.Agreement)
	if err != nil {
		return err
	}
	v := struct {
		Logs []logView `json:"logs"`
	}{[]logView{}}
	for _, j := range all {
		var r audit.Report
		err := app.store.View(func(s store.Reader) (err error) {
			r, err = j.VerifyLog(s, time.Now(), j.own.NoteVerifiers(), j.peer.NoteVerifiers())
			return err
		})
		if err != nil {
			return fmt.Errorf("log of agreement %s: %w", short(j.Agreement), err)
		}
		v.Logs = append(v.Logs, logView{j.Agreement, j.peerName, r.Size, r.Root.String(), r.Entries, r.Erased, r.Signed, r.Countersigned, r.PeerSize})
	}
	return app.print(v, func(w io.Writer) {
		for _, l := range v.Logs {
			l.write(w)
		}
		fmt.Fprintf(w, "%d logs verify.\n", len(v.Logs))
	})
}

// logView is a log that verifies. Signed and Countersigned are the sizes of the
// largest heads that this node signed and the peer countersigned, -1 for none;
// PeerSize is how much of the peer's own log this node has countersigned.
type logView struct {
	Agreement     string `json:"agreement"`
	Peer          string `json:"peer"`
	Size          int64  `json:"size"`
	Root          string `json:"root"`
	Entries       int64  `json:"entries"`
	Erased        int64  `json:"erased"`
	Signed        int64  `json:"signed"`
	Countersigned int64  `json:"countersigned"`
	PeerSize      int64  `json:"peer_size"`
}

func (l logView) write(w io.Writer) {
	fields(w, "Agreement", short(l.Agreement), "Peer", l.Peer,
		"Entries", fmt.Sprintf("%d present, %d erased at the end of their retention", l.Entries, l.Erased),
		"Root", l.Root,
		"Countersigned", fmt.Sprintf("by %s up to entry %d of %d", l.Peer, max(l.Countersigned, 0), l.Size))
	fmt.Fprintln(w)
}

// bundleView is what a bundle proves.
type bundleView struct {
	Agreement     string       `json:"agreement"`
	Owner         string       `json:"owner"`
	Peer          string       `json:"peer"`
	Size          int64        `json:"size"`
	Unsigned      int64        `json:"unsigned"`
	Countersigned int64        `json:"countersigned"`
	Records       []recordView `json:"records"`
}

func (c *auditVerifyCmd) verifyBundle(app *App) error {
	raw, err := readBounded(c.File, 1<<30)
	if err != nil {
		return err
	}
	trusted := c.Trust
	if len(trusted) == 0 {
		if trusted, err = app.trusted(); err != nil {
			return err
		}
	}
	b, err := audit.VerifyBundle(raw, identify, trusted...)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", c.File, errUnverified, err)
	}
	v := bundleView{Agreement: b.Agreement, Owner: b.Own, Peer: b.Peer, Size: b.Size, Unsigned: b.Unsigned, Countersigned: b.Countersigned, Records: []recordView{}}
	var rows [][]string
	for _, r := range b.Records {
		rv := viewRecord(b.Agreement, r.Record)
		v.Records, rows = append(v.Records, rv), append(rows, rv.row())
	}
	return app.print(v, func(w io.Writer) {
		fields(w, "Agreement", v.Agreement, "Log of", v.Owner, "Peer", v.Peer, "Size", fmt.Sprint(v.Size),
			"Countersigned", fmt.Sprintf("by the peer up to entry %d", max(v.Countersigned, 0)))
		table(w, recordHeader, rows)
		fmt.Fprintln(w, "\nThe bundle verifies: these entries stood in the log of that agency. It does not prove that no others were left out.")
	})
}

// trusted are the fingerprints that this node knows: its own and its peers'.
func (a *App) trusted() ([]string, error) {
	own, err := a.store.OwnIdentities()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, o := range own {
		out = append(out, o.Fingerprint)
	}
	peers, err := a.store.Peers()
	for _, p := range peers {
		out = append(out, p.Root, p.Fingerprint)
	}
	return out, err
}

// identify reads an identity document of a bundle.
func identify(document []byte) (audit.Identity, error) {
	id, err := keys.ParsePublicIdentity(document)
	if err != nil {
		return nil, err
	}
	return bundleIdentity{id}, nil
}

type bundleIdentity struct{ *keys.PublicIdentity }

func (b bundleIdentity) DescendsFrom(fingerprint string) bool {
	f, err := keys.ParseFingerprint(strings.ToLower(fingerprint))
	return err == nil && b.PublicIdentity.DescendsFrom(f)
}

type auditExportCmd struct {
	Agreement string `required:"" placeholder:"ID" help:"The agreement whose log it is."`
	Out       string `required:"" type:"path" placeholder:"FILE" help:"Where to write the bundle."`
	Force     bool   `help:"Replace the file if it exists."`
	auditFilter
}

func (c *auditExportCmd) needs(*App) need { return needStore }

func (c *auditExportCmd) Run(app *App) error {
	f, err := c.filter(app)
	if err != nil {
		return err
	}
	all, err := app.journals(c.Agreement)
	if err != nil {
		return err
	}
	if len(all) != 1 {
		return errors.New("no such log")
	}
	j := all[0]
	var raw []byte
	err = app.store.View(func(s store.Reader) (err error) {
		raw, err = j.Export(s, f, j.own.Bytes(), j.peer.Bytes())
		return err
	})
	if err != nil {
		return err
	}
	if err := writeFile(c.Out, raw, c.Force); err != nil {
		return err
	}
	v := struct {
		Agreement string `json:"agreement"`
		Out       string `json:"out"`
		Bytes     int    `json:"bytes"`
	}{j.Agreement, c.Out, len(raw)}
	return app.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "Wrote %s. `symbolon audit verify` checks it anywhere.\n", c.Out)
	})
}
