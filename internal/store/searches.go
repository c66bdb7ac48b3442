package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// SearchIndex is an index of ours that peers search under encryption. Its
// states are those of an epoch: building, current, ended. It has no overlap:
// a search runs on the current one alone.
type SearchIndex struct {
	Agreement string
	Epoch     uint32
	State     string
	Seed      []byte // sealed; it orders the slots
	Form      uint8
	Capacity  int
	// Serial counts the changes that have been finished, from 1.
	Serial uint64
	Detail string // our own figures
	Began  time.Time
	// Ends is when the next epoch is due.
	Ends, Changed time.Time
}

const indexColumns = `SELECT agreement, epoch, state, seed, form, capacity, serial, detail, began, ends, changed FROM search_indexes `

func scanIndex(rows *sql.Rows) (x SearchIndex, err error) {
	return x, rows.Scan(&x.Agreement, &x.Epoch, &x.State, &x.Seed, &x.Form, &x.Capacity, &x.Serial, &x.Detail,
		timeVar{&x.Began}, timeVar{&x.Ends}, timeVar{&x.Changed})
}

// SearchIndexes returns the indexes under an agreement, or under all for "",
// the newest of each first.
func (r Reader) SearchIndexes(agreement string) ([]SearchIndex, error) {
	return list(r, "search indexes", scanIndex, indexColumns+`WHERE ?1 = '' OR agreement = ?1 ORDER BY agreement, epoch DESC`, agreement)
}

// CurrentSearchIndex returns the index that answers, or ErrNotFound.
func (r Reader) CurrentSearchIndex(agreement string) (SearchIndex, error) {
	return one(r, "search index of agreement "+short(agreement), scanIndex, indexColumns+`WHERE agreement = ? AND state = ?`, agreement, EpochCurrent)
}

// BeginSearchIndex stores an index that is being built, under the next epoch's
// number, which it returns. Others that build are forgotten.
func (tx *Tx) BeginSearchIndex(x SearchIndex) (uint32, error) {
	what := "search index of agreement " + short(x.Agreement)
	if _, err := tx.exec(what, `DELETE FROM search_indexes WHERE agreement = ? AND state = ?`, x.Agreement, EpochBuilding); err != nil {
		return 0, err
	}
	all, err := tx.SearchIndexes(x.Agreement)
	if err != nil {
		return 0, err
	}
	epoch := uint32(1)
	if len(all) > 0 {
		epoch = all[0].Epoch + 1
	}
	_, err = tx.exec(what, `INSERT INTO search_indexes (agreement, epoch, state, seed, form, capacity, serial, detail, began, ends, changed)
		VALUES (?, ?, ?, ?, ?, ?, 0, '', ?, ?, ?)`,
		x.Agreement, epoch, EpochBuilding, x.Seed, x.Form, x.Capacity, millis(x.Began), millis(x.Ends), millis(x.Began))
	return epoch, err
}

// FinishSearchIndex makes a version of an index the one that answers. It ends
// the agreement's earlier epochs and destroys their seeds.
func (tx *Tx) FinishSearchIndex(agreement string, epoch uint32, serial uint64, detail string, at time.Time) error {
	what := fmt.Sprintf("search index %d of agreement %s", epoch, short(agreement))
	n, err := tx.exec(what, `UPDATE search_indexes SET state = ?1, serial = ?2, detail = ?3, changed = ?4
		WHERE agreement = ?5 AND epoch = ?6 AND serial < ?2 AND state IN (?1, ?7)`,
		EpochCurrent, int64(serial), detail, millis(at), agreement, epoch, EpochBuilding)
	if err == nil && n == 0 {
		err = fmt.Errorf("store: %s: version %d is not its next: %w", what, serial, ErrConflict)
	}
	if err != nil {
		return err
	}
	_, err = tx.exec(what, `UPDATE search_indexes SET state = ?, seed = x'', changed = ? WHERE agreement = ? AND epoch < ? AND state != ?`,
		EpochEnded, millis(at), agreement, epoch, EpochEnded)
	return err
}

// EndSearchIndexes ends the indexes of an agreement for good and destroys their
// seeds.
func (tx *Tx) EndSearchIndexes(agreement string, at time.Time) error {
	_, err := tx.exec("search indexes of agreement "+short(agreement), `UPDATE search_indexes SET state = ?, seed = x'', changed = ?
		WHERE agreement = ? AND state != ?`, EpochEnded, millis(at), agreement, EpochEnded)
	return err
}

// SearchSeed is what our own keys under an epoch of the peer's index are made
// of.
type SearchSeed struct {
	Agreement string
	Epoch     uint32
	Seed      []byte // sealed
	// KeysID names the keys, Commitment commits to the seed.
	KeysID, Commitment []byte
	Created            time.Time
}

// SearchSeed returns the seed of an epoch, or ErrNotFound.
func (r Reader) SearchSeed(agreement string, epoch uint32) (SearchSeed, error) {
	return one(r, fmt.Sprintf("search keys for epoch %d of agreement %s", epoch, short(agreement)), func(rows *sql.Rows) (s SearchSeed, err error) {
		return s, rows.Scan(&s.Agreement, &s.Epoch, &s.Seed, &s.KeysID, &s.Commitment, timeVar{&s.Created})
	}, `SELECT agreement, epoch, seed, keys_id, commitment, created FROM search_seeds WHERE agreement = ? AND epoch = ?`, agreement, epoch)
}

// PutSearchSeed stores the seed of an epoch, in the place of one that there was.
func (tx *Tx) PutSearchSeed(s SearchSeed) error {
	_, err := tx.exec(fmt.Sprintf("search keys for epoch %d of agreement %s", s.Epoch, short(s.Agreement)),
		`INSERT INTO search_seeds (agreement, epoch, seed, keys_id, commitment, queries, created) VALUES (?, ?, ?, ?, ?, 0, ?)
		ON CONFLICT DO UPDATE SET seed = excluded.seed, keys_id = excluded.keys_id, commitment = excluded.commitment, queries = 0, created = excluded.created`,
		s.Agreement, s.Epoch, s.Seed, s.KeysID, s.Commitment, millis(s.Created))
	return err
}

// NextSearchQuery returns a number under which no query has been made with the
// keys of an epoch, from 1.
func (tx *Tx) NextSearchQuery(agreement string, epoch uint32) (uint64, error) {
	what := fmt.Sprintf("search keys for epoch %d of agreement %s", epoch, short(agreement))
	if err := tx.execOne(what, `UPDATE search_seeds SET queries = queries + 1 WHERE agreement = ? AND epoch = ?`, agreement, epoch); err != nil {
		return 0, err
	}
	var n int64
	err := tx.q.QueryRow(`SELECT queries FROM search_seeds WHERE agreement = ? AND epoch = ?`, agreement, epoch).Scan(&n)
	return uint64(n), wrap(what, err)
}

// States of a search.
const (
	SearchAsked    = "asked" // and charged
	SearchAnswered = "answered"
	SearchFailed   = "failed"
)

// Search is one search, ours or a peer's.
type Search struct {
	ID        string
	Agreement string
	Epoch     uint32
	Serial    uint64 // of the index, when the search began
	Local     bool   // we asked
	State     string
	Query     []byte // names the query: its hash
	Attempts  int
	Threshold int
	User      string
	Purpose   string
	Case      string
	// LocalID is the asker's own name for the person; Slots are those that
	// opened. Neither is known to the owner.
	LocalID string
	Slots   []uint32
	// Revealed are the slots for which the reference was asked.
	Revealed       []uint32
	Created, Ended time.Time
	Expires        time.Time
}

// slotsVar scans a column of slots.
type slotsVar struct{ s *[]uint32 }

func (v slotsVar) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("got %T for slots", src)
	}
	return json.Unmarshal([]byte(s), v.s)
}

func slotsText(s []uint32) string {
	if len(s) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(s) // numbers can't fail
	return string(b)
}

const searchColumns = `SELECT id, agreement, epoch, serial, local, state, query, attempts, threshold, user, purpose, case_number,
	local_id, slots, revealed, created, ended, expires FROM searches `

func scanSearch(rows *sql.Rows) (s Search, err error) {
	return s, rows.Scan(&s.ID, &s.Agreement, &s.Epoch, &s.Serial, &s.Local, &s.State, &s.Query, &s.Attempts, &s.Threshold,
		&s.User, &s.Purpose, &s.Case, &s.LocalID, slotsVar{&s.Slots}, slotsVar{&s.Revealed},
		timeVar{&s.Created}, timeVar{&s.Ended}, timeVar{&s.Expires})
}

// Search returns a search by its id, or ErrNotFound.
func (r Reader) Search(id string) (Search, error) {
	return one(r, "search "+short(id), scanSearch, searchColumns+`WHERE id = ?`, id)
}

// FindSearch returns the search whose id begins with the prefix. It returns
// ErrNotFound or, with their number, ErrAmbiguous.
func (r Reader) FindSearch(prefix string) (Search, error) {
	id, err := r.findID("search", "searches", prefix)
	if err != nil {
		return Search{}, err
	}
	return r.Search(id)
}

// Searches returns the searches under an agreement, or under all for "", ours
// or the peers', the newest first.
func (r Reader) Searches(agreement string, local bool) ([]Search, error) {
	return list(r, "searches", scanSearch, searchColumns+`WHERE (?1 = '' OR agreement = ?1) AND local = ?2 ORDER BY created DESC, id`, agreement, local)
}

// AddSearch stores a search that is being asked, as its first attempt; a known
// id is ErrExists.
func (tx *Tx) AddSearch(s Search) error {
	if err := checkID("search", s.ID); err != nil {
		return err
	}
	what := "search " + short(s.ID)
	n, err := tx.exec(what, `INSERT INTO searches (id, agreement, epoch, serial, local, state, query, attempts, threshold, user, purpose, case_number,
		local_id, slots, revealed, created, ended, expires) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, '[]', '[]', ?, 0, ?) ON CONFLICT DO NOTHING`,
		s.ID, s.Agreement, s.Epoch, int64(s.Serial), s.Local, SearchAsked, s.Query, s.Threshold, s.User, s.Purpose, s.Case,
		s.LocalID, millis(s.Created), millis(s.Expires))
	if err == nil && n == 0 {
		err = wrap(what, ErrExists)
	}
	return err
}

// RetrySearch counts a further attempt at a search that has not been answered;
// after most of them it is ErrState.
func (tx *Tx) RetrySearch(id string, serial uint64, most int) error {
	what := "search " + short(id)
	n, err := tx.exec(what, `UPDATE searches SET state = ?, serial = ?, attempts = attempts + 1 WHERE id = ? AND state != ? AND attempts < ?`,
		SearchAsked, int64(serial), id, SearchAnswered, most)
	if err == nil && n == 0 {
		err = fmt.Errorf("store: %s has been answered or tried %d times: %w", what, most, ErrState)
	}
	return err
}

// EndSearch stores how a search has ended, and on our own side the slots that
// opened.
func (tx *Tx) EndSearch(id, state string, slots []uint32, at time.Time) error {
	return tx.execOne("search "+short(id), `UPDATE searches SET state = ?, slots = ?, ended = ? WHERE id = ?`, state, slotsText(slots), millis(at), id)
}

// RevealSlot adds to the slots of a search whose reference was asked for, and
// returns how many they are. More than most is ErrState; the same slot again
// counts once.
func (tx *Tx) RevealSlot(id string, slot uint32, most int) (int, error) {
	s, err := tx.Search(id)
	if err != nil {
		return 0, err
	}
	for _, have := range s.Revealed {
		if have == slot {
			return len(s.Revealed), nil
		}
	}
	if len(s.Revealed) >= most {
		return 0, fmt.Errorf("store: search %s: the references of %d handles were given: %w", short(id), len(s.Revealed), ErrState)
	}
	s.Revealed = append(s.Revealed, slot)
	return len(s.Revealed), tx.execOne("search "+short(id), `UPDATE searches SET revealed = ? WHERE id = ?`, slotsText(s.Revealed), id)
}

// ExpireSearches erases the searches whose retention has ended and returns how
// many.
func (s *Store) ExpireSearches(now time.Time) (int64, error) {
	return s.expire(func(tx *Tx) (int64, error) {
		return tx.exec("expiring searches", `DELETE FROM searches WHERE expires > 0 AND expires <= ?`, millis(now))
	})
}
