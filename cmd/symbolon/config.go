package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/rs/zerolog"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/protocol"
)

// configFile is the name of the configuration in the node's directory.
const configFile = "symbolon.toml"

// config is symbolon.toml. Flags and environment of serve override it.
type config struct {
	Listen      string   `toml:"listen"`
	OpsListen   string   `toml:"ops_listen"`
	OpsPublic   bool     `toml:"ops_public"`
	MaxSessions int      `toml:"max_sessions"`
	MaxLookups  int      `toml:"max_lookups"`
	Workers     int      `toml:"workers"`
	LogLevel    string   `toml:"log_level"`
	Grace       duration `toml:"grace"`
	// StandingEvery is how often standing lookups ask a peer what is new.
	StandingEvery duration       `toml:"standing_every"`
	Timeouts      configTimeouts `toml:"timeouts"`
	Sources       []configSource `toml:"source"`
}

type configTimeouts struct {
	Handshake duration `toml:"handshake"`
	Idle      duration `toml:"idle"`
	Round     duration `toml:"round"`
	Session   duration `toml:"session"`
}

// configSource maps an agreement to the data that this node puts in.
type configSource struct {
	Agreement   string         `toml:"agreement" json:"agreement"`
	Compartment string         `toml:"compartment" json:"compartment"`
	Data        string         `toml:"data" json:"data"`
	Mapping     string         `toml:"mapping,omitempty" json:"mapping,omitempty"`
	Reference   string         `toml:"reference,omitempty" json:"reference"`
	OnBadRow    records.Policy `toml:"on_bad_row,omitempty" json:"on_bad_row"`
	// Contact and Text stand in the labels of lookups.
	Contact string `toml:"contact,omitempty" json:"contact,omitempty"`
	Text    string `toml:"text,omitempty" json:"text,omitempty"`
}

// duration reads "90s" or "12h".
type duration struct{ time.Duration }

func (d *duration) UnmarshalText(text []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(text))
	if err == nil && d.Duration <= 0 {
		err = errors.New("want a time above zero")
	}
	return err
}

// minAgreementPrefix is the fewest digits by which a source may name its
// agreement.
const minAgreementPrefix = 8

// configTemplate is what init writes; %q is the listening address.
const configTemplate = `# Configuration of a symbolon node. Unknown keys are refused.
# Flags and environment of "symbolon serve" override what stands here.

# Where peers connect, host:port. TLS and pinned keys protect it.
listen = %q

# Health, readiness and metrics over plain HTTP. Only a loopback address is
# accepted unless ops_public is true; "" switches it off.
ops_listen = %q
# ops_public = false

# Sessions and streams of lookups answered at once, and threads for cryptography
# (0: all processors).
# max_sessions = 8
# max_lookups = 256
# workers = 0

# trace, debug, info, warn or error
# log_level = "info"

# How often standing lookups ask a peer whether its filter has changed.
# standing_every = "10m"

# How long a stop waits for running sessions before it aborts them.
# grace = "30s"

# [timeouts]
# handshake = "30s"  # for each message before a session starts
# idle = "90s"       # without any sign of life
# round = "1h"       # for each message while the peer works
# session = "12h"    # for an attempt as a whole

# Which data the node puts into sessions, one entry an agreement, as added by
# "symbolon agreement source". The file is read anew for each session, so a
# change needs no restart. The compartment must be the agreement's.
#
# [[source]]
# agreement = "3f09a1c2"       # id, or at least 8 digits of it
# compartment = "missing-persons"
# data = "people.csv"          # CSV, JSON Lines, SQLite, or a postgres:// URL
# mapping = "people.toml"      # which column feeds which field; optional
# reference = "source_ref"     # what a peer sees of a hit: source_ref or id
# on_bad_row = "fail"          # fail, skip the row, or keep it without the value
# contact = "+47 22 00 00 00"  # whom to call: a lookup that hits shows it, and
# text = "ask for desk 4"      # this, beside the reference
`

// loadConfig reads and checks the node's configuration.
func loadConfig(dir string) (*config, error) {
	path := filepath.Join(dir, configFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, &usageError{err}
	}
	c, err := parseConfig(string(raw))
	if err != nil {
		return nil, &usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return c, nil
}

func parseConfig(text string) (*config, error) {
	c := &config{LogLevel: "info", Grace: duration{30 * time.Second}}
	meta, err := toml.Decode(text, c)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown key %q", unknown[0].String())
	}
	if _, err := zerolog.ParseLevel(c.LogLevel); err != nil {
		return nil, fmt.Errorf("log_level %q is unknown", c.LogLevel)
	}
	for _, n := range []struct {
		name        string
		value, most int
	}{{"max_sessions", c.MaxSessions, 1024}, {"max_lookups", c.MaxLookups, 65536}, {"workers", c.Workers, 1024}} {
		if n.value < 0 || n.value > n.most {
			return nil, fmt.Errorf("%s goes from 0 (default) to %d", n.name, n.most)
		}
	}
	for i, s := range c.Sources {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("source %d: %w", i+1, err)
		}
	}
	return c, nil
}

func (s *configSource) check() error {
	if len(s.Agreement) < minAgreementPrefix || len(s.Agreement) > 64 || strings.Trim(s.Agreement, "0123456789abcdef") != "" {
		return fmt.Errorf("agreement is not an id in hexadecimal, or %d to 64 digits of it", minAgreementPrefix)
	}
	if s.Compartment == "" || s.Data == "" {
		return errors.New("compartment and data must be given")
	}
	if err := checkLabel(s.Contact, s.Text); err != nil {
		return err
	}
	return checkReading(s.Reference, s.OnBadRow)
}

// checkLabel checks what goes into every label of a published filter.
func checkLabel(contact, text string) error {
	for _, l := range []struct{ name, value string }{{"contact", contact}, {"text", text}} {
		if len(l.value) > maxLabel {
			return fmt.Errorf("%s has %d bytes, want at most %d", l.name, len(l.value), maxLabel)
		}
		if clean(l.value) != l.value {
			return fmt.Errorf("%s has characters that do not print", l.name)
		}
	}
	return nil
}

// maxLabel is the most that a label of a lookup holds, reference, contact and
// text together, in bytes.
const maxLabel = 256

// checkReading checks how a source is read; empty values are the defaults.
func checkReading(reference string, policy records.Policy) error {
	switch reference {
	case "", referenceID, referenceSource:
	default:
		return fmt.Errorf("reference %q is unknown, want %s or %s", reference, referenceSource, referenceID)
	}
	switch policy {
	case "", records.FailOnBadRow, records.SkipBadRow, records.KeepBadRow:
		return nil
	}
	return fmt.Errorf("on_bad_row %q is unknown, want fail, skip or keep", policy)
}

func (c *config) timeouts() protocol.Timeouts {
	t := protocol.DefaultTimeouts
	for _, o := range []struct {
		into *time.Duration
		set  duration
	}{
		{&t.Handshake, c.Timeouts.Handshake}, {&t.Idle, c.Timeouts.Idle},
		{&t.Round, c.Timeouts.Round}, {&t.Session, c.Timeouts.Session},
	} {
		if o.set.Duration > 0 {
			*o.into = o.set.Duration
		}
	}
	return t
}

// checkLoopback refuses an address that other machines can reach.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return withHint(usagef("ops_listen %q is not a loopback address", address),
		"metrics tell when and how much the agencies match: use 127.0.0.1, or insist with --ops-public")
}
