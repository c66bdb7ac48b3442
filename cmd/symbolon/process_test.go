package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon/symbolon/internal/store"
)

// world is a directory with two agencies, each command its own process.
type world struct {
	*testing.T
	dir string
	// net is how north reaches south.
	net *proxy
}

// people is how many records each side has: what south answers is well over
// halfway.
const (
	people  = 5_000
	halfway = 100_000 // bytes that south sends until the middle of a session
)

// newWorld makes two agencies whose data share three people.
func newWorld(t *testing.T) *world {
	w := &world{t, t.TempDir(), newProxy(t)}
	run := func(args ...string) string { return w.run(0, args...).stdout }
	if _, err := makeAgencies(w.dir, run, []string{"--approval", "auto", "--modes", "mutual", "--engine", "dh", "--padding", "exact"}); err != nil {
		t.Fatal(err)
	}
	for i, n := range []string{"north", "south"} {
		var b strings.Builder
		b.WriteString("id,primary_name,date_of_birth\n")
		for p := range people {
			who := p + i*people
			if p < 3 {
				who = p
			}
			fmt.Fprintf(&b, "%s-%d,Person%d Test,1980-01-01\n", n, p, who)
		}
		if err := os.WriteFile(filepath.Join(w.dir, n+".csv"), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// process is a command that runs or has run.
type process struct {
	*exec.Cmd
	w              *world
	outBuf, errBuf bytes.Buffer
	stdout, stderr string
}

func (w *world) start(args ...string) *process {
	w.Helper()
	p := &process{Cmd: exec.Command("symbolon", args...), w: w}
	p.Dir, p.Env = w.dir, append(os.Environ(), testEnv...)
	p.Stdout, p.Stderr = &p.outBuf, &p.errBuf
	if err := p.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if p.ProcessState == nil {
			p.Process.Kill()
			p.Wait()
		}
	})
	return p
}

// end waits for the process, which must exit with a code; -1 is a kill.
func (p *process) end(code int) *process {
	p.w.Helper()
	p.Wait()
	p.stdout, p.stderr = p.outBuf.String(), p.errBuf.String()
	if got := p.ProcessState.ExitCode(); got != code {
		p.w.Fatalf("symbolon %s: exit code %d, want %d\n%s%s", strings.Join(p.Args[1:], " "), got, code, p.stdout, p.stderr)
	}
	return p
}

func (p *process) kill() {
	p.w.Helper()
	if err := p.Process.Kill(); err != nil {
		p.w.Fatal(err)
	}
	p.end(-1)
}

func (w *world) run(code int, args ...string) *process {
	w.Helper()
	return w.start(args...).end(code)
}

// serve starts south's node, which north reaches through the proxy.
func (w *world) serve(flags ...string) *process {
	w.Helper()
	addr := filepath.Join(w.dir, "south", listenAddrFile)
	os.Remove(addr)
	p := w.start(append([]string{"--dir", "south", "serve"}, flags...)...)
	var raw []byte
	w.until("south listens", func() bool {
		var err error
		raw, err = os.ReadFile(addr)
		return err == nil
	})
	w.net.target(strings.TrimSpace(string(raw)))
	w.run(0, "--dir", "north", "peer", "address", "south", w.net.addr)
	return p
}

func (w *world) match(args ...string) *process {
	w.Helper()
	return w.start(append([]string{"--dir", "north", "--user", "ann", "match", "--data", "north.csv"}, args...)...)
}

func (w *world) until(what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("waited in vain until %s", what)
		}
	}
}

// session returns the session of a case at a node.
func (w *world) session(dir, number string) (v sessionView) {
	w.Helper()
	var all struct{ Sessions []sessionView }
	if err := json.Unmarshal([]byte(w.run(0, "--dir", dir, "sessions", "--json").stdout), &all); err != nil {
		w.Fatal(err)
	}
	for _, s := range all.Sessions {
		if s.Case == number {
			return s
		}
	}
	return v
}

// halt starts a match and waits until it is in the middle, where it stays until
// the proxy is released.
func (w *world) halt(number string, args ...string) *process {
	w.Helper()
	w.net.hold(halfway)
	m := w.match(args...)
	w.untilRunning("south", number)
	w.untilRunning("north", number)
	return m
}

func (w *world) untilRunning(dir, number string) {
	w.Helper()
	w.until("the session runs", func() bool { return w.session(dir, number).State == store.SessionRunning })
}

// checkAborted checks what a session that was cut off has left behind.
func (w *world) checkAborted(dir, number string) sessionView {
	w.Helper()
	s := w.session(dir, number)
	if s.State != store.SessionAborted || s.Attempts != 1 {
		w.Errorf("%s: session is %s after %d attempts, want aborted after 1", dir, s.State, s.Attempts)
	}
	if out := w.run(1, "--dir", dir, "sessions", "results", s.Session); out.stdout != "" {
		w.Errorf("%s: an aborted session has results: %s", dir, out.stdout)
	}
	w.run(0, "--dir", dir, "audit", "verify")
	return s
}

func (w *world) checkFinished(number string) {
	w.Helper()
	for _, dir := range []string{"north", "south"} {
		s := w.session(dir, number)
		if s.State != store.SessionFinished || s.Attempts != 2 || s.Count == nil || *s.Count != 3 {
			w.Errorf("%s: session is %s after %d attempts, want finished after 2 with 3 keys shared", dir, s.State, s.Attempts)
		}
		w.run(0, "--dir", dir, "audit", "verify")
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	south := w.serve()

	// The answering node dies in the middle of a session.
	m := w.halt("A", "--peer", "south", "--purpose", "p", "--case", "A", "--out", "a.csv")
	south.kill()
	if out := m.end(exitUnreachable); !strings.Contains(out.stderr, "match --resume") {
		t.Errorf("no hint how to go on: %s", out.stderr)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "a.csv")); err == nil {
		t.Error("a session that was cut off wrote its hits")
	}
	w.net.release()
	south = w.serve() // over a stale socket
	s := w.checkAborted("south", "A")
	if s.Outcome != store.OutcomeInterrupted {
		t.Errorf("outcome %q, want %q", s.Outcome, store.OutcomeInterrupted)
	}
	w.checkAborted("north", "A")
	w.match("--resume", s.Session, "--out", "a.csv").end(0)
	w.checkFinished("A")
	var peer peerView
	if err := json.Unmarshal([]byte(w.run(0, "--dir", "south", "peer", "show", "north", "--json").stdout), &peer); err != nil {
		t.Fatal(err)
	}
	if peer.Used == nil || peer.Used.ItemsIn != 2*people {
		t.Errorf("the peer's budget counts %+v, want both attempts", peer.Used)
	}

	// The proposing process dies; commands beside it have used its socket.
	m = w.halt("B", "--peer", "south", "--purpose", "p", "--case", "B", "--out", "b.csv")
	m.kill()
	w.net.release()
	w.until("south has noticed", func() bool { return w.session("south", "B").State == store.SessionAborted })
	id := w.session("north", "B").Session
	w.match("--resume", id, "--out", "b.csv").end(0)
	w.checkFinished("B")

	// A suspension by the other side ends a running session at once.
	m = w.halt("C", "--peer", "south", "--purpose", "p", "--case", "C", "--json")
	w.run(0, "--dir", "south", "agreement", "suspend", s.Agreement, "--reason", "stop")
	w.net.release()
	if out := m.end(exitRefused); !strings.Contains(out.stderr, `"code":"agreement-not-in-force"`) {
		t.Errorf("the proposer was told %s", out.stderr)
	}
	w.checkAborted("south", "C")
	w.run(0, "--dir", "south", "agreement", "resume", s.Agreement)

	// A stop lets the running session finish.
	m = w.halt("C", "--resume", w.session("north", "C").Session)
	if err := south.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	w.net.release()
	south.end(0)
	m.end(0) // the grace was long enough
	if !strings.Contains(south.stderr, `"message":"stopped"`) {
		t.Errorf("the node did not stop in order: %s", south.stderr)
	}
	w.checkFinished("C")

	// A stop whose grace ends aborts the session on both sides.
	south = w.serve("--grace", "1ms")
	m = w.halt("D", "--peer", "south", "--purpose", "p", "--case", "D")
	if err := south.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	south.end(0)
	m.end(exitUnreachable)
	w.checkAborted("south", "D")
	w.checkAborted("north", "D")
}
