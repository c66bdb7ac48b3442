package bench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

// engine makes both parties of a run.
type engine struct {
	name string
	// security lists what the engine withstands, its default first.
	security []psi.Security
	// insecure marks a yardstick, whatever its parameters say.
	insecure    bool
	newSender   func(psi.Params, []psi.Item, psi.Options) (psi.Sender, error)
	newReceiver func(psi.Params, []psi.Item, psi.Options) (psi.Receiver, error)
}

var engines = append(realEngines(),
	engine{
		name:     "naive",
		security: []psi.Security{psi.SemiHonest},
		insecure: true,
		newSender: func(p psi.Params, items []psi.Item, o psi.Options) (psi.Sender, error) {
			return newNaiveSender(p, items, o), nil
		},
		newReceiver: func(p psi.Params, items []psi.Item, o psi.Options) (psi.Receiver, error) {
			return newNaiveReceiver(p, items, o), nil
		},
	},
)

// realEngines are those that an agreement can name.
func realEngines() []engine {
	var all []engine
	for _, name := range protocol.Engines() {
		all = append(all, engine{
			name:     name,
			security: protocol.EngineSecurity(name),
			newSender: func(p psi.Params, items []psi.Item, o psi.Options) (psi.Sender, error) {
				return protocol.NewSender(name, p, items, o)
			},
			newReceiver: func(p psi.Params, items []psi.Item, o psi.Options) (psi.Receiver, error) {
				return protocol.NewReceiver(name, p, items, o)
			},
		})
	}
	return all
}

// Engines returns the names of the engines that PSI can measure.
func Engines() []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.name)
	}
	return names
}

func findEngine(name string) (*engine, error) {
	for i := range engines {
		if engines[i].name == name {
			return &engines[i], nil
		}
	}
	return nil, fmt.Errorf("bench: engine %q is unknown, want one of %s", name, strings.Join(Engines(), ", "))
}

func (e *engine) allows(s psi.Security) error {
	if slices.Contains(e.security, s) {
		return nil
	}
	return fmt.Errorf("bench: engine %s is not %s", e.name, s)
}
