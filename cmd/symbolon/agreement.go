package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
)

type agreementCmd struct {
	Draft       draftCmd            `cmd:"" help:"Write an unsigned agreement with a peer."`
	Show        agreementShowCmd    `cmd:"" help:"Explain an agreement, its limits and its privacy costs."`
	Sign        agreementSignCmd    `cmd:"" help:"Sign a draft."`
	Countersign countersignCmd      `cmd:"" help:"Sign what the peer has signed, and put it in force here."`
	Verify      agreementVerifyCmd  `cmd:"" help:"Check a file's signatures."`
	Import      agreementImportCmd  `cmd:"" help:"Put a countersigned agreement in force here."`
	List        agreementListCmd    `cmd:"" help:"List the agreements of this node."`
	Source      agreementSourceCmd  `cmd:"" help:"Say which data this node puts in under an agreement."`
	Suspend     agreementSuspendCmd `cmd:"" help:"Stop an agreement at once; running sessions end."`
	Resume      agreementResumeCmd  `cmd:"" help:"Lift this side's suspension."`
}

// agreementView is an agreement with what is known of it.
type agreementView struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Peer   string `json:"peer,omitempty"`
	State  string `json:"state"`
	Signed []struct {
		Party string `json:"party"`
		Name  string `json:"name"`
	} `json:"signed"`
	Suspensions []suspensionView `json:"suspensions"`
	// EnumerationDays is, for each rule, how many days trying every value
	// would take under the caps; absent if no number of days suffices.
	EnumerationDays map[string]float64  `json:"enumeration_days,omitempty"`
	Document        *protocol.Agreement `json:"agreement,omitempty"`
}

// suspensionView is one side's stop: by "us" or by "peer".
type suspensionView struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
	At     string `json:"at"`
}

// viewAgreement describes an agreement; full adds the document.
func viewAgreement(s *protocol.SignedAgreement, full bool) agreementView {
	a := s.Agreement
	v := agreementView{ID: a.Hex(), Title: a.Title, State: "draft", Suspensions: []suspensionView{}}
	for _, p := range a.Parties {
		if s.SignedBy(p) {
			v.Signed = append(v.Signed, struct {
				Party string `json:"party"`
				Name  string `json:"name"`
			}{p.Identity, p.Name})
		}
	}
	switch len(v.Signed) {
	case 1:
		v.State = "signed"
	case 2:
		v.State = "countersigned"
	}
	if full {
		v.Document = a
		v.EnumerationDays = map[string]float64{}
		for i := range a.Rules.Rules {
			r := &a.Rules.Rules[i]
			if days := r.EnumerationDays(a.TriesPerDay()); days < 1e15 {
				v.EnumerationDays[r.ID] = days
			}
		}
	}
	return v
}

// stored adds what the node's database says.
func (v *agreementView) stored(row store.Agreement, peer store.Peer) {
	v.Peer, v.State = peer.Name, row.State
	for _, s := range row.Suspensions {
		by := "us"
		if s.By == row.PeerRoot {
			by = "peer"
		}
		v.Suspensions = append(v.Suspensions, suspensionView{by, s.Reason, stamp(s.At)})
	}
}

// agreement finds a stored agreement by a prefix of its id.
func (a *App) agreement(prefix string) (store.Agreement, *protocol.SignedAgreement, error) {
	row, err := a.store.FindAgreement(prefix)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = withHint(usagef("no agreement %q at this node", prefix), "`symbolon agreement list` shows them")
		}
		return row, nil, err
	}
	s, err := protocol.ParseSignedAgreement(row.Document)
	if err != nil {
		return row, nil, fmt.Errorf("stored agreement %s: %w", short(row.ID), err)
	}
	return row, s, nil
}

// agreementWith finds the agreement with a peer: the one named by the beginning
// of its id, or else the only one in force with the peer that fits. With an id
// the peer need not be named.
func (a *App) agreementWith(peerName, prefix string, fits func(*protocol.Agreement) bool) (store.Agreement, *protocol.Agreement, error) {
	var none store.Agreement
	if prefix == "" {
		peer, err := a.peer(peerName)
		if err != nil {
			return none, nil, err
		}
		if prefix, err = a.onlyAgreement(peer, fits); err != nil {
			return none, nil, err
		}
	}
	row, s, err := a.agreement(prefix)
	if err != nil {
		return none, nil, err
	}
	peer, err := a.store.PeerByRoot(row.PeerRoot)
	if err != nil {
		return none, nil, err
	}
	if peerName != "" && peer.Name != peerName {
		if _, err := a.peer(peerName); err != nil {
			return none, nil, err
		}
		return none, nil, usagef("agreement %s is not with peer %q", short(row.ID), peerName)
	}
	return row, s.Agreement, nil
}

// dialable refuses an agreement with a peer whose address is not known.
func (a *App) dialable(row store.Agreement) (store.Peer, error) {
	peer, err := a.store.PeerByRoot(row.PeerRoot)
	if err == nil && peer.Address == "" {
		err = withHint(usagef("peer %q has no address", peer.Name), "give one with `symbolon peer address`")
	}
	return peer, err
}

// onlyAgreement returns the id of the one agreement in force with a peer that
// fits. If none does, but there is only one, the node shall say why it won't do.
func (a *App) onlyAgreement(peer store.Peer, fits func(*protocol.Agreement) bool) (string, error) {
	all, err := a.store.Agreements()
	if err != nil {
		return "", err
	}
	var found, others []string
	for _, row := range all {
		if row.PeerRoot != peer.Root || row.State != store.AgreementInForce {
			continue
		}
		s, err := protocol.ParseSignedAgreement(row.Document)
		if err != nil {
			return "", fmt.Errorf("stored agreement %s: %w", short(row.ID), err)
		}
		if fits(s.Agreement) {
			found = append(found, row.ID)
		} else {
			others = append(others, row.ID)
		}
	}
	if len(found) == 0 && len(others) == 1 {
		found = others
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", withHint(usagef("several agreements with %q are in force", peer.Name), "name one with --agreement")
	case len(others) > 1:
		return "", withHint(usagef("none of the agreements with %q allows this", peer.Name), "`symbolon agreement list` shows them")
	}
	return "", withHint(usagef("no agreement with %q is in force", peer.Name), "see `symbolon agreement list`")
}

// printStored prints a stored agreement in one line, or as JSON.
func (a *App) printStored(id, headline string) error {
	row, s, err := a.agreement(id)
	if err != nil {
		return err
	}
	peer, err := a.store.PeerByRoot(row.PeerRoot)
	if err != nil {
		return err
	}
	v := viewAgreement(s, false)
	v.stored(row, peer)
	return a.print(v, func(w io.Writer) { fmt.Fprintf(w, "%s: agreement %s with %s\n", headline, v.ID, v.Peer) })
}

type agreementShowCmd struct {
	Agreement string `arg:"" help:"A file, or an id or its beginning."`
}

// AfterApply is called by kong. A file need not be in any node's database.
func (c *agreementShowCmd) AfterApply() (err error) {
	c.Agreement, err = fileOrID(c.Agreement)
	return err
}

func (c *agreementShowCmd) needs(*App) need {
	if isPath(c.Agreement) {
		return 0
	}
	return needStore
}

func (c *agreementShowCmd) Run(app *App) error {
	if isPath(c.Agreement) {
		s, err := protocol.ReadAgreementFile(c.Agreement)
		if err != nil {
			return err
		}
		return app.showAgreement(s, viewAgreement(s, true))
	}
	row, s, err := app.agreement(c.Agreement)
	if err != nil {
		return err
	}
	peer, err := app.store.PeerByRoot(row.PeerRoot)
	if err != nil {
		return err
	}
	v := viewAgreement(s, true)
	v.stored(row, peer)
	return app.showAgreement(s, v)
}

func (a *App) showAgreement(s *protocol.SignedAgreement, v agreementView) error {
	return a.print(v, func(w io.Writer) {
		fields(w, "State", v.State, "Peer", v.Peer)
		for _, p := range v.Signed {
			fields(w, "Signed by", clean(p.Name))
		}
		for _, x := range v.Suspensions {
			fields(w, "Suspended", fmt.Sprintf("by %s at %s: %s", x.By, x.At, clean(x.Reason)))
		}
		_ = s.Agreement.WriteText(w)
	})
}

type agreementSignCmd struct {
	File string `arg:"" type:"existingfile" help:"The draft; it is signed in place."`
	Out  string `type:"path" placeholder:"FILE" help:"Write the signed agreement here instead."`
}

func (c *agreementSignCmd) needs(*App) need { return needStore | needNode }

func (c *agreementSignCmd) Run(app *App) error {
	s, err := protocol.ReadAgreementFile(c.File)
	if err != nil {
		return err
	}
	if err := signAgreement(app, s, c.File, c.Out); err != nil {
		return err
	}
	v := viewAgreement(s, false)
	return app.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "Signed agreement %s\nSend the file to the peer, who countersigns it and sends it back.\n", v.ID)
	})
}

// signAgreement adds this node's signature and writes the file.
func signAgreement(app *App, s *protocol.SignedAgreement, file, out string) error {
	a := s.Agreement
	if v := records.NormalisationVersion(); a.Normalisation != v {
		return withHint(fmt.Errorf("agreement: its normalisation is %q, this node's %q", a.Normalisation, v), "bring both nodes to the same release and draft it again")
	}
	if digest, err := records.CanaryKeys(a.Rules); err != nil || digest != a.Canary {
		return withHint(errors.New("agreement: its canary differs: the nodes would derive different keys from the same person"), "bring both nodes to the same release and draft it again")
	}
	if err := s.Sign(app.node.Identity); err != nil {
		return err
	}
	raw, err := s.Marshal()
	if err != nil {
		return err
	}
	if out == "" {
		return writeFile(file, raw, true)
	}
	return writeNew(out, raw)
}

type countersignCmd struct {
	File string `arg:"" type:"existingfile" help:"The agreement that the peer has signed; it is signed in place."`
	Out  string `type:"path" placeholder:"FILE" help:"Write the countersigned agreement here instead."`
}

func (c *countersignCmd) needs(app *App) need { return needStore | needNode | app.actorNeeds() }

func (c *countersignCmd) Run(app *App) error {
	s, err := protocol.ReadAgreementFile(c.File)
	if err != nil {
		return err
	}
	own, ok := s.Agreement.PartyOf(app.node.Identity.Public())
	if !ok {
		return errors.New("agreement: this node is not a party to it")
	}
	if other := s.Agreement.Other(own); !s.SignedBy(other) {
		return fmt.Errorf("%w: %q has to sign first", protocol.ErrUnsigned, other.Name)
	}
	user, err := app.actor()
	if err != nil {
		return err
	}
	if !s.SignedBy(own) { // a second call finishes what the first could not
		if err := signAgreement(app, s, c.File, c.Out); err != nil {
			return err
		}
	}
	if err := app.node.AddAgreement(s, user); err != nil {
		return err
	}
	return app.printStored(s.Agreement.Hex(), "Countersigned and in force here")
}

type agreementVerifyCmd struct {
	File string `arg:"" type:"existingfile" help:"An agreement file."`
}

func (c *agreementVerifyCmd) Run(app *App) error {
	s, err := protocol.ReadAgreementFile(c.File)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnverified, err)
	}
	if err := s.Complete(); err != nil {
		return err
	}
	return app.print(viewAgreement(s, false), func(w io.Writer) {
		fmt.Fprintf(w, "Both signatures hold: agreement %s\n", s.Agreement.Hex())
		for _, sig := range s.Signatures {
			fp := sig.Signer.Fingerprint()
			fields(w, "Signed by", clean(sig.Signer.Name()), "Fingerprint", fp.String(), "On the phone", fp.Phone())
		}
	})
}

type agreementImportCmd struct {
	File string `arg:"" type:"existingfile" help:"A countersigned agreement."`
}

func (c *agreementImportCmd) needs(app *App) need { return needStore | needNode | app.actorNeeds() }

func (c *agreementImportCmd) Run(app *App) error {
	s, err := protocol.ReadAgreementFile(c.File)
	if err != nil {
		return err
	}
	user, err := app.actor()
	if err != nil {
		return err
	}
	if err := app.node.AddAgreement(s, user); err != nil {
		return err
	}
	return app.printStored(s.Agreement.Hex(), "In force")
}

type agreementListCmd struct{}

func (c *agreementListCmd) needs(*App) need { return needStore }

func (c *agreementListCmd) Run(app *App) error {
	all, err := app.store.Agreements()
	if err != nil {
		return err
	}
	v := struct {
		Agreements []agreementView `json:"agreements"`
	}{[]agreementView{}}
	var rows [][]string
	for _, row := range all {
		s, err := protocol.ParseSignedAgreement(row.Document)
		if err != nil {
			return fmt.Errorf("stored agreement %s: %w", short(row.ID), err)
		}
		peer, err := app.store.PeerByRoot(row.PeerRoot)
		if err != nil {
			return err
		}
		av := viewAgreement(s, false)
		av.stored(row, peer)
		v.Agreements = append(v.Agreements, av)
		rows = append(rows, []string{short(row.ID), peer.Name, row.State, s.Agreement.ValidUntil, clean(s.Agreement.Compartment), clean(s.Agreement.Title)})
	}
	return app.print(v, func(w io.Writer) {
		table(w, []string{"AGREEMENT", "PEER", "STATE", "VALID UNTIL", "COMPARTMENT", "TITLE"}, rows)
	})
}

type agreementSuspendCmd struct {
	Agreement string `arg:"" help:"Its id or the beginning of it."`
	Reason    string `required:"" placeholder:"TEXT" help:"Why; it is logged."`
}

func (c *agreementSuspendCmd) needs(app *App) need { return needStore | needNode | app.actorNeeds() }

func (c *agreementSuspendCmd) Run(app *App) error {
	return changeAgreement(app, c.Agreement, "Suspended", func(id, user string) error {
		return app.node.SuspendAgreement(id, user, c.Reason)
	})
}

type agreementResumeCmd struct {
	Agreement string `arg:"" help:"Its id or the beginning of it."`
}

func (c *agreementResumeCmd) needs(app *App) need { return needStore | needNode | app.actorNeeds() }

func (c *agreementResumeCmd) Run(app *App) error {
	return changeAgreement(app, c.Agreement, "Suspension lifted", app.node.ResumeAgreement)
}

func changeAgreement(app *App, prefix, headline string, change func(id, user string) error) error {
	row, _, err := app.agreement(prefix)
	if err != nil {
		return err
	}
	user, err := app.actor()
	if err != nil {
		return err
	}
	if err := change(row.ID, user); err != nil {
		return err
	}
	return app.printStored(row.ID, headline)
}

// partyOf names this node and the peer in an agreement.
func partyOf(name string, f keys.Fingerprint) protocol.Party {
	return protocol.Party{Name: name, Identity: f.String()}
}
