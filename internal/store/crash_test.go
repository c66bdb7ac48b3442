package store

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The tests here run this test binary again as another process.
const (
	childMode = "SYMBOLON_STORE_CHILD"
	childDir  = "SYMBOLON_STORE_DIR"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	switch os.Getenv(childMode) {
	case "":
		code := m.Run()
		if err := goleak.Find(); err != nil {
			fmt.Println(err)
			code = 1
		}
		os.Exit(code)
	case "write":
		childWrites(dir)
	case "open":
		if _, err := Open(dir); err != nil {
			fmt.Println(err)
			if errors.Is(err, ErrLocked) {
				os.Exit(7)
			}
			os.Exit(1)
		}
	}
}

func child(t *testing.T, mode, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// hitsOf is how many hits child session n has.
func hitsOf(n int) int { return n % 700 }

// childWrites runs sessions for ever. It prints the number of a session as soon
// as its attempt is committed, and again when it is finished.
func childWrites(dir string) {
	s, err := Open(dir)
	for n := 0; err == nil; n++ {
		err = s.Update(func(tx *Tx) error {
			if err := tx.CreateSession(Session{ID: sid(n), Agreement: agrA, PeerRoot: peerA,
				State: SessionApproved, Created: t0}); err != nil {
				return err
			}
			_, err := tx.BeginAttempt(sid(n), 0, Charge{At: t0, ItemsIn: 10}, anyLimits)
			return err
		})
		if err != nil {
			break
		}
		fmt.Println("begun", n)
		err = s.Update(func(tx *Tx) error {
			hits := make([]Hit, hitsOf(n))
			for i := range hits {
				hits[i].LocalID = strconv.Itoa(i)
			}
			if err := tx.FinishSession(sid(n), Finish{At: t0, Count: int64(len(hits))}, hits); err != nil {
				return err
			}
			return tx.AppendLogLeaf(agrA, int64(n), []byte("leaf"), []byte("salt"), []byte(sid(n)), time.Time{}, int64(n), [][]byte{{1}})
		})
		fmt.Println("finished", n)
	}
	fmt.Println("failed", err)
	os.Exit(1)
}

// TestKill kills a process that writes, at a random moment, and looks at what
// is left: everything it had acknowledged, nothing by halves.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 3
	if os.Getenv("SYMBOLON_LONG") != "" {
		rounds = 50
	}
	for range rounds {
		dir := t.TempDir()
		s := openStore(t, dir)
		seed(t, s)
		must(t, s.Close())
		begun, finished := killedWriter(t, dir)
		checkAfterKill(t, dir, begun, finished)
	}
}

// killedWriter runs a writer, kills it, and returns the numbers of the last
// sessions that it said were begun and finished.
func killedWriter(t *testing.T, dir string) (begun, finished int) {
	t.Helper()
	cmd := child(t, "write", dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	begun, finished = -1, -1
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	for lines.Scan() {
		what, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Errorf("the writer says %q", lines.Text())
			break
		}
		if what == "begun" {
			begun = n
		} else {
			finished = n
		}
		if finished == 5 && timer == nil {
			timer = time.AfterFunc(time.Duration(rand.IntN(100_000))*time.Microsecond, func() { cmd.Process.Kill() })
		}
	}
	cmd.Process.Kill()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Errorf("the writer was not killed: %v", err)
	}
	return begun, finished
}

func checkAfterKill(t *testing.T, dir string, begun, finished int) {
	t.Helper()
	s := openStore(t, dir)
	must(t, s.Check())
	var aborted []Session
	must(t, s.Update(func(tx *Tx) (err error) {
		aborted, err = tx.RecoverSessions(t0)
		return err
	}))
	all, err := s.Sessions(SessionFilter{})
	must(t, err)
	if len(all) < begun+1 {
		t.Errorf("%d sessions remain of %d acknowledged", len(all), begun+1)
	}
	done := 0
	for _, c := range all {
		if c.State == SessionAborted {
			if len(aborted) != 1 || c.ID != aborted[0].ID || c.Attempts != 1 {
				t.Errorf("session %s is aborted after %d attempts", c.ID, c.Attempts)
			}
			if ok, err := s.exists("", `SELECT 1 FROM hits WHERE session = ?`, c.ID); ok || err != nil {
				t.Errorf("an aborted session has hits (%v)", err)
			}
			continue
		}
		hits, err := s.Results(c.ID)
		must(t, err)
		if int64(len(hits)) != c.Count {
			t.Errorf("session %s has %d hits of %d", c.ID, len(hits), c.Count)
		}
		done++
	}
	if done < finished+1 || done+len(aborted) != len(all) {
		t.Errorf("%d finished (%d acknowledged) and %d aborted of %d sessions", done, finished+1, len(aborted), len(all))
	}
	if size, err := s.LogSize(agrA); err != nil || size != int64(done) {
		t.Errorf("the log has %d entries for %d finished sessions, %v", size, done, err)
	}
	if u, err := s.Usage(peerA, t0); err != nil || u.ItemsIn != 10*int64(len(all)) {
		t.Errorf("%d items are charged for %d sessions, %v", u.ItemsIn, len(all), err)
	}
}

func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	seed(t, s)
	out, err := child(t, "open", dir).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Fatalf("the second process got %v: %s", err, out)
	}
	if want := fmt.Sprintf("(process %d)", os.Getpid()); !strings.Contains(string(out), want) {
		t.Errorf("the message %q lacks %q", out, want)
	}
	_, err = Open(dir) // the same process counts too
	wantErr(t, err, ErrLocked)
	must(t, s.Update(func(tx *Tx) error { return tx.RevokeUser("ana", t0) }))
	must(t, s.Close())
	must(t, s.Close())
	if out, err := child(t, "open", dir).Output(); err != nil {
		t.Fatalf("after closing: %v: %s", err, out)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := open(dir, options{migrations: migrations, maxPages: 120})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	seed(t, s)
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	_, err = begin(s, sid(1), Charge{At: t0, ItemsIn: 3}, anyLimits)
	must(t, err)

	hits := make([]Hit, 20_000)
	for i := range hits {
		hits[i] = Hit{LocalID: strconv.Itoa(i), PeerReference: make([]byte, 64)}
	}
	finish := func(hits []Hit) error {
		return s.Update(func(tx *Tx) error {
			if err := tx.AppendLogLeaf(agrA, 0, []byte("leaf"), nil, nil, t0, 0, nil); err != nil {
				return err
			}
			return tx.FinishSession(sid(1), Finish{At: t0}, hits)
		})
	}
	err = finish(hits)
	wantErr(t, err, ErrFull)
	if strings.Count(err.Error(), ErrFull.Error()+":") != 1 {
		t.Errorf("the message is %q", err)
	}
	// The last committed state is there, and the store still works.
	c, err := s.Session(sid(1))
	must(t, err)
	if size, err := s.LogSize(agrA); c.State != SessionRunning || size != 0 || err != nil {
		t.Errorf("session is %s, the log has %d leaves, %v", c.State, size, err)
	}
	must(t, s.Check())
	must(t, finish(hits[:10]))
	must(t, s.Close())
	s = openStore(t, dir)
	if got, err := s.Results(sid(1)); err != nil || len(got) != 10 {
		t.Errorf("%d hits, %v", len(got), err)
	}
}
