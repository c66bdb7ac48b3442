package main

import (
	"fmt"
	"io"

	"github.com/symbolon/symbolon/protocol"
)

type fetchCmd struct {
	Now  fetchNowCmd  `cmd:"" default:"withargs" help:"Fetch what is new (the default)."`
	List fetchListCmd `cmd:"" help:"List the filters on this node's disk."`
}

type fetchNowCmd struct {
	Peer      string `placeholder:"NAME" help:"The peer whose filter to fetch."`
	Agreement string `placeholder:"ID" help:"The agreement, by its id or the beginning of it; default the only one in force with the peer that allows lookups."`
}

func (c *fetchNowCmd) needs(*App) need { return needStore | needNode }

func (c *fetchNowCmd) Run(app *App) error {
	if c.Peer == "" && c.Agreement == "" {
		return usagef("--peer or --agreement is required")
	}
	row, _, err := app.agreementWith(c.Peer, c.Agreement, allowsLookup)
	if err != nil {
		return err
	}
	if _, err := app.dialable(row); err != nil {
		return err
	}
	done, err := app.listenWhile()
	if err != nil {
		return err
	}
	defer done()
	p := app.newProgress()
	defer p.done()
	f, err := app.node.Fetch(app.ctx, protocol.FetchRequest{Agreement: row.ID, Progress: p.session})
	p.done()
	if err != nil {
		return err
	}
	v := viewFetched(f)
	return app.print(v, v.write)
}

// filterView is a peer's filter on this node's disk.
type filterView struct {
	Agreement string `json:"agreement"`
	Peer      string `json:"peer"`
	Epoch     uint32 `json:"epoch"`
	Serial    uint64 `json:"serial"`
	// New says that this fetch has brought it, ByDelta that it was made of the
	// one before, Received how many bytes came.
	New         bool    `json:"new"`
	ByDelta     bool    `json:"by_delta"`
	Received    int64   `json:"received_bytes"`
	PaddedKeys  int64   `json:"padded_keys"`
	FilterBytes int64   `json:"filter_bytes"`
	Log2        float64 `json:"false_positive_log2"`
	ValidUntil  string  `json:"valid_until"`
}

func viewFetched(f *protocol.Fetched) *filterView {
	return &filterView{Agreement: f.Agreement, Peer: f.Peer, Epoch: f.Epoch, Serial: f.Serial, New: f.New, ByDelta: f.ByDelta,
		Received: f.Received, PaddedKeys: f.PaddedKeys, FilterBytes: f.FilterBytes, Log2: f.FalsePositiveLog2, ValidUntil: stamp(f.ValidUntil)}
}

// headline says in a sentence what a fetch brought.
func (v *filterView) headline() string {
	if !v.New {
		return fmt.Sprintf("Filter %d of epoch %d of %s is the newest there is", v.Serial, v.Epoch, v.Peer)
	}
	how := "whole"
	if v.ByDelta {
		how = "as a change to the one before"
	}
	return fmt.Sprintf("Fetched filter %d of epoch %d of %s, %s: %s", v.Serial, v.Epoch, v.Peer, how, byteCount(v.Received))
}

func (v *filterView) write(w io.Writer) {
	fmt.Fprintln(w, v.headline())
	fields(w, "Agreement", short(v.Agreement), "Match keys", fmt.Sprintf("%d, padded", v.PaddedKeys), "On disk", byteCount(v.FilterBytes),
		"Wrong hits", fmt.Sprintf("one lookup in 2^%.1f, or fewer", -v.Log2), "Valid until", v.ValidUntil)
}

type fetchListCmd struct {
	Agreement string `placeholder:"ID" help:"Only those under this agreement."`
}

func (c *fetchListCmd) needs(*App) need { return needStore | needNode }

func (c *fetchListCmd) Run(app *App) error {
	id, err := app.agreementID(c.Agreement)
	if err != nil {
		return err
	}
	all, err := app.node.Filters(id)
	if err != nil {
		return err
	}
	v := struct {
		Filters []*filterView `json:"filters"`
	}{[]*filterView{}}
	var rows [][]string
	for i := range all {
		f := viewFetched(&all[i])
		v.Filters = append(v.Filters, f)
		rows = append(rows, []string{short(f.Agreement), f.Peer, fmt.Sprint(f.Epoch), fmt.Sprint(f.Serial), fmt.Sprint(f.PaddedKeys),
			byteCount(f.FilterBytes), f.ValidUntil})
	}
	return app.print(v, func(w io.Writer) {
		table(w, []string{"AGREEMENT", "PEER", "EPOCH", "FILTER", "KEYS", "SIZE", "VALID UNTIL"}, rows)
	})
}
