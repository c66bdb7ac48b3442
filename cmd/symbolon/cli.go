package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"golang.org/x/term"

	"github.com/symbolon/symbolon/bench"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/sketch"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
)

// grammar is the command line. To register a command, add a field here and a
// file with its struct: Run does the work, needs says what has to be open.
type grammar struct {
	Globals

	Init      initCmd      `cmd:"" group:"node" help:"Make a node: keys, configuration, empty database."`
	Identity  identityCmd  `cmd:"" group:"node" help:"Print or export this node's public identity and its fingerprint."`
	Peer      peerCmd      `cmd:"" group:"node" help:"Pin, list and revoke the nodes of other agencies."`
	User      userCmd      `cmd:"" group:"node" help:"Add, list and revoke this agency's operators."`
	Keys      keysCmd      `cmd:"" group:"node" help:"Rotate the identity, change passphrases."`
	Serve     serveCmd     `cmd:"" group:"node" help:"Run the node: answer peers until stopped."`
	Agreement agreementCmd `cmd:"" group:"work" help:"Draft, sign, check and suspend agreements."`
	Match     matchCmd     `cmd:"" group:"work" help:"Match records with a peer, or resume a session."`
	Publish   publishCmd   `cmd:"" group:"work" help:"Publish a filter in which peers can look up people, or what has changed in it."`
	Fetch     fetchCmd     `cmd:"" group:"work" help:"Fetch a peer's filter, or what has changed in it."`
	Lookup    lookupCmd    `cmd:"" group:"work" help:"Look up one person, or a list, with a peer, in milliseconds."`
	Standing  standingCmd  `cmd:"" group:"work" help:"Keep lists of people who are looked up again whenever the peer's filter changes."`
	Index     indexCmd     `cmd:"" group:"work" help:"Make the index that a peer may search under encryption, or bring it up to date."`
	Search    searchCmd    `cmd:"" group:"work" help:"Look for people who resemble one person in a peer's sealed index."`
	Sessions  sessionsCmd  `cmd:"" group:"work" help:"List sessions, show one, write its results."`
	Approve   approveCmd   `cmd:"" group:"work" help:"Approve or reject a session that waits for an operator."`
	Audit     auditCmd     `cmd:"" group:"work" help:"List, verify and export the audit log."`

	Evaluate evaluateCmd `cmd:"" group:"local" help:"Measure on known pairs what a rule set finds."`
	Check    checkCmd    `cmd:"" group:"local" help:"Report on the quality of records: what is filled in, wrong, suspicious or there twice."`
	Rules    rulesCmd    `cmd:"" group:"local" help:"List, show and explain rule sets."`
	CLK      clkCmd      `cmd:"" name:"clk" group:"local" help:"Encode and compare records as Bloom filters, inside one agency."`
	Bench    benchCmd    `cmd:"" group:"local" help:"Measure the engines; make synthetic data."`

	Version    versionCmd                `cmd:"" group:"other" help:"Print the version."`
	Help       helpCmd                   `cmd:"" group:"other" help:"Explain a command."`
	Demo       demoCmd                   `cmd:"" group:"other" help:"Let two agencies match invented people, and check every hit."`
	Completion kongcompletion.Completion `cmd:"" group:"other" help:"Print shell code for tab completion."`
}

// Globals are the flags that every command takes.
type Globals struct {
	Dir                string `default:"." env:"SYMBOLON_DIR" type:"path" placeholder:"DIR" help:"The node's directory (${env})."`
	JSON               bool   `name:"json" help:"Write JSON for programs."`
	PassphraseFile     string `type:"path" placeholder:"FILE" help:"File with the node's passphrase (or $$SYMBOLON_PASSPHRASE, else asked for)."`
	User               string `env:"SYMBOLON_USER" placeholder:"NAME" help:"The operator on whose behalf the command acts (${env})."`
	UserPassphraseFile string `type:"path" placeholder:"FILE" help:"File with the operator's passphrase (or $$SYMBOLON_USER_PASSPHRASE, else asked for)."`
	WorkFactor         int    `hidden:"" env:"SYMBOLON_TEST_WORK_FACTOR" default:"${work_factor}" help:"scrypt work factor of new key files; lower it in tests only."`
}

// Validate is called by kong.
func (g *Globals) Validate() error {
	if g.WorkFactor < keys.MinWorkFactor || g.WorkFactor > keys.MaxWorkFactor {
		return fmt.Errorf("work factor %d is outside [%d, %d]", g.WorkFactor, keys.MinWorkFactor, keys.MaxWorkFactor)
	}
	return nil
}

const description = `Symbolon tells two agencies which people they share, and nothing else.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 waits for approval,
4 refused, 5 peer not reachable or cut off (try again), 6 does not verify.`

// command is what a subcommand's struct does. Run never asks for anything at
// the terminal: it may run in another process than the one at the terminal.
type command interface{ Run(app *App) error }

// kongExit carries an exit code out of kong, which would end the process.
type kongExit int

func newParser(cli *grammar, stdout, stderr io.Writer) *kong.Kong {
	return kong.Must(cli,
		kong.Name("symbolon"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(kongExit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "node", Title: "The node:"},
			{Key: "work", Title: "Working with a peer:"},
			{Key: "local", Title: "Without a node:"},
			{Key: "other", Title: "Further:"},
		}),
		lookupVars(),
		searchVars(),
		kong.Vars{
			"work_factor":    fmt.Sprint(keys.DefaultWorkFactor),
			"default_rules":  defaultRules(),
			"sketch_groups":  fmt.Sprint(sketch.Default().Groups),
			"sketch_symbols": fmt.Sprint(sketch.Default().Symbols),
			"max_pairs":      fmt.Sprint(records.DefaultMaxPairs),
			"bench_engines":  strings.Join(bench.Engines(), ","),
			"default_engine": protocol.Engines()[0],
			"rule_sets":      strings.Join(records.ShippedNames(), ", "),
			"engines":        strings.Join(protocol.Engines(), ", "),
		},
	)
}

// lookupVars are the terms that a draft proposes for lookups.
func lookupVars() kong.Vars {
	l := protocol.DefaultLookup()
	return kong.Vars{
		"epoch_days": fmt.Sprint(l.EpochDays), "overlap_hours": fmt.Sprint(l.OverlapHours), "delta_hours": fmt.Sprint(l.DeltaHours),
		"evaluations": fmt.Sprint(l.Evaluations), "evaluations_per_minute": fmt.Sprint(l.EvaluationsPerMinute),
		"evaluations_per_day": fmt.Sprint(l.EvaluationsPerDay), "false_positive_log2": fmt.Sprint(l.FalsePositiveLog2),
	}
}

// searchVars are the terms that a draft proposes for sealed searches.
func searchVars() kong.Vars {
	s := protocol.DefaultSearch()
	return kong.Vars{
		"search_threshold": fmt.Sprint(s.Threshold), "search_groups": fmt.Sprint(s.Groups), "search_epoch_days": fmt.Sprint(s.EpochDays),
		"max_slots": fmt.Sprint(s.MaxSlots), "search_evaluations": fmt.Sprint(s.Evaluations),
		"searches_per_minute": fmt.Sprint(s.SearchesPerMinute), "searches_per_day": fmt.Sprint(s.SearchesPerDay), "reveals": fmt.Sprint(s.Reveals),
	}
}

// run parses and runs one command line and returns the exit code.
func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) (code int) {
	var cli grammar
	parser := newParser(&cli, stdout, stderr)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case kongExit:
			code = int(r)
		default:
			panic(r)
		}
	}()
	kongcompletion.Register(parser)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	app := &App{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, asked: true}
	kctx, err := parser.Parse(args)
	if err != nil {
		app.json = wantsJSON(args)
		var parse *kong.ParseError
		hint := "see `symbolon --help`"
		if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
			hint = "see `symbolon " + parse.Context.Selected().Path() + " --help`"
		}
		return app.fail(withHint(&usageError{err}, "%s", hint))
	}
	app.take(&cli.Globals)
	if f, ok := stderr.(*os.File); ok {
		app.terminal = term.IsTerminal(int(f.Fd()))
	}
	node := kctx.Selected()
	cmd, ok := node.Target.Addr().Interface().(command)
	if !ok { // a command of a library, such as completion
		if err := kctx.Run(); err != nil {
			return app.fail(err)
		}
		return 0
	}
	return app.fail(app.dispatch(node.Path(), cmd))
}

// wantsJSON looks for --json in arguments that did not parse.
func wantsJSON(args []string) bool {
	for _, a := range args {
		if a == "--json" {
			return true
		}
	}
	return false
}

// findCommand returns a new command struct by its path, such as "peer add".
func findCommand(path string) (command, bool) {
	var cli grammar
	for _, leaf := range newParser(&cli, io.Discard, io.Discard).Model.Leaves(false) {
		if leaf.Path() == path {
			c, ok := leaf.Target.Addr().Interface().(command)
			return c, ok
		}
	}
	return nil, false
}

type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command to explain."`
}

func (c *helpCmd) Run(app *App) error {
	var cli grammar
	_, err := newParser(&cli, app.stdout, app.stderr).Parse(append(c.Command, "--help"))
	if err != nil {
		return &usageError{fmt.Errorf("no command %q", strings.Join(c.Command, " "))}
	}
	return nil
}
