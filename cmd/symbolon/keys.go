package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
)

type keysCmd struct {
	Rotate     keysRotateCmd     `cmd:"" help:"Replace the identity by a new one that the old one signs."`
	Passphrase keysPassphraseCmd `cmd:"" help:"Change the passphrase of the node."`
}

type keysRotateCmd struct{}

// A running node presents its identity in open connections, so it has to stop.
func (c *keysRotateCmd) needs(*App) need { return needStore | needPassphrase | needAlone }

// rotateView is the result of a rotation.
type rotateView struct {
	identityView
	// Unfinished sessions were sealed under the old identity and start anew.
	Unfinished []string `json:"unfinished_sessions"`
}

func (c *keysRotateCmd) Run(app *App) error {
	old, err := keys.LoadIdentity(app.dir, app.secrets.node)
	if err != nil {
		return err
	}
	if err := app.adoptIdentity(old); err != nil {
		return err
	}
	next, err := old.Rotate(rand.Reader, time.Now())
	if err != nil {
		return err
	}
	if err := keys.ReplaceIdentity(app.dir, next, app.secrets.node, app.workFactor); err != nil {
		return err
	}
	if err := app.adoptIdentity(next); err != nil {
		return err
	}
	waiting, err := app.store.Sessions(store.SessionFilter{States: []string{store.SessionProposed, store.SessionApproved, store.SessionAborted, store.SessionRunning}})
	if err != nil {
		return err
	}
	v := rotateView{identityView: viewIdentity(next.Public()), Unfinished: []string{}}
	for _, s := range waiting {
		v.Unfinished = append(v.Unfinished, s.ID)
	}
	return app.print(v, func(w io.Writer) {
		fmt.Fprintln(w, "The node has a new identity")
		v.identityView.write(w)
		fmt.Fprintln(w, "\nPeers follow by themselves at the next connection that this node opens.")
		fmt.Fprintln(w, "To reach this node first, a peer needs `symbolon identity --out FILE` and `symbolon peer add FILE`.")
		if n := len(v.Unfinished); n > 0 {
			fmt.Fprintf(w, "%d unfinished sessions can't go on under it: start them anew.\n", n)
		}
	})
}

type keysPassphraseCmd struct {
	NewPassphraseFile string `type:"path" placeholder:"FILE" help:"File with the new passphrase (or $$SYMBOLON_NEW_PASSPHRASE, else asked for)."`
}

func (c *keysPassphraseCmd) needs(app *App) need {
	app.files.next = c.NewPassphraseFile
	return needPassphrase | needNext
}

func (c *keysPassphraseCmd) Run(app *App) error {
	path := filepath.Join(app.dir, keys.IdentityFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return usagef("%s is not a node's directory", app.dir)
	}
	if err := keys.ChangePassphrase(path, app.secrets.node, app.secrets.next, app.workFactor); err != nil {
		return err
	}
	return app.print(changedView{Changed: "node"}, func(w io.Writer) { fmt.Fprintln(w, "Changed the passphrase of the node") })
}
