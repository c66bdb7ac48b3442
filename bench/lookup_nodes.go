package bench

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/secret"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

// The nodes of a run live as long as it, under a passphrase that is none.
const (
	benchCompartment = "bench"
	benchUser        = "bench"
	benchPhrase      = "a benchmark"
	userFile         = "user.age"
)

func benchPassphrase() secret.Bytes { return secret.New([]byte(benchPhrase)) }

// makeNodes makes the directories of both nodes, with an operator each and an
// agreement in force.
func (r *lookupRun) makeNodes() error {
	rules, err := records.ParseRuleSet([]byte(lookupRules))
	if err != nil {
		return err
	}
	_, err = makePair([2]string{r.path(ownerDir), r.path(askerDir)}, rules, func(a *protocol.Agreement) {
		clause := protocol.DefaultLookup()
		clause.DeltaHours, clause.EvaluationsPerMinute, clause.EvaluationsPerDay = 0, 1<<30, 1<<36
		a.Modes, a.Lookup = []psi.Mode{psi.ModeLookup}, clause
		if r.LabelBytes > 0 {
			a.Labels = &protocol.Labels{Bytes: r.LabelBytes, Slots: 1}
		}
	})
	return err
}

// makePair makes two nodes under an agreement with the terms that set gives it.
func makePair(dirs [2]string, rules *records.RuleSet, set func(*protocol.Agreement)) (*protocol.SignedAgreement, error) {
	var ids [2]*keys.Identity
	for i, dir := range dirs {
		var err error
		if ids[i], err = keys.NewIdentity(rand.Reader, filepath.Base(dir), time.Now()); err != nil {
			return nil, err
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		if err := keys.SaveIdentity(dir, ids[i], benchPassphrase(), keys.MinWorkFactor); err != nil {
			return nil, err
		}
	}
	signed, err := benchAgreement(ids, rules, set)
	if err != nil {
		return nil, err
	}
	for i, dir := range dirs {
		if err := makeNode(dir, ids[i], ids[1-i], signed); err != nil {
			return nil, err
		}
	}
	return signed, nil
}

// benchAgreement is what both nodes have signed.
func benchAgreement(ids [2]*keys.Identity, rules *records.RuleSet, set func(*protocol.Agreement)) (*protocol.SignedAgreement, error) {
	canary, err := records.CanaryKeys(rules)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	a := &protocol.Agreement{
		Version: protocol.AgreementVersion, Purpose: "measuring", LegalBasis: "none", Compartment: benchCompartment,
		Learns: protocol.LearnsProposer,
		Rules:  rules, Normalisation: records.NormalisationVersion(), Canary: canary, Padding: protocol.PadPow2,
		Caps:        protocol.Caps{ItemsPerSession: 1 << 20, ItemsPerDay: 1 << 38, SessionsPerDay: 1},
		NotifyOnHit: protocol.NotifyNever, Approval: protocol.ApproveAuto,
		ValidFrom: now.Add(-time.Hour).Format(time.RFC3339), ValidUntil: now.AddDate(1, 0, 0).Format(time.RFC3339),
		RetentionDays: 1, ClockToleranceSeconds: 300,
	}
	set(a)
	for i, id := range ids {
		a.Parties[i] = protocol.Party{Name: id.Public().Name(), Identity: id.Public().Fingerprint().String()}
	}
	slices.SortFunc(a.Parties[:], func(x, y protocol.Party) int { return strings.Compare(x.Identity, y.Identity) })
	s := &protocol.SignedAgreement{Agreement: a}
	for _, id := range ids {
		if err := s.Sign(id); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// makeNode fills a node's directory.
func makeNode(dir string, id, peer *keys.Identity, signed *protocol.SignedAgreement) (err error) {
	user, err := keys.NewUser(rand.Reader, benchUser)
	if err != nil {
		return err
	}
	if err := keys.SaveUser(filepath.Join(dir, userFile), user, benchPassphrase(), keys.MinWorkFactor); err != nil {
		return err
	}
	s, err := store.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	now := time.Now()
	err = s.Update(func(tx *store.Tx) error {
		own, other := id.Public(), peer.Public()
		fp := other.Fingerprint().String()
		return errors.Join(
			tx.AddOwnIdentity(store.OwnIdentity{Fingerprint: own.Fingerprint().String(), Identity: own.Bytes(), Added: now}),
			tx.AddPeer(store.Peer{Root: fp, Fingerprint: fp, Identity: other.Bytes(), Name: other.Name(), Status: store.StatusActive, Added: now, Changed: now}),
			tx.AddUser(store.User{Name: benchUser, PublicKey: user.PublicKey(), Status: store.StatusActive, Added: now}))
	})
	if err != nil {
		return err
	}
	n, err := protocol.NewNode(protocol.Options{Identity: id, Store: s, Dir: dir, Logger: zerolog.Nop()})
	if err != nil {
		return err
	}
	if err := n.AddAgreement(signed, ""); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}
