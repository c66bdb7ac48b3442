package protocol

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/internal/voprf"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

// TestMain also runs the child processes that tests kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		childPublishes(dir)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const childDir = "SYMBOLON_PROTOCOL_CHILD"

// tap lets a test see and change what passes between the asker, north, and south.
func (ag *agency) tap(other *agency, in, out func(*frame) []*frame) {
	ag.connect(other, func(c Conn) Conn { return &tapConn{Conn: c, in: in, out: out} })
}

// rawRequest asks for evaluations of any bytes in any epoch, well signed.
func (l *Lookups) rawRequest(epoch uint32, blinded []byte, change func(*wirepb.LookupRequest)) (*frame, error) {
	return l.r.call(context.Background(), time.Minute, func(number uint64) *frame {
		m := &wirepb.LookupRequest{Number: number, Epoch: epoch, User: "u", Purpose: "p", Case: "c", Blinded: blinded}
		if change != nil {
			change(m)
		}
		m.Signature = ed25519.Sign(l.r.key, lookupSigned(l.r.a.ID(), m))
		return &frame{Body: &wirepb.Frame_LookupRequest{LookupRequest: m}}
	})
}

// elements returns honest blinded elements.
func elements(t *testing.T, n int) []byte {
	t.Helper()
	inputs := make([][]byte, n)
	for i := range inputs {
		inputs[i] = []byte{byte(i)}
	}
	b, err := voprf.Blind(voprf.ModeVOPRF, rand.Reader, inputs)
	must(t, err)
	return b.Blinded()
}

// TestHostileOwner lists what an owner may answer; every row must end the stream
// with the code, and give no result.
func TestHostileOwner(t *testing.T) {
	t.Parallel()
	other, err := voprf.GenerateKey(voprf.ModeVOPRF, rand.Reader)
	must(t, err)
	answer := func(change func(*wirepb.LookupAnswer)) func() (in, out func(*frame) []*frame) {
		return func() (in, out func(*frame) []*frame) {
			return edit(func(f *frame) {
				if a := f.GetLookupAnswer(); a != nil {
					change(a)
				}
			}), nil
		}
	}
	for name, tap := range map[string]func() (in, out func(*frame) []*frame){
		"a wrong proof":        answer(func(a *wirepb.LookupAnswer) { a.Proof = flip(a.Proof) }),
		"no proof":             answer(func(a *wirepb.LookupAnswer) { a.Proof = nil }),
		"a wrong element":      answer(func(a *wirepb.LookupAnswer) { copy(a.Evaluated, a.Evaluated[32:64]) }),
		"the identity":         answer(func(a *wirepb.LookupAnswer) { clear(a.Evaluated[:32]) }),
		"no canonical element": answer(func(a *wirepb.LookupAnswer) { copy(a.Evaluated, bytes.Repeat([]byte{0xff}, 32)) }),
		"an element less":      answer(func(a *wirepb.LookupAnswer) { a.Evaluated = a.Evaluated[32:] }),
		"an element more":      answer(func(a *wirepb.LookupAnswer) { a.Evaluated = append(a.Evaluated, a.Evaluated[:32]...) }),
		"nothing":              answer(func(a *wirepb.LookupAnswer) { a.Evaluated = nil }),
		"another number":       answer(func(a *wirepb.LookupAnswer) { a.Number += 7 }),
		"another frame": func() (in, out func(*frame) []*frame) {
			return instead(func(f *frame) bool { return f.GetLookupAnswer() != nil }, engineFrame(1, nil)), nil
		},
		"an answer of another kind": func() (in, out func(*frame) []*frame) {
			return func(f *frame) []*frame {
				if a := f.GetLookupAnswer(); a != nil {
					f = &frame{Body: &wirepb.Frame_FileChunk{FileChunk: &wirepb.FileChunk{Number: a.Number}}}
				}
				return []*frame{f}
			}, nil
		},
		"another key, well proved": func() (in, out func(*frame) []*frame) {
			var blinded []byte
			out = func(f *frame) []*frame {
				if m := f.GetLookupRequest(); m != nil {
					blinded = m.Blinded
				}
				return []*frame{f}
			}
			in = edit(func(f *frame) {
				if a := f.GetLookupAnswer(); a != nil {
					var err error
					a.Evaluated, a.Proof, err = other.BlindEvaluate(rand.Reader, blinded)
					must(t, err)
				}
			})
			return in, out
		},
		"log heads unasked": func() (in, out func(*frame) []*frame) {
			return func(f *frame) []*frame {
				if f.GetLookupAnswer() != nil {
					return []*frame{{Body: &wirepb.Frame_LogHead{LogHead: &wirepb.LogHead{}}}, f}
				}
				return []*frame{f}
			}, nil
		},
		"log heads for ever": func() (in, out func(*frame) []*frame) {
			return func(f *frame) []*frame {
				if f.GetLookupAnswer() != nil {
					q := &frame{Body: &wirepb.Frame_LogQuery{LogQuery: &wirepb.LogQuery{}}}
					return []*frame{q, q, f}
				}
				return []*frame{f}
			}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := lookupPair(t, nil)
			_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
			must(t, err)
			in, out := tap()
			north.tap(south, in, out)
			l := north.look(t, agreement)
			res, err := l.Lookup(t.Context(), north.the(t, "n-25"))
			if err == nil {
				// Frames that nobody asked for may arrive after the answer.
				<-l.r.ended
				err = l.r.failure()
			} else if res != nil {
				t.Errorf("there is a result: %+v", res)
			}
			codeIs(t, err, CodeMessage, false)
			if l.Close() == nil {
				t.Error("the stream ended in order")
			}
			for _, e := range north.entries(t, agreement, eventAnswered) {
				if !strings.HasPrefix(name, "log heads") && e.Outcome != string(CodeMessage) {
					t.Errorf("logged as %+v", e)
				}
			}
			verifyLog(t, north)
			// An honest stream goes well afterwards.
			north.connect(south, nil)
			l = north.look(t, agreement)
			res, err = l.Lookup(t.Context(), north.the(t, "n-25"))
			must(t, err)
			if len(res.Hits) != 1 {
				t.Errorf("then %+v", res)
			}
			must(t, l.Close())
		})
	}
}

// TestHostileAsker lists what an asker may send; every row must end the stream
// with the code, and nothing is evaluated that was not booked.
func TestHostileAsker(t *testing.T) {
	t.Parallel()
	honest := elements(t, 72)
	request := func(blinded []byte, change func(*wirepb.LookupRequest)) func(*Lookups) error {
		return func(l *Lookups) error { _, err := l.rawRequest(1, blinded, change); return err }
	}
	send := func(f *frame) func(*Lookups) error {
		return func(l *Lookups) error {
			if err := l.r.l.send(f); err != nil {
				return err
			}
			<-l.r.ended
			return l.r.failure()
		}
	}
	with := func(n int, bad []byte) []byte {
		b := bytes.Clone(honest[:8*32])
		copy(b[n*32:], bad)
		return b
	}
	for name, row := range map[string]struct {
		code   Code
		act    func(*Lookups) error
		booked int64
	}{
		"the identity":               {CodeMessage, request(with(3, make([]byte, 32)), nil), 8},
		"no canonical element":       {CodeMessage, request(with(7, bytes.Repeat([]byte{0xff}, 32)), nil), 8},
		"too many elements":          {CodeMessage, request(honest, nil), 0},
		"no multiple":                {CodeMessage, request(honest[:7*32], nil), 0},
		"half an element":            {CodeMessage, request(honest[:8*32-1], nil), 0},
		"no element":                 {CodeMessage, request(nil, nil), 0},
		"no purpose":                 {CodeMessage, request(honest[:8*32], func(m *wirepb.LookupRequest) { m.Purpose = "" }), 0},
		"a case that does not end":   {CodeMessage, request(honest[:8*32], func(m *wirepb.LookupRequest) { m.Case = strings.Repeat("x", 201) }), 0},
		"a user for the terminal":    {CodeMessage, request(honest[:8*32], func(m *wirepb.LookupRequest) { m.User = "u\x1b[2J" }), 0},
		"a list of any length":       {CodeMessage, request(honest[:8*32], func(m *wirepb.LookupRequest) { m.List = []byte{1} }), 0},
		"a number again":             {CodeMessage, request(honest[:8*32], func(m *wirepb.LookupRequest) { m.Number = 0 }), 0},
		"an engine's frame":          {CodeMessage, send(engineFrame(1, nil)), 0},
		"an empty frame":             {CodeMessage, send(&frame{}), 0},
		"a grant again":              {CodeMessage, send(&frame{Body: &wirepb.Frame_Grant{Grant: &wirepb.Grant{}}}), 0},
		"a countersignature unasked": {CodeMessage, send(&frame{Body: &wirepb.Frame_LogCosign{LogCosign: &wirepb.LogCosign{}}}), 0},
		"an unsigned request": {CodeSignature, send(&frame{Body: &wirepb.Frame_LookupRequest{LookupRequest: &wirepb.LookupRequest{
			Number: 9, Epoch: 1, User: "u", Purpose: "p", Case: "c", Blinded: honest[:8*32], Signature: make([]byte, 64)}}}), 0},
		"a request signed by another": {CodeSignature, func(l *Lookups) error {
			_, l.r.key, _ = ed25519.GenerateKey(rand.Reader)
			return request(honest[:8*32], nil)(l)
		}, 0},
		"a chunk of nothing": {CodeMessage, func(l *Lookups) error {
			if _, _, err := l.r.manifest(context.Background()); err != nil {
				return err
			}
			_, err := l.r.call(context.Background(), time.Minute, func(number uint64) *frame {
				return &frame{Body: &wirepb.Frame_ChunkQuery{ChunkQuery: &wirepb.ChunkQuery{Number: number, Epoch: 1, Serial: 1, Chunk: 1 << 31}}}
			})
			return err
		}, 0},
		"a list that outgrows the day": {CodeMessage, func(l *Lookups) error {
			return l.r.declare(context.Background(), asker{name: "u", purpose: "p", caseNumber: "c", list: make([]byte, 16)}, &wirepb.Standing{Epoch: 1, Serial: 1, Count: 1 << 40})
		}, 0},
		"requests after the end": {CodeMessage, func(l *Lookups) error {
			if err := l.r.l.send(&frame{Body: &wirepb.Frame_Done{Done: &wirepb.Done{}}}); err != nil {
				return err
			}
			return request(honest[:8*32], nil)(l)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := lookupPair(t, nil)
			l := north.look(t, agreement)
			codeIs(t, row.act(l), row.code, true)
			if l.Close() == nil {
				t.Error("the stream ended in order")
			}
			u, err := south.Store.EvaluationUsage(north.root(t), agreement, epoch)
			must(t, err)
			if u.Day != row.booked {
				t.Errorf("%d evaluations are booked, want %d", u.Day, row.booked)
			}
			for south.Live() > 0 {
				time.Sleep(time.Millisecond)
			}
			verifyLog(t, south)
		})
	}
}

// TestWrongEpoch: only that request is refused.
func TestWrongEpoch(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	l := north.look(t, agreement)
	for _, epoch := range []uint32{0, 2, 1 << 31} {
		_, err := l.rawRequest(epoch, elements(t, 8), nil)
		codeIs(t, err, CodeEpoch, true)
	}
	_, err := l.Lookup(t.Context(), north.the(t, "n-25"))
	must(t, err)
	must(t, l.Close())
	// An epoch that answers no more, though nobody has destroyed its key yet.
	end := epoch.Add((30*24 + 72) * time.Hour)
	south.at(end.Add(5 * time.Minute))
	north.at(south.now())
	_, err = north.OpenLookups(t.Context(), l.req)
	codeIs(t, err, CodeManifest, false)
	l.req.NoFetch = true
	_, err = north.OpenLookups(t.Context(), l.req)
	codeIs(t, err, CodeManifest, false)
	south.at(end) // the asker takes its own clock for the wrong one
	north.at(end)
	l, err = north.OpenLookups(t.Context(), l.req)
	must(t, err)
	_, err = l.Lookup(t.Context(), north.the(t, "n-25"))
	codeIs(t, err, CodeEpoch, true)
	must(t, l.Close())
}

func TestGrantIsChecked(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		code   Code
		change func(*wirepb.Grant)
	}{
		"another mode": {CodeSignature, func(g *wirepb.Grant) { g.Mode = "mutual" }},
		"another key":  {CodeSignature, func(g *wirepb.Grant) { g.Key, _, _ = ed25519.GenerateKey(rand.Reader) }},
		// Under such a key one signature would hold for many requests.
		"a key of small order": {CodeMessage, func(g *wirepb.Grant) {
			g.Key = make([]byte, 32)
		}},
		"half a key":        {CodeMessage, func(g *wirepb.Grant) { g.Key = g.Key[:31] }},
		"one signature":     {CodeSignature, func(g *wirepb.Grant) { g.Signature.MlDsa_65 = nil }},
		"a false signature": {CodeSignature, func(g *wirepb.Grant) { g.Signature.Ed25519 = flip(g.Signature.Ed25519) }},
		"no signature":      {CodeSignature, func(g *wirepb.Grant) { g.Signature = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := lookupPair(t, nil)
			north.tap(south, nil, edit(func(f *frame) {
				if g := f.GetGrant(); g != nil {
					row.change(g)
				}
			}))
			_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
			codeIs(t, err, row.code, true)
		})
	}
	t.Run("who may not ask", func(t *testing.T) {
		t.Parallel()
		north, south, agreement := lookupPair(t, func(a *Agreement) {
			a.Learns = identities()[0].Public().Fingerprint().String() // north asks
		})
		must(t, north.look(t, agreement).Close())
		south.connect(north, nil)
		_, err := south.Fetch(t.Context(), FetchRequest{Agreement: agreement})
		codeIs(t, err, CodeNotPermitted, false)
		south.lax(t, agreement, func(a *Agreement) { a.Learns = LearnsProposer })
		_, err = south.Fetch(t.Context(), FetchRequest{Agreement: agreement})
		codeIs(t, err, CodeNotPermitted, true)
	})
	t.Run("nothing published", func(t *testing.T) {
		t.Parallel()
		north, _, agreement := pair(t, lookups)
		_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
		codeIs(t, err, CodeNotPublished, true)
		_, err = north.OpenLookups(t.Context(), LookupRequest{Agreement: agreement, User: north.users[0], Purpose: "p", Case: "c"})
		codeIs(t, err, CodeNotPublished, false)
	})
}

// forge makes the owner show another manifest than it has published, signed by
// the given identity.
func forge(t *testing.T, signer *keys.Identity, change func(*lookup.Manifest)) func(*frame) []*frame {
	return edit(func(f *frame) {
		m := f.GetManifest()
		if m == nil {
			return
		}
		parsed, err := lookup.ParseManifest(m.Manifest)
		must(t, err)
		change(parsed)
		if m.Manifest, err = parsed.Bytes(); err != nil {
			t.Errorf("the forged manifest: %v", err)
			return
		}
		sig, err := signer.Sign(domainManifest, m.Manifest)
		must(t, err)
		m.Signature = wireSignature(sig)
	})
}

func TestForgedManifests(t *testing.T) {
	t.Parallel()
	otherKey, err := voprf.GenerateKey(voprf.ModeVOPRF, rand.Reader)
	must(t, err)
	for name, row := range map[string]struct {
		own    bool // signed by the owner itself
		change func(*lookup.Manifest)
	}{
		"signed by another":     {false, func(m *lookup.Manifest) {}},
		"of another agreement":  {true, func(m *lookup.Manifest) { m.Agreement = strings.Repeat("ab", 32) }},
		"of an earlier epoch":   {true, func(m *lookup.Manifest) { m.Epoch = 1 }},
		"of an earlier serial":  {true, func(m *lookup.Manifest) { m.Serial, m.Previous, m.Deltas = 1, "", nil }},
		"another of the serial": {true, func(m *lookup.Manifest) { m.Created = m.Created.Add(time.Second) }},
		"another key in the epoch": {true, func(m *lookup.Manifest) {
			m.Serial++
			m.Deltas = nil
			m.PublicKey = hex.EncodeToString(otherKey.Public().Bytes())
		}},
		"by other rules":          {true, func(m *lookup.Manifest) { m.Serial++; m.Deltas = nil; m.RuleSet = strings.Repeat("ab", 32) }},
		"normalised otherwise":    {true, func(m *lookup.Manifest) { m.Serial++; m.Deltas = nil; m.Normalisation = "x" }},
		"with more keys a record": {true, func(m *lookup.Manifest) { m.Serial++; m.Deltas = nil; m.MaxKeys = 32 }},
		"that answers too long":   {true, func(m *lookup.Manifest) { m.Serial++; m.Deltas = nil; m.ValidUntil = m.ValidUntil.Add(time.Hour) }},
		"from the future": {true, func(m *lookup.Manifest) {
			m.Serial++
			m.Deltas = nil
			m.Created = m.Created.Add(10 * time.Minute)
			m.ValidUntil = m.ValidUntil.Add(10 * time.Minute)
		}},
		"that does not follow": {true, func(m *lookup.Manifest) { m.Serial++; m.Deltas = nil; m.Previous = strings.Repeat("ab", 32) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := lookupPair(t, nil)
			_, err := south.publish1(agreement, func(r *PublishRequest) { r.RotateNow = true })
			must(t, err)
			south.setData(t, people("s", 20, 81))
			must(t, south.publish(agreement)) // version 2.2
			_, err = north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
			must(t, err)
			signer := identities()[0]
			if row.own {
				signer = identities()[1]
			}
			north.tap(south, forge(t, signer, row.change), nil)
			_, err = north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
			codeIs(t, err, CodeManifest, false)
			// What was there serves on.
			north.connect(south, nil)
			l := north.look(t, agreement)
			res, err := l.Lookup(t.Context(), north.the(t, "n-25"))
			must(t, err)
			if len(res.Hits) != 1 || res.Epoch != 2 || res.Serial != 2 {
				t.Errorf("then %+v", res)
			}
			must(t, l.Close())
		})
	}
}

// An owner that makes its filter by other terms than the agreement's.
func TestFilterOfOtherTerms(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Agreement){
		"oversized labels":       func(a *Agreement) { a.Labels = &Labels{Bytes: 256, Slots: 2} },
		"more labels a key":      func(a *Agreement) { a.Labels = &Labels{Bytes: 200, Slots: 3} },
		"no labels":              func(a *Agreement) { a.Labels = nil },
		"more false positives":   func(a *Agreement) { a.Lookup.FalsePositiveLog2 = 20 },
		"an epoch of many years": func(a *Agreement) { a.Lookup.EpochDays = 3650 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := pair(t, lookups)
			south.lax(t, agreement, change)
			must(t, south.publish(agreement))
			_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
			codeIs(t, err, CodeManifest, false)
			if list, _ := north.Filters(""); len(list) != 0 {
				t.Errorf("%+v is on the disk", list)
			}
		})
	}
}

func TestReplayedManifest(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	var first *frame
	north.tap(south, func(f *frame) []*frame {
		if f.GetManifest() != nil {
			if first == nil {
				first = f
			}
			f.GetManifest().Manifest, f.GetManifest().Signature = first.GetManifest().Manifest, first.GetManifest().Signature
		}
		return []*frame{f}
	}, nil)
	_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	south.setData(t, people("s", 20, 81))
	must(t, south.publish(agreement))
	again, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err) // the same as before is no harm
	if again.New || again.Serial != 1 {
		t.Errorf("fetched %+v", again)
	}
	north.connect(south, nil)
	_, err = north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	north.tap(south, func(f *frame) []*frame {
		if f.GetManifest() != nil {
			f.GetManifest().Manifest, f.GetManifest().Signature = first.GetManifest().Manifest, first.GetManifest().Signature
		}
		return []*frame{f}
	}, nil)
	_, err = north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	codeIs(t, err, CodeManifest, false)
	if !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("refused by %v", err)
	}
	verifyLog(t, north)
}

// Altered filters and deltas are found before anything of them is kept.
func TestAlteredFiles(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	for name, change := range map[string]func([]byte) []byte{
		"altered": flip,
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
		"longer":  func(b []byte) []byte { return append(bytes.Clone(b), 0) },
		"empty":   func([]byte) []byte { return nil },
	} {
		bad := edit(func(f *frame) {
			if c := f.GetFileChunk(); c != nil {
				c.Payload = change(c.Payload)
			}
		})
		north.tap(south, bad, nil)
		if _, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement}); err == nil {
			t.Errorf("%s: a filter was taken", name)
		} else {
			codeIs(t, err, CodeManifest, false)
		}
		if list, _ := north.Filters(""); len(list) != 0 {
			t.Errorf("%s: %+v is on the disk", name, list)
		}
	}
	north.connect(south, nil)
	_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	south.setData(t, people("s", 20, 81))
	must(t, south.publish(agreement))
	byDelta := false
	north.tap(south, edit(func(f *frame) {
		if c := f.GetFileChunk(); c != nil {
			c.Payload = flip(c.Payload)
		}
	}), func(f *frame) []*frame {
		byDelta = byDelta || f.GetChunkQuery().GetFrom() == 1
		return []*frame{f}
	})
	_, err = north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	codeIs(t, err, CodeManifest, false)
	if !byDelta {
		t.Error("no delta was fetched")
	}
	north.connect(south, nil)
	f, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	if !f.ByDelta || f.Serial != 2 {
		t.Errorf("fetched %+v", f)
	}
}

// TestFetchResumes cuts a fetch in the middle and restarts the asker's node.
func TestFetchResumes(t *testing.T) {
	t.Parallel()
	north, south, agreement := pair(t, lookups)
	south.setData(t, people("s", 0, 2000))
	must(t, south.publish(agreement))
	chunks := 0
	north.connect(south, nil)
	inner := north.dial
	north.dial = func(ctx context.Context, p store.Peer) (Conn, func(), error) {
		ctx, hang := context.WithCancel(ctx)
		c, done, err := inner(ctx, p)
		return &tapConn{Conn: c, in: func(f *frame) []*frame {
			if f.GetFileChunk() != nil {
				if chunks++; chunks == 2 {
					hang()
					return nil
				}
			}
			return []*frame{f}
		}}, func() { done(); hang() }, err
	}
	if _, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement}); err == nil {
		t.Fatal("a fetch that was cut off is complete")
	}
	if list, _ := north.Filters(""); len(list) != 0 {
		t.Errorf("half a filter is on the disk: %+v", list)
	}
	again := north.restart(t)
	again.connect(south, nil)
	f, err := again.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	if f.FilterBytes <= lookup.ChunkSize || f.Received != f.FilterBytes-lookup.ChunkSize {
		t.Errorf("%d bytes of %d were fetched after the restart, the first %d were there", f.Received, f.FilterBytes, lookup.ChunkSize)
	}
	l := again.look(t, agreement)
	res, err := l.Lookup(t.Context(), again.the(t, "n-25"))
	must(t, err)
	if len(res.Hits) != 1 {
		t.Errorf("then %+v", res)
	}
	must(t, l.Close())
}

// A filter that is damaged on our own disk is fetched again.
func TestDamagedCopy(t *testing.T) {
	t.Parallel()
	north, _, agreement := lookupPair(t, nil)
	_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	files, err := filepath.Glob(filepath.Join(north.peerPath(epochID{agreement, 1}), "filter-*"))
	must(t, err)
	must(t, os.Truncate(files[0], 100))
	l := north.look(t, agreement)
	res, err := l.Lookup(t.Context(), north.the(t, "n-25"))
	must(t, err)
	if len(res.Hits) != 1 {
		t.Errorf("then %+v", res)
	}
	must(t, l.Close())
}

// childPublishes publishes changing registers for ever, in the directory of an
// owner that the parent has set up.
func childPublishes(dir string) {
	t := &testing.T{}
	agreement := os.Getenv("SYMBOLON_PROTOCOL_AGREEMENT")
	ag := openAgency(t, dir)
	for i := 0; ; i++ {
		if err := os.WriteFile(ag.data, []byte(people("s", i%30, 80+i%50)), 0o600); err != nil {
			panic(err)
		}
		if _, err := ag.publish1(agreement, func(r *PublishRequest) { r.RotateNow, r.NoOverlap = i%4 == 3, i%8 == 7 }); err != nil {
			panic(err)
		}
		os.Stdout.WriteString(".")
	}
}

// openAgency opens south's node over the files of an earlier one.
func openAgency(t *testing.T, dir string) *agency {
	s, err := store.Open(dir)
	if err != nil {
		panic(err)
	}
	ag := &agency{t: t, data: filepath.Join(dir, "data.csv"), clock: epoch}
	for i := range 3 {
		u, err := keys.NewUser(psi.NewStream([]byte("south"), "user", uint32(i)), "user"+string(rune('0'+i)))
		if err != nil {
			panic(err)
		}
		ag.users = append(ag.users, u)
	}
	ag.Node, err = NewNode(Options{Identity: identities()[1], Store: s, Dir: dir, Now: ag.now,
		Source: func(string) (Source, error) { return ag.source(), nil }})
	if err != nil {
		panic(err)
	}
	return ag
}

// TestOwnerKilled kills a process that publishes, again and again, at any
// moment. What is served afterwards is whole.
func TestOwnerKilled(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	dir := filepath.Dir(south.data)
	must(t, south.Close(t.Context()))
	must(t, south.Store.Close())
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, "SYMBOLON_PROTOCOL_AGREEMENT="+agreement)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		dots := make([]byte, 1+round)
		if _, err := out.Read(dots[:1]); err != nil { // it has published once
			t.Fatal(err)
		}
		time.Sleep(time.Duration(7*round) * time.Millisecond)
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()

		again := openAgency(t, dir)
		north.connect(again, nil)
		l, err := north.OpenLookups(t.Context(), LookupRequest{Agreement: agreement, User: north.users[0], Purpose: "p", Case: "c"})
		must(t, err)
		res, err := l.Lookup(t.Context(), north.the(t, "n-35"))
		must(t, err)
		if len(res.Hits) != 1 {
			t.Errorf("round %d: %+v", round, res)
		}
		must(t, l.Close())
		again.t = t
		again.setData(t, people("s", 0, 80+round)) // the child may have died writing it
		before, _ := again.Publications(agreement)
		_, err = again.publish1(agreement, nil)
		must(t, err)
		after, err := again.Publications(agreement)
		must(t, err)
		if len(after) < len(before) {
			t.Errorf("round %d: publications were lost", round)
		}
		verifyLog(t, again)
		must(t, again.Close(t.Context()))
		must(t, again.Store.Close())
	}
	// South's own clean-up closes its store a second time, which does nothing.
	if err := errors.Join(south.Store.Close()); err != nil {
		t.Error(err)
	}
}
