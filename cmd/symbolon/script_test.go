package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"symbolon": func() { os.Exit(realMain()) }})
}

// testEnv is what every symbolon process of a test has in its environment.
var testEnv = []string{
	"SYMBOLON_TEST_WORK_FACTOR=10",
	"SYMBOLON_PASSPHRASE=node passphrase",
	"SYMBOLON_USER_PASSPHRASE=operator passphrase",
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, testEnv...)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"agencies": agencies,
			"append":   appendFile,
			"await":    await,
			"get":      get,
			"modes":    modes,
			"replace":  replace,
			"json":     jsonValue,
			"serve":    serveNode,
			"status":   status,
			"until":    untilOutput,
		},
	})
}

// status N symbolon ARGS... runs a command that must exit with N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// await FILE waits until a file is there.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not appear", args[0])
		}
	}
}

// until PATTERN COMMAND... runs a command again and again until its standard
// output matches.
func untilOutput(ts *testscript.TestScript, _ bool, args []string) {
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q did not appear in the output of %q", args[0], args[1:])
		}
	}
}

// json VAR PATH takes a value, such as agreements.0.id, out of the JSON on the
// last command's standard output.
func jsonValue(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &v); err != nil {
		ts.Fatalf("standard output is no JSON: %v", err)
	}
	for _, step := range strings.Split(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			ts.Check(err)
			if i >= len(at) {
				ts.Fatalf("%s: %d elements", args[1], len(at))
			}
			v = at[i]
		default:
			ts.Fatalf("%s: nothing there", args[1])
		}
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// append TO FROM appends a file in which $VAR is expanded.
func appendFile(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(appendText(ts.MkAbs(args[0]), os.Expand(ts.ReadFile(args[1]), ts.Getenv)))
}

// serve DIR PEERDIR NAME starts the node in DIR in the background and tells the
// node in PEERDIR, by the name it has for it, where it listens. It ends with the script.
func serveNode(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	cmd := exec.Command("symbolon", "--dir", dir, "serve")
	cmd.Env, cmd.Dir = scriptEnv(ts), ts.MkAbs(".")
	log, err := os.OpenFile(dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	cmd.Stderr = log
	ts.Check(cmd.Start())
	ts.Defer(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		log.Close()
	})
	addr := filepath.Join(args[0], listenAddrFile)
	await(ts, false, []string{addr})
	ts.Check(ts.Exec("symbolon", "--dir", args[1], "peer", "address", args[2], strings.TrimSpace(ts.ReadFile(addr))))
}

func scriptEnv(ts *testscript.TestScript) []string {
	env := append(os.Environ(), testEnv...)
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// agencies [DRAFT FLAGS...] is makeAgencies for a script; it sets $AGREEMENT.
func agencies(ts *testscript.TestScript, _ bool, args []string) {
	run := func(args ...string) string {
		ts.Check(ts.Exec("symbolon", args...))
		return ts.ReadFile("stdout")
	}
	id, err := makeAgencies(ts.MkAbs("."), run, args)
	ts.Check(err)
	ts.Setenv("AGREEMENT", id)
}

// makeAgencies makes nodes north and south in dir, where run runs symbolon, with
// the operators ann, bob and cay, an agreement between them in force, whose id
// it returns, and south.csv as south's source. The script walk does the same
// step by step.
func makeAgencies(dir string, run func(args ...string) string, draft []string) (string, error) {
	for _, n := range []string{"north", "south"} {
		run("--dir", n, "init", "--name", n+" agency", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
		for _, u := range []string{"ann", "bob", "cay"} {
			run("--dir", n, "user", "add", u)
		}
		run("--dir", n, "identity", "--out", n+".json")
	}
	run("--dir", "north", "peer", "add", "south.json", "--name", "south")
	run("--dir", "south", "peer", "add", "north.json", "--name", "north")
	run(append([]string{"--dir", "north", "agreement", "draft", "--peer", "south", "--out", "agreement.json",
		"--purpose", "missing persons", "--legal-basis", "treaty", "--compartment", "missing", "--rules", "exact"}, draft...)...)
	run("--dir", "north", "agreement", "sign", "agreement.json")
	run("--dir", "south", "agreement", "countersign", "agreement.json")
	var v agreementView
	if err := json.Unmarshal([]byte(run("--dir", "north", "agreement", "import", "agreement.json", "--json")), &v); err != nil {
		return "", err
	}
	source := fmt.Sprintf("\n[[source]]\nagreement = %q\ncompartment = \"missing\"\ndata = \"../south.csv\"\n", v.ID)
	return v.ID, appendText(filepath.Join(dir, "south", configFile), source)
}

func appendText(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// modes FILE=MODE... checks permissions.
func modes(ts *testscript.TestScript, _ bool, args []string) {
	for _, a := range args {
		file, want, _ := strings.Cut(a, "=")
		st, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if got := fmt.Sprintf("%o", st.Mode().Perm()); got != want {
			ts.Fatalf("%s has mode %s, want %s", file, got, want)
		}
	}
}

// get ADDRESSFILE PATH OUT writes what an HTTP server answers.
func get(ts *testscript.TestScript, _ bool, args []string) {
	r, err := http.Get("http://" + strings.TrimSpace(ts.ReadFile(args[0])) + args[1])
	ts.Check(err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), body, 0o600))
}

// replace FROM TO OLD NEW writes a file with a text replaced, which must occur.
func replace(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[2]) {
		ts.Fatalf("%s does not contain %q", args[0], args[2])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.ReplaceAll(text, args[2], args[3])), 0o600))
}
