package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

// maxRules bounds a rule set file in bytes.
const maxRules = 1 << 20

type draftCmd struct {
	Peer            string        `required:"" placeholder:"NAME" help:"The other party, as pinned here."`
	Out             string        `default:"agreement.json" type:"path" placeholder:"FILE" help:"Where to write the draft (default ${default})."`
	Title           string        `placeholder:"TEXT" help:"A title for people."`
	Purpose         string        `required:"" placeholder:"TEXT" help:"What the matching is for."`
	LegalBasis      string        `required:"" placeholder:"TEXT" help:"The law that allows it."`
	Compartment     string        `required:"" placeholder:"WORD" help:"Which data may be used; a source of another compartment is refused."`
	Modes           []psi.Mode    `default:"intersection" placeholder:"MODE" help:"Of intersection, mutual, cardinality, lookup, search (default ${default})."`
	Learns          string        `default:"proposer" placeholder:"WHO" help:"Who receives results: proposer, us or peer (default ${default})."`
	Rules           string        `default:"${default_rules}" placeholder:"NAME|FILE" help:"A rule set: ${rule_sets}, or a file (default ${default})."`
	CardinalityRule string        `placeholder:"RULE" help:"The rule whose keys a cardinality counts; default the first."`
	Engine          string        `placeholder:"ENGINE" help:"The PSI engine: ${engines}; default the first that has all the modes."`
	Security        psi.Security  `placeholder:"LEVEL" help:"What the engine withstands; default what the engine offers."`
	Padding         string        `default:"pow2" enum:"exact,pow2,cap" help:"How set sizes are hidden: exact, pow2 or cap."`
	LabelBytes      int           `default:"64" placeholder:"N" help:"Length of the reference that a hit opens; 0 for none (default ${default})."`
	LabelSlots      *int          `placeholder:"N" help:"How many records one match key may open; default 4, and 2 with mode lookup, whose filter grows with it."`
	ShardItems      int64         `default:"1048576" placeholder:"N" help:"How many items run at a time, so that memory is bounded and a cut session goes on; 0 for all (default ${default})."`
	ItemsPerSession int64         `default:"4194304" placeholder:"N" help:"Cap on items a session, after padding (default ${default})."`
	ItemsPerDay     int64         `placeholder:"N" help:"Cap on items in 24 hours; default four sessions' worth."`
	SessionsPerDay  int64         `default:"24" placeholder:"N" help:"Cap on sessions in 24 hours (default ${default})."`
	MinRecords      int           `default:"0" placeholder:"N" help:"The smallest set a party may put in (self-declared)."`
	NotifyOnHit     string        `default:"optional" enum:"required,optional,never" help:"Whether the sender learns of hits: required, optional or never."`
	Approval        string        `default:"" enum:",auto,one,two" placeholder:"WHO" help:"Operators who must agree to a session: auto, one or two; default one, and auto with modes lookup and search, whose answers can't wait."`
	ValidFrom       string        `placeholder:"TIME" help:"First instant, RFC 3339; default now."`
	ValidDays       int           `default:"365" placeholder:"N" help:"How long it is valid (default ${default})."`
	RetentionDays   int           `default:"30" placeholder:"N" help:"How long results and log entries are kept (default ${default})."`
	ClockTolerance  time.Duration `default:"5m" placeholder:"TIME" help:"How far the two clocks may differ (default ${default})."`
	lookupFlags
	searchFlags
}

// lookupFlags are the terms of mode lookup.
type lookupFlags struct {
	EpochDays            int   `group:"Terms of mode lookup:" default:"${epoch_days}" placeholder:"N" help:"How long a key of the filter lives (default ${default})."`
	OverlapHours         int   `group:"Terms of mode lookup:" default:"${overlap_hours}" placeholder:"N" help:"How long the key before still answers (default ${default})."`
	DeltaHours           int   `group:"Terms of mode lookup:" default:"${delta_hours}" placeholder:"N" help:"How often changes may be published; 0 for whenever (default ${default})."`
	Evaluations          int   `group:"Terms of mode lookup:" default:"${evaluations}" placeholder:"N" help:"A query is padded to a multiple of so many evaluations (default ${default})."`
	EvaluationsPerMinute int64 `group:"Terms of mode lookup:" default:"${evaluations_per_minute}" placeholder:"N" help:"Cap on evaluations a minute, after padding (default ${default})."`
	EvaluationsPerDay    int64 `group:"Terms of mode lookup:" default:"${evaluations_per_day}" placeholder:"N" help:"Cap on evaluations in 24 hours (default ${default})."`
	FalsePositiveLog2    int   `group:"Terms of mode lookup:" name:"false-positive-log2" default:"${false_positive_log2}" placeholder:"N" help:"A query is wrongly a hit with probability 2^-N (default ${default})."`
}

// clause returns the terms as the agreement holds them.
func (f *lookupFlags) clause() *protocol.Lookup {
	return &protocol.Lookup{EpochDays: f.EpochDays, OverlapHours: f.OverlapHours, DeltaHours: f.DeltaHours, Evaluations: f.Evaluations,
		EvaluationsPerMinute: f.EvaluationsPerMinute, EvaluationsPerDay: f.EvaluationsPerDay, FalsePositiveLog2: f.FalsePositiveLog2}
}

// searchFlags are the terms of mode search.
type searchFlags struct {
	Threshold         int   `group:"Terms of mode search:" default:"${search_threshold}" placeholder:"N" help:"How many of ${search_groups} groups of a sketch must agree for a record to open, at least (default ${default})."`
	SearchEpochDays   int   `group:"Terms of mode search:" default:"${search_epoch_days}" placeholder:"N" help:"How long the asker's keys and the order of the slots live (default ${default})."`
	MaxSlots          int64 `group:"Terms of mode search:" default:"${max_slots}" placeholder:"N" help:"The most name forms that an index holds (default ${default})."`
	SearchEvaluations int64 `group:"Terms of mode search:" default:"${search_evaluations}" placeholder:"N" help:"A search counts as so many evaluations in the budget of all modes (default ${default})."`
	SearchesPerMinute int64 `group:"Terms of mode search:" default:"${searches_per_minute}" placeholder:"N" help:"Cap on searches a minute (default ${default})."`
	SearchesPerDay    int64 `group:"Terms of mode search:" default:"${searches_per_day}" placeholder:"N" help:"Cap on searches in 24 hours (default ${default})."`
	Reveals           int   `group:"Terms of mode search:" default:"${reveals}" placeholder:"N" help:"For how many handles of a search the reference may be asked (default ${default})."`
}

// clause returns the terms as the agreement holds them.
func (f *searchFlags) clause() *protocol.Search {
	s := protocol.DefaultSearch()
	s.Threshold, s.EpochDays, s.MaxSlots, s.Evaluations = f.Threshold, f.SearchEpochDays, f.MaxSlots, f.SearchEvaluations
	s.SearchesPerMinute, s.SearchesPerDay, s.Reveals = f.SearchesPerMinute, f.SearchesPerDay, f.Reveals
	return s
}

func (c *draftCmd) needs(*App) need { return needStore }

// AfterApply is called by kong: a rule set that is a file gets its full path.
func (c *draftCmd) AfterApply() error {
	if slices.Contains(records.ShippedNames(), c.Rules) {
		return nil
	}
	path, err := filepath.Abs(c.Rules)
	c.Rules = path
	return err
}

func (c *draftCmd) Run(app *App) error {
	peer, err := app.peer(c.Peer)
	if err != nil {
		return err
	}
	theirs, err := keys.ParsePublicIdentity(peer.Identity)
	if err != nil {
		return fmt.Errorf("stored identity of peer %q: %w", peer.Name, err)
	}
	ours, err := app.ownIdentity()
	if err != nil {
		return err
	}
	a, err := c.draft(partyOf(ours.Name(), ours.Fingerprint()), partyOf(theirs.Name(), theirs.Fingerprint()))
	if err != nil {
		return err
	}
	if err := a.Validate(); err != nil {
		return &usageError{err}
	}
	s := &protocol.SignedAgreement{Agreement: a}
	raw, err := s.Marshal()
	if err != nil {
		return err
	}
	if err := writeNew(c.Out, raw); err != nil {
		return err
	}
	return app.print(viewAgreement(s, true), func(w io.Writer) {
		fmt.Fprintf(w, "Wrote the draft to %s\n\n", c.Out)
		_ = a.WriteText(w)
		fmt.Fprintf(w, "\nNext: read it, then `symbolon agreement sign %s`.\n", c.Out)
	})
}

func (c *draftCmd) draft(us, peer protocol.Party) (*protocol.Agreement, error) {
	rules, err := loadRules(c.Rules)
	if err != nil {
		return nil, &usageError{err}
	}
	canary, err := records.CanaryKeys(rules)
	if err != nil {
		return nil, err
	}
	from := time.Now().UTC().Truncate(time.Second)
	if c.ValidFrom != "" {
		if from, err = time.Parse(time.RFC3339, c.ValidFrom); err != nil {
			return nil, usagef("--valid-from is not an RFC 3339 time")
		}
	}
	engine, security, err := c.chooseEngine()
	if err != nil {
		return nil, err
	}
	a := &protocol.Agreement{
		Version: protocol.AgreementVersion, Title: c.Title, Parties: [2]protocol.Party{us, peer},
		Purpose: c.Purpose, LegalBasis: c.LegalBasis, Compartment: c.Compartment,
		ShardItems: c.ShardItems, Modes: c.Modes, Rules: rules, Normalisation: records.NormalisationVersion(), Canary: canary,
		Engine: engine, Security: security, Padding: protocol.Padding(c.Padding),
		Caps: protocol.Caps{ItemsPerSession: c.ItemsPerSession, ItemsPerDay: c.ItemsPerDay,
			SessionsPerDay: c.SessionsPerDay, MinRecords: c.MinRecords},
		NotifyOnHit: c.NotifyOnHit, Approval: protocol.Approval(c.Approval),
		ValidFrom: from.UTC().Format(time.RFC3339), ValidUntil: from.UTC().AddDate(0, 0, c.ValidDays).Format(time.RFC3339),
		RetentionDays: c.RetentionDays, ClockToleranceSeconds: int(c.ClockTolerance / time.Second),
	}
	slices.SortFunc(a.Parties[:], func(x, y protocol.Party) int { return strings.Compare(x.Identity, y.Identity) })
	switch c.Learns {
	case "proposer":
		a.Learns = protocol.LearnsProposer
	case "us":
		a.Learns = us.Identity
	case "peer":
		a.Learns = peer.Identity
	default:
		return nil, usagef("--learns is %q, want proposer, us or peer", c.Learns)
	}
	if a.Caps.ItemsPerDay == 0 {
		a.Caps.ItemsPerDay = 4 * a.Caps.ItemsPerSession
	}
	if c.LabelBytes > 0 {
		a.Labels = &protocol.Labels{Bytes: c.LabelBytes, Slots: 4}
		if a.Allows(psi.ModeLookup) {
			a.Labels.Slots = 2
		}
		if c.LabelSlots != nil {
			a.Labels.Slots = *c.LabelSlots
		}
	}
	if len(a.SessionModes()) == 0 {
		a.ShardItems = 0
	}
	if a.Allows(psi.ModeLookup) {
		a.Lookup = c.lookupFlags.clause()
	}
	if a.Allows(psi.ModeSearch) {
		a.Search = c.searchFlags.clause()
	}
	if a.Approval == "" {
		a.Approval = protocol.ApproveOne
		if a.Lookup != nil || a.Search != nil {
			a.Approval = protocol.ApproveAuto
		}
	}
	a.CardinalityRule = c.CardinalityRule
	if slices.Contains(a.Modes, psi.ModeCardinality) && a.CardinalityRule == "" {
		a.CardinalityRule = rules.Rules[0].ID
	}
	return a, nil
}

// chooseEngine returns the first engine that offers all the modes in which
// sessions run, and what it withstands; either may be given. Without such a mode
// there need be none.
func (c *draftCmd) chooseEngine() (string, psi.Security, error) {
	modes := (&protocol.Agreement{Modes: c.Modes}).SessionModes()
	if len(modes) == 0 && c.Engine == "" {
		return "", c.Security, nil
	}
	names := protocol.Engines()
	if c.Engine != "" {
		names = []string{c.Engine}
	}
	var last error
	for _, name := range names {
		security := c.Security
		if can := protocol.EngineSecurity(name); security == "" && len(can) > 0 {
			security = can[0]
		}
		last = nil
		for _, m := range modes {
			last = errors.Join(last, protocol.CheckEngine(name, security, m))
		}
		if last == nil {
			return name, security, nil
		}
	}
	return "", "", &usageError{last}
}

// loadRules returns a rule set that comes with the program, or one in a file.
func loadRules(name string) (*records.RuleSet, error) {
	if slices.Contains(records.ShippedNames(), name) {
		return records.Shipped(name)
	}
	raw, err := readBounded(name, maxRules)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("no rule set %q: it is none of %s, and no file", name, strings.Join(records.ShippedNames(), ", "))
		}
		return nil, err
	}
	return records.ParseRuleSet(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")))
}

// fileOrID makes the name of an existing file absolute and leaves an id alone.
func fileOrID(s string) (string, error) {
	if _, err := os.Stat(s); err != nil {
		return s, nil
	}
	return filepath.Abs(s)
}

func isPath(s string) bool { return filepath.IsAbs(s) }
