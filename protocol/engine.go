package protocol

import (
	"context"
	"fmt"
	"slices"

	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/dhpsi"
	"github.com/symbolon/symbolon/psi/volepsi"
)

// Engines by their names in an agreement.
const (
	EngineDH   = "dh"
	EngineVOLE = "vole"
)

// Engines returns the names of the engines, the default first.
func Engines() []string { return []string{EngineVOLE, EngineDH} }

// EngineSecurity returns what an engine withstands, its default first, or nil
// for an unknown engine.
func EngineSecurity(engine string) []psi.Security {
	switch engine {
	case EngineVOLE:
		return []psi.Security{psi.Malicious, psi.SemiHonest}
	case EngineDH:
		return []psi.Security{psi.SemiHonest}
	}
	return nil
}

// CheckEngine reports why an engine can't run with this security and mode.
func CheckEngine(engine string, security psi.Security, mode psi.Mode) error {
	can := EngineSecurity(engine)
	switch {
	case can == nil:
		return fmt.Errorf("engine %q is unknown, want one of %v", engine, Engines())
	case !slices.Contains(can, security):
		return fmt.Errorf("engine %q is not %q, want one of %q", engine, security, can)
	case mode == psi.ModeCardinality && engine != EngineDH:
		return fmt.Errorf("engine %q has no mode %q, only %q has", engine, mode, EngineDH)
	}
	return nil
}

// NewSender introduces the engine of this name as a sender.
func NewSender(engine string, p psi.Params, items []psi.Item, o psi.Options) (psi.Sender, error) {
	if err := CheckEngine(engine, p.Security, p.Mode); err != nil {
		return nil, err
	}
	if engine == EngineDH {
		return dhpsi.NewSender(p, items, o)
	}
	return volepsi.NewSender(p, items, o)
}

// NewReceiver introduces the engine of this name as a receiver.
func NewReceiver(engine string, p psi.Params, items []psi.Item, o psi.Options) (psi.Receiver, error) {
	if err := CheckEngine(engine, p.Security, p.Mode); err != nil {
		return nil, err
	}
	if engine == EngineDH {
		return dhpsi.NewReceiver(p, items, o)
	}
	return volepsi.NewReceiver(p, items, o)
}

// OpenEngineConn returns a connection that carries an engine's messages over a
// stream, framed as in a session but with nothing before or after them, for
// measurements. The function it returns ends the stream and, on the side that
// opened it, waits for its goroutines once the Conn's context has ended.
func OpenEngineConn(ctx context.Context, c Conn, opened bool) (psi.Conn, func()) {
	l := newLink(ctx, c, opened, DefaultTimeouts)
	return engineConn{l}, func() {
		l.close(nil)
		l.release()
	}
}
