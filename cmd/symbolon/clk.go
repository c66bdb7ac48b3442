package main

import "fmt"

// clkCmd encodes records as cryptographic long-term keys (CLKs), Bloom filters
// that can be compared, and compares them. No peer ever gets one.
type clkCmd struct {
	Encode clkEncodeCmd `cmd:"" help:"Encode a CSV file by a linkage schema of clkhash."`
	Match  clkMatchCmd  `cmd:"" help:"Find similar CLKs in two files, or duplicates in one."`
}

// clkNotice says what a CLK reveals, in everything that makes or compares CLKs.
const clkNotice = "A CLK is no anonymous code. Whoever has the secret can encode any name and look for it; " +
	"without it, frequent values and the similarities among CLKs give names away. " +
	"Guard CLKs like the records, and never send them to a peer."

// clkUnitNotice is what a linkage unit adds.
const clkUnitNotice = "A linkage unit sees the similarities of all records of both agencies, and which are the same person: " +
	"both agencies trust it with their data."

// maxListed bounds the rows that a report names one by one.
const maxListed = 20

// badRow is a row that could not be encoded; it holds no value.
type badRow struct {
	Row    int    `json:"row"`
	Column string `json:"column,omitempty"`
	Reason string `json:"reason"`
}

func (b badRow) String() string {
	if b.Column == "" {
		return fmt.Sprintf("row %d: %s", b.Row, b.Reason)
	}
	return fmt.Sprintf("row %d, column %q: value %s", b.Row, b.Column, b.Reason)
}
