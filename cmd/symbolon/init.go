package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
)

type initCmd struct {
	Name      string `required:"" placeholder:"NAME" help:"The agency's name, as peers will see it."`
	Listen    string `default:":7464" placeholder:"HOST:PORT" help:"Where peers will connect (default ${default})."`
	OpsListen string `default:"127.0.0.1:7465" placeholder:"HOST:PORT" help:"Where health and metrics are served; empty for nowhere (default ${default})."`
}

func (c *initCmd) needs(*App) need { return needNewNode }

// initView is the result of init.
type initView struct {
	Dir string `json:"dir"`
	identityView
}

// Run makes the node in a folder beside the wanted one and moves it there when
// it is complete, so that a failure leaves nothing half-made.
func (c *initCmd) Run(app *App) error {
	if err := c.check(); err != nil {
		return &usageError{err}
	}
	id, err := keys.NewIdentity(rand.Reader, c.Name, time.Now())
	if err != nil {
		return &usageError{err}
	}
	existing, err := emptyDir(app.dir)
	if err != nil {
		return err
	}
	parent := filepath.Dir(app.dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	if existing { // it may be a mount point, which nothing can be moved over
		parent = app.dir
	}
	tmp, err := os.MkdirTemp(parent, ".symbolon-init-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := c.fill(app, tmp, id); err != nil {
		return err
	}
	if existing {
		err = moveInto(tmp, app.dir)
	} else {
		err = os.Rename(tmp, app.dir)
	}
	if err != nil {
		return err
	}
	v := initView{Dir: app.dir, identityView: viewIdentity(id.Public())}
	return app.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "Made a node in %s\n\n", app.dir)
		v.identityView.write(w)
		fmt.Fprintf(w, "\nNext: `symbolon identity --out FILE` for your peers, `symbolon user add NAME` for each operator.\n")
	})
}

func (c *initCmd) check() error {
	for _, a := range []string{c.Listen, c.OpsListen} {
		if _, _, err := net.SplitHostPort(a); err != nil && a != "" {
			return err
		}
	}
	if c.OpsListen == "" {
		return nil
	}
	return checkLoopback(c.OpsListen)
}

// emptyDir reports whether the directory exists; it must be empty then.
func emptyDir(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(entries) > 0 {
		return true, withHint(usagef("%s is not empty", dir), "name a new directory with --dir")
	}
	return true, nil
}

// fill writes everything that a node has.
func (c *initCmd) fill(app *App, dir string, id *keys.Identity) error {
	if err := os.Mkdir(filepath.Join(dir, "users"), 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf(configTemplate, c.Listen, c.OpsListen)
	if _, err := parseConfig(text); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(dir, configFile), []byte(text)); err != nil {
		return err
	}
	s, err := store.Open(dir)
	if err != nil {
		return err
	}
	err = s.Update(func(tx *store.Tx) error {
		return tx.AddOwnIdentity(store.OwnIdentity{
			Fingerprint: id.Public().Fingerprint().String(), Identity: id.Public().Bytes(), Added: time.Now(),
		})
	})
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	return keys.SaveIdentity(dir, id, app.secrets.node, app.workFactor)
}

// moveInto moves what is in from to the directory to, the identity last: a
// directory without one is no node.
func moveInto(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == keys.IdentityFile {
			continue
		}
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return os.Rename(filepath.Join(from, keys.IdentityFile), filepath.Join(to, keys.IdentityFile))
}
