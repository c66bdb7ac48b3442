package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol"
)

// What a peer sees of a hit.
const (
	referenceID     = "id"
	referenceSource = "source_ref"
)

// sourceFinder returns the function by which the node finds the data for an
// agreement. The configuration is read at each call.
func sourceFinder(dir string) func(agreement string) (protocol.Source, error) {
	return func(agreement string) (protocol.Source, error) {
		c, err := loadConfig(dir)
		if err != nil {
			return protocol.Source{}, err
		}
		return c.source(dir, agreement)
	}
}

// source opens the one source that is configured for an agreement.
func (c *config) source(dir, agreement string) (protocol.Source, error) {
	var found *configSource
	for i := range c.Sources {
		if !strings.HasPrefix(agreement, c.Sources[i].Agreement) {
			continue
		}
		if found != nil {
			return protocol.Source{}, usagef("two sources are configured for agreement %s", short(agreement))
		}
		found = &c.Sources[i]
	}
	if found == nil {
		return protocol.Source{}, withHint(usagef("no source is configured for agreement %s", short(agreement)),
			"add a [[source]] to %s", filepath.Join(dir, configFile))
	}
	at := func(path string) string {
		if path == "" || isURL(path) || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	src, err := openSource(found.Compartment, at(found.Data), at(found.Mapping), found.Reference, found.OnBadRow)
	src.Contact, src.Text = found.Contact, found.Text
	return src, err
}

// dataFlags are the flags by which a command names records.
type dataFlags struct {
	data, mapping, compartment, reference string
	policy                                records.Policy
}

// openData opens the records that flags name, or what is configured for the
// agreement. Their compartment is the agreement's unless said otherwise.
func (a *App) openData(row store.Agreement, f dataFlags) (protocol.Source, error) {
	if f.data == "" {
		src, err := sourceFinder(a.dir)(row.ID)
		if err != nil {
			return src, withHint(err, "give --data, or configure a [[source]] in %s", filepath.Join(a.dir, configFile))
		}
		return src, nil
	}
	if f.compartment == "" {
		s, err := protocol.ParseSignedAgreement(row.Document)
		if err != nil {
			return protocol.Source{}, err
		}
		f.compartment = s.Agreement.Compartment
	}
	return openSource(f.compartment, f.data, f.mapping, f.reference, f.policy)
}

// openSource prepares to read records at a location.
func openSource(compartment, data, mapping, reference string, policy records.Policy) (protocol.Source, error) {
	var src protocol.Source
	if err := checkReading(reference, policy); err != nil {
		return src, &usageError{err}
	}
	var m *records.Mapping
	if mapping != "" {
		var err error
		if m, err = records.LoadMapping(mapping); err != nil {
			return src, &usageError{err}
		}
	}
	if !isURL(data) {
		if _, err := os.Stat(data); err != nil {
			return src, &usageError{err}
		}
	}
	s, err := records.Open(data, m)
	if err != nil {
		return src, &usageError{err}
	}
	src.Compartment, src.ReferenceID, src.Records = compartment, reference == referenceID, s
	src.Read = records.ReadOptions{OnBadRow: policy}
	return src, nil
}

func isURL(location string) bool { return strings.Contains(location, "://") }

// absolute makes a path absolute and leaves a URL and "" alone.
func absolute(location string) (string, error) {
	if location == "" || isURL(location) {
		return location, nil
	}
	p, err := filepath.Abs(location)
	if err != nil {
		return "", fmt.Errorf("path of the data: %w", err)
	}
	return p, nil
}
