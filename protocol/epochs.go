package protocol

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/disk"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/internal/voprf"
	"github.com/symbolon/symbolon/psi/lookup"
)

// The secrets of an epoch lie in a directory of their own, sealed under the
// identity, so that backups can leave them out: Dir/lookup/secrets. What they
// protect lies beside it, in own and peer.
const (
	lookupDir  = "lookup"
	secretsDir = "secrets"
	ownDir     = "own"
	peerDir    = "peer"
)

// epochID names a lookup key of ours.
type epochID struct {
	agreement string
	epoch     uint32
}

// ownEpoch is a lookup key of ours in use.
type ownEpoch struct {
	row store.Epoch
	// mu is held for writing when the key is destroyed.
	mu     sync.RWMutex
	key    *voprf.PrivateKey
	secret []byte // of the filter's directory
	gone   bool
}

// evaluate answers blinded elements and proves it.
func (e *ownEpoch) evaluate(rand io.Reader, blinded []byte) (evaluated, proof []byte, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.gone {
		return nil, nil, refuseRequest(CodeEpoch, "epoch %d has ended", e.row.Epoch)
	}
	return e.key.BlindEvaluate(rand, blinded)
}

// destroy forgets the secrets in memory.
func (e *ownEpoch) destroy() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
	e.key.Destroy()
	clear(e.secret)
}

// lookupParams are what the agreement fixes of the filters of an epoch.
func (a *Agreement) lookupParams(epoch uint32) lookup.Params {
	p := lookup.Params{Agreement: a.ID(), Epoch: epoch, MaxKeys: a.Rules.MaxKeysPerRecord, FalsePositiveLog2: a.Lookup.FalsePositiveLog2}
	if a.Labels != nil {
		p.LabelBytes, p.Slots = a.Labels.Bytes, a.Labels.Slots
	}
	return p
}

var errNoDir = refuse(CodeRefused, "this node was opened without its directory, where filters lie")

func (n *Node) ownPath(id epochID) string {
	return filepath.Join(n.Dir, lookupDir, ownDir, id.agreement, fmt.Sprint(id.epoch))
}

func (n *Node) peerPath(id epochID) string {
	return filepath.Join(n.Dir, lookupDir, peerDir, id.agreement, fmt.Sprint(id.epoch))
}

func (n *Node) secretPath(id epochID) string {
	return filepath.Join(n.Dir, lookupDir, secretsDir, fmt.Sprintf("%s-%d.key", id.agreement, id.epoch))
}

func (id epochID) String() string { return fmt.Sprintf("epoch/%s/%d", id.agreement, id.epoch) }

// beginEpoch draws the secrets of the next epoch and stores them, then the
// epoch as building. A secret without an epoch, left by a crash, is written
// over.
func (n *Node) beginEpoch(a *Agreement) (*ownEpoch, error) {
	all, err := n.Store.Epochs(a.Hex())
	if err != nil {
		return nil, err
	}
	id := epochID{a.Hex(), 1}
	if len(all) > 0 {
		id.epoch = all[0].Epoch + 1
	}
	key, err := voprf.GenerateKey(voprf.ModeVOPRF, n.Rand)
	if err != nil {
		return nil, err
	}
	defer key.Destroy() // loadEpoch reads it again
	plain := make([]byte, voprf.KeySize+lookup.SecretSize)
	defer clear(plain)
	raw := key.Bytes()
	copy(plain, raw)
	clear(raw)
	if _, err := io.ReadFull(n.Rand, plain[voprf.KeySize:]); err != nil {
		return nil, fmt.Errorf("drawing the epoch's secret: %w", err)
	}
	sealed, err := n.seal(plain, id.String())
	if err != nil {
		return nil, err
	}
	if err := writePrivate(n.secretPath(id), sealed); err != nil {
		return nil, fmt.Errorf("storing the secret of epoch %d: %w", id.epoch, err)
	}
	err = n.Store.Update(func(tx *store.Tx) error {
		got, err := tx.BeginEpoch(a.Hex(), key.Public().Bytes(), n.Now())
		if err == nil && got != id.epoch {
			err = fmt.Errorf("epoch %d began instead of %d", got, id.epoch)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return n.loadEpoch(id)
}

// loadEpoch returns the epoch's secrets, which stay in memory until it ends.
func (n *Node) loadEpoch(id epochID) (*ownEpoch, error) {
	s := &n.lookups
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.epochs[id]; e != nil {
		return e, nil
	}
	row, err := n.Store.Epoch(id.agreement, id.epoch)
	if err != nil {
		return nil, err
	}
	if row.State == store.EpochEnded {
		return nil, refuseRequest(CodeEpoch, "epoch %d has ended", id.epoch)
	}
	e := &ownEpoch{row: row}
	if e.key, e.secret, err = n.readSecret(id); err != nil {
		return nil, fmt.Errorf("epoch %d: %w", id.epoch, err)
	}
	if string(e.key.Public().Bytes()) != string(row.PublicKey) {
		return nil, fmt.Errorf("epoch %d: %w: it is not the one that was published", id.epoch, errSecretLost)
	}
	s.epochs[id] = e
	return e, nil
}

// errSecretLost: an epoch's secret is not there or does not open, and never will.
var errSecretLost = errors.New("the epoch's secret is lost")

// readSecret opens the stored secret of an epoch.
func (n *Node) readSecret(id epochID) (*voprf.PrivateKey, []byte, error) {
	sealed, err := os.ReadFile(n.secretPath(id))
	if isNotExist(err) {
		return nil, nil, fmt.Errorf("%w: %w", errSecretLost, err)
	}
	if err != nil {
		return nil, nil, err
	}
	plain, err := n.open(sealed, id.String())
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errSecretLost, err)
	}
	if len(plain) != voprf.KeySize+lookup.SecretSize {
		return nil, nil, fmt.Errorf("%w: it has %d bytes", errSecretLost, len(plain))
	}
	key, err := voprf.ParsePrivateKey(voprf.ModeVOPRF, plain[:voprf.KeySize])
	clear(plain[:voprf.KeySize])
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errSecretLost, err)
	}
	return key, plain[voprf.KeySize:], nil
}

// answeringEpoch returns an epoch of ours that answers now.
func (n *Node) answeringEpoch(a *Agreement, epoch uint32) (*ownEpoch, error) {
	if n.Dir == "" {
		return nil, errNoDir
	}
	e, err := n.loadEpoch(epochID{a.Hex(), epoch})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, errSecretLost) {
		return nil, refuseRequest(CodeEpoch, "epoch %d is none of ours: %w", epoch, err)
	}
	if err != nil {
		return nil, err
	}
	row, err := n.Store.Epoch(a.Hex(), epoch)
	if err != nil {
		return nil, err
	}
	if row.State != store.EpochCurrent && row.State != store.EpochOverlap || !n.Now().Before(row.AnswersUntil) {
		return nil, refuseRequest(CodeEpoch, "epoch %d is %s and answered until %s", epoch, row.State, row.AnswersUntil.Format(time.RFC3339))
	}
	return e, nil
}

// newest returns the version that the owner serves now, zeros for none.
func (n *Node) newest(agreement string) (epoch uint32, serial uint64, err error) {
	s := &n.lookups
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.newest[agreement]; ok {
		return v.epoch, v.serial, nil
	}
	all, err := n.Store.Epochs(agreement)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range all {
		if e.State != store.EpochCurrent {
			continue
		}
		p, err := n.Store.LastPublication(agreement, e.Epoch)
		if err != nil {
			return 0, 0, err
		}
		epoch, serial = p.Epoch, p.Serial
	}
	s.newest[agreement] = version{epoch, serial}
	return epoch, serial, nil
}

// isNotExist reports whether a file is not there.
func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// version is one version of a filter.
type version struct {
	epoch  uint32
	serial uint64
}

// changed forgets what is remembered of an agreement's newest version.
func (s *lookupState) changed(agreement string) {
	s.mu.Lock()
	delete(s.newest, agreement)
	s.mu.Unlock()
}

// endEpoch ends an epoch of ours: it answers no more, and its secrets, its
// filter and its seeds are destroyed. What a crash leaves undone, doing it again
// finishes.
func (n *Node) endEpoch(a *Agreement, row store.Epoch) error {
	id := epochID{a.Hex(), row.Epoch}
	if row.State != store.EpochEnded {
		err := n.Store.Update(func(tx *store.Tx) error {
			if err := tx.EndEpoch(id.agreement, id.epoch); err != nil {
				return err
			}
			return n.append(tx, a, audit.Entry{Event: eventEpochEnded, Epoch: row.Epoch})
		})
		if err != nil {
			return err
		}
	}
	s := &n.lookups
	s.mu.Lock()
	e := s.epochs[id]
	delete(s.epochs, id)
	delete(s.newest, id.agreement)
	s.mu.Unlock()
	if e != nil {
		e.destroy()
	}
	if err := lookup.Destroy(n.secretPath(id)); err != nil {
		return fmt.Errorf("destroying the secret of epoch %d: %w", row.Epoch, err)
	}
	if err := lookup.DestroyAll(n.ownPath(id)); err != nil {
		return fmt.Errorf("removing the filter of epoch %d: %w", row.Epoch, err)
	}
	return nil
}

// writePrivate replaces a file of mode 0600 as a whole, on the disk when it
// returns.
func writePrivate(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return disk.Replace(path, data)
}
