package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/symbolon/symbolon/internal/records"
)

// block is a fenced block of the README.
type block struct{ info, text string }

func readmeBlocks(t *testing.T) []block {
	t.Helper()
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	for _, m := range regexp.MustCompile("(?ms)^```(\\S[^\n]*)\n(.*?)^```$").FindAllStringSubmatch(string(raw), -1) {
		out = append(out, block{m[1], m[2]})
	}
	if len(out) < 8 {
		t.Fatalf("only %d blocks in the README", len(out))
	}
	return out
}

// readmeRun follows the README on two "machines", which are two folders.
type readmeRun struct {
	t       *testing.T
	dir     string
	address string
}

// TestReadmeSession runs every command of the README's terminal sessions, and
// looks for every line of output that it shows.
func TestReadmeSession(t *testing.T) {
	t.Parallel()
	r := &readmeRun{t: t, dir: t.TempDir()}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = lis.Addr().String()
	lis.Close()
	for _, machine := range []string{"north", "south", "any"} {
		if err := os.Mkdir(filepath.Join(r.dir, machine), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r.write("any/truth.csv", "id_a,id_b,evidence\nN-1,S-901,document\nN-2,S-902,phone\n")
	for _, b := range readmeBlocks(t) {
		if name, ok := strings.CutPrefix(b.info, "csv "); ok {
			r.write(strings.TrimSuffix(name, ".csv")+"/"+name, b.text)
			r.write("any/"+name, b.text)
		}
		if b.info == "console" {
			r.session(b.text)
		}
	}
}

func (r *readmeRun) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

var prompt = regexp.MustCompile(`^(north|south|any)\$ (.*)$`)

// session runs the commands of one block and compares what follows each.
func (r *readmeRun) session(text string) {
	r.t.Helper()
	var got string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := prompt.FindStringSubmatch(line); m != nil {
			got = r.run(m[1], m[2])
			continue
		}
		if !strings.Contains(mask(got), mask(line)+"\n") {
			r.t.Fatalf("the README shows %q, but the command says\n%s", line, got)
		}
	}
}

// mask hides what differs from run to run.
func mask(s string) string {
	s = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:]+Z`).ReplaceAllString(s, "TIME")
	s = regexp.MustCompile(`\b[0-9a-f]{16,64}\b`).ReplaceAllString(s, "HEX")
	s = regexp.MustCompile(`(\d{5} ){7}\d{5}`).ReplaceAllString(s, "DIGITS")
	return regexp.MustCompile(`south\.example:7443|127\.0\.0\.1:\d+`).ReplaceAllString(s, "ADDRESS")
}

// run runs one line on a machine and then carries what the agencies send each
// other to the other machine.
func (r *readmeRun) run(machine, line string) string {
	r.t.Helper()
	line = strings.ReplaceAll(line, "south.example:7443", r.address)
	if strings.HasPrefix(line, "symbolon init") {
		line += " --ops-listen 127.0.0.1:0" // the usual port may be taken here
	}
	dir := filepath.Join(r.dir, machine)
	line, background := strings.CutSuffix(line, " &")
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), testEnv...), "SYMBOLON_DIR="+filepath.Join(dir, "node"))
	if background {
		if err := cmd.Start(); err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() {
			_ = cmd.Process.Signal(os.Interrupt)
			_ = cmd.Wait()
		})
		for range 600 {
			if c, err := net.Dial("tcp", r.address); err == nil {
				c.Close()
				return ""
			}
			time.Sleep(50 * time.Millisecond)
		}
		r.t.Fatalf("%s$ %s: it does not listen", machine, line)
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 3 && strings.Contains(string(out), "waits for approval")) {
		r.t.Fatalf("%s$ %s: %v\n%s", machine, line, err, out)
	}
	r.carry(machine)
	return string(out)
}

func (r *readmeRun) carry(from string) {
	r.t.Helper()
	to := map[string]string{"north": "south", "south": "north"}[from]
	if to == "" {
		return
	}
	for _, name := range []string{from + ".pub", "agreement.json", "lookup.json", "search.json"} {
		raw, err := os.ReadFile(filepath.Join(r.dir, from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			r.t.Fatal(err)
		}
		r.write(to+"/"+name, string(raw))
	}
}

// TestReadmeCommands runs the demo as the README says, smaller, and finds both
// of its commands.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	var shell string
	for _, b := range readmeBlocks(t) {
		if b.info == "sh" {
			shell += b.text
		}
	}
	if shell != "go run ./cmd/symbolon demo\ngo test ./...\n" {
		t.Errorf("the README's commands are %q", shell)
	}
	cmd := exec.Command("symbolon", "demo", "--people", "300", "--shared", "40")
	cmd.Env = append(os.Environ(), testEnv...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"not one is wrong", "North learned", "South learned", "On the wire", "HIT by", "no hit", "refused: North has used its budget",
		"Both agencies' logs verify"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
}

// The README's Go is the body of an example that runs.
func TestReadmeGo(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("../../psi/dhpsi/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, b := range readmeBlocks(t) {
		if b.info != "go" {
			continue
		}
		found++
		var indented strings.Builder
		for line := range strings.Lines(b.text) {
			fmt.Fprintf(&indented, "\t%s", line)
		}
		if !strings.Contains(string(example), indented.String()) {
			t.Errorf("no example runs this:\n%s", b.text)
		}
	}
	if found == 0 {
		t.Error("the README has no Go")
	}
}

// The README's mapping is one.
func TestReadmeMapping(t *testing.T) {
	t.Parallel()
	found := 0
	for _, b := range readmeBlocks(t) {
		if b.info != "toml" {
			continue
		}
		found++
		if _, err := records.ParseMapping([]byte(b.text)); err != nil {
			t.Error(err)
		}
	}
	if found == 0 {
		t.Error("the README has no mapping")
	}
}
