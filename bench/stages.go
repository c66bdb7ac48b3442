package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/volepsi"
)

// Stage is what one stage of a run took each party, in seconds of one
// processor.
type Stage struct {
	Name     string  `json:"name"`
	Sender   float64 `json:"sender_s"`
	Receiver float64 `json:"receiver_s"`
}

// StagesReport is a run taken apart.
type StagesReport struct {
	Engine    string  `json:"engine"`
	Security  string  `json:"security"`
	NSender   int     `json:"n_sender"`
	NReceiver int     `json:"n_receiver"`
	Overlap   float64 `json:"overlap"`
	Correct   bool    `json:"correct"`
	// Stages are in the order of the run; "items" is the hashing of strings,
	// "other" what belongs to no stage.
	Stages []Stage `json:"stages"`
	// Total is the sum of all stages of both parties.
	Total float64 `json:"total_s"`
	CPU   string  `json:"cpu"`
	Go    string  `json:"go"`
}

// Stages runs both parties of the VOLE engine in turn on one processor and
// reports what each stage took each of them. What runs beside it on the
// machine disturbs it.
func Stages(ctx context.Context, c PSIConfig) (*StagesReport, error) {
	if c.Engine != "vole" {
		return nil, fmt.Errorf("bench: engine %q has no stages, want vole", c.Engine)
	}
	c.Workers = 1
	engine, err := c.prepare()
	if err != nil {
		return nil, err
	}
	p := psi.Params{Mode: c.Mode, Security: c.Security, SenderItems: c.SenderItems, ReceiverItems: c.ReceiverItems}
	if _, err := io.ReadFull(c.Rand, p.Session[:]); err != nil {
		return nil, fmt.Errorf("bench: reading randomness: %w", err)
	}
	w, err := newWorkload(c)
	if err != nil {
		return nil, err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.GC()
	clock := newStageClock()
	res, err := runInTurn(ctx, &c, engine, p, w, clock)
	if err != nil {
		return nil, err
	}
	r := &StagesReport{
		Engine: c.Engine, Security: string(c.Security), NSender: c.SenderItems, NReceiver: c.ReceiverItems,
		Overlap: c.Overlap, Correct: w.check(c.Mode, res), CPU: cpuModel(), Go: goVersion(),
	}
	for _, name := range append(append([]string{"items"}, volepsi.Stages()...), "other") {
		s := Stage{name, clock.spent[psi.RoleSender][name].Seconds(), clock.spent[psi.RoleReceiver][name].Seconds()}
		r.Stages = append(r.Stages, s)
		r.Total += s.Sender + s.Receiver
	}
	return r, nil
}

// stageClock books time to the stage whose end it hears of.
type stageClock struct {
	spent map[psi.Role]map[string]time.Duration
	last  time.Time
}

func newStageClock() *stageClock {
	return &stageClock{spent: map[psi.Role]map[string]time.Duration{psi.RoleSender: {}, psi.RoleReceiver: {}}}
}

func (s *stageClock) book(role psi.Role, stage string) {
	now := time.Now()
	s.spent[role][stage] += now.Sub(s.last)
	s.last = now
}

// runInTurn drives both parties in this goroutine.
func runInTurn(ctx context.Context, c *PSIConfig, e *engine, p psi.Params, w *workload, clock *stageClock) (*outcome, error) {
	options := func(role psi.Role) psi.Options {
		return psi.Options{Rand: c.Rand, Workers: 1, Progress: func(stage string, _, _ int) { clock.book(role, stage) }}
	}
	clock.last = time.Now()
	senderItems, err := w.sender.items(ctx, p.Session, 1)
	if err != nil {
		return nil, err
	}
	clock.book(psi.RoleSender, "items")
	receiverItems, err := w.receiver.items(ctx, p.Session, 1)
	if err != nil {
		return nil, err
	}
	clock.book(psi.RoleReceiver, "items")
	s, err := e.newSender(p, senderItems, options(psi.RoleSender))
	if err != nil {
		return nil, err
	}
	r, err := e.newReceiver(p, receiverItems, options(psi.RoleReceiver))
	if err != nil {
		return nil, err
	}
	for !s.Done() || !r.Done() {
		moved, err := exchange(ctx, s, r, psi.RoleSender, clock)
		if err != nil {
			return nil, err
		}
		back, err := exchange(ctx, r, s, psi.RoleReceiver, clock)
		if err != nil {
			return nil, err
		}
		if !moved && !back {
			return nil, errors.New("bench: the parties are stuck")
		}
	}
	var out outcome
	out.add(r, nil)
	return &out, nil
}

// exchange carries one message, if there is one, from a party of this role.
func exchange(ctx context.Context, from, to psi.Party, role psi.Role, clock *stageClock) (bool, error) {
	if !to.Wants() {
		// It may work ahead meanwhile, but has nothing to send.
		return false, nil
	}
	clock.last = time.Now()
	m, err := from.Next(ctx)
	clock.book(role, "other")
	if m == nil || err != nil {
		return false, err
	}
	err = to.Handle(ctx, *m)
	clock.book(role.Peer(), "other")
	return true, err
}
