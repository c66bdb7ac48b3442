package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// testNode makes a node in-process and returns an App that has its store open,
// with a socket on it.
func testNode(t *testing.T) *App {
	t.Helper()
	base := t.TempDir()
	pass := filepath.Join(base, "pass")
	if err := os.WriteFile(pass, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base, strings.Repeat("long", 20)) // longer than a socket's path may be
	var out bytes.Buffer
	code := run(t.Context(), []string{"init", "--dir", dir, "--name", "Test", "--work-factor", "10", "--passphrase-file", pass}, nil, &out, &out)
	if code != 0 {
		t.Fatalf("init: %s", out.String())
	}
	app := &App{ctx: t.Context(), stdout: io.Discard, stderr: io.Discard, dir: dir, workFactor: 10, files: passphraseFiles{node: pass}}
	if conn, err := app.openStore(true); err != nil || conn != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.close)
	return app
}

// TestSocket sends what no client of ours would send.
func TestSocket(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	app := testNode(t)
	s, err := app.listen()
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(socketPath(app.dir))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", st.Mode(), err)
	}
	v := buildVersion()
	ask := func(command, args string) string {
		raw, err := json.Marshal(request{Version: v.Version + v.Commit, Command: command, Args: json.RawMessage(args), Work: 10})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw) + "\n"
	}
	for name, row := range map[string]struct{ send, want string }{
		"nothing":              {"", "did not arrive whole"},
		"half a line":          {`{"command":`, "did not arrive whole"},
		"no JSON":              {"hello\n", "not understood"},
		"another version":      {"{\"version\":\"v0\"}\n", "another version"},
		"unknown command":      {ask("format disk", "{}"), "no command"},
		"part of a command":    {ask("peer", "{}"), "no command"},
		"command without node": {ask("version", "{}"), "does not run in another process"},
		"a second node":        {ask("serve", "{}"), "does not run in another process"},
		"flags of other types": {ask("user revoke", `{"Name":5}`), "flags are not understood"},
		"work factor":          {strings.Replace(ask("user add", "{}"), `"work_factor":10`, `"work_factor":40`, 1), "work factor"},
		"a command":            {ask("user list", "{}"), `"exit":0`},
	} {
		if got := talk(t, app.dir, row.send); !strings.Contains(got, row.want) {
			t.Errorf("%s: got %q, want %q", name, got, row.want)
		}
	}
	if got := talk(t, app.dir, strings.Repeat("x", maxRequest+10)); !strings.Contains(got, `"exit":1`) && got != "" {
		t.Errorf("a request without end: got %q", got)
	}
	s.stop(t.Context())
	if _, err := dialSocket(app.dir); err == nil {
		t.Error("the socket still answers")
	}
}

// talk sends raw bytes and returns the answer, with its output in the clear.
func talk(t *testing.T, dir, send string) string {
	t.Helper()
	conn, err := dialSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(conn, send)
	_ = conn.(*net.UnixConn).CloseWrite()
	var text strings.Builder
	for d := json.NewDecoder(conn); ; {
		var r response
		if err := d.Decode(&r); err != nil {
			return text.String()
		}
		text.Write(r.Stdout)
		text.Write(r.Stderr)
		if r.Exit != nil {
			raw, _ := json.Marshal(response{Exit: r.Exit})
			text.Write(raw)
		}
	}
}

// TestForward runs a command through the socket as a second process would.
func TestForward(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	app := testNode(t)
	s, err := app.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop(t.Context())
	pass := app.files.node
	var out, fail bytes.Buffer
	command := func(args ...string) int {
		out.Reset()
		fail.Reset()
		return run(t.Context(), append([]string{"--dir", app.dir, "--work-factor", "10", "--user-passphrase-file", pass}, args...), nil, &out, &fail)
	}
	if code := command("user", "add", "ann"); code != 0 || !strings.Contains(out.String(), "Added operator ann") {
		t.Fatalf("exit code %d: %s%s", code, out.String(), fail.String())
	}
	if code := command("--json", "user", "add", "ann"); code != exitFailed || !strings.Contains(fail.String(), `"exit_code":1`) || out.Len() > 0 {
		t.Errorf("exit code %d: %s%s", code, out.String(), fail.String())
	}
	if code := command("keys", "rotate", "--passphrase-file", pass); code != exitFailed || !strings.Contains(fail.String(), "is running") {
		t.Errorf("exit code %d: %s", code, fail.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"--dir", app.dir, "user", "list"}, nil, &out, &fail); code != exitInterrupted {
		t.Errorf("exit code %d of an interrupted command", code)
	}
	if u, err := app.store.User("ann"); err != nil || u.Status != "active" {
		t.Errorf("the operator is stored as %+v, %v", u, err)
	}
}
