package store

import (
	"database/sql"
	"fmt"
	"time"
)

// Status of a peer or user. Revocation is final.
const (
	StatusActive  = "active"
	StatusRevoked = "revoked"
)

// OwnIdentity is one of this node's public identity documents.
type OwnIdentity struct {
	Fingerprint string
	Identity    []byte
	Added       time.Time
}

// AddOwnIdentity keeps a public document of this node, the first at init, the
// next at each rotation. It returns ErrExists for a known fingerprint.
func (tx *Tx) AddOwnIdentity(o OwnIdentity) error {
	if err := checkID("own fingerprint", o.Fingerprint); err != nil {
		return err
	}
	n, err := tx.exec("adding own identity", `INSERT INTO own_identities VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		o.Fingerprint, o.Identity, millis(o.Added))
	if err == nil && n == 0 {
		err = wrap("own identity "+short(o.Fingerprint), ErrExists)
	}
	return err
}

// OwnIdentities returns this node's documents, the oldest first: its
// fingerprint is the root that peers know the node by.
func (r Reader) OwnIdentities() ([]OwnIdentity, error) {
	return list(r, "own identities", func(rows *sql.Rows) (o OwnIdentity, err error) {
		return o, rows.Scan(&o.Fingerprint, &o.Identity, timeVar{&o.Added})
	}, `SELECT fingerprint, identity, added FROM own_identities ORDER BY rowid`)
}

// Peer is another agency's node.
type Peer struct {
	// Root is the fingerprint pinned first. It names the peer for good:
	// agreements, sessions and budgets refer to it, so that a rotation changes
	// none of them.
	Root string
	// Fingerprint and Identity are the current pin.
	Fingerprint string
	Identity    []byte
	// Name is what operators call the peer, Address where its node listens.
	Name, Address string
	Status        string
	Added         time.Time
	Changed       time.Time
}

// Pin is one identity that a peer has or had.
type Pin struct {
	Fingerprint string
	Identity    []byte
	Added       time.Time
}

const peerColumns = `SELECT root, fingerprint, name, identity, address, status, added, changed FROM peers `

func scanPeer(rows *sql.Rows) (p Peer, err error) {
	return p, rows.Scan(&p.Root, &p.Fingerprint, &p.Name, &p.Identity, &p.Address, &p.Status,
		timeVar{&p.Added}, timeVar{&p.Changed})
}

// AddPeer pins a new peer, whose Root is its Fingerprint, active since
// p.Added. It returns ErrExists when the name is taken or the fingerprint is or
// was pinned: a revoked peer comes back with a new identity only.
func (tx *Tx) AddPeer(p Peer) error {
	if err := checkID("peer fingerprint", p.Fingerprint); err != nil {
		return err
	}
	if p.Root != "" && p.Root != p.Fingerprint {
		return fmt.Errorf("store: a new peer's root is its own fingerprint, got another")
	}
	if p.Name == "" {
		return fmt.Errorf("store: peer has no name")
	}
	const what = "adding peer"
	for _, q := range []struct{ what, sql, arg string }{
		{"peer name " + quote(p.Name), `SELECT 1 FROM peers WHERE name = ?`, p.Name},
		{"peer identity " + short(p.Fingerprint), `SELECT 1 FROM peer_pins WHERE fingerprint = ?`, p.Fingerprint},
		{"own identity " + short(p.Fingerprint), `SELECT 1 FROM own_identities WHERE fingerprint = ?`, p.Fingerprint},
	} {
		if taken, err := tx.exists(what, q.sql, q.arg); err != nil {
			return err
		} else if taken {
			return wrap(q.what, ErrExists)
		}
	}
	_, err := tx.exec(what, `INSERT INTO peers (root, fingerprint, name, identity, address, status, added, changed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, p.Fingerprint, p.Fingerprint, p.Name, p.Identity, p.Address,
		StatusActive, millis(p.Added), millis(p.Added))
	if err != nil {
		return err
	}
	return tx.addPin(p.Fingerprint, p.Fingerprint, p.Identity, p.Added)
}

func (tx *Tx) addPin(root, fingerprint string, identity []byte, at time.Time) error {
	_, err := tx.exec("pinning peer", `INSERT INTO peer_pins (fingerprint, root, identity, added) VALUES (?, ?, ?, ?)`,
		fingerprint, root, identity, millis(at))
	return err
}

// PeerByName returns the peer operators call so.
func (r Reader) PeerByName(name string) (Peer, error) {
	return one(r, "peer "+quote(name), scanPeer, peerColumns+`WHERE name = ?`, name)
}

// PeerByRoot returns the peer that was pinned first with this fingerprint.
func (r Reader) PeerByRoot(root string) (Peer, error) {
	return one(r, "peer "+short(root), scanPeer, peerColumns+`WHERE root = ?`, root)
}

// PeerByFingerprint returns the peer whose current pin this is, revoked or
// not. A fingerprint that a rotation has replaced is ErrNotFound.
func (r Reader) PeerByFingerprint(fingerprint string) (Peer, error) {
	return one(r, "peer "+short(fingerprint), scanPeer, peerColumns+`WHERE fingerprint = ?`, fingerprint)
}

// Peers returns all peers by name.
func (r Reader) Peers() ([]Peer, error) {
	return list(r, "peers", scanPeer, peerColumns+`ORDER BY name`)
}

// PeerPins returns every identity the peer has had, the oldest first. Old ones
// verify what was signed under them; they open no connection.
func (r Reader) PeerPins(root string) ([]Pin, error) {
	return list(r, "pins of peer "+short(root), func(rows *sql.Rows) (p Pin, err error) {
		return p, rows.Scan(&p.Fingerprint, &p.Identity, timeVar{&p.Added})
	}, `SELECT fingerprint, identity, added FROM peer_pins WHERE root = ? ORDER BY rowid`, root)
}

// MovePin replaces the current pin of an active peer by its next identity. It
// returns ErrNotFound unless old is a current pin, ErrState for a revoked peer,
// and ErrExists when the new fingerprint is or was pinned: a rotation never
// leads back.
func (tx *Tx) MovePin(old, fingerprint string, identity []byte, at time.Time) error {
	if err := checkID("peer fingerprint", fingerprint); err != nil {
		return err
	}
	p, err := tx.PeerByFingerprint(old)
	if err != nil {
		return err
	}
	if p.Status != StatusActive {
		return fmt.Errorf("store: peer %s is %s: %w", quote(p.Name), p.Status, ErrState)
	}
	taken, err := tx.exists("moving pin", `SELECT 1 FROM peer_pins WHERE fingerprint = ?`, fingerprint)
	if err != nil {
		return err
	}
	if taken {
		return wrap("peer identity "+short(fingerprint), ErrExists)
	}
	err = tx.execOne("moving pin", `UPDATE peers SET fingerprint = ?, identity = ?, changed = ? WHERE root = ?`,
		fingerprint, identity, millis(at), p.Root)
	if err != nil {
		return err
	}
	return tx.addPin(p.Root, fingerprint, identity, at)
}

// SetPeerAddress changes where the peer's node listens.
func (tx *Tx) SetPeerAddress(root, address string, at time.Time) error {
	return tx.execOne("peer "+short(root), `UPDATE peers SET address = ?, changed = ? WHERE root = ?`,
		address, millis(at), root)
}

// RevokePeer ends the trust in a peer for good. Revoking again changes nothing.
func (tx *Tx) RevokePeer(root string, at time.Time) error {
	return tx.execOne("peer "+short(root), `UPDATE peers
		SET changed = CASE status WHEN ? THEN changed ELSE ? END, status = ? WHERE root = ?`,
		StatusRevoked, millis(at), StatusRevoked, root)
}

// User is an operator, known by an Ed25519 public key of their own.
type User struct {
	Name      string
	PublicKey []byte
	Status    string
	Added     time.Time
	Revoked   time.Time
}

const userColumns = `SELECT name, public_key, status, added, revoked FROM users `

func scanUser(rows *sql.Rows) (u User, err error) {
	return u, rows.Scan(&u.Name, &u.PublicKey, &u.Status, timeVar{&u.Added}, timeVar{&u.Revoked})
}

// AddUser adds an active operator. It returns ErrExists when the name or key is
// or was in use: the log speaks of a name for years.
func (tx *Tx) AddUser(u User) error {
	if u.Name == "" || len(u.PublicKey) == 0 {
		return fmt.Errorf("store: a user needs a name and a public key")
	}
	taken, err := tx.exists("adding user", `SELECT 1 FROM users WHERE name = ? OR public_key = ?`, u.Name, u.PublicKey)
	if err != nil {
		return err
	}
	if taken {
		return wrap("user "+quote(u.Name)+" or their key", ErrExists)
	}
	_, err = tx.exec("adding user", `INSERT INTO users (name, public_key, status, added, revoked) VALUES (?, ?, ?, ?, 0)`,
		u.Name, u.PublicKey, StatusActive, millis(u.Added))
	return err
}

// User returns the operator of this name, revoked or not.
func (r Reader) User(name string) (User, error) {
	return one(r, "user "+quote(name), scanUser, userColumns+`WHERE name = ?`, name)
}

// UserByKey returns the operator with this public key, revoked or not.
func (r Reader) UserByKey(publicKey []byte) (User, error) {
	return one(r, "user with this key", scanUser, userColumns+`WHERE public_key = ?`, publicKey)
}

// Users returns all operators by name.
func (r Reader) Users() ([]User, error) {
	return list(r, "users", scanUser, userColumns+`ORDER BY name`)
}

// RevokeUser takes the operator's rights for good. Revoking again changes
// nothing.
func (tx *Tx) RevokeUser(name string, at time.Time) error {
	return tx.execOne("user "+quote(name), `UPDATE users
		SET revoked = CASE status WHEN ? THEN revoked ELSE ? END, status = ? WHERE name = ?`,
		StatusRevoked, millis(at), StatusRevoked, name)
}

func quote(name string) string { return fmt.Sprintf("%.64q", name) }
