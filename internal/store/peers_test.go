package store

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPeerRotation(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	next := strings.Repeat("c3", 32)
	must(t, s.Update(func(tx *Tx) error { return tx.MovePin(peerA, next, []byte("A2"), t0.Add(time.Hour)) }))

	p, err := s.PeerByFingerprint(next)
	must(t, err)
	want := Peer{Root: peerA, Fingerprint: next, Name: "south", Identity: []byte("A2"), Address: "a:1",
		Status: StatusActive, Added: t0, Changed: t0.Add(time.Hour)}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
	_, err = s.PeerByFingerprint(peerA)
	wantErr(t, err, ErrNotFound)
	pins, err := s.PeerPins(peerA)
	must(t, err)
	if len(pins) != 2 || pins[0].Fingerprint != peerA || pins[1].Fingerprint != next {
		t.Errorf("pins are %v", pins)
	}
	for name, to := range map[string]string{"back": peerA, "to another peer's key": peerB, "to itself": next} {
		t.Run(name, func(t *testing.T) {
			wantErr(t, s.Update(func(tx *Tx) error { return tx.MovePin(next, to, []byte("x"), t0) }), ErrExists)
		})
	}
	wantErr(t, s.Update(func(tx *Tx) error { return tx.MovePin(peerA, sid(9), []byte("x"), t0) }), ErrNotFound)
}

func TestPeerRevocationIsFinal(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	for i := range 2 {
		must(t, s.Update(func(tx *Tx) error { return tx.RevokePeer(peerA, t0.Add(time.Duration(i+1)*time.Hour)) }))
	}
	p, err := s.PeerByName("south")
	must(t, err)
	if p.Status != StatusRevoked || !p.Changed.Equal(t0.Add(time.Hour)) {
		t.Errorf("got %+v", p)
	}
	wantErr(t, s.Update(func(tx *Tx) error { return tx.MovePin(peerA, sid(9), []byte("x"), t0) }), ErrState)
	for name, p := range map[string]Peer{
		"same key":  {Fingerprint: peerA, Name: "south again"},
		"same name": {Fingerprint: sid(9), Name: "south"},
	} {
		t.Run(name, func(t *testing.T) {
			wantErr(t, s.Update(func(tx *Tx) error { return tx.AddPeer(p) }), ErrExists)
		})
	}
}

func TestAddPeerRefuses(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	must(t, s.Update(func(tx *Tx) error { return tx.AddOwnIdentity(OwnIdentity{sid(5), []byte("me"), t0}) }))
	for name, p := range map[string]Peer{
		"our own key":   {Fingerprint: sid(5), Name: "me"},
		"no name":       {Fingerprint: sid(6)},
		"upper case":    {Fingerprint: strings.Repeat("AB", 32), Name: "x"},
		"foreign root":  {Fingerprint: sid(6), Root: peerB, Name: "x"},
		"long":          {Fingerprint: strings.Repeat("a", 1000), Name: "x"},
		"no key at all": {Name: "x"},
	} {
		p.Identity = []byte("identity")
		if err := s.Update(func(tx *Tx) error { return tx.AddPeer(p) }); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	wantErr(t, s.Update(func(tx *Tx) error { return tx.SetPeerAddress(sid(7), "x", t0) }), ErrNotFound)
	wantErr(t, s.Update(func(tx *Tx) error { return tx.RevokePeer(sid(7), t0) }), ErrNotFound)
}

func TestOwnIdentitiesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	ids := []string{sid(3), sid(1), sid(2)}
	for _, id := range ids {
		must(t, s.Update(func(tx *Tx) error { return tx.AddOwnIdentity(OwnIdentity{id, []byte(id), t0}) }))
	}
	wantErr(t, s.Update(func(tx *Tx) error { return tx.AddOwnIdentity(OwnIdentity{sid(1), []byte("x"), t0}) }), ErrExists)
	got, err := s.OwnIdentities()
	must(t, err)
	for i, o := range got {
		if o.Fingerprint != ids[i] || string(o.Identity) != ids[i] || !o.Added.Equal(t0) {
			t.Errorf("identity %d is %+v", i, o)
		}
	}
	if len(got) != 3 {
		t.Errorf("got %d identities, want 3", len(got))
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	for i := range 2 {
		must(t, s.Update(func(tx *Tx) error { return tx.RevokeUser("ana", t0.Add(time.Duration(i+1)*time.Minute)) }))
	}
	u, err := s.UserByKey([]byte("ka"))
	must(t, err)
	if want := (User{"ana", []byte("ka"), StatusRevoked, t0, t0.Add(time.Minute)}); !reflect.DeepEqual(u, want) {
		t.Errorf("got %+v, want %+v", u, want)
	}
	all, err := s.Users()
	must(t, err)
	if len(all) != 2 || all[0].Name != "ana" || all[1].Status != StatusActive || !all[1].Revoked.IsZero() {
		t.Errorf("users are %+v", all)
	}
	for _, u := range []User{{Name: "ana", PublicKey: []byte("new")}, {Name: "anna", PublicKey: []byte("ka")}} {
		wantErr(t, s.Update(func(tx *Tx) error { return tx.AddUser(u) }), ErrExists)
	}
	wantErr(t, s.Update(func(tx *Tx) error { return tx.RevokeUser("zoe", t0) }), ErrNotFound)
	_, err = s.UserByKey([]byte("kz"))
	wantErr(t, err, ErrNotFound)
}

func TestAgreementStates(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	own := sid(77)
	id := strings.Repeat("0f", 32)
	put := func(peer, doc, state string) error {
		return s.Update(func(tx *Tx) error {
			return tx.PutAgreement(Agreement{ID: id, PeerRoot: peer, Document: []byte(doc), State: state, Changed: t0})
		})
	}
	check := func(state, doc string, suspensions int) {
		t.Helper()
		a, err := s.Agreement(id)
		must(t, err)
		if a.State != state || string(a.Document) != doc || len(a.Suspensions) != suspensions {
			t.Errorf("got %s %q with %d suspensions, want %s %q with %d",
				a.State, a.Document, len(a.Suspensions), state, doc, suspensions)
		}
	}
	suspend := func(by string) {
		t.Helper()
		must(t, s.Update(func(tx *Tx) error { return tx.SuspendAgreement(id, by, "because", t0) }))
	}
	resume := func(by string) error {
		return s.Update(func(tx *Tx) error { return tx.ResumeAgreement(id, by, t0) })
	}
	must(t, put(peerA, "half", AgreementSigned))
	must(t, put(peerA, "half", AgreementSigned))
	wantErr(t, put(peerA, "other half", AgreementSigned), ErrConflict)
	wantErr(t, put(peerB, "full", AgreementInForce), ErrConflict)
	check(AgreementSigned, "half", 0)
	must(t, put(peerA, "full", AgreementInForce))
	wantErr(t, put(peerA, "half", AgreementSigned), ErrConflict)
	wantErr(t, put(peerA, "fuller", AgreementInForce), ErrConflict)
	wantErr(t, put(sid(9), "full", AgreementInForce), ErrNotFound, "peer")
	check(AgreementInForce, "full", 0)

	suspend(own)
	suspend(own)
	check(AgreementSuspended, "full", 1)
	// Showing the agreement again lifts no suspension.
	must(t, put(peerA, "full", AgreementInForce))
	check(AgreementSuspended, "full", 1)
	suspend(peerA)
	check(AgreementSuspended, "full", 2)
	must(t, resume(peerA))
	check(AgreementSuspended, "full", 1)
	wantErr(t, resume(peerA), ErrState)
	must(t, resume(own))
	check(AgreementInForce, "full", 0)
	wantErr(t, s.Update(func(tx *Tx) error { return tx.SuspendAgreement(sid(8), own, "", t0) }), ErrNotFound)
}

func TestFindByPrefix(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	newSession(t, s, sid(0xabc), agrA, peerA, SessionProposed)
	a, err := s.FindAgreement("02")
	must(t, err)
	if a.ID != agrA2 {
		t.Errorf("found %s", a.ID)
	}
	for prefix, want := range map[string]error{"0": ErrAmbiguous, "ff": ErrNotFound, agrA: nil, agrA + "0": ErrNotFound} {
		_, err := s.FindAgreement(prefix)
		if want == nil {
			must(t, err)
		} else {
			wantErr(t, err, want)
		}
	}
	_, err = s.FindAgreement("0")
	wantErr(t, err, ErrAmbiguous, "3 ids")
	for _, prefix := range []string{"", "%", "0_", "' OR 1", "AB"} {
		if _, err := s.FindAgreement(prefix); err == nil {
			t.Errorf("prefix %q found something", prefix)
		}
	}
	if ses, err := s.FindSession("000"); err != nil || ses.ID != sid(0xabc) {
		t.Errorf("found %q, %v", ses.ID, err)
	}
	all, err := s.Agreements()
	if err != nil || len(all) != 3 {
		t.Errorf("got %d agreements, %v", len(all), err)
	}
}
