// Package wirepb holds the generated messages of the wire protocol.
package wirepb

//go:generate go run ./generate
