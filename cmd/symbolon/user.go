package main

import (
	"crypto/rand"
	"encoding/hex"
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

type userCmd struct {
	Add        userAddCmd        `cmd:"" help:"Make an operator's key under the operator's own passphrase."`
	List       userListCmd       `cmd:"" help:"List operators."`
	Revoke     userRevokeCmd     `cmd:"" help:"Take an operator's rights, for good."`
	Passphrase userPassphraseCmd `cmd:"" help:"Change an operator's passphrase."`
}

// userView is an operator.
type userView struct {
	Name      string `json:"name"`
	PublicKey string `json:"public_key"`
	Status    string `json:"status"`
	Added     string `json:"added"`
	Revoked   string `json:"revoked,omitempty"`
}

func viewUser(u store.User) userView {
	return userView{Name: u.Name, PublicKey: hex.EncodeToString(u.PublicKey), Status: u.Status, Added: stamp(u.Added), Revoked: stamp(u.Revoked)}
}

type userAddCmd struct {
	Name string `arg:"" help:"The operator's name: a-z, 0-9, dot, underscore, hyphen."`
}

func (c *userAddCmd) needs(*App) need { return needStore | needNewUser }

func (c *userAddCmd) Run(app *App) error {
	if err := keys.CheckUserName(c.Name); err != nil {
		return &usageError{err}
	}
	if _, err := app.store.User(c.Name); err == nil {
		return fmt.Errorf("operator %q: %w", c.Name, store.ErrExists)
	}
	u, err := keys.NewUser(rand.Reader, c.Name)
	if err != nil {
		return err
	}
	path := app.userFile(c.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err = keys.SaveUser(path, u, app.secrets.user, app.workFactor)
	if errors.Is(err, fs.ErrExist) {
		return withHint(err, "the node knows no such operator, so the file is left from an addition that was interrupted: remove it")
	}
	if err != nil {
		return err
	}
	err = app.store.Update(func(tx *store.Tx) error {
		return tx.AddUser(store.User{Name: c.Name, PublicKey: u.PublicKey(), Status: store.StatusActive, Added: time.Now()})
	})
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	row, err := app.store.User(c.Name)
	if err != nil {
		return err
	}
	return app.print(viewUser(row), func(w io.Writer) { fmt.Fprintf(w, "Added operator %s\n", c.Name) })
}

type userListCmd struct{}

func (c *userListCmd) needs(*App) need { return needStore }

func (c *userListCmd) Run(app *App) error {
	all, err := app.store.Users()
	if err != nil {
		return err
	}
	v := struct {
		Users []userView `json:"users"`
	}{[]userView{}}
	var rows [][]string
	for _, u := range all {
		v.Users = append(v.Users, viewUser(u))
		rows = append(rows, []string{u.Name, u.Status, stamp(u.Added)})
	}
	return app.print(v, func(w io.Writer) { table(w, []string{"NAME", "STATUS", "ADDED"}, rows) })
}

type userRevokeCmd struct {
	Name string `arg:"" help:"The operator's name."`
}

func (c *userRevokeCmd) needs(*App) need { return needStore }

func (c *userRevokeCmd) Run(app *App) error {
	if err := app.store.Update(func(tx *store.Tx) error { return tx.RevokeUser(c.Name, time.Now()) }); err != nil {
		return err
	}
	row, err := app.store.User(c.Name)
	if err != nil {
		return err
	}
	return app.print(viewUser(row), func(w io.Writer) { fmt.Fprintf(w, "Revoked operator %s\n", c.Name) })
}

type userPassphraseCmd struct {
	Name              string `arg:"" help:"The operator's name."`
	NewPassphraseFile string `type:"path" placeholder:"FILE" help:"File with the new passphrase (or $$SYMBOLON_NEW_PASSPHRASE, else asked for)."`
}

func (c *userPassphraseCmd) needs(app *App) need {
	app.files.next, app.userName = c.NewPassphraseFile, c.Name
	return needUser | needNext
}

func (c *userPassphraseCmd) Run(app *App) error {
	if err := keys.CheckUserName(c.Name); err != nil {
		return &usageError{err}
	}
	if err := keys.ChangePassphrase(app.userFile(c.Name), app.secrets.user, app.secrets.next, app.workFactor); err != nil {
		return err
	}
	return app.print(changedView{Changed: c.Name}, func(w io.Writer) { fmt.Fprintf(w, "Changed the passphrase of operator %s\n", c.Name) })
}

// changedView names what was changed.
type changedView struct {
	Changed string `json:"changed"`
}
