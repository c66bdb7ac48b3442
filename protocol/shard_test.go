package protocol

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi"
)

// shardedPair makes a pair whose sets of 300 people, 100 in common, take 8
// shards, or 4 with the engine whose shards cost more to open.
func shardedPair(t *testing.T, engine string, mode psi.Mode) (north, south *agency, agreement string) {
	t.Helper()
	north, south, agreement = pair(t, func(a *Agreement) {
		a.Engine, a.Security = engine, EngineSecurity(engine)[0]
		a.Modes, a.CardinalityRule = []psi.Mode{mode}, ""
		if mode == psi.ModeCardinality {
			a.CardinalityRule = "document"
		}
		a.Caps = Caps{ItemsPerSession: 4096, ItemsPerDay: 1 << 20, SessionsPerDay: 100}
		a.ShardItems = 256
		if engine == EngineVOLE {
			a.ShardItems = 512
		}
	})
	must(t, os.WriteFile(north.data, []byte(people("n", 0, 300)), 0o600))
	must(t, os.WriteFile(south.data, []byte(people("s", 200, 500)), 0o600))
	return north, south, agreement
}

// A sharded session gives what a whole one gives.
func TestShardedSession(t *testing.T) {
	for _, tt := range []struct {
		engine string
		mode   psi.Mode
	}{
		{EngineVOLE, psi.ModeMutual}, {EngineVOLE, psi.ModeIntersection}, {EngineDH, psi.ModeMutual}, {EngineDH, psi.ModeCardinality},
	} {
		t.Run(fmt.Sprintf("%s %s", tt.engine, tt.mode), func(t *testing.T) {
			t.Parallel()
			north, south, agreement := shardedPair(t, tt.engine, tt.mode)
			out, err := north.match(agreement, tt.mode)
			must(t, err)
			if tt.mode == psi.ModeCardinality {
				if out.Count != 100 {
					t.Errorf("count %d, want 100", out.Count)
				}
				return
			}
			checkSharded(t, out)
			if tt.mode == psi.ModeMutual {
				hits, err := south.Store.Results(out.Session)
				must(t, err)
				if len(hits) != 100 {
					t.Errorf("the sender learned %d hits, want 100", len(hits))
				}
			}
			verifyLog(t, north)
			verifyLog(t, south)
		})
	}
}

func checkSharded(t *testing.T, out *Outcome) {
	t.Helper()
	if got, want := ids(out.Hits), wantIDs("n", 200, 300); !slices.Equal(got, want) {
		t.Fatalf("hits %v, want %v", got, want)
	}
	for _, h := range out.Hits {
		if want := "REF-s-" + h.ID[2:]; h.Reference != want || len(h.Flags) > 0 {
			t.Errorf("reference of %s is %q %v, want %q", h.ID, h.Reference, h.Flags, want)
		}
	}
}

// A session that is cut goes on after the last shard that both sides finished,
// also in a new process, and its labels open although their entries came before
// the cut.
func TestResumeAfterShard(t *testing.T) {
	for _, engine := range Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := shardedPair(t, engine, psi.ModeMutual)
			handle, err := north.propose1(agreement, psi.ModeMutual)
			must(t, err)
			plain := north.dial
			var from []uint32 // the shard that each attempt starts from
			attempt := func(frames int) (*Outcome, error) {
				north.dial = func(ctx context.Context, p store.Peer) (Conn, func(), error) {
					ctx, hang := context.WithCancel(ctx)
					c, done, err := plain(ctx, p)
					watch := func(f *frame) []*frame {
						if s := f.GetStart(); s != nil {
							from = append(from, s.FinishedShards)
						}
						return []*frame{f}
					}
					return &tapConn{Conn: &cutConn{Conn: c, left: frames, hang: hang}, out: watch}, func() { hang(); done() }, err
				}
				return north.Run(t.Context(), handle, RunOptions{Source: north.source()})
			}
			// All shards' frames lie between the opening and the table: cut in
			// the middle of them, twice.
			per, cuts := 6, []int{3, 2}
			if engine == EngineVOLE {
				per, cuts = 14, []int{2, 1}
			}
			for _, shards := range cuts {
				frames := 12 + shards*per
				if _, err := attempt(frames); err == nil {
					t.Fatalf("an attempt got through with %d frames", frames)
				}
				noResult(t, north)
				for _, ag := range []*agency{north, south} {
					again, err := NewNode(ag.Options)
					must(t, err)
					ag.Node = again
				}
				north.connect(south, nil)
				plain = north.dial
			}
			out, err := attempt(1 << 30)
			must(t, err)
			checkSharded(t, out)
			if len(from) != 3 || from[0] != 0 || from[1] == 0 || from[2] <= from[1] || from[2] > 7 {
				t.Errorf("the attempts began at shards %v", from)
			}
			if out.Attempt != 3 || !out.Signed {
				t.Errorf("attempt %d, signed: %v", out.Attempt, out.Signed)
			}
			for _, ag := range []*agency{north, south} {
				if left, err := ag.Store.Shards(handle); err != nil || len(left) > 0 {
					t.Errorf("%d shards are left in the store: %v", len(left), err)
				}
			}
		})
	}
}
