package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/secret"
)

// The socket carries one command a connection, as lines of JSON:
//
//	client ── request ──────────▶ server
//	       ◀── output, output … ──
//	       ◀── exit ──────────────
//
// A client that hangs up cancels its command. The socket and its directory are
// open to the node's owner alone, who could run the same command here after a
// stop of the node; operators still prove themselves by their passphrase.

const (
	socketFile = "node.sock"
	// maxRequest bounds a request in bytes.
	maxRequest = 1 << 20
	// requestTimeout bounds how long a client may take to send it.
	requestTimeout = 10 * time.Second
	// maxSocketPath is what every system allows for the path of a socket.
	maxSocketPath = 100
)

// request is a command with its flags, whose paths are absolute.
type request struct {
	Version  string          `json:"version"`
	Command  string          `json:"command"`
	Args     json.RawMessage `json:"args"`
	JSON     bool            `json:"json"`
	Terminal bool            `json:"terminal"`
	User     string          `json:"user"`
	Work     int             `json:"work_factor"`
	// Passphrases; never logged.
	NodeSecret []byte `json:"node_secret,omitempty"`
	UserSecret []byte `json:"user_secret,omitempty"`
	NextSecret []byte `json:"next_secret,omitempty"`
}

// response is a piece of output, or the end.
type response struct {
	Stdout []byte `json:"stdout,omitempty"`
	Stderr []byte `json:"stderr,omitempty"`
	Exit   *int   `json:"exit,omitempty"`
}

// socketPath returns where the socket of a node is: in its directory, or, if
// that path is longer than systems allow, where a link in its directory points.
func socketPath(dir string) string {
	path := filepath.Join(dir, socketFile)
	if target, err := os.Readlink(path); err == nil {
		return target
	}
	return path
}

// dialSocket connects to the process that has the node open.
func dialSocket(dir string) (net.Conn, error) {
	return net.DialTimeout("unix", socketPath(dir), 2*time.Second)
}

// forward has the command run at the other end of conn.
func (a *App) forward(conn net.Conn, path string, cmd command) error {
	args, err := json.Marshal(cmd)
	if err != nil {
		return err
	}
	r := request{Version: buildVersion().Version + buildVersion().Commit, Command: path, Args: args, JSON: a.json, Terminal: a.terminal,
		User: a.userName, Work: a.workFactor,
		NodeSecret: a.secrets.node.Expose(), UserSecret: a.secrets.user.Expose(), NextSecret: a.secrets.next.Expose()}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	defer clear(raw)
	if _, err := conn.Write(append(raw, '\n')); err != nil {
		return fmt.Errorf("sending the command to the running node: %w", err)
	}
	stop := context.AfterFunc(a.ctx, func() { conn.Close() })
	defer stop()
	for d := json.NewDecoder(conn); ; {
		var out response
		if err := d.Decode(&out); err != nil {
			if a.ctx.Err() != nil {
				return a.ctx.Err()
			}
			return errors.New("the running node ended before the command did")
		}
		if _, err := a.stdout.Write(out.Stdout); err != nil {
			return err
		}
		if _, err := a.stderr.Write(out.Stderr); err != nil {
			return err
		}
		if out.Exit != nil {
			return exited(*out.Exit)
		}
	}
}

// socketServer runs commands of other processes on this one's node.
type socketServer struct {
	app    *App
	lis    net.Listener
	remove func()
	users  *operators
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// listen opens the socket of the node that a has open. Close it with stop. The
// caller holds the store's lock, so a socket that is there is a dead process's.
func (a *App) listen() (*socketServer, error) {
	path, remove, err := makeSocketPath(a.dir)
	if err != nil {
		return nil, err
	}
	lis, err := listenPrivate(path)
	if err != nil {
		remove()
		return nil, fmt.Errorf("listening for commands: %w", err)
	}
	s := &socketServer{app: a, lis: lis, remove: remove, users: newOperators()}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(a.ctx))
	s.wg.Go(s.accept)
	return s, nil
}

// makeSocketPath removes a stale socket and returns where to listen.
func makeSocketPath(dir string) (path string, remove func(), err error) {
	path = filepath.Join(dir, socketFile)
	if target, err := os.Readlink(path); err == nil {
		os.Remove(target)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	tmp, err := os.MkdirTemp("", "symbolon-")
	if err != nil {
		return "", nil, err
	}
	target := filepath.Join(tmp, socketFile)
	remove = func() { os.Remove(path); os.RemoveAll(tmp) }
	if err := os.Symlink(target, path); err != nil {
		remove()
		return "", nil, err
	}
	return target, remove, nil
}

// listenPrivate listens on a socket of mode 0600. Its directory is the owner's
// alone, so there is no moment at which others could connect.
func listenPrivate(path string) (net.Listener, error) {
	lis, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		lis.Close()
		return nil, err
	}
	return lis, nil
}

// stop takes no further commands, waits until ctx ends for those that run, then
// cancels them and waits for them.
func (s *socketServer) stop(ctx context.Context) {
	s.lis.Close()
	cancel := context.AfterFunc(ctx, s.cancel)
	s.wg.Wait()
	cancel()
	s.cancel()
	s.users.close()
	s.remove()
}

func (s *socketServer) accept() {
	for {
		conn, err := s.lis.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(100 * time.Millisecond) // out of descriptors: others will end
			continue
		}
		s.wg.Go(func() { s.serve(conn) })
	}
}

// serve runs one client's command.
func (s *socketServer) serve(conn net.Conn) {
	defer conn.Close()
	out := &frameWriter{w: json.NewEncoder(conn)}
	app := &App{ctx: s.ctx, stdout: out.stream(false), stderr: out.stream(true), dir: s.app.dir,
		store: s.app.store, node: s.app.node, lent: true, operators: s.users}
	app.exit(out, s.run(conn, app))
}

func (s *socketServer) run(conn net.Conn, app *App) error {
	conn.SetReadDeadline(time.Now().Add(requestTimeout))
	line, err := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadBytes('\n')
	if err != nil {
		return errors.New("the request did not arrive whole")
	}
	defer clear(line)
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return errors.New("the request is not understood")
	}
	defer func() { clear(r.NodeSecret); clear(r.UserSecret); clear(r.NextSecret) }()
	app.json, app.terminal, app.userName, app.workFactor = r.JSON, r.Terminal, r.User, r.Work
	if v := buildVersion(); r.Version != v.Version+v.Commit {
		return withHint(errors.New("the running node is of another version than this command"), "restart `symbolon serve`")
	}
	if err := (&Globals{WorkFactor: r.Work}).Validate(); err != nil {
		return &usageError{err}
	}
	cmd, ok := findCommand(r.Command)
	if !ok {
		return usagef("no command %q", r.Command)
	}
	if err := json.Unmarshal(r.Args, cmd); err != nil {
		return errors.New("the command's flags are not understood")
	}
	if n, ok := cmd.(needer); !ok || n.needs(app)&needAlone != 0 {
		return usagef("%s does not run in another process", r.Command)
	}
	app.secrets = secrets{node: secret.New(r.NodeSecret), user: secret.New(r.UserSecret), next: secret.New(r.NextSecret)}
	defer app.secrets.clear()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	app.ctx = ctx
	conn.SetReadDeadline(time.Time{})
	s.wg.Go(func() { // ends when conn is closed, by the client or by serve
		io.Copy(io.Discard, conn)
		cancel()
	})
	return cmd.Run(app)
}

// exit reports a command's end to the client.
func (a *App) exit(out *frameWriter, err error) {
	code := a.fail(err)
	out.send(response{Exit: &code})
}

// frameWriter sends output as responses. Two streams share it.
type frameWriter struct {
	mu sync.Mutex
	w  *json.Encoder
}

func (f *frameWriter) send(r response) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.w.Encode(r)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (f *frameWriter) stream(stderr bool) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		r := response{Stdout: p}
		if stderr {
			r = response{Stderr: p}
		}
		if err := f.send(r); err != nil {
			return 0, err
		}
		return len(p), nil
	})
}
