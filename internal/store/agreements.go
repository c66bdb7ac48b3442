package store

import (
	"bytes"
	"database/sql"
	"fmt"
	"time"
)

// States of an agreement.
const (
	// AgreementSigned: one side has signed.
	AgreementSigned = "signed"
	// AgreementInForce: both sides have signed.
	AgreementInForce = "in-force"
	// AgreementSuspended: in force, but at least one side has suspended it.
	AgreementSuspended = "suspended"
)

// Agreement is the contract with a peer, as bytes that the protocol reads.
type Agreement struct {
	ID       string
	PeerRoot string
	Document []byte
	State    string
	Changed  time.Time
	// Suspensions are those in effect, at most one by each side.
	Suspensions []Suspension
}

// Suspension is one side's stop to an agreement. Only that side lifts it.
type Suspension struct {
	// By is the root fingerprint of the agency that suspended.
	By     string
	Reason string
	At     time.Time
}

// PutAgreement stores an agreement, signed by one side or in force. Storing the
// same again changes nothing, suspensions included; the document in force
// replaces the one that was only signed. Everything else is ErrConflict.
func (tx *Tx) PutAgreement(a Agreement) error {
	if err := checkID("agreement id", a.ID); err != nil {
		return err
	}
	if a.State != AgreementSigned && a.State != AgreementInForce {
		return fmt.Errorf("store: agreement %s: state %q can't be stored", short(a.ID), a.State)
	}
	what := "agreement " + short(a.ID)
	if known, err := tx.exists(what, `SELECT 1 FROM peers WHERE root = ?`, a.PeerRoot); err != nil {
		return err
	} else if !known {
		return fmt.Errorf("store: peer %s of %s: %w", short(a.PeerRoot), what, ErrNotFound)
	}
	n, err := tx.exec(what, `INSERT INTO agreements (id, peer_root, document, state, changed)
		VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, a.ID, a.PeerRoot, a.Document, a.State, millis(a.Changed))
	if err != nil || n == 1 {
		return err
	}
	var peer, state string
	var document []byte
	err = tx.q.QueryRow(`SELECT peer_root, document, state FROM agreements WHERE id = ?`, a.ID).
		Scan(&peer, &document, &state)
	switch {
	case err != nil:
		return wrap(what, err)
	case peer == a.PeerRoot && state == a.State && bytes.Equal(document, a.Document):
		return nil
	case peer == a.PeerRoot && state == AgreementSigned && a.State == AgreementInForce:
		return tx.execOne(what, `UPDATE agreements SET document = ?, state = ?, changed = ? WHERE id = ?`,
			a.Document, a.State, millis(a.Changed), a.ID)
	}
	return wrap(what, ErrConflict)
}

const agreementColumns = `SELECT id, peer_root, document, state, changed FROM agreements `

func scanAgreement(rows *sql.Rows) (a Agreement, err error) {
	return a, rows.Scan(&a.ID, &a.PeerRoot, &a.Document, &a.State, timeVar{&a.Changed})
}

// Agreement returns the agreement with this id.
func (r Reader) Agreement(id string) (Agreement, error) {
	a, err := one(r, "agreement "+short(id), scanAgreement, agreementColumns+`WHERE id = ?`, id)
	if err != nil {
		return a, err
	}
	return a, r.addSuspensions(&a)
}

// FindAgreement returns the agreement whose id begins with the prefix. It
// returns ErrNotFound or, with their number, ErrAmbiguous.
func (r Reader) FindAgreement(prefix string) (Agreement, error) {
	id, err := r.findID("agreement", "agreements", prefix)
	if err != nil {
		return Agreement{}, err
	}
	return r.Agreement(id)
}

// Agreements returns all agreements, the last changed first.
func (r Reader) Agreements() ([]Agreement, error) {
	all, err := list(r, "agreements", scanAgreement, agreementColumns+`ORDER BY changed DESC, id`)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if err := r.addSuspensions(&all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (r Reader) addSuspensions(a *Agreement) (err error) {
	a.Suspensions, err = list(r, "suspensions", func(rows *sql.Rows) (s Suspension, err error) {
		return s, rows.Scan(&s.By, &s.Reason, timeVar{&s.At})
	}, `SELECT by, reason, at FROM suspensions WHERE agreement = ? ORDER BY at, by`, a.ID)
	if len(a.Suspensions) > 0 {
		a.State = AgreementSuspended
	}
	return err
}

// SuspendAgreement stops the agreement from the transaction's end on, signed or
// in force. Either side may, whatever the other has done; suspending again
// keeps the first reason.
func (tx *Tx) SuspendAgreement(id, by, reason string, at time.Time) error {
	if err := checkID("suspending agency", by); err != nil {
		return err
	}
	what := "agreement " + short(id)
	if _, err := tx.Agreement(id); err != nil {
		return err
	}
	n, err := tx.exec(what, `INSERT INTO suspensions (agreement, by, reason, at) VALUES (?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, id, by, reason, millis(at))
	if err != nil || n == 0 {
		return err
	}
	return tx.execOne(what, `UPDATE agreements SET changed = ? WHERE id = ?`, millis(at), id)
}

// ResumeAgreement lifts the suspension of one side. The agreement stays
// suspended while the other side's lasts. It returns ErrState when this side
// has not suspended.
func (tx *Tx) ResumeAgreement(id, by string, at time.Time) error {
	what := "agreement " + short(id)
	if _, err := tx.Agreement(id); err != nil {
		return err
	}
	n, err := tx.exec(what, `DELETE FROM suspensions WHERE agreement = ? AND by = ?`, id, by)
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("store: %s is not suspended by this side: %w", what, ErrState)
	}
	return tx.execOne(what, `UPDATE agreements SET changed = ? WHERE id = ?`, millis(at), id)
}

// findID returns the only id in the table with this prefix.
func (r Reader) findID(what, table, prefix string) (string, error) {
	if err := checkID(what+" prefix", prefix); err != nil {
		return "", err
	}
	var n int
	var id sql.NullString
	// "g" is the first character after the hexadecimal digits.
	err := r.q.QueryRow(`SELECT count(*), min(id) FROM `+table+` WHERE id >= ?1 AND id < ?1 || 'g'`, prefix).Scan(&n, &id)
	what = what + " " + quote(prefix)
	switch {
	case err != nil:
		return "", wrap(what, err)
	case n == 0:
		return "", wrap(what, ErrNotFound)
	case n > 1:
		return "", fmt.Errorf("store: %s: %w: %d ids begin so", what, ErrAmbiguous, n)
	}
	return id.String, nil
}
