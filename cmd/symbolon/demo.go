package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/symbolon/symbolon/bench"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

type demoCmd struct {
	People int    `default:"10000" placeholder:"N" help:"Records of each agency."`
	Shared int    `default:"1000" placeholder:"N" help:"People that both know."`
	Seed   uint64 `default:"1" placeholder:"N" help:"Decides the invented people."`
	Keep   string `type:"path" placeholder:"DIR" help:"Make the two nodes here and leave them for a look around; otherwise in a temporary folder."`
}

// Rule sets and the counted rule of the demo's agreements.
const (
	demoRules           = "standard"
	demoCardinalityRule = "document"
)

// demoKeys is more match keys than people have on average.
const demoKeys = 16

// demoPassphrase protects keys that exist for a minute. Everybody knows it, so
// that a low work factor costs nothing.
const (
	demoPassphrase = "a passphrase for the demo"
	demoWorkFactor = keys.MinWorkFactor
)

// demoUsers are the operators, by the node's folder.
var demoUsers = map[string]string{"north": "anna", "south": "sven"}

// demo is a run in progress. Everything an agency does, it does by the same
// command line that an operator uses, in a process of its own.
type demo struct {
	*demoCmd
	app          *App
	self         string // this program
	dir          string
	north, south string // directories of the nodes
	result       demoResult
}

// demoResult is what the demo says with --json.
type demoResult struct {
	People      int          `json:"people"`
	Shared      int          `json:"shared"`
	Mutual      *demoSession `json:"mutual"`
	Cardinality *demoSession `json:"cardinality"`
	Lookups     *demoLookups `json:"lookups"`
	Search      *demoSearch  `json:"search"`
	Wrong       int          `json:"wrong"`
	Seconds     float64      `json:"seconds"`
	Dir         string       `json:"dir,omitempty"`
}

// demoSession is one session and its check. Expected is what the rules give in
// the clear.
type demoSession struct {
	protocol.Outcome
	Expected int `json:"expected"`
	// NearMisses are pairs of different people who share a match key.
	NearMisses int `json:"near_misses"`
	Wrong      int `json:"wrong"`
}

// Run implements command.
func (c *demoCmd) Run(app *App) (err error) {
	began := time.Now()
	d := &demo{demoCmd: c, app: app, dir: c.Keep}
	if d.self, err = os.Executable(); err != nil {
		return err
	}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "symbolon-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(d.dir)
	} else if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	d.north, d.south = filepath.Join(d.dir, "north"), filepath.Join(d.dir, "south")
	d.result = demoResult{People: c.People, Shared: c.Shared, Dir: c.Keep}
	for _, step := range []func() error{d.populate, d.makeNodes, d.agree, d.match} {
		if err := step(); err != nil {
			return err
		}
	}
	d.result.Seconds = time.Since(began).Seconds()
	if app.json {
		if err := app.print(d.result, nil); err != nil {
			return err
		}
	} else {
		d.farewell()
	}
	if d.result.Wrong > 0 {
		return fmt.Errorf("%d results are wrong", d.result.Wrong)
	}
	return nil
}

// head starts a part of the report, line adds to it.
func (d *demo) head(format string, args ...any) {
	if !d.app.json {
		fmt.Fprintf(d.app.stdout, "\n"+format+"\n", args...)
	}
}

func (d *demo) line(format string, args ...any) {
	if !d.app.json {
		fmt.Fprintf(d.app.stdout, "  "+format+"\n", args...)
	}
}

// populate invents the people.
func (d *demo) populate() error {
	p, err := bench.NewPopulation(bench.PopulationConfig{Seed: d.Seed, SizeA: d.People, SizeB: d.People, Shared: d.Shared})
	if err != nil {
		return &usageError{err}
	}
	d.head("Two agencies, %d invented people each; %d people are known to both.", d.People, d.Shared)
	if err := p.WriteFiles(d.dir); err != nil {
		return err
	}
	if err := d.writeMissing(); err != nil {
		return err
	}
	d.line("Names of many origins, dates, documents, phones, e-mails; the two agencies write them differently.")
	return nil
}

// symbolon runs the command line as an operator of a node would.
func (d *demo) symbolon(ctx context.Context, node string, args ...string) ([]byte, error) {
	cmd := d.command(ctx, node, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("symbolon %s: %w: %s", strings.Join(args[:min(2, len(args))], " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

func (d *demo) command(ctx context.Context, node string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.self, append(args, "--dir", node)...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "SYMBOLON_PASSPHRASE="+demoPassphrase, "SYMBOLON_USER_PASSPHRASE="+demoPassphrase,
		"SYMBOLON_USER="+demoUsers[filepath.Base(node)], fmt.Sprint("SYMBOLON_TEST_WORK_FACTOR=", demoWorkFactor))
	return cmd
}

// makeNodes makes both nodes and lets each pin the other.
func (d *demo) makeNodes() error {
	d.head("Each agency makes its keys (Ed25519 and ML-DSA-65), an operator, and pins the other.")
	g, ctx := errgroup.WithContext(d.app.ctx)
	for _, n := range []struct{ dir, name string }{{d.north, "North Agency"}, {d.south, "South Agency"}} {
		g.Go(func() error {
			for _, args := range [][]string{
				{"init", "--name", n.name, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"},
				{"user", "add", demoUsers[filepath.Base(n.dir)]},
				{"identity", "--out", n.dir + ".pub"},
			} {
				if _, err := d.symbolon(ctx, n.dir, args...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, p := range [][3]string{{d.north, d.south + ".pub", "south"}, {d.south, d.north + ".pub", "north"}} {
		out, err := d.symbolon(d.app.ctx, p[0], "peer", "add", p[1], "--name", p[2], "--json")
		if err != nil {
			return err
		}
		var peer struct {
			Agency string `json:"agency"`
			Phone  string `json:"phone"`
		}
		if err := json.Unmarshal(out, &peer); err != nil {
			return err
		}
		if peer.Phone != "" {
			d.line("%s: %s", peer.Agency, peer.Phone)
		}
	}
	return nil
}

// demoAgreement is what one of the demo's agreements asks for.
type demoAgreement struct {
	file  string
	mode  psi.Mode
	args  []string
	data  string   // South's
	more  []string // flags of South's source
	id    string
	terms *protocol.Agreement
}

var demoAgreements = []*demoAgreement{
	{file: "mutual.json", mode: psi.ModeMutual, data: bench.FileB},
	{file: "cardinality.json", mode: psi.ModeCardinality, data: bench.FileB, args: []string{"--cardinality-rule", demoCardinalityRule}},
	{file: "lookup.json", mode: psi.ModeLookup, data: demoMissingFile, args: demoLookupTerms(), more: []string{"--contact", demoContact}},
	{file: "search.json", mode: psi.ModeSearch, data: demoMissingFile, args: demoSearchTerms(), more: []string{"--contact", demoContact}},
}

// demoAgreementFor returns the demo's agreement for a mode.
func demoAgreementFor(mode psi.Mode) *demoAgreement {
	i := slices.IndexFunc(demoAgreements, func(a *demoAgreement) bool { return a.mode == mode })
	return demoAgreements[i]
}

// agree drafts, signs, countersigns and brings in the agreements.
func (d *demo) agree() error {
	d.head("They sign four agreements, and South says which data answers under them.")
	for _, a := range demoAgreements {
		path := filepath.Join(d.dir, a.file)
		draft := append([]string{"agreement", "draft", "--peer", "south", "--out", path, "--modes", string(a.mode), "--rules", demoRules,
			"--purpose", "Find missing persons", "--legal-basis", "a demonstration", "--compartment", "missing-persons",
			"--approval", "auto", "--items-per-session", strconv.Itoa(1 << bits.Len(uint(demoKeys*d.People)))}, a.args...)
		for _, s := range []struct {
			node string
			args []string
		}{{d.north, draft}, {d.north, []string{"agreement", "sign", path}},
			{d.south, []string{"agreement", "countersign", path}}, {d.north, []string{"agreement", "import", path}},
			{d.south, append([]string{"agreement", "source", path, "--data", filepath.Join(d.dir, a.data)}, a.more...)}} {
			if _, err := d.symbolon(d.app.ctx, s.node, s.args...); err != nil {
				return err
			}
		}
		s, err := protocol.ReadAgreementFile(path)
		if err != nil {
			return err
		}
		a.id, a.terms = s.Agreement.Hex(), s.Agreement
		engine := fmt.Sprintf("engine %s (%s)", s.Agreement.Engine, s.Agreement.Security)
		switch a.mode {
		case psi.ModeSearch:
			engine = fmt.Sprintf("%d of %d groups, %d searches a day", s.Agreement.Search.Threshold, s.Agreement.Search.Groups, s.Agreement.Search.SearchesPerDay)
		case psi.ModeLookup:
			engine = fmt.Sprintf("%d evaluations a minute", s.Agreement.Lookup.EvaluationsPerMinute)
		}
		d.line("%.16s… %s, %s", a.id, a.mode, engine)
	}
	return nil
}

// match starts both nodes and runs North's sessions against South. North's
// commands find its node running and go through its socket.
func (d *demo) match() (err error) {
	ctx, cancel := context.WithCancel(d.app.ctx)
	defer cancel()
	var nodes []*nodeLog
	defer func() {
		cancel()
		for _, n := range nodes {
			if stopped := n.wait(); err == nil {
				err = stopped
			}
		}
	}()
	var address string
	for _, dir := range []string{d.north, d.south} {
		n, listen, err := d.serve(ctx, dir)
		if err != nil {
			return err
		}
		nodes, address = append(nodes, n), listen
	}
	if _, err := d.symbolon(ctx, d.north, "peer", "address", "south", address); err != nil {
		return err
	}
	if err := d.mutual(ctx); err != nil {
		return err
	}
	if err := d.cardinality(ctx); err != nil {
		return err
	}
	if err := d.lookups(ctx); err != nil {
		return err
	}
	if err := d.search(ctx); err != nil {
		return err
	}
	if err := d.verifyLogs(ctx); err != nil {
		return err
	}
	d.head("The nodes' own logs say of the sessions, without a name or a number of anybody:")
	for _, n := range nodes {
		for _, l := range n.about("session finished") {
			d.line("%s", l)
		}
	}
	return nil
}

// serve starts a node and returns its address once it listens.
func (d *demo) serve(ctx context.Context, dir string) (*nodeLog, string, error) {
	n := &nodeLog{cmd: d.command(ctx, dir, "serve"), name: filepath.Base(dir), done: make(chan struct{})}
	n.cmd.Cancel = func() error { return n.cmd.Process.Signal(os.Interrupt) }
	n.cmd.WaitDelay = 20 * time.Second
	logs, err := n.cmd.StderrPipe()
	if err != nil {
		return nil, "", err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, "", err
	}
	listening := make(chan string, 1)
	go func() {
		defer close(n.done)
		n.follow(logs, listening)
	}()
	select {
	case address := <-listening:
		return n, address, nil
	case <-n.done:
		return nil, "", errors.Join(fmt.Errorf("the node %s did not start: %s", n.name, n.last()), n.cmd.Wait())
	}
}

// session runs one session from North's side.
func (d *demo) session(ctx context.Context, a *demoAgreement) (*demoSession, error) {
	out, err := d.symbolon(ctx, d.north, "match", "--peer", "south", "--agreement", a.id, "--data", filepath.Join(d.dir, bench.FileA),
		"--purpose", "demonstration", "--case", "DEMO-1", "--json")
	if err != nil {
		return nil, err
	}
	var s demoSession
	return &s, json.Unmarshal(out, &s)
}

// farewell says how to look further.
func (d *demo) farewell() {
	verdict := "All results are what the rules give in the clear; not one is wrong."
	if d.result.Wrong > 0 {
		verdict = fmt.Sprintf("%d results are WRONG.", d.result.Wrong)
	}
	d.head("%s (%.1f s in all)", verdict, d.result.Seconds)
	if d.Keep == "" {
		d.line("To look around, run `symbolon demo --keep DIR`.")
		return
	}
	d.line("Both nodes are in %s, with the passphrase %q. For instance:", d.dir, demoPassphrase)
	d.line("  symbolon --dir %s agreement show %.8s", d.north, demoAgreements[0].id)
	d.line("  symbolon --dir %s sessions", d.south)
	d.line("  symbolon --dir %s audit list", d.north)
}

// nodeLog is a running node and its log.
type nodeLog struct {
	name  string
	cmd   *exec.Cmd
	done  chan struct{} // closed when the log has ended
	mu    sync.Mutex
	lines []string
}

// follow reads the log to its end and tells the address once it serves.
func (n *nodeLog) follow(r io.Reader, listening chan<- string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		n.mu.Lock()
		n.lines = append(n.lines, lines.Text())
		n.mu.Unlock()
		var entry struct{ Message, Listen string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Message == "serving" {
			listening <- entry.Listen
		}
	}
}

// wait waits for a node that was told to stop.
func (n *nodeLog) wait() error {
	<-n.done
	err := n.cmd.Wait()
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("the node %s: %w", n.name, err)
}

// about returns the log lines with a text.
func (n *nodeLog) about(text string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, l := range n.lines {
		if strings.Contains(l, text) {
			out = append(out, n.name+": "+l)
		}
	}
	return out
}

func (n *nodeLog) last() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.lines) == 0 {
		return "it wrote no log"
	}
	return n.lines[len(n.lines)-1]
}
