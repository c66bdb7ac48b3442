package main

import (
	"fmt"
	"io"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

type publishCmd struct {
	Now  publishNowCmd  `cmd:"" default:"withargs" help:"Publish the records as they are now (the default)."`
	List publishListCmd `cmd:"" help:"List what this node has published and what answers."`
}

type publishNowCmd struct {
	offerFlags
	RotateNow bool `help:"Begin a new epoch with a new key now, such as to withdraw a person; the old one answers until its overlap ends."`
	NoOverlap bool `help:"With --rotate-now: end the old epoch at once and destroy its key."`
}

func (c *publishNowCmd) needs(app *App) need { return needStore | needNode | app.actorNeeds() }

func (c *publishNowCmd) check() error {
	if c.NoOverlap && !c.RotateNow {
		return usagef("--no-overlap goes with --rotate-now")
	}
	return c.offerFlags.check()
}

// offerFlags are the records that an agency lets a peer ask for.
type offerFlags struct {
	Peer        string         `placeholder:"NAME" help:"The peer that may ask."`
	Agreement   string         `placeholder:"ID" help:"The agreement, by its id or the beginning of it; default the only one in force with the peer that allows it."`
	Data        string         `placeholder:"FILE|URL" help:"The records: CSV, JSON Lines, SQLite or postgres://; default the configured source."`
	Mapping     string         `type:"path" placeholder:"FILE" help:"Which column feeds which field."`
	Compartment string         `placeholder:"WORD" help:"The compartment of --data; default the agreement's."`
	Reference   string         `default:"source_ref" placeholder:"WHICH" help:"What a hit shows of a record: source_ref or id (default ${default})."`
	Contact     string         `placeholder:"TEXT" help:"With --data: whom to call about a hit."`
	Text        string         `placeholder:"TEXT" help:"With --data: further text that a hit shows."`
	OnBadRow    records.Policy `default:"fail" placeholder:"POLICY" help:"What to do with a row that has a bad value: fail, skip, or keep it without the value."`
}

// AfterApply is called by kong.
func (c *offerFlags) AfterApply() (err error) {
	c.Data, err = absolute(c.Data)
	return err
}

func (c *offerFlags) check() error {
	if c.Peer == "" && c.Agreement == "" {
		return usagef("--peer or --agreement is required")
	}
	if c.Data == "" && (c.Contact != "" || c.Text != "" || c.Mapping != "" || c.Compartment != "") {
		return withHint(usagef("--contact, --text, --mapping and --compartment go with --data"), "what is configured has its own: see %s", configFile)
	}
	if err := checkLabel(c.Contact, c.Text); err != nil {
		return &usageError{err}
	}
	return nil
}

// open opens the records that are offered under an agreement.
func (c *offerFlags) open(app *App, row store.Agreement) (protocol.Source, error) {
	src, err := app.openData(row, dataFlags{c.Data, c.Mapping, c.Compartment, c.Reference, c.OnBadRow})
	if err == nil && c.Data != "" {
		src.Contact, src.Text = c.Contact, c.Text
	}
	return src, err
}

// offer is what is ready to be offered.
type offer struct {
	row      store.Agreement
	user     *keys.User // nil: nobody in particular
	source   protocol.Source
	progress func(protocol.Progress)
}

// offer opens the records under an agreement that allows it, lets do make
// something of them, and returns what reading them found.
func (c *offerFlags) offer(app *App, allows func(*protocol.Agreement) bool, do func(offer) error) (*records.Report, error) {
	row, _, err := app.agreementWith(c.Peer, c.Agreement, allows)
	if err != nil {
		return nil, err
	}
	src, err := c.open(app, row)
	if err != nil {
		return nil, err
	}
	user, err := app.optionalUser()
	if err != nil {
		return nil, err
	}
	done, err := app.listenWhile()
	if err != nil {
		return nil, err
	}
	defer done()
	p := app.newProgress()
	defer p.done()
	var report *records.Report
	src.Read.Progress = func(rows int64) { p.update("reading", int(rows), 0) }
	src.Report = func(r *records.Report) { report = r }
	err = do(offer{row, user, src, p.session})
	return report, err
}

func (c *publishNowCmd) Run(app *App) error {
	if err := c.check(); err != nil {
		return err
	}
	var pub *protocol.Publication
	report, err := c.offer(app, allowsLookup, func(o offer) (err error) {
		pub, err = app.node.Publish(app.ctx, protocol.PublishRequest{Agreement: o.row.ID, User: o.user, Source: o.source,
			RotateNow: c.RotateNow, NoOverlap: c.NoOverlap, Progress: o.progress})
		return explainPublish(err)
	})
	if err != nil {
		return err
	}
	v := viewPublication(pub)
	v.Input = report
	if v.Peer, err = app.peerUnder(pub.Agreement); err != nil {
		return err
	}
	return app.print(v, v.write)
}

func allowsLookup(a *protocol.Agreement) bool { return a.Allows(psi.ModeLookup) }

// optionalUser unlocks the operator if one is given.
func (a *App) optionalUser() (*keys.User, error) {
	if a.userName == "" {
		return nil, nil
	}
	return a.unlockUser()
}

// listenWhile lets other commands in while a long one runs.
func (a *App) listenWhile() (stop func(), err error) {
	if a.lent {
		return func() {}, nil
	}
	socket, err := a.listen()
	if err != nil {
		return nil, err
	}
	return func() { socket.stop(a.ctx) }, nil
}

// explainPublish adds to a refusal what may be done about it.
func explainPublish(err error) error {
	if at := retryAfter(err); !at.IsZero() {
		return withHint(err, "the agreement's schedule allows the next version at %s; --rotate-now does not wait for it", stamp(at))
	}
	return err
}

// publicationView is a published version of a filter. Records, keys and what was
// computed are this agency's own business; peers see the padded number of keys.
type publicationView struct {
	Agreement   string `json:"agreement"`
	Peer        string `json:"peer"`
	Epoch       uint32 `json:"epoch"`
	Serial      uint64 `json:"serial"`
	State       string `json:"state"` // current, overlap or ended
	Changed     bool   `json:"changed"`
	Records     int64  `json:"records"`
	Keys        int64  `json:"keys"`
	PaddedKeys  int64  `json:"padded_keys"`
	Cut         int64  `json:"cut_records"` // with more keys than the rules allow
	Computed    int64  `json:"computed_keys"`
	FilterBytes int64  `json:"filter_bytes"`
	DeltaBytes  int64  `json:"delta_bytes"`
	Created     string `json:"created"`
	EpochEnds   string `json:"epoch_ends"`
	ValidUntil  string `json:"valid_until"`
	NextDue     string `json:"next_due,omitempty"`
	// CPU is what this version took, RotationCPU what a rotation of the keys of
	// all agreements takes, in seconds of one processor.
	CPU         float64         `json:"cpu_s"`
	RotationCPU float64         `json:"rotation_cpu_s"`
	Input       *records.Report `json:"input,omitempty"`
}

func viewPublication(p *protocol.Publication) *publicationView {
	return &publicationView{Agreement: p.Agreement, Epoch: p.Epoch, Serial: p.Serial, State: p.State, Changed: p.Changed,
		Records: p.Records, Keys: p.Keys, PaddedKeys: p.PaddedKeys, Cut: p.Cut, Computed: p.Computed, FilterBytes: p.FilterBytes, DeltaBytes: p.DeltaBytes,
		Created: stamp(p.Created), EpochEnds: stamp(p.EpochEnds), ValidUntil: stamp(p.ValidUntil), NextDue: stamp(p.NextDue),
		CPU: p.CPUSeconds, RotationCPU: p.RotationCPUSeconds}
}

// write shows what publishing did.
func (v *publicationView) write(w io.Writer) {
	if v.Changed {
		fmt.Fprintf(w, "Published filter %d of epoch %d for %s under agreement %s\n", v.Serial, v.Epoch, v.Peer, short(v.Agreement))
	} else {
		fmt.Fprintf(w, "Nothing has changed: filter %d of epoch %d for %s under agreement %s stands\n", v.Serial, v.Epoch, v.Peer, short(v.Agreement))
	}
	if v.Input != nil {
		fmt.Fprintf(w, "Read: %s\n", v.Input)
	}
	size := byteCount(v.FilterBytes)
	if v.DeltaBytes > 0 {
		size += fmt.Sprintf(", %s for peers that have the one before", byteCount(v.DeltaBytes))
	}
	computed := ""
	if v.Changed {
		computed = fmt.Sprintf("%d match keys in %.2f s of CPU", v.Computed, v.CPU)
	}
	cut := ""
	if v.Cut > 0 {
		cut = fmt.Sprintf("%s more match keys than the rules allow for one record: not all of them are in the filter", plural(int(v.Cut), "record has", "records have"))
	}
	next := ""
	if v.NextDue != v.Created { // there is a schedule
		next = v.NextDue + " at the earliest, by the agreement's schedule"
	}
	fields(w,
		"Records", fmt.Sprintf("%d with %d match keys; the peer sees %d, padded", v.Records, v.Keys, v.PaddedKeys),
		"Cut", cut,
		"Computed", computed,
		"Filter", size,
		"Epoch ends", fmt.Sprintf("%s; its key answers until %s and is destroyed then", v.EpochEnds, v.ValidUntil),
		"Next version", next,
		"Rotation", fmt.Sprintf("of the keys of all agreements: %.2f s of CPU", v.RotationCPU))
}

type publishListCmd struct {
	Agreement string `placeholder:"ID" help:"Only those under this agreement."`
	All       bool   `help:"Every version, not only the newest of each epoch."`
}

func (c *publishListCmd) needs(*App) need { return needStore | needNode }

func (c *publishListCmd) Run(app *App) error {
	id, err := app.agreementID(c.Agreement)
	if err != nil {
		return err
	}
	all, err := app.node.Publications(id)
	if err != nil {
		return err
	}
	v := struct {
		Publications []*publicationView `json:"publications"`
	}{[]*publicationView{}}
	var rows [][]string
	type epoch struct {
		agreement string
		number    uint32
	}
	newest := map[epoch]bool{}
	for i := range all { // the newest first
		if of := (epoch{all[i].Agreement, all[i].Epoch}); newest[of] && !c.All {
			continue
		} else {
			newest[of] = true
		}
		p := viewPublication(&all[i])
		if p.Peer, err = app.peerUnder(p.Agreement); err != nil {
			return err
		}
		v.Publications = append(v.Publications, p)
		rows = append(rows, []string{short(p.Agreement), p.Peer, fmt.Sprint(p.Epoch), fmt.Sprint(p.Serial), p.State,
			fmt.Sprint(p.Records), fmt.Sprint(p.Keys), byteCount(p.FilterBytes), p.Created, p.EpochEnds, p.ValidUntil})
	}
	return app.print(v, func(w io.Writer) {
		table(w, []string{"AGREEMENT", "PEER", "EPOCH", "FILTER", "STATE", "RECORDS", "KEYS", "SIZE", "PUBLISHED", "EPOCH ENDS", "ANSWERS UNTIL"}, rows)
	})
}

// agreementID completes the beginning of an agreement's id; "" stays.
func (a *App) agreementID(prefix string) (string, error) {
	if prefix == "" {
		return "", nil
	}
	row, _, err := a.agreement(prefix)
	return row.ID, err
}

// peerUnder names the peer of an agreement.
func (a *App) peerUnder(agreement string) (string, error) {
	row, err := a.store.Agreement(agreement)
	if err != nil {
		return "", err
	}
	peer, err := a.store.PeerByRoot(row.PeerRoot)
	return peer.Name, err
}

// byteCount formats a size for people.
func byteCount(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// until says how long it is to a time, for people.
func until(at time.Time) string {
	left := time.Until(at)
	if left <= 0 {
		return "now"
	}
	return "in " + left.Round(time.Second).String()
}
