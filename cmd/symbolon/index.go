package main

import (
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

type indexCmd struct {
	Now  indexNowCmd  `cmd:"" default:"withargs" help:"Index the records as they are now (the default)."`
	List indexListCmd `cmd:"" help:"List the indexes of this node."`
}

type indexNowCmd struct {
	offerFlags
	Form      string `placeholder:"FORM" help:"fast or compact: a hundredth of the disk, and a longer search; default as it is, or fast. Another form begins a new epoch."`
	RotateNow bool   `help:"Begin a new epoch now: another order of the slots, after which the peer's keys and handles are of no use."`
}

func (c *indexNowCmd) needs(app *App) need { return needStore | needNode | app.actorNeeds() }

func allowsSearch(a *protocol.Agreement) bool { return a.Allows(psi.ModeSearch) }

func (c *indexNowCmd) check() error {
	if c.Form != "" && c.Form != protocol.FormFast && c.Form != protocol.FormCompact {
		return usagef("--form %q is unknown, want %s or %s", c.Form, protocol.FormFast, protocol.FormCompact)
	}
	return c.offerFlags.check()
}

func (c *indexNowCmd) Run(app *App) error {
	if err := c.check(); err != nil {
		return err
	}
	var x *protocol.SearchIndex
	report, err := c.offer(app, allowsSearch, func(o offer) (err error) {
		x, err = app.node.Index(app.ctx, protocol.IndexRequest{Agreement: o.row.ID, User: o.user, Source: o.source, Form: c.Form,
			RotateNow: c.RotateNow, Progress: o.progress})
		return err
	})
	if err != nil {
		return err
	}
	v := indexView{SearchIndex: x, Input: report}
	if v.Peer, err = app.peerUnder(x.Agreement); err != nil {
		return err
	}
	return app.print(v, v.write)
}

// indexView is a version of an index. Its figures of records and slots are this
// agency's own business; the peer sees the padded number of slots.
type indexView struct {
	*protocol.SearchIndex
	Peer  string          `json:"peer"`
	Input *records.Report `json:"input,omitempty"`
}

func (v indexView) write(w io.Writer) {
	if v.Changed {
		fmt.Fprintf(w, "Index %d of epoch %d for %s under agreement %s\n", v.Serial, v.Epoch, v.Peer, short(v.Agreement))
	} else {
		fmt.Fprintf(w, "Nothing has changed: index %d of epoch %d for %s under agreement %s stands\n", v.Serial, v.Epoch, v.Peer, short(v.Agreement))
	}
	if v.Input != nil {
		fmt.Fprintf(w, "Read: %s\n", v.Input)
	}
	change := ""
	if v.Changed {
		change = fmt.Sprintf("%d slots added, %d altered, %d removed in %.1f s", v.Added, v.Altered, v.Removed, v.Seconds)
	}
	left := ""
	switch {
	case v.Nameless > 0 && v.Cut > 0:
		left = fmt.Sprintf("%s without a name; the last names of %d", plural(int(v.Nameless), "record"), v.Cut)
	case v.Nameless > 0:
		left = plural(int(v.Nameless), "record") + " without a name"
	case v.Cut > 0:
		left = fmt.Sprintf("the last names of %s", plural(int(v.Cut), "record"))
	}
	fields(w,
		"Records", fmt.Sprintf("%d with %d name forms; the peer sees %d slots, padded", v.Records, v.Slots, v.Capacity),
		"Left out", left,
		"Change", change,
		"On disk", fmt.Sprintf("%s, %s", byteCount(v.Bytes), v.Form),
		"Epoch ends", stamp(v.EpochEnds))
}

type indexListCmd struct {
	Agreement string `placeholder:"ID" help:"Only those under this agreement."`
}

func (c *indexListCmd) needs(*App) need { return needStore | needNode }

func (c *indexListCmd) Run(app *App) error {
	id, err := app.agreementID(c.Agreement)
	if err != nil {
		return err
	}
	all, err := app.node.Indexes(id)
	if err != nil {
		return err
	}
	v := struct {
		Indexes []indexView `json:"indexes"`
	}{[]indexView{}}
	var rows [][]string
	for i := range all {
		x := indexView{SearchIndex: &all[i]}
		if x.Peer, err = app.peerUnder(x.Agreement); err != nil {
			return err
		}
		v.Indexes = append(v.Indexes, x)
		rows = append(rows, []string{short(x.Agreement), x.Peer, fmt.Sprint(x.Epoch), fmt.Sprint(x.Serial), x.State, fmt.Sprint(x.Records),
			fmt.Sprint(x.Slots), x.Form, byteCount(x.Bytes), stamp(x.Indexed), stamp(x.EpochEnds)})
	}
	return app.print(v, func(w io.Writer) {
		table(w, []string{"AGREEMENT", "PEER", "EPOCH", "INDEX", "STATE", "RECORDS", "SLOTS", "FORM", "SIZE", "MADE", "EPOCH ENDS"}, rows)
	})
}
