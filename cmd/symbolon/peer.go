package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
)

type peerCmd struct {
	Add     peerAddCmd     `cmd:"" help:"Pin a peer's public identity, or follow its rotation."`
	List    peerListCmd    `cmd:"" help:"List peers."`
	Show    peerShowCmd    `cmd:"" help:"Show a peer and what it has used of its budget."`
	Address peerAddressCmd `cmd:"" help:"Change where a peer's node listens."`
	Revoke  peerRevokeCmd  `cmd:"" help:"End the trust in a peer, at once and for good."`
}

// peerView is a peer. Root names it for good, Fingerprint is the present pin.
type peerView struct {
	Name        string     `json:"name"`
	Agency      string     `json:"agency"`
	Address     string     `json:"address"`
	Status      string     `json:"status"`
	Root        string     `json:"root"`
	Fingerprint string     `json:"fingerprint"`
	Phone       string     `json:"phone"`
	Added       string     `json:"added"`
	Used        *usageView `json:"used_last_24h,omitempty"`
}

// usageView is what a peer has used of its budget in the last 24 hours, in
// items after padding.
type usageView struct {
	ItemsIn  int64 `json:"items_in"`
	ItemsOut int64 `json:"items_out"`
	Sessions int64 `json:"sessions"`
}

func viewPeer(p store.Peer) (peerView, error) {
	id, err := keys.ParsePublicIdentity(p.Identity)
	if err != nil {
		return peerView{}, fmt.Errorf("stored identity of peer %q: %w", p.Name, err)
	}
	return peerView{
		Name: p.Name, Agency: id.Name(), Address: p.Address, Status: p.Status, Root: p.Root,
		Fingerprint: p.Fingerprint, Phone: id.Fingerprint().Phone(), Added: stamp(p.Added),
	}, nil
}

func (v peerView) write(w io.Writer) {
	fields(w, "Peer", v.Name, "Agency", clean(v.Agency), "Address", v.Address, "Status", v.Status,
		"Fingerprint", v.Fingerprint, "On the phone", v.Phone, "Pinned", v.Added)
	if v.Used != nil {
		fields(w, "Last 24 hours", fmt.Sprintf("%d items from the peer, %d from here, %d sessions", v.Used.ItemsIn, v.Used.ItemsOut, v.Used.Sessions))
	}
}

// printPeer prints a peer by its root under a headline.
func (a *App) printPeer(root, headline string, used bool) error {
	p, err := a.store.PeerByRoot(root)
	if err != nil {
		return err
	}
	v, err := viewPeer(p)
	if err != nil {
		return err
	}
	if used {
		u, err := a.store.Usage(root, time.Now())
		if err != nil {
			return err
		}
		v.Used = &usageView{u.ItemsIn, u.ItemsOut, u.Sessions}
	}
	return a.print(v, func(w io.Writer) {
		if headline != "" {
			fmt.Fprintln(w, headline)
		}
		v.write(w)
	})
}

// peer returns the peer that operators call so.
func (a *App) peer(name string) (store.Peer, error) {
	p, err := a.store.PeerByName(name)
	if errors.Is(err, store.ErrNotFound) {
		return p, withHint(usagef("no peer is called %q", name), "`symbolon peer list` shows them")
	}
	return p, err
}

type peerAddCmd struct {
	File        string `arg:"" type:"existingfile" help:"The peer's public identity, from its \"symbolon identity --out\"."`
	Name        string `placeholder:"NAME" help:"What to call the peer here; needed for a new one."`
	Address     string `placeholder:"HOST:PORT" help:"Where its node listens."`
	Fingerprint string `placeholder:"DIGITS" help:"What the peer read on the phone: refuse any other identity."`
}

func (c *peerAddCmd) needs(*App) need { return needStore }

func (c *peerAddCmd) Run(app *App) error {
	raw, err := readBounded(c.File, keys.MaxDocument)
	if err != nil {
		return err
	}
	id, err := keys.ParsePublicIdentity(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err := checkAddress(c.Address); err != nil {
		return err
	}
	if c.Fingerprint != "" && !id.Fingerprint().Matches(c.Fingerprint) {
		return withHint(fmt.Errorf("%w: the identity in %s has another fingerprint", errUnverified, c.File),
			"ask the peer on the phone, at a number you know, and do not trust the file")
	}
	own, err := app.ownIdentity()
	if err != nil {
		return err
	}
	if id.DescendsFrom(own.Fingerprint()) {
		return usagef("%s is this node's own identity", c.File)
	}
	followed, root, err := c.follow(app, id)
	if err != nil {
		return err
	}
	if followed {
		return app.printPeer(root, "The pin has moved to the peer's new identity", false)
	}
	if err := c.pin(app, id); err != nil {
		return err
	}
	headline := "Pinned a new peer"
	if c.Fingerprint == "" {
		headline += ". Read the digits to each other on the phone before you sign anything with it"
	}
	return app.printPeer(id.Fingerprint().String(), headline, false)
}

// follow moves the pin of a peer that has rotated its identity.
func (c *peerAddCmd) follow(app *App, id *keys.PublicIdentity) (bool, string, error) {
	all, err := app.store.Peers()
	if err != nil {
		return false, "", err
	}
	for _, p := range all {
		f, err := keys.ParseFingerprint(p.Fingerprint)
		if err != nil || !id.DescendsFrom(f) || f == id.Fingerprint() {
			continue
		}
		if c.Name != "" && c.Name != p.Name {
			return false, "", usagef("this is the next identity of peer %q, not of a new one", p.Name)
		}
		p, err = protocol.AdoptPeer(app.store, id, time.Now)
		if err == nil && c.Address != "" {
			err = setAddress(app, p.Root, c.Address)
		}
		return true, p.Root, err
	}
	return false, "", nil
}

func (c *peerAddCmd) pin(app *App, id *keys.PublicIdentity) error {
	if c.Name == "" {
		return usagef("a new peer needs --name")
	}
	if keys.CheckUserName(c.Name) != nil {
		return usagef("a peer's name has 1 to 64 of a-z, 0-9, dot, underscore and hyphen")
	}
	return app.store.Update(func(tx *store.Tx) error {
		return tx.AddPeer(store.Peer{
			Fingerprint: id.Fingerprint().String(), Root: id.Fingerprint().String(), Identity: id.Bytes(),
			Name: c.Name, Address: c.Address, Status: store.StatusActive, Added: time.Now(),
		})
	})
}

func checkAddress(address string) error {
	if address == "" {
		return nil
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return usagef("address %q is not host:port", address)
	}
	return nil
}

func setAddress(app *App, root, address string) error {
	return app.store.Update(func(tx *store.Tx) error { return tx.SetPeerAddress(root, address, time.Now()) })
}

type peerListCmd struct{}

func (c *peerListCmd) needs(*App) need { return needStore }

func (c *peerListCmd) Run(app *App) error {
	all, err := app.store.Peers()
	if err != nil {
		return err
	}
	v := struct {
		Peers []peerView `json:"peers"`
	}{[]peerView{}}
	var rows [][]string
	for _, p := range all {
		pv, err := viewPeer(p)
		if err != nil {
			return err
		}
		v.Peers = append(v.Peers, pv)
		rows = append(rows, []string{pv.Name, clean(pv.Agency), pv.Address, pv.Status, short(pv.Fingerprint)})
	}
	return app.print(v, func(w io.Writer) {
		table(w, []string{"NAME", "AGENCY", "ADDRESS", "STATUS", "FINGERPRINT"}, rows)
	})
}

type peerShowCmd struct {
	Name string `arg:"" help:"The peer's name."`
}

func (c *peerShowCmd) needs(*App) need { return needStore }

func (c *peerShowCmd) Run(app *App) error {
	p, err := app.peer(c.Name)
	if err != nil {
		return err
	}
	return app.printPeer(p.Root, "", true)
}

type peerAddressCmd struct {
	Name    string `arg:"" help:"The peer's name."`
	Address string `arg:"" help:"Where its node listens, host:port."`
}

func (c *peerAddressCmd) needs(*App) need { return needStore }

func (c *peerAddressCmd) Run(app *App) error {
	p, err := app.peer(c.Name)
	if err != nil {
		return err
	}
	if err := checkAddress(c.Address); err != nil {
		return err
	}
	if err := setAddress(app, p.Root, c.Address); err != nil {
		return err
	}
	return app.printPeer(p.Root, "", false)
}

type peerRevokeCmd struct {
	Name string `arg:"" help:"The peer's name."`
}

// needs asks for the node only where one runs: its streams must be cut.
func (c *peerRevokeCmd) needs(*App) need { return needStore }

func (c *peerRevokeCmd) Run(app *App) error {
	p, err := app.peer(c.Name)
	if err != nil {
		return err
	}
	if app.node != nil {
		err = app.node.RevokePeer(p.Root)
	} else {
		err = app.store.Update(func(tx *store.Tx) error { return tx.RevokePeer(p.Root, time.Now()) })
	}
	if err != nil {
		return err
	}
	return app.printPeer(p.Root, "The peer is revoked; its sessions have ended", false)
}
