package protocol

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

// RunStanding fetches the peer's newest filter and tests a standing lookup
// against what is new: in a new epoch everybody on the list is evaluated anew,
// otherwise only who is new on it; the others are tested where the filter
// says something else than before. Where the budget ends, what was done stays, and the next run goes on.
func (n *Node) RunStanding(ctx context.Context, id string, progress func(Progress)) (*StandingRun, error) {
	row, err := n.Store.FindStandingList(id)
	if err != nil {
		return nil, err
	}
	if !row.Ended.IsZero() {
		return nil, refuse(CodeRefused, "standing lookup %.16s has ended", row.ID)
	}
	unlock, err := n.lookups.lock(ctx, "standing "+row.ID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	l := &standingList{StandingList: row}
	if l.a, _, err = n.inForce(row.Agreement); err != nil {
		return nil, err
	}
	if l.who, err = n.standingAsker(row); err != nil {
		return nil, err
	}
	run := &standingRun{n: n, list: l, out: &StandingRun{List: row.ID, New: []StandingHit{}}, progress: progress}
	err = run.run(ctx)
	l.LastRun, l.LastError = n.Now(), lastError(err)
	saved := n.Store.Update(func(tx *store.Tx) error {
		if err := tx.SaveStandingRun(l.StandingList); err != nil {
			return err
		}
		if err != nil || run.out.Evaluated+run.out.Declared == 0 {
			return nil
		}
		e := l.entry(eventStandingRun, run.out.Evaluated+run.out.Declared)
		hits := int64(len(run.out.New))
		e.Hits, e.Epoch, e.Serial = &hits, run.out.Epoch, run.out.Serial
		return n.append(tx, l.a, e)
	})
	if err := errors.Join(err, saved); err != nil {
		return run.out, err
	}
	return run.out, nil
}

// standingRun is one run of a standing lookup.
type standingRun struct {
	n        *Node
	list     *standingList
	out      *StandingRun
	progress func(Progress)
	look     *Lookups
	filter   *openFilter
	update   *lookup.Update // what the fetch of this run brought, or nil
	before   version        // what was there before
	seeds    *kept
	hasher   *lookup.Hasher
}

// saveEvery is how many people are evaluated between two writes of the seeds.
const saveEvery = 256

func (s *standingRun) run(ctx context.Context) (err error) {
	people, err := s.list.read(ctx)
	if err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	defer func() {
		s.filter.users.Done()
		err = errors.Join(err, closeUpdate(s.update), s.look.Close())
	}()
	s.hasher = s.filter.params.Hasher()
	if s.seeds, err = s.n.loadSeeds(s.list.a, s.list.ID, s.filter.epoch); err != nil {
		return err
	}
	if err := s.declare(ctx, people); err != nil {
		return err
	}
	fresh, err := s.evaluate(ctx, people)
	if err := errors.Join(err, s.save(people)); err != nil {
		return err
	}
	if err := s.test(people, fresh); err != nil {
		return err
	}
	s.out.Epoch, s.out.Serial = s.filter.epoch, s.filter.serial
	s.list.Epoch, s.list.Serial = s.filter.epoch, s.filter.serial
	s.list.Records, s.list.Evaluations = int64(len(people)), s.evaluations(people)
	return s.n.dropSeeds(s.list.a, s.list.ID, s.filter.epoch)
}

// open connects, and fetches what is new.
func (s *standingRun) open(ctx context.Context) error {
	n, a := s.n, s.list.a
	r, err := n.openRequests(ctx, a.Hex(), psi.ModeLookup)
	if err != nil {
		return err
	}
	l := &Lookups{n: n, r: r, who: s.list.who, req: LookupRequest{Agreement: a.Hex(), Progress: s.progress, NoFetch: true}}
	fail := func(err error) error { return errors.Join(err, l.Close()) }
	fetched, update, err := n.fetch(ctx, r, s.progress)
	if err != nil {
		return fail(r.blame(err))
	}
	s.update, s.before = update, fetched.before
	seen, err := n.Store.FilterSeen(a.Hex())
	if err != nil {
		return fail(errors.Join(err, closeUpdate(update)))
	}
	if l.current, err = n.openSeen(a, seen); err != nil {
		return fail(errors.Join(err, closeUpdate(update)))
	}
	if l.deriver, err = records.NewDeriver(a.Rules, a.Normalisation); err != nil {
		return fail(errors.Join(err, closeUpdate(update)))
	}
	s.look = l
	s.filter, err = l.acquire(ctx)
	return err
}

// declare tells the peer that the kept evaluations are tested against a version
// that they have not been tested against.
func (s *standingRun) declare(ctx context.Context, people []listed) error {
	if s.list.Epoch == s.filter.epoch && s.list.Serial == s.filter.serial {
		return nil
	}
	count := int64(0)
	for _, p := range people {
		if s.has(p) {
			count += int64(s.list.a.Lookup.padded(len(p.Keys)))
		}
	}
	if count == 0 {
		return nil
	}
	if err := s.list.fits(count); err != nil {
		return err
	}
	err := s.look.r.declare(ctx, s.list.who, &wirepb.Standing{Epoch: s.filter.epoch, Serial: s.filter.serial, Count: uint64(count)})
	if err == nil {
		s.out.Declared = count
	}
	return err
}

// has reports whether all keys of a person have been evaluated.
func (s *standingRun) has(p listed) bool {
	for _, k := range p.Keys {
		if _, ok := s.seeds.Seeds[s.item(k)]; !ok {
			return false
		}
	}
	return true
}

func (s *standingRun) item(k records.Key) string {
	item := s.hasher.Item(k.Rule, k.Value)
	return hex.EncodeToString(item[:])
}

func (s *standingRun) evaluations(people []listed) (count int64) {
	for _, p := range people {
		count += int64(s.list.a.Lookup.padded(len(p.Keys)))
	}
	return count
}

// evaluate asks for the evaluations that are missing and returns whose they are.
func (s *standingRun) evaluate(ctx context.Context, people []listed) (fresh map[int]bool, err error) {
	fresh = map[int]bool{}
	for i, p := range people {
		if s.has(p) {
			continue
		}
		if err := s.evaluateOne(ctx, p); err != nil {
			return fresh, err
		}
		fresh[i] = true
		if s.progress != nil {
			s.progress(Progress{Stage: lookup.StageEvaluating, Done: i + 1, Total: len(people), Bytes: s.look.r.l.carried.Load()})
		}
		if len(fresh)%saveEvery == 0 {
			if err := s.n.saveSeeds(s.list.a, s.list.ID, s.filter.epoch, s.seeds); err != nil {
				return fresh, err
			}
		}
	}
	return fresh, nil
}

// standingPatience bounds the wait for budget within a run.
const standingPatience = 2 * time.Minute

// evaluateOne asks for the evaluations of one person, and waits a little where
// the budget of the minute is used.
func (s *standingRun) evaluateOne(ctx context.Context, p listed) error {
	out := &LookupResult{ID: p.ID, Keys: len(p.Keys), Evaluations: s.list.a.Lookup.padded(len(p.Keys))}
	if err := s.look.logAsked(out); err != nil {
		return err
	}
	for {
		seeds, _, err := s.look.evaluate(ctx, s.filter, p.Keys)
		if wait, worth := budgetWait(err, s.n.Now(), standingPatience); worth {
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err == nil {
			for i, k := range p.Keys {
				s.seeds.Seeds[s.item(k)] = seeds[i]
			}
			out.Epoch, out.Serial = s.filter.epoch, s.filter.serial
			out.Hits, err = s.filter.test(p.Keys, seeds)
			s.out.Evaluated += int64(out.Evaluations)
		}
		return errors.Join(err, s.look.logAnswered(out, err))
	}
}

// save keeps the seeds of who is on the list now.
func (s *standingRun) save(people []listed) error {
	now := &kept{Seeds: make(map[string]lookup.Seed, len(s.seeds.Seeds))}
	for _, p := range people {
		for _, k := range p.Keys {
			item := s.item(k)
			if seed, ok := s.seeds.Seeds[item]; ok {
				now.Seeds[item] = seed
			}
		}
	}
	s.seeds = now
	return s.n.saveSeeds(s.list.a, s.list.ID, s.filter.epoch, now)
}

// test tests who was evaluated now against the whole filter, and the others
// where the filter says something else since the version they were tested against.
func (s *standingRun) test(people []listed, fresh map[int]bool) error {
	tested := version{s.list.Epoch, s.list.Serial}
	byDelta := s.update != nil && tested == s.before && tested.epoch == s.filter.epoch
	for i, p := range people {
		if !fresh[i] && tested == s.filter.version {
			continue
		}
		seeds := make([]lookup.Seed, len(p.Keys))
		news := fresh[i] || !byDelta
		for j, k := range p.Keys {
			seeds[j] = s.seeds.Seeds[s.item(k)]
			if !news {
				var err error
				if news, err = s.update.Changed(seeds[j]); err != nil {
					return err
				}
			}
		}
		if !news {
			continue
		}
		hits, err := s.filter.test(p.Keys, seeds)
		if err != nil {
			return err
		}
		for _, h := range hits {
			if err := s.report(p.ID, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// report stores a hit, and tells of it if it is new.
func (s *standingRun) report(id string, h LookupHit) error {
	n := s.n
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	hit := StandingHit{List: s.list.ID, ID: id, LookupHit: h, Epoch: s.filter.epoch, Serial: s.filter.serial, Found: n.Now()}
	fresh := false
	err = n.Store.Batch(func(tx *store.Tx) error {
		fresh, err = tx.AddStandingHit(store.StandingHit{List: hit.List, Digest: n.digest(hit.List, id, h), LocalID: id, Hit: raw,
			Epoch: hit.Epoch, Serial: hit.Serial, Found: hit.Found, Expires: hit.Found.Add(s.list.a.Retention())})
		return err
	})
	if err != nil || !fresh {
		return err
	}
	s.out.New = append(s.out.New, hit)
	if n.OnStanding != nil {
		n.OnStanding(hit)
	}
	return nil
}
