package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gowebpki/jcs"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/psi"
)

// AgreementVersion is the version of the agreement format.
const AgreementVersion = 1

// MaxAgreementSize bounds an agreement file in bytes.
const MaxAgreementSize = 1 << 20

// Agreement is the contract that both agencies have signed. Its canonical JSON
// (RFC 8785) hashes to its id; no session runs without one, and both nodes
// enforce every clause for themselves.
type Agreement struct {
	Version int      `json:"version"`
	Title   string   `json:"title"`
	Parties [2]Party `json:"parties"`
	// Purpose and LegalBasis are for people to read; Compartment keeps data
	// of different purposes apart and must be the data source's.
	Purpose     string `json:"purpose"`
	LegalBasis  string `json:"legal_basis"`
	Compartment string `json:"compartment"`
	// Modes are the kinds of session allowed. Learns is who receives: "proposer"
	// or the identity of a party.
	Modes  []psi.Mode `json:"modes"`
	Learns string     `json:"learns"`
	// Rules is the rule set. Normalisation and Canary pin what its clauses meant
	// when the parties signed.
	Rules         *records.RuleSet `json:"rules"`
	Normalisation string           `json:"normalisation"`
	Canary        string           `json:"canary"`
	// CardinalityRule names the rule whose keys a cardinality session counts.
	CardinalityRule string       `json:"cardinality_rule,omitempty"`
	Engine          string       `json:"engine"`
	Security        psi.Security `json:"security"`
	// ShardItems is about how many items of the larger set run at a time, so
	// that memory is bounded and a cut session goes on after its last finished
	// shard; 0 runs all at once, as mode cardinality always does.
	ShardItems int64   `json:"shard_items"`
	Padding    Padding `json:"padding"`
	// Labels, if present, open the sender's reference for a hit.
	Labels *Labels `json:"labels,omitempty"`
	// Lookup is the clause for mode lookup.
	Lookup *Lookup `json:"lookup,omitempty"`
	// Search is the clause for mode search.
	Search      *Search  `json:"search,omitempty"`
	Caps        Caps     `json:"caps"`
	NotifyOnHit string   `json:"notify_on_hit"`
	Approval    Approval `json:"approval"`
	ValidFrom   string   `json:"valid_from"`
	ValidUntil  string   `json:"valid_until"`
	// RetentionDays is how long results and log entries are kept.
	RetentionDays int `json:"retention_days"`
	// ClockToleranceSeconds is how far the two clocks may differ.
	ClockToleranceSeconds int `json:"clock_tolerance_seconds"`

	// id is kept by parseAgreement, after which nothing is changed.
	id *[32]byte
}

// Party is one of the two agencies.
type Party struct {
	Name     string `json:"name"`
	Identity string `json:"identity"` // fingerprint, lower-case hexadecimal
}

// Labels fixes the size of a record's label and how many records one key can
// open.
type Labels struct {
	Bytes int `json:"bytes"`
	Slots int `json:"slots"`
}

// Caps bounds what a peer may put in, counted in items after padding. The
// per-day budgets are the peer's in all its agreements and modes together, over
// the last 24 hours. How many keys a record may have is in the rule set.
type Caps struct {
	ItemsPerSession int64 `json:"items_per_session"`
	ItemsPerDay     int64 `json:"items_per_day"`
	SessionsPerDay  int64 `json:"sessions_per_day"`
	// MinRecords is the smallest set a party may put in. It is self-declared:
	// each node checks its own data.
	MinRecords int `json:"min_records"`
}

// minShard keeps a peer from asking for millions of tiny shards.
const minShard = 256

// MaxAttempts is how often a session may be tried over the inputs committed at
// its start.
const MaxAttempts = 3

// Padding is the rule by which set sizes are hidden.
type Padding string

// The padding rules.
const (
	PadExact Padding = "exact" // sizes are told as they are
	PadPow2  Padding = "pow2"  // up to the next power of two, at most the cap
	PadCap   Padding = "cap"   // always the cap
)

// Size returns n padded under a cap, or an error if n exceeds it.
func (p Padding) Size(n, limit int64) (int64, error) {
	if n > limit {
		return 0, fmt.Errorf("%d items exceed the agreement's %d a session", n, limit)
	}
	switch p {
	case PadExact:
		return n, nil
	case PadPow2:
		size := int64(1)
		for size < n {
			size *= 2
		}
		return min(size, limit), nil
	case PadCap:
		return limit, nil
	}
	return 0, fmt.Errorf("padding %q is unknown", p)
}

// Approval says how many of an agency's operators must agree to a session.
type Approval string

// The approval policies. With ApproveTwo the proposing user never counts.
const (
	ApproveAuto Approval = "auto"
	ApproveOne  Approval = "one"
	ApproveTwo  Approval = "two"
)

// NotifyOnHit values: whether the sender must, may or must not learn of hits.
const (
	NotifyRequired = "required"
	NotifyOptional = "optional"
	NotifyNever    = "never"
)

// LearnsProposer lets whoever proposes a session receive its result.
const LearnsProposer = "proposer"

// Bytes returns the canonical JSON of a.
func (a *Agreement) Bytes() ([]byte, error) {
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(raw)
}

// ID returns the SHA-256 of the canonical JSON, which must be encodable:
// a parsed or validated agreement always is.
func (a *Agreement) ID() [32]byte {
	if a.id != nil {
		return *a.id
	}
	b, err := a.Bytes()
	if err != nil {
		panic("protocol: agreement cannot be encoded: " + err.Error())
	}
	return sha256.Sum256(b)
}

// Hex returns the id as the operator sees it.
func (a *Agreement) Hex() string {
	id := a.ID()
	return hex.EncodeToString(id[:])
}

// rulesOf returns the rules that a mode uses: all, or the one whose keys a
// cardinality session counts.
func (a *Agreement) rulesOf(mode psi.Mode) *records.RuleSet {
	if mode != psi.ModeCardinality {
		return a.Rules
	}
	one := *a.Rules
	one.Rules = []records.Rule{*a.Rules.Rule(a.CardinalityRule)}
	return &one
}

// Validity returns the first and the last instant at which sessions may start.
func (a *Agreement) Validity() (from, until time.Time, err error) {
	if from, err = time.Parse(time.RFC3339, a.ValidFrom); err != nil {
		return from, until, fmt.Errorf("valid_from %q is not an RFC 3339 time", a.ValidFrom)
	}
	if until, err = time.Parse(time.RFC3339, a.ValidUntil); err != nil {
		return from, until, fmt.Errorf("valid_until %q is not an RFC 3339 time", a.ValidUntil)
	}
	if !from.Before(until) {
		return from, until, fmt.Errorf("valid_from %s is not before valid_until %s", a.ValidFrom, a.ValidUntil)
	}
	return from, until, nil
}

// ClockTolerance is how far the peer's clock may be from ours.
func (a *Agreement) ClockTolerance() time.Duration {
	return time.Duration(a.ClockToleranceSeconds) * time.Second
}

// Retention is how long results are kept.
func (a *Agreement) Retention() time.Duration {
	return time.Duration(a.RetentionDays) * 24 * time.Hour
}

// Other returns the party that is not the given one.
func (a *Agreement) Other(p Party) Party {
	if a.Parties[0] == p {
		return a.Parties[1]
	}
	return a.Parties[0]
}

// PartyOf returns the party that id is, by its own fingerprint or one that its
// rotations prove it had.
func (a *Agreement) PartyOf(id *keys.PublicIdentity) (Party, bool) {
	for _, p := range a.Parties {
		if f, err := keys.ParseFingerprint(p.Identity); err == nil && id.DescendsFrom(f) {
			return p, true
		}
	}
	return Party{}, false
}

// RoleOf returns the PSI role of the proposer's side (or the acceptor's) when
// the given party is on it.
func (a *Agreement) RoleOf(p Party, proposes bool) psi.Role {
	learns := a.Learns == p.Identity
	if a.Learns == LearnsProposer {
		learns = proposes
	}
	if learns {
		return psi.RoleReceiver
	}
	return psi.RoleSender
}

// Validate checks every clause and reports the first that is wrong.
func (a *Agreement) Validate() error {
	for _, check := range []func() error{a.validateParties, a.validateModes, a.validateRules, a.validateLimits, a.validateLookup, a.validateSearch} {
		if err := check(); err != nil {
			return fmt.Errorf("agreement: %w", err)
		}
	}
	return nil
}

func (a *Agreement) validateParties() error {
	if a.Version != AgreementVersion {
		return fmt.Errorf("version %d, this node knows %d", a.Version, AgreementVersion)
	}
	for i, p := range a.Parties {
		if _, err := keys.ParseFingerprint(p.Identity); err != nil {
			return fmt.Errorf("parties[%d]: %w", i, err)
		}
		if err := checkText(fmt.Sprintf("parties[%d].name", i), p.Name, 1, 200); err != nil {
			return err
		}
	}
	if a.Parties[0].Identity == a.Parties[1].Identity {
		return errors.New("both parties have the same identity")
	}
	if a.Parties[0].Identity > a.Parties[1].Identity {
		return errors.New("parties are not in the order of their identities")
	}
	for _, f := range []struct {
		name, value string
		least       int
	}{
		{"title", a.Title, 0}, {"purpose", a.Purpose, 1},
		{"legal_basis", a.LegalBasis, 1}, {"compartment", a.Compartment, 1},
	} {
		if err := checkText(f.name, f.value, f.least, 2000); err != nil {
			return err
		}
	}
	return nil
}

// checkText refuses text that a terminal could be tricked with.
func checkText(name, s string, least, most int) error {
	if len(s) < least || len(s) > most {
		return fmt.Errorf("%s has %d bytes, want %d to %d", name, len(s), least, most)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%s has characters that do not print", name)
	}
	return nil
}

func (a *Agreement) validateModes() error {
	if len(a.Modes) == 0 {
		return errors.New("modes is empty")
	}
	for i, m := range a.Modes {
		switch m {
		case psi.ModeIntersection, psi.ModeMutual, psi.ModeCardinality, psi.ModeLookup, psi.ModeSearch:
		default:
			return fmt.Errorf("mode %q is unknown", m)
		}
		if slices.Contains(a.Modes[:i], m) {
			return fmt.Errorf("mode %q is listed twice", m)
		}
	}
	switch a.Learns {
	case LearnsProposer, a.Parties[0].Identity, a.Parties[1].Identity:
	default:
		return fmt.Errorf("learns is %q, want %q or a party's identity", a.Learns, LearnsProposer)
	}
	mutual := slices.Contains(a.Modes, psi.ModeMutual)
	switch a.NotifyOnHit {
	case NotifyOptional:
	case NotifyRequired:
		if slices.Contains(a.Modes, psi.ModeIntersection) {
			return errors.New("notify_on_hit is required, but mode intersection tells the sender nothing")
		}
	case NotifyNever:
		if mutual {
			return errors.New("notify_on_hit is never, but mode mutual tells the sender of hits")
		}
	default:
		return fmt.Errorf("notify_on_hit %q is unknown", a.NotifyOnHit)
	}
	switch a.Approval {
	case ApproveAuto, ApproveOne, ApproveTwo:
	default:
		return fmt.Errorf("approval %q is unknown", a.Approval)
	}
	return a.validateEngine()
}

// validateEngine checks the engine for the modes that run one. An agreement
// without such a mode need not name any.
func (a *Agreement) validateEngine() error {
	modes := a.SessionModes()
	if len(modes) == 0 && (a.Engine != "" || a.Security != "") {
		modes = []psi.Mode{psi.ModeIntersection}
	}
	for _, m := range modes {
		if err := CheckEngine(a.Engine, a.Security, m); err != nil {
			return err
		}
	}
	return nil
}

func (a *Agreement) validateRules() error {
	if a.Rules == nil {
		return errors.New("rules are missing")
	}
	if err := a.Rules.Validate(); err != nil {
		return err
	}
	if slices.Contains(a.Modes, psi.ModeCardinality) {
		if a.Rules.Rule(a.CardinalityRule) == nil {
			return fmt.Errorf("cardinality_rule %q is not one of the rules", a.CardinalityRule)
		}
	} else if a.CardinalityRule != "" {
		return errors.New("cardinality_rule is given, but mode cardinality is not allowed")
	}
	if err := checkText("normalisation", a.Normalisation, 1, 100); err != nil {
		return err
	}
	if b, err := hex.DecodeString(a.Canary); err != nil || len(b) != 32 || strings.ToLower(a.Canary) != a.Canary {
		return errors.New("canary is not 64 lower-case hexadecimal digits")
	}
	return nil
}

func (a *Agreement) validateLimits() error {
	if _, _, err := a.Validity(); err != nil {
		return err
	}
	switch a.Padding {
	case PadExact, PadPow2, PadCap:
	default:
		return fmt.Errorf("padding %q is unknown", a.Padding)
	}
	ranges := []limit{
		{"caps.items_per_session", a.Caps.ItemsPerSession, 1, psi.MaxItems},
		{"caps.items_per_day", a.Caps.ItemsPerDay, a.Caps.ItemsPerSession, math.MaxInt32 << 8},
		{"caps.sessions_per_day", a.Caps.SessionsPerDay, 1, 1_000_000},
		{"shard_items", a.ShardItems, 0, psi.MaxItems},
		{"caps.min_records", int64(a.Caps.MinRecords), 0, psi.MaxItems},
		{"retention_days", int64(a.RetentionDays), 1, 36_500},
		{"clock_tolerance_seconds", int64(a.ClockToleranceSeconds), 1, 86_400},
	}
	if a.ShardItems > 0 && a.ShardItems < minShard {
		return fmt.Errorf("shard_items is %d, want 0 or at least %d", a.ShardItems, minShard)
	}
	if a.Labels != nil {
		ranges = append(ranges, limit{"labels.bytes", int64(a.Labels.Bytes), 1, 4096}, limit{"labels.slots", int64(a.Labels.Slots), 1, 64})
	}
	return checkRanges(ranges)
}

// limit is a clause that is a number.
type limit struct {
	name        string
	value       int64
	least, most int64
}

func checkRanges(limits []limit) error {
	for _, l := range limits {
		if l.value < l.least || l.value > l.most {
			return fmt.Errorf("%s is %d, outside [%d, %d]", l.name, l.value, l.least, l.most)
		}
	}
	return nil
}

// parseAgreement reads canonical or indented JSON strictly: unknown fields and
// values that would encode differently are refused, so that an accepted
// agreement has one id.
func parseAgreement(raw []byte) (*Agreement, error) {
	var a Agreement
	if err := strictJSON(raw, &a); err != nil {
		return nil, fmt.Errorf("agreement: %w", err)
	}
	if err := a.Validate(); err != nil {
		return nil, err
	}
	given, err := jcs.Transform(raw)
	if err != nil {
		return nil, fmt.Errorf("agreement: %w", err)
	}
	own, err := a.Bytes()
	if err != nil {
		return nil, fmt.Errorf("agreement: %w", err)
	}
	if !bytes.Equal(given, own) {
		return nil, errors.New("agreement: it does not re-encode to itself (a field is repeated, missing or oddly written)")
	}
	id := sha256.Sum256(own)
	a.id = &id
	return &a, nil
}

// strictJSON decodes one JSON value, refusing unknown fields and trailing data.
func strictJSON(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return jsonError(err)
	}
	if d.More() {
		return errors.New("data follows the JSON value")
	}
	return nil
}

// jsonError drops the offending value from a decoder's error.
func jsonError(err error) error {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Errorf("field %q at byte %d has the wrong type, want %s", t.Field, t.Offset, t.Type)
	}
	return err
}
