package store

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// States of an epoch.
//
//	building ──▶ current ──▶ overlap ──▶ ended
//	    └────────────┴───────────────────▲
//
// An agreement has at most one epoch that builds and one that is current.
const (
	// EpochBuilding: the key is drawn, no filter is published yet.
	EpochBuilding = "building"
	EpochCurrent  = "current"
	// EpochOverlap: a later epoch is current; this one answers for a while.
	EpochOverlap = "overlap"
	// EpochEnded: the secret is destroyed, or is to be.
	EpochEnded = "ended"
)

// Epoch is the lifetime of a lookup key of ours.
type Epoch struct {
	Agreement string
	Epoch     uint32
	State     string
	PublicKey []byte
	Began     time.Time
	// Ends is when the next epoch is due, AnswersUntil when this one ends for
	// good; neither is known while it builds.
	Ends, AnswersUntil time.Time
}

// Publication is one version of a filter of ours, as it was signed.
type Publication struct {
	Agreement string
	Epoch     uint32
	Serial    uint64
	// Manifest and Signature are what a peer gets, Detail our own figures.
	Manifest, Signature []byte
	Detail              string
	Created             time.Time
}

const epochColumns = `SELECT agreement, epoch, state, public_key, began, ends, answers_until FROM epochs `

func scanEpoch(rows *sql.Rows) (e Epoch, err error) {
	return e, rows.Scan(&e.Agreement, &e.Epoch, &e.State, &e.PublicKey, timeVar{&e.Began}, timeVar{&e.Ends}, timeVar{&e.AnswersUntil})
}

// Epochs returns the epochs of an agreement, or of all for "", the newest of
// each first.
func (r Reader) Epochs(agreement string) ([]Epoch, error) {
	return list(r, "epochs", scanEpoch, epochColumns+`WHERE ?1 = '' OR agreement = ?1 ORDER BY agreement, epoch DESC`, agreement)
}

// Epoch returns one epoch, or ErrNotFound.
func (r Reader) Epoch(agreement string, epoch uint32) (Epoch, error) {
	return one(r, fmt.Sprintf("epoch %d of agreement %s", epoch, short(agreement)), scanEpoch,
		epochColumns+`WHERE agreement = ? AND epoch = ?`, agreement, epoch)
}

// BeginEpoch stores the next epoch of an agreement, building, and returns its
// number, from 1. While one builds already it is ErrState.
func (tx *Tx) BeginEpoch(agreement string, publicKey []byte, at time.Time) (uint32, error) {
	all, err := tx.Epochs(agreement)
	if err != nil {
		return 0, err
	}
	var n uint32 = 1
	if len(all) > 0 {
		if all[0].State == EpochBuilding {
			return 0, fmt.Errorf("store: epoch %d of agreement %s is building already: %w", all[0].Epoch, short(agreement), ErrState)
		}
		n = all[0].Epoch + 1
	}
	_, err = tx.exec("epoch", `INSERT INTO epochs (agreement, epoch, state, public_key, began, ends, answers_until)
		VALUES (?, ?, ?, ?, ?, 0, 0)`, agreement, n, EpochBuilding, publicKey, millis(at))
	return n, err
}

// PublishEpoch makes a building epoch the current one. The one before it goes
// on answering until its own end or the given time, whichever comes first.
func (tx *Tx) PublishEpoch(agreement string, epoch uint32, ends, answersUntil, oldUntil time.Time) error {
	what := fmt.Sprintf("epoch %d of agreement %s", epoch, short(agreement))
	_, err := tx.exec(what, `UPDATE epochs SET state = ?, answers_until = min(answers_until, ?) WHERE agreement = ? AND state = ?`,
		EpochOverlap, millis(oldUntil), agreement, EpochCurrent)
	if err != nil {
		return err
	}
	n, err := tx.exec(what, `UPDATE epochs SET state = ?, ends = ?, answers_until = ? WHERE agreement = ? AND epoch = ? AND state = ?`,
		EpochCurrent, millis(ends), millis(answersUntil), agreement, epoch, EpochBuilding)
	if err == nil && n == 0 {
		err = fmt.Errorf("store: %s is not building: %w", what, ErrState)
	}
	return err
}

// EndEpoch ends an epoch for good. Ending it again changes nothing.
func (tx *Tx) EndEpoch(agreement string, epoch uint32) error {
	return tx.execOne(fmt.Sprintf("epoch %d of agreement %s", epoch, short(agreement)),
		`UPDATE epochs SET state = ? WHERE agreement = ? AND epoch = ?`, EpochEnded, agreement, epoch)
}

// PutPublication stores a signed version. Versions only go forward within an
// epoch (ErrConflict); storing the same again changes nothing.
func (tx *Tx) PutPublication(p Publication) error {
	what := fmt.Sprintf("version %d.%d of agreement %s", p.Epoch, p.Serial, short(p.Agreement))
	last, err := tx.LastPublication(p.Agreement, p.Epoch)
	if err == nil && last.Serial == p.Serial && bytes.Equal(last.Manifest, p.Manifest) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil && last.Serial >= p.Serial {
		return fmt.Errorf("store: %s: version %d is published: %w", what, last.Serial, ErrConflict)
	}
	_, err = tx.exec(what, `INSERT INTO publications (agreement, epoch, serial, manifest, signature, detail, created)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, p.Agreement, p.Epoch, int64(p.Serial), p.Manifest, p.Signature, p.Detail, millis(p.Created))
	return err
}

const publicationColumns = `SELECT agreement, epoch, serial, manifest, signature, detail, created FROM publications `

func scanPublication(rows *sql.Rows) (p Publication, err error) {
	return p, rows.Scan(&p.Agreement, &p.Epoch, &p.Serial, &p.Manifest, &p.Signature, &p.Detail, timeVar{&p.Created})
}

// LastPublication returns the last version of an epoch, or ErrNotFound.
func (r Reader) LastPublication(agreement string, epoch uint32) (Publication, error) {
	return one(r, fmt.Sprintf("filter of epoch %d of agreement %s", epoch, short(agreement)), scanPublication,
		publicationColumns+`WHERE agreement = ? AND epoch = ? ORDER BY serial DESC LIMIT 1`, agreement, epoch)
}

// Publications returns all versions under an agreement, or under all for "",
// the newest of each first.
func (r Reader) Publications(agreement string) ([]Publication, error) {
	return list(r, "publications", scanPublication,
		publicationColumns+`WHERE ?1 = '' OR agreement = ?1 ORDER BY agreement, epoch DESC, serial DESC`, agreement)
}

// Seen is the last version of a peer's filter that was fetched and verified.
type Seen struct {
	Agreement           string
	Epoch               uint32
	Serial              uint64
	Hash                []byte // of the manifest
	Manifest, Signature []byte
	At                  time.Time
}

const seenColumns = `SELECT agreement, epoch, serial, hash, manifest, signature, at FROM filters_seen `

func scanSeen(rows *sql.Rows) (s Seen, err error) {
	return s, rows.Scan(&s.Agreement, &s.Epoch, &s.Serial, &s.Hash, &s.Manifest, &s.Signature, timeVar{&s.At})
}

// FilterSeen returns what was last fetched under an agreement, or ErrNotFound.
func (r Reader) FilterSeen(agreement string) (Seen, error) {
	return one(r, "filter of agreement "+short(agreement), scanSeen, seenColumns+`WHERE agreement = ?`, agreement)
}

// FiltersSeen returns what was last fetched under each agreement.
func (r Reader) FiltersSeen() ([]Seen, error) {
	return list(r, "filters", scanSeen, seenColumns+`ORDER BY agreement`)
}

// PutFilterSeen stores a version that has been fetched. One before the last, or
// another of the same number, is ErrConflict.
func (tx *Tx) PutFilterSeen(s Seen) error {
	what := "filter of agreement " + short(s.Agreement)
	n, err := tx.exec(what, `INSERT INTO filters_seen (agreement, epoch, serial, hash, manifest, signature, at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET epoch = excluded.epoch, serial = excluded.serial, hash = excluded.hash,
			manifest = excluded.manifest, signature = excluded.signature, at = excluded.at
		WHERE (excluded.epoch, excluded.serial) > (epoch, serial)
			OR (excluded.epoch, excluded.serial, excluded.hash) = (epoch, serial, hash)`,
		s.Agreement, s.Epoch, int64(s.Serial), s.Hash, s.Manifest, s.Signature, millis(s.At))
	if err == nil && n == 0 {
		err = fmt.Errorf("store: %s: version %d.%d is not after the last one fetched: %w", what, s.Epoch, s.Serial, ErrConflict)
	}
	return err
}
