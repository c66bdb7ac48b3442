package protocol

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

type frame = wirepb.Frame

// tapConn lets a test see and change what passes.
type tapConn struct {
	Conn
	// out and in return what becomes of a frame: itself, others, or none.
	out, in func(*wirepb.Frame) []*wirepb.Frame
	queue   []*wirepb.Frame
}

func (c *tapConn) Send(f *wirepb.Frame) error {
	if c.out == nil {
		return c.Conn.Send(f)
	}
	for _, f := range c.out(f) {
		if err := c.Conn.Send(f); err != nil {
			return err
		}
	}
	return nil
}

func (c *tapConn) Recv() (*wirepb.Frame, error) {
	for {
		if len(c.queue) > 0 {
			f := c.queue[0]
			c.queue = c.queue[1:]
			return f, nil
		}
		f, err := c.Conn.Recv()
		if err != nil || c.in == nil {
			return f, err
		}
		c.queue = c.in(f)
	}
}

// edit returns a tap that changes every frame for which change does something.
func edit(change func(*wirepb.Frame)) func(*wirepb.Frame) []*wirepb.Frame {
	return func(f *wirepb.Frame) []*wirepb.Frame {
		f = proto.Clone(f).(*wirepb.Frame)
		change(f)
		return []*wirepb.Frame{f}
	}
}

// instead replaces the first frame that matches.
func instead(matches func(*wirepb.Frame) bool, with ...*wirepb.Frame) func(*wirepb.Frame) []*wirepb.Frame {
	done := false
	return func(f *wirepb.Frame) []*wirepb.Frame {
		if done || !matches(f) {
			return []*wirepb.Frame{f}
		}
		done = true
		return with
	}
}

func isEngine(f *wirepb.Frame) bool { return f.GetEngine() != nil }
func isStart(f *wirepb.Frame) bool  { return f.GetStart() != nil }

func engineFrame(kind uint32, payload []byte) *wirepb.Frame {
	return &wirepb.Frame{Body: &wirepb.Frame_Engine{Engine: &wirepb.Engine{Kind: kind, Payload: payload}}}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// hostile lists what a peer may do wrong; every row must end the session on the
// honest side with the code, and leave neither result nor doubt.
var hostile = []struct {
	name string
	code Code
	tap  func() func(*wirepb.Frame) []*wirepb.Frame
}{
	{"another version", CodeVersion, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if h := f.GetHello(); h != nil {
				h.Version = 2
			}
		})
	}},
	{"another rule set", CodeRules, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if h := f.GetHello(); h != nil {
				h.RulesHash = flip(h.RulesHash)
			}
		})
	}},
	{"another normalisation", CodeRules, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if h := f.GetHello(); h != nil {
				h.Normalisation += "x"
			}
		})
	}},
	{"a canary that drifted", CodeCanary, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if h := f.GetHello(); h != nil {
				h.Canary = flip(h.Canary)
			}
		})
	}},
	{"a canary of the wrong length", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if h := f.GetHello(); h != nil {
				h.Canary = h.Canary[:31]
			}
		})
	}},
	{"a clock an hour off", CodeClock, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if h := f.GetHello(); h != nil {
				h.UnixSeconds += 3600
			}
		})
	}},
	{"knows more of our log than there is", CodeLog, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if q := f.GetLogQuery(); q != nil {
				q.KnownSize = 1000
			}
		})
	}},
	{"an altered log head", CodeLog, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if h := f.GetLogHead(); h != nil {
				lines := bytes.SplitN(h.Checkpoint, []byte("\n"), 3) // origin, size, the rest
				lines[1] = []byte("9")
				h.Checkpoint = bytes.Join(lines, []byte("\n"))
			}
		})
	}},
	{"a countersignature on another head", CodeLog, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if h := f.GetLogCosign(); h != nil {
				h.Checkpoint = flip(h.Checkpoint)
			}
		})
	}},
	{"an engine message before Start", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return instead(isStart, engineFrame(1, make([]byte, 32)))
	}},
	{"another session's Start", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if s := f.GetStart(); s != nil {
				s.Session = flip(s.Session)
			}
		})
	}},
	{"attempt 0", CodeAttempts, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if s := f.GetStart(); s != nil {
				s.Attempt = 0
			}
		})
	}},
	{"a fourth attempt", CodeAttempts, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if s := f.GetStart(); s != nil {
				s.Attempt = 4
			}
		})
	}},
	{"more items than the cap", CodeBudget, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if s := f.GetStart(); s != nil {
				s.Items = 2048
			}
		})
	}},
	{"items beyond any limit", CodeBudget, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if s := f.GetStart(); s != nil {
				s.Items = 1 << 63
			}
		})
	}},
	{"items that are not padded", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if s := f.GetStart(); s != nil {
				s.Items = 200
			}
		})
	}},
	{"a short commitment", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if s := f.GetStart(); s != nil {
				s.Commitment = s.Commitment[:16]
			}
		})
	}},
	{"an identity element", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if e := f.GetEngine(); e != nil {
				clear(e.Payload[:32])
			}
		})
	}},
	{"a non-canonical element", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if e := f.GetEngine(); e != nil {
				copy(e.Payload, bytes.Repeat([]byte{0xff}, 32))
			}
		})
	}},
	{"an engine message of an unknown kind", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return instead(isEngine, engineFrame(200, make([]byte, 32)))
	}},
	{"an engine message of kind 300", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return instead(isEngine, engineFrame(300, make([]byte, 32)))
	}},
	{"an engine message twice", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return func(f *wirepb.Frame) []*wirepb.Frame { return append([]*wirepb.Frame{f}, repeated(f)...) }
	}},
	{"a short engine message", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if e := f.GetEngine(); e != nil {
				e.Payload = e.Payload[:len(e.Payload)-1]
			}
		})
	}},
	{"an empty frame", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return instead(isEngine, &wirepb.Frame{})
	}},
	{"a Finish too early", CodeMessage, func() func(*wirepb.Frame) []*wirepb.Frame {
		return instead(isEngine, &wirepb.Frame{Body: &wirepb.Frame_Finish{Finish: &wirepb.Finish{}}})
	}},
	{"a transcript of its own", CodeSignature, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if m := f.GetFinish(); m != nil {
				m.Transcript = flip(m.Transcript)
			}
		})
	}},
	{"a transcript signed with one key only", CodeSignature, func() func(*wirepb.Frame) []*wirepb.Frame {
		return edit(func(f *wirepb.Frame) {
			if m := f.GetFinish(); m != nil {
				m.Signature.MlDsa_65 = flip(m.Signature.MlDsa_65)
			}
		})
	}},
}

func repeated(f *wirepb.Frame) []*wirepb.Frame {
	if f.GetEngine() == nil {
		return nil
	}
	return []*wirepb.Frame{proto.Clone(f).(*wirepb.Frame)}
}

// TestHostile lets each side in turn be the peer that misbehaves.
func TestHostile(t *testing.T) {
	for _, side := range []string{"proposer", "acceptor"} {
		for _, tt := range hostile {
			t.Run(side+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				north, south, agreement := pair(t, nil)
				victim := south
				north.connect(south, func(c Conn) Conn {
					if side == "proposer" {
						return &tapConn{Conn: c, out: tt.tap()}
					}
					return &tapConn{Conn: c, in: tt.tap()}
				})
				_, err := north.match(agreement, psi.ModeIntersection)
				var e *Error
				if side == "acceptor" {
					victim = north
					if !errors.As(err, &e) && !errors.Is(err, psi.ErrPeer) || e != nil && e.ByPeer {
						t.Fatalf("got %v, want our own refusal", err)
					}
				} else if !errors.As(err, &e) || !e.ByPeer {
					t.Fatalf("got %v, want the peer's refusal", err)
				}
				if code, _ := codeOf(err); code != tt.code {
					t.Fatalf("got code %q (%v), want %q", code, err, tt.code)
				}
				noResult(t, victim)
			})
		}
	}
}

// noResult checks that nothing is running, finished or half-written, and that
// the log holds.
func noResult(t *testing.T, ag *agency) {
	t.Helper()
	rows, err := ag.Store.Sessions(store.SessionFilter{})
	must(t, err)
	for _, row := range rows {
		if row.State == store.SessionRunning || row.State == store.SessionFinished {
			t.Errorf("session is %s", row.State)
		}
		if _, err := ag.Store.Results(row.ID); err == nil {
			t.Error("an unfinished session has results")
		}
	}
	verifyLog(t, ag)
}

// A receiver that claims a hit it does not have is caught.
func TestInventedReceipt(t *testing.T) {
	for name, change := range map[string]func(*wirepb.Receipts){
		"wrong receipt":    func(m *wirepb.Receipts) { m.Payload = flip(m.Payload) },
		"a receipt more":   func(m *wirepb.Receipts) { m.Total++; m.Payload = append(m.Payload, m.Payload[:42]...) },
		"too many":         func(m *wirepb.Receipts) { m.Total = 5000 },
		"beyond all sense": func(m *wirepb.Receipts) { m.Total = 1 << 62 },
		"too short":        func(m *wirepb.Receipts) { m.Payload = m.Payload[:len(m.Payload)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := pair(t, nil)
			north.connect(south, func(c Conn) Conn {
				return &tapConn{Conn: c, out: edit(func(f *wirepb.Frame) {
					if m := f.GetReceipts(); m != nil {
						change(m)
					}
				})}
			})
			_, err := north.match(agreement, psi.ModeMutual)
			if code, _ := codeOf(err); code != CodeMessage {
				t.Fatalf("got %v, want %s", err, CodeMessage)
			}
			noResult(t, south)
		})
	}
}

// cutConn breaks after so many frames in both directions together.
type cutConn struct {
	Conn
	mu   sync.Mutex
	left int
	hang func()
}

var errCut = errors.New("connection reset by test")

func (c *cutConn) spend() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	if c.left < 0 {
		c.hang()
	}
	return c.left >= 0
}

func (c *cutConn) Send(f *wirepb.Frame) error {
	if !c.spend() {
		return errCut
	}
	return c.Conn.Send(f)
}

func (c *cutConn) Recv() (*wirepb.Frame, error) {
	f, err := c.Conn.Recv()
	if err == nil && !c.spend() {
		return nil, errCut
	}
	return f, err
}

// TestCutAnywhere cuts the connection after every frame of a session in turn.
// The session then runs again: what is lost is the attempt, nothing else, and
// no attempt repeats what an earlier one sent.
func TestCutAnywhere(t *testing.T) {
	ran := false
	for frames := 0; !ran; frames++ {
		north, south, agreement := pair(t, func(a *Agreement) { a.Labels = nil })
		handle, err := north.propose1(agreement, psi.ModeMutual)
		must(t, err)
		var blinded [][]byte
		note := func(f *wirepb.Frame) []*wirepb.Frame {
			if e := f.GetEngine(); e != nil {
				blinded = append(blinded, bytes.Clone(e.Payload))
			}
			return []*wirepb.Frame{f}
		}
		plain := north.dial
		north.dial = func(ctx context.Context, p store.Peer) (Conn, func(), error) {
			ctx, hang := context.WithCancel(ctx)
			c, done, err := plain(ctx, p)
			return &tapConn{Conn: &cutConn{Conn: c, left: frames, hang: hang}, out: note}, func() { hang(); done() }, err
		}
		out, err := north.Run(t.Context(), handle, RunOptions{Source: north.source()})
		if err == nil && out.Signed {
			ran = true
			if frames < 15 {
				t.Fatalf("a session took only %d frames", frames)
			}
			break
		}
		if err == nil { // only the peer's last signature was lost
			if len(out.Hits) != 20 {
				t.Fatalf("cut after %d frames: %d hits", frames, len(out.Hits))
			}
			continue
		}
		noResult(t, north)
		verifyLog(t, south)
		first := len(blinded)
		north.dial = func(ctx context.Context, p store.Peer) (Conn, func(), error) {
			c, done, err := plain(ctx, p)
			return &tapConn{Conn: c, out: note}, done, err
		}
		out, err = north.Run(t.Context(), handle, RunOptions{Source: north.source()})
		if rows, _ := south.Store.Sessions(store.SessionFilter{States: []string{store.SessionFinished}}); err != nil && len(rows) == 1 {
			continue // the acceptor has its result and says so
		}
		if err != nil || len(out.Hits) != 20 {
			t.Fatalf("after a cut after %d frames: %v", frames, err)
		}
		for _, a := range blinded[:first] {
			for _, b := range blinded[first:] {
				if n := min(len(a), len(b), 32); bytes.Equal(a[:n], b[:n]) {
					t.Fatalf("cut after %d frames: the second attempt repeats a mask of the first", frames)
				}
			}
		}
		if first > 0 && out.Attempt != 2 {
			t.Errorf("cut after %d frames: attempt %d, want 2", frames, out.Attempt)
		}
	}
}

// A peer that says nothing is left after the idle timeout, on either side.
func TestSilentPeer(t *testing.T) {
	north, south, agreement := pair(t, nil)
	quick := Timeouts{Handshake: 300 * time.Millisecond, Idle: 300 * time.Millisecond, Round: time.Second, Session: 5 * time.Second, Close: 200 * time.Millisecond}
	north.Timeouts, south.Timeouts = quick, quick
	for name, tt := range map[string]struct {
		out, in func(*wirepb.Frame) []*wirepb.Frame
	}{
		"from the start": {func(*wirepb.Frame) []*wirepb.Frame { return nil }, nil},
		"acceptor":       {nil, func(*wirepb.Frame) []*wirepb.Frame { return nil }},
		"in the engine": {func(f *wirepb.Frame) []*wirepb.Frame {
			if isEngine(f) {
				return nil
			}
			return []*wirepb.Frame{f}
		}, nil},
		"only working": {func(f *wirepb.Frame) []*wirepb.Frame {
			if isEngine(f) {
				return []*wirepb.Frame{{Body: &wirepb.Frame_Working{Working: &wirepb.Working{}}}}
			}
			return []*wirepb.Frame{f}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			north.connect(south, func(c Conn) Conn { return &tapConn{Conn: c, out: tt.out, in: tt.in} })
			_, err := north.match(agreement, psi.ModeIntersection)
			if code, _ := codeOf(err); code != CodeTimeout {
				t.Fatalf("got %v, want %s", err, CodeTimeout)
			}
		})
	}
}

// Cancelling tells the peer and ends promptly.
func TestCancel(t *testing.T) {
	north, south, agreement := pair(t, nil)
	handle, err := north.propose1(agreement, psi.ModeIntersection)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	north.connect(south, func(c Conn) Conn {
		return &tapConn{Conn: c, out: func(f *wirepb.Frame) []*wirepb.Frame {
			if isEngine(f) {
				cancel()
				return nil
			}
			return []*wirepb.Frame{f}
		}}
	})
	if _, err := north.Run(ctx, handle, RunOptions{Source: north.source()}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	rows, err := south.Store.Sessions(store.SessionFilter{})
	must(t, err)
	if rows[0].State != store.SessionAborted || rows[0].Outcome != string(CodeCancelled) {
		t.Errorf("the acceptor has %s, %s", rows[0].State, rows[0].Outcome)
	}
}
