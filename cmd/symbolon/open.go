package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
)

// lockWait is how long a command waits for another one to finish with the node.
const lockWait = 10 * time.Second

// openStore opens the node's store, or returns a connection to the process that
// has it open.
func (a *App) openStore(alone bool) (net.Conn, error) {
	if _, err := os.Stat(filepath.Join(a.dir, keys.IdentityFile)); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, withHint(usagef("%s is not a node's directory", a.dir), "name one with --dir or $SYMBOLON_DIR, or make one with `symbolon init`")
	}
	for deadline := time.Now().Add(lockWait); ; {
		s, err := store.Open(a.dir)
		if err == nil {
			a.store = s
			return nil, nil
		}
		if !errors.Is(err, store.ErrLocked) {
			return nil, err
		}
		conn, dialErr := dialSocket(a.dir)
		if dialErr == nil && !alone {
			return conn, nil
		}
		if dialErr == nil {
			conn.Close()
			return nil, withHint(fmt.Errorf("the node in %s is running", a.dir), "stop `symbolon serve` first")
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-a.ctx.Done():
			return nil, a.ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// openNode unlocks the identity and starts the node over the open store; change
// may set further options.
func (a *App) openNode(change func(*protocol.Options)) error {
	c, err := loadConfig(a.dir)
	if err != nil {
		return err
	}
	id, err := keys.LoadIdentity(a.dir, a.secrets.node)
	if err != nil {
		return err
	}
	if err := a.adoptIdentity(id); err != nil {
		return err
	}
	o := protocol.Options{
		Identity: id, Store: a.store, Dir: a.dir, Source: sourceFinder(a.dir), Logger: a.logger(),
		Timeouts: c.timeouts(), MaxSessions: c.MaxSessions, MaxLookups: c.MaxLookups, StandingEvery: c.StandingEvery.Duration, Workers: c.Workers, Rand: rand.Reader,
	}
	if change != nil {
		change(&o)
	}
	a.node, err = protocol.NewNode(o)
	return err
}

// adoptIdentity stores the public document of a rotation that was interrupted
// between the key file and the database.
func (a *App) adoptIdentity(id *keys.Identity) error {
	own, err := a.store.OwnIdentities()
	if err != nil {
		return err
	}
	fp := id.Public().Fingerprint().String()
	for _, o := range own {
		if o.Fingerprint == fp {
			return nil
		}
	}
	return a.store.Update(func(tx *store.Tx) error {
		return tx.AddOwnIdentity(store.OwnIdentity{Fingerprint: fp, Identity: id.Public().Bytes(), Added: time.Now()})
	})
}

// close closes what openStore opened.
func (a *App) close() {
	if a.store == nil || a.lent {
		return
	}
	if err := a.store.Close(); err != nil {
		a.say("symbolon: closing the store: %v", err)
	}
}

// ownIdentity is the node's present public identity.
func (a *App) ownIdentity() (*keys.PublicIdentity, error) {
	own, err := a.store.OwnIdentities()
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return nil, errors.New("the node's database has no identity")
	}
	return keys.ParsePublicIdentity(own[len(own)-1].Identity)
}

// onlyUser returns the operator if the node has a key of just one, else "".
func (a *App) onlyUser() string {
	files, err := filepath.Glob(a.userFile("*"))
	if err != nil || len(files) != 1 {
		return ""
	}
	return strings.TrimSuffix(filepath.Base(files[0]), ".age")
}

// userFile is where an operator's sealed key lies.
func (a *App) userFile(name string) string { return filepath.Join(a.dir, "users", name+".age") }

// unlockUser opens the key of the operator that --user names.
func (a *App) unlockUser() (*keys.User, error) {
	if err := keys.CheckUserName(a.userName); err != nil {
		return nil, &usageError{err}
	}
	load := keys.LoadUser
	if a.operators != nil {
		load = a.operators.load
	}
	u, err := load(a.userFile(a.userName), a.secrets.user)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, withHint(fmt.Errorf("operator %q has no key at this node", a.userName), "`symbolon user list` shows the operators")
	case err != nil:
		return nil, fmt.Errorf("operator %q: %w", a.userName, err)
	}
	return u, nil
}

// actor returns the name of the operator if one is given, whose passphrase then
// has to be right, for commands that do without.
func (a *App) actor() (string, error) {
	if a.userName == "" {
		return "", nil
	}
	u, err := a.unlockUser()
	if err != nil {
		return "", err
	}
	row, err := a.store.UserByKey(u.PublicKey())
	if err != nil {
		return "", fmt.Errorf("operator %q: %w", a.userName, err)
	}
	if row.Status != store.StatusActive {
		return "", &protocol.Error{Code: protocol.CodeApproval, Reason: fmt.Sprintf("operator %q is %s", row.Name, row.Status)}
	}
	return u.Name(), nil
}

// actorNeeds is needUser if an operator is given.
func (a *App) actorNeeds() need {
	if a.userName == "" {
		return 0
	}
	return needUser
}
